//! [`Reader`]: a place in a stream, and the queue of the operations that read from there.
//!
//! 1. Operations take effect in the order in which they were called. The first in the queue is the only one
//!    that takes or sets aside elements; an operation that finds the queue empty and its element there does
//!    not enter it at all.
//! 2. While an operation runs user code (a predicate, a clone function) or holds the [`Turn`], the reader is
//!    *locked*: calls that would overtake it only enter the queue, and whoever unlocks serves it.
//! 3. An operation of many elements *claims* them one by one and keeps them as claimed until it has all, so
//!    that they make room at the gate. Claims are `claimed` numbers before `next`. They end together: taken,
//!    or given back when the operation is cancelled, dropped or fails.
//! 4. An operation whose promise is cancelled or dropped leaves the queue at once.
//! 5. The queue is not empty and the reader unlocked: then the hub lists it as waiting, which keeps it alive.
//! 6. Elements go to their promises by `wakeup`, so that a `pick` in which a reader stands is decided by
//!    them, and loses none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::func::let_go;
use crate::promise::attach::caught_result;
use crate::waiters::{Place, Waiters};
use crate::{Error, Promise, Resolver, task};

use super::hub::Hub;
use super::place::Ahead;
use super::scan::{Scan, Verdict};
use super::turn::Turn;

enum Request<T: 'static> {
    Get(Resolver<Option<T>>),
    Turn(Resolver<Turn<T>>),
    Scan(Box<Scan<T>>),
}

impl<T: 'static> Request<T> {
    fn is_wanted(&self) -> bool {
        match self {
            Request::Get(resolver) => resolver.is_wanted(),
            Request::Turn(resolver) => resolver.is_wanted(),
            Request::Scan(scan) => scan.is_wanted(),
        }
    }
}

pub(super) struct Reader<T: 'static> {
    pub(super) hub: Rc<Hub<T>>,
    /// The number of the first element that is neither read nor claimed.
    pub(super) next: Cell<u64>,
    pub(super) claimed: Cell<u64>,
    /// Failures that an operation was told of which then gave back the elements before them: nobody is to be
    /// told again.
    pub(super) told: RefCell<VecDeque<u64>>,
    queue: Waiters<Request<T>>,
    pub(super) locked: Cell<bool>,
    listed: Cell<bool>,
}

impl<T: 'static> Reader<T> {
    /// The first reader of a hub.
    pub(super) fn first(hub: Rc<Hub<T>>) -> Rc<Reader<T>> {
        Reader::at(hub, 0, VecDeque::new())
    }

    fn at(hub: Rc<Hub<T>>, next: u64, told: VecDeque<u64>) -> Rc<Reader<T>> {
        Rc::new(Reader {
            hub,
            next: Cell::new(next),
            claimed: Cell::new(0),
            told: RefCell::new(told),
            queue: Waiters::new(),
            locked: Cell::new(false),
            listed: Cell::new(false),
        })
    }

    /// Another reader at the same place.
    pub(super) fn fork(&self) -> Rc<Reader<T>>
    where
        T: Clone,
    {
        self.hub.clone.set(Some(T::clone));
        let from = self.place();
        self.hub.buffer.borrow_mut().enter(from);
        Reader::at(self.hub.clone(), from, self.told.borrow().clone())
    }

    /// Whether a call now would overtake another one.
    fn is_contended(&self) -> bool {
        self.locked.get() || !self.queue.is_empty()
    }

    pub(super) fn while_locked<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Unlock<'a>(&'a Cell<bool>);
        impl Drop for Unlock<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        self.locked.set(true);
        let _unlock = Unlock(&self.locked);
        f()
    }

    // ---- operations ----

    /// Takes what is there, if it is there now.
    pub(super) fn take_now(self: &Rc<Self>) -> Option<Result<Option<T>, Error>> {
        if self.is_contended() {
            return None;
        }
        let taken = match self.take_own() {
            Some(element) => Some(Ok(Some(element))),
            // The source may itself call us, and then comes first.
            None if self.look_ahead() == Ahead::Nothing || self.is_contended() => return None,
            None => self.take(|| true),
        };
        self.hub.admit_blocked();
        if !self.queue.is_empty() {
            self.serve(); // who came while we were locked
        }
        taken
    }

    /// What is ahead, if no other operation comes first.
    pub(super) fn ahead_now(&self) -> Option<Ahead> {
        if self.is_contended() {
            return None;
        }
        let ahead = self.look_ahead();
        (ahead != Ahead::Nothing && !self.is_contended()).then_some(ahead)
    }

    #[track_caller]
    pub(super) fn get(self: &Rc<Self>) -> Promise<Option<T>> {
        match self.take_now() {
            Some(Ok(element)) => Promise::ready(element),
            Some(Err(error)) => Promise::fail(error),
            None => {
                let (promise, resolver) = task();
                self.enqueue(resolver, Request::Get);
                promise
            }
        }
    }

    #[track_caller]
    pub(super) fn scan<R: 'static>(self: &Rc<Self>, scan: impl FnOnce(Resolver<R>) -> Scan<T>) -> Promise<R> {
        let (promise, resolver) = task();
        self.enqueue(resolver, |resolver| Request::Scan(Box::new(scan(resolver))));
        promise
    }

    /// The right to be the only one that reads from here.
    #[track_caller]
    pub(super) fn turn(self: &Rc<Self>) -> Promise<Turn<T>> {
        if !self.is_contended() {
            return Promise::ready(Turn::new(self));
        }
        let (promise, resolver) = task();
        self.enqueue(resolver, Request::Turn);
        promise
    }

    fn enqueue<R: 'static>(
        self: &Rc<Self>,
        resolver: Resolver<R>,
        request: impl FnOnce(Resolver<R>) -> Request<T>,
    ) {
        self.queue.push(|place| {
            let reader = Rc::downgrade(self);
            resolver.on_unwanted(move || {
                if let Some(reader) = reader.upgrade() {
                    reader.forget(place);
                }
            });
            request(resolver)
        });
        self.serve();
    }

    /// Serves the queue as far as there is something to serve it with.
    pub(super) fn serve(self: &Rc<Self>) {
        while !self.locked.get() {
            let Some((place, request)) = self.queue.pop_first() else { break };
            let waits = match request {
                Request::Get(resolver) => self.serve_get(place, resolver),
                Request::Scan(scan) => self.serve_scan(place, scan),
                Request::Turn(resolver) => {
                    if resolver.is_wanted() {
                        resolver.wakeup_later(Turn::new(self));
                    }
                    false
                }
            };
            // An operation that was given up while it was out of the queue is seen in the next round.
            if waits && self.queue.first(Request::is_wanted).unwrap_or(true) {
                break;
            }
        }
        self.list_or_unlist();
    }

    /// Whether the operation waits, in the queue again.
    fn serve_get(&self, place: Place, resolver: Resolver<Option<T>>) -> bool {
        if resolver.is_wanted() && self.while_locked(|| self.look_ahead()) == Ahead::Nothing {
            self.queue.put_back(place, Request::Get(resolver));
            return true;
        }
        let wanted = resolver.is_wanted();
        if let Some(taken) = wanted.then(|| self.take(|| resolver.is_wanted())).flatten() {
            resolver.wakeup_result(taken);
        }
        self.hub.admit_blocked();
        false
    }

    /// As [`serve_get`](Reader::serve_get).
    fn serve_scan(self: &Rc<Self>, place: Place, mut scan: Box<Scan<T>>) -> bool {
        // What panics is the end of an element.
        let verdict = caught_result(|| Ok(self.while_locked(|| scan.advance(self))));
        let verdict = verdict.unwrap_or_else(|error| Verdict::Done(Err(error)));
        match verdict {
            Verdict::Waits => {
                self.queue.put_back(place, Request::Scan(scan));
                return true;
            }
            Verdict::Tests(promise) => {
                let promise = scan.set_testing(promise);
                self.queue.put_back(place, Request::Scan(scan));
                self.await_test(place, promise);
                self.hub.admit_blocked();
                return true;
            }
            Verdict::Unwanted => {
                self.give_back();
                scan.stop_test();
                let_go(scan);
            }
            Verdict::Done(result) => {
                self.give_back();
                scan.settle(result);
            }
        }
        self.hub.admit_blocked();
        false
    }

    fn await_test(self: &Rc<Self>, place: Place, promise: Promise<bool>) {
        let reader = Rc::downgrade(self);
        let tested = promise.attach(move |result| {
            let Some(reader) = reader.upgrade() else { return Promise::settled(result.map(|_| ())) };
            let mut unheard = Some(result);
            reader.queue.change(place, |request| {
                if let Request::Scan(scan) = request
                    && let Some(result) = unheard.take()
                {
                    scan.set_answer(result);
                }
            });
            match unheard {
                Some(result) => Promise::settled(result.map(|_| ())),
                None => {
                    reader.serve();
                    Promise::ready(())
                }
            }
        });
        drop(tested);
    }

    /// The promise of an operation was cancelled or dropped.
    fn forget(self: &Rc<Self>, place: Place) {
        // Claims are those of the first, unless that one is out of the queue, being served.
        let is_first = !self.locked.get() && self.queue.is_first(place);
        let forgotten = self.queue.remove(place);
        if let Some(Request::Scan(scan)) = &forgotten {
            if is_first {
                self.give_back();
            }
            scan.stop_test();
        }
        if forgotten.is_some() {
            let_go(forgotten);
            self.serve();
        }
    }

    // ---- the hub's list ----

    fn list_or_unlist(self: &Rc<Self>) {
        let waits = !self.queue.is_empty();
        if waits && !self.listed.replace(true) {
            self.hub.list(self.clone());
        } else if !waits && self.listed.replace(false) {
            let kept = self.hub.unlist(self);
            drop(kept);
        }
    }

    /// The hub took this reader out of its list.
    pub(super) fn unlisted(&self) {
        self.listed.set(false);
    }

    /// Whether an operation waits for the element to come, whose number is `end`.
    pub(super) fn is_hungry(&self, end: u64) -> bool {
        !self.locked.get() && self.next.get() >= end && !self.queue.is_empty()
    }
}

impl<T: 'static> Drop for Reader<T> {
    fn drop(&mut self) {
        let removed = self.hub.buffer.borrow_mut().leave(self.next.get());
        let_go(removed);
        self.hub.admit_blocked();
    }
}
