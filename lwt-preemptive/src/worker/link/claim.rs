//! [`Claims`]: which of the jobs that were sent ahead to a worker have been begun.
//!
//! 1. Each job that was sent and is not answered has a word, found by its number modulo [`AHEAD`]; the
//!    program sees to it that no two need the same one.
//! 2. The word says *offered* with the job's number. The worker makes it *begun* before it begins, the
//!    program makes it *withdrawn* to take the job back; each by one exchange that expects it as offered. So
//!    a job that was withdrawn never begins, and of one that has begun everybody knows.
//! 3. The program asks a job that has begun to end by making it *asked*.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::map::Map;

/// How many jobs can be sent ahead.
pub(crate) const AHEAD: usize = 64;

const OFFERED: u64 = 1;
const BEGUN: u64 = 2;
const WITHDRAWN: u64 = 3;
const ASKED: u64 = 4;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    map: Arc<Map>,
    at: usize,
}

/// What has become of a job that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It has not begun, and never will.
    Withdrawn,
    /// It has begun, for all that is known.
    Begun,
}

impl Claims {
    pub(super) fn new(map: Arc<Map>, at: usize) -> Claims {
        Claims { map, at }
    }

    #[inline]
    fn word(&self, job: u64) -> &AtomicU64 {
        &self.map.words(self.at, AHEAD)[job as usize % AHEAD]
    }

    #[inline]
    fn change(&self, job: u64, from: u64, to: u64) -> bool {
        self.word(job).compare_exchange(job << 3 | from, job << 3 | to, AcqRel, Acquire).is_ok()
    }

    /// The program sends a job.
    #[inline]
    pub(crate) fn offer(&self, job: u64) {
        self.word(job).store(job << 3 | OFFERED, Release);
    }

    /// The worker begins a job; false if it was withdrawn.
    #[inline]
    pub(crate) fn begin(&self, job: u64) -> bool {
        self.change(job, OFFERED, BEGUN)
    }

    /// The program takes a job back, if it has not begun.
    pub(crate) fn withdraw(&self, job: u64) -> Claimed {
        if self.change(job, OFFERED, WITHDRAWN) { Claimed::Withdrawn } else { Claimed::Begun }
    }

    /// The program asks a job that has begun to end.
    pub(crate) fn ask(&self, job: u64) {
        self.change(job, BEGUN, ASKED);
    }

    /// Whether a job was asked to end.
    pub(crate) fn is_asked(&self, job: u64) -> bool {
        self.word(job).load(Relaxed) == job << 3 | ASKED
    }
}
