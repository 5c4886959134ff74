//! Files as the server gives them out. All of it blocks, and is run as jobs.
//!
//! 1. A file is opened name by name from the directory's own descriptor, and no name may be a link. So
//!    nothing outside the directory can be reached, also while somebody moves things about in it.
//! 2. Only regular files are given out. Opening one never waits, not even if it is a pipe by now.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;

/// So much is read and sent at a time.
pub(crate) const PIECE: usize = 128 * 1024;

/// The directory that is served.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    pub(crate) fn open(dir: &Path) -> io::Result<Root> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Root(fcntl::open(dir, flags, Mode::empty())?))
    }

    /// Opens a file for reading, and tells its size.
    ///
    /// # Errors
    /// The system's; `InvalidInput` if it is there and is no regular file.
    pub(crate) fn file(&self, names: &[OsString]) -> io::Result<(File, u64)> {
        let Some((last, dirs)) = names.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let dir = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut below: Option<OwnedFd> = None;
        for name in dirs {
            let here = below.as_ref().map_or_else(|| self.0.as_fd(), AsFd::as_fd);
            below = Some(fcntl::openat(here, name.as_os_str(), dir, Mode::empty())?);
        }
        let here = below.as_ref().map_or_else(|| self.0.as_fd(), AsFd::as_fd);
        let file =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(fcntl::openat(here, last.as_os_str(), file, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok((file, metadata.len()))
    }
}

/// Reads `wanted` bytes, a [`PIECE`] at most, from `offset` on; fewer only if the file ends before. `buf` is
/// memory to be used again.
pub(crate) fn piece(file: &File, mut buf: Vec<u8>, offset: u64, wanted: u64) -> io::Result<Vec<u8>> {
    buf.resize(usize::try_from(wanted).unwrap_or(PIECE).min(PIECE), 0);
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buf.truncate(filled);
    Ok(buf)
}
