//! What the tests of events share.
#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]

use lwt_core::react::Event;

use crate::common::Log;

/// An event that writes what it sees.
pub(crate) fn noted<T: std::fmt::Display + 'static>(event: &Event<T>, log: &Log) -> Event<()> {
    let log = log.clone();
    event.map(move |value| log.add(value))
}
