//! The wakers of tasks.
//!
//! 1. A poll is given a *local* waker: the pointer to the task, without a count. It is valid during the poll
//!    only, which is all that `&Waker` promises; but other threads may be lent it, so each of its functions
//!    first finds out where it is. On the home thread a wake is a push to the run queue.
//! 2. A clone is a *remote* waker: a counted [`Remote`], one per task, made by the first clone. It may be
//!    kept, used and dropped anywhere and at any time. It knows its thread's inbox, and the task until that
//!    is done.
//! 3. `Remote::task` is read and written on the home thread only. Another thread's wake sends the `Remote` to
//!    the inbox, once until it is delivered: it is *underway* from the sender's swap to a swap of the
//!    receiver *before* the task is queued, so that a wake during the poll is not lost.
//! 4. The last clone may be dropped on any thread; a `Remote` owns no task, so no future is dropped away from
//!    home.

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::inbox::{self, Inbox, Letter, Underway};

use super::header::{self, Task};

/// The part of a task that other threads may keep.
#[repr(C)]
pub(crate) struct Remote {
    letter: Letter,
    inbox: Arc<Inbox>,
    underway: Underway,
    /// Null when the task is done.
    task: AtomicPtr<Task>,
}

static LOCAL: RawWakerVTable = RawWakerVTable::new(local_clone, local_wake, local_wake, |_| ());
static REMOTE: RawWakerVTable =
    RawWakerVTable::new(remote_clone, remote_wake, remote_wake_by_ref, remote_drop);

/// The waker for a poll of `task`.
///
/// # Safety
/// `task` is alive, this is its home thread, and the waker is used during the poll only.
pub(super) unsafe fn local(task: *const Task) -> ManuallyDrop<Waker> {
    // SAFETY: `LOCAL` keeps the contract of wakers for the time that the caller vouches for.
    ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(task.cast(), &LOCAL)) })
}

/// Whether this is the local waker of `task`.
#[inline]
pub(super) fn is_local(waker: &Waker, task: *const Task) -> bool {
    waker.data() == task.cast() && ptr::eq(waker.vtable(), &LOCAL)
}

/// The task's remote, made if this is the first clone. May be called on any thread while the task is being
/// polled.
///
/// # Safety
/// `task` is being polled.
unsafe fn remote_of(task: *const Task) -> Arc<Remote> {
    // SAFETY: the task is alive; `remote` may be used on any thread.
    let slot = unsafe { &(*task).remote };
    let mut remote = slot.load(Ordering::Acquire);
    if remote.is_null() {
        let made = Arc::new(Remote {
            letter: Letter::new(deliver, throw_away),
            // SAFETY: written before the task was shared, and never since.
            inbox: unsafe { header::inbox_of(task) },
            underway: Underway::new(),
            task: AtomicPtr::new(task.cast_mut()),
        });
        let made = Arc::into_raw(made).cast_mut();
        remote = match slot.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: the count that was just made; another thread was faster.
                drop(unsafe { Arc::from_raw(made) });
                other
            }
        };
    }
    // SAFETY: the task owns a count until it is done, which it is not while it is polled.
    unsafe { Arc::increment_strong_count(remote) };
    // SAFETY: the count just made.
    unsafe { Arc::from_raw(remote) }
}

/// The task is done: its wakers have nothing to wake any more.
pub(super) fn retire(slot: &AtomicPtr<Remote>) {
    // Nobody else changes the slot: the task is not being polled.
    let remote = slot.swap(ptr::null_mut(), Ordering::Acquire);
    if !remote.is_null() {
        // SAFETY: the task's count.
        let remote = unsafe { Arc::from_raw(remote) };
        remote.task.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

impl Remote {
    fn wake(self: &Arc<Remote>) {
        if inbox::is_home(&self.inbox) {
            self.wake_at_home();
        } else if self.underway.claim() {
            let letter = Arc::into_raw(Arc::clone(self)).cast::<Letter>().cast_mut();
            // SAFETY: a `Remote` starts with its letter, which `underway` keeps from being sent twice; the
            // count is the letter's.
            unsafe { self.inbox.send(letter) };
        }
    }

    fn wake_at_home(&self) {
        let task = self.task.load(Ordering::Relaxed);
        if !task.is_null() {
            // SAFETY: the task is not done, so it is alive, and this is its home thread.
            unsafe { header::wake(task) };
        }
    }
}

/// The letter has come home.
unsafe fn deliver(letter: *mut Letter) {
    // SAFETY: the count that was sent with the letter.
    let remote = unsafe { Arc::from_raw(letter.cast::<Remote>()) };
    remote.underway.arrived();
    remote.wake_at_home();
}

unsafe fn throw_away(letter: *mut Letter) {
    // SAFETY: as in `deliver`.
    drop(unsafe { Arc::from_raw(letter.cast::<Remote>()) });
}

unsafe fn local_clone(task: *const ()) -> RawWaker {
    // SAFETY: rule 1: the local waker is used during the poll only.
    let remote = unsafe { remote_of(task.cast()) };
    RawWaker::new(Arc::into_raw(remote).cast(), &REMOTE)
}

unsafe fn local_wake(task: *const ()) {
    let task = task.cast::<Task>();
    if header::is_current(task) {
        // SAFETY: the task is being polled by this thread.
        unsafe { header::wake(task) };
    } else {
        // On another thread, or under the poll of a further task on this one.
        // SAFETY: rule 1.
        unsafe { remote_of(task) }.wake();
    }
}

/// The remote behind a remote waker, on loan.
unsafe fn loan(remote: *const ()) -> ManuallyDrop<Arc<Remote>> {
    // SAFETY: the waker owns a count, which the loan does not drop.
    ManuallyDrop::new(unsafe { Arc::from_raw(remote.cast()) })
}

unsafe fn remote_clone(remote: *const ()) -> RawWaker {
    // SAFETY: the waker owns a count.
    unsafe { Arc::increment_strong_count(remote.cast::<Remote>()) };
    RawWaker::new(remote, &REMOTE)
}

unsafe fn remote_wake(remote: *const ()) {
    // SAFETY: the waker's count, which is given up.
    let remote = unsafe { Arc::from_raw(remote.cast::<Remote>()) };
    remote.wake();
}

unsafe fn remote_wake_by_ref(remote: *const ()) {
    // SAFETY: the waker is alive during the call.
    unsafe { loan(remote) }.wake();
}

unsafe fn remote_drop(remote: *const ()) {
    // SAFETY: the waker's count.
    drop(unsafe { Arc::from_raw(remote.cast::<Remote>()) });
}
