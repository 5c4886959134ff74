//! The loop as a guest in another one: [`Guest`]; and single turns: [`iter`].
//!
//! Where another library owns the thread (a user interface, a game's frame loop), it cannot be given to
//! [`run`](super::run). A guest does what is to be done when the host calls it, and tells when it wants to be
//! called again: the host waits for the guest's descriptor beside its own, no longer than the guest says.
//!
//! 1. Between two turns the thread counts as asleep: messages from other threads ring at the descriptor. So a
//!    host that waits for it misses nothing.
//! 2. A turn never blocks. What the host does with promises between two turns (a new timer, a task woken) is
//!    seen by the next turn only: so a host takes one before it waits.
//! 3. The other way round, another loop is a guest in this one by [`on_readable`](crate::engine::on_readable)
//!    and [`on_timer`](crate::engine::on_timer), or by an [`Engine`](crate::engine::Engine) of its own.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use lwt_core::{Error, scheduler};

use super::run::{Running, explain, single_turn};
use super::runtime::Runtime;
use crate::engine::{Engine, Wait};

/// Takes one turn of this thread's main loop, without a promise to wait for (`Lwt_engine.iter`, with what
/// `Lwt_main` does around it).
///
/// With `block`, it waits for something to happen if there is nothing to do. Tasks have their turn after the
/// poll, so that the call returns when they have done something. See [`Guest`] for a loop inside another.
///
/// ```
/// let paused = lwt_core::pause();
/// lwt_unix::main_loop::iter(false).unwrap();
/// assert!(!paused.is_pending());
/// ```
///
/// # Errors
/// [`NestedRun`](super::NestedRun) inside [`run`](super::run) or another turn; the operating system's, if no
/// engine can be made or polling it fails.
pub fn iter(block: bool) -> Result<(), Error> {
    let runtime = Runtime::current().map_err(|error| explain("cannot make the main loop", error))?;
    let _running = Running::begin(&runtime)?;
    single_turn(&runtime, block).map_err(|error| explain("cannot poll the descriptors", error))
}

/// This thread's main loop, as a guest in another loop on the same thread.
///
/// ```
/// use std::{os::fd::{AsFd, AsRawFd}, time::Duration};
/// use lwt_unix::{engine::Wait, main_loop::Guest};
///
/// let guest = Guest::new().unwrap();
/// let nap = lwt_unix::sleep(Duration::from_millis(5));
/// // A host in its simplest form.
/// loop {
///     let wait = guest.turn().unwrap();
///     if !nap.is_pending() {
///         break;
///     }
///     let timeout = match wait {
///         Wait::No => 0,
///         Wait::Until(deadline) => {
///             let left = deadline.saturating_duration_since(guest.now());
///             left.as_millis().try_into().map_or(i32::MAX, |millis: i32| millis.saturating_add(1))
///         }
///         Wait::Forever => -1,
///     };
///     let mut host = [libc::pollfd { fd: guest.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }];
///     unsafe { libc::poll(host.as_mut_ptr(), 1, timeout) };
/// }
/// ```
pub struct Guest {
    runtime: Rc<Runtime>,
    /// The engine that the loop ran on when this was made.
    engine: Rc<dyn Engine>,
    fd: OwnedFd,
}

impl Guest {
    /// This thread's loop, made if there is none.
    ///
    /// # Errors
    /// The operating system's, if no engine can be made, or `EMFILE` at the descriptor; an error of the kind
    /// [`Unsupported`](io::ErrorKind::Unsupported), if the engine has no descriptor to wait for
    /// ([`Engine::pollable`]).
    pub fn new() -> Result<Guest, Error> {
        let runtime = Runtime::current().map_err(|error| explain("cannot make the main loop", error))?;
        let engine = runtime.engine();
        let Some(fd) = engine.pollable()? else {
            let name = engine.name();
            let message = format!("the engine \"{name}\" has no descriptor that another loop could wait for");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message).into());
        };
        Ok(Guest { runtime, engine, fd })
    }

    /// The time on the loop's clock, for the deadlines that [`turn`](Guest::turn) gives.
    pub fn now(&self) -> std::time::Instant {
        self.runtime.now()
    }

    /// Does what is to be done, without waiting, and tells for how long the host may wait for the guest's
    /// descriptor until the next turn.
    ///
    /// # Errors
    /// As [`iter`]; and if the loop was moved to another engine, whose descriptor this guest does not have:
    /// make a new one.
    pub fn turn(&self) -> Result<Wait, Error> {
        self.runtime.awake();
        iter(false)?;
        // Also in this very turn a callback may have moved it.
        if !Rc::ptr_eq(&self.engine, &self.runtime.engine()) {
            return Err(Error::msg("the loop runs on another engine than when its guest was made"));
        }
        if scheduler::has_ready() || scheduler::has_paused() || !self.runtime.prepare_sleep() {
            return Ok(Wait::No);
        }
        Ok(self.runtime.timers.next().map_or(Wait::Forever, Wait::Until))
    }
}

/// The descriptor that is readable when a turn is worth taking. Wait for it, and do nothing else with it.
impl AsFd for Guest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.runtime.awake();
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("fd", &self.fd).finish()
    }
}
