//! `poll`. Rules: see the head of [`sys`](crate::sys).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use libc::{c_int, c_short, nfds_t, pollfd};

use super::{retry, sim, unhooked};

/// `poll` over all of `asked`: how many of them have an answer, by the time-out (`None`: for as long as it
/// takes). Never early by rounding. Interrupted by a signal it ends at once, as with a time-out: no answers.
pub(crate) fn poll(asked: &mut [pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    for slot in &mut *asked {
        slot.revents = 0;
    }
    match wait(asked, timeout) {
        Ok(answers) => Ok(answers.unsigned_abs() as usize),
        Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
            // What an interrupted call leaves in the answers is not said.
            for slot in asked {
                slot.revents = 0;
            }
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// Whether `poll` reports any of `events`, an error or a hang-up at this very moment.
pub(crate) fn poll_now(fd: BorrowedFd<'_>, events: c_short) -> io::Result<bool> {
    if let Some(done) = sim::is_ready(fd, events) {
        return done;
    }
    let mut entry = pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one entry, exclusively borrowed, and a zero time-out.
    retry("poll", || unsafe { libc::poll(&mut entry, 1, 0) }).map(|ready| ready > 0)
}

/// With a time-out in nanoseconds where there is one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn wait(asked: &mut [pollfd], timeout: Option<Duration>) -> io::Result<c_int> {
    /// The longest time that is given to the kernel at once: some three years.
    const LONGEST: Duration = Duration::from_secs(100_000_000);
    let timeout = timeout.map(|timeout| {
        let timeout = timeout.min(LONGEST);
        libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: timeout.subsec_nanos() as libc::c_long,
        }
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    unhooked(|| {
        // SAFETY: pointer and length are those of one exclusive borrow; the time lives to the end of this
        // function, and a null for the signals means that none is blocked.
        unsafe { libc::ppoll(asked.as_mut_ptr(), asked.len() as nfds_t, timeout, std::ptr::null()) }
    })
}

/// With a time-out in milliseconds, rounded up.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn wait(asked: &mut [pollfd], timeout: Option<Duration>) -> io::Result<c_int> {
    let timeout = timeout
        .map_or(-1, |timeout| c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX));
    unhooked(|| {
        // SAFETY: pointer and length are those of one exclusive borrow.
        unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as nfds_t, timeout) }
    })
}
