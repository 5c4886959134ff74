//! [`RwLock`]: many readers or one writer, in the order of their coming.
//!
//! 1. The lock has a count on the value, each reader has one; so a writer, who comes when there is no reader
//!    and takes the lock's own, has the only one.
//! 2. Nobody overtakes: a reader that comes after a waiting writer waits behind it. So neither kind starves.
//! 3. Whenever a guard is dropped or somebody leaves the line, its head is served for as long as that is
//!    possible.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::waiters::{Line, Waiters, join_line};
use crate::{Promise, Resolver};

/// A lock around a value that many may read, or one may write, across waits. (Lwt has none.)
///
/// First come, first served; a cancelled or dropped waiter is passed over. A clone is another handle on the
/// same lock. There is no poisoning.
///
/// ```
/// use lwt_core::rwlock::RwLock;
/// let lock = RwLock::new(1);
/// let (one, two) = (lock.try_read().unwrap(), lock.try_read().unwrap());
/// let writer = lock.write();
/// assert!(writer.is_pending());
/// drop((one, two));
/// writer.map(|mut n| *n += 1).on_success(|()| ());
/// assert_eq!(*lock.try_read().unwrap(), 2);
/// ```
pub struct RwLock<T>(Rc<Inner<T>>);

struct Inner<T> {
    /// There unless a writer has it.
    value: RefCell<Option<Rc<T>>>,
    readers: Cell<usize>,
    waiters: Waiters<Waiter<T>>,
}

enum Waiter<T> {
    Reader(Resolver<ReadGuard<T>>),
    Writer(Resolver<WriteGuard<T>>),
}

impl<T: 'static> Line<Waiter<T>> for Inner<T> {
    fn waiters(&self) -> &Waiters<Waiter<T>> {
        &self.waiters
    }

    fn one_left(self: &Rc<Self>) {
        self.serve();
    }
}

impl<T> Inner<T> {
    fn read(self: &Rc<Self>) -> Option<ReadGuard<T>> {
        let value = self.value.borrow().clone()?;
        self.readers.set(self.readers.get() + 1);
        Some(ReadGuard { lock: self.clone(), value: Some(value) })
    }

    fn write(self: &Rc<Self>) -> Option<WriteGuard<T>> {
        if self.readers.get() > 0 {
            return None;
        }
        let value = self.value.take()?;
        Some(WriteGuard { lock: self.clone(), value: Some(value) })
    }

    fn serve(self: &Rc<Self>) {
        let is_next = |waiter: &Waiter<T>| {
            let has_value = self.value.borrow().is_some();
            match waiter {
                Waiter::Reader(resolver) => !resolver.is_wanted() || has_value,
                Waiter::Writer(resolver) => !resolver.is_wanted() || (has_value && self.readers.get() == 0),
            }
        };
        while let Some(waiter) = self.waiters.pop_if(is_next) {
            match waiter {
                Waiter::Reader(resolver) if resolver.is_wanted() => {
                    if let Some(guard) = self.read() {
                        resolver.wakeup_later(guard);
                    }
                }
                Waiter::Writer(resolver) if resolver.is_wanted() => {
                    if let Some(guard) = self.write() {
                        resolver.wakeup_later(guard);
                    }
                }
                Waiter::Reader(_) | Waiter::Writer(_) => {}
            }
        }
    }
}

impl<T> RwLock<T> {
    /// A lock that nobody has.
    ///
    /// ```
    /// assert!(lwt_core::rwlock::RwLock::new(1).try_write().is_some());
    /// ```
    pub fn new(value: T) -> RwLock<T> {
        RwLock(Rc::new(Inner {
            value: RefCell::new(Some(Rc::new(value))),
            readers: Cell::new(0),
            waiters: Waiters::new(),
        }))
    }

    /// Locks for reading if that needs no waiting: nobody writes, and nobody waits.
    ///
    /// ```
    /// # use lwt_core::rwlock::RwLock;
    /// let lock = RwLock::new(1);
    /// let _writer = lock.try_write();
    /// assert!(lock.try_read().is_none());
    /// ```
    pub fn try_read(&self) -> Option<ReadGuard<T>> {
        if self.0.waiters.is_empty() { self.0.read() } else { None }
    }

    /// Locks for writing if that needs no waiting: nobody reads or writes, and nobody waits.
    ///
    /// ```
    /// # use lwt_core::rwlock::RwLock;
    /// let lock = RwLock::new(1);
    /// let _reader = lock.try_read();
    /// assert!(lock.try_write().is_none());
    /// ```
    pub fn try_write(&self) -> Option<WriteGuard<T>> {
        if self.0.waiters.is_empty() { self.0.write() } else { None }
    }

    /// How many wait.
    ///
    /// ```
    /// # use lwt_core::rwlock::RwLock;
    /// let lock = RwLock::new(1);
    /// let (_held, _waiting) = (lock.try_write(), lock.read());
    /// assert_eq!(lock.wait_queue_length(), 1);
    /// ```
    pub fn wait_queue_length(&self) -> usize {
        self.0.waiters.len()
    }
}

impl<T: 'static> RwLock<T> {
    /// Locks for reading, together with other readers.
    ///
    /// At once if nobody writes or waits, else in line. A cancelled or dropped waiter leaves the line; a lock
    /// that was granted to a promise which is then dropped is handed on.
    ///
    /// ```
    /// # use lwt_core::rwlock::RwLock;
    /// let lock = RwLock::new(1);
    /// let (a, b) = (lock.read(), lock.read());
    /// assert!(!a.is_pending() && !b.is_pending());
    /// ```
    ///
    /// # Errors
    /// [`Canceled`](crate::Canceled) only.
    #[track_caller]
    pub fn read(&self) -> Promise<ReadGuard<T>> {
        match self.try_read() {
            Some(guard) => Promise::ready(guard),
            None => join_line(&self.0, Waiter::Reader),
        }
    }

    /// Locks for writing, alone; otherwise as [`read`](RwLock::read).
    ///
    /// ```
    /// # use lwt_core::rwlock::RwLock;
    /// let lock = RwLock::new(1);
    /// let (a, b) = (lock.write(), lock.write());
    /// assert!(!a.is_pending() && b.is_pending());
    /// ```
    ///
    /// # Errors
    /// [`Canceled`](crate::Canceled) only.
    #[track_caller]
    pub fn write(&self) -> Promise<WriteGuard<T>> {
        match self.try_write() {
            Some(guard) => Promise::ready(guard),
            None => join_line(&self.0, Waiter::Writer),
        }
    }
}

/// A share in an [`RwLock`], for reading, until it is dropped.
#[must_use = "a guard that is dropped unlocks"]
pub struct ReadGuard<T> {
    lock: Rc<Inner<T>>,
    /// There until the drop.
    value: Option<Rc<T>>,
}

impl<T> Deref for ReadGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("only the drop takes the value"),
        }
    }
}

impl<T> Drop for ReadGuard<T> {
    fn drop(&mut self) {
        // First, so that the next writer's count is the only one. The lock has another, so this drops no
        // value.
        self.value = None;
        self.lock.readers.set(self.lock.readers.get() - 1);
        self.lock.serve();
    }
}

/// An [`RwLock`] locked for writing, until this is dropped.
#[must_use = "a guard that is dropped unlocks"]
pub struct WriteGuard<T> {
    lock: Rc<Inner<T>>,
    /// There until the drop, and the only count.
    value: Option<Rc<T>>,
}

impl<T> WriteGuard<T> {
    /// Goes on as a reader; nobody writes in between.
    ///
    /// ```
    /// # use lwt_core::rwlock::RwLock;
    /// let lock = RwLock::new(1);
    /// let reader = lock.try_write().unwrap().downgrade();
    /// assert_eq!((*reader, lock.try_read().is_some()), (1, true));
    /// ```
    pub fn downgrade(mut self) -> ReadGuard<T> {
        let lock = self.lock.clone();
        lock.value.replace(self.value.take());
        let reader = lock.read();
        drop(self); // serves the readers behind
        match reader {
            Some(reader) => reader,
            None => unreachable!("the value was put there"),
        }
    }
}

impl<T> Deref for WriteGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("only the drop takes the value"),
        }
    }
}

impl<T> DerefMut for WriteGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        match self.value.as_mut().and_then(Rc::get_mut) {
            Some(value) => value,
            None => unreachable!("there is no other count"),
        }
    }
}

impl<T> Drop for WriteGuard<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.lock.value.replace(Some(value)); // replaces nothing
        }
        self.lock.serve();
    }
}

impl<T> Clone for RwLock<T> {
    fn clone(&self) -> RwLock<T> {
        RwLock(self.0.clone())
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("readers", &self.0.readers.get())
            .field("writing", &self.0.value.borrow().is_none())
            .field("waiting", &self.0.waiters.len())
            .finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for ReadGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: fmt::Debug> fmt::Debug for WriteGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
