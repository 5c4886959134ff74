//! Lwt-style cooperative promises for Unix.
//!
//! This package is a facade: it re-exports the three crates that do the work.
//!
//! | crate | what it has |
//! |---|---|
//! | [`lwt_core`] | promises, combinators, cancellation, task-local storage |
//! | [`lwt_unix`] | the main loop, timers, descriptors, sockets, jobs |
//! | [`lwt_preemptive`] | blocking calls on threads |
//!
//! ```
//! use std::time::Duration;
//!
//! lwt::main! {
//!     async fn main() -> Result<(), lwt::Error> {
//!         let sum = lwt::detach(|| (1..=1000u64).sum::<u64>());
//!         let first = lwt::pick!(sum, lwt::sleep(Duration::from_secs(60)).map(|()| 0)).await?;
//!         println!("{first}");
//!         Ok(())
//!     }
//! }
//! ```
//!
//! Start with the [`Promise`], then [`spawn`], [`run`], and [`net`].

pub use lwt_core::*;
pub use lwt_preemptive::detach;
pub use lwt_unix::{
    at_exit, auto_pause, enter_iter_hooks, exit_hooks, leave_iter_hooks, main, run, set_spin, sleep, test,
    timeout, with_timeout, within,
};
pub use lwt_unix::{engine, entry, fd, job, main_loop, net, time};
pub use {lwt_core, lwt_preemptive, lwt_unix};

/// What most programs import.
///
/// ```
/// use lwt::prelude::*;
/// assert!(matches!(Promise::ready(1).state(), State::Fulfilled(1)));
/// ```
pub mod prelude {
    pub use lwt_core::{Error, Promise, Resolver, State, pause, spawn};
    pub use lwt_preemptive::detach;
    pub use lwt_unix::{run, sleep, with_timeout};
}

/// The programs of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
