//! What a job may ask about itself: whose it is ([`home`]), whether its outcome is still wanted
//! ([`is_cancelled`]), and that it waits for other jobs ([`waiting`]).
//!
//! 1. A worker notes itself in [`WORKER`] when it comes up, and in [`NUMBER`] the ticket of the job that it
//!    runs.
//! 2. A job is cancelled when its worker's mark has the number of its ticket. Numbers are never given again,
//!    so nothing has to be reset between two jobs, and a [`Cancelled`] that has outlived its job tells of no
//!    other.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lwt_core::scheduler::Handle;

use super::pool::Shared;

thread_local! {
    /// The worker that this thread is.
    static WORKER: RefCell<Option<Place>> = const { RefCell::new(None) };
    /// The number of the job that it runs; 0 for none.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    /// The loop that asked for the job.
    static HOME: RefCell<Option<Handle>> = const { RefCell::new(None) };
    /// Whether it waits for other jobs.
    static WAITS: Cell<bool> = const { Cell::new(false) };
}

struct Place {
    shared: Arc<Shared>,
    /// The worker's key in the pool.
    key: usize,
    /// The number of the last of its jobs that was cancelled.
    mark: Arc<AtomicU64>,
}

/// Whether the promise of a job was cancelled, for whoever works for it, on whatever thread: see
/// [`cancelled`].
#[derive(Clone)]
pub struct Cancelled {
    mark: Arc<AtomicU64>,
    number: u64,
}

impl Cancelled {
    /// Whether the promise was cancelled, or its loop has ended. Once so, it stays so until the job ends.
    pub fn is_cancelled(&self) -> bool {
        self.mark.load(Ordering::Acquire) == self.number
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// Whether the promise of the job that this thread runs was cancelled, or its loop has ended: nobody will see
/// what the job brings. A long job asks now and then, and returns early. False where no job runs.
///
/// ```
/// use lwt_unix::{detach, job, run};
/// use std::{sync::mpsc, thread};
/// let (told, hear) = mpsc::channel();
/// let (began, begun) = mpsc::channel();
/// let job = detach(move || {
///     began.send(()).unwrap();
///     while !job::is_cancelled() {
///         thread::yield_now(); // a piece of the work
///     }
///     told.send("stopped").unwrap();
/// });
/// begun.recv().unwrap();
/// job.cancel();
/// assert_eq!(hear.recv().unwrap(), "stopped");
/// assert!(run(job).unwrap_err().is_canceled());
/// ```
pub fn is_cancelled() -> bool {
    let number = NUMBER.get();
    let mark = |place: &Place| place.mark.load(Ordering::Acquire);
    number != 0 && WORKER.with_borrow(|worker| worker.as_ref().is_some_and(|place| mark(place) == number))
}

/// [`is_cancelled`] as a value, for the threads that a job starts or to keep it out of an inner loop's way.
/// None where no job runs.
///
/// ```
/// let job = lwt_unix::detach(|| {
///     let cancelled = lwt_unix::job::cancelled().unwrap();
///     std::thread::spawn(move || cancelled.is_cancelled()).join().unwrap()
/// });
/// assert!(!lwt_unix::run(job).unwrap());
/// ```
pub fn cancelled() -> Option<Cancelled> {
    let number = NUMBER.get();
    WORKER.with_borrow(|worker| {
        let place = worker.as_ref().filter(|_| number != 0)?;
        Some(Cancelled { mark: Arc::clone(&place.mark), number })
    })
}

/// The loop that asked for the job which this thread runs; none where no job runs.
///
/// ```
/// use lwt_unix::{detach, job, run};
/// let (send, receive) = std::sync::mpsc::channel();
/// let asked = detach(move || job::home().unwrap().post(move || send.send("on the loop").unwrap()).is_ok());
/// assert!(run(asked).unwrap());
/// run(lwt_core::pause()).unwrap();
/// assert_eq!(receive.recv().unwrap(), "on the loop");
/// ```
pub fn home() -> Option<Handle> {
    HOME.with_borrow(Option::clone)
}

/// Calls `f`, which waits for something that other jobs may have to do first. Where a job calls it, its
/// thread does not count meanwhile: the pool may have one thread more. So a pool of one thread, too, gets on
/// when a job waits for a job.
///
/// A [`run`](crate::run) inside a job does this by itself. Elsewhere it only calls `f`.
///
/// ```
/// use lwt_unix::job::{Limits, Pool, waiting};
/// use std::sync::mpsc;
/// let pool = Pool::new(Limits { max_threads: 1, ..Limits::default() });
/// let (send, receive) = mpsc::channel();
/// let waits = pool.detach(move || waiting(|| receive.recv().unwrap()));
/// let sends = pool.detach(move || send.send(7).unwrap());
/// assert_eq!(lwt_unix::run(lwt_core::both(waits, sends)).unwrap().0, 7);
/// ```
pub fn waiting<R>(f: impl FnOnce() -> R) -> R {
    // A thread that waits already does not count already.
    let place = WORKER.with_borrow(|worker| {
        let place = worker.as_ref().filter(|_| NUMBER.get() != 0 && !WAITS.get())?;
        Some((Arc::clone(&place.shared), place.key))
    });
    let _waiting = place.map(|(shared, key)| {
        WAITS.set(true);
        shared.begin_waiting(key);
        Waiting { shared, key }
    });
    f()
}

/// Counts the thread again when it is dropped.
struct Waiting {
    shared: Arc<Shared>,
    key: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.end_waiting(self.key);
        WAITS.set(false);
    }
}

/// This thread is a worker, until the guard is dropped.
pub(super) fn come_up(shared: &Arc<Shared>, key: usize, mark: Arc<AtomicU64>) -> Up {
    WORKER.set(Some(Place { shared: Arc::clone(shared), key, mark }));
    Up
}

/// The worker ends when this is dropped.
pub(super) struct Up;

impl Drop for Up {
    fn drop(&mut self) {
        WORKER.set(None);
    }
}

/// The worker runs a job of this number; 0 when it has ended.
pub(super) fn runs(number: u64) {
    NUMBER.set(number);
}

/// Calls `f`, which does not unwind, as a job that `home` has asked for, and gives `home` back.
pub(super) fn at_home<R>(home: Handle, f: impl FnOnce() -> R) -> (R, Option<Handle>) {
    let outer = HOME.replace(Some(home));
    let result = f();
    (result, HOME.replace(outer))
}
