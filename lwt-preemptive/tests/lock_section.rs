//! Promises of a loop in the blocking sections of its runtime lock: none is resolved or cancelled there, and no
//! callback runs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use lwt_core::{Error, pause, task};
use lwt_preemptive::lock::RuntimeLock;
use lwt_unix::entry::guarded;
use lwt_unix::run;

fn lock() -> RuntimeLock {
    RuntimeLock::current().expect("a loop")
}

/// That it panics because of the section.
#[track_caller]
fn refused<R>(f: impl FnOnce() -> R) {
    let done = catch_unwind(AssertUnwindSafe(|| drop(f())));
    let message = *done.expect_err("a panic").downcast::<&str>().expect("a message");
    assert!(message.contains("blocking section"), "{message}");
}

#[test]
fn no_promise_is_resolved_in_a_section_of_its_loop() {
    guarded("no_promise_is_resolved_in_a_section_of_its_loop", || {
        let lock = lock();
        let log = Rc::new(RefCell::new(Vec::new()));
        let noted = |name: &'static str| {
            let (promise, resolver) = lwt_core::wait::<()>();
            let log = Rc::clone(&log);
            promise.on_any(move |outcome| log.borrow_mut().push((name, outcome.is_ok())));
            resolver
        };
        let (used, dropped) = (noted("used"), noted("dropped"));
        let (attached, ran) = (noted("attached"), noted("ran"));
        let resolved = lock.with_token(|token| {
            token.blocking(|| {
                refused(|| used.wakeup(()));
                drop(dropped);
                assert_eq!(*log.borrow(), [], "nothing runs without the lock");
                // Whoever has the lock again may.
                lock.attach(|_| attached.wakeup(())).expect("not attached here");
                assert!(log.borrow().contains(&("attached", true)));
                run(pause().map(|()| ran.wakeup(()))).expect("run");
                // And then this is the section again.
                let (_promise, resolver) = lwt_core::wait::<()>();
                refused(|| resolver.wakeup(()));
            });
        });
        resolved.expect("a token");
        run(pause()).expect("run");
        let mut log = log.take();
        log.sort_unstable();
        assert_eq!(log, [("attached", true), ("dropped", false), ("ran", true), ("used", false)]);
        // After it all is allowed.
        let (promise, resolver) = lwt_core::wait();
        lock.with_token(|token| token.blocking(|| ())).expect("a token");
        resolver.wakeup(1);
        assert_eq!(run(promise).expect("run"), 1);
    });
}

#[test]
fn no_promise_is_cancelled_in_a_section_of_its_loop() {
    guarded("no_promise_is_cancelled_in_a_section_of_its_loop", || {
        let lock = lock();
        let (leaf, _leaf) = lwt_core::task::<()>();
        let (awaited, _awaited) = lwt_core::task::<()>();
        let mapped = awaited.map(|()| ());
        let body = lwt_core::spawn(std::future::pending::<Result<(), Error>>());
        let done = lwt_core::Promise::ready(());
        let sectioned = lock.with_token(|token| {
            token.blocking(|| {
                refused(|| leaf.cancel());
                refused(|| leaf.canceller().cancel());
                refused(|| mapped.cancel());
                refused(|| lwt_core::pick([leaf.clone(), done.clone()]));
                refused(|| task::abort(&body));
                // Where there is nothing to cancel nothing happens.
                done.cancel();
                assert!(!task::abort(&done));
            });
        });
        sectioned.expect("a token");
        assert!(leaf.is_pending() && mapped.is_pending() && body.is_pending());
        mapped.cancel();
        assert!(run(mapped).expect_err("cancelled").is_canceled());
        assert!(task::abort(&body));
        assert!(run(body).expect_err("aborted").is_canceled());
        leaf.cancel();
        assert!(run(leaf).expect_err("cancelled").is_canceled());
    });
}

#[test]
fn what_a_panic_lets_go_in_a_section_is_put_off() {
    guarded("what_a_panic_lets_go_in_a_section_is_put_off", || {
        let lock = lock();
        // Its guard hands the mutex over to who waits, who is to hear of it with the lock held.
        let mutex = lwt_core::mutex::Mutex::new(());
        let guard = run(mutex.lock()).expect("free");
        let next = mutex.lock();
        let (leaf, _leaf) = lwt_core::task::<()>();
        struct CancelOnDrop(lwt_core::Promise<()>);
        impl Drop for CancelOnDrop {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }
        let log = Rc::new(RefCell::new(Vec::new()));
        let note = |name: &'static str| {
            let log = Rc::clone(&log);
            move || log.borrow_mut().push(name)
        };
        let (locked, cancelled) = (note("locked"), note("cancelled"));
        next.on_success(move |_| locked());
        leaf.on_failure(move |_| cancelled());
        let panicked = lock.with_token(|token| {
            catch_unwind(AssertUnwindSafe(|| {
                token.blocking(|| {
                    let _let_go = (guard, CancelOnDrop(leaf));
                    panic!("in the section");
                })
            }))
            .is_err()
        });
        assert_eq!((panicked, log.borrow().len()), (Ok(true), 0));
        run(pause()).expect("run");
        assert_eq!(log.take(), ["locked", "cancelled"]);
    });
}

#[test]
fn what_was_put_off_waits_for_the_end_of_the_section() {
    guarded("what_was_put_off_waits_for_the_end_of_the_section", || {
        let lock = lock();
        let log = Rc::new(RefCell::new(Vec::new()));
        let (promise, resolver) = lwt_core::wait::<()>();
        promise.on_any({
            let log = Rc::clone(&log);
            move |_| log.borrow_mut().push("callback")
        });
        lock.with_token(|token| {
            token.blocking(|| {
                drop(resolver);
                // A task that begins is a level of a cascade; it does not take the others along.
                drop(lwt_core::spawn(async { Ok::<_, Error>(()) }));
                assert!(log.borrow().is_empty());
            });
        })
        .expect("a token");
        run(pause()).expect("run");
        assert_eq!(log.take(), ["callback"]);
    });
}

#[test]
fn a_section_of_another_loop_is_no_business_of_our_promises() {
    guarded("a_section_of_another_loop_is_no_business_of_our_promises", || {
        let theirs = lock();
        let own = thread::spawn(move || {
            theirs.attach(|token| {
                token.blocking(|| {
                    let (promise, resolver) = lwt_core::wait();
                    resolver.wakeup(7);
                    run(promise.map(|number: u32| number + 1)).expect("run")
                })
            })
        });
        assert_eq!(own.join().expect("joined"), Ok(8));
    });
}
