//! Files and directories (`Lwt_unix`'s file calls, with `Lwt_unix.LargeFile`: all offsets and lengths have 64
//! bits).
//!
//! A disk has no readiness to wait for, so these calls are [jobs](crate::job), by the
//! [method](crate::job::AsyncMethod) in force; but what the kernel has in memory is answered at once, without
//! a thread: cached pages of an open file, opening for reading, and the attributes of paths that it knows.
//! That never waits either: the kernel is asked to say so rather than to wait, and only file systems of this
//! machine are asked at all. Creating, changing and writing always take a thread.
//!
//! * *Errors* name the call and the path: [`OsError`](crate::fd::OsError).
//! * *Cancelling* a job that has not begun undoes it; one that has begun goes on to its end. What that means
//!   is told where it matters; what was only asked for is lost without harm.
//!
//! ```
//! use lwt_unix::file;
//!
//! lwt_unix::main! {
//!     async fn main() -> Result<(), lwt_core::Error> {
//!         file::with_temp_dir(|dir| async move {
//!             let path = dir.join("greeting");
//!             file::write(&path, "hello").await?;
//!             assert_eq!(file::read_to_string(&path).await?, "hello");
//!             assert_eq!(file::stat(&path).await?.size, 5);
//!             Ok::<_, lwt_core::Error>(())
//!         })
//!         .await
//!     }
//! }
//! ```
//!
//! Files: `call`, how calls are made; `cached`, what needs no thread; `handle`, `open` and `transfer`, open
//! files; `stats`, `times`, `paths`, `dir`, what goes by path; `whole`, `replace`, `temp`, `remove`, what is
//! more than a call; `lock`.

#[cfg(target_os = "linux")]
mod cached;
#[cfg(not(target_os = "linux"))]
#[path = "uncached.rs"]
mod cached;
mod call;
mod dir;
mod handle;
mod lock;
mod open;
mod paths;
mod remove;
mod replace;
mod stats;
mod temp;
mod times;
mod transfer;
mod whole;

pub(crate) use self::cached::{hold, polled};
pub use self::dir::{Dir, DirEntry, files_of_directory, opendir};
pub use self::handle::File;
pub use self::lock::Lock;
pub use self::open::OpenOptions;
pub use self::paths::{
    Access, access, chdir, chmod, chown, chroot, getcwd, lchown, link, mkdir, mkfifo, readlink, rename,
    rmdir, symlink, truncate, unlink,
};
pub use self::remove::delete_recursively;
pub use self::replace::{replace, replace_with};
pub use self::stats::{FileKind, Stats, file_exists, lstat, stat};
pub use self::temp::{TempDir, TempFile, TempOptions, with_temp_dir, with_temp_file};
pub use self::times::{FileTime, lutimes, utimes};
pub use self::whole::{read, read_to_string, write};

/// Whether this thread answers what the kernel has in memory without a job; on unless told. Off is for
/// measuring, and for file systems that do not keep what they promise.
///
/// ```
/// use lwt_unix::file;
/// file::set_fast_paths(false);
/// let stats = file::stat("/");
/// assert!(stats.is_pending());
/// # lwt_unix::run(stats).unwrap();
/// ```
pub fn set_fast_paths(on: bool) {
    cached::set_wanted(on);
}
