//! Promises: the reading guide.
//!
//! The files of this folder in the order in which they explain each other:
//!
//! 1. **States** (`cell.rs`, `word.rs`). A promise is *pending*, *fulfilled* with a value or *rejected* with
//!    an [`Error`], and once one of the last two, it stays so. A resolved promise may lie inline in
//!    [`Promise`] itself; one that was ever pending has a *cell*, one block of memory that all its handles
//!    share. The head of `cell.rs` has the state diagram and the rules of the two counts.
//! 2. **Ends** (`handle.rs`, `resolver.rs`). A [`Handle`] is a way to the value, an `Owner` the way to set
//!    it; a [`Promise`] wraps the one, a [`Resolver`] the other.
//! 3. **Callbacks** (`attach.rs`, `observe.rs`). `Promise::attach` is the model function, commented in full:
//!    `bind`, `map`, `catch`, `try_bind` and `finalize` are closures given to it. A callback is a node in the
//!    cell's list; what it makes is a cell in the same block.
//! 4. **Resolution** (`cascade.rs`). First the state changes, then the callbacks run, which resolves further
//!    promises, and so on: a cascade. Its depth on the stack is limited; what is deeper waits in a queue.
//! 5. **Unification** (`unify.rs`). A callback that returns a pending promise makes it one with the promise
//!    that `bind` returned.
//! 6. **Cancellation** (`cancel.rs`). A cancel walks backwards from a promise to what it waits on, and
//!    rejects the leaves it finds.
//! 7. **Combinators** (`members.rs`, `join.rs`, `choose.rs`, `copy.rs`; `iterate.rs` for loops). They hold
//!    their members and copy values; they let go of them as soon as nobody wants their own promise any more.
//! 8. **Awaiting** (`wait.rs`). A promise is a `Future`; the node of an await lies in the task that awaits,
//!    where there is one.
//! 9. **Storage** (`../storage.rs`). The map of task-local values, captured with each callback.
//! 10. **Ends of life** (`teardown.rs`). The last handle, the last reference; long chains do not recurse.
//!
//! Futures that run as promises are in `../task/`.

pub(crate) mod attach;
pub(crate) mod cancel;
pub(crate) mod cascade;
pub(crate) mod cell;
pub(crate) mod choose;
pub(crate) mod copy;
pub(crate) mod handle;
pub(crate) mod iterate;
pub(crate) mod join;
pub(crate) mod members;
pub(crate) mod observe;
pub(crate) mod resolver;
pub(crate) mod section;
pub(crate) mod teardown;
mod unify;
pub(crate) mod wait;
mod word;

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::OnceLock;

use crate::{Error, unhandled};
use cell::Raw;
use handle::Handle;
use resolver::fresh;
use wait::Waiting;

#[allow(unused_imports, reason = "named in the documentation above")]
use resolver::Resolver;

/// A value that is there, will be there, or will not (`Lwt.t`).
///
/// A promise is a handle. It is given up by what takes its value ([`bind`](Promise::bind), `.await`, the
/// combinators); to use it twice, clone it, which `T: Clone` allows. A promise that was never cloned hands
/// its value over by move.
///
/// It is also a `Future<Output = Result<T, Error>>`, to be awaited in a task of this crate
/// ([`spawn`](crate::spawn)) or in any other executor. Dropping a promise cancels nothing; see
/// [`cancel`](Promise::cancel) for that.
///
/// Promises belong to the thread that made them:
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(lwt_core::Promise::ready(1));
/// ```
#[must_use = "a dropped promise goes on unobserved; its rejection goes to the unhandled-rejection hook"]
pub struct Promise<T> {
    repr: Repr<T>,
}

const TAKEN: &str = "the promise was used after an await had taken its value";

/// The rejection that a look at a promise finds which was awaited to its end.
fn taken_error() -> &'static Error {
    static ERROR: OnceLock<Error> = OnceLock::new();
    ERROR.get_or_init(|| Error::msg(TAKEN))
}

/// One word and a tag.
enum Repr<T> {
    /// Fulfilled, and the value never needed a cell.
    Ready(T),
    /// Rejected, and the error never needed a cell.
    Failed(Rejection),
    /// A handle on a cell.
    Cell(Handle<T>),
    /// A handle on a cell with an await in progress.
    Waiting(Waiting<T>),
    /// Awaited to its end: as good as rejected with an error that says so.
    Taken,
}

/// An error that tells the hook when it is dropped unseen.
struct Rejection(ManuallyDrop<Error>);

impl Rejection {
    fn error(&self) -> &Error {
        &self.0
    }

    fn into_error(self) -> Error {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the error is taken this one time.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl Drop for Rejection {
    fn drop(&mut self) {
        // SAFETY: the error is taken this one time, by the drop.
        let error = unsafe { ManuallyDrop::take(&mut self.0) };
        unhandled::report_unseen(&error);
    }
}

/// What [`Promise::state`] sees (`Lwt.state`).
#[derive(Debug)]
pub enum State<'a, T> {
    /// `Lwt.Sleep`.
    Pending,
    /// `Lwt.Return`.
    Fulfilled(&'a T),
    /// `Lwt.Fail`.
    Rejected(&'a Error),
}

impl<T> Promise<T> {
    /// A fulfilled promise (`Lwt.return`). Allocates nothing.
    ///
    /// ```
    /// let p = lwt_core::Promise::ready(1);
    /// assert!(!p.is_pending());
    /// ```
    #[inline]
    pub const fn ready(value: T) -> Promise<T> {
        Promise { repr: Repr::Ready(value) }
    }

    /// A rejected promise (`Lwt.fail`). The error remembers the caller's line if it is made here.
    ///
    /// ```
    /// let p = lwt_core::Promise::<()>::fail(std::io::Error::other("no"));
    /// p.on_failure(|e| assert_eq!(e.to_string(), "no"));
    /// ```
    #[track_caller]
    pub fn fail(error: impl Into<Error>) -> Promise<T> {
        Promise::rejected(fresh(error.into()))
    }

    /// A promise that answers for an error on its way.
    pub(crate) fn rejected(error: Error) -> Promise<T> {
        Promise { repr: Repr::Failed(Rejection(ManuallyDrop::new(error))) }
    }

    /// The resolved promise with this outcome.
    pub(crate) fn settled(result: Result<T, Error>) -> Promise<T> {
        match result {
            Ok(value) => Promise::ready(value),
            Err(error) => Promise::rejected(error),
        }
    }

    #[track_caller]
    fn taken() -> Promise<T> {
        Promise::rejected(Error::msg(TAKEN))
    }

    #[inline]
    pub(crate) fn from_handle(handle: Handle<T>) -> Promise<T> {
        Promise { repr: Repr::Cell(handle) }
    }

    /// The root of the cell, if there is one.
    fn root(&self) -> Option<Raw> {
        match &self.repr {
            Repr::Cell(handle) => Some(handle.root()),
            Repr::Waiting(waiting) => Some(waiting.root()),
            Repr::Ready(_) | Repr::Failed(_) | Repr::Taken => None,
        }
    }

    /// The outcome, if there is one. Does not count as a look.
    fn peek(&self) -> Option<Result<&T, &Error>> {
        match &self.repr {
            Repr::Ready(value) => Some(Ok(value)),
            Repr::Failed(rejection) => Some(Err(rejection.error())),
            Repr::Cell(handle) => handle.peek(),
            Repr::Waiting(waiting) => waiting.peek(),
            Repr::Taken => Some(Err(taken_error())),
        }
    }

    /// A look at the state (`Lwt.state`). A promise whose value an await has taken is rejected, with an error
    /// that says so.
    ///
    /// ```
    /// use lwt_core::{Promise, State};
    /// assert!(matches!(Promise::ready(1).state(), State::Fulfilled(1)));
    /// ```
    pub fn state(&self) -> State<'_, T> {
        match self.peek() {
            None => State::Pending,
            Some(Ok(value)) => State::Fulfilled(value),
            Some(Err(error)) => {
                error.mark_seen();
                State::Rejected(error)
            }
        }
    }

    /// Whether the promise is still to be resolved (`Lwt.is_sleeping`). False also after an await has taken
    /// the value.
    ///
    /// ```
    /// let (p, r) = lwt_core::wait();
    /// assert!(p.is_pending());
    /// r.wakeup(());
    /// assert!(!p.is_pending());
    /// ```
    #[inline]
    pub fn is_pending(&self) -> bool {
        match &self.repr {
            Repr::Cell(handle) => handle.is_pending(),
            Repr::Waiting(waiting) => waiting.root().is_pending(),
            Repr::Ready(_) | Repr::Failed(_) | Repr::Taken => false,
        }
    }

    /// Names the promise in the list of what is pending, `registry::pending`, which exists with the feature
    /// `registry`. Without it, or if the promise is resolved, this does nothing.
    ///
    /// ```
    /// let (answer, _resolver) = lwt_core::wait::<u32>();
    /// let answer = answer.named("the answer");
    /// # #[cfg(feature = "registry")]
    /// assert_eq!(lwt_core::registry::pending()[0].name, Some("the answer"));
    /// # drop(answer);
    /// ```
    pub fn named(self, name: &'static str) -> Promise<T> {
        #[cfg(feature = "registry")]
        if let Some(root) = self.root() {
            crate::registry::name(root, name);
        }
        #[cfg(not(feature = "registry"))]
        let _ = name;
        self
    }

    /// Has the source behind this promise drop what it runs: see [`crate::task::abort`].
    #[track_caller]
    pub(crate) fn abort_source(&self, error: Error) -> bool {
        let Some(root) = self.root().filter(|root| root.is_pending() && root.route() == cell::Route::Source)
        else {
            return false;
        };
        let Some(source) = root.linked() else { return false };
        let runs = source.vtable.runs;
        if runs {
            section::check();
            teardown::abort(source, error);
        }
        runs
    }

    /// Drops the promise as a combinator's member whose outcome does not count: nobody is to be told.
    fn drop_silently(self) {
        match self.repr {
            Repr::Cell(handle) => handle.drop_silently(),
            Repr::Waiting(waiting) => waiting.into_handle().drop_silently(),
            Repr::Failed(rejection) => rejection.error().mark_seen(),
            Repr::Ready(_) | Repr::Taken => {}
        }
    }
}

impl<T: Clone> Clone for Promise<T> {
    /// Another handle on the same promise.
    fn clone(&self) -> Promise<T> {
        let repr = match &self.repr {
            Repr::Ready(value) => Repr::Ready(value.clone()),
            Repr::Failed(rejection) => Repr::Failed(Rejection(rejection.0.clone())),
            Repr::Cell(handle) => Repr::Cell(handle.share()),
            Repr::Waiting(waiting) => Repr::Cell(waiting.share()),
            Repr::Taken => Repr::Taken,
        };
        Promise { repr }
    }
}

impl<T, E: Into<Error>> From<Result<T, E>> for Promise<T> {
    /// The resolved promise of a result (`Lwt.of_result`).
    #[track_caller]
    fn from(result: Result<T, E>) -> Promise<T> {
        match result {
            Ok(value) => Promise::ready(value),
            Err(error) => Promise::fail(error),
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peek() {
            _ if matches!(self.repr, Repr::Taken) => f.write_str("Promise(taken)"),
            Some(Ok(_)) => f.write_str("Promise(fulfilled)"),
            Some(Err(error)) => write!(f, "Promise(rejected: {error:?})"),
            None => {
                f.write_str("Promise(pending")?;
                #[cfg(feature = "registry")]
                if let Some(root) = self.root() {
                    write!(f, ", {}", crate::registry::describe(root))?;
                }
                f.write_str(")")
            }
        }
    }
}

const _: () = assert!(size_of::<Promise<i64>>() == 16);
