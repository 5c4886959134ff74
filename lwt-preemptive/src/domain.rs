//! Pools of threads by name, as `Lwt_domain` has pools of domains.
//!
//! A domain is OCaml's way to a second core; here each thread is one. So there is no other kind of pool:
//! these are [`Pool`]s of the job module with a fixed number of threads, kept under a name.
//!
//! | `Lwt_domain` | here |
//! |---|---|
//! | `setup_pool` | [`setup_pool`], [`setup_pool_named`] |
//! | `teardown_pool` | [`teardown_pool`] |
//! | `lookup_pool` | [`lookup_pool`] |
//! | `get_num_domains` | [`get_num_domains`] |
//! | `detach` | [`detach`] |
//! | `run_in_main` | [`run_in_main`] |
//!
//! ```
//! use lwt_preemptive::domain;
//! let pool = domain::setup_pool_named("sums", 2).unwrap();
//! let sum = domain::detach(&pool, || (1..=10).sum::<u32>());
//! assert_eq!(lwt_unix::run(sum).unwrap(), 55);
//! assert_eq!(domain::get_num_domains(&domain::lookup_pool("sums").unwrap()), 2);
//! domain::teardown_pool(pool);
//! assert!(domain::lookup_pool("sums").is_none());
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lwt_core::Promise;
use lwt_unix::job::{Limits, Pool};

pub use crate::handle::run_in_main;

/// There is a pool of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTaken(
    /// The name.
    pub String,
);

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is a pool of the name {:?} already", self.0)
    }
}

impl std::error::Error for NameTaken {}

fn names() -> MutexGuard<'static, BTreeMap<String, Pool>> {
    static NAMES: Mutex<BTreeMap<String, Pool>> = Mutex::new(BTreeMap::new());
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pool of at most `threads` threads, without a name; 0 counts as 1 (`Lwt_domain.setup_pool`).
///
/// In the original a pool of one domain means: run at once, in place. Here it means one thread.
pub fn setup_pool(threads: usize) -> Pool {
    let threads = threads.max(1);
    Pool::new(Limits { max_threads: threads, ..Limits::default() })
}

/// A pool of at most `threads` threads, to be found by its name (`Lwt_domain.setup_pool ~name`).
///
/// # Errors
/// [`NameTaken`].
pub fn setup_pool_named(name: impl Into<String>, threads: usize) -> Result<Pool, NameTaken> {
    let name = name.into();
    let mut names = names();
    if names.contains_key(&name) {
        return Err(NameTaken(name));
    }
    let pool = setup_pool(threads);
    names.insert(name, pool.clone());
    Ok(pool)
}

/// Takes the pool's name away, and gives the handle up (`Lwt_domain.teardown_pool`). When it was the last
/// one, calls that wait are still made, and then the threads end; nobody has to wait for that.
pub fn teardown_pool(pool: Pool) {
    let named: Vec<Pool> = names().extract_if(.., |_, named| named.is(&pool)).map(|(_, pool)| pool).collect();
    drop(named);
    drop(pool);
}

/// The pool of this name (`Lwt_domain.lookup_pool`).
pub fn lookup_pool(name: &str) -> Option<Pool> {
    names().get(name).cloned()
}

/// How many threads the pool may have (`Lwt_domain.get_num_domains`).
pub fn get_num_domains(pool: &Pool) -> usize {
    pool.limits().max_threads.max(1)
}

/// Runs `f` on a thread of the pool (`Lwt_domain.detach`): [`Pool::detach`].
///
/// A call that detaches a call to its own pool and waits for it does not dead-lock, as it may in the
/// original.
///
/// # Errors
/// As [`detach`](crate::detach()).
#[track_caller]
pub fn detach<T, F>(pool: &Pool, f: F) -> Promise<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    pool.detach(f)
}
