//! Waiting for children by descriptors of processes, where there are such.

#![allow(clippy::zombie_processes, reason = "what waits for them is what is tested")]

/// Whether waits go by `SIGCHLD`.
const BY_SIGNAL: bool = cfg!(not(target_os = "linux"));

include!("process_wait/cases.rs");
