//! Mutex: order, hand-over, and what a cancelled or dropped waiter leaves behind.

mod common;
#[path = "common/uses.rs"]
mod uses;

use common::{Gate, Log, Rng, Unhandled, Unique, heavy, show, spin, turn, watchdog};
use lwt_core::mutex::Mutex;
use lwt_core::{Error, Promise, all, join, pause, pick, spawn, task, wait};
use uses::{let_end, random_uses};

#[test]
fn locked_and_unlocked() {
    let m = Mutex::new(Unique(1));
    assert!(!m.is_locked() && m.is_empty());
    let mut guard = m.try_lock().unwrap();
    guard.0 += 1;
    assert!(m.is_locked() && m.is_empty() && m.try_lock().is_none());
    let second = m.lock();
    assert!(second.is_pending() && !m.is_empty());
    guard.unlock();
    assert!(m.is_locked() && m.is_empty(), "handed over");
    assert_eq!(show(&second), "ok Unique(2)");
    drop(second);
    assert!(!m.is_locked());
}

#[test]
fn first_come_first_served() {
    let log = Log::new();
    let m = Mutex::new(());
    let guard = m.try_lock();
    for i in 0..4 {
        let log = log.clone();
        m.lock().on_success(move |_| log.add(i));
    }
    assert_eq!(log.take(), "");
    drop(guard);
    assert_eq!(log.take(), "0 1 2 3");
    assert!(!m.is_locked());
}

#[test]
fn a_cancelled_waiter_is_passed_over() {
    let m = Mutex::new(());
    let guard = m.try_lock();
    let waiters: Vec<_> = (0..4).map(|_| m.lock()).collect();
    waiters[0].cancel();
    waiters[2].cancel();
    assert_eq!(show(&waiters[0]), "canceled");
    drop(guard);
    assert_eq!(show(&waiters[1]), "ok ()");
    let mut waiters = waiters.into_iter().skip(1);
    drop(waiters.next());
    drop(waiters.next());
    assert_eq!(show(&waiters.next().unwrap()), "ok ()");
    assert!(!m.is_locked());
}

#[test]
fn a_dropped_waiter_is_passed_over() {
    let m = Mutex::new(());
    let guard = m.try_lock();
    let (first, second) = (m.lock(), m.lock());
    drop(first);
    drop(guard);
    assert_eq!(show(&second), "ok ()");
    drop(second);
    let guard = m.try_lock();
    drop(m.lock());
    assert!(m.is_empty());
    drop(guard);
    assert!(!m.is_locked());
}

#[test]
fn a_lock_granted_to_a_promise_that_is_dropped_goes_on() {
    let m = Mutex::new(());
    let guard = m.try_lock();
    let (first, second) = (m.lock(), m.lock());
    drop(guard);
    assert!(!first.is_pending() && second.is_pending());
    drop(first);
    assert_eq!(show(&second), "ok ()");
}

#[test]
fn an_unlock_in_the_middle_of_a_cancel() {
    let m = Mutex::new(());
    let guard = m.try_lock();
    let (first, second) = (m.lock(), m.lock());
    let third = m.lock();
    first.on_cancel(move || drop(guard)); // `second` is marked already
    join([first.map(drop), second.map(drop)]).cancel();
    assert_eq!(show(&third), "ok ()");
}

#[test]
fn a_pick_that_loses_the_lock_frees_it() {
    let m = Mutex::new(());
    let guard = m.try_lock();
    let (other, decide) = task::<()>();
    let picked = pick([m.lock().map(drop), other]);
    let (go, start) = task::<()>();
    go.on_success(move |()| {
        decide.wakeup(()); // first
        drop(guard);
    });
    start.wakeup(());
    assert_eq!(show(&picked), "ok ()");
    assert!(!m.is_locked());
}

#[test]
fn with_lock_unlocks_on_any_outcome() {
    let m = Mutex::new(0);
    let add = |n: i32| {
        async move |value: &mut i32| {
            pause().await?;
            *value += n;
            Ok(*value)
        }
    };
    let (p, q) = (m.with_lock(add(1)), m.with_lock(add(2)));
    let failed = m.with_lock(async |value: &mut i32| {
        pause().await?;
        *value += 10;
        Err::<(), _>(Error::msg("no"))
    });
    let panicked = m.with_lock(async |_: &mut i32| -> Result<(), Error> { panic!("ouch") });
    let plain = m.with_lock(|value: &mut i32| Promise::ready(*value));
    for _ in 0..4 {
        turn();
    }
    assert_eq!((show(&p), show(&q)), ("ok 1".into(), "ok 3".into()));
    assert_eq!(show(&failed), "error no");
    assert_eq!(show(&panicked), "panic ouch");
    assert_eq!(show(&plain), "ok 13");
    assert!(!m.is_locked());
}

#[test]
fn with_lock_cancelled_at_each_wait() {
    // In line.
    let m = Mutex::new(());
    let guard = m.try_lock();
    let (p, q) = (m.with_lock(async |_: &mut ()| Ok(1)), m.with_lock(async |_: &mut ()| Ok(2)));
    p.cancel();
    spin();
    assert_eq!(show(&p), "canceled");
    drop(guard);
    // The lock is on its way: noted, and taken by the next wait.
    let r = m.with_lock(async |_: &mut ()| pause().await);
    spin();
    assert_eq!(show(&q), "ok 2");
    // Inside.
    r.cancel();
    spin();
    assert_eq!(show(&r), "canceled");
    assert!(!m.is_locked());

    let guard = m.try_lock();
    let p = m.with_lock(async |_: &mut ()| pause().await);
    drop(guard);
    p.cancel();
    spin();
    assert_eq!(show(&p), "canceled");
    assert!(!m.is_locked());
}

#[test]
fn with_lock_dropped_runs_all_the_same() {
    let log = Log::new();
    let m = Mutex::new(());
    let guard = m.try_lock();
    let noted = log.clone();
    drop(m.with_lock(async move |_: &mut ()| {
        noted.add("ran");
        Ok(())
    }));
    drop(guard);
    spin();
    assert_eq!(log.take(), "ran");
    assert!(!m.is_locked());
}

#[test]
fn an_aborted_holder_unlocks() {
    let m = Mutex::new(());
    let (foreign, gate) = Gate::new();
    let p = m.with_lock(async move |_: &mut ()| {
        foreign.await;
        Ok(())
    });
    let next = m.lock();
    p.cancel(); // waits on a foreign future: dropped
    assert_eq!(gate.drops.count(), 1);
    assert_eq!(show(&p), "canceled");
    assert_eq!(show(&next), "ok ()");
}

#[test]
fn a_guard_outlives_the_handles() {
    let m = Mutex::new(1);
    let guard = m.try_lock().unwrap();
    let p = m.lock();
    drop(m);
    drop(guard);
    assert_eq!(show(&p), "ok 1");
}

#[test]
fn a_panic_while_it_is_held() {
    let _told = Unhandled::collect();
    let m = Mutex::new(());
    let (p, r) = wait::<()>();
    let guard = m.try_lock();
    let failed = p.map(move |()| {
        let _guard = guard;
        panic!("ouch");
    });
    // The next holder's callback runs during the unwinding, and panics itself.
    let next = m.lock().map(|_guard| panic!("ouch again"));
    let last = m.lock();
    r.wakeup(());
    assert_eq!(show::<()>(&failed), "panic ouch");
    assert_eq!(show::<()>(&next), "panic ouch again");
    assert_eq!(show(&last), "ok ()");
}

#[test]
fn a_long_line_on_a_small_stack() {
    let _dog = watchdog();
    common::on_small_stack(|| {
        let n = heavy(200_000, 50_000, 100);
        let m = Mutex::new(0);
        let guard = m.try_lock();
        let done = all((0..n).map(|_| m.lock().map(|mut count| *count += 1)).collect::<Vec<_>>());
        drop(guard);
        assert!(!done.is_pending());
        assert_eq!(*m.try_lock().unwrap(), n);
    });
}

#[test]
fn random_cancels_and_drops_lose_no_lock() {
    let _dog = watchdog();
    let mut rng = Rng(7);
    for _ in 0..heavy(2000, 300, 3) {
        let m = Mutex::new(0_u32);
        let uses = random_uses(&mut rng, |_| {
            let m = m.clone();
            Some(spawn(async move {
                let mut guard = m.lock().await?;
                *guard += 1;
                let before = *guard;
                pause().await?;
                assert_eq!(*guard, before, "nobody else was in");
                Ok::<_, Error>(())
            }))
        });
        let_end(&uses);
        assert!(!m.is_locked() && m.is_empty());
    }
}
