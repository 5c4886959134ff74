//! What is done at the end of a program: [`at_exit`] and [`exit_hooks`].
//!
//! 1. Hooks belong to a thread. The last one added in front runs first; each is awaited before the next
//!    begins.
//! 2. [`ExitHooks::run`] runs what is there, each hook once, and what is added meanwhile too. The entry macro
//!    [`main!`](crate::main) does so when the main future has ended, whatever its outcome; a program without
//!    the macro says `run(exit_hooks().run())` where it wants them. `std::process::exit`, a signal's death
//!    and the end of other threads run no hooks.
//! 3. A hook that fails or panics is reported to the hook for unhandled rejections, and the next one runs.
//! 4. At the very end of a thread the list may be gone before those who use it; what is added then never
//!    runs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use lwt_core::{Error, Promise, spawn};

use super::hooks::report;
use super::run::promise_of;

/// Has `f` called at the end of the program, before all that were added earlier (`Lwt_main.at_exit`). See
/// [`exit_hooks`] for when that is.
///
/// ```
/// lwt_unix::at_exit(|| async {
///     println!("bye");
///     Ok::<_, lwt_core::Error>(())
/// });
/// lwt_unix::run(lwt_unix::exit_hooks().run()).unwrap();
/// ```
pub fn at_exit<E, F>(f: impl FnOnce() -> F + 'static) -> ExitHook
where
    F: Future<Output = Result<(), E>> + 'static,
    E: Into<Error> + 'static,
{
    exit_hooks().add_first(f)
}

/// What this thread has to do at the end of the program (`Lwt_main.Exit_hooks`).
///
/// The hooks run when [`ExitHooks::run`] is called: by the entry macro [`main!`](crate::main) at the end of
/// its future, or by the program itself.
pub fn exit_hooks() -> ExitHooks {
    ExitHooks(())
}

/// The list of this thread's exit hooks; see [`exit_hooks`].
#[derive(Clone, Copy)]
pub struct ExitHooks(());

/// A hook that was added; it stays in the list until it runs or is removed, also when this handle is dropped.
#[derive(Clone)]
pub struct ExitHook(Rc<Call>);

type Call = RefCell<Option<Box<dyn FnOnce() -> Promise<()>>>>;

type List = VecDeque<Rc<Call>>;

thread_local! {
    static HOOKS: RefCell<List> = const { RefCell::new(VecDeque::new()) };
}

/// Gives `f` this thread's list, if it is there still. No user code runs in it.
fn with<R>(f: impl FnOnce(&mut List) -> R) -> Option<R> {
    HOOKS.try_with(|hooks| f(&mut hooks.borrow_mut())).ok()
}

impl ExitHooks {
    /// Adds `f` in front of the list: it runs before those that are there.
    pub fn add_first<E, F>(self, f: impl FnOnce() -> F + 'static) -> ExitHook
    where
        F: Future<Output = Result<(), E>> + 'static,
        E: Into<Error> + 'static,
    {
        let call = wrap(f);
        with(|hooks| hooks.push_front(Rc::clone(&call)));
        ExitHook(call)
    }

    /// Adds `f` at the end of the list: it runs after those that are there.
    pub fn add_last<E, F>(self, f: impl FnOnce() -> F + 'static) -> ExitHook
    where
        F: Future<Output = Result<(), E>> + 'static,
        E: Into<Error> + 'static,
    {
        let call = wrap(f);
        with(|hooks| hooks.push_back(Rc::clone(&call)));
        ExitHook(call)
    }

    /// Empties the list, running nothing.
    pub fn remove_all(self) {
        let removed = with(std::mem::take);
        drop(removed);
    }

    /// Runs them all, one after the other, until the list is empty. Never rejected by a hook's failure;
    /// cancelling it cancels the hook that is running, and goes on with the next.
    pub fn run(self) -> Promise<()> {
        spawn(async {
            while let Some(call) = with(VecDeque::pop_front).flatten() {
                let f = call.borrow_mut().take();
                let Some(f) = f else { continue };
                let ended = match catch_unwind(AssertUnwindSafe(f)) {
                    Ok(promise) => promise.await,
                    Err(payload) => Err(Error::from_panic(payload)),
                };
                if let Err(error) = ended {
                    report(error);
                }
            }
            Ok::<(), Error>(())
        })
    }
}

impl ExitHook {
    /// Takes the hook off the list. Done again, or once it runs, it does nothing.
    pub fn remove(&self) {
        with(|hooks| hooks.retain(|call| !Rc::ptr_eq(call, &self.0)));
        let f = self.0.borrow_mut().take();
        drop(f);
    }
}

fn wrap<E, F>(f: impl FnOnce() -> F + 'static) -> Rc<Call>
where
    F: Future<Output = Result<(), E>> + 'static,
    E: Into<Error> + 'static,
{
    Rc::new(RefCell::new(Some(Box::new(move || promise_of(f())))))
}

impl fmt::Debug for ExitHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExitHooks").field("len", &with(|hooks| hooks.len()).unwrap_or(0)).finish()
    }
}

impl fmt::Debug for ExitHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExitHook").field("pending", &self.0.borrow().is_some()).finish()
    }
}
