//! [`Alarm`]: a timer descriptor that ends the poller's wait at an exact moment.
//!
//! 1. It is set only when the loop is about to block, and only if it would ring too late: an alarm that is
//!    set for an earlier moment than needed stays, and its ring is one wake-up for nothing. So a time-out
//!    which is renewed with every request, and never comes, costs one setting per time-out, not one per
//!    request.
//! 2. It is never read. Registered for edges, it reports each expiry once; setting it anew takes the old
//!    expiry back.
//! 3. A time that is too long for the kernel is cut: early rings are allowed (rule 4 of the engines).

#[cfg(any(target_os = "linux", target_os = "android"))]
mod imp {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::{Duration, Instant};

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    /// The longest time that is given to the kernel at once: some three years.
    const LONGEST: Duration = Duration::from_secs(100_000_000);

    /// A timer descriptor.
    pub(crate) struct Alarm {
        timer: TimerFd,
        /// When it will ring, or has: not before this moment.
        rings: Option<Instant>,
    }

    impl Alarm {
        /// A new alarm, reported by the poller as `token`.
        pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Alarm> {
            let timer =
                TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
            registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
            Ok(Alarm { timer, rings: None })
        }

        /// Makes it ring at `deadline` or before; `now` is the time now, and before `deadline`.
        pub(crate) fn set(&mut self, deadline: Instant, now: Instant) -> io::Result<()> {
            if self.rings.is_some_and(|rings| now < rings && rings <= deadline) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(now).clamp(Duration::from_nanos(1), LONGEST);
            self.timer.set(Expiration::OneShot(TimeSpec::from_duration(left)), TimerSetTimeFlags::empty())?;
            self.rings = now.checked_add(left);
            Ok(())
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod imp {
    use std::io;
    use std::time::Instant;

    use mio::{Registry, Token};

    /// There are no timer descriptors on this system; the poller's own time-outs have to do.
    pub(crate) struct Alarm;

    impl Alarm {
        pub(crate) fn new(_registry: &Registry, _token: Token) -> io::Result<Alarm> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn set(&mut self, _deadline: Instant, _now: Instant) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

pub(crate) use imp::Alarm;
