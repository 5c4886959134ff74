//! Promises of results: errors that have a type (`Lwt_result`).
//!
//! A rejection carries an [`Error`], which can be anything. Where the errors of an operation are part of what
//! it says, they belong into the value: `Promise<Result<T, E>>`. Here is what goes on with such a promise,
//! each as a function under Lwt's name and, for use in chains, as a method of [`ResultPromise`].
//!
//! | function | method | |
//! |---|---|---|
//! | [`map`], [`map_error`] | [`map_ok`](ResultPromise::map_ok), [`map_error`](ResultPromise::map_error) | a plain function on one side |
//! | [`bind`], [`bind_error`] | [`bind_ok`](ResultPromise::bind_ok), [`bind_error`](ResultPromise::bind_error) | a function that gives a promise of a result |
//! | [`bind_lwt`], [`bind_lwt_error`] | [`bind_lwt`](ResultPromise::bind_lwt), [`bind_lwt_error`](ResultPromise::bind_lwt_error) | a function that gives a plain promise |
//! | [`bind_result`] | [`bind_result`](ResultPromise::bind_result) | a function that gives a plain result |
//! | [`iter`], [`iter_error`] | [`iter_ok`](ResultPromise::iter_ok), [`iter_error`](ResultPromise::iter_error) | for the effect on one side |
//! | [`both`] | [`both_ok`](ResultPromise::both_ok) | two at once |
//! | [`get_exn`] | [`get_exn`](ResultPromise::get_exn) | an error becomes a rejection |
//! | [`ready`], [`fail`], [`lift`], [`ok`], [`error`], [`catch`] | | making one |
//!
//! In a task none of them is needed: `promise.await??` takes the value out of both. Lwt's operators and `let`
//! forms are these: `>>=` and `let*` are `bind`, `>|=` and `let+` are `map`, `and*` and `and+` are `both`.
//!
//! All go on with a rejection as it is, and hand a cancel on to the promise that they wait for, as
//! [`Promise::bind`] does. A panic of a function rejects the result.
//!
//! ```
//! use lwt_core::result::{self, ResultPromise};
//! use lwt_core::{Promise, State};
//!
//! #[derive(Debug, PartialEq)]
//! enum Refused { TooLong(usize) }
//!
//! fn check(name: &'static str) -> Promise<Result<&'static str, Refused>> {
//!     result::lift(if name.len() < 9 { Ok(name) } else { Err(Refused::TooLong(name.len())) })
//! }
//! let p = check("adalovelace").map_ok(str::len).map_error(|Refused::TooLong(n)| n);
//! assert!(matches!(p.state(), State::Fulfilled(Err(11))));
//! ```

use std::cell::Cell;
use std::rc::Rc;

use crate::{Error, Promise, apply};

/// Fulfilled with `Ok(value)` (`Lwt_result.return`).
///
/// ```
/// use lwt_core::{Promise, State, result};
/// let p: Promise<Result<u32, String>> = result::ready(1);
/// assert!(matches!(p.state(), State::Fulfilled(Ok(1))));
/// ```
pub fn ready<T, E>(value: T) -> Promise<Result<T, E>> {
    Promise::ready(Ok(value))
}

/// Fulfilled with `Err(error)` (`Lwt_result.fail`).
///
/// ```
/// use lwt_core::{Promise, State, result};
/// let p: Promise<Result<u32, &str>> = result::fail("no");
/// assert!(matches!(p.state(), State::Fulfilled(Err("no"))));
/// ```
pub fn fail<T, E>(error: E) -> Promise<Result<T, E>> {
    Promise::ready(Err(error))
}

/// Fulfilled with `result` (`Lwt_result.lift`). `Promise::from` is another thing: it makes an `Err` a
/// rejection.
///
/// ```
/// use lwt_core::{State, result};
/// assert!(matches!(result::lift("7".parse::<u32>()).state(), State::Fulfilled(Ok(7))));
/// ```
pub fn lift<T, E>(result: Result<T, E>) -> Promise<Result<T, E>> {
    Promise::ready(result)
}

/// The value becomes an `Ok` (`Lwt_result.ok`).
///
/// ```
/// use lwt_core::{Promise, State, result};
/// let p: Promise<Result<u32, String>> = result::ok(Promise::ready(1));
/// assert!(matches!(p.state(), State::Fulfilled(Ok(1))));
/// ```
#[track_caller]
pub fn ok<T: 'static, E: 'static>(promise: Promise<T>) -> Promise<Result<T, E>> {
    promise.map(Ok)
}

/// The value becomes an `Err` (`Lwt_result.error`).
///
/// ```
/// use lwt_core::{Promise, State, result};
/// let p: Promise<Result<u32, &str>> = result::error(Promise::ready("no"));
/// assert!(matches!(p.state(), State::Fulfilled(Err("no"))));
/// ```
#[track_caller]
pub fn error<T: 'static, E: 'static>(promise: Promise<E>) -> Promise<Result<T, E>> {
    promise.map(Err)
}

/// Calls `f`; a rejection, a panic or a cancel becomes an `Err` (`Lwt_result.catch`).
///
/// ```
/// use lwt_core::{Error, Promise, State, result};
/// let p = result::catch(|| Promise::<u32>::fail(Error::msg("no")));
/// assert!(matches!(p.state(), State::Fulfilled(Err(e)) if e.to_string() == "no"));
/// ```
#[track_caller]
pub fn catch<T: 'static>(f: impl FnOnce() -> Promise<T>) -> Promise<Result<T, Error>> {
    apply(f).try_bind(|value| Promise::ready(Ok(value)), |error| Promise::ready(Err(error)))
}

/// The value of an `Ok`; an `Err` becomes a rejection (`Lwt_result.get_exn`).
///
/// ```
/// use lwt_core::{State, result};
/// let p = result::get_exn(result::lift("seven".parse::<u32>()));
/// p.on_failure(|e| assert!(e.downcast_ref::<std::num::ParseIntError>().is_some()));
/// ```
#[track_caller]
pub fn get_exn<T: 'static, E: Into<Error> + 'static>(promise: Promise<Result<T, E>>) -> Promise<T> {
    promise.bind(Promise::from)
}

/// Applies `f` to an `Ok` (`Lwt_result.map`, `>|=`).
///
/// ```
/// use lwt_core::{State, result};
/// let p = result::map(result::ready::<_, ()>(1), |n| n + 1);
/// assert!(matches!(p.state(), State::Fulfilled(Ok(2))));
/// ```
#[track_caller]
pub fn map<T: 'static, U: 'static, E: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(T) -> U + 'static,
) -> Promise<Result<U, E>> {
    promise.map(|result| result.map(f))
}

/// Applies `f` to an `Err` (`Lwt_result.map_error`, once `map_err`).
///
/// ```
/// use lwt_core::{State, result};
/// let p = result::map_error(result::fail::<(), _>("no"), str::len);
/// assert!(matches!(p.state(), State::Fulfilled(Err(2))));
/// ```
#[doc(alias = "map_err")]
#[track_caller]
pub fn map_error<T: 'static, E: 'static, F: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(E) -> F + 'static,
) -> Promise<Result<T, F>> {
    promise.map(|result| result.map_err(f))
}

/// Goes on from an `Ok` (`Lwt_result.bind`, `>>=`).
///
/// ```
/// use lwt_core::{State, result};
/// let p = result::bind(result::ready(0), |n| if n > 0 { result::ready(n) } else { result::fail("zero") });
/// assert!(matches!(p.state(), State::Fulfilled(Err("zero"))));
/// ```
#[track_caller]
pub fn bind<T: 'static, U: 'static, E: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(T) -> Promise<Result<U, E>> + 'static,
) -> Promise<Result<U, E>> {
    promise.bind(|result| match result {
        Ok(value) => f(value),
        Err(error) => Promise::ready(Err(error)),
    })
}

/// Goes on from an `Err` (`Lwt_result.bind_error`).
///
/// ```
/// use lwt_core::{State, result};
/// let p = result::bind_error(result::fail("no"), |_| result::ready::<_, ()>(1));
/// assert!(matches!(p.state(), State::Fulfilled(Ok(1))));
/// ```
#[track_caller]
pub fn bind_error<T: 'static, E: 'static, F: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(E) -> Promise<Result<T, F>> + 'static,
) -> Promise<Result<T, F>> {
    promise.bind(|result| match result {
        Ok(value) => Promise::ready(Ok(value)),
        Err(error) => f(error),
    })
}

/// [`bind`] for a function that gives a plain promise (`Lwt_result.bind_lwt`).
///
/// ```
/// use lwt_core::{Promise, State, result};
/// let p = result::bind_lwt(result::ready::<_, ()>(1), |n| Promise::ready(n + 1));
/// assert!(matches!(p.state(), State::Fulfilled(Ok(2))));
/// ```
#[track_caller]
pub fn bind_lwt<T: 'static, U: 'static, E: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(T) -> Promise<U> + 'static,
) -> Promise<Result<U, E>> {
    bind(promise, |value| ok(f(value)))
}

/// A function of an `Err` that gives a plain promise of another error (`Lwt_result.bind_lwt_error`, once
/// `bind_lwt_err`).
///
/// ```
/// use lwt_core::{Promise, State, result};
/// let p = result::bind_lwt_error(result::fail::<(), _>("no"), |e| Promise::ready(e.len()));
/// assert!(matches!(p.state(), State::Fulfilled(Err(2))));
/// ```
#[doc(alias = "bind_lwt_err")]
#[track_caller]
pub fn bind_lwt_error<T: 'static, E: 'static, F: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(E) -> Promise<F> + 'static,
) -> Promise<Result<T, F>> {
    bind_error(promise, |failure| error(f(failure)))
}

/// [`bind`] for a function that gives a plain result (`Lwt_result.bind_result`).
///
/// ```
/// use lwt_core::{State, result};
/// let p = result::bind_result(result::ready("7"), str::parse::<u32>);
/// assert!(matches!(p.state(), State::Fulfilled(Ok(7))));
/// ```
#[track_caller]
pub fn bind_result<T: 'static, U: 'static, E: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(T) -> Result<U, E> + 'static,
) -> Promise<Result<U, E>> {
    promise.map(|result| result.and_then(f))
}

/// Waits for both and gives both values, or the `Err` that came first in time (`Lwt_result.both`, `and*`,
/// `and+`).
///
/// A rejection of one is that of the result, as in [`both`](crate::both()); it, too, waits for the other.
///
/// ```
/// use lwt_core::{State, result, wait};
/// let ((a, ra), (b, rb)) = (wait::<Result<(), _>>(), wait::<Result<(), _>>());
/// let p = result::both(a, b);
/// rb.wakeup(Err("b"));
/// ra.wakeup(Err("a"));
/// assert!(matches!(p.state(), State::Fulfilled(Err("b"))));
/// ```
#[track_caller]
pub fn both<A: 'static, B: 'static, E: 'static>(
    a: Promise<Result<A, E>>,
    b: Promise<Result<B, E>>,
) -> Promise<Result<(A, B), E>> {
    let errors = Rc::new(Cell::new(0));
    let numbered = |errors: Rc<Cell<u8>>| move |error| (errors.replace(errors.get() + 1), error);
    let a = map_error(a, numbered(Rc::clone(&errors)));
    let b = map_error(b, numbered(errors));
    crate::both(a, b).map(|results| match results {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err((first, error)), Err((second, _))) if first < second => Err(error),
        (_, Err((_, error))) | (Err((_, error)), Ok(_)) => Err(error),
    })
}

/// Calls `f` with an `Ok`'s value (`Lwt_result.iter`).
///
/// ```
/// use lwt_core::{Promise, result};
/// let p = result::iter(result::fail::<u32, _>("no"), |_| -> Promise<()> { unreachable!() });
/// assert!(!p.is_pending());
/// ```
#[track_caller]
pub fn iter<T: 'static, E: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(T) -> Promise<()> + 'static,
) -> Promise<()> {
    promise.bind(|result| result.map_or_else(|_| Promise::ready(()), f))
}

/// Calls `f` with an `Err`'s error (`Lwt_result.iter_error`).
///
/// ```
/// use lwt_core::{Promise, result};
/// let p = result::iter_error(result::fail::<u32, _>("no"), |e| {
///     eprintln!("it says {e}");
///     Promise::ready(())
/// });
/// assert!(!p.is_pending());
/// ```
#[track_caller]
pub fn iter_error<T: 'static, E: 'static>(
    promise: Promise<Result<T, E>>,
    f: impl FnOnce(E) -> Promise<()> + 'static,
) -> Promise<()> {
    promise.bind(|result| result.map_or_else(f, |_| Promise::ready(())))
}

/// The functions of this module as methods.
///
/// Where [`Promise`] has a method of Lwt's name already, which takes the whole result, the name here ends in
/// `_ok`.
///
/// ```
/// use lwt_core::State;
/// use lwt_core::result::{self, ResultPromise};
/// let p = result::ready("42").bind_result(str::parse::<u32>).map_error(|e| e.to_string());
/// assert!(matches!(p.state(), State::Fulfilled(Ok(42))));
/// ```
pub trait ResultPromise<T: 'static, E: 'static>: Sized {
    /// The promise itself.
    #[doc(hidden)]
    fn promise(self) -> Promise<Result<T, E>>;

    /// See [`map`].
    #[track_caller]
    fn map_ok<U: 'static>(self, f: impl FnOnce(T) -> U + 'static) -> Promise<Result<U, E>> {
        map(self.promise(), f)
    }

    /// See [`map_error`].
    #[track_caller]
    fn map_error<F: 'static>(self, f: impl FnOnce(E) -> F + 'static) -> Promise<Result<T, F>> {
        map_error(self.promise(), f)
    }

    /// See [`bind`].
    #[track_caller]
    fn bind_ok<U: 'static>(
        self,
        f: impl FnOnce(T) -> Promise<Result<U, E>> + 'static,
    ) -> Promise<Result<U, E>> {
        bind(self.promise(), f)
    }

    /// See [`bind_error`].
    #[track_caller]
    fn bind_error<F: 'static>(
        self,
        f: impl FnOnce(E) -> Promise<Result<T, F>> + 'static,
    ) -> Promise<Result<T, F>> {
        bind_error(self.promise(), f)
    }

    /// See [`bind_lwt`].
    #[track_caller]
    fn bind_lwt<U: 'static>(self, f: impl FnOnce(T) -> Promise<U> + 'static) -> Promise<Result<U, E>> {
        bind_lwt(self.promise(), f)
    }

    /// See [`bind_lwt_error`].
    #[track_caller]
    fn bind_lwt_error<F: 'static>(self, f: impl FnOnce(E) -> Promise<F> + 'static) -> Promise<Result<T, F>> {
        bind_lwt_error(self.promise(), f)
    }

    /// See [`bind_result`].
    #[track_caller]
    fn bind_result<U: 'static>(self, f: impl FnOnce(T) -> Result<U, E> + 'static) -> Promise<Result<U, E>> {
        bind_result(self.promise(), f)
    }

    /// See [`both`].
    #[track_caller]
    fn both_ok<U: 'static>(self, other: Promise<Result<U, E>>) -> Promise<Result<(T, U), E>> {
        both(self.promise(), other)
    }

    /// See [`iter`].
    #[track_caller]
    fn iter_ok(self, f: impl FnOnce(T) -> Promise<()> + 'static) -> Promise<()> {
        iter(self.promise(), f)
    }

    /// See [`iter_error`].
    #[track_caller]
    fn iter_error(self, f: impl FnOnce(E) -> Promise<()> + 'static) -> Promise<()> {
        iter_error(self.promise(), f)
    }

    /// See [`get_exn`].
    #[track_caller]
    fn get_exn(self) -> Promise<T>
    where
        E: Into<Error>,
    {
        get_exn(self.promise())
    }
}

impl<T: 'static, E: 'static> ResultPromise<T, E> for Promise<Result<T, E>> {
    fn promise(self) -> Promise<Result<T, E>> {
        self
    }
}
