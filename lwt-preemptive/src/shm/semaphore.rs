//! [`Semaphore`]: permits that come back when their holder dies.

use std::fmt;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

use lwt_core::Promise;

use super::error::ShmError;
use super::event;
use super::holders::{self, Holders};
use super::object::{self, Object, Place};
use super::pool::Pool;

/// How many permits there are, whoever has them; then the table of who has them.
const ALL: u64 = 0;
const HOLDERS: u64 = 8;

/// A number of permits that processes share (`Netmcore_sem`).
///
/// A permit that was [acquired](Semaphore::acquire) comes back when it is dropped, and also when its process
/// dies. Where the number stands for things instead, one side [posts](Semaphore::post) and the other
/// [takes](Semaphore::take), and nothing comes back. Each operation takes the semaphore's own lock for a
/// moment.
///
/// ```
/// use lwt_preemptive::shm::{Pool, Semaphore};
/// let pool = Pool::create()?;
/// let semaphore = Semaphore::create(&pool, 2)?;
/// let first = semaphore.acquire(1)?;
/// let second = semaphore.acquire(1)?;
/// assert!(semaphore.try_acquire(1)?.is_none());
/// drop(first);
/// assert_eq!(semaphore.available()?, 1);
/// # drop(second);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Semaphore(Object);

/// Permits of a [`Semaphore`], which go back when the value is dropped.
#[must_use = "the permits go back when it is dropped"]
pub struct Permits {
    object: Object,
    count: u32,
}

impl Permits {
    /// Lets the permits be gone for good.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn consume(mut self) -> Result<(), ShmError> {
        let locked = self.object.lock()?;
        let all = locked.block.word(body() + ALL);
        // First the number: if this process dies in between, the permits that come back are those that are
        // gone.
        all.store(all.load(Relaxed).saturating_sub(self.count.into()), Release);
        Holders::new(self.object.inner(), &locked, body() + HOLDERS).remove(self.count);
        drop(locked);
        self.count = 0;
        Ok(())
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permits").field(&self.count).finish()
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        if self.count > 0
            && self.object.inner().is_here()
            && let Ok(locked) = self.object.lock()
        {
            Holders::new(self.object.inner(), &locked, body() + HOLDERS).remove(self.count);
            drop(locked);
            self.object.came().notify_released(self.object.inner());
        }
    }
}

const fn body() -> u64 {
    object::body::<()>()
}

/// One attempt. What it takes out, `done` books, under the lock.
fn attempt<R>(
    object: &Object,
    count: u32,
    look: bool,
    done: impl FnOnce(&Holders<'_>, u64) -> R,
) -> Result<Option<R>, ShmError> {
    let locked = object.lock()?;
    let holders = Holders::new(object.inner(), &locked, body() + HOLDERS);
    if look {
        holders.expire();
    }
    let all = locked.block.word(body() + ALL).load(Relaxed);
    let fits = holders.total().saturating_add(count.into()) <= all;
    Ok(fits.then(|| done(&holders, all)))
}

fn acquire(object: &Object, count: u32, look: bool) -> Result<Option<Permits>, ShmError> {
    let taken = attempt(object, count, look, |holders, _| holders.add(count))?;
    Ok(taken.map(|()| Permits { object: object.clone(), count }))
}

fn take(object: &Object, count: u32, look: bool) -> Result<Option<()>, ShmError> {
    attempt(object, count, look, |_, all| {
        object.block().word(body() + ALL).store(all - u64::from(count), Release);
    })
}

impl Semaphore {
    const KIND: &'static str = "semaphore";
    const SHAPE: u64 = object::shape::<(), ()>();

    fn len(pool: &Pool) -> u64 {
        HOLDERS + holders::room(pool.0.memory.leases)
    }

    /// Makes a semaphore with `count` permits (`create`).
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, count: u32) -> Result<Semaphore, ShmError> {
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &(), Self::len(pool), |block, at| {
            block.word(at + ALL).store(count.into(), Relaxed);
        });
        object.map(Semaphore)
    }

    /// Opens the semaphore at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Semaphore, ShmError> {
        Object::open::<()>(pool, place, Self::KIND, Self::SHAPE, Self::len(pool)).map(Semaphore)
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.0.place()
    }

    /// Takes permits, if there are as many (`wait`, `NONBLOCK`). Those of dead processes are among them.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn try_acquire(&self, count: u32) -> Result<Option<Permits>, ShmError> {
        // Among the dead only if there are not as many otherwise: asking for them is dear.
        match acquire(&self.0, count, false)? {
            None => acquire(&self.0, count, true),
            some => Ok(some),
        }
    }

    /// Takes permits, and blocks the thread until there are as many (`wait`, `BLOCK`). Those of dead
    /// processes are among them.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn acquire(&self, count: u32) -> Result<Permits, ShmError> {
        event::wait_until(self.0.came(), None, |look| acquire(&self.0, count, look))
    }

    /// The same within a time.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::TimedOut`].
    pub fn acquire_timeout(&self, count: u32, limit: Duration) -> Result<Permits, ShmError> {
        let deadline = Instant::now().checked_add(limit);
        event::wait_until(self.0.came(), deadline, |look| acquire(&self.0, count, look))
    }

    /// Permits, as soon as there are as many. A cancel takes none.
    pub fn acquire_async(&self, count: u32) -> Promise<Permits> {
        event::promise_until(&self.0, Object::came, move |object, look| acquire(object, count, look))
    }

    /// Adds permits (`post`), up to `u32::MAX` in all.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn post(&self, count: u32) -> Result<(), ShmError> {
        let locked = self.0.lock()?;
        let all = locked.block.word(body() + ALL);
        // No more than one process can hold: see `holders`.
        all.store((all.load(Relaxed).saturating_add(count.into())).min(u32::MAX.into()), Release);
        drop(locked);
        self.0.came().notify_released(self.0.inner());
        Ok(())
    }

    /// Takes permits away for good, and blocks the thread until there are as many.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn take(&self, count: u32) -> Result<(), ShmError> {
        event::wait_until(self.0.came(), None, |look| take(&self.0, count, look))
    }

    /// The same within a time.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::TimedOut`].
    pub fn take_timeout(&self, count: u32, limit: Duration) -> Result<(), ShmError> {
        let deadline = Instant::now().checked_add(limit);
        event::wait_until(self.0.came(), deadline, |look| take(&self.0, count, look))
    }

    /// The same as a promise. A cancel takes none.
    pub fn take_async(&self, count: u32) -> Promise<()> {
        event::promise_until(&self.0, Object::came, move |object, look| take(object, count, look))
    }

    /// How many permits nobody has (`getvalue`), those of dead processes among them.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn available(&self) -> Result<u64, ShmError> {
        let locked = self.0.lock()?;
        let holders = Holders::new(self.0.inner(), &locked, body() + HOLDERS);
        holders.expire();
        Ok(locked.block.word(body() + ALL).load(Relaxed).saturating_sub(holders.total()))
    }

    /// Destroys the semaphore. Whoever waits is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.0.destroy(std::iter::empty())
    }
}
