//! Tasks: futures that run as promises.
//!
//! [`spawn`] makes one. `header.rs` has the states of a task and its rules, `run.rs` its life, `queue.rs` the
//! run queue, `waker.rs` the wakers; `keep.rs` keeps cancels that come at the wrong moment.

pub(crate) mod header;
mod keep;
pub(crate) mod queue;
mod run;
mod waker;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::Error;
use crate::origin::Origin;
use crate::promise::Promise;

use header::Current;
pub use keep::{CancelPoint, KeepCancel, cancel_point, keep_cancel};

/// Runs a future as a promise.
///
/// The future is polled at once, to its first wait, inside this call. After that it runs whenever what it
/// waits for has happened, in turn with the other tasks of the thread: from the loop (`lwt_unix::run`) or
/// from [`run_ready`](crate::scheduler::run_ready), never inside a `wakeup`. It is dropped on this thread,
/// before its promise resolves.
///
/// * Its error type is anything that becomes an [`Error`].
/// * A panic rejects the promise.
/// * Dropping the promise detaches the task, which goes on; a rejection then goes to the unhandled-rejection
///   hook.
/// * A cancel of the promise goes to what the task awaits: the `.await` gives `Err` with
///   [`Canceled`](crate::Canceled), and the task goes on, to clean up. If it awaits several promises, all get
///   it. A task that waits for foreign futures only is dropped, and its promise is rejected. A cancel that
///   meets a running task, or one that was woken and has not run yet, is delivered at its next await of
///   something that can be cancelled.
/// * [`abort`] drops the future at once.
///
/// ```
/// use lwt_core::{Error, scheduler, spawn, wait};
/// let (p, r) = wait();
/// let task = spawn(async { Ok::<_, Error>(p.await? + 1) });
/// r.wakeup(41);
/// scheduler::run_ready(usize::MAX);
/// task.on_success(|n| assert_eq!(*n, 42));
/// ```
#[inline]
#[track_caller]
pub fn spawn<T, E, F>(future: F) -> Promise<T>
where
    T: 'static,
    E: Into<Error> + 'static,
    F: Future<Output = Result<T, E>> + 'static,
{
    run::spawn(future, Origin::caller())
}

/// Drops the future of a task and rejects its promise with [`Canceled`](crate::Canceled), at once; if the
/// task is running (it aborts itself), when it next waits. Whether `promise` was that of a live task.
///
/// The future's destructors run; what it awaited is dropped, not cancelled.
///
/// # Panics
/// As [`Promise::cancel`].
///
/// ```
/// use lwt_core::{Error, spawn, task, wait};
/// let (p, _r) = wait::<()>();
/// let work = spawn(async move { p.await });
/// assert!(task::abort(&work));
/// work.on_failure(|e| assert!(e.is_canceled()));
/// ```
#[track_caller]
pub fn abort<T>(promise: &Promise<T>) -> bool {
    promise.abort_source(Error::canceled())
}

/// A future that lets all other tasks which are ready run first, and then goes on: cheaper than
/// [`pause`](crate::pause), which also waits for the loop to look at the operating system.
///
/// # Errors
/// [`Canceled`](crate::Canceled), if the task's promise was cancelled.
///
/// ```
/// # use lwt_core::{Error, scheduler, spawn, task};
/// let p = spawn(async { for _ in 0..3 { task::yield_now().await? } Ok::<_, Error>(()) });
/// assert!(p.is_pending());
/// scheduler::run_ready(usize::MAX);
/// assert!(!p.is_pending());
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// See [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = Result<(), Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let current = Current::polled_with(cx.waker());
        if let Some(task) = &current
            && task.take_noted_cancel()
        {
            return Poll::Ready(Err(Error::canceled()));
        }
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(Ok(()));
        }
        match current {
            Some(task) => task.requeue(),
            None => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}
