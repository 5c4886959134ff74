//! Cancellation: a walk backwards from a promise to the leaves that it waits on.
//!
//! 1. The walk follows [`Route`]s: through `bind` and its like to what they wait on now, through combinators
//!    to every member, into a suspended task to what it awaits. It ends at promises that a cancel cannot
//!    touch (`wait`, `no_cancel`) and at leaves.
//! 2. First all leaves are marked rejected, each once even if there are several ways to it, and cycles end;
//!    then their callbacks run, in the order in which a depth-first walk from left to right met them. The
//!    first phase runs no user code.
//! 3. A cell that the walk has passed has the flag [`VISITED`], which is gone before the second phase.

use std::fmt;

use crate::Error;

use super::cascade::{self, When};
use super::cell::{Raw, Ref, Route, VISITED};
use super::{Promise, Repr, section, teardown};

/// What a leaf does in the second phase.
enum Leaf {
    /// Was marked; its callbacks are to be run.
    Marked(Ref),
    /// A source that is to drop what it runs and be rejected.
    Abort(Ref),
}

/// Whoever asks a source what it waits on ([`VTable::visit`](super::cell::VTable)): a cancel, or the
/// registry.
pub(crate) trait Visitor {
    /// The source waits on `cells`, in this order.
    fn waits_on(&mut self, cells: &mut dyn Iterator<Item = Raw>);
    /// The source takes the cancel itself: its pending root `cell` is rejected.
    fn takes(&mut self, cell: Raw);
    /// The source runs something that is to be dropped, and then its root is rejected.
    fn drops(&mut self, source: Raw);
    /// The source takes note of the cancel, to deliver it later. Whether it is to.
    fn notes(&mut self) -> bool;
}

/// A cancel under way.
struct Walk {
    error: Error,
    stack: Vec<Raw>,
    visited: Vec<Raw>,
    leaves: Vec<Leaf>,
    noted: bool,
}

impl Visitor for Walk {
    fn waits_on(&mut self, cells: &mut dyn Iterator<Item = Raw>) {
        let before = self.stack.len();
        self.stack.extend(cells);
        self.stack[before..].reverse();
    }

    fn takes(&mut self, cell: Raw) {
        // SAFETY: `cell` is a pending root, and its vtable is its own.
        unsafe { (cell.vtable.reject)(cell, self.error.clone()) };
        self.leaves.push(Leaf::Marked(cell.retain()));
    }

    fn drops(&mut self, source: Raw) {
        self.leaves.push(Leaf::Abort(source.retain()));
    }

    fn notes(&mut self) -> bool {
        self.noted = true;
        true
    }
}

impl Walk {
    fn step(&mut self, cell: Raw) {
        let cell = cell.root();
        if !cell.is_pending() || cell.has(VISITED) {
            return;
        }
        cell.set(VISITED);
        self.visited.push(cell);
        match cell.route() {
            Route::Fixed => {}
            Route::Leaf => self.takes(cell),
            Route::Via => self.stack.extend(cell.linked()),
            Route::Source => {
                if let Some(source) = cell.linked() {
                    // SAFETY: `link` of a root with the route Source names a source.
                    unsafe { (source.vtable.visit)(source, self) };
                }
            }
        }
    }

    /// The second phase. Whether anything took the cancel.
    fn run(self) -> bool {
        for cell in &self.visited {
            cell.clear(VISITED);
        }
        let Walk { error, leaves, noted, .. } = self;
        let taken = noted || !leaves.is_empty();
        cascade::as_level(|| {
            for leaf in leaves {
                match leaf {
                    Leaf::Marked(cell) => cascade::complete(*cell, When::Now),
                    Leaf::Abort(source) => teardown::abort(*source, error.clone()),
                }
            }
        });
        taken
    }
}

/// Cancels what `cell` waits on. Whether anything took the cancel.
///
/// The caller keeps `cell` alive.
#[track_caller]
pub(crate) fn cancel(cell: Raw) -> bool {
    cancel_all([cell])
}

/// Cancels what all of `cells` wait on, in one walk. Whether anything took the cancel.
///
/// The caller keeps `cells` alive.
#[inline]
#[track_caller]
pub(crate) fn cancel_all(cells: impl IntoIterator<Item = Raw>) -> bool {
    let mut cells =
        cells.into_iter().map(Raw::root).filter(|cell| cell.is_pending() && cell.route() != Route::Fixed);
    let Some(first) = cells.next() else { return false };
    section::check();
    let second = cells.next();
    if second.is_none() && first.route() == Route::Leaf {
        let _alive = first.retain();
        // SAFETY: a pending root, and its own vtable.
        unsafe { (first.vtable.reject)(first, Error::canceled()) };
        cascade::complete(first, When::Now);
        return true;
    }
    let mut walk = Walk {
        error: Error::canceled(),
        stack: Vec::new(),
        visited: Vec::new(),
        leaves: Vec::new(),
        noted: false,
    };
    for cell in [first].into_iter().chain(second).chain(cells) {
        walk.stack.push(cell);
        while let Some(cell) = walk.stack.pop() {
            walk.step(cell);
        }
    }
    walk.run()
}

/// The pending roots that a pending root waits on.
#[cfg(feature = "registry")]
pub(crate) fn waits_on(cell: Raw) -> Vec<Raw> {
    struct Listing(Vec<Raw>);
    impl Visitor for Listing {
        fn waits_on(&mut self, cells: &mut dyn Iterator<Item = Raw>) {
            self.0.extend(cells);
        }
        fn takes(&mut self, _: Raw) {}
        fn drops(&mut self, _: Raw) {}
        fn notes(&mut self) -> bool {
            false
        }
    }
    let mut listing = Listing(Vec::new());
    match (cell.route(), cell.linked()) {
        (Route::Via, Some(on)) => listing.0.push(on),
        // SAFETY: `link` of a root with the route Source names a source.
        (Route::Source, Some(source)) => unsafe { (source.vtable.visit)(source, &mut listing) },
        _ => {}
    }
    listing.0.iter().map(|on| on.root()).filter(|on| on.is_pending()).collect()
}

impl<T> Promise<T> {
    /// Rejects with [`Canceled`](crate::Canceled) whatever this promise waits on and may be cancelled
    /// (`Lwt.cancel`).
    ///
    /// The cancel goes backwards: through `bind`, `map`, `catch` and the like to the promise that they wait
    /// on now, through the members of a combinator, into a task to what it awaits. Promises of
    /// [`task`](crate::task()), of `sleep` and I/O, [`protected`](Promise::protected) ones and the like are
    /// rejected; those of [`wait`](crate::wait()) and [`no_cancel`](Promise::no_cancel) are left alone. The
    /// rejection then comes back through the callbacks as any other does, so that cleanup runs, which may
    /// itself take its time. No effect on a resolved promise.
    ///
    /// # Panics
    /// If the thread is [in a section](crate::scheduler::set_in_section) in which promises are not to be
    /// touched, and there is something to cancel.
    ///
    /// ```
    /// use lwt_core::task;
    /// let (p, _r) = task::<u32>();
    /// let q = p.map(|n| n + 1);
    /// q.cancel();
    /// q.on_failure(|e| assert!(e.is_canceled()));
    /// ```
    #[track_caller]
    pub fn cancel(&self) {
        if let Some(root) = self.root() {
            let _alive = root.retain();
            cancel(root);
        }
    }

    /// A handle that cancels this promise, and does nothing else with it: it may be cloned whatever `T` is.
    ///
    /// ```
    /// use lwt_core::task;
    /// let (p, _r) = task::<Box<dyn Fn()>>();
    /// let stop = p.canceller();
    /// p.on_failure(|e| assert!(e.is_canceled()));
    /// stop.cancel();
    /// ```
    pub fn canceller(&self) -> Canceller {
        let cell = match &self.repr {
            Repr::Cell(_) | Repr::Waiting(_) => self.root().map(Raw::retain),
            Repr::Ready(_) | Repr::Failed(_) | Repr::Taken => None,
        };
        Canceller { cell }
    }
}

/// Cancels the promise that it was made from: see [`Promise::canceller`]. It does not keep the promise
/// wanted.
pub struct Canceller {
    /// Nothing where the promise was resolved.
    cell: Option<Ref>,
}

impl Canceller {
    /// As [`Promise::cancel`].
    #[track_caller]
    pub fn cancel(&self) {
        if let Some(cell) = &self.cell {
            cancel(**cell);
        }
    }
}

impl Clone for Canceller {
    fn clone(&self) -> Canceller {
        Canceller { cell: self.cell.as_ref().map(|cell| cell.retain()) }
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.cell.as_ref().is_some_and(|cell| cell.root().is_pending());
        f.debug_struct("Canceller").field("pending", &pending).finish()
    }
}
