//! The sweep: what dead processes leave in a pool, and how it is put right.
//!
//! Any process may sweep at any time, several at once too, and may die while it does: all that is done to a
//! block is one compare-and-set of its head. Whoever knows of a death calls
//! [`Pool::sweep`](super::Pool::sweep); a program does when a worker has ended to whom the pool was given,
//! attaching does, and so does whoever would be refused memory. Nobody has to wait for it: locks are taken
//! over by those who want them.

use std::sync::atomic::Ordering::Acquire;
#[cfg(feature = "worker")]
use std::sync::{Arc, Weak};

use super::block::{Block, Head, KEPT, NOBODY, State};
use super::error::ShmError;
use super::layout;
use super::lease;
#[cfg(feature = "worker")]
use super::pool::Pool;
use super::pool::{Inner, PoolStats};
use super::sys;

/// A pool that is to be swept when a process has died, if this one still has it then.
#[cfg(feature = "worker")]
#[derive(Debug, Clone)]
pub(crate) struct Sweeper(Weak<Inner>);

#[cfg(feature = "worker")]
impl Sweeper {
    pub(crate) fn new(pool: &Pool) -> Sweeper {
        Sweeper(Arc::downgrade(&pool.0))
    }

    /// Sweeps, if somebody has died.
    pub(crate) fn sweep(&self) {
        if let Some(inner) = self.0.upgrade()
            && inner.is_here()
            && inner.has_dead()
        {
            // That the memory is damaged is told to those who use it.
            let _ = inner.sweep();
        }
    }
}

impl Inner {
    /// Whether somebody has died whom nobody has swept away.
    pub(super) fn has_dead(&self) -> bool {
        lease::holders(&self.memory).any(|(id, _)| !self.is_alive(id))
    }

    /// Settles what dead processes have left; says how many have been found dead.
    pub(super) fn sweep(&self) -> Result<usize, ShmError> {
        let dead = lease::holders(&self.memory)
            .filter(|(id, _)| !self.is_alive(*id) && lease::mark_dead(&self.memory, *id))
            .count();
        // First what they were putting into a list or taking out: after this, what bears their ids is in no
        // list.
        self.repair_lists();
        for block in self.blocks() {
            let head = block.head().ok_or(ShmError::Corrupt)?;
            match head.state {
                State::Taken if head.owner != NOBODY && lease::is_gone(&self.memory, head.owner) => {
                    self.settle(block, head);
                }
                State::Retired => self.free_retired(block),
                State::Taken | State::Free => {}
            }
        }
        Ok(dead)
    }

    /// Settles a block whose owner is dead: it belongs to its home, or is garbage.
    fn settle(&self, block: Block<'_>, head: Head) {
        let home = block.home().load(Acquire);
        let linked = home.is_multiple_of(8)
            && home >= layout::entry(0)
            && self.memory.has(home, 8)
            && self.memory.word(home).load(Acquire) == block.at;
        if linked || home == KEPT {
            block.change(head, State::Taken, NOBODY);
        } else if block.change(head, State::Retired, NOBODY) {
            self.free_retired(block);
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let mut stats = PoolStats {
            limit: self.limit,
            // A failure shows as what is known for sure.
            reserved: sys::length(self.memory.file()).unwrap_or(0),
            used: 0,
            free: 0,
            retired: 0,
            blocks: 0,
            processes: lease::holders(&self.memory).count() as u32,
        };
        for block in self.blocks() {
            match block.head().map(|head| head.state) {
                Some(State::Taken) => {
                    stats.used += block.len;
                    stats.blocks += 1;
                }
                Some(State::Free) => stats.free += block.len,
                Some(State::Retired) => stats.retired += block.len,
                None => {}
            }
        }
        stats
    }
}
