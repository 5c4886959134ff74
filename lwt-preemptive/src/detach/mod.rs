//! Blocking calls and long computations on threads (`Lwt_preemptive`): [`detach`], the bounds of its pool,
//! and [`Call`], a detached call with all that can be said about it.
//!
//! The pool is the process's own, [`job::pool`], which the library's own blocking calls use too; its
//! documentation tells what becomes of a call that is cancelled, that panics, or whose loop ends. What is
//! here by the names of `Lwt_preemptive`:
//!
//! * [`init`], [`simple_init`], [`set_bounds`], [`get_bounds`]: how many threads there are. There is no need
//!   to call any of them. Threads come when they are needed, and more of them only while calls really block.
//! * [`nbthreads`], [`nbthreadsbusy`], [`nbthreadsqueued`]: how many there are, at work, and calls that wait.
//! * [`set_max_number_of_threads_queued`]: the bound of the queue. It is kept: what comes over it waits on
//!   the loop that asked for it, in order, and its promise is pending so much longer. Who would rather not
//!   wait uses [`try_detach`].
//!
//! A detached call may ask whether it is [cancelled](job::is_cancelled), may put questions to its loop
//! ([`run_in_main`](crate::run_in_main)), and may have a loop of its own: `lwt_unix::run` works on every
//! thread. If it waits for other calls that way, it does not keep its thread from them: a pool of one thread
//! is enough for calls within calls.

mod call;
mod calls;

use std::sync::{Mutex, PoisonError};

use lwt_core::Promise;
use lwt_unix::job::{self, Full, Limits};

pub use self::call::{Call, Carried, Carry, Nothing};
pub use self::calls::{Running, calls};
pub use lwt_unix::detach;
pub use lwt_unix::job::detach_result;

/// [`detach`], unless the queue is full: for those who would rather do something else than wait
/// ([`job::Pool::try_detach`] of the process's pool).
///
/// ```
/// let promise = lwt_preemptive::detach::try_detach(|| 6 * 7).unwrap();
/// assert_eq!(lwt_unix::run(promise).unwrap(), 42);
/// ```
///
/// # Errors
/// [`Full`] gives `f` back. The promise's errors are those of [`detach`].
#[track_caller]
pub fn try_detach<T, F>(f: F) -> Result<Promise<T>, Full<F>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    job::pool().try_detach(f)
}

/// Changes the limits of the process's pool, one caller after the other.
fn change(change: impl FnOnce(Limits) -> Limits) {
    static CHANGING: Mutex<()> = Mutex::new(());
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = job::pool();
    pool.set_limits(change(pool.limits()));
}

/// Sets the [bounds](set_bounds) (`Lwt_preemptive.init`). The third argument of the original, a function that
/// reports errors, has nothing to report: threads that cannot be started reject promises.
///
/// ```
/// use lwt_preemptive::detach;
/// detach::init(1, 8);
/// assert_eq!(detach::get_bounds(), (1, 8));
/// ```
pub fn init(min: usize, max: usize) {
    set_bounds(min, max);
}

/// Does nothing (`Lwt_preemptive.simple_init`): the pool is made at the first call, with bounds that fit the
/// machine.
pub fn simple_init() {}

/// So many threads stay when they have nothing to do, and so many there are at most
/// (`Lwt_preemptive.set_bounds`). A maximum of 0 counts as 1, and a minimum over the maximum as the maximum.
///
/// Threads over the maximum end when they have done their call.
pub fn set_bounds(min: usize, max: usize) {
    change(|limits| Limits { min_threads: min.min(max.max(1)), max_threads: max.max(1), ..limits });
}

/// The [bounds](set_bounds) (`Lwt_preemptive.get_bounds`).
pub fn get_bounds() -> (usize, usize) {
    let limits = job::pool().limits();
    (limits.min_threads, limits.max_threads)
}

/// Sets how many calls may wait in the queue for a thread
/// (`Lwt_preemptive.set_max_number_of_threads_queued`). 0 counts as 1.
///
/// ```
/// use lwt_preemptive::detach;
/// detach::set_max_number_of_threads_queued(100);
/// assert_eq!(detach::get_max_number_of_threads_queued(), 100);
/// ```
pub fn set_max_number_of_threads_queued(max: usize) {
    change(|limits| Limits { max_queued: max.max(1), ..limits });
}

/// How many calls may wait in the queue for a thread (`Lwt_preemptive.get_max_number_of_threads_queued`).
pub fn get_max_number_of_threads_queued() -> usize {
    job::pool().limits().max_queued
}

/// How many threads there are (`Lwt_preemptive.nbthreads`).
pub fn nbthreads() -> usize {
    job::pool().stats().threads
}

/// How many threads are at work (`Lwt_preemptive.nbthreadsbusy`).
pub fn nbthreadsbusy() -> usize {
    let stats = job::pool().stats();
    stats.threads - stats.idle
}

/// How many calls wait for a thread (`Lwt_preemptive.nbthreadsqueued`): in the queue, and over its bound on
/// this thread's loop.
pub fn nbthreadsqueued() -> usize {
    job::pool().stats().queued + job::held_back()
}
