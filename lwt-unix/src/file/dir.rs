//! [`Dir`]: the names in a directory.
//!
//! 1. The system's stream is used by one job at a time: it lies behind a lock, which only job threads take.
//! 2. A job that has begun reads its names; if its promise was cancelled, they are lost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use lwt_core::Promise;
use lwt_core::stream::{self, Stream};

use super::call::on_path;
use super::stats::FileKind;
use crate::fd::{During, OsError};
use crate::sys::dir::{Entries, Entry};
use crate::{job, sys};

/// So many names one job of [`files_of_directory`] brings.
const CHUNK: usize = 1024;

/// An open directory (`Lwt_unix.dir_handle`). Clones are handles on the same stream of names.
///
/// It is closed by [`closedir`](Dir::closedir), or when its last handle is dropped.
///
/// ```
/// use lwt_unix::file;
/// # lwt_unix::run(file::with_temp_dir(|path| async move {
/// file::write(path.join("one"), "").await?;
/// let dir = file::opendir(&path).await?;
/// let mut names = dir.readdir_n(10).await?;
/// names.sort();
/// assert_eq!(names, [".", "..", "one"]);
/// assert_eq!(dir.readdir().await?, None);
/// dir.closedir().await?;
/// # Ok::<_, lwt_core::Error>(())
/// # })).unwrap();
/// ```
#[derive(Clone)]
pub struct Dir {
    open: Rc<Cell<Option<Arc<Open>>>>,
}

struct Open {
    path: Box<Path>,
    entries: Mutex<Entries>,
}

/// A name in a directory, with what the directory tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    name: OsString,
    kind: Option<FileKind>,
    inode: u64,
}

impl DirEntry {
    /// The name.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The name, to keep.
    pub fn into_name(self) -> OsString {
        self.name
    }

    /// What it stands for; `None` where the file system does not tell, so that [`lstat`](super::lstat) has to
    /// be asked.
    pub fn kind(&self) -> Option<FileKind> {
        self.kind
    }

    /// The file's number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    fn new(entry: Entry) -> DirEntry {
        DirEntry {
            kind: FileKind::of_entry(entry.kind),
            inode: entry.inode,
            name: OsString::from_vec(entry.name.into_bytes()),
        }
    }
}

/// Opens a directory, to read its names (`Lwt_unix.opendir`). A job; a cancel loses nothing.
///
/// # Errors
/// Those of `open`, with the path; `NotADirectory`.
#[track_caller]
pub fn opendir(path: impl AsRef<Path>) -> Promise<Dir> {
    let name: Box<Path> = path.as_ref().into();
    on_path("opendir", path, |path| {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NONBLOCK;
        Entries::new(sys::file::open(None, path, flags, 0)?)
    })
    .map(|entries| Dir {
        open: Rc::new(Cell::new(Some(Arc::new(Open { path: name, entries: Mutex::new(entries) })))),
    })
}

impl Dir {
    /// The next name, `.` and `..` included; `None` at the end (`Lwt_unix.readdir`, which raises there). A
    /// job of its own for each: [`readdir_n`](Dir::readdir_n) is faster. A cancel may lose the name.
    ///
    /// # Errors
    /// Those of `readdir`, with the path; `EBADF` when the directory is closed.
    #[track_caller]
    pub fn readdir(&self) -> Promise<Option<OsString>> {
        self.job("readdir", |entries| Ok(entries.next()?.map(|entry| DirEntry::new(entry).name)))
    }

    /// The next `n` names, or fewer at the end, by one job (`Lwt_unix.readdir_n`). A cancel may lose them.
    ///
    /// # Errors
    /// As [`readdir`](Dir::readdir).
    #[track_caller]
    pub fn readdir_n(&self, n: usize) -> Promise<Vec<OsString>> {
        self.job("readdir_n", move |entries| take(entries, n, |entry| entry.name))
    }

    /// [`readdir_n`](Dir::readdir_n) with what the directory tells of each name.
    ///
    /// # Errors
    /// As [`readdir`](Dir::readdir).
    #[track_caller]
    pub fn read_entries(&self, n: usize) -> Promise<Vec<DirEntry>> {
        self.job("readdir_n", move |entries| take(entries, n, |entry| entry))
    }

    /// Back to the first name (`Lwt_unix.rewinddir`).
    ///
    /// # Errors
    /// `EBADF` when the directory is closed.
    #[track_caller]
    pub fn rewinddir(&self) -> Promise<()> {
        self.job("rewinddir", |entries| {
            entries.rewind();
            Ok(())
        })
    }

    /// Closes the directory, for all its handles (`Lwt_unix.closedir`). A job that is under way ends first.
    ///
    /// # Errors
    /// `EBADF` when it is closed already; else those of `close`.
    #[track_caller]
    pub fn closedir(&self) -> Promise<()> {
        let Some(open) = self.open.take() else { return Promise::fail(OsError::closed("closedir")) };
        job::run_job(None, move || match Arc::try_unwrap(open) {
            Ok(Open { path, entries }) => {
                let entries = entries.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
                entries.close().during_on("closedir", path.display())
            }
            Err(_) => Ok(()),
        })
    }

    fn held(&self) -> Option<Arc<Open>> {
        let open = self.open.take();
        self.open.set(open.clone());
        open
    }

    #[track_caller]
    fn job<T: Send + 'static>(
        &self,
        call: &'static str,
        f: impl FnOnce(&mut Entries) -> io::Result<T> + Send + 'static,
    ) -> Promise<T> {
        let Some(open) = self.held() else { return Promise::fail(OsError::closed(call)) };
        job::run_job(None, move || {
            let mut entries = open.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            f(&mut entries).during_on(call, open.path.display())
        })
    }
}

/// The next `n` entries. An error after the first one is left for the next call, which will meet it again.
fn take<T>(entries: &mut Entries, n: usize, f: impl Fn(DirEntry) -> T) -> io::Result<Vec<T>> {
    let mut taken = Vec::new();
    while taken.len() < n {
        match entries.next() {
            Ok(Some(entry)) => taken.push(f(DirEntry::new(entry))),
            Ok(None) => break,
            Err(error) if taken.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(taken)
}

/// The names in a directory, `.` and `..` included, as a stream (`Lwt_unix.files_of_directory`). They are
/// read when they are asked for, by a job for each 1024, and the directory is closed after the last one, or
/// with the stream.
///
/// ```
/// use lwt_unix::file;
/// let names = lwt_unix::run(file::files_of_directory("/proc/self/fd").to_list()).unwrap();
/// assert!(names.contains(&"..".into()));
/// ```
///
/// # Errors
/// Reading from the stream is rejected with those of [`opendir`] and [`readdir`](Dir::readdir).
pub fn files_of_directory(path: impl AsRef<Path>) -> Stream<OsString> {
    let path = path.as_ref().to_owned();
    let state = Rc::new(RefCell::new((None::<Dir>, VecDeque::new())));
    stream::from(move || {
        if let Some(name) = state.borrow_mut().1.pop_front() {
            return Promise::ready(Some(name));
        }
        let dir = state.borrow().0.clone();
        let dir = dir.map_or_else(|| opendir(&path), Promise::ready);
        let state = Rc::clone(&state);
        dir.bind(move |dir| {
            state.borrow_mut().0 = Some(dir.clone());
            dir.readdir_n(CHUNK).bind(move |names| match names.is_empty() {
                true => dir.closedir().map(|()| None),
                false => {
                    state.borrow_mut().1.extend(names);
                    Promise::ready(state.borrow_mut().1.pop_front())
                }
            })
        })
    })
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.held().map(|open| open.path.clone());
        f.debug_struct("Dir").field("path", &path).finish()
    }
}

/// A name that means the directory itself, or the one above.
pub(super) fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}
