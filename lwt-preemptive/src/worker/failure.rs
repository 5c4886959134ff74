//! [`WorkerFailure`]: why a worker gave no result.

use std::fmt;
use std::io;
use std::sync::Arc;

use lwt_core::Error;
use lwt_unix::process::Status;
use lwt_unix::signal::Signal;

/// Why a worker gave no result: what its promise is rejected with.
///
/// (A promise that was itself cancelled is rejected with [`Canceled`](lwt_core::Canceled), at once, as
/// everywhere.)
///
/// ```standalone_crate
/// use lwt_preemptive::worker::{self, WorkerFailure};
///
/// fn half(number: u32) -> u32 {
///     assert!(number % 2 == 0, "{number} is odd");
///     number / 2
/// }
///
/// lwt_preemptive::main! {
///     workers [half];
///     async fn main() {
///         let error = worker::start(half, 7).await.unwrap_err();
///         match error.downcast_ref::<WorkerFailure>() {
///             Some(WorkerFailure::Panic { message, place }) => {
///                 assert_eq!(message, "7 is odd");
///                 assert!(place.as_ref().is_some_and(|place| place.contains(".rs:")));
///             }
///             other => panic!("{other:?}"),
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WorkerFailure {
    /// The function panicked, or, where panics abort, any thread of the worker.
    Panic {
        /// The panic's message.
        message: String,
        /// File, line and column.
        place: Option<String>,
    },
    /// The process ended with this exit code before the function returned.
    Exit(i32),
    /// A signal ended the process before the function returned.
    Signal {
        /// The signal.
        signal: Signal,
        /// Whether it left an image of its memory.
        core: bool,
    },
    /// What came was no value, or a value could not be sent: the text says which and why.
    Decode(String),
    /// It was [stopped](super::Worker::stop).
    Cancelled,
    /// Whoever asked for it has ended before: the loop or the pool that it belonged to.
    OwnerGone,
    /// The function is not one of those that the program listed for its workers at its start: `workers
    /// [...]` in the entry macro, or [`worker::init`](super::init).
    Unregistered {
        /// The function's name.
        process: &'static str,
    },
    /// The worker could not be started.
    Start {
        /// What could not be done.
        step: Step,
        /// The system's reason.
        error: Arc<io::Error>,
    },
    /// Nothing is known of its end: some other part of the program has waited for the process.
    Lost,
}

/// A step of a worker's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// To write the argument as bytes, and, if they are many, to have memory for them.
    Argument,
    /// To have a connection to the worker.
    Socket,
    /// To duplicate what it is to be given.
    Descriptor,
    /// To reach the process that workers are copies of.
    Zygote,
    /// To make the process, as a copy.
    Clone,
    /// To make the process, by executing the program anew.
    Spawn,
    /// To have it end with the program.
    Parent,
    /// To limit its memory.
    Memory,
    /// To set its niceness.
    Nice,
}

impl Step {
    const ALL: [Step; 9] = [
        Step::Argument,
        Step::Socket,
        Step::Descriptor,
        Step::Zygote,
        Step::Clone,
        Step::Spawn,
        Step::Parent,
        Step::Memory,
        Step::Nice,
    ];

    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.number() == number)
    }

    /// What the step's failure makes of the worker, by the system's error in an error.
    pub(super) fn failed_by(self, error: &Error) -> WorkerFailure {
        self.failed(match error.downcast_ref::<io::Error>() {
            Some(error) => {
                error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
            }
            None => io::Error::other(error.to_string()),
        })
    }

    /// What the step's failure makes of the worker.
    pub(super) fn failed(self, error: io::Error) -> WorkerFailure {
        WorkerFailure::Start { step: self, error: Arc::new(error) }
    }
}

impl WorkerFailure {
    /// Of a process that has ended so, without a word.
    pub(super) fn of_status(status: Status) -> WorkerFailure {
        match status {
            Status::Exited(code) => WorkerFailure::Exit(code),
            Status::Signaled { signal, core } => WorkerFailure::Signal { signal, core },
            // Nobody has asked for stops.
            Status::Stopped(_) => WorkerFailure::Lost,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Argument => "to send its argument",
            Step::Socket => "to connect to it",
            Step::Descriptor => "to give it a descriptor",
            Step::Zygote => "to reach the zygote",
            Step::Clone => "to clone it",
            Step::Spawn => "to execute the program anew",
            Step::Parent => "to tie it to the program",
            Step::Memory => "to limit its memory",
            Step::Nice => "to set its niceness",
        })
    }
}

impl fmt::Display for WorkerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerFailure::Panic { message, place: Some(place) } => {
                write!(f, "the worker panicked at {place}: {message}")
            }
            WorkerFailure::Panic { message, place: None } => write!(f, "the worker panicked: {message}"),
            WorkerFailure::Exit(code) => write!(f, "the worker ended with exit code {code}"),
            WorkerFailure::Signal { signal, core: false } => write!(f, "the worker was ended by {signal}"),
            WorkerFailure::Signal { signal, core: true } => {
                write!(f, "the worker was ended by {signal}, with a core image")
            }
            WorkerFailure::Decode(text) => write!(f, "a value was lost on its way: {text}"),
            WorkerFailure::Cancelled => f.write_str("the worker was stopped"),
            WorkerFailure::OwnerGone => f.write_str("who asked for the worker has ended"),
            WorkerFailure::Unregistered { process } => write!(
                f,
                "{process} is not a worker's function: list it in `lwt::main! {{ workers [...]; ... }}`, or \
                 call `worker::init(workers![...])` first in `main`"
            ),
            WorkerFailure::Start { step, .. } => write!(f, "the worker could not be started: failed {step}"),
            WorkerFailure::Lost => f.write_str("the worker's end was taken note of by somebody else"),
        }
    }
}

impl std::error::Error for WorkerFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WorkerFailure::Start { error, .. } => Some(&**error),
            _ => None,
        }
    }
}
