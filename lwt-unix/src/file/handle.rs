//! [`File`]: an open file, and what concerns it as a whole. Reading and writing are in `transfer.rs`.
//!
//! 1. A job holds the open file, so a number is not given again while a thread uses it.
//! 2. `moving` counts the jobs that read, write or move at the file's position, from before each is asked for
//!    until its thread is done with it. Only without them may the loop's thread do the same: the kernel has
//!    them take turns.
//! 3. `nowait` is cleared when the kernel says that it cannot answer for this file without waiting.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lwt_core::{Error, Promise, pause};

use super::cached;
use super::call::at_once;
use super::open::OpenOptions;
use super::stats::Stats;
use super::times::{FileTime, pair};
use crate::fd::{During, Fd, OsError, exhausted};
use crate::{job, sys};

/// An open file of the file system.
///
/// It is a handle: `clone` gives another one on the same file and position. The file is closed by
/// [`close`](File::close), or, on this thread, when its last handle is dropped. Offsets and lengths have 64
/// bits (`Lwt_unix.LargeFile`).
///
/// What the kernel has in its cache is read at once; everything else is a [job](crate::job). Operations that
/// are under way together are carried out in no particular order. **Cancelling:** a job that has not begun
/// never does, and one that has goes on to its end; what that means is told where it matters.
///
/// Pipes and terminals are better served by an [`Fd`], which waits for them without a thread:
/// [`into_fd`](File::into_fd).
///
/// ```
/// use lwt_unix::file::File;
/// # fn main() -> Result<(), lwt_core::Error> {
/// let name = lwt_unix::run(async {
///     let file = File::open("/proc/self/comm").await?;
///     let mut name = String::new();
///     file.read_to_string(&mut name).await?;
///     file.close().await?;
///     Ok::<_, lwt_core::Error>(name)
/// })?;
/// assert!(name.ends_with('\n'));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct File {
    slot: Rc<RefCell<Option<Arc<Open>>>>,
}

/// A file that is open as long as somebody has this.
pub(super) struct Open {
    fd: OwnedFd,
    path: Box<Path>,
    pub(super) nowait: AtomicBool,
    pub(super) moving: AtomicUsize,
    /// It lies on a local file system, and is open for reading only.
    local: bool,
}

/// One of the jobs of rule 2.
pub(super) struct Moving(Arc<Open>);

impl File {
    /// Opens a file for reading. See [`OpenOptions::open`].
    ///
    /// # Errors
    /// Those of `open`, with the path.
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Promise<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, made if there is none, or else with its content thrown away.
    ///
    /// # Errors
    /// Those of `open`, with the path.
    #[track_caller]
    pub fn create(path: impl AsRef<Path>) -> Promise<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// No options, to begin with: [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// A file that is open already; `path` is for errors. Its flags are left alone.
    pub fn from_fd(fd: OwnedFd, path: impl AsRef<Path>) -> File {
        File::from_parts(fd, path.as_ref())
    }

    pub(super) fn from_parts(fd: OwnedFd, path: &Path) -> File {
        File::make(fd, path, false)
    }

    pub(super) fn local(fd: OwnedFd, path: &Path) -> File {
        File::make(fd, path, true)
    }

    fn make(fd: OwnedFd, path: &Path, local: bool) -> File {
        let open =
            Open { fd, path: path.into(), nowait: AtomicBool::new(true), moving: AtomicUsize::new(0), local };
        File { slot: Rc::new(RefCell::new(Some(Arc::new(open)))) }
    }

    /// A second descriptor of the same open file, with the same position (`Lwt_unix.dup`).
    ///
    /// # Errors
    /// Those of `fcntl`; `EBADF` when the file is closed.
    pub fn try_clone_to_owned(&self) -> Result<OwnedFd, Error> {
        self.with("dup", |open| sys::descriptor::duplicate(open.fd()).during_on("dup", open.path.display()))?
    }

    /// The open file as an [`Fd`], which waits without a thread for what is no disk: a named pipe, a
    /// terminal, a device. The description is made non-blocking, unless it is that of a regular file. For
    /// its other handles the file is closed.
    ///
    /// ```
    /// use lwt_unix::file::{self, File, OpenOptions};
    /// # lwt_unix::run(file::with_temp_dir(|dir| async move {
    /// let path = dir.join("pipe");
    /// file::mkfifo(&path, 0o600).await?;
    /// let (reader, writer) = (File::open(&path), OpenOptions::new().write(true).open(&path));
    /// let (reader, writer) = lwt_core::both(reader, writer).await?;
    /// let (reader, writer) = (reader.into_fd()?, writer.into_fd()?);
    /// let mut buf = [0; 5];
    /// let reading = lwt_core::spawn(async move { reader.read_exact(&mut buf).await.map(|()| buf) });
    /// writer.write_all(b"hello").await?;
    /// assert_eq!(&reading.await?, b"hello");
    /// # Ok::<_, lwt_core::Error>(())
    /// # })).unwrap();
    /// ```
    ///
    /// # Errors
    /// `ResourceBusy` while a job has to do with the file, which stays open for its other handles then;
    /// `EBADF` when it is closed; those of [`Fd::new`].
    pub fn into_fd(self) -> Result<Fd, Error> {
        let mut slot = self.slot.borrow_mut();
        let open = slot.take().ok_or_else(|| OsError::closed("into_fd"))?;
        match Arc::try_unwrap(open) {
            Ok(open) => Fd::options().close_on_exec(false).adopt(open.fd),
            Err(open) => {
                let busy = Err(io::Error::from(io::ErrorKind::ResourceBusy));
                let busy = busy.during_on("into_fd", open.path.display());
                *slot = Some(open);
                busy
            }
        }
    }

    /// What is open, to hold on to.
    #[track_caller]
    pub(super) fn hold(&self, call: &'static str) -> Result<Arc<Open>, Error> {
        self.slot.borrow().clone().ok_or_else(|| OsError::closed(call))
    }

    /// What is open, for calls elsewhere that take any descriptor.
    pub(crate) fn held(&self, call: &'static str) -> Result<Arc<dyn AsFd + Send + Sync>, Error> {
        Ok(self.hold(call)?)
    }

    /// Looks at what is open.
    #[inline]
    pub(super) fn with<T>(&self, call: &'static str, f: impl FnOnce(&Open) -> T) -> Result<T, Error> {
        self.slot.borrow().as_deref().map(f).ok_or_else(|| OsError::closed(call))
    }

    /// A job that makes `call` on the file.
    #[track_caller]
    pub(super) fn job<T: Send + 'static>(
        &self,
        call: &'static str,
        f: impl FnOnce(BorrowedFd<'_>) -> io::Result<T> + Send + 'static,
    ) -> Promise<T> {
        match self.hold(call) {
            Ok(open) => open.job(call, f),
            Err(error) => Promise::fail(error),
        }
    }

    /// Closes the file, for all its handles (`Lwt_unix.close`): they are closed when this returns. The
    /// promise brings what the system says about it, which may be an error of an earlier write; the number is
    /// free then. But a job that is under way, be it a cancelled one, keeps the number until it ends, and
    /// nobody hears of such an error. A cancel changes nothing.
    ///
    /// # Errors
    /// `EBADF` when it is closed already; else those of `close`.
    #[track_caller]
    pub fn close(&self) -> Promise<()> {
        let Some(open) = self.slot.borrow_mut().take() else {
            return Promise::fail(OsError::closed("close"));
        };
        if open.local {
            // Nothing is left to be written: there is nothing to wait for, and no error.
            drop(open);
            return Promise::ready(());
        }
        job::run_job(None, move || match Arc::try_unwrap(open) {
            Ok(open) => sys::close(open.fd).during_on("close", open.path.display()),
            Err(_) => Ok(()),
        })
    }

    /// Moves the file's position, and gives it, from the beginning of the file (`Lwt_unix.lseek`).
    ///
    /// A cancel may leave the position moved.
    ///
    /// ```
    /// use std::io::SeekFrom;
    /// use lwt_unix::file;
    /// # lwt_unix::run(file::with_temp_file(|file, _| async move {
    /// file.write_all(b"0123456789").await?;
    /// assert_eq!(file.seek(SeekFrom::End(-3)).await?, 7);
    /// let mut rest = Vec::new();
    /// file.read_to_end(&mut rest).await?;
    /// assert_eq!(rest, b"789");
    /// # Ok::<_, lwt_core::Error>(())
    /// # })).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `lseek`, such as `InvalidInput` for a place before the beginning.
    #[track_caller]
    pub fn seek(&self, to: SeekFrom) -> Promise<u64> {
        let (offset, whence) = match to {
            SeekFrom::Start(offset) => match i64::try_from(offset) {
                Ok(offset) => (offset, libc::SEEK_SET),
                Err(_) => return Promise::fail(too_large("lseek")),
            },
            SeekFrom::Current(offset) => (offset, libc::SEEK_CUR),
            SeekFrom::End(offset) => (offset, libc::SEEK_END),
        };
        if exhausted() {
            let file = self.clone();
            return pause().bind(move |()| file.seek(to));
        }
        match self.hold("lseek") {
            // Only the end may have to be asked for, and only what moves has to be waited for.
            Ok(open) if open.may_move() && (open.local || whence != libc::SEEK_END) => {
                let place = sys::file::seek(open.fd(), offset, whence);
                at_once(place.during_on("lseek", open.path.display()))
            }
            Ok(open) => {
                let moving = open.moving();
                open.job("lseek", move |fd| {
                    let _moving = moving;
                    sys::file::seek(fd, offset, whence)
                })
            }
            Err(error) => Promise::fail(error),
        }
    }

    /// Makes the file so many bytes long (`Lwt_unix.ftruncate`): what is behind is lost, what is new is
    /// zeros. The position stays.
    ///
    /// # Errors
    /// Those of `ftruncate`.
    #[track_caller]
    pub fn truncate(&self, len: u64) -> Promise<()> {
        self.job("ftruncate", move |fd| sys::file::truncate(fd, len))
    }

    /// Waits until content and attributes are on the disk (`Lwt_unix.fsync`).
    ///
    /// # Errors
    /// Those of `fsync`. After one, what was written since the last success may be lost; trying again tells
    /// nothing.
    #[track_caller]
    pub fn sync(&self) -> Promise<()> {
        self.job("fsync", sys::file::sync)
    }

    /// Waits until the content is on the disk, with what is needed to find it (`Lwt_unix.fdatasync`); the
    /// same as [`sync`](File::sync) where the system has no such call.
    ///
    /// # Errors
    /// As [`sync`](File::sync).
    #[track_caller]
    pub fn sync_data(&self) -> Promise<()> {
        self.job("fdatasync", sys::file::sync_data)
    }

    /// Reserves room on the disk for `len` bytes from `offset` on, so that writing there does not fail for
    /// want of it. The file gets longer if they lie behind its end, unless `keep_size`.
    ///
    /// # Errors
    /// Those of `fallocate`: `StorageFull`; `Unsupported` where the file system cannot.
    #[track_caller]
    pub fn preallocate(&self, offset: u64, len: u64, keep_size: bool) -> Promise<()> {
        self.job("fallocate", move |fd| sys::file::allocate(fd, offset, len, keep_size))
    }

    /// The attributes (`Lwt_unix.fstat`): at once on local file systems, else by a job.
    ///
    /// # Errors
    /// Those of `fstat`.
    #[track_caller]
    pub fn stat(&self) -> Promise<Stats> {
        if exhausted() {
            let file = self.clone();
            return pause().bind(move |()| file.stat());
        }
        match self.with("fstat", |open| cached::fstat(open.fd())) {
            Ok(Ok(stats)) => at_once(Ok(stats)),
            Ok(Err(miss)) => self.job("fstat", move |fd| {
                if miss == cached::Miss::Unknown {
                    cached::learn(fd);
                }
                sys::file::fstat(fd).map(|stat| Stats::of_stat(&stat))
            }),
            Err(error) => Promise::fail(error),
        }
    }

    /// Sets the permission bits (`Lwt_unix.fchmod`).
    ///
    /// # Errors
    /// Those of `fchmod`.
    #[track_caller]
    pub fn set_permissions(&self, mode: u32) -> Promise<()> {
        self.job("fchmod", move |fd| sys::file::change_mode(fd, mode as libc::mode_t))
    }

    /// Sets the owner and the group; `None` leaves one as it is (`Lwt_unix.fchown`).
    ///
    /// # Errors
    /// Those of `fchown`.
    #[track_caller]
    pub fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> Promise<()> {
        let (user, group) = (user.unwrap_or(u32::MAX), group.unwrap_or(u32::MAX));
        self.job("fchown", move |fd| sys::file::change_owner(fd, user, group))
    }

    /// Sets the times of the last access and the last change. See [`utimes`](super::utimes).
    ///
    /// # Errors
    /// Those of `futimens`.
    #[track_caller]
    pub fn set_times(&self, accessed: impl Into<FileTime>, modified: impl Into<FileTime>) -> Promise<()> {
        let times = pair(accessed.into(), modified.into());
        self.job("futimens", move |fd| sys::file::set_times(fd, &times))
    }
}

impl Open {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this thread may use the file's position.
    #[inline]
    pub(super) fn may_move(&self) -> bool {
        self.moving.load(Ordering::Acquire) == 0
    }

    /// A job that uses the file's position is about to be asked for.
    pub(super) fn moving(self: &Arc<Open>) -> Moving {
        self.moving.fetch_add(1, Ordering::Relaxed);
        Moving(Arc::clone(self))
    }

    /// A job that makes `call` on the file.
    #[track_caller]
    pub(super) fn job<T: Send + 'static>(
        self: Arc<Open>,
        call: &'static str,
        f: impl FnOnce(BorrowedFd<'_>) -> io::Result<T> + Send + 'static,
    ) -> Promise<T> {
        job::run_job(None, move || f(self.fd()).during_on(call, self.path.display()))
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.0.moving.fetch_sub(1, Ordering::Release);
    }
}

/// The error for an offset that the system cannot count to.
#[track_caller]
fn too_large(call: &'static str) -> Error {
    OsError::rejection(call, None, io::Error::from_raw_os_error(libc::EOVERFLOW))
}

/// The file's number, `-1` once it is closed. The number alone keeps nothing open.
impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.slot.borrow().as_deref().map_or(-1, |open| open.fd.as_raw_fd())
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("File");
        match &*self.slot.borrow() {
            Some(open) => out.field("path", &open.path).field("fd", &open.fd).finish(),
            None => out.field("state", &"closed").finish(),
        }
    }
}
