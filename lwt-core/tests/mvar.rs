//! Mvar: order, hand-over, and what a cancelled or dropped put or take leaves behind.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{Drops, Log, Unique, heavy, show, spin, watchdog};
use lwt_core::mvar::Mvar;
use lwt_core::{Error, Promise, join, pick, spawn, task};

#[test]
fn one_place() {
    let v = Mvar::new(Unique(1));
    assert!(!v.is_empty());
    assert_eq!(show(&v.take()), "ok Unique(1)");
    assert!(v.is_empty());
    assert_eq!(v.take_available(), None);
    assert_eq!(show(&v.put(Unique(2))), "ok ()");
    assert_eq!(v.take_available(), Some(Unique(2)));
    assert!(Mvar::<i32>::default().is_empty());
}

#[test]
fn writers_in_order() {
    let v = Mvar::new(0);
    let puts: Vec<_> = (1..4).map(|i| v.put(i)).collect();
    for i in 0..4 {
        assert_eq!(show(&v.take()), format!("ok {i}"));
        let done = puts.iter().filter(|p| !p.is_pending()).count();
        assert_eq!(done, (i + 1).min(3) as usize);
    }
    assert!(v.is_empty());
}

#[test]
fn readers_in_order() {
    let v = Mvar::empty();
    let takes: Vec<_> = (0..3).map(|_| v.take()).collect();
    for i in 0..3 {
        assert_eq!(show(&v.put(i)), "ok ()");
        assert!(v.is_empty());
    }
    assert_eq!(takes.iter().map(show).collect::<Vec<_>>(), ["ok 0", "ok 1", "ok 2"]);
}

#[test]
fn a_cancelled_take_takes_nothing() {
    let v = Mvar::empty();
    let (first, second) = (v.take(), v.take());
    first.cancel();
    assert_eq!(show(&first), "canceled");
    drop(v.put(1));
    assert_eq!(show(&second), "ok 1");
    let third = v.take();
    third.cancel();
    drop(v.put(2));
    assert_eq!(v.take_available(), Some(2));
}

#[test]
fn a_dropped_take_takes_nothing() {
    let v = Mvar::empty();
    let (first, second) = (v.take(), v.take());
    drop(first);
    drop(v.put(1));
    assert_eq!(show(&second), "ok 1");
    drop(v.take());
    drop(v.put(2));
    assert_eq!(v.take_available(), Some(2));
}

#[test]
fn a_take_that_is_being_cancelled_takes_nothing() {
    // Both are marked before the first one's callback runs; the value that it puts must not go to the second.
    let v = Mvar::empty();
    let (first, second) = (v.take(), v.take());
    let third = v.take();
    first.on_cancel({
        let v = v.clone();
        move || drop(v.put(7))
    });
    join([first.map(drop), second.map(drop)]).cancel();
    assert_eq!(show(&third), "ok 7");
}

#[test]
fn a_cancelled_put_puts_nothing_and_frees_its_place() {
    let drops = Drops::new();
    let v = Mvar::new(drops.token());
    let (first, second) = (v.put(drops.token()), v.put(drops.token()));
    first.cancel();
    assert_eq!(show(&first), "canceled");
    assert_eq!(drops.count(), 1, "its value is gone at once");
    drop(v.take_available());
    assert_eq!(show(&second), "ok ()");
    assert_eq!(drops.count(), 2);
    drop(v.take_available());
    assert_eq!(drops.count(), 3);
    assert!(v.take_available().is_none());
}

#[test]
fn a_put_that_is_being_cancelled_puts_nothing() {
    // Both are marked before the first one's callback runs; the take must not find the second one's value.
    let v = Mvar::new(1);
    let (first, second) = (v.put(2), v.put(3));
    let third = v.put(4);
    let taken = Rc::new(Cell::new(None));
    first.on_cancel({
        let (v, taken) = (v.clone(), taken.clone());
        move || taken.set(v.take_available())
    });
    join([first, second]).cancel();
    assert_eq!(taken.get(), Some(1));
    assert_eq!(show(&third), "ok ()");
    assert_eq!((v.take_available(), v.take_available()), (Some(4), None));
}

#[test]
fn the_end_of_a_cancelled_value_may_put_another() {
    /// Puts a value when it is dropped.
    struct Puts(Option<Mvar<Puts>>);
    impl Drop for Puts {
        fn drop(&mut self) {
            if let Some(v) = self.0.take() {
                drop(v.put(Puts(None)));
            }
        }
    }
    let v = Mvar::new(Puts(None));
    let (first, second) = (v.put(Puts(None)), v.put(Puts(Some(v.clone()))));
    let third = v.put(Puts(None));
    first.on_cancel({
        let v = v.clone();
        move || drop(v.take_available())
    });
    join([first, second]).cancel();
    assert_eq!(show(&third), "ok ()");
    assert_eq!(
        [0; 3].map(|_| v.take_available().is_some()),
        [true, true, false],
        "the third and the new one"
    );
}

#[test]
fn a_dropped_put_is_still_a_put() {
    let v = Mvar::new(1);
    drop(v.put(2));
    drop(v.put(3));
    assert_eq!((v.take_available(), v.take_available(), v.take_available()), (Some(1), Some(2), Some(3)));
}

#[test]
fn a_pick_loses_no_value() {
    let v = Mvar::empty();
    let (other, decide) = task();
    let picked = pick([v.take(), other]);
    // Inside a cascade, too: the take decides before the other can.
    let (go, start) = task::<()>();
    go.on_success({
        let v = v.clone();
        move |()| {
            drop(v.put(1));
            decide.wakeup(2);
        }
    });
    start.wakeup(());
    assert_eq!(show(&picked), "ok 1");

    let (other, decide) = task();
    let picked = pick([v.take(), other]);
    decide.wakeup(2);
    assert_eq!(show(&picked), "ok 2");
    drop(v.put(3));
    assert_eq!(v.take_available(), Some(3), "the loser takes nothing");
}

#[test]
fn the_last_handle_abandons_who_waits() {
    let v = Mvar::<i32>::empty();
    let p = v.take();
    drop(v.clone());
    assert_eq!(show(&p), "pending");
    drop(v);
    assert_eq!(show(&p), "abandoned");
    let v = Mvar::new(1);
    let p = v.put(2);
    drop(v);
    assert_eq!(show(&p), "abandoned");
}

#[test]
fn callbacks_may_use_the_box() {
    let log = Log::new();
    let v = Mvar::new(0);
    for i in 1..4 {
        let (again, log) = (v.clone(), log.clone());
        v.put(i).on_success(move |()| log.add(format!("put{i} {}", show(&again.take()))));
    }
    assert_eq!(v.take_available(), Some(0));
    spin();
    assert_eq!(log.take(), "put1 ok 1 put2 ok 2 put3 ok 3");
    assert!(v.is_empty());
}

#[test]
fn ping_pong() {
    let _dog = watchdog();
    let (there, back) = (Mvar::empty(), Mvar::empty());
    let rounds = heavy(100_000, 10_000, 50);
    let echo: Promise<()> = spawn({
        let (there, back) = (there.clone(), back.clone());
        async move {
            for _ in 0..rounds {
                let n: usize = there.take().await?;
                back.put(n + 1).await?;
            }
            Ok::<_, Error>(())
        }
    });
    let p = spawn(async move {
        let mut n = 0;
        for _ in 0..rounds {
            there.put(n).await?;
            n = back.take().await?;
        }
        Ok::<_, Error>(n)
    });
    spin();
    assert_eq!(show(&p), format!("ok {rounds}"));
    assert_eq!(show(&echo), "ok ()");
}

#[test]
fn a_cancelled_task_that_was_given_a_value_still_gets_it() {
    let v = Mvar::empty();
    let reader = spawn({
        let v = v.clone();
        async move { v.take().await }
    });
    drop(v.put(1));
    reader.cancel(); // too late: the value is on its way
    spin();
    assert_eq!(show(&reader), "ok 1");
}

#[test]
fn many_leave() {
    let n = heavy(100_000, 20_000, 100);
    let v = Mvar::empty();
    let takes: Vec<_> = (0..n).map(|_| v.take()).collect();
    let last = v.take();
    for p in &takes {
        p.cancel();
    }
    drop(v.put(1));
    assert_eq!(show(&last), "ok 1");
}
