//! Where events meet promises: watching an event, and calling a function that answers by a promise, for one
//! occurrence after the other or for all at once.
//!
//! 1. What an event sets off outside the graph happens at the end of the step, when the graph is at rest.
//! 2. The resulting event is a primitive that is *fed*: it keeps a watch, which keeps the source; what sends
//!    to it knows it weakly. Drop the result, and watch and source are let go of: calls in progress go on to
//!    their end, occurrences that wait are dropped.
//! 3. A result is sent in a step of its own, in which the source does not occur.
//! 4. A rejection takes the place of a result: it goes to the unhandled-rejection hook (unless it is a
//!    cancel), and the next occurrence has its turn.
//! 5. A user's function is never called inside itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::func::Func;
use crate::promise::attach::caught;
use crate::{Canceller, Error, Promise};

use super::atom::{Flow, Same};
use super::grave::let_go;
use super::update;
use super::{Event, Sender, Signal};

/// Calls `act` at the end of each step in which `source` occurs, as long as the result is held.
pub(super) fn watch<T: 'static, S: 'static>(
    source: &Event<T>,
    state: Rc<S>,
    act: fn(&Rc<S>, Rc<T>),
) -> Event<()> {
    let watched = source.clone();
    Event::derived([source.part()], move |_| {
        if let Some(value) = watched.now() {
            let state = Rc::downgrade(&state);
            update::at_end(move || {
                if let Some(state) = state.upgrade() {
                    act(&state, value);
                }
            });
        }
        Flow::Nothing
    })
}

/// The value, or a clone of it if others have it, too.
pub(super) fn own<T: Clone>(value: Rc<T>) -> T {
    Rc::try_unwrap(value).unwrap_or_else(|shared| {
        let copy = T::clone(&shared);
        let_go(shared);
        copy
    })
}

/// A rejection that nobody waits for.
pub(super) fn tell(error: Error) {
    drop(Promise::<()>::rejected(error));
}

/// Cancels what feeds an event when the event is dropped or stops.
pub(super) struct CancelOnDrop(pub(super) Canceller);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What `f` promises, or nothing, for each occurrence; calls do not wait for each other.
pub(super) fn parallel<T: 'static, U: 'static>(
    source: &Event<T>,
    f: impl FnMut(Rc<T>) -> Promise<Option<Rc<U>>> + 'static,
) -> Event<U> {
    let (event, out) = Event::create();
    let state = Rc::new((Func::new(f), out));
    let watching = watch(source, state, |state, value| {
        let out = state.1.clone();
        drop(call(&state.0, value).attach(move |result| {
            deliver(&out, result);
            Promise::ready(())
        }));
    });
    event.atom.set_feed(watching);
    event
}

/// What `f` promises for `value`. The end of the value is not a part of that.
fn call<T, R>(f: &Func<impl FnMut(Rc<T>) -> Promise<R>>, value: Rc<T>) -> Promise<R> {
    let kept = value.clone();
    let promise = caught(|| f.call(|f| f(value)));
    let_go(kept);
    promise
}

fn deliver<U: 'static>(out: &Sender<U>, result: Result<Option<Rc<U>>, Error>) {
    match result {
        Ok(Some(value)) => out.send_shared(value),
        Ok(None) => {}
        Err(error) => tell(error),
    }
}

/// Calls that are made one after the other.
struct Serial<T, U: 'static, F> {
    f: Func<F>,
    /// What has still to be called for.
    waiting: RefCell<VecDeque<Rc<T>>>,
    /// A call is in progress.
    busy: Cell<bool>,
    out: Sender<U>,
}

/// What `f` promises, or nothing, for each occurrence; each call waits for the promise of the one before.
pub(super) fn serial<T: 'static, U: 'static>(
    source: &Event<T>,
    f: impl FnMut(Rc<T>) -> Promise<Option<Rc<U>>> + 'static,
) -> Event<U> {
    Serial::feed(source, f, false).0
}

/// The promise of the signal of what `f` promises for the values of `source`, one after the other, beginning
/// with the present one. `start` is its value if the first answer is nothing.
///
/// Changes during the first call wait, and none is lost.
pub(super) fn serial_signal<T: 'static, U: 'static>(
    source: &Signal<T>,
    start: Option<Rc<U>>,
    same: Same<U>,
    f: impl FnMut(Rc<T>) -> Promise<Option<Rc<U>>> + 'static,
) -> Promise<Signal<U>> {
    let (event, serial) = Serial::feed(&source.changes(), f, true);
    call(&serial.f, source.now()).attach(move |result| {
        let first = match result {
            Ok(Some(first)) => {
                let_go(start);
                first
            }
            Ok(None) => match start {
                Some(start) => start,
                None => return Promise::fail(Error::msg("a signal has no first value")),
            },
            Err(error) => return Promise::rejected(error),
        };
        let signal = event.held(first, same);
        serial.busy.set(false);
        serial.go();
        Promise::ready(signal)
    })
}

impl<T, U, F> Serial<T, U, F>
where
    T: 'static,
    U: 'static,
    F: FnMut(Rc<T>) -> Promise<Option<Rc<U>>> + 'static,
{
    fn feed(source: &Event<T>, f: F, busy: bool) -> (Event<U>, Rc<Serial<T, U, F>>) {
        let (event, out) = Event::create();
        let (waiting, busy) = (RefCell::new(VecDeque::new()), Cell::new(busy));
        let serial = Rc::new(Serial { f: Func::new(f), waiting, busy, out });
        let watching = watch(source, serial.clone(), |serial, value| {
            serial.waiting.borrow_mut().push_back(value);
            serial.go();
        });
        event.atom.set_feed(watching);
        (event, serial)
    }

    /// Makes the calls that wait, until one takes its time, or nobody wants the results any more.
    fn go(self: &Rc<Self>) {
        while !self.busy.get() && self.out.is_wanted() {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(value) = next else { return };
            self.busy.set(true);
            match call(&self.f, value).try_take() {
                Ok(result) => deliver(&self.out, result),
                Err(promise) => return self.wait_for(promise),
            }
            self.busy.set(false);
        }
    }

    fn wait_for(self: &Rc<Self>, promise: Promise<Option<Rc<U>>>) {
        let serial = Rc::downgrade(self);
        drop(promise.attach(move |result| {
            let Some(serial) = serial.upgrade() else { return Promise::settled(result.map(drop)) };
            deliver(&serial.out, result);
            serial.busy.set(false);
            serial.go();
            Promise::ready(())
        }));
    }
}

/// Keeps what is let through rare.
struct Limiter<T: 'static, F> {
    f: Func<F>,
    /// What has not ended yet: nothing is let through before.
    limiting: Cell<Option<Canceller>>,
    limited: Cell<bool>,
    /// The newest occurrence that was not let through yet.
    delayed: Cell<Option<Rc<T>>>,
    out: Sender<T>,
}

/// The occurrences of `source`, but after each one the next not before `f`'s promise is resolved: of those
/// in the meantime only the newest, then. If `limited`, `f` is called at once.
pub(super) fn limit<T: 'static>(
    source: &Event<T>,
    f: impl FnMut() -> Promise<()> + 'static,
    limited: bool,
) -> Event<T> {
    let (event, out) = Event::create();
    let (limiting, delayed) = (Cell::new(None), Cell::new(None));
    let limiter = Rc::new(Limiter { f: Func::new(f), limiting, limited: Cell::new(false), delayed, out });
    let watching = watch(source, limiter.clone(), |limiter, value| {
        let older = limiter.delayed.replace(Some(value));
        let_go(older);
        limiter.pass();
    });
    event.atom.set_feed(watching);
    if limited {
        let promise = limiter.begin();
        limiter.wait_for(promise);
    }
    event
}

impl<T: 'static, F: FnMut() -> Promise<()> + 'static> Limiter<T, F> {
    /// Lets through what may pass.
    fn pass(self: &Rc<Self>) {
        while !self.limited.get() {
            let Some(value) = self.delayed.take() else { return };
            let promise = self.begin();
            self.out.send_shared(value);
            self.wait_for(promise);
        }
    }

    fn begin(&self) -> Promise<()> {
        self.limited.set(true);
        // A copy of our own: to give it up leaves nothing behind, and cancels nobody else's promise.
        caught(|| self.f.call(|f| f())).protected()
    }

    /// Nothing is let through until then.
    fn wait_for(self: &Rc<Self>, promise: Promise<()>) {
        match promise.try_take() {
            Ok(result) => self.end(result),
            Err(promise) => {
                let limiter = Rc::downgrade(self);
                drop(self.limiting.replace(Some(promise.canceller())));
                drop(promise.attach(move |result| {
                    let Some(limiter) = limiter.upgrade() else { return Promise::settled(result) };
                    limiter.end(result);
                    limiter.pass();
                    Promise::ready(())
                }));
            }
        }
    }

    /// Its failure is told, and it has ended all the same.
    fn end(&self, result: Result<(), Error>) {
        self.limited.set(false);
        drop(self.limiting.take());
        if let Err(error) = result {
            tell(error);
        }
    }
}

impl<T: 'static, F> Drop for Limiter<T, F> {
    fn drop(&mut self) {
        if let Some(limiting) = self.limiting.take() {
            limiting.cancel();
        }
    }
}
