//! The members of a combinator: promises that it holds, each with a node in that promise's list of callbacks.
//!
//! 1. A member does not move while its node is linked, and is unlinked before its memory goes.
//! 2. Unlinking a member leaves nothing behind on its promise, in O(1).
//! 3. Members are reached through raw pointers, so that a list may lead back to them: several lie in a
//!    [`Members`], not in a `Box`.
//! 4. The combinator's cell is alive while a member is linked: it is detached when its last share goes, and
//!    freed after that.

use std::cell::{Cell, UnsafeCell};
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
    promise: UnsafeCell<Promise<T>>,
}

impl<T> Member<T> {
    pub(crate) fn new(promise: Promise<T>) -> Member<T> {
        Member {
            node: Node::new(&UNLINKED),
            parent: Cell::new(std::ptr::null()),
            promise: UnsafeCell::new(promise),
        }
    }

    /// Hangs the node into the list of the promise, if that is pending. Whether it was.
    ///
    /// # Safety
    /// Rules 1 and 4 hold from now on; `parent` is a `P`.
    pub(crate) unsafe fn link<P: Parent<T>>(member: *const Member<T>, parent: Raw) -> bool {
        // SAFETY: the member is alive, by the caller.
        let this = unsafe { &*member };
        let Some(root) = this.root().filter(|root| root.is_pending()) else { return false };
        this.parent.set(parent.as_ptr());
        let vtable = const { &NodeVTable { kind: NodeKind::Holding, run: run::<T, P>, drop: run_abandoned } };
        this.node.vtable.set(vtable);
        // SAFETY: rule 1.
        unsafe { root.callbacks.push_back(member.cast()) };
        true
    }

    pub(crate) fn unlink(&self) {
        self.node.links.unlink();
    }

    /// A look at the promise by `f`, which runs no user code.
    fn look<R>(&self, f: impl FnOnce(&Promise<T>) -> R) -> R {
        // SAFETY: nobody takes the promise while `f` looks at it.
        f(unsafe { &*self.promise.get() })
    }

    /// The promise; from now on the member is empty.
    pub(crate) fn take(&self) -> Promise<T> {
        // SAFETY: no look is in progress: none runs user code.
        unsafe { self.promise.get().replace(Promise { repr: Repr::Taken }) }
    }

    /// The root of the promise's cell, if it has one.
    pub(crate) fn root(&self) -> Option<Raw> {
        self.look(Promise::root)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.look(Promise::is_pending)
    }

    /// Whether the promise is there and rejected (false) or fulfilled (true).
    pub(crate) fn is_fulfilled(&self) -> Option<bool> {
        self.look(|promise| promise.peek().map(|result| result.is_ok()))
    }

    /// The error, if the promise is rejected.
    pub(crate) fn error(&self) -> Option<Error> {
        self.look(|promise| promise.peek().and_then(|result| result.err().cloned()))
    }
}

/// A list of members in one block.
pub(crate) struct Members<T> {
    first: NonNull<Member<T>>,
    len: usize,
    capacity: usize,
}

impl<T> Members<T> {
    /// Makes members of `promises`.
    pub(crate) fn collect(promises: impl IntoIterator<Item = Promise<T>>) -> Members<T> {
        let promises = promises.into_iter();
        let mut members = Members::default();
        members.grow_to(promises.size_hint().0);
        for promise in promises {
            if members.len == members.capacity {
                members.grow_to((members.capacity * 2).max(4));
            }
            // SAFETY: there is room for one more.
            unsafe { members.first.add(members.len).write(Member::new(promise)) };
            members.len += 1;
        }
        members
    }

    /// Moves the members, which are not linked yet, into a larger block.
    fn grow_to(&mut self, capacity: usize) {
        let first = memory::array(capacity);
        // SAFETY: the new block has room for the members, which are in the old one.
        unsafe { first.copy_from_nonoverlapping(self.first, self.len) };
        // SAFETY: the old block is empty now.
        unsafe { memory::free_array(self.first, self.capacity) };
        (self.first, self.capacity) = (first, capacity);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn pointers(&self) -> impl Iterator<Item = *const Member<T>> + use<T> {
        let first = self.first;
        // SAFETY: within the block.
        (0..self.len).map(move |place| unsafe { first.add(place) }.as_ptr().cast_const())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member<T>> {
        // SAFETY: the members live as long as `self`.
        self.pointers().map(|member| unsafe { &*member })
    }

    /// Takes all out of their promises' lists.
    pub(crate) fn unlink(&self) {
        self.iter().for_each(Member::unlink);
    }

    /// The place of a member.
    pub(crate) fn place_of(&self, member: *const Member<T>) -> usize {
        (member.addr() - self.first.addr().get()) / size_of::<Member<T>>()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Member<T>> {
        // SAFETY: within the block; the member lives as long as `self`.
        (place < self.len).then(|| unsafe { self.first.add(place).as_ref() })
    }

    /// Gives all promises that are left to `f`. The members are unlinked.
    pub(crate) fn for_each_left(mut self, mut f: impl FnMut(Promise<T>)) {
        // Rather leak the rest than drop twice, if `f` panics.
        let len = std::mem::take(&mut self.len);
        for place in 0..len {
            // SAFETY: within the block; each member is taken once.
            let member = unsafe { self.first.add(place).read() };
            f(member.promise.into_inner());
        }
    }
}

impl<T> Default for Members<T> {
    fn default() -> Members<T> {
        Members { first: NonNull::dangling(), len: 0, capacity: 0 }
    }
}

impl<T> Drop for Members<T> {
    #[inline]
    fn drop(&mut self) {
        if self.capacity == 0 {
            return;
        }
        /// Frees the block also if a promise's drop panics.
        struct Block<T>(NonNull<Member<T>>, usize);
        impl<T> Drop for Block<T> {
            fn drop(&mut self) {
                // SAFETY: the members are dropped, and no list leads to them any more.
                unsafe { memory::free_array(self.0, self.1) };
            }
        }
        self.unlink();
        let _block = Block(self.first, self.capacity);
        // SAFETY: the members are ours, and no list leads to them any more.
        unsafe { NonNull::slice_from_raw_parts(self.first, self.len).drop_in_place() };
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
/// What a node has before it is linked.
static UNLINKED: NodeVTable = NodeVTable { kind: NodeKind::Holding, run: run_unlinked, drop: run_abandoned };

/// # Safety
/// None: nothing is done.
unsafe fn run_unlinked(_: *const Node, _: Raw) {}

/// # Safety
/// None: nothing is done.
unsafe fn run_abandoned(_: *const Node) {}

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
