//! Waiting for descriptors to be free again.
//!
//! When the process (or the system) has run out of descriptors, `accept` fails although the listener stays
//! ready: trying again at once would spin, giving up would end the server. [`Shortage::pause`] waits until
//! this thread has closed a descriptor, or for a growing time, since others may have closed theirs: whichever
//! comes first.
//!
//! Rules:
//! 1. One freed descriptor wakes one waiter, the longest-waiting that still wants it.
//! 2. No borrow of the list is held while a waiter is woken.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use lwt_core::{Error, Promise, Resolver};

use super::OsError;

/// The first pause, doubled up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(320);

thread_local! {
    static WAITERS: RefCell<VecDeque<Resolver<()>>> = const { RefCell::new(VecDeque::new()) };
}

/// A descriptor of this thread has been closed.
pub(crate) fn freed() {
    // The thread may be at its end, with the list gone; then nobody waits.
    while let Ok(Some(waiter)) = WAITERS.try_with(|waiters| waiters.borrow_mut().pop_front()) {
        if waiter.is_wanted() {
            waiter.wakeup_later(());
            return;
        }
    }
}

/// Whether the error says that descriptors or memory have run out for now.
pub(crate) fn is_shortage(error: &OsError) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// One shortage as one waiter lives through it: remembers how long to pause next.
#[derive(Debug)]
pub(crate) struct Shortage {
    next: Duration,
}

impl Shortage {
    pub(crate) fn new() -> Shortage {
        Shortage { next: FIRST }
    }

    /// Waits for a descriptor to be freed, or for the time.
    ///
    /// # Errors
    /// `Canceled` only.
    pub(crate) async fn pause(&mut self) -> Result<(), Error> {
        let (freed, waiter) = lwt_core::task();
        WAITERS.with_borrow_mut(|waiters| {
            waiters.retain(Resolver::is_wanted);
            waiters.push_back(waiter);
        });
        let timer: Promise<()> = crate::sleep(self.next);
        self.next = (self.next * 2).min(LONGEST);
        lwt_core::pick([freed, timer]).await
    }
}
