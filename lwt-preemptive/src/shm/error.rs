//! [`ShmError`]: what can be wrong with shared memory.

use std::fmt;
use std::io;

/// Why an operation on shared memory was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShmError {
    /// A system call failed.
    System {
        /// Which.
        call: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The pool has reached the size it was given as its limit.
    PoolFull {
        /// That limit, in bytes.
        limit: u64,
    },
    /// The descriptor is not that of a pool that this version of the library can read.
    NotAPool,
    /// There is something else at this place than the type that was asked for, or one of another layout.
    TypeMismatch,
    /// More processes are attached than the pool was made for.
    TooManyProcesses,
    /// All names of the pool's directory are used.
    DirectoryFull,
    /// The name is empty, longer than [`Pool::MAX_NAME`](super::Pool::MAX_NAME), or used already.
    BadName,
    /// What stands in the memory cannot have been written by this library.
    Corrupt,
    /// The structure has been destroyed.
    Destroyed,
    /// The time was over before the operation could be done.
    TimedOut,
    /// What was to be stored is larger than the structure takes.
    TooLarge,
    /// A holder of the lock has died; see [`OwnerDied`](super::OwnerDied).
    OwnerDied,
    /// This process reads as many blocks of the pool at once as it can.
    TooManyPins,
    /// A value could not be archived.
    NotStorable,
    /// Somebody else has it already: is the receiver of the mailbox, or serves at the path.
    Taken,
}

impl fmt::Display for ShmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShmError::System { call, error } => write!(f, "{call}: {error}"),
            ShmError::PoolFull { limit } => write!(f, "the pool is full: its limit is {limit} bytes"),
            ShmError::NotAPool => f.write_str("not a pool of shared memory of this version"),
            ShmError::TypeMismatch => f.write_str("another type or layout is at this place"),
            ShmError::TooManyProcesses => f.write_str("too many processes are attached to the pool"),
            ShmError::DirectoryFull => f.write_str("the pool's directory has no room for another name"),
            ShmError::BadName => f.write_str("the name is empty, too long, or used"),
            ShmError::Corrupt => f.write_str("the shared memory is damaged"),
            ShmError::Destroyed => f.write_str("the shared structure has been destroyed"),
            ShmError::TimedOut => f.write_str("timed out"),
            ShmError::TooLarge => f.write_str("larger than the structure takes"),
            ShmError::OwnerDied => f.write_str("a holder of the lock has died"),
            ShmError::TooManyPins => f.write_str("too many blocks of the pool are being read"),
            ShmError::NotStorable => f.write_str("the value cannot be archived"),
            ShmError::Taken => f.write_str("somebody else has it already"),
        }
    }
}

impl std::error::Error for ShmError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ShmError::System { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The system's error as it was, others with their words.
impl From<ShmError> for io::Error {
    fn from(error: ShmError) -> io::Error {
        match error {
            ShmError::System { error, .. } => error,
            other => io::Error::other(other),
        }
    }
}
