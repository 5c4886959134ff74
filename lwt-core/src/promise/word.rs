//! The word of a cell: its two counts, its state, the way of a cancel, and six flags.
//!
//! ```text
//!  63 ... 58  57 56  55 54  53 ........ 27  26 ......... 0
//!    flags    route  phase      shares           refs
//! ```
//!
//! One word because a pending promise is then 56 bytes, which an allocator serves from a chunk of 64. A count
//! that would overflow (134 million handles on one promise: only leaking them gets there) aborts the process,
//! as going on would free what is in use.

use std::cell::Cell;
use std::process::abort;

/// The state of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    Pending = 0,
    Fulfilled = 1,
    Rejected = 2,
    Forwarded = 3,
}

/// Where a cancel that reaches a pending cell goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Route {
    /// Nowhere.
    Fixed = 0,
    /// It rejects this cell.
    Leaf = 1,
    /// To the cell that `link` names.
    Via = 2,
    /// To wherever `link`'s cell (which may be this one) says by its `visit`.
    Source = 3,
}

/// A callback wants to run before the ordinary ones (`on_cancel`, `on_unwanted`).
pub(crate) const HAS_EARLY: u8 = 1;
/// The value slot is filled.
pub(crate) const HAS_VALUE: u8 = 2;
/// The current cancel walk was here.
pub(crate) const VISITED: u8 = 4;
/// A rejection without shares is not told to the hook.
pub(crate) const SILENT: u8 = 8;
/// The rejection is a cancel.
pub(crate) const CANCELED: u8 = 16;
/// Nobody had a share when it was resolved.
pub(crate) const UNHELD: u8 = 32;

const COUNT: u64 = (1 << 27) - 1;
const SHARES: u32 = 27;
const PHASE: u32 = 54;
const ROUTE: u32 = 56;
const FLAGS: u32 = 58;

pub(crate) struct Word(Cell<u64>);

impl Word {
    /// A pending cell.
    pub(crate) const fn new(refs: u32, shares: u32, route: Route) -> Word {
        Word(Cell::new(refs as u64 | (shares as u64) << SHARES | (route as u64) << ROUTE))
    }

    #[inline]
    pub(crate) fn refs(&self) -> u32 {
        (self.0.get() & COUNT) as u32
    }

    #[inline]
    pub(crate) fn add_ref(&self) {
        let word = self.0.get();
        if word & COUNT == COUNT {
            abort();
        }
        self.0.set(word + 1);
    }

    /// Gives a ref up; returns how many are left.
    #[inline]
    pub(crate) fn drop_ref(&self) -> u32 {
        debug_assert!(self.refs() > 0);
        let word = self.0.get() - 1;
        self.0.set(word);
        (word & COUNT) as u32
    }

    #[inline]
    pub(crate) fn shares(&self) -> u32 {
        ((self.0.get() >> SHARES) & COUNT) as u32
    }

    #[inline]
    pub(crate) fn add_shares(&self, more: u32) {
        if u64::from(self.shares()) + u64::from(more) > COUNT {
            abort();
        }
        self.0.set(self.0.get() + (u64::from(more) << SHARES));
    }

    /// Gives a share up; returns how many are left.
    #[inline]
    pub(crate) fn drop_share(&self) -> u32 {
        debug_assert!(self.shares() > 0);
        self.0.set(self.0.get() - (1 << SHARES));
        self.shares()
    }

    /// Gives all shares up.
    #[inline]
    pub(crate) fn clear_shares(&self) {
        self.0.set(self.0.get() & !(COUNT << SHARES));
    }

    /// Gives all shares up, and the value, which the caller takes.
    #[inline]
    pub(crate) fn clear_shares_and_value(&self) {
        self.0.set(self.0.get() & !(COUNT << SHARES | u64::from(HAS_VALUE) << FLAGS));
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        match (self.0.get() >> PHASE) & 3 {
            0 => Phase::Pending,
            1 => Phase::Fulfilled,
            2 => Phase::Rejected,
            _ => Phase::Forwarded,
        }
    }

    /// From pending to resolved, with a value.
    #[inline]
    pub(crate) fn set_resolved(&self, phase: Phase) {
        self.0.set(self.0.get() | (phase as u64) << PHASE | u64::from(HAS_VALUE) << FLAGS);
    }

    #[inline]
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.0.set(self.0.get() & !(3 << PHASE) | (phase as u64) << PHASE);
    }

    #[inline]
    pub(crate) fn route(&self) -> Route {
        match (self.0.get() >> ROUTE) & 3 {
            0 => Route::Fixed,
            1 => Route::Leaf,
            2 => Route::Via,
            _ => Route::Source,
        }
    }

    #[inline]
    pub(crate) fn set_route(&self, route: Route) {
        self.0.set(self.0.get() & !(3 << ROUTE) | (route as u64) << ROUTE);
    }

    /// Whether one of the flags is set.
    #[inline]
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.0.get() & (u64::from(flags) << FLAGS) != 0
    }

    #[inline]
    pub(crate) fn set(&self, flags: u8) {
        self.0.set(self.0.get() | u64::from(flags) << FLAGS);
    }

    #[inline]
    pub(crate) fn clear(&self, flags: u8) {
        self.0.set(self.0.get() & !(u64::from(flags) << FLAGS));
    }

    /// The flags among `mask`.
    #[inline]
    pub(crate) fn flags(&self, mask: u8) -> u8 {
        (self.0.get() >> FLAGS) as u8 & mask
    }
}
