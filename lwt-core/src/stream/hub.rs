//! [`Hub`]: what all readers of a stream share: the buffer, and where its elements come from.
//!
//! Elements come from a *pull* source, a function that is asked for one at a time, or through a *gate*, from
//! those who push.
//!
//! 1. A pull source is asked only when a reader needs an element that is not there, and never again before
//!    its last promise is resolved. What it gives goes into the buffer, so that a reader that gave up loses
//!    nothing.
//! 2. Readers own the hub; sources, pushers and callbacks know it weakly. A reader with operations in
//!    progress is in `waiting`, which keeps it and thereby the hub: an operation in progress keeps its
//!    stream.
//! 3. With the last reader the hub goes: the elements are freed though the push handle lives, what the source
//!    was waiting for is cancelled, a blocked push is rejected.
//! 4. `closed`: nothing will be pushed any more. `ended`: nothing will come into the buffer any more.
//! 5. No borrow is held while a source, a callback, a clone function or a destructor runs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};

use crate::func::let_go;
use crate::promise::attach::caught;
use crate::{Canceller, Error, Promise, Resolver, task, wait};

use super::buffer::{Buffer, Failure, Item};
use super::error::{Closed, Full, PushError};
use super::reader::Reader;

/// A function that is asked for the next element.
pub(super) type Ask<T> = Box<dyn FnMut() -> Promise<Option<T>>>;

pub(super) enum Source<T> {
    Pull(Pull<T>),
    Gate(Gate<T>),
}

pub(super) struct Pull<T> {
    /// Out while it runs, and when the stream has ended.
    ask: Cell<Option<Ask<T>>>,
    /// The source is being asked.
    asking: Cell<bool>,
    /// What the source is waiting for.
    pending: RefCell<Option<Canceller>>,
}

impl<T> Pull<T> {
    pub(super) fn new(ask: Option<Ask<T>>) -> Pull<T> {
        Pull { ask: Cell::new(ask), asking: Cell::new(false), pending: RefCell::new(None) }
    }
}

pub(super) struct Gate<T> {
    /// How many elements may be unread before a push has to wait.
    size: Cell<usize>,
    /// The push that waits, with its element.
    blocked: RefCell<Option<(T, Resolver<()>)>>,
    /// The last push handle is gone: the stream ends when the blocked push is through.
    closing: Cell<bool>,
}

impl<T> Gate<T> {
    pub(super) fn new(size: usize) -> Gate<T> {
        Gate { size: Cell::new(size), blocked: RefCell::new(None), closing: Cell::new(false) }
    }

    /// Whether a push waits that is not being cancelled.
    fn is_blocked(&self) -> bool {
        self.blocked.borrow().as_ref().is_some_and(|(_, resolver)| resolver.is_pending())
    }
}

pub(super) struct Hub<T: 'static> {
    pub(super) buffer: RefCell<Buffer<T>>,
    /// How to clone an element: set as soon as two may need the same one.
    pub(super) clone: Cell<Option<fn(&T) -> T>>,
    source: Source<T>,
    closed: Cell<bool>,
    ended: Cell<bool>,
    /// Resolved when the stream is closed; made when somebody asks.
    signal: RefCell<Option<(Promise<()>, Resolver<()>)>>,
    waiting: RefCell<VecDeque<Rc<Reader<T>>>>,
    reference: RefCell<Option<Box<dyn Any>>>,
}

impl<T: 'static> Hub<T> {
    /// A hub with one reader, which is at the first of `items`. With `closed` nothing is pushed or asked for
    /// after them.
    pub(super) fn new(source: Source<T>, items: impl IntoIterator<Item = T>, closed: bool) -> Rc<Hub<T>> {
        let ended = closed && !matches!(&source, Source::Pull(pull) if pull.has_ask());
        Rc::new(Hub {
            buffer: RefCell::new(Buffer::new(items)),
            clone: Cell::new(None),
            source,
            closed: Cell::new(closed),
            ended: Cell::new(ended),
            signal: RefCell::new(None),
            waiting: RefCell::new(VecDeque::new()),
            reference: RefCell::new(None),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.get()
    }

    pub(super) fn unread(&self) -> usize {
        self.buffer.borrow().unread()
    }

    /// Keeps `reference` alive, in place of the one before.
    pub(super) fn set_reference(&self, reference: Box<dyn Any>) {
        let before = self.reference.borrow_mut().replace(reference);
        let_go(before);
    }

    /// A promise that is fulfilled when the stream is closed.
    pub(super) fn closed(&self) -> Promise<()> {
        if self.closed.get() {
            return Promise::ready(());
        }
        self.signal.borrow_mut().get_or_insert_with(wait).0.clone().protected()
    }

    /// A clone of an element; nothing is borrowed meanwhile.
    pub(super) fn copy(&self, element: &T) -> Result<T, Error> {
        let Some(clone) = self.clone.get() else {
            return Err(Error::msg("an element of a stream was read while a function was looking at it"));
        };
        catch_unwind(AssertUnwindSafe(|| clone(element))).map_err(Error::from_panic)
    }

    /// The element of a slot that is gone.
    pub(super) fn value(&self, item: Item<T>) -> Result<T, Error> {
        match item {
            Item::Own(element) => Ok(element),
            Item::Shared(shared) => Rc::try_unwrap(shared).or_else(|shared| {
                let copy = self.copy(&shared);
                let_go(shared);
                copy
            }),
            Item::Failed(failure) => Err(failure.tell()),
            Item::Gone => Err(Error::abandoned()), // not reached: only inside `Buffer::share`
        }
    }

    // ---- readers that wait ----

    pub(super) fn list(&self, reader: Rc<Reader<T>>) {
        self.waiting.borrow_mut().push_back(reader);
    }

    /// Takes a reader out of the list. What it kept goes with the result.
    pub(super) fn unlist(&self, reader: &Reader<T>) -> Option<Rc<Reader<T>>> {
        let mut waiting = self.waiting.borrow_mut();
        let at = waiting.iter().position(|other| std::ptr::eq(&raw const **other, reader))?;
        waiting.remove(at)
    }

    /// Has each reader that waits look what there is.
    fn notify(&self) {
        let many = self.waiting.borrow().len();
        // Those that go on waiting come in behind.
        for _ in 0..many {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(reader) = next else { return };
            reader.unlisted();
            reader.serve();
        }
    }

    fn is_hungry(&self) -> bool {
        let end = self.buffer.borrow().end();
        self.waiting.borrow().iter().any(|reader| reader.is_hungry(end))
    }

    // ---- what comes in ----

    fn append(&self, item: Item<T>) {
        self.buffer.borrow_mut().push(item);
        self.notify();
    }

    /// Nothing will come any more.
    fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        if let Source::Pull(pull) = &self.source {
            let_go(pull.ask.take());
        }
        self.close();
        self.notify();
    }

    /// Nothing will be pushed any more.
    fn close(&self) {
        if !self.closed.replace(true) {
            let signal = self.signal.borrow_mut().take();
            if let Some((_promise, resolver)) = signal {
                resolver.wakeup_later(());
            }
        }
    }

    /// A reader needs an element that is not there.
    pub(super) fn ask(self: &Rc<Self>) {
        match &self.source {
            Source::Pull(pull) => self.ask_source(pull),
            Source::Gate(gate) => self.admit(gate, true),
        }
    }

    fn ask_source(self: &Rc<Self>, pull: &Pull<T>) {
        if pull.asking.get() || pull.pending.borrow().is_some() {
            return;
        }
        while let Some(mut ask) = pull.ask.take() {
            pull.asking.set(true);
            let promise = caught(&mut ask);
            pull.ask.set(Some(ask));
            match promise.try_take() {
                Ok(result) => self.supply(result),
                Err(promise) => {
                    pull.asking.set(false);
                    return self.await_source(pull, promise);
                }
            }
            pull.asking.set(false);
            // Those who began to wait while the source was being asked could not ask themselves.
            if !self.is_hungry() {
                return;
            }
        }
    }

    fn await_source(self: &Rc<Self>, pull: &Pull<T>, promise: Promise<Option<T>>) {
        // A copy that always yields to a cancel: nothing stays behind on a promise that does not.
        let promise = promise.wrap_in_cancelable();
        *pull.pending.borrow_mut() = Some(promise.canceller());
        let hub = Rc::downgrade(self);
        let taken = promise.attach(move |result| match hub.upgrade() {
            Some(hub) => {
                hub.source_answered(result);
                Promise::ready(())
            }
            None => Promise::settled(result.map(|_element| ())),
        });
        drop(taken);
    }

    fn source_answered(&self, result: Result<Option<T>, Error>) {
        if let Source::Pull(pull) = &self.source {
            let done = pull.pending.borrow_mut().take();
            drop(done);
        }
        self.supply(result);
    }

    fn supply(&self, result: Result<Option<T>, Error>) {
        match result {
            Ok(Some(element)) => self.append(Item::Own(element)),
            Ok(None) => self.end(),
            Err(error) => self.append(Item::Failed(Failure::new(error))),
        }
    }

    // ---- the gate ----

    /// Something was read, so there may be room.
    pub(super) fn admit_blocked(&self) {
        if let Source::Gate(gate) = &self.source {
            self.admit(gate, false);
        }
    }

    /// Whether there is room for an element, or a reader that waits for it and nothing else to read: one in
    /// the line, or, with `demanded`, the caller.
    fn has_room(&self, gate: &Gate<T>, demanded: bool) -> bool {
        let unread = self.unread();
        unread < gate.size.get() || (unread == 0 && (demanded || self.is_hungry()))
    }

    /// Lets the blocked push through if there is room for its element.
    fn admit(&self, gate: &Gate<T>, demanded: bool) {
        if gate.blocked.borrow().is_none() {
            return;
        }
        let is_read = self.buffer.borrow().is_read();
        if is_read && self.has_room(gate, demanded) {
            let through = gate.blocked.borrow_mut().take();
            if let Some((element, resolver)) = through {
                // One that is being cancelled has pushed nothing.
                if resolver.is_pending() {
                    self.buffer.borrow_mut().push(Item::Own(element));
                    // Before the readers hear of it: no cancel of theirs takes back what they have.
                    resolver.wakeup_later(());
                    self.notify();
                } else {
                    let_go(element);
                }
                self.end_if_closing(gate);
            }
        }
    }

    fn end_if_closing(&self, gate: &Gate<T>) {
        if gate.closing.get() && gate.blocked.borrow().is_none() {
            self.end();
        }
    }

    fn gate(&self) -> Option<&Gate<T>> {
        match &self.source {
            Source::Gate(gate) => Some(gate),
            Source::Pull(_) => None,
        }
    }

    /// Takes an element if that needs no waiting.
    pub(super) fn try_push(&self, element: T) -> Result<(), PushError<T>> {
        // While the last reader's elements are dropped nobody is there any more.
        let is_open = !self.closed.get() && self.buffer.borrow().is_read();
        let Some(gate) = self.gate().filter(|_| is_open) else {
            return Err(PushError::Closed(element));
        };
        if !self.has_room(gate, false) || gate.is_blocked() {
            return Err(PushError::Full(element));
        }
        self.append(Item::Own(element));
        Ok(())
    }

    /// Takes an element, now or when there is room.
    pub(super) fn push(self: &Rc<Self>, element: T) -> Promise<()> {
        let element = match self.try_push(element) {
            Ok(()) => return Promise::ready(()),
            Err(PushError::Closed(_)) => return Promise::fail(Closed),
            Err(PushError::Full(element)) => element,
        };
        let Some(gate) = self.gate() else { return Promise::fail(Closed) };
        if gate.is_blocked() {
            return Promise::fail(Full);
        }
        let (promise, resolver) = task();
        let hub = Rc::downgrade(self);
        resolver.on_cancel(move || Hub::push_cancelled(&hub));
        let cancelled = gate.blocked.replace(Some((element, resolver)));
        let_go(cancelled);
        promise
    }

    fn push_cancelled(hub: &Weak<Hub<T>>) {
        let Some(hub) = hub.upgrade() else { return };
        let Some(gate) = hub.gate() else { return };
        // Another one may wait by now.
        let given_up = gate.blocked.borrow_mut().take_if(|(_, resolver)| !resolver.is_pending());
        let_go(given_up);
        hub.end_if_closing(gate);
    }

    /// Ends the stream on behalf of those who push. Whether it was open.
    pub(super) fn shut(&self) -> bool {
        let Some(gate) = self.gate().filter(|_| !self.closed.get()) else { return false };
        let blocked = gate.blocked.borrow_mut().take();
        let refused = match blocked {
            Some((element, resolver)) if resolver.is_pending() && !resolver.is_wanted() => {
                // Nobody is there to be told that it was not taken, so it is.
                self.buffer.borrow_mut().push(Item::Own(element));
                None
            }
            blocked => blocked,
        };
        self.close();
        if let Some((element, resolver)) = refused {
            resolver.wakeup_later_err(Closed);
            let_go(element);
        }
        self.end();
        true
    }

    /// The last push handle went away: what waits at the gate still gets through.
    pub(super) fn abandon(&self) {
        let Some(gate) = self.gate().filter(|_| !self.closed.get()) else { return };
        gate.closing.set(true);
        self.close();
        self.end_if_closing(gate);
    }

    pub(super) fn size(&self) -> usize {
        self.gate().map_or(0, |gate| gate.size.get())
    }

    pub(super) fn resize(&self, size: usize) {
        if let Some(gate) = self.gate() {
            gate.size.set(size);
            self.admit(gate, false);
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.gate().is_some_and(Gate::is_blocked)
    }
}

impl<T> Pull<T> {
    fn has_ask(&self) -> bool {
        let ask = self.ask.take();
        let has = ask.is_some();
        self.ask.set(ask);
        has
    }
}

impl<T: 'static> Drop for Hub<T> {
    fn drop(&mut self) {
        match &self.source {
            Source::Pull(pull) => {
                let pending = pull.pending.borrow_mut().take();
                if let Some(pending) = pending {
                    pending.cancel();
                }
                let_go(pull.ask.take());
            }
            Source::Gate(gate) => {
                let blocked = gate.blocked.borrow_mut().take();
                if let Some((element, resolver)) = blocked {
                    resolver.wakeup_later_err(Closed);
                    let_go(element);
                }
            }
        }
        let_go(self.reference.take());
        let_go(self.buffer.replace(Buffer::new([])));
    }
}
