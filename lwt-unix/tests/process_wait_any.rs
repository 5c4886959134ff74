//! Waiting for any child. A binary of its own, because it takes all children of its process; one test, for
//! the same reason.

#![allow(clippy::zombie_processes, reason = "what waits for them is what is tested")]

use std::process::{Child, Command};
use std::time::Duration;

use lwt_core::Error;
use lwt_unix::process::{Pid, Status, WaitFlags, Which, wait, wait_by_signal, wait_count, wait4, waitpid};
use lwt_unix::signal::signal_count;
use lwt_unix::sleep;

fn child(code: i32) -> Child {
    Command::new("/bin/sh").args(["-c", &format!("exit {code}")]).spawn().expect("a shell")
}

fn sorted(mut told: Vec<(Pid, Status)>) -> Vec<(Pid, Status)> {
    told.sort_by_key(|(pid, _)| *pid);
    told
}

lwt_unix::test! {
    async fn any_child() -> Result<(), Error> {
        // None is there.
        assert!(wait().await.is_err());
        assert!(waitpid(WaitFlags::NOHANG, Which::Any).await.is_err());
        assert_eq!(signal_count(), 0);

        // Each who waits gets another one.
        let keeps = Command::new("sleep").arg("1000").spawn()?;
        let (first, second, third) = (wait(), wait(), wait());
        assert_eq!((wait_count(), signal_count()), (3, 1));
        let started: Vec<_> = [1, 2].map(|code| (Pid::from(&child(code)), Status::Exited(code))).into();
        assert_eq!(sorted(vec![first.await?, second.await?]), sorted(started));
        assert!(third.is_pending());

        // Who has gone takes none along.
        third.cancel();
        assert!(third.await.is_err());
        assert_eq!((wait_count(), signal_count()), (0, 0));
        let late = Pid::from(&child(3));
        sleep(Duration::from_millis(20)).await?;
        let told = wait4(WaitFlags::NONE, 0).await?.map(|told| (told.pid, told.status));
        assert_eq!(told, Some((late, Status::Exited(3))));

        // One that is waited for by number is told to both.
        for by_signal in [false, true] {
            wait_by_signal(by_signal);
            let any = wait();
            let pid = Pid::from(&child(4));
            let named = waitpid(WaitFlags::NONE, pid);
            assert_eq!(named.await?, Some((pid, Status::Exited(4))));
            if let Some(told) = waitpid(WaitFlags::NOHANG, Which::Any).await? {
                panic!("{told:?} was there");
            }
            // It is told of the next one at the latest.
            let next = Pid::from(&child(5));
            let told = any.await?;
            assert!(told == (pid, Status::Exited(4)) || told == (next, Status::Exited(5)), "{told:?}");
            if told.0 == pid {
                assert_eq!(waitpid(WaitFlags::NONE, next).await?, Some((next, Status::Exited(5))));
            }
        }

        // SAFETY: it touches no memory.
        assert_eq!(unsafe { libc::kill(Pid::from(&keeps).number(), libc::SIGTERM) }, 0);
        assert_eq!(wait().await?.0, Pid::from(&keeps));
        assert!(wait().await.is_err());
        Ok(())
    }
}
