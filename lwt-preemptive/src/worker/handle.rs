//! [`Worker`]: the handle of a worker.

use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use lwt_core::Promise;
use lwt_core::stream::Stream;
use lwt_unix::process::{Pid, Status};
use lwt_unix::signal::Signal;

use super::life::{Life, Sentence};
use super::messages::Message;
use crate::shm::Pool;

/// A worker: a process that calls a function for this program.
///
/// Awaited, it gives the function's result. Dropping the handle stops nothing: the worker goes on, its result
/// is seen by those who have the promise, and a failure that nobody looks at goes to the hook for unhandled
/// rejections. Cancelling a promise of the result [stops](Worker::stop) the worker.
///
/// At the end of the program's main future the workers that are left are stopped, by an exit hook that runs
/// after the program's own, and waited for. A program without the entry macro runs the
/// [exit hooks](lwt_unix::exit_hooks) itself. However the program ends, its workers end with it.
///
/// ```standalone_crate
/// use std::time::Duration;
/// use lwt_preemptive::worker::{self, WorkerFailure};
///
/// fn sleep(seconds: u64) {
///     std::thread::sleep(Duration::from_secs(seconds));
/// }
///
/// lwt_preemptive::main! {
///     workers [sleep];
///     async fn main() {
///         let worker = worker::start(sleep, 3600);
///         println!("process {}", worker.pid().await.unwrap());
///         worker.kill();
///         let error = worker.result().await.unwrap_err();
///         assert!(matches!(error.downcast_ref(), Some(WorkerFailure::Signal { .. })));
///     }
/// }
/// ```
pub struct Worker<R> {
    life: Rc<Life>,
    result: Promise<R>,
}

impl<R: 'static> Worker<R> {
    pub(super) fn new(life: Rc<Life>, result: Promise<R>) -> Worker<R> {
        Worker { life, result }
    }

    /// The function's result, for any number of observers.
    ///
    /// It is there as soon as the function has returned; the process may take a moment longer to
    /// [end](Worker::ended). Cancelling it rejects it at once, for all observers, and [stops](Worker::stop)
    /// the worker.
    ///
    /// # Errors
    /// A [`WorkerFailure`](super::WorkerFailure); `Canceled`.
    pub fn result(&self) -> Promise<R>
    where
        R: Clone,
    {
        self.result.clone()
    }

    /// The function's result, where it cannot be cloned. Otherwise as [`result`](Worker::result).
    pub fn into_result(self) -> Promise<R> {
        self.result
    }

    /// The number of the process, resolved when it is there.
    ///
    /// # Errors
    /// A [`WorkerFailure`](super::WorkerFailure) if it cannot be started.
    pub fn pid(&self) -> Promise<Pid> {
        self.life.pid()
    }

    /// What has become of the process, resolved when it has ended and nothing is left of it.
    ///
    /// # Errors
    /// A [`WorkerFailure`](super::WorkerFailure) if there was none, or somebody else has waited for it.
    pub fn ended(&self) -> Promise<Status> {
        self.life.ended()
    }

    /// Asks the worker to end, by `SIGTERM`, and kills it if it has not when its
    /// [grace time](super::Start::grace) is over. Unless it still gives its result, that is rejected with
    /// [`Cancelled`](super::WorkerFailure::Cancelled) when it has ended.
    pub fn stop(&self) {
        self.life.stop(Sentence::Cancelled);
    }

    /// [`stop`](Worker::stop), for who gives the handle away.
    pub(crate) fn stopper(&self) -> impl Fn() + use<R> + 'static {
        let life = Rc::clone(&self.life);
        move || life.stop(Sentence::Cancelled)
    }

    /// Kills the worker and whatever it has started in its group, by `SIGKILL`.
    pub fn kill(&self) {
        self.life.kill();
    }

    /// Sends a signal to the worker; if it is not there yet, as soon as it is.
    ///
    /// # Errors
    /// `ESRCH` when it has ended; `EINVAL` for what is no signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.life.signal(signal, false)
    }

    /// What the worker tells while it works, to its end. Each call gives another handle on the same stream.
    ///
    /// The stream keeps up to 256 messages, from the start of the worker on. When nobody reads them the
    /// worker is not held up: what comes is dropped, and [told of](Message::Lost) when there is room again.
    pub fn messages(&self) -> Stream<Message> {
        self.life.messages()
    }

    /// Gives a pool of shared memory to the worker, which [attaches](super::shared) to it by this name
    /// whenever it likes.
    ///
    /// # Errors
    /// The system's: `EPIPE` if the worker has ended.
    pub fn share(&self, name: &str, pool: &Pool) -> Promise<()> {
        self.pass(name, pool)
    }

    /// Gives a duplicate of a descriptor to the worker, which [takes](super::passed) it by this name whenever
    /// it likes.
    ///
    /// # Errors
    /// The system's: `EPIPE` if the worker has ended.
    pub fn pass(&self, name: &str, file: impl AsFd) -> Promise<()> {
        match file.as_fd().try_clone_to_owned() {
            Ok(file) => self.life.pass(name, file),
            Err(error) => Promise::fail(error),
        }
    }
}

/// The result.
impl<R: 'static> IntoFuture for Worker<R> {
    type Output = <Promise<R> as IntoFuture>::Output;
    type IntoFuture = Promise<R>;

    fn into_future(self) -> Promise<R> {
        self.result
    }
}

impl<R> fmt::Debug for Worker<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.result.is_pending() { "pending" } else { "resolved" };
        f.debug_struct("Worker").field("result", &state).finish_non_exhaustive()
    }
}
