//! Twins: a value in shared memory of which readers always see a whole one, and whose writer may die at any
//! moment.
//!
//! It is stored twice, with a version in front, whose lowest bit says which of the two counts. A writer,
//! which has the lock, writes the other one and then adds one to the version: that store is the moment of the
//! change. A reader needs no lock: if the version is the same before and after, what it has copied was not
//! being written, for the next but one write would have been needed for that.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use super::block::{self, Block};
use super::error::ShmError;
use super::object::twice;
use super::safe::ShmSafe;

/// The room that a twin takes.
pub(super) const fn room<T>() -> u64 {
    if size_of::<T>() == 0 { 0 } else { 8 + twice::<T>() }
}

#[inline]
fn side<T>(offset: u64, version: u64) -> u64 {
    offset + 8 + (version & 1) * block::room::<T>()
}

/// Fills a twin that nobody else sees yet.
pub(super) fn init<T: ShmSafe>(block: Block<'_>, offset: u64, value: &T) {
    if size_of::<T>() != 0 {
        block.word(offset).store(0, Relaxed);
        block.put(side::<T>(offset, 0), value);
    }
}

/// The value.
#[inline]
pub(super) fn read<T: ShmSafe>(block: Block<'_>, offset: u64) -> Result<T, ShmError> {
    read_versioned(block, offset).map(|(value, _)| value)
}

/// The value, and how often it has been written.
#[inline]
pub(super) fn read_versioned<T: ShmSafe>(block: Block<'_>, offset: u64) -> Result<(T, u64), ShmError> {
    if size_of::<T>() == 0 {
        return Ok((super::safe::value_of(|_| ()).ok_or(ShmError::Corrupt)?, 0));
    }
    let word = block.word(offset);
    loop {
        let version = word.load(Acquire);
        let value = block.get(side::<T>(offset, version));
        fence(Acquire);
        if word.load(Relaxed) == version {
            return value.map(|value| (value, version)).ok_or(ShmError::Corrupt);
        }
    }
}

/// Writes the value. The caller has the lock.
#[inline]
pub(super) fn write<T: ShmSafe>(block: Block<'_>, offset: u64, value: &T) {
    if size_of::<T>() != 0 {
        let word = block.word(offset);
        let version = word.load(Relaxed).wrapping_add(1);
        // Whoever sees what is written now also sees the version of the last write.
        fence(Release);
        block.put(side::<T>(offset, version), value);
        word.store(version, Release);
    }
}
