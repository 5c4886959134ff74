//! Semaphore: weights, order, sizes, and what a cancelled or dropped waiter leaves behind.

mod common;
#[path = "common/uses.rs"]
mod uses;

use std::cell::Cell;
use std::rc::Rc;

use common::{Gate, Rng, heavy, show, spin, turn, watchdog};
use lwt_core::semaphore::Semaphore;
use lwt_core::{Error, Promise, all, join, pause, spawn};
use uses::{let_end, random_uses};

#[test]
fn permits_come_back() {
    let s = Semaphore::new(2);
    let (a, b, c) = (s.acquire(), s.acquire(), s.acquire());
    assert!(!a.is_pending() && !b.is_pending() && c.is_pending());
    assert_eq!((s.available(), s.size(), s.wait_queue_length()), (0, 2, 1));
    drop(a);
    assert!(!c.is_pending());
    drop((b, c));
    assert_eq!(s.available(), 2);
    assert!(s.try_acquire(3).is_none());
    assert_eq!(s.try_acquire(2).unwrap().weight(), 2);
    assert_eq!(s.available(), 2);
}

#[test]
fn nobody_overtakes() {
    let s = Semaphore::new(3);
    let two = s.try_acquire(2);
    let heavy = s.acquire_many(3);
    let light = s.acquire();
    assert!(light.is_pending(), "although there is one");
    assert!(s.try_acquire(1).is_none());
    drop(two);
    assert!(!heavy.is_pending() && light.is_pending());
    drop(heavy);
    assert!(!light.is_pending());
}

#[test]
fn a_heavy_waiter_that_leaves_lets_the_others_in() {
    for cancels in [true, false] {
        let s = Semaphore::new(3);
        let two = s.try_acquire(2);
        let heavy = s.acquire_many(3);
        let (a, b) = (s.acquire(), s.acquire());
        if cancels {
            heavy.cancel();
            assert_eq!(show(&heavy), "canceled");
        } else {
            drop(heavy);
        }
        assert!(!a.is_pending() && b.is_pending(), "at once");
        drop(two);
        assert!(!b.is_pending());
        drop((a, b));
        assert_eq!(s.available(), 3);
    }
}

#[test]
fn granted_but_not_taken() {
    let s = Semaphore::new(1);
    let one = s.try_acquire(1);
    let (a, b) = (s.acquire(), s.acquire());
    drop(one);
    assert!(!a.is_pending());
    drop(a);
    assert!(!b.is_pending());
    drop(b);
    assert_eq!(s.available(), 1);
}

#[test]
fn a_permit_that_comes_back_in_the_middle_of_a_cancel() {
    let s = Semaphore::new(1);
    let one = s.try_acquire(1);
    let (first, second, third) = (s.acquire(), s.acquire(), s.acquire());
    first.on_cancel(move || drop(one));
    join([first.map(drop), second.map(drop)]).cancel();
    assert!(!third.is_pending());
}

#[test]
fn resized() {
    let s = Semaphore::new(0);
    let (a, b, c) = (s.acquire(), s.acquire_many(2), s.acquire());
    s.resize(1);
    assert!(!a.is_pending() && b.is_pending());
    s.resize(3);
    assert!(!b.is_pending() && c.is_pending());
    s.resize(1);
    drop(b);
    assert!(c.is_pending(), "one is out, which is all there are now");
    drop(a);
    assert!(!c.is_pending());
    assert_eq!(s.available(), 0);
    drop(c);
    assert_eq!(s.available(), 1);
}

#[test]
fn regions() {
    let _dog = watchdog();
    let s = Semaphore::new(4);
    let (inside, most, count) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), heavy(2000, 500, 20));
    let jobs = all((0..count)
        .map(|i| {
            let (inside, most, weight) = (inside.clone(), most.clone(), i % 3 + 1);
            s.run(weight, async move || {
                inside.set(inside.get() + weight);
                most.set(most.get().max(inside.get()));
                pause().await?;
                inside.set(inside.get() - weight);
                Ok(i)
            })
        })
        .collect::<Vec<_>>());
    while jobs.is_pending() {
        turn();
    }
    assert_eq!(most.get(), 4);
    assert_eq!(show(&jobs.map(|v| v.len())), format!("ok {count}"));
    assert_eq!(s.available(), 4);
}

#[test]
fn a_job_above_the_size_runs_alone() {
    let s = Semaphore::new(2);
    let first = s.run(1, async || pause().await);
    let giant = s.run(10, async || pause().await);
    let last = s.run(1, async || pause().await);
    turn();
    assert!(!first.is_pending() && giant.is_pending());
    assert_eq!(s.available(), 0, "the giant has all");
    turn();
    assert!(!giant.is_pending() && last.is_pending());
    turn();
    assert!(!last.is_pending());
    assert_eq!(s.available(), 2);
}

#[test]
fn run_gives_back_on_any_outcome_and_cancel() {
    let s = Semaphore::new(1);
    let failed = s.run(1, async || Err::<(), _>(Error::msg("no")));
    let panicked = s.run(1, || -> Promise<()> { panic!("ouch") });
    assert_eq!((show(&failed), show(&panicked)), ("error no".into(), "panic ouch".into()));
    assert_eq!(s.available(), 1);

    let inside = s.run(1, async || pause().await);
    let (waiting, next) = (s.run(1, async || Ok(())), s.run(1, async || Ok("next")));
    waiting.cancel();
    inside.cancel();
    spin();
    assert_eq!((show(&inside), show(&waiting)), ("canceled".into(), "canceled".into()));
    assert_eq!(show(&next), "ok \"next\"");

    let (foreign, _gate) = Gate::new();
    let stuck = s.run(1, async move || {
        foreign.await;
        Ok(())
    });
    assert!(lwt_core::task::abort(&stuck));
    assert_eq!(show(&stuck), "canceled");
    assert_eq!(s.available(), 1);
}

#[test]
fn a_dropped_run_runs_all_the_same() {
    let s = Semaphore::new(1);
    let one = s.try_acquire(1);
    let ran = Rc::new(Cell::new(false));
    let seen = ran.clone();
    drop(s.run(1, async move || {
        seen.set(true);
        Ok(())
    }));
    drop(one);
    spin();
    assert!(ran.get());
    assert_eq!(s.available(), 1);
}

#[test]
fn random_cancels_drops_and_sizes_lose_no_permit() {
    let _dog = watchdog();
    let mut rng = Rng(11);
    for _ in 0..heavy(2000, 300, 3) {
        let s = Semaphore::new(3);
        let uses = random_uses(&mut rng, |rng| {
            if rng.one_in(4) {
                s.resize(rng.below(5));
                return None;
            }
            let (s, weight) = (s.clone(), rng.below(3) + 1);
            Some(spawn(async move {
                let _permit = s.acquire_many(weight).await?;
                pause().await
            }))
        });
        s.resize(3);
        let_end(&uses);
        assert_eq!((s.available(), s.wait_queue_length()), (3, 0));
    }
}
