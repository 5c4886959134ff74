//! Awaiting a promise: `impl Future for Promise`.
//!
//! 1. A promise that was polled while it was pending has a [`WaitNode`] in the list of its cell, and owns it. The node says whom to wake, and has the ref and
//!    the share of the handle meanwhile.
//! 2. Inside a task of ours the node lies in the task itself (one at a time; further ones get blocks of their own) and names the task: no `Waker` is
//!    cloned. Everywhere else it has a clone of the `Waker`.
//! 3. The node of a task is also in the task's list of awaits, so that a cancel finds what the task waits on.
//! 4. Dropping the promise unlinks the node: an await that is given up leaves nothing behind.

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use crate::list::Links;
use crate::origin::Origin;
use crate::task::header::{Current, TaskRef};
use crate::{Error, memory};

use super::cell::{Node, NodeKind, NodeVTable, Raw};
use super::handle::Handle;
use super::{Promise, Repr, cancel};

/// Whom to wake.
enum Waiter {
    Task(TaskRef),
    /// Taken when it was woken.
    Waker(Option<Waker>),
}

#[repr(C)]
pub(crate) struct WaitNode {
    node: Node,
    in_task: Links,
    /// The cell of the handle that the promise consisted of.
    cell: Cell<Raw>,
    waiter: UnsafeCell<Waiter>,
    /// Lies in the task of `waiter`.
    inline: bool,
}

static VTABLE: NodeVTable = NodeVTable { kind: NodeKind::Holding, run: woken, drop: woken_by_drop };

/// The cell is resolved: wakes the waiter, who polls later.
unsafe fn woken(node: *const Node, _: Raw) {
    let wait = node.cast::<WaitNode>();
    // SAFETY: the node is alive, on its own thread, and nobody else uses the waiter during this statement.
    let waker = match unsafe { &mut *(*wait).waiter.get() } {
        Waiter::Task(task) => return task.wake(),
        Waiter::Waker(waker) => waker.take(),
    };
    if let Some(waker) = waker {
        waker.wake(); // foreign code: it may free the node
    }
}

unsafe fn woken_by_drop(_: *const Node) {}

impl WaitNode {
    /// The node behind a member of a task's list of awaits: the root of the promise, if the task is still to be woken by it.
    ///
    /// # Safety
    /// `links` are the `in_task` of a live node.
    pub(crate) unsafe fn awaited(links: *const Links) -> Option<Raw> {
        let wait = links.wrapping_byte_sub(offset_of!(WaitNode, in_task)).cast::<WaitNode>();
        // SAFETY: by the caller.
        let wait = unsafe { &*wait };
        wait.node.links.is_linked().then(|| wait.cell.get().root())
    }
}

/// A handle with an await in progress.
pub(crate) struct Waiting<T> {
    wait: NonNull<WaitNode>,
    value: PhantomData<T>,
}

impl<T> Waiting<T> {
    /// Waits for `handle`'s root on behalf of whoever polls.
    fn register(handle: Handle<T>, current: Option<Current<'_>>, waker: &Waker) -> Waiting<T> {
        let root = handle.root();
        let cell = Cell::new(handle.into_raw());
        let new = |waiter, inline| WaitNode {
            node: Node::new(&VTABLE),
            in_task: Links::new(),
            cell: cell.clone(),
            waiter: UnsafeCell::new(waiter),
            inline,
        };
        let wait = match current {
            Some(task) => {
                let wait = match task.claim_wait_slot() {
                    Some(slot) => {
                        // SAFETY: the slot is free, and it is in the task that the node's own reference keeps alive.
                        unsafe { slot.as_ptr().write(new(Waiter::Task(task.to_ref()), true)) };
                        slot
                    }
                    None => memory::boxed(new(Waiter::Task(task.to_ref()), false)),
                };
                // SAFETY: the node stays where it is until it is unlinked.
                unsafe { task.waits().push_back(&raw const (*wait.as_ptr()).in_task) };
                wait
            }
            None => memory::boxed(new(Waiter::Waker(Some(waker.clone())), false)),
        };
        // SAFETY: the node stays where it is until it is unlinked.
        unsafe { root.callbacks.push_back(wait.as_ptr().cast()) };
        Waiting { wait, value: PhantomData }
    }

    fn node(&self) -> &WaitNode {
        // SAFETY: the node is ours and alive.
        unsafe { self.wait.as_ref() }
    }

    pub(crate) fn root(&self) -> Raw {
        self.node().cell.get().root()
    }

    /// The handle, on loan.
    fn with_handle<R>(&self, f: impl FnOnce(&Handle<T>) -> R) -> R {
        // SAFETY: the node owns the ref and the share; the loan does not drop them.
        let handle = ManuallyDrop::new(unsafe { Handle::<T>::adopt(self.node().cell.get()) });
        f(&handle)
    }

    pub(crate) fn peek(&self) -> Option<Result<&T, &Error>> {
        let root = self.root();
        // SAFETY: as in `Handle::peek`: the share is the node's, which lives as long as this borrow.
        (!root.is_pending()).then(|| unsafe { super::cell::peek(root) })
    }

    pub(crate) fn share(&self) -> Handle<T>
    where
        T: Clone,
    {
        self.with_handle(Handle::share)
    }

    /// Ends the await.
    pub(crate) fn into_handle(self) -> Handle<T> {
        ManuallyDrop::new(self).release()
    }

    /// Takes the node out of its lists and gives its place back.
    fn release(&self) -> Handle<T> {
        let node = self.node();
        node.node.links.unlink();
        node.in_task.unlink();
        // SAFETY: the ref and the share were the node's.
        let handle = unsafe { Handle::adopt(node.cell.get()) };
        // SAFETY: the node is not used any more; the waiter is taken this one time.
        let (waiter, inline) = unsafe { (node.waiter.get().read(), node.inline) };
        match waiter {
            Waiter::Task(task) if inline => task.free_wait_slot(),
            waiter => {
                // SAFETY: the node came from `memory::boxed`; what it held was taken.
                unsafe { memory::free(self.wait) };
                drop(waiter);
            }
        }
        handle
    }

    /// Whether the node would wake who polls now.
    fn is_for(&self, current: Option<&Current<'_>>, waker: &Waker) -> bool {
        let node = self.node();
        if !node.node.links.is_linked() {
            return false;
        }
        // SAFETY: nobody else uses the waiter during this function; `will_wake` is not foreign code.
        match (unsafe { &*node.waiter.get() }, current) {
            (Waiter::Task(task), Some(current)) => task.is(current),
            (Waiter::Waker(Some(known)), None) => known.will_wake(waker),
            _ => false,
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        drop(self.release());
    }
}

impl<T> Unpin for Promise<T> {}

/// Resolves to the promise's outcome, which it takes.
///
/// A cancel of the awaiting task's promise reaches the promise that is awaited, so that the `.await` gives `Err` with
/// [`Canceled`](crate::Canceled). Dropping the future drops the promise and cancels nothing.
///
/// # Panics
/// When it is polled again after it was ready.
impl<T> Future for Promise<T> {
    type Output = Result<T, Error>;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let origin = Origin::caller();
        let this = self.get_mut();
        let result = match std::mem::replace(&mut this.repr, Repr::Taken) {
            Repr::Ready(value) => Ok(value),
            Repr::Failed(rejection) => Err(rejection.into_error()),
            Repr::Taken => panic!("a promise was polled after it was ready"),
            Repr::Cell(handle) if handle.takeable_root().is_some() => handle.take(),
            Repr::Cell(handle) => match poll_handle(handle, cx.waker()) {
                Ok(result) => result,
                Err(waiting) => {
                    this.repr = Repr::Waiting(waiting);
                    return Poll::Pending;
                }
            },
            Repr::Waiting(waiting) => match poll_waiting(waiting, cx.waker()) {
                Ok(result) => result,
                Err(waiting) => {
                    this.repr = Repr::Waiting(waiting);
                    return Poll::Pending;
                }
            },
        };
        if let Err(error) = &result {
            origin.trace(error);
            error.mark_seen();
        }
        Poll::Ready(result)
    }
}

/// The first poll of a pending promise.
fn poll_handle<T>(handle: Handle<T>, waker: &Waker) -> Result<Result<T, Error>, Waiting<T>> {
    let current = Current::polled_with(waker);
    offer_cancel(handle.root(), current.as_ref());
    if handle.takeable_root().is_some() {
        return Ok(handle.take());
    }
    Err(Waiting::register(handle, current, waker))
}

/// A further poll.
fn poll_waiting<T>(waiting: Waiting<T>, waker: &Waker) -> Result<Result<T, Error>, Waiting<T>> {
    let current = Current::polled_with(waker);
    offer_cancel(waiting.root(), current.as_ref());
    if waiting.with_handle(|handle| handle.takeable_root().is_some()) {
        return Ok(waiting.into_handle().take());
    }
    if waiting.is_for(current.as_ref(), waker) {
        return Err(waiting);
    }
    Err(Waiting::register(waiting.into_handle(), current, waker))
}

/// Delivers a cancel that met the task while it was not waiting for anything.
fn offer_cancel(root: Raw, current: Option<&Current<'_>>) {
    if let Some(task) = current
        && task.has_noted_cancel()
        && root.is_pending()
    {
        let _alive = root.retain();
        if cancel::cancel(root) {
            task.forget_cancel();
        }
    }
}
