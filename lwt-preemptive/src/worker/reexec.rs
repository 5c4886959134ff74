//! The other way to a worker: executing the program anew.
//!
//! It takes a millisecond or two and works everywhere: where there is no zygote, and from a worker.
//!
//! 1. The program is what `/proc/self/exe` names: the same file, also when another one has its path by now.
//! 2. The new process knows that it is a worker by a variable of the environment, which names its parent, and
//!    by its standard input, which is the socket to the program. Both have to be there: what a worker starts
//!    inherits the one at most. If its parent has ended by then it ends, too, and is never taken for a
//!    program.
//! 3. It takes orders only from a program that has its rights. Otherwise a program whose file gives it
//!    another user's rights would do whatever its starter has it do, and those who have given such rights up
//!    would get them back.
//! 4. Between fork and exec nothing of ours runs, so that the system may make the process without copying
//!    this one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use lwt_unix::faults;
use lwt_unix::process::Pid;

use super::failure::Step;
use super::inside::{self, Tie};
use super::sys;

const VARIABLE: &str = "LWT_WORKER_OF";

/// Starts a worker with this socket. Takes its time: for a job thread.
///
/// # Errors
/// The system's.
pub(super) fn spawn(worker: OwnedFd) -> io::Result<Pid> {
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(VARIABLE, std::process::id().to_string());
    command.stdin(Stdio::from(worker)).process_group(0);
    faults::call("posix_spawn", || command.spawn()).map(|child| Pid::from(&child))
}

/// If this process was started by [`spawn`], becomes a worker.
pub(super) fn begin() {
    let parent = std::env::var(VARIABLE).ok().and_then(|number| number.parse().ok());
    let Some(parent) = parent else { return };
    sys::forget_variable(VARIABLE);
    let Some(socket) = sys::socket_at_input() else { return };
    // What the program has left open for those whom it starts is not for its workers; nor is the socket, as
    // standard input.
    let Ok(socket) = sys::keep_only(socket) else { sys::exit_now() };
    if !sys::is_among_equals(socket.as_fd()) {
        inside::refuse(&socket, Step::Parent, &io::Error::from_raw_os_error(libc::EPERM));
    }
    inside::become_worker(socket, parent, Tie::Thread)
}
