//! [`Attempts`]: an operation, again and again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::clock::Clock;
use crate::{Promise, apply, spawn, stream};

use super::{Error, Failure};

/// The outcome of one attempt (`Lwt_retry.attempt`).
pub type Attempt<T, R, F = R> = Result<T, Failure<R, F>>;

type Operation<T, R, F> = Box<dyn FnMut() -> Promise<Result<T, Error<R, F>>>>;
/// What is waited for after the attempt of this number.
type Pace = Box<dyn FnMut(usize) -> Promise<()>>;

/// The attempts at an operation, one after the other: made by [`on_error`].
///
/// It is a sequence that goes on while attempts fail and may be retried; the first success and the first
/// fatal error are its last element. Nothing is tried before it is asked for: by
/// [`n_times`](Attempts::n_times), by [`next_attempt`](Attempts::next_attempt), or as a
/// `futures_core::Stream`.
///
/// An attempt that is under way belongs to the sequence, not to who waits for it: if a
/// [`next_attempt`](Attempts::next_attempt) is dropped, the one after it goes on waiting for the same
/// attempt. Dropping the sequence cancels nothing.
#[must_use = "nothing is tried before it is asked for"]
pub struct Attempts<T, R, F = R> {
    operation: Operation<T, R, F>,
    pace: Option<Pace>,
    /// How many attempts were begun.
    begun: usize,
    stage: Stage<T, R, F>,
}

enum Stage<T, R, F> {
    /// The next attempt may begin; before it comes a pause if attempts were made before.
    Idle,
    Sleeping(Promise<()>),
    Trying(Promise<Result<T, Error<R, F>>>),
    Over,
}

/// Makes the sequence of attempts of `operation` (`Lwt_retry.on_error`).
///
/// A rejection is no `Err`: it does not count as an error that may be retried, and goes to who asked for the
/// attempt. The sequence may be gone on with. For operations that say it all by rejection there is
/// [`on_rejection`].
///
/// ```
/// use lwt_core::retry::{self, Error};
/// use lwt_core::{State, result};
/// let p = retry::on_error(|| result::fail::<(), _>(Error::<(), _>::Fatal("no such file"))).n_times(9);
/// assert!(matches!(p.state(), State::Fulfilled(Err(f)) if f.attempt == 1));
/// ```
pub fn on_error<T, R, F>(
    operation: impl FnMut() -> Promise<Result<T, Error<R, F>>> + 'static,
) -> Attempts<T, R, F> {
    Attempts { operation: Box::new(operation), pace: None, begun: 0, stage: Stage::Idle }
}

/// [`on_error`] for an operation that fails by rejection: what `is_fatal` says of the error decides. A cancel
/// is not taken for a failure, and rejects what waits for the attempt.
///
/// ```
/// use std::io::{Error as IoError, ErrorKind};
/// use lwt_core::{Promise, State, retry};
/// let refused = || Promise::<()>::fail(IoError::from(ErrorKind::ConnectionRefused));
/// let p = retry::on_rejection(refused, |e| e.io_kind() != Some(ErrorKind::ConnectionRefused)).n_times(2);
/// assert!(matches!(p.state(), State::Fulfilled(Err(f)) if f.attempt == 3));
/// ```
pub fn on_rejection<T: 'static>(
    mut operation: impl FnMut() -> Promise<T> + 'static,
    is_fatal: impl Fn(&crate::Error) -> bool + Clone + 'static,
) -> Attempts<T, crate::Error> {
    on_error(move || {
        let is_fatal = is_fatal.clone();
        let judge = move |error: crate::Error| {
            if error.is_canceled() {
                Promise::fail(error)
            } else if is_fatal(&error) {
                Promise::ready(Err(Error::Fatal(error)))
            } else {
                Promise::ready(Err(Error::Retry(error)))
            }
        };
        apply(&mut operation).try_bind(|value| Promise::ready(Ok(value)), judge)
    })
}

impl<T: 'static, R: 'static, F: 'static> Attempts<T, R, F> {
    /// Waits between attempts: for `duration` of the number of the attempt that failed, from 1
    /// (`Lwt_retry.with_sleep`).
    ///
    /// `duration` is [`default_sleep_duration`](super::default_sleep_duration), that of a
    /// [`BackOff`](super::BackOff), or any other function. The wait comes before an attempt and not, as in
    /// Lwt, behind a failed one, so that nobody waits when no attempt follows. Its rejection is that of the
    /// attempt, and the attempt is begun when it is asked for again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lwt_core::clock::{Clock, ManualClock};
    /// use lwt_core::retry::{self, Error, default_sleep_duration};
    /// use lwt_core::result;
    /// let clock = ManualClock::new();
    /// let attempts = retry::on_error(|| result::fail::<(), _>(Error::<_, ()>::Retry("busy")));
    /// let outcome = clock.run(attempts.with_sleep(clock.clone(), default_sleep_duration).n_times(2))?;
    /// assert_eq!(outcome.unwrap_err().attempt, 3);
    /// assert_eq!(clock.now(), Duration::from_secs(4 + 16));
    /// # Ok::<(), lwt_core::Error>(())
    /// ```
    pub fn with_sleep(
        mut self,
        clock: impl Clock + 'static,
        mut duration: impl FnMut(usize) -> Duration + 'static,
    ) -> Attempts<T, R, F> {
        self.pace = Some(Box::new(move |n| clock.sleep(duration(n))));
        self
    }

    /// Tries once, and up to `n` times again; gives the first outcome that is not to be retried, or the last
    /// one (`Lwt_retry.n_times`).
    ///
    /// The first attempt begins at once; a task sees to the others. A cancel goes to the attempt or the wait
    /// that is under way.
    ///
    /// # Errors
    /// A rejection of the operation or of the clock; and if the sequence has ended before.
    ///
    /// ```
    /// use lwt_core::retry::{self, Error};
    /// use lwt_core::{State, result};
    /// let p = retry::on_error(|| result::fail::<(), _>(Error::<_, ()>::Retry("busy"))).n_times(5);
    /// assert!(matches!(p.state(), State::Fulfilled(Err(f)) if f.attempt == 6));
    /// ```
    #[track_caller]
    pub fn n_times(mut self, n: usize) -> Promise<Attempt<T, R, F>> {
        spawn(async move {
            let mut retries = 0;
            loop {
                let Some(attempt) = self.next_attempt().await? else {
                    return Err(crate::Error::msg("the attempts have ended"));
                };
                let last = retries == n || matches!(self.stage, Stage::Over);
                if last {
                    return Ok(attempt);
                }
                retries += 1;
            }
        })
    }

    /// The next attempt; `None` after a success or a fatal error. It may be dropped, and nothing is lost.
    ///
    /// # Errors
    /// A rejection of the operation or of the clock.
    ///
    /// ```
    /// use lwt_core::retry::{self, Error};
    /// use lwt_core::{result, spawn};
    /// let mut attempts = retry::on_error(|| result::ready::<_, Error<()>>(7));
    /// let p = spawn(async move {
    ///     assert_eq!(attempts.next_attempt().await?, Some(Ok(7)));
    ///     assert_eq!(attempts.next_attempt().await?, None);
    ///     Ok::<_, lwt_core::Error>(())
    /// });
    /// assert!(!p.is_pending());
    /// ```
    pub fn next_attempt(&mut self) -> NextAttempt<'_, T, R, F> {
        NextAttempt(self)
    }

    /// The attempts as a stream of the crate, which is what `Lwt_retry.on_error` and `with_sleep` give.
    ///
    /// Its errors are rejections of the operation or of the clock. When it is dropped, the attempt that is
    /// under way is cancelled.
    ///
    /// ```
    /// use lwt_core::retry::{self, Error};
    /// use lwt_core::{State, result};
    /// let all = retry::on_error(|| result::fail::<(), _>(Error::<_, ()>::Retry("busy"))).into_stream();
    /// let numbers = all.map(|attempt| attempt.map_or_else(|failure| failure.attempt, |()| 0));
    /// assert!(matches!(numbers.nget(3).state(), State::Fulfilled(n) if *n == [1, 2, 3]));
    /// ```
    pub fn into_stream(self) -> stream::Stream<Attempt<T, R, F>> {
        stream::of_try_futures(self)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Attempt<T, R, F>, crate::Error>>> {
        loop {
            self.stage = match &mut self.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Idle => match &mut self.pace {
                    Some(pace) if self.begun > 0 => Stage::Sleeping(apply(|| pace(self.begun))),
                    _ => self.begin(),
                },
                Stage::Sleeping(sleep) => match ready!(Pin::new(sleep).poll(cx)) {
                    Ok(()) => self.begin(),
                    Err(error) => {
                        self.stage = Stage::Idle;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                Stage::Trying(attempt) => {
                    let outcome = ready!(Pin::new(attempt).poll(cx));
                    let goes_on = matches!(outcome, Err(_) | Ok(Err(Error::Retry(_))));
                    self.stage = if goes_on { Stage::Idle } else { Stage::Over };
                    let attempt = self.begun;
                    let judged = outcome.map(|result| result.map_err(|error| Failure { error, attempt }));
                    return Poll::Ready(Some(judged));
                }
            }
        }
    }

    fn begin(&mut self) -> Stage<T, R, F> {
        self.begun += 1;
        Stage::Trying(apply(&mut self.operation))
    }
}

impl<T, R, F> fmt::Debug for Attempts<T, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Idle => "idle",
            Stage::Sleeping(_) => "sleeping",
            Stage::Trying(_) => "trying",
            Stage::Over => "over",
        };
        f.debug_struct("Attempts").field("begun", &self.begun).field("stage", &stage).finish()
    }
}

impl<T, R, F> Unpin for Attempts<T, R, F> {}

/// Each attempt, or the error with which it, or the wait before it, was rejected.
impl<T: 'static, R: 'static, F: 'static> Stream for Attempts<T, R, F> {
    type Item = Result<Attempt<T, R, F>, crate::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

/// See [`Attempts::next_attempt`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct NextAttempt<'a, T, R, F>(&'a mut Attempts<T, R, F>);

impl<T, R, F> fmt::Debug for NextAttempt<'_, T, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NextAttempt").field(&*self.0).finish()
    }
}

impl<T: 'static, R: 'static, F: 'static> Future for NextAttempt<'_, T, R, F> {
    type Output = Result<Option<Attempt<T, R, F>>, crate::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(Option::transpose)
    }
}
