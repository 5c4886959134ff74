//! What the tests with seeds share: `LWT_GRAPHS=n` sets how many seeds are tried, `LWT_SEED=s` plays one
//! again.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The seeds to try: `many` of them, where nobody says otherwise.
fn seeds(many: usize) -> Range<u64> {
    match number("LWT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LWT_GRAPHS").unwrap_or(many as u64),
    }
}

/// The first seed for which `f` finds something, and what it finds. The watchdog starts anew for each
/// thousand.
pub(crate) fn first<R>(many: usize, mut f: impl FnMut(u64) -> Option<R>) -> Option<(u64, R)> {
    let mut dog = crate::common::watchdog();
    seeds(many).find_map(|seed| {
        if seed % 1000 == 0 {
            dog = crate::common::watchdog();
        }
        f(seed).map(|found| (seed, found))
    })
}

/// How many cells there are, as far as the feature `registry` tells.
pub(crate) fn cells() -> usize {
    #[cfg(feature = "registry")]
    return lwt_core::registry::count();
    #[cfg(not(feature = "registry"))]
    0
}

/// Runs `f`, in which panics are part of the play. The panic hook is that of the process, so one at a time.
pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> R {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let result = catch_unwind(AssertUnwindSafe(f));
    std::panic::set_hook(before);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}
