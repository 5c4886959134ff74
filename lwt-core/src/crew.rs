//! [`crew`]: a function over elements, with a bound on how many of its promises are pending at once. The
//! parallel forms of lists, sequences and streams are made of it.
//!
//! 1. An element is asked for when fewer than `limit` promises are pending, and nothing has failed; one at a
//!    time, so that no element is taken before there is a place for it.
//! 2. After the first failure nothing is asked for any more, and what is being asked for is cancelled. Where
//!    the rest is to be cancelled, so is what is running, and a call that is under way as soon as it returns.
//! 3. A cancel goes to what is being asked for and to what is running. What it rejects is a failure as any
//!    other; where nothing takes it, it has no effect.
//! 4. The result is resolved when all that was running has ended; rejected with the first failure in time.
//! 5. The function is never called inside itself: [`Crew::go`] runs once at a time, and who would enter it
//!    has it go round once more.
//! 6. `work` is out of its place while it is called, and gone as soon as nothing is asked for any more.

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;

use crate::func::let_go;
use crate::promise::attach::caught;
use crate::waiters::{Place, Waiters};
use crate::{Canceller, Error, Promise, Resolver, iterate, task};

struct Work<P, F> {
    pull: P,
    f: F,
}

struct Crew<P, F> {
    limit: usize,
    cancel_rest: bool,
    work: Cell<Option<Work<P, F>>>,
    /// Nothing is asked for any more.
    over: Cell<bool>,
    /// An element is being asked for, or the function is called with one.
    pulling: Cell<bool>,
    /// What the next element waits for.
    pull: RefCell<Option<Canceller>>,
    /// In the order in which they were begun.
    running: Waiters<Canceller>,
    failure: OnceCell<Error>,
    going: Cell<bool>,
    again: Cell<bool>,
    /// To be told when all has ended.
    end: Cell<Option<Resolver<()>>>,
}

/// Calls `f` for each element that `pull` gives, until it gives none; at most `limit`, which is not zero, of
/// the promises are pending at once. With `cancel_rest`, a failure cancels the others.
#[track_caller]
pub(crate) fn crew<T, P, F>(limit: usize, cancel_rest: bool, pull: P, f: F) -> Promise<()>
where
    T: 'static,
    P: FnMut() -> Promise<Option<T>> + 'static,
    F: FnMut(T) -> Promise<()> + 'static,
{
    let crew = Rc::new(Crew {
        limit,
        cancel_rest,
        work: Cell::new(Some(Work { pull, f })),
        over: Cell::new(false),
        pulling: Cell::new(false),
        pull: RefCell::new(None),
        running: Waiters::new(),
        failure: OnceCell::new(),
        going: Cell::new(false),
        again: Cell::new(false),
        end: Cell::new(None),
    });
    crew.go();
    iterate((), move |()| crew.clone().wait())
}

impl<P: 'static, F: 'static> Crew<P, F> {
    fn has_ended(&self) -> bool {
        self.over.get() && !self.pulling.get() && self.running.is_empty()
    }

    fn outcome(&self) -> Promise<ControlFlow<()>> {
        Promise::settled(self.failure.get().map_or(Ok(Break(())), |error| Err(error.clone())))
    }

    /// Waits for the end; once more after each cancel, which may have no effect.
    fn wait(self: Rc<Self>) -> Promise<ControlFlow<()>> {
        if self.has_ended() {
            return self.outcome();
        }
        let (ended, resolver) = task();
        self.end.set(Some(resolver));
        let cancelled = self.clone();
        ended.try_bind(
            move |()| self.outcome(),
            move |_| {
                cancelled.cancel();
                Promise::ready(Continue(()))
            },
        )
    }

    fn cancel(&self) {
        let pull = self.pull.borrow().clone();
        if let Some(pull) = pull {
            pull.cancel();
        }
        self.cancel_running();
    }

    fn cancel_running(&self) {
        for promise in self.running.snapshot() {
            promise.cancel();
        }
    }

    /// Nothing more is to be asked for.
    fn finish(&self) {
        self.over.set(true);
        let_go(self.work.take());
    }

    /// Keeps the first failure. As with `join`, further ones are not told.
    fn fail(&self, error: Error) {
        if self.failure.set(error).is_err() {
            return;
        }
        self.finish();
        let pull = self.pull.borrow().clone();
        if let Some(pull) = pull {
            pull.cancel();
        }
        if self.cancel_rest {
            self.cancel_running();
        }
    }

    /// Has `call` use the work, if it is not over.
    fn call<R: 'static>(&self, call: impl FnOnce(&mut Work<P, F>) -> Promise<R>) -> Option<Promise<R>> {
        let Some(mut work) = self.work.take() else {
            let_go(call);
            return None;
        };
        let promise = caught(|| call(&mut work));
        if self.over.get() {
            let_go(work);
        } else {
            self.work.set(Some(work));
        }
        Some(promise)
    }
}

impl<T, P, F> Crew<P, F>
where
    T: 'static,
    P: FnMut() -> Promise<Option<T>> + 'static,
    F: FnMut(T) -> Promise<()> + 'static,
{
    /// Goes on as far as possible.
    fn go(self: &Rc<Self>) {
        if self.going.get() {
            return self.again.set(true);
        }
        self.going.set(true);
        loop {
            self.again.set(false);
            while !self.over.get() && !self.pulling.get() && self.running.len() < self.limit {
                self.ask();
            }
            if !self.again.get() {
                break;
            }
        }
        self.going.set(false);
        if self.has_ended()
            && let Some(end) = self.end.take()
        {
            end.wakeup(());
        }
    }

    fn ask(self: &Rc<Self>) {
        self.pulling.set(true);
        let Some(element) = self.call(|work| (work.pull)()) else { return self.pulling.set(false) };
        match element.try_take() {
            Ok(result) => self.asked(result),
            Err(promise) => {
                *self.pull.borrow_mut() = Some(promise.canceller());
                let crew = self.clone();
                drop(promise.attach(move |result| {
                    let done = crew.pull.borrow_mut().take();
                    drop(done);
                    crew.asked(result);
                    crew.go();
                    Promise::ready(())
                }));
            }
        }
    }

    fn asked(self: &Rc<Self>, result: Result<Option<T>, Error>) {
        let promise = match result {
            Ok(Some(element)) => self.call(|work| (work.f)(element)),
            Ok(None) => {
                self.finish();
                None
            }
            Err(error) => {
                self.fail(error);
                None
            }
        };
        self.pulling.set(false);
        match promise.map(Promise::try_take) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => self.fail(error),
            Some(Err(promise)) => self.run(promise),
        }
    }

    fn run(self: &Rc<Self>, promise: Promise<()>) {
        let stop = promise.canceller();
        self.running.push(|place| {
            let crew = self.clone();
            drop(promise.attach(move |result| {
                crew.left(place, result);
                Promise::ready(())
            }));
            stop.clone()
        });
        if self.cancel_rest && self.failure.get().is_some() {
            stop.cancel();
        }
    }

    fn left(self: &Rc<Self>, place: Place, result: Result<(), Error>) {
        drop(self.running.remove(place));
        if let Err(error) = result {
            self.fail(error);
        }
        self.go();
    }
}
