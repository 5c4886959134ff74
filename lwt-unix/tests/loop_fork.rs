//! The loop after a fork. One test: it forks.

use std::time::Duration;

use lwt_core::spawn;
use lwt_unix::entry::guarded;
use lwt_unix::{after_fork, run, sleep};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is a loop in a forked child")]
fn parent_and_child_go_on_apart() {
    guarded("parent_and_child_go_on_apart", || {
        let started = spawn(async { sleep(Duration::from_millis(5)).await.map(|()| 3) });
        run(sleep(Duration::from_millis(1))).expect("the loop is there");
        // SAFETY: the child only uses this loop and leaves by `_exit`; the allocator takes care of itself
        // over a fork.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Child => {
                // The watchdog's thread stays behind.
                nix::unistd::alarm::set(60);
                let right = after_fork().is_ok() && run(started).is_ok_and(|value| value == 3);
                // SAFETY: it ends the process and returns nothing.
                unsafe { libc::_exit(if right { 42 } else { 1 }) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(run(started).expect("slept"), 3);
                run(sleep(Duration::from_millis(5))).expect("slept");
                assert_eq!(waitpid(child, None).expect("waitpid"), WaitStatus::Exited(child, 42));
            }
        }
    });
}
