//! What SIGUSR1 prints: a line for the relay, and one for each server.

use std::io::{self, Write};

use super::Relay;

/// Prints the counters on standard error.
pub(crate) fn print(relay: &Relay) {
    let mut text = format!(
        "relay: {} open, {} taken, {} refused\n",
        relay.live.borrow().len(),
        relay.taken.get(),
        relay.refused.get()
    );
    for backend in &relay.backends {
        let bytes = backend.bytes();
        text.push_str(&format!(
            "relay: {} {}: {} open, {} taken, {} broken, {} failed, {} bytes sent, {} received\n",
            backend.address,
            if backend.up.get() { "up" } else { "down" },
            backend.open_count(),
            backend.taken.get(),
            backend.broken.get(),
            backend.failed.get(),
            bytes.sent,
            bytes.received
        ));
    }
    // If nobody reads it there is nobody to be told.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
