//! Signals, handled by the loop (`Lwt_unix.on_signal` and its like).
//!
//! * *Where.* A handler is a closure of the thread that added it, and is called by that thread's loop, like
//!   any other callback: it may do anything. Nothing but a count is done when the signal itself comes,
//!   whichever thread it meets. Handlers of several loops are all called, each by its own.
//! * *Order.* A signal may have any number of handlers; they are called in the order in which they were
//!   added.
//! * *How often.* Once for each time that the system has delivered the signal. The system merges a signal
//!   that is still to be delivered with others of its kind (but for [real-time](Signal::realtime) ones), so
//!   the number may be smaller than that of signals sent; but after the last signal there is a call.
//! * *Others.* The action that was there before is called too, if it is a function; its default action, or a
//!   decision to ignore the signal, no longer counts. When the last handler is disabled the previous action
//!   comes back, unless some library has put its own in front of ours meanwhile: then that one stays, and
//!   ours, which that library may still call, does nothing but pass on. (A previous action that asked to be
//!   called just once is called each time.)
//! * *Blocked.* A signal that all threads block stays with the system until one lets it in. Programs inherit
//!   what is blocked from those that start them.
//! * *Refused.* `SIGKILL` and `SIGSTOP`, which the system does not let be caught, and those by which it tells
//!   of a fault (`SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL`, `SIGTRAP`, `SIGSYS`), from which a handler that
//!   returns does not save. `SIGPIPE` stays ignored, as Rust's start-up code has it, until somebody adds a
//!   handler.
//! * *Fork.* The child keeps the handlers of the thread that forked, but not the signals that the parent got
//!   before. A program that it executes begins with the default actions, and ignores what was ignored.
//!
//! Files: `number`, what a signal is; `handlers`, those of one loop; `table`, what the process has in common;
//! `wait`, the forms with promises.
//!
//! ```
//! use lwt_unix::signal::{self, SIGUSR1};
//! lwt_unix::run(async {
//!     let handler = signal::on_signal(SIGUSR1, |signal| println!("got {signal}"))?;
//!     let promise = signal::next(SIGUSR1);
//!     signal::handle_signal(SIGUSR1);
//!     assert_eq!(promise.await?, SIGUSR1);
//!     handler.disable();
//!     assert_eq!(signal::signal_count(), 0);
//!     Ok::<_, lwt_core::Error>(())
//! }).unwrap();
//! ```

use lwt_core::Error;

use crate::fd::During;
use crate::main_loop::runtime::Runtime;

pub(crate) mod handlers;
mod number;
pub(crate) mod table;
mod wait;

pub use self::handlers::SignalHandler;
pub use self::number::*;
pub use self::wait::{next, stream};

/// Has `f` called by this thread's loop when the signal comes (`Lwt_unix.on_signal`). See the [module's
/// documentation](self).
///
/// ```
/// use lwt_unix::signal::{SIGKILL, SIGHUP, on_signal};
/// on_signal(SIGHUP, |_| println!("reading the configuration again")).unwrap();
/// assert!(on_signal(SIGKILL, |_| println!("never")).is_err());
/// ```
///
/// # Errors
/// `InvalidInput` for a signal that cannot be caught or that the system does not have. Otherwise as
/// [`make_notification`](crate::notification::make_notification).
pub fn on_signal(
    signal: impl Into<Signal>,
    mut f: impl FnMut(Signal) + 'static,
) -> Result<SignalHandler, Error> {
    SignalHandler::add(signal.into(), Box::new(move |_, signal| f(signal)))
}

/// [`on_signal`] for a handler that wants its own handle, to disable itself (`Lwt_unix.on_signal_full`).
///
/// ```
/// use lwt_unix::signal::{SIGUSR2, handle_signal, on_signal_full};
/// let handler = on_signal_full(SIGUSR2, |me, _| me.disable()).unwrap();
/// handle_signal(SIGUSR2);
/// lwt_unix::run(lwt_unix::sleep(std::time::Duration::from_millis(1))).unwrap();
/// assert!(!handler.is_enabled());
/// ```
///
/// # Errors
/// As [`on_signal`].
pub fn on_signal_full(
    signal: impl Into<Signal>,
    f: impl FnMut(&SignalHandler, Signal) + 'static,
) -> Result<SignalHandler, Error> {
    SignalHandler::add(signal.into(), Box::new(f))
}

/// Ends a handler: [`SignalHandler::disable`] (`Lwt_unix.disable_signal_handler`).
pub fn disable_signal_handler(handler: &SignalHandler) {
    handler.disable();
}

/// How many handlers this thread's loop has (`Lwt_unix.signal_count`).
pub fn signal_count() -> usize {
    Runtime::existing().map_or(0, |runtime| runtime.signals.len())
}

/// Puts our handler for a signal in front again, if some library has put its own there, and a loop of this
/// process has handlers for the signal (`Lwt_unix.reinstall_signal_handler`). That library's handler is
/// called after ours, from now on, as everybody's is who was there before us.
///
/// ```
/// use lwt_unix::signal::{SIGUSR1, on_signal, reinstall_signal_handler};
/// on_signal(SIGUSR1, |_| println!("still here")).unwrap();
/// // … a library is loaded that believes to be alone …
/// reinstall_signal_handler(SIGUSR1).unwrap();
/// ```
///
/// # Errors
/// The operating system's.
pub fn reinstall_signal_handler(signal: impl Into<Signal>) -> Result<(), Error> {
    let signal = signal.into();
    table::reinstall(signal.number()).during_on("sigaction", signal)
}

/// Has all loops' handlers for a signal called as if it had come: for a library that catches it by itself
/// (`Lwt_unix.handle_signal`). From any thread, and from signal handlers; `errno` is not kept. Says whether
/// anybody listens.
pub fn handle_signal(signal: impl Into<Signal>) -> bool {
    table::send(signal.into().number())
}
