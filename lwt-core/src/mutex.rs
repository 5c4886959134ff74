//! [`Mutex`]: one at a time, across waits (`Lwt_mutex`).
//!
//! 1. The value is in the mutex while it is unlocked, and in the one guard while it is locked: so nothing is
//!    shared, and nothing unsafe.
//! 2. While somebody waits the mutex is locked. A guard that is dropped hands the value over to the first in
//!    line, and only if nobody is there back to the mutex.
//! 3. A guard given to a promise that is dropped unread hands over in its turn.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::waiters::{Line, Waiters, join_line};
use crate::{Error, Promise, Resolver, spawn};

/// A lock around a value (`Lwt_mutex.t`, which has no value: `Mutex<()>`).
///
/// It is for what must not be interleaved across waits; between two waits nothing else runs anyway. First
/// come, first served; a cancelled or dropped waiter is passed over. A clone is another handle on the same
/// mutex. There is no poisoning: after a panic inside, the next one gets the value as it was left.
///
/// To unlock (`Lwt_mutex.unlock`) is to drop the [guard](MutexGuard) that [`lock`](Mutex::lock) gives.
///
/// ```
/// use lwt_core::{Error, State, mutex::Mutex, scheduler, spawn, task};
/// let total = Mutex::new(0);
/// let add = |n| {
///     let total = total.clone();
///     spawn(async move {
///         let mut total = total.lock().await?;
///         let before = *total;
///         task::yield_now().await?;
///         *total = before + n;
///         Ok::<_, Error>(())
///     })
/// };
/// let both = lwt_core::join([add(1), add(2)]);
/// scheduler::run_ready(usize::MAX);
/// assert!(!both.is_pending());
/// assert_eq!(*total.try_lock().unwrap(), 3);
/// ```
pub struct Mutex<T>(Rc<Inner<T>>);

struct Inner<T> {
    value: Cell<Option<T>>,
    locked: Cell<bool>,
    waiters: Waiters<Resolver<MutexGuard<T>>>,
}

impl<T: 'static> Line<Resolver<MutexGuard<T>>> for Inner<T> {
    fn waiters(&self) -> &Waiters<Resolver<MutexGuard<T>>> {
        &self.waiters
    }
}

impl<T> Mutex<T> {
    /// An unlocked mutex (`Lwt_mutex.create`).
    ///
    /// ```
    /// assert!(!lwt_core::mutex::Mutex::new(()).is_locked());
    /// ```
    pub fn new(value: T) -> Mutex<T> {
        Mutex(Rc::new(Inner {
            value: Cell::new(Some(value)),
            locked: Cell::new(false),
            waiters: Waiters::new(),
        }))
    }

    /// Locks the mutex if that needs no waiting.
    ///
    /// ```
    /// # use lwt_core::mutex::Mutex;
    /// let m = Mutex::new(1);
    /// let guard = m.try_lock();
    /// assert!(guard.is_some() && m.try_lock().is_none());
    /// ```
    pub fn try_lock(&self) -> Option<MutexGuard<T>> {
        let value = self.0.value.take()?;
        self.0.locked.set(true);
        Some(MutexGuard { mutex: self.0.clone(), value: Some(value) })
    }

    /// Whether somebody has the lock (`Lwt_mutex.is_locked`).
    ///
    /// ```
    /// # use lwt_core::mutex::Mutex;
    /// let m = Mutex::new(());
    /// let guard = m.try_lock();
    /// assert!(m.is_locked());
    /// drop(guard);
    /// assert!(!m.is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.0.locked.get()
    }

    /// Whether nobody waits for the lock (`Lwt_mutex.is_empty`).
    ///
    /// ```
    /// # use lwt_core::mutex::Mutex;
    /// let m = Mutex::new(());
    /// let (_held, waiting) = (m.try_lock(), m.lock());
    /// assert!(!m.is_empty());
    /// drop(waiting);
    /// assert!(m.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.waiters.is_empty()
    }
}

impl<T: 'static> Mutex<T> {
    /// Locks the mutex (`Lwt_mutex.lock`). The guard gives access to the value, and unlocks when it is
    /// dropped.
    ///
    /// At once if it is unlocked, else in line. A cancelled or dropped waiter leaves the line; a lock that
    /// was granted to a promise which is then dropped is handed on.
    ///
    /// ```
    /// # use lwt_core::{State, mutex::Mutex};
    /// let m = Mutex::new(1);
    /// let first = m.try_lock();
    /// let second = m.lock();
    /// assert!(second.is_pending());
    /// drop(first);
    /// assert!(matches!(second.state(), State::Fulfilled(guard) if **guard == 1));
    /// ```
    ///
    /// # Errors
    /// [`Canceled`](crate::Canceled) only.
    #[track_caller]
    pub fn lock(&self) -> Promise<MutexGuard<T>> {
        match self.try_lock() {
            Some(guard) => Promise::ready(guard),
            None => join_line(&self.0, |waiter| waiter),
        }
    }

    /// Locks the mutex, runs `f`, and unlocks it whatever came of it (`Lwt_mutex.with_lock`).
    ///
    /// `f` may be an `async` closure, or one that returns a promise. A cancel goes to where it waits: in
    /// line, or inside `f`. If the promise is dropped, `f` runs all the same.
    ///
    /// ```
    /// # use lwt_core::{State, mutex::Mutex, pause, scheduler};
    /// let m = Mutex::new(1);
    /// let p = m.with_lock(async |n: &mut i32| {
    ///     pause().await?;
    ///     *n += 1;
    ///     Ok(*n)
    /// });
    /// scheduler::wakeup_paused();
    /// scheduler::run_ready(usize::MAX);
    /// assert!(matches!(p.state(), State::Fulfilled(2)));
    /// ```
    ///
    /// # Errors
    /// Those of `f`; [`Canceled`](crate::Canceled); a panic of `f`.
    #[track_caller]
    pub fn with_lock<A, F>(&self, f: F) -> Promise<A>
    where
        A: 'static,
        F: AsyncFnOnce(&mut T) -> Result<A, Error> + 'static,
    {
        let lock = self.lock();
        spawn(async move {
            let mut guard = lock.await?;
            f(&mut guard).await
        })
    }
}

/// A locked [`Mutex`]: access to its value, and its unlocking when dropped.
///
/// It may be kept for as long as needed, also across waits and in structures.
#[must_use = "a guard that is dropped unlocks"]
pub struct MutexGuard<T> {
    mutex: Rc<Inner<T>>,
    /// There until the drop.
    value: Option<T>,
}

impl<T> MutexGuard<T> {
    /// Unlocks the mutex (`Lwt_mutex.unlock`): the same as dropping the guard, with a name.
    ///
    /// ```
    /// # use lwt_core::mutex::Mutex;
    /// let m = Mutex::new(());
    /// m.try_lock().unwrap().unlock();
    /// assert!(!m.is_locked());
    /// ```
    pub fn unlock(self) {
        drop(self);
    }

    /// The mutex that is locked.
    ///
    /// ```
    /// # use lwt_core::mutex::Mutex;
    /// let guard = Mutex::new(()).try_lock().unwrap();
    /// assert!(guard.mutex().is_locked());
    /// ```
    pub fn mutex(&self) -> Mutex<T> {
        Mutex(self.mutex.clone())
    }
}

impl<T> Deref for MutexGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            None => unreachable!("only the drop takes the value"),
        }
    }
}

impl<T> DerefMut for MutexGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.value {
            Some(value) => value,
            None => unreachable!("only the drop takes the value"),
        }
    }
}

impl<T> Drop for MutexGuard<T> {
    fn drop(&mut self) {
        while let Some(waiter) = self.mutex.waiters.pop() {
            if waiter.is_wanted() {
                return waiter
                    .wakeup_later(MutexGuard { mutex: self.mutex.clone(), value: self.value.take() });
            }
        }
        self.mutex.locked.set(false);
        self.mutex.value.set(self.value.take());
    }
}

impl<T> Clone for Mutex<T> {
    fn clone(&self) -> Mutex<T> {
        Mutex(self.0.clone())
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("locked", &self.0.locked.get())
            .field("waiting", &self.0.waiters.len())
            .finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
