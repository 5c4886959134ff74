//! [`LoopClock`]: the time of the loop, for what takes a clock.

use std::time::{Duration, Instant};

use lwt_core::Promise;
use lwt_core::clock::Clock;

/// The clock of this thread's loop, for [`lwt_core::retry`] and [`lwt_core::throttle`].
///
/// Its time is monotonic and counts from the moment at which it was made; its sleep is
/// [`sleep`](super::sleep). (An engine with another clock, given to the loop later, has other moments: make a
/// new one then.)
///
/// ```
/// use std::time::Duration;
/// use lwt_core::retry::{self, BackOff, Error};
/// use lwt_core::result;
/// use lwt_unix::time::LoopClock;
///
/// let mut calls = 0;
/// let answer = retry::on_error::<_, _, ()>(move || {
///     calls += 1;
///     result::lift(if calls < 3 { Err(Error::Retry("busy")) } else { Ok(calls) })
/// });
/// let back_off = BackOff::new(Duration::from_micros(100));
/// let answer = answer.with_sleep(LoopClock::new(), move |n| back_off.delay(n)).n_times(5);
/// assert_eq!(lwt_unix::run(answer).unwrap(), Ok(3));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LoopClock {
    start: Instant,
}

impl LoopClock {
    /// A clock that shows zero now.
    pub fn new() -> LoopClock {
        LoopClock { start: super::clock() }
    }
}

impl Default for LoopClock {
    fn default() -> LoopClock {
        LoopClock::new()
    }
}

impl Clock for LoopClock {
    fn now(&self) -> Duration {
        super::clock().saturating_duration_since(self.start)
    }

    #[track_caller]
    fn sleep(&self, duration: Duration) -> Promise<()> {
        super::sleep(duration)
    }
}
