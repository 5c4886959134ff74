//! Counts that belong to processes: permits of a semaphore, readers of a lock.
//!
//! A table has an entry for each lease: the id of its holder and a count, in one word. The total is kept
//! beside it.
//!
//! 1. All of it changes under the structure's lock. The entry is what counts; the total follows from the
//!    entries, and is worked out anew after a holder of the lock has died.
//! 2. A dead process's entry does not count any more: it is cleared by its lease's next holder, or by whoever
//!    waits and [looks for the dead](Holders::expire).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::lease::Id;
use super::lock::Got;
use super::object::Locked;
use super::pool::Inner;

/// A table in a structure whose lock the caller has.
pub(super) struct Holders<'a> {
    inner: &'a Inner,
    total: &'a AtomicU64,
    entries: &'a [AtomicU64],
}

/// The room of a table for so many leases.
pub(super) fn room(leases: u32) -> u64 {
    8 * (1 + u64::from(leases))
}

impl<'a> Holders<'a> {
    /// The table at `offset` of the locked structure.
    pub(super) fn new(inner: &'a Inner, locked: &Locked<'a>, offset: u64) -> Holders<'a> {
        let leases = inner.memory.leases as usize;
        let holders = Holders {
            inner,
            total: locked.block.word(offset),
            entries: locked.block.cells(offset + 8, leases),
        };
        if locked.got == Got::Died {
            holders.count_anew();
        }
        holders
    }

    fn count_anew(&self) {
        let total = self.entries.iter().map(|entry| entry.load(Relaxed) >> 32).sum();
        self.total.store(total, Release);
    }

    /// What all hold together.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    fn entry(&self) -> (&AtomicU64, u64) {
        let me = self.inner.me();
        let entry = &self.entries[me.index() as usize];
        let seen = entry.load(Relaxed);
        if seen as u32 != me.0 {
            // The last holder of the lease has not cleared it, so it has died.
            entry.store(me.0.into(), Release);
            self.count_anew();
            return (entry, 0);
        }
        (entry, seen >> 32)
    }

    /// Adds to what this process holds.
    pub(super) fn add(&self, count: u32) {
        let (entry, held) = self.entry();
        entry.store((held + u64::from(count)) << 32 | u64::from(self.inner.me().0), Release);
        self.total.store(self.total() + u64::from(count), Release);
    }

    /// Takes from what this process holds.
    pub(super) fn remove(&self, count: u32) {
        let (entry, held) = self.entry();
        let count = held.min(count.into());
        entry.store((held - count) << 32 | u64::from(self.inner.me().0), Release);
        self.total.store(self.total().saturating_sub(count), Release);
    }

    /// Clears the entries of the dead.
    pub(super) fn expire(&self) {
        for entry in self.entries {
            let seen = entry.load(Relaxed);
            if seen >> 32 != 0 && !self.inner.is_alive(Id(seen as u32)) {
                entry.store(0, Release);
            }
        }
        self.count_anew();
    }
}
