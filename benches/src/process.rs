//! Processes and memory of theirs by hand, with the C library's calls.

use std::hint::spin_loop;
use std::io;
use std::ptr;
use std::sync::atomic::AtomicU64;

/// Seconds after which a measurement is ended by the kernel.
const WATCHDOG: u32 = 120;

/// Has the kernel end this process when it takes much too long.
pub fn watch() {
    // SAFETY: the call takes a number; the signal's default action ends the process, which is what is wanted.
    unsafe { libc::alarm(WATCHDOG) };
}

/// A forked process that does `work`, and then ends without further ado; at the latest with this one, which
/// must have no threads.
#[expect(clippy::disallowed_methods, reason = "the process has one thread")]
pub fn forked(work: impl FnOnce()) -> Result<libc::pid_t, String> {
    // SAFETY: this process has one thread, so nothing is half done in the copy.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: integers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            work();
            // SAFETY: ends the process, without the parent's destructors.
            unsafe { libc::_exit(0) }
        }
        -1 => Err(io::Error::last_os_error().to_string()),
        pid => Ok(pid),
    }
}

/// Waits for the end of a forked process, which must be a good one.
pub fn wait(pid: libc::pid_t) -> Result<(), String> {
    let mut status = 0;
    // SAFETY: the status is alive.
    match unsafe { libc::waitpid(pid, &mut status, 0) } {
        -1 => Err(io::Error::last_os_error().to_string()),
        _ if status != 0 => Err(format!("a process has failed: {status:#x}")),
        _ => Ok(()),
    }
}

/// Words that the processes to be forked share; all zero.
pub fn shared(words: usize) -> Result<&'static [AtomicU64], String> {
    let (flags, protection) = (libc::MAP_SHARED | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping, where the kernel chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), words * 8, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error().to_string());
    }
    // SAFETY: the mapping is as long, zeroed, aligned by pages, and never unmapped.
    Ok(unsafe { std::slice::from_raw_parts(start.cast(), words) })
}

/// Looks at something until it is there. Now and then another process gets its turn: with more of them than
/// processors, looking alone would be waiting for the scheduler.
pub fn look<T>(mut at: impl FnMut() -> Option<T>) -> T {
    let mut spins = 0_u32;
    loop {
        if let Some(found) = at() {
            return found;
        }
        spins += 1;
        if spins.is_multiple_of(1000) { std::thread::yield_now() } else { spin_loop() }
    }
}

/// The same for what is there or not.
pub fn until(mut there: impl FnMut() -> bool) {
    look(|| there().then_some(()));
}
