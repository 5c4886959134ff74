//! Blobs: bytes of any length, written once, read in place.
//!
//! The two user's words of a blob's block are its length and a mark. It is written before anybody else knows
//! of it, and not changed until it is freed.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use lwt_unix::process::Lent;

use super::block::{Block, Head, KEPT, NOBODY, State};
use super::error::ShmError;
use super::object::Place;
use super::pin::Pin;
use super::pool::{Inner, Pool};

/// In the second user's word, so that nothing else is taken for a blob.
const BLOB: u64 = 0x626c_6f62_626c_6f62;

/// Bytes in shared memory, which stay where and what they are until the value is dropped: the guard is the
/// pin. They begin at a multiple of sixteen.
///
/// If the process dies, its pins go with it.
///
/// [`fork`](lwt_unix::process::fork()) is refused as long as one is there.
///
/// # Panics
/// Looking at the bytes panics in a child that was made by another fork: nothing of a pool belongs to it.
pub struct Blob {
    hold: Hold,
    /// Where the bytes are in the pool.
    at: u64,
    length: usize,
    _lent: Lent,
}

/// What keeps the bytes.
enum Hold {
    Pinned {
        _pin: Pin,
        inner: Arc<Inner>,
    },
    /// A private block of this process, which is freed with the value.
    Own {
        block: u64,
        inner: Arc<Inner>,
    },
}

impl Hold {
    fn inner(&self) -> &Inner {
        match self {
            Hold::Pinned { inner, .. } | Hold::Own { inner, .. } => inner,
        }
    }
}

impl Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let inner = self.hold.inner();
        // What keeps the bytes does so for this process.
        let _ = inner.me();
        // SAFETY: the range was inside its block when the value was made. Nothing in this library writes to a
        // blob that others know of; and while it is pinned, or this process's own, it is not freed.
        unsafe { inner.memory.frozen(self.at, self.length) }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if let Hold::Own { block, inner } = &self.hold
            && inner.is_here()
            && let Ok(block) = inner.block(*block)
        {
            // Others may have pinned it before it was this process's.
            inner.retire(block);
        }
    }
}

impl Blob {
    /// The blob of a pinned block.
    pub(super) fn pinned(inner: &Arc<Inner>, pin: Pin) -> Result<Blob, ShmError> {
        let (at, length) = (pin.at, length(inner.block(pin.at)?).ok_or(ShmError::Corrupt)?);
        let hold = Hold::Pinned { _pin: pin, inner: inner.clone() };
        Ok(Blob { hold, at, length, _lent: Lent::new() })
    }

    /// The blob in a private block of this process.
    pub(super) fn own(inner: &Arc<Inner>, block: Block<'_>) -> Result<Blob, ShmError> {
        let length = length(block).ok_or(ShmError::Corrupt)?;
        let hold = Hold::Own { block: block.at, inner: inner.clone() };
        Ok(Blob { hold, at: block.at, length, _lent: Lent::new() })
    }

    /// The block, if it is this process's own.
    pub(super) fn own_block(&self) -> Option<u64> {
        match &self.hold {
            Hold::Own { block, .. } => Some(*block),
            Hold::Pinned { .. } => None,
        }
    }

    /// Lets go of a block that is somebody else's now.
    pub(super) fn forget(mut self) {
        if let Hold::Own { block, .. } = &mut self.hold {
            *block = 0;
        }
    }

    /// A part of the blob, which keeps all of it.
    pub(super) fn part(mut self, part: Range<usize>) -> Result<Blob, ShmError> {
        if part.start > part.end || part.end > self.length {
            return Err(ShmError::Corrupt);
        }
        self.at += part.start as u64;
        self.length = part.end - part.start;
        Ok(self)
    }
}

/// Makes a private block of bytes.
pub(super) fn make<'a>(inner: &'a Inner, bytes: &[u8]) -> Result<Block<'a>, ShmError> {
    make_with(inner, bytes.len(), |block| block.store(0, bytes))
}

/// The same with bytes that `fill` writes.
pub(super) fn make_with<'a>(
    inner: &'a Inner,
    length: usize,
    fill: impl FnOnce(Block<'a>),
) -> Result<Block<'a>, ShmError> {
    let block = inner.allocate(length as u64)?;
    fill(block);
    block.user()[0].store(length as u64, Relaxed);
    block.user()[1].store(BLOB, Release);
    Ok(block)
}

/// The length of the blob in a block, if it is one.
pub(super) fn length(block: Block<'_>) -> Option<usize> {
    let [length, mark] = block.user() else { return None };
    let blob = mark.load(Acquire) == BLOB;
    let length = length.load(Relaxed);
    (blob && length <= block.len).then_some(length as usize)
}

/// Whether a block is a blob's.
pub(super) fn is_blob(block: Block<'_>) -> bool {
    length(block).is_some()
}

/// The blob that a word refers to.
pub(super) fn read(inner: &Arc<Inner>, home: u64) -> Result<Option<Blob>, ShmError> {
    Pin::new(inner, home)?.map(|pin| Blob::pinned(inner, pin)).transpose()
}

impl Pool {
    /// Stores bytes, which stay until they are [freed](Pool::free). Their place may be stored and sent.
    ///
    /// ```
    /// use lwt_preemptive::shm::Pool;
    /// let pool = Pool::create()?;
    /// let place = pool.store(b"some bytes")?;
    /// assert_eq!(&*pool.read(place)?, b"some bytes");
    /// pool.free(place)?;
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn store(&self, bytes: &[u8]) -> Result<Place, ShmError> {
        let block = make(&self.0, bytes)?;
        self.0.keep(block);
        Ok(Place(block.at))
    }

    /// Reads bytes in place. They are not freed as long as the value is there.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`] if there are no (longer) stored bytes at this place;
    /// [`ShmError::TooManyPins`].
    pub fn read(&self, place: Place) -> Result<Blob, ShmError> {
        let block = self.0.block(place.0).map_err(|_| ShmError::TypeMismatch)?;
        let pin = Pin::at(&self.0, place.0)?;
        // After the pin: what is kept now is not freed any more.
        kept(block)?;
        length(block).ok_or(ShmError::TypeMismatch)?;
        Blob::pinned(&self.0, pin)
    }

    /// Frees stored bytes, when nobody reads them any more.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`] if there are no (longer) stored bytes at this place.
    pub fn free(&self, place: Place) -> Result<(), ShmError> {
        let block = self.0.block(place.0).map_err(|_| ShmError::TypeMismatch)?;
        let head = kept(block)?;
        length(block).ok_or(ShmError::TypeMismatch)?;
        if !block.change(head, State::Taken, self.0.me()) {
            return Err(ShmError::TypeMismatch);
        }
        self.0.retire(block);
        Ok(())
    }
}

/// That a block is kept by itself.
fn kept(block: Block<'_>) -> Result<Head, ShmError> {
    match block.head() {
        Some(head @ Head { state: State::Taken, owner: NOBODY, .. })
            if block.home().load(Acquire) == KEPT =>
        {
            Ok(head)
        }
        _ => Err(ShmError::TypeMismatch),
    }
}
