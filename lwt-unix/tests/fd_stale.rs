//! An event for a closed descriptor never reaches the one that took its number.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use lwt_core::{Error, Promise};
use lwt_unix::fd::Fd;
use net_support::{in_child, run, settle};

mod net_support;

fn pipe() -> Result<(Fd, OwnedFd), Error> {
    let (reader, writer) = std::io::pipe()?;
    Ok((Fd::new(reader.into())?, writer.into()))
}

fn put(fd: &OwnedFd, bytes: &[u8]) {
    // SAFETY: pointer and length are those of one live slice.
    let n = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(n, bytes.len() as isize);
}

/// Puts a fresh pipe's reading end at exactly this number, which must be free.
fn pipe_at(number: RawFd) -> Result<(Fd, OwnedFd), Error> {
    let (reader, writer) = std::io::pipe()?;
    if reader.as_raw_fd() == number {
        return Ok((Fd::new(reader.into())?, writer.into()));
    }
    // SAFETY: `fcntl` takes the lowest free number from `number` on, and owns nothing of ours.
    let moved = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
    assert_eq!(moved, number, "nobody else opens descriptors in this process");
    // SAFETY: the call has just made it.
    let reader = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(moved) };
    Ok((Fd::new(reader)?, writer.into()))
}

/// The new owner of a number: its reading end, its writing end, its wait.
type Swapped = (Fd, OwnedFd, Promise<()>);

/// Two descriptors become readable in the same batch of events. Whichever is told first closes the other, so
/// that the other's event is under way already, and puts a new, empty pipe at its number.
#[test]
fn an_event_that_was_under_way_is_dropped() {
    in_child("an_event_that_was_under_way_is_dropped", || {
        run(async {
            for _ in 0..20 {
                let (left, left_writer) = pipe()?;
                let (right, right_writer) = pipe()?;
                let swapped: Rc<RefCell<Option<Swapped>>> = Rc::default();
                let told = Rc::new(Cell::new(0));
                let mut waits = Vec::new();
                for (mine, other) in [(&left, &right), (&right, &left)] {
                    let (other, swapped, told) = (other.clone(), swapped.clone(), told.clone());
                    let wait = mine.wait_read();
                    wait.on_any(move |ready| {
                        if ready.is_err() {
                            return; // the one that is closed
                        }
                        told.set(told.get() + 1);
                        let number = other.as_raw_fd();
                        other.close().expect("open until now");
                        let (fresh, writer) = pipe_at(number).expect("a pipe");
                        let wait = fresh.wait_read();
                        *swapped.borrow_mut() = Some((fresh, writer, wait));
                    });
                    waits.push(wait);
                }
                settle().await?;
                put(&left_writer, b"x");
                put(&right_writer, b"x");
                settle().await?;
                assert_eq!(told.get(), 1, "the closed one is not told");
                let (fresh, writer, wait) = swapped.borrow_mut().take().expect("one was told");
                assert!(wait.is_pending(), "an event of the former owner came through");
                put(&writer, b"yz");
                wait.await?;
                assert_eq!(fresh.read(&mut [0; 4]).await?, 2);
            }
            Ok(())
        });
    });
}

/// The open file lives on in a duplicate after the close, and goes on having events.
#[test]
fn a_duplicate_of_a_closed_descriptor_reports_to_nobody() {
    in_child("a_duplicate_of_a_closed_descriptor_reports_to_nobody", || {
        run(async {
            let (old, old_writer) = pipe()?;
            let wait = old.wait_read();
            settle().await?;
            let duplicate = std::os::fd::AsFd::as_fd(&*old.hold()?).try_clone_to_owned()?;
            let number = old.as_raw_fd();
            old.close()?;
            assert!(wait.await.is_err());
            let (fresh, writer) = pipe_at(number)?;
            let wait = fresh.wait_read();
            for _ in 0..5 {
                put(&old_writer, b"to nobody");
                settle().await?;
                assert!(wait.is_pending());
            }
            put(&writer, b"x");
            wait.await?;
            drop(duplicate);
            Ok(())
        });
    });
}

/// A descriptor that is held while it is closed: the number stays taken, its events do not come.
#[test]
fn a_held_number_reports_to_nobody() {
    run(async {
        let (old, old_writer) = pipe()?;
        let wait = old.wait_read();
        let held = old.hold()?;
        settle().await?;
        old.close()?;
        assert!(wait.await.is_err());
        put(&old_writer, b"x");
        settle().await?;
        drop(held);
        Ok(())
    });
}
