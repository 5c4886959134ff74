//! Blobs: bytes of any length, written once, read in place.
//!
//! The two user's words of a blob's block are its length and a mark. It is written before anybody else knows
//! of it, and not changed until it is freed.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::block::{Block, Head, KEPT, NOBODY, State};
use super::error::ShmError;
use super::object::Place;
use super::pin::Pin;
use super::pool::{Inner, Pool};

/// In the second user's word, so that nothing else is taken for a blob.
const BLOB: u64 = 0x626c_6f62_626c_6f62;

/// Bytes in shared memory, which stay where and what they are until the value is dropped: the guard is the
/// pin.
///
/// If the process dies, its pins go with it.
pub struct Blob {
    /// Kept when the pins were all in use.
    copy: Option<Vec<u8>>,
    pin: Option<Pin>,
    inner: Arc<Inner>,
    length: usize,
}

impl Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match (&self.copy, &self.pin) {
            // SAFETY: `find` has checked the length. Nothing in this library writes to a blob that others
            // know of, and while it is pinned it is not freed.
            (None, Some(pin)) => unsafe { self.inner.memory.frozen(pin.at, self.length) },
            (copy, _) => copy.as_deref().unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Makes a private block of bytes.
pub(super) fn make<'a>(inner: &'a Inner, bytes: &[u8]) -> Result<Block<'a>, ShmError> {
    let block = inner.allocate(bytes.len() as u64)?;
    block.store(0, bytes);
    block.user()[0].store(bytes.len() as u64, Relaxed);
    block.user()[1].store(BLOB, Release);
    Ok(block)
}

/// The length of the blob in a block, if it is one.
fn length(block: Block<'_>) -> Option<usize> {
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
    match Pin::new(inner, home) {
        Some(None) => Ok(None),
        Some(Some(pin)) => {
            let length = length(inner.block(pin.at)?).ok_or(ShmError::Corrupt)?;
            Ok(Some(Blob { copy: None, pin: Some(pin), inner: inner.clone(), length }))
        }
        None => copy(inner, home),
    }
}

/// The same without a pin.
fn copy(inner: &Arc<Inner>, home: u64) -> Result<Option<Blob>, ShmError> {
    let cell = inner.memory.word(home);
    loop {
        let at = cell.load(Acquire);
        let Some(block) = Block::find(&inner.memory, at) else { return Ok(None) };
        let bytes = length(block).map(|length| {
            let mut bytes = vec![0; length];
            block.load(0, &mut bytes);
            bytes
        });
        std::sync::atomic::fence(Acquire);
        if cell.load(Acquire) == at {
            let copy = bytes.ok_or(ShmError::Corrupt)?;
            return Ok(Some(Blob { length: copy.len(), copy: Some(copy), pin: None, inner: inner.clone() }));
        }
    }
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
        let pin = Pin::at(&self.0, place.0).ok_or(ShmError::TooManyPins)?;
        // After the pin: what is kept now is not freed any more.
        kept(block)?;
        let length = length(block).ok_or(ShmError::TypeMismatch)?;
        Ok(Blob { copy: None, pin: Some(pin), inner: self.0.clone(), length })
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
