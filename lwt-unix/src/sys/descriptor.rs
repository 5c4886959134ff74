//! What concerns descriptors of every kind: flags, duplicates, pipes, and calls that ask the kernel not to
//! block whatever the flags say. Rules: see the head of [`sys`](crate::sys).

use std::ffi::CString;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, off_t};

use super::{NO_VECTOR, Room, count, retry, sim, transfer, vector, vector_mut};

/// Where a call begins to read or to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the position of the open file description, which moves along.
    Position,
    /// So many bytes from the beginning of the file; the position stays.
    Offset(u64),
}

impl Place {
    /// As the kernel counts; `EINVAL` beyond what it can count to.
    fn raw(self) -> io::Result<off_t> {
        match self {
            Place::Position => Ok(-1),
            Place::Offset(offset) => checked(offset),
        }
    }
}

/// An offset as the kernel takes it; `EINVAL` for one that is too large.
pub(crate) fn checked(offset: u64) -> io::Result<off_t> {
    off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Opens a new descriptor over a number that a successful call has returned.
fn opened(raw: RawFd) -> OwnedFd {
    // SAFETY: private to this module, and called only with a number that a call has just opened: nobody else
    // knows it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// `readv`, by `preadv2` with `RWF_NOWAIT`: `WouldBlock` where the bytes are not at hand, `EOPNOTSUPP` where
/// the kernel cannot tell. An end of the file is 0, as ever.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn readv_nowait(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    place: Place,
) -> io::Result<usize> {
    if place == Place::Position
        && let Some(done) = sim::readv("preadv2", fd, bufs, 0)
    {
        return done.map(|heard| heard.bytes);
    }
    sim::never_at_hand()?;
    let offset = place.raw()?;
    let mut front = NO_VECTOR;
    let (start, slices) = vector_mut("preadv2", fd, bufs, &mut front);
    retry("preadv2", || {
        // SAFETY: of the vectors there are so many from the start on, and they outlive the call.
        unsafe { libc::preadv2(fd.as_raw_fd(), start, slices as c_int, offset, libc::RWF_NOWAIT) }
    })
    .map(count)
}

/// `writev`, by `pwritev2` with `RWF_NOWAIT`, at the position of the open file description.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn writev_nowait(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    if let Some(done) = sim::writev("pwritev2", fd, bufs, None, 0) {
        return done;
    }
    let mut front = NO_VECTOR;
    let (start, slices) = vector("pwritev2", fd, bufs, &mut front);
    retry("pwritev2", || {
        // SAFETY: of the vectors there are so many from the start on, and they outlive the call.
        unsafe { libc::pwritev2(fd.as_raw_fd(), start, slices as c_int, -1, libc::RWF_NOWAIT) }
    })
    .map(count)
}

/// There is no such call here: `EOPNOTSUPP`, as from a kernel that does not know it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn readv_nowait(_: BorrowedFd<'_>, _: &mut [IoSliceMut<'_>], _: Place) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

/// There is no such call here: `EOPNOTSUPP`, as from a kernel that does not know it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn writev_nowait(_: BorrowedFd<'_>, _: &[IoSlice<'_>]) -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

/// `pread`.
pub(crate) fn pread(fd: BorrowedFd<'_>, room: &Room<'_>, offset: u64) -> io::Result<usize> {
    let offset = checked(offset)?;
    transfer("pread", fd, room.len, |len| {
        // SAFETY: a room's start and length are those of one exclusive borrow; `len` is no greater.
        unsafe { libc::pread(fd.as_raw_fd(), room.start.cast(), len, offset) }
    })
}

/// `pwrite`.
pub(crate) fn pwrite(fd: BorrowedFd<'_>, buf: &[u8], offset: u64) -> io::Result<usize> {
    let offset = checked(offset)?;
    transfer("pwrite", fd, buf.len(), |len| {
        // SAFETY: the pointer and the length are those of one live borrow; `len` is no greater.
        unsafe { libc::pwrite(fd.as_raw_fd(), buf.as_ptr().cast(), len, offset) }
    })
}

/// Whether the open file description is non-blocking.
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    if sim::is_socket(fd.as_raw_fd()) {
        return Ok(true);
    }
    // SAFETY: F_GETFL takes no argument.
    let flags = retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_NONBLOCK != 0)
}

/// Makes the open file description blocking.
pub(crate) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument.
    let flags = retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK != 0 {
        // SAFETY: F_SETFL takes an integer.
        retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) })?;
    }
    Ok(())
}

/// The direction that the open file description was opened for: `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
pub(crate) fn access(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: F_GETFL takes no argument.
    let flags = retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_ACCMODE)
}

/// Makes the descriptor stay open on exec.
pub(crate) fn clear_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer.
    retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }).map(drop)
}

/// Whether the descriptor is closed on exec; an error says that it is not open.
pub(crate) fn is_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: F_GETFD takes no argument.
    let flags = retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) })?;
    Ok(flags & libc::FD_CLOEXEC != 0)
}

/// A second descriptor of the same open file description, close-on-exec, and none of the standard streams'
/// numbers.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    duplicate_number(fd.as_raw_fd())
}

/// [`duplicate`] of a number that nobody may own; `EBADF` when it is not open.
pub(crate) fn duplicate_number(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer; a number that is not open is an error.
    let raw = retry("fcntl", || unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    sim::duplicated(fd, raw);
    Ok(opened(raw))
}

/// Makes the number `onto` mean what `fd` means (`dup3`), close-on-exec or not. Equal numbers are left as
/// they are.
pub(crate) fn duplicate_onto(
    fd: BorrowedFd<'_>,
    onto: BorrowedFd<'_>,
    close_on_exec: bool,
) -> io::Result<()> {
    if fd.as_raw_fd() == onto.as_raw_fd() {
        return Ok(());
    }
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: integers only; what the number meant is closed, which its owner has asked for.
    retry("dup3", || unsafe { libc::dup3(fd.as_raw_fd(), onto.as_raw_fd(), flags) })?;
    sim::duplicated(fd.as_raw_fd(), onto.as_raw_fd());
    Ok(())
}

/// `pipe2`, close-on-exec: the end to read from and the end to write to, non-blocking or not.
pub(crate) fn pipe(nonblocking: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    if nonblocking && let Some(done) = sim::pipe() {
        return done;
    }
    let flags = libc::O_CLOEXEC | if nonblocking { libc::O_NONBLOCK } else { 0 };
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two numbers.
    retry("pipe2", || unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    Ok((opened(ends[0]), opened(ends[1])))
}

/// Opens what `fd` refers to once more: a non-blocking, close-on-exec description of our own, for the same
/// direction.
///
/// Right for pipes and terminals. Sockets refuse it (`ENXIO`), and a terminal's master end would give another
/// terminal.
pub(crate) fn reopen(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = access(fd)? | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let path = CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    // SAFETY: the path is a live string with its zero byte; without O_CREAT there is no third argument.
    let raw = retry("open", || unsafe { libc::open(path.as_ptr(), flags) })?;
    Ok(opened(raw))
}

/// Whether it is the master end of a pseudo-terminal.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_terminal_master(fd: BorrowedFd<'_>) -> bool {
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one integer, which is ours.
    retry("ioctl", || unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGPTN as _, &raw mut number) }).is_ok()
}

/// Not told here, so that it is better to assume it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_terminal_master(_: BorrowedFd<'_>) -> bool {
    true
}

/// Whether the error says that a call does not exist, or not for these descriptors.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}
