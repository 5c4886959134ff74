//! The registry of pending promises (feature `registry`): what hangs, and on what.
//!
//! Every cell is in a list of its thread from its making until it is freed. [`pending`] walks the list and
//! describes those that are pending: where each was made, what it was [named](crate::Promise::named), and what
//! it waits on. Without the feature nothing
//! of this exists.
//!
//! ```
//! use lwt_core::{registry, wait};
//! let (p, r) = wait::<()>();
//! let mapped = p.map(|()| 1);
//! let all = registry::pending();
//! assert_eq!(all.len(), 2);
//! assert_eq!(all[1].waits_on, [all[0].id]);
//! r.wakeup(());
//! assert!(registry::pending().is_empty());
//! # drop(mapped);
//! ```

use std::cell::Cell;
use std::fmt;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::Location;
use std::ptr::NonNull;

use crate::links::{Links, List};
use crate::origin::Origin;
use crate::promise::cell::{Header, Raw, Route};

/// A pending promise, as [`pending`] saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Names the promise within its thread and as long as it lives.
    pub id: u64,
    /// What resolves it.
    pub kind: Kind,
    /// The line that made it.
    pub origin: &'static Location<'static>,
    /// What it was [named](crate::Promise::named).
    pub name: Option<&'static str>,
    /// The promises that it waits on now. A task that waits on foreign futures only has none.
    pub waits_on: Vec<u64>,
}

/// What resolves a pending promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A resolver, and no cancel: `wait`.
    Wait,
    /// A resolver, or a cancel: `task`, `pause`, `sleep`, I/O.
    Task,
    /// A callback on another promise: `bind` and the like.
    Callback,
    /// A future: `spawn`.
    Future,
    /// Several promises: `join`, `choose` and the like, or a copy of one.
    Combinator,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {:?} ", self.id, self.kind)?;
        if let Some(name) = self.name {
            write!(f, "{name:?} ")?;
        }
        write!(f, "made at {}", self.origin)?;
        for (place, id) in self.waits_on.iter().enumerate() {
            write!(f, "{}#{id}", if place == 0 { ", waits on " } else { ", " })?;
        }
        Ok(())
    }
}

/// The part of a cell that is in the list.
pub(crate) struct Record {
    links: Links,
    id: Cell<u64>,
    line: &'static Location<'static>,
    future: Cell<bool>,
    name: Cell<Option<&'static str>>,
}

impl Record {
    pub(crate) fn new(origin: Origin) -> Record {
        Record {
            links: Links::new(),
            id: Cell::new(0),
            line: origin.line,
            future: Cell::new(false),
            name: Cell::new(None),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.links.is_linked() {
            self.links.unlink();
            CELLS.with(|cells| cells.many.set(cells.many.get() - 1));
        }
    }
}

struct Cells {
    list: List,
    many: Cell<usize>,
    made: Cell<u64>,
}

thread_local! {
    static CELLS: ManuallyDrop<Cells> =
        const { ManuallyDrop::new(Cells { list: List::new(), many: Cell::new(0), made: Cell::new(0) }) };
}

/// Adds a fresh cell to the list.
pub(crate) fn enlist(cell: Raw) {
    CELLS.with(|cells| {
        cells.made.set(cells.made.get() + 1);
        cells.many.set(cells.many.get() + 1);
        cell.record.id.set(cells.made.get());
        let links = cell.as_ptr::<u8>().wrapping_add(offset_of!(Header, record)).cast::<Record>();
        // SAFETY: the record is alive and stays where it is until its drop unlinks it.
        unsafe { cells.list.push_back(&raw const (*links).links) };
    });
}

/// Notes that a cell is that of a future.
pub(crate) fn is_future(cell: Raw) {
    cell.record.future.set(true);
}

/// Notes what a cell is to be called.
pub(crate) fn name(cell: Raw, name: &'static str) {
    cell.record.name.set(Some(name));
}

/// The pending ones: they stay alive whatever is found out about them, which compresses chains of forwarded
/// ones.
fn pending_cells() -> Vec<Raw> {
    CELLS.with(|cells| {
        let mut found = Vec::new();
        let mut at = cells.list.front();
        while let Some(links) = at {
            at = cells.list.after(links);
            let offset = offset_of!(Header, record) + offset_of!(Record, links);
            let header = links.wrapping_byte_sub(offset).cast::<Header>().cast_mut();
            // SAFETY: a cell is in the list until its record is dropped, so it is alive.
            let cell = NonNull::new(header).map(|header| unsafe { Raw::new(header) });
            found.extend(cell.filter(|cell| cell.is_pending()));
        }
        found
    })
}

fn entry(cell: Raw) -> Entry {
    let kind = match cell.route() {
        Route::Fixed => Kind::Wait,
        Route::Leaf => Kind::Task,
        Route::Via => Kind::Callback,
        Route::Source if cell.linked().is_some_and(|source| source.record.future.get()) => Kind::Future,
        Route::Source => Kind::Combinator,
    };
    let waits_on = crate::promise::cancel::waits_on(cell).iter().map(|on| on.record.id.get()).collect();
    let record = &cell.record;
    Entry { id: record.id.get(), kind, origin: record.line, name: record.name.get(), waits_on }
}

/// All pending promises of this thread, oldest first.
pub fn pending() -> Vec<Entry> {
    pending_cells().into_iter().map(entry).collect()
}

/// One cell in a few words, for `Debug`.
pub(crate) fn describe(cell: Raw) -> Entry {
    entry(cell)
}

/// How many cells there are on this thread, pending or not: promises that were ever pending, and that
/// somebody still holds or waits for.
///
/// Only for tests of what is left behind.
///
/// ```
/// use lwt_core::{registry, wait};
/// let (p, r) = wait();
/// r.wakeup(1);
/// assert_eq!(registry::count(), 1);
/// drop(p);
/// assert_eq!(registry::count(), 0);
/// ```
pub fn count() -> usize {
    CELLS.with(|cells| cells.many.get())
}
