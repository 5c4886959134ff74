//! The calls for terminals. Rules: see the head of [`sys`](crate::sys).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, termios};

use super::{once, retry};

/// `tcgetattr`; `ENOTTY` when it is no terminal.
pub(crate) fn get(fd: BorrowedFd<'_>) -> io::Result<termios> {
    let mut attributes = MaybeUninit::<termios>::uninit();
    // SAFETY: the memory has the size that the call fills.
    retry("tcgetattr", || unsafe { libc::tcgetattr(fd.as_raw_fd(), attributes.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the memory.
    Ok(unsafe { attributes.assume_init() })
}

/// `tcsetattr`. Waits for what is written to be sent, if `when` says so.
pub(crate) fn set(fd: BorrowedFd<'_>, when: c_int, attributes: &termios) -> io::Result<()> {
    // SAFETY: the structure is live and only read.
    retry("tcsetattr", || unsafe { libc::tcsetattr(fd.as_raw_fd(), when, attributes) }).map(drop)
}

/// `tcsendbreak`, for the given multiple of the system's own time. Interrupted it is not made again: a second
/// break would be two.
pub(crate) fn send_break(fd: BorrowedFd<'_>, duration: c_int) -> io::Result<()> {
    // SAFETY: the call takes integers only.
    match once("tcsendbreak", || unsafe { libc::tcsendbreak(fd.as_raw_fd(), duration) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
        _ => Ok(()),
    }
}

/// `tcdrain`: waits until what was written is sent.
pub(crate) fn drain(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes integers only.
    retry("tcdrain", || unsafe { libc::tcdrain(fd.as_raw_fd()) }).map(drop)
}

/// `tcflush`.
pub(crate) fn flush(fd: BorrowedFd<'_>, queue: c_int) -> io::Result<()> {
    // SAFETY: the call takes integers only.
    retry("tcflush", || unsafe { libc::tcflush(fd.as_raw_fd(), queue) }).map(drop)
}

/// `tcflow`.
pub(crate) fn flow(fd: BorrowedFd<'_>, action: c_int) -> io::Result<()> {
    // SAFETY: the call takes integers only.
    retry("tcflow", || unsafe { libc::tcflow(fd.as_raw_fd(), action) }).map(drop)
}
