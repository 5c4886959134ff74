//! Reading and writing files.
//!
//! 1. A read is first asked of the kernel's cache (`preadv2` with `RWF_NOWAIT`), on this thread; a short
//!    count at the edge of what is cached is as good as any. What is not there is read by a job, into memory
//!    of the job's.
//! 2. A write is a job always: it may have to wait for the disk however little it writes.
//! 3. One job moves at most [`MOST`] bytes, and so does one read on this thread.
//! 4. Bytes that were copied on this thread count for its fairness, by [`PIECE`]s.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use lwt_core::Error;

use super::cached;
use super::handle::{File, Open};
use crate::fd::{OsError, breathe, read_to_end, readv_front, spent};
use crate::sys::descriptor::{Place, is_unsupported, pread, pwrite};
use crate::sys::{self, Room};

/// See rule 3.
const MOST: usize = 1 << 20;
/// See rule 4.
const PIECE: usize = 64 << 10;

/// # Reading and writing
///
/// Those at the file's position begin to move it when their job begins, also if they are cancelled then.
/// Whoever cancels them, and goes on, [seeks](File::seek) first, or uses offsets.
impl File {
    /// Reads up to `buf.len()` bytes at the file's position, which moves along; 0 at the end of the file
    /// (`Lwt_unix.read`). There may be fewer than the file has left. Whoever cancels it loses what a job that
    /// has begun reads, and finds the position moved.
    ///
    /// # Errors
    /// Those of `read`, with the path; `EBADF` when the file is closed.
    pub async fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
        self.fetch("read", &mut [IoSliceMut::new(buf)], Place::Position).await
    }

    /// [`read`](File::read) into several buffers, filled in their order (`Lwt_unix.readv`).
    ///
    /// # Errors
    /// As [`read`](File::read).
    pub async fn readv(&self, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.fetch("readv", bufs, Place::Position).await
    }

    /// Reads up to `buf.len()` bytes from `offset` on; the file's position stays (`Lwt_unix.pread`). A cancel
    /// loses nothing.
    ///
    /// ```
    /// use lwt_unix::file::File;
    /// # lwt_unix::run(async {
    /// let file = File::open("/proc/self/stat").await?;
    /// let mut buf = [0; 1];
    /// assert_eq!(file.pread(&mut buf, 0).await?, 1);
    /// assert!(buf[0].is_ascii_digit());
    /// # Ok::<_, lwt_core::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`read`](File::read).
    pub async fn pread(&self, buf: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.fetch("pread", &mut [IoSliceMut::new(buf)], Place::Offset(offset)).await
    }

    /// [`pread`](File::pread) into several buffers, filled in their order.
    ///
    /// # Errors
    /// As [`read`](File::read).
    pub async fn preadv(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize, Error> {
        self.fetch("preadv", bufs, Place::Offset(offset)).await
    }

    /// Reads at the file's position until `buf` is full. A cancel or an error loses the count of what has
    /// come.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; otherwise as [`read`](File::read).
    pub async fn read_exact(&self, buf: &mut [u8]) -> Result<(), Error> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => return Err(self.short("read", io::ErrorKind::UnexpectedEof)),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Reads from `offset` on until `buf` is full; the position stays. A cancel loses nothing.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; otherwise as [`read`](File::read).
    pub async fn pread_exact(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.pread(&mut buf[filled..], offset.saturating_add(filled as u64)).await? {
                0 => return Err(self.short("pread", io::ErrorKind::UnexpectedEof)),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Reads from the file's position to its end, and appends it to `content`; gives how many bytes that
    /// were. After a cancel or an error, `content` has what has come.
    ///
    /// # Errors
    /// `OutOfMemory` for a file that is too long; otherwise as [`read`](File::read).
    pub async fn read_to_end(&self, content: &mut Vec<u8>) -> Result<usize, Error> {
        let fail = |kind| self.short("read", kind);
        read_to_end(content, usize::MAX, async |room| self.read(room).await, fail).await
    }

    /// [`read_to_end`](File::read_to_end) for text.
    ///
    /// # Errors
    /// `InvalidData` if what is read is no UTF-8, and `content` is as it was; otherwise as
    /// [`read`](File::read).
    pub async fn read_to_string(&self, content: &mut String) -> Result<usize, Error> {
        let mut bytes = Vec::new();
        let n = self.read_to_end(&mut bytes).await?;
        match String::from_utf8(bytes) {
            Ok(text) => content.push_str(&text),
            Err(_) => return Err(self.short("read", io::ErrorKind::InvalidData)),
        }
        Ok(n)
    }

    /// Writes from the front of `buf` at the file's position, which moves along; perhaps not all of it
    /// (`Lwt_unix.write`). A job that has begun writes even if it is cancelled.
    ///
    /// # Errors
    /// Those of `write`, such as `StorageFull`, with the path; `EBADF` when the file is closed.
    pub async fn write(&self, buf: &[u8]) -> Result<usize, Error> {
        self.store("write", &[IoSlice::new(buf)], Place::Position).await
    }

    /// [`write`](File::write) from several buffers in their order (`Lwt_unix.writev`).
    ///
    /// # Errors
    /// As [`write`](File::write).
    pub async fn writev(&self, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.store("writev", bufs, Place::Position).await
    }

    /// Writes from the front of `buf` from `offset` on; the file's position stays (`Lwt_unix.pwrite`). In a
    /// file that was opened to append, Linux writes to the end all the same.
    ///
    /// # Errors
    /// As [`write`](File::write).
    pub async fn pwrite(&self, buf: &[u8], offset: u64) -> Result<usize, Error> {
        self.store("pwrite", &[IoSlice::new(buf)], Place::Offset(offset)).await
    }

    /// [`pwrite`](File::pwrite) from several buffers in their order.
    ///
    /// # Errors
    /// As [`write`](File::write).
    pub async fn pwritev(&self, bufs: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.store("pwritev", bufs, Place::Offset(offset)).await
    }

    /// Writes all of `buf` at the file's position. A cancel or an error loses the count of what was written.
    ///
    /// # Errors
    /// `WriteZero` when the system takes nothing more without saying why; otherwise as
    /// [`write`](File::write).
    pub async fn write_all(&self, mut buf: &[u8]) -> Result<(), Error> {
        while !buf.is_empty() {
            match self.write(buf).await? {
                0 => return Err(self.short("write", io::ErrorKind::WriteZero)),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }

    /// Writes all of `buf` from `offset` on; the position stays.
    ///
    /// # Errors
    /// As [`write_all`](File::write_all).
    pub async fn pwrite_all(&self, mut buf: &[u8], mut offset: u64) -> Result<(), Error> {
        while !buf.is_empty() {
            match self.pwrite(buf, offset).await? {
                0 => return Err(self.short("pwrite", io::ErrorKind::WriteZero)),
                n => {
                    buf = &buf[n..];
                    offset = offset.saturating_add(n as u64);
                }
            }
        }
        Ok(())
    }

    #[track_caller]
    fn short(&self, call: &'static str, kind: io::ErrorKind) -> Error {
        let path = self.with(call, |open| open.path().display().to_string());
        match path {
            Ok(path) => OsError::rejection(call, Some(path.into()), io::Error::from(kind)),
            Err(closed) => closed,
        }
    }

    /// All of reading.
    async fn fetch(
        &self,
        call: &'static str,
        bufs: &mut [IoSliceMut<'_>],
        place: Place,
    ) -> Result<usize, Error> {
        breathe().await?;
        if let Some(n) = self.with(call, |open| open.fetch_cached(bufs, place))? {
            for _ in 0..=n / PIECE {
                spent();
            }
            return Ok(n);
        }
        let open = self.hold(call)?;
        let room = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MOST);
        let moving = (place == Place::Position).then(|| open.moving());
        let read = open.job(call, move |fd| {
            let _moving = moving;
            let mut bytes = vec![0; room];
            let n = read_at(fd, &mut bytes, place)?;
            bytes.truncate(n);
            Ok(bytes)
        });
        let bytes = read.await?;
        let mut rest = &bytes[..];
        for buf in bufs {
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
        }
        Ok(bytes.len())
    }

    /// All of writing.
    async fn store(&self, call: &'static str, bufs: &[IoSlice<'_>], place: Place) -> Result<usize, Error> {
        breathe().await?;
        let open = self.hold(call)?;
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MOST);
        let mut bytes = Vec::with_capacity(len);
        for buf in bufs {
            bytes.extend_from_slice(&buf[..buf.len().min(len - bytes.len())]);
        }
        let moving = (place == Place::Position).then(|| open.moving());
        let written = open.job(call, move |fd| {
            let _moving = moving;
            match place {
                Place::Position => sys::write(fd, &bytes),
                Place::Offset(offset) => pwrite(fd, &bytes, offset),
            }
        });
        written.await
    }
}

/// Reads by a call that may wait.
pub(super) fn read_at(fd: BorrowedFd<'_>, bytes: &mut [u8], place: Place) -> io::Result<usize> {
    match place {
        Place::Position => sys::read(fd, &Room::from(bytes)),
        Place::Offset(offset) => pread(fd, &Room::from(bytes), offset),
    }
}

impl Open {
    /// What can be read without waiting; `None` for "ask on a thread", be it for the error.
    #[inline]
    pub(super) fn fetch_cached(&self, bufs: &mut [IoSliceMut<'_>], place: Place) -> Option<usize> {
        if !self.nowait.load(Ordering::Relaxed) || !cached::wanted() {
            return None;
        }
        if place == Place::Position && !self.may_move() {
            return None;
        }
        match readv_front(self.fd(), bufs, place, MOST) {
            Ok(0) => self.is_at_end(bufs, place).then_some(0),
            Ok(n) => Some(n),
            Err(error) => {
                if is_unsupported(&error) {
                    self.nowait.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// Whether a read that brought nothing has met the end of the file: some kernels have said 0 of what was
    /// not cached.
    fn is_at_end(&self, bufs: &[IoSliceMut<'_>], place: Place) -> bool {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return true;
        }
        let place = match place {
            Place::Offset(offset) => Ok(offset),
            Place::Position => sys::file::seek(self.fd(), 0, libc::SEEK_CUR),
        };
        match (place, cached::fstat(self.fd())) {
            (Ok(place), Ok(stats)) => stats.is_file() && place >= stats.size,
            _ => false,
        }
    }
}
