//! [`Options`] of a pool, [`OnCancel`], [`Full`], [`PoolError`].

use std::fmt;
use std::thread;
use std::time::Duration;

use lwt_core::retry::BackOff;

use super::super::link::AHEAD;
use super::super::{Start, Way};

/// How a pool of workers is made.
///
/// ```
/// use std::time::Duration;
/// use lwt_preemptive::worker::pool::Options;
/// let options = Options::new().workers(2).recycle_after(1000).memory(1 << 30).grace(Duration::from_secs(1));
/// println!("{options:?}");
/// ```
#[derive(Clone, Debug)]
#[must_use = "they are only options: `Pool::new` makes a pool"]
pub struct Options {
    pub(super) start: Start,
    pub(super) workers: usize,
    pub(super) ahead: usize,
    pub(super) bound: usize,
    pub(super) recycle: u64,
    pub(super) back_off: BackOff,
    pub(super) limit: usize,
    pub(super) grace: Duration,
    pub(super) drain: Duration,
    pub(super) retry: u32,
    pub(super) on_cancel: OnCancel,
}

impl Options {
    /// As many workers as there are processors, a queue of 1024 jobs, no recycling, no limit to memory, no
    /// second attempts.
    pub fn new() -> Options {
        Options {
            start: Start::new(),
            workers: thread::available_parallelism().map_or(1, usize::from),
            ahead: 16,
            bound: 1024,
            recycle: u64::MAX,
            back_off: BackOff::new(Duration::from_millis(50)).at_most(Duration::from_secs(10)),
            limit: 16,
            grace: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            retry: 0,
            on_cancel: OnCancel::default(),
        }
    }

    /// How many workers there are; 0 counts as 1.
    pub fn workers(mut self, many: usize) -> Options {
        self.workers = many.max(1);
        self
    }

    /// How many jobs a worker may have at a time: the one that it is at, and those that wait for it already,
    /// so that it need not wait for the loop between two. At least 1, at most 64; otherwise 16. What waits
    /// for a busy worker goes to another one that has nothing to do.
    pub fn ahead(mut self, many: usize) -> Options {
        self.ahead = many.clamp(1, AHEAD);
        self
    }

    /// How many jobs may wait for a worker before the queue counts as full: see
    /// [`room`](super::Pool::room), [`try_submit`](super::Pool::try_submit). 0 counts as 1.
    pub fn queue(mut self, bound: usize) -> Options {
        self.bound = bound.max(1);
        self
    }

    /// A worker that has been given so many jobs does them, ends, and another takes its place; it may also be
    /// fewer, if others have taken some from it. 0 counts as 1.
    pub fn recycle_after(mut self, jobs: u64) -> Options {
        self.recycle = jobs.max(1);
        self
    }

    /// How many bytes of memory of its own a worker may have: see [`Start::memory`].
    pub fn memory(mut self, bytes: u64) -> Options {
        self.start = self.start.memory(bytes);
        self
    }

    /// The niceness of the workers: see [`Start::nice`].
    pub fn nice(mut self, nice: i32) -> Options {
        self.start = self.start.nice(nice);
        self
    }

    /// How workers are made: see [`Start::way`].
    pub fn way(mut self, way: Way) -> Options {
        self.start = self.start.way(way);
        self
    }

    /// All that workers are started with, to share pools of memory with them and to pass them descriptors. It
    /// takes the place of what [`memory`](Options::memory), [`nice`](Options::nice) and [`way`](Options::way)
    /// have said before.
    pub fn start(mut self, start: Start) -> Options {
        self.start = start;
        self
    }

    /// How long to wait before a worker that has failed is replaced, from the second failure in a row on: a
    /// failure is an end that was not asked for, and a row ends when any worker answers a job. Otherwise it
    /// is 50 ms, doubled each time, up to 10 s.
    pub fn back_off(mut self, back_off: BackOff) -> Options {
        self.back_off = back_off;
        self
    }

    /// After so many failures in a row the pool is [broken](PoolError::Broken). Those that come while a
    /// replacement is put off count as one with that which it is put off for. Otherwise 16; 0 counts as 1.
    pub fn failures(mut self, limit: usize) -> Options {
        self.limit = limit.max(1);
        self
    }

    /// How long a worker may take to end when it has nothing to do any more, before it is killed. Otherwise
    /// two seconds.
    pub fn grace(mut self, time: Duration) -> Options {
        self.grace = time;
        self
    }

    /// How long jobs may go on when the program ends, or the last handle was dropped. Otherwise ten seconds.
    pub fn drain(mut self, time: Duration) -> Options {
        self.drain = time;
        self
    }

    /// How often a job may be done again whose worker has ended while it was at it. Otherwise it is 0: the
    /// promise is rejected. See [`Call::retry`](super::Call::retry).
    pub fn retry(mut self, times: u32) -> Options {
        self.retry = times;
        self
    }

    /// What becomes of a job that runs and is cancelled.
    pub fn on_cancel(mut self, what: OnCancel) -> Options {
        self.on_cancel = what;
        self
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

/// What becomes of a job that a worker is at when its promise is cancelled. (One that has not begun never
/// does.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCancel {
    /// It may see that it [was cancelled](super::is_cancelled). If it still runs after this time, its worker
    /// is killed, and replaced.
    Kill(Duration),
    /// It may see that it was cancelled, and runs to its end, whatever that takes.
    RunOut,
}

/// Killed after half a second.
impl Default for OnCancel {
    fn default() -> OnCancel {
        OnCancel::Kill(Duration::from_millis(500))
    }
}

/// The queue of a pool is full. It gives the argument back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full<A>(pub A);

impl<A> fmt::Display for Full<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue of the pool of workers is full")
    }
}

impl<A: fmt::Debug> std::error::Error for Full<A> {}

/// Why a pool did not do a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// It was shut down.
    Closed,
    /// Its workers have failed too often in a row: see [`Options::failures`].
    Broken {
        /// How often.
        failures: usize,
        /// Why, the last time.
        last: String,
    },
    /// The pool is that of the process which this one was forked from.
    Foreign,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::Closed => f.write_str("the pool of workers was shut down"),
            PoolError::Broken { failures, last } => {
                write!(f, "the pool of workers is broken after {failures} failures in a row: {last}")
            }
            PoolError::Foreign => f.write_str("the pool's workers are another process's"),
        }
    }
}

impl std::error::Error for PoolError {}
