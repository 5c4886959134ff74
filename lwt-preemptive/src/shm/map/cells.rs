//! Slots that have the key and the value themselves: the key, and room for two values, of which the state
//! word says which one counts.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use super::super::block::room;
use super::super::error::ShmError;
use super::super::safe::{ShmSafe, bytes_of};
use super::table::{Found, SIDE, Slot, Table, lives};

/// A slot of a [`Map`](super::Map).
pub(super) struct Cells<K, V>(PhantomData<(K, V)>);

const KEY: u64 = 8;

impl<K: ShmSafe, V: ShmSafe> Cells<K, V> {
    const VALUES: u64 = KEY + room::<K>();
}

impl<K: ShmSafe, V: ShmSafe> Slot for Cells<K, V> {
    const STEP: u64 = Self::VALUES + 2 * room::<V>();

    fn copy(from: &Table<'_, Self>, slot: u64, to: &Table<'_, Self>, new: u64) -> Result<(), ShmError> {
        to.put(new, 0, &from.key(slot).ok_or(ShmError::Corrupt)?, &from.get(slot)?);
        Ok(())
    }
}

impl<K: ShmSafe, V: ShmSafe> Table<'_, Cells<K, V>> {
    const STEP: u64 = <Cells<K, V> as Slot>::STEP;

    #[inline]
    fn key(&self, slot: u64) -> Option<K> {
        self.block.get(slot * Self::STEP + KEY)
    }

    /// Where the value is that counts in a state.
    #[inline]
    fn side(slot: u64, state: u64) -> u64 {
        let side = if state & SIDE == 0 { 0 } else { room::<V>() };
        slot * Self::STEP + Cells::<K, V>::VALUES + side
    }

    #[inline]
    fn is(&self, slot: u64, key: &K) -> bool {
        self.key(slot).is_some_and(|found| bytes_of(&found) == bytes_of(key))
    }

    /// Searches without a lock. The outer `None`: a slot has been changed meanwhile. An error: the value is
    /// not a `V`.
    #[inline]
    pub(super) fn read(&self, hash: u32, key: &K) -> Option<Option<Result<V, ShmError>>> {
        let found = self.search(hash, |slot, state| {
            let (is_key, value) = (self.is(slot, key), self.block.get(Self::side(slot, state)));
            fence(Acquire);
            if self.state(slot).load(Relaxed) != state {
                return Some(None);
            }
            is_key.then(|| Some(value.ok_or(ShmError::Corrupt)))
        });
        match found {
            None => Some(None),
            Some(None) => None,
            Some(value) => Some(value),
        }
    }

    /// The slot of a key, under the lock.
    #[inline]
    pub(super) fn find_key(&self, hash: u32, key: &K) -> Found {
        self.find(hash, |slot| self.is(slot, key))
    }

    /// The value in a live slot, under the lock.
    pub(super) fn get(&self, slot: u64) -> Result<V, ShmError> {
        self.block.get(Self::side(slot, self.state(slot).load(Relaxed))).ok_or(ShmError::Corrupt)
    }

    /// Writes a key and its value for the state that the slot is to get.
    #[inline]
    fn put(&self, slot: u64, state: u64, key: &K, value: &V) {
        self.block.put(slot * Self::STEP + KEY, key);
        self.block.put(Self::side(slot, state), value);
    }

    /// Puts a key with its value into a slot that is not live.
    #[inline]
    pub(super) fn add(&self, slot: u64, hash: u32, key: &K, value: &V) {
        let state = self.born(slot, hash);
        // Whoever sees what is written now also sees that the slot was dead before.
        fence(Release);
        self.put(slot, state, key, value);
        self.state(slot).store(state, Release);
    }

    /// Sets the value of a live slot.
    #[inline]
    pub(super) fn set(&self, slot: u64, value: &V) {
        let state = self.changed(slot) ^ SIDE;
        fence(Release);
        self.block.put(Self::side(slot, state), value);
        self.state(slot).store(state, Release);
    }

    /// The next live entry from a slot on, without the lock.
    pub(super) fn next(&self, slot: &mut u64) -> Option<Result<(K, V), ShmError>> {
        while *slot < self.slots {
            let state = self.state(*slot).load(Acquire);
            if lives(state) {
                let (key, value) = (self.key(*slot), self.block.get(Self::side(*slot, state)));
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
