//! The system calls of processes: waiting for children, descriptors of processes, and the fork.
//!
//! 1. Nothing here blocks: children are asked for with `WNOHANG`.
//! 2. [`fork`] only makes the call; what has to be true before and done after is its caller's business.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use libc::c_int;

use super::retry;
use crate::process::{Pid, Status, Usage, Waited};

/// `wait4` with `WNOHANG` and `flags`: a child that has something to tell, of those that `which` names as
/// `waitpid` does; `None` if there are only others.
///
/// # Errors
/// `ECHILD` if there is no such child.
pub(crate) fn wait4(which: c_int, flags: c_int) -> io::Result<Option<Waited>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let pid = retry("wait4", || {
        // SAFETY: both structures are live; the call fills them or leaves them alone.
        unsafe { libc::wait4(which, &mut status, flags | libc::WNOHANG, usage.as_mut_ptr()) }
    })?;
    // SAFETY: all-zero bytes are a `rusage` too.
    let usage = unsafe { usage.assume_init() };
    Ok((pid > 0).then(|| Waited {
        pid: Pid::from(pid),
        status: Status::from_raw(status),
        usage: convert(&usage),
    }))
}

fn convert(usage: &libc::rusage) -> Usage {
    let time = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    let number = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
    // The BSDs count in kilobytes as Linux does, macOS in bytes.
    let unit = if cfg!(any(target_os = "macos", target_os = "ios")) { 1 } else { 1024 };
    Usage {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        max_resident: number(usage.ru_maxrss).saturating_mul(unit),
        minor_faults: number(usage.ru_minflt),
        major_faults: number(usage.ru_majflt),
        voluntary_switches: number(usage.ru_nvcsw),
        involuntary_switches: number(usage.ru_nivcsw),
    }
}

/// A descriptor that becomes readable when the process ends.
///
/// # Errors
/// `ENOSYS`, `EPERM` and `Unsupported` where there are no such; `EMFILE` and the like; `ESRCH`.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    use std::os::fd::{FromRawFd, RawFd};

    let fd = retry("pidfd_open", || {
        // SAFETY: it takes two numbers. It is close-on-exec by itself.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.number(), 0) };
        // Descriptors and -1 fit.
        fd as RawFd
    })?;
    // SAFETY: the descriptor is new, and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// There are none on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn pidfd_open(_pid: Pid) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `fork`: the child's number in the parent, 0 in the child.
///
/// # Safety
/// The child has this thread only, and the memory as it is now. Whatever another thread was about to do stays
/// half done in it; what the child uses must not have been in the hands of one.
#[expect(clippy::disallowed_methods, reason = "this is the place for it, and its callers see to the threads")]
pub(crate) unsafe fn fork() -> io::Result<c_int> {
    // SAFETY: the caller's.
    retry("fork", || unsafe { libc::fork() })
}

/// `_exit`: ends the process, running nothing.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}
