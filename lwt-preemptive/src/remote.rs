//! [`RemoteResolver`]: the write end of a promise, for another thread.
//!
//! 1. The promise and its [`Resolver`] stay on the loop's thread, in a task that waits for a
//!    [slot](crate::slot). The remote resolver is the slot's writing end.
//! 2. When nobody wants the promise any more, the slot is closed at once, so that the other thread can tell.
//! 3. When the loop ends its tasks are dropped, and the slot is closed.

use std::fmt;

use lwt_core::{Error, Promise, Resolver, spawn, task, wait};
use lwt_unix::main_loop;

use crate::slot::{Writer, slot};

/// A pending promise of this thread's loop that a cancel cannot touch, and a resolver for another thread
/// (see [`lwt_core::wait`]).
///
/// ```
/// let (promise, resolver) = lwt_preemptive::remote_wait();
/// let other = std::thread::spawn(move || resolver.wakeup(7));
/// assert_eq!(lwt_unix::run(promise).unwrap(), 7);
/// assert_eq!(other.join().unwrap(), Ok(()));
/// ```
///
/// # Errors
/// The promise is rejected at once if the thread has no loop and none can be made.
#[track_caller]
pub fn remote_wait<T: Send + 'static>() -> (Promise<T>, RemoteResolver<T>) {
    with_remote(wait())
}

/// A pending promise of this thread's loop that a cancel rejects, and a resolver for another thread
/// (see [`lwt_core::task()`]).
///
/// ```
/// let (promise, resolver) = lwt_preemptive::remote_task();
/// promise.cancel();
/// let other = std::thread::spawn(move || resolver.wakeup("too late"));
/// assert_eq!(other.join().unwrap(), Err("too late"));
/// # promise.on_failure(|_| ());
/// ```
///
/// # Errors
/// As [`remote_wait`].
#[track_caller]
pub fn remote_task<T: Send + 'static>() -> (Promise<T>, RemoteResolver<T>) {
    with_remote(task())
}

fn with_remote<T: Send + 'static>(
    (promise, resolver): (Promise<T>, Resolver<T>),
) -> (Promise<T>, RemoteResolver<T>) {
    let (writer, reader) = slot();
    // Its end is what closes the slot.
    if let Err(error) = main_loop::handle() {
        resolver.wakeup_err(error);
        return (promise, RemoteResolver { writer });
    }
    resolver.on_unwanted(reader.closer());
    drop(spawn(async move {
        match reader.await {
            Some(result) => resolver.wakeup_result(result),
            // Abandoned, or wanted by nobody.
            None => drop(resolver),
        }
        Ok::<(), Error>(())
    }));
    (promise, RemoteResolver { writer })
}

/// The end of a promise that resolves it from another thread, once.
///
/// Dropped unresolved it rejects the promise with [`Abandoned`](lwt_core::Abandoned), as a [`Resolver`] does.
/// What is sent arrives at the loop's next turn.
///
/// A promise does not know of other threads: on its own a [`Resolver`] does not get there.
///
/// ```compile_fail,E0277
/// let (promise, resolver) = lwt_core::wait();
/// std::thread::spawn(move || resolver.wakeup(7));
/// ```
pub struct RemoteResolver<T> {
    writer: Writer<Result<T, Error>>,
}

impl<T> RemoteResolver<T> {
    /// Fulfils the promise.
    ///
    /// # Errors
    /// Gives the value back when the promise was cancelled or dropped, or its loop has ended. That may still
    /// happen after the value was taken, before it has arrived.
    pub fn wakeup(self, value: T) -> Result<(), T> {
        match self.writer.put(Ok(value)) {
            Err(Ok(value)) => Err(value),
            _ => Ok(()),
        }
    }

    /// Rejects the promise.
    ///
    /// # Errors
    /// Gives the error back, as [`wakeup`](RemoteResolver::wakeup) does the value.
    #[track_caller]
    pub fn wakeup_err(self, error: impl Into<Error>) -> Result<(), Error> {
        match self.writer.put(Err(error.into())) {
            Err(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// [`wakeup`](RemoteResolver::wakeup) or [`wakeup_err`](RemoteResolver::wakeup_err).
    ///
    /// # Errors
    /// Gives the result back.
    pub fn wakeup_result(self, result: Result<T, Error>) -> Result<(), Result<T, Error>> {
        self.writer.put(result)
    }

    /// Whether the promise is pending and somebody holds it or waits for it, as far as this thread can tell.
    pub fn is_wanted(&self) -> bool {
        self.writer.is_wanted()
    }
}

impl<T> fmt::Debug for RemoteResolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteResolver").field("wanted", &self.is_wanted()).finish()
    }
}
