//! Notifications, signals and children on every engine, on one that is exchanged, and in a simulation.

use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use lwt_core::{Error, wait};
use lwt_unix::engine::set_engine;
use lwt_unix::entry::guarded;
use lwt_unix::notification::{make_notification, make_notification_once, send_notification};
use lwt_unix::process::{Pid, Status, WaitFlags, waitpid};
use lwt_unix::signal::{self, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, handle_signal, on_signal};
use lwt_unix::sim::{self, Sim};
use lwt_unix::{run, sleep};

mod engine_support;
use engine_support::{ENGINES, on_each};

/// A send from another thread while the loop sleeps.
async fn rung() -> Result<(), Error> {
    let (promise, resolver) = wait();
    let notification = make_notification_once(move || resolver.wakeup(()))?;
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_micros(300));
        send_notification(notification)
    });
    promise.await?;
    assert_eq!(sender.join().expect("it ends"), Ok(()));
    Ok(())
}

#[test]
fn on_each_engine() {
    on_each("on_each_engine", || {
        run(async {
            for _ in 0..50 {
                rung().await?;
            }
            let next = signal::next(SIGUSR1);
            // SAFETY: it touches no memory.
            assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) }, 0);
            assert_eq!(next.await?, SIGUSR1);
            let children: Vec<_> = (0..5)
                .map(|code| Command::new("/bin/sh").args(["-c", &format!("exit {code}")]).spawn())
                .collect::<Result<_, _>>()?;
            for (code, child) in (0..).zip(&children) {
                let pid = Pid::from(child);
                assert_eq!(waitpid(WaitFlags::NONE, pid).await?, Some((pid, Status::Exited(code))));
            }
            Ok::<_, Error>(())
        })
        .expect("it succeeds");
    });
}

#[test]
fn an_engine_that_is_exchanged_takes_them_over() {
    guarded("an_engine_that_is_exchanged", || {
        let calls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&calls);
        let notification = make_notification(move || seen.set(seen.get() + 1)).expect("a notification");
        let handler = on_signal(SIGUSR2, |_| ()).expect("a handler");
        for round in 1..=6 {
            // Before the exchange, and after it.
            send_notification(notification).expect("it is there");
            let (_, make) = ENGINES[round % ENGINES.len()];
            set_engine(make()).expect("an exchange");
            let calls = Rc::clone(&calls);
            run(async move {
                while calls.get() < round {
                    sleep(Duration::from_micros(300)).await?;
                }
                let next = signal::next(SIGUSR2);
                handle_signal(SIGUSR2);
                next.await?;
                rung().await
            })
            .expect("it is called");
        }
        handler.disable();
    });
}

#[test]
fn in_a_simulation_the_thread_itself_may_send() {
    guarded("in_a_simulation", || {
        let told = Sim::new()
            .run(|| async {
                let calls = Rc::new(Cell::new(0));
                let seen = Rc::clone(&calls);
                let notification = make_notification(move || seen.set(seen.get() + 1))?;
                send_notification(notification)?;
                send_notification(notification)?;
                assert_eq!(calls.get(), 0);
                sleep(Duration::from_secs(3600)).await?;
                assert_eq!(calls.get(), 2);
                // Nothing else is there to do: it is no deadlock.
                let next = signal::next(SIGHUP);
                handle_signal(SIGHUP);
                next.await?;
                let next = signal::next(SIGHUP);
                // SAFETY: it touches no memory.
                assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGHUP) }, 0);
                next.await?;
                Ok::<_, Error>(sim::elapsed())
            })
            .expect("it succeeds");
        assert!(told >= Duration::from_secs(3600));
        // And what never comes is one.
        let error =
            Sim::new().run(|| async { signal::next(SIGTERM).await.map(drop) }).expect_err("a deadlock");
        assert!(sim::Deadlock::of(&error).is_some(), "{error:?}");
    });
}
