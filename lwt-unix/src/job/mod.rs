//! Jobs: blocking calls and long computations on threads outside the loop, as promises ([`detach`]).
//!
//! A job is three parts: arguments, moved into a closure; the closure, which runs on a job thread; and the
//! promise, which is resolved on the loop of the thread that asked. Nothing of a promise leaves its thread,
//! and no job ever runs on a loop, unless that was asked for ([`AsyncMethod::None`]).
//!
//! * *Threads.* A [`Pool`] starts with none, and starts one per job up to the number of processors. More are
//!   added only while threads that have a job are asleep in it, that is, while jobs really block; how many
//!   jobs wait says nothing about that. Threads without work end after a time. All signals are blocked in
//!   them, except those that tell of the thread's own faults.
//! * *Queue.* Jobs that no thread is free for wait in a queue, first come first served. It is bounded: what
//!   comes over the bound waits on the loop that asked for it, in order, and is handed over when half the
//!   queue is empty again. Nothing is lost or refused.
//! * *Lanes.* What may all hang for the same reason, such as name look-ups ([`names`]), goes through a
//!   [`Lane`], which takes some of the threads and never all.
//! * *Cancelling.* A promise that is cancelled is rejected at once. If its job has not begun, it never does,
//!   and its closure is dropped; if it has, it cannot be stopped, though it may ask ([`is_cancelled`]), and
//!   its result is dropped when it comes. Dropping a promise cancels nothing: its job runs. When a loop ends,
//!   its jobs that have not begun are taken back.
//! * *Completion.* Results are posted to the loop that asked; it is woken once for however many there are by
//!   then, and not at all while it is awake.
//! * *Panics* reject the promise, with the message; the thread goes on.
//! * *Fork.* The child has none of the parent's threads. It gets a pool of its own, and its jobs are
//!   cancelled; a pool that the program made refuses jobs there.
//!
//! Files: `call`, blocking calls and all jobs at once; `method`, how they run; `current`, what a job knows of
//! itself; `lane`; `limits`; `queue`, the jobs that wait; `pool`, the threads' side; `worker`, one job
//! thread; `watch`, which has more workers come while jobs block; `desk`, the loop's side.

mod call;
mod current;
pub(crate) mod desk;
mod lane;
mod limits;
mod method;
mod pool;
mod queue;
mod sync;
mod watch;
mod worker;

use lwt_core::{Error, Promise};

pub use self::call::{
    Job, abort_jobs, cancel_jobs, held_back, names, pool, pool_size, run_job, set_pool_size, start,
    thread_count, thread_waiting_count, wait_for_jobs,
};
pub(crate) use self::call::{after_fork, locks};
pub use self::current::{Cancelled, cancelled, home, is_cancelled, waiting};
pub use self::lane::Lane;
pub use self::limits::{Full, Limits, Stats};
pub use self::method::{
    AsyncMethod, async_method, async_method_key, default_async_method, set_default_async_method,
    with_async_detach, with_async_none,
};
pub use self::pool::Pool;
pub(crate) use self::pool::{still, working};

/// Runs `f` on a thread of the process's [`pool`], and gives its result (`Lwt_preemptive.detach`, the
/// `Lwt_unix` jobs).
///
/// The promise may be cancelled; the [module's documentation](self) tells what that does. Dropping it lets
/// the job run.
///
/// ```
/// let text = lwt_unix::detach(|| std::fs::read_to_string("/dev/null"));
/// assert_eq!(lwt_unix::run(text).unwrap().unwrap(), "");
/// ```
///
/// # Errors
/// If `f` panics, an error with its message ([`Error::panic_message`]). The operating system's, if not a
/// single thread can be started or this thread has no main loop and none can be made.
#[track_caller]
pub fn detach<T, F>(f: F) -> Promise<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pool().detach(f)
}

/// [`detach`] for what returns a `Result`: its error rejects the promise.
///
/// ```
/// let promise = lwt_unix::job::detach_result(|| std::fs::metadata("/no/such/file"));
/// let error = lwt_unix::run(promise).unwrap_err();
/// assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
/// ```
///
/// # Errors
/// That of `f`; otherwise as [`detach`].
#[track_caller]
pub fn detach_result<T, E, F>(f: F) -> Promise<T>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Into<Error> + 'static,
{
    pool().detach_result(f)
}
