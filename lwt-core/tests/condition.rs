//! Condition: order, the way back into the mutex, and that no signal is swallowed.

mod common;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "common/seeded.rs"]
mod seeded;

use std::cell::Cell;
use std::rc::Rc;

use common::{Log, Unhandled, Unique, show, spin};
use lwt_core::condition::Condition;
use lwt_core::mutex::{Mutex, MutexGuard};
use lwt_core::{Error, Promise, join, pick, spawn, task};

/// The value of a wait with a guard.
fn value<T: 'static, M: 'static>(p: Promise<(T, MutexGuard<M>)>) -> Promise<T> {
    p.map(|(value, _guard)| value)
}

#[test]
fn signals_in_order_and_not_remembered() {
    let c = Condition::new();
    assert!(!c.signal(Unique(0)));
    let waits: Vec<_> = (0..3).map(|_| c.wait()).collect();
    for i in 1..4 {
        assert!(c.signal(Unique(i)));
        assert_eq!(waits.iter().filter(|p| !p.is_pending()).count(), i as usize);
    }
    assert!(!c.signal(Unique(4)));
    assert_eq!(waits.iter().map(show).collect::<Vec<_>>(), ["ok Unique(1)", "ok Unique(2)", "ok Unique(3)"]);
}

#[test]
fn broadcast_reaches_those_who_wait_now() {
    let _told = Unhandled::collect(); // of those who wait at the end
    let log = Log::new();
    let c = Condition::new();
    for i in 0..3 {
        let (log, again) = (log.clone(), c.clone());
        c.wait().on_success(move |n: &i32| {
            log.add(format!("{i}:{n}"));
            again.wait().on_success(move |n| log.add(format!("again {i}:{n}")));
        });
    }
    c.broadcast(1);
    assert_eq!(log.take(), "0:1 1:1 2:1");
    c.signal(2);
    assert_eq!(log.take(), "again 0:2");
}

#[test]
fn a_clone_that_panics_rejects_one_and_no_other() {
    #[derive(Debug)]
    struct Third(Rc<Cell<u32>>);
    impl Clone for Third {
        fn clone(&self) -> Third {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get() != 3, "the third");
            Third(self.0.clone())
        }
    }
    let (c, mutex) = (Condition::new(), Mutex::new(()));
    let plain: Vec<_> = (0..2).map(|_| c.wait().map(drop)).collect();
    let locking: Vec<_> = (0..2)
        .map(|_| {
            value(mutex.lock().bind({
                let c = c.clone();
                move |guard| c.wait_with(guard)
            }))
            .map(drop)
        })
        .collect();
    seeded::quietly(|| c.broadcast(Third(Rc::default())));
    let shown: Vec<_> = plain.iter().chain(&locking).map(show).collect();
    assert_eq!(shown, ["ok ()", "ok ()", "panic the third", "ok ()"]);
    assert!(!mutex.is_locked());
}

#[test]
fn broadcast_err_rejects_all_and_takes_no_mutex() {
    let (c, m) = (Condition::<i32>::new(), Mutex::new(()));
    let plain = c.wait();
    let locking = c.wait_with(m.try_lock().unwrap());
    c.broadcast_err(Error::msg("closed"));
    assert_eq!(show(&plain), "error closed");
    assert_eq!(show(&locking), "error closed");
    assert!(!m.is_locked());
    assert!(!c.signal(1));
}

#[test]
fn a_cancelled_or_dropped_wait_takes_no_signal() {
    let c = Condition::new();
    let (first, second, third) = (c.wait(), c.wait(), c.wait());
    first.cancel();
    assert_eq!(show(&first), "canceled");
    drop(second);
    assert!(c.signal(1));
    assert_eq!(show(&third), "ok 1");
    drop(c.wait());
    assert!(!c.signal(2));
}

#[test]
fn a_signal_in_the_middle_of_a_cancel() {
    let c = Condition::new();
    let (first, second, third) = (c.wait(), c.wait(), c.wait());
    first.on_cancel({
        let c = c.clone();
        move || assert!(c.signal(1))
    });
    join([first.map(drop), second.map(drop)]).cancel();
    assert_eq!(show(&third), "ok 1");
}

#[test]
fn a_pick_loses_no_signal() {
    let c = Condition::new();
    let (other, decide) = task();
    let picked = pick([c.wait(), other]);
    let (go, start) = task::<()>();
    go.on_success({
        let c = c.clone();
        move |()| {
            c.signal(1);
            decide.wakeup(2);
        }
    });
    start.wakeup(());
    assert_eq!(show(&picked), "ok 1");
}

#[test]
fn waiting_frees_the_mutex_and_takes_it_again() {
    let (c, m) = (Condition::new(), Mutex::new(0));
    let p = c.wait_with(m.try_lock().unwrap());
    assert!(!m.is_locked());
    let mut guard = m.try_lock().unwrap();
    *guard = 7;
    assert!(c.signal("go"));
    assert!(p.is_pending(), "the mutex is taken");
    drop(guard);
    assert!(m.is_locked());
    assert_eq!(show(&p), "ok (\"go\", 7)");
    drop(p);
    assert!(!m.is_locked());
}

#[test]
fn a_signal_by_who_gets_the_mutex_is_not_missed() {
    let (c, m) = (Condition::new(), Mutex::new(()));
    let guard = m.try_lock().unwrap();
    let signaller = m.lock().map({
        let c = c.clone();
        move |_guard| assert!(c.signal(1))
    });
    let p = value(c.wait_with(guard));
    assert_eq!(show(&signaller), "ok ()");
    assert_eq!(show(&p), "ok 1");
    assert!(!m.is_locked());
}

#[test]
fn cancelled_or_dropped_while_it_waits_for_the_signal() {
    let (c, m) = (Condition::new(), Mutex::new(()));
    let first = c.wait_with(m.try_lock().unwrap());
    let second = c.wait_with(m.try_lock().unwrap());
    let third = c.wait_with(m.try_lock().unwrap());
    first.cancel();
    assert_eq!(show(&first), "canceled");
    assert!(!m.is_locked(), "the mutex is free");
    drop(second);
    assert!(!m.is_locked());
    assert!(c.signal(1));
    assert_eq!(show(&third), "ok (1, ())");
}

#[test]
fn cancelled_or_dropped_on_the_way_back_into_the_mutex() {
    type Give = fn(Promise<(i32, MutexGuard<()>)>);
    let give_ups: [Give; 2] = [
        |p| {
            p.cancel();
            assert_eq!(show(&p), "canceled");
        },
        drop,
    ];
    for give_up in give_ups {
        let (c, m) = (Condition::new(), Mutex::new(()));
        let first = c.wait_with(m.try_lock().unwrap());
        let second = c.wait();
        let guard = m.try_lock();
        assert!(c.signal(1));
        assert!(first.is_pending() && second.is_pending());
        give_up(first);
        assert!(m.is_empty(), "it has left the line of the mutex");
        assert_eq!(show(&second), "ok 1", "the signal has gone on");
        drop(guard);
        assert!(!m.is_locked());
    }
}

#[test]
fn granted_but_not_taken() {
    let (c, m) = (Condition::new(), Mutex::new(()));
    let p = c.wait_with(m.try_lock().unwrap());
    let next = m.lock();
    drop(next); // was granted at once
    assert!(c.signal(1));
    assert!(m.is_locked());
    drop(p);
    assert!(!m.is_locked());
}

#[test]
fn a_broadcast_is_not_passed_on() {
    let (c, m) = (Condition::new(), Mutex::new(()));
    let first = c.wait_with(m.try_lock().unwrap());
    let guard = m.try_lock();
    c.broadcast(1);
    let late = c.wait();
    first.cancel();
    assert_eq!(show(&first), "canceled");
    assert!(late.is_pending(), "all had their own");
    drop(guard);
    assert!(!m.is_locked());
}

#[test]
fn broadcast_with_a_mutex_lets_them_in_one_by_one() {
    let log = Log::new();
    let (c, m) = (Condition::new(), Mutex::new(0));
    let tasks: Vec<_> = (0..3)
        .map(|i| {
            let (c, m, log) = (c.clone(), m.clone(), log.clone());
            spawn(async move {
                let guard = m.lock().await?;
                let ((), mut guard) = c.wait_with(guard).await?;
                *guard += 1;
                log.add(format!("{i}:{}", *guard));
                lwt_core::task::yield_now().await?;
                assert_eq!(*guard, i + 1);
                Ok::<_, Error>(())
            })
        })
        .collect();
    spin();
    assert!(!m.is_locked());
    c.broadcast(());
    spin();
    assert_eq!(log.take(), "0:1 1:2 2:3");
    assert!(tasks.iter().all(|t| show(t) == "ok ()"));
    assert!(!m.is_locked());
}

#[test]
fn a_cancelled_task_leaves_the_mutex_free() {
    let (c, m) = (Condition::<()>::new(), Mutex::new(()));
    let t = spawn({
        let (c, m) = (c.clone(), m.clone());
        async move {
            let guard = m.lock().await?;
            c.wait_with(guard).await.map(drop)
        }
    });
    t.cancel();
    spin();
    assert_eq!(show(&t), "canceled");
    assert!(!m.is_locked());
    assert!(!c.signal(()));
}

#[test]
fn the_last_handle_abandons_who_waits() {
    let told = Unhandled::collect();
    let (c, m) = (Condition::<i32>::new(), Mutex::new(()));
    let (plain, locking) = (c.wait(), c.wait_with(m.try_lock().unwrap()));
    drop(c);
    assert_eq!((show(&plain), show(&locking)), ("abandoned".into(), "abandoned".into()));
    assert_eq!(told.take(), "");
}
