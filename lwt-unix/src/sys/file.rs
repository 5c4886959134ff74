//! Calls on open files, and those that open them. Rules: see the head of [`sys`](crate::sys).
//!
//! 1. What a successful call returns as a new descriptor is ours alone, and close-on-exec.
//! 2. Structures that the kernel fills are zeroed, plain data; they are read after the call has succeeded.
//! 3. [`open_cached`] and [`attributes_cached`] never wait: not for a disk, not for a server.

use std::ffi::CStr;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, mode_t, off_t};

use super::descriptor::checked;
use super::{retry, sim};

/// Takes over what a call has opened.
fn opened(raw: libc::c_int) -> OwnedFd {
    // SAFETY: private to this module, and called only with a number that a call has just opened (rule 1).
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// `openat`, relative to `dir` or to the current directory.
pub(crate) fn open(
    dir: Option<BorrowedFd<'_>>,
    path: &CStr,
    flags: c_int,
    mode: mode_t,
) -> io::Result<OwnedFd> {
    let dir = dir.map_or(libc::AT_FDCWD, |dir| dir.as_raw_fd());
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: the path is a live string with its zero byte, and the third argument is there.
    retry("openat", || unsafe { libc::openat(dir, path.as_ptr(), flags, libc::c_uint::from(mode)) })
        .map(opened)
}

/// `openat2` with `RESOLVE_CACHED`: `WouldBlock` where the path is not at hand. Never creates or truncates.
#[cfg(target_os = "linux")]
pub(crate) fn open_cached(path: &CStr, flags: c_int) -> io::Result<OwnedFd> {
    sim::never_at_hand()?;
    // SAFETY: plain data, for which zeros are valid.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_CACHED;
    let raw = retry("openat2", || {
        // SAFETY: the path is a live string with its zero byte, `how` is alive, and its size is the one
        // given.
        unsafe {
            libc::syscall(
                libc::SYS_openat2,
                libc::AT_FDCWD,
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            ) as c_int
        }
    })?;
    Ok(opened(raw))
}

/// `fstat`: the attributes of an open file. May wait for a server.
pub(crate) fn fstat(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    // SAFETY: plain data, for which zeros are valid.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: the structure is the one that the call fills.
    retry("fstat", || unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) })?;
    Ok(stat)
}

/// Asks for the number of the mount that is never given again (Linux 6.8); older kernels leave it out of the
/// answer.
#[cfg(target_os = "linux")]
pub(crate) const STATX_MNT_ID_UNIQUE: u32 = 0x4000;

/// `statx` on the descriptor itself (which may be an `O_PATH` one), with `AT_STATX_DONT_SYNC`: what this
/// machine knows. On a network file system that may be old.
#[cfg(target_os = "linux")]
#[inline]
pub(crate) fn attributes_cached(fd: BorrowedFd<'_>) -> io::Result<libc::statx> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    let mask = libc::STATX_BASIC_STATS | STATX_MNT_ID_UNIQUE;
    // SAFETY: plain data, for which zeros are valid.
    let mut attributes: libc::statx = unsafe { mem::zeroed() };
    retry("statx", || {
        // SAFETY: an empty path, and the structure that the call fills.
        unsafe { libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, mask, &raw mut attributes) }
    })?;
    Ok(attributes)
}

/// The kind of the file system (`f_type` of `fstatfs`). May wait for a server.
#[cfg(target_os = "linux")]
pub(crate) fn file_system(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: plain data, for which zeros are valid.
    let mut stat: libc::statfs = unsafe { mem::zeroed() };
    // SAFETY: the structure is the one that the call fills.
    retry("fstatfs", || unsafe { libc::fstatfs(fd.as_raw_fd(), &raw mut stat) })?;
    // It has 32 bits, in a type that may have more, or a sign.
    Ok(u64::from(stat.f_type as u32))
}

/// `lseek`: the new position, from the beginning of the file.
pub(crate) fn seek(fd: BorrowedFd<'_>, offset: i64, whence: c_int) -> io::Result<u64> {
    let offset = off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    // SAFETY: integers only.
    let place = retry("lseek", || unsafe { libc::lseek(fd.as_raw_fd(), offset, whence) } as isize)?;
    Ok(place.unsigned_abs() as u64)
}

/// `ftruncate`.
pub(crate) fn truncate(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let len = checked(len)?;
    // SAFETY: integers only.
    retry("ftruncate", || unsafe { libc::ftruncate(fd.as_raw_fd(), len) }).map(drop)
}

/// `fsync`.
pub(crate) fn sync(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an integer only.
    retry("fsync", || unsafe { libc::fsync(fd.as_raw_fd()) }).map(drop)
}

/// `fdatasync`, or `fsync` where there is none.
pub(crate) fn sync_data(fd: BorrowedFd<'_>) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: an integer only.
    return retry("fdatasync", || unsafe { libc::fdatasync(fd.as_raw_fd()) }).map(drop);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    sync(fd)
}

/// Reserves room on the disk: `fallocate`, which leaves the length of the file alone if `keep_size`.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn allocate(fd: BorrowedFd<'_>, offset: u64, len: u64, keep_size: bool) -> io::Result<()> {
    let (offset, len) = (checked(offset)?, checked(len)?);
    let mode = if keep_size { libc::FALLOC_FL_KEEP_SIZE } else { 0 };
    // SAFETY: integers only.
    retry("fallocate", || unsafe { libc::fallocate(fd.as_raw_fd(), mode, offset, len) }).map(drop)
}

/// There is no such call here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn allocate(_: BorrowedFd<'_>, _: u64, _: u64, _: bool) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

/// `fchmod`.
pub(crate) fn change_mode(fd: BorrowedFd<'_>, mode: mode_t) -> io::Result<()> {
    // SAFETY: integers only.
    retry("fchmod", || unsafe { libc::fchmod(fd.as_raw_fd(), mode) }).map(drop)
}

/// `fchown`; an id of `u32::MAX` is left as it is.
pub(crate) fn change_owner(fd: BorrowedFd<'_>, user: u32, group: u32) -> io::Result<()> {
    // SAFETY: integers only.
    retry("fchown", || unsafe { libc::fchown(fd.as_raw_fd(), user, group) }).map(drop)
}

/// `futimens`: last access, last change.
pub(crate) fn set_times(fd: BorrowedFd<'_>, times: &[libc::timespec; 2]) -> io::Result<()> {
    // SAFETY: the array has the two elements that the call reads.
    retry("futimens", || unsafe { libc::futimens(fd.as_raw_fd(), times.as_ptr()) }).map(drop)
}

/// What `fcntl` does about a lock on `len` bytes from `start` on; 0 is to the end of the file, a negative
/// number the bytes before.
pub(crate) fn lock(
    fd: BorrowedFd<'_>,
    command: c_int,
    kind: c_int,
    start: u64,
    len: i64,
) -> io::Result<libc::flock> {
    // SAFETY: plain data, for which zeros are valid.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = kind as _;
    lock.l_whence = libc::SEEK_SET as _;
    lock.l_start = checked(start)?;
    lock.l_len = off_t::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    // SAFETY: the commands for locks take the address of such a structure, and may fill it.
    retry("fcntl", || unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut lock) })?;
    Ok(lock)
}

/// Whether two descriptors are of the same file.
pub(crate) fn same(one: &libc::stat, other: &libc::stat) -> bool {
    one.st_dev == other.st_dev && one.st_ino == other.st_ino
}

/// How a directory is opened that is only a place to begin at: it need not be readable, where the system has
/// that.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const SEARCH: c_int = libc::O_PATH;
/// How a directory is opened that is only a place to begin at: it need not be readable, where the system has
/// that.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const SEARCH: c_int = libc::O_RDONLY;
