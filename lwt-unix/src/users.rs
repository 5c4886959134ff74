//! Users and groups of the system (`Lwt_unix.getpwnam` and its like).
//!
//! The data base may be a file, or a server's that is asked for each name; so these are jobs of the
//! [lane for names](crate::job::names). A cancel loses nothing.

use std::ffi::{CString, OsString};
use std::io;
use std::path::PathBuf;

use lwt_core::{Error, Promise};

use crate::fd::During;
use crate::job;
use crate::sys::users::{self, By, RawGroup, RawUser};

/// A user of the system (`Unix.passwd_entry`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The name.
    pub name: OsString,
    /// The number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The full name, or whatever else was written there.
    pub comment: OsString,
    /// The home directory.
    pub home: PathBuf,
    /// The shell.
    pub shell: PathBuf,
}

/// A group of users (`Unix.group_entry`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The name.
    pub name: OsString,
    /// The number.
    pub gid: u32,
    /// The names of the users in it; those whose own group it is may be missing.
    pub members: Vec<OsString>,
}

impl From<RawUser> for User {
    fn from(raw: RawUser) -> User {
        let RawUser { name, user, group, comment, home, shell } = raw;
        User { name, uid: user, gid: group, comment, home: home.into(), shell: shell.into() }
    }
}

impl From<RawGroup> for Group {
    fn from(raw: RawGroup) -> Group {
        Group { name: raw.name, gid: raw.group, members: raw.members }
    }
}

/// The name under which somebody has logged in on this process's terminal (`Lwt_unix.getlogin`).
///
/// # Errors
/// Those of `getlogin_r`, such as `ENXIO` or `ENOTTY` without a terminal.
#[track_caller]
pub fn getlogin() -> Promise<OsString> {
    job::names().run_job(None, || users::login().during("getlogin"))
}

/// The user of this name; `None` if there is none (`Lwt_unix.getpwnam`, which raises then).
///
/// ```
/// let root = lwt_unix::run(lwt_unix::users::getpwnam("root")).unwrap();
/// assert!(root.is_none_or(|root| root.uid == 0));
/// ```
///
/// # Errors
/// Those of `getpwnam_r`, with the name.
#[track_caller]
pub fn getpwnam(name: &str) -> Promise<Option<User>> {
    by_name("getpwnam", name, |by| Ok(users::user(by)?.map(User::from)))
}

/// The user of this number; `None` if there is none (`Lwt_unix.getpwuid`, which raises then).
///
/// # Errors
/// Those of `getpwuid_r`, with the number.
#[track_caller]
pub fn getpwuid(uid: u32) -> Promise<Option<User>> {
    job::names().run_job(None, move || {
        Ok::<_, Error>(users::user(By::Id(uid)).during_on("getpwuid", uid)?.map(User::from))
    })
}

/// The group of this name; `None` if there is none (`Lwt_unix.getgrnam`, which raises then).
///
/// # Errors
/// Those of `getgrnam_r`, with the name.
#[track_caller]
pub fn getgrnam(name: &str) -> Promise<Option<Group>> {
    by_name("getgrnam", name, |by| Ok(users::group(by)?.map(Group::from)))
}

/// The group of this number; `None` if there is none (`Lwt_unix.getgrgid`, which raises then).
///
/// # Errors
/// Those of `getgrgid_r`, with the number.
#[track_caller]
pub fn getgrgid(gid: u32) -> Promise<Option<Group>> {
    job::names().run_job(None, move || {
        Ok::<_, Error>(users::group(By::Id(gid)).during_on("getgrgid", gid)?.map(Group::from))
    })
}

#[track_caller]
fn by_name<T: Send + 'static>(
    call: &'static str,
    name: &str,
    find: impl FnOnce(By<'_>) -> io::Result<Option<T>> + Send + 'static,
) -> Promise<Option<T>> {
    let name = name.to_owned();
    job::names().run_job(None, move || {
        // Nobody's name has a zero byte in it.
        let Ok(text) = CString::new(name.as_str()) else { return Ok(None) };
        find(By::Name(&text)).during_on(call, name)
    })
}
