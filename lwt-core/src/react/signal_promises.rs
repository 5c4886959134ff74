//! Signals from functions that answer with promises. Most give the promise of a signal, which is there
//! when the first answer is.
//!
//! What holds for all of them stands in the [module](super)'s rules. In the forms with `_eq` in their name
//! the signal has an equality of one's own.

use std::rc::Rc;

use crate::Promise;
use crate::func::Func;

use super::atom::Same;
use super::event_serial::{fold_all, if_some, if_true, some};
use super::promises::{limit, serial, serial_signal};
use super::signal::{always_new, by_eq};
use super::{Event, Signal};

impl<T: 'static> Signal<T> {
    /// This signal, changing as rarely as `f` allows (`S.limit`): `f` is called now, and after each change
    /// that passes; the next one passes when `f`'s promise is resolved, and of several the newest. See
    /// [`Event::limit`]. It has this signal's equality.
    ///
    /// ```
    /// use lwt_core::{react::Signal, wait};
    /// let (n, set) = Signal::create(0);
    /// let (promise, resolver) = wait();
    /// let rare = n.limit(move || promise.clone());
    /// (1..4).for_each(|n| set.set(n));
    /// assert_eq!(rare.value(), 0);
    /// resolver.wakeup(());
    /// assert_eq!(rare.value(), 3);
    /// ```
    pub fn limit(&self, f: impl FnMut() -> Promise<()> + 'static) -> Signal<T> {
        limit(&self.changes(), f, true).held(self.now(), self.same())
    }

    /// What `f` promises for the value, one call after the other (`S.map_s`).
    ///
    /// Fulfilled when the first call is. Changes in the meantime wait, and none is lost. A cancel goes to the
    /// first call's promise.
    ///
    /// # Errors
    /// A rejection or a panic of the first call; [`Canceled`](crate::Canceled).
    ///
    /// ```
    /// use lwt_core::{Promise, State, react::Signal};
    /// let (n, set) = Signal::create(1);
    /// let doubled = n.map_s(|n| Promise::ready(n * 2));
    /// set.set(21);
    /// assert!(matches!(doubled.state(), State::Fulfilled(signal) if signal.value() == 42));
    /// ```
    #[track_caller]
    pub fn map_s<U: PartialEq + 'static>(
        &self,
        f: impl FnMut(&T) -> Promise<U> + 'static,
    ) -> Promise<Signal<U>> {
        self.map_s_same(f, by_eq())
    }

    /// [`map_s`](Signal::map_s) with an equality of one's own (`S.map_s ~eq`).
    #[track_caller]
    pub fn map_s_eq<U: 'static>(
        &self,
        f: impl FnMut(&T) -> Promise<U> + 'static,
        eq: impl Fn(&U, &U) -> bool + 'static,
    ) -> Promise<Signal<U>> {
        self.map_s_same(f, Rc::new(eq))
    }

    #[track_caller]
    fn map_s_same<U: 'static>(
        &self,
        mut f: impl FnMut(&T) -> Promise<U> + 'static,
        same: Same<U>,
    ) -> Promise<Signal<U>> {
        serial_signal(self, None, same, move |value| some(f(&value)))
    }

    /// What the function that is this signal's value promises for the value of `argument`, one call after the
    /// other (`S.app_s`): for each change of either. (In Lwt, only if both change at once.)
    ///
    /// # Errors
    /// As [`map_s`](Signal::map_s).
    ///
    /// ```
    /// use lwt_core::{Promise, State, react::Signal};
    /// let f = Signal::constant(|n: &i32| Promise::ready(n * 2));
    /// let (n, set) = Signal::create(1);
    /// let doubled = f.app_s(&n);
    /// set.set(21);
    /// assert!(matches!(doubled.state(), State::Fulfilled(signal) if signal.value() == 42));
    /// ```
    #[track_caller]
    pub fn app_s<A: 'static, B: PartialEq + 'static>(&self, argument: &Signal<A>) -> Promise<Signal<B>>
    where
        T: Fn(&A) -> Promise<B>,
    {
        Signal::l2_s(self, argument, |f, a| f(a))
    }

    /// [`app_s`](Signal::app_s) with an equality of one's own (`S.app_s ~eq`).
    #[track_caller]
    pub fn app_s_eq<A: 'static, B: 'static>(
        &self,
        argument: &Signal<A>,
        eq: impl Fn(&B, &B) -> bool + 'static,
    ) -> Promise<Signal<B>>
    where
        T: Fn(&A) -> Promise<B>,
    {
        Signal::l2_s_eq(self, argument, |f, a| f(a), eq)
    }

    /// The last value for which `f` promised true, and `start` as long as there was none (`S.filter_s`). It
    /// has this signal's equality.
    ///
    /// # Errors
    /// As [`map_s`](Signal::map_s).
    ///
    /// ```
    /// use lwt_core::{Promise, State, react::Signal};
    /// let (n, set) = Signal::create(1);
    /// let even = n.filter_s(0, |n| Promise::ready(n % 2 == 0));
    /// [2, 3].into_iter().for_each(|n| set.set(n));
    /// assert!(matches!(even.state(), State::Fulfilled(signal) if signal.value() == 2));
    /// ```
    #[track_caller]
    pub fn filter_s(&self, start: T, mut f: impl FnMut(&T) -> Promise<bool> + 'static) -> Promise<Signal<T>> {
        serial_signal(self, Some(Rc::new(start)), self.same(), move |value| if_true(f(&value), value))
    }

    /// The last value that `f` promised, and `start` as long as it promised none (`S.fmap_s`).
    ///
    /// # Errors
    /// As [`map_s`](Signal::map_s).
    ///
    /// ```
    /// use lwt_core::{Promise, State, react::Signal};
    /// let (text, set) = Signal::create("7");
    /// let number = text.filter_map_s(0, |text| Promise::ready(text.parse().ok()));
    /// set.set("x");
    /// assert!(matches!(number.state(), State::Fulfilled(signal) if signal.value() == 7));
    /// ```
    #[track_caller]
    pub fn filter_map_s<U: PartialEq + 'static>(
        &self,
        start: U,
        mut f: impl FnMut(&T) -> Promise<Option<U>> + 'static,
    ) -> Promise<Signal<U>> {
        serial_signal(self, Some(Rc::new(start)), by_eq(), move |value| if_some(f(&value)))
    }

    /// [`filter_map_s`](Signal::filter_map_s) with an equality of one's own (`S.fmap_s ~eq`).
    #[track_caller]
    pub fn filter_map_s_eq<U: 'static>(
        &self,
        start: U,
        mut f: impl FnMut(&T) -> Promise<Option<U>> + 'static,
        eq: impl Fn(&U, &U) -> bool + 'static,
    ) -> Promise<Signal<U>> {
        serial_signal(self, Some(Rc::new(start)), Rc::new(eq), move |value| if_some(f(&value)))
    }

    /// Occurs with what `f` promises for each new value and the one before, one call after the other
    /// (`S.diff_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::Signal};
    /// let (n, set) = Signal::create(10);
    /// let step = n.diff_s(|now, before| Promise::ready(now - before)).hold(0);
    /// set.set(13);
    /// assert_eq!(step.value(), 3);
    /// ```
    pub fn diff_s<U: 'static>(&self, mut f: impl FnMut(&T, &T) -> Promise<U> + 'static) -> Event<U> {
        serial(&self.neighbours(), move |pair| some(f(&pair.0, &pair.1)))
    }

    /// Occurs with what `f` promises for the occurrences of `event` and the values that this signal had then,
    /// one call after the other (`S.sample_s`).
    ///
    /// ```
    /// use lwt_core::{Promise, react::{Event, Signal}};
    /// let (n, (event, sender)) = (Signal::constant(2), Event::create());
    /// let seen = n.sample_s(&event, |a: &i32, n| Promise::ready(a * 10 + n)).hold(0);
    /// sender.send(4);
    /// assert_eq!(seen.value(), 42);
    /// ```
    pub fn sample_s<A: 'static, U: 'static>(
        &self,
        event: &Event<A>,
        mut f: impl FnMut(&A, &T) -> Promise<U> + 'static,
    ) -> Event<U> {
        serial(&self.sampled(event), move |pair| some(f(&pair.0, &pair.1)))
    }

    /// Folds the values, one promise after the other, in the order of the list; begins with a clone of
    /// `start` each time (`S.merge_s`).
    ///
    /// # Errors
    /// As [`map_s`](Signal::map_s).
    ///
    /// ```
    /// use lwt_core::{Promise, State, react::Signal};
    /// let ((a, set), b) = (Signal::create(1), Signal::constant(2));
    /// let sum = Signal::merge_s([a, b], 0, |sum, n| Promise::ready(sum + n));
    /// set.set(40);
    /// assert!(matches!(sum.state(), State::Fulfilled(signal) if signal.value() == 42));
    /// ```
    #[track_caller]
    pub fn merge_s<B: 'static>(
        signals: impl IntoIterator<Item = Signal<B>>,
        start: T,
        f: impl FnMut(T, &B) -> Promise<T> + 'static,
    ) -> Promise<Signal<T>>
    where
        T: Clone + PartialEq,
    {
        Signal::merge_s_same(signals, start, f, by_eq())
    }

    /// [`merge_s`](Signal::merge_s) with an equality of one's own (`S.merge_s ~eq`).
    #[track_caller]
    pub fn merge_s_eq<B: 'static>(
        signals: impl IntoIterator<Item = Signal<B>>,
        start: T,
        f: impl FnMut(T, &B) -> Promise<T> + 'static,
        eq: impl Fn(&T, &T) -> bool + 'static,
    ) -> Promise<Signal<T>>
    where
        T: Clone,
    {
        Signal::merge_s_same(signals, start, f, Rc::new(eq))
    }

    #[track_caller]
    fn merge_s_same<B: 'static>(
        signals: impl IntoIterator<Item = Signal<B>>,
        start: T,
        f: impl FnMut(T, &B) -> Promise<T> + 'static,
        same: Same<T>,
    ) -> Promise<Signal<T>>
    where
        T: Clone,
    {
        let f = Func::new(f);
        let all = Signal::gathered(signals);
        serial_signal(&all, None, same, move |all| fold_all(all, start.clone(), f.clone()))
    }

    /// `start`, and what each function of `functions` promises for the value before, one call after the other
    /// (`S.accum_s`). The signal is there at once.
    ///
    /// ```
    /// use lwt_core::{Promise, react::{Event, Signal}};
    /// let (changes, sender) = Event::create();
    /// let value = Signal::accum_s(&changes, 5);
    /// sender.send((|n| Promise::ready(n + 1)) as fn(&i32) -> Promise<i32>);
    /// assert_eq!(value.value(), 6);
    /// ```
    pub fn accum_s<F>(functions: &Event<F>, start: T) -> Signal<T>
    where
        T: PartialEq,
        F: Fn(&T) -> Promise<T> + 'static,
    {
        Signal::fold_s_same(functions, start, |value, f| f(value), by_eq())
    }

    /// [`accum_s`](Signal::accum_s) with an equality of one's own (`S.accum_s ~eq`).
    pub fn accum_s_eq<F>(functions: &Event<F>, start: T, eq: impl Fn(&T, &T) -> bool + 'static) -> Signal<T>
    where
        F: Fn(&T) -> Promise<T> + 'static,
    {
        Signal::fold_s_same(functions, start, |value, f| f(value), Rc::new(eq))
    }

    /// `start`, and what `f` promises for the value before and for each occurrence of `event`, one call after
    /// the other (`S.fold_s`). The signal is there at once.
    ///
    /// ```
    /// use lwt_core::{Promise, react::{Event, Signal}};
    /// let (event, sender) = Event::create();
    /// let sum = Signal::fold_s(&event, 0, |sum, n| Promise::ready(sum + n));
    /// (1..4).for_each(|n| sender.send(n));
    /// assert_eq!(sum.value(), 6);
    /// ```
    pub fn fold_s<A: 'static>(
        event: &Event<A>,
        start: T,
        f: impl FnMut(&T, &A) -> Promise<T> + 'static,
    ) -> Signal<T>
    where
        T: PartialEq,
    {
        Signal::fold_s_same(event, start, f, by_eq())
    }

    /// [`fold_s`](Signal::fold_s) with an equality of one's own (`S.fold_s ~eq`).
    pub fn fold_s_eq<A: 'static>(
        event: &Event<A>,
        start: T,
        f: impl FnMut(&T, &A) -> Promise<T> + 'static,
        eq: impl Fn(&T, &T) -> bool + 'static,
    ) -> Signal<T> {
        Signal::fold_s_same(event, start, f, Rc::new(eq))
    }

    fn fold_s_same<A: 'static>(
        event: &Event<A>,
        start: T,
        f: impl FnMut(&T, &A) -> Promise<T> + 'static,
        same: Same<T>,
    ) -> Signal<T> {
        let start = Rc::new(start);
        event.fold_s_shared(start.clone(), f).held(start, same)
    }

    /// The signal that `f` promises for the value, until it promises another one: one call after the other
    /// (`S.bind_s`).
    ///
    /// # Errors
    /// As [`map_s`](Signal::map_s).
    ///
    /// ```
    /// use lwt_core::{Promise, State, react::Signal};
    /// let ((which, choose), (b, set_b)) = (Signal::create('a'), Signal::create(2));
    /// let (a, b_too) = (Signal::constant(1), b.clone());
    /// let chosen =
    ///     which.bind_s(move |which| Promise::ready(if *which == 'a' { a.clone() } else { b_too.clone() }));
    /// choose.set('b');
    /// set_b.set(3);
    /// assert!(matches!(chosen.state(), State::Fulfilled(signal) if signal.value() == 3));
    /// ```
    #[track_caller]
    pub fn bind_s<U: PartialEq + 'static>(
        &self,
        f: impl FnMut(&T) -> Promise<Signal<U>> + 'static,
    ) -> Promise<Signal<U>> {
        self.map_s_same(f, always_new()).map(|signals| signals.switch())
    }

    /// [`bind_s`](Signal::bind_s) with an equality of one's own (`S.bind_s ~eq`).
    #[track_caller]
    pub fn bind_s_eq<U: 'static>(
        &self,
        f: impl FnMut(&T) -> Promise<Signal<U>> + 'static,
        eq: impl Fn(&U, &U) -> bool + 'static,
    ) -> Promise<Signal<U>> {
        self.map_s_same(f, always_new()).map(|signals| signals.switch_eq(eq))
    }
}

impl<T: Clone + 'static> Signal<Promise<T>> {
    /// What the promises give that are this signal's values, in their order (`S.run_s`).
    ///
    /// # Errors
    /// A rejection of the first promise; [`Canceled`](crate::Canceled).
    ///
    /// ```
    /// use lwt_core::{Promise, State, react::Signal, wait};
    /// let (promise, resolver) = wait();
    /// let (signal, set) = Signal::create_eq(Promise::ready(1), |_, _| false);
    /// let run = signal.run_s();
    /// set.set(promise);
    /// assert!(matches!(run.state(), State::Fulfilled(signal) if signal.value() == 1));
    /// resolver.wakeup(2);
    /// assert!(matches!(run.state(), State::Fulfilled(signal) if signal.value() == 2));
    /// ```
    #[track_caller]
    pub fn run_s(&self) -> Promise<Signal<T>>
    where
        T: PartialEq,
    {
        serial_signal(self, None, by_eq(), |promise| some(Promise::clone(&promise)))
    }

    /// [`run_s`](Signal::run_s) with an equality of one's own (`S.run_s ~eq`).
    #[track_caller]
    pub fn run_s_eq(&self, eq: impl Fn(&T, &T) -> bool + 'static) -> Promise<Signal<T>> {
        serial_signal(self, None, Rc::new(eq), |promise| some(Promise::clone(&promise)))
    }
}
