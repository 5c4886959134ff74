//! The two ends of a cell: [`Handle`], which may take the value, and [`Owner`], which may set it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use crate::unhandled;
use crate::{Error, memory};

use super::cascade::{self, When};
use super::cell::{
    Body, HAS_VALUE, Header, Node, Phase, Raw, Ref, Route, SILENT, UNHELD, VTable, abort_nothing,
    detach_nothing, mark, move_out, peek, reject, visit_nothing,
};
use super::unify::unify;
use super::{Promise, Repr, attach, teardown};
use crate::origin::Origin;

/// A ref and a share: what a pending [`Promise`] consists of.
pub(crate) struct Handle<T> {
    cell: Raw,
    /// Invariant: `share` writes `T::clone` into the cell.
    value: PhantomData<Cell<T>>,
}

impl<T> Handle<T> {
    /// Adopts a ref and a share on a cell.
    ///
    /// # Safety
    /// The caller owns both and gives them up; `cell` starts with a `Body<T>`.
    #[inline]
    pub(crate) unsafe fn adopt(cell: Raw) -> Handle<T> {
        Handle { cell, value: PhantomData }
    }

    /// Gives the ref and the share to the caller.
    #[inline]
    pub(crate) fn into_raw(self) -> Raw {
        ManuallyDrop::new(self).cell
    }

    #[inline]
    pub(crate) fn root(&self) -> Raw {
        self.cell.root()
    }

    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.root().is_pending()
    }

    /// The root, if its value can be taken now; else a `Taking` callback will be run as soon as it can: that
    /// is so while it is pending, and while a callback in a frame further out looks at a value that cannot be
    /// cloned.
    #[inline]
    pub(crate) fn takeable_root(&self) -> Option<Raw> {
        let root = self.root();
        (!root.is_pending() && (root.shares() == 1 || shared_takeable::<T>(root))).then_some(root)
    }

    /// Whether the value is there and nobody else has a share.
    #[inline]
    pub(crate) fn is_sole(&self) -> bool {
        let root = self.root();
        !root.is_pending() && root.shares() == 1
    }

    /// The value, once resolved.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Result<&T, &Error>> {
        let root = self.root();
        // SAFETY: a handle's root starts with a `Body<T>`, and the handle is a share for as long as it is
        // borrowed.
        (!root.is_pending()).then(|| unsafe { peek(root) })
    }

    /// Takes the value of a takeable root with this handle's share.
    #[inline]
    pub(crate) fn take(self) -> Result<T, Error> {
        let root = self.root();
        // SAFETY: the ref of the handle.
        let _alive = unsafe { Ref::adopt(self.into_raw()) };
        // SAFETY: the share was the handle's; its root is resolved as the callers have seen.
        unsafe { take(root) }
    }

    /// Another handle on the same cell.
    pub(crate) fn share(&self) -> Handle<T>
    where
        T: Clone,
    {
        let root = self.root();
        // SAFETY: a handle's root starts with a `Body<T>`, and it is alive.
        unsafe { (*root.as_ptr::<Body<T>>()).clone.set(Some(T::clone)) };
        root.add_shares(1);
        // SAFETY: the ref and the share that were just counted.
        unsafe { Handle::adopt(root.retain().into_raw()) }
    }

    /// Drops the handle as that of a combinator's member which lost: if it rejects, nobody is to be told.
    pub(crate) fn drop_silently(self) {
        let root = self.root();
        if root.is_pending() {
            if root.shares() == 1 {
                root.set(SILENT);
            }
        } else if let Some(Err(error)) = self.peek() {
            error.mark_seen();
        }
    }
}

impl<T> Drop for Handle<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the ref of the handle, which lets go of it below.
        let alive = unsafe { Ref::adopt(self.cell) };
        let root = alive.root();
        if root.drop_share() == 0 {
            if !std::mem::needs_drop::<T>() && root.phase() == Phase::Fulfilled {
                root.clear(HAS_VALUE); // nothing to drop
            } else {
                teardown::last_share(root);
            }
        }
    }
}

/// Whether one of several shares of a resolved root can have the value: by a clone, or because the others
/// only look, and have done so now.
fn shared_takeable<T>(root: Raw) -> bool {
    if must_wait::<T>(root) {
        cascade::run_looking(root);
    }
    !must_wait::<T>(root)
}

/// `T::clone`, if a handle on this cell of a `T` was ever cloned.
fn clone_of<T>(root: Raw) -> Option<fn(&T) -> T> {
    // SAFETY: a cell of a `T` starts with a `Body<T>`.
    unsafe { (*root.as_ptr::<Body<T>>()).clone.get() }
}

/// Whether the value of a root of a `T` cannot be taken now: it is pending, or callbacks look at a value that
/// cannot be cloned, or are about to. A `Taking` or `Holding` node in its list is run as soon as that is
/// over.
#[inline]
pub(crate) fn must_wait<T>(root: Raw) -> bool {
    match root.phase() {
        Phase::Fulfilled => root.shares() > 1 && clone_of::<T>(root).is_none(),
        Phase::Rejected => false,
        Phase::Pending | Phase::Forwarded => true,
    }
}

/// Lets the callbacks behind `node` look first, if that is what a `Taking` or `Holding` node whose turn has
/// come has to wait for: it goes to the end of the list. Once it is over the value can be taken, at any time,
/// as nobody looks at a resolved promise through a callback in its list.
///
/// # Safety
/// `node` was taken out of the list of `root`, the resolved root of a `T`, to be run, and owns or holds a
/// share.
#[inline]
pub(crate) unsafe fn lets_look_first<T>(node: *const Node, root: Raw) -> bool {
    let has_to = root.shares() > 1 && must_wait::<T>(root) && !root.callbacks.is_empty();
    if has_to {
        // SAFETY: the node is alive until it is run or dropped, by the caller.
        unsafe { root.callbacks.push_back(node.cast()) };
    }
    has_to
}

/// Takes the value of a takeable root with one share, which the caller gives up. Does not unwind: the panic
/// of a clone function is the result.
///
/// # Safety
/// `root` is resolved, starts with a `Body<T>`, the caller keeps it alive and owns the share.
#[inline]
pub(crate) unsafe fn take<T>(root: Raw) -> Result<T, Error> {
    if root.shares() != 1 {
        // SAFETY: by the caller.
        return unsafe { take_copy(root) };
    }
    // SAFETY: the only share is the caller's, so the value is there and nobody refers to it.
    unsafe { move_out(root) }
}

/// The part of [`take`] for one share of several.
///
/// # Safety
/// As [`take`].
#[cold]
unsafe fn take_copy<T>(root: Raw) -> Result<T, Error> {
    // SAFETY: the caller's share, which is there until the clone is made.
    let result = match (unsafe { peek::<T>(root) }, clone_of::<T>(root)) {
        (Ok(value), Some(clone)) => attach::caught_result(|| Ok(clone(value))),
        (Ok(_), None) => Err(Error::abandoned()), // not reached: it is takeable
        (Err(error), _) => Err(error.clone()),
    };
    if root.drop_share() == 0 {
        cascade::guarded(|| teardown::last_share(root)); // the others went meanwhile
    }
    result
}

/// Gives a share up when it is dropped.
pub(crate) struct ShareGuard(pub(crate) Raw);

impl Drop for ShareGuard {
    fn drop(&mut self) {
        if self.0.drop_share() == 0 {
            teardown::last_share(self.0);
        }
    }
}

/// The end that resolves a cell: one ref.
pub(crate) struct Owner<T> {
    cell: Ref,
    /// Invariant: a resolver of a longer-lived type must not pass for one of a shorter-lived.
    value: PhantomData<Cell<T>>,
}

impl<T> Owner<T> {
    /// Adopts a ref on a cell.
    ///
    /// # Safety
    /// The caller owns the ref and gives it up; `cell` starts with a `Body<T>`.
    #[inline]
    pub(crate) unsafe fn adopt(cell: Raw) -> Owner<T> {
        // SAFETY: the caller gives the ref up.
        Owner { cell: unsafe { Ref::adopt(cell) }, value: PhantomData }
    }

    #[inline]
    pub(crate) fn root(&self) -> Raw {
        self.cell.root()
    }

    /// From now on the cell waits on nothing.
    #[inline]
    pub(crate) fn cut_route(&self) {
        // The route of a forwarded cell has moved to its root.
        let root = self.root();
        if root.is_pending() {
            root.set_route(Route::Fixed);
            drop(root.take_link());
        }
    }

    /// Resolves the promise; no effect, and the result back, when it was resolved already (cancelled).
    #[inline]
    pub(crate) fn resolve(&self, result: Result<T, Error>, when: When) -> Result<(), Result<T, Error>> {
        let root = self.root();
        if !root.is_pending() {
            return Err(result);
        }
        // SAFETY: the root is pending, starts with a `Body<T>`, and is kept alive by the owner's ref.
        unsafe { cascade::resolve(root, result, when) };
        Ok(())
    }

    /// Passes on the outcome of a promise. If this one is resolved already (cancelled), the value is dropped,
    /// and of an error the hook is told, as nobody else will answer for it.
    pub(crate) fn pass_on(&self, result: Result<T, Error>) {
        if let Err(Err(error)) = self.resolve(result, When::Now) {
            unhandled::report_unseen(&error);
        }
    }

    /// Makes the promise whatever `promise` is or becomes.
    pub(crate) fn settle(&self, promise: Promise<T>) {
        let result = match promise.repr {
            Repr::Ready(value) => Ok(value),
            Repr::Failed(rejection) => Err(rejection.into_error()),
            Repr::Taken => Err(Error::abandoned()),
            Repr::Cell(handle) => return self.settle_cell(handle),
            Repr::Waiting(waiting) => return self.settle_cell(waiting.into_handle()),
        };
        self.pass_on(result);
    }

    /// As [`settle`](Owner::settle), but what is resolved has its callbacks still to run, and is given back
    /// for that.
    #[inline]
    pub(crate) fn settle_for_later(self, promise: Promise<T>) -> Option<Ref> {
        let result = match promise.repr {
            Repr::Ready(value) => Ok(value),
            Repr::Failed(rejection) => Err(rejection.into_error()),
            _ => {
                self.settle(promise);
                return None;
            }
        };
        let root = self.root();
        if !root.is_pending() {
            self.pass_on(result);
            return None;
        }
        // SAFETY: the root is pending, starts with a `Body<T>`, and is kept alive by the owner's ref.
        unsafe { mark(root, result) };
        cascade::finish(root).then(|| if root == *self.cell { self.cell } else { root.retain() })
    }

    fn settle_cell(&self, inner: Handle<T>) {
        let (root, inner_root) = (self.root(), inner.root());
        if !root.is_pending() {
            // Cancelled meanwhile.
        } else if root == inner_root {
            let _ = self.resolve(Err(Error::abandoned()), When::Now);
        } else if inner_root.is_pending() {
            unify(root, inner);
        } else if inner.takeable_root().is_some() {
            self.pass_on(inner.take());
        } else {
            // Not with `root`, which may have been unified meanwhile.
            self.settle_cell(attach::passed_on(inner));
        }
    }
}

/// A cell that its resolver resolves: that of `wait` and `task`.
pub(crate) fn plain_cell<T: 'static>(route: Route, origin: Origin) -> (Handle<T>, Owner<T>) {
    let block = memory::boxed(Body::<T>::new(Header::new(plain_vtable::<T>(), 2, 1, route, origin)));
    // SAFETY: a fresh cell; one of its two refs and its share are the handle's, the other ref is the owner's.
    unsafe {
        let cell = Raw::new(block);
        enlist(cell);
        (Handle::adopt(cell), Owner::adopt(cell))
    }
}

/// Adds a fresh cell to the registry of pending promises.
#[inline(always)]
pub(crate) fn enlist(cell: Raw) {
    #[cfg(feature = "registry")]
    crate::registry::enlist(cell);
    #[cfg(not(feature = "registry"))]
    let _ = cell;
}

fn plain_vtable<T>() -> &'static VTable {
    const {
        &VTable {
            dealloc: dealloc_as::<Body<T>>,
            reject: reject::<T>,
            expire: expire::<T>,
            visit: visit_nothing,
            detach: detach_nothing,
            runs: false,
            abort: abort_nothing,
        }
    }
}

/// [`VTable::dealloc`] of a cell whose block is a `V`: drops its fields, none of which is the slot's value.
pub(crate) unsafe fn dealloc_as<V>(cell: Raw) {
    let block = cell.block::<V>();
    // SAFETY: no ref is left, so the block is ours; the slot is a union and drops nothing.
    unsafe { std::ptr::drop_in_place(block.as_ptr()) };
    // SAFETY: the block came from `memory::boxed` as a `V`.
    unsafe { memory::free(block) };
}

/// [`VTable::expire`] of every cell with a `Body<T>`.
pub(crate) unsafe fn expire<T>(root: Raw) {
    let silent = root.has(SILENT);
    // SAFETY: the root is resolved, has its value, and no share is left that refers to it.
    match unsafe { move_out::<T>(root) } {
        Ok(value) => drop(value),
        // A promise that nobody holds may well be abandoned; whatever else goes wrong is told.
        Err(error) => {
            let nobody_cares = silent || (error.is_abandoned() && root.has(UNHELD));
            if !nobody_cares {
                unhandled::report_unseen(&error);
            }
        }
    }
}
