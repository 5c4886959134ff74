//! For whoever drives the promises of a thread: the main loop of `lwt-unix`, or a loop of one's own.
//!
//! One turn is: [`run_ready`]; then, if nothing is ready or paused and [`prepare_sleep`] agrees, sleep until
//! something happens or a [`set_kick`] kick comes, and [`awake`]; then timers and descriptors; then
//! [`wakeup_paused`].

use std::cell::Cell;

use crate::inbox::{self, Kick};
use crate::promise::{cascade, section};
use crate::task::{header, queue};
use crate::{memory, pause, react};

pub use crate::inbox::{Closed, Handle};
pub use crate::pause::{
    PauseNotifier, abandon_paused, has_paused, paused_count, register_pause_notifier, wakeup_paused,
};

/// Delivers what other threads have sent, and runs tasks that are ready, first come first served, at most
/// `budget` of them. Returns how many tasks ran.
///
/// ```
/// assert_eq!(lwt_core::scheduler::run_ready(usize::MAX), 0);
/// ```
pub fn run_ready(budget: usize) -> usize {
    inbox::drain_home();
    if cascade::has_deferred() {
        cascade::as_level(|| ());
    }
    queue::run(budget)
}

/// Whether a task waits for its turn, or a callback that could not run when its promise was resolved.
pub fn has_ready() -> bool {
    queue::len() > 0 || cascade::has_deferred()
}

/// The address of this thread for others. It may be cloned, sent and used anywhere; see [`Handle::post`].
pub fn handle() -> Handle {
    Handle::new(inbox::home())
}

/// Sets how another thread wakes this one out of its sleep. It is called once at most for each time that
/// [`prepare_sleep`] said yes; a sender who is slow may still call it after [`awake`], or after another one
/// was set.
pub fn set_kick(kick: Option<Kick>) {
    inbox::home().set_kick(kick);
}

/// Announces that this thread is about to sleep: from now on whoever sends something kicks. False, and then
/// no sleep is due, if something has been sent already.
pub fn prepare_sleep() -> bool {
    inbox::home().prepare_sleep()
}

/// Announces that this thread is awake.
pub fn awake() {
    inbox::home().awake();
}

/// Enters, or leaves, a section of this thread in which its promises are not to be resolved; gives whether it
/// was in one. For a lock that guards what callbacks use, while the loop has given it up.
///
/// In a section whoever resolves, cancels or aborts a promise panics, and no callback runs: those of resolvers
/// that are dropped there, and of what is done while a panic unwinds, wait for the next turn. It is to be left
/// in the callback, or the poll of a task, in which it was entered.
///
/// ```
/// use std::panic::{AssertUnwindSafe, catch_unwind};
/// use lwt_core::{scheduler, wait};
/// let (promise, resolver) = wait();
/// let before = scheduler::set_in_section(true);
/// assert!(catch_unwind(AssertUnwindSafe(|| resolver.wakeup(1))).is_err());
/// scheduler::set_in_section(before);
/// promise.on_failure(|error| assert!(error.is_abandoned()));
/// ```
pub fn set_in_section(inside: bool) -> bool {
    section::set(inside)
}

/// Throws away the callbacks of resolutions that wait for the outermost one (`Lwt.abandon_wakeups`): for a
/// forked child. Returns how many resolutions it was.
///
/// What the callbacks would have resolved is rejected as abandoned.
pub fn abandon_wakeups() -> usize {
    cascade::abandon_deferred()
}

/// The runtime of this thread ends: drops the futures of all tasks, which rejects their promises as
/// abandoned, forgets the paused promises, closes the inbox, so that posts fail from now on, and frees the
/// memory kept for reuse.
///
/// The thread may go on to use promises, and gets an inbox anew if it asks for one.
///
/// Called inside a task, which is not advisable, it aborts that one when its poll is over. Called by what it
/// ends (the destructor of a future), it does nothing: that end goes on already.
pub fn end_thread() {
    let Some(_ending) = Ending::begin() else { return };
    // What ends may begin something new, which ends as well; after some rounds what is left is left.
    for _ in 0..64 {
        queue::end_all();
        abandon_paused();
        cascade::as_level(|| ());
        if queue::is_idle() && !pause::has_paused() {
            break;
        }
    }
    // A task that is left, or running, may still ask for its home.
    inbox::end(queue::is_idle() && !header::is_polling());
    react::release_cached();
    memory::release_cached();
}

thread_local! {
    static ENDING: Cell<bool> = const { Cell::new(false) };
}

/// The thread is being ended. As long as it is, some tasks are in no list.
struct Ending;

impl Ending {
    /// Nothing if somebody is at it already.
    fn begin() -> Option<Ending> {
        (!ENDING.replace(true)).then_some(Ending)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        ENDING.set(false);
    }
}
