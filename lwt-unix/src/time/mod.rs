//! Time: sleeping, time-outs, deadlines, intervals (`Lwt_unix`'s time functions, `Lwt_timeout`,
//! `Lwt_throttle`).
//!
//! | Lwt | here |
//! |---|---|
//! | `Lwt_unix.sleep`, `timeout`, `with_timeout` | [`sleep`], [`timeout`], [`with_timeout`], [`within`] |
//! | `Lwt_unix.auto_pause`, `Timeout` | [`auto_pause`], [`Timeout`] |
//! | `Lwt_unix.yield`, `auto_yield` | [`pause`], [`auto_pause`] |
//! | `Lwt_timeout` | [`LongTimeout`], [`set_timeout_handler`] |
//! | `Lwt_throttle` | [`lwt_core::throttle`] with the [`LoopClock`] |
//! | – | [`now`], [`sleep_until`], [`timeout_at`], [`with_deadline`]; [`interval`] |
//!
//! All times are of the engine's clock, which is monotonic: setting the system's clock moves nothing. A timer
//! never fires early, and it is not late by rounding: the loop wakes up at the nanosecond that was asked for,
//! and what the system adds to that. Any duration is legal; one that the clock cannot reach is never over.
//!
//! A timer lives exactly as long as somebody waits for it: when its promise is cancelled, or dropped by its
//! last holder, its entry is freed at once. Setting and freeing one are O(1), also beside a million others.
//!
//! 1. `wheel`: the structure, exact and with no idea of promises or clocks.
//! 2. `timers`: the wheel of one thread's loop, with the promises.
//! 3. The functions for users stand here, in `deadline`, `interval` and `long`.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use lwt_core::{Error, Promise, pause, pick, task};

use crate::main_loop::run::promise_of;
use crate::main_loop::runtime::Runtime;

mod clock;
mod deadline;
mod interval;
mod long;
pub(crate) mod timers;
pub(crate) mod wheel;

pub use self::clock::LoopClock;
pub use self::deadline::{now, sleep_until, timeout_at, with_deadline};
pub use self::interval::{Interval, MissedTicks, interval, interval_at};
pub use self::long::{LongTimeout, set_timeout_handler};

/// The error of what took too long (`Lwt_unix.Timeout`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeout;

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took longer than it was allowed to")
    }
}

impl std::error::Error for Timeout {}

/// Resolved once `duration` is over, never before (`Lwt_unix.sleep`).
///
/// The time counts from now, also if the loop is busy or not yet running. It may be cancelled. A sleep of no
/// time is resolved in the loop's next turn; to let others go on, [`pause`] is cheaper.
///
/// # Errors
/// Rejected with the operating system's error if this thread has no main loop and none can be made.
///
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// lwt_unix::run(lwt_unix::sleep(Duration::from_millis(2))).unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Promise<()> {
    match Runtime::current() {
        Ok(runtime) => runtime.timers.start(runtime.now(), duration),
        Err(error) => Promise::fail(error),
    }
}

/// Rejected with [`Timeout`] once `duration` is over; never fulfilled (`Lwt_unix.timeout`). It may be
/// cancelled.
///
/// ```
/// use std::time::Duration;
/// use lwt_unix::{Timeout, timeout};
/// let error = lwt_unix::run(timeout::<()>(Duration::from_millis(1))).unwrap_err();
/// assert!(error.downcast_ref::<Timeout>().is_some());
/// ```
///
/// # Errors
/// [`Timeout`]; otherwise as [`sleep`].
#[track_caller]
pub fn timeout<T: 'static>(duration: Duration) -> Promise<T> {
    let (promise, resolver) = task();
    let timer = sleep(duration);
    // A `bind` would keep the timer for its callback when nobody waits any more, and then tell of an unseen
    // rejection.
    let stop = timer.canceller();
    resolver.on_unwanted(move || stop.cancel());
    timer.on_any(move |over| match over {
        Ok(()) => resolver.wakeup_err(Timeout),
        Err(error) => resolver.wakeup_err(error.clone()),
    });
    promise
}

/// Calls `f` and gives its outcome, or [`Timeout`] if that takes longer than `duration`
/// (`Lwt_unix.with_timeout`).
///
/// `f` gives a promise, or a future that is then spawned. Whichever of the two is late is cancelled: on a
/// time-out the error [`Canceled`](lwt_core::Canceled) appears at the await point inside, so the work may
/// clean up (and a promise that takes no cancel goes on unseen). If `f`'s promise is resolved at once no
/// timer is made.
///
/// A future that borrows cannot be spawned; [`within`] is the form for those.
///
/// ```
/// use std::time::Duration;
/// use lwt_unix::{Timeout, sleep, with_timeout};
/// let quick = with_timeout(Duration::from_secs(60), || lwt_core::Promise::ready(5));
/// assert_eq!(lwt_unix::run(quick).unwrap(), 5);
/// let slow = with_timeout(Duration::from_millis(1), || sleep(Duration::MAX));
/// assert!(lwt_unix::run(slow).unwrap_err().downcast_ref::<Timeout>().is_some());
/// ```
///
/// # Errors
/// What the promise is rejected with; [`Timeout`]; otherwise as [`sleep`].
#[track_caller]
pub fn with_timeout<T, E, F>(duration: Duration, f: impl FnOnce() -> F) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    with_limit(|| duration, f)
}

/// [`with_timeout`], with the time given when it is needed.
#[track_caller]
fn with_limit<T, E, F>(limit: impl FnOnce() -> Duration, f: impl FnOnce() -> F) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    let work = promise_of(f());
    if work.is_pending() { pick([work, timeout(limit())]) } else { work }
}

/// Awaits `future` for at most `duration`: the form of [`with_timeout`] for futures that borrow, to be
/// awaited in place.
///
/// On a time-out the future is dropped where it stands; nothing inside it sees an error.
///
/// ```
/// use std::time::Duration;
/// use lwt_core::Error;
/// lwt_unix::run(async {
///     let name = String::from("a borrowed text");
///     let length = lwt_unix::within(Duration::from_secs(60), async { Ok::<_, Error>(name.len()) }).await?;
///     assert_eq!(length, 15);
///     Ok::<_, Error>(())
/// }).unwrap();
/// ```
///
/// # Errors
/// The future's own; [`Timeout`]; otherwise as [`sleep`].
pub async fn within<T, E, F>(duration: Duration, future: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    let mut future = pin!(future);
    // The clock is only started for what is not ready at once.
    let mut limit = None;
    poll_fn(|context| {
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            return Poll::Ready(result.map_err(Into::into));
        }
        let limit = limit.get_or_insert_with(|| sleep(duration));
        Pin::new(limit).poll(context).map(|over| match over {
            Ok(()) => Err(Timeout.into()),
            Err(error) => Err(error),
        })
    })
    .await
}

/// A function to call now and then in a long computation: it [pauses](pause) if more than `duration` has
/// passed since it last did so, and is ready at once if not (`Lwt_unix.auto_pause`).
///
/// ```
/// use std::time::Duration;
/// lwt_unix::run(async {
///     let breathe = lwt_unix::auto_pause(Duration::from_millis(5));
///     for _number in 0..1000 {
///         // … some work …
///         breathe().await?;
///     }
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
#[must_use = "it pauses only when the function it gives is called"]
pub fn auto_pause(duration: Duration) -> impl Fn() -> Promise<()> {
    let last = Cell::new(clock());
    move || {
        let now = clock();
        if now.saturating_duration_since(last.get()) < duration {
            return Promise::ready(());
        }
        last.set(now);
        pause()
    }
}

/// The time of this thread's loop, or the system's where there is none.
fn clock() -> std::time::Instant {
    Runtime::existing().map_or_else(std::time::Instant::now, |runtime| runtime.now())
}
