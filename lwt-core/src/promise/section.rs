//! Sections in which no promise of the thread is to be resolved: those in which its loop has given up the
//! lock that guards what callbacks use.
//!
//! Who resolves a promise in one has a mistake in his program, and is told by a panic. What only goes away
//! there is put off until the next turn.

use std::cell::Cell;

thread_local! {
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether this thread is in a section; gives whether it was.
pub(crate) fn set(entered: bool) -> bool {
    ENTERED.replace(entered)
}

/// Whether this thread is in a section.
#[inline]
pub(crate) fn is_entered() -> bool {
    ENTERED.get()
}

/// A promise is about to be resolved.
#[inline]
#[track_caller]
pub(crate) fn check() {
    if is_entered() {
        refuse();
    }
}

#[cold]
#[track_caller]
fn refuse() -> ! {
    panic!("a promise was resolved inside a blocking section of its loop's runtime lock")
}
