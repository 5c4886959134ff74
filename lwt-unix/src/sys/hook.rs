//! What stands between this thread's system calls and the system: a plan of faults, a simulated network, or,
//! as a rule, nothing.
//!
//! Rules:
//! 1. A system call asks one question first, [`hooked`]: one load of a constant thread-local. Everything else
//!    is out of line, and paid for by tests only.
//! 2. A fault is a lie about the descriptor's readiness if it says "would block", or cuts a transfer short:
//!    the caller takes the cached readiness back, and no edge follows, because nothing has changed. So
//!    whoever takes it back tells [`would_block`] or [`was_short`]; after a lie they note the report that the
//!    runtime then makes in its next turn. No caller of the seam need know.
//! 3. An interruption by a plan is that of the call which is being made; [`retry`](super::retry) makes it
//!    again at once, so the rest of "interrupted n times" belongs to the very same call.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use nix::sys::socket::{SockType, getsockopt, sockopt};

use crate::engine::{Event, Readiness, Token};
use crate::faults::Force;

/// A plan is in force.
const FAULTS: u8 = 1;
/// Reports are due after lies.
const DOUBTS: u8 = 2;
/// The thread's sockets are simulated.
const SIMULATED: u8 = 4;

thread_local! {
    static HOOKS: Cell<u8> = const { Cell::new(0) };
    static COLD: Cold = const {
        Cold {
            force: RefCell::new(None),
            interruptions: Cell::new(0),
            refused: Cell::new(false),
            cut: Cell::new(false),
            doubts: RefCell::new(Vec::new()),
        }
    };
}

/// What only tests use.
struct Cold {
    force: RefCell<Option<Arc<Force>>>,
    /// How many more times the call that is being made is interrupted.
    interruptions: Cell<u32>,
    /// The last call was made to say "would block".
    refused: Cell<bool>,
    /// The last transfer was asked for less than it should have been.
    cut: Cell<bool>,
    doubts: RefCell<Vec<Event>>,
}

/// Whether this thread's system calls are anything but that.
#[inline]
pub(crate) fn hooked() -> bool {
    HOOKS.get() != 0
}

/// Whether this thread's sockets are simulated.
#[inline]
pub(crate) fn is_simulated() -> bool {
    HOOKS.get() & SIMULATED != 0
}

/// Says whether this thread's sockets are simulated.
pub(crate) fn set_simulated(on: bool) {
    set(SIMULATED, on);
}

fn set(hook: u8, on: bool) {
    HOOKS.set(if on { HOOKS.get() | hook } else { HOOKS.get() & !hook });
}

/// The plan in force on this thread.
#[inline]
pub(crate) fn force() -> Option<Arc<Force>> {
    if HOOKS.get() & FAULTS == 0 {
        return None;
    }
    COLD.try_with(|cold| cold.force.borrow().clone()).ok().flatten()
}

/// Puts a plan in force on this thread, or none; gives what was in force.
pub(crate) fn put_in_force(force: Option<Arc<Force>>) -> Option<Arc<Force>> {
    let some = force.is_some();
    let before = COLD.try_with(|cold| {
        cold.interruptions.set(0);
        cold.force.replace(force)
    });
    // On a thread at its very end there is none, and none is put.
    set(FAULTS, some && before.is_ok());
    before.ok().flatten()
}

/// The error that this call is to fail with, if the plan wants it to.
fn refusal(call: &'static str) -> Option<io::Error> {
    let force = force()?;
    let number = COLD
        .try_with(|cold| {
            cold.refused.set(false);
            let number = match cold.interruptions.get() {
                0 => {
                    let (number, times) = force.refusal(call)?;
                    cold.interruptions.set(if number == libc::EINTR { times } else { 0 });
                    number
                }
                left => {
                    force.count();
                    cold.interruptions.set(left - 1);
                    // After the last one it is made.
                    (left > 1).then_some(libc::EINTR)?
                }
            };
            cold.refused.set(number == libc::EAGAIN);
            Some(number)
        })
        .ok()??;
    Some(io::Error::from_raw_os_error(number))
}

/// How much of `len` bytes this call may transfer. A datagram is never cut: its rest would be lost.
#[cold]
pub(crate) fn cut(call: &'static str, fd: BorrowedFd<'_>, len: usize) -> usize {
    if force().is_none() || len <= 1 || keeps_bounds(fd) {
        let _ = COLD.try_with(|cold| cold.cut.set(false));
        return len;
    }
    cut_stream(call, len)
}

/// [`cut`] of what is known to be a stream.
pub(crate) fn cut_stream(call: &'static str, len: usize) -> usize {
    let most = force().and_then(|force| force.cut(call)).map_or(len, |most| most.min(len));
    let _ = COLD.try_with(|cold| cold.cut.set(most < len));
    most
}

/// [`cut`] for a call over several buffers of these lengths: the place of the only one that it is to use, and
/// how much of that; `None` if it is not cut.
#[inline]
pub(crate) fn front(
    call: &'static str,
    fd: BorrowedFd<'_>,
    lens: impl Iterator<Item = usize> + Clone,
) -> Option<(usize, usize)> {
    if hooked() { cut_front(call, fd, lens) } else { None }
}

#[cold]
fn cut_front(
    call: &'static str,
    fd: BorrowedFd<'_>,
    mut lens: impl Iterator<Item = usize> + Clone,
) -> Option<(usize, usize)> {
    let all = lens.clone().sum();
    let len = cut(call, fd, all);
    if len == all {
        return None;
    }
    let first = lens.clone().find(|len| *len > 0)?;
    Some((lens.position(|len| len > 0)?, len.min(first)))
}

/// Makes a call if the plan lets it pass; it is made again where the plan interrupts it.
#[cold]
pub(crate) fn passed<R>(name: &'static str, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    loop {
        match refusal(name) {
            None => return call(),
            Some(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Some(error) => return Err(error),
        }
    }
}

/// [`passed`] for a call that must not be made again: whatever is interrupted goes on, and `close` has done
/// its work whatever it says.
#[cold]
pub(crate) fn passed_once<R>(name: &'static str, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let Some(error) = refusal(name) else { return call() };
    let _ = COLD.try_with(|cold| cold.interruptions.set(0));
    if name == "close" || error.raw_os_error() == Some(libc::EINTR) {
        match call() {
            Err(own) if own.raw_os_error() != Some(libc::EINPROGRESS) => return Err(own),
            _ => {}
        }
    }
    Err(error)
}

/// Whether what is written to `fd` keeps its bounds: a socket, but not one of streams.
fn keeps_bounds(fd: BorrowedFd<'_>) -> bool {
    // Not through the seam: this is no call of the program's.
    getsockopt(&fd, sockopt::SockType).is_ok_and(|kind| kind != SockType::Stream)
}

/// The caller has taken this readiness back, because the last call said "would block".
#[inline]
pub(crate) fn would_block(token: Token, readiness: Readiness) {
    if hooked() {
        doubt(|cold| &cold.refused, token, readiness);
    }
}

/// The caller has taken this readiness back, because the last call has moved less than it was asked for.
#[inline]
pub(crate) fn was_short(token: Token, readiness: Readiness) {
    if hooked() {
        doubt(|cold| &cold.cut, token, readiness);
    }
}

/// If that was a lie, a report is due.
#[cold]
fn doubt(lie: fn(&Cold) -> &Cell<bool>, token: Token, readiness: Readiness) {
    let _ = COLD.try_with(|cold| {
        if lie(cold).take() {
            cold.doubts.borrow_mut().push(Event { token, readiness });
            set(DOUBTS, true);
        }
    });
}

/// Whether reports are due, so that the loop must not block.
#[inline]
pub(crate) fn has_doubts() -> bool {
    HOOKS.get() & DOUBTS != 0
}

/// Adds the reports that are due to those of the engine.
#[inline]
pub(crate) fn report_doubts(events: &mut Vec<Event>) {
    if has_doubts() {
        set(DOUBTS, false);
        let _ = COLD.try_with(|cold| events.append(&mut cold.doubts.borrow_mut()));
    }
}
