//! What a pool tells of itself: [`Event`], [`Stats`].

use lwt_unix::process::Pid;

use super::super::Message;

/// Something that a pool tells: an element of [`Pool::events`](super::Pool::events).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A job, or its worker, has told something by [`progress`](super::super::progress) or
    /// [`log`](super::super::log).
    Message {
        /// The [number](super::Call::numbered) of the job; 0 between jobs.
        job: u64,
        /// What it has told.
        message: Message,
    },
    /// A worker is there.
    Started {
        /// Its number.
        pid: Pid,
    },
    /// A worker is gone.
    Ended {
        /// Its number, if it has ever come to be.
        pid: Option<Pid>,
        /// Why, unless that was asked for.
        failure: Option<String>,
    },
    /// A job is done again, because its worker has ended while it was at it.
    Retried {
        /// The job's number.
        job: u64,
    },
    /// So many events were lost here, because nobody read those before them.
    Lost(u64),
}

/// What a pool has, and what it has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Workers that are there or on their way.
    pub workers: usize,
    /// Those of them that have a job.
    pub busy: usize,
    /// Jobs that wait in the queue.
    pub queued: usize,
    /// Jobs that were handed to workers and are not answered.
    pub running: usize,
    /// Jobs that were answered, by a result or a panic.
    pub answered: u64,
    /// Promises that were rejected, other than by a cancel.
    pub failed: u64,
    /// Promises that were cancelled.
    pub cancelled: u64,
    /// Jobs that were begun again.
    pub retried: u64,
    /// Jobs that were taken from a busy worker for an idle one.
    pub moved: u64,
    /// Workers that were started.
    pub started: u64,
    /// Workers that have ended without having been asked to.
    pub crashed: u64,
    /// Workers that were told to end after their number of jobs.
    pub recycled: u64,
}
