//! Processes that end in the midst of it: `exit` inside the loop, and in a forked child.
#![expect(clippy::disallowed_methods, reason = "the abrupt end is what is tested")]

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, exit};
use std::time::Duration;

use lwt_core::{Error, pause, spawn};
use lwt_unix::entry::guarded;
use lwt_unix::fd::Fd;
use lwt_unix::{run, sleep};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

const CHILD: &str = "LWT_TEST_EXIT";

/// Runs `body` as test `name` in a process of its own, which it has to end with code 7 and without a panic.
fn in_child(name: &'static str, body: impl FnOnce() + Send + 'static) {
    if std::env::var_os(CHILD).is_some_and(|wanted| wanted == name) {
        return body();
    }
    guarded(name, move || {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture", "--test-threads", "1"])
            .env(CHILD, name)
            .output()
            .expect("the child starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{}: {said}", output.status);
        assert!(!said.contains("panicked"), "{said}");
    });
}

#[test]
fn a_task_may_end_the_process() {
    in_child("a_task_may_end_the_process", || {
        drop(spawn(async { sleep(Duration::from_secs(1000)).await }));
        let ended = run(async {
            pause().await?;
            exit(7);
            #[allow(unreachable_code)]
            Ok::<(), Error>(())
        });
        ended.expect("it has ended");
    });
}

#[test]
fn a_callback_may_end_the_process() {
    in_child("a_callback_may_end_the_process", || {
        drop(spawn(async { sleep(Duration::from_secs(1000)).await }));
        let ended = run(sleep(Duration::from_millis(1)).map(|()| exit(7)));
        ended.expect("it has ended");
    });
}

#[test]
fn a_forked_child_that_ends_takes_nothing_from_its_parent() {
    guarded("a_forked_child_that_ends", || {
        let (ours, mut theirs) = UnixStream::pair().expect("pair");
        let ours = Fd::new(ours.into()).expect("descriptor");
        let read = spawn(async move { ours.read(&mut [0; 8]).await });
        run(sleep(Duration::from_millis(2))).expect("slept");
        // SAFETY: the child only ends; the allocator takes care of itself over a fork.
        match unsafe { fork() }.expect("fork") {
            // Not `_exit`: the thread's runtime is ended as well.
            ForkResult::Child => exit(7),
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).expect("waitpid"), WaitStatus::Exited(child, 7));
                theirs.write_all(b"still").expect("write");
                assert_eq!(run(read).expect("read"), 5);
            }
        }
    });
}
