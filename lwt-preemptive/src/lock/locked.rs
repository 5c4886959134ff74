//! [`Locked`]: a value that is reached with the token of a runtime lock.
//!
//! 1. A shared reference to the value borrows the token; a [`WriteGuard`] borrows it exclusively. There is
//!    one token ([rule 1](super)), so a `WriteGuard` is alone, and a reference sees no writing.
//! 2. The token has to be that of the value's own lock. This is checked at each access; a lifetime cannot
//!    tell two locks apart.
//! 3. The value moves between threads with the lock, so it has to be `Send`; it need not be `Sync`, because a
//!    thread that reads it is the only one.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{RuntimeLock, Shared, Token};

/// A value that is reached only by whoever holds its [`RuntimeLock`], on whatever thread.
///
/// What is no `Send` cannot be kept in one:
///
/// ```compile_fail,E0277
/// # let lock = lwt_preemptive::lock::RuntimeLock::current().unwrap();
/// lock.guard(std::rc::Rc::new(1));
/// ```
pub struct Locked<T> {
    lock: Arc<Shared>,
    poisoned: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: a thread reaches the value through `&Locked` only with the token of its lock, and so alone (rule
// 1). With the lock the value, or an exclusive reference to it, comes to other threads, hence `Send`. A
// shared reference that is passed on to further threads by its holder needs `T: Sync` by itself.
unsafe impl<T: Send> Sync for Locked<T> {}

/// The error of a value whose writer has panicked in the midst of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poisoned;

impl fmt::Display for Poisoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a panic interrupted the writing of a locked value")
    }
}

impl std::error::Error for Poisoned {}

impl<T: Send> Locked<T> {
    /// A value that `lock` guards.
    pub fn new(lock: &RuntimeLock, value: T) -> Locked<T> {
        Locked { lock: Arc::clone(&lock.0), poisoned: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, to read, for as long as the token is only borrowed.
    ///
    /// # Panics
    /// If the token is that of another lock, or the value is poisoned.
    #[track_caller]
    pub fn get<'a>(&'a self, token: &'a Token<'_>) -> &'a T {
        match self.try_get(token) {
            Ok(value) => value,
            Err(poisoned) => panic!("{poisoned}"),
        }
    }

    /// [`get`](Locked::get), for values that may be poisoned.
    ///
    /// # Errors
    /// [`Poisoned`].
    ///
    /// # Panics
    /// If the token is that of another lock.
    #[track_caller]
    pub fn try_get<'a>(&'a self, token: &'a Token<'_>) -> Result<&'a T, Poisoned> {
        self.check(token)?;
        // SAFETY: this thread holds the lock as long as the token is borrowed, and nobody has borrowed the
        // token exclusively, so nobody writes (rule 1).
        Ok(unsafe { &*self.value.get() })
    }

    /// The value, to write. No other locked value can be reached while the guard lives: see
    /// [`get_both`](Locked::get_both) for two.
    ///
    /// # Panics
    /// As [`get`](Locked::get).
    #[track_caller]
    pub fn get_mut<'a>(&'a self, token: &'a mut Token<'_>) -> WriteGuard<'a, T> {
        match self.try_get_mut(token) {
            Ok(guard) => guard,
            Err(poisoned) => panic!("{poisoned}"),
        }
    }

    /// [`get_mut`](Locked::get_mut), for values that may be poisoned.
    ///
    /// # Errors
    /// [`Poisoned`].
    ///
    /// # Panics
    /// If the token is that of another lock.
    #[track_caller]
    pub fn try_get_mut<'a>(&'a self, token: &'a mut Token<'_>) -> Result<WriteGuard<'a, T>, Poisoned> {
        self.check(token)?;
        Ok(WriteGuard::new(self))
    }

    /// Two values of one lock, both to write.
    ///
    /// # Panics
    /// If the two are one, or as [`get`](Locked::get).
    ///
    /// ```
    /// # let lock = lwt_preemptive::lock::RuntimeLock::current().unwrap();
    /// let (from, to) = (lock.guard(vec![1, 2]), lock.guard(vec![]));
    /// lock.with_token(|token| {
    ///     let (mut from, mut to) = from.get_both(&to, token);
    ///     to.append(&mut from);
    /// });
    /// assert_eq!(to.into_inner(), [1, 2]);
    /// ```
    #[track_caller]
    pub fn get_both<'a, U: Send>(
        &'a self,
        other: &'a Locked<U>,
        token: &'a mut Token<'_>,
    ) -> (WriteGuard<'a, T>, WriteGuard<'a, U>) {
        assert!(!std::ptr::addr_eq(self, other), "a locked value was to be written twice at once");
        for checked in [self.check(token), other.check(token)] {
            if let Err(poisoned) = checked {
                panic!("{poisoned}");
            }
        }
        (WriteGuard::new(self), WriteGuard::new(other))
    }

    /// Whether a panic came through while the value was being written.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// The value, poisoned or not, to be put right; from now on it is not poisoned, unless a panic comes
    /// again.
    ///
    /// # Panics
    /// If the token is that of another lock.
    #[track_caller]
    pub fn recover<'a>(&'a self, token: &'a mut Token<'_>) -> WriteGuard<'a, T> {
        // The token is the one that is checked for; the poison is what is taken away.
        let _ = self.check(token);
        self.poisoned.store(false, Ordering::Relaxed);
        WriteGuard::new(self)
    }

    /// The value, of which nobody else has a reference: no lock is needed.
    pub fn inner_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value by itself.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// That the token is ours, and the value whole.
    #[track_caller]
    fn check(&self, token: &Token<'_>) -> Result<(), Poisoned> {
        assert!(Arc::ptr_eq(&self.lock, token.shared), "the token is that of another lock than the value's");
        if self.is_poisoned() { Err(Poisoned) } else { Ok(()) }
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked")
            .field("poisoned", &self.poisoned.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// A [`Locked`] value that is being written. A panic that comes through while it lives poisons the value.
pub struct WriteGuard<'a, T> {
    locked: &'a Locked<T>,
    /// A panic was on its way already when the writing began.
    panicking: bool,
    /// The token, borrowed exclusively; so it stays on its thread.
    token: PhantomData<(&'a mut T, *mut ())>,
}

impl<'a, T> WriteGuard<'a, T> {
    /// The caller has the token of the value's lock exclusively for `'a`.
    fn new(locked: &'a Locked<T>) -> WriteGuard<'a, T> {
        WriteGuard { locked, panicking: thread::panicking(), token: PhantomData }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard's maker had the token exclusively, for as long as the guard lives.
        unsafe { &*self.locked.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; and the guard is borrowed exclusively itself.
        unsafe { &mut *self.locked.value.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        if !self.panicking && thread::panicking() {
            self.locked.poisoned.store(true, Ordering::Relaxed);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for WriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
