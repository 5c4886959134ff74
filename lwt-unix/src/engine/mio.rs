//! [`MioEngine`]: the default engine, on `mio::Poll` (epoll, kqueue).
//!
//! 1. Edge-triggered, one registration per descriptor for its life: an operation costs no call to the poller.
//! 2. The wake-up of other threads and the alarm are registered like descriptors, with numbers that no token
//!    has. Neither is ever read: an edge comes with each write, and with each new setting of the alarm.
//! 3. The poller counts in milliseconds. Where there is an [`Alarm`], a deadline goes to it and the poller
//!    waits without limit; where there is none, the wait is rounded up. Never early, in either case.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event as MioEvent;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token as MioToken};

use super::alarm::Alarm;
use super::{Engine, Event, Readiness, Token, Wait, Waker};
use crate::sys;

const WAKER: MioToken = MioToken(usize::MAX);
const ALARM: MioToken = MioToken(usize::MAX - 1);
/// What is reported of a descriptor: everything that the poller knows of.
#[cfg(any(target_os = "linux", target_os = "android"))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// How many events one poll takes at most; what remains comes with the next.
const BATCH: usize = 1024;

/// The engine on `mio::Poll`: epoll on Linux, kqueue on the BSDs and macOS.
pub struct MioEngine {
    /// Borrowed for the time of a call, in which no foreign code runs.
    poller: RefCell<Poller>,
}

struct Poller {
    poll: Poll,
    waker: Arc<mio::Waker>,
    alarm: Option<Alarm>,
    batch: Events,
}

impl MioEngine {
    /// A new engine.
    ///
    /// # Errors
    /// Those of the operating system, above all `EMFILE`: it takes two descriptors, and a third if it is to
    /// be had.
    pub fn new() -> io::Result<MioEngine> {
        Ok(MioEngine { poller: RefCell::new(Poller::new()?) })
    }

    /// An engine without a timer descriptor, as where the system has none.
    #[cfg(test)]
    fn without_alarm() -> io::Result<MioEngine> {
        Ok(MioEngine { poller: RefCell::new(Poller { alarm: None, ..Poller::new()? }) })
    }
}

impl Poller {
    fn new() -> io::Result<Poller> {
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKER)?);
        let alarm = Alarm::new(poll.registry(), ALARM).ok();
        Ok(Poller { poll, waker, alarm, batch: Events::with_capacity(BATCH) })
    }

    /// The time-out for the poller; the alarm is set where it serves.
    fn timeout(&mut self, wait: Wait) -> Option<Duration> {
        let deadline = match wait {
            Wait::No => return Some(Duration::ZERO),
            Wait::Forever => return None,
            Wait::Until(deadline) => deadline,
        };
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Some(Duration::ZERO);
        }
        if let Some(alarm) = &mut self.alarm {
            match alarm.set(deadline, now) {
                Ok(()) => return None,
                // It will not do better next time.
                Err(_) => self.alarm = None,
            }
        }
        Some(round_up(left))
    }
}

/// Up to whole milliseconds.
fn round_up(time: Duration) -> Duration {
    let rest = time.subsec_nanos() % 1_000_000;
    if rest == 0 { time } else { time.saturating_add(Duration::from_nanos(u64::from(1_000_000 - rest))) }
}

fn readiness(event: &MioEvent) -> Readiness {
    let mut set = Readiness::NONE;
    let error = event.is_error();
    let read_closed = error || event.is_read_closed();
    let write_closed = error || event.is_write_closed();
    if read_closed {
        set = set.with(Readiness::READ_CLOSED);
    }
    if write_closed {
        set = set.with(Readiness::WRITE_CLOSED);
    }
    if event.is_priority() {
        set = set.with(Readiness::URGENT);
    }
    if read_closed || event.is_readable() || event.is_priority() {
        set = set.with(Readiness::READ);
    }
    if write_closed || event.is_writable() {
        set = set.with(Readiness::WRITE);
    }
    set
}

impl Engine for MioEngine {
    fn name(&self) -> &'static str {
        "mio"
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        let poller = self.poller.borrow();
        poller.poll.registry().register(&mut SourceFd(&fd), MioToken(token.number()), INTEREST)
    }

    fn deregister(&self, fd: RawFd, _token: Token) -> io::Result<()> {
        self.poller.borrow().poll.registry().deregister(&mut SourceFd(&fd))
    }

    fn poll(&self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        let poller = &mut *self.poller.borrow_mut();
        let timeout = poller.timeout(wait);
        match poller.poll.poll(&mut poller.batch, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &poller.batch {
            match event.token() {
                // They have done what they are for: the wait is over.
                WAKER | ALARM => {}
                MioToken(number) => {
                    events.push(Event { token: Token::from_number(number), readiness: readiness(event) });
                }
            }
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let waker = Arc::clone(&self.poller.borrow().waker);
        Arc::new(move || {
            // It fails only where the descriptor is not what it was; there is nobody to tell, and nothing to
            // be done.
            let _ = waker.wake();
        })
    }

    fn pollable(&self) -> io::Result<Option<OwnedFd>> {
        sys::descriptor::duplicate_number(self.poller.borrow().poll.as_raw_fd()).map(Some)
    }

    fn after_fork(&self) -> io::Result<()> {
        self.poller.replace(Poller::new()?);
        Ok(())
    }
}

impl fmt::Debug for MioEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.poller.borrow().alarm.is_some();
        f.debug_struct("MioEngine").field("exact", &exact).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::guarded;

    fn waited(engine: &MioEngine, time: Duration) -> Duration {
        let start = Instant::now();
        let deadline = start + time;
        while Instant::now() < deadline {
            engine.poll(Wait::Until(deadline), &mut Vec::new()).expect("poll");
        }
        start.elapsed()
    }

    #[test]
    fn a_deadline_is_never_early_with_and_without_the_alarm() {
        guarded("a_deadline_is_never_early_with_and_without_the_alarm", || {
            for engine in [MioEngine::new().expect("engine"), MioEngine::without_alarm().expect("engine")] {
                for micros in [1, 50, 300, 999, 1500, 2001] {
                    let time = Duration::from_micros(micros);
                    assert!(waited(&engine, time) >= time);
                }
            }
        });
    }

    #[test]
    fn one_poll_reaches_a_deadline_below_a_millisecond() {
        guarded("one_poll_reaches_a_deadline_below_a_millisecond", || {
            // Rounding down would return at once, and a loop over it would spin.
            for engine in [MioEngine::new().expect("engine"), MioEngine::without_alarm().expect("engine")] {
                let deadline = Instant::now() + Duration::from_micros(700);
                engine.poll(Wait::Until(deadline), &mut Vec::new()).expect("poll");
                assert!(Instant::now() >= deadline);
            }
        });
    }

    #[test]
    fn rounding_goes_up() {
        guarded("rounding_goes_up", || {
            assert_eq!(round_up(Duration::from_micros(1)), Duration::from_millis(1));
            assert_eq!(round_up(Duration::from_millis(2)), Duration::from_millis(2));
            assert_eq!(round_up(Duration::from_nanos(2_000_001)), Duration::from_millis(3));
            assert!(round_up(Duration::MAX) >= Duration::from_secs(u64::MAX));
        });
    }
}
