//! Lists of detached calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use lwt_core::Error;
use lwt_preemptive::parallel::{iter_detached, iter_detached_result, map_detached, map_detached_result};
use lwt_unix::entry::guarded;
use lwt_unix::job;
use lwt_unix::{loop_stats, run, sleep};

#[test]
fn results_keep_the_order_and_calls_the_bound() {
    guarded("results_keep_the_order_and_calls_the_bound", || {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let squares = map_detached(0..100_u64, 3, move |number| {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_micros(number % 7 * 20));
            now.fetch_sub(1, Ordering::SeqCst);
            number * number
        });
        let expected: Vec<_> = (0..100).map(|number| number * number).collect();
        assert_eq!(run(squares).expect("run"), expected);
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        assert_eq!(run(map_detached(0..3, 0, |number| number)).expect("a bound of none is one"), [0, 1, 2]);
        assert_eq!(run(map_detached(Vec::<u8>::new(), 4, |number| number)).expect("nothing"), []);
    });
}

#[test]
fn the_first_failure_in_time_ends_it() {
    guarded("the_first_failure_in_time_ends_it", || {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let failing = map_detached_result(0..1000, 2, move |number| {
            count.fetch_add(1, Ordering::SeqCst);
            // The later item fails first.
            match number {
                0 => {
                    thread::sleep(Duration::from_millis(20));
                    Err(Error::msg("late"))
                }
                3 => Err(Error::msg("early")),
                number => Ok(number),
            }
        });
        assert_eq!(run(failing).expect_err("failed").to_string(), "early");
        let then = begun.load(Ordering::SeqCst);
        assert!(then < 1000);
        run(sleep(Duration::from_millis(2))).expect("slept");
        assert_eq!(begun.load(Ordering::SeqCst), then, "no more calls begin");
        let panicking = iter_detached(0..10, 4, |number| assert_ne!(number, 5, "five"));
        assert!(
            run(panicking).expect_err("panicked").panic_message().is_some_and(|text| text.contains("five"))
        );
        assert!(run(iter_detached_result([1], 1, |_| Err::<(), _>(Error::msg("no")))).is_err());
    });
}

#[test]
fn a_cancel_takes_back_what_has_not_begun_and_tells_the_rest() {
    guarded("a_cancel_takes_back_what_has_not_begun_and_tells_the_rest", || {
        let (began, begun) = mpsc::channel();
        let (told, hear) = mpsc::channel();
        let calls = iter_detached(0..100, 2, move |_| {
            began.send(()).expect("sent");
            // Asleep, so that a second thread comes up on one processor, too.
            while !job::is_cancelled() {
                thread::sleep(Duration::from_micros(100));
            }
            told.send(()).expect("sent");
        });
        begun.recv().expect("begun");
        begun.recv().expect("both have begun");
        calls.cancel();
        assert!(run(calls).expect_err("cancelled").is_canceled());
        assert_eq!(hear.iter().count(), 2, "those that ran were told, and the others never began");
        assert!(begun.try_recv().is_err());
        assert_eq!(loop_stats().jobs, 0);
    });
}
