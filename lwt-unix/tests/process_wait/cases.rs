// What two test binaries have in common: the same waits in both ways.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use lwt_core::{Error, Promise, pick};
use lwt_unix::entry::guarded;
use lwt_unix::process::{
    Pid, Status, WaitFlags, Which, collect, system, wait_by_signal, wait_count, wait4, waitpid,
};
use lwt_unix::signal::{SIGKILL, SIGSTOP, signal_count};
use lwt_unix::{run, sleep};

/// A shell that ends as its standard input says.
fn shell() -> Child {
    wait_by_signal(BY_SIGNAL);
    Command::new("/bin/sh")
        .args(["-c", "read code; exit $code"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell")
}

/// Has such a shell end.
fn end(child: &mut Child, code: u8) {
    let mut stdin = child.stdin.take().expect("it has an input");
    writeln!(stdin, "{code}").expect("it reads");
}

fn kill(pid: Pid, signal: lwt_unix::signal::Signal) {
    // SAFETY: it touches no memory.
    assert_eq!(unsafe { libc::kill(pid.number(), signal.number()) }, 0);
}

fn waits(pid: Pid) -> Promise<Option<(Pid, Status)>> {
    waitpid(WaitFlags::NONE, pid)
}

/// Whether the system has a zombie, or a living child, of this number.
fn is_there(pid: Pid) -> bool {
    // SAFETY: it touches no memory.
    unsafe { libc::kill(pid.number(), 0) == 0 }
}

lwt_unix::test! {
    async fn a_status_comes_with_usage_and_nothing_is_left() -> Result<(), Error> {
        for code in [0, 1, 42, 255] {
            let mut child = shell();
            let pid = Pid::from(&child);
            let waited = wait4(WaitFlags::NONE, pid);
            assert_eq!((waited.is_pending(), wait_count()), (true, 1));
            assert_eq!(signal_count(), usize::from(BY_SIGNAL));
            end(&mut child, code);
            let waited = waited.await?.expect("it has ended");
            assert_eq!((waited.pid, waited.status), (pid, Status::Exited(i32::from(code))));
            assert_eq!(waited.status.success(), code == 0);
            assert!(waited.usage.max_resident > 0);
            assert!(!is_there(pid));
            assert_eq!((wait_count(), signal_count()), (0, 0));
        }
        Ok(())
    }

    async fn one_that_has_ended_is_told_of_at_once() -> Result<(), Error> {
        let mut child = shell();
        let pid = Pid::from(&child);
        end(&mut child, 7);
        // Until it is a zombie.
        let told = loop {
            if let Some(told) = waitpid(WaitFlags::NOHANG, pid).await? {
                break told;
            }
            sleep(Duration::from_micros(300)).await?;
        };
        assert_eq!(told, (pid, Status::Exited(7)));
        let error = waits(pid).await.expect_err("the number is free");
        assert!(error.to_string().contains("wait4"), "{error}");
        Ok(())
    }

    async fn a_signal_that_ends_it_is_told() -> Result<(), Error> {
        let child = shell();
        let pid = Pid::from(&child);
        let waited = waits(pid);
        kill(pid, SIGKILL);
        assert_eq!(waited.await?, Some((pid, Status::Signaled { signal: SIGKILL, core: false })));
        Ok(())
    }

    async fn a_stop_is_told_to_those_who_ask_for_it() -> Result<(), Error> {
        let mut child = shell();
        let pid = Pid::from(&child);
        let (ends, stops) = (waits(pid), waitpid(WaitFlags::UNTRACED, pid));
        kill(pid, SIGSTOP);
        assert_eq!(stops.await?, Some((pid, Status::Stopped(SIGSTOP))));
        assert!(ends.is_pending());
        let again = waitpid(WaitFlags::UNTRACED, pid);
        kill(pid, lwt_unix::signal::SIGCONT);
        end(&mut child, 5);
        assert_eq!(again.await?, Some((pid, Status::Exited(5))));
        assert_eq!(ends.await?, Some((pid, Status::Exited(5))));
        Ok(())
    }

    async fn all_who_wait_are_told() -> Result<(), Error> {
        let mut child = shell();
        let pid = Pid::from(&child);
        let all: Vec<_> = (0..5).map(|_| waits(pid)).collect();
        end(&mut child, 3);
        for promise in all {
            assert_eq!(promise.await?, Some((pid, Status::Exited(3))));
        }
        Ok(())
    }

    async fn a_wait_that_was_given_up_leaves_the_child() -> Result<(), Error> {
        let mut child = shell();
        let pid = Pid::from(&child);
        let cancelled = waits(pid);
        drop(waits(pid));
        assert_eq!(wait_count(), 1);
        cancelled.cancel();
        assert!(cancelled.await.expect_err("cancelled").is_canceled());
        assert_eq!((wait_count(), signal_count()), (0, 0));
        end(&mut child, 9);
        // Nobody takes note of its end meanwhile.
        sleep(Duration::from_millis(30)).await?;
        assert!(is_there(pid));
        assert_eq!(waits(pid).await?, Some((pid, Status::Exited(9))));
        Ok(())
    }

    async fn a_wait_may_lose_a_race() -> Result<(), Error> {
        let mut child = shell();
        let pid = Pid::from(&child);
        let late = sleep(Duration::from_millis(2)).map(|()| None);
        assert_eq!(pick([waits(pid), late]).await?, None);
        assert_eq!(wait_count(), 0);
        end(&mut child, 1);
        assert_eq!(waits(pid).await?, Some((pid, Status::Exited(1))));
        Ok(())
    }

    async fn who_is_no_child_is_refused() -> Result<(), Error> {
        wait_by_signal(BY_SIGNAL);
        for which in [Pid::this(), Pid::from(1), Pid::from(i32::MAX)] {
            assert!(waits(which).await.is_err());
        }
        assert_eq!((wait_count(), signal_count()), (0, 0));
        assert_eq!(Which::from(-1), Which::Any);
        assert_eq!(Which::from(-7), Which::Group(Pid::from(7)));
        Ok(())
    }

    async fn what_others_wait_for_is_left_to_them() -> Result<(), Error> {
        let (mut ours, mut theirs) = (shell(), shell());
        end(&mut theirs, 4);
        end(&mut ours, 6);
        let pid = Pid::from(&ours);
        assert_eq!(waits(pid).await?, Some((pid, Status::Exited(6))));
        assert_eq!(theirs.wait()?.code(), Some(4));
        Ok(())
    }

    async fn many_at_once() -> Result<(), Error> {
        let mut children: Vec<_> = (0..40).map(|_| shell()).collect();
        let all: Vec<_> = children.iter().map(|child| waits(Pid::from(child))).collect();
        for (code, child) in (0..40).zip(&mut children).rev() {
            end(child, code);
        }
        for (code, promise) in (0..).zip(all) {
            assert_eq!(promise.await?.expect("it has ended").1, Status::Exited(code));
        }
        Ok(())
    }

    async fn a_command_line() -> Result<(), Error> {
        wait_by_signal(BY_SIGNAL);
        assert_eq!(system("exit 42").await?, Status::Exited(42));
        assert_eq!(system("kill -9 $$").await?, Status::Signaled { signal: SIGKILL, core: false });
        assert_eq!(system("/no/such/command 2>/dev/null").await?, Status::Exited(127));
        Ok(())
    }

    async fn what_nobody_waits_for_may_be_collected() -> Result<(), Error> {
        let mut child = shell();
        let pid = Pid::from(&child);
        collect(pid);
        drop(system("true"));
        end(&mut child, 1);
        while wait_count() > 0 {
            sleep(Duration::from_micros(300)).await?;
        }
        assert!(!is_there(pid));
        Ok(())
    }
}

#[test]
fn loops_of_several_threads_are_all_told() {
    guarded("loops_of_several_threads_are_all_told", || {
        for _ in 0..20 {
            let mut child = shell();
            let pid = Pid::from(&child);
            let begun = Barrier::new(4);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let waited = waits(pid);
                        begun.wait();
                        assert_eq!(run(waited).expect("told"), Some((pid, Status::Exited(2))));
                    });
                }
                begun.wait();
                end(&mut child, 2);
            });
        }
    });
}

#[test]
fn a_loop_that_ends_leaves_its_children_to_others() {
    guarded("a_loop_that_ends_leaves_its_children", || {
        let mut child = shell();
        let pid = Pid::from(&child);
        let (tells, told) = mpsc::channel();
        thread::spawn(move || {
            waits(pid).on_any(move |told| tells.send(told.is_err_and(Error::is_abandoned)).expect("heard"));
            run(sleep(Duration::from_micros(100))).expect("slept");
        })
        .join()
        .expect("it ends");
        assert_eq!(told.recv(), Ok(true));
        end(&mut child, 8);
        assert_eq!(run(waits(pid)).expect("told"), Some((pid, Status::Exited(8))));
    });
}
