//! [`Switch`] and [`with_switch`]: a scope that ends everything that was begun in it (`Lwt_switch`).
//!
//! ```text
//!  on ──────────► failed ──────────► ending ──────────────► off
//!   │  a child fails   ▲  turn_off     │ children end   │ hooks, newest first
//!   └──────────────────┼───────────────┘
//!                      turn_off
//! ```
//!
//! 1. A child is a promise that was added. It stands in the line of children until it is resolved.
//! 2. The first child that fails cancels all others, newest first, and the body of the scope. Who is
//!    added later is cancelled at once.
//! 3. `turn_off` cancels all children, newest first, unless a failure has done so, waits until the last
//!    has ended, then runs the hooks one after the other, newest first. Nothing stops it half way: not a
//!    failure, a cancel, a panic nor a dropped promise.
//! 4. All failures are kept, in the order of their coming; a cancelled child is none. What the switch
//!    fails with is made of them.

mod error;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::waiters::Waiters;
use crate::{Canceller, Error, Promise, Resolver, spawn, task, wait};

pub use error::{Off, SwitchError, first, others};

/// Owns what is begun in a scope: promises, tasks, and hooks that give resources back (`Lwt_switch.t`).
///
/// Mostly made by [`with_switch`]. A clone is another handle on the same switch. A switch of
/// [`create`](Switch::create) that nobody turns off does nothing.
pub struct Switch(Rc<Inner>);

type Hook = Box<dyn FnOnce() -> Promise<()>>;

#[derive(Default)]
struct Inner {
    state: Cell<State>,
    /// The oldest first.
    children: Waiters<Canceller>,
    hooks: RefCell<Vec<Hook>>,
    /// What the scope runs, until it has ended.
    body: RefCell<Option<Canceller>>,
    errors: RefCell<Vec<Error>>,
    /// Fulfilled when the switch is off; there from the first `turn_off`.
    end: RefCell<Option<Promise<()>>>,
    /// To be told when the last child has ended.
    last_child: Cell<Option<Resolver<()>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    On,
    Failed,
    Off,
}

impl Inner {
    /// Keeps an error, unless it is a cancel, or has nothing in it that is not known already. Whether it
    /// is a failure.
    fn note(&self, error: &Error) -> bool {
        if error.is_canceled() {
            return false;
        }
        let mut errors = self.errors.borrow_mut();
        let is_known = |error: &Error| errors.iter().any(|known| is_same(known, error));
        if !(is_known(first(error)) && others(error).iter().all(is_known)) {
            errors.push(error.clone());
        }
        true
    }

    fn outcome(&self) -> Result<(), Error> {
        let errors = self.errors.borrow();
        match &errors[..] {
            [] => Ok(()),
            [only] => Err(only.clone()),
            [first, others @ ..] => Err(Error::from(SwitchError::new(first.clone(), others.to_vec()))),
        }
    }

    fn child_ended(&self, error: Option<&Error>) {
        if error.is_some_and(|error| self.note(error)) && self.state.get() == State::On {
            self.state.set(State::Failed);
            self.cancel_children();
            let body = self.body.borrow().clone();
            if let Some(body) = body {
                body.cancel();
            }
        }
        if self.children.is_empty()
            && let Some(resolver) = self.last_child.take()
        {
            resolver.wakeup_later(());
        }
    }

    fn cancel_children(&self) {
        for child in self.children.snapshot().into_iter().rev() {
            child.cancel();
        }
    }

    /// Begins to turn the switch off, if that was not begun before. Fulfilled when it is done, which no
    /// cancel changes.
    fn end(self: &Rc<Inner>) -> Promise<()> {
        if let Some(end) = &*self.end.borrow() {
            return end.clone();
        }
        let (end, resolver) = wait();
        *self.end.borrow_mut() = Some(end.clone());
        let before = self.state.replace(State::Off);
        let switch = self.clone();
        drop(spawn(async move {
            // Each child is cancelled once, lest a second cancel disturbs its cleanup.
            if before == State::On {
                switch.cancel_children();
            }
            if !switch.children.is_empty() {
                let (ended, resolver) = wait();
                switch.last_child.set(Some(resolver));
                ended.await?;
            }
            loop {
                let Some(hook) = switch.hooks.borrow_mut().pop() else { break };
                if let Err(error) = hook().await {
                    switch.note(&error);
                }
            }
            resolver.wakeup_later(());
            Ok::<_, Error>(())
        }));
        end
    }
}

/// Whether two errors are clones of one.
fn is_same(a: &Error, b: &Error) -> bool {
    std::ptr::eq(a.as_std(), b.as_std()) && std::ptr::eq(a.origin(), b.origin())
}

impl Switch {
    /// A switch that is on (`Lwt_switch.create`).
    ///
    /// ```
    /// assert!(lwt_core::switch::Switch::create().is_on());
    /// ```
    pub fn create() -> Switch {
        Switch(Rc::default())
    }

    /// Whether it has not been turned off (`Lwt_switch.is_on`). So it is also after a child has failed, until
    /// the scope ends.
    ///
    /// ```
    /// # use lwt_core::switch::Switch;
    /// let s = Switch::create();
    /// drop(s.turn_off());
    /// assert!(!s.is_on());
    /// ```
    pub fn is_on(&self) -> bool {
        self.0.state.get() != State::Off
    }

    /// Fails if the switch is off (`Lwt_switch.check`; for an optional one see [`check`]).
    ///
    /// # Errors
    /// [`Off`].
    ///
    /// ```
    /// assert!(lwt_core::switch::Switch::create().check().is_ok());
    /// ```
    pub fn check(&self) -> Result<(), Off> {
        if self.is_on() { Ok(()) } else { Err(Off) }
    }

    /// Has `hook` run when the switch is turned off (`Lwt_switch.add_hook`; for an optional one see
    /// [`add_hook`]).
    ///
    /// Hooks run one after the other, newest first, after all children have ended. All run, also if one
    /// fails or panics.
    ///
    /// ```
    /// # use lwt_core::{Promise, switch::Switch};
    /// let s = Switch::create();
    /// s.add_hook(|| Promise::ready(println!("closed"))).unwrap();
    /// drop(s.turn_off());
    /// ```
    ///
    /// # Errors
    /// [`Off`], and `hook` is dropped.
    pub fn add_hook(&self, hook: impl FnOnce() -> Promise<()> + 'static) -> Result<(), Off> {
        self.check()?;
        self.0.hooks.borrow_mut().push(Box::new(move || crate::apply(hook)));
        Ok(())
    }

    /// Has `hook` run when the switch is turned off, or runs it now if it is off already
    /// (`Lwt_switch.add_hook_or_exec`; for an optional one see [`add_hook_or_exec`]). Then the promise is
    /// `hook`'s, else it is fulfilled.
    ///
    /// ```
    /// # use lwt_core::{Promise, switch::Switch};
    /// let s = Switch::create();
    /// drop(s.turn_off());
    /// let p = s.add_hook_or_exec(|| Promise::ready(println!("closed at once")));
    /// assert!(!p.is_pending());
    /// ```
    pub fn add_hook_or_exec(&self, hook: impl FnOnce() -> Promise<()> + 'static) -> Promise<()> {
        if !self.is_on() {
            return crate::apply(hook);
        }
        Promise::from(self.add_hook(hook))
    }

    /// Makes a promise a child: before the switch is off it is cancelled and awaited. Gives it back, for
    /// those who want its value.
    ///
    /// If it fails, all other children and the body are cancelled, and the scope fails with its error.
    /// That it is cancelled is no failure. Its error counts as looked at. It is wanted
    /// (`Resolver::is_wanted`) for as long as it is pending, also if the one given back is dropped.
    ///
    /// ```
    /// # use lwt_core::{switch::Switch, task};
    /// let s = Switch::create();
    /// let (p, _r) = task::<()>();
    /// let p = s.add(p).unwrap();
    /// drop(s.turn_off());
    /// p.on_failure(|e| assert!(e.is_canceled()));
    /// ```
    ///
    /// # Errors
    /// [`Off`]; then the promise is cancelled, and nobody waits for its end.
    pub fn add<T: 'static>(&self, promise: Promise<T>) -> Result<Promise<T>, Off> {
        if !self.is_on() {
            promise.cancel();
            return Err(Off);
        }
        if !promise.is_pending() {
            promise.on_failure({
                let switch = self.0.clone();
                move |error| switch.child_ended(Some(error))
            });
            return Ok(promise);
        }
        self.0.children.push(|place| {
            let switch = Rc::downgrade(&self.0);
            promise.on_any(move |outcome| {
                if let Some(switch) = switch.upgrade() {
                    drop(switch.children.remove(place));
                    switch.child_ended(outcome.err());
                }
            });
            promise.canceller()
        });
        if self.0.state.get() == State::Failed {
            promise.cancel();
        }
        Ok(promise)
    }

    /// Runs a future as a task that is a child: [`spawn`](crate::spawn()) and [`add`](Switch::add). If
    /// the promise is dropped the task goes on, at the latest until the end of the scope.
    ///
    /// ```
    /// # use lwt_core::{Error, State, switch, pause, scheduler};
    /// let p = switch::with_switch(async |scope| {
    ///     scope.spawn::<(), _>(async { loop { pause().await? } })?;
    ///     Ok("done")
    /// });
    /// scheduler::run_ready(usize::MAX);
    /// assert!(matches!(p.state(), State::Fulfilled(&"done")));
    /// ```
    ///
    /// # Errors
    /// [`Off`], and the future is dropped.
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Result<Promise<T>, Off>
    where
        T: 'static,
        F: Future<Output = Result<T, Error>> + 'static,
    {
        self.check()?;
        self.add(spawn(future))
    }

    /// Turns the switch off (`Lwt_switch.turn_off`): cancels the children, newest first, waits for them,
    /// then runs the hooks, newest first, one after the other (Lwt starts all of them before it waits).
    ///
    /// Fulfilled when all that is done; a second call waits for the same. A cancel ends this wait only,
    /// and so does dropping it.
    ///
    /// ```
    /// # use lwt_core::switch::Switch;
    /// let s = Switch::create();
    /// assert!(!s.turn_off().is_pending());
    /// ```
    ///
    /// # Errors
    /// The failure of a child or a hook, the first one, with the [`others`] attached.
    #[track_caller]
    pub fn turn_off(&self) -> Promise<()> {
        let switch = self.0.clone();
        self.0.end().protected().bind(move |()| Promise::from(switch.outcome()))
    }
}

/// [`Switch::check`] for an optional switch (`Lwt_switch.check`): `None` is never off.
///
/// # Errors
/// [`Off`].
///
/// ```
/// assert!(lwt_core::switch::check(None).is_ok());
/// ```
pub fn check(switch: Option<&Switch>) -> Result<(), Off> {
    switch.map_or(Ok(()), Switch::check)
}

/// [`Switch::add_hook`] for an optional switch (`Lwt_switch.add_hook`): with `None` the hook is dropped.
///
/// # Errors
/// [`Off`].
///
/// ```
/// # use lwt_core::{Promise, switch};
/// assert!(switch::add_hook(None, || Promise::ready(())).is_ok());
/// ```
pub fn add_hook(switch: Option<&Switch>, hook: impl FnOnce() -> Promise<()> + 'static) -> Result<(), Off> {
    switch.map_or(Ok(()), |switch| switch.add_hook(hook))
}

/// [`Switch::add_hook_or_exec`] for an optional switch (`Lwt_switch.add_hook_or_exec`): with `None` the
/// hook is dropped.
///
/// ```
/// # use lwt_core::{Promise, switch};
/// assert!(!switch::add_hook_or_exec(None, || Promise::ready(())).is_pending());
/// ```
pub fn add_hook_or_exec(
    switch: Option<&Switch>,
    hook: impl FnOnce() -> Promise<()> + 'static,
) -> Promise<()> {
    switch.map_or(Promise::ready(()), |switch| switch.add_hook_or_exec(hook))
}

/// Runs `f` with a new switch, and turns that off when `f` has ended, however it ended
/// (`Lwt_switch.with_switch`): a structured scope.
///
/// * The promises and tasks that were added to the switch are cancelled, newest first, and awaited before
///   the scope ends; who wants them to finish awaits them in `f`. Then the hooks run, newest first.
/// * If a child fails, the others and `f` are cancelled. The scope ends when all have ended, and is
///   rejected with that error, those that came later [attached](others).
/// * A cancel goes to `f`, where it waits. Once `f` has ended it has no effect: the scope is ending
///   anyway. If the promise is dropped, the scope goes on; if its task is [aborted](crate::task::abort),
///   `f` is dropped, and the rest happens nevertheless.
///
/// `f` may be an `async` closure, or one that returns a promise.
///
/// ```
/// use lwt_core::{Error, Promise, State, scheduler, switch::with_switch, task};
/// let (request, answer) = task::<u32>();
/// let p = with_switch(async |scope| {
///     scope.add_hook(|| Promise::ready(println!("the connection is closed")))?;
///     scope.spawn(async { Err::<(), _>(Error::msg("the heart stopped beating")) })?;
///     request.await
/// });
/// scheduler::run_ready(usize::MAX);
/// assert!(!answer.is_wanted());
/// p.on_failure(|e| assert_eq!(e.to_string(), "the heart stopped beating"));
/// ```
///
/// # Errors
/// What failed first: a child, `f`, a hook. If nothing failed and `f` was cancelled,
/// [`Canceled`](crate::Canceled).
#[track_caller]
pub fn with_switch<T, F>(f: F) -> Promise<T>
where
    T: 'static,
    F: AsyncFnOnce(Switch) -> Result<T, Error> + 'static,
{
    let switch = Switch::create();
    let body = spawn({
        let switch = switch.clone();
        async move { f(switch).await }
    });
    let mut scope = Scope { switch, body };
    spawn(async move {
        let inner = scope.switch.0.clone();
        *inner.body.borrow_mut() = Some(scope.body.canceller());
        if inner.state.get() == State::Failed {
            scope.body.cancel(); // a child failed while the body began
        }
        let outcome = (&mut scope.body).await;
        drop(inner.body.take());
        if let Err(error) = &outcome {
            inner.note(error);
        }
        inner.end().await?;
        inner.outcome().and(outcome)
    })
}

/// A scope that is running. If it is dropped half way, it ends nevertheless.
struct Scope<T: 'static> {
    switch: Switch,
    body: Promise<T>,
}

impl<T: 'static> Drop for Scope<T> {
    fn drop(&mut self) {
        task::abort(&self.body);
        drop(self.switch.0.end());
    }
}

impl Clone for Switch {
    fn clone(&self) -> Switch {
        Switch(self.0.clone())
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("on", &self.is_on())
            .field("children", &self.0.children.len())
            .field("hooks", &self.0.hooks.borrow().len())
            .finish()
    }
}
