//! What crosses threads: wakers that are cloned, woken and dropped anywhere and at any time, and the inbox of a thread.

mod common;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use common::{Drops, Rng, heavy, show, spin, watchdog};
use lwt_core::scheduler::{awake, end_thread, handle, has_ready, prepare_sleep, run_ready, set_kick};
use lwt_core::{Error, Promise, spawn, wait};

/// How the loop of this thread sleeps and is woken.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
    kicks: AtomicUsize,
}

impl Bell {
    fn install() -> Arc<Bell> {
        let bell = Arc::new(Bell::default());
        let theirs = bell.clone();
        set_kick(Some(Arc::new(move || {
            theirs.kicks.fetch_add(1, Ordering::SeqCst);
            *theirs.rung.lock().unwrap() = true;
            theirs.ring.notify_one();
        })));
        bell
    }

    /// Runs the loop until the promise is resolved.
    fn run<T: 'static>(&self, until: &Promise<T>) {
        while until.is_pending() {
            run_ready(64);
            if !until.is_pending() {
                break;
            }
            if !has_ready() && prepare_sleep() {
                let mut rung = self.rung.lock().unwrap();
                while !*rung {
                    rung = self.ring.wait(rung).unwrap();
                }
                *rung = false;
            }
            awake();
        }
    }
}

/// A task that hands its waker out at each poll and ends when `done` says so.
fn watcher(done: Arc<AtomicBool>, wakers: mpsc::Sender<Waker>) -> Promise<()> {
    spawn(poll_fn(move |cx| {
        if done.load(Ordering::SeqCst) {
            return Poll::Ready(Ok::<_, Error>(()));
        }
        let _ = wakers.send(cx.waker().clone());
        Poll::Pending
    }))
}

#[test]
fn another_thread_wakes_a_task() {
    let _dog = watchdog();
    let bell = Bell::install();
    let done = Arc::new(AtomicBool::new(false));
    let (sender, wakers) = mpsc::channel();
    let t = watcher(done.clone(), sender);
    let other = thread::spawn(move || {
        let waker = wakers.recv().unwrap();
        done.store(true, Ordering::SeqCst);
        waker.wake();
    });
    bell.run(&t);
    other.join().unwrap();
    assert_eq!(show(&t), "ok ()");
}

#[test]
fn every_wake_is_followed_by_a_poll() {
    let _dog = watchdog();
    let rounds = heavy(20_000, 5_000, 50);
    let bell = Bell::install();
    let flag = Arc::new(AtomicUsize::new(0));
    let (sender, wakers) = mpsc::channel::<Waker>();
    let t = spawn({
        let flag = flag.clone();
        let mut seen = 0;
        let mut sent = false;
        poll_fn(move |cx| {
            if !sent {
                sent = true;
                sender.send(cx.waker().clone()).unwrap();
            }
            seen = seen.max(flag.load(Ordering::SeqCst));
            if seen == rounds { Poll::Ready(Ok::<_, Error>(())) } else { Poll::Pending }
        })
    });
    let other = thread::spawn(move || {
        let waker = wakers.recv().unwrap();
        for _ in 0..rounds {
            flag.fetch_add(1, Ordering::SeqCst);
            waker.wake_by_ref();
        }
    });
    bell.run(&t); // hangs if the last wake is lost
    other.join().unwrap();
}

#[test]
fn many_threads_clone_wake_and_drop_while_the_task_runs_and_after() {
    let _dog = watchdog();
    let bell = Bell::install();
    let threads = 4;
    let rounds = heavy(5_000, 1_000, 20);
    let barrier = Arc::new(Barrier::new(threads));
    let finished = Arc::new(AtomicUsize::new(0));
    let (sender, wakers) = mpsc::channel::<Waker>();
    let polls = Rc::new(std::cell::Cell::new(0));
    let t = spawn({
        let (finished, polls) = (finished.clone(), polls.clone());
        let mut sender = Some(sender);
        poll_fn(move |cx| {
            polls.set(polls.get() + 1);
            if let Some(sender) = sender.take() {
                for _ in 0..threads {
                    sender.send(cx.waker().clone()).unwrap();
                }
            }
            if finished.load(Ordering::SeqCst) == threads {
                Poll::Ready(Ok::<_, Error>(()))
            } else {
                Poll::Pending
            }
        })
    });
    let others: Vec<_> = (0..threads)
        .map(|n| {
            let (waker, barrier, finished) = (wakers.recv().unwrap(), barrier.clone(), finished.clone());
            thread::spawn(move || {
                let mut rng = Rng(n as u64);
                let mut held = vec![waker];
                barrier.wait();
                for _ in 0..rounds {
                    match rng.below(4) {
                        0 if held.len() < 20 => held.push(held[0].clone()),
                        1 if held.len() > 1 => held.pop().unwrap().wake(),
                        2 if held.len() > 1 => drop(held.pop()),
                        _ => held[0].wake_by_ref(),
                    }
                }
                finished.fetch_add(1, Ordering::SeqCst);
                held[0].wake_by_ref();
                // After the task's end:
                for waker in &held {
                    waker.wake_by_ref();
                }
                held
            })
        })
        .collect();
    bell.run(&t);
    let held: Vec<_> = others.into_iter().flat_map(|o| o.join().unwrap()).collect();
    spin();
    let after = polls.get();
    for waker in held {
        waker.wake();
    }
    spin();
    assert_eq!(polls.get(), after, "a task that has ended is not polled again");
}

#[test]
fn wakers_outlive_the_loop_and_its_thread() {
    let _dog = watchdog();
    let (sender, wakers) = mpsc::channel();
    thread::spawn(move || {
        let pending = watcher(Arc::new(AtomicBool::new(false)), sender);
        drop(pending);
        end_thread();
    })
    .join()
    .unwrap();
    let waker: Waker = wakers.recv().unwrap();
    let clone = waker.clone();
    waker.wake_by_ref();
    assert!(waker.will_wake(&clone));
    thread::spawn(move || clone.wake()).join().unwrap();
    waker.wake();
}

#[test]
fn wakers_of_a_thread_that_never_ended_its_loop() {
    let _dog = watchdog();
    let (sender, wakers) = mpsc::channel();
    thread::spawn(move || drop(watcher(Arc::new(AtomicBool::new(false)), sender))).join().unwrap();
    let waker: Waker = wakers.recv().unwrap();
    waker.wake_by_ref();
    drop(waker.clone());
    waker.wake();
}

#[test]
fn threads_race_with_the_end_of_the_loop() {
    let _dog = watchdog();
    for _ in 0..heavy(200, 100, 5) {
        let (sender, wakers) = mpsc::channel::<Waker>();
        let ending = Arc::new(Barrier::new(3));
        let home = {
            let ending = ending.clone();
            thread::spawn(move || {
                drop(watcher(Arc::new(AtomicBool::new(false)), sender.clone()));
                drop(watcher(Arc::new(AtomicBool::new(false)), sender));
                ending.wait();
                run_ready(1);
                end_thread();
            })
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (waker, ending) = (wakers.recv().unwrap(), ending.clone());
                thread::spawn(move || {
                    ending.wait();
                    for _ in 0..20 {
                        let clone = waker.clone();
                        clone.wake();
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        home.join().unwrap();
        for other in others {
            other.join().unwrap();
        }
    }
}

/// A value that complains when it is dropped away from home.
struct Homely(thread::ThreadId, Drops);

impl Drop for Homely {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.0, "dropped on a foreign thread");
        drop(self.1.token());
    }
}

#[test]
fn a_future_is_dropped_on_its_home_thread_only() {
    let _dog = watchdog();
    let bell = Bell::install();
    let drops = Drops::new();
    let (sender, wakers) = mpsc::channel::<Waker>();
    let t = spawn({
        let homely = Homely(thread::current().id(), drops.clone());
        let mut polls = 0;
        poll_fn(move |cx| {
            let _ = &homely;
            polls += 1;
            if polls == 2 {
                return Poll::Ready(Ok::<_, Error>(()));
            }
            sender.send(cx.waker().clone()).unwrap();
            Poll::Pending
        })
    });
    // The waker is the last thing that holds the task's block, and goes on another thread.
    let other = thread::spawn(move || {
        let waker = wakers.recv().unwrap();
        waker.wake_by_ref();
        waker
    });
    bell.run(&t);
    drop(t);
    assert_eq!(drops.count(), 1);
    let waker = other.join().unwrap();
    thread::spawn(move || drop(waker)).join().unwrap();
    run_ready(10);
}

#[test]
fn the_value_of_a_task_whose_waker_lives_on_elsewhere() {
    let _dog = watchdog();
    let drops = Drops::new();
    let (sender, wakers) = mpsc::channel::<Waker>();
    let (p, r) = wait::<()>();
    let t = spawn({
        let homely = Homely(thread::current().id(), drops.clone());
        async move {
            poll_fn(|cx| {
                let _ = sender.send(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
            p.await?;
            Ok::<_, Error>(homely)
        }
    });
    r.wakeup(());
    spin();
    assert_eq!(drops.count(), 0);
    let waker = wakers.recv().unwrap();
    drop(t);
    assert_eq!(drops.count(), 1, "the value goes with the promise, not with the waker");
    thread::spawn(move || waker.wake()).join().unwrap();
    run_ready(10);
}

// ---- the inbox ------------------------------------------------------------------------------------------------------

#[test]
fn posted_closures_run_on_the_home_thread_in_order() {
    let _dog = watchdog();
    let home = thread::current().id();
    let seen: Arc<Mutex<Vec<(usize, bool)>>> = Arc::default();
    let inbox = handle();
    thread::spawn({
        let seen = seen.clone();
        move || {
            for n in 0..100 {
                let seen = seen.clone();
                assert!(
                    inbox
                        .post(move || seen.lock().unwrap().push((n, thread::current().id() == home)))
                        .is_ok()
                );
            }
        }
    })
    .join()
    .unwrap();
    assert!(seen.lock().unwrap().is_empty(), "nothing runs before the drain");
    run_ready(0);
    let seen = seen.lock().unwrap();
    assert_eq!(*seen, (0..100).map(|n| (n, true)).collect::<Vec<_>>());
}

#[test]
fn a_posted_closure_that_panics_does_not_stop_the_others() {
    let done = Arc::new(AtomicBool::new(false));
    let flag = done.clone();
    let hook = common::Unhandled::collect();
    assert!(handle().post(|| panic!("posted")).is_ok());
    assert!(handle().post(move || flag.store(true, Ordering::SeqCst)).is_ok());
    run_ready(10);
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(hook.take(), "panic posted");
}

#[test]
fn a_posted_closure_may_post_and_spawn() {
    let done = Arc::new(AtomicUsize::new(0));
    let (inbox, count) = (handle(), done.clone());
    let again = inbox.clone();
    let posted = inbox.post(move || {
        count.fetch_add(1, Ordering::SeqCst);
        drop(spawn({
            let count = count.clone();
            async move {
                lwt_core::task::yield_now().await?;
                count.fetch_add(10, Ordering::SeqCst);
                Ok::<_, Error>(())
            }
        }));
        let posted = again.post(move || {
            count.fetch_add(100, Ordering::SeqCst);
        });
        assert!(posted.is_ok());
    });
    assert!(posted.is_ok());
    for _ in 0..4 {
        run_ready(10);
    }
    assert_eq!(done.load(Ordering::SeqCst), 111);
}

#[test]
fn threads_resolve_promises_by_posting() {
    let _dog = watchdog();
    let bell = Bell::install();
    thread_local! {
        static SLOTS: RefCell<Vec<Option<lwt_core::Resolver<u64>>>> = const { RefCell::new(Vec::new()) };
    }
    let (promises, made): (Vec<_>, Vec<_>) = (0..50).map(|_| wait::<u64>()).unzip();
    SLOTS.with_borrow_mut(|slots| slots.extend(made.into_iter().map(Some)));
    let sum = lwt_core::all(promises).map(|v| v.into_iter().sum::<u64>());
    let threads: Vec<_> = (0..5)
        .map(|t| {
            let inbox = handle();
            thread::spawn(move || {
                for n in (t..50).step_by(5) {
                    let posted = inbox.post(move || {
                        let resolver = SLOTS.with_borrow_mut(|slots| slots[n].take());
                        resolver.expect("each once").wakeup(n as u64);
                    });
                    assert!(posted.is_ok());
                    thread::yield_now();
                }
            })
        })
        .collect();
    bell.run(&sum);
    assert_eq!(show(&sum), "ok 1225");
    for t in threads {
        t.join().unwrap();
    }
}

#[test]
fn a_post_to_a_thread_that_has_ended_fails_and_drops_the_closure() {
    let inbox = thread::spawn(|| {
        let inbox = handle();
        end_thread();
        inbox
    })
    .join()
    .unwrap();
    let witness = Arc::new(());
    let held = witness.clone();
    let posted = inbox.post(move || drop(held));
    assert!(posted.is_err());
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn what_was_posted_before_the_end_is_run_or_dropped() {
    let witness = Arc::new(());
    let held = witness.clone();
    thread::spawn(move || {
        assert!(handle().post(move || drop(held)).is_ok());
        end_thread();
    })
    .join()
    .unwrap();
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn a_sleeper_is_kicked_and_nobody_else() {
    let _dog = watchdog();
    let bell = Bell::install();
    let inbox = handle();
    let post = |n: usize| {
        let inbox = inbox.clone();
        thread::spawn(move || {
            for _ in 0..n {
                assert!(inbox.post(|| ()).is_ok());
            }
        })
        .join()
        .unwrap();
    };
    run_ready(10);
    post(3);
    assert_eq!(bell.kicks.load(Ordering::SeqCst), 0, "the loop is awake");
    assert!(!prepare_sleep(), "there is mail: do not sleep");
    awake();
    run_ready(10);

    assert!(prepare_sleep());
    post(3);
    assert_eq!(bell.kicks.load(Ordering::SeqCst), 1, "one kick for many");
    awake();
    run_ready(10);
    post(1);
    assert_eq!(bell.kicks.load(Ordering::SeqCst), 1);
    run_ready(10);
}

#[test]
fn a_foreign_wake_kicks_a_sleeper() {
    let _dog = watchdog();
    let bell = Bell::install();
    let (sender, wakers) = mpsc::channel::<Waker>();
    let t = watcher(Arc::new(AtomicBool::new(false)), sender);
    let waker = wakers.recv().unwrap();
    run_ready(10);
    assert!(prepare_sleep());
    thread::spawn({
        let waker = waker.clone();
        move || waker.wake()
    })
    .join()
    .unwrap();
    assert_eq!(bell.kicks.load(Ordering::SeqCst), 1);
    awake();
    assert_eq!(run_ready(10), 1);
    drop(t);
}

#[test]
fn the_end_of_a_thread_drops_what_it_still_runs() {
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Token(Arc<AtomicUsize>);
    impl Drop for Token {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let count = dropped.clone();
    thread::spawn(move || {
        let waiting = Token(count.clone());
        drop(spawn(async move {
            let _waiting = waiting;
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        }));
        let queued = Token(count.clone());
        drop(spawn(async move {
            let _queued = queued;
            lwt_core::task::yield_now().await?;
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        }));
        let paused = Token(count.clone());
        drop(spawn(async move {
            let _paused = paused;
            lwt_core::pause().await?;
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        }));
        let ended = Token(count);
        drop(spawn(async move {
            let _ended = ended;
            Ok::<_, Error>(())
        }));
        end_thread();
    })
    .join()
    .unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
}

#[test]
fn promises_work_after_the_end_of_the_loop() {
    thread::spawn(|| {
        end_thread();
        let (p, r) = wait::<i32>();
        let q = p.map(|v| v + 1);
        r.wakeup(1);
        assert_eq!(show(&q), "ok 2");
        let t = spawn(async { Ok::<_, Error>(3) });
        assert_eq!(show(&t), "ok 3");
        end_thread();
    })
    .join()
    .unwrap();
}

#[test]
fn promises_dropped_by_thread_local_destructors() {
    thread_local! {
        static HELD: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
    }
    thread::spawn(|| {
        let (p, r) = wait::<i32>();
        let q = p.clone().map(|v| v + 1);
        let t = spawn(q.clone().protected());
        HELD.with_borrow_mut(|held| {
            held.push(Box::new(t));
            held.push(Box::new(p));
            held.push(Box::new(q));
            held.push(Box::new(r));
            held.push(Box::new(Promise::ready(String::from("x"))));
        });
    })
    .join()
    .unwrap();
}
