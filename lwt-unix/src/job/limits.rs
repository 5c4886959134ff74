//! What a pool may use ([`Limits`]), what it does ([`Stats`]), and that it has no room ([`Full`]).

use std::fmt;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

/// What a pool may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many threads stay, once they are there, when there is nothing to do.
    pub min_threads: usize,
    /// The most threads there are at a time, those left out that [wait](super::waiting) for other jobs. 0
    /// counts as 1.
    pub max_threads: usize,
    /// The most jobs that wait for a thread inside the pool, in each [`Lane`](super::Lane). What comes over
    /// it waits on the loop that asked. 0 counts as 1.
    pub max_queued: usize,
    /// How long a thread without work stays.
    pub keep_idle: Duration,
    /// The size of a thread's stack, in bytes.
    pub stack_size: usize,
}

impl Default for Limits {
    /// No threads that stay; at most 256, or four for each processor if that is more; 4096 jobs waiting; ten
    /// seconds; 2 MiB.
    fn default() -> Limits {
        Limits {
            min_threads: 0,
            max_threads: (4 * processors()).max(256),
            max_queued: 4096,
            keep_idle: Duration::from_secs(10),
            stack_size: 2 << 20,
        }
    }
}

/// What a pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Threads there are.
    pub threads: usize,
    /// Those of them that have no job.
    pub idle: usize,
    /// Jobs that wait in the queue, in all lanes.
    pub queued: usize,
}

/// The queue of a pool is full; what was to run comes back.
pub struct Full<F>(
    /// The closure.
    pub F,
);

impl<F> fmt::Debug for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(_)")
    }
}

impl<F> fmt::Display for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue of the pool is full")
    }
}

impl<F> std::error::Error for Full<F> {}

/// Processors that this process may use.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
