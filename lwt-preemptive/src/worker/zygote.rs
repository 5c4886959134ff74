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
//! 5. A process that was forked off the program has no zygote: workers would be its parent's children.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use lwt_core::{Error, Promise, spawn};
use lwt_unix::fd::{Direction, Fd};
use lwt_unix::process::{Pid, collect};

use super::failure::Step;
use super::inside::{self, Tie};
use super::sys::{self, Cloner};
use super::wire::{self, Packet};

struct Zygote {
    socket: OwnedFd,
    pid: Pid,
    /// Whose zygote it is.
    program: u32,
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
        pid => Ok(Zygote { socket: ours, pid: Pid::from(pid), program, gone: AtomicBool::new(false) }),
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
    let ours = zygote.program == std::process::id();
    (ours && !zygote.gone.load(Ordering::Relaxed)).then_some(zygote)
}

/// Asks for a worker with this socket. Resolved when the request is on its way.
///
/// # Errors
/// The system's: `EPIPE` if the zygote has ended, and none will be asked from then on.
pub(super) fn ask(worker: OwnedFd) -> Promise<()> {
    let Some(zygote) = there() else {
        return Promise::fail(io::Error::from(io::ErrorKind::BrokenPipe));
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
        request.send_with(socket, Some(worker.as_fd()), false).map_err(|error| zygote.failed(error))
    });
    asked.await
}

impl Zygote {
    /// A request has failed.
    fn failed(&self, error: io::Error) -> io::Error {
        let ended = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        if ended && !self.gone.swap(true, Ordering::Relaxed) {
            collect(self.pid);
        }
        error
    }
}
