//! [`Buffer`]: the elements that somebody has still to read, shared by all readers of a stream.
//!
//! Elements have consecutive numbers. A reader is *at* a number: it has read all before it.
//!
//! 1. A slot counts its *readers*, those that have not read it, and its *holds*: readers that have set it
//!    aside, and may yet give it back. With neither left it is gone.
//! 2. Both kinds stand for a run of slots without gaps, so the sum of the two counts never falls from one
//!    slot to the next: what goes, goes at the front.
//! 3. `unread` is the number of slots with readers. It is what a bounded stream counts: what is only held
//!    takes no room.
//! 4. Nothing here runs user code. What is removed is handed out, to be dropped by the caller when no borrow
//!    is held.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use crate::{Error, unhandled};

/// What is in a slot.
pub(super) enum Item<T> {
    Own(T),
    /// An element that somebody looks at, or is about to clone.
    Shared(Rc<T>),
    /// The source failed here.
    Failed(Failure),
    /// Only while an element becomes shared.
    Gone,
}

/// An error that goes to the unhandled-rejection hook if no reader ever gets it.
pub(super) struct Failure {
    error: Error,
    told: Cell<bool>,
}

impl Failure {
    pub(super) fn new(error: Error) -> Failure {
        Failure { error, told: Cell::new(false) }
    }

    /// The error, for a promise that answers for it.
    pub(super) fn tell(&self) -> Error {
        self.told.set(true);
        self.error.clone()
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        if !self.told.get() {
            unhandled::report_unseen(&self.error);
        }
    }
}

struct Slot<T> {
    item: Item<T>,
    readers: usize,
    holds: usize,
}

/// What was removed.
pub(super) type Removed<T> = Vec<Item<T>>;

pub(super) struct Buffer<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the first slot.
    base: u64,
    unread: usize,
    /// Readers and holds that count for slots to come.
    readers: usize,
    holds: usize,
}

impl<T> Buffer<T> {
    pub(super) fn new(items: impl IntoIterator<Item = T>) -> Buffer<T> {
        let mut buffer = Buffer { slots: VecDeque::new(), base: 0, unread: 0, readers: 1, holds: 0 };
        for item in items {
            buffer.push(Item::Own(item));
        }
        buffer
    }

    /// The number of the element to come.
    pub(super) fn end(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    /// Whether anybody is left to read what comes.
    pub(super) fn is_read(&self) -> bool {
        self.readers + self.holds > 0
    }

    pub(super) fn push(&mut self, item: Item<T>) {
        self.unread += usize::from(self.readers > 0);
        self.slots.push_back(Slot { item, readers: self.readers, holds: self.holds });
    }

    fn slot(&mut self, number: u64) -> &mut Slot<T> {
        let at = (number - self.base) as usize;
        &mut self.slots[at]
    }

    /// What the reader at `number` meets.
    pub(super) fn at(&self, number: u64) -> Option<&Item<T>> {
        Some(&self.slots.get(usize::try_from(number.checked_sub(self.base)?).ok()?)?.item)
    }

    /// Whether only one reader or hold is left on the element.
    pub(super) fn is_sole(&mut self, number: u64) -> bool {
        let slot = self.slot(number);
        slot.readers + slot.holds == 1
    }

    /// A way to look at an element while nothing is borrowed.
    pub(super) fn share(&mut self, number: u64) -> Option<Rc<T>> {
        let slot = self.slot(number);
        match std::mem::replace(&mut slot.item, Item::Gone) {
            Item::Own(element) => {
                let shared = Rc::new(element);
                slot.item = Item::Shared(shared.clone());
                Some(shared)
            }
            Item::Shared(shared) => {
                slot.item = Item::Shared(shared.clone());
                Some(shared)
            }
            other => {
                slot.item = other;
                None
            }
        }
    }

    /// Lets go of one reader or hold of the slot.
    fn unread_one(&mut self, number: u64) {
        let slot = self.slot(number);
        slot.readers -= 1;
        self.unread -= usize::from(slot.readers == 0);
    }

    fn reread_one(&mut self, number: u64) {
        let slot = self.slot(number);
        slot.readers += 1;
        self.unread += usize::from(slot.readers == 1);
    }

    fn pop_if_done(&mut self) -> Option<Item<T>> {
        let first = self.slots.front()?;
        if first.readers + first.holds > 0 {
            return None;
        }
        self.base += 1;
        self.slots.pop_front().map(|slot| slot.item)
    }

    fn pop_done(&mut self) -> Removed<T> {
        std::iter::from_fn(|| self.pop_if_done()).collect()
    }

    /// A reader goes past an element: what is in the slot, if it was the last one.
    pub(super) fn pass(&mut self, number: u64) -> Option<Item<T>> {
        self.unread_one(number);
        self.pop_if_done()
    }

    /// The reader at `number` takes an element that nobody else looks at or has still to read: the shortest
    /// way to `pass` it.
    pub(super) fn take_own(&mut self, number: u64) -> Option<T> {
        let is_own =
            |slot: &mut Slot<T>| slot.readers == 1 && slot.holds == 0 && matches!(slot.item, Item::Own(_));
        if number != self.base {
            return None;
        }
        let slot = self.slots.pop_front_if(is_own)?;
        self.base += 1;
        self.unread -= 1;
        match slot.item {
            Item::Own(element) => Some(element),
            _ => None, // not reached
        }
    }

    /// A reader sets an element aside.
    pub(super) fn claim(&mut self, number: u64) {
        self.unread_one(number);
        self.slot(number).holds += 1;
    }

    /// A reader gives back what it had set aside.
    pub(super) fn unclaim(&mut self, numbers: Range<u64>) {
        for number in numbers {
            self.slot(number).holds -= 1;
            self.reread_one(number);
        }
    }

    /// A reader goes past an element that it had set aside.
    pub(super) fn release(&mut self, number: u64) -> Option<Item<T>> {
        self.slot(number).holds -= 1;
        self.pop_if_done()
    }

    /// One reader more, at `from`.
    pub(super) fn enter(&mut self, from: u64) {
        self.readers += 1;
        for number in from..self.end() {
            self.reread_one(number);
        }
    }

    /// The reader at `from` goes away.
    pub(super) fn leave(&mut self, from: u64) -> Removed<T> {
        self.readers -= 1;
        for number in from..self.end() {
            self.unread_one(number);
        }
        self.pop_done()
    }

    /// The reader at `from` keeps its place without counting as a reader.
    pub(super) fn hold(&mut self, from: u64) {
        self.readers -= 1;
        self.holds += 1;
        for number in from..self.end() {
            self.claim(number);
        }
    }

    /// The reader whose place is `from` reads on, at `to`.
    pub(super) fn unhold(&mut self, from: u64, to: u64) -> Removed<T> {
        self.holds -= 1;
        self.readers += 1;
        for number in from..to {
            self.slot(number).holds -= 1;
        }
        self.unclaim(to..self.end());
        self.pop_done()
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffer, Item};

    fn value(item: Option<Item<i32>>) -> Option<i32> {
        match item? {
            Item::Own(v) => Some(v),
            Item::Shared(v) => Some(*v),
            Item::Failed(_) | Item::Gone => None,
        }
    }

    #[test]
    fn the_slowest_reader_frees() {
        let mut b = Buffer::new([1, 2, 3]);
        b.enter(0);
        assert_eq!(value(b.pass(0)), None);
        assert_eq!(value(b.pass(1)), None);
        assert_eq!(b.unread(), 3);
        assert_eq!(value(b.pass(0)), Some(1));
        assert_eq!(b.unread(), 2);
        assert_eq!(b.leave(2).len(), 0);
        b.push(Item::Own(4));
        assert_eq!(value(b.pass(1)), Some(2));
        assert_eq!((b.unread(), b.end()), (2, 4));
        assert_eq!(b.leave(2).len(), 2);
    }

    #[test]
    fn what_is_claimed_takes_no_room_and_comes_back() {
        let mut b = Buffer::new([1, 2, 3]);
        b.claim(0);
        b.claim(1);
        assert_eq!(b.unread(), 1);
        b.unclaim(0..2);
        assert_eq!(b.unread(), 3);
        b.claim(0);
        assert_eq!(value(b.release(0)), Some(1));
        assert!(b.is_sole(1));
    }

    #[test]
    fn a_hold_keeps_its_place() {
        let mut b = Buffer::new([1, 2, 3]);
        b.hold(0);
        b.enter(0);
        assert_eq!(value(b.pass(0)), None);
        assert_eq!(b.unread(), 2);
        b.push(Item::Own(4));
        assert_eq!(b.leave(1).len(), 0);
        assert_eq!(b.unread(), 0);
        assert_eq!(b.unhold(0, 1).len(), 1);
        assert_eq!(b.unread(), 3);
    }
}
