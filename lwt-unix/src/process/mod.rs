//! Processes: waiting for children ([`wait`], [`waitpid`], [`wait4`], [`system`]) and making one by [`fork`].
//!
//! | Lwt | here |
//! |---|---|
//! | `Lwt_unix.fork` | [`fork`], [`fork_beside_threads`] |
//! | `Lwt_unix.wait`, `waitpid`, `wait4` | [`wait`], [`waitpid`], [`wait4`] |
//! | `Lwt_unix.wait_count` | [`wait_count`] |
//! | `Lwt_unix.system` | [`system`] |
//! | `Unix.process_status`, `wait_flag` | [`Status`], [`WaitFlags`] |
//! | `Lwt_unix.resource_usage` | [`Usage`] |
//!
//! Files: `status`, what is told of a process; `wait`, the functions; `desk`, what one loop waits for;
//! `children`, what all loops have in common; `fork`, and `lent`, what forbids one.

mod children;
pub(crate) mod desk;
mod fork;
mod lent;
mod status;
mod wait;

pub use self::desk::wait_by_signal;
pub use self::fork::{CannotFork, Fork, fork, fork_beside_threads};
pub use self::lent::Lent;
pub use self::status::{Pid, Status, Usage, Waited};
pub use self::wait::{WaitFlags, Which, collect, system, wait, wait_count, wait4, waitpid};
