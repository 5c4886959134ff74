//! Forks: parent and child go on apart. Without the usual harness, because that has threads; each test runs
//! in a child of its own, made by the very function.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, pause, spawn, task};
use lwt_unix::fd::Fd;
use lwt_unix::notification::{make_notification, send_notification};
use lwt_unix::process::{
    CannotFork, Fork, Lent, Status, WaitFlags, fork, fork_beside_threads, wait_by_signal, wait_count, waitpid,
};
use lwt_unix::signal::{self, SIGUSR1, SIGUSR2, on_signal, signal_count};
use lwt_unix::time::{LongTimeout, interval};
use lwt_unix::{at_exit, detach, exit_hooks, job, loop_stats, run, sleep};

mod fork_support;
use fork_support::{Test, blocking_wait, both, everything, leave, raise, run_all, watched};

const TESTS: &[(&str, Test)] = &[
    ("the child has timers, sockets and jobs", the_child_has_timers_sockets_and_jobs),
    ("the parent's events are not disturbed", the_parents_events_are_not_disturbed),
    ("a task forks", a_task_forks),
    ("other threads are a reason to refuse", other_threads_are_a_reason_to_refuse),
    ("what is lent is a reason to refuse", what_is_lent_is_a_reason_to_refuse),
    ("jobs are a reason to refuse, and abandoned", jobs_are_a_reason_to_refuse_and_abandoned),
    ("idle job threads are none", idle_job_threads_are_none),
    ("what was sent before is the parent's", what_was_sent_before_is_the_parents),
    ("handlers stay", handlers_stay),
    ("children and exit hooks are the parent's", children_and_exit_hooks_are_the_parents),
    ("children have children", children_have_children),
    ("time-outs come in both", time_outs_come_in_both),
    ("hooks that panic as they go are no obstacle", hooks_that_panic_as_they_go),
    ("a storm of forks", a_storm_of_forks),
];

fn main() {
    run_all(TESTS);
}

fn the_child_has_timers_sockets_and_jobs() -> Result<(), Error> {
    // A loop that has been used, and one that has not.
    both(everything, everything)?;
    run(sleep(Duration::from_millis(1)))?;
    both(everything, everything)?;
    both(everything, everything)
}

fn the_parents_events_are_not_disturbed() -> Result<(), Error> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let ours = Fd::new(ours.into())?;
    let reader = {
        let ours = ours.clone();
        spawn(async move {
            let mut all = Vec::new();
            let mut buf = [0; 64];
            loop {
                let n = ours.read(&mut buf).await?;
                if n == 0 {
                    return Ok::<_, Error>(all);
                }
                all.extend_from_slice(&buf[..n]);
            }
        })
    };
    let timer = sleep(Duration::from_millis(10));
    // It waits for the descriptor.
    run(sleep(Duration::from_millis(1)))?;
    for _ in 0..5 {
        let (reader, timer) = (&reader, &timer);
        both(
            // Closes its copy of the descriptor, which is registered with its own engine only.
            || {
                reader.cancel();
                ours.close()?;
                assert_eq!(loop_stats().descriptors, 0);
                run(timer.clone())
            },
            || {
                theirs.write_all(b"abc")?;
                run(sleep(Duration::from_millis(3)))
            },
        )?;
    }
    drop(theirs);
    assert_eq!(run(reader)?, b"abc".repeat(5));
    run(timer)
}

fn a_task_forks() -> Result<(), Error> {
    let (go, resolver) = task::<()>();
    // Another task, that is woken and has not run, and one that has paused.
    let woken = spawn(async move { go.await.map(|()| 1) });
    let paused = spawn(async { pause().await });
    let forked = run(async move {
        resolver.wakeup(());
        fork()
    })?;
    match forked {
        Fork::Child => {
            let abandoned = run(paused).is_err_and(|error| error.is_abandoned());
            leave(if run(woken)? == 1 && abandoned {
                everything()
            } else {
                Err(Error::msg("it goes on otherwise"))
            })
        }
        Fork::Parent(child) => {
            assert_eq!(run(woken)?, 1);
            run(paused)?;
            everything()?;
            assert_eq!(run(waitpid(WaitFlags::NONE, child))?, Some((child, Status::Exited(0))));
            Ok(())
        }
    }
}

fn other_threads_are_a_reason_to_refuse() -> Result<(), Error> {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _ = wait.recv();
    });
    let error = fork().expect_err("there is another thread");
    assert_eq!(error.downcast_ref::<CannotFork>(), Some(&CannotFork::Threads(1)));
    // SAFETY: the other thread is asleep, or about to be, in a channel that nobody else uses.
    match unsafe { fork_beside_threads() }? {
        Fork::Child => leave(everything()),
        Fork::Parent(child) => assert_eq!(blocking_wait(child), Status::Exited(0)),
    }
    drop(go);
    thread.join().map_err(Error::from_panic)
}

fn what_is_lent_is_a_reason_to_refuse() -> Result<(), Error> {
    let lent = [Lent::new(), Lent::new()];
    let error = fork().expect_err("something is lent");
    assert_eq!(error.downcast_ref::<CannotFork>(), Some(&CannotFork::Lent(2)));
    drop(lent);
    match fork()? {
        Fork::Child => leave(everything()),
        Fork::Parent(child) => assert_eq!(blocking_wait(child), Status::Exited(0)),
    }
    Ok(())
}

fn jobs_are_a_reason_to_refuse_and_abandoned() -> Result<(), Error> {
    let (mut wakes, waits) = UnixStream::pair()?;
    let mut waits = waits;
    let job = detach(move || {
        let mut buf = [0];
        waits.read_exact(&mut buf).map(|()| buf[0])
    });
    let error = fork().expect_err("a job is going on");
    assert_eq!(error.downcast_ref::<CannotFork>(), Some(&CannotFork::Jobs(1)));
    // SAFETY: the job's thread is asleep, or about to be, in a read.
    match unsafe { fork_beside_threads() }? {
        Fork::Child => {
            assert_eq!(job::pool().stats().threads, 0);
            let error = run(job).expect_err("it is the parent's");
            assert!(error.is_canceled() || error.is_abandoned(), "{error:?}");
            leave(everything())
        }
        Fork::Parent(child) => {
            assert_eq!(run(waitpid(WaitFlags::NONE, child))?, Some((child, Status::Exited(0))));
            wakes.write_all(&[7])?;
            assert_eq!(run(job)??, 7);
            everything()
        }
    }
}

fn idle_job_threads_are_none() -> Result<(), Error> {
    everything()?;
    for _ in 0..20 {
        assert!(job::pool().stats().threads > 0);
        both(everything, everything)?;
    }
    Ok(())
}

fn what_was_sent_before_is_the_parents() -> Result<(), Error> {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&calls);
    let notification = make_notification(move || seen.borrow_mut().push("notification"))?;
    let seen = Rc::clone(&calls);
    let handler = on_signal(SIGUSR1, move |_| seen.borrow_mut().push("signal"))?;
    send_notification(notification)?;
    signal::handle_signal(SIGUSR1);
    both(
        || {
            run(sleep(Duration::from_millis(5)))?;
            assert!(calls.borrow().is_empty());
            // And what comes now is the child's.
            send_notification(notification)?;
            signal::handle_signal(SIGUSR1);
            run(sleep(Duration::from_millis(5)))?;
            assert_eq!(*calls.borrow(), ["notification", "signal"]);
            Ok(())
        },
        || {
            run(sleep(Duration::from_millis(20)))?;
            assert_eq!(*calls.borrow(), ["notification", "signal"]);
            Ok(())
        },
    )?;
    handler.disable();
    Ok(())
}

fn handlers_stay() -> Result<(), Error> {
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    on_signal(SIGUSR1, move |_| seen.set(seen.get() + 1))?;
    // Another loop's handler is not there in the child, and the signal does what it did without it.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (ready, begun) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let handler = on_signal(SIGUSR2, |_| ());
        let _ = ready.send(());
        let _ = wait.recv();
        handler.map(|handler| handler.disable()).is_ok()
    });
    let _ = begun.recv();
    let comes = |calls: &Rc<Cell<i32>>| {
        raise(SIGUSR1);
        let calls = Rc::clone(calls);
        run(async move {
            while calls.get() == 0 {
                sleep(Duration::from_micros(300)).await?;
            }
            Ok::<_, Error>(())
        })
    };
    // SAFETY: the other thread is asleep, or about to be, in a channel.
    match unsafe { fork_beside_threads() }? {
        Fork::Child => {
            let outcome = comes(&calls);
            if outcome.is_ok() {
                raise(SIGUSR2);
            }
            leave(outcome)
        }
        Fork::Parent(child) => {
            assert_eq!(blocking_wait(child), Status::Signaled { signal: SIGUSR2, core: false });
            comes(&calls)?;
            assert_eq!(calls.get(), 1);
        }
    }
    drop(go);
    assert!(thread.join().map_err(Error::from_panic)?);
    Ok(())
}

fn children_and_exit_hooks_are_the_parents() -> Result<(), Error> {
    let hooked = Rc::new(Cell::new(false));
    let seen = Rc::clone(&hooked);
    at_exit(move || {
        seen.set(true);
        std::future::ready(Ok::<_, Error>(()))
    });
    for by_signal in [false, true] {
        wait_by_signal(by_signal);
        let Fork::Parent(sibling) = fork()? else {
            run(sleep(Duration::from_millis(15)))?;
            leave(Ok(()))
        };
        let waited = waitpid(WaitFlags::NONE, sibling);
        run(sleep(Duration::from_micros(100)))?;
        let (again, hooked) = (waited.clone(), Rc::clone(&hooked));
        both(
            move || {
                assert_eq!(wait_count(), 0);
                assert_eq!(signal_count(), 0);
                assert!(run(again).is_err());
                assert!(run(waitpid(WaitFlags::NONE, sibling)).is_err());
                run(exit_hooks().run())?;
                assert!(!hooked.get());
                everything()
            },
            || Ok(()),
        )?;
        assert_eq!(run(waited)?, Some((sibling, Status::Exited(0))));
    }
    run(exit_hooks().run())?;
    assert!(hooked.get());
    Ok(())
}

fn children_have_children() -> Result<(), Error> {
    fn down(levels: u32) -> Result<(), Error> {
        everything()?;
        if levels == 0 {
            return Ok(());
        }
        both(|| down(levels - 1), everything)
    }
    down(4)
}

fn time_outs_come_in_both() -> Result<(), Error> {
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    let timeout = LongTimeout::create(Duration::from_millis(5), move || seen.set(seen.get() + 1));
    timeout.start();
    let mut beat = interval(Duration::from_millis(2));
    run(sleep(Duration::from_millis(1)))?;
    let comes = || {
        let (calls, timeout, mut beat) = (Rc::clone(&calls), timeout.clone(), beat.clone());
        run(async move {
            while calls.get() < 3 {
                beat.tick().await?;
                if !timeout.is_running() {
                    timeout.start();
                }
            }
            Ok::<_, Error>(())
        })
    };
    both(comes, comes)?;
    run(async move { beat.tick().await.map(drop) })
}

fn hooks_that_panic_as_they_go() -> Result<(), Error> {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    let panics = Panics;
    at_exit(move || {
        std::mem::forget(panics);
        std::future::ready(Ok::<_, Error>(()))
    });
    both(
        || {
            assert_eq!(signal_count(), 0);
            everything()
        },
        everything,
    )?;
    run(exit_hooks().run())
}

fn a_storm_of_forks() -> Result<(), Error> {
    let timers: Vec<_> = (0..50).map(|number| sleep(Duration::from_micros(number * 200))).collect();
    let mut children = Vec::new();
    for number in 0..60 {
        match fork()? {
            Fork::Child => {
                watched();
                let outcome = run(sleep(Duration::from_micros(number * 50)));
                leave(outcome.and_then(|()| everything()))
            }
            Fork::Parent(child) => children.push(waitpid(WaitFlags::NONE, child)),
        }
    }
    for child in children {
        assert!(run(child)?.is_some_and(|(_, status)| status.success()));
    }
    for timer in timers {
        run(timer)?;
    }
    Ok(())
}
