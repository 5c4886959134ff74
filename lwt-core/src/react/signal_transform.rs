//! Signals and events from one signal, and signals that accumulate the occurrences of an event.

use std::rc::Rc;

use super::atom::{Flow, Same};
use super::grave::let_go;
use super::signal::by_eq;
use super::{Event, Signal, update};

impl<T: 'static> Signal<T> {
    /// `f` of the value (`S.map`).
    ///
    /// `f` is called here for the first time, and then for each change.
    ///
    /// # Panics
    /// If the first call does. A later panic goes to the unhandled-rejection hook, and the value stays.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (name, set) = Signal::create("ada");
    /// let length = name.map(|name| name.len());
    /// set.set("grace");
    /// assert_eq!(length.value(), 5);
    /// ```
    pub fn map<U: PartialEq + 'static>(&self, f: impl FnMut(&T) -> U + 'static) -> Signal<U> {
        self.map_same(f, by_eq())
    }

    /// [`map`](Signal::map) with an equality of one's own (`S.map ~eq`).
    pub fn map_eq<U: 'static>(
        &self,
        f: impl FnMut(&T) -> U + 'static,
        eq: impl Fn(&U, &U) -> bool + 'static,
    ) -> Signal<U> {
        self.map_same(f, Rc::new(eq))
    }

    pub(super) fn map_same<U: 'static>(
        &self,
        mut f: impl FnMut(&T) -> U + 'static,
        same: Same<U>,
    ) -> Signal<U> {
        let source = self.clone();
        let mut value = move || Rc::new(f(&source.now()));
        update::between_steps(|| Signal::derived(value(), same, [self.part()], move |_| Flow::Value(value())))
    }

    /// This signal, and `f` is called with its value, now and at each change (`S.trace`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (signal, setter) = Signal::create(1);
    /// let seen = signal.trace(|n| println!("now it is {n}"));
    /// setter.set(2);
    /// # drop(seen);
    /// ```
    pub fn trace(&self, f: impl FnMut(&T) + 'static) -> Signal<T> {
        self.trace_if(&Signal::constant(true), f)
    }

    /// [`trace`](Signal::trace) while `on` is true (`S.trace ~iff`).
    pub fn trace_if(&self, on: &Signal<bool>, mut f: impl FnMut(&T) + 'static) -> Signal<T> {
        let (mut news, on_too) = (self.news(), on.clone());
        let mut value = move || {
            let now = news()?;
            if *on_too.now() {
                f(&now);
            }
            Some(now)
        };
        update::between_steps(|| {
            let first = value().unwrap_or_else(|| self.now());
            Signal::derived(first, self.same(), [self.part(), on.part()], move |_| value().into())
        })
    }

    /// The last value for which `f` was true, and `start` as long as there was none (`S.filter`). It has this
    /// signal's equality.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (n, set) = Signal::create(1);
    /// let even = n.filter(0, |n| n % 2 == 0);
    /// [2, 3].into_iter().for_each(|n| set.set(n));
    /// assert_eq!(even.value(), 2);
    /// ```
    pub fn filter(&self, start: T, mut f: impl FnMut(&T) -> bool + 'static) -> Signal<T> {
        self.chosen(start, self.same(), move |value| f(&value).then_some(value))
    }

    /// The last value that `f` gave, and `start` as long as it gave none (`S.fmap`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (text, set) = Signal::create("7");
    /// let number = text.filter_map(0, |text| text.parse().ok());
    /// set.set("x");
    /// assert_eq!(number.value(), 7);
    /// ```
    pub fn filter_map<U: PartialEq + 'static>(
        &self,
        start: U,
        mut f: impl FnMut(&T) -> Option<U> + 'static,
    ) -> Signal<U> {
        self.chosen(start, by_eq(), move |value| f(&value).map(Rc::new))
    }

    /// [`filter_map`](Signal::filter_map) with an equality of one's own (`S.fmap ~eq`).
    pub fn filter_map_eq<U: 'static>(
        &self,
        start: U,
        mut f: impl FnMut(&T) -> Option<U> + 'static,
        eq: impl Fn(&U, &U) -> bool + 'static,
    ) -> Signal<U> {
        self.chosen(start, Rc::new(eq), move |value| f(&value).map(Rc::new))
    }

    fn chosen<U: 'static>(
        &self,
        start: U,
        same: Same<U>,
        mut f: impl FnMut(Rc<T>) -> Option<Rc<U>> + 'static,
    ) -> Signal<U> {
        let source = self.clone();
        let mut value = move || f(source.now());
        update::between_steps(|| {
            let first = first_or(value(), start);
            Signal::derived(first, same, [self.part()], move |_| value().into())
        })
    }

    /// Occurs at each change, with `f` of the new value and the one before (`S.diff`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (n, set) = Signal::create(10);
    /// let step = n.diff(|now, before| now - before).hold(0);
    /// set.set(13);
    /// assert_eq!(step.value(), 3);
    /// ```
    pub fn diff<U: 'static>(&self, mut f: impl FnMut(&T, &T) -> U + 'static) -> Event<U> {
        self.neighbours().map(move |(now, before)| f(now, before))
    }

    /// Each new value with the one before it.
    pub(super) fn neighbours(&self) -> Event<(Rc<T>, Rc<T>)> {
        let mut last = self.now();
        self.changed().each(move |now| {
            let before = std::mem::replace(&mut last, now.clone());
            Some(Rc::new((now, before)))
        })
    }

    /// Occurs at each change, with the new value (`S.changes`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (n, set) = Signal::create(0);
    /// let changes = n.changes().fold(0, |many, _| many + 1).hold(0);
    /// [1, 1, 2].into_iter().for_each(|n| set.set(n));
    /// assert_eq!(changes.value(), 2);
    /// ```
    pub fn changes(&self) -> Event<T> {
        self.changed()
    }

    fn changed(&self) -> Event<T> {
        let source = self.clone();
        Event::derived([self.part()], move |_| Flow::Value(source.now()))
    }

    /// Occurs with `event`, with `f` of the occurrence and of this signal's value (`S.sample`).
    ///
    /// ```
    /// use lwt_core::react::{Event, Signal};
    /// let ((n, set), (event, sender)) = (Signal::create(1), Event::create());
    /// let seen = n.sample(&event, |a: &i32, n| a * 10 + n).hold(0);
    /// set.set(2);
    /// sender.send(4);
    /// assert_eq!(seen.value(), 42);
    /// ```
    pub fn sample<A: 'static, U: 'static>(
        &self,
        event: &Event<A>,
        mut f: impl FnMut(&A, &T) -> U + 'static,
    ) -> Event<U> {
        self.sampled(event).map(move |(a, value)| f(a, value))
    }

    /// Each occurrence of `event` with this signal's value.
    pub(super) fn sampled<A: 'static>(&self, event: &Event<A>) -> Event<(Rc<A>, Rc<T>)> {
        let (source, event_too) = (self.clone(), event.clone());
        Event::derived([event.part(), self.part()], move |_| {
            event_too.now().map(|a| Rc::new((a, source.now()))).into()
        })
    }

    /// This signal while `on` is true; while it is false, the value that this one had when it was true last,
    /// or `start` (`S.on`, `S.when_`). It has this signal's equality.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let ((n, set), (on, switch)) = (Signal::create(1), Signal::create(true));
    /// let seen = n.on(&on, 0);
    /// switch.set(false);
    /// set.set(2);
    /// assert_eq!(seen.value(), 1);
    /// switch.set(true);
    /// assert_eq!(seen.value(), 2);
    /// ```
    pub fn on(&self, on: &Signal<bool>, start: T) -> Signal<T> {
        let (source, on_too) = (self.clone(), on.clone());
        let value = move || on_too.now().then(|| source.now());
        let first = first_or(value(), start);
        Signal::derived(first, self.same(), [self.part(), on.part()], move |_| value().into())
    }

    /// This signal without the changes at which `event` occurs (`S.dismiss`); `start` if that occurs now. It
    /// has this signal's equality.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (n, set) = Signal::create(0);
    /// let odd = n.changes().filter(|n| n % 2 == 1);
    /// let seen = n.dismiss(&odd, 0);
    /// [2, 3].into_iter().for_each(|n| set.set(n));
    /// assert_eq!(seen.value(), 2);
    /// ```
    pub fn dismiss<A: 'static>(&self, event: &Event<A>, start: T) -> Signal<T> {
        let (mut news, event_too) = (self.news(), event.clone());
        let mut value = move || news().filter(|_| event_too.now().is_none());
        let first = first_or(value(), start);
        Signal::derived(first, self.same(), [self.part(), event.part()], move |_| value().into())
    }

    /// Gives the value if it is another one than when this was called before.
    fn news(&self) -> impl FnMut() -> Option<Rc<T>> + use<T> {
        let (source, mut last) = (self.clone(), None);
        move || {
            let now = source.now();
            let before = last.replace(now.clone());
            let is_new = before.as_ref().is_none_or(|before| !Rc::ptr_eq(&now, before));
            let_go(before);
            is_new.then_some(now)
        }
    }

    /// `start`, and what each function of `functions` makes of the value before (`S.accum`).
    ///
    /// ```
    /// use lwt_core::react::{Event, Signal};
    /// let (changes, sender) = Event::create();
    /// let value = Signal::accum(&changes, 5);
    /// sender.send((|n| n + 1) as fn(&i32) -> i32);
    /// assert_eq!(value.value(), 6);
    /// ```
    pub fn accum<F>(functions: &Event<F>, start: T) -> Signal<T>
    where
        T: PartialEq,
        F: Fn(&T) -> T + 'static,
    {
        Signal::fold_same(functions, start, |value, f| f(value), by_eq())
    }

    /// [`accum`](Signal::accum) with an equality of one's own (`S.accum ~eq`).
    pub fn accum_eq<F>(functions: &Event<F>, start: T, eq: impl Fn(&T, &T) -> bool + 'static) -> Signal<T>
    where
        F: Fn(&T) -> T + 'static,
    {
        Signal::fold_same(functions, start, |value, f| f(value), Rc::new(eq))
    }

    /// `start`, and what `f` makes of the value before and of each occurrence of `event` (`S.fold`).
    ///
    /// ```
    /// use lwt_core::react::{Event, Signal};
    /// let (event, sender) = Event::create();
    /// let sum = Signal::fold(&event, 0, |sum, n| sum + n);
    /// (1..4).for_each(|n| sender.send(n));
    /// assert_eq!(sum.value(), 6);
    /// ```
    pub fn fold<A: 'static>(event: &Event<A>, start: T, f: impl FnMut(&T, &A) -> T + 'static) -> Signal<T>
    where
        T: PartialEq,
    {
        Signal::fold_same(event, start, f, by_eq())
    }

    /// [`fold`](Signal::fold) with an equality of one's own (`S.fold ~eq`).
    pub fn fold_eq<A: 'static>(
        event: &Event<A>,
        start: T,
        f: impl FnMut(&T, &A) -> T + 'static,
        eq: impl Fn(&T, &T) -> bool + 'static,
    ) -> Signal<T> {
        Signal::fold_same(event, start, f, Rc::new(eq))
    }

    fn fold_same<A: 'static>(
        event: &Event<A>,
        start: T,
        f: impl FnMut(&T, &A) -> T + 'static,
        same: Same<T>,
    ) -> Signal<T> {
        let start = Rc::new(start);
        event.fold_shared(start.clone(), f).held(start, same)
    }
}

/// The first value of a signal: `start` if it has none of its own.
fn first_or<T>(first: Option<Rc<T>>, start: T) -> Rc<T> {
    match first {
        Some(first) => {
            let_go(start);
            first
        }
        None => Rc::new(start),
    }
}
