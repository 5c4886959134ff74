//! The table of a shard: entries side by side, each a state word, a key, and two values.
//!
//! The state word says what the entry is (empty, live, or dead: passed over, and used again), which of the
//! values counts, how often it has changed, and 48 bits of the hash. An entry that has been live is never
//! empty again in its table; so a search may end at an empty one.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::super::block::{Block, room};
use super::super::error::ShmError;
use super::super::safe::{ShmSafe, bytes_of};

const EMPTY: u64 = 0;
const LIVE: u64 = 1;
const DEAD: u64 = 2;
const KIND: u64 = 3;
const SIDE: u64 = 1 << 2;
/// One more change, in thirteen bits that wrap.
const CHANGE: u64 = 1 << 3;
const CHANGES: u64 = 0xfff8;
const HASH_SHIFT: u32 = 16;

/// A table in a block.
pub(super) struct Table<'a, K, V> {
    block: Block<'a>,
    pub(super) slots: u64,
    types: PhantomData<fn() -> (K, V)>,
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

impl<'a, K: ShmSafe, V: ShmSafe> Table<'a, K, V> {
    const KEY: u64 = 8;
    const VALUES: u64 = 8 + room::<K>();
    pub(super) const STEP: u64 = 8 + room::<K>() + 2 * room::<V>();

    #[inline]
    pub(super) fn new(block: Block<'a>) -> Table<'a, K, V> {
        Table { block, slots: block.len / Self::STEP, types: PhantomData }
    }

    /// Empties all slots of a block that nobody else sees yet.
    pub(super) fn init(&self) {
        for slot in 0..self.slots {
            self.state(slot).store(EMPTY, Relaxed);
        }
    }

    #[inline]
    fn state(&self, slot: u64) -> &'a AtomicU64 {
        self.block.word(slot * Self::STEP)
    }

    #[inline]
    fn key(&self, slot: u64) -> Option<K> {
        self.block.get(slot * Self::STEP + Self::KEY)
    }

    #[inline]
    fn side(slot: u64, state: u64) -> u64 {
        slot * Self::STEP + Self::VALUES + if state & SIDE == 0 { 0 } else { room::<V>() }
    }

    #[inline]
    fn value(&self, slot: u64, state: u64) -> Option<V> {
        self.block.get(Self::side(slot, state))
    }

    /// The slots in the order in which a hash is searched for.
    #[inline]
    fn probe(&self, hash: u64) -> impl Iterator<Item = u64> + use<K, V> {
        let slots = self.slots;
        let first = ((u128::from(hash) * u128::from(slots)) >> 48) as u64;
        (first..slots).chain(0..first.min(slots))
    }

    /// Searches without a lock. `None`: the entry has been changed meanwhile. An error: its value is not a
    /// `V`.
    #[inline]
    pub(super) fn read(&self, hash: u64, key: &K) -> Option<Option<Result<V, ShmError>>> {
        for slot in self.probe(hash) {
            let state = self.state(slot).load(Acquire);
            if state & KIND == EMPTY {
                break;
            }
            if state & KIND == LIVE && state >> HASH_SHIFT == hash {
                let (found, value) = (self.key(slot), self.value(slot, state));
                fence(Acquire);
                if self.state(slot).load(Relaxed) != state {
                    return None;
                }
                if found.is_some_and(|found| bytes_of(&found) == bytes_of(key)) {
                    return Some(Some(value.ok_or(ShmError::Corrupt)));
                }
            }
        }
        Some(None)
    }

    /// Searches under the lock.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: &K) -> Found {
        let mut dead = None;
        for slot in self.probe(hash) {
            let state = self.state(slot).load(Relaxed);
            match state & KIND {
                EMPTY => return dead.map_or(Found::Room(slot, true), |dead| Found::Room(dead, false)),
                LIVE if state >> HASH_SHIFT == hash => {
                    if self.key(slot).is_some_and(|found| bytes_of(&found) == bytes_of(key)) {
                        return Found::Key(slot);
                    }
                }
                LIVE => {}
                _ => dead = dead.or(Some(slot)),
            }
        }
        dead.map_or(Found::Full, |dead| Found::Room(dead, false))
    }

    /// The value in a live slot, under the lock.
    pub(super) fn get(&self, slot: u64) -> Result<V, ShmError> {
        self.value(slot, self.state(slot).load(Relaxed)).ok_or(ShmError::Corrupt)
    }

    /// Puts a key with its value into a slot that is not live.
    #[inline]
    pub(super) fn put(&self, slot: u64, hash: u64, key: &K, value: &V) {
        let state = self.state(slot);
        let old = state.load(Relaxed);
        let new = hash << HASH_SHIFT | old.wrapping_add(CHANGE) & CHANGES | LIVE;
        // Whoever sees what is written now also sees that the slot was dead before.
        fence(Release);
        self.block.put(slot * Self::STEP + Self::KEY, key);
        self.block.put(Self::side(slot, new), value);
        state.store(new, Release);
    }

    /// Sets the value of a live slot.
    #[inline]
    pub(super) fn set(&self, slot: u64, value: &V) {
        let state = self.state(slot);
        let old = state.load(Relaxed);
        let new = old & !CHANGES | old.wrapping_add(CHANGE) & CHANGES;
        let new = new ^ SIDE;
        fence(Release);
        self.block.put(Self::side(slot, new), value);
        state.store(new, Release);
    }

    /// Makes a live slot dead.
    pub(super) fn kill(&self, slot: u64) {
        let state = self.state(slot);
        let old = state.load(Relaxed);
        state.store(old.wrapping_add(CHANGE) & CHANGES | DEAD, Release);
    }

    /// How many entries live, and how many are not empty.
    pub(super) fn count(&self) -> (u64, u64) {
        (0..self.slots).fold((0, 0), |(live, used), slot| match self.state(slot).load(Relaxed) & KIND {
            EMPTY => (live, used),
            LIVE => (live + 1, used + 1),
            _ => (live, used + 1),
        })
    }

    /// Copies all live entries to an empty table, under the lock.
    pub(super) fn copy_to(&self, other: &Table<'_, K, V>) -> Result<(), ShmError> {
        for slot in 0..self.slots {
            let state = self.state(slot).load(Relaxed);
            if state & KIND == LIVE {
                let key = self.key(slot).ok_or(ShmError::Corrupt)?;
                let value = self.value(slot, state).ok_or(ShmError::Corrupt)?;
                match other.find(state >> HASH_SHIFT, &key) {
                    Found::Room(to, _) => other.put(to, state >> HASH_SHIFT, &key, &value),
                    _ => return Err(ShmError::Corrupt),
                }
            }
        }
        Ok(())
    }

    /// The next live entry from a slot on, without the lock.
    pub(super) fn next(&self, slot: &mut u64) -> Option<Result<(K, V), ShmError>> {
        while *slot < self.slots {
            let state = self.state(*slot).load(Acquire);
            if state & KIND == LIVE {
                let (key, value) = (self.key(*slot), self.value(*slot, state));
                fence(Acquire);
                if self.state(*slot).load(Relaxed) != state {
                    continue;
                }
                *slot += 1;
                return Some(key.zip(value).ok_or(ShmError::Corrupt));
            }
            *slot += 1;
        }
        None
    }
}
