//! [`pause`]: waiting for the loop's next turn; and the loop's side of it.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use crate::promise::Promise;
use crate::promise::resolver::{Resolver, task};

/// What [`register_pause_notifier`] registers: it gets the number of paused promises, those included that
/// were cancelled since the last turn.
pub type PauseNotifier = Rc<dyn Fn(usize)>;

struct Paused {
    queue: RefCell<Vec<Resolver<()>>>,
    notifier: RefCell<Option<PauseNotifier>>,
}

thread_local! {
    // Without a destructor, as all of the core's thread-locals.
    static PAUSED: ManuallyDrop<Paused> = const {
        ManuallyDrop::new(Paused {
            queue: RefCell::new(Vec::new()),
            notifier: RefCell::new(None),
        })
    };
}

/// A promise that is fulfilled at the loop's next turn (`Lwt.pause`). It can be cancelled.
///
/// Each turn wakes those that were paused before it, first come first served, and gives timers and
/// descriptors their chance: a long computation that pauses now and then does not hold up the rest of the
/// program. Between tasks alone, [`task::yield_now`](crate::task::yield_now) is cheaper.
///
/// ```
/// use lwt_core::{pause, scheduler};
/// let p = pause();
/// assert_eq!(scheduler::paused_count(), 1);
/// scheduler::wakeup_paused();
/// assert!(!p.is_pending());
/// ```
#[track_caller]
pub fn pause() -> Promise<()> {
    let (promise, resolver) = task();
    PAUSED.with(|paused| {
        let many = {
            let mut queue = paused.queue.borrow_mut();
            queue.push(resolver);
            queue.len()
        };
        let notifier = paused.notifier.borrow().clone();
        if let Some(notifier) = notifier {
            notifier(many);
        }
    });
    promise
}

/// Wakes all that are paused now, in order; those that pause meanwhile wait for the next call
/// (`Lwt.wakeup_paused`).
pub fn wakeup_paused() {
    if !has_paused() {
        return;
    }
    let mut queue = PAUSED.with(|paused| paused.queue.take());
    for resolver in queue.drain(..) {
        resolver.wakeup(());
    }
    // The memory serves for the next turn.
    PAUSED.with(|paused| {
        let mut current = paused.queue.borrow_mut();
        if current.is_empty() && current.capacity() < queue.capacity() {
            *current = queue;
        }
    });
}

/// How many promises are paused; cancelled ones do not count (`Lwt.paused_count`).
pub fn paused_count() -> usize {
    PAUSED.with(|paused| paused.queue.borrow().iter().filter(|resolver| resolver.is_pending()).count())
}

/// Whether [`wakeup_paused`] has anything to do.
pub fn has_paused() -> bool {
    PAUSED.with(|paused| !paused.queue.borrow().is_empty())
}

/// Registers what [`pause`] calls with the number of paused promises, after it has added one; `None` for
/// nothing (`Lwt.register_pause_notifier`). Gives back what was registered.
pub fn register_pause_notifier(notifier: Option<PauseNotifier>) -> Option<PauseNotifier> {
    PAUSED.with(|paused| paused.notifier.replace(notifier))
}

/// Forgets all that are paused: they are rejected as abandoned (`Lwt.abandon_paused`).
pub fn abandon_paused() {
    let queue = PAUSED.with(|paused| paused.queue.take());
    drop(queue);
}
