//! [`Interval`]: ticks that come again and again.
//!
//! 1. Tick *n* is due at the start and *n* periods, by the loop's clock. None comes before it is due, and
//!    what a tick is late does not make the next one late, unless the policy says so.
//! 2. Ticks that were due while nobody asked are *missed*; [`MissedTicks`] says what becomes of them.
//! 3. A tick is taken when [`Interval::tick`] returns it. One that is given up before (cancelled, dropped)
//!    takes none.

use std::time::{Duration, Instant};

use lwt_core::stream::{self, Stream};
use lwt_core::{Error, pause};

use super::{now, sleep_until};

/// What becomes of ticks that were due while nobody asked for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MissedTicks {
    /// They come at once, one after the other, until none is missing: their number is right in the end.
    #[default]
    Burst,
    /// One comes at once, and the next one a whole period later: none is closer to another than a period.
    Delay,
    /// One comes at once for all of them, and the next one when it would have been due anyway: they keep
    /// their beat.
    Skip,
}

/// Ticks with a period between them. See [`interval`].
#[derive(Debug, Clone)]
pub struct Interval {
    /// When the next tick is due; never if the clock cannot express it.
    next: Option<Instant>,
    period: Duration,
    missed: MissedTicks,
}

/// Ticks each `period`, the first one at once.
///
/// Any period is legal. One of no time gives a tick in every turn of the loop. A tick is a moment of the
/// loop's clock: whoever gives the loop an engine with another clock [resets](Interval::reset) the interval.
///
/// ```
/// use std::time::Duration;
/// use lwt_unix::time::{MissedTicks, interval};
/// lwt_unix::run(async {
///     let mut beat = interval(Duration::from_millis(1)).missed(MissedTicks::Skip);
///     let first = beat.tick().await?;
///     let second = beat.tick().await?;
///     assert!(second - first >= Duration::from_millis(1));
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// [`interval`] with the first tick at `start`.
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval { next: Some(start), period, missed: MissedTicks::default() }
}

impl Interval {
    /// The same, with another policy for missed ticks; [`MissedTicks::Burst`] at first.
    #[must_use]
    pub fn missed(self, missed: MissedTicks) -> Interval {
        Interval { missed, ..self }
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// When the next tick is due; `None` if that is never.
    pub fn next_due(&self) -> Option<Instant> {
        self.next
    }

    /// Begins anew: the next tick comes in a period from now.
    pub fn reset(&mut self) {
        self.next = now().checked_add(self.period);
    }

    /// Waits for the next tick, and gives the moment at which it was due.
    ///
    /// It may be given up: the tick is then the next caller's. One that is due already comes after a
    /// [pause], so that many of them keep nobody waiting.
    ///
    /// # Errors
    /// As [`sleep`](super::sleep).
    pub async fn tick(&mut self) -> Result<Instant, Error> {
        let Some(due) = self.next else {
            super::sleep(Duration::MAX).await?;
            return Err(Error::msg("the end of time was reached"));
        };
        if due > now() {
            sleep_until(due).await?;
        } else {
            pause().await?;
        }
        self.next = self.after(due, now());
        Ok(due)
    }

    /// The ticks as a stream, which never ends. Those that nobody reads are missed.
    ///
    /// ```
    /// use std::time::Duration;
    /// let beats = lwt_unix::time::interval(Duration::from_micros(300)).into_stream();
    /// let three = lwt_unix::run(beats.nget(3)).unwrap();
    /// assert_eq!(three[2] - three[0], Duration::from_micros(600));
    /// ```
    pub fn into_stream(self) -> Stream<Instant> {
        let interval = std::rc::Rc::new(std::cell::RefCell::new(self));
        stream::from(move || {
            let interval = std::rc::Rc::clone(&interval);
            lwt_core::spawn(async move {
                // A stream asks for one at a time.
                let mut mine = interval.borrow().clone();
                let tick = mine.tick().await?;
                *interval.borrow_mut() = mine;
                Ok::<_, Error>(Some(tick))
            })
        })
    }

    /// When the tick after the one that was due at `due` is, if that one comes `now`.
    fn after(&self, due: Instant, now: Instant) -> Option<Instant> {
        let next = due.checked_add(self.period)?;
        if next > now {
            return Some(next);
        }
        match self.missed {
            MissedTicks::Burst => Some(next),
            MissedTicks::Delay => now.checked_add(self.period),
            MissedTicks::Skip => {
                let late = now.saturating_duration_since(next).as_nanos();
                let into = late.checked_rem(self.period.as_nanos()).unwrap_or(0);
                let into = Duration::from_nanos(u64::try_from(into).unwrap_or(u64::MAX));
                now.checked_add(self.period.saturating_sub(into))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let next = |missed, period: u64, due, now| {
            interval_at(start, Duration::from_millis(period)).missed(missed).after(at(due), at(now))
        };
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            // In time, and less than a period late.
            assert_eq!(next(missed, 10, 20, 20), Some(at(30)));
            assert_eq!(next(missed, 10, 20, 29), Some(at(30)));
        }
        assert_eq!(next(MissedTicks::Burst, 10, 20, 47), Some(at(30)));
        assert_eq!(next(MissedTicks::Delay, 10, 20, 47), Some(at(57)));
        assert_eq!(next(MissedTicks::Skip, 10, 20, 47), Some(at(50)));
        // Just on the beat: that one is due now, and counts as missed with the others.
        assert_eq!(next(MissedTicks::Skip, 10, 20, 40), Some(at(50)));
        // No time at all, and more than there is.
        assert_eq!(next(MissedTicks::Skip, 0, 20, 40), Some(at(40)));
        assert_eq!(next(MissedTicks::Burst, 0, 20, 40), Some(at(20)));
        let never = interval_at(start, Duration::MAX).after(start, start);
        assert_eq!(never, None);
    }
}
