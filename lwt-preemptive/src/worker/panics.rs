//! Where a worker's last panic was: a panic's payload does not tell.

use std::cell::RefCell;
use std::panic;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From here on each thread of this process remembers the place of its last panic. It is printed as before.
pub(super) fn note() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // A panic at the very end of a thread has nobody left to ask.
        let _ = LAST.try_with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = info.location().map(ToString::to_string);
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
