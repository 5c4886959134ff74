//! Jobs of a kind: blocking calls by the method in force, the process's pool and its lanes, and what
//! `Lwt_unix` has for all jobs at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use lwt_core::{Error, Promise};

use super::desk;
use super::lane::Lane;
use super::limits::Limits;
use super::method::{AsyncMethod, async_method};
use super::pool::Pool;
use crate::main_loop::runtime::Runtime;

/// Of the name look-ups at most so many run at a time.
const NAMES: usize = 16;

/// Of those who wait for another process's lock at most so many have a thread.
const LOCKS: usize = 64;

/// The pools of the process. A forked child has none of its parent's threads, so it begins another.
struct Process {
    pool: OnceLock<Pool>,
    names: OnceLock<Lane>,
    locks: OnceLock<Lane>,
    child: OnceLock<Box<Process>>,
}

static PROCESS: Process = Process::new();

/// How many forks this process is away from the program's start.
static FORKS: AtomicU64 = AtomicU64::new(0);

impl Process {
    const fn new() -> Process {
        Process {
            pool: OnceLock::new(),
            names: OnceLock::new(),
            locks: OnceLock::new(),
            child: OnceLock::new(),
        }
    }

    fn this() -> &'static Process {
        let mut process = &PROCESS;
        while let Some(child) = process.child.get() {
            process = child;
        }
        process
    }
}

/// The number of forks that lie behind this process; a pool of another number has no threads here.
pub(super) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// In a forked child: the process has an empty pool. Pools that the program has made refuse jobs from now on.
pub(crate) fn after_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    Process::this().child.get_or_init(|| Box::new(Process::new()));
}

/// The pool that all loops of the process share.
///
/// ```
/// use lwt_unix::job;
/// let limits = job::pool().limits();
/// assert!(limits.max_threads >= 64);
/// job::pool().set_limits(job::Limits { max_threads: 100, ..limits });
/// ```
pub fn pool() -> &'static Pool {
    Process::this().pool.get_or_init(|| Pool::new(Limits::default()))
}

/// The lane of the process's [`pool`] for what asks servers for names: hosts, services, users. At most
/// sixteen of them run at a time, so that a server that does not answer keeps no file job waiting.
///
/// ```
/// use std::net::ToSocketAddrs;
/// let found = lwt_unix::job::names().detach_result(|| "127.0.0.1:80".to_socket_addrs());
/// assert_eq!(lwt_unix::run(found).unwrap().count(), 1);
/// ```
pub fn names() -> &'static Lane {
    Process::this().names.get_or_init(|| Lane::new(pool(), NAMES))
}

/// The lane of the process's [`pool`] for waiting until another process gives a lock back, which may be
/// never.
pub(crate) fn locks() -> &'static Lane {
    Process::this().locks.get_or_init(|| Lane::new(pool(), LOCKS))
}

/// Runs a blocking call by `method`, or else by the [method in force](async_method), and gives its result
/// (`Lwt_unix.run_job`).
///
/// With [`AsyncMethod::Detach`] it is [`detach_result`](super::detach_result): the closure has the arguments
/// moved in, runs on a thread, and what a cancel does is told in the [module's documentation](super). With
/// [`AsyncMethod::None`] it runs in this call, **and blocks the loop**; the promise is resolved when it
/// returns.
///
/// A step that needs what may not leave the loop's thread follows by [`Promise::map`] or [`Promise::bind`];
/// see also [`Job`].
///
/// ```
/// use lwt_unix::job::{AsyncMethod, run_job};
/// let here = std::thread::current().id();
/// let there = run_job(None, || Ok::<_, std::io::Error>(std::thread::current().id()));
/// assert_ne!(lwt_unix::run(there).unwrap(), here);
/// let in_place = run_job(Some(AsyncMethod::None), || Ok::<_, std::io::Error>(std::thread::current().id()));
/// assert_eq!(lwt_unix::run(in_place).unwrap(), here);
/// ```
///
/// # Errors
/// As [`detach_result`](super::detach_result).
#[track_caller]
pub fn run_job<T, E, F>(method: Option<AsyncMethod>, f: F) -> Promise<T>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Into<Error> + 'static,
{
    Lane::common(pool()).run_job(method, f)
}

impl Lane {
    /// [`run_job`] by this lane.
    ///
    /// # Errors
    /// As [`run_job`].
    #[track_caller]
    pub fn run_job<T, E, F>(&self, method: Option<AsyncMethod>, f: F) -> Promise<T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<Error> + 'static,
    {
        match method.unwrap_or_else(async_method) {
            AsyncMethod::Detach => self.detach_result(f),
            AsyncMethod::None => match desk::run_here(|| f().map_err(Into::into)) {
                Ok(value) => Promise::ready(value),
                Err(error) => Promise::fail(error),
            },
        }
    }
}

/// A blocking call of one's own, in the parts that Lwt's jobs have: the value itself holds the arguments,
/// [`run`] makes the call on a thread, [`result`] makes of what it brought what the caller gets, on the loop.
///
/// [`run`]: Job::run
/// [`result`]: Job::result
///
/// ```
/// use std::rc::Rc;
/// use lwt_unix::job::{self, Job};
///
/// /// How many lines a file has.
/// struct Lines(&'static str);
///
/// impl Job for Lines {
///     type Raw = std::io::Result<String>;
///     type Output = Rc<usize>;
///     fn run(self) -> Self::Raw {
///         std::fs::read_to_string(self.0)
///     }
///     fn result(raw: Self::Raw) -> Result<Self::Output, lwt_core::Error> {
///         Ok(Rc::new(raw?.lines().count()))
///     }
/// }
/// assert_eq!(*lwt_unix::run(job::start(None, Lines("/proc/self/comm"))).unwrap(), 1);
/// ```
pub trait Job: Send + 'static {
    /// What the call brings.
    type Raw: Send + 'static;
    /// What the caller gets.
    type Output: 'static;

    /// Makes the call. It may block.
    fn run(self) -> Self::Raw;

    /// On the loop's thread, unless the promise was cancelled.
    ///
    /// # Errors
    /// What the promise is to be rejected with.
    fn result(raw: Self::Raw) -> Result<Self::Output, Error>;
}

/// Starts a [`Job`] by `method`, or else by the method in force; otherwise as [`run_job`].
///
/// # Errors
/// That of [`Job::result`]; otherwise as [`run_job`].
#[track_caller]
pub fn start<J: Job>(method: Option<AsyncMethod>, job: J) -> Promise<J::Output> {
    run_job(method, move || Ok::<_, Error>(job.run())).bind(|raw| match J::result(raw) {
        Ok(output) => Promise::ready(output),
        Err(error) => Promise::fail(error),
    })
}

/// Rejects the promises of all jobs that this thread has asked for with `error` (`Lwt_unix.abort_jobs`).
/// Those that have not begun never do; a call that has begun goes on, and what it brings is dropped.
///
/// ```
/// use lwt_unix::job;
/// let sleeps = lwt_unix::detach(|| std::thread::sleep(std::time::Duration::from_millis(5)));
/// job::abort_jobs(lwt_core::Error::msg("enough"));
/// assert_eq!(lwt_unix::run(sleeps).unwrap_err().to_string(), "enough");
/// ```
pub fn abort_jobs(error: impl Into<Error>) {
    if let Some(runtime) = Runtime::existing() {
        runtime.jobs.abort(&error.into());
    }
}

/// [`abort_jobs`] with a cancel for the error (`Lwt_unix.cancel_jobs`).
pub fn cancel_jobs() {
    abort_jobs(Error::canceled());
}

/// The end of all jobs that this thread has asked for so far, by whatever outcome (`Lwt_unix.wait_for_jobs`).
/// A job whose promise was cancelled has ended as far as this is concerned, even if its thread goes on.
///
/// ```
/// use lwt_unix::job;
/// let number = lwt_unix::detach(|| 1);
/// lwt_unix::run(job::wait_for_jobs()).unwrap();
/// assert!(!number.is_pending());
/// ```
pub fn wait_for_jobs() -> Promise<()> {
    Runtime::existing().map_or_else(|| Promise::ready(()), |runtime| runtime.jobs.wait())
}

/// How many jobs of this thread's loop wait on it, and not in a pool, because the queue they are for is full.
///
/// ```
/// assert_eq!(lwt_unix::job::held_back(), 0);
/// ```
pub fn held_back() -> usize {
    Runtime::existing().map_or(0, |runtime| runtime.jobs.held_back())
}

/// The most threads that the process's [`pool`] may have (`Lwt_unix.pool_size`).
pub fn pool_size() -> usize {
    pool().limits().max_threads
}

/// Sets the [`pool_size`] (`Lwt_unix.set_pool_size`). See [`Pool::set_limits`].
///
/// ```
/// use lwt_unix::job;
/// job::set_pool_size(40);
/// assert_eq!(job::pool_size(), 40);
/// ```
pub fn set_pool_size(size: usize) {
    pool().update(|limits| limits.max_threads = size);
}

/// How many threads the process's [`pool`] has (`Lwt_unix.thread_count`).
pub fn thread_count() -> usize {
    pool().stats().threads
}

/// How many of them have no job (`Lwt_unix.thread_waiting_count`).
pub fn thread_waiting_count() -> usize {
    pool().stats().idle
}
