//! A harness without threads, for tests that fork; and what those have in common.

#![allow(dead_code, reason = "each binary uses a part of it")]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::Duration;

use lwt_core::{Error, pause, spawn};
use lwt_unix::fd::Fd;
use lwt_unix::process::{Fork, Pid, Status, WaitFlags, fork, waitpid};
use lwt_unix::signal::Signal;
use lwt_unix::{detach, run, sleep};

pub(crate) type Test = fn() -> Result<(), Error>;

/// Runs the tests, each in a child of its own, and ends the process if one of them failed.
pub(crate) fn run_all(tests: &[(&str, Test)]) {
    // With arguments of the usual harness it only counts which are asked for.
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if !cfg!(target_os = "linux") || std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let mut failed = 0;
    for (name, test) in tests {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let ended = match fork().expect("a process") {
            Fork::Child => {
                watched();
                leave(test());
            }
            Fork::Parent(child) => blocking_wait(child),
        };
        println!("test {name} ... {}", if ended == Status::Exited(0) { "ok" } else { "FAILED" });
        failed += usize::from(ended != Status::Exited(0));
    }
    assert_eq!(failed, 0, "tests failed");
}

/// Ends this process if it hangs.
pub(crate) fn watched() {
    let seconds = std::env::var("LWT_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    // SAFETY: it touches no memory.
    unsafe { libc::alarm(seconds) };
}

/// Ends a child: with 0, or with the error on standard error.
pub(crate) fn leave(outcome: Result<(), Error>) -> ! {
    if let Err(error) = &outcome {
        let _ = writeln!(std::io::stderr(), "{error:?}");
    }
    // SAFETY: it ends the process; the harness's buffers are the parent's to write.
    unsafe { libc::_exit(i32::from(outcome.is_err())) }
}

/// Waits without a loop: the loops are what is tested.
pub(crate) fn blocking_wait(child: Pid) -> Status {
    let mut status = 0;
    // SAFETY: the structure is live.
    while unsafe { libc::waitpid(child.number(), &mut status, 0) } == -1 {}
    Status::from_raw(status)
}

/// Runs `child` in a child, and `parent` here; both have to succeed.
pub(crate) fn both(
    child: impl FnOnce() -> Result<(), Error>,
    parent: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    match fork()? {
        Fork::Child => {
            watched();
            leave(child())
        }
        Fork::Parent(pid) => {
            parent()?;
            match run(waitpid(WaitFlags::NONE, pid))? {
                Some((_, Status::Exited(0))) => Ok(()),
                other => Err(Error::msg(format!("the child: {other:?}"))),
            }
        }
    }
}

/// What every process should be able to do.
pub(crate) fn everything() -> Result<(), Error> {
    run(async {
        sleep(Duration::from_millis(2)).await?;
        let (left, right) = UnixStream::pair()?;
        let (left, right) = (Fd::new(left.into())?, Fd::new(right.into())?);
        let reader = spawn(async move {
            let mut buf = [0; 5];
            let n = right.read(&mut buf).await?;
            Ok::<_, Error>(buf[..n].to_vec())
        });
        pause().await?;
        left.write_all(b"hello").await?;
        assert_eq!(reader.await?, b"hello");
        assert_eq!(detach(|| 6 * 7).await?, 42);
        Ok::<_, Error>(())
    })
}

pub(crate) fn raise(signal: Signal) {
    // SAFETY: it touches no memory.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal.number()) }, 0);
}

/// The address of a signal's action.
pub(crate) fn action(signal: Signal) -> usize {
    // SAFETY: all-zero bytes are an action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: it fills the structure.
    assert_eq!(unsafe { libc::sigaction(signal.number(), ptr::null(), &mut action) }, 0);
    action.sa_sigaction
}

pub(crate) fn ignore(signal: Signal) {
    // SAFETY: nothing is called.
    unsafe { libc::signal(signal.number(), libc::SIG_IGN) };
}
