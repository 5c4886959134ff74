//! `timeout`, `with_timeout`, `within`, `auto_pause`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise, pause, set_unhandled_hook, spawn, wait};
use lwt_unix::entry::guarded;
use lwt_unix::{Timeout, auto_pause, loop_stats, run, sleep, timeout, with_timeout, within};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(3);

fn is_timeout<T>(result: Result<T, Error>) -> bool {
    result.is_err_and(|error| error.downcast_ref::<Timeout>().is_some())
}

#[test]
fn a_timeout_rejects_not_before_its_time() {
    guarded("a_timeout_rejects", || {
        let start = Instant::now();
        assert!(is_timeout(run(timeout::<String>(SHORT))));
        assert!(start.elapsed() >= SHORT);
    });
}

#[test]
fn with_timeout_gives_whichever_is_first() {
    guarded("with_timeout_gives_whichever_is_first", || {
        assert_eq!(run(with_timeout(HOUR, || pause().map(|()| 1))).expect("in time"), 1);
        assert_eq!(run(with_timeout(HOUR, || async { Ok::<_, Error>(2) })).expect("in time"), 2);
        let failed = run(with_timeout(HOUR, || pause().bind(|()| Promise::<()>::fail(Error::msg("own")))));
        assert_eq!(failed.expect_err("its own error").to_string(), "own");
        let start = Instant::now();
        assert!(is_timeout(run(with_timeout(SHORT, || sleep(HOUR)))));
        assert!(start.elapsed() >= SHORT);
        let (never, _resolver) = wait::<()>();
        assert!(is_timeout(run(with_timeout(SHORT, || never))));
        assert_eq!(loop_stats().timers, 0);
    });
}

#[test]
fn with_timeout_of_what_is_ready_makes_no_timer() {
    guarded("with_timeout_of_what_is_ready_makes_no_timer", || {
        let ready = with_timeout(Duration::ZERO, || Promise::ready(5));
        assert!(!ready.is_pending());
        assert_eq!(loop_stats().timers, 0);
        assert_eq!(run(ready).expect("ready"), 5);
    });
}

#[test]
fn the_late_one_sees_the_cancel_and_may_clean_up() {
    guarded("the_late_one_sees_the_cancel", || {
        let seen = Rc::new(Cell::new(false));
        let late = with_timeout(SHORT, {
            let seen = Rc::clone(&seen);
            || async move {
                let slept = sleep(HOUR).await;
                pause().await?;
                seen.set(slept.is_err_and(|error| error.is_canceled()));
                Ok::<_, Error>(())
            }
        });
        assert!(is_timeout(run(late)));
        run(async {
            for _ in 0..5 {
                pause().await?;
            }
            Ok::<_, Error>(())
        })
        .expect("paused");
        assert!(seen.get());
        assert_eq!(loop_stats().timers, 0);
    });
}

#[test]
fn cancelling_it_cancels_both() {
    guarded("cancelling_it_cancels_both", || {
        let both = with_timeout(HOUR, || sleep(HOUR));
        assert_eq!(loop_stats().timers, 2);
        both.cancel();
        assert_eq!(loop_stats().timers, 0);
        assert!(run(both).expect_err("cancelled").is_canceled());
    });
}

#[test]
fn within_takes_a_future_that_borrows_and_drops_it() {
    guarded("within_takes_a_future_that_borrows", || {
        struct Dropped<'a>(&'a Cell<bool>);
        impl Drop for Dropped<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        run(async {
            let mut text = String::from("a");
            let length = within(HOUR, async {
                pause().await?;
                text.push('b');
                Ok::<_, Error>(text.len())
            });
            assert_eq!(length.await?, 2);
            assert_eq!(text, "ab");

            let dropped = Cell::new(false);
            let late = within(SHORT, async {
                let _dropped = Dropped(&dropped);
                sleep(HOUR).await
            });
            assert!(is_timeout(late.await));
            assert!(dropped.get());
            assert_eq!(loop_stats().timers, 0);
            let own = within(HOUR, async { Err::<(), _>(std::io::Error::from_raw_os_error(libc::EPIPE)) });
            assert_eq!(own.await.expect_err("its own").io_kind(), Some(std::io::ErrorKind::BrokenPipe));
            Ok::<_, Error>(())
        })
        .expect("all");
    });
}

#[test]
fn auto_pause_pauses_once_in_its_time() {
    guarded("auto_pause_pauses_once_in_its_time", || {
        let time = Duration::from_millis(20);
        let breathe = auto_pause(HOUR);
        assert!(!breathe().is_pending());
        assert!(!breathe().is_pending());
        let start = Instant::now();
        let breathe = auto_pause(time);
        let first = breathe();
        // Unless this very thread was stopped for as long.
        assert!(!first.is_pending() || start.elapsed() >= time);
        std::thread::sleep(time);
        let start = Instant::now();
        let second = breathe();
        assert!(second.is_pending());
        let third = breathe();
        assert!(!third.is_pending() || start.elapsed() >= time);
        run(spawn(async {
            first.await?;
            second.await?;
            third.await
        }))
        .expect("paused");
    });
}

#[test]
fn a_dropped_timeout_leaves_nothing_and_tells_nobody() {
    guarded("a_dropped_timeout_leaves_nothing", || {
        let told = Rc::new(Cell::new(0));
        let count = Rc::clone(&told);
        set_unhandled_hook(Some(Rc::new(move |_| count.set(count.get() + 1))));
        drop(timeout::<()>(SHORT));
        let (never, _resolver) = wait::<()>();
        drop(with_timeout(SHORT, || never));
        timeout::<()>(SHORT).cancel();
        assert_eq!(loop_stats().timers, 0);
        run(sleep(SHORT * 3)).expect("slept");
        assert_eq!(told.get(), 0);
        // One that somebody holds, and does not look at, is told.
        let held = timeout::<()>(SHORT);
        run(sleep(SHORT * 2)).expect("slept");
        drop(held);
        assert_eq!(told.get(), 1);
    });
}
