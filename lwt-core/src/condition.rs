//! [`Condition`]: waiting until somebody says that something has changed (`Lwt_condition`).
//!
//! 1. A waiter with a mutex goes through two lines: this one, then that of the mutex. Its promise is the
//!    user's own in both, so that a cancel or a drop is seen in both.
//! 2. A signal belongs to one waiter. If that one is cancelled or dropped before it has the mutex again, the
//!    signal goes to the next in line.

use std::fmt;
use std::rc::Rc;

use crate::mutex::MutexGuard;
use crate::promise::attach::caught_result;
use crate::waiters::{Line, Waiters, join_line};
use crate::{Error, Promise, Resolver};

/// A condition variable whose signals carry a value (`Lwt_condition.t`).
///
/// A signal is not remembered when nobody waits. First come, first served. A clone is another handle on the
/// same condition. When the last handle is dropped, whoever still waits is rejected with
/// [`Abandoned`](crate::Abandoned).
///
/// ```
/// use lwt_core::{Error, State, condition::Condition, mutex::Mutex, scheduler, spawn};
/// let queue = Mutex::new(Vec::new());
/// let filled = Condition::new();
/// let consumer = spawn({
///     let (queue, filled) = (queue.clone(), filled.clone());
///     async move {
///         let mut jobs = queue.lock().await?;
///         while jobs.is_empty() {
///             ((), jobs) = filled.wait_with(jobs).await?;
///         }
///         Ok::<_, Error>(jobs.remove(0))
///     }
/// });
/// queue.try_lock().unwrap().push("a job");
/// filled.signal(());
/// scheduler::run_ready(usize::MAX);
/// assert!(matches!(consumer.state(), State::Fulfilled(&"a job")));
/// ```
pub struct Condition<T>(Rc<Inner<T>>);

struct Inner<T> {
    waiters: Waiters<Waiter<T>>,
}

enum Waiter<T> {
    Plain(Resolver<T>),
    /// Is to have a mutex again, of whatever type.
    Locking(Box<dyn Relock<T>>),
}

impl<T: 'static> Line<Waiter<T>> for Inner<T> {
    fn waiters(&self) -> &Waiters<Waiter<T>> {
        &self.waiters
    }
}

impl<T: 'static> Condition<T> {
    /// A condition that nobody waits for (`Lwt_condition.create`).
    ///
    /// ```
    /// lwt_core::condition::Condition::<()>::new().signal(());
    /// ```
    pub fn new() -> Condition<T> {
        Condition(Rc::new(Inner { waiters: Waiters::new() }))
    }

    /// Waits for a signal (`Lwt_condition.wait` without a mutex), and gives its value.
    ///
    /// A cancelled or dropped wait takes no signal from others.
    ///
    /// ```
    /// # use lwt_core::{State, condition::Condition};
    /// let c = Condition::new();
    /// let p = c.wait();
    /// c.signal(1);
    /// assert!(matches!(p.state(), State::Fulfilled(1)));
    /// ```
    ///
    /// # Errors
    /// The error of [`broadcast_err`](Condition::broadcast_err); [`Canceled`](crate::Canceled);
    /// [`Abandoned`](crate::Abandoned) if the last handle on the condition is dropped.
    #[track_caller]
    pub fn wait(&self) -> Promise<T> {
        join_line(&self.0, Waiter::Plain)
    }

    /// Unlocks a mutex, waits for a signal, locks the mutex again, and gives the value and the new guard
    /// (`Lwt_condition.wait ~mutex`).
    ///
    /// Between the unlocking and the waiting nothing is missed. A wait that is rejected, cancelled or dropped
    /// leaves the mutex free, unlike Lwt's, which locks it again first: there is no guard to give back. A
    /// signal that meets it on its way back into the mutex goes to the next waiter instead.
    ///
    /// ```
    /// # use lwt_core::{State, condition::Condition, mutex::Mutex};
    /// let (m, c) = (Mutex::new(0), Condition::new());
    /// let p = c.wait_with(m.try_lock().unwrap());
    /// assert!(!m.is_locked());
    /// c.signal("go");
    /// assert!(m.is_locked());
    /// assert!(matches!(p.state(), State::Fulfilled(("go", _guard))));
    /// ```
    ///
    /// # Errors
    /// As [`wait`](Condition::wait).
    #[track_caller]
    pub fn wait_with<M: 'static>(&self, guard: MutexGuard<M>) -> Promise<(T, MutexGuard<M>)> {
        let mutex = guard.mutex();
        let promise = join_line(&self.0, |resolver| {
            let condition = Rc::downgrade(&self.0);
            Waiter::Locking(Box::new(Locking { resolver, mutex, condition }))
        });
        drop(guard);
        promise
    }

    /// Wakes the waiter that has waited longest (`Lwt_condition.signal`). Whether there was one; if not, the
    /// value is dropped.
    ///
    /// ```
    /// # use lwt_core::condition::Condition;
    /// let c = Condition::new();
    /// assert!(!c.signal(1));
    /// let (first, second) = (c.wait(), c.wait());
    /// assert!(c.signal(1));
    /// assert!(!first.is_pending() && second.is_pending());
    /// ```
    pub fn signal(&self, value: T) -> bool {
        self.0.signal(value)
    }

    /// Wakes all that wait now, in order, each with a clone of the value (`Lwt_condition.broadcast`). Who
    /// begins to wait meanwhile is not among them. If the cloning panics, that rejects the one whom the clone
    /// was for.
    ///
    /// ```
    /// # use lwt_core::{State, all, condition::Condition};
    /// let c = Condition::new();
    /// let p = all([c.wait(), c.wait()]);
    /// c.broadcast(1);
    /// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [1, 1]));
    /// ```
    pub fn broadcast(&self, value: T)
    where
        T: Clone,
    {
        for waiter in self.0.waiters.take_all() {
            // One that is not wanted any more has no use for it; nor has anybody else, as all get their own.
            match (waiter, caught_result(|| Ok(value.clone()))) {
                (Waiter::Plain(resolver), value) => resolver.wakeup_result(value),
                (Waiter::Locking(relock), Ok(value)) => _ = relock.wake(value, false),
                (Waiter::Locking(relock), Err(error)) => relock.fail(error),
            }
        }
    }

    /// Rejects all that wait now (`Lwt_condition.broadcast_exn`). None of them gets its mutex back.
    ///
    /// ```
    /// # use lwt_core::{Error, condition::Condition};
    /// let c = Condition::<()>::new();
    /// let p = c.wait();
    /// c.broadcast_err(Error::msg("closed"));
    /// p.on_failure(|e| assert_eq!(e.to_string(), "closed"));
    /// ```
    #[track_caller]
    pub fn broadcast_err(&self, error: impl Into<Error>) {
        let error = error.into();
        for waiter in self.0.waiters.take_all() {
            match waiter {
                Waiter::Plain(resolver) => resolver.wakeup_err(error.clone()),
                Waiter::Locking(relock) => relock.fail(error.clone()),
            }
        }
    }
}

impl<T: 'static> Inner<T> {
    fn signal(&self, mut value: T) -> bool {
        while let Some(waiter) = self.waiters.pop() {
            let woken = match waiter {
                Waiter::Plain(resolver) => resolver.try_wakeup(value),
                Waiter::Locking(relock) => relock.wake(value, true),
            };
            match woken {
                Ok(()) => return true,
                Err(back) => value = back,
            }
        }
        false
    }
}

/// A waiter that wants a mutex again.
trait Relock<T> {
    /// Sends it into the line of the mutex, unless nobody wants it any more. With `pass_on`, the value goes
    /// to the next waiter if that happens later.
    fn wake(self: Box<Self>, value: T, pass_on: bool) -> Result<(), T>;
    fn fail(self: Box<Self>, error: Error);
}

struct Locking<T, M> {
    resolver: Resolver<(T, MutexGuard<M>)>,
    mutex: crate::mutex::Mutex<M>,
    condition: std::rc::Weak<Inner<T>>,
}

impl<T: 'static, M: 'static> Relock<T> for Locking<T, M> {
    fn wake(self: Box<Self>, value: T, pass_on: bool) -> Result<(), T> {
        let Locking { resolver, mutex, condition } = *self;
        if !resolver.is_wanted() {
            return Err(value);
        }
        let lock = mutex.lock();
        let leave = lock.canceller();
        resolver.on_unwanted(move || leave.cancel());
        let next = move |value| {
            if pass_on && let Some(condition) = condition.upgrade() {
                condition.signal(value);
            }
        };
        // In no case anything is left to tell anybody.
        drop(lock.attach(move |locked| {
            match locked {
                Err(_) => next(value),
                Ok(guard) => {
                    if let Err((value, guard)) = resolver.try_wakeup((value, guard)) {
                        drop(guard);
                        next(value);
                    }
                }
            }
            Promise::ready(())
        }));
        Ok(())
    }

    fn fail(self: Box<Self>, error: Error) {
        self.resolver.wakeup_err(error);
    }
}

impl<T> Clone for Condition<T> {
    fn clone(&self) -> Condition<T> {
        Condition(self.0.clone())
    }
}

impl<T: 'static> Default for Condition<T> {
    fn default() -> Condition<T> {
        Condition::new()
    }
}

impl<T> fmt::Debug for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waiting", &self.0.waiters.len()).finish()
    }
}
