//! Temporary files and directories.
//!
//! 1. Each is made under a name that was not there (`O_EXCL`), tried again with another one if it was.
//! 2. A [`Leftover`] removes what was made: by a job where somebody waits for that, and otherwise, where a
//!    promise was cancelled at the wrong moment or a task was aborted, when it is dropped, on that thread.
//! 3. It has the whole path, from the root on: a change of the current directory does not lead it astray.
//! 4. A file is removed by one call, which needs no descriptor.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use lwt_core::{Error, Promise, join, spawn};

use super::call::{c_path, zero_inside};
use super::handle::File;
use super::remove::remove_now;
use crate::fd::During;
use crate::{job, sys};

/// So many names are tried.
const TRIES: u32 = 1000;

/// Where a temporary file or directory is made, and how it is called.
///
/// ```
/// use lwt_unix::file::TempOptions;
/// # lwt_unix::run(async {
/// let dir = TempOptions::new().prefix("build-").create_dir().await?;
/// assert!(dir.path().file_name().unwrap().to_str().unwrap().starts_with("build-"));
/// dir.close().await?;
/// # Ok::<_, lwt_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "options make nothing by themselves: call `open_file` or `create_dir`"]
pub struct TempOptions {
    parent: Option<PathBuf>,
    prefix: OsString,
    suffix: OsString,
    mode: Option<u32>,
}

impl TempOptions {
    /// In the system's directory for temporary files, for this user only, with a name of random letters.
    pub fn new() -> TempOptions {
        TempOptions::default()
    }

    /// The directory that it is made in.
    pub fn parent(mut self, dir: impl AsRef<Path>) -> TempOptions {
        self.parent = Some(dir.as_ref().to_owned());
        self
    }

    /// What its name begins with. There may be no slash in it.
    pub fn prefix(mut self, prefix: impl AsRef<OsStr>) -> TempOptions {
        self.prefix = prefix.as_ref().to_owned();
        self
    }

    /// What its name ends with. There may be no slash in it.
    pub fn suffix(mut self, suffix: impl AsRef<OsStr>) -> TempOptions {
        self.suffix = suffix.as_ref().to_owned();
        self
    }

    /// Its permissions, less the process's mask; 0o600 for a file and 0o700 for a directory unless told.
    pub fn mode(mut self, mode: u32) -> TempOptions {
        self.mode = Some(mode);
        self
    }

    /// Makes a file, open for reading and writing (`Lwt_io.open_temp_file`). After a cancel, a file that a
    /// job makes all the same is removed when the job has ended.
    ///
    /// # Errors
    /// Those of `open`, with the directory; `InvalidInput` for a name with a slash; `AlreadyExists` after a
    /// thousand names.
    #[track_caller]
    pub fn open_file(&self) -> Promise<TempFile> {
        let mode = self.mode.unwrap_or(0o600) as libc::mode_t;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        self.make("open", false, move |path| sys::file::open(None, path, flags, mode))
            .map(|(fd, leftover)| TempFile { file: File::from_parts(fd, &leftover.path), leftover })
    }

    /// Makes a directory (`Lwt_io.create_temp_dir`). A cancel is as with
    /// [`open_file`](TempOptions::open_file).
    ///
    /// # Errors
    /// Those of `mkdir`, with the directory that it was to be made in; otherwise as
    /// [`open_file`](TempOptions::open_file).
    #[track_caller]
    pub fn create_dir(&self) -> Promise<TempDir> {
        let mode = self.mode.unwrap_or(0o700) as libc::mode_t;
        self.make("mkdir", true, move |path| sys::path::mkdir(path, mode))
            .map(|((), leftover)| TempDir { leftover })
    }

    #[track_caller]
    fn make<T: Send + 'static>(
        &self,
        call: &'static str,
        directory: bool,
        mut make: impl FnMut(&CStr) -> io::Result<T> + Send + 'static,
    ) -> Promise<(T, Leftover)> {
        let options = self.clone();
        job::run_job(None, move || {
            let parent = options.parent.unwrap_or_else(env::temp_dir);
            let made = whole(&parent).and_then(|parent| {
                random_name(&options.prefix, &options.suffix, |name| {
                    let path = parent.join(OsStr::from_bytes(name.to_bytes()));
                    Ok((make(&c_path(&path)?)?, Leftover { path, directory, kept: false }))
                })
            });
            made.during_on(call, parent.display())
        })
    }
}

/// Something that was made and is to be removed.
#[derive(Debug)]
struct Leftover {
    path: PathBuf,
    directory: bool,
    kept: bool,
}

impl Leftover {
    /// Removes it by a job, which a cancel does not reach.
    #[track_caller]
    fn remove(mut self) -> Promise<()> {
        let removed = job::run_job(None, move || {
            self.kept = true;
            match self.remove_now() {
                Err(error) if error.io_kind() == Some(io::ErrorKind::NotFound) => Ok(()),
                done => done,
            }
        });
        removed.no_cancel()
    }

    /// Removes it on this thread.
    fn remove_now(&self) -> Result<(), Error> {
        if self.directory {
            return remove_now(&self.path);
        }
        c_path(&self.path).and_then(|path| sys::path::unlink(&path)).during_on("unlink", self.path.display())
    }

    fn keep(mut self) -> PathBuf {
        self.kept = true;
        std::mem::take(&mut self.path)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is left to hear of an error.
            let _ = self.remove_now();
        }
    }
}

/// A temporary file, which is removed with this.
///
/// [`close`](TempFile::close) removes it by a job; dropping this removes it at once, and may block for a
/// moment.
#[derive(Debug)]
pub struct TempFile {
    file: File,
    leftover: Leftover,
}

impl TempFile {
    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.leftover.path
    }

    /// Closes the file and removes it. A cancel does not reach that; nor is it an error if the file is
    /// closed, or gone. The promise is resolved when both have ended.
    ///
    /// # Errors
    /// Those of `close` and `unlink`: the first that comes.
    #[track_caller]
    pub fn close(self) -> Promise<()> {
        let TempFile { file, leftover } = self;
        let closed = match file.hold("close") {
            Ok(open) => {
                drop(open);
                file.close().no_cancel()
            }
            Err(_) => Promise::ready(()),
        };
        join([closed, leftover.remove()])
    }

    /// Keeps the file, which is now the caller's to remove.
    pub fn keep(self) -> (File, PathBuf) {
        (self.file, self.leftover.keep())
    }
}

/// A temporary directory, which is removed with this, and with all that is in it.
///
/// [`close`](TempDir::close) removes it by a job; dropping this removes it at once, and blocks until that is
/// done.
#[derive(Debug)]
pub struct TempDir {
    leftover: Leftover,
}

impl TempDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.leftover.path
    }

    /// Removes it with all that is in it. A cancel does not reach that; nor is it an error if it is gone.
    ///
    /// # Errors
    /// As [`delete_recursively`](super::delete_recursively).
    #[track_caller]
    pub fn close(self) -> Promise<()> {
        self.leftover.remove()
    }

    /// Keeps the directory, which is now the caller's to remove.
    pub fn keep(self) -> PathBuf {
        self.leftover.keep()
    }
}

/// Makes a temporary file, hands it with its path to `f`, and closes and removes it when `f`'s future has
/// ended, however it ended: well, with an error, by a cancel or a panic (`Lwt_io.with_temp_file`).
///
/// ```
/// use lwt_unix::file;
/// let path = lwt_unix::run(file::with_temp_file(|file, path| async move {
///     file.write_all(b"for a moment").await?;
///     Ok::<_, lwt_core::Error>(path)
/// })).unwrap();
/// assert!(!path.exists());
/// ```
///
/// # Errors
/// Those of [`TempOptions::open_file`], of `f`, and of removing the file, in this order.
#[track_caller]
pub fn with_temp_file<T, E, F>(f: impl FnOnce(File, PathBuf) -> F + 'static) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    spawn(async move {
        let temp = TempOptions::new().open_file().await?;
        let done = f(temp.file().clone(), temp.path().to_owned()).await.map_err(Into::into);
        let closed = temp.close().await;
        let value = done?;
        closed.map(|()| value)
    })
}

/// Makes a temporary directory, hands its path to `f`, and removes it with all that is in it when `f`'s
/// future has ended, however it ended: well, with an error, by a cancel or a panic (`Lwt_io.with_temp_dir`).
///
/// ```
/// use lwt_unix::file;
/// let path = lwt_unix::run(file::with_temp_dir(|dir| async move {
///     file::mkdir(dir.join("below"), 0o777).await?;
///     Ok::<_, lwt_core::Error>(dir)
/// })).unwrap();
/// assert!(!path.exists());
/// ```
///
/// # Errors
/// Those of [`TempOptions::create_dir`], of `f`, and of removing the directory, in this order.
#[track_caller]
pub fn with_temp_dir<T, E, F>(f: impl FnOnce(PathBuf) -> F + 'static) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    spawn(async move {
        let temp = TempOptions::new().create_dir().await?;
        let done = f(temp.path().to_owned()).await.map_err(Into::into);
        let closed = temp.close().await;
        let value = done?;
        closed.map(|()| value)
    })
}

/// The path from the root on.
fn whole(path: &Path) -> io::Result<PathBuf> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let here = sys::path::current_directory()?;
    Ok(Path::new(OsStr::from_bytes(here.to_bytes())).join(path))
}

/// Calls `make` with names of random letters between `prefix` and `suffix`, until it finds one that is free.
pub(super) fn random_name<T>(
    prefix: impl AsRef<OsStr>,
    suffix: impl AsRef<OsStr>,
    mut make: impl FnMut(&CStr) -> io::Result<T>,
) -> io::Result<T> {
    let (prefix, suffix) = (prefix.as_ref().as_bytes(), suffix.as_ref().as_bytes());
    if prefix.contains(&b'/') || suffix.contains(&b'/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name has a slash in it"));
    }
    let mut tries = 0;
    loop {
        // Its keys come from the system's generator.
        let random = format!("{:016x}", RandomState::new().build_hasher().finish());
        let name = CString::new([prefix, random.as_bytes(), suffix].concat()).map_err(|_| zero_inside())?;
        tries += 1;
        match make(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {}
            done => return done,
        }
    }
}
