//! [`Map`]: a part of a file in the memory of this process.
//!
//! 1. A map is made once, and unmapped by its drop. It lies in the file: its maker has
//!    asked the kernel, and the file is sealed against shrinking, so that no access raises `SIGBUS`.
//! 2. What the other side may write at any time is reached through atomics only ([`Map::words`],
//!    [`Map::ends`]).
//! 3. References to bytes are given out only by [`Map::bytes`] and [`Map::bytes_mut`], whose callers answer
//!    for it that nobody writes meanwhile, and nobody else reads.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

use libc::{c_int, c_void, off_t};

use super::ends::Ends;

/// A huge page.
pub(super) const HUGE: usize = 2 << 20;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Map {
    start: NonNull<u8>,
    len: usize,
    /// Whether stores are possible.
    writable: bool,
}

// SAFETY: the mapping belongs to the value, not to a thread; what is reached through a shared reference are
// atomics, and bytes that nobody writes.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

fn protection(writable: bool) -> c_int {
    if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ }
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Map {
    /// Maps a part of a file, which has it (rule 1). `from` and `len` are multiples of a page. A long map
    /// begins where a huge page may begin.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(file: BorrowedFd<'_>, from: u64, len: usize, writable: bool) -> io::Result<Map> {
        let from = off_t::try_from(from).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        let slack = if len >= HUGE { HUGE } else { 0 };
        // First a place: addresses that nothing else gets.
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the kernel chooses where, so nothing that is mapped is touched.
        let place = unsafe { libc::mmap(ptr::null_mut(), len + slack, libc::PROT_NONE, private, -1, 0) };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let before = if slack > 0 { place.align_offset(HUGE) } else { 0 };
        let start = place.wrapping_byte_add(before);
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE | libc::MAP_FIXED;
        // SAFETY: what is replaced is a part of the place that was just made.
        let mapped = unsafe { libc::mmap(start, len, protection(writable), flags, file.as_raw_fd(), from) };
        let failed = (mapped == libc::MAP_FAILED).then(io::Error::last_os_error);
        // SAFETY: what is left of the place on both sides, or all of it, is ours, and nobody knows of it.
        unsafe {
            if failed.is_some() {
                libc::munmap(place, len + slack);
            } else if slack > 0 {
                if before > 0 {
                    libc::munmap(place, before);
                }
                libc::munmap(start.wrapping_byte_add(len), slack - before);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Map { start, len, writable })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Has the pages of a long map put together to huge ones, if the system can: what is used again and again
    /// is the faster for it, and [`set_writable`](Map::set_writable) costs nothing any more. It takes a
    /// millisecond for each.
    pub(super) fn put_together(&self) {
        if self.len >= HUGE {
            // SAFETY: the range is the mapping; contents do not change.
            unsafe { libc::madvise(self.pointer(), self.len, libc::MADV_COLLAPSE) };
        }
    }

    /// Allows stores, or forbids them: a stray one then ends this process.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn set_writable(&mut self, writable: bool) -> io::Result<()> {
        if writable != self.writable {
            // SAFETY: the mapping is ours, and exclusively borrowed; `writable` is what stores are checked
            // against.
            done(unsafe { libc::mprotect(self.pointer(), self.len, protection(writable)) })?;
            self.writable = writable;
        }
        Ok(())
    }

    /// Has the pages of a range ready, so that the first touch of each costs nothing. It is no mistake if
    /// that does not work.
    pub(super) fn populate(&self, from: usize, to: usize) {
        let advice = if self.writable { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
        if let Some(len) = to.min(self.len).checked_sub(from) {
            // SAFETY: the range is in the mapping; contents do not change.
            unsafe { libc::madvise(self.pointer().wrapping_byte_add(from), len, advice) };
        }
    }

    fn pointer(&self) -> *mut c_void {
        self.start.as_ptr().cast()
    }

    /// The place of `count` values of `T`.
    ///
    /// # Panics
    /// If they are not in the map, or not aligned: a mistake in this library, which checks before.
    #[inline]
    fn place<T>(&self, at: usize, count: usize) -> *const T {
        let end = count.checked_mul(size_of::<T>()).and_then(|len| len.checked_add(at));
        let fits = end.is_some_and(|end| end <= self.len) && at.is_multiple_of(align_of::<T>());
        assert!(fits, "{count} values at {at} are not in a map of {}", self.len);
        self.start.as_ptr().wrapping_byte_add(at).cast()
    }

    /// Words in the map. Stores only if it is writable.
    #[inline]
    pub(super) fn words(&self, at: usize, count: usize) -> &[AtomicU64] {
        // SAFETY: they are in the map, which lives as long as the borrow, and aligned; any bits are a valid
        // atomic, which others may change.
        unsafe { std::slice::from_raw_parts(self.place(at, count), count) }
    }

    /// Half words in the map.
    #[inline]
    pub(super) fn halves(&self, at: usize, count: usize) -> &[AtomicU32] {
        // SAFETY: as `words`.
        unsafe { std::slice::from_raw_parts(self.place(at, count), count) }
    }

    /// The positions of a ring.
    #[inline]
    pub(super) fn ends(&self, at: usize) -> &Ends {
        // SAFETY: as `words`; the structure consists of atomics.
        unsafe { &*self.place(at, 1) }
    }

    /// The first bytes of the map.
    ///
    /// # Safety
    /// Nobody, in no process, writes them as long as the borrow lasts.
    #[inline]
    pub(super) unsafe fn bytes(&self, len: usize) -> &[u8] {
        // SAFETY: they are in the map, and the caller answers for the rest.
        unsafe { std::slice::from_raw_parts(self.place(0, len), len) }
    }

    /// All bytes of the map.
    ///
    /// # Safety
    /// Nobody, in no process, writes or reads them as long as the borrow lasts.
    ///
    /// # Panics
    /// If it is not writable.
    #[inline]
    pub(super) unsafe fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(self.writable, "the map is not writable");
        // SAFETY: they are in the map, exclusively borrowed, and the caller answers for the rest.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it any more.
        unsafe { libc::munmap(self.pointer(), self.len) };
    }
}
