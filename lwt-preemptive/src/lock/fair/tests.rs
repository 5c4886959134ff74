use std::thread;

use lwt_unix::entry::guarded;

use super::*;

/// Waits until so many are in the queue.
fn until_queued(lock: &Fair, many: usize) {
    while lock.queue().len() < many {
        thread::yield_now();
    }
}

#[test]
fn the_order_is_that_of_asking() {
    guarded("the_order_is_that_of_asking", || {
        let (lock, order) = (Fair::new(None), Mutex::new(Vec::new()));
        lock.acquire();
        thread::scope(|scope| {
            for me in 0..8 {
                let (lock, order) = (&lock, &order);
                scope.spawn(move || {
                    lock.acquire();
                    order.lock().expect("whole").push(me);
                    lock.release();
                });
                until_queued(lock, me + 1);
            }
            assert!(!lock.try_acquire());
            lock.release();
        });
        assert_eq!(order.into_inner().expect("whole"), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(lock.word.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn who_releases_it_and_takes_it_again_comes_after_all_who_waited() {
    guarded("who_releases_it_and_takes_it_again_comes_after_all_who_waited", || {
        let (lock, order) = (Fair::new(None), Mutex::new(Vec::new()));
        let note = |who| order.lock().expect("whole").push(who);
        lock.acquire();
        thread::scope(|scope| {
            for me in 1..=2 {
                let (lock, note) = (&lock, &note);
                scope.spawn(move || {
                    lock.acquire();
                    note(me);
                    lock.release();
                });
                until_queued(lock, me);
            }
            lock.release();
            lock.acquire();
            note(3);
            lock.release();
        });
        assert_eq!(order.into_inner().expect("whole"), [1, 2, 3]);
    });
}

#[test]
fn who_waits_too_long_is_due_and_others_are_due_after_him() {
    guarded("who_waits_too_long_is_due_and_others_are_due_after_him", || {
        let lock = Fair::new(Some(Duration::from_millis(1)));
        lock.acquire();
        assert!(!lock.hand_over(), "nobody waits");
        thread::scope(|scope| {
            for me in 1..=2 {
                let lock = &lock;
                scope.spawn(move || {
                    lock.acquire();
                    lock.release();
                });
                until_queued(lock, me);
            }
            let last = lock.queue().iter().map(|waiter| waiter.due).max().expect("two wait");
            while now() < last {
                thread::yield_now();
            }
            assert!(lock.is_due());
            // The first is served, and the second is still due.
            let mut queue = lock.queue();
            let waiter = lock.join(&mut queue);
            lock.grant(&mut queue);
            assert!(lock.is_due());
            assert_eq!(lock.word.load(Ordering::SeqCst), HELD | AWAITED);
            lock.wait(queue, &waiter);
            assert!(!lock.is_due(), "all who waited were served");
            lock.release();
        });
    });
}

#[test]
fn nobody_is_due_before_his_time_or_where_there_is_none() {
    guarded("nobody_is_due_before_his_time_or_where_there_is_none", || {
        let lock = Fair::new(None);
        lock.acquire();
        thread::scope(|scope| {
            let wait = || {
                lock.acquire();
                lock.release();
            };
            scope.spawn(wait);
            until_queued(&lock, 1);
            assert_eq!(lock.due.load(Ordering::SeqCst), NEVER);
            // One behind him may be due before him.
            lock.set_interval(Some(Duration::from_millis(2)));
            let begin = now();
            scope.spawn(wait);
            until_queued(&lock, 2);
            while !lock.is_due() {
                thread::yield_now();
            }
            assert!(now() - begin >= 2_000_000);
            lock.release();
        });
        assert!(!lock.is_due());
        assert_eq!((lock.word.load(Ordering::SeqCst), lock.due.load(Ordering::SeqCst)), (0, NEVER));
    });
}
