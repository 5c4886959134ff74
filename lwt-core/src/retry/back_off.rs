//! How long to wait between attempts.

use std::time::Duration;

use crate::random;

/// The delay after attempt `n` that Lwt has: `n · 2 · 2ⁿ` seconds, so 4, 16, 48 …
/// (`Lwt_retry.default_sleep_duration`).
///
/// ```
/// use std::time::Duration;
/// use lwt_core::retry::default_sleep_duration;
/// assert_eq!(default_sleep_duration(2), Duration::from_secs(16));
/// assert_eq!(default_sleep_duration(1000), Duration::from_secs(u64::MAX));
/// ```
pub fn default_sleep_duration(n: usize) -> Duration {
    let power = u32::try_from(n).ok().and_then(|n| 2_u64.checked_pow(n)).unwrap_or(u64::MAX);
    Duration::from_secs((n as u64).saturating_mul(2).saturating_mul(power))
}

/// Delays that double from one attempt to the next, up to a limit, drawn at random so that
/// those who failed together do not all come back together.
///
/// The delay after attempt `n` is drawn evenly from the upper part of what doubling gives: with a jitter of 1
/// from nothing to all of it, with ½, which is the default, from its upper half, with 0 it is not drawn at
/// all. The draw is that of [`set_random_seed`](crate::set_random_seed).
///
/// ```
/// use std::time::Duration;
/// use lwt_core::retry::BackOff;
/// let exact = BackOff::new(Duration::from_millis(10)).at_most(Duration::from_millis(50)).jitter(0.0);
/// let delays: Vec<u128> = (1..=5).map(|n| exact.delay(n).as_millis()).collect();
/// assert_eq!(delays, [10, 20, 40, 50, 50]);
/// let drawn = BackOff::new(Duration::from_millis(10)).delay(2);
/// assert!((10..=20).contains(&drawn.as_millis()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackOff {
    first: Duration,
    factor: f64,
    most: Duration,
    jitter: f64,
}

impl BackOff {
    /// Doubling from `first`, without a limit, with a jitter of ½.
    pub const fn new(first: Duration) -> BackOff {
        BackOff { first, factor: 2.0, most: Duration::MAX, jitter: 0.5 }
    }

    /// No delay is longer than `most`.
    pub const fn at_most(self, most: Duration) -> BackOff {
        BackOff { most, ..self }
    }

    /// Each delay is `factor` times the one before. What is below 1, or no number, counts as 1.
    pub const fn factor(self, factor: f64) -> BackOff {
        BackOff { factor: if factor >= 1.0 { factor } else { 1.0 }, ..self }
    }

    /// Which share of a delay is left to chance: from 0 (none) to 1 (all). What is outside counts as the
    /// nearer of the two, and what is no number as 0.
    pub const fn jitter(self, jitter: f64) -> BackOff {
        BackOff { jitter: if jitter > 0.0 { jitter.min(1.0) } else { 0.0 }, ..self }
    }

    /// The delay after attempt `n`, which is counted from 1. Each call draws anew.
    pub fn delay(&self, n: usize) -> Duration {
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        // No number: nothing, infinitely often doubled.
        let full = if seconds.is_nan() {
            Duration::ZERO
        } else {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(self.most)
        };
        if self.jitter <= 0.0 {
            return full;
        }
        const STEPS: usize = 1 << 24;
        let drawn = random::below(STEPS + 1) as f64 / STEPS as f64;
        let share = 1.0 - self.jitter * drawn;
        Duration::try_from_secs_f64(full.as_secs_f64() * share).unwrap_or(full).min(full)
    }
}
