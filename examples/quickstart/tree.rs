//! Which files there are. All of it blocks, and is run as one job.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What begins the file that marks a directory as a cache, by the convention that cargo and many other
/// programs keep.
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The regular files below a directory.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<Entry>,
    /// What could not be looked at, and why.
    pub(crate) problems: Vec<String>,
}

/// A file, as it was when the directory was read.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Relative to the directory.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

impl Tree {
    /// The size of all files together.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// Lists every regular file below `root`, in the order of the names. Links are not followed.
///
/// # Errors
/// Only if `root` itself cannot be read; what goes wrong further down is one of the
/// [problems](Tree::problems).
pub(crate) fn list(root: &Path, all: bool) -> io::Result<Tree> {
    let mut tree = Tree::default();
    // Directories still to be read, by relative path: a stack of our own, so that no depth of nesting is too
    // deep.
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let entries = fs::read_dir(root.join(&relative)).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        match entries {
            Ok(entries) => {
                for entry in entries {
                    let path = relative.join(entry.file_name());
                    if let Err(error) = tree.take(&entry, &path, &mut open, all) {
                        tree.problems.push(format!("{path:?}: {error}"));
                    }
                }
            }
            Err(error) if relative.as_os_str().is_empty() => return Err(error),
            Err(error) => tree.problems.push(format!("{relative:?}: {error}")),
        }
    }
    tree.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tree)
}

impl Tree {
    /// One entry of a directory.
    fn take(&mut self, entry: &DirEntry, path: &Path, open: &mut Vec<PathBuf>, all: bool) -> io::Result<()> {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if all || !(entry.file_name() == ".git" || is_cache(&entry.path())) {
                open.push(path.to_owned());
            }
        } else if kind.is_file() {
            let bytes = entry.metadata()?.len();
            self.files.push(Entry { path: path.to_owned(), bytes });
        }
        Ok(())
    }
}

/// Whether a directory says of itself that it is a cache. If it cannot be asked, it is not one.
fn is_cache(dir: &Path) -> bool {
    let mut start = [0; CACHE_SIGNATURE.len()];
    let tag = File::open(dir.join("CACHEDIR.TAG"));
    tag.and_then(|mut tag| tag.read_exact(&mut start)).is_ok() && start == *CACHE_SIGNATURE
}
