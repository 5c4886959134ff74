//! Wakers that are cloned, woken and dropped by any thread at any time, also after the loop has ended.

#[path = "common/bell.rs"]
mod bell;
mod common;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use bell::{Bell, watcher};
use common::{Drops, Rng, heavy, show, spin, watchdog};
use lwt_core::scheduler::{awake, end_thread, prepare_sleep, run_ready};
use lwt_core::{Error, spawn, wait};

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
