//! What workers tell while they work: [`Message`].

use std::fmt;

use super::value::{Wire, WireError};
use super::wire::Body;

/// What a worker has told while it works: an element of [`Worker::messages`](super::Worker::messages).
#[derive(Debug)]
#[non_exhaustive]
pub enum Message {
    /// A value, by [`progress`](super::progress).
    Progress(Progress),
    /// A line for a log, by [`log`](super::log).
    Log {
        /// How much it matters.
        level: Level,
        /// The line.
        text: String,
    },
    /// So many messages were lost here, because nobody read those before them.
    Lost(u64),
}

/// A value that a worker has told by [`progress`](super::progress).
#[derive(Debug)]
pub struct Progress {
    shape: u64,
    body: Body,
}

impl Progress {
    pub(super) fn new(shape: u64, body: Body) -> Progress {
        Progress { shape, body }
    }

    /// The value.
    ///
    /// # Errors
    /// If it is of another type than `P`.
    pub fn decode<P: Wire>(&self) -> Result<P, WireError> {
        if self.shape != P::shape() {
            return Err(WireError::new("the worker has told a value of another type"));
        }
        P::from_bytes(&self.body)
    }
}

/// How much a line of a log matters (`Lwt_log_core.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For those who look for an error.
    Debug,
    /// For those who want to know what is going on.
    Info,
    /// Worth knowing.
    Notice,
    /// Something may go wrong.
    Warning,
    /// Something has gone wrong.
    Error,
    /// Nothing can go on.
    Fatal,
}

impl Level {
    const ALL: [Level; 6] =
        [Level::Debug, Level::Info, Level::Notice, Level::Warning, Level::Error, Level::Fatal];

    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.number() == number)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
            Level::Fatal => "fatal",
        })
    }
}
