//! The table of a shard: slots side by side, each a state word and what its kind of map has in it.
//!
//! The state word says what the slot is (empty, live, or dead: passed over, and used again), how often it has
//! changed, a bit for the map, and half of the hash. A slot that has been live is never empty again in its
//! table; so a search may end at an empty one.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::super::block::Block;
use super::super::error::ShmError;
use super::super::pool::Inner;

const EMPTY: u64 = 0;
const LIVE: u64 = 1;
const DEAD: u64 = 2;
const KIND: u64 = 3;
/// The map's own bit.
pub(super) const SIDE: u64 = 1 << 2;
/// One more change, in 29 bits that wrap: more than a reader can miss.
const CHANGE: u64 = 1 << 3;
const CHANGES: u64 = 0xffff_fff8;
const HASH_SHIFT: u32 = 32;

/// What a kind of map has in a slot, behind the state word.
pub(super) trait Slot: Sized {
    /// The distance of two slots.
    const STEP: u64;

    /// Copies what is in a live slot to a slot of a table that nobody else sees yet.
    fn copy(from: &Table<'_, Self>, slot: u64, to: &Table<'_, Self>, new: u64) -> Result<(), ShmError>;

    /// Lets go of what is in a slot that is not live; under the lock.
    fn release(_: &Inner, _: &Table<'_, Self>, _slot: u64) -> Result<(), ShmError> {
        Ok(())
    }

    /// Has what is in a live slot belong to nobody but the table that it is in; under the lock.
    fn settle(_: &Inner, _: &Table<'_, Self>, _slot: u64) -> Result<(), ShmError> {
        Ok(())
    }
}

/// Whether a slot with this state is live.
#[inline]
pub(super) fn lives(state: u64) -> bool {
    state & KIND == LIVE
}

/// A table in a block.
pub(super) struct Table<'a, S> {
    pub(super) block: Block<'a>,
    pub(super) slots: u64,
    kind: PhantomData<fn() -> S>,
}

/// What a search has found.
pub(super) enum Found {
    /// The key, in this slot.
    Key(u64),
    /// Not the key; here is room for it. The flag: the slot was empty.
    Room(u64, bool),
    /// Not the key, and no room.
    Full,
}

impl<'a, S: Slot> Table<'a, S> {
    #[inline]
    pub(super) fn new(block: Block<'a>) -> Table<'a, S> {
        Table { block, slots: block.len / S::STEP, kind: PhantomData }
    }

    /// Empties all slots of a block that nobody else sees yet.
    pub(super) fn init(&self) {
        for word in self.block.cells::<AtomicU64>(0, (self.slots * S::STEP / 8) as usize) {
            word.store(EMPTY, Relaxed);
        }
    }

    #[inline]
    pub(super) fn state(&self, slot: u64) -> &'a AtomicU64 {
        self.block.word(slot * S::STEP)
    }

    /// The slot in which a search for a hash begins.
    #[inline]
    fn first(&self, hash: u32) -> u64 {
        // Of more slots than a hash has values, the rest is not where one begins.
        (u64::from(hash) * self.slots.min(u32::MAX.into())) >> 32
    }

    /// Has the processor fetch the slot in which a search for a hash begins.
    #[inline]
    pub(super) fn prefetch(&self, hash: u32) {
        self.block.prefetch(self.first(hash) * S::STEP);
    }

    /// The slots in the order in which a hash is searched for.
    #[inline]
    fn probe(&self, hash: u32) -> impl Iterator<Item = u64> + use<S> {
        let slots = self.slots;
        let mut next = self.first(hash);
        (0..slots).map(move |_| {
            let slot = next;
            next = if slot + 1 == slots { 0 } else { slot + 1 };
            slot
        })
    }

    /// Searches for a live slot with a hash, without a lock: what `look` makes of the first one in which it
    /// finds what it looks for.
    #[inline]
    pub(super) fn search<R>(&self, hash: u32, mut look: impl FnMut(u64, u64) -> Option<R>) -> Option<R> {
        for slot in self.probe(hash) {
            let state = self.state(slot).load(Acquire);
            if state & KIND == EMPTY {
                break;
            }
            if lives(state) && (state >> HASH_SHIFT) as u32 == hash {
                let found = look(slot, state);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// Searches under the lock; `is_key` is asked of live slots with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_key: impl Fn(u64) -> bool) -> Found {
        let mut dead = None;
        for slot in self.probe(hash) {
            let state = self.state(slot).load(Relaxed);
            match state & KIND {
                EMPTY => return dead.map_or(Found::Room(slot, true), |dead| Found::Room(dead, false)),
                LIVE if (state >> HASH_SHIFT) as u32 == hash => {
                    if is_key(slot) {
                        return Found::Key(slot);
                    }
                }
                LIVE => {}
                _ => dead = dead.or(Some(slot)),
            }
        }
        dead.map_or(Found::Full, |dead| Found::Room(dead, false))
    }

    /// The state that a slot gets when it goes live.
    #[inline]
    pub(super) fn born(&self, slot: u64, hash: u32) -> u64 {
        let old = self.state(slot).load(Relaxed);
        u64::from(hash) << HASH_SHIFT | old.wrapping_add(CHANGE) & CHANGES | LIVE
    }

    /// The state that a live slot gets by a change.
    #[inline]
    pub(super) fn changed(&self, slot: u64) -> u64 {
        let old = self.state(slot).load(Relaxed);
        old & !CHANGES | old.wrapping_add(CHANGE) & CHANGES
    }

    /// Makes a live slot dead.
    pub(super) fn kill(&self, slot: u64) {
        let state = self.state(slot);
        state.store(state.load(Relaxed).wrapping_add(CHANGE) & CHANGES | DEAD, Release);
    }

    /// How many slots live, and how many are not empty.
    pub(super) fn count(&self) -> (u64, u64) {
        (0..self.slots).fold((0, 0), |(live, used), slot| match self.state(slot).load(Relaxed) & KIND {
            EMPTY => (live, used),
            LIVE => (live + 1, used + 1),
            _ => (live, used + 1),
        })
    }

    /// Copies all live slots to an empty table, under the lock.
    pub(super) fn copy_to(&self, inner: &Inner, other: &Table<'_, S>) -> Result<(), ShmError> {
        for slot in 0..self.slots {
            if !lives(self.state(slot).load(Relaxed)) {
                S::release(inner, self, slot)?;
                continue;
            }
            S::settle(inner, self, slot)?;
            let hash = (self.state(slot).load(Relaxed) >> HASH_SHIFT) as u32;
            // No key is there twice.
            let Found::Room(new, _) = other.find(hash, |_| false) else { return Err(ShmError::Corrupt) };
            S::copy(self, slot, other, new)?;
            other.state(new).store(other.born(new, hash), Relaxed);
        }
        Ok(())
    }

    /// Makes all slots dead, and lets go of what is in them; under the lock.
    pub(super) fn clear(&self, inner: &Inner) -> Result<(), ShmError> {
        for slot in 0..self.slots {
            if lives(self.state(slot).load(Relaxed)) {
                self.kill(slot);
            }
            S::release(inner, self, slot)?;
        }
        Ok(())
    }
}
