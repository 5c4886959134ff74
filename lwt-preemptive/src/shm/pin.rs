//! Pins: who is reading a block, so that it is not freed meanwhile.
//!
//! A lease has a number of pins, words of which each is 0 or the address of a block. A process that needs
//! more than the lease has takes blocks for them, whose addresses stand in the lease.
//!
//! 1. *Pinning*: the address is read from its home, written into a pin, and read from its home again. If it
//!    is still there, whoever takes it out from now on will see the pin.
//! 2. *Freeing*: a block is retired first, after it was taken out of its home; it is freed by whoever looks
//!    through all pins then and finds none. Otherwise it stays retired, and whoever removes the last pin
//!    frees it.
//! 3. A dead process's pins do not count from when its lease is marked as free on; the sweep, which does
//!    that, frees what was retired, and the blocks of the pins themselves, which were the process's own. No
//!    count can be wrong, for there is none.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::block::{Block, Head, NOBODY, State};
use super::error::ShmError;
use super::layout::{self, PAGE_PINS, PAGES, PINS};
use super::lease;
use super::pool::Inner;

/// A pinned block. It stays what it is until the pin is dropped.
#[derive(Debug)]
pub(super) struct Pin {
    inner: Arc<Inner>,
    slot: Slot,
    pub(super) at: u64,
}

/// One of this process's pins.
#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u32,
    /// Where its word is.
    word: u64,
}

/// The pins of this process that are not in use; those with the lowest numbers are used first.
#[derive(Debug)]
pub(super) struct FreePins {
    free: Vec<Slot>,
    /// The blocks with more of them.
    pages: Vec<u64>,
}

impl FreePins {
    /// All that the lease has.
    pub(super) fn new(id: lease::Id) -> FreePins {
        let word = |number| layout::lease(id.index()) + layout::LEASE_PINS + 8 * u64::from(number);
        let free = (0..PINS).rev().map(|number| Slot { number, word: word(number) }).collect();
        FreePins { free, pages: Vec::new() }
    }
}

impl Pin {
    /// Pins the block that the word at `home` refers to, if it refers to one.
    ///
    /// # Errors
    /// [`ShmError::TooManyPins`], and those of growing the pool.
    pub(super) fn new(inner: &Arc<Inner>, home: u64) -> Result<Option<Pin>, ShmError> {
        let cell = inner.memory.word(home);
        let mut pin = Pin::at(inner, cell.load(SeqCst))?;
        loop {
            let at = cell.load(SeqCst);
            if at == pin.at {
                return Ok(Block::find(&inner.memory, at).is_some().then_some(pin));
            }
            pin.at = at;
            inner.memory.word(pin.slot.word).store(at, SeqCst);
        }
    }

    /// Pins a block that the caller knows to be in use, or looks at afterwards.
    ///
    /// # Errors
    /// As [`Pin::new`].
    pub(super) fn at(inner: &Arc<Inner>, at: u64) -> Result<Pin, ShmError> {
        let slot = inner.free_pin()?;
        inner.memory.word(slot.word).store(at, SeqCst);
        let high = inner.memory.word(layout::lease(inner.me().index()) + layout::LEASE_HIGH);
        if high.load(SeqCst) <= slot.number.into() {
            high.fetch_max(u64::from(slot.number) + 1, SeqCst);
        }
        Ok(Pin { inner: inner.clone(), slot, at })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let inner = &self.inner;
        if !inner.is_here() {
            return;
        }
        inner.memory.word(self.slot.word).store(0, SeqCst);
        inner.pins().free.push(self.slot);
        if let Some(block) = Block::find(&inner.memory, self.at)
            && block.head().is_some_and(|head| head.state == State::Retired)
        {
            inner.free_retired(block);
        }
    }
}

impl Inner {
    fn pins(&self) -> MutexGuard<'_, FreePins> {
        self.free_pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free_pin(&self) -> Result<Slot, ShmError> {
        let mut pins = self.pins();
        if pins.free.is_empty() {
            self.add_pins(&mut pins)?;
        }
        pins.free.pop().ok_or(ShmError::TooManyPins)
    }

    /// Takes a block for more pins.
    #[cold]
    fn add_pins(&self, pins: &mut FreePins) -> Result<(), ShmError> {
        let page = pins.pages.len() as u32;
        if page == PAGES {
            return Err(ShmError::TooManyPins);
        }
        let block = self.allocate(8 * u64::from(PAGE_PINS))?;
        for word in block.cells::<AtomicU64>(0, PAGE_PINS as usize) {
            word.store(0, Relaxed);
        }
        self.more_pins(self.me(), page).store(block.at, SeqCst);
        pins.pages.push(block.at);
        let slot = |index: u32| Slot {
            number: PINS + page * PAGE_PINS + index,
            word: block.at + 8 * u64::from(index),
        };
        pins.free.extend((0..PAGE_PINS).rev().map(slot));
        Ok(())
    }

    /// Gives the blocks of pins back, of which none is in use any more.
    pub(super) fn give_pins_back(&self) {
        for (page, at) in std::mem::take(&mut self.pins().pages).into_iter().enumerate() {
            self.more_pins(self.me(), page as u32).store(0, SeqCst);
            if let Ok(block) = self.block(at) {
                self.free(block);
            }
        }
    }

    fn more_pins(&self, id: lease::Id, page: u32) -> &AtomicU64 {
        self.memory.word(layout::lease(id.index()) + layout::LEASE_MORE + 8 * u64::from(page))
    }

    /// Calls `found` with all pins of a lease, until it says `true`; says whether it did.
    fn any_pin(&self, id: lease::Id, mut found: impl FnMut(&AtomicU64) -> bool) -> bool {
        let lease = layout::lease(id.index());
        let high = self.memory.word(lease + layout::LEASE_HIGH).load(SeqCst);
        let first = self.memory.cells(lease + layout::LEASE_PINS, high.min(PINS.into()) as usize);
        let pages = high.saturating_sub(PINS.into()).div_ceil(PAGE_PINS.into()).min(PAGES.into());
        first.iter().any(&mut found)
            || (0..pages as u32).any(|page| {
                // If it is none any more, its process has ended meanwhile, and its pins do not count.
                let page = self.block(self.more_pins(id, page).load(SeqCst));
                page.is_ok_and(|page| page.cells(0, PAGE_PINS as usize).iter().any(&mut found))
            })
    }

    /// How many pins of a lease are in use.
    pub(super) fn count_pins(&self, id: lease::Id) -> usize {
        let mut count = 0;
        self.any_pin(id, |pin| {
            count += usize::from(pin.load(SeqCst) != 0);
            false
        });
        count
    }

    /// Whether anybody has the block pinned.
    fn is_pinned(&self, at: u64) -> bool {
        fence(SeqCst);
        lease::holders(&self.memory).any(|(id, _)| self.any_pin(id, |pin| pin.load(SeqCst) == at))
    }

    /// Frees a block of this process that has been taken out of its home, now or when nobody reads it any
    /// more.
    pub(super) fn retire(&self, block: Block<'_>) {
        block.home().store(0, Relaxed);
        block.set(State::Retired, NOBODY);
        self.free_retired(block);
    }

    /// Frees a retired block if nobody has it pinned.
    pub(super) fn free_retired(&self, block: Block<'_>) {
        loop {
            if self.is_pinned(block.at) {
                return;
            }
            let Some(head @ Head { state: State::Retired, owner: NOBODY, .. }) = block.head() else { return };
            if !block.change(head, State::Taken, self.me()) {
                return;
            }
            // Who pinned it before it was retired, and is not seen yet, has found it gone from its home. Who
            // removed a pin meanwhile has left the freeing to us.
            if !self.is_pinned(block.at) {
                self.free(block);
                return;
            }
            block.set(State::Retired, NOBODY);
        }
    }
}
