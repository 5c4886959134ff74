//! The seam: every system call of the descriptor side passes through the thin functions of this module.
//!
//! What it is for: one place where `-1` becomes an [`io::Error`], one place where an interrupted call is made
//! again, and one place where a test can make calls fail ([`faults`](crate::faults), by [`hook`]). Everything
//! above it (`fd`, `net`) is safe code.
//!
//! Rules:
//! 1. Each function is one system call, made through [`retry`] or [`once`], and says its own name there.
//!    Those that move bytes of a descriptor are made through [`transfer`], or over a [`vector`], so that a
//!    test can cut them short.
//! 2. `EINTR` never leaves this module. Reading, writing, accepting and the like are simply made again; the
//!    three calls for which that would be wrong (`close`, which has already given the number back, `connect`,
//!    which goes on in the background, and `tcsendbreak`, which would be a second break) are made [`once`]
//!    and translate it.
//! 3. `EAGAIN` leaves it as [`io::ErrorKind::WouldBlock`]: waiting is the caller's business.
//! 4. Every descriptor that is made here is made close-on-exec and non-blocking in the same call, never after
//!    it.
//! 5. Nothing here writes to a socket without `MSG_NOSIGNAL`.
//! 6. Buffers are only ever filled from the front: a function that returns `n` has initialised the first `n`
//!    bytes, and has never made an initialised byte uninitialised.

use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use libc::{c_int, ssize_t};

pub(crate) mod addr;
pub(crate) mod bell;
pub(crate) mod cpu;
pub(crate) mod descriptor;
pub(crate) mod dir;
pub(crate) mod file;
pub(crate) mod hook;
pub(crate) mod map;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod option;
pub(crate) mod path;
mod poll;
pub(crate) mod process;
pub(crate) mod signal;
mod sim;
pub(crate) mod socket;
pub(crate) mod term;
pub(crate) mod transfer;
pub(crate) mod users;

pub(crate) use self::poll::{poll, poll_now};

/// At most this many slices in one vectored call; the rest is left for the next one.
pub(crate) const MAX_SLICES: usize = 1024;

/// Makes a call, and makes it again as long as a signal interrupts it.
#[inline]
pub(crate) fn retry<R: Returned>(name: &'static str, mut call: impl FnMut() -> R) -> io::Result<R> {
    if hook::hooked() {
        return hook::passed(name, || again(&mut call));
    }
    again(&mut call)
}

/// Makes a call exactly once and turns `-1` into the error that `errno` holds.
#[inline]
pub(crate) fn once<R: Returned>(name: &'static str, call: impl FnOnce() -> R) -> io::Result<R> {
    if hook::hooked() {
        return hook::passed_once(name, || outcome(call()));
    }
    outcome(call())
}

/// [`once`] for an engine's wait and wake-up, which no plan of faults concerns: an engine that hears nothing
/// is no fault of a call.
pub(crate) fn unhooked<R: Returned>(call: impl FnOnce() -> R) -> io::Result<R> {
    outcome(call())
}

/// [`retry`] for a call that transfers up to `len` bytes and says how many: it may be made with fewer.
#[inline]
pub(crate) fn transfer(
    name: &'static str,
    fd: BorrowedFd<'_>,
    len: usize,
    mut call: impl FnMut(usize) -> ssize_t,
) -> io::Result<usize> {
    if hook::hooked() {
        let len = hook::cut(name, fd, len);
        return hook::passed(name, || again(|| call(len))).map(count);
    }
    again(|| call(len)).map(count)
}

/// Makes a call until it is not interrupted.
#[inline]
fn again<R: Returned>(mut call: impl FnMut() -> R) -> io::Result<R> {
    loop {
        match outcome(call()) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            done => return done,
        }
    }
}

/// What a call has returned, with the error that `errno` holds.
#[inline]
fn outcome<R: Returned>(returned: R) -> io::Result<R> {
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

/// The place for a vector that a test cuts.
pub(crate) const NO_VECTOR: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// The vectors of a call that empties these buffers, and how many: all, but at most [`MAX_SLICES`], or one in
/// `front` where a plan of faults cuts the call.
pub(crate) fn vector(
    name: &'static str,
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    front: &mut libc::iovec,
) -> (*const libc::iovec, usize) {
    match hook::front(name, fd, bufs.iter().map(|buf| buf.len())) {
        Some((place, len)) => {
            *front = libc::iovec { iov_base: bufs[place].as_ptr().cast_mut().cast(), iov_len: len };
            (front, 1)
        }
        // `IoSlice` is guaranteed to have the layout of `iovec`.
        None => (bufs.as_ptr().cast(), bufs.len().min(MAX_SLICES)),
    }
}

/// [`vector`] for a call that fills these buffers.
pub(crate) fn vector_mut(
    name: &'static str,
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    front: &mut libc::iovec,
) -> (*mut libc::iovec, usize) {
    match hook::front(name, fd, bufs.iter().map(|buf| buf.len())) {
        Some((place, len)) => {
            *front = libc::iovec { iov_base: bufs[place].as_mut_ptr().cast(), iov_len: len };
            (front, 1)
        }
        // `IoSliceMut` is guaranteed to have the layout of `iovec`.
        None => (bufs.as_mut_ptr().cast(), bufs.len().min(MAX_SLICES)),
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
    /// Fills the front, as far as there is room, and says how much that was.
    pub(crate) fn fill(&self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.len);
        // SAFETY: a room's start and length are those of one exclusive borrow, so the bytes are elsewhere.
        unsafe { self.start.copy_from_nonoverlapping(bytes.as_ptr(), n) };
        n
    }

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
    if hook::hooked()
        && let Some(done) = sim::read("read", fd, room, 0)
    {
        return done.map(|heard| heard.bytes);
    }
    transfer("read", fd, room.len, |len| {
        // SAFETY: a room's start and length are those of one exclusive borrow; `len` is no greater.
        unsafe { libc::read(fd.as_raw_fd(), room.start.cast(), len) }
    })
}

/// `write`: from the front of `buf`, perhaps not all of it.
#[inline]
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    if hook::hooked()
        && let Some(done) = sim::write("write", fd, buf, None, 0)
    {
        return done;
    }
    transfer("write", fd, buf.len(), |len| {
        // SAFETY: the pointer and the length are those of one live borrow; `len` is no greater.
        unsafe { libc::write(fd.as_raw_fd(), buf.as_ptr().cast(), len) }
    })
}

/// `readv` over at most [`MAX_SLICES`] buffers.
pub(crate) fn readv(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    if let Some(done) = sim::readv("readv", fd, bufs, 0) {
        return done.map(|heard| heard.bytes);
    }
    let mut front = NO_VECTOR;
    let (start, slices) = vector_mut("readv", fd, bufs, &mut front);
    retry("readv", || {
        // SAFETY: of the vectors there are so many from the start on, and they outlive the call.
        unsafe { libc::readv(fd.as_raw_fd(), start, slices as c_int) }
    })
    .map(count)
}

/// `writev` over at most [`MAX_SLICES`] buffers.
pub(crate) fn writev(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    if let Some(done) = sim::writev("writev", fd, bufs, None, 0) {
        return done;
    }
    let mut front = NO_VECTOR;
    let (start, slices) = vector("writev", fd, bufs, &mut front);
    retry("writev", || {
        // SAFETY: of the vectors there are so many from the start on, and they outlive the call.
        unsafe { libc::writev(fd.as_raw_fd(), start, slices as c_int) }
    })
    .map(count)
}

/// `close`: the number is free afterwards whatever the result says, also after `EINTR`, which is therefore no
/// error.
pub(crate) fn close(fd: OwnedFd) -> io::Result<()> {
    let raw = fd.into_raw_fd();
    sim::closed(raw);
    // SAFETY: the number was owned by `fd`, which gave up the ownership just now.
    match once("close", || unsafe { libc::close(raw) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
        _ => Ok(()),
    }
}

/// Makes the open file description non-blocking.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    if sim::is_socket(fd.as_raw_fd()) {
        return Ok(());
    }
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
    file_type_of(fd.as_raw_fd())
}

/// [`file_type`] of a number, whose owner is the caller's business.
pub(crate) fn file_type_of(fd: RawFd) -> io::Result<libc::mode_t> {
    if sim::is_socket(fd) {
        return Ok(libc::S_IFSOCK);
    }
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the buffer has the size that the call fills.
    retry("fstat", || unsafe { libc::fstat(fd, stat.as_mut_ptr()) })?;
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
