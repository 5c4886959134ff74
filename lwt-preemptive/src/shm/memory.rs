//! A pool's memory as this process sees it, and how it is touched.
//!
//! 1. A [`Memory`] maps its file once, with room for all that the file may become, and never elsewhere. So an
//!    address in the pool is the distance from its start, the same in all processes, and a file that grows
//!    needs no new mapping.
//! 2. Only what the file has is touched. How much that is the kernel says (`fstat`, `fallocate`), not the
//!    shared memory; and because the file is sealed against shrinking, what it once had it has for good: no
//!    access raises `SIGBUS`.
//! 3. Others write to this memory at any time. So it is only ever reached through atomics, of one width at
//!    each address, and never through plain references; the exception is [`Memory::frozen`].
//! 4. Each access is checked against the length. An address that comes from the memory itself is checked
//!    before it is used (see `block`): a panic here means a mistake in this library.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use super::error::ShmError;
use super::sys;

/// A mapped file.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<u8>,
    /// The length of the mapping.
    room: usize,
    /// How many leases the pool has. Asked for once: the memory may be damaged later.
    pub(super) leases: u32,
    /// How much of it the file has for sure.
    known: AtomicU64,
    file: OwnedFd,
}

// SAFETY: the mapping belongs to the value, not to a thread, and is reached through atomics only (rule 3).
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Widths in which the memory can be touched.
pub(super) trait Width {}
impl Width for AtomicU8 {}
impl Width for AtomicU16 {}
impl Width for AtomicU32 {}
impl Width for AtomicU64 {}

const WORD: usize = size_of::<u64>();

impl Memory {
    /// Maps `room` bytes of a file that is sealed against shrinking, or refuses one that is not. The pool in
    /// it has so many leases.
    pub(super) fn new(file: OwnedFd, room: u64, leases: u32) -> Result<Memory, ShmError> {
        if !sys::is_sealed(file.as_fd()) {
            return Err(ShmError::NotAPool);
        }
        let room = usize::try_from(room).map_err(|_| ShmError::NotAPool)?;
        let known = sys::length(file.as_fd())?.min(room as u64);
        let start = sys::mmap(file.as_fd(), room)?;
        Ok(Memory { start, room, leases, known: AtomicU64::new(known), file })
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The most that the file can become.
    pub(super) fn room(&self) -> u64 {
        self.room as u64
    }

    /// Whether a range is in the file.
    #[inline]
    pub(super) fn has(&self, at: u64, len: u64) -> bool {
        let Some(end) = at.checked_add(len) else { return false };
        end <= self.known.load(Relaxed) || self.look_again(end)
    }

    #[cold]
    fn look_again(&self, end: u64) -> bool {
        if end > self.room as u64 {
            return false;
        }
        // A failure leaves the length as it was known: less is usable, and that is safe.
        if let Ok(length) = sys::length(self.file.as_fd()) {
            self.known.fetch_max(length.min(self.room as u64), Relaxed);
        }
        end <= self.known.load(Relaxed)
    }

    /// Reserves the space of a range, up to which the file goes at least from then on.
    pub(super) fn extend(&self, from: u64, len: u64) -> Result<(), ShmError> {
        sys::fallocate(self.file.as_fd(), from, len)?;
        self.known.fetch_max((from + len).min(self.room as u64), Relaxed);
        Ok(())
    }

    /// `count` cells of one width from `at` on.
    ///
    /// # Panics
    /// If they are not in the file, or not aligned.
    #[inline]
    pub(super) fn cells<W: Width>(&self, at: u64, count: usize) -> &[W] {
        #[cfg(test)]
        super::crash::point();
        let size = size_of::<W>();
        let fits = count.checked_mul(size).is_some_and(|len| self.has(at, len as u64));
        assert!(fits && at.is_multiple_of(size as u64), "{count} cells at {at} are not in the pool");
        // SAFETY: the range is in the file (rule 2) and in the mapping, which lives as long as the borrow; it
        // is aligned, as the mapping is by pages; any bits are a valid atomic, which may be changed by others
        // meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(at as usize).cast::<W>(), count) }
    }

    #[inline]
    pub(super) fn word(&self, at: u64) -> &AtomicU64 {
        &self.cells(at, 1)[0]
    }

    #[inline]
    pub(super) fn half(&self, at: u64) -> &AtomicU32 {
        &self.cells(at, 1)[0]
    }

    /// Stores bytes from `at`, a multiple of eight, on; the last word is filled up with zeroes.
    pub(super) fn store(&self, at: u64, bytes: &[u8]) {
        store(self.cells(at, bytes.len().div_ceil(WORD)), bytes);
    }

    /// Loads bytes from `at`, a multiple of eight, on.
    pub(super) fn load(&self, at: u64, bytes: &mut [u8]) {
        load(self.cells(at, bytes.len().div_ceil(WORD)), bytes);
    }

    /// Where an address is mapped.
    #[inline]
    pub(super) fn pointer(&self, at: u64) -> *mut u8 {
        self.start.as_ptr().wrapping_add(at as usize)
    }

    /// Stores bytes from any address on. The words at both ends keep their other bytes, so nobody else may be
    /// storing there.
    pub(super) fn store_at(&self, at: u64, bytes: &[u8]) {
        let first = at % WORD as u64;
        let (start, bytes) =
            bytes.split_at(((WORD as u64 - first) % WORD as u64).min(bytes.len() as u64) as usize);
        self.merge(at, start);
        let at = at + start.len() as u64;
        let (words, end) = bytes.split_at(bytes.len() / WORD * WORD);
        if !words.is_empty() {
            self.store(at, words);
        }
        self.merge(at + words.len() as u64, end);
    }

    /// Stores bytes that are in one word.
    fn merge(&self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let first = (at % WORD as u64) as usize;
        let cell = self.word(at - first as u64);
        let mut word = cell.load(Relaxed).to_ne_bytes();
        word[first..first + bytes.len()].copy_from_slice(bytes);
        cell.store(u64::from_ne_bytes(word), Relaxed);
    }

    /// Loads bytes from any address on.
    pub(super) fn load_at(&self, at: u64, bytes: &mut [u8]) {
        let first = (at % WORD as u64) as usize;
        let split = ((WORD - first) % WORD).min(bytes.len());
        let (start, rest) = bytes.split_at_mut(split);
        if !start.is_empty() {
            let word = self.word(at - first as u64).load(Relaxed).to_ne_bytes();
            start.copy_from_slice(&word[first..first + split]);
        }
        if !rest.is_empty() {
            self.load(at + split as u64, rest);
        }
    }

    /// Bytes that nobody changes as long as the borrow lasts, in any process.
    ///
    /// # Safety
    /// That they are not changed is what the caller answers for.
    ///
    /// # Panics
    /// If they are not in the file.
    pub(super) unsafe fn frozen(&self, at: u64, len: usize) -> &[u8] {
        let cells = self.cells::<AtomicU8>(at, len);
        // SAFETY: the range is checked and lives as long as the borrow; the caller says that it does not
        // change.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), len) }
    }

    /// Has the pages of a range mapped at once, instead of one by one when they are touched.
    pub(super) fn populate(&self, at: u64, len: u64) -> Result<(), ShmError> {
        if len == 0 || !self.has(at, len) {
            return Ok(());
        }
        let page = 4096;
        let (from, end) = (at / page * page, at + len);
        // SAFETY: the range is in the mapping, whose start is a page's.
        unsafe { sys::populate(self.start.as_ptr().add(from as usize), (end - from) as usize) }
    }
}

/// Stores bytes in as many cells as they take; the last word is filled up with zeroes.
#[inline]
pub(super) fn store(cells: &[AtomicU64], bytes: &[u8]) {
    let (words, rest) = bytes.as_chunks::<WORD>();
    for (cell, word) in cells.iter().zip(words) {
        cell.store(u64::from_ne_bytes(*word), Relaxed);
    }
    if let (false, Some(cell)) = (rest.is_empty(), cells.get(words.len())) {
        let mut word = [0; WORD];
        word[..rest.len()].copy_from_slice(rest);
        cell.store(u64::from_ne_bytes(word), Relaxed);
    }
}

/// Loads bytes from as many cells as they take.
#[inline]
pub(super) fn load(cells: &[AtomicU64], bytes: &mut [u8]) {
    let (words, rest) = bytes.as_chunks_mut::<WORD>();
    let full = words.len();
    for (cell, word) in cells.iter().zip(words) {
        *word = cell.load(Relaxed).to_ne_bytes();
    }
    if let (false, Some(cell)) = (rest.is_empty(), cells.get(full)) {
        rest.copy_from_slice(&cell.load(Relaxed).to_ne_bytes()[..rest.len()]);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and this is its last use.
        unsafe { sys::munmap(self.start, self.room) };
    }
}
