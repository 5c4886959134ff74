//! [`Signal`]: a signal's number, and its name.

use std::fmt;

use libc::c_int;

use crate::sys;

/// A signal: a number that the system knows. Those that have names are constants of this module.
///
/// ```
/// use lwt_unix::signal::{SIGTERM, Signal};
/// assert_eq!(SIGTERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from(15), SIGTERM);
/// assert_eq!(Signal::realtime(0).map(|first| first.to_string()), Some("SIGRTMIN+0".to_owned()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(c_int);

/// Makes the constants, and the table of their names.
macro_rules! signals {
    ($($name:ident: $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Signal = Signal(libc::$name);
        )*

        const NAMES: &[(Signal, &str)] = &[$(($name, stringify!($name))),*];
    };
}

signals! {
    SIGHUP: "The terminal is gone; by custom, a request to read the configuration again.";
    SIGINT: "Interrupted from the terminal: Ctrl-C.";
    SIGQUIT: "Quit from the terminal, with a core image: Ctrl-\\\\.";
    SIGILL: "An illegal instruction.";
    SIGTRAP: "A breakpoint.";
    SIGABRT: "The program has called `abort`.";
    SIGBUS: "A bad address.";
    SIGFPE: "A bad computation.";
    SIGKILL: "The end, at once.";
    SIGUSR1: "Free for the program's own use.";
    SIGSEGV: "Memory that is not there.";
    SIGUSR2: "Free for the program's own use.";
    SIGPIPE: "A write to a pipe that nobody reads. Rust's start-up code ignores it; the write fails instead.";
    SIGALRM: "The time of `alarm` is over.";
    SIGTERM: "A request to end.";
    SIGCHLD: "A child process has ended, stopped, or gone on.";
    SIGCONT: "Goes on after a stop.";
    SIGSTOP: "Stops, at once.";
    SIGTSTP: "Stopped from the terminal: Ctrl-Z.";
    SIGTTIN: "A read from the terminal in the background.";
    SIGTTOU: "A write to the terminal in the background.";
    SIGURG: "Urgent data on a socket.";
    SIGXCPU: "The limit of processor time is reached.";
    SIGXFSZ: "The limit of file size is reached.";
    SIGVTALRM: "The virtual timer has run out.";
    SIGPROF: "The profiling timer has run out.";
    SIGWINCH: "The terminal's window has another size.";
    SIGIO: "Input or output is possible on a descriptor.";
    SIGSYS: "A bad system call.";
}

impl Signal {
    /// The number.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The `n`th of the signals that are free for applications and queue up instead of merging, if there are
    /// that many (and the system has such: Linux does).
    pub fn realtime(n: u8) -> Option<Signal> {
        let (first, last) = sys::signal::realtime();
        let number = first + c_int::from(n);
        (number <= last).then_some(Signal(number))
    }

    /// The name, of those that have one.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(signal, _)| *signal == self).map(|(_, name)| *name)
    }
}

/// Any number will do; what the system does not know is refused where it is used.
impl From<i32> for Signal {
    fn from(number: i32) -> Signal {
        Signal(number)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = sys::signal::realtime();
        match self.name() {
            Some(name) => f.write_str(name),
            None if (first..=last).contains(&self.0) => write!(f, "SIGRTMIN+{}", self.0 - first),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
