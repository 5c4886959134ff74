//! Blocking calls on threads (`Lwt_preemptive`).
//!
//! So far this is one name: [`detach`], over the job threads of `lwt-unix`. The runtime lock, worker processes and shared memory are to follow.

pub use lwt_unix::detach;
