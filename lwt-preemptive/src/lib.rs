//! Threads and processes beside the loop: blocking calls on threads, the way back to the loop, the runtime lock
//! (`Lwt_preemptive`, OCaml's blocking sections).
//!
//! | module | what it has | in OCaml |
//! |---|---|---|
//! | [`detach`](mod@detach) | [`detach()`](detach()): blocking calls as promises | `Lwt_preemptive` |
//! | here | [`run_in_main`], [`Handle`]: from a thread to a loop and back | `Lwt_preemptive` |
//! | here | [`remote_wait`], [`remote_task`]: a promise that another thread resolves | – |
//! | [`channel`] | bounded queues between threads and a loop | – |
//! | [`parallel`] | lists of calls, so many at a time | – |
//! | [`domain`] | pools by name | `Lwt_domain` |
//! | [`lock`] | values that a loop and threads share, checked by the compiler | blocking sections |
//! | `worker` | functions called in processes of their own, as promises (a feature, on by default) | `Netmcore_process` |
//! | `prefork` | services of several processes (the same feature) | `Netplex` |
//! | [`shm`] | memory that processes share, and structures in it | `Netmcore`, `Netcamlbox` |
//!
//! ```
//! use lwt_preemptive::{detach, run_in_main};
//!
//! let text = lwt_unix::run(async {
//!     // A call that would stop the loop runs on a thread. Half-way it asks the loop for something.
//!     let job = detach(|| {
//!         let name = run_in_main(|| lwt_core::Promise::ready("ada"))?;
//!         Ok::<_, lwt_core::Error>(format!("hello, {name}"))
//!     });
//!     job.await?
//! });
//! assert_eq!(text.unwrap(), "hello, ada");
//! ```

mod block;
pub mod channel;
pub mod detach;
pub mod domain;
mod handle;
pub mod lock;
mod message;
pub mod parallel;
#[cfg(feature = "worker")]
pub mod prefork;
mod remote;
pub mod shm;
mod slot;
mod sync;
#[cfg(feature = "worker")]
pub mod worker;

pub use self::block::CannotBlock;
pub use self::detach::detach;
pub use self::handle::{Handle, LoopEnded, NoLoop, Remote, run_in_main, run_in_main_dont_wait};
pub use self::remote::{RemoteResolver, remote_task, remote_wait};
