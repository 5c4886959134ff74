//! A task's block: the cell of its promise, the part below, and the future.
//!
//! ```text
//!                    ┌────────── wake ──────────┐
//!                    ▼                          │
//!  spawn ──► running ──► suspended ──► queued ──┘ (run_ready)
//!              │  ▲          │            │
//!              │  └──────────┼────────────┘
//!              ▼             ▼ abort, or a cancel that finds only foreign futures
//!            done ◄──────────┘
//! ```
//!
//! 1. From spawn to done the task owns a ref on its cell, and it is in the thread's list of live tasks
//!    whenever it was suspended once.
//! 2. The future is polled by one caller at a time (`RUNNING`), on its home thread, and dropped there, before
//!    the promise resolves.
//! 3. `QUEUED` is set while the task is in the run queue, which owns a ref. A wake of a running task queues
//!    it again; if its turn comes before its poll is over, because the task itself runs the queue, it is
//!    queued after the poll.
//! 4. A cancel that meets a task which is running or queued is noted (`CANCEL`). It is offered to each
//!    promise that the task awaits, until one takes it; if the task then waits on foreign futures only, it is
//!    aborted.
//! 5. Other threads touch `remote` and nothing else, and only while the task is being polled (`waker.rs`).
//! 6. The slot for one await is in use while a node lies in it (`wait.rs`), which owns a ref on the task.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::task::Waker;

use crate::Error;
use crate::inbox::Inbox;
use crate::links::{Links, List};
use crate::promise::cell::{Raw, Ref};
use crate::promise::wait::WaitNode;
use crate::storage::Storage;

use super::queue;
use super::waker::{self, Remote};

pub(super) const RUNNING: u8 = 1;
pub(super) const QUEUED: u8 = 2;
pub(super) const DONE: u8 = 4;
/// A cancel was noted.
pub(super) const CANCEL: u8 = 8;
/// To be aborted as soon as it does not run.
pub(super) const ABORT: u8 = 16;
/// A node lies in the slot.
pub(super) const SLOT_USED: u8 = 32;
/// Its turn came while it was running: to be queued again.
pub(super) const WOKEN: u8 = 64;

/// What depends on the type of the future.
pub(super) struct TaskVTable {
    /// One turn: polls the future, and ends the task if it is ready.
    pub(super) advance: unsafe fn(*const Task),
    /// Drops the future.
    pub(super) drop_future: unsafe fn(*const Task),
    /// Ends the task with an error.
    pub(super) finish: unsafe fn(*const Task, Error),
}

pub(crate) struct Task {
    pub(super) cell: Raw,
    pub(super) vtable: &'static TaskVTable,
    /// The next in the run queue.
    pub(super) next: Cell<*const Task>,
    pub(super) live: Links,
    pub(super) flags: Cell<u8>,
    pub(super) storage: Cell<Storage>,
    pub(super) extra_waits: List,
    pub(super) slot: UnsafeCell<MaybeUninit<WaitNode>>,
    /// What wakers that were cloned refer to; null until one was.
    pub(super) remote: AtomicPtr<Remote>,
    /// The home thread's inbox, which that thread keeps as long as it polls tasks.
    pub(super) home: *const Inbox,
}

thread_local! {
    pub(super) static CURRENT: Cell<*const Task> = const { Cell::new(ptr::null()) };
}

/// A ref on a task.
pub(crate) struct TaskRef {
    task: NonNull<Task>,
    _alive: Ref,
}

impl TaskRef {
    /// # Safety
    /// `task` is alive.
    pub(crate) unsafe fn new(task: *const Task) -> TaskRef {
        // SAFETY: by the caller; a task is never at null.
        unsafe { TaskRef { task: NonNull::new_unchecked(task.cast_mut()), _alive: (*task).cell.retain() } }
    }

    /// Adopts a ref that the caller owns.
    ///
    /// # Safety
    /// `task` is alive, and the caller gives up a ref on it.
    pub(super) unsafe fn adopt(task: *const Task) -> TaskRef {
        // SAFETY: by the caller; a task is never at null.
        unsafe { TaskRef { task: NonNull::new_unchecked(task.cast_mut()), _alive: Ref::adopt((*task).cell) } }
    }

    pub(super) fn as_ptr(&self) -> *const Task {
        self.task.as_ptr()
    }

    pub(super) fn task(&self) -> &Task {
        // SAFETY: the ref keeps the block.
        unsafe { self.task.as_ref() }
    }

    /// Puts the task into the run queue, unless it is there or done.
    #[inline]
    pub(crate) fn wake(&self) {
        // SAFETY: the ref keeps the task.
        unsafe { wake(self.task.as_ptr()) };
    }

    pub(crate) fn is(&self, current: &Current<'_>) -> bool {
        ptr::eq(self.task.as_ptr(), current.task)
    }

    /// Wakes the task in whose slot a node lies.
    ///
    /// # Safety
    /// `slot` is the slot of a live task.
    #[inline]
    pub(crate) unsafe fn wake_of_slot(slot: *const WaitNode) {
        // SAFETY: by the caller.
        unsafe { wake(task_of_slot(slot)) };
    }

    /// The node in a task's slot is gone; so goes its ref.
    ///
    /// # Safety
    /// `slot` was claimed, and is given back once.
    #[inline]
    pub(crate) unsafe fn free_slot(slot: NonNull<WaitNode>) {
        // SAFETY: the ref of the claim.
        let task = unsafe { TaskRef::adopt(task_of_slot(slot.as_ptr())) };
        task.task().clear(SLOT_USED);
    }

    pub(super) fn is_done(&self) -> bool {
        self.task().has(DONE)
    }

    /// Polls the task, whose turn it is.
    pub(super) fn run(&self) {
        let task = self.task();
        task.clear(QUEUED);
        if task.has(RUNNING) {
            task.set(WOKEN); // somebody runs the queue inside this very task
        } else if !task.has(DONE) {
            // SAFETY: the task is alive, not done, and not running.
            unsafe { (task.vtable.advance)(self.task.as_ptr()) };
        }
    }
}

/// Queues a live task.
///
/// # Safety
/// `task` is alive, and this is its home thread.
#[inline]
pub(super) unsafe fn wake(task: *const Task) {
    // SAFETY: by the caller.
    let this = unsafe { &*task };
    if !this.has(QUEUED | DONE) {
        this.set(QUEUED);
        // SAFETY: by the caller.
        queue::push(unsafe { TaskRef::new(task) });
    }
}

/// The inbox of the task's home. May be called on any thread.
///
/// # Safety
/// `task` is being polled.
pub(super) unsafe fn inbox_of(task: *const Task) -> Arc<Inbox> {
    // SAFETY: the field was written before the task was shared.
    let home = unsafe { (*task).home };
    // SAFETY: the home thread keeps a count while it polls.
    unsafe { Arc::increment_strong_count(home) };
    // SAFETY: the count just made.
    unsafe { Arc::from_raw(home) }
}

/// Whether this thread is polling `task` right now.
pub(super) fn is_current(task: *const Task) -> bool {
    ptr::eq(CURRENT.get(), task)
}

/// Whether this thread is polling a task.
pub(crate) fn is_polling() -> bool {
    !CURRENT.get().is_null()
}

fn task_of_slot(slot: *const WaitNode) -> *const Task {
    slot.wrapping_byte_sub(offset_of!(Task, slot)).cast()
}

/// The task that is being polled.
#[derive(Clone, Copy)]
pub(crate) struct Current<'a> {
    task: *const Task,
    poll: PhantomData<&'a ()>,
}

impl<'a> Current<'a> {
    /// The task that is being polled with this waker, if it is one of ours on this thread.
    ///
    /// The waker's data alone would not do: another thread may have been lent the waker. That the task is the
    /// one this thread is polling right now makes thread, runtime and liveness certain.
    #[inline]
    pub(crate) fn polled_with(waker: &'a Waker) -> Option<Current<'a>> {
        let task = CURRENT.get();
        (!task.is_null() && waker::is_local(waker, task)).then_some(Current { task, poll: PhantomData })
    }

    fn task(&self) -> &Task {
        // SAFETY: the task is being polled, so it is alive.
        unsafe { &*self.task }
    }

    pub(crate) fn to_ref(self) -> TaskRef {
        // SAFETY: the task is being polled, so it is alive.
        unsafe { TaskRef::new(self.task) }
    }

    pub(crate) fn extra_waits(&self) -> &List {
        &self.task().extra_waits
    }

    /// The task's place for an await, if it is free. The claim owns a ref on the task.
    #[inline]
    pub(crate) fn claim_wait_slot(&self) -> Option<NonNull<WaitNode>> {
        let task = self.task();
        if task.has(SLOT_USED) {
            return None;
        }
        task.set(SLOT_USED);
        let _ = task.cell.retain().into_raw();
        // From the block's pointer, so that a list may lead back to the node.
        // SAFETY: the task is alive.
        NonNull::new(UnsafeCell::raw_get(unsafe { &raw const (*self.task).slot }).cast())
    }

    /// Whether this is the task's place for an await.
    pub(crate) fn has_slot(&self, slot: NonNull<WaitNode>) -> bool {
        ptr::eq(task_of_slot(slot.as_ptr()), self.task)
    }

    pub(crate) fn has_noted_cancel(&self) -> bool {
        self.task().has(CANCEL)
    }

    pub(crate) fn forget_cancel(&self) {
        self.task().clear(CANCEL);
    }

    /// Whether a cancel was noted; it is forgotten.
    pub(crate) fn take_noted_cancel(&self) -> bool {
        let noted = self.has_noted_cancel();
        self.forget_cancel();
        noted
    }

    /// A cancel has met the task while it runs.
    pub(crate) fn note_cancel(&self) {
        self.task().set(CANCEL);
    }

    /// Queues the task again, behind all others.
    pub(crate) fn requeue(&self) {
        // SAFETY: the task is being polled, so it is alive.
        unsafe { wake(self.task) };
    }
}

impl Task {
    #[inline]
    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline]
    pub(super) fn set(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    #[inline]
    pub(super) fn clear(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// The promises that will still wake the task.
    pub(super) fn awaited(&self) -> impl Iterator<Item = Raw> {
        let slot: *const WaitNode = self.slot.get().cast_const().cast();
        let first = self.has(SLOT_USED).then_some(slot);
        let mut at = self.extra_waits.front();
        let extra = std::iter::from_fn(move || {
            let links = at?;
            at = self.extra_waits.after(links);
            Some(WaitNode::of_extra(links))
        });
        // SAFETY: the node in a slot that is used, and the members of the list, are alive.
        first.into_iter().chain(extra).filter_map(|node| unsafe { (*node).awaited() })
    }
}
