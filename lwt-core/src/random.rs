//! The draw among several resolved promises: a small generator per thread that tests can seed.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Seeds this thread's generator, which `choose` and its relatives draw from when several promises are
/// resolved already. Unseeded it starts from the operating system's randomness.
///
/// ```
/// lwt_core::set_random_seed(7);
/// ```
pub fn set_random_seed(seed: u64) {
    STATE.set(seed.wrapping_mul(2).wrapping_add(1));
}

/// A uniform draw from `0..n`; `n` is at least 1.
pub(crate) fn below(n: usize) -> usize {
    let mut state = STATE.get();
    if state == 0 {
        state = RandomState::new().hash_one(0u8) | 1;
    }
    // A 64-bit Weyl sequence through a finaliser; the odd increment never lets the state become 0 for long.
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(if state == 0 { 1 } else { state });
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((u128::from(z) * n as u128) >> 64) as usize
}
