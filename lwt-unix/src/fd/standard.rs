//! The three streams that a program begins with: [`stdin`], [`stdout`], [`stderr`].
//!
//! Rules:
//! 1. Their open file descriptions belong to others as well (the shell, the other end of a pipeline), so
//!    their flags are never changed: nothing has to be put back, whatever the program dies of.
//! 2. An `Fd` here is a duplicate. Number 0, 1 or 2 itself stays open, because nobody may free those numbers:
//!    the next file to be opened would become standard output.
//! 3. A *terminal* is opened once more, which gives a description of our own, non-blocking, on the same
//!    terminal. Where that is refused (after a change of user, say) and for everything else the description
//!    is [shared](Fd::shared).
//! 4. Each thread has one `Fd` per stream, so that what a cancelled read has left is found by the next.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

use lwt_core::Error;

use super::{During, Fd, FdState, Kind};
use crate::sys;

thread_local! {
    static STREAMS: RefCell<[Option<Fd>; 3]> = const { RefCell::new([None, None, None]) };
}

/// Standard input (`stdin`): whatever it is, a file, a terminal, a pipe, a socket or `/dev/null`.
///
/// Reading never blocks the loop, and the flags of the open file description stay as they are, so that
/// whoever shares it (the shell that started the program) finds it unchanged, however the program ends.
/// Closing the `Fd` leaves number 0 open; [`Fd::redirect`] puts something else there.
///
/// Each thread has one, of which this gives handles; `std::io::stdin` reads through a buffer of its own.
///
/// ```no_run
/// # fn main() -> Result<(), lwt_core::Error> {
/// let stdin = lwt_unix::fd::stdin()?;
/// let n = lwt_unix::run(async move { stdin.read(&mut [0; 1024]).await })?;
/// println!("{n} bytes");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `EBADF` when the program was started without it; `EMFILE`.
pub fn stdin() -> Result<Fd, Error> {
    stream(0, "standard input")
}

/// Standard output (`stdout`). See [`stdin`].
///
/// A pipe that ends here is seen as ended by its reader only when the program ends, or number 1 is
/// [redirected](Fd::redirect), besides closing the `Fd`. What `print!` has buffered goes its own way.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// lwt_unix::run(async { lwt_unix::fd::stdout()?.write_all(b"hello\n").await })
/// # }
/// ```
///
/// # Errors
/// As [`stdin`].
pub fn stdout() -> Result<Fd, Error> {
    stream(1, "standard output")
}

/// Standard error (`stderr`). See [`stdin`].
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// lwt_unix::run(async { lwt_unix::fd::stderr()?.write_all(b"a note\n").await })
/// # }
/// ```
///
/// # Errors
/// As [`stdin`].
pub fn stderr() -> Result<Fd, Error> {
    stream(2, "standard error")
}

fn stream(number: usize, name: &'static str) -> Result<Fd, Error> {
    let known = STREAMS.with_borrow(|streams| streams[number].clone());
    if let Some(fd) = known.filter(|fd| matches!(fd.state(), FdState::Open)) {
        return Ok(fd);
    }
    let duplicate = sys::descriptor::duplicate_number(number as i32).during_on("dup", name)?;
    let fd = open(duplicate)?;
    // What was there is closed; it goes when nothing is borrowed.
    drop(STREAMS.with_borrow_mut(|streams| streams[number].replace(fd.clone())));
    Ok(fd)
}

fn open(duplicate: OwnedFd) -> Result<Fd, Error> {
    let fd = duplicate.as_fd();
    if sys::term::get(fd).is_ok()
        && !sys::descriptor::is_terminal_master(fd)
        && let Ok(own) = sys::descriptor::reopen(fd)
    {
        return Ok(Fd::from_parts(own, Kind::Other));
    }
    Fd::shared(duplicate)
}
