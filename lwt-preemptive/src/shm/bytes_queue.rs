//! [`BytesQueue`]: bytes of any length in order, from many to many.
//!
//! A ring of links, each to a blob. A blob is in the queue as long as its position is between the queue's
//! two; the link of one that has left may stay, of which a process died that took it, until its place in the
//! ring is used again.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use lwt_core::Promise;

use super::blob::{self, Blob};
use super::block::Block;
use super::error::ShmError;
use super::event;
use super::line::{self, BOUND, END, FIRST, LEN, RING, positions};
use super::lock::Held;
use super::object::{self, Locked, Object, Place};
use super::pin::Pin;
use super::pool::Pool;
use super::safe::ShmSafe;

/// The distance of two links in a ring.
const LINK: u64 = 8;

/// A queue of bytes between processes, with a bound or without one, and a header of the user's: for strings,
/// and for values that are not stored as they are.
///
/// Any number of processes push and pop; each operation takes the queue's lock for a moment, in which nothing
/// is copied. What is popped is read in place, and freed when the [`Blob`] is dropped. A process that dies
/// leaves the queue as it was before its operation, or after it.
///
/// ```
/// use lwt_preemptive::shm::{BytesQueue, Pool};
/// let pool = Pool::create()?;
/// let queue: BytesQueue = BytesQueue::create(&pool, None, ())?;
/// queue.push(b"first")?;
/// queue.push(b"a longer second one")?;
/// assert_eq!(&*queue.pop()?, b"first");
/// assert_eq!(&*queue.peek()?.unwrap(), b"a longer second one");
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct BytesQueue<H = ()> {
    object: Object,
    header: PhantomData<fn(H) -> H>,
}

impl<H> Clone for BytesQueue<H> {
    fn clone(&self) -> Self {
        BytesQueue { object: self.object.clone(), header: PhantomData }
    }
}

impl<H> fmt::Debug for BytesQueue<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BytesQueue").field(&self.object.place()).finish()
    }
}

impl<H> BytesQueue<H> {
    /// Where it is.
    pub fn place(&self) -> Place {
        self.object.place()
    }
}

impl<H: ShmSafe> BytesQueue<H> {
    const KIND: &'static str = "bytes queue";
    const BODY: u64 = object::body::<H>();

    /// Makes a queue for `bound` elements at most, one at least, or any number.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, bound: Option<usize>, header: H) -> Result<BytesQueue<H>, ShmError> {
        BytesQueue::create_of(pool, object::BYTES, bound, header)
    }

    /// Opens the queue at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<BytesQueue<H>, ShmError> {
        BytesQueue::open_of(pool, object::BYTES, place)
    }

    /// A queue whose elements have a meaning, of which this is the hash.
    pub(super) fn create_of(
        pool: &Pool,
        elements: u64,
        bound: Option<usize>,
        header: H,
    ) -> Result<BytesQueue<H>, ShmError> {
        let object = line::create(pool, Self::KIND, object::shape_of::<H>(elements), bound, &header)?;
        Ok(BytesQueue { object, header: PhantomData })
    }

    pub(super) fn open_of(pool: &Pool, elements: u64, place: Place) -> Result<BytesQueue<H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, object::shape_of::<H>(elements), LEN)?;
        Ok(BytesQueue { object, header: PhantomData })
    }

    /// Puts bytes at the end, if there is room: `false` if not.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], and those of growing the pool; the queue is as it was then.
    pub fn try_push(&self, bytes: &[u8]) -> Result<bool, ShmError> {
        let mut new = Some(self.make(bytes)?);
        Ok(push(&self.object, Self::BODY, &mut new)?.is_some())
    }

    /// Puts bytes at the end, and blocks the thread while there is no room.
    ///
    /// # Errors
    /// As [`try_push`](BytesQueue::try_push).
    pub fn push(&self, bytes: &[u8]) -> Result<(), ShmError> {
        self.push_by(bytes, None)
    }

    /// The same within a time.
    ///
    /// # Errors
    /// As [`try_push`](BytesQueue::try_push), and [`ShmError::TimedOut`].
    pub fn push_timeout(&self, bytes: &[u8], limit: Duration) -> Result<(), ShmError> {
        self.push_by(bytes, Instant::now().checked_add(limit))
    }

    fn push_by(&self, bytes: &[u8], deadline: Option<Instant>) -> Result<(), ShmError> {
        let mut new = Some(self.make(bytes)?);
        event::wait_until(self.object.went(), deadline, |_| push(&self.object, Self::BODY, &mut new))
    }

    /// Puts bytes at the end: fulfilled when they are in the queue. A cancel before that withdraws them.
    pub fn push_async(&self, bytes: &[u8]) -> Promise<()> {
        match self.make(bytes) {
            Ok(new) => {
                let mut new = Some(new);
                event::promise_until(&self.object, Object::went, move |object, _| {
                    push(object, Self::BODY, &mut new)
                })
            }
            Err(error) => Promise::fail(error),
        }
    }

    /// Bytes that are this process's own yet.
    fn make(&self, bytes: &[u8]) -> Result<Blob, ShmError> {
        let inner = self.object.inner();
        Blob::own(inner, blob::make(inner, bytes)?)
    }

    /// Takes the first element, if there is one.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn try_pop(&self) -> Result<Option<Blob>, ShmError> {
        pop(&self.object, Self::BODY)
    }

    /// Takes the first element, and blocks the thread while there is none.
    ///
    /// # Errors
    /// As [`try_pop`](BytesQueue::try_pop).
    pub fn pop(&self) -> Result<Blob, ShmError> {
        self.pop_by(None)
    }

    /// The same within a time.
    ///
    /// # Errors
    /// As [`try_pop`](BytesQueue::try_pop), and [`ShmError::TimedOut`].
    pub fn pop_timeout(&self, limit: Duration) -> Result<Blob, ShmError> {
        self.pop_by(Instant::now().checked_add(limit))
    }

    fn pop_by(&self, deadline: Option<Instant>) -> Result<Blob, ShmError> {
        event::wait_until(self.object.came(), deadline, |_| self.try_pop())
    }

    /// The first element, as soon as there is one. A cancel takes none.
    pub fn pop_async(&self) -> Promise<Blob> {
        event::promise_until(&self.object, Object::came, |object, _| pop(object, Self::BODY))
    }

    /// The first element, which stays.
    ///
    /// # Errors
    /// As [`try_pop`](BytesQueue::try_pop), and [`ShmError::TooManyPins`].
    pub fn peek(&self) -> Result<Option<Blob>, ShmError> {
        let locked = self.object.lock()?;
        let (first, end) = positions(locked.block, Self::BODY);
        if first >= end { Ok(None) } else { self.pinned(first).map(Some) }
    }

    /// All elements, in order, as they are at one moment, in place.
    ///
    /// # Errors
    /// As [`peek`](BytesQueue::peek).
    pub fn snapshot(&self) -> Result<Vec<Blob>, ShmError> {
        let locked = self.object.lock()?;
        let (first, end) = positions(locked.block, Self::BODY);
        (first..end).map(|position| self.pinned(position)).collect()
    }

    /// The element at a position, under the lock.
    fn pinned(&self, position: u64) -> Result<Blob, ShmError> {
        let inner = self.object.inner();
        let home = link(&self.object, Self::BODY, position)?;
        Blob::pinned(inner, Pin::at(inner, inner.memory.word(home).load(Acquire))?)
    }

    /// Takes all elements out, one after the other, and says how many they were.
    ///
    /// # Errors
    /// As [`try_pop`](BytesQueue::try_pop).
    pub fn clear(&self) -> Result<usize, ShmError> {
        let mut count = 0;
        while self.try_pop()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// How many elements there are, at a moment that may be over already.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn len(&self) -> Result<usize, ShmError> {
        line::count(&self.object, Self::BODY)
    }

    /// Whether there are none, at a moment that may be over already.
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
    /// As [`header`](BytesQueue::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the queue with its elements. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        let inner = self.object.inner();
        // Also if somebody died who was destroying it.
        let held = Held::short(inner, self.object.block().half(object::LOCK));
        self.object.mark_destroyed();
        if let Some(ring) = self.object.linked(Self::BODY + RING) {
            links(ring).try_for_each(|home| inner.replace(home, None))?;
        }
        drop(held);
        self.object.destroy([Self::BODY + RING].into_iter())
    }
}

/// The addresses of all links of a ring.
fn links(ring: Block<'_>) -> impl Iterator<Item = u64> + use<> {
    let (at, count) = (ring.at, ring.len / LINK);
    (0..count).map(move |index| at + index * LINK)
}

/// The address of a position's link in a ring.
fn link_in(ring: Block<'_>, position: u64) -> u64 {
    // A block has room for two links at least.
    ring.at + position % (ring.len / LINK).max(1) * LINK
}

fn link(object: &Object, body: u64, position: u64) -> Result<u64, ShmError> {
    object.linked(body + RING).map(|ring| link_in(ring, position)).ok_or(ShmError::Corrupt)
}

/// Puts in what is there to be put in, if there is room.
fn push(object: &Object, body: u64, new: &mut Option<Blob>) -> Result<Option<()>, ShmError> {
    // Without the lock first: who waits looks often.
    if line::is_full(object.block(), body) {
        return object.check().map(|()| None);
    }
    let locked = object.lock()?;
    let (first, end) = positions(locked.block, body);
    let count = end.checked_sub(first).ok_or(ShmError::Corrupt)?;
    if count >= locked.block.word(body + BOUND).load(Relaxed) {
        return Ok(None);
    }
    let ring = match object.linked(body + RING) {
        Some(ring) if count < ring.len / LINK => ring,
        ring => grow(object, &locked, ring, body)?,
    };
    if let Some(block) = new.as_ref().and_then(Blob::own_block) {
        object.inner().replace(link_in(ring, end), Some(object.inner().block(block)?))?;
        if let Some(new) = new.take() {
            new.forget();
        }
        locked.block.word(body + END).store(end.wrapping_add(1), Release);
    }
    drop(locked);
    object.came().notify_released(object.inner());
    Ok(Some(()))
}

/// Links a ring of twice the room in place of a full one, or the first one.
#[cold]
fn grow<'a>(
    object: &'a Object,
    locked: &Locked<'_>,
    old: Option<Block<'a>>,
    body: u64,
) -> Result<Block<'a>, ShmError> {
    let (first, end) = positions(locked.block, body);
    let (room, inner) = (old.map_or(0, |old| old.len / LINK), object.inner());
    if end - first != room {
        return Err(ShmError::Corrupt);
    }
    let bound = locked.block.word(body + BOUND).load(Relaxed);
    let places = room.saturating_mul(2).max(16).min(bound.max(room + 1)).max(2);
    if let Some(old) = old {
        // It is full: all its links count.
        links(old).try_for_each(|home| inner.settle_link(home))?;
    }
    let new = inner.allocate(places.checked_mul(LINK).ok_or(ShmError::TooLarge)?)?;
    for home in links(new) {
        inner.memory.word(home).store(0, Relaxed);
    }
    if let Some(old) = old {
        for position in first..end {
            let at = inner.memory.word(link_in(old, position)).load(Relaxed);
            inner.memory.word(link_in(new, position)).store(at, Relaxed);
        }
    }
    inner.replace(object.home(body + RING), Some(new))?;
    Ok(new)
}

fn pop(object: &Object, body: u64) -> Result<Option<Blob>, ShmError> {
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
    let inner = object.inner();
    let home = link(object, body, first)?;
    let block = inner.block(inner.memory.word(home).load(Acquire))?;
    // From here on the sweep asks the link whose it is, and from the last store on it is this process's.
    block.home().store(home, Release);
    inner.claim(block)?;
    locked.block.word(body + FIRST).store(first + 1, Release);
    inner.memory.word(home).store(0, Release);
    drop(locked);
    object.went().notify_released(inner);
    Blob::own(inner, block).map(Some)
}
