//! System calls that this crate does not have, on descriptors that it has: [`Fd::wrap_syscall`].

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use lwt_core::Error;

use super::{Direction, Failure, Fd, breathe, spent};

/// What a wrapped call says when it has to wait for one direction in particular, whatever it was registered
/// for (`Retry_read`, `Retry_write`): a TLS library that has to write before it can read, for example.
///
/// As an [`io::Error`] it is of the kind `WouldBlock`.
///
/// ```
/// let error = std::io::Error::from(lwt_unix::fd::Retry::Write);
/// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// When a read would not block.
    Read,
    /// When a write would not block.
    Write,
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Retry::Read => "to be tried again when it can be read",
            Retry::Write => "to be tried again when it can be written",
        })
    }
}

impl StdError for Retry {}

impl From<Retry> for io::Error {
    fn from(retry: Retry) -> io::Error {
        io::Error::new(io::ErrorKind::WouldBlock, retry)
    }
}

/// # Calls of one's own
impl Fd {
    /// Makes a call of yours on the descriptor, now and whenever it has become ready, until it says something
    /// else than `WouldBlock` (`wrap_syscall`).
    ///
    /// Where the descriptor [blocks](Fd::blocking) the call is made only when the system reports it ready.
    /// `EINTR` is not yours to handle: the call is made again. It must not close the number. A cancel loses
    /// nothing that the call has not done.
    ///
    /// ```
    /// use lwt_unix::fd::Direction;
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, writer) = lwt_unix::fd::pipe()?;
    /// lwt_unix::run(async move {
    ///     let reading = lwt_core::spawn(async move {
    ///         let mut buf = [0; 3];
    ///         let read = |fd: std::os::fd::BorrowedFd<'_>| Ok(nix::unistd::read(fd, &mut buf)?);
    ///         let n = reader.wrap_syscall(Direction::Read, read).await?;
    ///         Ok::<_, lwt_core::Error>(buf[..n].to_vec())
    ///     });
    ///     writer.write_all(b"own").await?;
    ///     assert_eq!(reading.await?, b"own");
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// That of the call, as it is; `EBADF` when the descriptor is closed before or meanwhile; the error of an
    /// abort; `Canceled`.
    pub async fn wrap_syscall<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, Error> {
        breathe().await?;
        if !self.blocking()
            && self.is_ready(direction)
            && let Some(done) = self.wrapped(direction, &mut call).await?
        {
            return Ok(done);
        }
        self.register_action(direction, call).await
    }

    /// [`wrap_syscall`](Fd::wrap_syscall) for a call that has just said `WouldBlock`: it waits first
    /// (`register_action`).
    ///
    /// # Errors
    /// As [`wrap_syscall`](Fd::wrap_syscall).
    pub async fn register_action<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, Error> {
        loop {
            self.wait_ready(direction).await?;
            if let Some(done) = self.wrapped(direction, &mut call).await? {
                return Ok(done);
            }
        }
    }

    /// Makes the call once; `None` if it is to be tried again when `direction` is ready.
    async fn wrapped<T>(
        &self,
        direction: Direction,
        call: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<Option<T>, Error> {
        loop {
            match self.once(&mut *call) {
                Ok(done) => {
                    spent();
                    return Ok(Some(done));
                }
                Err(Failure::System(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(Failure::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    let other = match retry(&error) {
                        Some(Retry::Read) => Direction::Read,
                        Some(Retry::Write) => Direction::Write,
                        None => direction,
                    };
                    self.clear(other);
                    if other == direction {
                        return Ok(None);
                    }
                    self.wait_ready(other).await?;
                }
                Err(Failure::System(error)) => return Err(error.into()),
                Err(failure) => return Err(failure.into_error("wrap_syscall")),
            }
        }
    }

    async fn wait_ready(&self, direction: Direction) -> Result<(), Error> {
        match direction {
            Direction::Read => self.wait_read().await,
            Direction::Write => self.wait_write().await,
        }
    }
}

fn retry(error: &io::Error) -> Option<Retry> {
    error.get_ref()?.downcast_ref().copied()
}
