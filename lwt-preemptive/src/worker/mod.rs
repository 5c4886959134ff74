//! Worker processes as promises (Ocamlnet's `Netmcore_process`).
//!
//! A worker is a process that calls one of the program's functions; its result is a promise. It has memory of
//! its own, so that a crash is a rejected promise, and a processor of its own. What it shares with others is
//! given to it: [pools of memory](crate::shm), descriptors.
//!
//! ```standalone_crate
//! use lwt_preemptive::worker;
//!
//! /// How many numbers below `limit` have no divisor.
//! fn primes(limit: u64) -> usize {
//!     (2..limit).filter(|n| (2..*n).all(|d| n % d != 0)).count()
//! }
//!
//! lwt_preemptive::main! {
//!     workers [primes];
//!     async fn main() -> Result<(), lwt_core::Error> {
//!         let (few, many) = (worker::start(primes, 10), worker::start(primes, 1000));
//!         println!("{}", worker::start(primes, 100).await?);
//!         assert_eq!((few.await?, many.await?), (4, 168));
//!         Ok(())
//!     }
//! }
//! ```
//!
//! | | |
//! |---|---|
//! | [`main!`](crate::main), [`init`], [`workers!`](crate::workers) | which functions workers may run |
//! | [`start`], [`Start`] | have a worker run one |
//! | [`Worker`] | its result, its end, what it tells |
//! | [`WorkerFailure`] | why there is no result |
//! | [`progress`], [`log`], [`passed`], [`shared`] | for the function, in the worker |
//! | [`Wire`], [`rkyv`] | what can be an argument or a result |
//!
//! # What a worker is
//! * It is made from the program's state at its start, not from what the program has become: nothing that was
//!   set up, opened or computed after [`init`] is there. What a function needs comes by its argument. (It is
//!   not said whether a change of the directory or the environment after that is seen.) That goes for what a
//!   program does to confine itself, too: a root directory, a namespace, a filter of system calls. Only
//!   another user or group is noticed, and no worker has the rights of the former one.
//! * It has descriptors 0 (`/dev/null`), 1 and 2 (the program's), and what it was given.
//! * It is the head of a group of processes of its own. So Ctrl-C does not end it: the program hears of that,
//!   and decides. No signal is blocked, and `SIGTERM` ends it, unless its function sees to that signal.
//! * It ends with the program, however that ends: within a moment, nothing of it is left. Processes that it
//!   has started itself are its own business. (One that changes its user or group says
//!   [`end_with_program`] after that.)
//! * It is a child of the program: who waits for *any* child ([`lwt_unix::process::wait`]) gets workers, and
//!   waits for ever for the zygote.
//! * A worker may have workers.
//!
//! # How one comes to be
//! Forking a program with threads is no way to a healthy process, and forking a large one takes long. So
//! [`init`] forks a *zygote* off first thing in the program, and workers are copies of that. Where it cannot
//! be had (threads were there before; the C library is not the usual one; in a worker), or has ended, workers
//! execute the program anew, and [`init`] turns them off the program's way. That takes a few milliseconds.
//! What the program's `main` does before `init` is done in such a worker, too: nothing should stand there.
//!
//! # Rules
//! 1. A process with threads is never forked.
//! 2. Nothing is trusted that comes from another process: messages are checked, and values before they become
//!    one ([`Wire`]).
//! 3. Every worker is waited for by the loop that started it, and by nobody else; its number is used as long
//!    as it has not been waited for, and never after that.
//! 4. What crosses between two processes is numbers, bytes and descriptors; a function goes as its place in
//!    the list that both have.
//!
//! The files, in the order in which they explain each other: `sys` (the system calls), `value` (what can be
//! sent), `definition` (what can be called), `wire` (what is said), `zygote` and `reexec` (two ways to a
//! process), `inside` (the worker's side), `birth`, `life` and `lives` (the program's side), `start` and
//! `handle` (what programs see of it), `messages`, `failure`, `panics`.

mod birth;
mod definition;
mod failure;
mod handle;
mod inside;
mod life;
mod link;
mod lives;
mod messages;
mod panics;
pub mod pool;
mod reexec;
mod sink;
mod start;
mod sys;
mod value;
mod wire;
mod zygote;

use std::sync::OnceLock;

pub use rkyv;

pub use self::definition::{Async, Definition, Plain, Process};
pub use self::failure::{Step, WorkerFailure};
pub use self::handle::Worker;
pub(crate) use self::inside::log_if_room;
pub use self::inside::{end_with_program, is_worker, log, passed, progress, shared};
pub use self::life::Way;
pub use self::messages::{Level, Message, Progress};
pub use self::start::{Start, start};
pub(crate) use self::value::access;
pub use self::value::{Wire, WireError};

/// Lists the functions that workers may run, and makes ready for them: for programs whose `main` is not made
/// by [`main!`](crate::main), such as tests with a harness of their own.
///
/// It is the first thing in `main`: before threads, before a loop, before anything is opened. In a worker it
/// does not return. (Where whoever started the program has it ignore `SIGCHLD`, it does not any more: the
/// ends of workers are not to be discarded.)
///
/// ```standalone_crate
/// use lwt_preemptive::{worker, workers};
///
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// fn main() {
///     worker::init(workers![square]);
///     let square = lwt_unix::run(worker::start(square, 12).into_result()).unwrap();
///     assert_eq!(square, 144);
///     // Without the entry macro nobody else does.
///     lwt_unix::run(lwt_unix::exit_hooks().run()).unwrap();
/// }
/// ```
///
/// # Panics
/// If it was called before, or two functions in the list have the same name and types.
pub fn init(functions: Vec<Definition>) {
    definition::list(functions);
    sys::keep_children();
    reexec::begin();
    if !executes() {
        zygote::begin();
    }
}

/// Whether the environment says that workers are to be executed.
fn executes() -> bool {
    static SAYS: OnceLock<bool> = OnceLock::new();
    *SAYS.get_or_init(|| std::env::var_os("LWT_WORKERS").is_some_and(|way| way == "exec"))
}

/// Makes a `fn main` that runs an `async fn main` in the main loop, as [`lwt_unix::main!`] does, of a program
/// that has workers: `workers [...]` lists the functions that they may run.
///
/// ```standalone_crate
/// use lwt_preemptive::worker;
///
/// fn shout(text: String) -> String {
///     text.to_uppercase()
/// }
///
/// /// Runs in a main loop of the worker's own.
/// async fn nap(milliseconds: u64) {
///     let _ = lwt_unix::sleep(std::time::Duration::from_millis(milliseconds)).await;
/// }
///
/// lwt_preemptive::main! {
///     workers [shout, nap];
///
///     async fn main() -> Result<(), lwt_core::Error> {
///         worker::start(nap, 1).await?;
///         assert_eq!(worker::start(shout, "hello".to_owned()).await?, "HELLO");
///         Ok(())
///     }
/// }
/// ```
#[macro_export]
macro_rules! main {
    (
        workers [$($function:expr),* $(,)?];
        $(#[$attribute:meta])* async fn main() $(-> $outcome:ty)? $body:block
    ) => {
        $(#[$attribute])*
        fn main() -> ::std::process::ExitCode {
            async fn program() $(-> $outcome)? $body
            $crate::worker::init($crate::workers![$($function),*]);
            $crate::worker::entry(program)
        }
    };
    ($($without:tt)*) => {
        $crate::worker::main_without_workers! { $($without)* }
    };
}

#[doc(hidden)]
pub use lwt_unix::{entry::main as entry, main as main_without_workers};
