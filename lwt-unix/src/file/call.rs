//! How this module makes its calls: paths as the system takes them, jobs, and errors that name call and path.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lwt_core::{Error, Promise};

use crate::fd::{During, spent};
use crate::job;

/// So long a path is made on the stack.
const SHORT: usize = 384;

/// A path with its zero byte.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| zero_inside())
}

/// Calls `f` with the path as the system takes it, without an allocation as a rule.
pub(super) fn with_c_path<T>(path: &Path, f: impl FnOnce(&CStr) -> io::Result<T>) -> io::Result<T> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= SHORT {
        return f(&c_path(path)?);
    }
    let mut room = [0; SHORT];
    room[..bytes.len()].copy_from_slice(bytes);
    f(CStr::from_bytes_with_nul(&room[..=bytes.len()]).map_err(|_| zero_inside())?)
}

pub(super) fn zero_inside() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the path has a zero byte in it")
}

/// The directory that a path's last name is in, and that name.
pub(super) fn split(path: &Path) -> io::Result<(CString, CString)> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a name"));
    };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((c_path(dir)?, c_path(Path::new(name))?))
}

/// A job that makes `call` on a path, by the method in force.
#[track_caller]
pub(super) fn on_path<T: Send + 'static>(
    call: &'static str,
    path: impl AsRef<Path>,
    f: impl FnOnce(&CStr) -> io::Result<T> + Send + 'static,
) -> Promise<T> {
    let path = path.as_ref().to_owned();
    job::run_job(None, move || c_path(&path).and_then(|path| f(&path)).during_on(call, path.display()))
}

/// A job that makes `call` on two paths, by the method in force.
#[track_caller]
pub(super) fn on_paths<T: Send + 'static>(
    call: &'static str,
    paths: [&Path; 2],
    f: impl FnOnce(&CStr, &CStr) -> io::Result<T> + Send + 'static,
) -> Promise<T> {
    let [one, other] = paths.map(Path::to_owned);
    job::run_job(None, move || {
        let done = c_path(&one).and_then(|one| c_path(&other).and_then(|other| f(&one, &other)));
        done.during_on(call, format_args!("{} {}", one.display(), other.display()))
    })
}

/// A promise of what was answered at once. That counts for the fairness of the thread: a loop over such calls
/// must let others run, too, so each of them gives way first if it is [time](crate::fd::exhausted).
#[track_caller]
pub(super) fn at_once<T>(result: Result<T, Error>) -> Promise<T> {
    spent();
    resolved(result)
}

/// A promise that is resolved.
#[track_caller]
pub(super) fn resolved<T>(result: Result<T, Error>) -> Promise<T> {
    match result {
        Ok(value) => Promise::ready(value),
        Err(error) => Promise::fail(error),
    }
}
