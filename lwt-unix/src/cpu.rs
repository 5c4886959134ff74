//! Processors: on which one this thread runs, and on which it may (`Lwt_unix.get_cpu` and its like). Linux
//! only; other systems answer `Unsupported`.

use lwt_core::Error;

use crate::fd::During;

/// The number of the processor on which this thread runs at this moment (`Lwt_unix.get_cpu`).
///
/// ```
/// # #[cfg(target_os = "linux")]
/// assert!(lwt_unix::cpu::get_cpu().is_ok());
/// ```
///
/// # Errors
/// `Unsupported` where the system does not tell.
pub fn get_cpu() -> Result<usize, Error> {
    sys::current().during("sched_getcpu")
}

/// The processors on which a thread may run, by its number, or the calling one (`Lwt_unix.get_affinity`).
///
/// ```
/// # #[cfg(target_os = "linux")]
/// assert!(!lwt_unix::cpu::get_affinity(None).unwrap().is_empty());
/// ```
///
/// # Errors
/// Those of `sched_getaffinity`; `Unsupported` where there is no such thing.
pub fn get_affinity(thread: Option<i32>) -> Result<Vec<usize>, Error> {
    sys::affinity(thread.unwrap_or(0)).during("sched_getaffinity")
}

/// Sets the processors on which a thread may run, by its number, or the calling one
/// (`Lwt_unix.set_affinity`). Threads that it starts later inherit that.
///
/// ```
/// # #[cfg(target_os = "linux")]
/// # std::thread::spawn(|| {
/// use lwt_unix::cpu;
/// let first = cpu::get_affinity(None).unwrap()[0];
/// cpu::set_affinity(None, &[first]).unwrap();
/// assert_eq!(cpu::get_cpu().unwrap(), first);
/// # }).join().unwrap();
/// ```
///
/// # Errors
/// Those of `sched_setaffinity`: `InvalidInput` if the machine has none of them; `PermissionDenied`;
/// `Unsupported` where there is no such thing.
pub fn set_affinity(thread: Option<i32>, processors: &[usize]) -> Result<(), Error> {
    sys::set_affinity(thread.unwrap_or(0), processors).during("sched_setaffinity")
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::sys::cpu as sys;

/// What there is not.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod sys {
    use std::io;

    use crate::platform::NotAvailable;

    pub(super) fn current() -> io::Result<usize> {
        Err(NotAvailable("get_cpu").into())
    }

    pub(super) fn affinity(_: i32) -> io::Result<Vec<usize>> {
        Err(NotAvailable("get_affinity").into())
    }

    pub(super) fn set_affinity(_: i32, _: &[usize]) -> io::Result<()> {
        Err(NotAvailable("set_affinity").into())
    }
}
