//! Pins: who is reading a block, so that it is not freed meanwhile.
//!
//! A lease has a number of pins, words of which each is 0 or the address of a block.
//!
//! 1. *Pinning*: the address is read from its home, written into a pin, and read from its home again. If it
//!    is still there, whoever takes it out from now on will see the pin.
//! 2. *Freeing*: a block is retired first, after it was taken out of its home; it is freed by whoever looks
//!    through all pins then and finds none. Otherwise it stays retired, and whoever removes the last pin
//!    frees it.
//! 3. A dead process's pins do not count from when its lease is marked as free on; the sweep, which does
//!    that, frees what was retired. No count can be wrong, for there is none.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::sync::{Arc, PoisonError};

use super::block::{Block, Head, NOBODY, State};
use super::layout;
use super::lease;
use super::pool::Inner;

/// A pinned block. It stays what it is until the pin is dropped.
#[derive(Debug)]
pub(super) struct Pin {
    inner: Arc<Inner>,
    slot: u16,
    pub(super) at: u64,
}

impl Pin {
    /// Pins the block that the word at `home` refers to, if it refers to one. The outer `None`: all pins are
    /// in use.
    pub(super) fn new(inner: &Arc<Inner>, home: u64) -> Option<Option<Pin>> {
        let cell = inner.memory.word(home);
        let pin = Pin::at(inner, cell.load(SeqCst))?;
        let mut pin = pin;
        loop {
            let at = cell.load(SeqCst);
            if at == pin.at {
                return Some((Block::find(&inner.memory, at).is_some()).then_some(pin));
            }
            pin.at = at;
            inner.pin_word(inner.me(), pin.slot).store(at, SeqCst);
        }
    }

    /// Pins a block that the caller knows to be in use. `None`: all pins are in use.
    pub(super) fn at(inner: &Arc<Inner>, at: u64) -> Option<Pin> {
        let slot = inner.pins().pop()?;
        inner.pin_word(inner.me(), slot).store(at, SeqCst);
        let high = inner.memory.word(layout::lease(inner.me().index()) + layout::LEASE_HIGH);
        high.fetch_max(u64::from(slot) + 1, SeqCst);
        fence(SeqCst);
        Some(Pin { inner: inner.clone(), slot, at })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let inner = &self.inner;
        inner.pin_word(inner.me(), self.slot).store(0, SeqCst);
        inner.pins().push(self.slot);
        if let Some(block) = Block::find(&inner.memory, self.at)
            && block.head().is_some_and(|head| head.state == State::Retired)
        {
            inner.free_retired(block);
        }
    }
}

impl Inner {
    /// The free pins of this process; the lowest numbers are used first.
    fn pins(&self) -> std::sync::MutexGuard<'_, Vec<u16>> {
        self.free_pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pin_word(&self, id: lease::Id, slot: u16) -> &std::sync::atomic::AtomicU64 {
        self.memory.word(layout::lease(id.index()) + layout::LEASE_PINS + 8 * u64::from(slot))
    }

    /// Whether anybody has the block pinned.
    fn is_pinned(&self, at: u64) -> bool {
        fence(SeqCst);
        lease::holders(&self.memory).any(|(id, _)| {
            let high = self.memory.word(layout::lease(id.index()) + layout::LEASE_HIGH).load(SeqCst);
            let high = high.min(layout::PINS.into()) as u16;
            (0..high).any(|slot| self.pin_word(id, slot).load(SeqCst) == at)
        })
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
