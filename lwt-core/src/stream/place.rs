//! A reader's place: what is ahead of it, taking that, setting it aside and giving it back.
//!
//! Part of [`Reader`]; only the operation whose turn it is calls these. The claims are the slots from
//! [`place`](Reader::place) to `next`: elements, and among them failures that were told before.

use std::rc::Rc;

use crate::Error;
use crate::func::let_go;

use super::buffer::{Item, Removed};
use super::reader::Reader;

/// What a reader meets at its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    Element,
    Failure,
    End,
    /// Nothing yet.
    Nothing,
}

impl<T: 'static> Reader<T> {
    /// The number of the first element that is not read.
    pub(super) fn place(&self) -> u64 {
        self.next.get() - self.claimed.get()
    }

    pub(super) fn ahead(&self) -> Ahead {
        while self.is_told() {
            if self.claimed.get() > 0 {
                self.claim(); // given back and met again, if it comes to that
            } else {
                let_go(self.pass());
            }
        }
        match self.hub.buffer.borrow().at(self.next.get()) {
            Some(Item::Failed(_)) => Ahead::Failure,
            Some(_) => Ahead::Element,
            None if self.hub.is_ended() => Ahead::End,
            None => Ahead::Nothing,
        }
    }

    /// Whether a failure is ahead that an operation was told of before.
    fn is_told(&self) -> bool {
        let mut told = self.told.borrow_mut();
        if told.is_empty() {
            return false;
        }
        while told.front().is_some_and(|number| *number < self.place()) {
            told.pop_front();
        }
        told.binary_search(&self.next.get()).is_ok()
    }

    /// What is ahead, after the source was asked if nothing was there.
    pub(super) fn look_ahead(&self) -> Ahead {
        match self.ahead() {
            Ahead::Nothing => {
                self.hub.ask();
                self.ahead()
            }
            ahead => ahead,
        }
    }

    /// Goes past what is ahead: what nobody else has still to read.
    pub(super) fn pass(&self) -> Option<Item<T>> {
        let number = self.next.get();
        self.next.set(number + 1);
        self.hub.buffer.borrow_mut().pass(number)
    }

    /// Sets the element ahead aside.
    pub(super) fn claim(&self) {
        let number = self.next.get();
        self.hub.buffer.borrow_mut().claim(number);
        self.next.set(number + 1);
        self.claimed.set(self.claimed.get() + 1);
    }

    /// Gives back all that was set aside.
    pub(super) fn give_back(&self) {
        let place = self.place();
        if place < self.next.get() {
            self.hub.buffer.borrow_mut().unclaim(place..self.next.get());
            self.claimed.set(0);
            self.next.set(place);
        }
    }

    /// The element ahead, to look at while nothing is borrowed.
    pub(super) fn share_ahead(&self) -> Option<Rc<T>> {
        self.hub.buffer.borrow_mut().share(self.next.get())
    }

    /// The failure ahead, which is passed. What was set aside before it is given back.
    pub(super) fn take_failure(&self) -> Error {
        let number = self.next.get();
        let error = match self.hub.buffer.borrow().at(number) {
            Some(Item::Failed(failure)) => failure.tell(),
            _ => Error::abandoned(), // not reached: a failure is ahead
        };
        if self.claimed.get() == 0 {
            let_go(self.pass());
        } else {
            let mut told = self.told.borrow_mut();
            let at = told.partition_point(|other| *other < number);
            told.insert(at, number);
            drop(told);
            self.give_back();
        }
        error
    }

    /// Takes the element ahead in the usual case: it is there, and nobody else has still to read it.
    pub(super) fn take_own(&self) -> Option<T> {
        if !self.told.borrow().is_empty() {
            return None;
        }
        let number = self.next.get();
        let element = self.hub.buffer.borrow_mut().take_own(number)?;
        self.next.set(number + 1);
        Some(element)
    }

    /// Takes what is ahead, which is not nothing. Nothing is taken, and the result is `None`, if it is not
    /// `wanted` any more when it is there.
    pub(super) fn take(&self, wanted: impl Fn() -> bool) -> Option<Result<Option<T>, Error>> {
        match self.ahead() {
            Ahead::Element => {}
            Ahead::Failure => return Some(Err(self.take_failure())),
            Ahead::End | Ahead::Nothing => return Some(Ok(None)),
        }
        let shared = {
            let mut buffer = self.hub.buffer.borrow_mut();
            let number = self.next.get();
            if buffer.is_sole(number) { None } else { buffer.share(number) }
        };
        let Some(shared) = shared else {
            return self.pass().map(|item| self.hub.value(item).map(Some));
        };
        let copy = self.while_locked(|| self.hub.copy(&shared));
        if !wanted() {
            let_go(copy);
            return None;
        }
        let copy = match copy {
            Ok(copy) => copy,
            Err(error) => return Some(Err(error)),
        };
        drop(shared);
        let_go(self.pass());
        Some(Ok(Some(copy)))
    }

    /// Takes all that was set aside. Nothing is taken, and the result is `None`, if it is not `wanted` any
    /// more when it is there.
    pub(super) fn take_claimed(&self, wanted: impl Fn() -> bool) -> Option<Result<Vec<T>, Error>> {
        let (place, many) = (self.place(), self.claimed.get() as usize);
        let mut copies: Vec<Option<T>> = Vec::new();
        loop {
            if !wanted() {
                return None;
            }
            let shared = self.claimed_shares(|at| copies.get(at).is_none_or(Option::is_none));
            if shared.is_empty() {
                break;
            }
            copies.resize_with(many, || None);
            for (at, element) in shared {
                match self.hub.copy(&element) {
                    Ok(copy) => copies[at] = Some(copy),
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        // From here on no user code runs until all are taken.
        let released: Vec<Option<Item<T>>> = {
            let mut buffer = self.hub.buffer.borrow_mut();
            (place..self.next.get()).map(|number| buffer.release(number)).collect()
        };
        self.claimed.set(0);
        let mut copies = copies.into_iter();
        let values = released.into_iter().filter_map(|item| match (copies.next().flatten(), item) {
            (Some(copy), original) => {
                let_go(original);
                Some(Ok(copy))
            }
            (None, None | Some(Item::Failed(_))) => None,
            (None, Some(item)) => Some(self.hub.value(item)),
        });
        Some(values.collect())
    }

    /// The claimed elements that others have still to read too, of those that are `asked` for by their place
    /// among the claimed ones.
    fn claimed_shares(&self, asked: impl Fn(usize) -> bool) -> Vec<(usize, Rc<T>)> {
        let mut buffer = self.hub.buffer.borrow_mut();
        let numbers = (self.place()..self.next.get()).enumerate();
        numbers
            .filter(|(at, _)| asked(*at))
            .filter_map(
                |(at, number)| if buffer.is_sole(number) { None } else { Some((at, buffer.share(number)?)) },
            )
            .collect()
    }

    /// Clones of all that was set aside, which is given back.
    pub(super) fn copy_claimed(&self) -> Result<Vec<T>, Error> {
        let shared: Vec<Rc<T>> = {
            let mut buffer = self.hub.buffer.borrow_mut();
            (self.place()..self.next.get()).filter_map(|number| buffer.share(number)).collect()
        };
        let copies = shared.iter().map(|element| self.hub.copy(element)).collect();
        self.give_back();
        copies
    }

    /// Goes past all that was set aside.
    pub(super) fn release_claimed(&self) {
        let released: Removed<T> = {
            let mut buffer = self.hub.buffer.borrow_mut();
            (self.place()..self.next.get()).filter_map(|number| buffer.release(number)).collect()
        };
        self.claimed.set(0);
        let_go(released);
    }
}
