//! [`NameError`]: a look-up that failed.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use lwt_core::Error;

use crate::sys::names::{EAI_NODATA, Trouble, message};

/// A look-up that failed: which call, of what, and why, with the resolver's own text.
///
/// It is the payload of the [`io::Error`] that the rejection carries, whose kind says the same more roughly.
///
/// ```
/// use lwt_unix::names::{Hints, NameError, NameErrorKind, getaddrinfo};
///
/// // Not an address, and no look-up is allowed.
/// let error = lwt_unix::run(getaddrinfo("no address", "", Hints::new().numeric_host())).unwrap_err();
/// assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
/// let error = NameError::of(&error).unwrap();
/// assert_eq!(error.kind(), NameErrorKind::NotFound);
/// assert_eq!((error.call(), error.subject()), ("getaddrinfo", "no address"));
/// ```
#[derive(Debug)]
pub struct NameError {
    call: &'static str,
    subject: String,
    kind: NameErrorKind,
    code: Option<i32>,
    cause: Option<io::Error>,
}

/// Why a look-up failed (the resolver's `EAI_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameErrorKind {
    /// There is no such name, or no such service of that name (`EAI_NONAME`).
    NotFound,
    /// The name is known, but has no address of the kind that is looked for (`EAI_NODATA`).
    NoData,
    /// The name server did not answer, for now (`EAI_AGAIN`).
    TryAgain,
    /// The name server refused for good (`EAI_FAIL`).
    Refused,
    /// The service is not known for that type of socket (`EAI_SERVICE`).
    Service,
    /// What is asked for contradicts itself (`EAI_FAMILY`, `EAI_SOCKTYPE`, `EAI_BADFLAGS`).
    Invalid,
    /// There is not enough memory (`EAI_MEMORY`, `EAI_OVERFLOW`).
    Memory,
    /// A system call failed: see [`NameError::raw_os_error`] (`EAI_SYSTEM`).
    System,
    /// Another code of the resolver's.
    Other,
}

impl NameError {
    /// The `NameError` inside `error`, if a look-up is what failed.
    pub fn of(error: &Error) -> Option<&NameError> {
        error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
    }

    /// The name of the call, such as `"getaddrinfo"`.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// What was looked up.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Why it failed.
    pub fn kind(&self) -> NameErrorKind {
        self.kind
    }

    /// The resolver's code (`EAI_…`), where it gave one.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// The system's number of the failure, where a system call is what failed.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.cause.as_ref()?.raw_os_error()
    }

    pub(super) fn rejection(call: &'static str, subject: String, trouble: Trouble) -> Error {
        let (code, cause) = match trouble {
            Trouble::Code(code, cause) => (Some(code), cause),
            Trouble::System(cause) => (None, Some(cause)),
        };
        let kind = code.map_or(NameErrorKind::System, NameErrorKind::of);
        let rough = match (&cause, kind) {
            (Some(cause), _) => cause.kind(),
            (None, NameErrorKind::NotFound | NameErrorKind::NoData | NameErrorKind::Service) => {
                io::ErrorKind::NotFound
            }
            (None, NameErrorKind::TryAgain) => io::ErrorKind::TimedOut,
            (None, NameErrorKind::Invalid) => io::ErrorKind::InvalidInput,
            (None, NameErrorKind::Memory) => io::ErrorKind::OutOfMemory,
            (None, _) => io::ErrorKind::Other,
        };
        Error::from(io::Error::new(rough, NameError { call, subject, kind, code, cause }))
    }
}

impl NameErrorKind {
    fn of(code: i32) -> NameErrorKind {
        match code {
            libc::EAI_NONAME => NameErrorKind::NotFound,
            EAI_NODATA => NameErrorKind::NoData,
            libc::EAI_AGAIN => NameErrorKind::TryAgain,
            libc::EAI_FAIL => NameErrorKind::Refused,
            libc::EAI_SERVICE => NameErrorKind::Service,
            libc::EAI_FAMILY | libc::EAI_SOCKTYPE | libc::EAI_BADFLAGS => NameErrorKind::Invalid,
            libc::EAI_MEMORY | libc::EAI_OVERFLOW => NameErrorKind::Memory,
            libc::EAI_SYSTEM => NameErrorKind::System,
            _ => NameErrorKind::Other,
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.subject {
            "" => write!(f, "{}: ", self.call)?,
            subject => write!(f, "{} {subject}: ", self.call)?,
        }
        match (&self.cause, self.code) {
            (Some(cause), _) => cause.fmt(f),
            (None, Some(code)) => f.write_str(&message(code)),
            (None, None) => f.write_str("failed"),
        }
    }
}

/// The text is complete, so there is no source to be printed a second time.
impl StdError for NameError {}
