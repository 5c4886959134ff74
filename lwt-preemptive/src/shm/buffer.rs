//! [`Buffer`]: bytes with positions that stay.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use lwt_core::Promise;

use super::error::ShmError;
use super::event;
use super::object::{self, Locked, Object, Place};
use super::pool::Pool;
use super::ring::Ring;
use super::safe::ShmSafe;

// The buffer's own part: how many bytes it may have, the positions of the first byte and behind the last one,
// the block.
const BOUND: u64 = 0;
const START: u64 = 8;
const END: u64 = 16;
const BLOCK: u64 = 24;
const LEN: u64 = 32;
/// The first block's length, unless the bound is below it.
const LEAST: u64 = 4096;

/// Bytes between processes (`Netmcore_buffer`), with a bound or without one, and a header of the user's.
///
/// Bytes are added at the end and deleted at the beginning. Each has a position, counted from the first one
/// that was ever added, in 64 bits: deleting changes no other byte's position. Each operation takes the
/// buffer's lock for the time of its copying, and a process that dies in one has added, or deleted, all of it
/// or nothing.
///
/// ```
/// use lwt_preemptive::shm::{Buffer, Pool};
/// let pool = Pool::create()?;
/// let buffer: Buffer = Buffer::create(&pool, None, ())?;
/// buffer.add(b"hello ")?;
/// let world = buffer.add(b"world")?.unwrap();
/// buffer.delete_to(world)?;
/// assert_eq!(buffer.range()?, 6..11);
/// assert_eq!(buffer.contents()?, b"world");
/// assert_eq!(buffer.sub(8..10)?, Some(b"rl".to_vec()));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct Buffer<H = ()> {
    object: Object,
    types: PhantomData<fn(H) -> H>,
}

impl<H> Clone for Buffer<H> {
    fn clone(&self) -> Self {
        Buffer { object: self.object.clone(), types: PhantomData }
    }
}

impl<H> fmt::Debug for Buffer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&self.object.place()).finish()
    }
}

/// The positions, as one sees them with the lock.
fn range(locked: &Locked<'_>, body: u64) -> Range<u64> {
    locked.block.word(body + START).load(Relaxed)..locked.block.word(body + END).load(Relaxed)
}

fn ring(object: &Object, body: u64) -> Option<Ring<'_>> {
    object.linked(body + BLOCK).map(|block| Ring::new(block, 0, block.len))
}

fn add(object: &Object, body: u64, bytes: &[u8]) -> Result<Option<u64>, ShmError> {
    let block = object.block();
    let bound = block.word(body + BOUND).load(Relaxed);
    let len = bytes.len() as u64;
    if len > bound {
        return Err(ShmError::TooLarge);
    }
    // Without the lock first: who waits looks often. The end first, so that the bytes are not taken for more
    // than they are.
    let end = block.word(body + END).load(Acquire);
    let start = block.word(body + START).load(Acquire);
    if end.saturating_sub(start).saturating_add(len) > bound {
        return object.check().map(|()| None);
    }
    let locked = object.lock()?;
    let there = range(&locked, body);
    let goal = there.end.wrapping_sub(there.start).saturating_add(len);
    if goal > bound {
        return Ok(None);
    }
    let ring = match ring(object, body) {
        Some(ring) if goal <= ring.len => ring,
        old => grow(object, &there, old, body, goal, bound)?,
    };
    ring.store(there.end, bytes).ok_or(ShmError::Corrupt)?;
    locked.block.word(body + END).store(there.end.wrapping_add(len), Release);
    drop(locked);
    object.came().notify_released(object.inner());
    Ok(Some(there.end))
}

/// Links a longer block, with the bytes of the old one.
fn grow<'a>(
    object: &'a Object,
    there: &Range<u64>,
    old: Option<Ring<'a>>,
    body: u64,
    goal: u64,
    bound: u64,
) -> Result<Ring<'a>, ShmError> {
    // What is there has room in the block that is there, or the positions are damaged.
    let count = there.end.checked_sub(there.start);
    if count.is_none_or(|count| count > old.map_or(0, |old| old.len)) {
        return Err(ShmError::Corrupt);
    }
    let inner = object.inner();
    let block = inner.allocate(goal.saturating_mul(2).max(LEAST).min(bound).next_multiple_of(8))?;
    let ring = Ring::new(block, 0, block.len);
    if let Some(old) = old {
        let mut piece = [0; 4096];
        let mut at = there.start;
        while at < there.end {
            let len = (there.end - at).min(piece.len() as u64) as usize;
            old.load(at, &mut piece[..len]).ok_or(ShmError::Corrupt)?;
            ring.store(at, &piece[..len]).ok_or(ShmError::Corrupt)?;
            at += len as u64;
        }
    }
    inner.replace(object.home(body + BLOCK), Some(block))?;
    Ok(ring)
}

/// The bytes of a part, if they are all there.
fn load(
    object: &Object,
    body: u64,
    locked: &Locked<'_>,
    part: &Range<u64>,
) -> Result<Option<Vec<u8>>, ShmError> {
    let there = range(locked, body);
    if part.start < there.start || part.end > there.end || part.start > part.end {
        return Ok(None);
    }
    let Some(ring) = ring(object, body) else { return Ok(Some(Vec::new())) };
    let len = part.end - part.start;
    if len > ring.len {
        return Err(ShmError::Corrupt);
    }
    let mut bytes = vec![0; len as usize];
    ring.load(part.start, &mut bytes).ok_or(ShmError::Corrupt)?;
    Ok(Some(bytes))
}

/// Whether bytes up to a position have come.
fn reached(object: &Object, body: u64, position: u64) -> Result<Option<()>, ShmError> {
    object.check()?;
    Ok((object.block().word(body + END).load(Acquire) >= position).then_some(()))
}

impl<H: ShmSafe> Buffer<H> {
    const KIND: &'static str = "buffer";
    const SHAPE: u64 = object::shape::<u8, H>();
    const BODY: u64 = object::body::<H>();

    /// Makes a buffer for `bound` bytes at a time, or any number (`create`).
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, bound: Option<usize>, header: H) -> Result<Buffer<H>, ShmError> {
        let bound = bound.map_or(u64::MAX, |bound| bound as u64);
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &header, LEN, |block, at| {
            block.word(at + BOUND).store(bound, Relaxed);
        })?;
        Ok(Buffer { object, types: PhantomData })
    }

    /// Opens the buffer at a place (`buffer_of_descr`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Buffer<H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, Self::SHAPE, LEN)?;
        Ok(Buffer { object, types: PhantomData })
    }

    /// Where it is (`descr_of_buffer`).
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// Adds bytes at the end (`add_string`), and gives the position of the first; nothing if there is no room
    /// for all.
    ///
    /// # Errors
    /// [`ShmError::TooLarge`] if they never fit, [`ShmError::Destroyed`], and those of growing the pool;
    /// nothing is added then.
    pub fn add(&self, bytes: &[u8]) -> Result<Option<u64>, ShmError> {
        add(&self.object, Self::BODY, bytes)
    }

    /// The same, and blocks the thread while there is no room.
    ///
    /// # Errors
    /// As [`add`](Buffer::add); [`ShmError::TimedOut`] after the time, if one is given.
    pub fn add_wait(&self, bytes: &[u8], limit: Option<std::time::Duration>) -> Result<u64, ShmError> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        event::wait_until(self.object.went(), deadline, |_| self.add(bytes))
    }

    /// The same as a promise. A cancel before the bytes are in withdraws them.
    pub fn add_async(&self, bytes: Vec<u8>) -> Promise<u64> {
        event::promise_until(&self.object, Object::went, move |object, _| add(object, Self::BODY, &bytes))
    }

    /// Blocks the thread until the buffer's end is at a position, or beyond it.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`]; [`ShmError::TimedOut`] after the time, if one is given.
    pub fn wait_for(&self, position: u64, limit: Option<std::time::Duration>) -> Result<(), ShmError> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        event::wait_until(self.object.came(), deadline, |_| reached(&self.object, Self::BODY, position))
    }

    /// The same as a promise.
    pub fn wait_for_async(&self, position: u64) -> Promise<()> {
        let look = move |object: &Object, _| reached(object, Self::BODY, position);
        event::promise_until(&self.object, Object::came, look)
    }

    /// The positions of what is there (`start`, `length`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn range(&self) -> Result<Range<u64>, ShmError> {
        Ok(range(&self.object.lock()?, Self::BODY))
    }

    /// A copy of a part (`sub`); nothing if it is not all there (any more, or yet).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn sub(&self, part: Range<u64>) -> Result<Option<Vec<u8>>, ShmError> {
        load(&self.object, Self::BODY, &self.object.lock()?, &part)
    }

    /// A copy of all that is there (`contents`).
    ///
    /// # Errors
    /// As [`sub`](Buffer::sub).
    pub fn contents(&self) -> Result<Vec<u8>, ShmError> {
        let locked = self.object.lock()?;
        load(&self.object, Self::BODY, &locked, &range(&locked, Self::BODY))?.ok_or(ShmError::Corrupt)
    }

    /// Copies bytes from a position on (`blit_to_bytes`), as many as there are, and says how many; nothing if
    /// the position is not (any more) in the buffer.
    ///
    /// # Errors
    /// As [`sub`](Buffer::sub).
    pub fn read(&self, position: u64, to: &mut [u8]) -> Result<Option<usize>, ShmError> {
        let locked = self.object.lock()?;
        let there = range(&locked, Self::BODY);
        if position < there.start || position > there.end {
            return Ok(None);
        }
        let len = (there.end - position).min(to.len() as u64) as usize;
        if let Some(ring) = ring(&self.object, Self::BODY) {
            ring.load(position, &mut to[..len]).ok_or(ShmError::Corrupt)?;
        }
        Ok(Some(len))
    }

    /// Deletes what is before a position (`delete_hd`), at most all that is there.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn delete_to(&self, position: u64) -> Result<(), ShmError> {
        let locked = self.object.lock()?;
        let there = range(&locked, Self::BODY);
        if position > there.start {
            locked.block.word(Self::BODY + START).store(position.min(there.end), Release);
        }
        drop(locked);
        self.object.went().notify_released(self.object.inner());
        Ok(())
    }

    /// Deletes all (`clear`). The positions go on.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn clear(&self) -> Result<(), ShmError> {
        self.delete_to(u64::MAX)
    }

    /// The header, as it was last written (`header`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn header(&self) -> Result<H, ShmError> {
        self.object.header()
    }

    /// Changes the header under the buffer's lock, and gives the new one. `f` must not use the buffer.
    ///
    /// # Errors
    /// As [`header`](Buffer::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the buffer with its bytes (`destroy`). Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy([Self::BODY + BLOCK].into_iter())
    }
}
