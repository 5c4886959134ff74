//! The zygote: a process that workers are copies of.
//!
//! It is forked off first thing in the program, while that has one thread and little memory. So a copy of it
//! is clean, and cheap, however large and threaded the program becomes.
//!
//! # States
//! ```text
//! none ── begin ──> there ── its socket says that it has gone ──> gone (workers are executed from then on)
//! ```
//!
//! # Rules
//! 1. It has one socket, from which it takes requests, each with the socket of the worker to be made, and
//!    nothing else. It answers on that worker's socket: with its number, or with the error. The worker tells
//!    its number, too, before anything else; so it is known whichever of them is killed.
//! 2. A worker is made by `clone` with `CLONE_PARENT`: it is a child of the program, which waits for it as
//!    for any other.
//! 3. It ends with the program: the kernel kills it then, and its socket says so, too.
//! 4. All signals are blocked in it. What is sent to the program's group, from a terminal, does not end it
//!    before the program, and does not get lost for a worker that is being made.
//! 5. A process that was forked off the program has no zygote: workers would be its parent's children. Nor
//!    has a program that is another user's by now: workers would have the rights that it has given up.
//! 6. One that does not answer is killed, so that it makes no worker later that nobody waits for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lwt_core::{Error, Promise, spawn};
use lwt_unix::fd::{Direction, Fd};
use lwt_unix::process::{Pid, collect};

use super::failure::{Step, WorkerFailure};
use super::inside::{self, Tie};
use super::sys::{self, Cloner};
use super::wire::{self, Packet};

struct Zygote {
    socket: OwnedFd,
    pid: Pid,
    /// Whose zygote it is.
    program: u32,
    /// The rights of its copies.
    rights: [u32; 6],
    gone: AtomicBool,
}

static ZYGOTE: OnceLock<Zygote> = OnceLock::new();

/// Makes the zygote, if that can be done.
pub(super) fn begin() {
    // A loop that is there has descriptors and memory that no copy could use.
    if lwt_unix::engine_name().is_some() || !sys::is_alone() {
        return;
    }
    if let Ok(zygote) = make() {
        // It is called once.
        let _ = ZYGOTE.set(zygote);
    }
}

fn make() -> io::Result<Zygote> {
    use std::io::Write;

    // What is in the buffers now would be written by each worker.
    let _ = (io::stdout().flush(), io::stderr().flush());
    let cloner = Cloner::new()?;
    let (ours, theirs) = sys::socket_pair()?;
    let program = std::process::id();
    sys::block_signals_during(|| match sys::fork_alone()? {
        0 => {
            drop(ours);
            serve(&cloner, theirs, program)
        }
        pid => {
            let (pid, rights, gone) = (Pid::from(pid), sys::rights(), AtomicBool::new(false));
            Ok(Zygote { socket: ours, pid, program, rights, gone })
        }
    })
}

/// In the zygote.
fn serve(cloner: &Cloner, socket: OwnedFd, program: u32) -> ! {
    let Ok(true) = sys::die_with(program) else { sys::exit_now() };
    let Ok(socket) = sys::keep_only(socket) else { sys::exit_now() };
    // An error of the socket is as good as its end.
    while let Ok(Some(worker)) = wire::receive_request(socket.as_fd()) {
        let told = match cloner.sibling() {
            Ok(0) => {
                drop(socket);
                inside::become_worker(worker, program, Tie::Kernel)
            }
            Ok(pid) => Packet::born(pid),
            Err(error) => Packet::not_born(Step::Clone, &error),
        };
        // If nobody hears it, nobody waits for it; if there is no room, the worker has told it by then.
        let _ = told.send(worker.as_fd(), false);
    }
    sys::exit_now()
}

/// Whether there is one to ask.
pub(super) fn is_there() -> bool {
    there().is_some()
}

fn there() -> Option<&'static Zygote> {
    let zygote = ZYGOTE.get()?;
    let ours = zygote.program == std::process::id() && zygote.rights == sys::rights();
    (ours && !zygote.gone.load(Ordering::Relaxed)).then_some(zygote)
}

/// See rule 6. Whoever waits for it is told that it has ended.
pub(super) fn give_up() {
    if let Some(zygote) = there() {
        // It has ended already.
        let _ = sys::kill(zygote.pid.number(), libc::SIGKILL, false);
        zygote.is_gone();
    }
}

/// Why there is no worker, if all that it would have had of a connection is closed: the zygote has ended,
/// which is taken note of, or could not take the request.
pub(super) fn no_answer() -> WorkerFailure {
    // It never says anything there.
    if let Some(zygote) = there()
        && sys::has_something(zygote.socket.as_fd(), Duration::ZERO)
    {
        zygote.is_gone();
    }
    Step::Zygote.failed(nobody())
}

/// Nobody is there any more.
pub(super) fn nobody() -> io::Error {
    io::Error::from_raw_os_error(libc::EPIPE)
}

/// Asks for a worker with this socket. Resolved when the request is on its way.
///
/// # Errors
/// The system's: `EPIPE` if the zygote has ended, and none will be asked from then on.
pub(super) fn ask(worker: OwnedFd) -> Promise<()> {
    let Some(zygote) = there() else {
        return Promise::fail(nobody());
    };
    match Packet::make().send_with(zygote.socket.as_fd(), Some(worker.as_fd()), false) {
        Ok(()) => Promise::ready(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => spawn(ask_later(zygote, worker)),
        Err(error) => Promise::fail(zygote.failed(error)),
    }
}

/// [`ask`], when there is room for the request.
async fn ask_later(zygote: &'static Zygote, worker: OwnedFd) -> Result<(), Error> {
    // A duplicate, because each loop has descriptors of its own.
    let socket = Fd::new(zygote.socket.try_clone()?)?;
    let request = Packet::make();
    let asked = socket.register_action(Direction::Write, |socket| {
        // This may be a fork of the program by now.
        let zygote = there().ok_or_else(nobody)?;
        request.send_with(socket, Some(worker.as_fd()), false).map_err(|error| zygote.failed(error))
    });
    asked.await
}

impl Zygote {
    /// A request has failed.
    fn failed(&self, error: io::Error) -> io::Error {
        if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
            self.is_gone();
        }
        error
    }

    fn is_gone(&self) {
        if !self.gone.swap(true, Ordering::Relaxed) {
            collect(self.pid);
        }
    }
}
