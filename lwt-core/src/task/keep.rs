//! Cancels that come at the wrong moment: kept while something is carried through ([`keep_cancel`]), and met
//! where it suits ([`cancel_point`]).
//!
//! 1. What waits here waits for two promises: its own, which takes no cancel, and one of nobody's, which
//!    takes it. So a cancel is seen although it does nothing.
//! 2. A cancel that was taken is noted in the task again when the waiting is over, as if it had met the task
//!    running.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::header::Current;
use crate::Error;
use crate::promise::Promise;
use crate::promise::resolver::{Resolver, task};

/// Waits for something to its end, and keeps a cancel of the task that comes meanwhile for the task's next
/// await of something that can be cancelled.
///
/// It is for what has to be carried through and counted, such as a write that is under way. `future` should
/// be one that a cancel does not reach, such as a promise of [`no_cancel`](Promise::no_cancel), on which a
/// cancel has no effect without this. A loop over such waits is never cancelled, unless there is another
/// await in it: see [`cancel_point`].
///
/// ```
/// use lwt_core::{Error, scheduler, spawn, task, wait};
/// let (writing, written) = wait();
/// let work = spawn(async move {
///     let n: u32 = task::keep_cancel(writing).await?;
///     let after = task::cancel_point().await;
///     Ok::<_, Error>((n, after.is_err()))
/// });
/// work.cancel();
/// written.wakeup(7);
/// scheduler::run_ready(usize::MAX);
/// work.on_success(|result| assert_eq!(*result, (7, true)));
/// ```
pub fn keep_cancel<F: Future + Unpin>(future: F) -> KeepCancel<F> {
    let (cancel, resolver) = task();
    KeepCancel { future, cancel: Some(cancel), _resolver: resolver }
}

/// See [`keep_cancel`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct KeepCancel<F> {
    future: F,
    /// Rejected by a cancel, and `None` then.
    cancel: Option<Promise<()>>,
    _resolver: Resolver<()>,
}

impl<F: Future + Unpin> Future for KeepCancel<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.cancel.as_mut().is_some_and(|cancel| Pin::new(cancel).poll(cx).is_ready()) {
            self.cancel = None;
        }
        let done = Pin::new(&mut self.future).poll(cx);
        if done.is_ready()
            && self.cancel.is_none()
            && let Some(task) = Current::polled_with(cx.waker())
        {
            task.note_cancel();
        }
        done
    }
}

impl<F> fmt::Debug for KeepCancel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepCancel").field("cancelled", &self.cancel.is_none()).finish_non_exhaustive()
    }
}

/// A place at which a task meets a cancel that came while it ran, or that was [kept](keep_cancel); otherwise
/// it goes on at once, without letting others run.
///
/// # Errors
/// [`Canceled`](crate::Canceled), if the task's promise was cancelled.
pub fn cancel_point() -> CancelPoint {
    CancelPoint(())
}

/// See [`cancel_point`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct CancelPoint(());

impl Future for CancelPoint {
    type Output = Result<(), Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(match Current::polled_with(cx.waker()) {
            Some(task) if task.take_noted_cancel() => Err(Error::canceled()),
            _ => Ok(()),
        })
    }
}
