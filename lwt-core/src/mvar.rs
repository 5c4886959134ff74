//! [`Mvar`]: a box with one place (`Lwt_mvar`).
//!
//! 1. While it is empty no writer waits; while it is full no reader waits. Whoever changes that serves the
//!    line before anything else happens.
//! 2. A value goes to a reader by `wakeup`, so that a `pick` in which the reader stands is decided by it;
//!    that a writer may go on is told by `wakeup_later`.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::func::let_go;
use crate::waiters::{Line, Waiters, join_line};
use crate::{Promise, Resolver, task};

/// A box that holds one value or none (`Lwt_mvar.t`): the smallest channel.
///
/// Writers wait while it is full, readers while it is empty, both first come, first served. A clone is
/// another handle on the same box. When the last handle is dropped, whoever still waits is rejected with
/// [`Abandoned`](crate::Abandoned).
///
/// ```
/// use lwt_core::{Error, Promise, State, mvar::Mvar, scheduler, spawn};
/// let letters = Mvar::empty();
/// let reader = spawn({
///     let letters = letters.clone();
///     async move { Ok::<_, Error>(letters.take().await? + letters.take().await?) }
/// });
/// assert!(!letters.put(1).is_pending());
/// assert!(!letters.put(2).is_pending());
/// scheduler::run_ready(usize::MAX);
/// assert!(matches!(reader.state(), State::Fulfilled(3)));
/// ```
pub struct Mvar<T>(Rc<Inner<T>>);

struct Inner<T> {
    value: Cell<Option<T>>,
    full: Cell<bool>,
    writers: Waiters<Writer<T>>,
    readers: Waiters<Resolver<T>>,
}

struct Writer<T> {
    /// To be told when the value has its place.
    done: Resolver<()>,
    value: T,
}

impl<T: 'static> Line<Resolver<T>> for Inner<T> {
    fn waiters(&self) -> &Waiters<Resolver<T>> {
        &self.readers
    }
}

impl<T: 'static> Mvar<T> {
    /// A box with a value in it (`Lwt_mvar.create`).
    ///
    /// ```
    /// assert_eq!(lwt_core::mvar::Mvar::new(1).take_available(), Some(1));
    /// ```
    pub fn new(value: T) -> Mvar<T> {
        Mvar::with(Some(value))
    }

    /// An empty box (`Lwt_mvar.create_empty`).
    ///
    /// ```
    /// assert!(lwt_core::mvar::Mvar::<u8>::empty().is_empty());
    /// ```
    pub fn empty() -> Mvar<T> {
        Mvar::with(None)
    }

    fn with(value: Option<T>) -> Mvar<T> {
        let full = Cell::new(value.is_some());
        Mvar(Rc::new(Inner {
            value: Cell::new(value),
            full,
            writers: Waiters::new(),
            readers: Waiters::new(),
        }))
    }

    /// Puts a value in (`Lwt_mvar.put`).
    ///
    /// Fulfilled when the value is in the box, or with a reader: at once if the box is empty. Waits in line
    /// while it is full.
    ///
    /// A cancel while it waits takes the value out of the line: it was not put, and is dropped. A put whose
    /// promise is dropped is still a put.
    ///
    /// ```
    /// # use lwt_core::mvar::Mvar;
    /// let v = Mvar::new(1);
    /// let second = v.put(2);
    /// assert!(second.is_pending());
    /// assert_eq!(v.take_available(), Some(1));
    /// assert!(!second.is_pending());
    /// assert_eq!(v.take_available(), Some(2));
    /// ```
    ///
    /// # Errors
    /// [`Canceled`](crate::Canceled); [`Abandoned`](crate::Abandoned) if the last handle on the box is
    /// dropped.
    #[track_caller]
    pub fn put(&self, value: T) -> Promise<()> {
        if !self.0.full.get() {
            self.0.store(value);
            return Promise::ready(());
        }
        let (promise, done) = task();
        self.0.writers.push(|place| {
            let line = Rc::downgrade(&self.0);
            // Not `on_unwanted`: that nobody waits for the put does not undo it.
            done.on_cancel(move || {
                if let Some(line) = line.upgrade() {
                    drop(line.writers.remove(place));
                }
            });
            Writer { done, value }
        });
        promise
    }

    /// Takes the value out (`Lwt_mvar.take`), and lets the first waiting writer put its own in.
    ///
    /// At once if the box is full; waits in line while it is empty. A cancelled or dropped take takes
    /// nothing; once the promise is fulfilled, the value is in it.
    ///
    /// ```
    /// # use lwt_core::{State, mvar::Mvar};
    /// let v = Mvar::empty();
    /// let reader = v.take();
    /// v.put("a").on_success(|()| ());
    /// assert!(matches!(reader.state(), State::Fulfilled(&"a")));
    /// ```
    ///
    /// # Errors
    /// [`Canceled`](crate::Canceled); [`Abandoned`](crate::Abandoned) if the last handle on the box is
    /// dropped.
    #[track_caller]
    pub fn take(&self) -> Promise<T> {
        match self.take_available() {
            Some(value) => Promise::ready(value),
            None => join_line(&self.0, |reader| reader),
        }
    }

    /// Takes the value out if there is one (`Lwt_mvar.take_available`). Never waits.
    ///
    /// ```
    /// # use lwt_core::mvar::Mvar;
    /// let v = Mvar::new(1);
    /// assert_eq!((v.take_available(), v.take_available()), (Some(1), None));
    /// ```
    pub fn take_available(&self) -> Option<T> {
        let value = self.0.value.take();
        self.0.full.set(false);
        if value.is_some() {
            self.0.promote();
        }
        value
    }

    /// Whether there is no value (`Lwt_mvar.is_empty`).
    ///
    /// ```
    /// assert!(!lwt_core::mvar::Mvar::new(1).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        !self.0.full.get()
    }
}

impl<T: 'static> Inner<T> {
    /// Gives a value to the first reader, or to the empty box.
    fn store(&self, mut value: T) {
        while let Some(reader) = self.readers.pop() {
            match reader.try_wakeup(value) {
                Ok(()) => return,
                Err(back) => value = back,
            }
        }
        self.full.set(true);
        self.value.set(Some(value));
    }

    /// Gives the empty box to the first writer.
    fn promote(&self) {
        // Values of writers that are being cancelled: they end when the box is full again.
        let mut given_up = Vec::new();
        while let Some(Writer { done, value }) = self.writers.pop() {
            if done.is_pending() {
                self.full.set(true);
                self.value.set(Some(value));
                done.wakeup_later(());
                break;
            }
            given_up.push(value);
        }
        let_go(given_up);
    }
}

impl<T> Clone for Mvar<T> {
    fn clone(&self) -> Mvar<T> {
        Mvar(self.0.clone())
    }
}

impl<T: 'static> Default for Mvar<T> {
    fn default() -> Mvar<T> {
        Mvar::empty()
    }
}

impl<T> fmt::Debug for Mvar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mvar")
            .field("full", &self.0.full.get())
            .field("writers", &self.0.writers.len())
            .field("readers", &self.0.readers.len())
            .finish()
    }
}
