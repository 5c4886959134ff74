//! [`Core`]: what the two ends of a channel share, and who of those who wait may go on.
//!
//! 1. Whoever has to wait gets a place in a line, one line for senders and one for receivers, first come
//!    first served.
//! 2. *Entitled* are as many of the first in the line of receivers as there are items, and as many of the
//!    first senders as there is room. Who comes anew is behind all who wait: he gets on only if there is more
//!    than they are entitled to.
//! 3. Whoever becomes entitled is called, once: by the item or the room that came, or by one who was entitled
//!    and left his place without using it. So a waiter that is cancelled loses no item and no call.
//! 4. A channel that is closed takes no items any more. Receivers get those that are there, and are told of
//!    the end when there are none.
//! 5. Wakers are called, and values dropped, after the lock is given up.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard};

/// The channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended;

pub(super) struct Core<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    items: VecDeque<T>,
    bound: usize,
    closed: bool,
    /// How many handles there are on either end.
    senders: usize,
    receivers: usize,
    sending: Line,
    receiving: Line,
}

impl<T> State<T> {
    fn room(&self) -> usize {
        self.bound - self.items.len()
    }

    /// There is one item more: who is entitled to it.
    fn item_came(&mut self) -> Option<Waker> {
        self.receiving.call(self.items.len() - 1)
    }

    /// There is one item less: those who are to hear of it.
    fn item_went(&mut self) -> Calls {
        let room = self.sending.call(self.room() - 1);
        let end = if self.closed && self.items.is_empty() { self.receiving.call_all() } else { Vec::new() };
        Calls(room, end)
    }

    /// No items come any more: those who are to hear of it.
    fn close(&mut self) -> Calls {
        self.closed = true;
        let mut calls = self.sending.call_all();
        if self.items.is_empty() {
            calls.append(&mut self.receiving.call_all());
        }
        Calls(None, calls)
    }
}

/// Those who are to be called once the lock is given up.
#[must_use]
struct Calls(Option<Waker>, Vec<Waker>);

impl Calls {
    fn call(self) {
        self.0.into_iter().chain(self.1).for_each(Waker::wake);
    }
}

/// Those who wait, first come first served.
#[derive(Default)]
struct Line {
    /// By number; a waiter that was called has no waker until he asks again.
    waiters: VecDeque<(u64, Option<Waker>)>,
    given: u64,
}

impl Line {
    fn len(&self) -> usize {
        self.waiters.len()
    }

    /// How many are before this waiter; for one without a number, all.
    fn place(&self, number: Option<u64>) -> usize {
        let found =
            number.and_then(|number| self.waiters.binary_search_by_key(&number, |(number, _)| *number).ok());
        found.unwrap_or(self.len())
    }

    /// The waiter waits on.
    fn wait(&mut self, number: &mut Option<u64>, waker: &Waker) {
        match self.waiters.get_mut(self.place(*number)) {
            Some((_, Some(known))) => known.clone_from(waker),
            Some((_, place)) => *place = Some(waker.clone()),
            None => {
                self.given += 1;
                *number = Some(self.given);
                self.waiters.push_back((self.given, Some(waker.clone())));
            }
        }
    }

    /// The waiter leaves the line, if he is in it.
    fn leave(&mut self, number: &mut Option<u64>) {
        if let Some(number) = number.take() {
            self.waiters.remove(self.place(Some(number)));
        }
    }

    /// The waker of the waiter in this place.
    fn call(&mut self, place: usize) -> Option<Waker> {
        self.waiters.get_mut(place)?.1.take()
    }

    fn call_all(&mut self) -> Vec<Waker> {
        self.waiters.iter_mut().filter_map(|(_, waker)| waker.take()).collect()
    }
}

impl<T> Core<T> {
    /// A channel for at most `bound` items (0 counts as 1), with one handle on either end.
    pub(super) fn new(bound: usize) -> Core<T> {
        let state = State {
            items: VecDeque::new(),
            bound: bound.max(1),
            closed: false,
            senders: 1,
            receivers: 1,
            sending: Line::default(),
            receiving: Line::default(),
        };
        Core { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the item, if there is room for it that nobody waits for.
    ///
    /// # Errors
    /// Gives it back; [`Ended`] if there never will be.
    pub(super) fn try_send(&self, item: T) -> Result<(), (T, Option<Ended>)> {
        let call = {
            let mut state = self.lock();
            if state.closed {
                return Err((item, Some(Ended)));
            }
            if state.sending.len() >= state.room() {
                return Err((item, None));
            }
            state.items.push_back(item);
            state.item_came()
        };
        Calls(call, Vec::new()).call();
        Ok(())
    }

    /// Takes an item, if there is one that nobody waits for.
    ///
    /// # Errors
    /// [`Ended`] if none will come.
    pub(super) fn try_receive(&self) -> Result<Option<T>, Ended> {
        let (item, calls) = {
            let mut state = self.lock();
            if state.closed && state.items.is_empty() {
                return Err(Ended);
            }
            if state.receiving.len() >= state.items.len() {
                return Ok(None);
            }
            let item = state.items.pop_front();
            (item, state.item_went())
        };
        calls.call();
        Ok(item)
    }

    /// Lets no items in any more.
    pub(super) fn close(&self) {
        let calls = self.lock().close();
        calls.call();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// One handle more on the sending end.
    pub(super) fn add_sender(&self) {
        self.lock().senders += 1;
    }

    /// One handle more on the receiving end.
    pub(super) fn add_receiver(&self) {
        self.lock().receivers += 1;
    }

    /// One handle less; with the last, no items come any more.
    pub(super) fn drop_sender(&self) {
        let calls = {
            let mut state = self.lock();
            state.senders -= 1;
            if state.senders > 0 {
                return;
            }
            state.close()
        };
        calls.call();
    }

    /// One handle less; with the last, nobody will take what is there.
    pub(super) fn drop_receiver(&self) {
        let (items, calls) = {
            let mut state = self.lock();
            state.receivers -= 1;
            if state.receivers > 0 {
                return;
            }
            let items = std::mem::take(&mut state.items);
            (items, state.close())
        };
        calls.call();
        drop(items);
    }
}

/// Sends the item when there is room.
pub(super) fn send<T>(core: &Arc<Core<T>>, item: T) -> Send<T> {
    Send { core: Arc::clone(core), item: Some(item), number: None }
}

/// See [`send`].
pub(super) struct Send<T> {
    core: Arc<Core<T>>,
    item: Option<T>,
    number: Option<u64>,
}

// The item is never pinned.
impl<T> Unpin for Send<T> {}

impl<T> Send<T> {
    /// The item, if it was not sent.
    pub(super) fn take(&mut self) -> Option<T> {
        self.item.take()
    }
}

impl<T> Future for Send<T> {
    type Output = Result<(), Ended>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let this = self.get_mut();
        let call = {
            let mut state = this.core.lock();
            if state.closed {
                state.sending.leave(&mut this.number);
                return Poll::Ready(Err(Ended));
            }
            if state.sending.place(this.number) >= state.room() {
                state.sending.wait(&mut this.number, context.waker());
                return Poll::Pending;
            }
            state.sending.leave(&mut this.number);
            let Some(item) = this.item.take() else { return Poll::Ready(Ok(())) };
            state.items.push_back(item);
            state.item_came()
        };
        Calls(call, Vec::new()).call();
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Send<T> {
    fn drop(&mut self) {
        if self.number.is_none() {
            return;
        }
        let call = {
            let mut state = self.core.lock();
            let (place, room) = (state.sending.place(self.number), state.room());
            state.sending.leave(&mut self.number);
            if place < room { state.sending.call(room - 1) } else { None }
        };
        Calls(call, Vec::new()).call();
    }
}

/// Takes the next item.
pub(super) fn receive<T>(core: &Arc<Core<T>>) -> Receive<T> {
    Receive { core: Arc::clone(core), number: None }
}

/// See [`receive`].
pub(super) struct Receive<T> {
    core: Arc<Core<T>>,
    number: Option<u64>,
}

impl<T> Future for Receive<T> {
    type Output = Result<T, Ended>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, Ended>> {
        let this = self.get_mut();
        let (item, calls) = {
            let mut state = this.core.lock();
            if state.receiving.place(this.number) < state.items.len() {
                state.receiving.leave(&mut this.number);
                let Some(item) = state.items.pop_front() else { return Poll::Pending };
                (item, state.item_went())
            } else if state.closed && state.items.is_empty() {
                state.receiving.leave(&mut this.number);
                return Poll::Ready(Err(Ended));
            } else {
                state.receiving.wait(&mut this.number, context.waker());
                return Poll::Pending;
            }
        };
        calls.call();
        Poll::Ready(Ok(item))
    }
}

impl<T> Drop for Receive<T> {
    fn drop(&mut self) {
        if self.number.is_none() {
            return;
        }
        let call = {
            let mut state = self.core.lock();
            let (place, items) = (state.receiving.place(self.number), state.items.len());
            state.receiving.leave(&mut self.number);
            if place < items { state.receiving.call(items - 1) } else { None }
        };
        Calls(call, Vec::new()).call();
    }
}

#[cfg(all(test, loom))]
#[path = "models.rs"]
mod models;
