//! Slots that refer to a block with the key and the value: a blob whose first word is the length of the key,
//! then the key, and the value at the next multiple of sixteen.
//!
//! 1. The link is the one word that refers to the block. A slot that is not live may have one still, of which
//!    a process died that was adding or removing it; whoever uses the slot again, or the table no more, lets
//!    go of it.
//! 2. Links are copied to a larger table, and with that the blocks' homes are wrong. That is no harm: a home
//!    counts only as long as a block belongs to a process, and none does that is settled before.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::super::blob::{self, Blob};
use super::super::block::{Block, words};
use super::super::error::ShmError;
use super::super::pin::Pin;
use super::super::pool::Inner;
use super::table::{Found, Slot, Table, lives};

const LINK: u64 = 8;
const KEY: u64 = 8;

/// A slot of a [`BytesMap`](super::BytesMap).
#[derive(Debug)]
pub(super) struct Links;

impl Slot for Links {
    const STEP: u64 = 16;

    fn copy(from: &Table<'_, Self>, slot: u64, to: &Table<'_, Self>, new: u64) -> Result<(), ShmError> {
        to.link(new).store(from.link(slot).load(Relaxed), Relaxed);
        Ok(())
    }

    fn release(inner: &Inner, table: &Table<'_, Self>, slot: u64) -> Result<(), ShmError> {
        inner.replace(table.home(slot), None)
    }

    fn settle(inner: &Inner, table: &Table<'_, Self>, slot: u64) -> Result<(), ShmError> {
        inner.settle_link(table.home(slot))
    }
}

/// Where the value begins behind a key of this length.
fn value_at(key: usize) -> usize {
    (KEY as usize + key).next_multiple_of(16)
}

/// Makes a private block with a key and a value.
pub(super) fn make<'a>(inner: &'a Inner, key: &[u8], value: &[u8]) -> Result<Block<'a>, ShmError> {
    let at = value_at(key.len());
    blob::make_with(inner, at + value.len(), |block| {
        block.word(0).store(key.len() as u64, Relaxed);
        block.store(KEY, key);
        block.store(at as u64, value);
        // Between them.
        (KEY + words(key.len())..at as u64).step_by(8).for_each(|at| block.word(at).store(0, Relaxed));
    })
}

/// The length of the key in a block, if it has one.
fn key_length(block: &[u8]) -> Option<usize> {
    let length = u64::from_ne_bytes(*block.first_chunk()?);
    let length = usize::try_from(length).ok().filter(|length| *length <= block.len())?;
    (value_at(length) <= block.len()).then_some(length)
}

/// A key with its value, in place.
#[derive(Debug)]
pub struct BytesPair {
    block: Blob,
    key: usize,
}

impl BytesPair {
    pub(super) fn new(block: Blob) -> Result<BytesPair, ShmError> {
        let key = key_length(&block).ok_or(ShmError::Corrupt)?;
        Ok(BytesPair { block, key })
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.block[KEY as usize..][..self.key]
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.block[value_at(self.key)..]
    }

    /// The value alone.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn into_value(self) -> Result<Blob, ShmError> {
        let end = self.block.len();
        self.block.part(value_at(self.key)..end)
    }
}

/// What a look at a slot has found.
pub(super) enum Look {
    /// This.
    Pair(BytesPair),
    /// Nothing.
    Empty,
    /// The slot, or the table, has been changed meanwhile.
    Disturbed,
}

impl Table<'_, Links> {
    fn link(&self, slot: u64) -> &AtomicU64 {
        self.block.word(slot * Links::STEP + LINK)
    }

    /// The address of the link.
    fn home(&self, slot: u64) -> u64 {
        self.block.at + slot * Links::STEP + LINK
    }

    /// Pins what is in a slot that had this state, without the lock. `current` says whether the table is in
    /// use still, so that its links count.
    pub(super) fn look(
        &self,
        inner: &Arc<Inner>,
        slot: u64,
        state: u64,
        current: impl Fn() -> bool,
    ) -> Result<Look, ShmError> {
        let pin = Pin::new(inner, self.home(slot))?;
        // Only after this is the block known to be what it was linked as, and to stay that.
        if !current() || self.state(slot).load(SeqCst) != state {
            return Ok(Look::Disturbed);
        }
        match pin {
            Some(pin) => Blob::pinned(inner, pin).and_then(BytesPair::new).map(Look::Pair),
            None => Err(ShmError::Corrupt),
        }
    }

    /// Searches without the lock; `None`: something has been changed meanwhile.
    pub(super) fn read(
        &self,
        inner: &Arc<Inner>,
        hash: u32,
        key: &[u8],
        current: impl Fn() -> bool,
    ) -> Option<Result<Option<BytesPair>, ShmError>> {
        let found = self.search(hash, |slot, state| match self.look(inner, slot, state, &current) {
            Ok(Look::Pair(pair)) => (pair.key() == key).then_some(Some(Ok(Some(pair)))),
            Ok(Look::Empty) => None,
            Ok(Look::Disturbed) => Some(None),
            Err(error) => Some(Some(Err(error))),
        });
        found.unwrap_or(Some(Ok(None)))
    }

    /// The block that a slot refers to, under the lock.
    fn block_of(&self, inner: &Arc<Inner>, slot: u64) -> Result<BytesPair, ShmError> {
        let pin = Pin::at(inner, self.link(slot).load(Acquire))?;
        Blob::pinned(inner, pin).and_then(BytesPair::new)
    }

    /// The slot of a key, under the lock.
    pub(super) fn find_key(&self, inner: &Arc<Inner>, hash: u32, key: &[u8]) -> Result<Found, ShmError> {
        let error = std::cell::Cell::new(None);
        let found = self.find(hash, |slot| match self.block_of(inner, slot) {
            Ok(pair) => pair.key() == key,
            Err(wrong) => {
                error.set(Some(wrong));
                true
            }
        });
        error.into_inner().map_or(Ok(found), Err)
    }

    /// What is in a live slot, under the lock.
    pub(super) fn get(&self, inner: &Arc<Inner>, slot: u64) -> Result<BytesPair, ShmError> {
        self.block_of(inner, slot)
    }

    /// Puts a private block into a slot that is not live, under the lock.
    pub(super) fn add(&self, inner: &Inner, slot: u64, hash: u32, block: Block<'_>) -> Result<(), ShmError> {
        inner.replace(self.home(slot), Some(block))?;
        self.state(slot).store(self.born(slot, hash), Release);
        Ok(())
    }

    /// Puts a private block into a live slot, under the lock.
    pub(super) fn set(&self, inner: &Inner, slot: u64, block: Block<'_>) -> Result<(), ShmError> {
        inner.replace(self.home(slot), Some(block))
    }

    /// Makes a live slot dead, and lets go of its block, under the lock.
    pub(super) fn remove(&self, inner: &Inner, slot: u64) -> Result<(), ShmError> {
        self.kill(slot);
        inner.replace(self.home(slot), None)
    }

    /// The next live entry from a slot on, without the lock.
    pub(super) fn next(
        &self,
        inner: &Arc<Inner>,
        slot: &mut u64,
        current: impl Fn() -> bool,
    ) -> Result<Look, ShmError> {
        while *slot < self.slots {
            let state = self.state(*slot).load(Acquire);
            if !lives(state) {
                *slot += 1;
                continue;
            }
            match self.look(inner, *slot, state, &current)? {
                Look::Disturbed if current() => {}
                found => {
                    *slot += 1;
                    return Ok(found);
                }
            }
        }
        Ok(Look::Empty)
    }
}
