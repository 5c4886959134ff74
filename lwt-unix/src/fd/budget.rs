//! How long one thread may go on with descriptors that are ready before it gives way.
//!
//! Every operation that succeeds without waiting counts one; a wait starts again from nothing. Counting per
//! thread and not per descriptor also bounds a task that goes round over many ready ones.

use std::cell::Cell;

use lwt_core::Error;
use lwt_core::task::yield_now;

/// So many operations in a row without a wait.
const BUDGET: u32 = 64;

thread_local! {
    static SPENT: Cell<u32> = const { Cell::new(0) };
}

/// An operation succeeded at once.
#[inline]
pub(crate) fn spent() {
    SPENT.set(SPENT.get() + 1);
}

/// An operation has to wait, so others get their turn.
#[inline]
pub(crate) fn waited() {
    SPENT.set(0);
}

/// Whether it is time to give way; starts a new count if so.
#[inline]
pub(crate) fn exhausted() -> bool {
    if SPENT.get() < BUDGET {
        return false;
    }
    SPENT.set(0);
    true
}

/// Gives way when it is time. Nothing has been done yet at this point, so a cancel loses nothing.
///
/// # Errors
/// `Canceled` only.
pub(crate) async fn breathe() -> Result<(), Error> {
    if exhausted() { yield_now().await } else { Ok(()) }
}
