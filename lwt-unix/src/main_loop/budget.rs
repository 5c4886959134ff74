//! [`Pace`]: how much is done between two looks at the clock, and between two polls.
//!
//! A poll that finds nothing costs as much as ten switches between tasks, and a look at the clock as much as
//! two. So a busy loop does neither on each turn, and yet descriptors and timers have to be served in time,
//! also beside a task that never stops.
//!
//! 1. Work is counted in units: a task polled, or a turn begun. After a *stride* of units the clock is read.
//! 2. The stride follows the work: it is as many units as took half a [`SLICE`] last time, between 1 and
//!    [`STRIDE`]. Where a unit takes nanoseconds, the clock is read every 64 units; where it takes a
//!    millisecond, after each.
//! 3. A poll is due when a slice has passed since the last one, or, with a clock that stands still (a
//!    simulation's), after [`LOOKS`] looks at it.

use std::time::{Duration, Instant};

/// How long the engine may go unpolled while there is work.
const SLICE: Duration = Duration::from_micros(100);
/// The longest stride, and so the largest number of tasks that run in one turn.
const STRIDE: u32 = 64;
/// The most looks at the clock without a poll.
const LOOKS: u32 = 61;

/// Counts work, and tells when to look up from it.
#[derive(Debug)]
pub(crate) struct Pace {
    stride: u32,
    left: u32,
    looks: u32,
    looked: Instant,
    polled: Instant,
}

impl Pace {
    /// A pace for a loop that begins now.
    pub(crate) fn new(now: Instant) -> Pace {
        Pace { stride: 1, left: 1, looks: 0, looked: now, polled: now }
    }

    /// How many tasks may run in this turn.
    pub(crate) fn budget(&self) -> usize {
        self.left as usize
    }

    /// A turn with so many tasks is done. Whether the clock is to be read now.
    pub(crate) fn spend(&mut self, tasks: usize) -> bool {
        let units = u32::try_from(tasks).unwrap_or(u32::MAX).saturating_add(1);
        self.left = self.left.saturating_sub(units);
        self.left == 0
    }

    /// The clock was read. Whether a poll is due.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let took = now.saturating_duration_since(self.looked);
        let done = self.stride.saturating_sub(self.left).max(1);
        self.looked = now;
        self.stride = match (took / done).as_nanos() {
            0 => STRIDE,
            unit => u32::try_from((SLICE / 2).as_nanos() / unit).unwrap_or(STRIDE).clamp(1, STRIDE),
        };
        self.left = self.stride;
        self.looks += 1;
        self.looks >= LOOKS || now.saturating_duration_since(self.polled) >= SLICE
    }

    /// The engine was polled, and it is `now`.
    pub(crate) fn polled(&mut self, now: Instant) {
        self.looks = 0;
        self.left = self.stride;
        self.looked = now;
        self.polled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of so many tasks, each of which takes `unit`; gives the looks and the polls.
    fn work(unit: Duration, tasks: usize, turns: u32) -> (u32, u32) {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let (mut looks, mut polls) = (0, 0);
        for _ in 0..turns {
            let tasks = tasks.min(pace.budget());
            now += unit * (tasks as u32).max(1);
            if pace.spend(tasks) {
                looks += 1;
                if pace.look(now) {
                    polls += 1;
                    pace.polled(now);
                }
            }
        }
        (looks, polls)
    }

    #[test]
    fn cheap_turns_share_a_look_and_a_poll() {
        let (looks, polls) = work(Duration::from_nanos(50), 0, 100_000);
        assert!((1000..2000).contains(&looks), "{looks}");
        assert!((25..=50).contains(&polls), "{polls}");
    }

    #[test]
    fn long_turns_are_followed_by_a_poll_each() {
        assert_eq!(work(Duration::from_millis(1), 0, 1000), (1000, 1000));
        assert_eq!(work(Duration::from_millis(1), 5, 1000), (1000, 1000));
    }

    #[test]
    fn a_clock_that_stands_still_is_no_excuse() {
        let (looks, polls) = work(Duration::ZERO, 0, 100_000);
        assert!(polls >= looks / LOOKS && polls > 0, "{looks} {polls}");
    }
}
