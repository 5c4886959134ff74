//! The lock of a pool, what waits at it, and its threads: the standard library's, or, under `--cfg loom`,
//! those of the model checker.

#[cfg(loom)]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicUsize};
#[cfg(not(loom))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicUsize};

/// Starts a thread.
///
/// # Errors
/// The operating system's.
#[cfg(not(loom))]
pub(super) fn spawn(name: &str, stack_size: usize, f: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(stack_size).spawn(f).map(drop)
}

/// Starts a thread of the model.
#[cfg(loom)]
pub(super) fn spawn(_: &str, _: usize, f: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    drop(loom::thread::spawn(f));
    Ok(())
}
