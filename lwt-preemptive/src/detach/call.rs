//! [`Call`]: a detached call with a name, a pool, and storage that goes with it.

use std::fmt;

use lwt_core::{Error, Key, Promise};
use lwt_unix::job::{self, Full, Pool};

use super::calls;

/// A call to be [detached](super::detach()), and what is to be said about it before.
///
/// ```
/// use lwt_core::Key;
/// use lwt_preemptive::detach::{Call, calls};
///
/// let user = Key::new();
/// let greeting = user.with_value(Some("ada".to_owned()), || {
///     Call::new().named("greeting").carrying(user).detach(move || {
///         assert!(calls().iter().any(|call| call.name == "greeting"));
///         format!("hello, {}", user.get().unwrap())
///     })
/// });
/// assert_eq!(lwt_unix::run(greeting).unwrap(), "hello, ada");
/// ```
///
/// # Storage
/// What a [`Key`] is set to belongs to the thread that set it, and is shared there without a lock. So it does
/// not go to another thread by itself. [`carrying`](Call::carrying) takes a copy along, for keys whose values
/// are `Clone + Send`; inside, `get` and all else work as on the loop, also in promises of a loop of the
/// call's own. For a value that is large or to be shared set the key to an `Arc` of it. A value that is not
/// `Send` stays at home.
#[derive(Debug, Clone)]
pub struct Call<C = Nothing> {
    name: Option<&'static str>,
    pool: Option<Pool>,
    carried: C,
}

/// What goes with a [`Call`]: values of keys.
pub trait Carry: Send + 'static {
    /// Calls `f` with the keys set.
    fn around<R>(self, f: impl FnOnce() -> R) -> R;
}

/// Nothing goes with a [`Call`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Carry for Nothing {
    fn around<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// The value of a key goes with a [`Call`], beside what went with it before.
#[derive(Clone)]
pub struct Carried<C, T> {
    others: C,
    key: Key<T>,
    value: Option<T>,
}

impl<C: Carry, T: Send + 'static> Carry for Carried<C, T> {
    fn around<R>(self, f: impl FnOnce() -> R) -> R {
        let Carried { others, key, value } = self;
        others.around(|| key.with_value(value, f))
    }
}

impl<C: fmt::Debug, T> fmt::Debug for Carried<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Carried");
        f.field("key", &self.key).field("set", &self.value.is_some()).field("others", &self.others).finish()
    }
}

impl Default for Call {
    fn default() -> Call {
        Call::new()
    }
}

impl Call {
    /// A call by the process's pool, without a name, that takes nothing along.
    pub fn new() -> Call {
        Call { name: None, pool: None, carried: Nothing }
    }
}

impl<C: Carry> Call<C> {
    /// The call is in the list of [`calls`](super::calls()) by this name, while it runs, and its promise, while
    /// it is pending, in that of the registry ([`Promise::named`]).
    pub fn named(self, name: &'static str) -> Call<C> {
        Call { name: Some(name), ..self }
    }

    /// The call runs on a thread of this pool.
    pub fn in_pool(self, pool: &Pool) -> Call<C> {
        Call { pool: Some(pool.clone()), ..self }
    }

    /// The key is set in the call to what it is set to here, now.
    pub fn carrying<T: Clone + Send + 'static>(self, key: Key<T>) -> Call<Carried<C, T>> {
        let Call { name, pool, carried } = self;
        Call { name, pool, carried: Carried { others: carried, key, value: key.get() } }
    }

    /// Runs `f` on a thread: see [`detach`](super::detach()).
    ///
    /// # Errors
    /// As [`detach`](super::detach()).
    #[track_caller]
    pub fn detach<T, F>(self, f: F) -> Promise<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let name = self.name;
        let (pool, f) = self.prepare(f);
        naming(name, pool.detach(f))
    }

    /// [`detach`](Call::detach) for what returns a `Result`: its error rejects the promise.
    ///
    /// # Errors
    /// As [`detach_result`](super::detach_result).
    #[track_caller]
    pub fn detach_result<T, E, F>(self, f: F) -> Promise<T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<Error> + 'static,
    {
        let name = self.name;
        let (pool, f) = self.prepare(|| f().map_err(Into::into));
        naming(name, pool.detach_result::<T, Error, _>(f))
    }

    /// [`detach`](Call::detach), unless the queue is full.
    ///
    /// # Errors
    /// [`Full`]: nothing was called. The promise's errors are those of [`detach`](super::detach()).
    #[track_caller]
    pub fn try_detach<T, F>(self, f: F) -> Result<Promise<T>, Full<impl FnOnce() -> T + Send + 'static>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let name = self.name;
        let (pool, f) = self.prepare(f);
        pool.try_detach(f).map(|promise| naming(name, promise))
    }

    /// The pool, and `f` with what goes around it.
    #[track_caller]
    fn prepare<T, F>(self, f: F) -> (Pool, impl FnOnce() -> T + Send + 'static)
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let Call { name, pool, carried } = self;
        let named = calls::about(name);
        let pool = pool.unwrap_or_else(|| job::pool().clone());
        (pool, move || {
            let _listed = named.map(calls::enlist);
            carried.around(f)
        })
    }
}

/// The call's promise has the call's name.
fn naming<T>(name: Option<&'static str>, promise: Promise<T>) -> Promise<T> {
    match name {
        Some(name) => promise.named(name),
        None => promise,
    }
}
