//! Blocks: the pieces that a pool's memory is cut into, and what their headers say.
//!
//! A block is a header of four words and a payload whose size is that of its class: four classes for each
//! doubling from 64 bytes on, so that a fifth of a block is unused at worst, and nothing of one whose size is
//! a power of two. A position that was once cut keeps its class for good, so blocks can always be walked from
//! the first to the top, and a stale address of a block is that of a block of the same size.
//!
//! The first word has the magic number, the class, the state and the id of the process that the block belongs
//! to, 0 if to none; the second is the block's *home*: the address of the word that refers to it. The others
//! are its user's, for what shall not take a part of the payload, whose size is often a power of two.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::layout;
use super::lease::Id;
use super::memory::{self, Memory, Width};
use super::safe::{ShmSafe, bytes_of, value_of};

/// The length of a block's header.
pub(super) const HEADER: u64 = 32;
const MAGIC: u64 = 0xb10c;
/// How far before the payload the other words are.
const HOME: u64 = 24;
const USER: u64 = 16;

/// A block's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// In its class's list; the home word has the next one.
    Free,
    /// In use: by the process that it belongs to, or by its home.
    Taken,
    /// Without a home, but somebody may be reading it still.
    Retired,
}

/// What a block's first word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) class: u8,
    pub(super) state: State,
    /// Whom it belongs to, 0 for nobody.
    pub(super) owner: Id,
}

pub(super) const NOBODY: Id = Id(0);
/// The home of a block that stays until somebody frees it by its address.
pub(super) const KEPT: u64 = 1;

impl Head {
    fn to_word(self) -> u64 {
        let state = match self.state {
            State::Free => 1,
            State::Taken => 2,
            State::Retired => 3,
        };
        MAGIC << 48 | u64::from(self.class) << 40 | state << 32 | u64::from(self.owner.0)
    }

    fn of_word(word: u64) -> Option<Head> {
        let state = match word >> 32 & 0xff {
            1 => State::Free,
            2 => State::Taken,
            3 => State::Retired,
            _ => return None,
        };
        let class = (word >> 40) as u8;
        let valid = word >> 48 == MAGIC && usize::from(class) < layout::CLASSES;
        valid.then_some(Head { class, state, owner: Id(word as u32) })
    }
}

/// The class for a payload of `len` bytes.
pub(super) fn class_of(len: u64) -> Option<u8> {
    if len <= 64 {
        return Some((len.max(1).div_ceil(16) - 1) as u8);
    }
    // 64 < len: `power` is that of the doubling that it is in, and `quarter` says which part of it.
    let power = u64::from((len - 1).ilog2());
    let quarter = ((len - 1) >> (power - 2)) & 3;
    let class = 4 + (power - 6) * 4 + quarter;
    (class < layout::CLASSES as u64).then_some(class as u8)
}

/// The size of the payloads of a class.
pub(super) fn size_of_class(class: u8) -> u64 {
    let class = u64::from(class);
    if class < 4 {
        return (class + 1) * 16;
    }
    let (power, quarter) = (6 + (class - 4) / 4, (class - 4) % 4);
    (1 << power) + ((quarter + 1) << (power - 2))
}

/// A block at an address that has been checked: all of it is in the file, for good, so what is reached
/// through it needs no other check than that it is inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    memory: &'a Memory,
    /// Where its payload is.
    pub(super) at: u64,
    /// How long that is.
    pub(super) len: u64,
    /// Where it is mapped.
    base: *mut u8,
}

impl<'a> Block<'a> {
    /// The block at `at`, if there can be one.
    #[inline]
    pub(super) fn find(memory: &'a Memory, at: u64) -> Option<Block<'a>> {
        let first = layout::start(0) + HEADER;
        if !at.is_multiple_of(16) || at < first || !memory.has(at - HEADER, HEADER) {
            return None;
        }
        let head = Head::of_word(memory.word(at - HEADER).load(Acquire))?;
        let len = size_of_class(head.class);
        memory.has(at, len).then(|| Block { memory, at, len, base: memory.pointer(at) })
    }

    /// A block that was found before.
    ///
    /// # Safety
    /// In this memory, at this address and with this length.
    #[inline]
    pub(super) unsafe fn found(memory: &'a Memory, at: u64, len: u64, base: *mut u8) -> Block<'a> {
        Block { memory, at, len, base }
    }

    /// Where it is mapped.
    pub(super) fn base(&self) -> *mut u8 {
        self.base
    }

    /// Writes the header of a new block, whose range is the caller's alone.
    pub(super) fn cut(memory: &'a Memory, at: u64, class: u8, owner: Id) -> Block<'a> {
        memory.word(at - HOME).store(0, Release);
        memory.word(at - 8).store(0, Release);
        memory.word(at - HEADER).store(Head { class, state: State::Taken, owner }.to_word(), Release);
        let len = size_of_class(class);
        assert!(memory.has(at, len), "the space was reserved before");
        Block { memory, at, len, base: memory.pointer(at) }
    }

    pub(super) fn head(&self) -> Option<Head> {
        Head::of_word(self.memory.word(self.at - HEADER).load(SeqCst))
    }

    /// Sets state and owner. The caller answers for it that nobody else does at the same time.
    pub(super) fn set(&self, state: State, owner: Id) {
        let word = self.memory.word(self.at - HEADER);
        if let Some(head) = Head::of_word(word.load(Relaxed)) {
            word.store(Head { state, owner, ..head }.to_word(), SeqCst);
        }
    }

    /// Sets state and owner if the head is still `from`.
    pub(super) fn change(&self, from: Head, state: State, owner: Id) -> bool {
        let to = Head { state, owner, ..from }.to_word();
        let word = self.memory.word(self.at - HEADER);
        word.compare_exchange(from.to_word(), to, SeqCst, SeqCst).is_ok()
    }

    /// The home, or the next one in the list.
    #[inline]
    pub(super) fn home(&self) -> &'a AtomicU64 {
        self.memory.word(self.at - HOME)
    }

    /// The two words of the header that are the user's.
    #[inline]
    pub(super) fn user(&self) -> &'a [AtomicU64] {
        self.memory.cells(self.at - USER, 2)
    }

    #[inline]
    fn place(&self, offset: u64, len: u64) -> u64 {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "{len} bytes from {offset} on are not in a block of {} bytes", self.len);
        self.at + offset
    }

    /// Cells of one width. Panics if they are not in the block; so do the others.
    #[inline]
    pub(super) fn cells<W: Width>(&self, offset: u64, count: usize) -> &'a [W] {
        #[cfg(test)]
        super::crash::point();
        let size = size_of::<W>() as u64;
        let at = self.place(offset, (count as u64).saturating_mul(size));
        assert!(at.is_multiple_of(size), "cells at {at} are not aligned");
        // SAFETY: the block is in the file and mapped as long as the memory is borrowed, and the cells are in
        // the block and aligned, as the base is by 16. What is true of `Memory::cells` is true of these.
        unsafe { std::slice::from_raw_parts(self.base.add(offset as usize).cast::<W>(), count) }
    }

    /// Has the processor fetch what is at an offset, if it can; the offset may be any.
    #[inline]
    pub(super) fn prefetch(&self, offset: u64) {
        let at = self.base.wrapping_add(offset as usize);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch is a hint, and touches nothing, whatever the address.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast::<i8>())
        };
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// A word of the payload.
    #[inline]
    pub(super) fn word(&self, offset: u64) -> &'a AtomicU64 {
        &self.cells(offset, 1)[0]
    }

    /// Half a word of the payload.
    #[inline]
    pub(super) fn half(&self, offset: u64) -> &'a AtomicU32 {
        &self.cells(offset, 1)[0]
    }

    /// Stores bytes; the last word is filled up with zeroes.
    #[inline]
    pub(super) fn store(&self, offset: u64, bytes: &[u8]) {
        memory::store(self.cells(offset, bytes.len().div_ceil(8)), bytes);
    }

    /// Loads bytes.
    #[inline]
    pub(super) fn load(&self, offset: u64, bytes: &mut [u8]) {
        memory::load(self.cells(offset, bytes.len().div_ceil(8)), bytes);
    }

    /// Stores bytes at any offset.
    #[inline]
    pub(super) fn store_at(&self, offset: u64, bytes: &[u8]) {
        self.memory.store_at(self.place(offset, bytes.len() as u64), bytes);
    }

    /// Loads bytes from any offset.
    #[inline]
    pub(super) fn load_at(&self, offset: u64, bytes: &mut [u8]) {
        self.memory.load_at(self.place(offset, bytes.len() as u64), bytes);
    }

    /// Stores a value.
    #[inline]
    pub(super) fn put<T: ShmSafe>(&self, offset: u64, value: &T) {
        self.store(offset, bytes_of(value));
    }

    /// Loads a value, if there is one.
    #[inline]
    pub(super) fn get<T: ShmSafe>(&self, offset: u64) -> Option<T> {
        value_of(|bytes| self.load(offset, bytes))
    }
}

/// A length rounded up to words.
#[inline]
pub(super) const fn words(len: usize) -> u64 {
    (len as u64).next_multiple_of(8)
}

/// The room that a value takes.
#[inline]
pub(super) const fn room<T>() -> u64 {
    words(size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_waste_a_fifth_at_most() {
        for len in (1..5000).chain([1 << 20, (1 << 20) + 1, 3 << 30]) {
            let class = class_of(len).expect("a class");
            let size = size_of_class(class);
            assert!(size >= len && size.is_multiple_of(16), "{len} bytes in {size}");
            assert!(class == 0 || size_of_class(class - 1) < len, "{len} fits the class before");
            assert!(len <= 64 || (size - len) * 5 <= size, "{len} bytes in {size}");
        }
        assert_eq!(size_of_class(class_of(4096).unwrap()), 4096);
        assert_eq!(class_of(1 << 60), None);
    }
}
