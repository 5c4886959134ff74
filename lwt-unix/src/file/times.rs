//! [`FileTime`]: what the times of a file are set to.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lwt_core::Promise;

use super::call::on_path;
use crate::sys;

/// What a time of a file is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTime {
    /// The present, by the clock of the system.
    Now,
    /// It stays as it is.
    Keep,
    /// This, to the nanosecond, as far as the file system keeps it.
    At(SystemTime),
}

impl From<SystemTime> for FileTime {
    fn from(time: SystemTime) -> FileTime {
        FileTime::At(time)
    }
}

impl FileTime {
    // What is one type on one system is another elsewhere.
    #[allow(clippy::unnecessary_cast)]
    fn raw(self) -> libc::timespec {
        let (seconds, nanos) = match self {
            FileTime::Now => (0, libc::UTIME_NOW as i64),
            FileTime::Keep => (0, libc::UTIME_OMIT as i64),
            FileTime::At(time) => match time.duration_since(UNIX_EPOCH) {
                Ok(after) => (after.as_secs() as i64, i64::from(after.subsec_nanos())),
                // Seconds count back, nanoseconds always forth.
                Err(error) => {
                    let before = error.duration();
                    let seconds = 0_i64.saturating_sub_unsigned(before.as_secs());
                    match i64::from(before.subsec_nanos()) {
                        0 => (seconds, 0),
                        nanos => (seconds - 1, 1_000_000_000 - nanos),
                    }
                }
            },
        };
        libc::timespec { tv_sec: seconds as _, tv_nsec: nanos as _ }
    }
}

/// As the system takes them.
pub(super) fn pair(accessed: FileTime, modified: FileTime) -> [libc::timespec; 2] {
    [accessed.raw(), modified.raw()]
}

/// Sets the times of the last access and the last change of the file that `path` leads to (`Lwt_unix.utimes`,
/// where two zeros are [`FileTime::Now`]).
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use lwt_unix::file::{self, FileTime};
/// # lwt_unix::run(file::with_temp_dir(|dir| async move {
/// let path = dir.join("old");
/// file::write(&path, "text").await?;
/// file::utimes(&path, FileTime::Keep, UNIX_EPOCH + Duration::from_nanos(1_000_000_001)).await?;
/// assert_eq!(file::stat(&path).await?.modified, UNIX_EPOCH + Duration::from_nanos(1_000_000_001));
/// # Ok::<_, lwt_core::Error>(())
/// # })).unwrap();
/// ```
///
/// # Errors
/// Those of `utimensat`, with the path.
#[track_caller]
pub fn utimes(
    path: impl AsRef<Path>,
    accessed: impl Into<FileTime>,
    modified: impl Into<FileTime>,
) -> Promise<()> {
    let times = pair(accessed.into(), modified.into());
    on_path("utimes", path, move |path| sys::path::set_times(path, &times, true))
}

/// [`utimes`] of a symbolic link itself.
///
/// # Errors
/// Those of `utimensat`, with the path.
#[track_caller]
pub fn lutimes(
    path: impl AsRef<Path>,
    accessed: impl Into<FileTime>,
    modified: impl Into<FileTime>,
) -> Promise<()> {
    let times = pair(accessed.into(), modified.into());
    on_path("lutimes", path, move |path| sys::path::set_times(path, &times, false))
}
