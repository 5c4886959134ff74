//! [`crew`]: a function over elements, with a bound on how many of its promises run at once.
//!
//! 1. An element is asked for when fewer than `limit` promises are pending, and nothing has failed; one at a
//!    time.
//! 2. After the first failure nothing is asked for any more, and what is being asked for is cancelled. The
//!    result is rejected with it, when all that was running has ended.
//! 3. A cancel goes to what is running and to what is being asked for; the result is resolved when all of it
//!    has ended.
//! 4. The function is never called inside itself: [`Crew::go`] runs once at a time, and who would enter it
//!    has it go round once more.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::promise::attach::caught;
use crate::{Canceller, Error, Promise, Resolver, task, wait};

use super::func::Func;

struct Crew<P, F> {
    limit: usize,
    pull: Func<P>,
    f: Func<F>,
    /// Who can be cancelled, and free places among them.
    running: RefCell<Vec<Option<Canceller>>>,
    free: RefCell<Vec<usize>>,
    many: Cell<usize>,
    /// An element is being asked for, or the function is called with one.
    pulling: Cell<bool>,
    pull_waits: RefCell<Option<Canceller>>,
    /// Nothing is asked for any more.
    over: Cell<bool>,
    failure: RefCell<Option<Error>>,
    going: Cell<bool>,
    again: Cell<bool>,
    /// Resolved when all has ended; and before, the promise that a cancel meets.
    ends: Cell<Option<(Resolver<()>, Resolver<()>)>>,
}

/// Calls `f` for each element that `pull` gives, until it gives none; at most `limit` of the promises are
/// pending at once.
#[track_caller]
pub(crate) fn crew<T, P, F>(limit: usize, pull: P, f: F) -> Promise<()>
where
    T: 'static,
    P: FnMut() -> Promise<Option<T>> + 'static,
    F: FnMut(T) -> Promise<()> + 'static,
{
    let (ended, end) = wait();
    let (cancelable, uncancelled) = task();
    let crew = Rc::new(Crew {
        limit,
        pull: Func::new(pull),
        f: Func::new(f),
        running: RefCell::new(Vec::new()),
        free: RefCell::new(Vec::new()),
        many: Cell::new(0),
        pulling: Cell::new(false),
        pull_waits: RefCell::new(None),
        over: Cell::new(false),
        failure: RefCell::new(None),
        going: Cell::new(false),
        again: Cell::new(false),
        ends: Cell::new(Some((end, uncancelled))),
    });
    crew.go();
    let cancelled = crew.clone();
    cancelable.attach(move |result: Result<(), Error>| {
        if let Err(error) = result {
            cancelled.cancel(error);
        }
        ended
    })
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
            while !self.over.get() && !self.pulling.get() && self.many.get() < self.limit {
                self.ask();
            }
            if !self.again.get() {
                break;
            }
        }
        self.going.set(false);
        if self.over.get() && !self.pulling.get() && self.many.get() == 0 {
            self.end();
        }
    }

    fn ask(self: &Rc<Self>) {
        self.pulling.set(true);
        match caught(|| self.pull.call(|pull| pull())).try_take() {
            Ok(result) => self.asked(result),
            Err(promise) => {
                *self.pull_waits.borrow_mut() = Some(promise.canceller());
                let crew = self.clone();
                drop(promise.attach(move |result| {
                    let done = crew.pull_waits.borrow_mut().take();
                    drop(done);
                    crew.asked(result);
                    crew.go();
                    Promise::ready(())
                }));
            }
        }
    }

    fn asked(self: &Rc<Self>, result: Result<Option<T>, Error>) {
        let element = match result {
            Ok(Some(element)) if !self.over.get() => element,
            Ok(Some(_)) => return self.pulling.set(false),
            Ok(None) => {
                self.over.set(true);
                return self.pulling.set(false);
            }
            Err(error) => {
                self.fail(error);
                return self.pulling.set(false);
            }
        };
        let promise = caught(|| self.f.call(|f| f(element)));
        self.pulling.set(false);
        match promise.try_take() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.fail(error),
            Err(promise) => {
                self.many.set(self.many.get() + 1);
                let (crew, place) = (self.clone(), self.enter(promise.canceller()));
                drop(promise.attach(move |result| {
                    crew.leave(place);
                    crew.many.set(crew.many.get() - 1);
                    if let Err(error) = result {
                        crew.fail(error);
                    }
                    crew.go();
                    Promise::ready(())
                }));
            }
        }
    }

    fn enter(&self, canceller: Canceller) -> usize {
        let mut running = self.running.borrow_mut();
        if let Some(place) = self.free.borrow_mut().pop() {
            running[place] = Some(canceller);
            return place;
        }
        running.push(Some(canceller));
        running.len() - 1
    }

    fn leave(&self, place: usize) {
        let done = self.running.borrow_mut()[place].take();
        drop(done);
        self.free.borrow_mut().push(place);
    }

    /// Keeps the first failure. As with `join`, further ones are not told.
    fn fail(&self, error: Error) {
        self.over.set(true);
        let before = self.failure.borrow_mut().take();
        let (first, further) = match before {
            Some(first) => (first, Some(error)),
            None => (error, None),
        };
        *self.failure.borrow_mut() = Some(first);
        drop(further);
        let pull = self.pull_waits.borrow().clone();
        if let Some(pull) = pull {
            pull.cancel();
        }
    }

    fn cancel(&self, error: Error) {
        self.fail(error);
        let running: Vec<Canceller> = self.running.borrow().iter().flatten().cloned().collect();
        for canceller in running {
            canceller.cancel();
        }
    }

    fn end(&self) {
        let Some((end, uncancelled)) = self.ends.take() else { return };
        let failure = self.failure.borrow_mut().take();
        end.wakeup_later_result(failure.map_or(Ok(()), Err));
        uncancelled.wakeup_later(());
    }
}
