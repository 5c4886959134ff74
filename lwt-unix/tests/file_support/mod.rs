//! What the tests of files share.

#![allow(dead_code, reason = "no test uses all of it")]

use std::future::Future;
use std::path::PathBuf;

use lwt_core::Error;
use lwt_unix::fd::OsError;
use lwt_unix::file;

/// Runs a test in a temporary directory of its own, with what is cached answered at once, and again with all calls on
/// threads.
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
