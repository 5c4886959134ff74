//! What the system may refuse to signals, notifications and processes.

#![allow(clippy::zombie_processes, reason = "what waits for them is what is tested")]

use std::process::Command;

use lwt_core::Error;
use lwt_unix::entry::guarded;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::OsError;
use lwt_unix::notification::{make_notification_once, send_notification};
use lwt_unix::process::{Fork, Pid, Status, WaitFlags, fork_beside_threads, system, wait_count, waitpid};
use lwt_unix::run;
use lwt_unix::signal::{self, SIGUSR1, handle_signal, on_signal, signal_count};

fn child() -> Pid {
    Pid::from(&Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().expect("a shell"))
}

/// The call that failed, and how.
fn failed<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, Option<i32>) {
    let error = result.expect_err("it was refused");
    let os = OsError::of(&error).expect("by the system");
    (os.call().to_owned(), os.raw_os_error())
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_descriptor_of_the_process_it_goes_by_signal() {
    guarded("without_a_descriptor_of_the_process", || {
        for refusal in [libc::ENOSYS, libc::EPERM, libc::EMFILE, libc::ENOMEM] {
            let faults = Plan::default().with(Rule::on(["pidfd_open"]).error(refusal)).install();
            let pid = child();
            let told = run(async move {
                let wait = waitpid(WaitFlags::NONE, pid);
                // It may have ended by now.
                assert!(signal_count() == usize::from(wait.is_pending()));
                wait.await
            });
            drop(faults);
            assert_eq!(told.expect("told"), Some((pid, Status::Exited(3))));
            assert_eq!((wait_count(), signal_count()), (0, 0));
        }
    });
}

#[test]
fn an_interrupted_wait_is_asked_again_and_a_refused_one_is_told() {
    guarded("an_interrupted_wait", || {
        let faults = Plan::default().with(Rule::on(["wait4"]).interrupted(5)).install();
        let pid = child();
        assert_eq!(run(waitpid(WaitFlags::NONE, pid)).expect("told"), Some((pid, Status::Exited(3))));
        drop(faults);
        let pid = child();
        let faults = Plan::default().with(Rule::on(["wait4"]).error(libc::ECHILD)).install();
        assert_eq!(failed(run(waitpid(WaitFlags::NONE, pid))), ("wait4".to_owned(), Some(libc::ECHILD)));
        drop(faults);
        // It can be waited for again.
        assert_eq!(run(waitpid(WaitFlags::NONE, pid)).expect("told"), Some((pid, Status::Exited(3))));
        assert_eq!(run(system("exit 4")).expect("told"), Status::Exited(4));
    });
}

#[test]
fn no_bell_is_an_error_and_the_next_one_is_made() {
    guarded("no_bell_is_an_error", || {
        for _ in 0..3 {
            let faults = Plan::default().with(Rule::on(["eventfd"]).error(libc::EMFILE)).install();
            // A bell of a loop that has ended may be there, and then none has to be made.
            let refused = make_notification_once(|| ()).is_err();
            assert_eq!(refused, faults.injected() > 0);
            drop(faults);
            run(async {
                let (promise, resolver) = lwt_core::wait();
                let notification = make_notification_once(move || resolver.wakeup(()))?;
                send_notification(notification)?;
                promise.await
            })
            .expect("it is called");
        }
    });
}

#[test]
fn a_handler_that_cannot_be_installed_leaves_nothing() {
    guarded("a_handler_that_cannot_be_installed", || {
        for place in 1..=3 {
            let faults =
                Plan::default().with(Rule::on(["sigaction"]).nth(place).error(libc::EINVAL)).install();
            let made = on_signal(SIGUSR1, |_| ());
            let injected = faults.injected();
            drop(faults);
            match made {
                Ok(handler) => {
                    assert_eq!(injected, 0);
                    handler.disable();
                }
                Err(error) => assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput)),
            }
            assert_eq!((signal_count(), handle_signal(SIGUSR1)), (0, false));
        }
        let next = signal::next(SIGUSR1);
        assert!(handle_signal(SIGUSR1));
        assert_eq!(run(next).expect("it comes"), SIGUSR1);
    });
}

#[test]
fn an_interrupted_fork_is_one() {
    guarded("an_interrupted_fork", || {
        let faults = Plan::default().with(Rule::any().interrupted(3)).install();
        // SAFETY: the child only ends.
        let forked = unsafe { fork_beside_threads() };
        if matches!(forked, Ok(Fork::Child)) {
            // SAFETY: it runs nothing.
            unsafe { libc::_exit(7) };
        }
        drop(faults);
        let Ok(Fork::Parent(pid)) = forked else { panic!("{forked:?}") };
        assert_eq!(run(waitpid(WaitFlags::NONE, pid)).expect("told"), Some((pid, Status::Exited(7))));
    });
}

#[test]
fn a_fork_that_is_refused_changes_nothing() {
    guarded("a_fork_that_is_refused", || {
        let faults = Plan::default().with(Rule::on(["fork"]).error(libc::EAGAIN)).install();
        // SAFETY: there is none.
        let refused = failed(unsafe { fork_beside_threads() });
        drop(faults);
        assert_eq!(refused, ("fork".to_owned(), Some(libc::EAGAIN)));
        // Signals are let in again.
        let next = signal::next(signal::SIGUSR2);
        // SAFETY: it touches no memory.
        assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) }, 0);
        assert_eq!(run(next).expect("it comes"), signal::SIGUSR2);
    });
}
