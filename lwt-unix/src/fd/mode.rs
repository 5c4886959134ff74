//! Blocking modes: [`FdOptions`], how a descriptor is taken over, and what can be changed of that afterwards.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use lwt_core::Error;

use super::blocking::Blocking;
use super::{During, Fd, Kind};
use crate::sys;

/// How a descriptor is taken over (the optional arguments of `of_unix_file_descr`). Made by [`Fd::options`].
///
/// *Blocking* is said of the open file description, which others may share. Whatever it is, no operation
/// blocks the loop: a description that blocks is served in ways that do not need the flag (a socket by
/// `MSG_DONTWAIT`, everything else by `RWF_NOWAIT` where the kernel knows it, or by waiting for readiness and
/// a job thread).
///
/// | `blocking` | `set_flags(true)` | `set_flags(false)` |
/// |---|---|---|
/// | not said | is made non-blocking, unless it is a regular file, directory or block device | is found out |
/// | `true` | is made blocking | is treated as blocking: right for whatever is shared |
/// | `false` | is made non-blocking | the caller vouches that it is, and stays so |
///
/// ```
/// use lwt_unix::fd::Fd;
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (reader, mut writer) = std::io::pipe()?;
/// let fd = Fd::options().blocking(true).set_flags(false).adopt(reader.into())?;
/// let text = lwt_unix::run(async move {
///     let reading = lwt_core::spawn(async move {
///         let mut buf = [0; 8];
///         let n = fd.read(&mut buf).await?; // waits without blocking the loop
///         Ok::<_, lwt_core::Error>(buf[..n].to_vec())
///     });
///     std::io::Write::write_all(&mut writer, b"hello")?;
///     reading.await
/// })?;
/// assert_eq!(text, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is taken over before `adopt` is called"]
pub struct FdOptions {
    blocking: Option<bool>,
    set_flags: bool,
    close_on_exec: bool,
}

impl FdOptions {
    /// Says what the open file description is to be, or to be taken for.
    pub fn blocking(mut self, blocking: bool) -> FdOptions {
        self.blocking = Some(blocking);
        self
    }

    /// Whether the flag of the open file description may be changed; it is unless this says no.
    pub fn set_flags(mut self, may: bool) -> FdOptions {
        self.set_flags = may;
        self
    }

    /// Whether the descriptor is made close-on-exec; it is unless this says no, and then left as it is.
    pub fn close_on_exec(mut self, make: bool) -> FdOptions {
        self.close_on_exec = make;
        self
    }

    /// Takes the descriptor over.
    ///
    /// # Errors
    /// Those of `fstat` and `fcntl`; the descriptor is closed then.
    pub fn adopt(self, fd: OwnedFd) -> Result<Fd, Error> {
        let (kind, seekable) = match sys::file_type(fd.as_fd()).during("fstat")? {
            libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => (Kind::Other, true),
            libc::S_IFSOCK => (Kind::of_socket(fd.as_fd()), false),
            _ => (Kind::Other, false),
        };
        if self.close_on_exec {
            sys::set_close_on_exec(fd.as_fd()).during("fcntl")?;
        }
        let blocks = self.settle(fd.as_fd(), seekable)?;
        let fd = Fd::from_parts(fd, kind);
        if seekable {
            let _ = fd.inner.blocking.set(Rc::new(Blocking::new(true)));
        } else if blocks {
            fd.treat_as_blocking(true);
        }
        Ok(fd)
    }

    /// Sets the flag, if that is wanted; whether the description is to be treated as blocking.
    fn settle(self, fd: BorrowedFd<'_>, seekable: bool) -> Result<bool, Error> {
        match self.blocking {
            _ if seekable => Ok(true),
            None if !self.set_flags => sys::descriptor::is_nonblocking(fd).map(|is| !is).during("fcntl"),
            Some(true) => {
                if self.set_flags {
                    sys::descriptor::set_blocking(fd).during("fcntl")?;
                }
                Ok(true)
            }
            Some(false) | None => {
                if self.set_flags {
                    sys::set_nonblocking(fd).during("fcntl")?;
                }
                Ok(false)
            }
        }
    }
}

impl Fd {
    /// How to take a descriptor over; see [`FdOptions`].
    pub fn options() -> FdOptions {
        FdOptions { blocking: None, set_flags: true, close_on_exec: true }
    }

    /// Takes a descriptor over whose open file description others share, and leaves its flags alone
    /// (`of_unix_file_descr ~blocking:true ~set_flags:false`). The loop is not blocked all the same: see
    /// [`FdOptions`].
    ///
    /// Who else reads from the same description takes bytes away; that is what sharing means.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, _writer) = std::io::pipe()?;
    /// let reader = lwt_unix::fd::Fd::shared(reader.into())?;
    /// assert!(reader.blocking());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `fstat` and `fcntl`; the descriptor is closed then.
    pub fn shared(fd: OwnedFd) -> Result<Fd, Error> {
        Fd::options().blocking(true).set_flags(false).adopt(fd)
    }

    /// Whether the descriptor is treated as one whose system calls may block (`blocking`). Always so for a
    /// regular file.
    ///
    /// It was found out when the descriptor was taken over, or said by [`FdOptions::blocking`] or
    /// [`set_blocking`].
    ///
    /// [`set_blocking`]: Fd::set_blocking
    pub fn blocking(&self) -> bool {
        self.flags() != 0 || self.inner.blocking.get().is_some_and(|side| side.active.get())
    }

    /// Makes the open file description blocking or non-blocking (`set_blocking`). Without effect on a regular
    /// file.
    ///
    /// Operations that wait go on in the mode in which they began. The loop is blocked in neither.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, _writer) = lwt_unix::fd::pipe()?;
    /// reader.set_blocking(true)?; // for a child that is to inherit it, say
    /// assert!(reader.blocking());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `fcntl`; `EBADF` when closed.
    pub fn set_blocking(&self, blocking: bool) -> Result<(), Error> {
        if self.is_seekable() {
            return self.check_descriptor();
        }
        self.with("fcntl", |fd| {
            if blocking { sys::descriptor::set_blocking(fd) } else { sys::set_nonblocking(fd) }
        })?;
        self.treat_as_blocking(blocking);
        Ok(())
    }

    /// Says what the open file description is, and leaves the flag alone (`set_blocking ~set_flags:false`).
    /// Whoever says that it does not block vouches for it; if it does, so does the loop.
    pub fn treat_as_blocking(&self, blocking: bool) {
        if self.is_seekable() {
            return;
        }
        match (self.kind(), blocking) {
            (Kind::Other, false) => {
                if let Some(side) = self.inner.blocking.get() {
                    side.active.set(false);
                }
            }
            (Kind::Other, true) => {
                self.inner.blocking.get_or_init(|| Rc::new(Blocking::new(false))).active.set(true);
            }
            (_, blocking) => self.inner.flags.set(if blocking { libc::MSG_DONTWAIT } else { 0 }),
        }
    }

    /// Whether it is a regular file, a directory or a block device.
    pub(crate) fn is_seekable(&self) -> bool {
        self.inner.blocking.get().is_some_and(|side| side.seekable)
    }
}
