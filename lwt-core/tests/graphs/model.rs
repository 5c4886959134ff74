//! A deliberately plain model of promises: everything is cloned, nothing is freed early, nothing is fast.
//!
//! It has the names of the real API, so that one interpreter (`play.rs`) plays a script on both. What it says is the
//! specification: callbacks in order of attachment, cascades depth first, cancel callbacks before ordinary ones, the
//! outer promise's callbacks before the inner's, marks before callbacks in a cancel, losers before the winner.
//!
//! It knows nothing of the limit on nested levels; scripts are too short to reach it. Of liveness it knows only what can be
//! observed: a combinator or copy that nobody wants any more does nothing.

use std::cell::{Cell as Var, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use lwt_core::Error;

type Outcome<T> = Result<T, Error>;

/// What a cancel does with a pending promise.
#[derive(Clone)]
enum How {
    Ignore,
    Reject,
    RejectAnd(Node),
    Pass(Vec<Node>),
    Task(Rc<Task>),
}

enum State<T> {
    Pending,
    Done(Outcome<T>),
    Proxy(Rc<Cell<T>>),
}

struct Callback<T> {
    wanted: Box<dyn Fn() -> bool>,
    run: Box<dyn FnOnce(Outcome<T>)>,
}

struct Cell<T> {
    state: RefCell<State<T>>,
    how: RefCell<How>,
    handles: Var<usize>,
    asking: Var<bool>,
    callbacks: RefCell<Vec<Callback<T>>>,
    on_cancel: RefCell<Vec<Box<dyn FnOnce()>>>,
}

/// A cell without its type, as a cancel sees it.
type Node = Rc<dyn Cancelable>;

trait Cancelable {
    /// Adds the leaves behind this cell: each closure marks one and gives back what runs its callbacks.
    fn visit(&self, walk: &mut Walk);
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

// ---- levels and storage -------------------------------------------------------------------------------------------

thread_local! {
    static LEVEL: Var<usize> = const { Var::new(0) };
    static DEFERRED: RefCell<VecDeque<Box<dyn FnOnce()>>> = const { RefCell::new(VecDeque::new()) };
    static STORED: Var<Option<i64>> = const { Var::new(None) };
    static READY: RefCell<VecDeque<Rc<Task>>> = const { RefCell::new(VecDeque::new()) };
    static PAUSED: RefCell<Vec<Resolver<()>>> = const { RefCell::new(Vec::new()) };
    static CURRENT: RefCell<Vec<Rc<Task>>> = const { RefCell::new(Vec::new()) };
}

fn level(f: impl FnOnce()) {
    LEVEL.set(LEVEL.get() + 1);
    f();
    if LEVEL.get() == 1 {
        while let Some(next) = DEFERRED.with_borrow_mut(VecDeque::pop_front) {
            next();
        }
    }
    LEVEL.set(LEVEL.get() - 1);
}

/// Runs `f` now, or, if a cascade is running and `later` is said, when that has ended.
fn level_or_later(later: bool, f: impl FnOnce() + 'static) {
    if later && LEVEL.get() > 0 {
        DEFERRED.with_borrow_mut(|queue| queue.push_back(Box::new(f)));
    } else {
        level(f);
    }
}

/// The one key that scripts use.
#[derive(Clone, Copy)]
pub struct Key;

impl Key {
    pub fn new() -> Key {
        Key
    }

    pub fn get(self) -> Option<i64> {
        STORED.get()
    }

    pub fn with_value<R>(self, value: Option<i64>, f: impl FnOnce() -> R) -> R {
        let before = STORED.replace(value);
        let result = f();
        STORED.set(before);
        result
    }
}

/// `f`, to be run later with what is stored now.
fn captured<A, R>(f: impl FnOnce(A) -> R) -> impl FnOnce(A) -> R {
    let stored = STORED.get();
    move |argument| Key.with_value(stored, || f(argument))
}

fn caught<T: Clone + 'static>(f: impl FnOnce() -> Promise<T>) -> Promise<T> {
    let stored = STORED.get();
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        STORED.set(stored);
        Promise::fail(Error::from_panic(payload))
    })
}

fn swallowed(f: impl FnOnce()) {
    let stored = STORED.get();
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        STORED.set(stored);
    }
}

// ---- promises -----------------------------------------------------------------------------------------------------

pub struct Promise<T: Clone + 'static>(Rc<Cell<T>>);

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

/// Whether the cell's outcome will be seen by anybody.
fn wanted<T>(cell: &Rc<Cell<T>>) -> bool {
    let cell = root(cell);
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
    if let Some(run) = mark(cell, outcome) {
        level_or_later(later, run);
    }
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
        return;
    }
    *outer.how.borrow_mut() = cell.how.replace(How::Ignore);
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
}

/// Whether anything took the cancel.
fn cancel_all(nodes: &[Node]) -> bool {
    let mut walk = Walk::default();
    nodes.iter().for_each(|node| node.visit(&mut walk));
    let taken = walk.taken() > 0;
    if !walk.leaves.is_empty() {
        level(|| walk.leaves.into_iter().for_each(|leaf| level(leaf)));
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
            callbacks: RefCell::default(),
            on_cancel: RefCell::default(),
        }))
    }

    fn from_cell(cell: Rc<Cell<T>>) -> Promise<T> {
        cell.handles.set(cell.handles.get() + 1);
        Promise(cell)
    }

    pub fn ready(value: T) -> Promise<T> {
        Promise::make(State::Done(Ok(value)), How::Ignore)
    }

    pub fn fail(error: impl Into<Error>) -> Promise<T> {
        Promise::make(State::Done(Err(error.into())), How::Ignore)
    }

    pub fn is_pending(&self) -> bool {
        outcome(&self.0).is_none()
    }

    pub fn peek(&self) -> Option<Outcome<T>> {
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
        let cell = root(&self.0);
        cell.callbacks.borrow_mut().push(Callback { wanted: Box::new(wanted), run: Box::new(run) });
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

    pub fn bind<U: Clone + 'static>(self, f: impl FnOnce(T) -> Promise<U> + 'static) -> Promise<U> {
        self.attach(|outcome| outcome.map_or_else(Promise::fail, f))
    }

    pub fn map<U: Clone + 'static>(self, f: impl FnOnce(T) -> U + 'static) -> Promise<U> {
        self.bind(|value| Promise::ready(f(value)))
    }

    pub fn catch(self, f: impl FnOnce(Error) -> Promise<T> + 'static) -> Promise<T> {
        self.try_bind(Promise::ready, f)
    }

    pub fn try_bind<U: Clone + 'static>(
        self,
        ok: impl FnOnce(T) -> Promise<U> + 'static,
        err: impl FnOnce(Error) -> Promise<U> + 'static,
    ) -> Promise<U> {
        self.attach(|outcome| {
            note_seen(&outcome);
            outcome.map_or_else(err, ok)
        })
    }

    pub fn finalize(self, cleanup: impl FnOnce() -> Promise<()> + 'static) -> Promise<T> {
        self.attach(|outcome| {
            note_seen(&outcome); // a cleanup that fails absorbs it
            caught(cleanup).bind(move |()| outcome.map_or_else(Promise::fail, Promise::ready))
        })
    }

    pub fn on_any(&self, f: impl FnOnce(Result<&T, &Error>) + 'static) {
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

    pub fn on_success(&self, f: impl FnOnce(&T) + 'static) {
        self.observe(|outcome| drop(outcome.map(f)));
    }

    pub fn on_failure(&self, f: impl FnOnce(&Error) + 'static) {
        self.on_any(|outcome| drop(outcome.map_err(f)));
    }

    pub fn on_termination(&self, f: impl FnOnce() + 'static) {
        self.on_any(|_| f());
    }

    pub fn on_cancel(&self, f: impl FnOnce() + 'static) {
        match outcome(&self.0) {
            Some(Err(error)) if error.is_canceled() => swallowed(f),
            Some(_) => {}
            None => {
                let f = captured(move |()| f());
                root(&self.0).on_cancel.borrow_mut().push(Box::new(move || swallowed(|| f(()))));
            }
        }
    }

    pub fn cancel(&self) {
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

    pub fn protected(self) -> Promise<T> {
        self.copy(How::Reject)
    }

    pub fn no_cancel(self) -> Promise<T> {
        self.copy(How::Ignore)
    }

    pub fn wrap_in_cancelable(self) -> Promise<T> {
        let how = How::RejectAnd(self.node());
        self.copy(how)
    }
}

pub struct Resolver<T: Clone + 'static>(Option<Rc<Cell<T>>>);

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

    pub fn wakeup_result(self, outcome: Outcome<T>) {
        self.end(outcome, false);
    }

    pub fn wakeup_later_result(self, outcome: Outcome<T>) {
        self.end(outcome, true);
    }

    pub fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|cell| outcome(cell).is_none() && wanted(cell))
    }
}

fn pending<T: Clone + 'static>(how: How) -> (Promise<T>, Resolver<T>) {
    let promise = Promise::make(State::Pending, how);
    let resolver = Resolver(Some(promise.0.clone()));
    (promise, resolver)
}

pub fn wait<T: Clone + 'static>() -> (Promise<T>, Resolver<T>) {
    pending(How::Ignore)
}

pub fn task<T: Clone + 'static>() -> (Promise<T>, Resolver<T>) {
    pending(How::Reject)
}

// ---- combinators ----------------------------------------------------------------------------------------------------

fn nodes<T: Clone + 'static>(members: &[Promise<T>]) -> Vec<Node> {
    members.iter().map(Promise::node).collect()
}

pub fn all<T: Clone + 'static>(members: Vec<Promise<T>>) -> Promise<Vec<T>> {
    let first_error: Rc<RefCell<Option<Error>>> = Rc::default();
    members.iter().filter_map(Promise::peek).for_each(|outcome| note_seen(&outcome));
    *first_error.borrow_mut() = members.iter().find_map(|member| member.peek()?.err());
    let finish = {
        let (cells, first_error): (Vec<_>, _) = (members.iter().map(|m| m.0.clone()).collect(), first_error.clone());
        move || match first_error.take() {
            Some(error) => Err(error),
            None => cells.iter().map(|cell| outcome(cell).expect("all are resolved")).collect(),
        }
    };
    let left = Rc::new(Var::new(members.iter().filter(|member| member.is_pending()).count()));
    if left.get() == 0 {
        return finish().map_or_else(Promise::fail, Promise::ready);
    }
    let made = Promise::make(State::Pending, How::Pass(nodes(&members)));
    let finish = Rc::new(finish);
    for member in members.iter().filter(|member| member.is_pending()) {
        let (target, asked) = (made.0.clone(), made.0.clone());
        let (first_error, left, finish) = (first_error.clone(), left.clone(), finish.clone());
        let counted = move |outcome: Outcome<T>| {
            note_seen(&outcome);
            if let Err(error) = outcome {
                first_error.borrow_mut().get_or_insert(error);
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                resolve(&target, finish(), false);
            }
        };
        member.watch_while(move || wanted(&asked), counted);
    }
    made
}

pub fn join(members: Vec<Promise<()>>) -> Promise<()> {
    if members.is_empty() {
        return Promise::ready(());
    }
    relabel(all(members), |_| ())
}

pub fn both<T: Clone + 'static>(a: Promise<T>, b: Promise<T>) -> Promise<(T, T)> {
    relabel(all(vec![a, b]), |values| (values[0].clone(), values[1].clone()))
}

/// The same promise with another type: a copy through which a cancel passes.
fn relabel<T: Clone + 'static, U: Clone + 'static>(p: Promise<T>, f: impl FnOnce(T) -> U + 'static) -> Promise<U> {
    if let Some(outcome) = p.peek() {
        return outcome.map_or_else(Promise::fail, |value| Promise::ready(f(value)));
    }
    let made = Promise::make(State::Pending, How::Pass(vec![p.node()]));
    let (target, asked) = (made.0.clone(), made.0.clone());
    p.watch_while(move || wanted(&asked), move |outcome| resolve(&target, outcome.map(f), false));
    made
}

/// The choose family. `collect` makes the result when `winner` (none: at the call) is resolved.
fn choose_by<T: Clone + 'static, U: Clone + 'static>(
    members: Vec<Promise<T>>,
    cancels: bool,
    collect: impl Fn(&[Rc<Cell<T>>], Option<usize>) -> Outcome<U> + 'static,
) -> Promise<U> {
    if members.is_empty() {
        return Promise::fail(Error::msg("empty list"));
    }
    let cells: Vec<_> = members.iter().map(|member| member.0.clone()).collect();
    let decide = move |winner| {
        cells.iter().filter_map(outcome).for_each(|outcome| note_seen(&outcome));
        let outcome = collect(&cells, winner);
        if cancels {
            cells.iter().for_each(|cell| _ = cancel_all(&[Rc::new(cell.clone()) as Node]));
        }
        outcome
    };
    if members.iter().any(|member| !member.is_pending()) {
        // The members are given up only now, as the losers are to be cancelled first.
        return decide(None).map_or_else(Promise::fail, Promise::ready);
    }
    let made = Promise::make(State::Pending, How::Pass(nodes(&members)));
    let decided = Rc::new(Var::new(false));
    let decide = Rc::new(decide);
    for (place, member) in members.iter().enumerate() {
        let (target, asked) = (made.0.clone(), made.0.clone());
        let (decide, decided, undecided) = (decide.clone(), decided.clone(), decided.clone());
        member.watch_while(
            move || !undecided.get() && wanted(&asked),
            move |_| {
                decided.set(true);
                resolve(&target, decide(Some(place)), false);
            },
        );
    }
    made
}

thread_local! {
    /// What the real `choose` has drawn, where more than one was fulfilled at the call.
    pub static DRAWN: Var<Option<i64>> = const { Var::new(None) };
}

fn the_one(cells: &[Rc<Cell<i64>>], winner: Option<usize>) -> Outcome<i64> {
    if let Some(place) = winner {
        return outcome(&cells[place]).expect("it has just been resolved");
    }
    let resolved: Vec<_> = cells.iter().filter_map(outcome).collect();
    if let Some(Err(error)) = resolved.iter().find(|outcome| outcome.is_err()) {
        return Err(error.clone());
    }
    match DRAWN.take() {
        Some(value) if resolved.iter().any(|outcome| outcome.as_ref().is_ok_and(|v| *v == value)) => Ok(value),
        drawn => panic!("the draw gave {drawn:?}, which is none of the fulfilled"),
    }
}

fn the_many(cells: &[Rc<Cell<i64>>], _: Option<usize>) -> Outcome<Vec<i64>> {
    cells.iter().filter_map(outcome).collect()
}

pub fn choose(members: Vec<Promise<i64>>) -> Promise<i64> {
    choose_by(members, false, the_one)
}

pub fn pick(members: Vec<Promise<i64>>) -> Promise<i64> {
    choose_by(members, true, the_one)
}

pub fn nchoose(members: Vec<Promise<i64>>) -> Promise<Vec<i64>> {
    choose_by(members, false, the_many)
}

pub fn npick(members: Vec<Promise<i64>>) -> Promise<Vec<i64>> {
    choose_by(members, true, the_many)
}

pub fn nchoose_split(members: Vec<Promise<i64>>) -> Promise<(Vec<i64>, Vec<()>)> {
    choose_by(members, false, |cells, winner| {
        let values = the_many(cells, winner)?;
        let pending = vec![(); cells.len() - values.len()];
        Ok((values, pending))
    })
}

// ---- tasks ------------------------------------------------------------------------------------------------------------

type Finish = Box<dyn FnOnce()>;

pub struct Task {
    future: RefCell<Option<Pin<Box<dyn Future<Output = Finish>>>>>,
    running: Var<bool>,
    queued: Var<bool>,
    /// Counts the polls, so that a wait that a poll has left behind wakes nobody.
    turn: Var<usize>,
    waits: RefCell<Vec<Node>>,
    noted: Var<bool>,
    stored: Option<i64>,
}

impl Task {
    fn has_ended(&self) -> bool {
        self.future.borrow().is_none() && !self.running.get()
    }

    fn queue(self: &Rc<Task>) {
        if !self.queued.replace(true) {
            READY.with_borrow_mut(|ready| ready.push_back(self.clone()));
        }
    }

    fn visit(&self, walk: &mut Walk) {
        if self.has_ended() {
            return;
        }
        // A promise that is resolved will wake the task, even if its callbacks have not run yet.
        let waits = self.waits.borrow();
        if self.running.get() || self.queued.get() {
            self.noted.set(true);
            walk.noted = true;
        } else {
            waits.iter().for_each(|wait| wait.visit(walk));
        }
    }

    fn poll(self: &Rc<Task>) {
        self.queued.set(false);
        let Some(mut future) = self.future.take() else { return };
        self.turn.set(self.turn.get() + 1);
        self.waits.take();
        level(|| {
            self.running.set(true);
            CURRENT.with_borrow_mut(|current| current.push(self.clone()));
            let polled = Key.with_value(self.stored, || future.as_mut().poll(&mut Context::from_waker(Waker::noop())));
            CURRENT.with_borrow_mut(|current| drop(current.pop()));
            self.running.set(false);
            match polled {
                Poll::Pending => drop(self.future.replace(Some(future))),
                Poll::Ready(finish) => {
                    drop(future);
                    finish();
                }
            }
        });
    }
}

fn current() -> Rc<Task> {
    CURRENT.with_borrow(|current| current.last().expect("inside a task").clone())
}

pub fn spawn<T: Clone + 'static>(future: impl Future<Output = Outcome<T>> + 'static) -> Promise<T> {
    let made = Promise::make(State::Pending, How::Ignore);
    let target = made.0.clone();
    let body = async move {
        let outcome = future.await;
        let finish: Finish = Box::new(move || resolve(&target, outcome, false));
        finish
    };
    let task = Rc::new(Task {
        future: RefCell::new(Some(Box::pin(body))),
        running: Var::new(false),
        queued: Var::new(false),
        turn: Var::new(0),
        waits: RefCell::default(),
        noted: Var::new(false),
        stored: STORED.get(),
    });
    *made.0.how.borrow_mut() = How::Task(task.clone());
    task.poll();
    made
}

impl<T: Clone + 'static> Future for Promise<T> {
    type Output = Outcome<T>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome<T>> {
        let task = current();
        if self.is_pending() && task.noted.get() && cancel_all(&[self.node()]) {
            task.noted.set(false);
        }
        if let Some(outcome) = outcome(&self.0) {
            note_seen(&outcome);
            return Poll::Ready(outcome);
        }
        task.waits.borrow_mut().push(self.node());
        let turn = task.turn.get();
        let asked = task.clone();
        self.watch_while(
            move || asked.turn.get() == turn,
            move |_| {
                if task.turn.get() == turn {
                    task.queue();
                }
            },
        );
        Poll::Pending
    }
}

/// Lets the other tasks go first, once.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(move |_| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        current().queue();
        Poll::Pending
    })
    .await;
}

pub fn run_ready(budget: usize) -> usize {
    let mut polled = 0;
    while polled < budget
        && let Some(task) = READY.with_borrow_mut(VecDeque::pop_front)
    {
        task.poll();
        polled += 1;
    }
    polled
}

pub fn pause() -> Promise<()> {
    let (promise, resolver) = task();
    PAUSED.with_borrow_mut(|paused| paused.push(resolver));
    promise
}

pub fn wakeup_paused() {
    for resolver in PAUSED.take() {
        resolver.wakeup_result(Ok(()));
    }
}

// ---- who has seen which error -------------------------------------------------------------------------------------------

/// An error that scripts make.
#[derive(Debug)]
pub struct Tagged(pub u32);

impl std::fmt::Display for Tagged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "e{}", self.0)
    }
}

impl std::error::Error for Tagged {}

thread_local! {
    /// The errors that rejected some promise, and those that user code or a combinator got hold of.
    pub static REJECTED: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
    pub static SEEN: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

fn note<T>(set: &'static std::thread::LocalKey<RefCell<BTreeSet<u32>>>, outcome: &Outcome<T>) {
    if let Err(error) = outcome
        && let Some(Tagged(id)) = error.downcast_ref()
    {
        set.with_borrow_mut(|set| set.insert(*id));
    }
}

fn note_seen<T>(outcome: &Outcome<T>) {
    note(&SEEN, outcome);
}

/// Forgets everything: the next script starts anew.
pub fn reset() {
    PAUSED.take();
    READY.take();
    DEFERRED.take();
    LEVEL.set(0);
    STORED.set(None);
    SEEN.take();
    REJECTED.take();
}
