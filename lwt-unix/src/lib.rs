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
//! | [`file`](mod@file) | files and directories | `Lwt_unix`, with `LargeFile` |
//! | [`users`] | the data base of users and groups | `Lwt_unix` |
//! | [`bytes`] | files in memory | `Lwt_bytes` |
//! | [`cpu`] | processors of a thread | `Lwt_unix` |
//! | [`net`] | TCP, UDP and Unix sockets | `Lwt_unix` |
//! | [`names`] | names of hosts, services and protocols | `Lwt_unix` |
//! | [`term`] | terminals | `Lwt_unix` |
//! | [`signal`], [`notification`] | handlers that run in the loop; calls from other threads | `Lwt_unix` |
//! | [`process`] | waiting for children, `fork` | `Lwt_unix` |
//! | [`finalise`] | what is done when a value is dropped, and takes time | `Lwt_gc` |
//! | [`platform`] | what the system has | `Lwt_sys` |
//! | [`engine`] | what the loop needs of the operating system | `Lwt_engine` |
//! | [`faults`] | system calls that fail on purpose, for tests | – |
//! | [`sim`] | simulations: a clock that jumps, a network in memory, [`sim_test!`] | – |
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

pub mod bytes;
mod chunks;
pub mod cpu;
pub mod engine;
pub mod entry;
pub mod faults;
pub mod fd;
pub mod file;
pub mod finalise;
pub mod job;
pub mod main_loop;
pub mod names;
pub mod net;
pub mod notification;
mod os_failure;
pub mod platform;
pub mod process;
pub mod signal;
pub mod sim;
pub mod spin;
mod sys;
pub mod term;
pub mod time;
pub mod users;

pub use self::job::detach;
pub use self::main_loop::{
    NestedRun, after_fork, at_exit, engine_name, enter_iter_hooks, exit_hooks, is_running, leave_iter_hooks,
    loop_stats, run,
};
pub use self::os_failure::handle_unix_error;
pub use self::spin::set_spin;
pub use self::time::{Timeout, auto_pause, sleep, timeout, with_timeout, within};
