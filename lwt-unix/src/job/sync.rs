//! The lock of a pool and what waits at it: the standard library's, or, under `--cfg loom`, those of the model
//! checker.

#[cfg(loom)]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicUsize};
#[cfg(not(loom))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicUsize};
