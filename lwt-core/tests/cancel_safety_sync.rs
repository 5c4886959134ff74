//! Every function that waits in a line, given up in every way at every point: who stands behind is served as
//! if nobody had stood there, and what was granted comes back.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{show, spin, watchdog};
use lwt_core::clock::{Clock, ManualClock};
use lwt_core::condition::Condition;
use lwt_core::mutex::{Mutex, MutexGuard};
use lwt_core::mvar::Mvar;
use lwt_core::pool::Pool;
use lwt_core::rwlock::RwLock;
use lwt_core::semaphore::Semaphore;
use lwt_core::throttle::Throttle;
use lwt_core::{Error, Promise, join, pick, spawn, stream, task};

/// A place where one can wait.
struct Line<T> {
    wait: Box<dyn Fn() -> Promise<T>>,
    /// Serves the first that waits, and nobody else.
    grant: Box<dyn Fn()>,
}

impl<T: 'static> Line<T> {
    fn new(wait: impl Fn() -> Promise<T> + 'static, grant: impl Fn() + 'static) -> Line<T> {
        Line { wait: Box::new(wait), grant: Box::new(grant) }
    }

    fn wait(&self) -> Promise<T> {
        let waiting = (self.wait)();
        spin();
        waiting
    }

    fn grant(&self) {
        (self.grant)();
        spin();
    }
}

/// What becomes of a waiter whose promise is dropped, or was served and is then dropped.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    /// It leaves the line; what it was granted comes back.
    Lends,
    /// It leaves the line; what it was given was its own.
    Gives,
    /// It is done all the same, and then the next one is served.
    GoesOn,
    /// It is done all the same, and the next one waits for the next grant.
    Puts,
}

/// A test of one waiting function. Nothing may be put around its promise, lest the drop of that is another.
trait Check {
    fn check<T: 'static>(&self, name: &str, kind: Kind, make: fn() -> Line<T>);
}

/// Grants by dropping what is in `held`.
fn by_dropping<T: 'static>(held: T) -> impl Fn() + 'static {
    let held = RefCell::new(Some(held));
    move || drop(held.take())
}

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

fn every_line(t: &impl Check) {
    t.check("Mutex::lock", Kind::Lends, || {
        let m = Mutex::new(());
        let held = m.try_lock();
        Line::new(move || m.lock(), by_dropping(held))
    });
    t.check("Mutex::with_lock", Kind::GoesOn, || {
        let m = Mutex::new(());
        let held = m.try_lock();
        Line::new(move || m.with_lock(async |()| Ok(())), by_dropping(held))
    });
    t.check("RwLock::read", Kind::Lends, || {
        let lock = RwLock::new(());
        let held = lock.try_write();
        Line::new(move || lock.read(), by_dropping(held))
    });
    t.check("RwLock::write behind a writer", Kind::Lends, || {
        let lock = RwLock::new(());
        let held = lock.try_write();
        Line::new(move || lock.write(), by_dropping(held))
    });
    t.check("RwLock::write behind readers", Kind::Lends, || {
        let lock = RwLock::new(());
        let held = (lock.try_read(), lock.try_read());
        Line::new(move || lock.write(), by_dropping(held))
    });
    t.check("Semaphore::acquire", Kind::Lends, || {
        let s = Semaphore::new(1);
        let held = s.try_acquire(1);
        Line::new(move || s.acquire(), by_dropping(held))
    });
    t.check("Semaphore::acquire_many", Kind::Lends, || {
        let s = Semaphore::new(3);
        let held = s.try_acquire(2);
        Line::new(move || s.acquire_many(3), by_dropping(held))
    });
    t.check("Semaphore::run", Kind::GoesOn, || {
        let s = Semaphore::new(1);
        let held = s.try_acquire(1);
        Line::new(move || s.run(1, async || Ok(())), by_dropping(held))
    });
    t.check("Pool::use_", Kind::GoesOn, || {
        let pool = Pool::create(1, async || Ok(()));
        let (end, resolver) = task::<()>();
        drop(pool.use_(async |_: &mut ()| end.await));
        Line::new(move || pool.use_(async |_: &mut ()| Ok(())), by_dropping(resolver))
    });
    t.check("Mvar::take", Kind::Gives, || {
        let v = Mvar::empty();
        let full = v.clone();
        Line::new(move || v.take(), move || drop(full.put(())))
    });
    t.check("Mvar::put", Kind::Puts, || {
        let v = Mvar::new(());
        let full = v.clone();
        Line::new(move || v.put(()), move || assert!(full.take_available().is_some()))
    });
    t.check("Condition::wait", Kind::Gives, || {
        let c = Condition::new();
        let signals = c.clone();
        Line::new(move || c.wait(), move || assert!(signals.signal(())))
    });
    t.check("Condition::wait_with, the signal", Kind::Gives, || {
        let (c, m) = (Condition::new(), Mutex::new(()));
        let signals = c.clone();
        Line::new(move || c.wait_with(m.try_lock().expect("free")), move || assert!(signals.signal(())))
    });
    t.check("Throttle::wait", Kind::Gives, || {
        let clock = ManualClock::new();
        let throttle = Throttle::new(clock.clone(), 1, 9);
        drop(throttle.wait("key"));
        Line::new(move || throttle.wait("key"), move || clock.advance(Duration::from_secs(1)))
    });
    t.check("Stream::get", Kind::Gives, || of_stream(stream::Stream::get));
    t.check("Stream::next", Kind::Gives, || of_stream(stream::Stream::next));
    t.check("Stream::nget", Kind::Gives, || of_stream(|s| s.nget(1)));
    t.check("Stream::last_new", Kind::Gives, || of_stream(stream::Stream::last_new));
    t.check("Stream::junk", Kind::Gives, || of_stream(stream::Stream::junk));
    t.check("Stream::find", Kind::Gives, || of_stream(|s| s.find(|_| true)));
    t.check("Stream::find_map", Kind::Gives, || of_stream(|s| s.find_map(Some)));
}

fn of_stream<T: 'static>(read: fn(&stream::Stream<i32>) -> Promise<T>) -> Line<T> {
    let (s, push) = stream::create();
    Line::new(move || read(&s), move || push.push(1).expect("open"))
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
                if !(kind == Kind::GoesOn || name == "RwLock::read") {
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
