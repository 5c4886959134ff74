//! Notifications: each send is one call, from any thread; stale numbers are refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use lwt_core::{Error, pause, wait};
use lwt_unix::entry::guarded;
use lwt_unix::notification::{
    Notification, Stopped, call_notification, make_notification, make_notification_once, send_notification,
    set_notification, stop_notification,
};
use lwt_unix::{run, sleep};

/// Waits until `done` says so, with the loop going round.
async fn until(done: impl Fn() -> bool) -> Result<(), Error> {
    while !done() {
        sleep(Duration::from_micros(200)).await?;
    }
    Ok(())
}

/// A notification that counts its calls.
fn counter() -> (Notification, Rc<Cell<usize>>) {
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    let notification = make_notification(move || seen.set(seen.get() + 1)).expect("a notification");
    (notification, calls)
}

lwt_unix::test! {
    async fn each_send_of_many_threads_is_one_call() -> Result<(), Error> {
        let (notification, calls) = counter();
        let threads: Vec<_> = (0..4)
            .map(|_| thread::spawn(move || (0..5000).all(|_| send_notification(notification).is_ok())))
            .collect();
        until(|| calls.get() == 20_000).await?;
        for thread in threads {
            assert!(thread.join().expect("it ends"));
        }
        // Not one more.
        sleep(Duration::from_millis(2)).await?;
        assert_eq!(calls.get(), 20_000);
        Ok(())
    }

    async fn a_send_ends_the_sleep_of_a_loop_that_has_nothing_else() -> Result<(), Error> {
        for _ in 0..200 {
            let (promise, resolver) = wait();
            let notification = make_notification_once(move || resolver.wakeup(()))?;
            let sender = thread::spawn(move || send_notification(notification));
            promise.await?;
            sender.join().expect("it ends").expect("sent");
        }
        Ok(())
    }

    async fn calls_come_from_the_loop_in_the_order_of_the_first_sends() -> Result<(), Error> {
        let order = Rc::new(RefCell::new(Vec::new()));
        let all: Vec<_> = (0..5)
            .map(|number| {
                let order = Rc::clone(&order);
                make_notification(move || order.borrow_mut().push(number)).expect("a notification")
            })
            .collect();
        for number in [3, 1, 4, 1, 0, 2] {
            send_notification(all[number]).expect("sent");
        }
        assert!(order.borrow().is_empty());
        until(|| order.borrow().len() == 6).await?;
        assert_eq!(*order.borrow(), [3, 1, 1, 4, 0, 2]);
        Ok(())
    }

    async fn a_flood_of_sends_keeps_nobody_waiting() -> Result<(), Error> {
        // Calls take longer than sends: each turn would have more of them to make than the one before.
        let (notification, calls) = {
            let calls = Rc::new(Cell::new(0));
            let seen = Rc::clone(&calls);
            let slow = make_notification(move || {
                seen.set(seen.get() + 1);
                thread::sleep(Duration::from_micros(20));
            })?;
            (slow, calls)
        };
        let senders =
            [(); 2].map(|()| thread::spawn(move || while send_notification(notification).is_ok() {}));
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await?;
        }
        assert!(calls.get() > 0);
        stop_notification(notification)?;
        let called = calls.get();
        for sender in senders {
            sender.join().expect("its sends are refused in the end");
        }
        sleep(Duration::from_millis(1)).await?;
        assert_eq!(calls.get(), called);
        Ok(())
    }

    async fn what_comes_over_the_budget_of_a_turn_is_served_by_the_next() -> Result<(), Error> {
        let (first, firsts) = counter();
        let (last, lasts) = counter();
        for _ in 0..1000 {
            send_notification(first)?;
        }
        send_notification(last)?;
        until(|| lasts.get() == 1).await?;
        assert_eq!(firsts.get(), 1000, "in the order of the first sends");
        // Also if nothing else wakes the loop.
        let (done, resolver) = wait();
        let left = Cell::new(1000);
        let resolver = Cell::new(Some(resolver));
        set_notification(first, move || {
            left.set(left.get() - 1);
            if left.get() == 0 {
                resolver.take().into_iter().for_each(|resolver| resolver.wakeup(()));
            }
        })?;
        for _ in 0..1000 {
            send_notification(first)?;
        }
        done.await
    }

    async fn one_for_a_single_call_is_called_once() -> Result<(), Error> {
        let calls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&calls);
        let mine = Rc::new(Cell::new(None));
        let inside = Rc::clone(&mine);
        let notification = make_notification_once(move || {
            seen.set(seen.get() + 1);
            // It has ended before it is called.
            assert_eq!(inside.get().map(send_notification), Some(Err(Stopped)));
        })?;
        mine.set(Some(notification));
        for _ in 0..3 {
            send_notification(notification)?;
        }
        until(|| calls.get() > 0).await?;
        sleep(Duration::from_millis(1)).await?;
        assert_eq!(calls.get(), 1);
        assert_eq!(send_notification(notification), Err(Stopped));
        Ok(())
    }

    async fn a_stale_number_reaches_nobody_who_came_later() -> Result<(), Error> {
        let mut stale = Vec::new();
        for round in 0..300 {
            let (notification, calls) = counter();
            for old in &stale {
                assert_eq!(send_notification(*old), Err(Stopped));
                assert_eq!(stop_notification(*old), Err(Stopped));
            }
            // In all states: never sent, sent and not served, served.
            if round % 3 > 0 {
                send_notification(notification)?;
            }
            if round % 3 == 2 {
                until(|| calls.get() == 1).await?;
            }
            stop_notification(notification)?;
            pause().await?;
            assert_eq!(calls.get(), usize::from(round % 3 == 2));
            stale.push(notification);
        }
        stale.sort_by_key(|old| old.number());
        stale.dedup();
        assert_eq!(stale.len(), 300);
        Ok(())
    }

    async fn stopping_while_threads_send() -> Result<(), Error> {
        let (numbers, inbox) = mpsc::channel::<Notification>();
        let sender = thread::spawn(move || {
            let mut refused = 0;
            for notification in inbox {
                while send_notification(notification).is_ok() {}
                refused += 1;
            }
            refused
        });
        for _ in 0..300 {
            let (notification, calls) = counter();
            numbers.send(notification).expect("the thread listens");
            until(|| calls.get() > 0).await?;
            stop_notification(notification)?;
            let called = calls.get();
            pause().await?;
            assert_eq!(calls.get(), called);
        }
        drop(numbers);
        assert_eq!(sender.join().expect("it ends"), 300);
        Ok(())
    }

    async fn the_function_may_be_changed_and_called_by_hand() -> Result<(), Error> {
        let (notification, first) = counter();
        call_notification(notification)?;
        assert_eq!(first.get(), 1);
        send_notification(notification)?;
        let second = Rc::new(Cell::new(0));
        let seen = Rc::clone(&second);
        set_notification(notification, move || seen.set(seen.get() + 1))?;
        until(|| second.get() == 1).await?;
        assert_eq!((first.get(), Rc::strong_count(&first)), (1, 1));
        // From inside itself: the new one stays.
        let third = Rc::new(Cell::new(0));
        let seen = Rc::clone(&third);
        set_notification(notification, move || {
            let seen = Rc::clone(&seen);
            set_notification(notification, move || seen.set(seen.get() + 1)).expect("it is there");
        })?;
        call_notification(notification)?;
        call_notification(notification)?;
        assert_eq!(third.get(), 1);
        stop_notification(notification)?;
        assert_eq!(call_notification(notification), Err(Stopped));
        assert_eq!(set_notification(notification, || ()), Err(Stopped));
        Ok(())
    }

    async fn a_function_may_stop_itself_and_send_to_itself() -> Result<(), Error> {
        let calls = Rc::new(Cell::new(0));
        let place = Rc::new(Cell::new(None));
        let (seen, mine) = (Rc::clone(&calls), Rc::clone(&place));
        let notification = make_notification(move || {
            seen.set(seen.get() + 1);
            let me: Notification = mine.get().expect("it is set");
            if seen.get() < 10 {
                send_notification(me).expect("it is there");
            } else {
                stop_notification(me).expect("it is there");
            }
        })?;
        place.set(Some(notification));
        send_notification(notification)?;
        until(|| calls.get() == 10).await?;
        assert_eq!(send_notification(notification), Err(Stopped));
        Ok(())
    }

    async fn another_thread_may_only_send() -> Result<(), Error> {
        let (notification, calls) = counter();
        thread::spawn(move || {
            assert_eq!(stop_notification(notification), Err(Stopped));
            assert_eq!(set_notification(notification, || ()), Err(Stopped));
            assert_eq!(call_notification(notification), Err(Stopped));
            let again = Notification::from_number(notification.number());
            assert_eq!((again, send_notification(again)), (notification, Ok(())));
        })
        .join()
        .expect("it ends");
        until(|| calls.get() == 1).await
    }

    async fn nonsense_is_refused_and_does_no_harm() -> Result<(), Error> {
        for number in [0, 1, u64::MAX, 1 << 63, u64::from(u32::MAX), 77 << 32 | 5_000_000] {
            assert_eq!(send_notification(Notification::from_number(number)), Err(Stopped));
        }
        // Numbers around those that were given and given back.
        let (notification, _) = counter();
        stop_notification(notification)?;
        for generation in 1..10 {
            let number = notification.number() + (generation << 33) - (1 << 32);
            assert_eq!(send_notification(Notification::from_number(number)), Err(Stopped));
        }
        let all: Vec<_> = (0..100).map(|_| counter()).collect();
        let mut numbers: Vec<_> =
            all.iter().map(|(notification, _)| notification.number() & 0xFFFF_FFFF).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 100, "no slot has two owners");
        Ok(())
    }
}

#[test]
fn a_loop_that_has_ended_is_told_of() {
    guarded("a_loop_that_has_ended_is_told_of", || {
        for _ in 0..50 {
            let (notification, kept, sends) = thread::spawn(|| {
                let alive = Arc::new(());
                let kept = Arc::downgrade(&alive);
                let notification =
                    make_notification(move || drop(Arc::clone(&alive))).expect("a notification");
                let sends = thread::spawn(move || while send_notification(notification).is_ok() {});
                run(sleep(Duration::from_millis(1))).expect("slept");
                (notification, kept, sends)
            })
            .join()
            .expect("it ends");
            sends.join().expect("its sends are refused in the end");
            assert_eq!(send_notification(notification), Err(Stopped));
            assert!(kept.upgrade().is_none(), "its function was dropped");
            // The next loop takes the place over, and hears of nothing.
            let (mine, calls) = counter();
            run(sleep(Duration::from_micros(100))).expect("slept");
            assert_eq!(calls.get(), 0);
            stop_notification(mine).expect("it is there");
        }
    });
}

#[test]
fn a_panic_is_reported_and_the_function_stays() {
    guarded("a_panic_is_reported", || {
        let reports = Rc::new(Cell::new(0));
        let seen = Rc::clone(&reports);
        lwt_core::set_unhandled_hook(Some(Rc::new(move |_| seen.set(seen.get() + 1))));
        let calls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&calls);
        let notification = make_notification(move || {
            seen.set(seen.get() + 1);
            assert!(seen.get() != 1, "on purpose");
        })
        .expect("a notification");
        send_notification(notification).expect("sent");
        send_notification(notification).expect("sent");
        run(until(move || calls.get() == 2)).expect("it is called again");
        lwt_core::set_unhandled_hook(None);
        assert_eq!(reports.get(), 1);
    });
}
