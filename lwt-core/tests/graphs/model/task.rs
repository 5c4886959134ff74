//! Tasks, `pause`, and the run queue.

use std::cell::{Cell as Var, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use lwt_core::Error;

use super::level::{Key, STORED, level, note_seen};
use super::{Callback, How, Node, Outcome, Promise, Resolver, State, Walk, cancel_all, outcome, resolve};

thread_local! {
    static READY: RefCell<VecDeque<Rc<Task>>> = const { RefCell::new(VecDeque::new()) };
    static PAUSED: RefCell<Vec<Resolver<()>>> = const { RefCell::new(Vec::new()) };
    static CURRENT: RefCell<Vec<Rc<Task>>> = const { RefCell::new(Vec::new()) };
}

type Finish = Box<dyn FnOnce()>;

pub(crate) struct Task {
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

    pub(super) fn visit(&self, walk: &mut Walk) {
        if self.has_ended() {
            return;
        }
        let waits = self.waits.borrow();
        // A promise that is resolved is as good as a wake, also if its callbacks have not run yet.
        let woken = waits.iter().any(|wait| wait.was_resolved(walk));
        if self.running.get() || self.queued.get() || woken {
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
            let polled =
                Key.with_value(self.stored, || future.as_mut().poll(&mut Context::from_waker(Waker::noop())));
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

pub(crate) fn spawn<T: Clone + 'static>(future: impl Future<Output = Outcome<T>> + 'static) -> Promise<T> {
    let made = Promise::make(State::Pending, How::Ignore);
    let target = made.0.clone();
    let body = async move {
        let mut future = Box::pin(future);
        let outcome = std::future::poll_fn(move |cx| {
            let stored = STORED.get();
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))).unwrap_or_else(|payload| {
                STORED.set(stored);
                Poll::Ready(Err(Error::from_panic(payload)))
            })
        })
        .await;
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
        self.push(Callback {
            wanted: Box::new(move || asked.turn.get() == turn),
            run: Box::new(move |_| {
                if task.turn.get() == turn {
                    task.queue();
                }
            }),
            wakes: true,
        });
        Poll::Pending
    }
}

/// Lets the other tasks go first, once.
pub(crate) async fn yield_now() -> Outcome<()> {
    let mut yielded = false;
    std::future::poll_fn(move |_| {
        let task = current();
        if task.noted.replace(false) {
            return Poll::Ready(Err(Error::canceled()));
        }
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(Ok(()));
        }
        task.queue();
        Poll::Pending
    })
    .await
}

pub(crate) fn run_ready(budget: usize) -> usize {
    let mut polled = 0;
    while polled < budget
        && let Some(task) = READY.with_borrow_mut(VecDeque::pop_front)
    {
        task.poll();
        polled += 1;
    }
    polled
}

pub(crate) fn pause() -> Promise<()> {
    let (promise, resolver) = super::task();
    PAUSED.with_borrow_mut(|paused| paused.push(resolver));
    promise
}

pub(crate) fn wakeup_paused() {
    for resolver in PAUSED.take() {
        resolver.wakeup_result(Ok(()));
    }
}

/// Forgets all tasks and pauses.
pub(super) fn reset() {
    PAUSED.take();
    READY.take();
}
