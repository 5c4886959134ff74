//! [`Bell`]: a descriptor that anybody may ring, also a signal handler, and that an engine can wait for.
//!
//! 1. [`Bell::ring`] is one `write` of constant bytes: it is async-signal-safe. That is why it is not made
//!    through [`retry`](super::retry), where a test's plan of faults may take a lock: with the read that
//!    empties it, and the engines' waits, the only calls of this crate that stand beside the seam. There is
//!    nothing to be made again either: the descriptor does not block, so nothing interrupts it, and a bell
//!    that is too full to be written to is readable.
//! 2. The numbers of its descriptors never change, and they are never closed. So whoever has looked one up
//!    may still write to it at any later time, and never writes into a stranger's file. A loop that ends
//!    leaves its bell to the next one.
//! 3. [`Bell::renew`] puts new descriptors under the old numbers: in the child of a fork, whose bell would
//!    else be its parent's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::{retry, unhooked};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Bell {
    hears: OwnedFd,
    /// The end to write to, where that is another one.
    rings: Option<OwnedFd>,
}

impl Bell {
    /// A bell that is still.
    ///
    /// # Errors
    /// Those of the system: `EMFILE`, say.
    pub(crate) fn new() -> io::Result<Bell> {
        let (hears, rings) = make()?;
        Ok(Bell { hears, rings })
    }

    /// Makes it readable. Async-signal-safe; it may change `errno`.
    pub(crate) fn ring(&self) {
        let fd = self.rings().as_raw_fd();
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer is live and as long as is said. What goes wrong (a full bell) needs no answer.
        unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
    }

    /// Makes it still again; whether it was rung.
    pub(crate) fn hush(&self) -> bool {
        let mut rung = false;
        let mut buf = [0_u8; 64];
        // An event descriptor is empty after one read, a pipe perhaps not.
        loop {
            // SAFETY: the buffer is live and as long as is said.
            let read = || unsafe { libc::read(self.hears.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
            // It is no read of the program's, and nothing interrupts it: see rule 1.
            if !matches!(unhooked(read), Ok(1..)) {
                break;
            }
            rung = true;
            if self.rings.is_none() {
                break;
            }
        }
        rung
    }

    /// What an engine is to watch for reading.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.hears.as_fd()
    }

    /// What others may write to in place of [`Bell::ring`].
    pub(crate) fn rings(&self) -> BorrowedFd<'_> {
        self.rings.as_ref().unwrap_or(&self.hears).as_fd()
    }

    /// See rule 3.
    ///
    /// # Errors
    /// Those of the system; the bell is as before then.
    pub(crate) fn renew(&self) -> io::Result<()> {
        let (hears, rings) = make()?;
        replace(&self.hears, &hears)?;
        match (&self.rings, &rings) {
            (Some(old), Some(new)) => replace(old, new),
            _ => Ok(()),
        }
    }
}

/// Puts what `new` refers to under the number of `old` too.
fn replace(old: &OwnedFd, new: &OwnedFd) -> io::Result<()> {
    #[cfg(not(any(target_os = "macos", target_os = "ios")))]
    // SAFETY: both numbers are open and ours; what `old` referred to is closed, and it goes on to own its
    // number.
    retry("dup3", || unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) })?;
    #[cfg(any(target_os = "macos", target_os = "ios"))]
    {
        // SAFETY: as above.
        retry("dup2", || unsafe { libc::dup2(new.as_raw_fd(), old.as_raw_fd()) })?;
        super::set_close_on_exec(old.as_fd())?;
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn make() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    use std::os::fd::FromRawFd;

    // SAFETY: the call takes two numbers.
    let fd = retry("eventfd", || unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the descriptor is new, and ours.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, None))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn make() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
    super::set_nonblocking(reader.as_fd())?;
    super::set_nonblocking(writer.as_fd())?;
    Ok((reader, Some(writer)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll_now;

    #[test]
    fn it_is_heard_until_it_is_hushed_and_keeps_its_number() {
        let bell = Bell::new().expect("a bell");
        let readable = |bell: &Bell| poll_now(bell.fd(), libc::POLLIN).expect("poll");
        assert!(!readable(&bell) && !bell.hush());
        bell.ring();
        bell.ring();
        assert!(readable(&bell) && bell.hush());
        assert!(!readable(&bell) && !bell.hush());
        let number = bell.fd().as_raw_fd();
        let old = bell.fd().try_clone_to_owned().expect("a duplicate");
        bell.renew().expect("a new one");
        assert_eq!(bell.fd().as_raw_fd(), number);
        bell.ring();
        assert!(readable(&bell));
        assert!(!poll_now(old.as_fd(), libc::POLLIN).expect("poll"), "the old one is another's now");
    }
}
