//! [`RwLock`]: a value that many read, or one writes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::{Duration, Instant};

use lwt_core::Promise;

use super::error::ShmError;
use super::event;
use super::holders::{self, Holders};
use super::lease::Id;
use super::object::{self, Object, Place};
use super::pool::Pool;
use super::safe::ShmSafe;
use super::twin;

/// The writer's id, a flag that one has died, and the id of a process in which a writer waits, the last that
/// has said so; the value; the readers.
const WRITER: u64 = 0;
pub(super) const HOLDER: u64 = body() + WRITER;
const FLAG: u64 = 4;
const WANTED: u64 = 8;
const VALUE: u64 = 16;

/// A value in shared memory that any number of processes read, or one writes.
///
/// A guard has a copy of the value; a writer's stores it when it is dropped. Readers that only want the value
/// need no guard: [`get`](RwLock::get) gives it as it was last stored. A guard is for what has to stay as it
/// is beyond this value.
///
/// Readers and writers that die give their lock back, to whoever waits for it. That a writer has died is
/// shown by [`is_flagged`](RwWriteGuard::is_flagged) of the guards until a writer has
/// [cleared](RwWriteGuard::clear_flag) it; the value is what was last stored. Readers do not come in while a
/// writer waits. Getting a guard and giving it back takes a lock of its own for a moment, `get` takes none.
///
/// ```
/// use lwt_preemptive::shm::{Pool, RwLock};
/// let pool = Pool::create()?;
/// let lock = RwLock::create(&pool, 1_u32)?;
/// let (one, two) = (lock.read()?, lock.read()?);
/// assert!(lock.try_write()?.is_none());
/// drop((one, two));
/// *lock.write()? = 2;
/// assert_eq!(lock.get()?, 2);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RwLock<T> {
    object: Object,
    value: PhantomData<fn(T) -> T>,
}

/// A reader's lock of a [`RwLock`].
pub struct RwReadGuard<T: ShmSafe> {
    object: Object,
    value: T,
    flagged: bool,
}

/// A writer's lock of a [`RwLock`].
pub struct RwWriteGuard<T: ShmSafe> {
    object: Object,
    value: T,
    changed: bool,
    flagged: bool,
}

const fn body() -> u64 {
    object::body::<()>()
}

const fn readers<T>() -> u64 {
    body() + VALUE + twin::room::<T>()
}

/// Takes away what a dead writer has. A living one gives its lock back without the object's, so whoever finds
/// it free acquires what was written by that word.
fn expire_writer(object: &Object) -> bool {
    let writer = object.block().half(body() + WRITER);
    let id = Id(writer.load(Relaxed));
    if id.0 != 0 && !object.inner().is_alive(id) {
        object.block().half(body() + FLAG).store(1, Release);
        writer.store(0, Release);
    }
    writer.load(Acquire) == 0
}

/// How an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// At once.
    Quick,
    /// With a look for the dead.
    Dead,
    /// The same after a nap.
    Rested,
}

impl Look {
    fn after(rested: bool) -> Look {
        if rested { Look::Rested } else { Look::Quick }
    }
}

/// That a writer waits, as long as it does.
struct Wanting(Object);

impl Drop for Wanting {
    fn drop(&mut self) {
        let inner = self.0.inner();
        if inner.is_here() {
            let wanted = self.0.block().word(body() + WANTED);
            // Other writers of this process say it again.
            if wanted.compare_exchange(inner.me().0.into(), 0, Relaxed, Relaxed).is_ok() {
                self.0.came().notify(inner);
            }
        }
    }
}

fn try_read<T: ShmSafe>(object: &Object, look: Look) -> Result<Option<RwReadGuard<T>>, ShmError> {
    let locked = object.lock()?;
    let free =
        locked.block.half(body() + WRITER).load(Acquire) == 0 || look != Look::Quick && expire_writer(object);
    let wanted = locked.block.word(body() + WANTED);
    let dead = || !object.inner().is_alive(Id(wanted.load(Relaxed) as u32));
    // A waiting writer may have died. After a nap those who live have had time to say it again.
    if look == Look::Rested || look == Look::Dead && dead() {
        wanted.store(0, Relaxed);
    }
    if !free || wanted.load(Relaxed) != 0 {
        return Ok(None);
    }
    let value = twin::read(locked.block, body() + VALUE)?;
    let flagged = locked.block.half(body() + FLAG).load(Relaxed) != 0;
    Holders::new(object.inner(), &locked, readers::<T>()).add(1);
    Ok(Some(RwReadGuard { object: object.clone(), value, flagged }))
}

fn try_write<T: ShmSafe>(
    object: &Object,
    look: Look,
    wait: bool,
) -> Result<Option<RwWriteGuard<T>>, ShmError> {
    let locked = object.lock()?;
    let free =
        locked.block.half(body() + WRITER).load(Acquire) == 0 || look != Look::Quick && expire_writer(object);
    let holders = Holders::new(object.inner(), &locked, readers::<T>());
    if look != Look::Quick {
        holders.expire();
    }
    let wanted = locked.block.word(body() + WANTED);
    if !free || holders.total() != 0 {
        if wait {
            wanted.store(object.inner().me().0.into(), Relaxed);
        }
        return Ok(None);
    }
    let value = twin::read(locked.block, body() + VALUE)?;
    let flagged = locked.block.half(body() + FLAG).load(Relaxed) != 0;
    wanted.store(0, Relaxed);
    locked.block.half(body() + WRITER).store(object.inner().me().0, Release);
    Ok(Some(RwWriteGuard { object: object.clone(), value, changed: false, flagged }))
}

impl<T: ShmSafe> RwLock<T> {
    const KIND: &'static str = "rwlock";
    const SHAPE: u64 = object::shape::<T, ()>();

    fn len(pool: &Pool) -> u64 {
        VALUE + twin::room::<T>() + holders::room(pool.0.memory.leases)
    }

    /// Makes a lock with a value.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, value: T) -> Result<RwLock<T>, ShmError> {
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &(), Self::len(pool), |block, at| {
            twin::init(block, at + VALUE, &value);
        })?;
        Ok(RwLock { object, value: PhantomData })
    }

    /// Opens the lock at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<RwLock<T>, ShmError> {
        let object = Object::open::<()>(pool, place, Self::KIND, Self::SHAPE, Self::len(pool))?;
        Ok(RwLock { object, value: PhantomData })
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// The value as it was last stored. Takes no lock.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn get(&self) -> Result<T, ShmError> {
        self.object.check()?;
        twin::read(self.object.block(), body() + VALUE)
    }

    /// A reader's lock; blocks the thread until it can be had.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn read(&self) -> Result<RwReadGuard<T>, ShmError> {
        self.read_by(None)
    }

    /// A reader's lock within a time.
    ///
    /// # Errors
    /// As [`read`](RwLock::read), and [`ShmError::TimedOut`].
    pub fn read_timeout(&self, limit: Duration) -> Result<RwReadGuard<T>, ShmError> {
        self.read_by(Instant::now().checked_add(limit))
    }

    fn read_by(&self, deadline: Option<Instant>) -> Result<RwReadGuard<T>, ShmError> {
        event::wait_until(self.object.came(), deadline, |rested| try_read(&self.object, Look::after(rested)))
    }

    /// A reader's lock, if it can be had at once.
    ///
    /// # Errors
    /// As [`read`](RwLock::read).
    pub fn try_read(&self) -> Result<Option<RwReadGuard<T>>, ShmError> {
        // Among the dead only if it is not to be had otherwise: asking for them is dear.
        match try_read(&self.object, Look::Quick)? {
            None => try_read(&self.object, Look::Dead),
            some => Ok(some),
        }
    }

    /// A reader's lock, as soon as it can be had. A cancel takes none.
    pub fn read_async(&self) -> Promise<RwReadGuard<T>> {
        event::promise_until(&self.object, Object::came, |object, rested| {
            try_read(object, Look::after(rested))
        })
    }

    /// The writer's lock; blocks the thread until it can be had.
    ///
    /// # Errors
    /// As [`read`](RwLock::read).
    pub fn write(&self) -> Result<RwWriteGuard<T>, ShmError> {
        self.write_by(None)
    }

    /// The writer's lock within a time.
    ///
    /// # Errors
    /// As [`read`](RwLock::read), and [`ShmError::TimedOut`].
    pub fn write_timeout(&self, limit: Duration) -> Result<RwWriteGuard<T>, ShmError> {
        self.write_by(Instant::now().checked_add(limit))
    }

    fn write_by(&self, deadline: Option<Instant>) -> Result<RwWriteGuard<T>, ShmError> {
        let _wanting = Wanting(self.object.clone());
        event::wait_until(self.object.came(), deadline, |rested| {
            try_write(&self.object, Look::after(rested), true)
        })
    }

    /// The writer's lock, if it can be had at once.
    ///
    /// # Errors
    /// As [`read`](RwLock::read).
    pub fn try_write(&self) -> Result<Option<RwWriteGuard<T>>, ShmError> {
        // Among the dead only if it is not to be had otherwise: asking for them is dear.
        match try_write(&self.object, Look::Quick, false)? {
            None => try_write(&self.object, Look::Dead, false),
            some => Ok(some),
        }
    }

    /// The writer's lock, as soon as it can be had. A cancel takes none.
    pub fn write_async(&self) -> Promise<RwWriteGuard<T>> {
        let wanting = Wanting(self.object.clone());
        event::promise_until(&self.object, Object::came, move |object, rested| {
            let _ = &wanting;
            try_write(object, Look::after(rested), true)
        })
    }

    /// Destroys the lock. Whoever waits is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy(std::iter::empty())
    }
}

impl<T: ShmSafe> RwReadGuard<T> {
    /// Whether a writer has died, and no other has cleared the flag since.
    pub fn is_flagged(&self) -> bool {
        self.flagged
    }
}

impl<T: ShmSafe> RwWriteGuard<T> {
    /// Whether a writer has died, and no other has cleared the flag since.
    pub fn is_flagged(&self) -> bool {
        self.flagged
    }

    /// Says that what a dead writer left is in order again.
    pub fn clear_flag(&mut self) {
        self.object.block().half(body() + FLAG).store(0, Release);
        self.flagged = false;
    }

    /// Stores the value as it is now.
    pub fn commit(&mut self) {
        if self.changed {
            twin::write(self.object.block(), body() + VALUE, &self.value);
            self.changed = false;
        }
    }
}

impl<T: ShmSafe> Deref for RwReadGuard<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ShmSafe> Deref for RwWriteGuard<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ShmSafe> DerefMut for RwWriteGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: ShmSafe> Drop for RwReadGuard<T> {
    fn drop(&mut self) {
        if self.object.inner().is_here()
            && let Ok(locked) = self.object.lock()
        {
            Holders::new(self.object.inner(), &locked, readers::<T>()).remove(1);
            drop(locked);
            self.object.came().notify_released(self.object.inner());
        }
    }
}

impl<T: ShmSafe> Drop for RwWriteGuard<T> {
    fn drop(&mut self) {
        if !self.object.inner().is_here() {
            return;
        }
        if !thread::panicking() {
            self.commit();
        }
        self.object.block().half(body() + WRITER).store(0, Release);
        self.object.came().notify(self.object.inner());
    }
}

impl<T: ShmSafe + fmt::Debug> fmt::Debug for RwReadGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwReadGuard").field(&self.value).finish()
    }
}

impl<T: ShmSafe + fmt::Debug> fmt::Debug for RwWriteGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwWriteGuard").field(&self.value).finish()
    }
}
