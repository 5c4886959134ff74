//! The ends of a cell: its last share goes, its last ref goes; and the early end of a source, which is
//! aborted.
//!
//! All may run destructors of user values, which may end further cells, and so on: a chain of a million is
//! nothing unusual. So the ends are nested on the stack to a limit only; beyond it they wait in a queue for
//! the outermost one.

use std::cell::{Cell, UnsafeCell};

use crate::Error;

use super::cascade;
use super::cell::{HAS_EARLY, HAS_VALUE, Phase, Raw, Ref, Route};

/// How deep ends nest. Each level has at least one frame of a user's destructor on the stack.
const LIMIT: u32 = 20;

enum End {
    /// The last share of a root has gone; the ref keeps it until then.
    Share(Ref),
    /// The last ref has gone.
    Refs(Raw),
    /// A source is to drop what it runs, and to reject its root.
    Abort(Ref, Error),
}

struct Ends {
    depth: Cell<u32>,
    /// Empty whenever no end is running, so that nothing is lost when the thread ends.
    waiting: UnsafeCell<Vec<End>>,
}

thread_local! {
    static ENDS: std::mem::ManuallyDrop<Ends> = const {
        std::mem::ManuallyDrop::new(Ends { depth: Cell::new(0), waiting: UnsafeCell::new(Vec::new()) })
    };
}

impl Ends {
    fn push(&self, end: End) {
        // SAFETY: the reference ends with this statement, which runs no user code.
        unsafe { (*self.waiting.get()).push(end) }
    }

    fn pop(&self) -> Option<End> {
        // SAFETY: as in `push`.
        unsafe { (*self.waiting.get()).pop() }
    }

    /// Gives the queue's memory back.
    fn shrink(&self) {
        // SAFETY: as in `push`; the queue is empty, so nothing is dropped.
        unsafe { *self.waiting.get() = Vec::new() }
    }
}

/// One level of nesting; the outermost runs what the others left, also when its own end panics.
struct Level<'a>(&'a Ends);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        let depth = self.0.depth.get();
        if depth == 1 {
            let mut many = 0;
            while let Some(end) = self.0.pop() {
                many += 1;
                cascade::guarded(|| run(end));
            }
            if many > 64 {
                self.0.shrink();
            }
        }
        self.0.depth.set(depth - 1);
    }
}

fn nested(end: End) {
    ENDS.with(|ends| {
        if ends.depth.get() >= LIMIT {
            ends.push(end);
            return;
        }
        ends.depth.set(ends.depth.get() + 1);
        let _level = Level(ends);
        run(end);
    });
}

fn run(end: End) {
    match end {
        End::Share(cell) => share_gone(*cell),
        End::Refs(cell) => refs_gone(cell),
        // SAFETY: only sources are aborted, and the vtable is its own.
        End::Abort(source, error) => unsafe { (source.vtable.abort)(*source, error) },
    }
}

/// Has a source drop what it runs at once, and reject its root: a task its future. Destructors like to abort
/// further tasks.
pub(crate) fn abort(source: Raw, error: Error) {
    nested(End::Abort(source.retain(), error));
}

/// Ends a root that has no shares any more: its value goes, or, while it is pending, what it waits on only to
/// copy.
#[cold]
pub(crate) fn last_share(root: Raw) {
    nested(End::Share(root.retain()));
}

fn share_gone(cell: Raw) {
    let root = cell.root();
    if root.shares() != 0 {
        return; // waited in the queue, and was unified with one that is wanted
    }
    match root.phase() {
        Phase::Pending => unwanted(root),
        Phase::Fulfilled | Phase::Rejected => expire(root),
        Phase::Forwarded => {}
    }
}

/// Drops the value of a resolved root that has no shares; no effect when that was done.
pub(crate) fn expire(root: Raw) {
    if root.has(HAS_VALUE) {
        // SAFETY: the root is resolved, has its value and no shares, so nobody refers to the value.
        unsafe { (root.vtable.expire)(root) };
    }
}

/// Nobody wants the outcome of this pending root: what only copies lets go, and who asked is told.
pub(crate) fn unwanted(root: Raw) {
    if root.route() == Route::Source
        && let Some(source) = root.linked()
    {
        let _alive = source.retain();
        // All sources but tasks let go; so does one that panics on the way.
        let mut let_go = !source.vtable.runs;
        // SAFETY: `link` of a root with the route Source names a source.
        cascade::guarded(|| let_go = unsafe { (source.vtable.detach)(source) });
        // A destructor may have cancelled it meanwhile: the link of a resolved root is the cascade's.
        if let_go && root.is_pending() {
            // It will never be resolved. If it was unified with its source, the two keep each other until the
            // link is cut.
            root.set_route(Route::Fixed);
            drop(root.take_link());
        }
    }
    if root.is_pending() && root.has(HAS_EARLY) {
        cascade::run_early(root);
    }
}

/// Frees a cell whose last ref has gone, and the cells that only it kept.
pub(crate) fn free(cell: Raw) {
    if !cell.is_pending() && cell.linked().is_none() && !cell.has(HAS_VALUE) && cell.callbacks.is_empty() {
        // The usual end: nothing is left in it. Whatever its kind still holds was given up before.
        // SAFETY: no ref is left.
        return unsafe { (cell.vtable.dealloc)(cell) };
    }
    nested(End::Refs(cell));
}

fn refs_gone(mut cell: Raw) {
    loop {
        cascade::drop_callbacks(cell);
        debug_assert!(!cell.has(HAS_VALUE), "the last share has taken the value");
        let next = cell.take_link();
        // SAFETY: no ref is left.
        cascade::guarded(|| unsafe { (cell.vtable.dealloc)(cell) });
        // Not dropped but followed: a chain of links must not recurse.
        let Some(next) = next else { return };
        let Some(last) = next.release_quietly() else { return };
        cell = last;
    }
}
