//! `sleep`: never early, any duration, freed when nobody waits.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise, join, pause, spawn};
use lwt_unix::entry::guarded;
use lwt_unix::{loop_stats, run, sleep};

#[test]
fn never_early() {
    guarded("never_early", || {
        for micros in [0, 1, 10, 99, 500, 999, 1000, 1001, 1999, 3333, 10_001] {
            let time = Duration::from_micros(micros);
            let start = Instant::now();
            run(sleep(time)).expect("slept");
            assert!(start.elapsed() >= time);
        }
    });
}

#[test]
fn the_time_counts_from_the_call_also_after_a_long_block() {
    guarded("the_time_counts_from_the_call", || {
        run(async {
            // Longer than a cached clock would forgive.
            std::thread::sleep(Duration::from_millis(30));
            let start = Instant::now();
            sleep(Duration::from_millis(15)).await?;
            assert!(start.elapsed() >= Duration::from_millis(15));
            let early = sleep(Duration::from_millis(5));
            std::thread::sleep(Duration::from_millis(10));
            let start = Instant::now();
            early.await?;
            // It was over; no more than a turn was waited for.
            let again = sleep(Duration::from_secs(3600));
            assert!(again.is_pending() && start.elapsed() < Duration::from_secs(3600));
            Ok::<_, Error>(())
        })
        .expect("slept");
    });
}

#[test]
fn they_end_in_the_order_of_their_times() {
    guarded("they_end_in_the_order_of_their_times", || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let times = [7_u64, 3, 9, 1, 5, 8, 2, 6, 4, 0];
        let all = times.map(|number| {
            let order = Rc::clone(&order);
            sleep(Duration::from_micros(number * 800)).map(move |()| order.borrow_mut().push(number))
        });
        // Also when all are due at once.
        std::thread::sleep(Duration::from_millis(10));
        run(join(all)).expect("slept");
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });
}

#[test]
fn any_duration_is_legal() {
    guarded("any_duration_is_legal", || {
        let years = Duration::from_secs(600 * 365 * 86_400);
        for time in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_nanos(u64::MAX), years] {
            let long = sleep(time);
            run(sleep(Duration::from_millis(1))).expect("slept");
            assert!(long.is_pending());
            assert_eq!(loop_stats().timers, 1);
            long.cancel();
            assert!(run(long).expect_err("cancelled").is_canceled());
            assert_eq!(loop_stats().timers, 0);
        }
    });
}

#[test]
fn who_is_cancelled_or_dropped_is_freed_at_once() {
    guarded("who_is_cancelled_or_dropped_is_freed_at_once", || {
        let hour = Duration::from_secs(3600);
        let cancelled = sleep(hour);
        let dropped = sleep(hour);
        let mapped = sleep(hour).map(|()| 1);
        let task = spawn(async move { sleep(hour).await });
        assert_eq!(loop_stats().timers, 4);
        cancelled.cancel();
        assert_eq!(loop_stats().timers, 3);
        drop(dropped);
        assert_eq!(loop_stats().timers, 2);
        mapped.cancel();
        assert_eq!(loop_stats().timers, 1);
        task.cancel();
        assert_eq!(loop_stats().timers, 0);
        assert!(run(cancelled).expect_err("cancelled").is_canceled());
        assert!(run(mapped).expect_err("cancelled").is_canceled());
        assert!(run(task).expect_err("cancelled").is_canceled());
    });
}

#[test]
fn a_callback_may_cancel_another_that_is_due_in_the_same_turn() {
    guarded("a_callback_may_cancel_another_that_is_due", || {
        let second = Rc::new(RefCell::new(None::<Promise<()>>));
        let first = sleep(Duration::from_micros(10)).map({
            let second = Rc::clone(&second);
            move |()| {
                let second = second.take().expect("set below");
                second.cancel();
                second
            }
        });
        *second.borrow_mut() = Some(sleep(Duration::from_micros(20)));
        std::thread::sleep(Duration::from_millis(2));
        let second = run(first).expect("slept");
        assert!(run(second).expect_err("cancelled").is_canceled());
        assert_eq!(loop_stats().timers, 0);
        run(sleep(Duration::from_millis(1))).expect("the loop goes on");
    });
}

#[test]
fn a_callback_may_start_sleeps() {
    guarded("a_callback_may_start_sleeps", || {
        fn chain(left: u32) -> Promise<u32> {
            if left == 0 {
                return Promise::ready(7);
            }
            sleep(Duration::from_micros(u64::from(left % 3))).bind(move |()| chain(left - 1))
        }
        assert_eq!(run(chain(2000)).expect("slept"), 7);
        assert_eq!(loop_stats().timers, 0);
    });
}

#[test]
fn a_million_at_once() {
    guarded("a_million_at_once", || {
        let number = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
        let sleeps: Vec<_> =
            (0..number).map(|n| sleep(Duration::from_secs(60) + Duration::from_nanos(n))).collect();
        assert_eq!(loop_stats().timers, number as usize);
        run(sleep(Duration::from_millis(1))).expect("one among many");
        for (at, sleep) in sleeps.iter().enumerate() {
            // From both ends and the middle.
            sleeps[(at * 7919) % sleeps.len()].cancel();
            sleep.cancel();
        }
        assert_eq!(loop_stats().timers, 0);
        drop(sleeps);
        let short: Vec<_> = (0..number).map(|n| sleep(Duration::from_nanos(n * 10))).collect();
        run(join(short)).expect("slept");
        assert_eq!(loop_stats().timers, 0);
    });
}

#[test]
fn cancelled_sleeps_do_not_keep_an_idle_loop_awake() {
    guarded("cancelled_sleeps_do_not_keep_an_idle_loop_awake", || {
        // A time-out that is renewed again and again and never comes.
        run(async {
            for _ in 0..1000 {
                let renewed = sleep(Duration::from_millis(20));
                sleep(Duration::from_micros(1)).await?;
                drop(renewed);
            }
            let start = Instant::now();
            sleep(Duration::from_millis(50)).await?;
            assert!(start.elapsed() >= Duration::from_millis(50));
            pause().await
        })
        .expect("slept");
    });
}
