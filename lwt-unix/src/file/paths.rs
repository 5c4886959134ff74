//! Calls on paths that are one system call each. All of them are jobs: a cancel before the job has begun
//! undoes the call, and afterwards has no effect on it.

use std::ffi::OsString;
use std::ops::BitOr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use lwt_core::Promise;

use super::call::{on_path, on_paths};
use crate::fd::During;
use crate::{job, sys};

/// Removes a name, and the file with its last one (`Lwt_unix.unlink`). Directories are for [`rmdir`].
///
/// ```
/// use lwt_unix::file;
/// # lwt_unix::run(file::with_temp_dir(|dir| async move {
/// file::write(dir.join("a"), "text").await?;
/// file::rename(dir.join("a"), dir.join("b")).await?;
/// file::unlink(dir.join("b")).await?;
/// assert!(!file::file_exists(dir.join("b")).await?);
/// # Ok::<_, lwt_core::Error>(())
/// # })).unwrap();
/// ```
///
/// # Errors
/// Those of `unlink`, with the path.
#[track_caller]
pub fn unlink(path: impl AsRef<Path>) -> Promise<()> {
    on_path("unlink", path, sys::path::unlink)
}

/// Gives a file another name, in place of what has that name (`Lwt_unix.rename`).
///
/// # Errors
/// Those of `rename`, with both paths.
#[track_caller]
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Promise<()> {
    on_paths("rename", [from.as_ref(), to.as_ref()], sys::path::rename)
}

/// Gives a file one more name (`Lwt_unix.link`).
///
/// # Errors
/// Those of `link`, with both paths.
#[track_caller]
pub fn link(file: impl AsRef<Path>, name: impl AsRef<Path>) -> Promise<()> {
    on_paths("link", [file.as_ref(), name.as_ref()], sys::path::link)
}

/// Makes `name` a symbolic link to `target`, which is written into it as it is (`Lwt_unix.symlink`).
///
/// # Errors
/// Those of `symlink`, with both paths.
#[track_caller]
pub fn symlink(target: impl AsRef<Path>, name: impl AsRef<Path>) -> Promise<()> {
    on_paths("symlink", [target.as_ref(), name.as_ref()], sys::path::symlink)
}

/// What is written in a symbolic link, however long it is (`Lwt_unix.readlink`).
///
/// # Errors
/// Those of `readlink`, with the path; `InvalidInput` for what is no link.
#[track_caller]
pub fn readlink(path: impl AsRef<Path>) -> Promise<PathBuf> {
    on_path("readlink", path, |path| Ok(PathBuf::from(OsString::from_vec(sys::path::readlink(path)?))))
}

/// Makes a named pipe with these permissions, less the process's mask (`Lwt_unix.mkfifo`).
///
/// # Errors
/// Those of `mkfifo`, with the path.
#[track_caller]
pub fn mkfifo(path: impl AsRef<Path>, mode: u32) -> Promise<()> {
    on_path("mkfifo", path, move |path| sys::path::mkfifo(path, mode as libc::mode_t))
}

/// Makes a directory with these permissions, less the process's mask (`Lwt_unix.mkdir`).
///
/// # Errors
/// Those of `mkdir`, with the path.
#[track_caller]
pub fn mkdir(path: impl AsRef<Path>, mode: u32) -> Promise<()> {
    on_path("mkdir", path, move |path| sys::path::mkdir(path, mode as libc::mode_t))
}

/// Removes an empty directory (`Lwt_unix.rmdir`). See [`delete_recursively`](super::delete_recursively) for
/// others.
///
/// # Errors
/// Those of `rmdir`, with the path.
#[track_caller]
pub fn rmdir(path: impl AsRef<Path>) -> Promise<()> {
    on_path("rmdir", path, sys::path::rmdir)
}

/// Sets the permission bits of a file (`Lwt_unix.chmod`).
///
/// # Errors
/// Those of `chmod`, with the path.
#[track_caller]
pub fn chmod(path: impl AsRef<Path>, mode: u32) -> Promise<()> {
    on_path("chmod", path, move |path| sys::path::chmod(path, mode as libc::mode_t))
}

/// Sets owner and group of a file; `None` leaves one as it is (`Lwt_unix.chown`).
///
/// # Errors
/// Those of `chown`, with the path.
#[track_caller]
pub fn chown(path: impl AsRef<Path>, user: Option<u32>, group: Option<u32>) -> Promise<()> {
    let (user, group) = (user.unwrap_or(u32::MAX), group.unwrap_or(u32::MAX));
    on_path("chown", path, move |path| sys::path::chown(path, user, group, true))
}

/// [`chown`] of a symbolic link itself.
///
/// # Errors
/// Those of `lchown`, with the path.
#[track_caller]
pub fn lchown(path: impl AsRef<Path>, user: Option<u32>, group: Option<u32>) -> Promise<()> {
    let (user, group) = (user.unwrap_or(u32::MAX), group.unwrap_or(u32::MAX));
    on_path("lchown", path, move |path| sys::path::chown(path, user, group, false))
}

/// What [`access`] asks for; several are put together by `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(i32);

impl Access {
    /// That the file is there (`F_OK`).
    pub const EXISTS: Access = Access(libc::F_OK);
    /// That it may be read (`R_OK`).
    pub const READ: Access = Access(libc::R_OK);
    /// That it may be written (`W_OK`).
    pub const WRITE: Access = Access(libc::W_OK);
    /// That it may be executed, or searched if it is a directory (`X_OK`).
    pub const EXECUTE: Access = Access(libc::X_OK);
}

impl BitOr for Access {
    type Output = Access;
    fn bitor(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }
}

/// Resolved if the *real* user may do all of this, and rejected if not (`Lwt_unix.access`).
///
/// ```
/// use lwt_unix::file::{self, Access};
/// lwt_unix::run(file::access("/", Access::READ | Access::EXECUTE)).unwrap();
/// ```
///
/// # Errors
/// Those of `access`, with the path.
#[track_caller]
pub fn access(path: impl AsRef<Path>, wanted: Access) -> Promise<()> {
    on_path("access", path, move |path| sys::path::access(path, wanted.0))
}

/// Makes a file so many bytes long (`Lwt_unix.truncate`): what is behind is lost, what is new is zeros.
///
/// # Errors
/// Those of `truncate`, with the path.
#[track_caller]
pub fn truncate(path: impl AsRef<Path>, len: u64) -> Promise<()> {
    on_path("truncate", path, move |path| sys::path::truncate(path, len))
}

/// Changes the current directory, which is that of the whole process (`Lwt_unix.chdir`). A relative path
/// means what it means when its job begins: those of jobs that were asked for before may lead from the old
/// one or from the new one.
///
/// # Errors
/// Those of `chdir`, with the path.
#[track_caller]
pub fn chdir(path: impl AsRef<Path>) -> Promise<()> {
    on_path("chdir", path, sys::path::chdir)
}

/// Changes the root directory of the whole process (`Lwt_unix.chroot`). The current directory stays, and
/// should be [changed](chdir) next. Jobs that were asked for before may find the old one or the new one.
///
/// # Errors
/// Those of `chroot`, with the path; `PermissionDenied` without the privilege.
#[track_caller]
pub fn chroot(path: impl AsRef<Path>) -> Promise<()> {
    on_path("chroot", path, sys::path::chroot)
}

/// The current directory (`Lwt_unix.getcwd`).
///
/// ```
/// let here = lwt_unix::run(lwt_unix::file::getcwd()).unwrap();
/// assert!(here.is_absolute());
/// ```
///
/// # Errors
/// Those of `getcwd`, such as `NotFound` if it was removed.
#[track_caller]
pub fn getcwd() -> Promise<PathBuf> {
    job::run_job(None, || {
        let path = sys::path::current_directory().during("getcwd")?;
        Ok::<_, lwt_core::Error>(PathBuf::from(OsString::from_vec(path.into_bytes())))
    })
}
