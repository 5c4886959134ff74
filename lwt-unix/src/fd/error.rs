//! [`OsError`]: a failed system call, with what it was called for.
//!
//! Rules:
//! 1. Every error of a descriptor or a socket reaches the user as an [`Error`] whose cause is an
//!    [`io::Error`] of the right kind, whose payload is an `OsError`. So `error.io_kind()` and
//!    `error.downcast_ref::<io::Error>()` work without knowing this type, and [`OsError::of`] finds the call,
//!    the argument and the number.
//! 2. `EAGAIN` never becomes one: it is what waiting is for.
//! 3. The errors of adapters ([`Fd::poll_read`](super::Fd::poll_read) and its like) are plain [`io::Error`]s
//!    as the system made them, because adapters look at the number.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use lwt_core::Error;

/// A system call that failed: which one, on what, and why (`Unix.Unix_error` of OCaml).
///
/// It is the payload of the [`io::Error`] that the rejection carries.
///
/// ```
/// use lwt_unix::fd::OsError;
/// use lwt_unix::net::TcpListener;
///
/// // An address of nobody's on this machine.
/// let error = TcpListener::bind("203.0.113.1:0".parse().unwrap()).unwrap_err();
/// assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrNotAvailable));
/// let os = OsError::of(&error).unwrap();
/// assert_eq!((os.call(), os.subject()), ("bind", Some("203.0.113.1:0")));
/// ```
#[derive(Debug)]
pub struct OsError {
    call: &'static str,
    subject: Option<Box<str>>,
    closed: bool,
    cause: io::Error,
}

impl OsError {
    /// The `OsError` inside `error`, if a system call is what failed.
    pub fn of(error: &Error) -> Option<&OsError> {
        error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
    }

    /// The name of the call, such as `"connect"`; of an error of the main loop, what it could not do.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// What the call was made for, such as the address, where that is known.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The kind of the failure.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }

    /// The system's number of the failure (`errno`); `None` for those that are ours, such as an end of file
    /// where bytes were needed.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.cause.raw_os_error()
    }

    /// What the system, or the engine, has said.
    pub(crate) fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// Whether the cause is that this program closed the descriptor, before the operation or during it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The rejection of an operation on a descriptor that this program has closed: `EBADF`.
    pub(crate) fn closed(call: &'static str) -> Error {
        wrap(OsError { call, subject: None, closed: true, cause: io::Error::from_raw_os_error(libc::EBADF) })
    }

    pub(crate) fn rejection(call: &'static str, subject: Option<Box<str>>, cause: io::Error) -> Error {
        wrap(OsError { call, subject, closed: false, cause })
    }
}

fn wrap(error: OsError) -> Error {
    Error::from(io::Error::new(error.cause.kind(), error))
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        if let Some(subject) = &self.subject {
            write!(f, " {subject}")?;
        }
        if self.closed {
            f.write_str(": the descriptor was closed by this program")?;
        }
        write!(f, ": {}", self.cause)
    }
}

/// The text is complete, so there is no source to be printed a second time.
impl StdError for OsError {}

/// Adds the call, and what it was for, to the result of a call of the seam.
pub(crate) trait During<T> {
    /// Names the call.
    fn during(self, call: &'static str) -> Result<T, Error>;
    /// Names the call and its argument.
    fn during_on<S: fmt::Display>(self, call: &'static str, subject: S) -> Result<T, Error>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, call: &'static str) -> Result<T, Error> {
        self.map_err(|cause| OsError::rejection(call, None, cause))
    }

    fn during_on<S: fmt::Display>(self, call: &'static str, subject: S) -> Result<T, Error> {
        self.map_err(|cause| OsError::rejection(call, Some(subject.to_string().into()), cause))
    }
}

/// Why an operation on a descriptor failed, before it is known to whom that is told.
pub(crate) enum Failure {
    /// The system call did.
    System(io::Error),
    /// The descriptor is closed.
    Closed,
    /// The descriptor was aborted, or the wait for it was rejected.
    Rejected(Error),
}

impl Failure {
    pub(crate) fn into_error(self, call: &'static str) -> Error {
        match self {
            Failure::System(cause) => OsError::rejection(call, None, cause),
            Failure::Closed => OsError::closed(call),
            Failure::Rejected(error) => error,
        }
    }

    pub(crate) fn into_error_on(self, call: &'static str, subject: impl fmt::Display) -> Error {
        match self {
            Failure::System(cause) => OsError::rejection(call, Some(subject.to_string().into()), cause),
            other => other.into_error(call),
        }
    }

    /// For the traits that know no other: the system's own error where there is one.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Failure::System(cause) => cause,
            Failure::Closed => io::Error::from_raw_os_error(libc::EBADF),
            Failure::Rejected(error) => match OsError::of(&error).and_then(OsError::raw_os_error) {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.io_kind().unwrap_or(io::ErrorKind::Other), Carried(error)),
            },
        }
    }
}

/// An [`Error`] where a standard error is wanted.
#[derive(Debug)]
struct Carried(Error);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Carried {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.0.as_std())
    }
}
