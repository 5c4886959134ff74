//! Awaiting a promise: `impl Future for Promise`.
//!
//! 1. A promise that was polled while it was pending has a [`WaitNode`] in the list of its cell, and owns it.
//!    The node has the ref and the share of the handle meanwhile, and its kind says whom to wake.
//! 2. Inside a task of ours the node lies in the task itself (*inline*), or, if that place is taken, in a
//!    block that names the task (*extra*): no `Waker` is cloned. Everywhere else it lies in a block with a
//!    clone of the `Waker` (*foreign*).
//! 3. A task finds all nodes by which it waits, so that a cancel finds what the task waits on: its own place,
//!    and the list of the extra ones.
//! 4. An inline node owns a ref on its task, so that it may outlive the poll wherever the promise is moved.
//! 5. Dropping the promise unlinks the node: an await that is given up leaves nothing behind.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll, Waker};

use crate::links::Links;
use crate::origin::Origin;
use crate::task::header::{Current, TaskRef};
use crate::{Error, memory};

use super::cell::{Node, NodeKind, NodeVTable, Raw, Ref};
use super::handle::Handle;
use super::{Promise, Repr, cancel};

#[repr(C)]
pub(crate) struct WaitNode {
    node: Node,
    /// The cell of the handle that the promise consisted of.
    cell: Raw,
}

/// A further await of a task.
#[repr(C)]
struct Extra {
    base: WaitNode,
    in_task: Links,
    task: TaskRef,
}

/// An await of somebody else's task.
#[repr(C)]
struct Foreign {
    base: WaitNode,
    /// Taken when it was woken.
    waker: Cell<Option<Waker>>,
}

static INLINE: NodeVTable = NodeVTable { kind: NodeKind::Waking, run: wake_inline, drop: drop_inline };
static EXTRA: NodeVTable = NodeVTable { kind: NodeKind::Waking, run: wake_extra, drop: drop_extra };
static FOREIGN: NodeVTable = NodeVTable { kind: NodeKind::Holding, run: wake_foreign, drop: drop_foreign };

/// # Safety
/// `node` is that of a live inline node.
unsafe fn wake_inline(node: *const Node, _: Raw) -> Option<Ref> {
    // SAFETY: by the caller.
    unsafe { drop_inline(node) };
    None
}

/// # Safety
/// `node` is that of a live extra node.
unsafe fn wake_extra(node: *const Node, _: Raw) -> Option<Ref> {
    // SAFETY: by the caller.
    unsafe { drop_extra(node) };
    None
}

/// # Safety
/// `node` is that of a live foreign node.
unsafe fn wake_foreign(node: *const Node, _: Raw) -> Option<Ref> {
    // SAFETY: by the caller.
    unsafe { drop_foreign(node) };
    None
}

/// The promise's callbacks are thrown away. A wake is none of them: it runs nobody's code.
///
/// # Safety
/// `node` is that of a live inline node.
unsafe fn drop_inline(node: *const Node) {
    // SAFETY: by the caller; the node keeps the task.
    unsafe { TaskRef::wake_of_slot(node.cast()) };
}

/// As [`drop_inline`].
///
/// # Safety
/// `node` is that of a live extra node.
unsafe fn drop_extra(node: *const Node) {
    // SAFETY: by the caller.
    unsafe { (*node.cast::<Extra>()).task.wake() };
}

/// As [`drop_inline`]; what a foreign waker does is its own business.
///
/// # Safety
/// `node` is that of a live foreign node.
unsafe fn drop_foreign(node: *const Node) {
    // SAFETY: by the caller.
    let waker = unsafe { (*node.cast::<Foreign>()).waker.take() };
    if let Some(waker) = waker {
        waker.wake(); // foreign code: it may free the node
    }
}

impl WaitNode {
    /// The root of the promise, if it will still wake the task.
    pub(crate) fn awaited(&self) -> Option<Raw> {
        self.node.links.is_linked().then(|| self.cell.root())
    }

    /// The node behind a member of a task's list of extra awaits.
    pub(crate) fn of_extra(links: *const Links) -> *const WaitNode {
        links.wrapping_byte_sub(offset_of!(Extra, in_task)).cast()
    }

    fn is(&self, kind: &'static NodeVTable) -> bool {
        ptr::eq(self.node.vtable.get(), kind)
    }
}

/// Who polls.
enum Waiter<'a> {
    Task(Current<'a>),
    Foreign(Waker),
}

/// A handle with an await in progress.
pub(crate) struct Waiting<T> {
    wait: NonNull<WaitNode>,
    /// Invariant, as the handle's.
    value: PhantomData<Cell<T>>,
}

impl<T> Waiting<T> {
    /// Waits for `handle`'s root on behalf of whoever polls.
    #[inline]
    fn register(handle: Handle<T>, waiter: Waiter<'_>) -> Waiting<T> {
        let root = handle.root();
        let cell = handle.into_raw();
        let wait = match waiter {
            Waiter::Task(task) => match task.claim_wait_slot() {
                Some(slot) => {
                    // SAFETY: the slot is free, and in the task that the claim keeps alive.
                    unsafe { slot.write(WaitNode { node: Node::new(&INLINE), cell }) };
                    slot
                }
                None => {
                    let base = WaitNode { node: Node::new(&EXTRA), cell };
                    let extra = memory::boxed(Extra { base, in_task: Links::new(), task: task.to_ref() });
                    // SAFETY: the node stays where it is until it is unlinked.
                    unsafe { task.extra_waits().push_back(&raw const (*extra.as_ptr()).in_task) };
                    extra.cast()
                }
            },
            Waiter::Foreign(waker) => {
                let base = WaitNode { node: Node::new(&FOREIGN), cell };
                memory::boxed(Foreign { base, waker: Cell::new(Some(waker)) }).cast()
            }
        };
        // SAFETY: the node stays where it is until it is unlinked.
        unsafe { root.callbacks.push_back(wait.as_ptr().cast()) };
        Waiting { wait, value: PhantomData }
    }

    fn node(&self) -> &WaitNode {
        // SAFETY: the node is ours and alive.
        unsafe { self.wait.as_ref() }
    }

    #[inline]
    pub(crate) fn root(&self) -> Raw {
        self.node().cell.root()
    }

    /// The handle, on loan.
    fn with_handle<R>(&self, f: impl FnOnce(&Handle<T>) -> R) -> R {
        // SAFETY: the node owns the ref and the share; the loan does not drop them.
        let handle = ManuallyDrop::new(unsafe { Handle::<T>::adopt(self.node().cell) });
        f(&handle)
    }

    pub(crate) fn is_takeable(&self) -> bool {
        self.with_handle(|handle| handle.takeable_root().is_some())
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
    #[inline]
    fn release(&self) -> Handle<T> {
        let node = self.node();
        node.node.links.unlink();
        // SAFETY: the ref and the share were the node's.
        let handle = unsafe { Handle::adopt(node.cell) };
        if node.is(&INLINE) {
            // SAFETY: an inline node, not used any more.
            unsafe { TaskRef::free_slot(self.wait) };
        } else if node.is(&EXTRA) {
            let extra = self.wait.cast::<Extra>();
            // SAFETY: an extra node, ours; it is taken out of its block, which is freed.
            unsafe {
                extra.as_ref().in_task.unlink();
                drop(extra.read().task);
                memory::free(extra);
            }
        } else {
            let foreign = self.wait.cast::<Foreign>();
            // SAFETY: a foreign node, ours; it is taken out of its block, which is freed before foreign code
            // runs.
            let waker = unsafe { foreign.read() }.waker;
            // SAFETY: as above.
            unsafe { memory::free(foreign) };
            drop(waker);
        }
        handle
    }

    /// Whether the node would wake who polls now.
    fn is_for(&self, current: Option<&Current<'_>>, waker: &Waker) -> bool {
        let node = self.node();
        if !node.node.links.is_linked() {
            return false;
        }
        match current {
            Some(task) if node.is(&INLINE) => task.has_slot(self.wait),
            // SAFETY: an extra node.
            Some(task) if node.is(&EXTRA) => unsafe { self.wait.cast::<Extra>().as_ref() }.task.is(task),
            None if node.is(&FOREIGN) => {
                // SAFETY: a foreign node; nobody else uses the waker meanwhile, as `will_wake` is not foreign
                // code.
                let known = unsafe { &*self.wait.cast::<Foreign>().as_ref().waker.as_ptr() };
                known.as_ref().is_some_and(|known| known.will_wake(waker))
            }
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
/// A cancel of the awaiting task's promise reaches the promise that is awaited, so that the `.await` gives
/// `Err` with [`Canceled`](crate::Canceled). Dropping the future drops the promise and cancels nothing.
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
        let is_there = match &this.repr {
            Repr::Cell(handle) => handle.is_sole(),
            Repr::Waiting(waiting) => waiting.with_handle(Handle::is_sole),
            Repr::Ready(_) | Repr::Failed(_) | Repr::Taken => true,
        };
        if !is_there && !this.poll_cell(cx.waker()) {
            return Poll::Pending;
        }
        let result = match std::mem::replace(&mut this.repr, Repr::Taken) {
            Repr::Ready(value) => Ok(value),
            Repr::Failed(rejection) => Err(rejection.into_error()),
            Repr::Taken => panic!("a promise was polled after it was ready"),
            Repr::Cell(handle) => handle.take(),
            Repr::Waiting(waiting) => waiting.into_handle().take(),
        };
        if let Err(error) = &result {
            origin.trace(error);
            error.mark_seen();
        }
        Poll::Ready(result)
    }
}

impl<T> Promise<T> {
    /// Whether the value of a promise with a cell can be taken now; if not, whoever polls is woken when it
    /// can.
    fn poll_cell(&mut self, waker: &Waker) -> bool {
        let current = Current::polled_with(waker);
        if let Some(task) = current
            && task.has_noted_cancel()
            && let Some(root) = self.root()
        {
            deliver_cancel(root, &task);
        }
        if let Repr::Waiting(waiting) = &self.repr
            && waiting.is_for(current.as_ref(), waker)
            && !waiting.is_takeable()
        {
            return false;
        }
        // Cloning a waker is foreign code, so it comes before the last look.
        let waiter = current.map_or_else(|| Waiter::Foreign(waker.clone()), Waiter::Task);
        let handle = match std::mem::replace(&mut self.repr, Repr::Taken) {
            Repr::Cell(handle) if handle.takeable_root().is_none() => handle,
            Repr::Waiting(waiting) if !waiting.is_takeable() => waiting.into_handle(),
            takeable => {
                self.repr = takeable;
                return true;
            }
        };
        self.repr = Repr::Waiting(Waiting::register(handle, waiter));
        false
    }
}

/// Delivers a cancel that met the task while it was not waiting for anything.
#[cold]
fn deliver_cancel(root: Raw, task: &Current<'_>) {
    let _alive = root.retain();
    if cancel::cancel(root) {
        task.forget_cancel();
    }
}
