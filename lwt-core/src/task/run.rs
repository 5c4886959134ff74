//! The life of a task, from its first poll to its end: see the diagram and the rules in `header.rs`.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicPtr;
use std::task::{Context, Poll};

use crate::inbox;
use crate::links::{Links, List};
use crate::origin::Origin;
use crate::promise::Promise;
use crate::promise::cancel::Visitor;
use crate::promise::cascade::{self, When, guarded};
use crate::promise::cell::{Body, Header, Raw, Route, VISITED, VTable, detach_nothing, reject};
use crate::promise::handle::{Handle, Owner, dealloc_as, enlist, expire};
use crate::promise::resolver::fresh;
use crate::storage::Storage;
use crate::{Error, memory};

use super::header::{ABORT, CANCEL, CURRENT, DONE, QUEUED, RUNNING, Task, TaskRef, TaskVTable, WOKEN, wake};
use super::{queue, waker};

#[repr(C)]
struct TaskCell<T, E, F> {
    body: Body<T>,
    task: Task,
    future: UnsafeCell<ManuallyDrop<F>>,
    error: PhantomData<fn() -> E>,
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

/// [`TaskVTable::advance`]: one turn, from the run queue.
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
        unsafe { (this.vtable.finish)(task, Error::canceled()) };
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
    this.live.unlink(); // first, so that who ends all tasks does not find it again
    guarded(|| {
        let _installed = this.storage.take().install();
        // SAFETY: the future is there, and `DONE` keeps everybody else from it.
        unsafe { (this.vtable.drop_future)(task) };
    });
    waker::retire(&this.remote);
}

/// [`TaskVTable::drop_future`].
unsafe fn drop_future<T, E, F>(task: *const Task) {
    let cell = block_of::<T, E, F>(task);
    // SAFETY: by the caller, `retire`: the future is dropped this one time.
    unsafe { ManuallyDrop::drop(&mut *(*cell).future.get()) };
}

/// [`VTable::visit`]: the cancel goes on to what the task awaits.
unsafe fn visit<T, E, F>(cell: Raw, visitor: &mut dyn Visitor) {
    // SAFETY: the cell is a `TaskCell<T, E, F>`, alive.
    let task = unsafe { &(*cell.as_ptr::<TaskCell<T, E, F>>()).task };
    // A promise that is resolved, but has not run its callbacks yet, is as good as a wake; unless it is this
    // very walk that has resolved it, which is as good as a delivery.
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
unsafe fn abort<T, E, F>(cell: Raw, error: Error) {
    let task = task_of::<T, E, F>(cell);
    // SAFETY: the cell is a `TaskCell<T, E, F>`, alive.
    let this = unsafe { &*task };
    if this.has(RUNNING) {
        this.set(ABORT);
    } else if !this.has(DONE) {
        let _alive = cell.retain();
        // SAFETY: alive, not running, not done.
        unsafe { complete::<T>(task, Err(error)) };
    }
}

fn task_of<T, E, F>(cell: Raw) -> *const Task {
    cell.as_ptr::<u8>().wrapping_add(offset_of!(TaskCell<T, E, F>, task)).cast()
}

/// [`TaskVTable::finish`].
unsafe fn finish<T>(task: *const Task, error: Error) {
    // SAFETY: by the caller.
    unsafe { complete::<T>(task, Err(error)) };
}

/// Drops the future of a live task and rejects its promise.
pub(super) fn end(task: &TaskRef, error: Error) {
    let cell = task.task().cell;
    // At once, not as an end that may have to wait: the thread's inbox goes after this.
    // SAFETY: the cell is that of a task, and alive.
    unsafe { (cell.vtable.abort)(cell, error) };
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
            runs: true,
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
            vtable: const {
                &TaskVTable {
                    advance: advance::<T, E, F>,
                    drop_future: drop_future::<T, E, F>,
                    finish: finish::<T>,
                }
            },
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
                // SAFETY: alive.
                let this = unsafe { &*task };
                if !inbox::is_home_address(this.home) {
                    this.set(ABORT); // it has ended the thread, and was in no list yet
                }
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
                // The usual case: nobody else has a ref, so the value goes with the promise and the block
                // goes back at once.
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
