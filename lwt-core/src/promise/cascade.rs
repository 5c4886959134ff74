//! Resolving a promise, and the cascade of callbacks that follows.
//!
//! 1. A resolution has two halves: `mark` (`cell.rs`) changes the state and runs nothing; [`complete`] lets
//!    go of what the promise waited on and runs the callbacks.
//! 2. Callbacks run in order of attachment, those of `on_cancel` first. Each is out of the list before it
//!    runs, so that it may do anything to the promise, its own included. A promise that a callback of `bind`
//!    makes and resolves at its end is followed in a loop, not by nesting, if it was the last callback: a
//!    chain takes one level.
//!    A callback that would take a value which cannot be cloned goes behind those that only look at it.
//! 3. A resolution inside a callback runs in place while the levels are fewer than [`LIMIT`]; a deeper one,
//!    and every `wakeup_later` inside a cascade, changes the state at once and waits in a queue. The
//!    outermost level empties the queue, first come first served, before it returns: then everything has run.
//!    A task's poll counts as a level.
//! 4. A panic never leaves a cascade. A callback that makes a promise rejects it; what escapes otherwise
//!    (`on_*` callbacks, destructors, clone functions) goes to the unhandled-rejection hook, and the cascade
//!    goes on.
//! 5. No borrow is held while user code runs.
//! 6. A [section](super::section) counts as more levels than there may be, and as not the outermost one: what
//!    is resolved in it, by whatever way, changes its state at once, and its callbacks wait for the next turn.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use crate::Error;
use crate::links::List;
use crate::unhandled;

use super::cell::{CANCELED, HAS_EARLY, Header, Node, NodeKind, Raw, Ref, Route, SILENT, UNHELD, mark};
use super::teardown;

/// How deep resolutions nest on the stack.
const LIMIT: u32 = 40;

/// What a section adds to the levels.
const SECTION: u32 = 1 << 31;

/// How deep callbacks that look nest out of their turn.
const MOST_LOOKING: u32 = 20;

struct Levels {
    running: Cell<u32>,
    looking: Cell<u32>,
    /// The queue of deferred cells, through their links. Each owns a ref.
    first: Cell<*const Header>,
    last: Cell<*const Header>,
}

thread_local! {
    static LEVELS: Levels = const {
        Levels {
            running: Cell::new(0),
            looking: Cell::new(0),
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
        }
    };
}

/// Whether callbacks may run inside the resolving call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// They do, unless the levels are used up.
    Now,
    /// Only if no cascade is running.
    Later,
    /// They wait for the next cascade or turn, also if none is running.
    NextTurn,
}

/// Resolves a pending root.
///
/// # Safety
/// `root` is a pending root that starts with a `Body<T>`; the caller keeps it alive.
#[inline]
pub(crate) unsafe fn resolve<T>(root: Raw, result: Result<T, Error>, when: When) {
    // SAFETY: the caller keeps `mark`'s contract.
    unsafe { mark(root, result) };
    complete(root, when);
}

/// The second half of a resolution: `root` was marked.
#[inline]
pub(crate) fn complete(root: Raw, when: When) {
    if finish(root) {
        LEVELS.with(|levels| levels.run_or_defer(root, when));
    }
}

/// The part of [`complete`] that runs no callbacks but the wake of a task; whether there are others.
#[inline]
pub(crate) fn finish(root: Raw) -> bool {
    if !root.link.get().is_null() {
        let_go(root);
    }
    if root.shares() == 0 {
        root.set(UNHELD);
        guarded(|| teardown::expire(root));
    }
    !root.callbacks.is_empty() && !wakes_a_task_only(root)
}

/// Cuts the resolved root off from what it waited on.
fn let_go(root: Raw) {
    let source = root.linked();
    let alive = root.take_link();
    if root.route() == Route::Source
        && let Some(source) = source
    {
        // SAFETY: `link` of a root with the route Source names a source, kept alive by `alive` or by the
        // root's owner.
        guarded(|| _ = unsafe { (source.vtable.detach)(source) });
    }
    drop(alive);
}

impl Levels {
    #[inline]
    fn run_or_defer(&self, root: Raw, when: When) {
        let running = self.running.get();
        let in_place = match when {
            When::Now => running < LIMIT,
            When::Later => running == 0,
            When::NextTurn => false,
        };
        if in_place {
            self.level(|| run_callbacks(root));
        } else {
            self.defer(root);
        }
    }

    /// Runs `f`, which does not unwind, as a level; the outermost one then empties the queue.
    fn level(&self, f: impl FnOnce()) {
        let running = self.running.get();
        self.running.set(running + 1);
        f();
        if running == 0 {
            while let Some(cell) = self.next_deferred() {
                run_callbacks(*cell);
            }
        }
        self.running.set(running);
    }

    fn defer(&self, root: Raw) {
        let root = root.retain().into_raw();
        root.set_link(None);
        let last = self.last.replace(root.as_ptr());
        match NonNull::new(last.cast_mut()) {
            None => self.first.set(root.as_ptr()),
            // SAFETY: a queued cell is alive: the queue owns a ref on it.
            Some(last) => unsafe { Raw::new(last) }.set_link(Some(root)),
        }
    }

    fn next_deferred(&self) -> Option<Ref> {
        let first = NonNull::new(self.first.get().cast_mut())?;
        // SAFETY: the queue owns a ref on the cell, which is the caller's now.
        let cell = unsafe { Ref::adopt(Raw::new(first)) };
        // The link owns the next one's place in the queue, not a ref of its own.
        self.first.set(cell.link.replace(ptr::null()));
        if self.first.get().is_null() {
            self.last.set(ptr::null());
        }
        Some(cell)
    }
}

/// Sets whether this thread is in a section; gives whether it was.
pub(super) fn set_in_section(inside: bool) -> bool {
    LEVELS.with(|levels| {
        let running = levels.running.get();
        levels.running.set(if inside { running | SECTION } else { running & !SECTION });
        running & SECTION != 0
    })
}

/// Whether this thread is in a section.
#[inline]
pub(super) fn in_section() -> bool {
    LEVELS.with(|levels| levels.running.get() >= SECTION)
}

/// Runs `f` as a level of the cascade, and then, if it is the outermost, all that was deferred.
pub(crate) fn as_level(f: impl FnOnce()) {
    LEVELS.with(|levels| levels.level(|| guarded(f)));
}

/// Whether resolutions wait for a level to run their callbacks.
pub(crate) fn has_deferred() -> bool {
    LEVELS.with(|levels| !levels.first.get().is_null())
}

/// Forgets the callbacks of resolutions that wait; returns how many resolutions there were.
pub(crate) fn abandon_deferred() -> usize {
    let mut many = 0;
    while let Some(cell) = LEVELS.with(Levels::next_deferred) {
        drop_callbacks(*cell);
        many += 1;
    }
    many
}

/// Runs `f`; a panic goes to the unhandled-rejection hook.
pub(crate) fn guarded(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        unhandled::report_panic(payload);
    }
}

/// The commonest cascade: one callback, which puts a task into the run queue. That needs no level, as it runs
/// nobody's code. Whether it was so, and is done.
#[inline]
fn wakes_a_task_only(root: Raw) -> bool {
    let Some(links) = root.callbacks.sole() else { return false };
    let node = links.cast::<Node>();
    // SAFETY: a member of the list is a live node.
    let vtable = unsafe { (*node).vtable.get() };
    if vtable.kind != NodeKind::Waking {
        return false;
    }
    // SAFETY: as above.
    unsafe { (*links).unlink() };
    // SAFETY: the node is alive, and out of the list.
    unsafe { (vtable.run)(node, root) };
    true
}

/// Runs all callbacks of a resolved root, and, where the last of them has resolved another, goes on with that
/// one's: a chain of callbacks takes one level, whatever its length.
fn run_callbacks(root: Raw) {
    let mut root = root;
    let mut _alive = None;
    loop {
        if root.has(HAS_EARLY) && root.has(CANCELED) {
            run_early(root);
        }
        match catch_unwind(AssertUnwindSafe(|| run_list(root))) {
            Ok(None) => return,
            Ok(Some(next)) => {
                root = *next;
                _alive = Some(next);
            }
            Err(payload) => unhandled::report_panic(payload),
        }
    }
}

/// The callbacks of one root. After a panic of a callback it is called again for the others. What the last
/// one has resolved is given back, and has its own callbacks still to run.
#[inline]
fn run_list(root: Raw) -> Option<Ref> {
    while let Some(links) = root.callbacks.pop_front() {
        let Some(resolved) = run_node(links.cast(), root) else { continue };
        if root.callbacks.is_empty() {
            return Some(resolved);
        }
        LEVELS.with(|levels| levels.run_or_defer(*resolved, When::Now));
    }
    None
}

fn run_node(node: *const Node, root: Raw) -> Option<Ref> {
    // SAFETY: a node that was in the list is alive until it is run or dropped, and it is out of the list now.
    unsafe {
        let vtable = (*node).vtable.get();
        match vtable.kind {
            NodeKind::Taking | NodeKind::Holding | NodeKind::Waking | NodeKind::Looking => {
                (vtable.run)(node, root)
            }
            NodeKind::OnCancel | NodeKind::OnUnwanted => {
                (vtable.drop)(node);
                None
            }
        }
    }
}

/// Takes the early callbacks out of the list and runs them in order: all of a cancelled promise, or, of a
/// pending one that is not wanted any more, those for that case.
pub(crate) fn run_early(root: Raw) {
    let pending = root.is_pending();
    let mut left = false;
    let early = List::new();
    take_out(root, &early, |kind| {
        left |= pending && kind == NodeKind::OnCancel;
        kind == NodeKind::OnUnwanted || !pending && kind == NodeKind::OnCancel
    });
    if !left {
        root.clear(HAS_EARLY);
    }
    while let Some(links) = early.pop_front() {
        let node = links.cast::<Node>();
        // SAFETY: the node is alive and unlinked.
        guarded(|| drop(unsafe { ((*node).vtable.get().run)(node, root) }));
    }
}

/// Moves the callbacks of some kinds to another list, which the caller empties.
fn take_out(root: Raw, into: &List, mut is_meant: impl FnMut(NodeKind) -> bool) {
    let mut at = root.callbacks.front();
    while let Some(links) = at {
        at = root.callbacks.after(links);
        // SAFETY: a member of the list is a live node.
        if is_meant(unsafe { (*links.cast::<Node>()).vtable.get().kind }) {
            // SAFETY: as above.
            unsafe { (*links).unlink() };
            // SAFETY: the node is alive until it is run, and the caller empties the list.
            unsafe { into.push_back(links) };
        }
    }
}

/// Runs the callbacks that only look at the value, so that the one share that is left may take it. No effect
/// where that nests too deep: they then look in their turn, and who wants to take has to wait for that.
pub(crate) fn run_looking(root: Raw) {
    LEVELS.with(|levels| {
        let depth = levels.looking.get();
        if depth == MOST_LOOKING {
            return;
        }
        levels.looking.set(depth + 1);
        let looking = List::new();
        take_out(root, &looking, |kind| kind == NodeKind::Looking);
        while let Some(links) = looking.pop_front() {
            guarded(|| drop(run_node(links.cast(), root)));
        }
        levels.looking.set(depth);
    });
}

/// Drops the callbacks of a cell that will not run them, and their shares.
pub(crate) fn drop_callbacks(cell: Raw) {
    while let Some(links) = cell.callbacks.pop_front() {
        let node = links.cast::<Node>();
        // SAFETY: a node that was in the list is alive until it is run or dropped.
        let vtable = unsafe { (*node).vtable.get() };
        if matches!(vtable.kind, NodeKind::Taking | NodeKind::Looking) {
            cell.drop_share();
        }
        // SAFETY: as above, and it is out of the list.
        guarded(|| unsafe { (vtable.drop)(node) });
    }
    if !cell.is_pending() && cell.shares() == 0 {
        cell.set(SILENT); // thrown away, not overlooked
        guarded(|| teardown::expire(cell));
    }
}
