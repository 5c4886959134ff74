//! The harness of the tests of workers: a `main` that lists their functions before any thread is there, and
//! each test twice, once for each way to a worker.

#![allow(dead_code, reason = "no test uses all of it")]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use lwt_core::Error;
use lwt_preemptive::worker::{Start, Way, WorkerFailure};
use lwt_unix::entry::{self, Outcome};

/// A test with its name.
pub(crate) struct Trial {
    name: String,
    body: Box<dyn FnOnce()>,
}

/// Runs the tests that the command line asks for, one after the other: those whose names have one of its
/// words, or all.
#[expect(clippy::disallowed_methods, reason = "a harness of tests")]
pub(crate) fn main(tests: Vec<Trial>) {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let listing = words.iter().any(|word| word == "--list");
    let words: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let mut failed = Vec::new();
    for Trial { name, body } in tests {
        if listing {
            println!("{name}: test");
        } else if words.is_empty() || words.iter().any(|word| name.contains(*word)) {
            let passed = catch_unwind(AssertUnwindSafe(body)).is_ok();
            println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
            if !passed {
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        std::process::exit(101);
    }
}

/// A test that is run in both ways, on a loop and a thread of its own.
pub(crate) fn both<F>(name: &'static str, body: fn(Way) -> F) -> Vec<Trial>
where
    F: Future + 'static,
    F::Output: Outcome,
{
    let one = |way, of| Trial {
        name: format!("{name}::{of}"),
        body: Box::new(move || entry::test(name, move || body(way))),
    };
    vec![one(Way::Zygote, "zygote"), one(Way::Exec, "exec")]
}

/// The tests of a file, each in both ways.
#[macro_export]
macro_rules! both_ways {
    ($($name:ident),* $(,)?) => {
        [$($crate::worker_common::both(stringify!($name), $name)),*].into_iter().flatten().collect()
    };
}

/// A plan for a worker that is made this way.
pub(crate) fn by(way: Way) -> Start {
    Start::new().way(way)
}

/// The failure in an error.
pub(crate) fn failure(error: &Error) -> &WorkerFailure {
    error.downcast_ref().unwrap_or_else(|| panic!("not a worker's failure: {error:?}"))
}

/// Waits, without a limit: the watchdog has one.
pub(crate) async fn until(mut what: impl FnMut() -> bool) {
    while !what() {
        let _ = lwt_unix::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether there is a process of this number; zombies count.
pub(crate) fn exists(pid: i32) -> bool {
    std::fs::exists(format!("/proc/{pid}")).unwrap_or(false)
}

/// The children of this process, by their numbers.
pub(crate) fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

/// Blocks for ever, in a way that `SIGTERM` ends unless it is ignored.
pub(crate) fn hang() {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3600) {
        std::thread::sleep(Duration::from_secs(60));
    }
}
