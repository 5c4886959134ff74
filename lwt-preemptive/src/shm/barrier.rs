//! [`Barrier`]: a number of threads of any processes that wait for each other.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use lwt_core::Promise;

use super::error::ShmError;
use super::event;
use super::object::{self, Object, Place};
use super::pool::Pool;

/// How many have to come; and in one word, which round it is (upper half) and how many have come (lower
/// half).
const COUNT: u64 = 0;
const STATE: u64 = 8;
const LEN: u64 = 16;

/// A barrier between processes: each round, all wait until as many have come as it was made for.
///
/// Who has come counts, even if it dies while it waits. Who never comes, for it has died before, lets the
/// others wait: they should have a limit, after which they have not come. Coming takes the barrier's lock for
/// a moment, waiting none.
///
/// ```
/// use lwt_preemptive::shm::{Barrier, Pool};
/// let pool = Pool::create()?;
/// let barrier = Barrier::create(&pool, 2)?;
/// let last = std::thread::scope(|scope| {
///     let other = scope.spawn(|| barrier.wait());
///     Ok::<_, lwt_preemptive::shm::ShmError>([barrier.wait()?, other.join().unwrap()?])
/// })?;
/// assert_eq!(last.iter().filter(|last| **last).count(), 1);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Barrier(Object);

const fn body() -> u64 {
    object::body::<()>()
}

/// Comes: the round that it waits for the end of, or nothing if it was the last one.
fn arrive(object: &Object) -> Result<Option<u64>, ShmError> {
    let locked = object.lock()?;
    let state = locked.block.word(body() + STATE);
    let (round, come) = (state.load(Relaxed) >> 32, (state.load(Relaxed) & 0xffff_ffff) + 1);
    if come < locked.block.word(body() + COUNT).load(Relaxed) {
        state.store(round << 32 | come, Release);
        return Ok(Some(round));
    }
    state.store(next(round) << 32, Release);
    drop(locked);
    object.came().notify_released(object.inner());
    Ok(None)
}

fn next(round: u64) -> u64 {
    (round + 1) & 0xffff_ffff
}

/// Whether a round has ended.
fn is_over(object: &Object, round: u64) -> Result<Option<()>, ShmError> {
    object.check()?;
    Ok((object.block().word(body() + STATE).load(Acquire) >> 32 != round).then_some(()))
}

/// Goes away again: `false` if the round has ended meanwhile.
fn leave(object: &Object, round: u64) -> Result<bool, ShmError> {
    let locked = object.lock()?;
    let state = locked.block.word(body() + STATE);
    let now = state.load(Relaxed);
    if now >> 32 != round || now & 0xffff_ffff == 0 {
        return Ok(false);
    }
    state.store(now - 1, Release);
    Ok(true)
}

/// That one has come whose promise may be cancelled.
struct Come {
    object: Object,
    round: u64,
}

impl Drop for Come {
    fn drop(&mut self) {
        if self.object.inner().is_here() {
            // Does nothing if the round has ended.
            let _ = leave(&self.object, self.round);
        }
    }
}

impl Barrier {
    const KIND: &'static str = "barrier";
    const SHAPE: u64 = object::shape::<(), ()>();

    /// Makes a barrier for so many.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, count: u32) -> Result<Barrier, ShmError> {
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &(), LEN, |block, at| {
            block.word(at + COUNT).store(count.into(), Relaxed);
        });
        object.map(Barrier)
    }

    /// Opens the barrier at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Barrier, ShmError> {
        Object::open::<()>(pool, place, Self::KIND, Self::SHAPE, LEN).map(Barrier)
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.0.place()
    }

    /// Comes, and blocks the thread until all have; says whether it was the last one.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn wait(&self) -> Result<bool, ShmError> {
        self.wait_by(None)
    }

    /// The same within a time, after which it has not come.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::TimedOut`].
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool, ShmError> {
        self.wait_by(Instant::now().checked_add(limit))
    }

    fn wait_by(&self, deadline: Option<Instant>) -> Result<bool, ShmError> {
        let Some(round) = arrive(&self.0)? else { return Ok(true) };
        match event::wait_until(self.0.came(), deadline, |_| is_over(&self.0, round)) {
            // The last one may have come after the time and before this.
            Err(ShmError::TimedOut) if !leave(&self.0, round)? => Ok(false),
            other => other.map(|()| false),
        }
    }

    /// Comes; fulfilled when all have. After a cancel it has not come.
    pub fn wait_async(&self) -> Promise<bool> {
        match arrive(&self.0) {
            Ok(None) => Promise::ready(true),
            Ok(Some(round)) => {
                let come = Come { object: self.0.clone(), round };
                event::promise_until(&self.0, Object::came, move |object, _| {
                    // All of it is the promise's, not the number alone.
                    let Come { round, .. } = &come;
                    Ok(is_over(object, *round)?.map(|()| false))
                })
            }
            Err(error) => Promise::fail(error),
        }
    }

    /// Destroys the barrier. Whoever waits is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.0.destroy(std::iter::empty())
    }
}
