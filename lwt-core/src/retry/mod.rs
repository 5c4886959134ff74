//! Trying again (`Lwt_retry`).
//!
//! An operation says by its error whether it is worth another attempt: [`Error::Retry`] or [`Error::Fatal`].
//! [`on_error`] makes of it the sequence of its [`Attempts`], [`with_sleep`](Attempts::with_sleep) puts
//! pauses between them, and [`n_times`](Attempts::n_times) makes a promise of them.
//!
//! ```
//! use std::time::Duration;
//! use lwt_core::clock::ManualClock;
//! use lwt_core::retry::{self, BackOff, Error};
//! use lwt_core::result;
//!
//! let mut calls = 0;
//! let connect = move || {
//!     calls += 1;
//!     if calls < 3 { result::fail(Error::Retry("refused")) } else { result::ready(calls) }
//! };
//! let clock = ManualClock::new(); // a program takes that of its loop
//! let back_off = BackOff::new(Duration::from_millis(100)).at_most(Duration::from_secs(10));
//! let connected = retry::on_error::<_, _, ()>(connect)
//!     .with_sleep(clock.clone(), move |attempt| back_off.delay(attempt))
//!     .n_times(5);
//! assert_eq!(clock.run(connected)?, Ok(3));
//! # Ok::<(), lwt_core::Error>(())
//! ```

mod attempts;
mod back_off;

pub use attempts::{Attempt, Attempts, NextAttempt, on_error, on_rejection};
pub use back_off::{BackOff, default_sleep_duration};

use std::fmt;

/// Why an attempt failed (`Lwt_retry.error`).
///
/// `Display` and `PartialEq` are Lwt's `pp_error` and `equal_error`.
///
/// ```
/// use lwt_core::retry::Error;
/// let e: Error<&str, &str> = Error::Retry("no answer");
/// assert_eq!(e.to_string(), "no answer (to be tried again)");
/// assert_ne!(e, Error::Fatal("no answer"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Error<R, F = R> {
    /// Another attempt may succeed.
    Retry(R),
    /// No other attempt will.
    Fatal(F),
}

impl<R: fmt::Display, F: fmt::Display> fmt::Display for Error<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Retry(error) => write!(f, "{error} (to be tried again)"),
            Error::Fatal(error) => write!(f, "{error} (not to be tried again)"),
        }
    }
}

impl<R: std::error::Error + 'static, F: std::error::Error + 'static> std::error::Error for Error<R, F> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Error::Retry(error) => error,
            Error::Fatal(error) => error,
        })
    }
}

/// A failed attempt: its error and its number, from 1.
///
/// ```
/// use lwt_core::retry::{Error, Failure};
/// let failure: Failure<&str> = Failure { error: Error::Fatal("no such host"), attempt: 2 };
/// assert_eq!(failure.to_string(), "attempt 2: no such host (not to be tried again)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Failure<R, F = R> {
    /// What went wrong.
    pub error: Error<R, F>,
    /// Which attempt it was.
    pub attempt: usize,
}

impl<R: fmt::Display, F: fmt::Display> fmt::Display for Failure<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {}: {}", self.attempt, self.error)
    }
}

impl<R: std::error::Error + 'static, F: std::error::Error + 'static> std::error::Error for Failure<R, F> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
