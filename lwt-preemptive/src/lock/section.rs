//! What the loop does with its lock: it holds it while it runs, but for the polls that may block.
//!
//! 1. `taken` says whether the loop's own hold is in force. Only then is there something to give up.
//! 2. While a token is lent on the thread nothing is given up: a `run` inside a `with_token` keeps the lock,
//!    also when it polls, because the token's holder may have references.
//! 3. On a thread that holds another loop's lock, the loop does without its own: waiting for it could be for
//!    ever. Its callbacks then get no token.
//! 4. The loop at work is in no section of its lock, also when it runs inside one.

use std::cell::Cell;
use std::ptr;

use lwt_core::scheduler;
use lwt_unix::main_loop::Section;

use super::{PLACE, RuntimeLock};

/// The lock of a loop, as the loop sees it.
pub(super) struct LoopSection {
    lock: RuntimeLock,
    taken: Cell<bool>,
    /// Whether the loop came to work inside a blocking section of its lock: a `run` in there.
    in_section: Cell<bool>,
}

impl LoopSection {
    pub(super) fn new(lock: RuntimeLock) -> LoopSection {
        LoopSection { lock, taken: Cell::new(false), in_section: Cell::new(false) }
    }
}

impl Section for LoopSection {
    fn enter(&self) {
        PLACE.with(|place| {
            let held = ptr::eq(place.holds.get(), self.lock.as_ptr());
            scheduler::set_in_section(self.in_section.get());
            if self.taken.get() && held && !place.lent.get() {
                self.taken.set(false);
                place.holds.set(ptr::null());
                self.lock.0.fair.release();
            }
        });
    }

    fn leave(&self) {
        PLACE.with(|place| {
            if place.holds.get().is_null() {
                self.lock.0.fair.acquire();
                place.holds.set(self.lock.as_ptr());
                self.taken.set(true);
            }
            self.in_section.set(scheduler::set_in_section(false));
        });
    }

    fn turn(&self) {
        PLACE.with(|place| {
            if self.lock.0.fair.is_due() && self.taken.get() && !place.lent.get() {
                place.holds.set(ptr::null());
                self.lock.0.fair.hand_over();
                place.holds.set(self.lock.as_ptr());
            }
        });
    }
}
