//! lwt-preemptive
