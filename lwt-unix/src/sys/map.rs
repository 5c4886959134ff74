//! Memory that is a file's, by `mmap`. Rules: see the head of [`sys`](crate::sys).
//!
//! 1. A [`Mapping`] owns `len` bytes from `start` on until it is dropped; nobody else unmaps or moves them.
//! 2. Others may change these bytes at any time: other processes, and calls that write to the file. So there
//!    is no reference to them, and every access is volatile. They lie in no allocation of Rust's.
//! 3. Pages that the file does not have (any more) raise `SIGBUS`, which ends the process: never a wrong
//!    value.
//! 4. Its bytes are read and written by one thread, that of the `Map` above it; job threads only ask the
//!    system about its pages. What other processes do, and other mappings of the same file, are no accesses
//!    of this one's memory.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use libc::c_int;

use super::descriptor::checked;
use super::retry;

/// Part of a file in memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: rule 4.
unsafe impl Send for Mapping {}
// SAFETY: rule 4.
unsafe impl Sync for Mapping {}

/// A word of the copying loops.
type Word = usize;
const WORD: usize = size_of::<Word>();

impl Mapping {
    /// `mmap` of `len` bytes (more than none) from `offset` on, a multiple of the page size.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        protection: c_int,
        flags: c_int,
    ) -> io::Result<Mapping> {
        let offset = checked(offset)?;
        let mut start = std::ptr::null_mut();
        retry("mmap", || {
            // SAFETY: the kernel chooses where, so nothing that is mapped is touched.
            start =
                unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, fd.as_raw_fd(), offset) };
            if start == libc::MAP_FAILED { -1 } else { 0 }
        })?;
        match NonNull::new(start.cast()) {
            Some(start) => Ok(Mapping { start, len }),
            None => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        }
    }

    /// Where it is.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Copies from `offset` on into `buf`.
    ///
    /// # Panics
    /// Beyond the end.
    pub(crate) fn read(&self, offset: usize, buf: &mut [u8]) {
        let from = self.place(offset, buf.len());
        let mut done = 0;
        while done < buf.len() {
            // SAFETY: `place` has checked the range, so `done` and a word more, if aligned and inside, are in
            // the mapping (rule 1); volatile by rule 2.
            unsafe {
                let at = from.add(done);
                if buf.len() - done >= WORD && at.cast::<Word>().is_aligned() {
                    let word = at.cast::<Word>().read_volatile().to_ne_bytes();
                    buf[done..done + WORD].copy_from_slice(&word);
                    done += WORD;
                } else {
                    buf[done] = at.read_volatile();
                    done += 1;
                }
            }
        }
    }

    /// Copies `buf` to `offset`. The mapping has to be writable.
    ///
    /// # Panics
    /// Beyond the end.
    pub(crate) fn write(&self, offset: usize, buf: &[u8]) {
        let to = self.place(offset, buf.len());
        let mut done = 0;
        while done < buf.len() {
            // SAFETY: as in `read`; rule 4.
            unsafe {
                let at = to.add(done);
                if buf.len() - done >= WORD && at.cast::<Word>().is_aligned() {
                    let mut word = [0; WORD];
                    word.copy_from_slice(&buf[done..done + WORD]);
                    at.cast::<Word>().write_volatile(Word::from_ne_bytes(word));
                    done += WORD;
                } else {
                    at.write_volatile(buf[done]);
                    done += 1;
                }
            }
        }
    }

    /// `madvise`; `offset` is a multiple of the page size.
    pub(crate) fn advise(&self, offset: usize, len: usize, advice: c_int) -> io::Result<()> {
        let at = self.place(offset, len);
        // SAFETY: the range is the mapping's own (rule 1). No advice that the module above gives unmaps it.
        retry("madvise", || unsafe { libc::madvise(at.cast(), len, advice) }).map(drop)
    }

    /// `mincore`: for each page from `offset` on, a multiple of the page size, whether it is in memory.
    pub(crate) fn resident(&self, offset: usize, pages: &mut [u8], page: usize) -> io::Result<()> {
        let len = pages.len().saturating_mul(page).min(self.len.saturating_sub(offset));
        let at = self.place(offset, len);
        // SAFETY: the range is the mapping's own, and there is a byte for each of its pages.
        retry("mincore", || unsafe { libc::mincore(at.cast(), len, pages.as_mut_ptr().cast()) }).map(drop)
    }

    /// `msync`, waiting until it is written; `offset` is a multiple of the page size.
    pub(crate) fn sync(&self, offset: usize, len: usize) -> io::Result<()> {
        let at = self.place(offset, len);
        // SAFETY: the range is the mapping's own.
        retry("msync", || unsafe { libc::msync(at.cast(), len, libc::MS_SYNC) }).map(drop)
    }

    /// The address of `offset`, from which `len` bytes are in the mapping.
    fn place(&self, offset: usize, len: usize) -> *mut u8 {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "{len} bytes from {offset} on are not in a mapping of {} bytes", self.len);
        self.start.as_ptr().wrapping_add(offset)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // It can fail only for arguments that it has not got.
        // SAFETY: rule 1; this is the last use.
        let _ = retry("munmap", || unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) });
    }
}

/// The size of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: an integer only.
    let size = retry("sysconf", || unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as isize);
    size.map_or(4096, isize::unsigned_abs)
}
