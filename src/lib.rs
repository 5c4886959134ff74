//! lwt
