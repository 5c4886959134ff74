//! Reading and writing at a place of one's own choice: `pread` and `pwrite`.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;

use lwt_core::{Error, task};

use super::{During, Fd, breathe, readv_front, spent};
use crate::engine::registration::Direction;
use crate::job;
use crate::sys::Room;
use crate::sys::descriptor::{self, Place, is_unsupported};

/// # At a place in the file
impl Fd {
    /// Reads up to `buf.len()` bytes from `offset` bytes behind the beginning of the file; its position stays
    /// (`pread`). 0 at or behind the end.
    ///
    /// What the system has in memory is read at once, everything else by a job thread. A cancel loses
    /// nothing: the file is as it was.
    ///
    /// ```
    /// use std::io::Write;
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// # let path = std::env::temp_dir().join(format!("lwt-doc-pread-{}", std::process::id()));
    /// let mut file = std::fs::File::create_new(&path)?;
    /// # std::fs::remove_file(&path)?;
    /// file.write_all(b"hello world")?;
    /// # let file = { use std::os::fd::OwnedFd; OwnedFd::from(file) };
    /// # let own = std::fs::File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)))?;
    /// let file = lwt_unix::fd::Fd::new(own.into())?;
    /// lwt_unix::run(async move {
    ///     let mut buf = [0; 5];
    ///     assert_eq!(file.pread(&mut buf, 6).await?, 5);
    ///     assert_eq!(&buf, b"world");
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ESPIPE` where there is no position (pipes, sockets), `EINVAL` for an offset of more than 63 bits;
    /// otherwise as [`read`](Fd::read).
    pub async fn pread(&self, buf: &mut [u8], offset: u64) -> Result<usize, Error> {
        breathe().await?;
        let Some(side) = self.inner.blocking.get().filter(|side| side.seekable) else {
            // Nothing but a file can make it wait.
            return self.with("pread", |fd| descriptor::pread(fd, &Room::from(buf), offset));
        };
        if buf.is_empty() {
            return self.check_descriptor().map(|()| 0);
        }
        if side.nowait(Direction::Read).get() {
            let (place, most) = (Place::Offset(offset), super::blocking::MOST);
            match self.once(|fd| readv_front(fd, &mut [IoSliceMut::new(buf)], place, most)) {
                Ok(n) => {
                    spent();
                    return Ok(n);
                }
                Err(super::Failure::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(super::Failure::System(error)) if is_unsupported(&error) => {
                    side.nowait(Direction::Read).set(false);
                }
                Err(failure) => return Err(failure.into_error("pread")),
            }
        }
        let held = self.held("pread")?;
        let room = buf.len().min(super::blocking::MOST);
        let read = job::detach(move || -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; room];
            let n = descriptor::pread(held.as_fd(), &Room::from(&mut bytes[..]), offset)?;
            bytes.truncate(n);
            Ok(bytes)
        });
        let bytes = read.await?.during("pread")?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Writes from the front of `buf` at `offset` bytes behind the beginning of the file; its position stays
    /// (`pwrite`, `pwrite_string`). It may take fewer bytes than there are. By a job thread, always.
    ///
    /// A cancel does not stop it; it meets the next await.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// # let path = std::env::temp_dir().join(format!("lwt-doc-pwrite-{}", std::process::id()));
    /// let file = std::fs::File::create_new(&path)?;
    /// # std::fs::remove_file(&path)?;
    /// let file = lwt_unix::fd::Fd::new(file.into())?;
    /// assert_eq!(lwt_unix::run(async move { file.pwrite(b"at the hundredth byte", 100).await })?, 21);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`pread`](Fd::pread), and those of [`write`](Fd::write), such as `ENOSPC`.
    pub async fn pwrite(&self, buf: &[u8], offset: u64) -> Result<usize, Error> {
        breathe().await?;
        if !self.is_seekable() {
            return self.with("pwrite", |fd| descriptor::pwrite(fd, buf, offset));
        }
        task::cancel_point().await?;
        let held = self.held("pwrite")?;
        let bytes = buf[..buf.len().min(super::blocking::MOST)].to_vec();
        let written = job::detach(move || descriptor::pwrite(held.as_fd(), &bytes, offset));
        task::keep_cancel(written.no_cancel()).await?.during("pwrite")
    }
}
