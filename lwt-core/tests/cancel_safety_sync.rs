//! Every function that waits in a line, given up in every way at every point: who stands behind is served as
//! if nobody had stood there, and what was granted comes back.

mod common;
#[path = "common/lines.rs"]
mod lines;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{show, spin, watchdog};
use lines::{Check, Kind, Line, every_line};
use lwt_core::clock::{Clock, ManualClock};
use lwt_core::condition::Condition;
use lwt_core::mutex::{Mutex, MutexGuard};
use lwt_core::mvar::Mvar;
use lwt_core::{Error, Promise, join, pick, spawn, stream, task};

/// A condition, and a waiter whose signal has come, but not yet the mutex.
fn on_the_way_back() -> Line<((), MutexGuard<()>)> {
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let holder: Rc<RefCell<Option<MutexGuard<()>>>> = Rc::default();
    let released = holder.clone();
    let wait = move || {
        let back = holder.take();
        let waiting = condition.wait_with(back.or_else(|| mutex.try_lock()).expect("free"));
        *holder.borrow_mut() = mutex.try_lock();
        condition.signal(());
        waiting
    };
    Line::new(wait, move || drop(released.take()))
}

/// How a promise is given up while it waits.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Way {
    Cancel,
    Canceller,
    Pick,
    CancelledTask,
    Drop,
    Abort,
}

impl Way {
    const CANCELS: [Way; 4] = [Way::Cancel, Way::Canceller, Way::Pick, Way::CancelledTask];
    const DROPS: [Way; 2] = [Way::Drop, Way::Abort];

    fn all() -> impl Iterator<Item = Way> {
        Way::CANCELS.into_iter().chain(Way::DROPS)
    }

    fn give_up<T: 'static>(self, p: Promise<T>) {
        match self {
            Way::Cancel => p.cancel(),
            Way::Canceller => {
                let stop = p.canceller();
                let kept = p.map(drop);
                stop.cancel();
                spin();
                assert_eq!(show(&kept), "canceled");
            }
            Way::Pick => {
                let (other, first) = task::<()>();
                let either = pick([p.map(drop), other]);
                first.wakeup(());
                assert_eq!(show(&either), "ok ()");
            }
            Way::CancelledTask => {
                let waiting = spawn(async move { p.await.map(drop) });
                waiting.cancel();
                spin();
                assert_eq!(show(&waiting), "canceled");
            }
            Way::Drop => drop(p),
            Way::Abort => assert!(lwt_core::task::abort(&spawn(async move { p.await.map(drop) }))),
        }
        spin();
    }
}

#[test]
fn cancelled_while_it_waits() {
    struct Cancelled;
    impl Check for Cancelled {
        fn check<T: 'static>(&self, name: &str, kind: Kind, make: fn() -> Line<T>) {
            // In front, in the middle and at the end of the line.
            for (way, at) in Way::CANCELS.into_iter().flat_map(|way| (0..3).map(move |at| (way, at))) {
                let line = make();
                let mut waiting: Vec<_> = (0..3).map(|_| line.wait()).collect();
                way.give_up(waiting.remove(at));
                line.grant();
                assert!(!waiting[0].is_pending(), "{name}, {way:?} at {at}: the first one is served");
                if !matches!(kind, Kind::GoesOn | Kind::Shares) {
                    assert!(waiting[1].is_pending(), "{name}, {way:?} at {at}: nobody else is");
                }
                drop(waiting.remove(0));
                spin();
                line.grant();
                assert!(!waiting[0].is_pending(), "{name}, {way:?} at {at}: and then the second one");
            }
        }
    }
    let _watchdog = watchdog();
    every_line(&Cancelled);
}

#[test]
fn dropped_while_it_waits() {
    struct Dropped;
    impl Check for Dropped {
        fn check<T: 'static>(&self, name: &str, kind: Kind, make: fn() -> Line<T>) {
            for way in Way::DROPS {
                let line = make();
                let (first, second) = (line.wait(), line.wait());
                way.give_up(first);
                line.grant();
                if kind == Kind::Puts {
                    assert!(second.is_pending(), "{name}, {way:?}: the first one is done");
                    line.grant();
                }
                assert!(!second.is_pending(), "{name}, {way:?}");
            }
        }
    }
    let _watchdog = watchdog();
    every_line(&Dropped);
}

/// A cancel marks all that it reaches before anything runs: whoever grants then passes over the marked.
#[test]
fn granted_in_the_middle_of_a_cancel() {
    struct Granted;
    impl Check for Granted {
        fn check<T: 'static>(&self, name: &str, _: Kind, make: fn() -> Line<T>) {
            let line = Rc::new(make());
            let (given_up, behind) = (line.wait(), line.wait());
            let (first, resolver) = task::<()>();
            let theirs = line.clone();
            resolver.on_cancel(move || (theirs.grant)());
            join([first, given_up.map(drop)]).cancel();
            spin();
            assert!(!behind.is_pending(), "{name}");
        }
    }
    every_line(&Granted);
}

#[test]
fn granted_and_never_looked_at() {
    struct Granted;
    impl Check for Granted {
        fn check<T: 'static>(&self, name: &str, kind: Kind, make: fn() -> Line<T>) {
            for cancel in [false, true] {
                let line = make();
                let (first, second) = (line.wait(), line.wait());
                line.grant();
                assert!(!first.is_pending(), "{name}");
                if cancel {
                    first.cancel();
                }
                drop(first);
                spin();
                if matches!(kind, Kind::Gives | Kind::Puts) {
                    assert!(second.is_pending(), "{name}");
                    line.grant();
                }
                assert!(!second.is_pending(), "{name}");
            }
        }
    }
    every_line(&Granted);
}

/// A task that was woken with what it waited for gets it, though it is cancelled before it is polled.
#[test]
fn granted_to_a_task_that_is_cancelled_before_it_runs() {
    struct Granted;
    impl Check for Granted {
        fn check<T: 'static>(&self, name: &str, kind: Kind, make: fn() -> Line<T>) {
            let line = make();
            let (first, second) = (line.wait(), line.wait());
            let waiting = spawn(async move { first.await.map(drop) });
            (line.grant)();
            waiting.cancel();
            spin();
            // What goes on may still have been waiting, and have taken the cancel.
            if kind != Kind::GoesOn {
                assert_eq!(show(&waiting), "ok ()", "{name}");
            }
            if matches!(kind, Kind::Gives | Kind::Puts) {
                line.grant();
            }
            assert!(!second.is_pending(), "{name}");
        }
    }
    every_line(&Granted);
}

/// The second line of `wait_with`: the signal has come, and the mutex is locked.
#[test]
fn on_the_way_back_into_the_mutex() {
    for way in Way::all() {
        let line = on_the_way_back();
        let given_up = line.wait();
        assert!(given_up.is_pending(), "{way:?}");
        way.give_up(given_up);
        line.grant();
        let next = line.wait();
        line.grant();
        assert!(!next.is_pending(), "{way:?}: the mutex is free, and the condition works");
    }
}

#[test]
fn sleeps() {
    for way in Way::all() {
        let clock = ManualClock::new();
        let one = Duration::from_secs(1);
        let (before, given_up, after) = (clock.sleep(one), clock.sleep(one), clock.sleep(one));
        way.give_up(given_up);
        assert_eq!(clock.sleepers(), 2, "{way:?}: it costs nothing more");
        clock.advance(one);
        assert!(!before.is_pending() && !after.is_pending(), "{way:?}");
    }
}

#[test]
fn waiting_for_the_end_of_a_stream() {
    for way in Way::all() {
        let (s, push) = stream::create::<i32>();
        let (given_up, other) = (s.closed(), s.closed());
        way.give_up(given_up);
        assert!(other.is_pending(), "{way:?}: nobody else is cancelled");
        push.close();
        assert_eq!(show(&other), "ok ()", "{way:?}");
    }
}

/// A put that waits, and the reader that it meets: neither the value nor the wake-up is lost.
#[test]
fn nothing_is_lost_between_two_that_give_up() {
    let v = Mvar::new(1);
    let (second, third) = (v.put(2), v.put(3));
    second.cancel();
    let got = spawn({
        let v = v.clone();
        async move { Ok::<_, Error>((v.take().await?, v.take().await?, v.take().await?)) }
    });
    assert_eq!(show(&third), "ok ()");
    assert_eq!(show(&got), "pending");
    got.cancel();
    spin();
    assert_eq!(show(&v.put(4)), "ok ()");
    assert_eq!(v.take_available(), Some(4), "the reader left the line");
}
