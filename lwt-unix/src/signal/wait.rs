//! Signals as promises: [`next`] and [`stream()`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lwt_core::stream::{self, Stream};
use lwt_core::{Error, Promise, Resolver, task};

use super::{Signal, SignalHandler, on_signal, on_signal_full};

/// Resolved when the signal comes next, after this call.
///
/// It is a handler while somebody waits: a promise that was cancelled or dropped listens no more, and neither
/// does one that is resolved. If it was the only one, the signal does then what it did before; a second
/// `SIGTERM` ends the process. Whoever wants to hear of all of them takes the [`stream()`].
///
/// ```
/// use lwt_unix::signal::{self, SIGTERM};
/// lwt_unix::run(async {
///     let end = signal::next(SIGTERM);
///     // As `kill` would.
///     signal::handle_signal(SIGTERM);
///     assert_eq!(end.await?.to_string(), "SIGTERM");
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
///
/// # Errors
/// As [`on_signal`].
#[track_caller]
pub fn next(signal: impl Into<Signal>) -> Promise<Signal> {
    let signal = signal.into();
    let place: Rc<Cell<Option<Resolver<Signal>>>> = Rc::default();
    let taken = Rc::clone(&place);
    let handler = on_signal_full(signal, move |handler, signal| {
        handler.disable();
        if let Some(resolver) = taken.take() {
            resolver.wakeup(signal);
        }
    });
    let handler = match handler {
        Ok(handler) => handler,
        Err(error) => return Promise::fail(error),
    };
    let (promise, resolver) = task();
    let left = Rc::clone(&place);
    resolver.on_unwanted(move || {
        handler.disable();
        // Nobody sees it. Dropping the resolver would make an error for nobody to see.
        if let Some(resolver) = left.take() {
            resolver.wakeup(signal);
        }
    });
    place.set(Some(resolver));
    promise
}

/// The signals of a kind that come after this call, one element for each delivery.
///
/// It listens, whether it is read or not, until it is dropped; what nobody has read is counted.
///
/// ```
/// use lwt_unix::signal::{self, SIGHUP};
/// lwt_unix::run(async {
///     let reloads = signal::stream(SIGHUP)?;
///     signal::handle_signal(SIGHUP);
///     signal::handle_signal(SIGHUP);
///     assert_eq!(reloads.nget(2).await?, [SIGHUP, SIGHUP]);
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
///
/// # Errors
/// As [`on_signal`].
pub fn stream(signal: impl Into<Signal>) -> Result<Stream<Signal>, Error> {
    let signal = signal.into();
    let unread = Rc::new(Unread::default());
    let ear = Ear(on_signal(signal, {
        let unread = Rc::clone(&unread);
        move |_| unread.add()
    })?);
    Ok(stream::from(move || {
        let _listening = &ear;
        unread.take().map(move |()| Some(signal))
    }))
}

/// Signals that have come and that nobody has read.
#[derive(Default)]
struct Unread {
    count: Cell<u64>,
    reader: RefCell<Option<Resolver<()>>>,
}

impl Unread {
    fn add(&self) {
        let reader = self.reader.take();
        let missed = reader.is_none_or(|reader| reader.try_wakeup(()).is_err());
        self.count.set(self.count.get() + u64::from(missed));
    }

    fn take(&self) -> Promise<()> {
        if self.count.get() > 0 {
            self.count.set(self.count.get() - 1);
            return Promise::ready(());
        }
        let (promise, resolver) = task();
        let old = self.reader.replace(Some(resolver));
        drop(old);
        promise
    }
}

/// A handler that is disabled when it is dropped.
struct Ear(SignalHandler);

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.disable();
    }
}
