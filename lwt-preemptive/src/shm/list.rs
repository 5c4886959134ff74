//! What is in a pool: for tools that show it, and clean up.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::blob;
use super::block::{Block, KEPT, NOBODY, State};
use super::object::{self, Place};
use super::pool::Pool;

/// Something that lies in a pool until it is destroyed or freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Structure {
    /// What it is: `"queue"`, `"map"`, `"bytes"`, and so on.
    pub kind: &'static str,
    /// Where it is.
    pub place: Place,
    /// The bytes of its first block.
    pub bytes: u64,
}

impl Pool {
    /// All structures and stored bytes of the pool. Takes time in proportion to the number of blocks.
    ///
    /// ```
    /// use lwt_preemptive::shm::{Pool, Queue};
    /// let pool = Pool::create()?;
    /// let queue: Queue<u8> = Queue::create(&pool, None, ())?;
    /// let found = pool.structures();
    /// assert_eq!((found[0].kind, found[0].place), ("queue", queue.place()));
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    pub fn structures(&self) -> Vec<Structure> {
        let kept = |block: &Block<'_>| {
            let head = block.head();
            head.is_some_and(|head| head.state == State::Taken && head.owner == NOBODY)
                && block.home().load(Relaxed) == KEPT
        };
        let named = |block: Block<'_>| {
            let kind = if blob::is_blob(block) {
                "bytes"
            } else {
                object::kind_of(block.word(0).load(Acquire)).unwrap_or("unknown")
            };
            Structure { kind, place: Place(block.at), bytes: block.len }
        };
        self.0.blocks().filter(kept).map(named).collect()
    }
}
