//! [`Stats`]: what the system tells of a file; and asking for it.

use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lwt_core::{Promise, pause};

use super::cached::{self, Miss};
use super::call::{at_once, on_path, resolved, with_c_path};
use crate::fd::{During, exhausted};
use crate::sys;

/// What a name in a directory stands for (`Unix.file_kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A file with content of its own.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device of single bytes.
    CharDevice,
    /// A device of blocks.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// The address of a Unix socket.
    Socket,
    /// Something that this library does not know.
    Other,
}

impl FileKind {
    pub(super) fn of_mode(mode: libc::mode_t) -> FileKind {
        match mode & libc::S_IFMT {
            libc::S_IFREG => FileKind::Regular,
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Link,
            libc::S_IFCHR => FileKind::CharDevice,
            libc::S_IFBLK => FileKind::BlockDevice,
            libc::S_IFIFO => FileKind::Fifo,
            libc::S_IFSOCK => FileKind::Socket,
            _ => FileKind::Other,
        }
    }

    /// What a directory's entry tells, if it does.
    pub(super) fn of_entry(kind: u8) -> Option<FileKind> {
        match kind {
            libc::DT_UNKNOWN => None,
            libc::DT_REG => Some(FileKind::Regular),
            libc::DT_DIR => Some(FileKind::Directory),
            libc::DT_LNK => Some(FileKind::Link),
            libc::DT_CHR => Some(FileKind::CharDevice),
            libc::DT_BLK => Some(FileKind::BlockDevice),
            libc::DT_FIFO => Some(FileKind::Fifo),
            libc::DT_SOCK => Some(FileKind::Socket),
            _ => Some(FileKind::Other),
        }
    }
}

/// The attributes of a file (`Unix.LargeFile.stats`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The device on which it lies (`st_dev`).
    pub device: u64,
    /// Its number there (`st_ino`).
    pub inode: u64,
    /// What it is (`st_kind`).
    pub kind: FileKind,
    /// The permission bits, set-user-id and its like included (`st_perm`).
    pub permissions: u32,
    /// How many names it has (`st_nlink`).
    pub links: u64,
    /// The user who owns it (`st_uid`).
    pub user: u32,
    /// The group that owns it (`st_gid`).
    pub group: u32,
    /// The device that it stands for, if it stands for one (`st_rdev`).
    pub special: u64,
    /// Its length in bytes (`st_size`).
    pub size: u64,
    /// How much room it takes, in units of 512 bytes (`st_blocks`).
    pub blocks: u64,
    /// When it was last read, as far as that is kept (`st_atime`).
    pub accessed: SystemTime,
    /// When its content was last changed (`st_mtime`).
    pub modified: SystemTime,
    /// When its attributes were last changed (`st_ctime`).
    pub changed: SystemTime,
}

impl Stats {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind == FileKind::Regular
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.kind == FileKind::Link
    }

    // What is one type on one system is another elsewhere.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    pub(super) fn of_stat(stat: &libc::stat) -> Stats {
        Stats {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            kind: FileKind::of_mode(stat.st_mode),
            permissions: u32::from(stat.st_mode) & 0o7777,
            links: stat.st_nlink as u64,
            user: stat.st_uid,
            group: stat.st_gid,
            special: stat.st_rdev as u64,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            accessed: time(stat.st_atime as i64, stat.st_atime_nsec as u32),
            modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn of_statx(stat: &libc::statx) -> Stats {
        let moment = |at: &libc::statx_timestamp| time(at.tv_sec, at.tv_nsec);
        Stats {
            device: libc::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            kind: FileKind::of_mode(stat.stx_mode.into()),
            permissions: u32::from(stat.stx_mode) & 0o7777,
            links: stat.stx_nlink.into(),
            user: stat.stx_uid,
            group: stat.stx_gid,
            special: libc::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            accessed: moment(&stat.stx_atime),
            modified: moment(&stat.stx_mtime),
            changed: moment(&stat.stx_ctime),
        }
    }
}

/// A time as the system tells it; what `SystemTime` cannot hold is the epoch.
fn time(seconds: i64, nanos: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds >= 0 { UNIX_EPOCH.checked_add(whole) } else { UNIX_EPOCH.checked_sub(whole) };
    whole.and_then(|time| time.checked_add(Duration::from_nanos(nanos.into()))).unwrap_or(UNIX_EPOCH)
}

/// The attributes of the file that `path` leads to (`Lwt_unix.stat`, `Lwt_unix.LargeFile.stat`).
///
/// It is answered at once if the kernel has the answer in memory, and by a job otherwise. A cancel loses
/// nothing.
///
/// ```
/// use lwt_unix::file;
/// let stats = lwt_unix::run(file::stat("/")).unwrap();
/// assert!(stats.is_dir());
/// let error = lwt_unix::run(file::stat("/no/such/file")).unwrap_err();
/// assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
/// ```
///
/// # Errors
/// Those of `stat`, with the path.
#[track_caller]
pub fn stat(path: impl AsRef<Path>) -> Promise<Stats> {
    ask("stat", path.as_ref(), true)
}

/// [`stat`] that tells of a symbolic link itself (`Lwt_unix.lstat`).
///
/// # Errors
/// Those of `lstat`, with the path.
#[track_caller]
pub fn lstat(path: impl AsRef<Path>) -> Promise<Stats> {
    ask("lstat", path.as_ref(), false)
}

#[track_caller]
fn ask(call: &'static str, path: &Path, follow: bool) -> Promise<Stats> {
    if exhausted() {
        let path = path.to_owned();
        return pause().bind(move |()| ask(call, &path, follow));
    }
    match with_c_path(path, |path| Ok(cached::stat(path, follow))) {
        Ok(Ok(answer)) => at_once(answer.during_on(call, path.display())),
        Ok(Err(miss)) => on_path(call, path, move |path| on_thread(path, follow, miss)),
        Err(error) => resolved(Err(error).during_on(call, path.display())),
    }
}

fn on_thread(path: &CStr, follow: bool, miss: Miss) -> io::Result<Stats> {
    if miss == Miss::Unknown {
        cached::learn_path(path, follow);
    }
    sys::path::stat(None, path, follow).map(|stat| Stats::of_stat(&stat))
}

/// Whether `path` leads to anything (`Lwt_unix.file_exists`): false also where a part of it is no directory,
/// or a link leads nowhere. Otherwise as [`stat`].
///
/// ```
/// use lwt_unix::file;
/// assert!(lwt_unix::run(file::file_exists("/")).unwrap());
/// assert!(!lwt_unix::run(file::file_exists("/proc/self/comm/below")).unwrap());
/// ```
///
/// # Errors
/// Those of `stat` that do not answer the question, such as a directory that may not be searched.
#[track_caller]
pub fn file_exists(path: impl AsRef<Path>) -> Promise<bool> {
    stat(path).try_bind(
        |_| Promise::ready(true),
        |error| match error.io_kind() {
            Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Promise::ready(false),
            _ => Promise::fail(error),
        },
    )
}
