//! How a blocking call runs: on a thread, or in place ([`AsyncMethod`]).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use lwt_core::Key;

/// How [`run_job`](super::run_job) and the calls of this library that may block run
/// (`Lwt_unix.async_method`).
///
/// ```
/// use lwt_unix::job::{AsyncMethod, async_method, default_async_method, with_async_none};
/// assert_eq!(async_method(), default_async_method());
/// assert_eq!(with_async_none(async_method), AsyncMethod::None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsyncMethod {
    /// In place: **the loop, and with it all tasks of the thread, stands still until the call returns.** For
    /// programs that must not have threads, and for calls that are known to be short.
    None,
    /// On a thread of the pool. A call that this library can make without blocking is still made in place.
    Detach,
}

/// What the default is: 0 before anybody has asked, or else a method and 1.
static DEFAULT: AtomicU8 = AtomicU8::new(0);

impl AsyncMethod {
    fn of_text(text: &str) -> Option<AsyncMethod> {
        match text {
            "none" => Some(AsyncMethod::None),
            "detach" => Some(AsyncMethod::Detach),
            _ => None,
        }
    }
}

/// The method for calls that have no other (`Lwt_unix.default_async_method`):
/// [`Detach`](AsyncMethod::Detach), unless the program has set another, or the environment's
/// `LWT_ASYNC_METHOD` was `none` when it was first asked for.
pub fn default_async_method() -> AsyncMethod {
    match DEFAULT.load(Ordering::Relaxed) {
        0 => {
            let told = std::env::var("LWT_ASYNC_METHOD").ok();
            let method = told.and_then(|text| AsyncMethod::of_text(&text)).unwrap_or(AsyncMethod::Detach);
            // Somebody may have set it meanwhile.
            match DEFAULT.compare_exchange(0, number(method), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => method,
                Err(_) => default_async_method(),
            }
        }
        1 => AsyncMethod::None,
        _ => AsyncMethod::Detach,
    }
}

/// Sets the [default](default_async_method), for all threads (`Lwt_unix.set_default_async_method`).
pub fn set_default_async_method(method: AsyncMethod) {
    DEFAULT.store(number(method), Ordering::Relaxed);
}

fn number(method: AsyncMethod) -> u8 {
    match method {
        AsyncMethod::None => 1,
        AsyncMethod::Detach => 2,
    }
}

/// The key that holds the method of a chain of promises or a task (`Lwt_unix.async_method_key`).
///
/// ```
/// use lwt_unix::job::{AsyncMethod, async_method, async_method_key};
/// let task = async_method_key().scope(Some(AsyncMethod::None), async {
///     lwt_core::pause().await?;
///     Ok::<_, lwt_core::Error>(async_method())
/// });
/// assert_eq!(lwt_unix::run(task).unwrap(), AsyncMethod::None);
/// ```
pub fn async_method_key() -> Key<AsyncMethod> {
    static KEY: OnceLock<Key<AsyncMethod>> = OnceLock::new();
    *KEY.get_or_init(Key::new)
}

/// The method in force: that of the [key](async_method_key), else the [default](default_async_method)
/// (`Lwt_unix.async_method`).
pub fn async_method() -> AsyncMethod {
    async_method_key().get().unwrap_or_else(default_async_method)
}

/// Calls `f` with the method [`None`](AsyncMethod::None) in force, there and in what it attaches and spawns
/// (`Lwt_unix.with_async_none`).
pub fn with_async_none<R>(f: impl FnOnce() -> R) -> R {
    async_method_key().with_value(Some(AsyncMethod::None), f)
}

/// Calls `f` with the method [`Detach`](AsyncMethod::Detach) in force, there and in what it attaches and
/// spawns (`Lwt_unix.with_async_detach`).
pub fn with_async_detach<R>(f: impl FnOnce() -> R) -> R {
    async_method_key().with_value(Some(AsyncMethod::Detach), f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_environment() {
        assert_eq!(AsyncMethod::of_text("none"), Some(AsyncMethod::None));
        assert_eq!(AsyncMethod::of_text("detach"), Some(AsyncMethod::Detach));
        assert_eq!(AsyncMethod::of_text("fork"), None);
    }
}
