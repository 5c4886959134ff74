//! How a worker comes to be, and who answers for it until its loop does.
//!
//! 1. A worker that was asked for comes to be, whatever its loop does meanwhile. If the loop has ended by the
//!    time that its number is known, it is killed and waited for all the same: no zombie.
//! 2. A zygote that has not answered for a while is [given up](zygote::give_up).

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use lwt_core::Promise;
use lwt_unix::job;
use lwt_unix::process::Pid;

use super::failure::Step;
use super::life::Way;
use super::wire::Report;
use super::{reexec, sys, zygote};

/// A worker that nobody answers for yet: dropped, it is killed.
pub(super) struct Foundling {
    pid: Option<Pid>,
    /// Whose child it is.
    program: u32,
}

impl Foundling {
    pub(super) fn new(pid: Pid) -> Foundling {
        Foundling { pid: Some(pid), program: std::process::id() }
    }

    /// Somebody answers for it from here on.
    pub(super) fn adopt(mut self) -> Option<Pid> {
        self.pid.take()
    }
}

impl Drop for Foundling {
    fn drop(&mut self) {
        if let Some(pid) = self.pid
            && self.program == std::process::id()
        {
            end(pid);
        }
    }
}

/// Kills a worker of a loop that takes note of no children any more, and waits for it.
pub(super) fn end(pid: Pid) {
    // It has gone already.
    let _ = sys::kill(pid.number(), libc::SIGKILL, true);
    sys::reap(pid.number(), Duration::from_secs(1));
}

/// Has a worker made with this socket; resolved with it, or with none if its number comes by the socket.
pub(super) fn make(way: Way, worker: OwnedFd) -> (Step, Promise<Option<Foundling>>) {
    match way {
        Way::Zygote => (Step::Zygote, zygote::ask(worker).map(|()| None)),
        Way::Exec => {
            let spawned = job::detach_result(move || reexec::spawn(worker).map(Foundling::new));
            (Step::Spawn, spawned.map(Some).no_cancel())
        }
    }
}

/// Blocks until the zygote has told the number of a worker that it was asked for, for so long at most.
pub(super) fn expect(socket: BorrowedFd<'_>, limit: Duration) -> Option<Foundling> {
    let end = Instant::now() + limit;
    loop {
        if !sys::has_something(socket, end.saturating_duration_since(Instant::now())) {
            zygote::give_up();
            return None;
        }
        match Report::receive(socket) {
            Ok(Some(Report::Born { pid })) if pid > 0 => return Some(Foundling::new(Pid::from(pid))),
            Ok(None) => return None,
            _ => {}
        }
    }
}
