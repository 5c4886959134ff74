//! Waiting for children: [`wait`], [`waitpid`], [`wait4`], [`system`] (`Lwt_unix`'s functions of these
//! names).
//!
//! Nothing here blocks, and no child is waited for that nobody asked for. How it is done stands in `desk`.

use std::ffi::OsStr;
use std::ops::BitOr;
use std::process::Command;

use libc::c_int;
use lwt_core::{Error, Promise};

use super::desk::{begin, ear_beforehand, silence};
use super::{Pid, Status, Waited};
use crate::fd::During;
use crate::main_loop::runtime::Runtime;

/// How to wait (`Unix.wait_flag` of OCaml). Combined with `|`.
///
/// ```
/// use lwt_unix::process::WaitFlags;
/// let flags = WaitFlags::NOHANG | WaitFlags::UNTRACED;
/// assert!(flags.contains(WaitFlags::NOHANG) && !WaitFlags::NONE.contains(WaitFlags::NOHANG));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WaitFlags(u8);

impl WaitFlags {
    /// Until a child ends.
    pub const NONE: WaitFlags = WaitFlags(0);
    /// Not at all: the promise is resolved at once, with `None` if no child has anything to tell.
    pub const NOHANG: WaitFlags = WaitFlags(1);
    /// Until a child ends or is stopped.
    pub const UNTRACED: WaitFlags = WaitFlags(2);

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: WaitFlags) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) fn raw(self) -> c_int {
        if self.contains(WaitFlags::UNTRACED) { libc::WUNTRACED } else { 0 }
    }
}

impl BitOr for WaitFlags {
    type Output = WaitFlags;

    fn bitor(self, other: WaitFlags) -> WaitFlags {
        WaitFlags(self.0 | other.0)
    }
}

/// Which children to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// This one.
    Child(Pid),
    /// Any, also those that others in this process have started and mean to wait for.
    Any,
    /// Any of this process's own group.
    OwnGroup,
    /// Any of the group of this number.
    Group(Pid),
}

impl Which {
    /// As `waitpid` is told.
    pub(super) fn raw(self) -> c_int {
        match self {
            Which::Child(pid) => pid.number(),
            Which::Any => -1,
            Which::OwnGroup => 0,
            Which::Group(pid) => pid.number().saturating_neg(),
        }
    }
}

impl From<Pid> for Which {
    fn from(pid: Pid) -> Which {
        Which::from(pid.number())
    }
}

/// The number as `waitpid` takes it: a process, 0, −1, or a group with a minus sign.
impl From<i32> for Which {
    fn from(number: i32) -> Which {
        match number {
            1.. => Which::Child(Pid::from(number)),
            0 => Which::OwnGroup,
            -1 => Which::Any,
            _ => Which::Group(Pid::from(number.saturating_neg())),
        }
    }
}

/// Resolved with any child that has ended (`Lwt_unix.wait`).
///
/// Of several who wait so, each gets another child, first come first served. Beware: it takes every child,
/// also one that a library in this process has started and means to wait for itself (who waits for it through
/// [`waitpid`] and its like is told all the same). Cancelling takes no child.
///
/// # Errors
/// `ECHILD` if there is no child (left).
#[track_caller]
pub fn wait() -> Promise<(Pid, Status)> {
    begin(WaitFlags::NONE, Which::Any, |waited| waited.map(|waited| (waited.pid, waited.status)))
}

/// Resolved when a child of `which` ends, or what else `flags` ask for; `None` only with
/// [`NOHANG`](WaitFlags::NOHANG) (`Lwt_unix.waitpid`).
///
/// A child's end is told to all who wait for its number at that time, on any thread, and then the number is
/// free. Nobody but the children asked for are waited for. When the wait is cancelled or dropped, the child
/// can be waited for again.
///
/// In a process that was started with `SIGCHLD` ignored, the system forgets children as they end, except
/// while somebody waits: begin to wait before that, or [handle](crate::signal::on_signal) the signal before
/// the child is started. Where no descriptor of the process can be had, and the signal is blocked, an end is
/// told of within a tenth of a second.
///
/// ```
/// use std::process::Command;
/// use lwt_unix::process::{Pid, Status, WaitFlags, waitpid};
/// lwt_unix::run(async {
///     let pid = Pid::from(&Command::new("true").spawn()?);
///     let told = waitpid(WaitFlags::NONE, pid).await?;
///     assert_eq!(told, Some((pid, Status::Exited(0))));
///     assert!(waitpid(WaitFlags::NONE, pid).await.is_err());
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
///
/// # Errors
/// `ECHILD` if there is no such child; the operating system's, if this thread has no main loop and none can
/// be made.
#[track_caller]
pub fn waitpid(flags: WaitFlags, which: impl Into<Which>) -> Promise<Option<(Pid, Status)>> {
    begin(flags, which.into(), |waited| Some(waited.map(|waited| (waited.pid, waited.status))))
}

/// [`waitpid`], with what the process has used (`Lwt_unix.wait4`).
///
/// ```
/// use std::process::Command;
/// use lwt_unix::process::{Pid, WaitFlags, wait4};
/// lwt_unix::run(async {
///     let pid = Pid::from(&Command::new("true").spawn()?);
///     let waited = wait4(WaitFlags::NONE, pid).await?.expect("it has ended");
///     assert!(waited.status.success() && waited.usage.max_resident > 0);
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
///
/// # Errors
/// As [`waitpid`].
#[track_caller]
pub fn wait4(flags: WaitFlags, which: impl Into<Which>) -> Promise<Option<Waited>> {
    begin(flags, which.into(), Some)
}

/// How many promises of this thread wait for children (`Lwt_unix.wait_count`).
///
/// ```
/// assert_eq!(lwt_unix::process::wait_count(), 0);
/// ```
pub fn wait_count() -> usize {
    Runtime::existing().map_or(0, |runtime| runtime.children.len())
}

/// Has a child's end taken note of by this thread's loop, whether anybody waits for it or not, so that
/// nothing is left of it. (A loop that is not turned takes no note; one that ends leaves the child to whoever
/// waits for it then.)
///
/// ```
/// use std::process::Command;
/// use lwt_unix::process::{Pid, collect};
/// collect(Pid::from(&Command::new("true").spawn().unwrap()));
/// while lwt_unix::process::wait_count() > 0 {
///     lwt_unix::run(lwt_unix::sleep(std::time::Duration::from_millis(1))).unwrap();
/// }
/// ```
pub fn collect(pid: Pid) {
    // Whoever looks, holds.
    wait4(WaitFlags::NONE, pid).on_any(|_| ());
}

/// Runs a command line in `/bin/sh`, and waits for the shell (`Lwt_unix.system`).
///
/// The command has this process's input and outputs, environment and directory. A shell that does not find
/// the command ends with exit code 127. The shell is started in this call, which takes as long as starting a
/// process does. When the promise is cancelled or dropped the command goes on, and its end is [taken note
/// of](collect) all the same.
///
/// ```
/// use lwt_unix::process::{Status, system};
/// assert_eq!(lwt_unix::run(system("test 1 -lt 2")).unwrap(), Status::Exited(0));
/// ```
///
/// # Errors
/// The operating system's, if no process can be started. Otherwise as [`waitpid`].
pub fn system(command: impl AsRef<OsStr>) -> Promise<Status> {
    // Whatever the wait needs is there before the child is: nothing shall be left of that.
    let ear = match Runtime::current().map_err(Error::from).and_then(|_| ear_beforehand()) {
        Ok(ear) => ear,
        Err(error) => return Promise::fail(error),
    };
    let shell = Command::new("/bin/sh").arg("-c").arg(command.as_ref()).spawn();
    let status = match shell.during_on("spawn", "/bin/sh") {
        Ok(shell) => {
            let pid = Pid::from(&shell);
            let status =
                begin(WaitFlags::NONE, Which::Child(pid), |waited| waited.map(|waited| waited.status));
            collect(pid);
            status
        }
        Err(error) => Promise::fail(error),
    };
    if let Some(ear) = ear {
        silence(&ear);
    }
    status
}
