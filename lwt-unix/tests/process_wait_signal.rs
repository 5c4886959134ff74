//! Waiting for children by `SIGCHLD`.

#![allow(clippy::zombie_processes, reason = "what waits for them is what is tested")]

/// Whether waits go by `SIGCHLD`.
const BY_SIGNAL: bool = true;

include!("process_wait/cases.rs");
