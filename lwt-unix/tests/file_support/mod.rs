//! What the tests of files share.

#![allow(dead_code, reason = "no test uses all of it")]

use std::future::Future;
use std::path::PathBuf;

use lwt_core::Error;
use lwt_unix::fd::OsError;
use lwt_unix::{file, job};

/// Runs a test in a temporary directory of its own, with what is cached answered at once, and again with all
/// calls on threads.
pub(crate) async fn both_ways<F>(test: impl Fn(PathBuf) -> F + Clone + 'static) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    for fast in [true, false] {
        file::set_fast_paths(fast);
        file::with_temp_dir(test.clone()).await?;
    }
    file::set_fast_paths(true);
    Ok(())
}

/// The number of the system's error.
pub(crate) fn number(error: &Error) -> Option<i32> {
    OsError::of(error).and_then(OsError::raw_os_error)
}

/// The call that failed, and what for.
pub(crate) fn told(error: &Error) -> (&str, &str) {
    OsError::of(error).map_or(("", ""), |os| (os.call(), os.subject().unwrap_or("")))
}

/// Who has no privileges.
#[cfg(target_os = "linux")]
pub(crate) const NOBODY: u32 = 65_534;

/// Whether this test has privileges.
#[cfg(target_os = "linux")]
pub(crate) fn is_root() -> bool {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() == 0 }
}

/// Calls `f` without privileges, with all jobs on this thread.
#[cfg(target_os = "linux")]
pub(crate) fn as_nobody<R>(f: impl FnOnce() -> R) -> R {
    fn become_user(user: u32) {
        // Not the library's call, which changes all threads.
        // SAFETY: integers only.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, -1, user, -1) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
    let root = is_root();
    if root {
        become_user(NOBODY);
    }
    let result = job::with_async_none(f);
    if root {
        become_user(0);
    }
    result
}
