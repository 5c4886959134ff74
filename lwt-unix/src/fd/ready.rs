//! Whether a descriptor is ready, by the system's word or by the engine's, and waiting until it is.
//!
//! The system is asked by `poll`, which costs a call and knows everything; the engine's last report is cached
//! in the registration, where the operations look. The rules stand at the head of [`fd`](super).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use lwt_core::{Error, Promise};

use super::{Direction, Fd, exhausted, spent, waited};
use crate::engine::registration::Registration;
use crate::sys;

/// # Readiness
impl Fd {
    /// Whether a read would not block at this moment (`readable`); asks the system, waits for nothing.
    ///
    /// # Errors
    /// Those of `poll`; `EBADF` on a closed descriptor.
    pub fn readable(&self) -> Result<bool, Error> {
        self.is_ready_now(Direction::Read)
    }

    /// Whether a write would not block at this moment (`writable`); asks the system, waits for nothing.
    ///
    /// # Errors
    /// Those of `poll`; `EBADF` on a closed descriptor.
    pub fn writable(&self) -> Result<bool, Error> {
        self.is_ready_now(Direction::Write)
    }

    /// What a cancelled read has left is there to be read, too.
    fn is_ready_now(&self, direction: Direction) -> Result<bool, Error> {
        let left = || self.inner.blocking.get().is_some_and(|side| side.has_ahead());
        self.with("poll", |fd| Ok(direction == Direction::Read && left() || ready_now(fd, direction)?))
    }

    /// Waits until a read would not block: data, the end of the file, or an error to be read (`wait_read`).
    ///
    /// Cancelable; a cancelled or dropped wait leaves nothing behind. Several may wait at once, and all are
    /// woken.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, writer) = lwt_unix::fd::pipe()?;
    /// assert!(!reader.readable()? && writer.writable()?);
    /// lwt_unix::run(async move {
    ///     writer.write_all(b"x").await?;
    ///     reader.wait_read().await?;
    ///     assert!(reader.readable()?);
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Rejected when the descriptor is, or gets, closed or aborted.
    pub fn wait_read(&self) -> Promise<()> {
        self.wait_for(Direction::Read)
    }

    /// Waits until a write would not block (`wait_write`); otherwise as [`wait_read`](Fd::wait_read).
    pub fn wait_write(&self) -> Promise<()> {
        self.wait_for(Direction::Write)
    }

    fn wait_for(&self, direction: Direction) -> Promise<()> {
        match self.is_ready_now(direction) {
            // A loop of waits and calls of one's own must let others run, too.
            Ok(true) if exhausted() => lwt_core::pause(),
            Ok(true) => {
                spent();
                Promise::ready(())
            }
            Ok(false) => {
                self.clear(direction);
                self.wait(direction)
            }
            Err(error) => Promise::fail(error),
        }
    }

    /// The next readiness report. The cache must have been cleared for the wait to mean anything.
    pub(super) fn wait(&self, direction: Direction) -> Promise<()> {
        waited();
        match self.registration(direction) {
            // What the engine refuses is always ready, but a loop over it must still let others run.
            Ok(None) => lwt_core::pause(),
            Ok(Some(registration)) => registration.wait(direction),
            Err(error) => Promise::fail(error),
        }
    }

    /// The registration, made now if this is the first time that it is needed.
    #[inline]
    pub(super) fn registration(&self, direction: Direction) -> Result<Option<&Registration>, Error> {
        match self.inner.registration.get() {
            // If the descriptor is closed or aborted so is this, and rejects who waits.
            Some(Some(made)) => Ok(Some(made)),
            _ => self.register(direction),
        }
    }

    #[cold]
    fn register(&self, direction: Direction) -> Result<Option<&Registration>, Error> {
        // Not open: rejected by the state, with nothing registered any more.
        self.with("epoll_ctl", |_| Ok(()))?;
        if let Some(made) = self.inner.registration.get() {
            return Ok(made.as_ref());
        }
        let made = self.with("epoll_ctl", |fd| match Registration::new(fd.as_raw_fd()) {
            Ok(registration) => {
                // Whoever asks has met EAGAIN; the first event tells what has changed since.
                registration.clear(direction);
                Ok(Some(registration))
            }
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(None),
            Err(error) => Err(error),
        })?;
        Ok(self.inner.registration.get_or_init(|| made).as_ref())
    }

    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        match self.inner.registration.get() {
            Some(Some(registration)) => registration.is_ready(direction),
            _ => true,
        }
    }

    /// After `EAGAIN`.
    pub(super) fn clear(&self, direction: Direction) {
        if let Some(Some(registration)) = self.inner.registration.get() {
            registration.clear(direction);
        }
    }

    /// After a short count that proves that nothing is left.
    pub(super) fn drained(&self, direction: Direction) {
        if let Some(Some(registration)) = self.inner.registration.get() {
            registration.drained(direction);
        }
    }
}

/// Whether a call in this direction would not wait, at this moment.
pub(super) fn ready_now(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    let events = match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    };
    sys::poll_now(fd, events)
}
