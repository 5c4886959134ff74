//! [`Turn`]: reading that nobody else takes part in.

use std::cell::Cell;
use std::rc::Rc;

use crate::func::let_go;

use super::reader::Reader;

/// The right to be the only one that reads from a place: other operations wait until it is dropped.
pub(super) struct Turn<T: 'static> {
    reader: Rc<Reader<T>>,
    /// The reader keeps its place without counting as one.
    holds: Cell<bool>,
}

impl<T: 'static> Turn<T> {
    pub(super) fn new(reader: &Rc<Reader<T>>) -> Turn<T> {
        reader.locked.set(true);
        Turn { reader: reader.clone(), holds: Cell::new(false) }
    }

    /// A reader at the same place, for whose time this one only keeps the place.
    pub(super) fn fork(&self) -> Rc<Reader<T>>
    where
        T: Clone,
    {
        let fork = self.reader.fork();
        if !self.holds.replace(true) {
            self.reader.hub.buffer.borrow_mut().hold(self.reader.next.get());
        }
        fork
    }

    /// Ends the time of the fork; the reader is where the fork is now.
    pub(super) fn adopt(&self, fork: &Reader<T>) {
        let told = fork.told.borrow().clone();
        *self.reader.told.borrow_mut() = told;
        self.end_hold(fork.place());
    }

    fn end_hold(&self, to: u64) {
        if self.holds.replace(false) {
            let from = self.reader.next.replace(to);
            let removed = self.reader.hub.buffer.borrow_mut().unhold(from, to);
            let_go(removed);
        }
    }
}

impl<T: 'static> Drop for Turn<T> {
    fn drop(&mut self) {
        self.end_hold(self.reader.next.get());
        self.reader.locked.set(false);
        self.reader.hub.admit_blocked();
        self.reader.serve();
    }
}
