//! Files in memory that nobody can change any more.
//!
//! 1. As in the file above.
//! 2. A [`Mapping`] is of a file that nobody can change or shorten any more, so its bytes may be referred to.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use libc::{c_int, c_void};

use super::retry;
use crate::shm::sys::memfd_create;

const SEALS: c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;

/// A file without a name that has these bytes, for ever.
///
/// # Errors
/// `ENOSPC`, `ENOMEM`, `EMFILE` and the like.
pub(in crate::worker) fn sealed_file(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name)?);
    file.write_all(bytes)?;
    // SAFETY: integers only.
    retry(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
    Ok(file.into())
}

/// The bytes of a [sealed](sealed_file) file.
pub(in crate::worker) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps all of the file.
    ///
    /// # Errors
    /// `InvalidData` for one that somebody could still change; the system's.
    pub(in crate::worker) fn of(file: &OwnedFd) -> io::Result<Mapping> {
        let file = file.as_raw_fd();
        // SAFETY: integers only.
        let seals = retry(|| unsafe { libc::fcntl(file, libc::F_GET_SEALS) });
        if seals.ok().is_none_or(|seals| seals & SEALS != SEALS) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: all zeroes are a valid `stat`, which the call fills.
        let len = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            retry(|| libc::fstat(file, &raw mut stat))?;
            usize::try_from(stat.st_size).map_err(|_| io::ErrorKind::InvalidData)?
        };
        if len == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: the kernel chooses where, so nothing that is mapped is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file, 0) };
        if start == libc::MAP_FAILED {
            // `EAGAIN`, if too much were locked then, would be taken for that of a socket.
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, len })
    }
}

impl Deref for Mapping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is there until the drop, and its file sealed (rule 2).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}
