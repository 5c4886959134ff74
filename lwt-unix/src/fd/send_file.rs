//! [`Fd::send_file`]: from a file to a socket without a buffer of this program's.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use lwt_core::{Error, task};

use super::{During, Fd, breathe};
use crate::file::File;
use crate::job;
use crate::sys::descriptor::{self, is_unsupported};
use crate::sys::{Room, transfer};

/// At most so many bytes are sent by one job.
const MOST: usize = 1 << 20;
/// The size of a buffer, where there has to be one.
const BUFFER: usize = 64 << 10;

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Fd {}
    impl Sealed for super::File {}
}

/// What bytes can be sent from: an [`Fd`] on a file, or a [`File`].
pub trait SendSource: sealed::Sealed {
    #[doc(hidden)]
    fn held(&self) -> Result<Arc<dyn AsFd + Send + Sync>, Error>;
}

impl SendSource for Fd {
    fn held(&self) -> Result<Arc<dyn AsFd + Send + Sync>, Error> {
        Ok(self.held("sendfile")?)
    }
}

impl SendSource for File {
    fn held(&self) -> Result<Arc<dyn AsFd + Send + Sync>, Error> {
        self.held("sendfile")
    }
}

/// # From a file
impl Fd {
    /// Sends up to `count` bytes of a file, from `offset` bytes behind its beginning; how many it were, 0 at
    /// or behind the end of the file (`sendfile`). The file's position stays.
    ///
    /// The kernel moves the bytes. It may have to wait for the disk, so a job thread makes the call; where it
    /// refuses (this descriptor [blocks](Fd::blocking), or is one that cannot be sent to) they go through a
    /// buffer. For a whole file, see also [`Pump`](super::Pump).
    ///
    /// A cancel that comes while it waits for room loses nothing; one that comes while a thread is sending
    /// waits for it, and meets the next await.
    ///
    /// ```
    /// use lwt_unix::file::File;
    /// use lwt_unix::net::UnixStream;
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (left, right) = UnixStream::pair()?;
    /// lwt_unix::run(async move {
    ///     let file = File::open("Cargo.toml").await?;
    ///     let mut sent = 0;
    ///     while sent < 9 {
    ///         sent += left.send_file(&file, sent as u64, 9 - sent).await?;
    ///     }
    ///     let mut buf = [0; 9];
    ///     right.read_exact(&mut buf).await?;
    ///     assert_eq!(&buf, b"[package]");
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of either side, such as `BrokenPipe`; otherwise as [`write`](Fd::write).
    pub async fn send_file(&self, file: &impl SendSource, offset: u64, count: usize) -> Result<usize, Error> {
        breathe().await?;
        let most = count.min(MOST);
        while !self.blocking() {
            let (to, from) = (self.held("sendfile")?, file.held()?);
            let send = move || transfer::send_file(to.as_fd(), from.as_fd(), Some(offset), most);
            task::cancel_point().await?;
            match task::keep_cancel(job::detach(send).no_cancel()).await? {
                Ok(n) if n > 0 || most == 0 => return Ok(n),
                // The end; or a file that is made as it is read, which seems empty to this call.
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_write().await?,
                // (The number of a simulated socket is nothing to the kernel: `EBADF`.)
                Err(error)
                    if is_unsupported(&error)
                        || matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EBADF)) =>
                {
                    break;
                }
                Err(error) => return Err(error).during("sendfile"),
            }
        }
        let from = file.held()?;
        let room = count.min(BUFFER);
        let read = job::detach(move || -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; room];
            let n = descriptor::pread(from.as_fd(), &Room::from(&mut bytes[..]), offset)?;
            bytes.truncate(n);
            Ok(bytes)
        });
        match read.await?.during("pread")? {
            bytes if bytes.is_empty() => Ok(0),
            bytes => self.write(&bytes).await,
        }
    }
}
