//! The data base of users and groups. Rules: see the head of [`sys`](crate::sys).
//!
//! 1. The reentrant forms are used: what they find lies in a buffer of the caller's, and is copied before it
//!    goes.
//! 2. A buffer that is too small (`ERANGE`) is made larger and the call made again.

use std::ffi::{CStr, OsString};
use std::io;
use std::mem;
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use libc::{c_char, c_int};
use nix::errno::Errno;

use super::retry;

/// A user's entry.
#[derive(Debug)]
pub(crate) struct RawUser {
    pub(crate) name: OsString,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) comment: OsString,
    pub(crate) home: OsString,
    pub(crate) shell: OsString,
}

/// A group's entry.
#[derive(Debug)]
pub(crate) struct RawGroup {
    pub(crate) name: OsString,
    pub(crate) group: u32,
    pub(crate) members: Vec<OsString>,
}

/// By what an entry is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    Name(&'a CStr),
    Id(u32),
}

// SAFETY: POSIX's declaration, which the libc crate does not have for all systems.
unsafe extern "C" {
    fn getlogin_r(name: *mut c_char, len: libc::size_t) -> c_int;
}

/// The largest buffer that is tried; nobody's entry is that long.
const MOST: usize = 16 << 20;

/// `getpwnam_r` or `getpwuid_r`.
pub(crate) fn user(by: By<'_>) -> io::Result<Option<RawUser>> {
    grown(|buffer| {
        // SAFETY: plain data, for which zeros are valid.
        let mut entry: libc::passwd = unsafe { mem::zeroed() };
        let mut found = ptr::null_mut();
        let (start, len) = (buffer.as_mut_ptr(), buffer.len());
        match by {
            By::Name(name) => numbered("getpwnam_r", || {
                // SAFETY: a live string, and room for the entry, its strings and the result, exclusively
                // ours.
                unsafe { libc::getpwnam_r(name.as_ptr(), &raw mut entry, start, len, &raw mut found) }
            })?,
            By::Id(id) => numbered("getpwuid_r", || {
                // SAFETY: room for the entry, its strings and the result, exclusively ours.
                unsafe { libc::getpwuid_r(id, &raw mut entry, start, len, &raw mut found) }
            })?,
        }
        if found.is_null() {
            return Ok(None);
        }
        // SAFETY: it was found, so its strings lie in the buffer, which is alive, or are null.
        let text = |at: *const c_char| unsafe { copied(at) };
        Ok(Some(RawUser {
            name: text(entry.pw_name),
            user: entry.pw_uid,
            group: entry.pw_gid,
            comment: text(entry.pw_gecos),
            home: text(entry.pw_dir),
            shell: text(entry.pw_shell),
        }))
    })
}

/// `getgrnam_r` or `getgrgid_r`.
pub(crate) fn group(by: By<'_>) -> io::Result<Option<RawGroup>> {
    grown(|buffer| {
        // SAFETY: plain data, for which zeros are valid.
        let mut entry: libc::group = unsafe { mem::zeroed() };
        let mut found = ptr::null_mut();
        let (start, len) = (buffer.as_mut_ptr(), buffer.len());
        match by {
            By::Name(name) => numbered("getgrnam_r", || {
                // SAFETY: a live string, and room for the entry, its strings and the result, exclusively
                // ours.
                unsafe { libc::getgrnam_r(name.as_ptr(), &raw mut entry, start, len, &raw mut found) }
            })?,
            By::Id(id) => numbered("getgrgid_r", || {
                // SAFETY: room for the entry, its strings and the result, exclusively ours.
                unsafe { libc::getgrgid_r(id, &raw mut entry, start, len, &raw mut found) }
            })?,
        }
        if found.is_null() {
            return Ok(None);
        }
        let mut members = Vec::new();
        let mut next = entry.gr_mem;
        // SAFETY: it was found, so the list of members, if any, lies in the buffer, which is alive, and ends
        // with a null.
        while !next.is_null() && !unsafe { *next }.is_null() {
            // SAFETY: an element of that list, which is a string in the buffer; the next one follows it.
            unsafe {
                members.push(copied(*next));
                next = next.add(1);
            }
        }
        // SAFETY: as above.
        let name = unsafe { copied(entry.gr_name) };
        Ok(Some(RawGroup { name, group: entry.gr_gid, members }))
    })
}

/// `getlogin_r`: the name under which somebody has logged in on the process's terminal.
pub(crate) fn login() -> io::Result<OsString> {
    grown(|buffer| {
        // SAFETY: a buffer with its length, which the call fills with a string.
        numbered("getlogin_r", || unsafe { getlogin_r(buffer.as_mut_ptr(), buffer.len()) })?;
        // SAFETY: the call succeeded, so there is a string in it.
        Ok(unsafe { copied(buffer.as_ptr()) })
    })
}

/// A call that returns the number of its error; that nothing was found is none.
fn numbered(name: &'static str, mut call: impl FnMut() -> c_int) -> io::Result<()> {
    let done = retry(name, || match call() {
        0 => 0,
        number => {
            Errno::set_raw(number);
            -1
        }
    });
    match done {
        Ok(_) => Ok(()),
        // What systems say of an entry that is not there, besides 0.
        Err(error)
            if name != "getlogin_r" && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Makes the call with larger buffers as long as it says `ERANGE`.
fn grown<T>(mut call: impl FnMut(&mut [c_char]) -> io::Result<T>) -> io::Result<T> {
    let mut buffer = vec![0; 1024];
    loop {
        match call(&mut buffer) {
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && buffer.len() < MOST => {
                buffer.resize(buffer.len() * 4, 0);
            }
            done => return done,
        }
    }
}

/// A copy of a string; an empty one for null.
///
/// # Safety
/// `at` is null, or the start of a live string with its zero byte.
unsafe fn copied(at: *const c_char) -> OsString {
    if at.is_null() {
        return OsString::new();
    }
    // SAFETY: the caller's.
    OsString::from_vec(unsafe { CStr::from_ptr(at) }.to_bytes().to_vec())
}
