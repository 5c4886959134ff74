//! Removing a directory with all that is in it.
//!
//! 1. No path is followed but that of the root's parent: each directory is opened relative to the one above
//!    it, without following links (`O_NOFOLLOW`), and names are removed relative to it. A name that has
//!    become a link is removed as what it is, so nothing outside can be reached through one.
//! 2. One directory is open at a time, besides the root's parent, however deep the tree is. The way back up
//!    is `..`, and leads to the directory that was come from, by device and number, or else the walk ends
//!    with an error.
//! 3. A directory to which names were added meanwhile is gone through again, a few times.
//! 4. A job does [`BATCH`] steps; between two of them a cancel ends the walk.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use lwt_core::{Error, Promise, spawn};

use super::call::split;
use super::dir::is_dots;
use super::stats::FileKind;
use crate::fd::During;
use crate::sys::dir::Entries;
use crate::{job, sys};

/// See rule 4.
const BATCH: usize = 1024;
/// See rule 3.
const AGAIN: u32 = 16;

/// How directories are opened on the way.
const FLAGS: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Removes a directory with all that is in it, or a file, or a link, which is not followed
/// (`Lwt_io.delete_recursively`). Nobody can make it leave the tree by putting links there meanwhile. What is
/// mounted in the tree belongs to it: it is emptied, before the place itself is found to be in use.
///
/// It is done by jobs of a thousand steps each; a cancel ends it after the one that is under way, with a part
/// of the tree removed. So does the first error.
///
/// ```
/// use lwt_unix::file;
/// # lwt_unix::run(file::with_temp_dir(|dir| async move {
/// file::mkdir(dir.join("a"), 0o777).await?;
/// file::write(dir.join("a/b"), "text").await?;
/// file::delete_recursively(dir.join("a")).await?;
/// assert!(!file::file_exists(dir.join("a")).await?);
/// # Ok::<_, lwt_core::Error>(())
/// # })).unwrap();
/// ```
///
/// # Errors
/// Those of `open` and `unlink`, with the directory in which it ended; `NotFound` if there is nothing at
/// `path`; `InvalidInput` for a path that does not end in a name, such as `/` or `..`.
#[track_caller]
pub fn delete_recursively(path: impl AsRef<Path>) -> Promise<()> {
    let path = path.as_ref().to_owned();
    spawn(async move {
        let mut walk = job::run_job(None, move || Walk::begin(&path)).await?;
        while !walk.done {
            walk = job::run_job(None, move || walk.go(BATCH)).await?;
        }
        Ok::<_, Error>(())
    })
}

/// [`delete_recursively`], on this thread.
pub(super) fn remove_now(path: &Path) -> Result<(), Error> {
    let walk = Walk::begin(path)?;
    if walk.done { Ok(()) } else { walk.go(usize::MAX).map(drop) }
}

/// How far it has got.
struct Walk {
    root: PathBuf,
    parent: OwnedFd,
    levels: Vec<Level>,
    /// The directory of the last level.
    here: Option<OwnedFd>,
    /// Its names, while they are gone through.
    names: Option<Entries>,
    done: bool,
}

struct Level {
    name: CString,
    stat: libc::stat,
    /// The directories in it that are still there.
    below: Vec<CString>,
    /// How many times more it may be gone through.
    left: u32,
}

impl Walk {
    fn begin(path: &Path) -> Result<Walk, Error> {
        let begin = || {
            let (parent, name) = split(path)?;
            let parent = sys::file::open(None, &parent, sys::file::SEARCH | libc::O_DIRECTORY, 0)?;
            // Nothing there is an error here, and nowhere else.
            sys::path::stat(Some(parent.as_fd()), &name, false)?;
            let mut walk =
                Walk { root: path.to_owned(), parent, levels: vec![], here: None, names: None, done: false };
            walk.enter(name, AGAIN)?;
            walk.done = walk.levels.is_empty();
            Ok(walk)
        };
        begin().during_on("delete_recursively", path.display())
    }

    fn go(mut self, steps: usize) -> Result<Walk, Error> {
        for _ in 0..steps {
            if self.levels.is_empty() {
                self.done = true;
                break;
            }
            if let Err(error) = self.step() {
                return Err(error).during_on("delete_recursively", self.place().display());
            }
        }
        Ok(self)
    }

    fn step(&mut self) -> io::Result<()> {
        if let Some(names) = &mut self.names {
            let Some(entry) = names.next()? else {
                self.names = None;
                return Ok(());
            };
            if is_dots(&entry.name) {
                return Ok(());
            }
            let directory = FileKind::of_entry(entry.kind) == Some(FileKind::Directory);
            if directory || !remove_file(names.fd(), &entry.name)? {
                self.levels.last_mut().into_iter().for_each(|level| level.below.push(entry.name.clone()));
            }
            return Ok(());
        }
        match self.levels.last_mut().and_then(|level| level.below.pop()) {
            Some(name) => self.enter(name, AGAIN),
            None => self.leave(),
        }
    }

    /// The directory that is open.
    fn here(&self) -> BorrowedFd<'_> {
        self.here.as_ref().unwrap_or(&self.parent).as_fd()
    }

    /// Goes down into a directory; removes what is none.
    fn enter(&mut self, name: CString, left: u32) -> io::Result<()> {
        let here = self.here();
        let (below, names) = match open_below(here, &name) {
            Ok(opened) => opened,
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::ENOENT) => Ok(()),
                    Some(libc::ENOTDIR | libc::ELOOP) => match remove_file(here, &name)? {
                        true => Ok(()),
                        false => Err(error),
                    },
                    // It may not be looked at, or searched; but it may be empty.
                    Some(libc::EACCES) => sys::path::unlink_at(here, &name, true).map_err(|_| error),
                    _ => Err(error),
                };
            }
        };
        let stat = sys::file::fstat(below.as_fd())?;
        self.levels.push(Level { name, stat, below: Vec::new(), left });
        self.here = Some(below);
        self.names = Some(Entries::new(names)?);
        Ok(())
    }

    /// Goes back up from a directory in which nothing is left, and removes it.
    fn leave(&mut self) -> io::Result<()> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        self.here = match self.levels.last() {
            None => None,
            Some(above) => {
                let up = sys::file::open(Some(self.here()), c"..", FLAGS, 0)?;
                if !sys::file::same(&sys::file::fstat(up.as_fd())?, &above.stat) {
                    return Err(io::Error::other("a directory was moved while it was being removed"));
                }
                Some(up)
            }
        };
        match sys::path::unlink_at(self.here(), &level.name, true) {
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(()),
                Some(libc::ENOTEMPTY | libc::EEXIST) if level.left > 0 => {
                    self.enter(level.name, level.left - 1)
                }
                // It has become something else.
                Some(libc::ENOTDIR) if remove_file(self.here(), &level.name)? => Ok(()),
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }

    /// Where it is, for errors.
    fn place(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let mut place = self.root.clone();
        for level in self.levels.iter().skip(1) {
            place.push(std::ffi::OsStr::from_bytes(level.name.to_bytes()));
        }
        place
    }
}

/// Opens a directory twice: to begin at, and for its names.
fn open_below(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<(OwnedFd, OwnedFd)> {
    let below = sys::file::open(Some(dir), name, FLAGS, 0)?;
    let names = sys::file::open(Some(below.as_fd()), c".", FLAGS, 0)?;
    Ok((below, names))
}

/// Removes a name; false if it is a directory's. One that is gone is as good.
fn remove_file(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    match sys::path::unlink_at(dir, name, false) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(true),
            Some(libc::EISDIR) => Ok(false),
            // What POSIX has for a directory.
            Some(libc::EPERM) => match sys::path::stat(Some(dir), name, false) {
                Ok(stat) if stat.st_mode & libc::S_IFMT == libc::S_IFDIR => Ok(false),
                _ => Err(error),
            },
            _ => Err(error),
        },
    }
}
