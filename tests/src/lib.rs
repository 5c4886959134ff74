//! The harness of the tests that run whole programs.
//!
//! | module | what it has |
//! |---|---|
//! | [`program`] | a child process that cannot outlive or outwait its test |
//! | [`dir`] | a directory that is gone after the test |
//! | [`peer`] | the other end of a connection, with blocking calls and a limit on their patience |
//! | [`http`] | just enough HTTP to be rude in it |
//!
//! None of it uses the library that is tested, so that a fault there cannot hide itself.

pub mod dir;
pub mod http;
pub mod peer;
pub mod program;

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// After so long something is held to hang. It is a guard, and no test depends on its length.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Waits until `done` says so.
///
/// # Panics
/// If that does not happen.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Takes as many descriptors for this process as the system gives; tells how many that are.
pub fn allow_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}
