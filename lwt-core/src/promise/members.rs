//! The members of a combinator: promises that it holds, each with a node in that promise's list of callbacks.
//!
//! 1. A member does not move while its node is linked, and is unlinked before its memory goes.
//! 2. Unlinking a member leaves nothing behind on its promise, in O(1).
//! 3. Members are reached through raw pointers, so that a list may lead back to them: several lie in a
//!    [`Members`], not in a `Box`.
//! 4. The combinator's cell is alive while a member is linked: it is detached when its last share goes, and
//!    freed after that.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::{Error, memory};

use super::cascade::{self, When};
use super::cell::{Header, Node, NodeKind, NodeVTable, Raw, Ref};
use super::handle::{lets_look_first, must_wait};
use super::{Promise, Repr};

/// A combinator's cell.
pub(crate) trait Parent<T> {
    /// One of the members is resolved, and its value can be taken, now and later.
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

    /// Hangs the node into the list of the promise, if it has to wait for that. Whether it has.
    ///
    /// # Safety
    /// Rules 1 and 4 hold from now on; `parent` is a `P`.
    pub(crate) unsafe fn link<P: Parent<T>>(member: *const Member<T>, parent: Raw) -> bool {
        // SAFETY: the member is alive, by the caller.
        let this = unsafe { &*member };
        let Some(root) = this.root().filter(|root| must_wait::<T>(*root)) else { return false };
        this.parent.set(parent.as_ptr());
        let vtable = const { &NodeVTable { kind: NodeKind::Holding, run: run::<T, P>, drop: abandon::<T> } };
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

    /// Runs the callbacks that look at the value, if that is what keeps it from being taken.
    pub(crate) fn run_looking(&self) {
        if let Some(root) = self.root()
            && !root.is_pending()
            && must_wait::<T>(root)
        {
            let _alive = root.retain();
            cascade::run_looking(root);
        }
    }

    /// Whether the outcome is not there yet, or cannot be taken yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.root().is_some_and(must_wait::<T>)
    }

    /// Whether the outcome is there, and a rejection (false) or a value (true).
    pub(crate) fn is_fulfilled(&self) -> Option<bool> {
        if self.is_pending() {
            return None;
        }
        self.look(|promise| promise.peek().map(|result| result.is_ok()))
    }

    /// The error, if the promise is rejected.
    pub(crate) fn error(&self) -> Option<Error> {
        self.look(|promise| promise.peek().and_then(|result| result.err().cloned()))
    }
}

/// A list of members in one block, behind their number and the room for them. One word, so that it moves
/// through a register: three words that were just written one by one, and are moved as a vector, make the
/// processor wait for its stores.
pub(crate) struct Members<T> {
    block: Option<NonNull<Place<T>>>,
}

/// How much room is made for what an iterator only announces.
const MOST_TRUSTED: usize = 1 << 16;

/// A unit of the block: the first is the head, the others have a member each.
union Place<T> {
    head: Head,
    #[expect(dead_code, reason = "gives the unit its size; members are reached by `Members::at`")]
    member: ManuallyDrop<Member<T>>,
}

#[derive(Clone, Copy)]
struct Head {
    len: usize,
    capacity: usize,
}

impl<T> Members<T> {
    /// Makes members of `promises`.
    #[inline(always)]
    pub(crate) fn collect(promises: impl IntoIterator<Item = Promise<T>>) -> Members<T> {
        let promises = promises.into_iter();
        let mut members = Members::default();
        // A hint is only a hint, and may be anything.
        members.grow_to(promises.size_hint().0.min(MOST_TRUSTED));
        for promise in promises {
            let Head { len, capacity } = members.head();
            if len == capacity {
                members.grow_to((capacity * 2).max(4));
            }
            // SAFETY: there is room for one more.
            unsafe { members.at(len).write(Member::new(promise)) };
            members.set_len(len + 1);
        }
        members
    }

    #[inline]
    fn head(&self) -> Head {
        // SAFETY: a block starts with its head.
        self.block.map_or(Head { len: 0, capacity: 0 }, |block| unsafe { block.as_ref().head })
    }

    fn set_len(&mut self, len: usize) {
        if let Some(mut block) = self.block {
            // SAFETY: a block starts with its head.
            unsafe { block.as_mut().head.len = len };
        }
    }

    /// Where the member of this place is.
    ///
    /// # Safety
    /// There is a block, and it has that place.
    #[inline]
    unsafe fn at(&self, place: usize) -> *mut Member<T> {
        // SAFETY: by the caller.
        unsafe { self.block.unwrap_unchecked().add(place + 1).as_ptr().cast() }
    }

    /// Moves the members, which are not linked yet, into a larger block.
    fn grow_to(&mut self, capacity: usize) {
        let old = self.head();
        if capacity <= old.capacity {
            return;
        }
        let block = memory::array::<Place<T>>(capacity.saturating_add(1));
        // SAFETY: the new block has room for the members, which are in the old one, and starts with its head.
        unsafe {
            if let Some(from) = self.block {
                block.add(1).copy_from_nonoverlapping(from.add(1), old.len);
            }
            block.write(Place { head: Head { len: old.len, capacity } });
        }
        let from = self.block.replace(block);
        if let Some(from) = from {
            // SAFETY: the old block is empty now.
            unsafe { memory::free_array(from, old.capacity + 1) };
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.head().len
    }

    pub(crate) fn pointers(&self) -> impl Iterator<Item = *const Member<T>> + use<T> {
        let view = Members { block: self.block };
        let view = ManuallyDrop::new(view);
        // SAFETY: within the block.
        (0..self.len()).map(move |place| unsafe { view.at(place) }.cast_const())
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
        let head = self.block.map_or(0, |block| block.addr().get());
        (member.addr() - head) / size_of::<Place<T>>() - 1
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Member<T>> {
        // SAFETY: within the block; the member lives as long as `self`.
        (place < self.len()).then(|| unsafe { &*self.at(place) })
    }

    /// Gives all promises that are left to `f`, whose panics go to the hook. The members are unlinked.
    pub(crate) fn for_each_left(mut self, mut f: impl FnMut(Promise<T>)) {
        // SAFETY: each member is taken this one time.
        self.take_each(|member| f(unsafe { member.read() }.promise.into_inner()));
    }

    /// Empties the block by `take`, which is called for each member, and takes it out or drops it. After a
    /// panic it goes on with the next.
    fn take_each(&mut self, mut take: impl FnMut(*mut Member<T>)) {
        let len = self.len();
        self.set_len(0);
        let mut place = 0;
        while place < len {
            cascade::guarded(|| {
                while place < len {
                    // SAFETY: within the block.
                    let member = unsafe { self.at(place) };
                    place += 1;
                    take(member);
                }
            });
        }
    }
}

impl<T> Default for Members<T> {
    fn default() -> Members<T> {
        Members { block: None }
    }
}

impl<T> Drop for Members<T> {
    #[inline]
    fn drop(&mut self) {
        let Some(block) = self.block else { return };
        let Head { len, capacity } = self.head();
        const { assert!(size_of::<Place<T>>() == size_of::<Member<T>>()) };
        if len > 0 {
            self.unlink();
            // SAFETY: the members are ours, no list leads to them any more, each is dropped this one time.
            self.take_each(|member| unsafe { member.drop_in_place() });
        }
        // SAFETY: the members are dropped.
        unsafe { memory::free_array(block, capacity + 1) };
    }
}

/// # Safety
/// `node` is that of a linked `Member<T>` whose parent is a `P`.
unsafe fn run<T, P: Parent<T>>(node: *const Node, root: Raw) -> Option<Ref> {
    // SAFETY: the node's turn, and its member holds a share; `root` is the root of a `T`.
    if unsafe { lets_look_first::<T>(node, root) } {
        return None;
    }
    let member = node.cast::<Member<T>>();
    // SAFETY: the member is alive, and so is its parent: rule 4.
    if let Some(parent) = unsafe { parent_of(member) } {
        // SAFETY: by the caller.
        unsafe { P::resolved(*parent, member) };
    }
    None
}

/// The promise's callbacks were thrown away: the member stays, resolved but not counted.
///
/// What a node has before it is linked.
static UNLINKED: NodeVTable = NodeVTable { kind: NodeKind::Holding, run: run_unlinked, drop: drop_unlinked };

/// # Safety
/// None: nothing is done.
unsafe fn run_unlinked(_: *const Node, _: Raw) -> Option<Ref> {
    None
}

/// # Safety
/// None: nothing is done.
unsafe fn drop_unlinked(_: *const Node) {}

/// The promise's callbacks are thrown away: the combinator would wait for ever.
///
/// # Safety
/// `node` is that of a linked `Member<T>`.
unsafe fn abandon<T>(node: *const Node) {
    // SAFETY: the member is alive, and so is its parent: rule 4.
    let Some(parent) = (unsafe { parent_of(node.cast::<Member<T>>()) }) else { return };
    let root = parent.root();
    if root.is_pending() {
        // SAFETY: a pending root, and its own vtable.
        unsafe { (root.vtable.reject)(root, Error::abandoned()) };
        cascade::complete(root, When::NextTurn);
    }
}

/// # Safety
/// The member is alive.
unsafe fn parent_of<T>(member: *const Member<T>) -> Option<Ref> {
    // SAFETY: by the caller.
    let parent = NonNull::new(unsafe { (*member).parent.get() }.cast_mut())?;
    // SAFETY: rule 4.
    Some(unsafe { Raw::new(parent) }.retain())
}

impl<T> Promise<T> {
    /// The outcome of a promise that can be taken, or the promise back.
    #[inline]
    pub(crate) fn try_take(self) -> Result<Result<T, Error>, Promise<T>> {
        match self.repr {
            Repr::Ready(value) => Ok(Ok(value)),
            Repr::Failed(rejection) => Ok(Err(rejection.into_error())),
            Repr::Cell(handle) if handle.takeable_root().is_some() => Ok(handle.take()),
            Repr::Waiting(waiting) if waiting.is_takeable() => Ok(waiting.into_handle().take()),
            Repr::Taken => Promise::taken().try_take(),
            pending @ (Repr::Cell(_) | Repr::Waiting(_)) => Err(Promise { repr: pending }),
        }
    }
}
