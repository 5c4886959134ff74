//! [`fork`]: going on in two processes (`Lwt_unix.fork`).
//!
//! A fork copies the memory of the process, and the calling thread; other threads are not there in the child,
//! and whatever they held or had begun stays as it was in that moment, for ever. So a fork beside other
//! threads is safe only for those who know what each of them is doing. From this follow the rules of the safe
//! form:
//!
//! 1. Nobody but this thread may be there, and job threads that have nothing to do: they hold nothing. All is
//!    refused otherwise, and nothing has happened then. Nor may there be references to what other processes
//!    write when this one allows it ([`Lent`]): nobody would ask the child.
//! 2. No signal comes between the fork and the moment when the child is put right: all are blocked meanwhile.
//! 3. What the loops of all threads have in common (notifications, signals, children, pools, which file
//!    systems are local) is in nobody else's hands during the fork, in the other form too.
//! 4. The child gets, before the call returns: an engine of its own, with the same descriptors registered; no
//!    job threads, and no jobs: those that were pending are abandoned; none of the signals and notifications
//!    that were sent before; no waits for children, which are the parent's; none of the parent's exit hooks.
//!    What was paused, and callbacks that were put off, are abandoned.
//! 5. A child that cannot be put right ends with exit code 71 and a line on standard error. It cannot return
//!    an error, for its caller would take it for the parent's.

use std::fmt;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use lwt_core::{Error, scheduler};

use super::{Lent, Pid, children};
use crate::fd::During;
use crate::main_loop::hooks::guarded;
use crate::main_loop::runtime::Runtime;
use crate::main_loop::{exit_hooks, loop_stats};
use crate::sys::signal::Blocked;
use crate::{file, job, main_loop, notification, signal, sys};

/// In which of the two processes one is after a [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// In the old one. The number is the new one's; [`waitpid`](super::waitpid) waits for its end.
    Parent(Pid),
    /// In the new one.
    Child,
}

/// How long to wait for a job thread that has nothing more to tell. Only a job that was cancelled takes so
/// long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why [`fork`] refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CannotFork {
    /// There are so many other threads that are not ours.
    Threads(usize),
    /// So many job threads are at work, or about to be.
    Jobs(usize),
    /// So many references to memory are in use that other processes write: see [`Lent`].
    Lent(usize),
    /// The system does not tell what threads there are.
    Unknown,
}

impl fmt::Display for CannotFork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot fork: ")?;
        match self {
            CannotFork::Threads(number) => write!(f, "{number} other threads would be missing in the child"),
            CannotFork::Jobs(number) => write!(f, "{number} jobs are going on"),
            CannotFork::Lent(number) => write!(f, "{number} references to shared memory are in use"),
            CannotFork::Unknown => f.write_str("the system does not tell whether there are other threads"),
        }
    }
}

impl std::error::Error for CannotFork {}

/// Makes a second process that goes on from here as this one does (`Lwt_unix.fork`).
///
/// The child returns into the same code, also inside [`run`](crate::run), and its loop goes on: promises,
/// tasks, timers and descriptors are those of the parent, at that moment. What it does not have is what only
/// the parent can get:
/// * the parent's jobs are abandoned; new ones run on threads of its own ([`job`]);
/// * the parent's children are no children of it; waits for them are rejected with `ECHILD`;
/// * signals and notifications that were sent and not served by then are the parent's alone. Handlers of this
///   thread stay, those of other threads are gone;
/// * exit hooks are the parent's; so is what is paused, and callbacks that were put off: abandoned in the
///   child.
///
/// Nothing that happens in the one reaches the other, with an exception that forks have everywhere: open
/// files, sockets and pipes are shared. If both read from one, each byte reaches one of them, whichever comes
/// first. So a child that is meant to do something else should close what it does not need, or drop who reads
/// there; and text that is still in a buffer is written by both.
///
/// Mostly a program is better off with another process started anew, or with a worker. A fork is for a
/// process that is young: before other threads come.
///
/// ```
/// use lwt_unix::process::{Fork, Status, WaitFlags, fork, waitpid};
/// // In a program with one thread. Where there are others it is refused.
/// lwt_unix::run(async {
///     match fork() {
///         Ok(Fork::Child) => std::process::abort(),
///         Ok(Fork::Parent(child)) => drop(waitpid(WaitFlags::NONE, child).await?),
///         Err(error) => println!("{error}"),
///     }
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
///
/// # Errors
/// [`CannotFork`] beside other threads; while jobs are going on: await them first; and while shared memory is
/// read in place ([`Lent`]). Where the system does not tell of threads (not on Linux), always;
/// [`fork_beside_threads`] is there. The system's own: `EAGAIN`, `ENOMEM`.
pub fn fork() -> Result<Fork, Error> {
    let working = working();
    if working > 0 {
        return Err(CannotFork::Jobs(working).into());
    }
    let threads = foreign_threads();
    // In this order: where there are no others, nobody has lent anything since.
    let lent = Lent::count();
    if lent > 0 {
        return Err(CannotFork::Lent(lent).into());
    }
    match threads {
        // SAFETY: no other thread is there but those of pools without jobs, which hold nothing; and nothing
        // is lent.
        Some(0) => unsafe { fork_beside_threads() },
        Some(number) => Err(CannotFork::Threads(number).into()),
        None => Err(CannotFork::Unknown.into()),
    }
}

/// [`fork`], whatever other threads there are.
///
/// ```no_run
/// use lwt_unix::process::{Fork, fork_beside_threads};
/// // SAFETY: the other threads are asleep, and hold nothing that the child uses.
/// match unsafe { fork_beside_threads() } {
///     Ok(Fork::Child) => println!("child"),
///     Ok(Fork::Parent(child)) => println!("parent of {child}"),
///     Err(error) => println!("{error}"),
/// }
/// ```
///
/// # Safety
/// Other threads do not exist in the child, but what they held or were changing at that moment does: locks
/// stay taken, and data half changed. Whatever the child uses must not have been in another thread's hands,
/// be it memory without a lock or a library that is not made for this. (The allocator of the C library is;
/// and this crate keeps its own tables out of others' hands, but no other thread may be sending something to
/// this thread's loop.) Nor may the child use references that are [`Lent`].
///
/// # Errors
/// The system's: `EAGAIN`, `ENOMEM`.
pub unsafe fn fork_beside_threads() -> Result<Fork, Error> {
    let blocked = Blocked::all();
    let held = (notification::hold(), signal::table::hold(), children::hold(), file::hold());
    // SAFETY: the caller's.
    let forked = job::still(|| unsafe { sys::process::fork() });
    drop(held);
    let fork = match forked.during("fork")? {
        0 => {
            if let Err(error) = begin_anew() {
                give_up(&error);
            }
            Fork::Child
        }
        child => Fork::Parent(Pid::from(child)),
    };
    drop(blocked);
    Ok(fork)
}

/// In the child: see rule 4.
fn begin_anew() -> Result<(), Error> {
    main_loop::run::begin_anew()?;
    // From here on users' code runs: callbacks and destructors, which may begin anything.
    scheduler::abandon_wakeups();
    scheduler::abandon_paused();
    guarded(|| exit_hooks().remove_all());
    Runtime::leave_parent();
    Ok(())
}

/// See rule 5.
fn give_up(error: &Error) -> ! {
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "forked child: {error}");
    sys::process::exit_now(71)
}

/// How many jobs are going on. A thread that has just given the result of its job is waited for: it holds
/// something until it has put everything away. So is one that is being started: it has no name yet.
fn working() -> usize {
    let begin = Instant::now();
    loop {
        let (jobs, starting) = job::working();
        if jobs + starting == 0 || loop_stats().jobs > 0 || begin.elapsed() > PATIENCE {
            return jobs;
        }
        thread::yield_now();
    }
}

/// How many threads there are besides this one and those of our pools, if the system tells.
fn foreign_threads() -> Option<usize> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    let mut others = 0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        // A thread that has ended meanwhile has none.
        if let Ok(stat) = std::fs::read(thread.ok()?.path().join("stat")) {
            others += usize::from(is_foreign(&stat)?);
        }
    }
    others.checked_sub(1)
}

/// Whether a thread of which the system tells this is somebody else's, and will still do something. One that
/// was joined a moment ago may be there, but it has left its program for good.
fn is_foreign(stat: &[u8]) -> Option<bool> {
    const EXITING: u32 = 4;
    // Number; name in parentheses, which may hold any character; state, five numbers, and the flags.
    let (open, close) =
        (stat.iter().position(|byte| *byte == b'(')?, stat.iter().rposition(|byte| *byte == b')')?);
    let flags = std::str::from_utf8(&stat[close..]).ok()?.split_whitespace().nth(7)?;
    Some(flags.parse::<u32>().ok()? & EXITING == 0 && !stat[open..].starts_with(b"(lwt-job"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_foreign_unless_it_is_a_pools_or_at_its_end() {
        let stat = |name: &str, flags: u32| format!("17 ({name}) S 1 2 3 0 -1 {flags} 100 0 0 0");
        let foreign = |name, flags| is_foreign(stat(name, flags).as_bytes());
        assert_eq!(foreign("main", 0x40_0040), Some(true));
        assert_eq!(foreign(") S (lwt-job) R 4 4", 0x40_0040), Some(true));
        assert_eq!(foreign("main", 0x40_0044), Some(false));
        assert_eq!(foreign("lwt-job", 0x40_0040), Some(false));
        assert_eq!(foreign("lwt-job-watch", 0x40_0040), Some(false));
        assert_eq!(is_foreign(b"17 (cut"), None);
        assert_eq!(is_foreign(b"17 (main) S 1 2"), None);
    }
}
