//! The ends that push: [`Push`] and [`BoundedPush`].

use std::cell::Cell;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::Promise;

use super::error::{Closed, PushError};
use super::hub::Hub;

/// What the clones of a handle share. With the last one the stream ends.
struct End<T: 'static> {
    hub: Weak<Hub<T>>,
    closed: Cell<bool>,
}

impl<T: 'static> End<T> {
    fn new(hub: &Rc<Hub<T>>) -> Rc<End<T>> {
        Rc::new(End { hub: Rc::downgrade(hub), closed: Cell::new(false) })
    }

    fn close(&self) -> bool {
        !self.closed.replace(true) && self.hub.upgrade().is_some_and(|hub| hub.shut())
    }

    fn is_closed(&self) -> bool {
        self.closed.get() || self.hub.strong_count() == 0
    }

    fn try_push(&self, element: T) -> Result<(), PushError<T>> {
        match self.hub.upgrade() {
            Some(hub) => hub.try_push(element),
            None => Err(PushError::Closed(element)),
        }
    }

    fn set_reference<R: 'static>(&self, reference: R) {
        if let Some(hub) = self.hub.upgrade() {
            hub.set_reference(Box::new(reference));
        }
    }
}

impl<T: 'static> Drop for End<T> {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.abandon();
        }
    }
}

/// The end of an unbounded stream that pushes: see [`create`](super::create()). Clones push into the same
/// stream.
///
/// It does not keep the stream: when all readers are dropped, so are the elements, and a push fails.
pub struct Push<T: 'static> {
    end: Rc<End<T>>,
}

impl<T: 'static> Push<T> {
    pub(super) fn new(hub: &Rc<Hub<T>>) -> Push<T> {
        Push { end: End::new(hub) }
    }

    /// Appends an element (`push (Some x)`). Who waits for it gets it before this returns, as after
    /// [`wakeup`](crate::Resolver::wakeup): so a `pick` in which the reader stands is decided by it.
    ///
    /// # Errors
    /// [`PushError::Closed`] with the element, if the stream was closed, or nobody is left to read it.
    pub fn push(&self, element: T) -> Result<(), PushError<T>> {
        self.end.try_push(element)
    }

    /// Ends the stream (`push None`): what was pushed can still be read. Whether it was open.
    ///
    /// ```
    /// let (s, push) = lwt_core::stream::create::<u32>();
    /// assert!(push.close());
    /// assert!(!push.close());
    /// # drop(s);
    /// ```
    pub fn close(&self) -> bool {
        self.end.close()
    }

    /// Whether a push would fail: the stream was closed, or nobody is left to read it.
    pub fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    /// Has the stream keep `reference` until it is dropped or another one is given.
    pub fn set_reference<R: 'static>(&self, reference: R) {
        self.end.set_reference(reference);
    }
}

impl<T: 'static> Clone for Push<T> {
    fn clone(&self) -> Push<T> {
        Push { end: self.end.clone() }
    }
}

impl<T: 'static> fmt::Debug for Push<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("closed", &self.is_closed()).finish()
    }
}

/// The end of a bounded stream that pushes (`Lwt_stream.bounded_push`): see
/// [`create_bounded`](super::create_bounded()). Clones push into the same stream.
///
/// One push may wait for room; further ones fail until it is through, so that who pushes without waiting
/// cannot fill the memory.
pub struct BoundedPush<T: 'static> {
    end: Rc<End<T>>,
}

impl<T: 'static> BoundedPush<T> {
    pub(super) fn new(hub: &Rc<Hub<T>>) -> BoundedPush<T> {
        BoundedPush { end: End::new(hub) }
    }

    /// Appends an element as soon as there is room (`push`). Fulfilled when the stream has it.
    ///
    /// A cancel takes the element back: it is dropped, and nobody ever sees it. Dropping the promise leaves
    /// it where it is: it is delivered in its turn.
    ///
    /// # Errors
    /// * [`Closed`], if the stream was closed, or is closed while this waits, or nobody is left to read it:
    ///   the element is dropped.
    /// * [`Full`](super::Full), if a push waits already: the element is dropped.
    ///   [`try_push`](BoundedPush::try_push) gives it back.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let (s, push) = stream::create_bounded(0);
    /// let handed_over = push.push("here");
    /// assert!(handed_over.is_pending());
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some("here"))));
    /// assert!(!handed_over.is_pending());
    /// ```
    #[track_caller]
    pub fn push(&self, element: T) -> Promise<()> {
        match self.end.hub.upgrade() {
            Some(hub) => hub.push(element),
            None => Promise::fail(Closed),
        }
    }

    /// Appends an element if there is room now.
    ///
    /// # Errors
    /// [`PushError::Full`] or [`PushError::Closed`], with the element.
    ///
    /// ```
    /// use lwt_core::stream::{self, PushError};
    /// let (s, push) = stream::create_bounded(1);
    /// assert_eq!(push.try_push(1), Ok(()));
    /// assert_eq!(push.try_push(2), Err(PushError::Full(2)));
    /// # drop(s);
    /// ```
    pub fn try_push(&self, element: T) -> Result<(), PushError<T>> {
        self.end.try_push(element)
    }

    /// Ends the stream (`close`): what it has can still be read. Whether it was open.
    ///
    /// A push that waits is rejected with [`Closed`], and its element is dropped; if nobody holds its promise
    /// any more, its element is delivered instead.
    pub fn close(&self) -> bool {
        self.end.close()
    }

    /// How many elements the stream holds at most (`size`).
    pub fn size(&self) -> usize {
        self.end.hub.upgrade().map_or(0, |hub| hub.size())
    }

    /// Sets the size (`resize`). More room lets a waiting push through; with less, what is there stays.
    pub fn resize(&self, size: usize) {
        if let Some(hub) = self.end.hub.upgrade() {
            hub.resize(size);
        }
    }

    /// How many elements are there that the slowest reader has still to read (`count`).
    ///
    /// What an operation of several elements has set aside does not count.
    pub fn count(&self) -> usize {
        self.end.hub.upgrade().map_or(0, |hub| hub.unread())
    }

    /// Whether a push waits (`blocked`).
    pub fn is_blocked(&self) -> bool {
        self.end.hub.upgrade().is_some_and(|hub| hub.is_blocked())
    }

    /// Whether the stream was closed (`closed`), or nobody is left to read it.
    pub fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    /// Has the stream keep `reference` until it is dropped or another one is given (`set_reference`).
    pub fn set_reference<R: 'static>(&self, reference: R) {
        self.end.set_reference(reference);
    }
}

impl<T: 'static> Clone for BoundedPush<T> {
    fn clone(&self) -> BoundedPush<T> {
        BoundedPush { end: self.end.clone() }
    }
}

impl<T: 'static> fmt::Debug for BoundedPush<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedPush")
            .field("size", &self.size())
            .field("count", &self.count())
            .field("blocked", &self.is_blocked())
            .field("closed", &self.is_closed())
            .finish()
    }
}
