//! A deliberately plain model of promises: everything is cloned, nothing is freed early, nothing is fast.
//!
//! It has the names of the real API, so that one interpreter (`play.rs`) plays a script on both. What it says is the
//! specification: callbacks in order of attachment, cascades depth first, cancel callbacks before ordinary ones, the
//! outer promise's callbacks before the inner's, marks before callbacks in a cancel, losers before the winner.
//!
//! It knows nothing of the limit on nested levels; scripts are too short to reach it. Of liveness it knows only what can be
//! observed: a combinator or copy that nobody wants any more does nothing.

use std::cell::{Cell as Var, RefCell};
use std::rc::Rc;

use lwt_core::Error;

pub(crate) use combine::{DRAWN, all, both, choose, join, nchoose, nchoose_split, npick, pick};
pub(crate) use level::{Key, REJECTED, SEEN, Tagged};
use level::{captured, caught, level, level_or_later, note, note_seen, swallowed};
pub(crate) use task::{pause, run_ready, spawn, wakeup_paused, yield_now};

mod combine;
mod level;
mod task;

type Outcome<T> = Result<T, Error>;

/// What a cancel does with a pending promise.
#[derive(Clone)]
enum How {
    Ignore,
    Reject,
    RejectAnd(Node),
    Pass(Vec<Node>),
    Task(Rc<task::Task>),
}

enum State<T> {
    Pending,
    Done(Outcome<T>),
    Proxy(Rc<Cell<T>>),
}

struct Callback<T> {
    wanted: Box<dyn Fn() -> bool>,
    run: Box<dyn FnOnce(Outcome<T>)>,
    /// All it does is to queue a task.
    wakes: bool,
}

struct Cell<T> {
    state: RefCell<State<T>>,
    how: RefCell<How>,
    handles: Var<usize>,
    asking: Var<bool>,
    /// It has lost a race: nobody need hear of its rejection.
    lost: Var<bool>,
    callbacks: RefCell<Vec<Callback<T>>>,
    on_cancel: RefCell<Vec<Box<dyn FnOnce()>>>,
}

/// A cell without its type, as a cancel sees it.
type Node = Rc<dyn Cancelable>;

trait Cancelable {
    /// Adds the leaves behind this cell: each closure marks one and gives back what runs its callbacks.
    fn visit(&self, walk: &mut Walk);

    /// Whether it is resolved, but not by this very walk.
    fn was_resolved(&self, walk: &Walk) -> bool;
}

#[derive(Default)]
struct Walk {
    visited: Vec<*const ()>,
    leaves: Vec<Box<dyn FnOnce()>>,
    noted: bool,
}

impl Walk {
    fn taken(&self) -> usize {
        self.leaves.len() + usize::from(self.noted)
    }
}

pub(crate) struct Promise<T: Clone + 'static>(Rc<Cell<T>>);

impl<T: Clone + 'static> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise::from_cell(root(&self.0))
    }
}

impl<T: Clone + 'static> Drop for Promise<T> {
    fn drop(&mut self) {
        let cell = root(&self.0);
        cell.handles.set(cell.handles.get() - 1);
    }
}

fn root<T>(cell: &Rc<Cell<T>>) -> Rc<Cell<T>> {
    match &*cell.state.borrow() {
        State::Proxy(next) => root(next),
        _ => cell.clone(),
    }
}

fn outcome<T: Clone>(cell: &Rc<Cell<T>>) -> Option<Outcome<T>> {
    match &*root(cell).state.borrow() {
        State::Done(outcome) => Some(outcome.clone()),
        _ => None,
    }
}

/// Whether the cell is pending, and its outcome will be seen by anybody.
fn wanted<T>(cell: &Rc<Cell<T>>) -> bool {
    let cell = root(cell);
    if !matches!(*cell.state.borrow(), State::Pending) {
        return false;
    }
    // A cycle of copies keeps itself.
    if cell.handles.get() > 0 || cell.asking.replace(true) {
        return true;
    }
    let wanted = cell.callbacks.borrow().iter().any(|callback| (callback.wanted)());
    cell.asking.set(false);
    wanted
}

/// Changes the state, and gives back what runs the callbacks; nothing if it is resolved already.
fn mark<T: Clone + 'static>(cell: &Rc<Cell<T>>, outcome: Outcome<T>) -> Option<impl FnOnce() + 'static> {
    let cell = root(cell);
    if !matches!(*cell.state.borrow(), State::Pending) {
        return None;
    }
    let canceled = matches!(&outcome, Err(error) if error.is_canceled());
    note(&REJECTED, &outcome);
    if cell.lost.get() {
        note_seen(&outcome);
    }
    *cell.state.borrow_mut() = State::Done(outcome.clone());
    *cell.how.borrow_mut() = How::Ignore;
    Some(move || {
        let on_cancel = cell.on_cancel.take();
        let callbacks = cell.callbacks.take();
        if canceled {
            on_cancel.into_iter().for_each(|f| f());
        }
        for callback in callbacks {
            if (callback.wanted)() {
                (callback.run)(outcome.clone());
            }
        }
    })
}

fn resolve<T: Clone + 'static>(cell: &Rc<Cell<T>>, outcome: Outcome<T>, later: bool) {
    let later = later && !wakes_a_task_only(cell);
    if let Some(run) = mark(cell, outcome) {
        level_or_later(later, run);
    }
}

/// What only queues a task need not wait for the outermost level: it runs nobody's code.
fn wakes_a_task_only<T>(cell: &Rc<Cell<T>>) -> bool {
    let cell = root(cell);
    let callbacks = cell.callbacks.borrow();
    let mut wanted = callbacks.iter().filter(|callback| (callback.wanted)());
    cell.on_cancel.borrow().is_empty()
        && wanted.next().is_some_and(|callback| callback.wakes)
        && wanted.next().is_none()
}

/// Makes `outer` what the promise is that its callback returned.
fn settle<T: Clone + 'static>(outer: &Rc<Cell<T>>, inner: Promise<T>) {
    if let Some(outcome) = outcome(&inner.0) {
        drop(inner);
        return resolve(outer, outcome, false);
    }
    let (outer, cell) = (root(outer), root(&inner.0));
    drop(inner);
    if Rc::ptr_eq(&outer, &cell) {
        // Nothing is left that could resolve it.
        return resolve(&outer, Err(Error::from(lwt_core::Abandoned)), false);
    }
    *outer.how.borrow_mut() = cell.how.replace(How::Ignore);
    outer.lost.set(outer.lost.get() || cell.lost.get());
    outer.handles.set(outer.handles.get() + cell.handles.take());
    outer.callbacks.borrow_mut().extend(cell.callbacks.take());
    outer.on_cancel.borrow_mut().extend(cell.on_cancel.take());
    *cell.state.borrow_mut() = State::Proxy(outer);
}

impl<T: Clone + 'static> Cancelable for Rc<Cell<T>> {
    fn visit(&self, walk: &mut Walk) {
        let cell = root(self);
        let address = Rc::as_ptr(&cell).cast::<()>();
        if !matches!(*cell.state.borrow(), State::Pending) || walk.visited.contains(&address) {
            return;
        }
        walk.visited.push(address);
        let how = cell.how.borrow().clone();
        let reject = |walk: &mut Walk| {
            if let Some(run) = mark(&cell, Err(Error::canceled())) {
                walk.leaves.push(Box::new(run));
            }
        };
        match how {
            How::Ignore => {}
            How::Reject => reject(walk),
            How::RejectAnd(original) => {
                reject(walk);
                original.visit(walk);
            }
            How::Pass(sources) => sources.iter().for_each(|source| source.visit(walk)),
            How::Task(task) => task.visit(walk),
        }
    }

    fn was_resolved(&self, walk: &Walk) -> bool {
        let cell = root(self);
        outcome(&cell).is_some() && !walk.visited.contains(&Rc::as_ptr(&cell).cast())
    }
}

/// Whether anything took the cancel.
fn cancel_all(nodes: &[Node]) -> bool {
    let mut walk = Walk::default();
    nodes.iter().for_each(|node| node.visit(&mut walk));
    let taken = walk.taken() > 0;
    if !walk.leaves.is_empty() {
        level(|| walk.leaves.into_iter().for_each(level));
    }
    taken
}

impl<T: Clone + 'static> Promise<T> {
    fn make(state: State<T>, how: How) -> Promise<T> {
        Promise::from_cell(Rc::new(Cell {
            state: RefCell::new(state),
            how: RefCell::new(how),
            handles: Var::new(0),
            asking: Var::new(false),
            lost: Var::new(false),
            callbacks: RefCell::default(),
            on_cancel: RefCell::default(),
        }))
    }

    fn from_cell(cell: Rc<Cell<T>>) -> Promise<T> {
        cell.handles.set(cell.handles.get() + 1);
        Promise(cell)
    }

    pub(crate) fn ready(value: T) -> Promise<T> {
        Promise::make(State::Done(Ok(value)), How::Ignore)
    }

    pub(crate) fn fail(error: impl Into<Error>) -> Promise<T> {
        Promise::make(State::Done(Err(error.into())), How::Ignore)
    }

    pub(crate) fn is_pending(&self) -> bool {
        outcome(&self.0).is_none()
    }

    pub(crate) fn peek(&self) -> Option<Outcome<T>> {
        outcome(&self.0)
    }

    fn node(&self) -> Node {
        Rc::new(root(&self.0))
    }

    /// A user's callback: always wanted.
    fn watch(&self, run: impl FnOnce(Outcome<T>) + 'static) {
        self.watch_while(|| true, run);
    }

    fn watch_while(&self, wanted: impl Fn() -> bool + 'static, run: impl FnOnce(Outcome<T>) + 'static) {
        self.push(Callback { wanted: Box::new(wanted), run: Box::new(run), wakes: false });
    }

    fn push(&self, callback: Callback<T>) {
        root(&self.0).callbacks.borrow_mut().push(callback);
    }

    fn attach<U: Clone + 'static>(self, f: impl FnOnce(Outcome<T>) -> Promise<U> + 'static) -> Promise<U> {
        if let Some(outcome) = outcome(&self.0) {
            return caught(|| f(outcome));
        }
        let made = Promise::make(State::Pending, How::Pass(vec![self.node()]));
        let target = made.0.clone();
        let f = captured(f);
        self.watch(move |outcome| {
            *target.how.borrow_mut() = How::Ignore;
            let inner = caught(|| f(outcome));
            settle(&target, inner);
        });
        made
    }

    pub(crate) fn bind<U: Clone + 'static>(self, f: impl FnOnce(T) -> Promise<U> + 'static) -> Promise<U> {
        self.attach(|outcome| outcome.map_or_else(Promise::fail, f))
    }

    pub(crate) fn map<U: Clone + 'static>(self, f: impl FnOnce(T) -> U + 'static) -> Promise<U> {
        self.bind(|value| Promise::ready(f(value)))
    }

    pub(crate) fn catch(self, f: impl FnOnce(Error) -> Promise<T> + 'static) -> Promise<T> {
        self.try_bind(Promise::ready, f)
    }

    pub(crate) fn try_bind<U: Clone + 'static>(
        self,
        ok: impl FnOnce(T) -> Promise<U> + 'static,
        err: impl FnOnce(Error) -> Promise<U> + 'static,
    ) -> Promise<U> {
        self.attach(|outcome| {
            note_seen(&outcome);
            outcome.map_or_else(err, ok)
        })
    }

    pub(crate) fn finalize(self, cleanup: impl FnOnce() -> Promise<()> + 'static) -> Promise<T> {
        self.attach(|outcome| {
            note_seen(&outcome); // a cleanup that fails absorbs it
            caught(cleanup).bind(move |()| outcome.map_or_else(Promise::fail, Promise::ready))
        })
    }

    pub(crate) fn on_any(&self, f: impl FnOnce(Result<&T, &Error>) + 'static) {
        self.observe(|outcome| {
            note_seen(&outcome.map(drop).map_err(Error::clone));
            f(outcome);
        });
    }

    fn observe(&self, f: impl FnOnce(Result<&T, &Error>) + 'static) {
        if let Some(outcome) = outcome(&self.0) {
            return swallowed(|| f(outcome.as_ref()));
        }
        let f = captured(move |outcome: Outcome<T>| f(outcome.as_ref()));
        self.watch(|outcome| swallowed(|| f(outcome)));
    }

    pub(crate) fn on_success(&self, f: impl FnOnce(&T) + 'static) {
        self.observe(|outcome| _ = outcome.map(f));
    }

    pub(crate) fn on_failure(&self, f: impl FnOnce(&Error) + 'static) {
        self.on_any(|outcome| _ = outcome.map_err(f));
    }

    pub(crate) fn on_termination(&self, f: impl FnOnce() + 'static) {
        self.on_any(|_| f());
    }

    pub(crate) fn on_cancel(&self, f: impl FnOnce() + 'static) {
        match outcome(&self.0) {
            Some(Err(error)) if error.is_canceled() => swallowed(f),
            Some(_) => {}
            None => {
                let f = captured(move |()| f());
                root(&self.0).on_cancel.borrow_mut().push(Box::new(move || swallowed(|| f(()))));
            }
        }
    }

    pub(crate) fn cancel(&self) {
        cancel_all(&[self.node()]);
    }

    fn copy(self, how: How) -> Promise<T> {
        if !self.is_pending() {
            return self;
        }
        let made = Promise::make(State::Pending, how);
        let (target, asked) = (made.0.clone(), made.0.clone());
        self.watch_while(move || wanted(&asked), move |outcome| resolve(&target, outcome, false));
        made
    }

    pub(crate) fn protected(self) -> Promise<T> {
        self.copy(How::Reject)
    }

    pub(crate) fn no_cancel(self) -> Promise<T> {
        self.copy(How::Ignore)
    }

    pub(crate) fn wrap_in_cancelable(self) -> Promise<T> {
        let how = How::RejectAnd(self.node());
        self.copy(how)
    }
}

pub(crate) struct Resolver<T: Clone + 'static>(Option<Rc<Cell<T>>>);

impl<T: Clone + 'static> Drop for Resolver<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            resolve(&cell, Err(Error::from(lwt_core::Abandoned)), true);
        }
    }
}

impl<T: Clone + 'static> Resolver<T> {
    fn end(mut self, outcome: Outcome<T>, later: bool) {
        if let Some(cell) = self.0.take() {
            resolve(&cell, outcome, later);
        }
    }

    pub(crate) fn wakeup_result(self, outcome: Outcome<T>) {
        self.end(outcome, false);
    }

    pub(crate) fn wakeup_later_result(self, outcome: Outcome<T>) {
        self.end(outcome, true);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(wanted)
    }
}

fn pending<T: Clone + 'static>(how: How) -> (Promise<T>, Resolver<T>) {
    let promise = Promise::make(State::Pending, how);
    let resolver = Resolver(Some(promise.0.clone()));
    (promise, resolver)
}

pub(crate) fn wait<T: Clone + 'static>() -> (Promise<T>, Resolver<T>) {
    pending(How::Ignore)
}

pub(crate) fn task<T: Clone + 'static>() -> (Promise<T>, Resolver<T>) {
    pending(How::Reject)
}

/// Forgets everything: the next script starts anew.
pub(crate) fn reset() {
    task::reset();
    level::reset();
}
