//! The seam: every system call of the descriptor side passes through the thin functions of this module.
//!
//! What it is for: one place where `-1` becomes an [`io::Error`], one place where an interrupted call is made again, and
//! one place where a test can make calls fail. Everything above it (`fd`, `net`) is safe code.
//!
//! Rules:
//! 1. Each function is one system call, made through [`retry`] or [`once`], and says its own name there.
//! 2. `EINTR` never leaves this module. Reading, writing, accepting and the like are simply made again; the two calls for
//!    which that would be wrong (`close`, which has already given the number back, and `connect`, which goes on in the
//!    background) are made [`once`] and translate it.
//! 3. `EAGAIN` leaves it as [`io::ErrorKind::WouldBlock`]: waiting is the caller's business.
//! 4. Every descriptor that is made here is made close-on-exec and non-blocking in the same call, never after it.
//! 5. Nothing here writes to a socket without `MSG_NOSIGNAL`.
//! 6. Buffers are only ever filled from the front: a function that returns `n` has initialised the first `n` bytes, and has
//!    never made an initialised byte uninitialised.

use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use libc::{c_int, ssize_t};

pub(crate) mod addr;
pub(crate) mod socket;

/// At most this many slices in one vectored call; the rest is left for the next one.
pub(crate) const MAX_SLICES: usize = 1024;

/// Makes a call, and makes it again as long as a signal interrupts it.
#[inline]
pub(crate) fn retry<R: Returned>(name: &'static str, mut call: impl FnMut() -> R) -> io::Result<R> {
    loop {
        match once(name, &mut call) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            done => return done,
        }
    }
}

/// Makes a call exactly once and turns `-1` into the error that `errno` holds.
///
/// The name is not used yet by this build; it is what a fault plan selects calls by.
#[inline]
pub(crate) fn once<R: Returned>(_name: &'static str, mut call: impl FnMut() -> R) -> io::Result<R> {
    let returned = call();
    if returned.failed() { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// What a system call returns: a number of which only `-1` means failure.
pub(crate) trait Returned {
    fn failed(&self) -> bool;
}

impl Returned for c_int {
    #[inline]
    fn failed(&self) -> bool {
        *self == -1
    }
}

impl Returned for ssize_t {
    #[inline]
    fn failed(&self) -> bool {
        *self == -1
    }
}

/// The count that a successful call returned; it was checked not to be negative.
#[inline]
fn count(returned: ssize_t) -> usize {
    returned.unsigned_abs()
}

/// A buffer for the reading functions to fill: initialised bytes or not, it can only be written to (rule 6).
pub(crate) struct Room<'a> {
    start: *mut u8,
    len: usize,
    buffer: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl Room<'_> {
    /// How many bytes there is room for.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl<'a> From<&'a mut [u8]> for Room<'a> {
    #[inline]
    fn from(buf: &'a mut [u8]) -> Room<'a> {
        Room { start: buf.as_mut_ptr(), len: buf.len(), buffer: PhantomData }
    }
}

impl<'a> From<&'a mut [MaybeUninit<u8>]> for Room<'a> {
    #[inline]
    fn from(buf: &'a mut [MaybeUninit<u8>]) -> Room<'a> {
        Room { start: buf.as_mut_ptr().cast(), len: buf.len(), buffer: PhantomData }
    }
}

/// `read`: as many bytes as there is room for, or fewer; 0 at the end of the file.
#[inline]
pub(crate) fn read(fd: BorrowedFd<'_>, room: &Room<'_>) -> io::Result<usize> {
    retry("read", || {
        // SAFETY: a room's start and length are those of one exclusive borrow.
        unsafe { libc::read(fd.as_raw_fd(), room.start.cast(), room.len) }
    })
    .map(count)
}

/// `write`: from the front of `buf`, perhaps not all of it.
#[inline]
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    retry("write", || {
        // SAFETY: the pointer and the length are those of one live borrow.
        unsafe { libc::write(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len()) }
    })
    .map(count)
}

/// `readv` over at most [`MAX_SLICES`] buffers.
pub(crate) fn readv(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let slices = bufs.len().min(MAX_SLICES) as c_int;
    retry("readv", || {
        // SAFETY: `IoSliceMut` is guaranteed to have the layout of `iovec`; `slices` does not exceed the slice's length.
        unsafe { libc::readv(fd.as_raw_fd(), bufs.as_mut_ptr().cast(), slices) }
    })
    .map(count)
}

/// `writev` over at most [`MAX_SLICES`] buffers.
pub(crate) fn writev(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let slices = bufs.len().min(MAX_SLICES) as c_int;
    retry("writev", || {
        // SAFETY: `IoSlice` is guaranteed to have the layout of `iovec`; `slices` does not exceed the slice's length.
        unsafe { libc::writev(fd.as_raw_fd(), bufs.as_ptr().cast(), slices) }
    })
    .map(count)
}

/// `close`: the number is free afterwards whatever the result says, also after `EINTR`, which is therefore no error.
pub(crate) fn close(fd: OwnedFd) -> io::Result<()> {
    let raw = fd.into_raw_fd();
    // SAFETY: the number was owned by `fd`, which gave up the ownership just now.
    match once("close", || unsafe { libc::close(raw) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
        _ => Ok(()),
    }
}

/// Whether `poll` reports any of `events`, an error or a hang-up at this very moment.
pub(crate) fn poll_now(fd: BorrowedFd<'_>, events: libc::c_short) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one entry, exclusively borrowed, and a zero time-out.
    retry("poll", || unsafe { libc::poll(&mut entry, 1, 0) }).map(|ready| ready > 0)
}

/// Makes the open file description non-blocking.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument.
    let flags = retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK != 0 {
        return Ok(());
    }
    // SAFETY: F_SETFL takes an integer.
    retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Makes the descriptor close on exec.
pub(crate) fn set_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer.
    retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}

/// The type bits (`S_IFMT`) of what the descriptor refers to.
pub(crate) fn file_type(fd: BorrowedFd<'_>) -> io::Result<libc::mode_t> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the buffer has the size that the call fills.
    retry("fstat", || unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the buffer.
    Ok(unsafe { stat.assume_init() }.st_mode & libc::S_IFMT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail_with(number: c_int) -> c_int {
        // SAFETY: the location is this thread's own.
        unsafe { *libc::__errno_location() = number };
        -1
    }

    #[test]
    fn an_interrupted_call_is_made_again_and_no_other() {
        let mut calls = 0;
        let done = retry("test", || {
            calls += 1;
            if calls < 5 { fail_with(libc::EINTR) } else { 7 }
        });
        assert_eq!((done.ok(), calls), (Some(7), 5));
        let mut calls = 0;
        let failed = retry("test", || {
            calls += 1;
            if calls < 3 { fail_with(libc::EINTR) } else { fail_with(libc::EAGAIN) }
        });
        assert_eq!(failed.map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        assert_eq!(calls, 3);
        let interrupted = once("test", || fail_with(libc::EINTR));
        assert_eq!(interrupted.map_err(|error| error.raw_os_error()), Err(Some(libc::EINTR)));
    }

    #[test]
    fn a_result_that_is_negative_otherwise_is_no_failure() {
        assert_eq!(once("test", || -2).ok(), Some(-2));
    }
}
