//! What goes wrong with a stream: [`Closed`], [`Full`], [`Empty`], and [`PushError`], which gives the element
//! back.

use std::error::Error as StdError;
use std::fmt;

/// The cause of a rejection because the stream is closed, or nobody is left who could read it
/// (`Lwt_stream.Closed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream is closed")
    }
}

impl StdError for Closed {}

/// The cause of a rejection because the stream is full, and a push is waiting already (`Lwt_stream.Full`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream is full, and a push is waiting already")
    }
}

impl StdError for Full {}

/// The cause of a rejection because the stream has ended and has no elements left (`Lwt_stream.Empty`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty;

impl fmt::Display for Empty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream has ended")
    }
}

impl StdError for Empty {}

/// Why an element was not taken, with the element.
///
/// ```
/// use lwt_core::stream::{self, PushError};
/// let (s, push) = stream::create();
/// push.close();
/// let error = push.push(String::from("late")).unwrap_err();
/// assert!(matches!(&error, PushError::Closed(_)));
/// assert_eq!(error.into_inner(), "late");
/// # drop(s);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<T> {
    /// There is no room now.
    Full(T),
    /// The stream is closed, or nobody is left who could read it.
    Closed(T),
}

impl<T> PushError<T> {
    /// The element.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(element) | PushError::Closed(element) => element,
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "Full(..)",
            PushError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "the stream is full",
            PushError::Closed(_) => "the stream is closed",
        })
    }
}

impl<T> StdError for PushError<T> {}
