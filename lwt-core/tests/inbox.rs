//! The inbox of a thread: closures posted by others, kicks for a sleeper, and the end of the thread.

#[path = "common/bell.rs"]
mod bell;
mod common;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use bell::Bell;
use common::{show, watchdog};
use lwt_core::scheduler::{awake, end_thread, handle, prepare_sleep, run_ready};
use lwt_core::{Error, Promise, spawn, wait};

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
