//! Directory streams. Rules: see the head of [`sys`](crate::sys).
//!
//! 1. An [`Entries`] owns its stream; it is used through `&mut` only, so by one thread at a time.
//! 2. An entry that `readdir` returns lives until the next call on its stream; it is copied before that.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;

use libc::DIR;
use nix::errno::Errno;

use super::{once, retry};

/// What `fdopendir` makes of an open directory.
#[derive(Debug)]
pub(crate) struct Entries {
    stream: NonNull<DIR>,
}

// SAFETY: a stream belongs to no thread; rule 1 keeps two from using it at a time.
unsafe impl Send for Entries {}

/// One name of a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: CString,
    /// `DT_UNKNOWN` where the file system does not tell.
    pub(crate) kind: u8,
    pub(crate) inode: u64,
}

impl Entries {
    /// A stream of the names in `dir`.
    pub(crate) fn new(dir: OwnedFd) -> io::Result<Entries> {
        let mut stream = None;
        retry("fdopendir", || {
            // SAFETY: the descriptor is open.
            stream = NonNull::new(unsafe { libc::fdopendir(dir.as_raw_fd()) });
            if stream.is_some() { 0 } else { -1 }
        })?;
        let Some(stream) = stream else { return Err(io::Error::from_raw_os_error(libc::EBADF)) };
        // The stream owns it now.
        let _ = dir.into_raw_fd();
        Ok(Entries { stream })
    }

    /// The next name; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut entry = None;
        retry("readdir", || {
            // It says only by this number whether it has failed or ended.
            Errno::clear();
            // SAFETY: rule 1.
            let found = unsafe { libc::readdir(self.stream.as_ptr()) };
            if found.is_null() {
                return if Errno::last_raw() == 0 { 0 } else { -1 };
            }
            // SAFETY: rule 2; the name has its zero byte. An entry may be shorter or longer than its type
            // says, so there is no reference to it.
            let (name, kind, inode) = unsafe {
                let name = (&raw const (*found).d_name).cast();
                (CStr::from_ptr(name).to_owned(), (*found).d_type, (*found).d_ino)
            };
            entry = Some(Entry { name, kind, inode });
            0
        })?;
        Ok(entry)
    }

    /// Back to the first name.
    pub(crate) fn rewind(&mut self) {
        // SAFETY: rule 1.
        unsafe { libc::rewinddir(self.stream.as_ptr()) }
    }

    /// The directory.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: rule 1; the stream keeps its descriptor open as long as it lives.
        unsafe { BorrowedFd::borrow_raw(libc::dirfd(self.stream.as_ptr())) }
    }

    /// Closes the stream, and its descriptor.
    pub(crate) fn close(self) -> io::Result<()> {
        let mut entries = ManuallyDrop::new(self);
        entries.shut()
    }

    /// `closedir`, as [`close`](super::close). The stream is used no more.
    fn shut(&mut self) -> io::Result<()> {
        // SAFETY: rule 1; private, and called by `close` and `drop`, after which nobody has the stream.
        match once("close", || unsafe { libc::closedir(self.stream.as_ptr()) }) {
            Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        // Nobody is left to hear of an error.
        let _ = self.shut();
    }
}
