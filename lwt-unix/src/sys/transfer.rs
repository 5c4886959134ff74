//! Calls that move bytes from one descriptor to another inside the kernel. Rules: see the head of
//! [`sys`](crate::sys).
//!
//! They raise `SIGPIPE` where a `send` would have been asked not to; Rust's start-up code ignores that
//! signal. Where a system does not have a call it says `ENOSYS`, as an old kernel would, and the caller takes
//! another way.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::descriptor::checked;
use super::{sim, transfer};

/// `sendfile`: up to `most` bytes of a file into anything, from `offset`, or from the file's position, which
/// moves.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn send_file(
    to: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: Option<u64>,
    most: usize,
) -> io::Result<usize> {
    if let Some(done) = sim::refused("sendfile", to) {
        return done;
    }
    let start = offset.map(checked).transpose()?;
    transfer("sendfile", to, most, |most| {
        let mut offset = start.unwrap_or(0);
        let place = if start.is_some() { &raw mut offset } else { ptr::null_mut() };
        // SAFETY: the pointer is null or goes to one integer that outlives the call.
        unsafe { libc::sendfile(to.as_raw_fd(), file.as_raw_fd(), place, most) }
    })
}

/// `splice`: up to `most` bytes, where one of the two is a pipe. Never waits for the pipe.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    if let Some(done) = sim::refused("splice", from).or_else(|| sim::refused("splice", to)) {
        return done;
    }
    transfer("splice", from, most, |most| {
        let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
        // SAFETY: no offsets are given; the rest are integers.
        unsafe {
            libc::splice(from.as_raw_fd(), ptr::null_mut(), to.as_raw_fd(), ptr::null_mut(), most, flags)
        }
    })
}

/// `copy_file_range`, from and to the positions of the two files, which move.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn copy_file_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    transfer("copy_file_range", to, most, |most| {
        // SAFETY: no offsets are given; the rest are integers.
        unsafe {
            libc::copy_file_range(from.as_raw_fd(), ptr::null_mut(), to.as_raw_fd(), ptr::null_mut(), most, 0)
        }
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod elsewhere {
    use super::*;

    fn missing() -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    pub(crate) fn send_file(
        _: BorrowedFd<'_>,
        _: BorrowedFd<'_>,
        _: Option<u64>,
        _: usize,
    ) -> io::Result<usize> {
        missing()
    }

    pub(crate) fn splice(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: usize) -> io::Result<usize> {
        missing()
    }

    pub(crate) fn copy_file_range(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: usize) -> io::Result<usize> {
        missing()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use elsewhere::{copy_file_range, send_file, splice};
