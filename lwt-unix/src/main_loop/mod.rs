//! The main loop (`Lwt_main`): [`run`], what is called on each turn, and what is called at the end.
//!
//! Each thread has its own loop, made at the first need and ended with the thread; promises belong to the
//! thread on which they were made. [`run`] turns the loop until a promise is resolved. What else is pending
//! then stays so, and goes on in the next `run`.
//!
//! # A turn
//! 1. If the promise is resolved, `run` returns; so for a resolved promise there is no turn.
//! 2. The enter hooks ([`enter_iter_hooks`]).
//! 3. Tasks that were woken, first come first, up to a budget.
//! 4. The engine is polled: descriptors. It blocks only if there is nothing else to do: no task woken,
//!    nothing paused, no timer due, no message from another thread. While there is work, the poll is left
//!    out, except every 100 µs or so: a loop of [`pause`](lwt_core::pause) does not pay a system call per
//!    turn, and yet starves no descriptor and no timer.
//! 5. Timers that are due, earliest first.
//! 6. Those who paused, first come first.
//! 7. The leave hooks ([`leave_iter_hooks`]).
//!
//! ```
//! use std::time::Duration;
//! let result = lwt_unix::run(async {
//!     lwt_unix::sleep(Duration::from_millis(1)).await?;
//!     Ok::<_, lwt_core::Error>(6 * 7)
//! });
//! assert_eq!(result.unwrap(), 42);
//! ```

mod arrivals;
mod budget;
pub(crate) mod exit;
mod guest;
pub(crate) mod hooks;
pub(crate) mod run;
pub(crate) mod runtime;
mod section;

pub use self::arrivals::{Arrivals, Arriving, add_arrivals};
pub use self::exit::{ExitHook, ExitHooks, at_exit, exit_hooks};
pub use self::guest::{Guest, iter};
pub use self::hooks::{IterHook, IterHooks, enter_iter_hooks, leave_iter_hooks};
pub use self::run::{LoopStats, NestedRun, after_fork, engine_name, handle, is_running, loop_stats, run};
pub use self::section::{Section, set_section};
