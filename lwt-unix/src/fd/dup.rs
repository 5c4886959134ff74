//! Duplicates, and the flags of a descriptor itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use lwt_core::Error;

use super::blocking::Blocking;
use super::{During, Fd, OsError, Slot};
use crate::sys;

/// The three streams that a program begins with, as places for [`Fd::redirect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// Number 0.
    Input,
    /// Number 1.
    Output,
    /// Number 2.
    Error,
}

/// # Duplicates and flags
impl Fd {
    /// A second descriptor of the same open file description, close-on-exec, in the same mode (`dup`).
    ///
    /// A clone of the `Fd` is cheaper and mostly what is wanted: another handle on the same number. A
    /// duplicate is a number of its own, with its own closing. What a cancelled read has left stays with the
    /// original, where the description [blocks](Fd::blocking). (`dup ~cloexec:false`:
    /// [`clear_close_on_exec`](Fd::clear_close_on_exec) on it.)
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (_reader, writer) = lwt_unix::fd::pipe()?;
    /// let other = writer.dup()?;
    /// writer.close()?;
    /// assert_eq!(lwt_unix::run(async move { other.write(b"x").await })?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EMFILE`; `EBADF` when closed.
    pub fn dup(&self) -> Result<Fd, Error> {
        let fd = self.with("dup", sys::descriptor::duplicate)?;
        Ok(self.in_same_mode(Arc::new(fd)))
    }

    /// Makes the number of `onto` mean what this descriptor means, and gives an `Fd` for it (`dup2`). It is
    /// close-on-exec.
    ///
    /// The handles of `onto` are closed by that, and whoever waits on one is rejected, as by
    /// [`close`](Fd::close).
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// use std::os::fd::AsRawFd;
    /// let (log, _reader) = lwt_unix::fd::pipe()?;
    /// let (_, replaced) = lwt_unix::fd::pipe()?;
    /// let number = replaced.as_raw_fd();
    /// let replaced = log.dup2(&replaced)?;
    /// assert_eq!(replaced.as_raw_fd(), number);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EBADF` when one of the two is closed, the error of the abort when this one is aborted; `EBUSY`, and
    /// nothing is closed, while somebody else [holds](Fd::hold) the number of `onto`: a job that is under way
    /// on it, say, would go on with what it means now.
    pub fn dup2(&self, onto: &Fd) -> Result<Fd, Error> {
        let held = self.held("dup2")?;
        if self.as_raw_fd() == onto.as_raw_fd() {
            return Ok(self.clone());
        }
        let number = match &mut *onto.inner.slot.borrow_mut() {
            Slot::Open(fd) | Slot::Aborted(fd, _) if Arc::strong_count(fd) > 1 => {
                return Err(std::io::Error::from_raw_os_error(libc::EBUSY)).during("dup2");
            }
            slot => match std::mem::replace(slot, Slot::Closed) {
                Slot::Open(fd) | Slot::Aborted(fd, _) => fd,
                Slot::Closed => return Err(OsError::closed("dup2")),
            },
        };
        // The engine knows the number by what it meant: it leaves first.
        onto.reject_waiters(OsError::closed("wait"));
        sys::descriptor::duplicate_onto(held.as_fd(), number.as_fd(), true).during("dup2")?;
        Ok(self.in_same_mode(number))
    }

    /// An `Fd` over a number that means what this one means.
    fn in_same_mode(&self, number: Arc<OwnedFd>) -> Fd {
        let made = Fd::from_number(number, self.kind());
        made.inner.flags.set(self.flags());
        if let Some(side) = self.inner.blocking.get() {
            let other = Blocking::new(side.seekable);
            other.active.set(side.active.get());
            let _ = made.inner.blocking.set(Rc::new(other));
        }
        made
    }

    /// Makes a standard stream of this process mean what this descriptor means; it stays open on exec (`dup2`
    /// onto 0, 1 or 2).
    ///
    /// The flags of the open file description come along: children see a non-blocking stream if this
    /// descriptor is one. What [`stdin`](super::stdin) and its like have given before means what it meant;
    /// when that is closed, they give the new one.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// use lwt_unix::fd::{Fd, Standard};
    /// let log = Fd::new(std::fs::File::create("log")?.into())?;
    /// log.redirect(Standard::Error)?; // what `eprintln!` prints, and what children complain of
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EBADF` when closed, the error of the abort when aborted.
    pub fn redirect(&self, stream: Standard) -> Result<(), Error> {
        let onto = |number: BorrowedFd<'_>| {
            self.with("dup2", |fd| sys::descriptor::duplicate_onto(fd, number, false))
        };
        match stream {
            Standard::Input => onto(std::io::stdin().as_fd()),
            Standard::Output => onto(std::io::stdout().as_fd()),
            Standard::Error => onto(std::io::stderr().as_fd()),
        }
    }

    /// Closes the descriptor in programs that this one executes (`set_close_on_exec`). Every `Fd` begins so.
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn set_close_on_exec(&self) -> Result<(), Error> {
        self.with("fcntl", sys::set_close_on_exec)
    }

    /// Leaves the descriptor open in programs that this one executes (`clear_close_on_exec`).
    ///
    /// All of them: another thread that executes one at this moment hands it over, too.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, _writer) = lwt_unix::fd::pipe()?;
    /// reader.clear_close_on_exec()?;
    /// reader.set_close_on_exec()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn clear_close_on_exec(&self) -> Result<(), Error> {
        self.with("fcntl", sys::descriptor::clear_close_on_exec)
    }

    /// Fails unless the descriptor is open, here and for the system (`check_descriptor`).
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, _writer) = lwt_unix::fd::pipe()?;
    /// reader.check_descriptor()?;
    /// reader.close()?;
    /// assert!(reader.check_descriptor().is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EBADF` when closed, the error of the abort when aborted.
    pub fn check_descriptor(&self) -> Result<(), Error> {
        self.with("fcntl", sys::descriptor::is_close_on_exec).map(drop)
    }

    /// Whether it is a terminal (`isatty`). Asks the system, which answers at once.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, _writer) = lwt_unix::fd::pipe()?;
    /// assert!(!reader.isatty()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EBADF` when closed; that it is no terminal is not an error.
    pub fn isatty(&self) -> Result<bool, Error> {
        self.with("isatty", |fd| Ok(sys::term::get(fd).is_ok()))
    }
}
