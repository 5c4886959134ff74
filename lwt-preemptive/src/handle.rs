//! [`Handle`]: a loop as other threads see it; [`run_in_main`] and its like.
//!
//! 1. What is handed to a loop is a closure; it runs there, at the loop's next turn, after all that was
//!    handed over before. Promises never leave the loop: what comes back is a [`Remote`] value.
//! 2. Nobody waits for a loop that has ended: the closure is dropped, with it the writing end of the value's
//!    slot, and whoever waits gets [`LoopEnded`]. That holds, too, for what the loop was working on when it
//!    ended.
//! 3. Nobody waits for himself: see [`CannotBlock`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use lwt_core::{Error, Promise, dont_wait, scheduler, spawn};
use lwt_unix::{is_running, job, main_loop};

use crate::block::{CannotBlock, block_on, may_block};
use crate::slot::{Reader, Writer, slot};

/// The loop of a thread, for all threads: it may be cloned and sent anywhere.
///
/// ```
/// use lwt_preemptive::Handle;
/// use std::{cell::Cell, rc::Rc, thread};
///
/// lwt_unix::run(async {
///     let home = Handle::current()?;
///     let (promise, resolver) = lwt_preemptive::remote_wait();
///     let other = thread::spawn(move || {
///         // The closure may make what cannot be sent, for it runs on the loop.
///         let sum = home.run_in_main(|| async {
///             let shared = Rc::new(Cell::new(1));
///             lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
///             Ok::<_, lwt_core::Error>(shared.get() + 1)
///         });
///         resolver.wakeup(sum.unwrap()).unwrap();
///     });
///     assert_eq!(promise.await?, 2);
///     other.join().unwrap();
///     Ok::<_, lwt_core::Error>(())
/// })
/// .unwrap();
/// ```
#[derive(Clone)]
pub struct Handle {
    home: scheduler::Handle,
}

/// The loop has ended, with its thread, before there was an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoopEnded;

impl fmt::Display for LoopEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the main loop has ended")
    }
}

impl std::error::Error for LoopEnded {}

/// There is no telling which loop is meant: the thread runs no job. Use a [`Handle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NoLoop;

impl fmt::Display for NoLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this thread runs no job of a loop; use a Handle")
    }
}

impl std::error::Error for NoLoop {}

impl Handle {
    /// This thread's loop, which is made if there is none.
    ///
    /// # Errors
    /// The operating system's, if no loop can be made.
    pub fn current() -> Result<Handle, Error> {
        Ok(Handle { home: main_loop::handle()? })
    }

    /// The loop that asked for the job which this thread runs: see [`detach`](crate::detach()).
    ///
    /// # Errors
    /// [`NoLoop`] where no job runs.
    pub fn of_job() -> Result<Handle, NoLoop> {
        Ok(Handle { home: job::home().ok_or(NoLoop)? })
    }

    /// Whether the loop is that of the calling thread.
    pub fn is_here(&self) -> bool {
        self.home.is_current()
    }

    /// Has `f` called on the loop, and the future that it gives run there as a task
    /// (`Lwt_preemptive.run_in_main` without the waiting).
    ///
    /// The outcome may be awaited on another loop or in any executor, waited for, or left alone: a task whose
    /// [`Remote`] is dropped goes on, and its error goes to the loop's hook for unhandled rejections.
    ///
    /// ```
    /// use lwt_preemptive::Handle;
    /// let home = Handle::current().unwrap();
    /// let other = std::thread::spawn(move || {
    ///     let rest = || lwt_unix::sleep(std::time::Duration::from_millis(1)).map(|()| "rested");
    ///     let remote = home.spawn(rest);
    ///     // Another loop awaits it.
    ///     lwt_unix::run(remote).unwrap()
    /// });
    /// while !other.is_finished() {
    ///     lwt_unix::run(lwt_unix::sleep(std::time::Duration::from_millis(1))).unwrap();
    /// }
    /// assert_eq!(other.join().unwrap(), "rested");
    /// ```
    pub fn spawn<F, G, T, E>(&self, f: F) -> Remote<T>
    where
        F: FnOnce() -> G + Send + 'static,
        G: Future<Output = Result<T, E>> + 'static,
        T: Send + 'static,
        E: Into<Error> + 'static,
    {
        let (writer, reader) = slot();
        let task = move || drop(spawn(deliver(spawn(async { f().await }), writer)));
        // If the loop has ended the writer is dropped, and the reader hears of it.
        let _ = self.home.post(task);
        Remote { reader, home: self.home.clone() }
    }

    /// Has `f` called on the loop, waits for what the promise that it gives is resolved with, and returns
    /// that (`Lwt_preemptive.run_in_main`).
    ///
    /// A job that waits here does not count among the threads of its pool ([`job::waiting`]), so the promise
    /// may well wait for other jobs. If the loop does not run at the moment, the call waits until it does, or
    /// ends.
    ///
    /// # Errors
    /// What the promise was rejected with, with the message of a panic; [`LoopEnded`]; [`CannotBlock`] on a
    /// thread that must not block, the loop's own above all: then `f` was not called.
    pub fn run_in_main<F, G, T, E>(&self, f: F) -> Result<T, Error>
    where
        F: FnOnce() -> G + Send + 'static,
        G: Future<Output = Result<T, E>> + 'static,
        T: Send + 'static,
        E: Into<Error> + 'static,
    {
        self.may_wait()?;
        self.spawn(f).wait()
    }

    /// Has `f` called on the loop, and does not wait; what goes wrong there goes to `handler`, on the loop
    /// (`Lwt_preemptive.run_in_main_dont_wait`).
    ///
    /// # Errors
    /// [`LoopEnded`]; then neither was called. If the loop ends later, `f` may be dropped uncalled, with the
    /// handler; if it ends while the promise is pending, the handler is told.
    pub fn run_in_main_dont_wait<F, G, E>(
        &self,
        f: F,
        handler: impl FnOnce(Error) + Send + 'static,
    ) -> Result<(), LoopEnded>
    where
        F: FnOnce() -> G + Send + 'static,
        G: Future<Output = Result<(), E>> + 'static,
        E: Into<Error> + 'static,
    {
        let posted = self.home.post(move || dont_wait(|| spawn(async { f().await }), handler));
        posted.map_err(|_| LoopEnded)
    }

    /// Whether this thread may wait for the loop.
    fn may_wait(&self) -> Result<(), CannotBlock> {
        if self.is_here() { Err(CannotBlock::OnALoop) } else { may_block() }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("is_here", &self.is_here()).finish()
    }
}

/// [`Handle::run_in_main`] of the loop that asked for the job which this thread runs.
///
/// ```
/// use lwt_preemptive::{detach, run_in_main};
/// let job = detach(|| {
///     // On a thread, with a question to the loop in the midst of it.
///     let number = run_in_main(|| lwt_core::Promise::ready(20)).unwrap();
///     2 * number + 2
/// });
/// assert_eq!(lwt_unix::run(job).unwrap(), 42);
/// ```
///
/// # Errors
/// [`NoLoop`] where no job runs; otherwise as [`Handle::run_in_main`].
pub fn run_in_main<F, G, T, E>(f: F) -> Result<T, Error>
where
    F: FnOnce() -> G + Send + 'static,
    G: Future<Output = Result<T, E>> + 'static,
    T: Send + 'static,
    E: Into<Error> + 'static,
{
    if is_running() {
        return Err(CannotBlock::OnALoop.into());
    }
    Handle::of_job()?.run_in_main(f)
}

/// [`Handle::run_in_main_dont_wait`] of the loop that asked for the job which this thread runs.
///
/// ```
/// use lwt_preemptive::{detach, run_in_main_dont_wait};
/// use std::{thread, time::Duration};
/// let (send, receive) = std::sync::mpsc::channel();
/// let job = detach(move || {
///     let progress = move || lwt_core::wrap(move || send.send("half of it is done").unwrap());
///     run_in_main_dont_wait(progress, |error| eprintln!("{error}")).unwrap();
/// });
/// lwt_unix::run(job).unwrap();
/// assert_eq!(receive.recv().unwrap(), "half of it is done");
/// ```
///
/// # Errors
/// [`NoLoop`] where no job runs, [`LoopEnded`].
pub fn run_in_main_dont_wait<F, G, E>(f: F, handler: impl FnOnce(Error) + Send + 'static) -> Result<(), Error>
where
    F: FnOnce() -> G + Send + 'static,
    G: Future<Output = Result<(), E>> + 'static,
    E: Into<Error> + 'static,
{
    Ok(Handle::of_job()?.run_in_main_dont_wait(f, handler)?)
}

/// On the loop: passes on what the promise is resolved with, and to the promise that it is not wanted.
async fn deliver<T: 'static>(mut promise: Promise<T>, writer: Writer<Result<T, Error>>) -> Result<(), Error> {
    let mut stopped = false;
    let outcome = poll_fn(|context| {
        if !stopped && writer.poll_stop(context).is_ready() {
            stopped = true;
            promise.cancel();
        }
        Pin::new(&mut promise).poll(context)
    })
    .await;
    match writer.put(outcome) {
        // Nobody waits for it: an error is this task's own.
        Err(Err(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The outcome of a task on another thread's loop: see [`Handle::spawn`]. A future of any executor, and more.
///
/// Dropping it lets the task go on.
pub struct Remote<T> {
    reader: Reader<Result<T, Error>>,
    home: scheduler::Handle,
}

impl<T> Remote<T> {
    /// Cancels the task's promise, as [`Promise::cancel`] does, on its loop. The outcome is still to come.
    ///
    /// ```
    /// use lwt_preemptive::Handle;
    /// lwt_unix::run(async {
    ///     let home = Handle::current()?;
    ///     let nap = home.spawn(|| lwt_unix::sleep(std::time::Duration::from_secs(60)));
    ///     nap.cancel();
    ///     assert!(nap.await.unwrap_err().is_canceled());
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// .unwrap();
    /// ```
    pub fn cancel(&self) {
        self.reader.stop();
    }

    /// Blocks until there is an outcome, and gives it.
    ///
    /// # Errors
    /// As [`Handle::run_in_main`]; after [`CannotBlock`] the task goes on all the same.
    pub fn wait(self) -> Result<T, Error> {
        Handle { home: self.home }.may_wait()?;
        match block_on(self.reader, None).flatten() {
            Some(outcome) => outcome,
            None => Err(LoopEnded.into()),
        }
    }
}

impl<T> Future for Remote<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let outcome = Pin::new(&mut self.get_mut().reader).poll(context);
        outcome.map(|outcome| outcome.unwrap_or_else(|| Err(LoopEnded.into())))
    }
}

impl<T> fmt::Debug for Remote<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}
