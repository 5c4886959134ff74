//! The graph, and the random things that are done to it.
//!
//! No function or callback here returns something while a value is still to be dropped: if that drop
//! panics, the compiler forgets what is returned.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use lwt_core::{
    Canceller, Error, Key, Promise, Resolver, all, both, choose, iterate, join, nchoose, nchoose_split,
    npick, pause, pick, scheduler, spawn, task, wait,
};

use crate::common::{Rng, at_level};
use crate::foreign;
use crate::value::{self, Fuse, Value, complain};

/// How deep callbacks do something in callbacks.
const DEPTH: u32 = 5;
/// How many things are done to one graph.
const BUDGET: u32 = 400;
/// More levels than run in place.
const DEEP: u32 = 45;

pub(crate) struct World<V: Value> {
    promises: RefCell<Vec<Promise<V>>>,
    resolvers: RefCell<Vec<Resolver<V>>>,
    cancellers: RefCell<Vec<Canceller>>,
    wakers: RefCell<Vec<Waker>>,
    rng: RefCell<Rng>,
    /// What is done in this graph: each has its own bias.
    deeds: Vec<usize>,
    depth: Cell<u32>,
    done: Cell<u32>,
    /// Something was given up unresolved, so promises may be abandoned.
    lost: Cell<bool>,
    key: Key<Rc<Fuse>>,
}

/// Takes one of the list, as `at` says.
fn take_one<E>(list: &RefCell<Vec<E>>, rng: &RefCell<Rng>) -> Option<E> {
    let mut list = list.borrow_mut();
    if list.is_empty() {
        return None;
    }
    let place = rng.borrow_mut().below(list.len());
    Some(list.swap_remove(place))
}

/// Calls `f`; a panic is its own affair.
fn quietly(f: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(f)));
}

impl<V: Value> World<V> {
    pub(crate) fn begin(seed: u64) -> Rc<World<V>> {
        let mut rng = Rng(seed);
        let world = Rc::new(World {
            deeds: (0..8).map(|_| rng.below(7)).collect(),
            promises: RefCell::default(),
            resolvers: RefCell::default(),
            cancellers: RefCell::default(),
            wakers: RefCell::default(),
            rng: RefCell::new(rng),
            depth: Cell::new(0),
            done: Cell::new(0),
            lost: Cell::new(false),
            key: Key::new(),
        });
        let weak = Rc::downgrade(&world);
        value::set_act(Some(Rc::new(move || Self::inside(&weak))));
        world
    }

    /// Lets go of everything, in the `order` given. Says what hangs.
    pub(crate) fn end(&self, order: u64) -> Option<String> {
        if order != 0 {
            quietly(|| self.drop_promises());
        }
        self.lost.set(true);
        for _ in 0..8 {
            self.drop_resolvers();
        }
        value::calm_down();
        self.done.set(BUDGET);
        while !self.resolvers.borrow().is_empty() || !self.wakers.borrow().is_empty() {
            self.drop_resolvers();
        }
        let pending =
            self.promises.borrow().iter().filter(|promise| promise.is_pending()).count() + foreign::end();
        value::set_act(None);
        self.drop_promises();
        let cancellers = self.cancellers.take();
        drop(cancellers);
        self.rest();
        (pending > 0).then(|| format!("{pending} promises hang"))
    }

    /// Drops all resolvers, and wakes what waits to be woken.
    fn drop_resolvers(&self) {
        let (resolvers, wakers) = (self.resolvers.take(), self.wakers.take());
        quietly(|| drop(resolvers));
        wakers.into_iter().for_each(|waker| quietly(|| waker.wake()));
        self.rest();
    }

    fn drop_promises(&self) {
        let promises = self.promises.take();
        drop(promises);
    }

    /// Runs what is ready and paused.
    fn rest(&self) {
        for _ in 0..100 {
            scheduler::wakeup_paused();
            if scheduler::run_ready(1000) == 0 && !scheduler::has_ready() && !scheduler::has_paused() {
                return;
            }
        }
        complain("the tasks never come to rest");
    }

    fn below(&self, bound: usize) -> usize {
        self.rng.borrow_mut().below(bound)
    }

    fn add(&self, promise: Promise<V>) {
        self.promises.borrow_mut().push(promise);
    }

    fn made(&self) -> Promise<V> {
        let (promise, resolver) = if self.below(2) == 0 { task() } else { wait() };
        self.resolvers.borrow_mut().push(resolver);
        promise
    }

    /// A promise of the graph, or another handle on it, or a fresh one.
    fn one(&self) -> Promise<V> {
        if self.below(8) == 0 {
            return self.made();
        }
        let Some(promise) = take_one(&self.promises, &self.rng) else { return self.made() };
        if self.below(2) == 0 {
            // Not while the list is borrowed: a clone function may do anything.
            quietly(|| V::share(&promise).into_iter().for_each(|shared| self.add(shared)));
        }
        promise
    }

    fn several(&self) -> Vec<Promise<V>> {
        (0..1 + self.below(4)).map(|_| self.one()).collect()
    }

    /// What a callback does.
    fn inner(self: &Rc<Self>) -> impl FnOnce() + 'static {
        let (weak, fuse) = (Rc::downgrade(self), Fuse);
        move || {
            let _fuse = fuse;
            Self::inside(&weak);
        }
    }

    fn inside(weak: &Weak<Self>) {
        let Some(world) = weak.upgrade() else { return };
        for _ in 0..world.below(4) {
            world.step();
        }
        if world.below(40) == 0 && !std::thread::panicking() {
            panic!("a callback");
        }
    }

    /// A step from outside.
    pub(crate) fn act(self: &Rc<Self>) {
        quietly(|| self.step());
    }

    fn step(self: &Rc<Self>) {
        if self.depth.get() == DEPTH || self.done.get() == BUDGET {
            return;
        }
        struct Back<'a>(&'a Cell<u32>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.depth.set(self.depth.get() + 1);
        let _back = Back(&self.depth);
        self.done.set(self.done.get() + 1);
        match self.deeds[self.below(self.deeds.len())] {
            0 => self.watch(),
            1 => self.attach(),
            2 => self.combine(),
            3 => self.run(),
            4 => self.resolve(),
            5 => self.cancel(),
            _ => self.odd(),
        }
    }

    /// A look that does something: the value must be there to its end.
    fn watch(self: &Rc<Self>) {
        let (promise, inner) = (self.one(), self.inner());
        match self.below(5) {
            0..=2 => promise.on_success(move |value| {
                value.look();
                inner();
                value.look();
            }),
            3 => {
                let lost = Rc::downgrade(self);
                promise.on_any(move |outcome| {
                    let is_lost = lost.upgrade().is_none_or(|world| world.lost.get());
                    if !is_lost && outcome.is_err_and(Error::is_abandoned) {
                        complain("a promise was abandoned that had a resolver");
                    }
                    inner();
                    if let Ok(value) = outcome {
                        value.look();
                    }
                });
            }
            _ => promise.on_cancel(inner),
        }
        self.add(promise);
    }

    fn attach(self: &Rc<Self>) {
        let (promise, inner) = (self.one(), self.inner());
        let made = match self.below(7) {
            0 => promise.map(move |value| {
                inner();
                value.look();
                value
            }),
            1 => promise.catch(move |_| {
                inner();
                Promise::ready(V::new())
            }),
            2 => promise.finalize(move || {
                inner();
                Promise::ready(())
            }),
            3 => {
                let fuse = Rc::new(Fuse);
                self.key.with_value(Some(fuse), || {
                    promise.map(move |value| {
                        inner();
                        value
                    })
                })
            }
            _ => {
                let (other, how) = (self.one(), self.below(7));
                promise.bind(move |value| {
                    inner();
                    value.look();
                    drop(value);
                    match how {
                        0 => choose([other]),
                        1 => all([other]).map(only),
                        2 => other.protected(),
                        3 => other.map(|value| value),
                        4 => spawn(other),
                        _ => other,
                    }
                })
            }
        };
        self.add(made);
    }

    fn combine(&self) {
        let members = self.several();
        let many = members.len();
        let complete = move |values: Vec<V>| {
            if values.len() != many {
                complain("a value is missing");
            }
            only(values)
        };
        let made = match self.below(10) {
            0 => all(members).map(complete),
            1 => both(self.one(), self.one()).map(|(one, other)| only(vec![one, other])),
            2 => lwt_core::join!(self.one(), self.one(), self.one()).map(|(a, b, c)| only(vec![a, b, c])),
            3 => join(members.into_iter().map(|member| member.map(drop))).map(|()| V::new()),
            4 => choose(members),
            5 => pick(members),
            6 => nchoose(members).map(only),
            7 => npick(members).map(only),
            8 => nchoose_split(members).bind(|(values, mut rest)| {
                let (value, next) = (only(values), rest.pop());
                drop(rest);
                let Some(pending) = next else { return Promise::ready(value) };
                drop(value);
                pending
            }),
            _ => match self.below(3) {
                0 => self.one().protected(),
                1 => self.one().no_cancel(),
                _ => self.one().wrap_in_cancelable(),
            },
        };
        self.add(made);
    }

    /// Tasks, loops, and polls by others.
    fn run(self: &Rc<Self>) {
        let (promise, inner, weak) = (self.one(), self.inner(), Rc::downgrade(self));
        let made = match self.below(7) {
            0 => spawn(async move {
                let value = promise.await;
                inner();
                task::yield_now().await?;
                value
            }),
            1 => {
                let (mut one, mut other) = (promise, self.one());
                spawn(async move {
                    let first = poll_fn(|cx| match Pin::new(&mut one).poll(cx) {
                        Poll::Ready(outcome) => Poll::Ready((outcome, true)),
                        Poll::Pending => Pin::new(&mut other).poll(cx).map(|outcome| (outcome, false)),
                    });
                    let (outcome, is_one) = first.await;
                    inner();
                    // The loser is still being awaited.
                    if let Some(world) = weak.upgrade() {
                        world.add(if is_one { other } else { one });
                    }
                    pause().await?;
                    outcome
                })
            }
            2 => {
                let (mut first, mut inner) = (Some(promise), Some(inner));
                iterate((), move |()| match first.take() {
                    Some(promise) => promise.map(ControlFlow::Break),
                    None => Promise::ready(ControlFlow::Break(V::new())),
                })
                .map(move |value| {
                    inner.take().into_iter().for_each(|inner| inner());
                    value
                })
            }
            3 => pause().bind(move |()| {
                inner();
                promise
            }),
            4 => {
                let mut promise = promise;
                match Pin::new(&mut promise).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => Promise::from(outcome),
                    Poll::Pending => promise,
                }
            }
            5 => {
                let mut is_woken = false;
                spawn(async move {
                    poll_fn(move |cx| {
                        if std::mem::replace(&mut is_woken, true) {
                            return Poll::Ready(());
                        }
                        weak.upgrade()
                            .into_iter()
                            .for_each(|world| world.wakers.borrow_mut().push(cx.waker().clone()));
                        Poll::Pending
                    })
                    .await;
                    inner();
                    promise.await
                })
            }
            _ => {
                return foreign::drive(promise, move |outcome| {
                    inner();
                    if let Some(world) = weak.upgrade() {
                        world.add(Promise::from(outcome));
                    }
                });
            }
        };
        self.add(made);
    }

    fn resolve(self: &Rc<Self>) {
        let Some(resolver) = take_one(&self.resolvers, &self.rng) else { return };
        match self.below(10) {
            0..=2 => resolver.wakeup(V::new()),
            3 | 4 => resolver.wakeup_later(V::new()),
            5 => at_level(DEEP, move || resolver.wakeup(V::new())),
            6 => resolver.wakeup_err(Error::msg("no")),
            7 => drop(resolver.try_wakeup(V::new())),
            8 => {
                resolver.on_unwanted(self.inner());
                self.resolvers.borrow_mut().push(resolver);
            }
            _ => {
                self.lost.set(true);
                drop(resolver);
            }
        }
    }

    fn cancel(&self) {
        let promise = self.one();
        match self.below(6) {
            0 | 1 => promise.cancel(),
            2 => _ = task::abort(&promise),
            3 => {
                let canceller = promise.canceller();
                self.cancellers.borrow_mut().push(canceller);
            }
            4 => {
                if let Some(canceller) = take_one(&self.cancellers, &self.rng) {
                    canceller.cancel();
                }
            }
            _ => return drop(promise),
        }
        self.add(promise);
    }

    fn odd(self: &Rc<Self>) {
        match self.below(20) {
            0..=5 => drop(self.one()),
            6 | 7 => {
                let waker = take_one(&self.wakers, &self.rng);
                waker.into_iter().for_each(Waker::wake);
            }
            8..=13 => _ = scheduler::run_ready(3),
            14..=16 => {
                let weak = Rc::downgrade(self);
                at_level(DEEP, move || Self::inside(&weak));
            }
            17 => scheduler::wakeup_paused(),
            18 => {
                self.lost.set(true);
                scheduler::abandon_wakeups();
            }
            _ => {
                self.lost.set(true);
                scheduler::end_thread();
            }
        }
    }
}

/// One of the values, of which there is at least one.
fn only<V: Value>(mut values: Vec<V>) -> V {
    let one = values.pop();
    drop(values);
    one.unwrap_or_else(|| {
        complain("there is no value");
        V::new()
    })
}
