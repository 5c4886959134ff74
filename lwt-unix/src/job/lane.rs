//! [`Lane`]: a part of a pool's threads, for jobs that must not take all of them.

use std::fmt;
use std::sync::Arc;

use lwt_core::{Error, Promise};

use super::desk;
use super::pool::Pool;
use super::queue::COMMON;

/// A way into a [`Pool`] that lets only so many jobs run at a time. Clones are the same lane.
///
/// For jobs that may all hang for the same reason, such as a server that does not answer: they wait for each
/// other, and the pool's other jobs pass by them. A lane has a queue of its own, with the pool's bound, so a
/// full one keeps nobody else's jobs from being queued either. All lanes together leave one thread to the
/// jobs that are in none, if the pool may have more than one.
///
/// ```
/// use lwt_unix::job::{self, Lane};
/// let printer = Lane::new(job::pool(), 1);
/// let pages = (1..=3).map(|page| printer.detach(move || page));
/// assert_eq!(lwt_unix::run(lwt_core::all(pages.collect::<Vec<_>>())).unwrap(), [1, 2, 3]);
/// ```
#[derive(Clone)]
pub struct Lane {
    pool: Pool,
    /// `None` for the pool's common lane.
    open: Option<Arc<Open>>,
}

/// A lane that somebody has a handle on.
struct Open {
    pool: Pool,
    key: usize,
}

impl Lane {
    /// A lane of `pool` of which at most `max_running` jobs run at a time; 0 counts as 1.
    pub fn new(pool: &Pool, max_running: usize) -> Lane {
        let open = Open { pool: pool.clone(), key: pool.add_lane(max_running) };
        Lane { pool: pool.clone(), open: Some(Arc::new(open)) }
    }

    /// The jobs that are in no lane.
    pub(super) fn common(pool: &Pool) -> Lane {
        Lane { pool: pool.clone(), open: None }
    }

    /// The pool whose threads run the jobs.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Runs `f` on a thread, as soon as the lane and the pool have one for it. See [`detach`](super::detach).
    ///
    /// # Errors
    /// As [`detach`](super::detach).
    #[track_caller]
    pub fn detach<T, F>(&self, f: F) -> Promise<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        desk::detach(self.clone(), || Ok::<T, Error>(f()))
    }

    /// [`detach`](Lane::detach) for what returns a `Result`. See [`detach_result`](super::detach_result).
    ///
    /// # Errors
    /// As [`detach_result`](super::detach_result).
    #[track_caller]
    pub fn detach_result<T, E, F>(&self, f: F) -> Promise<T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<Error> + 'static,
    {
        desk::detach(self.clone(), || f().map_err(Into::into))
    }

    /// Its key in the pool's queue.
    pub(super) fn key(&self) -> usize {
        self.open.as_ref().map_or(COMMON, |open| open.key)
    }

    /// Tells this lane from all others of all pools that are in use.
    pub(super) fn id(&self) -> (u64, usize) {
        (self.pool.id(), self.key())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pool.leave(self.key);
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("key", &self.key()).field("pool", &self.pool).finish()
    }
}
