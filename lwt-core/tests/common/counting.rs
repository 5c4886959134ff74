//! An allocator that counts the live bytes of each thread, for tests of what is left and what is needed.
//!
//! A runtime keeps some freed blocks in lists of its own, so a test allows for [`SLACK`], which is far less than a leak
//! would take.
#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::common::heavy;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    // Thread-locals without destructors can be reached as long as the thread runs.
    LIVE.with(|live| {
        live.set(live.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: all is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the block came from `alloc` above, that is, from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the runtime may keep for later.
pub(crate) const SLACK: isize = 512 * 1024;

/// Bytes in use on this thread.
pub(crate) fn live() -> isize {
    LIVE.get()
}

/// By how much the memory in use rose at most, and at the end, while `f` ran.
pub(crate) fn growth(f: impl FnOnce()) -> (isize, isize) {
    let before = live();
    PEAK.set(before);
    f();
    (PEAK.get() - before, live() - before)
}

/// Asserts that `f` never needs more than the slack.
pub(crate) fn in_constant_memory(what: &str, f: impl FnOnce()) {
    let (peak, left) = growth(f);
    assert!(peak < SLACK, "{what}: needed {peak} bytes at its height, {left} at the end");
}

/// Asserts that `f` leaves nothing.
pub(crate) fn without_a_trace(what: &str, f: impl FnOnce()) {
    let (peak, left) = growth(f);
    assert!(left < SLACK, "{what}: left {left} bytes (of {peak} at the height)");
}

/// Turns of a loop in constant memory.
pub(crate) fn turns() -> usize {
    heavy(10_000_000, 200_000, 300)
}

/// Links of a chain: each costs memory.
pub(crate) fn links() -> usize {
    heavy(1_000_000, 100_000, 300)
}

/// Rounds of something that must leave nothing behind.
pub(crate) fn rounds() -> usize {
    heavy(1_000_000, 60_000, 200)
}
