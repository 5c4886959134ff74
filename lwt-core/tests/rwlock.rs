//! RwLock: fairness, hand-over, and what a cancelled or dropped waiter leaves behind.

mod common;
#[path = "common/uses.rs"]
mod uses;

use common::{Rng, Unique, heavy, show, watchdog};
use lwt_core::rwlock::RwLock;
use lwt_core::{Error, join, pause, spawn};
use uses::{let_end, random_uses};

fn free<T>(lock: &RwLock<T>) -> bool {
    lock.try_write().is_some() && lock.wait_queue_length() == 0
}

#[test]
fn many_readers_or_one_writer() {
    let lock = RwLock::new(Unique(1));
    let (a, b) = (lock.read(), lock.read());
    assert_eq!((show(&a), show(&b)), ("ok Unique(1)".into(), "ok Unique(1)".into()));
    let (w, v) = (lock.write(), lock.write());
    drop(a);
    assert!(w.is_pending());
    drop(b);
    assert!(!w.is_pending() && v.is_pending());
    w.map(|mut value| value.0 = 2).on_success(|()| ());
    assert_eq!(show(&v), "ok Unique(2)");
    drop(v);
    assert!(free(&lock));
}

#[test]
fn nobody_overtakes() {
    let lock = RwLock::new(());
    let reading = lock.try_read();
    let writer = lock.write();
    let reader = lock.read();
    assert!(lock.try_read().is_none(), "a writer waits");
    assert!(writer.is_pending() && reader.is_pending());
    let second_writer = lock.write();
    let last = lock.read();
    drop(reading);
    assert!(!writer.is_pending() && reader.is_pending());
    drop(writer);
    assert!(!reader.is_pending() && second_writer.is_pending() && last.is_pending());
    drop(reader);
    drop(second_writer);
    assert_eq!(show(&last), "ok ()");
    drop(last);
    assert!(free(&lock));
}

#[test]
fn a_writer_that_leaves_lets_the_readers_in() {
    for cancels in [true, false] {
        let lock = RwLock::new(());
        let reading = lock.try_read();
        let writer = lock.write();
        let (a, b) = (lock.read(), lock.read());
        if cancels {
            writer.cancel();
            assert_eq!(show(&writer), "canceled");
        } else {
            drop(writer);
        }
        assert!(!a.is_pending() && !b.is_pending(), "at once");
        drop((reading, a, b));
        assert!(free(&lock));
    }
}

#[test]
fn readers_that_leave() {
    let lock = RwLock::new(());
    let writing = lock.try_write();
    let (a, b, w) = (lock.read(), lock.read(), lock.write());
    a.cancel();
    drop(b);
    assert_eq!(lock.wait_queue_length(), 1);
    drop(writing);
    assert_eq!((show(&a), show(&w)), ("canceled".into(), "ok ()".into()));
    drop(w);
    assert!(free(&lock));
}

#[test]
fn granted_but_not_taken() {
    let lock = RwLock::new(());
    let writing = lock.try_write();
    let (a, w) = (lock.read(), lock.write());
    let b = lock.read();
    drop(writing);
    drop(a);
    assert!(!w.is_pending() && b.is_pending());
    drop(w);
    assert_eq!(show(&b), "ok ()");
    drop(b);
    assert!(free(&lock));
}

#[test]
fn an_unlock_in_the_middle_of_a_cancel() {
    let lock = RwLock::new(());
    let writing = lock.try_write();
    let (first, second, third) = (lock.write(), lock.write(), lock.read());
    first.on_cancel(move || drop(writing));
    join([first.map(drop), second.map(drop)]).cancel();
    assert_eq!(show(&third), "ok ()");
}

#[test]
fn downgrade_lets_the_next_readers_in_but_no_writer() {
    let lock = RwLock::new(1);
    let mut writing = lock.try_write().unwrap();
    let (a, w) = (lock.read(), lock.write());
    *writing = 2;
    let reading = writing.downgrade();
    assert_eq!(*reading, 2);
    assert!(!a.is_pending() && w.is_pending());
    drop((reading, a));
    assert_eq!(show(&w), "ok 2");
    drop(w);
    assert!(free(&lock));
}

#[test]
fn the_value_lives_as_long_as_a_guard() {
    let drops = common::Drops::new();
    let lock = RwLock::new(drops.token());
    let guard = lock.try_read();
    drop(lock);
    assert_eq!(drops.count(), 0);
    drop(guard);
    assert_eq!(drops.count(), 1);
}

#[test]
fn random_cancels_and_drops_lose_no_lock() {
    let _dog = watchdog();
    let mut rng = Rng(3);
    for _ in 0..heavy(2000, 300, 3) {
        let lock = RwLock::new(0_u32);
        let uses = random_uses(&mut rng, |rng| {
            let (lock, writes) = (lock.clone(), rng.one_in(3));
            Some(spawn(async move {
                if writes {
                    let mut guard = lock.write().await?;
                    *guard += 1;
                    let before = *guard;
                    pause().await?;
                    assert_eq!(*guard, before, "nobody else was in");
                } else {
                    let guard = lock.read().await?;
                    let before = *guard;
                    pause().await?;
                    assert_eq!(*guard, before, "nobody wrote");
                }
                Ok::<_, Error>(())
            }))
        });
        let_end(&uses);
        assert!(free(&lock));
    }
}
