//! Forks at awkward moments, and beside other loops: what is refused, what reaches whom, and what the child's
//! callbacks find. See `process_fork` for the harness.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lwt_core::Error;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::Fd;
use lwt_unix::notification::{
    Notification, Stopped, make_notification, send_notification, stop_notification,
};
use lwt_unix::process::{Fork, Pid, Status, fork, fork_beside_threads};
use lwt_unix::signal::{SIGTERM, SIGWINCH, Signal, on_signal};
use lwt_unix::{detach, job, run, sleep};

mod fork_support;
use fork_support::{Test, action, blocking_wait, everything, ignore, leave, raise, run_all, watched};

const TESTS: &[(&str, Test)] = &[
    ("threads that have ended are no reason to refuse", threads_that_have_ended_are_no_reason),
    ("threads of a pool that come up are none", threads_of_a_pool_that_come_up_are_none),
    ("a thread without a loop forks beside one that has", a_thread_without_a_loop_forks),
    ("callbacks in the child find its own engine", callbacks_in_the_child_find_its_own_engine),
    ("a notification's function forks", a_notifications_function_forks),
    ("a bell that cannot be made anew is an error", a_bell_that_cannot_be_made_anew),
];

fn main() {
    run_all(TESTS);
}

fn threads_that_have_ended_are_no_reason() -> Result<(), Error> {
    for _ in 0..300 {
        thread::spawn(|| ()).join().map_err(Error::from_panic)?;
        match fork()? {
            Fork::Child => leave(Ok(())),
            Fork::Parent(child) => assert_eq!(blocking_wait(child), Status::Exited(0)),
        }
    }
    Ok(())
}

fn threads_of_a_pool_that_come_up_are_none() -> Result<(), Error> {
    for _ in 0..100 {
        // The first thread may do all of the jobs, while others are still coming up.
        let pool = job::Pool::new(job::Limits::default());
        let jobs: Vec<_> = (0..4).map(|number| pool.detach(move || number)).collect();
        for (number, job) in (0..).zip(jobs) {
            assert_eq!(run(job)?, number);
        }
        match fork()? {
            Fork::Child => leave(Ok(())),
            Fork::Parent(child) => assert_eq!(blocking_wait(child), Status::Exited(0)),
        }
    }
    Ok(())
}

/// Makes a loop on a thread of its own that listens to signals and has a notification, which it tells.
fn another_loop(signals: &'static [Signal]) -> (mpsc::Receiver<Notification>, thread::JoinHandle<usize>) {
    let (told, tells) = mpsc::channel();
    let thread = thread::spawn(move || {
        let calls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&calls);
        let (end, ended) = (RefCell::new(None), lwt_core::wait());
        *end.borrow_mut() = Some(ended.1);
        let notification = make_notification(move || {
            seen.set(seen.get() + 1);
            end.take().into_iter().for_each(|end: lwt_core::Resolver<()>| end.wakeup(()));
        })
        .expect("a notification");
        let handlers: Vec<_> =
            signals.iter().map(|signal| on_signal(*signal, |_| ()).expect("a handler")).collect();
        told.send(notification).expect("somebody listens");
        run(ended.0).expect("sent");
        handlers.iter().for_each(|handler| handler.disable());
        calls.get()
    });
    (tells, thread)
}

fn a_thread_without_a_loop_forks() -> Result<(), Error> {
    ignore(SIGWINCH);
    let (told, thread) = another_loop(&[SIGTERM, SIGWINCH]);
    let notification = told.recv()?;
    assert_ne!(action(SIGWINCH), libc::SIG_IGN);
    // SAFETY: the other thread is asleep, or about to be.
    match unsafe { fork_beside_threads() }? {
        Fork::Child => {
            watched();
            assert_eq!(send_notification(notification), Err(Stopped));
            // What the other loop put aside is in force again.
            assert_eq!((action(SIGTERM), action(SIGWINCH)), (libc::SIG_DFL, libc::SIG_IGN));
            everything()?;
            raise(SIGTERM);
            leave(Err(Error::msg("it was caught for a loop that is not there")))
        }
        Fork::Parent(child) => {
            assert_eq!(blocking_wait(child), Status::Signaled { signal: SIGTERM, core: false });
        }
    }
    send_notification(notification)?;
    assert_eq!(thread.join().map_err(Error::from_panic)?, 1);
    Ok(())
}

fn callbacks_in_the_child_find_its_own_engine() -> Result<(), Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let (mut wakes, mut waits) = UnixStream::pair()?;
    let job = detach(move || waits.read(&mut [0]).map(drop));
    let place = Rc::new(RefCell::new(Some(ours)));
    let (taken, kept) = (Rc::clone(&place), Rc::new(RefCell::new(None)));
    let keeps = Rc::clone(&kept);
    let me = Pid::this();
    job.on_any(move |_| {
        if Pid::this() != me {
            let ours = taken.take().and_then(|ours| Fd::new(ours.into()).ok());
            *keeps.borrow_mut() = ours.map(|ours| (ours.wait_read(), ours));
            drop(detach(|| ()));
        }
    });
    // SAFETY: the job's thread is asleep, or about to be, in a read.
    match unsafe { fork_beside_threads() }? {
        Fork::Child => {
            watched();
            assert!(kept.borrow().is_some(), "the job was cancelled, and its callback registered the socket");
            run(job::wait_for_jobs())?;
            leave(everything())
        }
        Fork::Parent(child) => {
            assert_eq!(blocking_wait(child), Status::Exited(0));
            // It was the child's engine that knew of it, and not this one.
            let ours = place.take().map(|ours| Fd::new(ours.into())).transpose()?.expect("it is here");
            let readable = ours.wait_read();
            run(sleep(Duration::from_micros(100)))?;
            std::io::Write::write_all(&mut { theirs }, b"x")?;
            run(readable)?;
        }
    }
    std::io::Write::write_all(&mut wakes, b"x")?;
    run(job)??;
    everything()
}

fn a_notifications_function_forks() -> Result<(), Error> {
    let forked = Rc::new(Cell::new(None));
    let calls = Rc::new(Cell::new(0));
    let (told, seen) = (Rc::clone(&forked), Rc::clone(&calls));
    let first = make_notification(move || {
        seen.set(seen.get() + 1);
        if told.get().is_none() {
            told.set(fork().ok());
        }
    })?;
    let (second, third) = (make_notification(|| ())?, make_notification(|| ())?);
    for sent in [first, first, second, third] {
        send_notification(sent)?;
    }
    // It is on its way back when the fork comes.
    stop_notification(second)?;
    run(sleep(Duration::from_millis(2)))?;
    match forked.get() {
        Some(Fork::Child) => {
            watched();
            assert_eq!(calls.get(), 1, "the second send was the parent's");
            let (one, other) = (make_notification(|| ())?, make_notification(|| ())?);
            send_notification(one)?;
            send_notification(other)?;
            leave(everything())
        }
        Some(Fork::Parent(child)) => {
            assert_eq!(blocking_wait(child), Status::Exited(0));
            assert_eq!(calls.get(), 2);
            Ok(())
        }
        None => Err(Error::msg("it could not fork")),
    }
}

fn a_bell_that_cannot_be_made_anew() -> Result<(), Error> {
    let (told, thread) = another_loop(&[]);
    let theirs = told.recv()?;
    let mine = make_notification(|| ())?;
    // SAFETY: the other thread is asleep, or about to be.
    match unsafe { fork_beside_threads() }? {
        Fork::Child => {
            watched();
            send_notification(mine)?;
            let outcome = thread::spawn(|| {
                // The bell of the loop that is not there would be taken over.
                let faults = Plan::default().with(Rule::on(["eventfd"]).error(libc::EMFILE)).install();
                assert!(make_notification(|| ()).is_err());
                assert!(faults.injected() > 0);
                drop(faults);
                let (done, resolver) = lwt_core::wait();
                let resolver = Cell::new(Some(resolver));
                let notification = make_notification(move || {
                    resolver.take().into_iter().for_each(|resolver| resolver.wakeup(()));
                })?;
                send_notification(notification)?;
                run(done)
            });
            leave(outcome.join().unwrap_or_else(|panic| Err(Error::from_panic(panic))))
        }
        Fork::Parent(child) => assert_eq!(blocking_wait(child), Status::Exited(0)),
    }
    send_notification(theirs)?;
    assert_eq!(thread.join().map_err(Error::from_panic)?, 1);
    Ok(())
}
