//! [`Queue`]: values in order, from many to many.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

use lwt_core::Promise;

use super::block::{Block, room};
use super::error::ShmError;
use super::event;
use super::line::{self, BOUND, END, FIRST, LEN, RING, positions};
use super::object::{self, Locked, Object, Place};
use super::pool::Pool;
use super::safe::ShmSafe;

/// A queue of values between processes (`Netmcore_queue`), with a bound or without one, and a header of the
/// user's.
///
/// Any number of processes push and pop; each operation takes the queue's lock for a moment. A value is in
/// the queue from the moment of one store on and out of it from another one on: a process that dies in an
/// operation leaves the queue as it was before it, or after it.
///
/// Pushing into a queue that has reached its bound, and popping from an empty one, waits, fails or is a
/// promise, as one asks. Without a bound the ring in which the values are doubles when it is full.
///
/// ```
/// use lwt_preemptive::shm::{Pool, Queue};
/// let pool = Pool::create()?;
/// let queue: Queue<u32> = Queue::create(&pool, None, ())?;
/// for number in 0..100 {
///     queue.push(number)?;
/// }
/// assert_eq!(queue.pop()?, 0);
/// assert_eq!(queue.len()?, 99);
/// assert_eq!(queue.snapshot()?.last(), Some(&99));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct Queue<T, H = ()> {
    object: Object,
    types: PhantomData<fn(T, H) -> (T, H)>,
}

impl<T, H> Clone for Queue<T, H> {
    fn clone(&self) -> Self {
        Queue { object: self.object.clone(), types: PhantomData }
    }
}

impl<T, H> fmt::Debug for Queue<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.object.place()).finish()
    }
}

impl<T: ShmSafe, H: ShmSafe> Queue<T, H> {
    const KIND: &'static str = "queue";
    const SHAPE: u64 = object::shape::<T, H>();
    const BODY: u64 = object::body::<H>();
    /// The distance of two values in a ring.
    const STEP: u64 = if size_of::<T>() == 0 { 8 } else { room::<T>() };

    /// Makes a queue for `bound` values at most, one at least, or any number (`create`).
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, bound: Option<usize>, header: H) -> Result<Queue<T, H>, ShmError> {
        let object = line::create(pool, Self::KIND, Self::SHAPE, bound, &header)?;
        Ok(Queue { object, types: PhantomData })
    }

    /// Opens the queue at a place (`queue_of_descr`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Queue<T, H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, Self::SHAPE, LEN)?;
        Ok(Queue { object, types: PhantomData })
    }

    /// Where it is (`descr_of_queue`).
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// Puts a value at the end, if there is room: `false` if not.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], and those of growing the pool; the queue is as it was then.
    #[inline]
    pub fn try_push(&self, value: T) -> Result<bool, ShmError> {
        push(&self.object, Self::BODY, Self::STEP, &value)
    }

    /// Puts a value at the end, and blocks the thread while there is no room (`push`).
    ///
    /// # Errors
    /// As [`try_push`](Queue::try_push).
    #[inline]
    pub fn push(&self, value: T) -> Result<(), ShmError> {
        if self.try_push(value)? { Ok(()) } else { self.push_by(value, None) }
    }

    /// The same within a time.
    ///
    /// # Errors
    /// As [`try_push`](Queue::try_push), and [`ShmError::TimedOut`].
    pub fn push_timeout(&self, value: T, limit: Duration) -> Result<(), ShmError> {
        self.push_by(value, Instant::now().checked_add(limit))
    }

    fn push_by(&self, value: T, deadline: Option<Instant>) -> Result<(), ShmError> {
        event::wait_until(self.object.went(), deadline, |rested| {
            if !rested && line::is_full(self.object.block(), Self::BODY) {
                return self.object.check().map(|()| None);
            }
            Ok(self.try_push(value)?.then_some(()))
        })
    }

    /// Puts a value at the end: fulfilled when it is in the queue. A cancel before that withdraws it.
    pub fn push_async(&self, value: T) -> Promise<()> {
        event::promise_until(&self.object, Object::went, move |object, _| {
            Ok(push(object, Self::BODY, Self::STEP, &value)?.then_some(()))
        })
    }

    /// Takes the first value, if there is one (`pop_c`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`]; [`ShmError::Corrupt`] if what is there is not a `T`; it is taken
    /// nevertheless.
    #[inline]
    pub fn try_pop(&self) -> Result<Option<T>, ShmError> {
        pop(&self.object, Self::BODY, Self::STEP)
    }

    /// Takes the first value, and blocks the thread while there is none.
    ///
    /// # Errors
    /// As [`try_pop`](Queue::try_pop).
    #[inline]
    pub fn pop(&self) -> Result<T, ShmError> {
        match self.try_pop()? {
            Some(value) => Ok(value),
            None => self.pop_by(None),
        }
    }

    /// The same within a time.
    ///
    /// # Errors
    /// As [`try_pop`](Queue::try_pop), and [`ShmError::TimedOut`].
    pub fn pop_timeout(&self, limit: Duration) -> Result<T, ShmError> {
        self.pop_by(Instant::now().checked_add(limit))
    }

    fn pop_by(&self, deadline: Option<Instant>) -> Result<T, ShmError> {
        event::wait_until(self.object.came(), deadline, |_| self.try_pop())
    }

    /// The first value, as soon as there is one. A cancel takes none.
    pub fn pop_async(&self) -> Promise<T> {
        event::promise_until(&self.object, Object::came, |object, _| pop(object, Self::BODY, Self::STEP))
    }

    /// The first value, which stays (`top_c`).
    ///
    /// # Errors
    /// As [`try_pop`](Queue::try_pop).
    pub fn peek(&self) -> Result<Option<T>, ShmError> {
        let locked = self.object.lock()?;
        let (first, end) = positions(locked.block, Self::BODY);
        if first == end { Ok(None) } else { get(&self.object, Self::BODY, Self::STEP, first).map(Some) }
    }

    /// A copy of all values, in order, as they are at one moment (`iter`).
    ///
    /// # Errors
    /// As [`try_pop`](Queue::try_pop).
    pub fn snapshot(&self) -> Result<Vec<T>, ShmError> {
        let locked = self.object.lock()?;
        let (first, end) = positions(locked.block, Self::BODY);
        let ring = self.object.linked(Self::BODY + RING);
        if !holds(ring, Self::STEP, first, end) {
            return Err(ShmError::Corrupt);
        }
        (first..end).map(|position| get(&self.object, Self::BODY, Self::STEP, position)).collect()
    }

    /// Takes all values out, and says how many they were (`clear`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn clear(&self) -> Result<usize, ShmError> {
        let locked = self.object.lock()?;
        let (first, end) = positions(locked.block, Self::BODY);
        locked.block.word(Self::BODY + FIRST).store(end, Release);
        drop(locked);
        self.object.went().notify_released(self.object.inner());
        Ok(end.wrapping_sub(first) as usize)
    }

    /// How many values there are, at a moment that may be over already (`length`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn len(&self) -> Result<usize, ShmError> {
        line::count(&self.object, Self::BODY)
    }

    /// Whether there are none, at a moment that may be over already (`is_empty`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn is_empty(&self) -> Result<bool, ShmError> {
        self.len().map(|len| len == 0)
    }

    /// The header, as it was last written.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn header(&self) -> Result<H, ShmError> {
        self.object.header()
    }

    /// Changes the header under the queue's lock, and gives the new one. `f` must not use the queue.
    ///
    /// # Errors
    /// As [`header`](Queue::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the queue with its values. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy([Self::BODY + RING].into_iter())
    }
}

/// Whether a ring has room for all that is between two positions: else they are damaged.
fn holds(ring: Option<Block<'_>>, step: u64, first: u64, end: u64) -> bool {
    end.checked_sub(first).is_some_and(|count| count <= ring.map_or(0, |ring| ring.len / step))
}

/// The offset of a position in a ring; `None` for a ring that has no room at all.
#[inline]
fn offset(ring: Block<'_>, step: u64, position: u64) -> Option<u64> {
    // As many as fit: always the same for one ring, whatever else its memory says.
    Some(position.checked_rem(ring.len / step)? * step)
}

fn get<T: ShmSafe>(object: &Object, body: u64, step: u64, position: u64) -> Result<T, ShmError> {
    let ring = object.linked(body + RING).ok_or(ShmError::Corrupt)?;
    ring.get(offset(ring, step, position).ok_or(ShmError::Corrupt)?).ok_or(ShmError::Corrupt)
}

#[inline]
fn push<T: ShmSafe>(object: &Object, body: u64, step: u64, value: &T) -> Result<bool, ShmError> {
    let locked = object.lock()?;
    let (first, end) = positions(locked.block, body);
    let count = end.wrapping_sub(first);
    if count >= locked.block.word(body + BOUND).load(Relaxed) {
        return Ok(false);
    }
    let ring = match object.linked(body + RING) {
        Some(ring) if count < ring.len / step => ring,
        ring => grow(object, &locked, ring, body, step)?,
    };
    ring.put(offset(ring, step, end).ok_or(ShmError::Corrupt)?, value);
    locked.block.word(body + END).store(end.wrapping_add(1), Release);
    drop(locked);
    object.came().notify_released(object.inner());
    Ok(true)
}

/// Links a ring of twice the room, or the first one.
#[cold]
fn grow<'a>(
    object: &'a Object,
    locked: &Locked<'_>,
    old: Option<Block<'a>>,
    body: u64,
    step: u64,
) -> Result<Block<'a>, ShmError> {
    let (first, end) = positions(locked.block, body);
    if !holds(old, step, first, end) {
        return Err(ShmError::Corrupt);
    }
    let bound = locked.block.word(body + BOUND).load(Relaxed);
    let least = old.map_or(0, |old| old.len / step) + 1;
    let places = least.saturating_mul(2).max(16).min(bound.max(least));
    let inner = object.inner();
    let new = inner.allocate(places.checked_mul(step).ok_or(ShmError::TooLarge)?)?;
    if let Some(old) = old {
        let mut bytes = vec![0; step as usize];
        for position in first..end {
            let (from, to) = (offset(old, step, position), offset(new, step, position));
            old.load(from.ok_or(ShmError::Corrupt)?, &mut bytes);
            new.store(to.ok_or(ShmError::Corrupt)?, &bytes);
        }
    }
    inner.replace(object.home(body + RING), Some(new))?;
    Ok(new)
}

#[inline]
fn pop<T: ShmSafe>(object: &Object, body: u64, step: u64) -> Result<Option<T>, ShmError> {
    // Without the lock first: who waits looks often.
    let (first, end) = positions(object.block(), body);
    if first >= end {
        return object.check().map(|()| None);
    }
    let locked = object.lock()?;
    let (first, end) = positions(locked.block, body);
    if first >= end {
        return Ok(None);
    }
    let value = get(object, body, step, first);
    locked.block.word(body + FIRST).store(first + 1, Release);
    drop(locked);
    object.went().notify_released(object.inner());
    value.map(Some)
}
