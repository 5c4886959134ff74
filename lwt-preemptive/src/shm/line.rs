//! What the queues have in common: elements by position, from the first one to behind the last one, in a ring.
//!
//! 1. Positions only grow. An element is in the queue as long as its position is between the queue's two.
//! 2. Both are stored under the queue's lock, and may be looked at without it.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::block::Block;
use super::error::ShmError;
use super::object::Object;
use super::pool::Pool;
use super::safe::ShmSafe;

// A queue's own part: how many elements it may have, positions of the first one and behind the last one, the
// ring.
pub(super) const BOUND: u64 = 0;
pub(super) const FIRST: u64 = 8;
pub(super) const END: u64 = 16;
pub(super) const RING: u64 = 24;
pub(super) const LEN: u64 = 32;

/// Makes a queue for `bound` elements at most, or any number.
pub(super) fn create<H: ShmSafe>(
    pool: &Pool,
    kind: &'static str,
    shape: u64,
    bound: Option<usize>,
    header: &H,
) -> Result<Object, ShmError> {
    let bound = bound.map_or(u64::MAX, |bound| bound.max(1) as u64);
    Object::create(pool, kind, shape, header, LEN, |block, at| block.word(at + BOUND).store(bound, Relaxed))
}

/// The positions of the first element and behind the last one.
#[inline]
pub(super) fn positions(block: Block<'_>, body: u64) -> (u64, u64) {
    let first = block.word(body + FIRST).load(Acquire);
    (first, block.word(body + END).load(Acquire))
}

/// Whether there is no room, as one sees it without the lock: if so, there was none at one moment.
#[inline]
pub(super) fn is_full(block: Block<'_>, body: u64) -> bool {
    // The end first, so that the elements are not taken for more than they are.
    let end = block.word(body + END).load(Acquire);
    let first = block.word(body + FIRST).load(Acquire);
    end.saturating_sub(first) >= block.word(body + BOUND).load(Relaxed)
}

/// How many elements there are, at a moment that may be over already.
pub(super) fn count(object: &Object, body: u64) -> Result<usize, ShmError> {
    object.check()?;
    let block = object.block();
    let (mut first, mut end) = positions(block, body);
    // Of one moment only if nothing has been taken out between the two.
    while block.word(body + FIRST).load(Acquire) != first {
        (first, end) = positions(block, body);
    }
    Ok(end.saturating_sub(first) as usize)
}
