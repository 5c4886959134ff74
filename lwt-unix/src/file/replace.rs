//! Replacing a file by another one, all at once.
//!
//! 1. The new content is written into a file of another name in the same directory, and brought to the disk;
//!    then that file gets the name, and the directory is brought to the disk. Whoever opens the file finds
//!    the old content or the new one, and so does a machine that lost power.
//! 2. A [`Draft`] that is dropped before that removes its file.
//! 3. Nobody may read or run the new file who might not the old one: it is its owner's alone until it has the
//!    old one's owner, group and permissions, and rights of an owner or a group that it could not get are not
//!    given to another.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use lwt_core::{Error, Promise, spawn};

use super::call::split;
use super::handle::File;
use super::stats::FileKind;
use super::temp::random_name;
use super::whole::write_all;
use crate::fd::During;
use crate::{job, sys};

/// New content that does not have its name yet.
struct Draft {
    dir: OwnedFd,
    name: CString,
    temporary: CString,
    /// What the file of that name is, so that the new one gets its owner and permissions.
    old: Option<libc::stat>,
}

impl Draft {
    fn begin(path: &Path) -> io::Result<(Draft, OwnedFd)> {
        let (dir, name) = split(path)?;
        let dir = sys::file::open(None, &dir, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        let old = match sys::path::stat(Some(dir.as_fd()), &name, false) {
            Ok(stat) => match FileKind::of_mode(stat.st_mode) {
                FileKind::Regular => Some(stat),
                FileKind::Link => None,
                FileKind::Directory => return Err(io::Error::from_raw_os_error(libc::EISDIR)),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // Until it has the old one's, nobody else is to read what may be secret.
        let mode = if old.is_some() { 0o600 } else { 0o666 };
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let (fd, temporary) = random_name(".", ".new", |name| {
            Ok((sys::file::open(Some(dir.as_fd()), name, flags, mode)?, name.to_owned()))
        })?;
        Ok((Draft { dir, name, temporary, old }, fd))
    }

    fn commit(mut self, fd: impl AsFd) -> io::Result<()> {
        let fd = fd.as_fd();
        if let Some(old) = &self.old {
            sys::file::change_mode(fd, take_over(fd, old)?)?;
        }
        sys::file::sync(fd)?;
        sys::path::rename_at(self.dir.as_fd(), &self.temporary, &self.name)?;
        self.temporary = CString::default();
        match sys::file::sync(self.dir.as_fd()) {
            // Some file systems have no such thing for directories.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            done => done,
        }
    }
}

/// Gives a new file the owner and the group of the old one, as far as allowed; gives the permissions that it
/// may have then.
fn take_over(fd: BorrowedFd<'_>, old: &libc::stat) -> io::Result<libc::mode_t> {
    let mut new = sys::file::fstat(fd)?;
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) {
        // Only the superuser may give a file away; to a group, its owner may, who is in it.
        if sys::file::change_owner(fd, old.st_uid, old.st_gid).is_err() {
            let _ = sys::file::change_owner(fd, u32::MAX, old.st_gid);
        }
        new = sys::file::fstat(fd)?;
    }
    let mut mode = old.st_mode & 0o7777;
    if new.st_uid != old.st_uid {
        mode &= !libc::S_ISUID;
    }
    if new.st_gid != old.st_gid {
        mode &= !(libc::S_ISGID | libc::S_IRWXG);
    }
    Ok(mode)
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.temporary.is_empty() {
            // Nobody is left to hear of an error.
            let _ = sys::path::unlink_at(self.dir.as_fd(), &self.temporary, false);
        }
    }
}

/// Makes `contents` the content of the file `path`, all at once: whoever opens it, also after a crash, finds
/// the old content or the new one. The promise is resolved when the new one is on the disk.
///
/// The new file has the permissions, and as far as allowed the owner and the group, of the old one; a group
/// that it cannot have is given no rights to it. Access control lists and other extended attributes do not
/// come along. Other names of the old file keep the old content, and where `path` is a link, the link is
/// replaced.
///
/// One job: a cancel before it has begun undoes it, and afterwards has no effect on it. Neither a cancel nor
/// an error leaves anything behind.
///
/// ```
/// use lwt_unix::file;
/// # lwt_unix::run(file::with_temp_dir(|dir| async move {
/// let path = dir.join("settings");
/// file::replace(&path, "colour = red\n").await?;
/// file::replace(&path, "colour = blue\n").await?;
/// assert_eq!(file::read(&path).await?, b"colour = blue\n");
/// # Ok::<_, lwt_core::Error>(())
/// # })).unwrap();
/// ```
///
/// # Errors
/// Those of `open`, `write`, `fsync` and `rename`, with the path; `IsADirectory`, and `InvalidInput` for a
/// pipe or a device. The file is as it was then, unless the last step failed, which brings the new name to
/// the disk.
#[track_caller]
pub fn replace(path: impl AsRef<Path>, contents: impl Into<Vec<u8>>) -> Promise<()> {
    let (path, contents) = (path.as_ref().to_owned(), contents.into());
    job::run_job(None, move || {
        let all = || {
            let (draft, fd) = Draft::begin(&path)?;
            write_all(fd.as_fd(), &contents)?;
            draft.commit(fd)
        };
        all().during_on("replace", path.display())
    })
}

/// [`replace`] for content that is written piece by piece: `f` gets a new, empty file, open for reading and
/// writing, and the file `path` is replaced by it when `f`'s future has ended well.
///
/// If `f` fails, or is cancelled, the file is as it was, and nothing is left behind. (What a job makes that
/// had begun when a cancel came is removed when that job has ended.) A cancel after `f` is as with
/// [`replace`].
///
/// ```
/// use lwt_unix::file;
/// # lwt_unix::run(file::with_temp_dir(|dir| async move {
/// let path = dir.join("report");
/// file::replace_with(&path, |file| async move {
///     file.write_all(b"line 1\n").await?;
///     file.write_all(b"line 2\n").await
/// }).await?;
/// assert_eq!(file::read(&path).await?, b"line 1\nline 2\n");
/// # Ok::<_, lwt_core::Error>(())
/// # })).unwrap();
/// ```
///
/// # Errors
/// That of `f`; otherwise as [`replace`].
#[track_caller]
pub fn replace_with<T, E, F>(path: impl AsRef<Path>, f: impl FnOnce(File) -> F + 'static) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    let path = path.as_ref().to_owned();
    spawn(async move {
        let begun = {
            let path = path.clone();
            job::run_job(None, move || Draft::begin(&path).during_on("replace", path.display()))
        };
        let (draft, fd) = begun.await?;
        let file = File::from_parts(fd, &path);
        let written = {
            let file = file.clone();
            f(file).await.map_err(Into::into)
        };
        let open = file.hold("replace");
        match (written, open) {
            (Ok(value), Ok(open)) => {
                let done = job::run_job(None, move || {
                    draft.commit(open.fd()).during_on("replace", open.path().display())
                });
                done.await?;
                Ok(value)
            }
            // The file is removed by a thread, which may have to wait for the disk.
            (Err(error), _) | (_, Err(error)) => {
                let removed = job::run_job(None, move || {
                    drop(draft);
                    Ok::<_, Error>(())
                });
                removed.no_cancel().await?;
                Err(error)
            }
        }
    })
}
