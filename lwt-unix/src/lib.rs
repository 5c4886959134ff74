//! The main loop, timers, descriptors, sockets and jobs of the lwt runtime: what Lwt's users know as `lwt.unix`.
//!
//! `lwt-core` has promises and everything that needs no operating system; here is what makes them wait for the world.
//!
//! | module | what it has | in Lwt |
//! |---|---|---|
//! | [`main_loop`] | [`run`], the hooks of each turn, the hooks of the end | `Lwt_main` |
//! | [`time`] | [`sleep`], [`timeout`], [`with_timeout`], [`within`], [`auto_pause`] | `Lwt_unix` |
//! | [`job`] | [`detach`]: blocking calls on threads of their own | `Lwt_preemptive`, `Lwt_unix` jobs |
//! | [`fd`] | descriptors: reading, writing, waiting, closing | `Lwt_unix.file_descr` |
//! | [`net`] | TCP, UDP and Unix sockets | `Lwt_unix` |
//! | [`engine`] | what the loop needs of the operating system | `Lwt_engine` |
//! | [`entry`] | [`main!`] and [`test!`] | – |
//!
//! Each thread has its own loop, made at the first need. Promises and descriptors belong to the thread that made
//! them; the types are neither `Send` nor `Sync`, so the compiler sees to it. What crosses threads are the closures
//! and results of jobs.
//!
//! ```
//! use std::time::Duration;
//!
//! lwt_unix::main! {
//!     async fn main() -> Result<(), lwt_core::Error> {
//!         let number = lwt_unix::detach(|| 6 * 7);
//!         lwt_unix::sleep(Duration::from_millis(1)).await?;
//!         println!("{}", number.await?);
//!         Ok(())
//!     }
//! }
//! ```

pub mod engine;
pub mod entry;
pub mod fd;
pub mod job;
pub mod main_loop;
pub mod net;
mod spin;
mod sys;
pub mod time;

pub use self::job::detach;
pub use self::main_loop::{
    NestedRun, after_fork, at_exit, engine_name, enter_iter_hooks, exit_hooks, install_engine, is_running,
    leave_iter_hooks, loop_stats, run,
};
pub use self::spin::set_spin;
pub use self::time::{Timeout, auto_pause, sleep, timeout, with_timeout, within};
