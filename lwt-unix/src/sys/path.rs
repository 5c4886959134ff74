//! Calls that take a path. Rules: see the head of [`sys`](crate::sys).
//!
//! 1. Paths are strings with their zero byte, alive during the call, which reads them only.

use std::ffi::{CStr, CString};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_char, c_int, mode_t};

use super::descriptor::checked;
use super::{count, retry};

/// A call that takes a path and nothing else.
type Plain = unsafe extern "C" fn(*const c_char) -> c_int;
/// A call that takes two paths.
type Double = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;
/// A call that takes a path and a mode.
type Mode = unsafe extern "C" fn(*const c_char, mode_t) -> c_int;

fn plain(name: &'static str, path: &CStr, call: Plain) -> io::Result<()> {
    // SAFETY: rule 1; private, and called only with calls that do no more than that.
    retry(name, || unsafe { call(path.as_ptr()) }).map(drop)
}

fn double(name: &'static str, one: &CStr, other: &CStr, call: Double) -> io::Result<()> {
    // SAFETY: rule 1, twice; as `plain`.
    retry(name, || unsafe { call(one.as_ptr(), other.as_ptr()) }).map(drop)
}

fn with_mode(name: &'static str, path: &CStr, mode: mode_t, call: Mode) -> io::Result<()> {
    // SAFETY: rule 1; as `plain`.
    retry(name, || unsafe { call(path.as_ptr(), mode) }).map(drop)
}

/// `unlink`.
pub(crate) fn unlink(path: &CStr) -> io::Result<()> {
    plain("unlink", path, libc::unlink)
}

/// `rmdir`.
pub(crate) fn rmdir(path: &CStr) -> io::Result<()> {
    plain("rmdir", path, libc::rmdir)
}

/// `chdir`.
pub(crate) fn chdir(path: &CStr) -> io::Result<()> {
    plain("chdir", path, libc::chdir)
}

/// `chroot`.
pub(crate) fn chroot(path: &CStr) -> io::Result<()> {
    plain("chroot", path, libc::chroot)
}

/// `rename`.
pub(crate) fn rename(from: &CStr, to: &CStr) -> io::Result<()> {
    double("rename", from, to, libc::rename)
}

/// `link`.
pub(crate) fn link(file: &CStr, name: &CStr) -> io::Result<()> {
    double("link", file, name, libc::link)
}

/// `symlink`.
pub(crate) fn symlink(content: &CStr, name: &CStr) -> io::Result<()> {
    double("symlink", content, name, libc::symlink)
}

/// `mkdir`.
pub(crate) fn mkdir(path: &CStr, mode: mode_t) -> io::Result<()> {
    with_mode("mkdir", path, mode, libc::mkdir)
}

/// `mkfifo`.
pub(crate) fn mkfifo(path: &CStr, mode: mode_t) -> io::Result<()> {
    with_mode("mkfifo", path, mode, libc::mkfifo)
}

/// `chmod`.
pub(crate) fn chmod(path: &CStr, mode: mode_t) -> io::Result<()> {
    with_mode("chmod", path, mode, libc::chmod)
}

/// `access`.
pub(crate) fn access(path: &CStr, mode: c_int) -> io::Result<()> {
    // SAFETY: rule 1.
    retry("access", || unsafe { libc::access(path.as_ptr(), mode) }).map(drop)
}

/// `chown`, or `lchown` of a link itself; an id of `u32::MAX` is left as it is.
pub(crate) fn chown(path: &CStr, user: u32, group: u32, follow: bool) -> io::Result<()> {
    let (name, call) =
        if follow { ("chown", libc::chown as Owner) } else { ("lchown", libc::lchown as Owner) };
    // SAFETY: rule 1, and integers.
    retry(name, || unsafe { call(path.as_ptr(), user, group) }).map(drop)
}

type Owner = unsafe extern "C" fn(*const c_char, libc::uid_t, libc::gid_t) -> c_int;

/// `truncate`.
pub(crate) fn truncate(path: &CStr, len: u64) -> io::Result<()> {
    let len = checked(len)?;
    // SAFETY: rule 1, and an integer.
    retry("truncate", || unsafe { libc::truncate(path.as_ptr(), len) }).map(drop)
}

/// `utimensat`, relative to the current directory: last access, last change.
pub(crate) fn set_times(path: &CStr, times: &[libc::timespec; 2], follow: bool) -> io::Result<()> {
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    retry("utimensat", || {
        // SAFETY: rule 1, and an array of the two elements that the call reads.
        unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), flags) }
    })
    .map(drop)
}

/// `fstatat`, relative to `dir` or to the current directory.
pub(crate) fn stat(dir: Option<BorrowedFd<'_>>, path: &CStr, follow: bool) -> io::Result<libc::stat> {
    let dir = dir.map_or(libc::AT_FDCWD, |dir| dir.as_raw_fd());
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: plain data, for which zeros are valid.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: rule 1, and the structure that the call fills.
    retry("fstatat", || unsafe { libc::fstatat(dir, path.as_ptr(), &raw mut stat, flags) })?;
    Ok(stat)
}

/// `unlinkat`: of a directory, or of anything else.
pub(crate) fn unlink_at(dir: BorrowedFd<'_>, name: &CStr, directory: bool) -> io::Result<()> {
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: rule 1, and integers.
    retry("unlinkat", || unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) }).map(drop)
}

/// `renameat`, inside one directory.
pub(crate) fn rename_at(dir: BorrowedFd<'_>, from: &CStr, to: &CStr) -> io::Result<()> {
    let dir = dir.as_raw_fd();
    // SAFETY: rule 1, twice.
    retry("renameat", || unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) }).map(drop)
}

/// `readlink`.
pub(crate) fn readlink(path: &CStr) -> io::Result<Vec<u8>> {
    let mut content = vec![0; 256];
    loop {
        let n = retry("readlink", || {
            // SAFETY: rule 1, and a buffer with its length.
            unsafe { libc::readlink(path.as_ptr(), content.as_mut_ptr().cast(), content.len()) }
        })
        .map(count)?;
        // As long as the buffer is, it may have been cut.
        if n < content.len() {
            content.truncate(n);
            return Ok(content);
        }
        content.resize(content.len() * 2, 0);
    }
}

/// `getcwd`.
pub(crate) fn current_directory() -> io::Result<CString> {
    let mut path = vec![0_u8; 256];
    loop {
        let got = retry("getcwd", || {
            // SAFETY: a buffer with its length.
            let got = unsafe { libc::getcwd(path.as_mut_ptr().cast(), path.len()) };
            if got.is_null() { -1 } else { 0 }
        });
        match got {
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) => path.resize(path.len() * 2, 0),
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
    CString::new(path).map_err(io::Error::from)
}
