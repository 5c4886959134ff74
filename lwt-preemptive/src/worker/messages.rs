//! What workers tell while they work: [`Message`].

use std::fmt;

use super::value::{Wire, WireError};
use super::wire::Body;

/// What a worker has told while it works: an element of [`Worker::messages`](super::Worker::messages).
///
/// ```standalone_crate
/// use lwt_preemptive::worker::{self, Level, Message};
///
/// fn count(to: u64) -> Result<u64, String> {
///     let count = || {
///         worker::log(Level::Info, format_args!("counting to {to}"))?;
///         (1..=to).try_for_each(|number| worker::progress(&number))
///     };
///     count().map(|()| to).map_err(|error: lwt_core::Error| error.to_string())
/// }
///
/// lwt_preemptive::main! {
///     workers [count];
///     async fn main() -> Result<(), lwt_core::Error> {
///         let worker = worker::start(count, 3);
///         let messages = worker.messages();
///         let (mut lines, mut numbers) = (Vec::new(), Vec::new());
///         // They end with the worker.
///         while let Some(message) = messages.get().await? {
///             match message {
///                 Message::Log { level, text } => lines.push((level, text)),
///                 Message::Progress(number) => numbers.push(number.decode::<u64>()?),
///                 other => println!("{other:?}"),
///             }
///         }
///         assert_eq!(lines, [(Level::Info, "counting to 3".to_owned())]);
///         assert_eq!(numbers, [1, 2, 3]);
///         assert_eq!(worker.await?, Ok(3));
///         Ok(())
///     }
/// }
/// ```
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
