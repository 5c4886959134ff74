//! The members of a combinator: promises that it holds, each with a node in that promise's list of callbacks.
//!
//! 1. A member does not move while its node is linked, and is unlinked before its memory goes.
//! 2. Unlinking a member leaves nothing behind on its promise, in O(1).
//! 3. Members are reached through raw pointers, so that a list may lead back to them: several lie in a [`Members`], not in a `Box`.
//! 4. The combinator's cell is alive while a member is linked: it is detached when its last share goes, and freed after that.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::{Error, memory};

use super::cell::{Header, Node, NodeKind, NodeVTable, Raw, Ref};
use super::{Promise, Repr};

/// A combinator's cell.
pub(crate) trait Parent<T> {
    /// One of the members is resolved.
    ///
    /// # Safety
    /// `cell` is a cell of this combinator, alive, and `member` one of its members.
    unsafe fn resolved(cell: Raw, member: *const Member<T>);
}

#[repr(C)]
pub(crate) struct Member<T> {
    node: Node,
    parent: Cell<*const Header>,
    promise: Cell<Repr<T>>,
}

impl<T> Member<T> {
    pub(crate) fn new<P: Parent<T>>(promise: Promise<T>) -> Member<T> {
        let vtable =
            const { &NodeVTable { kind: NodeKind::Holding, run: run::<T, P>, drop: run_abandoned::<T> } };
        Member {
            node: Node::new(vtable),
            parent: Cell::new(std::ptr::null()),
            promise: Cell::new(promise.repr),
        }
    }

    /// Hangs the node into the list of the promise, if that is pending. Whether it was.
    ///
    /// # Safety
    /// Rules 1 and 4 hold from now on; `member` was made for the kind of `parent`.
    pub(crate) unsafe fn link(member: *const Member<T>, parent: Raw) -> bool {
        // SAFETY: the member is alive, by the caller.
        let this = unsafe { &*member };
        let Some(root) = this.root().filter(|root| root.is_pending()) else { return false };
        this.parent.set(parent.as_ptr());
        // SAFETY: rule 1.
        unsafe { root.callbacks.push_back(member.cast()) };
        true
    }

    pub(crate) fn unlink(&self) {
        self.node.links.unlink();
    }

    fn with_promise<R>(&self, f: impl FnOnce(&Promise<T>) -> R) -> R {
        let promise = Promise { repr: self.promise.replace(Repr::Taken) };
        let result = f(&promise);
        self.promise.set(promise.repr);
        result
    }

    /// The promise; from now on the member is empty.
    pub(crate) fn take(&self) -> Promise<T> {
        Promise { repr: self.promise.replace(Repr::Taken) }
    }

    /// The root of the promise's cell, if it has one.
    pub(crate) fn root(&self) -> Option<Raw> {
        self.with_promise(Promise::root)
    }

    /// The error, if the promise is rejected.
    pub(crate) fn error(&self) -> Option<Error> {
        self.with_promise(|promise| promise.peek().and_then(|result| result.err().cloned()))
    }
}

/// A list of members in one block.
pub(crate) struct Members<T> {
    members: NonNull<[Member<T>]>,
}

impl<T> Members<T> {
    pub(crate) fn new<P: Parent<T>>(promises: Vec<Promise<T>>) -> Members<T> {
        Members { members: memory::boxed_slice(promises.into_iter().map(Member::new::<P>).collect()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn pointers(&self) -> impl Iterator<Item = *const Member<T>> {
        let first = self.members.cast::<Member<T>>();
        // SAFETY: within the block.
        (0..self.members.len()).map(move |place| unsafe { first.add(place).as_ptr().cast_const() })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member<T>> {
        // SAFETY: the members live as long as `self`.
        self.pointers().map(|member| unsafe { &*member })
    }

    /// Takes all out of their promises' lists.
    pub(crate) fn unlink(&self) {
        self.iter().for_each(Member::unlink);
    }
}

impl<T> Default for Members<T> {
    fn default() -> Members<T> {
        Members { members: NonNull::slice_from_raw_parts(NonNull::dangling(), 0) }
    }
}

impl<T> Drop for Members<T> {
    fn drop(&mut self) {
        self.unlink();
        // SAFETY: the block is ours, and no list leads to it any more.
        unsafe { memory::drop_slice(self.members) };
    }
}

/// # Safety
/// `node` is that of a linked `Member<T>` whose parent is a `P`.
unsafe fn run<T, P: Parent<T>>(node: *const Node, _: Raw) {
    let member = node.cast::<Member<T>>();
    // SAFETY: the member is alive, and so is its parent: rule 4.
    if let Some(parent) = unsafe { parent_of(member) } {
        // SAFETY: by the caller.
        unsafe { P::resolved(*parent, member) };
    }
}

/// The promise's callbacks were thrown away: the member stays, resolved but not counted.
///
/// # Safety
/// `node` is that of a `Member<T>`.
unsafe fn run_abandoned<T>(_: *const Node) {}

/// # Safety
/// The member is alive.
unsafe fn parent_of<T>(member: *const Member<T>) -> Option<Ref> {
    // SAFETY: by the caller.
    let parent = NonNull::new(unsafe { (*member).parent.get() }.cast_mut())?;
    // SAFETY: rule 4.
    Some(unsafe { Raw::new(parent) }.retain())
}

impl<T> Promise<T> {
    /// The outcome of a resolved promise, or the promise back.
    #[inline]
    pub(crate) fn try_take(self) -> Result<Result<T, Error>, Promise<T>> {
        match self.repr {
            Repr::Ready(value) => Ok(Ok(value)),
            Repr::Failed(rejection) => Ok(Err(rejection.into_error())),
            Repr::Cell(handle) if !handle.is_pending() => Ok(handle.take()),
            Repr::Waiting(waiting) if !waiting.root().is_pending() => Ok(waiting.into_handle().take()),
            Repr::Taken => Promise::taken().try_take(),
            pending @ (Repr::Cell(_) | Repr::Waiting(_)) => Err(Promise { repr: pending }),
        }
    }
}
