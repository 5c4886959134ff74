//! The transformations of events by functions that answer with promises: `_s`, one call after the other, and
//! `_p`, all at once.
//!
//! What holds for all of them stands in the [module](super)'s rules.

use std::cell::RefCell;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;

use crate::func::Func;
use crate::{Promise, iterate};

use super::Event;
use super::atom::Flow;
use super::grave::let_go;
use super::promises::{parallel, serial};

/// The answer of `map`.
pub(super) fn some<U: 'static>(promise: Promise<U>) -> Promise<Option<Rc<U>>> {
    promise.map(|value| Some(Rc::new(value)))
}

/// The answer of `filter`.
pub(super) fn if_true<T: 'static>(promise: Promise<bool>, value: Rc<T>) -> Promise<Option<Rc<T>>> {
    promise.map(|wanted| wanted.then_some(value))
}

/// The answer of `fmap`.
pub(super) fn if_some<U: 'static>(promise: Promise<Option<U>>) -> Promise<Option<Rc<U>>> {
    promise.map(|value| value.map(Rc::new))
}

/// Folds a list, one promise after the other.
pub(super) fn fold_all<A, B, F>(all: Rc<Vec<Rc<B>>>, start: A, f: Func<F>) -> Promise<Option<Rc<A>>>
where
    A: 'static,
    B: 'static,
    F: FnMut(A, &B) -> Promise<A> + 'static,
{
    iterate((0, start), move |(at, sum)| match all.get(at) {
        Some(value) => f.call(|f| f(sum, value)).map(move |sum| Continue((at + 1, sum))),
        None => Promise::ready(Break(Some(Rc::new(sum)))),
    })
}

/// What occurs at the same time.
fn both<A: 'static, B: 'static>(a: &Event<A>, b: &Event<B>) -> Event<(Rc<A>, Rc<B>)> {
    let (a_too, b_too) = (a.clone(), b.clone());
    Event::derived([a.part(), b.part()], move |_| match (a_too.now(), b_too.now()) {
        (Some(a), Some(b)) => Flow::Value(Rc::new((a, b))),
        _ => Flow::Nothing,
    })
}

impl<T: 'static> Event<T> {
    /// What `f` promises for each occurrence, in order: one call after the other (`E.map_s`).
    ///
    /// ```
    /// use lwt_core::{react::Event, task};
    /// let (event, sender) = Event::create();
    /// let (promise, resolver) = task();
    /// let mut first = Some(promise);
    /// let last = event.map_s(move |n| match first.take() {
    ///     Some(slow) => slow,
    ///     None => lwt_core::Promise::ready(*n),
    /// });
    /// let all = last.fold(String::new(), |all, n: &i32| format!("{all}{n}")).hold(String::new());
    /// (1..4).for_each(|n| sender.send(n));
    /// assert_eq!(all.value(), "");
    /// resolver.wakeup(9);
    /// assert_eq!(all.value(), "923");
    /// ```
    pub fn map_s<U: 'static>(&self, mut f: impl FnMut(&T) -> Promise<U> + 'static) -> Event<U> {
        serial(self, move |value| some(f(&value)))
    }

    /// [`map_s`](Event::map_s) whose calls do not wait for each other; results come as they are there
    /// (`E.map_p`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (event, sender) = Event::create();
    /// let last = event.map_p(|n| Promise::ready(n + 1)).hold(0);
    /// sender.send(1);
    /// assert_eq!(last.value(), 2);
    /// ```
    pub fn map_p<U: 'static>(&self, mut f: impl FnMut(&T) -> Promise<U> + 'static) -> Event<U> {
        parallel(self, move |value| some(f(&value)))
    }

    /// The occurrences for which `f` promises true, in order: one call after the other (`E.filter_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (event, sender) = Event::create();
    /// let even = event.filter_s(|n| Promise::ready(n % 2 == 0)).hold(0);
    /// (0..6).for_each(|n| sender.send(n));
    /// assert_eq!(even.value(), 4);
    /// ```
    pub fn filter_s(&self, mut f: impl FnMut(&T) -> Promise<bool> + 'static) -> Event<T> {
        serial(self, move |value| if_true(f(&value), value))
    }

    /// [`filter_s`](Event::filter_s) whose calls do not wait for each other (`E.filter_p`).
    pub fn filter_p(&self, mut f: impl FnMut(&T) -> Promise<bool> + 'static) -> Event<T> {
        parallel(self, move |value| if_true(f(&value), value))
    }

    /// What `f` promises for each occurrence, where that is something: one call after the other
    /// (`E.fmap_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (event, sender) = Event::create();
    /// let number = event.filter_map_s(|s: &&str| Promise::ready(s.parse().ok())).hold(0);
    /// ["7", "x"].into_iter().for_each(|s| sender.send(s));
    /// assert_eq!(number.value(), 7);
    /// ```
    pub fn filter_map_s<U: 'static>(
        &self,
        mut f: impl FnMut(&T) -> Promise<Option<U>> + 'static,
    ) -> Event<U> {
        serial(self, move |value| if_some(f(&value)))
    }

    /// [`filter_map_s`](Event::filter_map_s) whose calls do not wait for each other (`E.fmap_p`).
    pub fn filter_map_p<U: 'static>(
        &self,
        mut f: impl FnMut(&T) -> Promise<Option<U>> + 'static,
    ) -> Event<U> {
        parallel(self, move |value| if_some(f(&value)))
    }

    /// What `f` promises for each occurrence and the one before it: one call after the other (`E.diff_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (event, sender) = Event::create();
    /// let step = event.diff_s(|now: &i32, before| Promise::ready(now - before)).hold(0);
    /// [10, 13].into_iter().for_each(|n| sender.send(n));
    /// assert_eq!(step.value(), 3);
    /// ```
    pub fn diff_s<U: 'static>(&self, mut f: impl FnMut(&T, &T) -> Promise<U> + 'static) -> Event<U> {
        serial(&self.neighbours(), move |pair| some(f(&pair.0, &pair.1)))
    }

    /// Accumulates: what `f` promises for what it gave before, `start` at first, and for the occurrence
    /// (`E.fold_s`). A call that fails leaves what was there before.
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (event, sender) = Event::create();
    /// let sum = event.fold_s(0, |sum, n| Promise::ready(sum + n)).hold(0);
    /// (1..4).for_each(|n| sender.send(n));
    /// assert_eq!(sum.value(), 6);
    /// ```
    pub fn fold_s<A: 'static>(&self, start: A, f: impl FnMut(&A, &T) -> Promise<A> + 'static) -> Event<A> {
        self.fold_s_shared(Rc::new(start), f)
    }

    pub(super) fn fold_s_shared<A: 'static>(
        &self,
        start: Rc<A>,
        mut f: impl FnMut(&A, &T) -> Promise<A> + 'static,
    ) -> Event<A> {
        let sum = Rc::new(RefCell::new(start));
        serial(self, move |value| {
            let (sum, before) = (sum.clone(), sum.borrow().clone());
            f(&before, &value).map(move |next| {
                let next = Rc::new(next);
                sum.replace(next.clone());
                let_go(before);
                Some(next)
            })
        })
    }

    /// What each of this event's functions promises for what the one before has given, `start` at first
    /// (`E.accum_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (event, sender) = Event::create();
    /// let value = event.accum_s(5).hold(5);
    /// sender.send((|n| Promise::ready(n + 1)) as fn(&i32) -> Promise<i32>);
    /// assert_eq!(value.value(), 6);
    /// ```
    pub fn accum_s<A: 'static>(&self, start: A) -> Event<A>
    where
        T: Fn(&A) -> Promise<A>,
    {
        self.fold_s(start, |sum, f| f(sum))
    }

    /// What the functions of this event promise for the occurrences of `argument`, where both occur: one call
    /// after the other (`E.app_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (n, sender) = Event::create();
    /// let f = n.map(|n: &i32| { let n = *n; move |m: &i32| Promise::ready(n * m) });
    /// let (serial, parallel) = (f.app_s(&n).hold(0), f.app_p(&n).hold(0));
    /// sender.send(7);
    /// assert_eq!((serial.value(), parallel.value()), (49, 49));
    /// ```
    pub fn app_s<A: 'static, B: 'static>(&self, argument: &Event<A>) -> Event<B>
    where
        T: Fn(&A) -> Promise<B>,
    {
        serial(&both(self, argument), |pair| some((pair.0)(&pair.1)))
    }

    /// [`app_s`](Event::app_s) whose calls do not wait for each other (`E.app_p`).
    pub fn app_p<A: 'static, B: 'static>(&self, argument: &Event<A>) -> Event<B>
    where
        T: Fn(&A) -> Promise<B>,
    {
        parallel(&both(self, argument), |pair| some((pair.0)(&pair.1)))
    }

    /// Folds what occurs at the same time, one promise after the other, in the order of the list; begins with
    /// a clone of `start` each time (`E.merge_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Event};
    /// let (a, send) = Event::create();
    /// let doubled = a.map(|n| n * 2);
    /// let sum = Event::merge_s([a, doubled], 100, |sum, n| Promise::ready(sum + n)).hold(0);
    /// send.send(1);
    /// assert_eq!(sum.value(), 103);
    /// ```
    pub fn merge_s<B: 'static>(
        events: impl IntoIterator<Item = Event<B>>,
        start: T,
        f: impl FnMut(T, &B) -> Promise<T> + 'static,
    ) -> Event<T>
    where
        T: Clone,
    {
        let f = Func::new(f);
        serial(&Event::gathered(events), move |all| fold_all(all, start.clone(), f.clone()))
    }
}

impl<T: Clone + 'static> Event<Promise<T>> {
    /// What the promises give, in the order in which the promises occurred (`E.run_s`).
    ///
    /// ```
    /// use lwt_core::{react::Event, wait};
    /// let (event, sender) = Event::create();
    /// let (in_order, at_once) = (event.run_s().hold(0), event.run_p().hold(0));
    /// let ((p, first), (q, second)) = (wait(), wait());
    /// sender.send(p);
    /// sender.send(q);
    /// second.wakeup(2);
    /// assert_eq!((in_order.value(), at_once.value()), (0, 2));
    /// first.wakeup(1);
    /// assert_eq!((in_order.value(), at_once.value()), (2, 1));
    /// ```
    pub fn run_s(&self) -> Event<T> {
        serial(self, |promise| some(Promise::clone(&promise)))
    }

    /// What the promises give, as it is there (`E.run_p`).
    pub fn run_p(&self) -> Event<T> {
        parallel(self, |promise| some(Promise::clone(&promise)))
    }
}
