//! What a scope fails with: [`Off`], and [`SwitchError`] where several things failed.

use std::fmt;

use crate::Error;

/// The switch is off (`Lwt_switch.Off`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Off;

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the switch is off")
    }
}

impl std::error::Error for Off {}

/// Several things failed in one scope: the first, which is why the others were cancelled, and what failed
/// after it.
///
/// A scope in which only one thing failed is rejected with that error itself. [`first`] and [`others`]
/// look at both kinds.
#[derive(Debug)]
pub struct SwitchError {
    first: Error,
    others: Vec<Error>,
}

impl SwitchError {
    pub(super) fn new(first: Error, others: Vec<Error>) -> SwitchError {
        SwitchError { first, others }
    }

    /// The error that came first.
    pub fn first(&self) -> &Error {
        &self.first
    }

    /// The errors that came later, in order.
    pub fn others(&self) -> &[Error] {
        &self.others
    }
}

/// The first, and then the others, each with its sources.
impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.first)?;
        self.others.iter().try_for_each(|other| write!(f, "; and then: {other:#}"))
    }
}

impl std::error::Error for SwitchError {
    /// The first error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.first.as_std())
    }
}

/// The error that a scope failed with in the first place: that of a [`SwitchError`], else the error itself.
///
/// ```
/// # use lwt_core::{Error, switch};
/// assert_eq!(switch::first(&Error::msg("no")).to_string(), "no");
/// ```
pub fn first(error: &Error) -> &Error {
    error.downcast_ref().map_or(error, SwitchError::first)
}

/// What failed in a scope after its [`first`] error.
///
/// ```
/// # use lwt_core::{Error, Promise, State, switch};
/// let p = switch::with_switch(async |scope| {
///     scope.add_hook(|| Promise::fail(Error::msg("hook")))?;
///     Err::<(), _>(Error::msg("body"))
/// });
/// p.on_failure(|e| {
///     assert_eq!(switch::first(e).to_string(), "body");
///     assert_eq!(switch::others(e)[0].to_string(), "hook");
/// });
/// ```
pub fn others(error: &Error) -> &[Error] {
    error.downcast_ref().map_or(&[], SwitchError::others)
}
