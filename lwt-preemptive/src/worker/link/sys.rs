//! What a link asks the system for besides mappings: its file, bells, and sleep until one is rung.
//! Descriptors are close-on-exec, and no bell blocks.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::shm::sys as memory;

/// A file without a name, of so many bytes, that never shrinks.
///
/// # Errors
/// The system's.
pub(super) fn file(len: usize) -> io::Result<OwnedFd> {
    let file = memory::memfd_create(c"lwt-link")?;
    reserve(file.as_fd(), 0, len)?;
    memory::seal(file.as_fd())?;
    Ok(file)
}

/// Whether a file has so many bytes, for good.
///
/// # Errors
/// The system's.
pub(super) fn has(file: BorrowedFd<'_>, len: u64) -> io::Result<bool> {
    Ok(memory::is_sealed(file) && memory::length(file)? >= len)
}

/// So much is reserved at a time: a signal undoes what one call has done so far.
const STEP: usize = 4 << 20;

/// Reserves the space of a range, and makes the file longer if it ends before that.
///
/// # Errors
/// Those of [`memory::fallocate`].
pub(super) fn reserve(file: BorrowedFd<'_>, from: u64, len: usize) -> io::Result<()> {
    for step in (0..len).step_by(STEP) {
        memory::fallocate(file, from + step as u64, STEP.min(len - step) as u64)?;
    }
    Ok(())
}

/// Gives the memory of a range back to the system. It reads as zeroes from then on; the file is as long as
/// before.
///
/// # Errors
/// The system's.
pub(super) fn empty(file: BorrowedFd<'_>, from: u64, len: u64) -> io::Result<()> {
    let too_far = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let (from, len) = (from.try_into().map_err(too_far)?, len.try_into().map_err(too_far)?);
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: the call takes numbers.
    if unsafe { libc::fallocate(file.as_raw_fd(), mode, from, len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor that is rung by writing to it, and is readable until it is hushed.
#[derive(Debug)]
pub(crate) struct Bell(File);

impl From<OwnedFd> for Bell {
    fn from(fd: OwnedFd) -> Bell {
        Bell(File::from(fd))
    }
}

impl Bell {
    /// # Errors
    /// The system's.
    pub(super) fn new() -> io::Result<Bell> {
        // SAFETY: the call takes two numbers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has made it, for us.
        Ok(Bell::from(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(super) fn ring(&self) {
        // One that is too full to be written to is readable, so nothing that goes wrong needs an answer; and
        // a descriptor that does not block is not interrupted.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    pub(super) fn hush(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

/// Sleeps until the bell is rung, or the other end of `life` is closed: then it is false.
///
/// # Errors
/// The system's.
pub(super) fn sleep(bell: &Bell, life: BorrowedFd<'_>) -> io::Result<bool> {
    let entry = |fd: BorrowedFd<'_>, events| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let mut entries = [entry(bell.fd(), libc::POLLIN), entry(life, 0)];
    // SAFETY: pointer and length are those of one exclusive borrow.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), 2, -1) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(true) } else { Err(error) };
    }
    Ok(entries[1].revents == 0)
}
