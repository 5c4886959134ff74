//! Whole files: read, written, by one job each.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lwt_core::{Error, Promise, pause};

use super::cached::{self, Miss};
use super::call::{at_once, on_path, resolved, with_c_path};
use super::transfer::read_at;
use crate::fd::{During, exhausted};
use crate::sys::descriptor::{Place, readv_nowait};
use crate::{job, sys};

/// A larger file is no matter of a moment, however much of it is cached: a thread copies it.
const MOST: u64 = 256 << 10;

/// Whether cached reads may be had at all.
static NOWAIT: AtomicBool = AtomicBool::new(true);

/// The content of a file. At once if it is cached and not long, else by one job. A cancel loses nothing.
///
/// ```
/// let name = lwt_unix::run(lwt_unix::file::read("/proc/self/comm")).unwrap();
/// assert_eq!(name.last(), Some(&b'\n'));
/// ```
///
/// # Errors
/// Those of `open` and `read`, with the path; `OutOfMemory` for a file that is too long.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> Promise<Vec<u8>> {
    let path = path.as_ref();
    if exhausted() {
        let path = path.to_owned();
        return pause().bind(move |()| read(path));
    }
    let miss = match with_c_path(path, |path| Ok(cached::open(path))) {
        Ok(Err(miss)) => miss,
        Err(error) | Ok(Ok(Err(error))) => return at_once(Err(error).during_on("open", path.display())),
        Ok(Ok(Ok((fd, stats)))) => {
            if stats.size <= MOST {
                let (content, all) = read_cached(fd.as_fd(), stats.size as usize);
                if all {
                    return at_once(Ok(content));
                }
                return finish(path, fd, content);
            }
            return finish(path, fd, Vec::new());
        }
    };
    on_path("read", path, move |path| {
        let fd = sys::file::open(None, path, libc::O_RDONLY, 0)?;
        if miss == Miss::Unknown {
            cached::learn(fd.as_fd());
        }
        let mut content = Vec::new();
        read_rest(fd.as_fd(), &mut content)?;
        Ok(content)
    })
}

/// The content of a file of text. Otherwise as [`read`].
///
/// # Errors
/// `InvalidData` if it is no UTF-8; otherwise as [`read`].
#[track_caller]
pub fn read_to_string(path: impl AsRef<Path>) -> Promise<String> {
    let name = path.as_ref().to_owned();
    read(path).bind(move |bytes| {
        let text = String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
        resolved(text.during_on("read", name.display()))
    })
}

/// Makes `contents` the content of a file, which is made if there is none. One job: a cancel before it has
/// begun undoes it, and afterwards has no effect on it.
///
/// Whoever looks at the file meanwhile, or after a crash, finds a part of it: see
/// [`replace`](super::replace).
///
/// # Errors
/// Those of `open` and `write`, with the path.
#[track_caller]
pub fn write(path: impl AsRef<Path>, contents: impl Into<Vec<u8>>) -> Promise<()> {
    let contents = contents.into();
    on_path("write", path, move |path| {
        let fd = sys::file::open(None, path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, 0o666)?;
        write_all(fd.as_fd(), &contents)?;
        sys::close(fd)
    })
}

/// Reads what is cached of a file of this size, from its beginning; whether that is all of it.
fn read_cached(fd: BorrowedFd<'_>, size: usize) -> (Vec<u8>, bool) {
    if !NOWAIT.load(Ordering::Relaxed) {
        return (Vec::new(), false);
    }
    // One more, so that a read that is not filled has seen the end.
    let mut content = vec![0; size + 1];
    let read = readv_nowait(fd, &mut [IoSliceMut::new(&mut content)], Place::Position);
    content.truncate(*read.as_ref().unwrap_or(&0));
    match read {
        Ok(n) => (content, n == size),
        Err(error) => {
            if error.raw_os_error() == Some(libc::ENOSYS) {
                NOWAIT.store(false, Ordering::Relaxed);
            }
            (content, false)
        }
    }
}

/// A job that reads the rest of a file.
#[track_caller]
fn finish(path: &Path, fd: OwnedFd, mut content: Vec<u8>) -> Promise<Vec<u8>> {
    let path = path.to_owned();
    job::run_job(None, move || {
        read_rest(fd.as_fd(), &mut content).during_on("read", path.display())?;
        Ok::<_, Error>(content)
    })
}

/// Reads to the end, by calls that may wait.
fn read_rest(fd: BorrowedFd<'_>, content: &mut Vec<u8>) -> io::Result<()> {
    let size = sys::file::fstat(fd).map_or(0, |stat| usize::try_from(stat.st_size).unwrap_or(0));
    let mut room = (size.saturating_sub(content.len()) + 1).clamp(4096, 16 << 20);
    loop {
        let filled = content.len();
        content.try_reserve(room)?;
        content.resize(filled + room, 0);
        let read = read_at(fd, &mut content[filled..], Place::Position);
        content.truncate(filled + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => return Ok(()),
            n if n == room => room = (room * 2).min(16 << 20),
            _ => {}
        }
    }
}

/// Writes all of it, by calls that may wait.
pub(super) fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sys::write(fd, bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}
