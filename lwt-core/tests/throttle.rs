//! Rates, on a clock that the tests move.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use common::{Log, Rng, heavy, show};
use lwt_core::clock::{Clock, ManualClock};
use lwt_core::throttle::Throttle;
use lwt_core::{Error, Promise, all};

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn throttle(rate: usize, max: usize) -> (ManualClock, Throttle<&'static str>) {
    let clock = ManualClock::new();
    (clock.clone(), Throttle::new(clock, rate, max))
}

#[test]
fn the_rate_then_a_line_then_no() {
    let (clock, t) = throttle(2, 2);
    let ps: Vec<_> = (0..5).map(|_| t.wait("a")).collect();
    let shown = |ps: &[Promise<bool>]| ps.iter().map(show).collect::<Vec<_>>().join(", ");
    assert_eq!(shown(&ps), "ok true, ok true, pending, pending, ok false");
    assert_eq!(t.waiting(), 2);
    clock.advance(millis(999));
    assert_eq!(t.waiting(), 2);
    clock.advance(millis(1));
    assert_eq!(shown(&ps), "ok true, ok true, ok true, ok true, ok false");
    assert!(t.wait("a").is_pending(), "the two that waited count");
}

#[test]
fn each_key_has_its_own_rate_and_all_share_the_line() {
    let (clock, t) = throttle(1, 2);
    assert_eq!((show(&t.wait("a")), show(&t.wait("b"))), ("ok true".into(), "ok true".into()));
    let (a, b) = (t.wait("a"), t.wait("b"));
    assert_eq!(show(&t.wait("b")), "ok false");
    assert_eq!(show(&t.wait("c")), "ok true", "who need not wait needs no place");
    clock.advance(millis(1000));
    assert_eq!((show(&a), show(&b)), ("ok true".into(), "ok true".into()));
}

#[test]
fn first_come_first_served() {
    let (clock, t) = throttle(1, 10);
    let log = Log::new();
    for n in 0..4 {
        let log = log.clone();
        t.wait("a").on_success(move |_| log.add(n));
    }
    for expected in ["0", "1", "2", "3"] {
        assert_eq!(log.take(), expected);
        clock.advance(millis(1000));
    }
}

/// Somebody asks at the very moment at which a pass is over, before the throttle's own sleep has ended.
#[test]
fn at_the_turn_of_the_second() {
    for waits in [false, true] {
        let (clock, t) = throttle(1, 9);
        let (log, theirs) = (Log::new(), t.clone());
        let (late, l) = (log.clone(), log.clone());
        clock.sleep(millis(1000)).on_success(move |()| late.add(show(&theirs.wait("a"))));
        assert_eq!(show(&t.wait("a")), "ok true");
        if waits {
            t.wait("a").on_success(move |_| l.add("first"));
        }
        clock.advance(millis(1000));
        assert_eq!(log.take(), if waits { "first pending" } else { "ok true" });
    }
}

#[test]
fn who_waits_is_not_kept_until_the_newest_pass_is_over() {
    let (clock, t) = throttle(2, 9);
    drop(t.wait("b"));
    clock.advance(millis(500));
    drop(t.wait("a"));
    clock.advance(millis(100));
    drop(t.wait("a"));
    clock.advance(millis(600));
    let p = t.wait("a");
    clock.advance(millis(299));
    assert_eq!(show(&p), "pending");
    clock.advance(millis(1));
    assert_eq!(show(&p), "ok true");
}

#[test]
fn no_second_has_more_than_the_rate() {
    let (clock, t) = throttle(3, 1000);
    let passes: Rc<RefCell<VecDeque<Duration>>> = Rc::default();
    let mut rng = Rng(5);
    let mut asked = 0;
    for _ in 0..heavy(2000, 2000, 60) {
        for _ in 0..rng.below(4) {
            let (passes, clock) = (passes.clone(), clock.clone());
            asked += 1;
            t.wait("a").on_success(move |passed| {
                assert!(*passed);
                passes.borrow_mut().push_back(clock.now());
            });
        }
        // Slower than the rate on the whole, so that the line comes to an end.
        clock.advance(millis(rng.below(1400) as u64));
    }
    clock.advance(millis(3_000_000));
    let passes = passes.borrow();
    assert_eq!(passes.len(), asked);
    assert!(passes.iter().zip(passes.iter().skip(3)).all(|(a, b)| *b - *a >= millis(1000)));
}

/// At its only suspension point: the place is free at once, nobody passes for it, and the others move up.
#[test]
fn a_cancelled_and_a_dropped_waiter_lose_nothing() {
    for cancelled in [true, false] {
        let (clock, t) = throttle(1, 2);
        assert_eq!(show(&t.wait("a")), "ok true");
        let (gone, next) = (t.wait("a"), t.wait("a"));
        assert_eq!(show(&t.wait("a")), "ok false");
        if cancelled {
            gone.cancel();
            assert_eq!(show(&gone), "canceled");
        } else {
            drop(gone);
        }
        assert_eq!(t.waiting(), 1);
        let last = t.wait("a");
        assert!(last.is_pending());
        clock.advance(millis(1000));
        assert_eq!((show(&next), show(&last)), ("ok true".into(), "pending".into()));
        clock.advance(millis(1000));
        assert_eq!(show(&last), "ok true");
    }
}

#[test]
fn a_waiter_who_cancels_the_next_when_it_passes() {
    let (clock, t) = throttle(2, 9);
    let _ = (t.wait("a"), t.wait("a"));
    let (first, second, third) = (t.wait("a"), t.wait("a"), t.wait("a"));
    let stop = second.canceller();
    first.on_success(move |_| stop.cancel());
    clock.advance(millis(1000));
    assert_eq!((show(&second), show(&third)), ("canceled".into(), "ok true".into()));
    assert_eq!(t.waiting(), 0);
}

/// One cancel for two who wait, and the first hears of it while the second is cancelled and has not heard.
#[test]
fn a_cancelled_waiter_swallows_no_turn() {
    let (clock, t) = throttle(1, 9);
    drop(t.wait("a"));
    let (one, two, three) = (t.wait("a"), t.wait("a"), t.wait("a"));
    let time = clock.clone();
    one.on_cancel(move || time.advance(millis(1000)));
    let together = all([one, two]);
    together.cancel();
    assert_eq!((show(&together), show(&three)), ("canceled".into(), "ok true".into()));
    assert_eq!(t.waiting(), 0);
}

#[test]
fn what_idles_is_forgotten() {
    let clock = ManualClock::new();
    let t = Throttle::new(clock.clone(), 1, 100);
    for n in 0..50 {
        let _ = (t.wait(n), t.wait(n));
    }
    assert_eq!((t.keys(), t.waiting(), clock.sleepers()), (50, 0, 1), "the second ones were dropped");
    clock.advance(millis(1000));
    assert_eq!((t.keys(), clock.sleepers()), (0, 0), "and no timer is left");
    drop(t.wait(1));
    let p = t.wait(1);
    clock.advance(millis(1000));
    assert_eq!((show(&p), t.keys()), ("ok true".into(), 1));
    clock.advance(millis(1000));
    assert_eq!((t.keys(), clock.sleepers()), (0, 0));
}

#[test]
fn a_busy_throttle_sleeps_seldom() {
    struct Counted(ManualClock, Rc<Cell<usize>>);
    impl Clock for Counted {
        fn now(&self) -> Duration {
            self.0.now()
        }
        fn sleep(&self, duration: Duration) -> Promise<()> {
            self.1.set(self.1.get() + 1);
            self.0.sleep(duration)
        }
    }
    let (clock, sleeps) = (ManualClock::new(), Rc::new(Cell::new(0)));
    let t = Throttle::new(Counted(clock.clone(), sleeps.clone()), 1000, 10);
    for _ in 0..500 {
        (0..5).for_each(|_| assert_eq!(show(&t.wait("a")), "ok true"));
        clock.advance(millis(10));
    }
    assert!(sleeps.get() <= 6, "{} sleeps in five seconds", sleeps.get());
}

#[test]
fn the_end_of_the_throttle() {
    let (clock, t) = throttle(1, 9);
    drop(t.wait("a"));
    let p = t.wait("a");
    let t2 = t.clone();
    drop(t);
    assert_eq!(show(&p), "pending");
    drop(t2);
    assert_eq!((show(&p), clock.sleepers()), ("abandoned".into(), 0));
}

#[test]
fn a_clock_that_fails() {
    struct Stopped;
    impl Clock for Stopped {
        fn now(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) -> Promise<()> {
            Promise::fail(Error::msg("stopped"))
        }
    }
    let t = Throttle::new(Stopped, 1, 9);
    assert_eq!(show(&t.wait("a")), "ok true");
    assert_eq!(show(&t.wait("a")), "error stopped");
    assert_eq!(t.waiting(), 0);
}

#[test]
fn from_inside_a_callback() {
    let (clock, t) = throttle(1, 9);
    let (count, theirs) = (Rc::new(Cell::new(0)), t.clone());
    fn again(t: Throttle<&'static str>, count: Rc<Cell<usize>>) {
        t.wait("a").on_success(move |_| {
            count.set(count.get() + 1);
            if count.get() < 5 {
                again(t, count);
            }
        });
    }
    again(theirs, count.clone());
    clock.advance(millis(3500));
    assert_eq!(count.get(), 4);
    clock.advance(millis(1000));
    assert_eq!(count.get(), 5);
}

#[test]
#[should_panic = "nobody"]
fn a_rate_of_zero() {
    drop(Throttle::<u8>::new(ManualClock::new(), 0, 1));
}
