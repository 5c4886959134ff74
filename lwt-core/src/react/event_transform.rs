//! Events from one event: transforming, filtering, accumulating.

use std::rc::Rc;

use super::atom::Flow;
use super::grave::let_go;
use super::{Event, Signal};

impl<T: 'static> Event<T> {
    /// `f` of each occurrence (`E.map`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let last = event.map(|n: &i32| n * 2).hold(0);
    /// sender.send(21);
    /// assert_eq!(last.value(), 42);
    /// ```
    pub fn map<U: 'static>(&self, mut f: impl FnMut(&T) -> U + 'static) -> Event<U> {
        self.each(move |value| Some(Rc::new(f(&value))))
    }

    /// Occurs with `value` when this event occurs (`E.stamp`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let last = event.stamp("it came").hold("nothing yet");
    /// sender.send(1);
    /// assert_eq!(last.value(), "it came");
    /// ```
    pub fn stamp<U: 'static>(&self, value: U) -> Event<U> {
        let value = Rc::new(value);
        self.each(move |_| Some(value.clone()))
    }

    /// This event, and `f` is called for each occurrence (`E.trace`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let seen = event.trace(|n: &i32| println!("{n} came by"));
    /// sender.send(1);
    /// # drop(seen);
    /// ```
    pub fn trace(&self, mut f: impl FnMut(&T) + 'static) -> Event<T> {
        self.each(move |value| {
            f(&value);
            Some(value)
        })
    }

    /// [`trace`](Event::trace) while `on` is true (`E.trace ~iff`).
    pub fn trace_if(&self, on: &Signal<bool>, mut f: impl FnMut(&T) + 'static) -> Event<T> {
        let (source, on_too) = (self.clone(), on.clone());
        Event::derived([self.part(), on.part()], move |_| {
            let value = source.now();
            if let Some(value) = value.as_ref().filter(|_| *on_too.now()) {
                f(value);
            }
            value.into()
        })
    }

    /// The next occurrence only (`E.once`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let first = event.once().hold(0);
    /// sender.send(1);
    /// sender.send(2);
    /// assert_eq!(first.value(), 1);
    /// ```
    pub fn once(&self) -> Event<T> {
        let source = self.clone();
        Event::derived([self.part()], move |me| {
            let value = source.now();
            if value.is_some() {
                me.stop();
            }
            value.into()
        })
    }

    /// All but the next occurrence (`E.drop_once`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let rest = event.drop_once().fold(0, |many, _| many + 1).hold(0);
    /// (0..3).for_each(|n| sender.send(n));
    /// assert_eq!(rest.value(), 2);
    /// ```
    pub fn drop_once(&self) -> Event<T> {
        let mut dropped = false;
        self.each(move |value| std::mem::replace(&mut dropped, true).then_some(value))
    }

    /// The occurrences for which `f` is true (`E.filter`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let even = event.filter(|n| n % 2 == 0).hold(0);
    /// (0..6).for_each(|n| sender.send(n));
    /// assert_eq!(even.value(), 4);
    /// ```
    pub fn filter(&self, mut f: impl FnMut(&T) -> bool + 'static) -> Event<T> {
        self.each(move |value| f(&value).then_some(value))
    }

    /// `f` of each occurrence, where it gives something (`E.fmap`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let numbers = event.filter_map(|s: &&str| s.parse().ok()).hold(0);
    /// ["7", "x"].into_iter().for_each(|s| sender.send(s));
    /// assert_eq!(numbers.value(), 7);
    /// ```
    pub fn filter_map<U: 'static>(&self, mut f: impl FnMut(&T) -> Option<U> + 'static) -> Event<U> {
        self.each(move |value| f(&value).map(Rc::new))
    }

    /// `f` of each occurrence and the one before it (`E.diff`). The first one has none before it.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let step = event.diff(|now: &i32, before| now - before).hold(0);
    /// sender.send(10);
    /// sender.send(13);
    /// assert_eq!(step.value(), 3);
    /// ```
    pub fn diff<U: 'static>(&self, mut f: impl FnMut(&T, &T) -> U + 'static) -> Event<U> {
        let pairs = self.neighbours();
        pairs.map(move |(now, before)| f(now, before))
    }

    /// Each occurrence with the one before it.
    pub(super) fn neighbours(&self) -> Event<(Rc<T>, Rc<T>)> {
        let mut last = None;
        self.each(move |now| last.replace(now.clone()).map(|before| Rc::new((now, before))))
    }

    /// The occurrences that differ from the one before (`E.changes`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let changes = event.changes().fold(0, |many, _| many + 1).hold(0);
    /// [1, 1, 2].into_iter().for_each(|n| sender.send(n));
    /// assert_eq!(changes.value(), 2);
    /// ```
    pub fn changes(&self) -> Event<T>
    where
        T: PartialEq,
    {
        self.changes_eq(T::eq)
    }

    /// [`changes`](Event::changes) by an equality of one's own (`E.changes ~eq`).
    pub fn changes_eq(&self, mut eq: impl FnMut(&T, &T) -> bool + 'static) -> Event<T> {
        let mut last: Option<Rc<T>> = None;
        self.each(move |now| {
            let before = last.replace(now.clone());
            let same = before.as_ref().is_some_and(|before| eq(&now, before));
            let_go(before);
            (!same).then_some(now)
        })
    }

    /// The occurrences while `on` is true (`E.on`, `E.when_`).
    ///
    /// ```
    /// use lwt_core::react::{Event, Signal};
    /// let (event, sender) = Event::create();
    /// let (on, switch) = Signal::create(false);
    /// let last = event.on(&on).hold(0);
    /// sender.send(1);
    /// switch.set(true);
    /// assert_eq!(last.value(), 0);
    /// sender.send(2);
    /// assert_eq!(last.value(), 2);
    /// ```
    pub fn on(&self, on: &Signal<bool>) -> Event<T> {
        let (source, on_too) = (self.clone(), on.clone());
        Event::derived([self.part(), on.part()], move |_| source.now().filter(|_| *on_too.now()).into())
    }

    /// The occurrences at which `other` does not occur (`E.dismiss`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let odd = event.filter(|n| n % 2 == 1);
    /// let last_even = event.dismiss(&odd).hold(0);
    /// (1..6).for_each(|n| sender.send(n));
    /// assert_eq!(last_even.value(), 4);
    /// ```
    pub fn dismiss<U: 'static>(&self, other: &Event<U>) -> Event<T> {
        let (source, other_too) = (self.clone(), other.clone());
        Event::derived([self.part(), other.part()], move |_| {
            if other_too.now().is_some() { Flow::Nothing } else { source.now().into() }
        })
    }

    /// The occurrences before the first one of `end`; one at the same time is not among them (`E.until`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let ((event, sender), (end, ender)) = (Event::create(), Event::create());
    /// let last = event.until(&end).hold(0);
    /// sender.send(1);
    /// ender.send(());
    /// sender.send(2);
    /// assert_eq!(last.value(), 1);
    /// ```
    pub fn until<U: 'static>(&self, end: &Event<U>) -> Event<T> {
        let (source, end_too) = (self.clone(), end.clone());
        Event::derived([self.part(), end.part()], move |me| {
            if end_too.now().is_some() {
                me.stop();
                return Flow::Nothing;
            }
            source.now().into()
        })
    }

    /// Accumulates: `f` of what it gave before, `start` at first, and of the occurrence (`E.fold`).
    ///
    /// If `f` panics, what it gave before stays.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let sum = event.fold(0, |sum, n| sum + n).hold(0);
    /// (1..4).for_each(|n| sender.send(n));
    /// assert_eq!(sum.value(), 6);
    /// ```
    pub fn fold<A: 'static>(&self, start: A, f: impl FnMut(&A, &T) -> A + 'static) -> Event<A> {
        self.fold_shared(Rc::new(start), f)
    }

    pub(super) fn fold_shared<A: 'static>(
        &self,
        mut sum: Rc<A>,
        mut f: impl FnMut(&A, &T) -> A + 'static,
    ) -> Event<A> {
        self.each(move |value| {
            let next = Rc::new(f(&sum, &value));
            let_go(std::mem::replace(&mut sum, next.clone()));
            Some(next)
        })
    }

    /// What each of this event's functions makes of what the one before has made, `start` at first
    /// (`E.accum`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let value = event.accum(5).hold(5);
    /// sender.send((|n| n + 1) as fn(&i32) -> i32);
    /// sender.send(|n| n * 2);
    /// assert_eq!(value.value(), 12);
    /// ```
    pub fn accum<A: 'static>(&self, start: A) -> Event<A>
    where
        T: Fn(&A) -> A,
    {
        self.fold(start, |sum, f| f(sum))
    }

    /// The occurrences of `argument`, to which the functions of this event are applied where both occur
    /// (`E.app`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (numbers, sender) = Event::create();
    /// let functions = numbers.map(|n: &i32| { let n = *n; move |m: &i32| n * m });
    /// let squares = functions.app(&numbers).hold(0);
    /// sender.send(7);
    /// assert_eq!(squares.value(), 49);
    /// ```
    pub fn app<A: 'static, B: 'static>(&self, argument: &Event<A>) -> Event<B>
    where
        T: Fn(&A) -> B,
    {
        Event::l2(self, argument, |f, a| f(a))
    }
}
