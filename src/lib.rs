//! Lwt-style cooperative promises for Unix.
//!
//! This package is a facade: it re-exports the three crates that do the work.
//!
//! | crate | what it has |
//! |---|---|
//! | [`lwt_core`] | promises, cancellation, task-local storage, lists, streams, events, locks, scopes |
//! | [`lwt_unix`] | the main loop, timers, descriptors, sockets, files, signals, processes, jobs |
//! | [`lwt_preemptive`] | blocking calls on threads, the way back, channels, the runtime lock; worker processes, shared memory |
//!
//! What they have lies side by side here:
//!
//! | topic | |
//! |---|---|
//! | promises | [`Promise`], [`Resolver`], [`Error`], [`Key`]; [`join!`], [`pick!`], [`finally!`] |
//! | tasks | [`spawn`], [`task`](mod@task), [`switch`] |
//! | for tasks to share | [`mutex`], [`rwlock`], [`semaphore`], [`condition`], [`mvar`], [`pool`] |
//! | many of them | [`list`], [`stream`], [`seq`], [`react`] |
//! | trying again | [`result`], [`retry`], [`throttle`], [`clock`] |
//! | the loop | [`run`], [`main!`], [`main_loop`], [`engine`], [`entry`], [`time`], [`scheduler`] |
//! | descriptors | [`fd`], [`net`], [`names`], [`term`] |
//! | files | [`file`](mod@file), [`bytes`], [`users`] |
//! | processes | [`process`], [`signal`], [`notification`], [`finalise`], [`platform`] |
//! | blocking calls | [`detach`](mod@detach), [`job`], [`parallel`], [`domain`], [`channel`], [`cpu`] |
//! | what threads share | [`lock`] |
//! | worker processes | [`worker`], [`prefork`]; [`shm`] for what they share |
//! | tests | [`test!`], [`sim`], [`sim_test!`], [`faults`] |
//!
//! ```
//! use std::time::Duration;
//!
//! lwt::main! {
//!     async fn main() -> Result<(), lwt::Error> {
//!         let sum = lwt::detach(|| (1..=1000u64).sum::<u64>());
//!         let first = lwt::pick([sum, lwt::sleep(Duration::from_secs(60)).map(|()| 0)]).await?;
//!         println!("{first}");
//!         Ok(())
//!     }
//! }
//! ```
//!
//! Start with the [`Promise`], then [`spawn`], [`run`], and [`net`]. Who knows OCaml's Lwt starts with
//! [coming from Lwt](docs::coming_from_lwt), and who knows Netmulticore with
//! [coming from Netmulticore](docs::coming_from_netmulticore).

// Their pages name the workers, too.
#![cfg_attr(not(feature = "worker"), allow(rustdoc::broken_intra_doc_links))]

pub mod docs;

pub use lwt_core::*;
pub use lwt_preemptive::{
    CannotBlock, Handle, LoopEnded, NoLoop, Remote, RemoteResolver, channel, detach, domain, lock, parallel,
    remote_task, remote_wait, run_in_main, run_in_main_dont_wait, shm, shm_safe,
};
#[cfg(feature = "worker")]
pub use lwt_preemptive::{main, prefork, worker, workers};
#[cfg(not(feature = "worker"))]
pub use lwt_unix::main;
pub use lwt_unix::{
    NestedRun, Timeout, at_exit, auto_pause, enter_iter_hooks, exit_hooks, handle_unix_error,
    leave_iter_hooks, run, set_spin, sim_test, sleep, test, timeout, with_timeout, within,
};
pub use lwt_unix::{
    bytes, cpu, engine, entry, faults, fd, file, finalise, job, main_loop, names, net, notification,
    platform, process, signal, sim, term, time, users,
};
pub use {lwt_core, lwt_preemptive, lwt_unix};

/// What most programs import.
///
/// ```
/// use lwt::prelude::*;
/// let sizes = list::map_s(["a", "list"], |word| Promise::ready(word.len()));
/// assert_eq!(run(join!(sizes, sleep(std::time::Duration::ZERO)))?.0, [1, 4]);
/// # Ok::<_, Error>(())
/// ```
pub mod prelude {
    pub use lwt_core::result::ResultPromise as _;
    pub use lwt_core::{Error, Promise, Resolver, State, finally, join, list, pause, pick, spawn, stream};
    pub use lwt_preemptive::detach;
    pub use lwt_unix::{run, sleep, with_timeout};
}

/// The programs of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
