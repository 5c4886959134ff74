//! Reading and writing with `.await`.
//!
//! [`Fd::drive`] is the one loop behind all of it; read it first. The rules stand at the head of
//! [`fd`](super).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use lwt_core::Error;

use super::blocking_ops::{READY_FOR, gather};
use super::{During, Failure, Fd, Kind, OsError, breathe, read_to_end, ready_now, spent};
use crate::engine::registration::Direction;
use crate::sys::{self, Room};

impl Fd {
    /// Makes the call, now and whenever the descriptor has become ready, until it is done.
    ///
    /// An attempt that the cache says is hopeless is not made. `op` says `WouldBlock` for "not yet", and must
    /// leave nothing half-done when it does.
    #[expect(clippy::redundant_closure, reason = "a closure is inlined here, a borrow of `op` is not")]
    pub(crate) async fn drive<T>(
        &self,
        direction: Direction,
        mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, Failure> {
        breathe().await.map_err(Failure::Rejected)?;
        let mut hopeful = self.is_ready(direction);
        loop {
            if hopeful && let Some(done) = self.attempt(direction, |fd| op(fd))? {
                return Ok(done);
            }
            self.wait(direction).await.map_err(Failure::Rejected)?;
            hopeful = true;
        }
    }

    /// Makes the call once. `None` means that it would block, and the cache knows it from now on.
    #[inline]
    pub(crate) fn attempt<T>(
        &self,
        direction: Direction,
        op: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<Option<T>, Failure> {
        match self.once(op) {
            Ok(done) => {
                spent();
                Ok(Some(done))
            }
            Err(Failure::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.clear(direction);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether there is nothing to move, so that nothing is to be waited for. Datagrams may be empty.
    fn is_nothing(&self, len: usize) -> bool {
        len == 0 && self.kind() != Kind::Socket
    }

    /// An operation on what is no socket goes on in the mode in which it began. If the description was made
    /// blocking meanwhile: `WouldBlock` where the call would wait, else how much it may write without.
    fn unwaited(&self, fd: BorrowedFd<'_>, direction: Direction) -> io::Result<Option<usize>> {
        if self.blocking_side().is_none() {
            return Ok(None);
        }
        if ready_now(fd, direction)? { Ok(Some(READY_FOR)) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// The read call that suits the kind of the descriptor; a short count is noted where it proves something.
    #[inline]
    pub(super) fn read_once<'a>(&self, fd: BorrowedFd<'_>, room: impl Into<Room<'a>>) -> io::Result<usize> {
        let (room, flags) = (room.into(), self.flags());
        let (n, proves) = match self.kind() {
            Kind::Tcp => (sys::socket::recv(fd, &room, flags)?, true),
            Kind::UnixStream => {
                let (n, ancillary) = sys::socket::recv_noting_ancillary(fd, &room, flags)?;
                (n, !ancillary)
            }
            Kind::Socket => (sys::socket::recv(fd, &room, flags)?, false),
            Kind::Other => {
                self.unwaited(fd, Direction::Read)?;
                (sys::read(fd, &room)?, false)
            }
        };
        if proves && n != 0 && n < room.len() {
            self.drained(Direction::Read);
        }
        Ok(n)
    }

    /// The write call that suits the kind of the descriptor.
    #[inline]
    pub(super) fn write_once(&self, fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
        let n = match self.kind() {
            Kind::Other => {
                let most = self.unwaited(fd, Direction::Write)?.unwrap_or(buf.len());
                return sys::write(fd, &buf[..buf.len().min(most)]);
            }
            Kind::Socket => return sys::socket::send(fd, buf, self.flags()),
            Kind::Tcp | Kind::UnixStream => sys::socket::send(fd, buf, self.flags())?,
        };
        if n < buf.len() {
            self.drained(Direction::Write);
        }
        Ok(n)
    }

    pub(super) fn readv_once(&self, fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self.kind() {
            Kind::Other => {
                self.unwaited(fd, Direction::Read)?;
                sys::readv(fd, bufs)
            }
            Kind::Socket => Ok(sys::socket::recv_vectored(fd, bufs, self.flags())?.0),
            Kind::Tcp | Kind::UnixStream => {
                let wanted: usize = bufs.iter().take(sys::MAX_SLICES).map(|buf| buf.len()).sum();
                let (n, ancillary) = sys::socket::recv_vectored(fd, bufs, self.flags())?;
                if n != 0 && n < wanted && !ancillary {
                    self.drained(Direction::Read);
                }
                Ok(n)
            }
        }
    }

    pub(super) fn writev_once(&self, fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let n = match self.kind() {
            Kind::Other => {
                return match self.unwaited(fd, Direction::Write)? {
                    None => sys::writev(fd, bufs),
                    Some(most) => sys::write(fd, &gather(bufs, most)),
                };
            }
            Kind::Socket => return sys::socket::send_vectored(fd, bufs, self.flags()),
            Kind::Tcp | Kind::UnixStream => sys::socket::send_vectored(fd, bufs, self.flags())?,
        };
        if n < bufs.iter().take(sys::MAX_SLICES).map(|buf| buf.len()).sum() {
            self.drained(Direction::Write);
        }
        Ok(n)
    }
}

/// # Reading and writing
///
/// One operation per direction at a time is what streams are made for. Several at once are served, each by
/// its own system calls and in no particular order.
impl Fd {
    /// Reads up to `buf.len()` bytes: one system call, which may bring fewer; 0 at the end of the file
    /// (`read`).
    ///
    /// An empty buffer gives 0 and says nothing about the end of the file. A cancel loses nothing: it arrives
    /// while nothing has been read.
    ///
    /// # Errors
    /// The system's, such as `ConnectionReset`; `EBADF` when the descriptor is closed before or meanwhile;
    /// the error of an abort; `Canceled`.
    pub async fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
        let done = match self.blocking_side() {
            _ if self.is_nothing(buf.len()) => self.once(|_| Ok(0)),
            None => self.drive(Direction::Read, |fd| self.read_once(fd, &mut *buf)).await,
            Some(side) => self.read_blocking(side, &mut [IoSliceMut::new(buf)][..]).await,
        };
        done.map_err(|failure| failure.into_error("read"))
    }

    /// Writes from the front of `buf`: one system call, which may take fewer bytes than there are (`write`).
    ///
    /// A cancel loses nothing: it arrives while nothing has been written. (Where the descriptor
    /// [blocks](Fd::blocking) and a thread is writing already, the cancel waits for the next await, and the
    /// count is returned.)
    ///
    /// # Errors
    /// The system's, such as `BrokenPipe` (never the signal, on a socket) or `ConnectionReset`; otherwise as
    /// [`read`](Fd::read).
    pub async fn write(&self, buf: &[u8]) -> Result<usize, Error> {
        let done = match self.blocking_side() {
            _ if self.is_nothing(buf.len()) => self.once(|_| Ok(0)),
            None => self.drive(Direction::Write, |fd| self.write_once(fd, buf)).await,
            Some(side) => self.write_blocking(side, &[IoSlice::new(buf)]).await,
        };
        done.map_err(|failure| failure.into_error("write"))
    }

    /// Reads into several buffers, filled in their order, by one system call (`readv`).
    ///
    /// At most 1024 of them are used. Otherwise as [`read`](Fd::read).
    ///
    /// # Errors
    /// As [`read`](Fd::read).
    pub async fn readv(&self, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let done = match self.blocking_side() {
            _ if self.is_nothing(bufs.iter().map(|buf| buf.len()).sum()) => self.once(|_| Ok(0)),
            None => self.drive(Direction::Read, |fd| self.readv_once(fd, bufs)).await,
            Some(side) => self.read_blocking(side, bufs).await,
        };
        done.map_err(|failure| failure.into_error("readv"))
    }

    /// Writes from several buffers in their order by one system call (`writev`).
    ///
    /// At most 1024 of them are used. Otherwise as [`write`](Fd::write).
    ///
    /// # Errors
    /// As [`write`](Fd::write).
    pub async fn writev(&self, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        let done = match self.blocking_side() {
            _ if self.is_nothing(bufs.iter().map(|buf| buf.len()).sum()) => self.once(|_| Ok(0)),
            None => self.drive(Direction::Write, |fd| self.writev_once(fd, bufs)).await,
            Some(side) => self.write_blocking(side, bufs).await,
        };
        done.map_err(|failure| failure.into_error("writev"))
    }

    /// Reads until `buf` is full.
    ///
    /// A cancel, or an error, loses the count of the bytes that have come already; they stand in the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; otherwise as [`read`](Fd::read).
    pub async fn read_exact(&self, buf: &mut [u8]) -> Result<(), Error> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).during("read"),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Reads to the end of the file, and appends it to `content`; gives how many bytes that were. More than
    /// `most` of them are an error: who is at the other end may never stop.
    ///
    /// After a cancel or an error, `content` has what has come; where there was too much, that is one byte
    /// more than `most`.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, writer) = lwt_unix::fd::pipe()?;
    /// lwt_unix::run(async move {
    ///     writer.write_all(b"all there is").await?;
    ///     writer.close()?;
    ///     let mut content = Vec::new();
    ///     assert_eq!(reader.read_to_end(&mut content, 1 << 20).await?, 12);
    ///     assert_eq!(content, b"all there is");
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `FileTooLarge` for more than `most` bytes; `OutOfMemory`; otherwise as [`read`](Fd::read).
    pub async fn read_to_end(&self, content: &mut Vec<u8>, most: usize) -> Result<usize, Error> {
        let fail = |kind| OsError::rejection("read", None, io::Error::from(kind));
        read_to_end(content, most, async |room| self.read(room).await, fail).await
    }

    /// Writes all of `buf`.
    ///
    /// A cancel, or an error, loses the count of the bytes that have gone already.
    ///
    /// # Errors
    /// `WriteZero` when the system takes nothing more without saying why; otherwise as [`write`](Fd::write).
    pub async fn write_all(&self, mut buf: &[u8]) -> Result<(), Error> {
        while !buf.is_empty() {
            match self.write(buf).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero)).during("write"),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }

    /// Writes all of several buffers in their order, however many they are. The slices are advanced on the
    /// way.
    ///
    /// A cancel, or an error, leaves the slices where the writing has got to (except for buffers that were
    /// empty).
    ///
    /// # Errors
    /// As [`write_all`](Fd::write_all).
    pub async fn writev_all(&self, mut bufs: &mut [IoSlice<'_>]) -> Result<(), Error> {
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            match self.writev(bufs).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero)).during("writev"),
                n => IoSlice::advance_slices(&mut bufs, n),
            }
        }
        Ok(())
    }

    /// [`read`](Fd::read) without waiting: `None` when it would block.
    ///
    /// The system is really asked, whatever the last event said. Where the descriptor [blocks](Fd::blocking)
    /// and the kernel cannot tell whether it would, the answer is `None` as well.
    ///
    /// # Errors
    /// As [`read`](Fd::read).
    pub fn try_read(&self, buf: &mut [u8]) -> Result<Option<usize>, Error> {
        let done = match self.blocking_side() {
            None => self.attempt(Direction::Read, |fd| self.read_once(fd, &mut *buf)),
            Some(side) => self.try_read_blocking(side, &mut [IoSliceMut::new(buf)][..]),
        };
        done.map_err(|failure| failure.into_error("read"))
    }

    /// [`write`](Fd::write) without waiting: `None` when it would block, and for a regular file, which always
    /// might.
    ///
    /// # Errors
    /// As [`write`](Fd::write).
    pub fn try_write(&self, buf: &[u8]) -> Result<Option<usize>, Error> {
        let done = match self.blocking_side() {
            None => self.attempt(Direction::Write, |fd| self.write_once(fd, buf)),
            Some(side) => self.try_write_blocking(side, &[IoSlice::new(buf)]),
        };
        done.map_err(|failure| failure.into_error("write"))
    }
}
