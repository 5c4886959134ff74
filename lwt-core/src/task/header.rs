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
//! 1. From spawn to done the task owns a ref on its cell, and it is in the thread's list of live tasks whenever it was suspended once.
//! 2. The future is polled by one caller at a time (`RUNNING`), on its home thread, and dropped there, before the promise resolves.
//! 3. `QUEUED` is set while the task is in the run queue, which owns a ref. A wake of a running task queues it again; if its turn comes
//!    before its poll is over, because the task itself runs the queue, it is queued after the poll.
//! 4. A cancel that meets a task which is running or queued is noted (`CANCEL`). It is offered to each promise that the task awaits, until one takes it; if the
//!    task then waits on foreign futures only, it is aborted.
//! 5. Other threads touch `remote` and nothing else, and only while the task is being polled (`waker.rs`).
//! 6. The slot for one await is in use while a node lies in it (`wait.rs`), which owns a ref on the task.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::task::{Context, Poll, Waker};

use crate::inbox::{self, Inbox};
use crate::list::{Links, List};
use crate::origin::Origin;
use crate::promise::Promise;
use crate::promise::cancel::Visitor;
use crate::promise::cascade::{self, When, guarded};
use crate::promise::cell::{Body, Header, Raw, Ref, Route, VISITED, VTable, detach_nothing, reject};
use crate::promise::handle::{Handle, Owner, dealloc_as, enlist, expire};
use crate::promise::resolver::fresh;
use crate::promise::wait::WaitNode;
use crate::storage::Storage;
use crate::{Error, memory};

use super::queue;
use super::waker::{self, Remote};

const RUNNING: u8 = 1;
const QUEUED: u8 = 2;
const DONE: u8 = 4;
/// A cancel was noted.
const CANCEL: u8 = 8;
/// To be aborted as soon as it does not run.
const ABORT: u8 = 16;
/// A node lies in the slot.
const SLOT_USED: u8 = 32;
/// Its turn came while it was running: to be queued again.
const WOKEN: u8 = 64;

pub(crate) struct Task {
    cell: Raw,
    advance: unsafe fn(*const Task),
    drop_future: unsafe fn(*const Task),
    finish: unsafe fn(*const Task, Error),
    /// The next in the run queue.
    pub(super) next: Cell<*const Task>,
    pub(super) live: Links,
    flags: Cell<u8>,
    storage: Cell<Storage>,
    extra_waits: List,
    slot: UnsafeCell<MaybeUninit<WaitNode>>,
    /// What wakers that were cloned refer to; null until one was.
    pub(super) remote: AtomicPtr<Remote>,
    /// The home thread's inbox, which that thread keeps as long as it polls tasks.
    home: *const Inbox,
}

#[repr(C)]
struct TaskCell<T, E, F> {
    body: Body<T>,
    task: Task,
    future: UnsafeCell<ManuallyDrop<F>>,
    error: PhantomData<fn() -> E>,
}

thread_local! {
    static CURRENT: Cell<*const Task> = const { Cell::new(ptr::null()) };
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

    fn task(&self) -> &Task {
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

    /// Polls the task, whose turn it is.
    pub(super) fn run(&self) {
        let task = self.task();
        task.clear(QUEUED);
        if task.has(RUNNING) {
            task.set(WOKEN); // somebody runs the queue inside this very task
        } else if !task.has(DONE) {
            // SAFETY: the task is alive, not done, and not running.
            unsafe { (task.advance)(self.task.as_ptr()) };
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
    /// The waker's data alone would not do: another thread may have been lent the waker. That the task is the one this
    /// thread is polling right now makes thread, runtime and liveness certain.
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

    /// Queues the task again, behind all others.
    pub(crate) fn requeue(&self) {
        // SAFETY: the task is being polled, so it is alive.
        unsafe { wake(self.task) };
    }
}

impl Task {
    #[inline]
    fn has(&self, flags: u8) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline]
    fn set(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    #[inline]
    fn clear(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// The promises that will still wake the task.
    fn awaited(&self) -> impl Iterator<Item = Raw> {
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

/// What a poll came to.
enum Polled<T> {
    Pending,
    Ready(Result<T, Error>),
}

/// Restores what was in force before a poll.
struct Polling {
    previous: *const Task,
    task: *const Task,
}

impl Polling {
    /// # Safety
    /// `task` is alive, and stays so until the guard is dropped.
    unsafe fn start(task: *const Task) -> Polling {
        // SAFETY: by the caller.
        unsafe { (*task).set(RUNNING) };
        Polling { previous: CURRENT.replace(task), task }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        CURRENT.set(self.previous);
        // SAFETY: by the contract of `start`.
        unsafe { (*self.task).clear(RUNNING) };
    }
}

/// One poll of the future. Does not unwind.
///
/// # Safety
/// `task` is that of a `TaskCell<T, E, F>`, alive, neither running nor done.
unsafe fn poll<T, E: Into<Error>, F: Future<Output = Result<T, E>>>(task: *const Task) -> Polled<T> {
    // SAFETY: by the caller.
    let this = unsafe { &*task };
    let cell = block_of::<T, E, F>(task);
    // SAFETY: the future is there until the task is done, is polled by nobody else, and never moves.
    let future = unsafe { Pin::new_unchecked(&mut **(*cell).future.get()) };
    let storage = this.storage.take();
    this.storage.set(storage.clone());
    let installed = storage.install();
    // SAFETY: by the caller.
    let polling = unsafe { Polling::start(task) };
    // SAFETY: the waker is not dropped, and borrowed during this poll only.
    let waker = unsafe { waker::local(task) };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        future
            .poll(&mut Context::from_waker(&waker))
            .map(|result| result.map_err(|error| fresh(error.into())))
    }));
    drop(polling);
    drop(installed);
    match outcome {
        Ok(Poll::Pending) => Polled::Pending,
        Ok(Poll::Ready(result)) => Polled::Ready(result),
        Err(payload) => Polled::Ready(Err(Error::from_panic(payload))),
    }
}

fn block_of<T, E, F>(task: *const Task) -> *const TaskCell<T, E, F> {
    task.wrapping_byte_sub(offset_of!(TaskCell<T, E, F>, task)).cast()
}

/// [`Task::advance`]: one turn, from the run queue.
unsafe fn advance<T, E: Into<Error>, F: Future<Output = Result<T, E>>>(task: *const Task) {
    cascade::as_level(|| {
        // SAFETY: by the caller.
        match unsafe { poll::<T, E, F>(task) } {
            // SAFETY: as above.
            Polled::Pending => unsafe { after_pending(task) },
            // SAFETY: as above; the poll was the last one.
            Polled::Ready(result) => unsafe { complete::<T>(task, result) },
        }
    });
}

/// The poll is over and the future goes on: does what had to wait for that.
///
/// # Safety
/// `task` is alive and not done.
unsafe fn after_pending(task: *const Task) {
    // SAFETY: by the caller.
    let this = unsafe { &*task };
    if this.has(WOKEN) {
        this.clear(WOKEN);
        // SAFETY: by the caller.
        unsafe { wake(task) };
    }
    let foreign_only = || !this.has(QUEUED) && this.awaited().next().is_none();
    if this.has(ABORT) || (this.has(CANCEL) && foreign_only()) {
        // SAFETY: by the caller; it is not running.
        unsafe { (this.finish)(task, Error::canceled()) };
    }
}

/// Ends the task: drops the future, then resolves the promise.
///
/// # Safety
/// `task` is that of a cell of `T`, alive, not running and not done; its own ref is given up.
unsafe fn complete<T>(task: *const Task, result: Result<T, Error>) {
    // SAFETY: by the caller; the task's own ref.
    let this = unsafe { &*task };
    // SAFETY: the ref that the task has had since its spawn.
    let owner = unsafe { Owner::<T>::adopt(this.cell) };
    // SAFETY: by the caller.
    unsafe { retire(task) };
    // The promise was not cancelled: a source is resolved by itself only.
    let _ = owner.resolve(result, When::Now);
}

/// The task is done: drops the future and all that belonged to its running.
///
/// # Safety
/// `task` is alive, not running and not done.
unsafe fn retire(task: *const Task) {
    // SAFETY: by the caller.
    let this = unsafe { &*task };
    this.set(DONE);
    // SAFETY: the future is there, and `DONE` keeps everybody else from it.
    guarded(|| unsafe { (this.drop_future)(task) });
    guarded(|| drop(this.storage.take()));
    this.live.unlink();
    waker::retire(&this.remote);
}

unsafe fn drop_future<T, E, F>(task: *const Task) {
    let cell = block_of::<T, E, F>(task);
    // SAFETY: by the caller, `retire`: the future is dropped this one time.
    unsafe { ManuallyDrop::drop(&mut *(*cell).future.get()) };
}

/// [`VTable::visit`]: the cancel goes on to what the task awaits.
unsafe fn visit<T, E, F>(cell: Raw, visitor: &mut dyn Visitor) {
    // SAFETY: the cell is a `TaskCell<T, E, F>`, alive.
    let task = unsafe { &(*cell.as_ptr::<TaskCell<T, E, F>>()).task };
    // A promise that is resolved, but has not run its callbacks yet, is as good as a wake; unless it is this very walk that has
    // resolved it, which is as good as a delivery.
    let is_woken = || task.awaited().any(|root| !root.is_pending() && !root.has(VISITED));
    if task.has(RUNNING | QUEUED | WOKEN) || is_woken() {
        if visitor.notes() {
            task.set(CANCEL);
        }
    } else if task.awaited().next().is_some() {
        visitor.waits_on(&mut task.awaited());
    } else {
        visitor.drops(cell);
    }
}

/// [`VTable::abort`].
unsafe fn abort<T, E, F>(cell: Raw, error: Error) -> bool {
    let task = task_of::<T, E, F>(cell);
    // SAFETY: the cell is a `TaskCell<T, E, F>`, alive.
    let this = unsafe { &*task };
    if this.has(DONE) {
        return false;
    }
    if this.has(RUNNING) {
        this.set(ABORT);
    } else {
        let _alive = cell.retain();
        // SAFETY: alive, not running, not done.
        unsafe { complete::<T>(task, Err(error)) };
    }
    true
}

fn task_of<T, E, F>(cell: Raw) -> *const Task {
    cell.as_ptr::<u8>().wrapping_add(offset_of!(TaskCell<T, E, F>, task)).cast()
}

/// [`Task::finish`].
unsafe fn finish<T>(task: *const Task, error: Error) {
    // SAFETY: by the caller.
    unsafe { complete::<T>(task, Err(error)) };
}

/// Drops the future of a live task and rejects its promise.
pub(super) fn end(task: &TaskRef, error: Error) {
    let this = task.task();
    if !this.has(DONE) {
        // SAFETY: alive, not done; the end of a thread runs in no task.
        unsafe { (this.cell.vtable.abort)(this.cell, error) };
    }
}

/// Makes a task of `future` and polls it for the first time.
pub(super) fn spawn<T, E, F>(future: F, origin: Origin) -> Promise<T>
where
    T: 'static,
    E: Into<Error>,
    F: Future<Output = Result<T, E>> + 'static,
{
    let vtable = const {
        &VTable {
            dealloc: dealloc_as::<TaskCell<T, E, F>>,
            reject: reject::<T>,
            expire: expire::<T>,
            visit: visit::<T, E, F>,
            detach: detach_nothing,
            abort: abort::<T, E, F>,
        }
    };
    // One ref is the task's own, one the promise's.
    let header = Header::new(vtable, 2, 1, Route::Source, origin);
    let block = memory::boxed_with(|cell: NonNull<TaskCell<T, E, F>>| TaskCell {
        body: Body::new(header),
        task: Task {
            // SAFETY: the block starts with a header, and the task is used while it is alive.
            cell: unsafe { Raw::new(cell) },
            advance: advance::<T, E, F>,
            drop_future: drop_future::<T, E, F>,
            finish: finish::<T>,
            next: Cell::new(ptr::null()),
            live: Links::new(),
            flags: Cell::new(0),
            storage: Cell::new(Storage::capture()),
            extra_waits: List::new(),
            slot: UnsafeCell::new(MaybeUninit::uninit()),
            remote: AtomicPtr::new(ptr::null_mut()),
            home: inbox::home_address(),
        },
        future: UnsafeCell::new(ManuallyDrop::new(future)),
        error: PhantomData,
    });
    // SAFETY: the block starts with a header and has refs.
    let cell = unsafe { Raw::new(block) };
    enlist(cell);
    #[cfg(feature = "registry")]
    crate::registry::is_future(cell);
    cell.set_link(Some(cell));
    let task = task_of::<T, E, F>(cell);
    // SAFETY: the ref and the share of the promise.
    let handle = unsafe { Handle::<T>::adopt(cell) };

    let mut ready = None;
    cascade::as_level(|| {
        // SAFETY: fresh: alive, neither running nor done.
        match unsafe { poll::<T, E, F>(task) } {
            Polled::Pending => {
                // SAFETY: the task is unlinked when it is done, before its block goes.
                unsafe { queue::enlist(task) };
                // SAFETY: alive, not done.
                unsafe { after_pending(task) };
            }
            Polled::Ready(result) => {
                // SAFETY: alive, not running, not done.
                unsafe { retire(task) };
                ready = Some(result);
            }
        }
    });
    match ready {
        None => Promise::from_handle(handle),
        Some(result) => {
            if cell.refs() == 2 {
                // The usual case: nobody else has a ref, so the value goes with the promise and the block goes back at once.
                let _ = handle.into_raw();
                // SAFETY: both refs are ours, and given up.
                unsafe { dealloc_as::<TaskCell<T, E, F>>(cell) };
                return Promise::settled(result);
            }
            // SAFETY: the task's own ref.
            let owner = unsafe { Owner::<T>::adopt(cell) };
            let _ = owner.resolve(result, When::Now);
            Promise::from_handle(handle)
        }
    }
}
