//! The runtime lock: who may have a token, what a panic leaves, and that the loop gives the lock up when it
//! should.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lwt_core::{Error, pause};
use lwt_preemptive::detach;
use lwt_preemptive::lock::{AttachError, Locked, Poisoned, RuntimeLock};
use lwt_unix::entry::guarded;
use lwt_unix::main_loop::{Section, set_section};
use lwt_unix::{run, sleep};

fn lock() -> RuntimeLock {
    RuntimeLock::current().expect("a loop")
}

#[test]
fn one_lock_a_thread() {
    guarded("one_lock_a_thread", || {
        let value = lock().guard(1);
        assert_eq!(lock().with_token(|token| *value.get(token)), Ok(1), "the same lock again");
        let other = thread::spawn(|| lock().guard(2)).join().expect("joined");
        let mixed = catch_unwind(AssertUnwindSafe(|| lock().with_token(|token| *other.get(token))));
        let message = *mixed.expect_err("another lock's value").downcast::<&str>().expect("a message");
        assert!(message.contains("another lock"), "{message}");
    });
}

#[test]
fn nobody_has_two_tokens() {
    guarded("nobody_has_two_tokens", || {
        let lock = lock();
        let nested = lock.with_token(|_| (lock.with_token(|_| ()), lock.attach(|_| ())));
        assert_eq!(nested, Ok((Err(AttachError::Attached), Err(AttachError::Attached))));
        let in_run = run({
            let lock = lock.clone();
            async move {
                let attached = lock.attach(|_| ());
                let nested = lock.with_token(|_| lock.with_token(|_| ()));
                Ok::<_, Error>((attached, nested))
            }
        });
        assert_eq!(in_run.expect("run"), (Err(AttachError::OnTheLoop), Ok(Err(AttachError::Attached))));
        thread::spawn(move || {
            assert_eq!(lock.with_token(|_| ()), Err(AttachError::NotTheLoop));
            let nested = lock.attach(|_| lock.attach(|_| ()));
            assert_eq!(nested, Ok(Err(AttachError::Attached)));
        })
        .join()
        .expect("joined");
    });
}

#[test]
fn nobody_holds_two_locks() {
    guarded("nobody_holds_two_locks", || {
        let (send, receive) = mpsc::channel();
        let (done, wait) = mpsc::channel::<()>();
        let other = thread::spawn(move || {
            send.send(lock()).expect("sent");
            let _ = wait.recv();
        });
        let theirs = receive.recv().expect("a lock");
        let ours = lock();
        assert_eq!(ours.with_token(|_| theirs.attach(|_| ())), Ok(Err(AttachError::OtherLock)));
        // In a section it is allowed.
        let inside = ours.with_token(|token| token.blocking(|| theirs.attach(|_| 7)));
        assert_eq!(inside, Ok(Ok(7)));
        // And its loop may run there, without its own lock.
        let in_both = ours.with_token(|token| {
            let own = ours.clone();
            let nap = || run(sleep(Duration::from_micros(100)).map(move |()| own.with_token(|_| ())));
            token.blocking(|| theirs.attach(|_| nap()))
        });
        let refused = in_both.expect("a token").expect("attached").expect("run");
        assert_eq!(refused, Err(AttachError::OtherLock));
        // A loop on a thread that is attached elsewhere runs without its own lock.
        let own = thread::spawn({
            let theirs = theirs.clone();
            move || {
                let own = lock();
                theirs.attach(|_| {
                    run(async move {
                        sleep(Duration::from_micros(100)).await?;
                        Ok::<_, Error>(own.with_token(|_| ()))
                    })
                })
            }
        });
        let refused = own.join().expect("joined").expect("attached").expect("run");
        assert_eq!(refused, Err(AttachError::OtherLock));
        drop(done);
        other.join().expect("joined");
    });
}

#[test]
fn in_a_section_the_thread_may_attach_anew() {
    guarded("in_a_section_the_thread_may_attach_anew", || {
        let lock = lock();
        let value = lock.guard(Vec::new());
        lock.with_token(|token| {
            value.get_mut(token).push(1);
            token.blocking(|| {
                // A callback out of a C library.
                lock.attach(|token| {
                    value.get_mut(token).push(2);
                    token
                        .blocking(|| lock.with_token(|token| value.get_mut(token).push(3)))
                        .expect("once more");
                })
                .expect("not attached here");
            });
            value.get_mut(token).push(4);
            assert_eq!(lock.attach(|_| ()), Err(AttachError::Attached));
        })
        .expect("a token");
        assert_eq!(value.into_inner(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_panic_gives_the_lock_back_and_poisons_what_was_being_written() {
    guarded("a_panic_gives_the_lock_back_and_poisons_what_was_being_written", || {
        let lock = lock();
        let (written, read, between) = (lock.guard(1), lock.guard(1), lock.guard(1));
        let attached = thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                lock.attach(|token| {
                    *between.get_mut(token) += 1;
                    let _seen = *read.get(token);
                    let mut guard = written.get_mut(token);
                    *guard = 2;
                    panic!("in the midst of it");
                })
            });
            panicking.join()
        });
        assert!(attached.is_err());
        assert_eq!((written.is_poisoned(), read.is_poisoned(), between.is_poisoned()), (true, false, false));
        lock.with_token(|token| {
            assert_eq!(written.try_get(token), Err(Poisoned));
            assert!(written.try_get_mut(token).is_err());
            assert!(catch_unwind(AssertUnwindSafe(|| *written.get(token))).is_err());
            assert_eq!(*written.recover(token), 2);
            *written.get_mut(token) = 3;
            assert_eq!(*written.get(token), 3);
        })
        .expect("the lock was given back");
    });
}

#[test]
fn a_panic_in_a_section_takes_the_lock_again_on_its_way() {
    guarded("a_panic_in_a_section_takes_the_lock_again_on_its_way", || {
        let lock = lock();
        let value = lock.guard(0);
        lock.with_token(|token| {
            let section = catch_unwind(AssertUnwindSafe(|| token.blocking(|| panic!("in the section"))));
            assert!(section.is_err());
            *value.get_mut(token) += 1;
            assert_eq!(lock.attach(|_| ()), Err(AttachError::Attached), "it is held again");
        })
        .expect("a token");
        assert!(!value.is_poisoned());
        // And the loop's callbacks are no exception: the promise is rejected, the loop goes on.
        let error = run({
            let lock = lock.clone();
            async move {
                let panics = lock.with_token(|token| token.blocking(|| panic!("in a callback")));
                panics.map_err(Error::from)
            }
        });
        assert_eq!(error.expect_err("rejected").panic_message(), Some("in a callback"));
        run(sleep(Duration::from_micros(100))).expect("the loop goes on");
        thread::scope(|scope| scope.spawn(|| lock.attach(|_| ())).join())
            .expect("joined")
            .expect("it is free");
    });
}

#[test]
fn a_write_during_another_panic_is_no_poison() {
    guarded("a_write_during_another_panic_is_no_poison", || {
        struct CleanUp<'a>(&'a RuntimeLock, &'a Locked<u32>);
        impl Drop for CleanUp<'_> {
            fn drop(&mut self) {
                self.0.with_token(|token| *self.1.get_mut(token) += 1).expect("a token");
            }
        }
        let lock = lock();
        let value = lock.guard(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _clean_up = CleanUp(&lock, &value);
            panic!("elsewhere");
        }));
        assert!(panicked.is_err());
        assert_eq!((value.is_poisoned(), value.into_inner()), (false, 1));
    });
}

#[test]
fn the_loop_holds_the_lock_but_in_its_polls() {
    guarded("the_loop_holds_the_lock_but_in_its_polls", || {
        let lock = lock();
        let attached = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::new(AtomicBool::new(false));
        let other = {
            let (lock, attached, waiting) = (lock.clone(), Arc::clone(&attached), Arc::clone(&waiting));
            move || {
                waiting.store(true, Ordering::SeqCst);
                lock.attach(|_| attached.fetch_add(1, Ordering::SeqCst)).expect("attached");
            }
        };
        run(async move {
            lock.set_switch_interval(Duration::MAX);
            let other = thread::spawn(other);
            while !waiting.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            // Turns that do not block keep the lock, when nobody is due.
            for _ in 0..100 {
                pause().await?;
                assert_eq!(attached.load(Ordering::SeqCst), 0);
            }
            sleep(Duration::from_millis(1)).await?;
            while attached.load(Ordering::SeqCst) == 0 {
                sleep(Duration::from_millis(1)).await?;
            }
            detach(move || other.join().is_ok()).await
        })
        .expect("run");
    });
}

#[test]
fn a_busy_loop_lets_those_in_who_are_due() {
    guarded("a_busy_loop_lets_those_in_who_are_due", || {
        let lock = lock();
        lock.set_switch_interval(Duration::from_millis(1));
        assert_eq!(lock.switch_interval(), Duration::from_millis(1));
        let attached = Arc::new(AtomicUsize::new(0));
        let other = {
            let (lock, attached) = (lock.clone(), Arc::clone(&attached));
            thread::spawn(move || {
                for _ in 0..20 {
                    lock.attach(|_| attached.fetch_add(1, Ordering::SeqCst)).expect("attached");
                }
            })
        };
        run(async move {
            // The loop never blocks: there is always somebody who pauses.
            while attached.load(Ordering::SeqCst) < 20 {
                pause().await?;
            }
            Ok::<_, Error>(())
        })
        .expect("run");
        other.join().expect("joined");
    });
}

#[test]
fn a_token_that_is_lent_is_not_taken_from_its_closure_by_a_run_inside() {
    guarded("a_token_that_is_lent_is_not_taken_from_its_closure_by_a_run_inside", || {
        let lock = lock();
        let value = Arc::new(lock.guard(1));
        let other = lock
            .with_token(|token| {
                let seen = value.get(token);
                let other = thread::spawn({
                    let (lock, value) = (lock.clone(), Arc::clone(&value));
                    move || lock.attach(|token| *value.get_mut(token) = 2)
                });
                run(sleep(Duration::from_millis(20))).expect("slept");
                assert_eq!(*seen, 1, "nobody writes what is being read");
                other
            })
            .expect("a token");
        other.join().expect("joined").expect("attached");
        assert_eq!(lock.with_token(|token| *value.get(token)), Ok(2));
    });
}

#[test]
fn values_go_between_the_loop_and_its_threads() {
    guarded("values_go_between_the_loop_and_its_threads", || {
        let lock = lock();
        let words = Arc::new(lock.guard(Vec::<String>::new()));
        let seen = Rc::new(RefCell::new(0));
        let threads: Vec<_> = (0..4)
            .map(|at| {
                let (lock, words) = (lock.clone(), Arc::clone(&words));
                detach(move || {
                    for round in 0..50 {
                        lock.attach(|token| {
                            let word = token.blocking(|| format!("{at}:{round}"));
                            words.get_mut(token).push(word);
                        })
                        .expect("attached");
                    }
                })
            })
            .collect();
        run({
            let (lock, words, seen) = (lock.clone(), Arc::clone(&words), Rc::clone(&seen));
            async move {
                while *seen.borrow() < 200 {
                    sleep(Duration::from_micros(200)).await?;
                    let some = lock.with_token(|token| std::mem::take(&mut *words.get_mut(token)))?;
                    *seen.borrow_mut() += some.len();
                }
                lwt_core::join(threads).await
            }
        })
        .expect("run");
        assert_eq!(*seen.borrow(), 200);
    });
}

#[test]
fn nobody_puts_another_section_in_the_place_of_the_lock_s() {
    guarded("nobody_puts_another_section_in_the_place_of_the_lock_s", || {
        struct Nothing;
        impl Section for Nothing {
            fn enter(&self) {}
            fn leave(&self) {}
        }
        let lock = lock();
        let replaced = lock.with_token(|token| token.blocking(|| set_section(Rc::new(Nothing))));
        assert!(replaced.expect("a token").is_err());
        // And where another one is, there is no place for a lock.
        let late = thread::spawn(|| {
            set_section(Rc::new(Nothing)).expect("the first");
            RuntimeLock::current().is_err()
        });
        assert!(late.join().expect("joined"));
    });
}
