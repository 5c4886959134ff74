//! Places where one can wait: what the tests of cancel safety go through.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::clock::ManualClock;
use lwt_core::condition::Condition;
use lwt_core::mutex::Mutex;
use lwt_core::mvar::Mvar;
use lwt_core::pool::Pool;
use lwt_core::react::{Event, Signal};
use lwt_core::result::{self, ResultPromise};
use lwt_core::retry::on_rejection;
use lwt_core::rwlock::RwLock;
use lwt_core::semaphore::Semaphore;
use lwt_core::switch::{Switch, with_switch};
use lwt_core::throttle::Throttle;
use lwt_core::{Error, Promise, Resolver, stream, task};

use crate::common::spin;

/// A place where one can wait.
pub(crate) struct Line<T> {
    wait: Box<dyn Fn() -> Promise<T>>,
    /// Serves the first that waits, and nobody else.
    pub(crate) grant: Box<dyn Fn()>,
}

impl<T: 'static> Line<T> {
    pub(crate) fn new(wait: impl Fn() -> Promise<T> + 'static, grant: impl Fn() + 'static) -> Line<T> {
        Line { wait: Box::new(wait), grant: Box::new(grant) }
    }

    pub(crate) fn wait(&self) -> Promise<T> {
        let waiting = (self.wait)();
        spin();
        waiting
    }

    pub(crate) fn grant(&self) {
        (self.grant)();
        spin();
    }
}

/// What becomes of a waiter whose promise is dropped, or was served and is then dropped.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    /// It leaves the line; what it was granted comes back.
    Lends,
    /// As `Lends`; all that wait are served at once.
    Shares,
    /// It leaves the line; what it was given was its own.
    Gives,
    /// It is done all the same, and then the next one is served.
    GoesOn,
    /// It is done all the same, and the next one waits for the next grant.
    Puts,
}

/// A test of one waiting function. Nothing may be put around its promise, lest the drop of that is another.
pub(crate) trait Check {
    fn check<T: 'static>(&self, name: &str, kind: Kind, make: fn() -> Line<T>);
}

/// Grants by dropping what is in `held`.
fn by_dropping<T: 'static>(held: T) -> impl Fn() + 'static {
    let held = RefCell::new(Some(held));
    move || drop(held.take())
}

fn by_waking(resolver: Resolver<()>) -> impl Fn() + 'static {
    let resolver = RefCell::new(Some(resolver));
    move || resolver.take().into_iter().for_each(|resolver| resolver.wakeup(()))
}

/// All functions of the crate that wait, but for those over the elements of lists, sequences and streams.
pub(crate) fn every_line(t: &impl Check) {
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
    t.check("RwLock::read", Kind::Shares, || {
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
        Line::new(move || pool.use_(async |_: &mut ()| Ok(())), by_waking(resolver))
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
    t.check("Stream::njunk", Kind::Gives, || of_stream(|s| s.njunk(1)));
    t.check("Stream::find", Kind::Gives, || of_stream(|s| s.find(|_| true)));
    t.check("Stream::find_map", Kind::Gives, || of_stream(|s| s.find_map(Some)));
    t.check("Stream::peek", Kind::Shares, || of_stream(stream::Stream::peek));
    t.check("Stream::npeek", Kind::Shares, || of_stream(|s| s.npeek(1)));
    t.check("Stream::is_empty", Kind::Shares, || of_stream(stream::Stream::is_empty));
    t.check("Event::next", Kind::Shares, || {
        let (event, sender) = Event::create();
        Line::new(move || event.next(), move || sender.send(1))
    });
    t.check("Switch::turn_off", Kind::GoesOn, || {
        let (switch, (end, resolver)) = (Switch::create(), task::<()>());
        switch.add_hook(|| end).expect("on");
        Line::new(move || switch.turn_off(), by_waking(resolver))
    });
    each_by_itself(t);
}

/// Functions that wait for one promise of the user's, in which nobody else has a part.
fn each_by_itself(t: &impl Check) {
    t.check("result::ok", Kind::Shares, || of_promise(result::ok::<_, ()>));
    t.check("result::error", Kind::Shares, || of_promise(result::error::<(), _>));
    t.check("result::get_exn", Kind::Shares, || of_promise(|p| p.map(Ok::<_, Error>).get_exn()));
    t.check("result::map", Kind::Shares, || of_promise(|p| fine(p).map_ok(drop)));
    t.check("result::map_error", Kind::Shares, || of_promise(|p| fine(p).map_error(drop)));
    t.check("result::bind", Kind::Shares, || of_promise(|p| result::lift(OK).bind_ok(|()| fine(p))));
    t.check("result::bind_error", Kind::Shares, || of_promise(|p| result::fail(()).bind_error(|()| fine(p))));
    t.check("result::bind_lwt", Kind::Shares, || of_promise(|p| result::lift(OK).bind_lwt(|()| p)));
    t.check("result::bind_lwt_error", Kind::Shares, || {
        of_promise(|p| result::fail::<(), _>(()).bind_lwt_error(|()| p))
    });
    t.check("result::bind_result", Kind::Shares, || of_promise(|p| fine(p).bind_result(Ok)));
    t.check("result::both", Kind::Shares, || of_promise(|p| fine(p).both_ok(result::lift(OK))));
    t.check("result::iter", Kind::Shares, || of_promise(|p| result::lift(OK).iter_ok(|()| p.map(drop))));
    t.check("result::iter_error", Kind::Shares, || {
        of_promise(|p| result::fail::<(), _>(()).iter_error(|()| p.map(drop)))
    });
    t.check("Switch::add", Kind::Shares, || {
        let switch = Switch::create();
        of_promise(move |p| switch.add(p).expect("on"))
    });
    t.check("Switch::spawn", Kind::GoesOn, || {
        let switch = Switch::create();
        of_promise(move |p| switch.spawn(p).expect("on"))
    });
    t.check("Switch::add_hook_or_exec", Kind::Shares, || {
        let switch = Switch::create();
        drop(switch.turn_off());
        of_promise(move |p| switch.add_hook_or_exec(|| p.map(drop)))
    });
    t.check("with_switch", Kind::GoesOn, || of_promise(|p| with_switch(async |_| p.await)));
    t.check("Attempts::n_times", Kind::GoesOn, || of_promise(|p| on_rejection(once(p), |_| true).n_times(1)));
    t.check("Signal::map_s", Kind::Shares, || of_promise(|p| one(()).map_s(by_one(p))));
    t.check("Signal::filter_s", Kind::Shares, || {
        of_promise(|p| one(()).filter_s((), by_one(p.map(|_| true))))
    });
    t.check("Signal::filter_map_s", Kind::Shares, || {
        of_promise(|p| one(()).filter_map_s(0, by_one(p.map(Some))))
    });
    t.check("Signal::merge_s", Kind::Shares, || {
        of_promise(|p| {
            Signal::merge_s([one(())], 0, {
                let mut p = once(p);
                move |_, ()| p()
            })
        })
    });
    t.check("Signal::bind_s", Kind::Shares, || of_promise(|p| one(()).bind_s(by_one(p.map(one)))));
    t.check("Signal::run_s", Kind::Shares, || of_promise(|p| Signal::constant(p).run_s()));
}

const OK: Result<(), ()> = Ok(());

fn fine(promise: Promise<i32>) -> Promise<Result<i32, ()>> {
    promise.map(Ok)
}

fn one<T: 'static>(value: T) -> Signal<T> {
    Signal::constant(value)
}

/// A function that may be called once.
fn once<T: 'static>(promise: Promise<T>) -> impl FnMut() -> Promise<T> + 'static {
    let mut promise = Some(promise);
    move || promise.take().expect("called once")
}

fn by_one<T: 'static>(promise: Promise<T>) -> impl FnMut(&()) -> Promise<T> + 'static {
    let mut once = once(promise);
    move |()| once()
}

fn of_promise<T: 'static>(wait: impl Fn(Promise<i32>) -> Promise<T> + 'static) -> Line<T> {
    let open: Rc<RefCell<Vec<Resolver<i32>>>> = Rc::default();
    let all = open.clone();
    let begin = move || {
        let (promise, resolver) = task();
        open.borrow_mut().push(resolver);
        wait(promise)
    };
    Line::new(begin, move || all.take().into_iter().for_each(|resolver| resolver.wakeup(1)))
}

fn of_stream<T: 'static>(read: fn(&stream::Stream<i32>) -> Promise<T>) -> Line<T> {
    let (s, push) = stream::create();
    Line::new(move || read(&s), move || push.push(1).expect("open"))
}
