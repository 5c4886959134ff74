//! The crew: how several lanes work through one list.
//!
//! A *lane* is a loop: it takes the next item, calls the function with it, waits for the promise, keeps the
//! value, and starts again. There are as many lanes as promises may be pending; the result waits for the end
//! of all. A cancel of the result goes through that wait into each lane, to the promise it waits for.
//!
//! 1. The list is taken out of `work` while the iterator or the function runs. A lane that wants an item
//!    meanwhile waits in `queue`, and the lane that puts the list back calls it. So `queue` is empty unless
//!    `work` is `Busy`.
//! 2. Nothing is borrowed while foreign code runs: the iterator, the function, drops, callbacks.
//! 3. A lane is never rejected. What goes wrong is noted, the first in time, and the list is over from then
//!    on.
//! 4. Where the rest is to be cancelled, that happens once for the lanes that wait, and for a call under way
//!    as soon as it returns.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::{Canceller, Error, Promise, Resolver, apply, iterate, join, task};

/// What is left of the list.
struct Rest<I, F> {
    items: I,
    f: F,
    /// The place of the next item.
    place: usize,
}

enum Work<I, F> {
    Idle(Rest<I, F>),
    Busy,
    Over,
}

struct Crew<I, F, T, U> {
    work: Cell<Work<I, F>>,
    queue: RefCell<VecDeque<Resolver<()>>>,
    failed: OnceCell<Error>,
    /// What is kept of a value.
    keep: fn(T) -> Option<U>,
    /// In the order in which they were found, with their items' places.
    values: RefCell<Vec<(usize, U)>>,
    cancel_rest: bool,
    /// Nothing unless the rest is to be cancelled.
    lanes: RefCell<Vec<Canceller>>,
}

/// Works through a list in `most` lanes; gives what `keep` keeps, in the order of the items.
#[track_caller]
pub(super) fn run<I, F, T, U>(
    most: usize,
    cancel_rest: bool,
    items: I,
    f: F,
    keep: fn(T) -> Option<U>,
) -> Promise<Vec<U>>
where
    I: Iterator + 'static,
    F: FnMut(usize, I::Item) -> Promise<T> + 'static,
    T: 'static,
    U: 'static,
{
    let crew = Rc::new(Crew {
        work: Cell::new(Work::Idle(Rest { items, f, place: 0 })),
        queue: RefCell::default(),
        failed: OnceCell::new(),
        keep,
        values: RefCell::default(),
        cancel_rest,
        lanes: RefCell::default(),
    });
    let mut lanes = Vec::new();
    while lanes.len() < most && !crew.is_over() {
        let theirs = Rc::clone(&crew);
        let lane = iterate((), move |()| Rc::clone(&theirs).turn());
        if cancel_rest {
            crew.lanes.borrow_mut().push(lane.canceller());
        }
        lanes.push(lane);
    }
    join(lanes).bind(move |()| crew.outcome())
}

impl<I, F, T, U> Crew<I, F, T, U> {
    fn is_over(&self) -> bool {
        let work = self.work.replace(Work::Over);
        let over = matches!(work, Work::Over);
        self.work.set(work);
        over
    }

    /// Puts the list back, if it is to be gone on with, and calls who waits for it.
    fn put_back(&self, rest: Option<Rest<I, F>>) {
        let (work, dropped) = match rest {
            Some(rest) if self.failed.get().is_none() => (Work::Idle(rest), None),
            rest => (Work::Over, rest),
        };
        self.work.set(work);
        loop {
            let next = self.queue.borrow_mut().pop_front();
            match next {
                Some(lane) => lane.wakeup(()),
                None => break,
            }
        }
        drop(dropped);
    }

    fn keep(&self, place: usize, value: T) {
        if self.failed.get().is_some() {
            return;
        }
        if let Some(value) = (self.keep)(value) {
            self.values.borrow_mut().push((place, value));
        }
    }

    fn fail(&self, error: Error) {
        if self.failed.set(error).is_err() {
            return;
        }
        // A call under way will put nothing back.
        drop(self.work.replace(Work::Over));
        let lanes = self.lanes.take();
        lanes.iter().for_each(Canceller::cancel);
    }

    /// Every lane has ended.
    fn outcome(&self) -> Promise<Vec<U>> {
        if let Some(error) = self.failed.get() {
            return Promise::fail(error.clone());
        }
        let mut values = self.values.take();
        values.sort_by_key(|(place, _)| *place);
        Promise::ready(values.into_iter().map(|(_, value)| value).collect())
    }
}

impl<I, F, T, U> Crew<I, F, T, U>
where
    I: Iterator + 'static,
    F: FnMut(usize, I::Item) -> Promise<T> + 'static,
    T: 'static,
    U: 'static,
{
    /// One turn of a lane.
    fn turn(self: Rc<Self>) -> Promise<ControlFlow<()>> {
        match self.work.replace(Work::Busy) {
            Work::Idle(rest) => self.start(rest),
            Work::Busy => {
                let (free, resolver) = task();
                self.queue.borrow_mut().push_back(resolver);
                let crew = Rc::clone(&self);
                free.try_bind(move |()| self.turn(), move |error| crew.failure(error))
            }
            Work::Over => {
                self.work.set(Work::Over);
                Promise::ready(Break(()))
            }
        }
    }

    fn failure(&self, error: Error) -> Promise<ControlFlow<()>> {
        self.fail(error);
        Promise::ready(Break(()))
    }

    /// Starts the next item.
    fn start(self: Rc<Self>, mut rest: Rest<I, F>) -> Promise<ControlFlow<()>> {
        let item = match catch_unwind(AssertUnwindSafe(|| rest.items.next())) {
            Ok(Some(item)) => item,
            Ok(None) => {
                self.put_back(None);
                return Promise::ready(Break(()));
            }
            Err(panic) => {
                self.fail(Error::from_panic(panic));
                self.put_back(Some(rest));
                return Promise::ready(Break(()));
            }
        };
        let place = rest.place;
        rest.place += 1;
        let promise = apply(|| (rest.f)(place, item));
        self.put_back(Some(rest));
        if self.cancel_rest && self.failed.get().is_some() {
            promise.cancel();
        }
        let crew = Rc::clone(&self);
        let kept = move |value| {
            self.keep(place, value);
            Promise::ready(Continue(()))
        };
        promise.try_bind(kept, move |error| crew.failure(error))
    }
}
