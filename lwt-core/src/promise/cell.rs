//! The cell behind a promise that was ever pending: its layout, its counts, and the way to its root.
//!
//! A cell is one block: [`Header`], clone function, value slot ([`Body`]), and behind them whatever makes it
//! be resolved (a callback, a future, the members of a combinator). It is reached by [`Raw`] pointers.
//!
//! ```text
//!              mark                 the last share takes or drops the value
//!  Pending ───────────► Fulfilled ─────────────────────────────────────────► (no value)
//!     │  └────────────► Rejected
//!     └─ unify ───────► Forwarded ──link──► another cell, its root being the state of both
//! ```
//!
//! 1. `refs` counts who may reach the cell's memory: handles, its resolving end, links and queues. At zero it
//!    is freed.
//! 2. `shares` counts who may still want its value: handles, and callbacks that were attached through one.
//!    The value is there as long as a resolved root has shares; the last share moves it out or drops it,
//!    earlier ones call the clone function, which `Promise::clone` has set. A cell without one has a single
//!    handle, so that the other shares can only be callbacks that get a reference; these are run first (see
//!    `take`).
//! 3. Only a root has shares, callbacks and a route. `unify` moves them from the forwarded cell to the other.
//! 4. `link` owns a ref where it is not null and not the cell itself. It is the target of a forwarded cell,
//!    the cell that a pending one waits on ([`Route::Via`]) or whose members it waits on ([`Route::Source`]),
//!    and the next cell in the queue of deferred cascades for a resolved one.
//! 5. A pending root is kept alive by what will resolve it; if that goes away it is resolved by that
//!    (`Abandoned`). The exception are combinators that nobody wants any more: they let go of their members
//!    and are freed pending.
//! 6. State is written by [`mark`] and `unify` alone. Neither runs user code.
//! 7. A chain of forwarded cells is compressed when it is followed, and released iteratively.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::process::abort;
use std::ptr::{self, NonNull};

use crate::Error;
use crate::links::{Links, List};
use crate::origin::Origin;

use super::cancel::Visitor;
use super::teardown;
pub(crate) use super::word::{CANCELED, HAS_EARLY, HAS_VALUE, Phase, Route, SILENT, UNHELD, VISITED, Word};

/// What depends on the type of a cell.
pub(crate) struct VTable {
    /// Frees a cell without refs: drops what is left in it except `link`.
    pub(crate) dealloc: unsafe fn(Raw),
    /// Writes a rejection into a pending cell (see [`mark`]).
    pub(crate) reject: unsafe fn(Raw, Error),
    /// Drops the value of a resolved cell without shares, or tells the hook of the rejection.
    pub(crate) expire: unsafe fn(Raw),
    /// A source's answer to a cancel: adds to the walk what it waits on.
    pub(crate) visit: unsafe fn(Raw, &mut dyn Visitor),
    /// A source is resolved, or nobody wants it any more: lets go of what it waits on, unless that is none of
    /// its sources but its own work (false). May be called again.
    pub(crate) detach: unsafe fn(Raw) -> bool,
    /// Whether a source runs something that can be aborted: a task.
    pub(crate) runs: bool,
    /// Drops what a source runs, at once, and rejects its root with the error.
    pub(crate) abort: unsafe fn(Raw, Error),
}

pub(crate) unsafe fn visit_nothing(_: Raw, _: &mut dyn Visitor) {}
pub(crate) unsafe fn detach_nothing(_: Raw) -> bool {
    false
}
pub(crate) unsafe fn abort_nothing(_: Raw, _: Error) {}

/// The part of a cell that does not depend on its type. It is the cell's [`Word`] to whoever asks for counts
/// and state.
pub(crate) struct Header {
    word: Word,
    pub(crate) vtable: &'static VTable,
    pub(crate) callbacks: List,
    pub(crate) link: Cell<*const Header>,
    #[cfg(feature = "registry")]
    pub(crate) record: crate::registry::Record,
}

impl Header {
    pub(crate) fn new(
        vtable: &'static VTable,
        refs: u32,
        shares: u32,
        route: Route,
        origin: Origin,
    ) -> Header {
        let _ = origin;
        Header {
            word: Word::new(refs, shares, route),
            vtable,
            callbacks: List::new(),
            link: Cell::new(ptr::null()),
            #[cfg(feature = "registry")]
            record: crate::registry::Record::new(origin),
        }
    }

    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.phase() == Phase::Pending
    }
}

impl Deref for Header {
    type Target = Word;

    #[inline]
    fn deref(&self) -> &Word {
        &self.word
    }
}

/// A pointer to a cell that is alive.
///
/// It carries the provenance of the whole block, so that the cell's kind finds its own part behind the
/// header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw(NonNull<Header>);

impl Deref for Raw {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: a `Raw` is used only while the cell is alive, as its constructor's caller has promised.
        unsafe { self.0.as_ref() }
    }
}

impl Raw {
    /// # Safety
    /// `block` starts with the [`Header`] of a cell (`repr(C)`) and the `Raw` and its copies are used only
    /// while somebody holds a ref on the cell, on its own thread.
    #[inline]
    pub(crate) unsafe fn new<V>(block: NonNull<V>) -> Raw {
        Raw(block.cast())
    }

    #[inline]
    pub(crate) fn as_ptr<V>(self) -> *const V {
        self.0.as_ptr().cast()
    }

    /// The block that starts with this cell.
    #[inline]
    pub(crate) fn block<V>(self) -> NonNull<V> {
        self.0.cast()
    }

    /// The cell that `link` names, if any.
    #[inline]
    pub(crate) fn linked(self) -> Option<Raw> {
        // SAFETY: rule 4: what `link` names is alive.
        NonNull::new(self.link.get().cast_mut()).map(Raw)
    }

    /// Makes `link` name `target`; the ref moves into the link.
    #[inline]
    pub(crate) fn set_link(self, target: Option<Raw>) {
        self.link.set(target.map_or(ptr::null(), |target| target.0.as_ptr()));
    }

    /// Takes the link out, and with it the ref that it owned (none where it names the cell itself).
    #[inline]
    pub(crate) fn take_link(self) -> Option<Ref> {
        let linked = self.linked()?;
        self.link.set(ptr::null());
        (linked != self).then(|| Ref(linked))
    }

    /// Counts one more ref and gives it to the caller.
    #[inline]
    pub(crate) fn retain(self) -> Ref {
        self.add_ref();
        Ref(self)
    }

    /// The cell whose state is this cell's state: itself unless it is forwarded.
    #[inline]
    pub(crate) fn root(self) -> Raw {
        if self.phase() == Phase::Forwarded { self.forwarded_root() } else { self }
    }

    fn forwarded_root(self) -> Raw {
        let mut root = self;
        while root.phase() == Phase::Forwarded {
            match root.linked() {
                Some(next) => root = next,
                None => abort(), // a forwarded cell has a link: see `unify`
            }
        }
        // Second pass: everybody on the way points to the root itself from now on.
        let mut at = self;
        let mut held = None;
        while let Some(next) = at.linked()
            && next != root
        {
            at.set_link(Some(root.retain().into_raw()));
            // Held until its own link is changed: it may be the last ref, and freeing it must not recurse.
            held = Some(Ref(next));
            at = next;
        }
        drop(held);
        root
    }
}

/// One ref on a cell.
pub(crate) struct Ref(Raw);

impl Ref {
    /// Adopts a ref that the caller owns.
    ///
    /// # Safety
    /// The caller owns a ref on `cell` and gives it up.
    #[inline]
    pub(crate) unsafe fn adopt(cell: Raw) -> Ref {
        Ref(cell)
    }

    /// Gives the ref to the caller, to be adopted again.
    #[inline]
    pub(crate) fn into_raw(self) -> Raw {
        ManuallyDrop::new(self).0
    }

    /// Gives the ref up without freeing the cell: whoever gets it back owns a cell without refs.
    pub(crate) fn release_quietly(self) -> Option<Raw> {
        let cell = self.into_raw();
        (cell.drop_ref() == 0).then_some(cell)
    }
}

impl Deref for Ref {
    type Target = Raw;

    #[inline]
    fn deref(&self) -> &Raw {
        &self.0
    }
}

impl Drop for Ref {
    #[inline]
    fn drop(&mut self) {
        if self.0.drop_ref() == 0 {
            teardown::free(self.0);
        }
    }
}

/// A value or an error; which one is there, if any, the header knows (`phase` and [`HAS_VALUE`]).
union Slot<T> {
    empty: (),
    value: ManuallyDrop<T>,
    error: ManuallyDrop<Error>,
}

pub(crate) type CloneFn<T> = Option<fn(&T) -> T>;

/// The part of a cell that depends on the type of its value.
#[repr(C)]
pub(crate) struct Body<T> {
    pub(crate) header: Header,
    /// `T::clone`, once a handle was cloned.
    pub(crate) clone: Cell<CloneFn<T>>,
    slot: UnsafeCell<Slot<T>>,
}

impl<T> Body<T> {
    pub(crate) fn new(header: Header) -> Body<T> {
        Body { header, clone: Cell::new(None), slot: UnsafeCell::new(Slot { empty: () }) }
    }
}

/// Stores the result in a pending root. Runs no user code; `complete` follows.
///
/// # Safety
/// `cell` is a pending root that starts with a `Body<T>`.
#[inline]
pub(crate) unsafe fn mark<T>(cell: Raw, result: Result<T, Error>) {
    let body = cell.as_ptr::<Body<T>>();
    // SAFETY: a pending cell's slot is empty, and nobody has a reference into it.
    let slot = unsafe { &mut *(*body).slot.get() };
    match result {
        Ok(value) => {
            slot.value = ManuallyDrop::new(value);
            cell.set_resolved(Phase::Fulfilled);
        }
        Err(error) => {
            if error.is_canceled() {
                cell.set(CANCELED);
            }
            slot.error = ManuallyDrop::new(error);
            cell.set_resolved(Phase::Rejected);
        }
    }
}

/// [`VTable::reject`] of every cell with a `Body<T>`.
pub(crate) unsafe fn reject<T>(cell: Raw, error: Error) {
    // SAFETY: the caller keeps `mark`'s contract.
    unsafe { mark::<T>(cell, Err(error)) }
}

/// Moves the value out of a resolved root, which has no shares from now on.
///
/// # Safety
/// `cell` is a resolved root that starts with a `Body<T>`, has its value, and nobody has a reference to it.
#[inline]
pub(crate) unsafe fn move_out<T>(cell: Raw) -> Result<T, Error> {
    cell.clear_shares_and_value();
    // SAFETY: the slot is filled, as the caller says, and is read this one time: the flag is clear now.
    let slot = unsafe { (*cell.as_ptr::<Body<T>>()).slot.get().read() };
    if cell.phase() == Phase::Fulfilled {
        // SAFETY: a fulfilled cell's slot has a value.
        Ok(ManuallyDrop::into_inner(unsafe { slot.value }))
    } else {
        // SAFETY: a rejected cell's slot has an error.
        Err(ManuallyDrop::into_inner(unsafe { slot.error }))
    }
}

/// Looks at the value of a resolved root.
///
/// # Safety
/// `cell` is a resolved root that starts with a `Body<T>`, and the caller has a share on it for as long as it
/// uses the reference.
#[inline]
pub(crate) unsafe fn peek<'a, T>(cell: Raw) -> Result<&'a T, &'a Error> {
    // SAFETY: a resolved root with shares has its value (rule 2), which is not moved while the caller has
    // his.
    let slot = unsafe { &*(*cell.as_ptr::<Body<T>>()).slot.get() };
    if cell.phase() == Phase::Fulfilled {
        // SAFETY: a fulfilled cell's slot has a value.
        Ok(unsafe { &slot.value })
    } else {
        // SAFETY: a rejected cell's slot has an error.
        Err(unsafe { &slot.error })
    }
}

/// A callback in a cell's list.
#[repr(C)]
pub(crate) struct Node {
    pub(crate) links: Links,
    pub(crate) vtable: Cell<&'static NodeVTable>,
}

/// When a callback runs, and what it does with its share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NodeKind {
    /// Takes the value: its share came with it.
    Taking,
    /// Works on a handle that it holds, and so has no share of its own.
    Holding,
    /// As [`Holding`](NodeKind::Holding), and does nothing but put a task of ours into the run queue.
    Waking,
    /// Gets a reference to the value: it has a share for that.
    Looking,
    /// Runs first, if the rejection is a cancel; has no share. Otherwise it is dropped.
    OnCancel,
    /// As [`OnCancel`](NodeKind::OnCancel), and also when the last share goes while the promise is pending.
    OnUnwanted,
}

pub(crate) struct NodeVTable {
    pub(crate) kind: NodeKind,
    /// Runs the callback of an unlinked node for the resolved root and frees the node. What that has resolved
    /// at its very end, and whose callbacks are still to be run, is given back: so a chain of callbacks is a
    /// loop.
    pub(crate) run: unsafe fn(*const Node, Raw) -> Option<Ref>,
    /// Frees an unlinked node whose cell goes away, or which has nothing to do.
    pub(crate) drop: unsafe fn(*const Node),
}

impl Node {
    pub(crate) const fn new(vtable: &'static NodeVTable) -> Node {
        Node { links: Links::new(), vtable: Cell::new(vtable) }
    }
}
