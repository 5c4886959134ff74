//! [`Mutex`]: a value that one process at a time has, and that outlives its holders.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, result};

use lwt_core::Promise;

use super::block::Block;
use super::error::ShmError;
use super::event;
use super::lock::{self, Got};
use super::object::{self, Object, Place};
use super::pool::Pool;
use super::safe::ShmSafe;
use super::twin;

/// The lock word, and the flag that a holder has died; then the value.
const WORD: u64 = 0;
pub(super) const HOLDER: u64 = body() + WORD;
const FLAG: u64 = 4;
const VALUE: u64 = 8;

/// A value in shared memory that one thread of one process at a time has (`Netmcore_mutex`, with what it
/// protects).
///
/// [`lock`](Mutex::lock) gives a guard with a copy of the value; what was changed in it is stored when the
/// guard is dropped, or earlier by [`commit`](MutexGuard::commit), in a single step. So a process that dies
/// while it has the lock leaves the value as it was last stored, never half of one; and whoever takes the
/// lock next is told, because the value may not fit what is stored elsewhere: the guard comes inside an
/// [`OwnerDied`], and the mutex stays flagged until somebody [recovers](OwnerDied::recover) it. A guard that
/// is dropped by a panic stores nothing.
///
/// Not recursive: a thread that locks twice waits for itself.
///
/// ```
/// use lwt_preemptive::shm::{Mutex, Pool};
/// let pool = Pool::create()?;
/// let total = Mutex::create(&pool, 0_u64)?;
/// *total.lock()? += 1;
/// assert_eq!(*total.lock()?, 1);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mutex<T> {
    object: Object,
    value: PhantomData<fn(T) -> T>,
}

/// The lock of a [`Mutex`], with the value.
pub struct MutexGuard<'a, T: ShmSafe> {
    object: Handle<'a>,
    value: T,
    changed: bool,
    /// Flagged: a holder has died.
    flagged: bool,
    /// Whether it has the lock, which may have gone to another guard.
    held: bool,
}

/// Somebody else's handle, or one of the guard's own.
enum Handle<'a> {
    Lent(&'a Object),
    Own(Object),
}

impl Deref for Handle<'_> {
    type Target = Object;
    #[inline]
    fn deref(&self) -> &Object {
        match self {
            Handle::Lent(object) => object,
            Handle::Own(object) => object,
        }
    }
}

/// The guard of a mutex of which a holder has died. The value is what was last stored.
#[derive(Debug)]
pub struct OwnerDied<G>(G);

impl<T: ShmSafe> OwnerDied<MutexGuard<'_, T>> {
    /// The value as the dead holder left it.
    pub fn value(&self) -> &T {
        &self.0
    }
}

impl<'a, T: ShmSafe> OwnerDied<MutexGuard<'a, T>> {
    /// Takes the guard, with which the caller puts right what is wrong; the mutex is not flagged any more.
    pub fn recover(self) -> MutexGuard<'a, T> {
        let mut guard = self.0;
        guard.object.block().half(body() + FLAG).store(0, Relaxed);
        guard.flagged = false;
        guard
    }
}

/// Why a lock was not got as usual.
#[derive(Debug)]
pub enum LockError<G> {
    /// It was got, but a holder has died: [`OwnerDied::recover`]. If this is dropped, the lock is released,
    /// and the next taker is told the same.
    OwnerDied(OwnerDied<G>),
    /// It was not got.
    Shm(ShmError),
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::OwnerDied(_) => f.write_str("a holder of the lock has died"),
            LockError::Shm(error) => error.fmt(f),
        }
    }
}

impl<G: fmt::Debug> std::error::Error for LockError<G> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LockError::OwnerDied(_) => None,
            LockError::Shm(error) => Some(error),
        }
    }
}

impl<G> From<LockError<G>> for ShmError {
    /// For programs that do not go on after the death of another process: [`ShmError::OwnerDied`].
    fn from(error: LockError<G>) -> ShmError {
        match error {
            LockError::OwnerDied(_) => ShmError::OwnerDied,
            LockError::Shm(error) => error,
        }
    }
}

/// What locking gives.
pub type LockResult<G> = result::Result<G, LockError<G>>;

#[inline]
const fn body() -> u64 {
    object::body::<()>()
}

impl<T: ShmSafe> Mutex<T> {
    const KIND: &'static str = "mutex";
    const SHAPE: u64 = object::shape::<T, ()>();
    const LEN: u64 = VALUE + twin::room::<T>();

    /// Makes a mutex with a value.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, value: T) -> Result<Mutex<T>, ShmError> {
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &(), Self::LEN, |block, at| {
            twin::init(block, at + VALUE, &value);
        })?;
        Ok(Mutex { object, value: PhantomData })
    }

    /// Opens the mutex at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Mutex<T>, ShmError> {
        let object = Object::open::<()>(pool, place, Self::KIND, Self::SHAPE, Self::LEN)?;
        Ok(Mutex { object, value: PhantomData })
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// Locks, and blocks the thread until it can (`lock`).
    ///
    /// # Errors
    /// [`LockError`]; [`ShmError::Destroyed`] and [`ShmError::Corrupt`] among them.
    #[inline(always)]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock_by(None)
    }

    /// Locks within a time.
    ///
    /// # Errors
    /// As [`lock`](Mutex::lock), and [`ShmError::TimedOut`].
    pub fn lock_timeout(&self, limit: Duration) -> LockResult<MutexGuard<'_, T>> {
        self.lock_by(Instant::now().checked_add(limit))
    }

    /// Locks if that needs no waiting; `None` if it does.
    ///
    /// # Errors
    /// As [`lock`](Mutex::lock).
    pub fn try_lock(&self) -> LockResult<Option<MutexGuard<'_, T>>> {
        match try_lock(&self.object).map_err(LockError::Shm)? {
            None => Ok(None),
            Some(got) => match entered(Handle::Lent(&self.object), got) {
                Ok(guard) => Ok(Some(guard)),
                Err(LockError::OwnerDied(died)) => Err(LockError::OwnerDied(OwnerDied(Some(died.0)))),
                Err(LockError::Shm(error)) => Err(LockError::Shm(error)),
            },
        }
    }

    /// Locks without blocking the loop. The promise is fulfilled with the guard, which has a handle of its
    /// own, or with [`LockError::OwnerDied`]; it is rejected with the other errors. A cancel loses nothing.
    pub fn lock_async(&self) -> Promise<LockResult<MutexGuard<'static, T>>> {
        event::promise_until(&self.object, Object::came, |object, _| {
            Ok(match try_lock(object)? {
                None => None,
                Some(got) => match entered(Handle::Own(object.clone()), got) {
                    Err(LockError::Shm(error)) => return Err(error),
                    other => Some(other),
                },
            })
        })
    }

    /// Destroys the mutex, which nobody should be using any more: whoever does is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy(std::iter::empty())
    }

    /// Locks with a guard that has a handle of its own.
    pub(super) fn lock_owned(&self) -> LockResult<MutexGuard<'static, T>> {
        let word = self.object.block().half(body() + WORD);
        let got = lock::acquire(self.object.inner(), word, None).map_err(LockError::Shm)?;
        entered(Handle::Own(self.object.clone()), got)
    }

    #[inline(always)]
    fn lock_by(&self, deadline: Option<Instant>) -> LockResult<MutexGuard<'_, T>> {
        let word = self.object.block().half(body() + WORD);
        let got = lock::acquire(self.object.inner(), word, deadline).map_err(LockError::Shm)?;
        entered(Handle::Lent(&self.object), got)
    }
}

fn try_lock(object: &Object) -> Result<Option<Got>, ShmError> {
    object.check()?;
    Ok(lock::try_acquire(object.inner(), object.block().half(body() + WORD)))
}

/// Makes the guard of a lock that has just been taken.
#[inline(always)]
fn entered<T: ShmSafe>(object: Handle<'_>, got: Got) -> LockResult<MutexGuard<'_, T>> {
    let block = object.block();
    let flag = block.half(body() + FLAG);
    if got == Got::Died {
        flag.store(1, Relaxed);
    }
    let flagged = flag.load(Relaxed) != 0;
    let value = object.check().and_then(|()| twin::read(block, body() + VALUE));
    match value {
        Ok(value) => {
            let guard = MutexGuard { object, value, changed: false, flagged, held: true };
            if flagged { Err(LockError::OwnerDied(OwnerDied(guard))) } else { Ok(guard) }
        }
        Err(error) => {
            leave(&object, block);
            Err(LockError::Shm(error))
        }
    }
}

#[inline(always)]
fn leave(object: &Object, block: Block<'_>) {
    lock::release(object.inner(), block.half(body() + WORD));
    object.came().notify_released(object.inner());
}

impl<T: ShmSafe> MutexGuard<'_, T> {
    /// Stores the value as it is now: from here on, a death or a panic does not lose it.
    pub fn commit(&mut self) {
        if self.changed {
            twin::write(self.object.block(), body() + VALUE, &self.value);
            self.changed = false;
        }
    }

    /// The same guard with a handle of its own.
    pub(super) fn into_owned(mut self) -> MutexGuard<'static, T> {
        self.held = false;
        let object = Handle::Own((*self.object).clone());
        MutexGuard { object, value: self.value, changed: self.changed, flagged: self.flagged, held: true }
    }

    /// The mutex.
    pub(super) fn mutex(&self) -> Mutex<T> {
        Mutex { object: (*self.object).clone(), value: PhantomData }
    }
}

impl<T: ShmSafe> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ShmSafe> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: ShmSafe> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        if self.changed && !thread::panicking() && self.object.inner().is_here() {
            self.commit();
        }
        leave(&self.object, self.object.block());
    }
}

impl<T: ShmSafe + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard").field("value", &self.value).field("flagged", &self.flagged).finish()
    }
}
