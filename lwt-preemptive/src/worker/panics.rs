//! Where a worker's last panic was: a panic's payload does not tell.
//!
//! In a program that was compiled to abort at a panic nobody can ask for that afterwards: there the panic is
//! told to the program at once.

use std::cell::RefCell;
use std::panic;

use super::inside;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From here on each thread of this process remembers the place of its last panic. It is printed as before.
pub(super) fn note() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string);
        if cfg!(panic = "abort") {
            let message = info.payload_as_str().unwrap_or("a value that is not a text");
            inside::tell_panic(message, place.as_deref());
        }
        // A panic at the very end of a thread has nobody left to ask.
        let _ = LAST.try_with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = place;
            }
        });
        before(info);
    }));
}

/// What was before does not count.
pub(super) fn forget() {
    LAST.take();
}

/// The place of this thread's last panic.
pub(super) fn last() -> Option<String> {
    LAST.take()
}
