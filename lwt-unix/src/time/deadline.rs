//! Moments instead of durations: [`now`], [`sleep_until`], [`timeout_at`], [`with_deadline`].

use std::future::Future;
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise};

/// The time of this thread's loop, from which all its timers count; the system's monotonic clock where there
/// is no loop yet. (A simulation's loop has a time of its own.)
///
/// ```
/// let before = lwt_unix::time::now();
/// assert!(lwt_unix::time::now() >= before);
/// ```
pub fn now() -> Instant {
    super::clock()
}

/// Resolved at `moment`, never before; in the loop's next turn if it has passed. Otherwise as
/// [`sleep`](super::sleep).
///
/// ```
/// use std::time::Duration;
/// use lwt_unix::time::{now, sleep_until};
/// let moment = now() + Duration::from_millis(2);
/// lwt_unix::run(sleep_until(moment)).unwrap();
/// assert!(now() >= moment);
/// ```
///
/// # Errors
/// As [`sleep`](super::sleep).
#[track_caller]
pub fn sleep_until(moment: Instant) -> Promise<()> {
    super::sleep(until(moment))
}

/// Rejected with [`Timeout`](super::Timeout) at `moment`. Otherwise as [`timeout`](super::timeout).
///
/// # Errors
/// As [`timeout`](super::timeout).
#[track_caller]
pub fn timeout_at<T: 'static>(moment: Instant) -> Promise<T> {
    super::timeout(until(moment))
}

/// [`with_timeout`](super::with_timeout) until `moment`. So several steps can share a limit.
///
/// ```
/// use std::time::Duration;
/// use lwt_unix::time::{Timeout, now, sleep, with_deadline};
/// lwt_unix::run(async {
///     let limit = now() + Duration::from_millis(4);
///     with_deadline(limit, || sleep(Duration::from_millis(1))).await?;
///     let error = with_deadline(limit, || sleep(Duration::from_secs(60))).await.unwrap_err();
///     assert_eq!(error.downcast_ref(), Some(&Timeout));
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
///
/// # Errors
/// As [`with_timeout`](super::with_timeout).
#[track_caller]
pub fn with_deadline<T, E, F>(moment: Instant, f: impl FnOnce() -> F) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    // The clock is only read for what is not ready at once.
    super::with_limit(move || until(moment), f)
}

fn until(moment: Instant) -> Duration {
    moment.saturating_duration_since(now())
}
