//! What is done when a value is not needed any more, and may take time (`Lwt_gc`).
//!
//! Rust drops a value at a known place, but a drop cannot wait: it cannot tell the other side goodbye, nor
//! see a file to the disk. Here a value is put into a guard, together with a function that gets the value
//! when the guard is dropped, and whose promise the loop then brings to its end.
//!
//! * The function is called by the loop, in a later turn than the drop. If that never comes (the thread ends,
//!   or no `run` follows) it is not called, and the value is dropped as any other.
//! * What goes wrong in it is told to the hook for unhandled rejections.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::rc::Rc;

use lwt_core::{Error, Promise, pause};

use crate::main_loop::hooks::report;
use crate::main_loop::run::promise_of;
use crate::main_loop::{ExitHook, at_exit};

/// A value under guard: see [`finalise`] and [`finalise_or_exit`]. It is lent by [`Deref`].
pub struct Finalised<T: 'static> {
    value: Rc<T>,
    finaliser: Place<T>,
    /// With [`finalise_or_exit`].
    hook: Option<ExitHook>,
}

type Finaliser<T> = Box<dyn FnOnce(Rc<T>) -> Promise<()>>;

/// Where the finaliser is until it is called: after the guard's drop or at the exit, whichever is first.
type Place<T> = Rc<RefCell<Option<Finaliser<T>>>>;

/// Has the loop call `f` with the value once the guard is dropped (`Lwt_gc.finalise`).
///
/// ```
/// use lwt_unix::finalise::finalise;
/// lwt_unix::run(async {
///     let (closed, done) = lwt_core::wait();
///     let connection = finalise(String::from("connection"), |name| async move {
///         lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
///         done.wakeup(format!("{name} closed"));
///         Ok::<_, lwt_core::Error>(())
///     });
///     assert_eq!(connection.len(), 10);
///     drop(connection);
///     assert_eq!(closed.await?, "connection closed");
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// ```
pub fn finalise<T, E, F>(value: T, f: impl FnOnce(T) -> F + 'static) -> Finalised<T>
where
    T: 'static,
    F: Future<Output = Result<(), E>> + 'static,
    E: Into<Error> + 'static,
{
    let owned = move |value| match Rc::try_unwrap(value) {
        Ok(value) => promise_of(f(value)),
        Err(_) => Promise::fail(Error::msg("a guard that was dropped is still in use")),
    };
    Finalised { value: Rc::new(value), finaliser: place(owned), hook: None }
}

/// [`finalise`], and if the program comes to its [exit hooks](crate::exit_hooks) before the guard is dropped,
/// `f` is called by them (`Lwt_gc.finalise_or_exit`). It is called once.
///
/// At the exit the guard may be there still, so the value is shared.
///
/// ```
/// use lwt_unix::finalise::finalise_or_exit;
/// let log = finalise_or_exit(vec!["line"], |lines| async move {
///     println!("{} lines to write", lines.len());
///     Ok::<_, lwt_core::Error>(())
/// });
/// lwt_unix::run(lwt_unix::exit_hooks().run()).unwrap();
/// assert_eq!(log.len(), 1);
/// ```
pub fn finalise_or_exit<T, E, F>(value: T, f: impl FnOnce(Rc<T>) -> F + 'static) -> Finalised<T>
where
    T: 'static,
    F: Future<Output = Result<(), E>> + 'static,
    E: Into<Error> + 'static,
{
    let value = Rc::new(value);
    let finaliser = place(move |value| promise_of(f(value)));
    let hook = at_exit({
        let (value, finaliser) = (Rc::clone(&value), Rc::clone(&finaliser));
        move || finaliser.take().map_or_else(|| Promise::ready(()), |f| f(value))
    });
    Finalised { value, finaliser, hook: Some(hook) }
}

fn place<T>(f: impl FnOnce(Rc<T>) -> Promise<()> + 'static) -> Place<T> {
    Rc::new(RefCell::new(Some(Box::new(f))))
}

impl<T> Finalised<T> {
    /// Drops the guard, the value and the function, which is not called.
    ///
    /// ```
    /// use lwt_core::Error;
    /// let guard = lwt_unix::finalise::finalise(5, |_| async { panic!("never") as Result<(), Error> });
    /// guard.disarm();
    /// lwt_unix::run(lwt_unix::sleep(std::time::Duration::from_millis(1))).unwrap();
    /// ```
    pub fn disarm(self) {
        let f = self.finaliser.take();
        drop(f);
    }
}

impl<T> Drop for Finalised<T> {
    fn drop(&mut self) {
        let f = self.finaliser.take();
        if let Some(hook) = self.hook.take() {
            hook.remove();
        }
        let Some(f) = f else { return };
        let value = Rc::clone(&self.value);
        // In a later turn the guard is gone, and its share of the value with it. A loop that has ended calls
        // nobody.
        pause().on_any(move |turn| {
            if turn.is_ok() {
                f(value).on_failure(|error| {
                    if !error.is_abandoned() {
                        report(error.clone());
                    }
                });
            }
        });
    }
}

impl<T> Deref for Finalised<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Finalised<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Finalised").field(&self.value).finish()
    }
}
