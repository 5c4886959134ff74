//! Lists of blocking calls and computations, so many at a time: [`map_detached`], [`iter_detached`].
//!
//! They are [`map_n`](lwt_core::list::map_n) over [`detach`](crate::detach()) with one closure that all calls
//! share. Results keep the order of the items. When a call fails, the first failure in time rejects the
//! promise, no more calls begin, and those that have not begun are cancelled; a cancel of the promise does
//! the same. Calls that run are not torn: they may [ask](lwt_unix::job::is_cancelled).
//!
//! # For many small pieces of arithmetic
//! A call costs a microsecond or so to hand over. Where a piece is smaller than ten of them, give each call a
//! range of the items, or let a library that divides work by itself have one call for all of it:
//!
//! ```
//! use lwt_core::Error;
//! use lwt_preemptive::{detach, parallel::map_detached};
//! use std::{num::NonZero, thread};
//!
//! let cores = thread::available_parallelism().map_or(1, NonZero::get);
//! let numbers: Vec<u64> = (1..=100_000).collect();
//! let pieces: Vec<Vec<u64>> = numbers.chunks(1000).map(<[u64]>::to_vec).collect();
//! let sum = lwt_unix::run(async move {
//!     // A map in parallel, and the fold on the loop.
//!     let sums = map_detached(pieces, cores, |piece| piece.iter().map(|n| n * n).sum::<u64>()).await?;
//!     Ok::<_, Error>(sums.iter().sum::<u64>())
//! });
//! assert_eq!(sum.unwrap(), 333_338_333_350_000);
//!
//! // With rayon, `detach(move || numbers.par_iter().map(|n| n * n).sum::<u64>())`: its threads do the
//! // work, the job's thread waits for them, and the loop goes on. Here, threads of our own:
//! let sum = detach(move || {
//!     thread::scope(|scope| {
//!         let sum_of = |piece: &[u64]| piece.iter().map(|n| n * n).sum::<u64>();
//!         let quarters = numbers.chunks(25_000).map(|piece| scope.spawn(move || sum_of(piece)));
//!         quarters.collect::<Vec<_>>().into_iter().map(|quarter| quarter.join().unwrap()).sum::<u64>()
//!     })
//! });
//! assert_eq!(lwt_unix::run(sum).unwrap(), 333_338_333_350_000);
//! ```

use std::sync::Arc;

use lwt_core::list::Parallel;
use lwt_core::{Error, Promise};

use crate::detach::{detach, detach_result};

/// Calls `f` with each item on the threads of the process's pool, at most `bound` at a time (0 counts as 1),
/// and gives the results in the order of the items.
///
/// ```
/// use lwt_preemptive::parallel::map_detached;
/// let lengths = map_detached(["a", "list", "of"], 2, |word| word.len());
/// assert_eq!(lwt_unix::run(lengths).unwrap(), [1, 4, 2]);
/// ```
///
/// # Errors
/// The first panic in time, as an error with its message; otherwise as [`detach`](crate::detach()).
#[track_caller]
pub fn map_detached<I, T, F>(items: I, bound: usize, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    let f = Arc::new(f);
    at_most(bound).map(items, move |item| {
        let f = Arc::clone(&f);
        detach(move || f(item))
    })
}

/// [`map_detached`] for what returns a `Result`.
///
/// ```
/// use lwt_preemptive::parallel::map_detached_result;
/// let numbers = map_detached_result(["1", "two", "3"], 2, |word| word.parse::<u32>());
/// assert_eq!(lwt_unix::run(numbers).unwrap_err().to_string(), "invalid digit found in string");
/// ```
///
/// # Errors
/// The first failure in time.
#[track_caller]
pub fn map_detached_result<I, T, E, F>(items: I, bound: usize, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> Result<T, E> + Send + Sync + 'static,
    T: Send + 'static,
    E: Into<Error> + 'static,
{
    let f = Arc::new(f);
    at_most(bound).map(items, move |item| {
        let f = Arc::clone(&f);
        detach_result(move || f(item))
    })
}

/// Calls `f` with each item on the threads of the process's pool, at most `bound` at a time (0 counts as 1).
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
/// let total = Arc::new(AtomicU32::new(0));
/// let sum = Arc::clone(&total);
/// let added = lwt_preemptive::parallel::iter_detached(1..=10, 4, move |number| {
///     sum.fetch_add(number, Ordering::Relaxed);
/// });
/// lwt_unix::run(added).unwrap();
/// assert_eq!(total.load(Ordering::Relaxed), 55);
/// ```
///
/// # Errors
/// As [`map_detached`].
#[track_caller]
pub fn iter_detached<I, F>(items: I, bound: usize, f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    I::Item: Send + 'static,
    F: Fn(I::Item) + Send + Sync + 'static,
{
    let f = Arc::new(f);
    at_most(bound).iter(items, move |item| {
        let f = Arc::clone(&f);
        detach(move || f(item))
    })
}

/// [`iter_detached`] for what returns a `Result`.
///
/// # Errors
/// The first failure in time.
///
/// ```
/// use lwt_preemptive::parallel::iter_detached_result;
/// let read = iter_detached_result(["/no/such/file"], 2, |path| std::fs::metadata(path).map(drop));
/// assert_eq!(lwt_unix::run(read).unwrap_err().io_kind(), Some(std::io::ErrorKind::NotFound));
/// ```
#[track_caller]
pub fn iter_detached_result<I, E, F>(items: I, bound: usize, f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> Result<(), E> + Send + Sync + 'static,
    E: Into<Error> + 'static,
{
    let f = Arc::new(f);
    at_most(bound).iter(items, move |item| {
        let f = Arc::clone(&f);
        detach_result(move || f(item))
    })
}

fn at_most(bound: usize) -> Parallel {
    Parallel::at_most(bound.max(1)).cancel_rest()
}
