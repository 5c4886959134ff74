//! [`Error`]: what a rejected promise carries.
//!
//! One concrete type, one word, cheap to clone, `Send + Sync`. It is made from any `std::error::Error` (so
//! `?` does it), keeps the place where the rejection was made, and, with the feature `trace`, the places that
//! it travelled through. It does not implement `std::error::Error` itself: that is what lets `From` take
//! every error; [`Error::as_std`] gives the standard view.
//!
//! The shared allocation has two marks for the unhandled-rejection hook (see [`crate::set_unhandled_hook`]):
//! *seen*, set when user code got hold of the error and taken back when it rejects a promise anew; and
//! *told*, set when the hook was called, for good.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

const SEEN: u8 = 1;
const TOLD: u8 = 2;

/// The reason of a rejection (an `exn` in Lwt).
///
/// ```
/// use lwt_core::Error;
/// let e = Error::from(std::io::Error::from(std::io::ErrorKind::NotFound));
/// assert_eq!(e.io_kind(), Some(std::io::ErrorKind::NotFound));
/// assert!(!e.is_canceled());
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    cause: Box<dyn StdError + Send + Sync>,
    origin: &'static Location<'static>,
    marks: AtomicU8,
    #[cfg(feature = "trace")]
    trace: Mutex<Vec<&'static Location<'static>>>,
}

/// The cause of a rejection by [`Promise::cancel`](crate::Promise::cancel) (`Lwt.Canceled`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canceled;

impl fmt::Display for Canceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the promise was cancelled")
    }
}

impl StdError for Canceled {}

/// The cause of a rejection because nothing is left that could resolve the promise: its resolver was dropped,
/// or it was made to wait for itself. In Lwt such a promise stays pending for ever; here a lost wake-up is an
/// error, not a hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned;

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is left that could resolve the promise")
    }
}

impl StdError for Abandoned {}

/// An error that is only a text.
struct Message(String);

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Message {}

/// A panic that was caught at a promise's boundary.
struct Panicked {
    message: String,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panicked").field(&self.message).finish()
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl StdError for Panicked {}

impl Error {
    #[track_caller]
    fn new(cause: Box<dyn StdError + Send + Sync>) -> Error {
        Error(Arc::new(Inner {
            cause,
            origin: Location::caller(),
            marks: AtomicU8::new(0),
            #[cfg(feature = "trace")]
            trace: Mutex::new(Vec::new()),
        }))
    }

    /// An error that says `text` (`Lwt.fail_with`).
    ///
    /// ```
    /// assert_eq!(lwt_core::Error::msg("no such room").to_string(), "no such room");
    /// ```
    #[track_caller]
    pub fn msg(text: impl fmt::Display) -> Error {
        Error::new(Box::new(Message(text.to_string())))
    }

    /// The error with which [`Promise::cancel`](crate::Promise::cancel) rejects.
    #[track_caller]
    pub fn canceled() -> Error {
        Error::new(Box::new(Canceled))
    }

    #[track_caller]
    pub(crate) fn abandoned() -> Error {
        Error::new(Box::new(Abandoned))
    }

    /// The error of a panic that was caught: what a callback's or a task's panic rejects its promise with.
    ///
    /// For those who run foreign code on behalf of a promise themselves, such as a thread pool.
    #[track_caller]
    pub fn from_panic(payload: Box<dyn Any + Send>) -> Error {
        let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
            (*text).to_owned()
        } else if let Some(text) = payload.downcast_ref::<String>() {
            text.clone()
        } else {
            "a value that is not a text".to_owned()
        };
        Error::new(Box::new(Panicked { message, payload: Mutex::new(Some(payload)) }))
    }

    /// Whether this is a cancellation ([`Canceled`]).
    pub fn is_canceled(&self) -> bool {
        self.0.cause.is::<Canceled>()
    }

    /// Whether nothing was left that could resolve the promise ([`Abandoned`]).
    pub fn is_abandoned(&self) -> bool {
        self.0.cause.is::<Abandoned>()
    }

    /// The message of the panic that this error stands for, if it stands for one.
    pub fn panic_message(&self) -> Option<&str> {
        Some(&self.0.cause.downcast_ref::<Panicked>()?.message)
    }

    /// Takes the payload of the panic that this error stands for, to go on unwinding with it
    /// (`std::panic::resume_unwind`). `None` if it stands for no panic, or the payload was taken already.
    pub fn take_panic_payload(&self) -> Option<Box<dyn Any + Send>> {
        let panicked = self.0.cause.downcast_ref::<Panicked>()?;
        panicked.payload.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }

    /// The cause, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.cause.downcast_ref()
    }

    /// The kind of the first `std::io::Error` among the cause and its sources.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self.as_std());
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return Some(io.kind());
            }
            cause = error.source();
        }
        None
    }

    /// The cause as a standard error, with its source chain.
    pub fn as_std(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0.cause
    }

    /// The line that made the rejection.
    pub fn origin(&self) -> &'static Location<'static> {
        self.0.origin
    }

    /// The lines of binds and awaits through which the rejection came, first one first.
    ///
    /// Empty unless the feature `trace` is on.
    pub fn trace(&self) -> Vec<&'static Location<'static>> {
        #[cfg(feature = "trace")]
        return self.0.trace.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        #[cfg(not(feature = "trace"))]
        Vec::new()
    }

    /// Notes one more line that the rejection came through.
    #[cfg(feature = "trace")]
    pub(crate) fn push_trace(&self, line: &'static Location<'static>) {
        // A retry loop may carry one error round for ever; what matters of its path is the beginning.
        const MOST: usize = 256;
        let mut trace = self.0.trace.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if trace.len() < MOST {
            trace.push(line);
        }
    }

    /// User code has got this error.
    pub(crate) fn mark_seen(&self) {
        self.0.marks.fetch_or(SEEN, Ordering::Relaxed);
    }

    fn fmt_with_sources(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.cause.to_string();
        let mut source = self.0.cause.source();
        while let Some(error) = source {
            let words = error.to_string();
            // Many errors have their source's words in their own.
            if !text.contains(&words) {
                text = text + ": " + &words;
            }
            source = error.source();
        }
        f.write_str(&text)
    }

    /// This error rejects a promise anew, so it is to be seen again.
    pub(crate) fn mark_fresh(&self) {
        self.0.marks.fetch_and(!SEEN, Ordering::Relaxed);
    }

    /// Whether the hook is to hear of this error now; says yes at most once.
    pub(crate) fn take_unseen(&self) -> bool {
        !self.is_canceled()
            && self.0.marks.load(Ordering::Relaxed) == 0
            && self.0.marks.fetch_or(TOLD, Ordering::Relaxed) == 0
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[track_caller]
    fn from(cause: E) -> Error {
        Error::new(Box::new(cause))
    }
}

/// The cause; with `{:#}` its sources, too, unless it names them itself.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.fmt_with_sources(f) } else { fmt::Display::fmt(&self.0.cause, f) }
    }
}

/// The cause, its sources, and the lines it came from.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_with_sources(f)?;
        write!(f, " (at {})", self.0.origin)?;
        for line in self.trace() {
            write!(f, "\n    through {line}")?;
        }
        Ok(())
    }
}
