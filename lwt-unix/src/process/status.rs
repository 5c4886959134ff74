//! [`Pid`], [`Status`], [`Usage`]: a process's number, how it ended, and what it used.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::signal::Signal;

/// A process's number.
///
/// The system gives it again when the process has ended and its parent has taken note; so it is a name only
/// as long as nobody has waited for the process.
///
/// ```
/// use lwt_unix::process::Pid;
/// assert_eq!(Pid::this().number(), std::process::id() as i32);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// The number of this process.
    pub fn this() -> Pid {
        // Numbers of processes are positive and fit.
        Pid(std::process::id() as i32)
    }

    /// The number itself.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl From<i32> for Pid {
    fn from(number: i32) -> Pid {
        Pid(number)
    }
}

/// The number of a child that the standard library has started.
impl From<&std::process::Child> for Pid {
    fn from(child: &std::process::Child) -> Pid {
        Pid(child.id() as i32)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({})", self.0)
    }
}

/// What has become of a process (`Unix.process_status` of OCaml).
///
/// ```
/// use lwt_unix::process::{Status, system};
/// let status = lwt_unix::run(system("exit 3")).unwrap();
/// assert_eq!(status, Status::Exited(3));
/// assert!(!status.success());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It has ended by itself, with this exit code, 0 to 255.
    Exited(i32),
    /// A signal has ended it.
    Signaled {
        /// The signal.
        signal: Signal,
        /// Whether it left an image of its memory.
        core: bool,
    },
    /// It was stopped by this signal, and may go on. Only those who ask for it are told
    /// ([`WaitFlags::UNTRACED`](super::WaitFlags::UNTRACED)).
    Stopped(Signal),
}

impl Status {
    /// The status of a number that `wait` has given.
    pub fn from_raw(number: i32) -> Status {
        Status::from(ExitStatus::from_raw(number))
    }

    /// Whether the process has ended with exit code 0.
    pub fn success(self) -> bool {
        self == Status::Exited(0)
    }

    /// The exit code, if it has ended with one.
    pub fn code(self) -> Option<i32> {
        match self {
            Status::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// Whether the process is no more.
    pub fn has_ended(self) -> bool {
        !matches!(self, Status::Stopped(_))
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Status {
        if let Some(code) = status.code() {
            return Status::Exited(code);
        }
        if let Some(signal) = status.stopped_signal() {
            return Status::Stopped(Signal::from(signal));
        }
        Status::Signaled { signal: Signal::from(status.signal().unwrap_or(0)), core: status.core_dumped() }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Exited(code) => write!(f, "exit code {code}"),
            Status::Signaled { signal, core: false } => write!(f, "ended by {signal}"),
            Status::Signaled { signal, core: true } => write!(f, "ended by {signal}, with a core image"),
            Status::Stopped(signal) => write!(f, "stopped by {signal}"),
        }
    }
}

/// What a process has used, itself and those of its children that it waited for (`Lwt_unix.resource_usage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time of its own (`ru_utime`).
    pub user: Duration,
    /// Processor time of the system for it (`ru_stime`).
    pub system: Duration,
    /// The most memory it had at a time, in bytes.
    pub max_resident: u64,
    /// Pages that were had without reading.
    pub minor_faults: u64,
    /// Pages that had to be read.
    pub major_faults: u64,
    /// How often it waited for something.
    pub voluntary_switches: u64,
    /// How often it was made to wait.
    pub involuntary_switches: u64,
}

/// What a wait for a process has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// Which process.
    pub pid: Pid,
    /// What has become of it.
    pub status: Status,
    /// What it has used.
    pub usage: Usage,
}
