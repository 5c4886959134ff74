//! The system calls of shared memory.
//!
//! 1. Each function is one system call, made through [`retry`], and says its own name there, under which a
//!    test can make it fail ([`lwt_unix::faults`]); `EINTR` never leaves this file, except out of a futex
//!    wait, after which everybody looks again anyway.
//! 2. Every descriptor that is made here is close-on-exec from the start.
//! 3. Pointers given to the kernel are those of live values with their sizes.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use libc::{c_int, c_long, c_short, c_void, off_t};
use lwt_unix::faults;

use super::error::ShmError;

type Result<T> = std::result::Result<T, ShmError>;

/// Makes a call, and makes it again as long as a signal interrupts it.
fn retry<R: PartialEq + From<i8>>(call: &'static str, mut f: impl FnMut() -> R) -> Result<R> {
    let made = || match f() {
        returned if returned != R::from(-1) => Ok(returned),
        _ => Err(io::Error::last_os_error()),
    };
    faults::call(call, made).map_err(|error| ShmError::System { call, error })
}

fn offset(call: &'static str, value: u64) -> Result<off_t> {
    off_t::try_from(value)
        .map_err(|_| ShmError::System { call, error: io::Error::from_raw_os_error(libc::EFBIG) })
}

/// A file without a name that can be sealed.
pub(crate) fn memfd_create(name: &CStr) -> Result<OwnedFd> {
    let create = |flags| {
        // SAFETY: the name ends with a zero.
        let fd = retry("memfd_create", || unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
        // SAFETY: the call has made it, for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // A system may want to be told that nobody will execute it; those before Linux 6.3 do not know the flag.
    match create(flags | libc::MFD_NOEXEC_SEAL) {
        Err(ShmError::System { error, .. }) if error.raw_os_error() == Some(libc::EINVAL) => create(flags),
        made => made,
    }
}

/// Lets the file never shrink again, and lets nobody add other seals.
pub(crate) fn seal(fd: BorrowedFd<'_>) -> Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: integers only.
    retry("fcntl(F_ADD_SEALS)", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(())
}

/// Whether the file can never shrink. A file that knows no seals can.
pub(crate) fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: integers only.
    let seals = retry("fcntl(F_GET_SEALS)", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) });
    seals.is_ok_and(|seals| seals & libc::F_SEAL_SHRINK != 0)
}

/// How long the files may be that this process writes (`RLIMIT_FSIZE`).
fn longest_file() -> Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is alive, and the call's to fill.
    retry("getrlimit", || unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) })?;
    Ok(limit.rlim_cur)
}

/// Reserves the space of a range, and makes the file longer if the range ends behind its end: `EFBIG` if none
/// may be so long, for which the kernel would send a signal, too, that ends the process.
pub(crate) fn fallocate(fd: BorrowedFd<'_>, from: u64, len: u64) -> Result<()> {
    if from.saturating_add(len) > longest_file()? {
        return Err(ShmError::System { call: "fallocate", error: io::Error::from_raw_os_error(libc::EFBIG) });
    }
    let (from, len) = (offset("fallocate", from)?, offset("fallocate", len)?);
    // SAFETY: integers only.
    retry("fallocate", || unsafe { libc::fallocate(fd.as_raw_fd(), 0, from, len) })?;
    Ok(())
}

/// The length of the file.
pub(crate) fn length(fd: BorrowedFd<'_>) -> Result<u64> {
    let end = retry("fstat", || {
        // SAFETY: all zeroes are a valid `stat`, which the call fills.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::fstat(fd.as_raw_fd(), &raw mut stat) == 0 { stat.st_size } else { -1 }
        }
    })?;
    Ok(end.unsigned_abs())
}

/// Opens the file anew, so that its locks are nobody else's.
pub(super) fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    open(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd())))
}

/// Opens a file to read and to write.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let open = || std::fs::OpenOptions::new().read(true).write(true).open(path);
    faults::call("open", open).map(OwnedFd::from).map_err(|error| ShmError::System { call: "open", error })
}

/// Maps `len` bytes of the file, of which it may have fewer yet.
pub(super) fn mmap(fd: BorrowedFd<'_>, len: usize) -> Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    let mut start = ptr::null_mut();
    retry("mmap", || {
        // SAFETY: the kernel chooses where, so nothing that is mapped is touched.
        start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { -1 } else { 0 }
    })?;
    NonNull::new(start.cast())
        .ok_or_else(|| ShmError::System { call: "mmap", error: io::Error::from_raw_os_error(libc::ENOMEM) })
}

/// Ends a mapping.
///
/// # Safety
/// It is one of [`mmap`], with that length, and nobody uses it any more.
pub(super) unsafe fn munmap(start: NonNull<u8>, len: usize) {
    // It can fail only for arguments that it has not got.
    // SAFETY: as the caller says.
    let _ = retry("munmap", || unsafe { libc::munmap(start.as_ptr().cast(), len) });
}

/// Has the pages of a range, which the file has, mapped at once.
///
/// # Safety
/// The range is in a mapping.
pub(super) unsafe fn populate(start: *mut u8, len: usize) -> Result<()> {
    let start: *mut c_void = start.cast();
    // SAFETY: as the caller says; the contents do not change.
    retry("madvise", || unsafe { libc::madvise(start, len, libc::MADV_POPULATE_WRITE) })?;
    Ok(())
}

/// Sleeps while the word is `expected`: until a wake, a signal, or the time is over, and nobody is told
/// which.
pub(super) fn futex_wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the word and the time are alive. Shared, not private: the waker may be another process.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, limit) };
}

/// Wakes up to `most` who sleep at the word.
pub(super) fn futex_wake(word: &AtomicU32, most: c_int) {
    // SAFETY: the word is alive.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, most) };
}

/// Has those who accept from a listening socket fail from now on, also those who are waiting.
pub(super) fn shutdown(listener: BorrowedFd<'_>) {
    // It cannot fail for one that listens.
    // SAFETY: integers only.
    unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
}

fn byte(kind: c_int, at: u64) -> Result<libc::flock> {
    Ok(libc::flock {
        l_type: kind as c_short,
        l_whence: libc::SEEK_SET as c_short,
        l_start: offset("fcntl", at)?,
        l_len: 1,
        l_pid: 0,
    })
}

/// Locks a byte of the file for this open file, which keeps it until it is closed: when its process dies, at
/// the latest. `false`: another open file has it.
pub(super) fn lock_byte(fd: BorrowedFd<'_>, at: u64) -> Result<bool> {
    let lock = byte(libc::F_WRLCK, at)?;
    let request = || {
        // SAFETY: the structure is alive.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }
    };
    match retry("fcntl(F_OFD_SETLK)", request) {
        Ok(_) => Ok(true),
        Err(ShmError::System { error, .. })
            if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives a byte back.
pub(super) fn unlock_byte(fd: BorrowedFd<'_>, at: u64) -> Result<()> {
    let lock = byte(libc::F_UNLCK, at)?;
    // SAFETY: the structure is alive.
    retry("fcntl(F_OFD_SETLK)", || unsafe {
        libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock)
    })?;
    Ok(())
}

/// Whether another open file than this has the byte locked.
pub(super) fn is_byte_locked(fd: BorrowedFd<'_>, at: u64) -> Result<bool> {
    let mut lock = byte(libc::F_WRLCK, at)?;
    // SAFETY: the structure is alive, and the call's to change.
    retry("fcntl(F_OFD_GETLK)", || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) })?;
    Ok(c_int::from(lock.l_type) != libc::F_UNLCK)
}

/// The descriptor that has this number in another process, which has to be one that this one may trace.
pub(super) fn descriptor_of(pid: u32, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: integers only.
    let process =
        retry("pidfd_open", || unsafe { libc::syscall(libc::SYS_pidfd_open, c_long::from(pid), 0) })?;
    // SAFETY: the call has made it, for us.
    let process = unsafe { OwnedFd::from_raw_fd(process as RawFd) };
    // SAFETY: integers only.
    let fd = retry("pidfd_getfd", || unsafe {
        libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0)
    })?;
    // SAFETY: the call has made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
