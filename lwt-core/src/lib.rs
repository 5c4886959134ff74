//! Lwt-style promises: what needs no operating system.
//!
//! A [`Promise`] is a value that is there, will be there, or will not: it can be looked at, shared, raced and
//! cancelled. Callbacks follow it ([`Promise::bind`], [`Promise::catch`]), and futures wait for it
//! (`.await`); [`spawn`] runs a future as a promise. All of it belongs to one thread, so that nothing needs a
//! lock. The loop that drives it is in `lwt-unix`, or is your own: see [`scheduler`].
//!
//! ```
//! use lwt_core::{Error, pick, scheduler, spawn, task};
//!
//! let (fast, resolver) = task();
//! let (slow, _never) = task();
//! let first = spawn(async move { Ok::<_, Error>(format!("{} wins", pick([fast, slow]).await?)) });
//! resolver.wakeup("fast");
//! scheduler::run_ready(usize::MAX);
//! first.on_success(|s| assert_eq!(s, "fast wins"));
//! ```
//!
//! # Rules
//!
//! * A callback on a resolved promise runs inside the attaching call; on a pending one it runs when that is
//!   resolved, in order of attachment, before `wakeup` returns.
//! * An error or a panic of a callback rejects the promise that the callback makes, always.
//! * A [cancel](Promise::cancel) is a rejection that arrives where the program waits, so that cleanup may
//!   itself take its time.
//! * A rejection that nobody looks at goes to a [hook](set_unhandled_hook); nothing ends the process.
//! * A thread that made tasks and ran no loop may leak what is still suspended when it exits;
//!   [`scheduler::end_thread`] prevents that.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `trace` | an [`Error`] collects the lines of binds and awaits that it came through: [`Error::trace`] |
//! | `registry` | a list of all live pending promises and tasks, with origin and what each waits for: `registry::pending` |
//!
//! Both are off by default and cost nothing then.

pub mod clock;
pub mod condition;
mod crew;
mod error;
mod func;
mod inbox;
mod links;
pub mod list;
mod macros;
mod memory;
pub mod mutex;
pub mod mvar;
mod origin;
mod pause;
pub mod pool;
mod promise;
mod random;
pub mod react;
#[cfg(feature = "registry")]
pub mod registry;
pub mod result;
pub mod retry;
pub mod rwlock;
pub mod scheduler;
pub mod semaphore;
pub mod seq;
mod storage;
pub mod stream;
pub mod switch;
mod sync;
pub mod task;
pub mod throttle;
mod unhandled;
mod waiters;

pub use error::{Abandoned, Canceled, Error};
pub use pause::pause;
pub use promise::attach::{apply, wrap};
pub use promise::cancel::Canceller;
pub use promise::choose::{choose, nchoose, nchoose_split, npick, pick};
pub use promise::iterate::iterate;
pub use promise::join::{all, both, join};
pub use promise::observe::dont_wait;
pub use promise::resolver::{Resolver, task, wait};
pub use promise::{Promise, State};
pub use random::set_random_seed;
pub use storage::{Key, Scope};
pub use task::spawn;
pub use unhandled::{UnhandledHook, set_unhandled_hook};

#[doc(hidden)]
pub mod __private {
    pub use crate::macros::caught;
    pub use crate::promise::join::{join1, join2, join3, join4, join5, join6, join7, join8};
}
