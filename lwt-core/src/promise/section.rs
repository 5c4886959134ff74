//! Sections in which no promise of the thread is to be resolved: those in which its loop has given up the
//! lock that guards what callbacks use.
//!
//! 1. No callback runs in one, whatever happens there ([`cascade`], rule 6): they wait for the next turn.
//! 2. Who resolves or cancels a promise in one has a mistake in his program, and is told by a panic. What only
//!    goes away there is not his doing; nor is anything that is done while a panic unwinds.

use std::thread;

use super::cascade;

/// Sets whether this thread is in a section; gives whether it was.
pub(crate) fn set(entered: bool) -> bool {
    cascade::set_in_section(entered)
}

/// A promise is about to be resolved.
#[inline]
#[track_caller]
pub(crate) fn check() {
    if cascade::in_section() {
        refuse();
    }
}

#[cold]
#[track_caller]
fn refuse() {
    // A second panic would end the process.
    if !thread::panicking() {
        panic!("a promise was resolved or cancelled inside a blocking section of its loop's runtime lock");
    }
}
