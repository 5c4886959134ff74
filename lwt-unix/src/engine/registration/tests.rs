//! Tests of registrations, with the loop around them.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Promise, join, pause, spawn};

use super::*;
use crate::entry::guarded;
use crate::{loop_stats, run, sleep};

/// A registered stream, and the other end.
fn pair() -> (UnixStream, Registration, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("pair");
    ours.set_nonblocking(true).expect("non-blocking");
    let registration = Registration::new(ours.as_raw_fd()).expect("register");
    (ours, registration, theirs)
}

/// Lets the loop see what there is.
fn settle() {
    run(sleep(Duration::from_millis(2))).expect("slept");
}

#[test]
fn it_begins_ready_and_waits_after_a_clear() {
    guarded("it_begins_ready", || {
        let (_ours, registration, mut theirs) = pair();
        for direction in [Direction::Read, Direction::Write] {
            assert!(registration.is_ready(direction));
            assert!(!registration.wait(direction).is_pending());
        }
        // The first report, that it is writable, is made for the registration itself.
        settle();
        registration.clear(Direction::Read);
        let waits = registration.wait(Direction::Read);
        settle();
        assert!(waits.is_pending() && registration.is_ready(Direction::Write));
        theirs.write_all(b"x").expect("write");
        run(waits).expect("readable");
        assert!(registration.is_ready(Direction::Read));
    });
}

#[test]
fn an_end_outlasts_a_short_count_but_not_a_clear() {
    guarded("an_end_outlasts_a_short_count", || {
        let (mut ours, registration, mut theirs) = pair();
        settle();
        registration.drained(Direction::Read);
        assert!(!registration.is_ready(Direction::Read));
        theirs.write_all(b"last").expect("write");
        drop(theirs);
        run(registration.wait(Direction::Read)).expect("readable");
        assert_eq!(ours.read(&mut [0; 64]).expect("read"), 4);
        registration.drained(Direction::Read);
        assert!(registration.is_ready(Direction::Read), "the end of file would never be seen");
        assert_eq!(ours.read(&mut [0; 64]).expect("read"), 0);
        registration.clear(Direction::Read);
        assert!(!registration.is_ready(Direction::Read));
    });
}

#[test]
fn all_who_wait_are_woken_in_order() {
    guarded("all_who_wait_are_woken_in_order", || {
        let (_ours, registration, mut theirs) = pair();
        settle();
        registration.clear(Direction::Read);
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut waits: Vec<_> = (0..10)
            .map(|number| {
                let order = Rc::clone(&order);
                registration.wait(Direction::Read).map(move |()| order.borrow_mut().push(number))
            })
            .collect();
        // A hole in the middle, filled by a late comer.
        waits.remove(4).cancel();
        waits.push(registration.wait(Direction::Read).map({
            let order = Rc::clone(&order);
            move |()| order.borrow_mut().push(10)
        }));
        theirs.write_all(b"x").expect("write");
        run(join(waits)).expect("woken");
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]);
    });
}

#[test]
fn waits_that_are_cancelled_or_dropped_are_swept_out() {
    guarded("waits_that_are_cancelled_or_dropped", || {
        let (_ours, registration, _theirs) = pair();
        settle();
        registration.clear(Direction::Read);
        let waiting = || registration.0.reading.borrow().len();
        let cancelled = registration.wait(Direction::Read);
        let dropped = registration.wait(Direction::Read);
        assert_eq!(waiting(), 2);
        cancelled.cancel();
        drop(dropped);
        for _ in 0..1000 {
            drop(registration.wait(Direction::Read));
            assert_eq!(waiting(), 1);
        }
        assert!(registration.0.reading.borrow().capacity() < 10);
        assert!(run(cancelled).expect_err("cancelled").is_canceled());
    });
}

#[test]
fn a_close_rejects_those_who_wait_and_those_who_come() {
    guarded("a_close_rejects", || {
        let (ours, registration, _theirs) = pair();
        settle();
        registration.clear(Direction::Read);
        let waits = registration.wait(Direction::Read);
        assert_eq!(loop_stats().descriptors, 1);
        registration.close(io::Error::from(ErrorKind::NotConnected).into());
        registration.close(Error::msg("too late"));
        assert_eq!(loop_stats().descriptors, 0);
        for wait in [waits, registration.wait(Direction::Read), registration.wait(Direction::Write)] {
            assert_eq!(run(wait).expect_err("closed").io_kind(), Some(ErrorKind::NotConnected));
        }
        // The number may be registered again.
        let again = Registration::new(ours.as_raw_fd()).expect("register");
        drop(registration);
        assert_eq!(loop_stats().descriptors, 1);
        drop(again);
        assert_eq!(loop_stats().descriptors, 0);
    });
}

#[test]
fn a_callback_may_close_and_drop_what_it_waited_for() {
    guarded("a_callback_may_close", || {
        let (_ours, registration, mut theirs) = pair();
        settle();
        registration.clear(Direction::Read);
        registration.clear(Direction::Write);
        let registration = Rc::new(registration);
        let (first, second) = (registration.wait(Direction::Read), registration.wait(Direction::Read));
        let write = registration.wait(Direction::Write);
        let closes = first.map({
            let registration = Rc::clone(&registration);
            move |()| registration.close(Error::msg("closed inside"))
        });
        drop(registration);
        theirs.write_all(b"x").expect("write");
        run(closes).expect("readable");
        // It was on the way to this one already.
        run(second).expect("woken");
        assert_eq!(run(write).expect_err("closed").to_string(), "closed inside");
    });
}

#[test]
fn a_report_for_a_closed_one_does_not_reach_its_successor() {
    guarded("a_report_for_a_closed_one", || {
        let runtime = Runtime::current().expect("runtime");
        let (ours, registration, mut theirs) = pair();
        let (_, old) = registration.0.place();
        theirs.write_all(b"x").expect("write");
        registration.close(Error::msg("closed"));
        drop(ours);
        let (_next, registration, _other) = pair();
        let (_, new) = registration.0.place();
        assert_eq!(old.index(), new.index());
        assert_ne!(old, new);
        settle();
        registration.clear(Direction::Read);
        assert!(runtime.source(old).is_none() && runtime.source(new).is_some());
        settle();
        assert!(!registration.is_ready(Direction::Read));
    });
}

#[test]
fn what_is_always_ready_cannot_be_registered() {
    guarded("what_is_always_ready", || {
        let file = std::fs::File::open("/proc/self/exe").expect("open");
        let error = Registration::new(file.as_raw_fd()).expect_err("a regular file");
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        let (ours, _registration, _theirs) = pair();
        let error = Registration::new(ours.as_raw_fd()).expect_err("twice");
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        assert_eq!(loop_stats().descriptors, 1);
    });
}

#[test]
fn a_task_that_never_stops_does_not_starve_descriptors() {
    guarded("a_task_that_never_stops", || {
        let (mut ours, registration, mut theirs) = pair();
        let stop = Rc::new(Cell::new(false));
        let busy = spawn({
            let stop = Rc::clone(&stop);
            async move {
                while !stop.get() {
                    pause().await?;
                }
                Ok::<_, Error>(())
            }
        });
        let echo = spawn(async move {
            for _ in 0..20 {
                let mut byte = [0];
                while let Err(error) = ours.read(&mut byte) {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    registration.clear(Direction::Read);
                    registration.wait(Direction::Read).await?;
                }
                ours.write_all(&byte).expect("there is room");
            }
            Ok::<_, Error>(())
        });
        let other = std::thread::spawn(move || {
            for _ in 0..20 {
                theirs.write_all(b"x").expect("write");
                theirs.read_exact(&mut [0]).expect("read");
            }
        });
        run(echo).expect("echo");
        other.join().expect("join");
        stop.set(true);
        run(busy).expect("stopped");
    });
}

#[test]
fn the_end_of_the_loop_rejects_those_who_wait() {
    guarded("the_end_of_the_loop_rejects", || {
        let outlives = std::thread::spawn(|| {
            thread_local! {
                static KEPT: RefCell<Option<(UnixStream, Registration, Promise<()>)>> = const { RefCell::new(None) };
            }
            // A thread-local that is older than the loop's ends after it, or before; both must be right.
            KEPT.with(|_| ());
            let (ours, registration, _theirs) = pair();
            registration.clear(Direction::Read);
            let wait = registration.wait(Direction::Read);
            wait.on_any(|_| ());
            KEPT.set(Some((ours, registration, wait)));
        });
        outlives.join().expect("it ends without a panic");
    });
}
