//! Allocation: blocks out of lists and from the top, and which word a block belongs to.
//!
//! 1. *One list for each size class*, under a lock of its own. While a block goes in or out, the list's
//!    `moving` word has its address, which is the holder's own or free. If the holder of the lock dies, the
//!    next one puts that block (back) in: it is in the list then, once, and nowhere else.
//! 2. *The top*, where new blocks are cut, has a lock. A block's header is written before the top moves past
//!    it, and the space is reserved before that: so all below the top is blocks, and none of it can be
//!    refused by the system later.
//! 3. A block that was allocated is *private*: it bears the id of its process, and is freed by the sweep if
//!    that dies.
//! 4. A block in use by a structure is *linked*: it belongs to nobody, and its home is the one word that has
//!    its address. Links change under the structure's lock, by [`Inner::replace`]: the blocks concerned first
//!    bear the id of the process that does it, then the word changes, by a single store. If the process dies
//!    in between, the sweep finds its id, and looks at the word at home: a block belongs where its home says,
//!    or it is garbage. There is no moment at which a look at that word gives the wrong answer.
//! 5. A block that is taken out of its home is *retired*, and freed when nobody has it pinned (see `pin`).
//! 6. The file only grows. A pool's memory goes back to the system when the last process has closed it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::fence;
use std::{fs, io, thread};

use super::block::{Block, HEADER, Head, KEPT, NOBODY, State, class_of, size_of_class};
use super::error::ShmError;
use super::layout;
use super::lock::{Got, Held};
use super::pool::Inner;
use super::sys;

/// The file grows by a quarter of what is used, between these; small steps first, so that a small pool stays
/// small.
const LEAST_STEP: u64 = 64 << 10;
const MOST_STEP: u64 = 64 << 20;
/// As much is asked for in one system call: older kernels begin anew after a signal, and some profilers send
/// one each millisecond.
const PORTION: u64 = 1 << 20;

/// How many bytes the system has to give, as far as it says. Asked for more it does not refuse, but ends
/// processes until it has them.
fn available() -> u64 {
    let about = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| {
        let line = about.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    bytes("MemAvailable:").map_or(u64::MAX, |free| free + bytes("SwapFree:").unwrap_or(0))
}

/// A linked block that belongs to a living process after as many looks is damage.
const SWEEPS: u32 = 100_000;

impl Inner {
    /// A private block with a payload of at least `len` bytes, whose contents are anything.
    pub(super) fn allocate(&self, len: u64) -> Result<Block<'_>, ShmError> {
        let class = class_of(len).ok_or(ShmError::TooLarge)?;
        let block = match self.pop(class) {
            Some(block) => block,
            // Before it is refused, what the dead have left is looked through.
            None => self.cut(class).or_else(|error| self.reclaim(class).ok_or(error))?,
        };
        // A reader without a pin that sees anything of what is written into it now also sees that the block
        // was taken out of its home before.
        fence(Release);
        Ok(block)
    }

    /// A block that a dead process has had, if somebody has died.
    #[cold]
    fn reclaim(&self, class: u8) -> Option<Block<'_>> {
        self.has_dead().then(|| self.sweep().ok())?;
        self.pop(class)
    }

    /// Frees a private block.
    pub(super) fn free(&self, block: Block<'_>) {
        if let Some(Head { class, .. }) = block.head() {
            self.push(class, block);
        }
    }

    fn pop(&self, class: u8) -> Option<Block<'_>> {
        let list = layout::list(class);
        // Looked at without the lock: an empty list is the usual case of a young pool.
        if self.memory.word(list + layout::LIST_HEAD).load(Relaxed) == 0 {
            return None;
        }
        let _held = self.lock_list(list);
        let head = self.memory.word(list + layout::LIST_HEAD);
        let moving = self.memory.word(list + layout::LIST_MOVING);
        let block = Block::find(&self.memory, head.load(Relaxed))?;
        moving.store(block.at, Release);
        head.store(block.home().load(Relaxed), Release);
        block.home().store(0, Release);
        block.user()[1].store(0, Release);
        block.set(State::Taken, self.me());
        moving.store(0, Release);
        Some(block)
    }

    fn push(&self, class: u8, block: Block<'_>) {
        let list = layout::list(class);
        let _held = self.lock_list(list);
        // Whoever frees what is not its own does nothing.
        if block.head().is_some_and(|head| head.state == State::Taken && head.owner == self.me()) {
            let moving = self.memory.word(list + layout::LIST_MOVING);
            moving.store(block.at, Release);
            self.put_in(list, block);
            moving.store(0, Release);
        }
    }

    /// Puts right all lists whose lock has a dead holder.
    pub(super) fn repair_lists(&self) {
        for class in 0..layout::CLASSES {
            drop(self.lock_list(layout::list(class as u8)));
        }
    }

    fn put_in(&self, list: u64, block: Block<'_>) {
        let head = self.memory.word(list + layout::LIST_HEAD);
        let first = head.load(Relaxed);
        block.set(State::Free, NOBODY);
        if first != block.at {
            block.home().store(first, Release);
            head.store(block.at, Release);
        }
    }

    fn lock_list(&self, list: u64) -> Held<'_> {
        let held = Held::short(self, self.memory.half(list));
        if held.got == Got::Died {
            let moving = self.memory.word(list + layout::LIST_MOVING);
            if let Some(block) = Block::find(&self.memory, moving.load(Relaxed)) {
                self.put_in(list, block);
            }
            moving.store(0, Release);
        }
        held
    }

    fn cut(&self, class: u8) -> Result<Block<'_>, ShmError> {
        let _held = Held::short(self, self.memory.half(layout::TOP_LOCK));
        let top = self.memory.word(layout::TOP);
        let from = top.load(Relaxed);
        if from < layout::start(self.memory.leases) || !from.is_multiple_of(16) {
            return Err(ShmError::Corrupt);
        }
        let end = from.checked_add(HEADER + size_of_class(class)).ok_or(ShmError::Corrupt)?;
        self.reach(end)?;
        let block = Block::cut(&self.memory, from + HEADER, class, self.me());
        top.store(end, Release);
        Ok(block)
    }

    /// Sees to it that the file goes to `end` at least.
    pub(super) fn reach(&self, end: u64) -> Result<(), ShmError> {
        if self.memory.has(0, end) {
            return Ok(());
        }
        let length = sys::length(self.memory.file())?;
        let limit = self.limit;
        if end > limit {
            return Err(ShmError::PoolFull { limit });
        }
        let step = (length / 4).clamp(LEAST_STEP, MOST_STEP);
        let goal = (length + step).max(end).next_multiple_of(4096).min(limit);
        // If there is not as much, there may be enough.
        self.extend(length, goal).or_else(|_| self.extend(length, end))
    }

    fn extend(&self, mut from: u64, end: u64) -> Result<(), ShmError> {
        if end.saturating_sub(from) > PORTION && end - from > available() {
            let error = io::Error::from_raw_os_error(libc::ENOMEM);
            return Err(ShmError::System { call: "fallocate", error });
        }
        while from < end {
            let len = (end - from).min(PORTION);
            self.memory.extend(from, len)?;
            from += len;
        }
        Ok(())
    }

    /// A block that a word refers to.
    #[inline]
    pub(super) fn block(&self, at: u64) -> Result<Block<'_>, ShmError> {
        Block::find(&self.memory, at).ok_or(ShmError::Corrupt)
    }

    /// Lets a private block stay until it is freed by its address.
    pub(super) fn keep(&self, block: Block<'_>) {
        block.home().store(KEPT, Release);
        block.set(State::Taken, NOBODY);
    }

    /// Makes a block that belongs to nobody this process's own again.
    pub(super) fn claim(&self, block: Block<'_>) -> Result<(), ShmError> {
        for _ in 0..SWEEPS {
            let head = block.head().ok_or(ShmError::Corrupt)?;
            if head.state != State::Taken {
                return Err(ShmError::Corrupt);
            }
            if head.owner == self.me()
                || (head.owner == NOBODY || !self.is_alive(head.owner))
                    && block.change(head, State::Taken, self.me())
            {
                return Ok(());
            }
            // Somebody is sweeping it, for a moment.
            thread::yield_now();
        }
        Err(ShmError::Corrupt)
    }

    /// Links a private block at a word of a structure whose lock the caller has, or none (`None`), in place
    /// of what was there, which is retired.
    pub(super) fn replace(&self, home: u64, new: Option<Block<'_>>) -> Result<(), ShmError> {
        let old = Block::find(&self.memory, self.memory.word(home).load(Acquire));
        if let Some(old) = old {
            // Whoever copied the link here may have left the old home.
            old.home().store(home, Release);
            self.claim(old)?;
        }
        if let Some(new) = new {
            new.home().store(home, Release);
        }
        self.memory.word(home).store(new.map_or(0, |new| new.at), SeqCst);
        if let Some(new) = new {
            new.set(State::Taken, NOBODY);
        }
        if let Some(old) = old {
            self.retire(old);
        }
        Ok(())
    }

    /// Has the block that a word refers to belong to nobody, so that the link may be copied elsewhere. The
    /// caller has the structure's lock: if it bears the id of a process, that is dead, or sweeping it.
    pub(super) fn settle_link(&self, home: u64) -> Result<(), ShmError> {
        let block = self.block(self.memory.word(home).load(Acquire))?;
        if block.head().is_some_and(|head| head.owner != NOBODY) {
            self.claim(block)?;
            block.set(State::Taken, NOBODY);
        }
        Ok(())
    }

    /// All blocks, from the first to the top.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let end = self.memory.word(layout::TOP).load(Acquire);
        let mut at = layout::start(self.memory.leases) + HEADER;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let block = Block::find(&self.memory, at)?;
            at = block.at + block.len + HEADER;
            Some(block)
        })
    }
}

#[cfg(test)]
mod tests {
    use lwt_unix::faults::{Plan, Rule};

    use super::ShmError;
    use crate::shm::PoolOptions;

    #[test]
    fn more_than_the_system_has_is_not_asked_for() {
        let pool = PoolOptions::new().limit(1 << 45).create().expect("a pool");
        let faults = Plan::seeded(1).with(Rule::on(["fallocate"]).error(libc::ENOSPC)).install();
        let refused = pool.0.reach(1 << 44).expect_err("16 TiB");
        assert_eq!(faults.injected(), 0);
        let no_memory = matches!(&refused, ShmError::System { error, .. }
            if error.raw_os_error() == Some(libc::ENOMEM));
        assert!(no_memory, "{refused}");
        drop(faults);
        pool.0.reach(1 << 25).expect("32 MiB");
    }
}
