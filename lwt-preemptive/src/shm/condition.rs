//! [`Condition`]: waiting until something about a mutex's value has changed.

use std::time::{Duration, Instant};

use lwt_core::{Error, Promise};

use super::bell;
use super::error::ShmError;
use super::event::{LONGEST_NAP, shorten};
use super::mutex::{LockError, LockResult, MutexGuard};
use super::object::{self, Object, Place};
use super::pool::Pool;
use super::safe::ShmSafe;

/// A condition for any [`Mutex`](super::Mutex) of its pool (`Netmcore_condition`).
///
/// There are no entries for waiters: a notification wakes all who wait, threads and promises, and those whose
/// turn it is not wait again. So a waiter that dies takes no notification with it, and waiting for the
/// predicate in a loop, as [`wait_while`](Condition::wait_while) does, is the way to use it: a wait may also
/// end without a notification. It has no lock but the mutex's.
///
/// ```
/// use lwt_preemptive::shm::{Condition, Mutex, Pool};
/// let pool = Pool::create()?;
/// let (ready, changed) = (Mutex::create(&pool, false)?, Condition::create(&pool)?);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         *ready.lock().unwrap() = true;
///         changed.notify();
///     });
///     let guard = changed.wait_while(ready.lock()?, |ready| !ready)?;
///     assert!(*guard);
///     Ok::<(), lwt_preemptive::shm::ShmError>(())
/// })?;
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Condition(Object);

impl Condition {
    const KIND: &'static str = "condition";
    const SHAPE: u64 = object::shape::<(), ()>();

    /// Makes a condition (`create_condition`).
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool) -> Result<Condition, ShmError> {
        Object::create(pool, Self::KIND, Self::SHAPE, &(), 0, |_, _| ()).map(Condition)
    }

    /// Opens the condition at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Condition, ShmError> {
        Object::open::<()>(pool, place, Self::KIND, Self::SHAPE, 0).map(Condition)
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.0.place()
    }

    /// Wakes all who wait (`signal`, `broadcast`).
    pub fn notify(&self) {
        self.0.came().notify(self.0.inner());
    }

    /// Releases the mutex, blocks the thread until a notification, or for a second, and locks again (`wait`).
    ///
    /// # Errors
    /// Those of locking, and [`ShmError::Destroyed`]; the mutex is not locked then.
    pub fn wait<T: ShmSafe>(&self, guard: MutexGuard<'_, T>) -> LockResult<MutexGuard<'static, T>> {
        self.nap(guard, LONGEST_NAP)
    }

    /// Waits as long as `wanting` says so of the value.
    ///
    /// # Errors
    /// As [`wait`](Condition::wait).
    pub fn wait_while<T: ShmSafe>(
        &self,
        guard: MutexGuard<'_, T>,
        mut wanting: impl FnMut(&T) -> bool,
    ) -> LockResult<MutexGuard<'static, T>> {
        let mut guard = guard.into_owned();
        while wanting(&guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// The same within a time. The flag says whether it is over, and the predicate still wanting.
    ///
    /// # Errors
    /// As [`wait`](Condition::wait).
    pub fn wait_while_timeout<T: ShmSafe>(
        &self,
        guard: MutexGuard<'_, T>,
        mut wanting: impl FnMut(&T) -> bool,
        limit: Duration,
    ) -> Result<(MutexGuard<'static, T>, bool), LockError<MutexGuard<'static, T>>> {
        let deadline = Instant::now().checked_add(limit);
        let mut guard = guard.into_owned();
        while wanting(&guard) {
            match shorten(LONGEST_NAP, deadline) {
                Some(nap) => guard = self.nap(guard, nap)?,
                None => return Ok((guard, true)),
            }
        }
        Ok((guard, false))
    }

    fn nap<T: ShmSafe>(
        &self,
        guard: MutexGuard<'_, T>,
        limit: Duration,
    ) -> LockResult<MutexGuard<'static, T>> {
        let mutex = guard.mutex();
        let announced = self.0.came().announce();
        drop(guard);
        self.0.check().map_err(LockError::Shm)?;
        self.0.came().sleep(announced, limit);
        mutex.lock_owned()
    }

    /// Releases the mutex, and is fulfilled when it has been locked again after a notification, or without
    /// one. A cancel leaves the mutex free.
    pub fn wait_async<T: ShmSafe>(
        &self,
        guard: MutexGuard<'_, T>,
    ) -> Promise<LockResult<MutexGuard<'static, T>>> {
        let condition = self.clone();
        let mutex = guard.mutex();
        let rung = bell::next(condition.0.inner());
        condition.0.came().announce_process(condition.0.inner());
        drop(guard);
        lwt_core::spawn(async move {
            condition.0.check()?;
            rung?.await?;
            mutex.lock_async().await
        })
    }

    /// Waits as long as `wanting` says so of the value, without blocking the loop.
    pub fn wait_while_async<T: ShmSafe>(
        &self,
        guard: MutexGuard<'_, T>,
        mut wanting: impl FnMut(&T) -> bool + 'static,
    ) -> Promise<LockResult<MutexGuard<'static, T>>> {
        let condition = self.clone();
        let mut guard = guard.into_owned();
        lwt_core::spawn(async move {
            while wanting(&guard) {
                match condition.wait_async(guard).await? {
                    Ok(again) => guard = again,
                    died => return Ok::<_, Error>(died),
                }
            }
            Ok(Ok(guard))
        })
    }

    /// Destroys the condition. Whoever waits is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.0.destroy(std::iter::empty())
    }
}
