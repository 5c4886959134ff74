//! The handlers of one loop, in the order in which they were made.
//!
//! 1. A signal that has handlers has a notification, made with the first and stopped with the last.
//! 2. Handlers are called by the loop, with nothing borrowed: one may add and disable any. What is added
//!    during a call is for the next signal; what is disabled is not called any more.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::rc::Rc;

use lwt_core::Error;

use super::number::{SIGKILL, SIGSTOP};
use super::{Signal, table};
use crate::fd::During;
use crate::main_loop::hooks::guarded;
use crate::main_loop::runtime::Runtime;
use crate::notification::{Notification, make_notification, stop_notification};
use crate::sys::signal::FAULTS;

/// A handler that was added to a signal (`Lwt_unix.signal_handler_id`). It stays until it is
/// [disabled](SignalHandler::disable) or its loop ends, also when this handle is dropped.
#[derive(Clone)]
pub struct SignalHandler(Rc<Handler>);

struct Handler {
    signal: Signal,
    enabled: Cell<bool>,
    /// It is out of its place while it runs.
    call: RefCell<Option<Call>>,
}

type Call = Box<dyn FnMut(&SignalHandler, Signal)>;

/// The handlers of one loop.
#[derive(Default)]
pub(crate) struct Signals {
    table: RefCell<BTreeMap<Signal, Entry>>,
}

struct Entry {
    notification: Notification,
    handlers: Vec<SignalHandler>,
}

impl SignalHandler {
    /// See [`on_signal_full`](super::on_signal_full).
    pub(super) fn add(signal: Signal, call: Call) -> Result<SignalHandler, Error> {
        check(signal).during_on("sigaction", signal)?;
        let runtime = Runtime::current()?;
        let handler = SignalHandler(Rc::new(Handler {
            signal,
            enabled: Cell::new(true),
            call: RefCell::new(Some(call)),
        }));
        if let Some(entry) = runtime.signals.table.borrow_mut().get_mut(&signal) {
            entry.handlers.push(handler.clone());
            return Ok(handler);
        }
        let notification = make_notification(move || came(signal))?;
        if let Err(error) = table::listen(signal.number(), notification).during_on("sigaction", signal) {
            // It was made just now, and by this thread.
            let _ = stop_notification(notification);
            return Err(error);
        }
        let entry = Entry { notification, handlers: vec![handler.clone()] };
        runtime.signals.table.borrow_mut().insert(signal, entry);
        Ok(handler)
    }

    /// The signal that it is for.
    pub fn signal(&self) -> Signal {
        self.0.signal
    }

    /// Whether it is still called.
    pub fn is_enabled(&self) -> bool {
        self.0.enabled.get()
    }

    /// Ends it (`Lwt_unix.disable_signal_handler`): it is not called any more, also not for a signal that has
    /// come already. Done again it does nothing. With the last handler of a signal, the action that the
    /// process had for it before comes back.
    pub fn disable(&self) {
        if !self.0.enabled.replace(false) {
            return;
        }
        if let Some(runtime) = Runtime::existing() {
            runtime.signals.remove(self);
        }
        let call = self.0.call.borrow_mut().take();
        drop(call);
    }

    fn call(&self) {
        let call = self.0.call.borrow_mut().take();
        let Some(mut call) = call else { return };
        guarded(|| call(self, self.0.signal));
        if self.is_enabled() {
            *self.0.call.borrow_mut() = Some(call);
        } else {
            guarded(|| drop(call));
        }
    }
}

impl fmt::Debug for SignalHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalHandler")
            .field("signal", &self.0.signal)
            .field("enabled", &self.is_enabled())
            .finish()
    }
}

/// On the loop: a signal has come.
fn came(signal: Signal) {
    let Some(runtime) = Runtime::existing() else { return };
    let handlers = runtime.signals.table.borrow().get(&signal).map(|entry| entry.handlers.clone());
    for handler in handlers.into_iter().flatten() {
        handler.call();
    }
}

/// Refuses the signals that no loop can serve.
fn check(signal: Signal) -> io::Result<()> {
    let why = match signal {
        SIGKILL | SIGSTOP => "the system lets nobody catch this signal",
        _ if FAULTS.contains(&signal.number()) => {
            "it tells of a fault of the very instruction at which it comes, which would only be met again"
        }
        _ => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

impl Signals {
    /// How many handlers there are.
    pub(super) fn len(&self) -> usize {
        self.table.borrow().values().map(|entry| entry.handlers.len()).sum()
    }

    fn remove(&self, handler: &SignalHandler) {
        let gone = {
            let mut table = self.table.borrow_mut();
            let Some(entry) = table.get_mut(&handler.0.signal) else { return };
            entry.handlers.retain(|other| !Rc::ptr_eq(&other.0, &handler.0));
            if !entry.handlers.is_empty() {
                return;
            }
            table.remove(&handler.0.signal)
        };
        if let Some(entry) = gone {
            stop(handler.0.signal, &entry);
        }
    }

    /// The end of the loop: all are disabled.
    pub(crate) fn end(&self) {
        let table = self.table.take();
        for (signal, entry) in table {
            stop(signal, &entry);
            for handler in entry.handlers {
                guarded(|| handler.disable());
            }
        }
    }
}

/// In the child of a fork: the handlers of this thread's loop, if it has one, stay; those of others are gone.
pub(crate) fn after_fork(own: Option<&Signals>) {
    let own = own.map(|own| own.table.borrow());
    table::after_fork(|signal| own.as_ref()?.get(&Signal::from(signal)).map(|entry| entry.notification));
}

/// The loop listens to this signal no more.
fn stop(signal: Signal, entry: &Entry) {
    table::unlisten(signal.number(), entry.notification);
    // It may have been stopped with the loop.
    let _ = stop_notification(entry.notification);
}
