//! [`Spin`]: looking again for a moment before a thread is parked. For whoever parks threads for answers; the
//! loop and the job threads do it by themselves.
//!
//! To wake a parked thread costs its waker a system call and takes tens of microseconds; an answer that is
//! expected sooner is cheaper waited for. But a processor is not to be burnt for nothing. So each place that
//! parks has a `Spin`, which learns:
//!
//! 1. A spin that finds something is followed by one of full length. One that does not halves the next, down
//!    to none.
//! 2. Where there is none, a wait in the parked state that was shorter than a full spin brings the full
//!    length back, on trial: if the first spin then finds nothing, there is none again, and twice as many
//!    short waits are needed for the next trial. For a spin may be what keeps its answer from coming: on a
//!    busy machine the thread that would give it waits for the processor that the spin keeps.
//! 3. The full length is the process's setting ([`set_spin`]), and nothing on a machine with one processor.
//! 4. Where the other side parks too, each wait of the one has the other's waking in it, and looks long. So
//!    between processes ([`Spin::far`]) waits of up to ten full lengths count as short, and a trial takes
//!    five: long enough for the other to wake, and then both spin.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Below this a spin is not worth its two looks at the clock.
const LEAST: Duration = Duration::from_micros(1);

/// The most short waits that a trial may need.
const MOST_SHORT: u32 = 1024;

/// The full length, in nanoseconds; `u64::MAX` before anybody has asked.
static FULL: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets how long a loop that waits for a job or a worker, and a job thread or a worker that has nothing to
/// do, look again before they sleep; 20 µs unless there is only one processor. Zero is never.
///
/// They do so only while it pays: where nothing comes they soon stop by themselves.
///
/// ```
/// lwt_unix::set_spin(std::time::Duration::ZERO);
/// ```
pub fn set_spin(longest: Duration) {
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    FULL.store(nanos.min(u64::MAX - 1), Ordering::Relaxed);
}

fn full() -> Duration {
    let mut nanos = FULL.load(Ordering::Relaxed);
    if nanos == u64::MAX {
        let alone =
            thread::available_parallelism().is_ok_and(|processors| processors == NonZero::<usize>::MIN);
        nanos = if alone { 0 } else { 20_000 };
        // Somebody may have set it meanwhile.
        let _ = FULL.compare_exchange(u64::MAX, nanos, Ordering::Relaxed, Ordering::Relaxed);
    }
    Duration::from_nanos(nanos)
}

/// How long one place spins; it learns from how it went. See the [module's documentation](self).
///
/// ```
/// use std::time::Duration;
/// use lwt_unix::spin::{Spin, spin};
/// let mut place = Spin::near();
/// assert_eq!(place.length(), None, "before it has learnt anything");
/// place.parked(Duration::from_micros(2));
/// if let Some(length) = place.length() {
///     let found = spin(length, || true);
///     place.ended(found);
/// }
/// ```
#[derive(Debug)]
pub struct Spin {
    length: Duration,
    /// How many full lengths a trial takes; waits of up to twice as many are short.
    reach: u32,
    /// No spin has found anything since the length was brought back.
    on_trial: bool,
    /// Short waits since there was none, and how many of them are needed.
    short: u32,
    needed: u32,
}

impl Spin {
    /// For an answer from this process.
    pub fn near() -> Spin {
        Spin::new(0)
    }

    /// For an answer from another process, which parks too while it waits for us.
    pub fn far() -> Spin {
        Spin::new(5)
    }

    fn new(reach: u32) -> Spin {
        Spin { length: Duration::ZERO, reach, on_trial: true, short: 0, needed: 1 }
    }

    /// How long to spin now; `None` if it is not worth it.
    pub fn length(&self) -> Option<Duration> {
        (self.length >= LEAST).then_some(self.length)
    }

    /// A spin has ended, and `found` something or not.
    pub fn ended(&mut self, found: bool) {
        if found {
            self.length = full();
            self.on_trial = false;
            self.needed = 1;
        } else if self.on_trial {
            self.length = Duration::ZERO;
            self.needed = (self.needed * 2).min(MOST_SHORT);
        } else {
            self.length /= 2;
        }
    }

    /// A wait in the parked state was over after this time.
    pub fn parked(&mut self, time: Duration) {
        let full = full();
        if self.length().is_some() || time >= full.saturating_mul(1.max(2 * self.reach)) {
            return;
        }
        self.short += 1;
        if self.short >= self.needed {
            let length = full.saturating_mul(1.max(self.reach));
            *self = Spin { length, on_trial: true, short: 0, ..*self };
        }
    }
}

/// Looks for `something` until it is there or `length` is over; says whether it is there.
pub fn spin(length: Duration, mut something: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        for _ in 0..16 {
            if something() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begin.elapsed() >= length {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_where_nothing_comes_and_begins_where_something_did() {
        set_spin(Duration::from_micros(20));
        let mut place = Spin::near();
        assert_eq!(place.length(), None);
        place.parked(Duration::from_millis(1));
        assert_eq!(place.length(), None);
        place.parked(Duration::from_micros(5));
        assert_eq!(place.length(), Some(Duration::from_micros(20)));
        place.ended(true);
        place.ended(false);
        place.ended(true);
        assert_eq!(place.length(), Some(Duration::from_micros(20)));
        for _ in 0..5 {
            place.ended(false);
        }
        assert_eq!(place.length(), None);
        for needed in [1, 2, 4] {
            for _ in 0..needed {
                assert_eq!(place.length(), None);
                place.parked(Duration::from_micros(5));
            }
            assert_eq!(place.length(), Some(Duration::from_micros(20)));
            place.ended(false);
        }
        assert_eq!(place.length(), None);
        let mut far = Spin::far();
        far.parked(Duration::from_micros(150));
        assert_eq!(far.length(), Some(Duration::from_micros(100)), "a trial");
        far.ended(true);
        assert_eq!(far.length(), Some(Duration::from_micros(20)));
        assert!(!spin(Duration::from_micros(3), || false));
        let mut left = 100;
        assert!(spin(Duration::MAX, || {
            left -= 1;
            left == 0
        }));
    }
}
