//! Signals from several signals: `app`, `merge`, `switch`, `bind`, lifting.

use std::rc::Rc;

use super::Signal;
use super::atom::{Flow, Same};
use super::signal::{always_new, by_eq};
use super::update;

impl<T: 'static> Signal<T> {
    /// The function that is this signal's value, of the value of `argument` (`S.app`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (f, set) = Signal::create_eq(i32::abs as fn(i32) -> i32, |_, _| false);
    /// let call = f.map_eq(|f| { let f = *f; move |n: &i32| f(*n) }, |_, _| false);
    /// let value = call.app(&Signal::constant(-3));
    /// assert_eq!(value.value(), 3);
    /// set.set(i32::signum);
    /// assert_eq!(value.value(), -1);
    /// ```
    pub fn app<A: 'static, B: PartialEq + 'static>(&self, argument: &Signal<A>) -> Signal<B>
    where
        T: Fn(&A) -> B,
    {
        Signal::l2(self, argument, |f, a| f(a))
    }

    /// [`app`](Signal::app) with an equality of one's own (`S.app ~eq`).
    pub fn app_eq<A: 'static, B: 'static>(
        &self,
        argument: &Signal<A>,
        eq: impl Fn(&B, &B) -> bool + 'static,
    ) -> Signal<B>
    where
        T: Fn(&A) -> B,
    {
        Signal::l2_eq(self, argument, |f, a| f(a), eq)
    }

    /// Folds the values, in the order of the list; begins with a clone of `start` each time (`S.merge`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let ((a, set), (b, _)) = (Signal::create(1), Signal::create(2));
    /// let sum = Signal::merge([a, b], 0, |sum, n| sum + n);
    /// set.set(40);
    /// assert_eq!(sum.value(), 42);
    /// ```
    pub fn merge<B: 'static>(
        signals: impl IntoIterator<Item = Signal<B>>,
        start: T,
        f: impl FnMut(T, &B) -> T + 'static,
    ) -> Signal<T>
    where
        T: Clone + PartialEq,
    {
        Signal::merge_same(signals, start, f, by_eq())
    }

    /// [`merge`](Signal::merge) with an equality of one's own (`S.merge ~eq`).
    pub fn merge_eq<B: 'static>(
        signals: impl IntoIterator<Item = Signal<B>>,
        start: T,
        f: impl FnMut(T, &B) -> T + 'static,
        eq: impl Fn(&T, &T) -> bool + 'static,
    ) -> Signal<T>
    where
        T: Clone,
    {
        Signal::merge_same(signals, start, f, Rc::new(eq))
    }

    fn merge_same<B: 'static>(
        signals: impl IntoIterator<Item = Signal<B>>,
        start: T,
        mut f: impl FnMut(T, &B) -> T + 'static,
        same: Same<T>,
    ) -> Signal<T>
    where
        T: Clone,
    {
        let gathered = Signal::gathered(signals);
        gathered.map_same(move |all| all.iter().fold(start.clone(), |sum, value| f(sum, value)), same)
    }

    /// All values, in the order of the list; new whenever one of them is.
    pub(super) fn gathered(signals: impl IntoIterator<Item = Signal<T>>) -> Signal<Vec<Rc<T>>> {
        let signals: Vec<Signal<T>> = signals.into_iter().collect();
        let parts: Vec<_> = signals.iter().map(Signal::part).collect();
        let gather = move || Rc::new(signals.iter().map(Signal::now).collect());
        Signal::derived(gather(), always_new(), parts, move |_| Flow::Value(gather()))
    }

    /// The signal that `f` makes of the value, until the value changes; then the one that it makes of that,
    /// and so on (`S.bind`).
    ///
    /// What `f` makes is let go of when it is replaced.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let ((which, choose), (b, set_b)) = (Signal::create('a'), Signal::create(2));
    /// let a = Signal::constant(1);
    /// let chosen = which.bind(move |which| if *which == 'a' { a.clone() } else { b.clone() });
    /// assert_eq!(chosen.value(), 1);
    /// choose.set('b');
    /// set_b.set(3);
    /// assert_eq!(chosen.value(), 3);
    /// ```
    pub fn bind<U: PartialEq + 'static>(&self, f: impl FnMut(&T) -> Signal<U> + 'static) -> Signal<U> {
        self.map_same(f, always_new()).switch()
    }

    /// [`bind`](Signal::bind) with an equality of one's own (`S.bind ~eq`).
    pub fn bind_eq<U: 'static>(
        &self,
        f: impl FnMut(&T) -> Signal<U> + 'static,
        eq: impl Fn(&U, &U) -> bool + 'static,
    ) -> Signal<U> {
        self.map_same(f, always_new()).switch_eq(eq)
    }
}

impl<T: 'static> Signal<Signal<T>> {
    /// The signal that is this one's value (`S.switch`).
    ///
    /// A signal that is made from the result itself cannot be switched to: the hook of unhandled rejections
    /// is told, and the result keeps its value until the next switch.
    ///
    /// ```
    /// use lwt_core::react::{Event, Signal};
    /// let (a, b) = (Signal::constant(1), Signal::constant(2));
    /// let (signals, switch) = Event::create();
    /// let value = signals.hold(a).switch();
    /// switch.send(b);
    /// assert_eq!(value.value(), 2);
    /// ```
    pub fn switch(&self) -> Signal<T>
    where
        T: PartialEq,
    {
        self.switch_same(by_eq())
    }

    /// [`switch`](Signal::switch) with an equality of one's own (`S.switch ~eq`).
    pub fn switch_eq(&self, eq: impl Fn(&T, &T) -> bool + 'static) -> Signal<T> {
        self.switch_same(Rc::new(eq))
    }

    fn switch_same(&self, same: Same<T>) -> Signal<T> {
        let (outer, mut current) = (self.clone(), Some(self.with(Signal::clone)));
        let mut parts = vec![self.part()];
        parts.extend(current.iter().map(Signal::part));
        Signal::derived(self.with(Signal::now), same, parts, move |me| {
            let next = outer.now();
            if current.as_ref().is_some_and(|current| Rc::ptr_eq(&current.atom, &next.atom)) {
                return Flow::Value(next.now());
            }
            let before = current.take().map(|before| before.part());
            if !me.relink(before, next.part()) {
                panic!("a signal was switched to one that is made from it");
            }
            current = Some((*next).clone());
            Flow::Again
        })
    }
}

macro_rules! lift {
    (
        $(#[$doc:meta])* $name:ident,
        $(#[$doc_eq:meta])* $name_eq:ident,
        $name_same:ident, $($arg:ident: $A:ident),+
    ) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "one for each signal")]
        pub fn $name<$($A: 'static),+>(
            $($arg: &Signal<$A>,)+
            f: impl FnMut($(&$A),+) -> T + 'static,
        ) -> Signal<T>
        where
            T: PartialEq,
        {
            Signal::$name_same($($arg,)+ f, by_eq())
        }

        $(#[$doc_eq])*
        #[allow(clippy::too_many_arguments, reason = "one for each signal")]
        pub fn $name_eq<$($A: 'static),+>(
            $($arg: &Signal<$A>,)+
            f: impl FnMut($(&$A),+) -> T + 'static,
            eq: impl Fn(&T, &T) -> bool + 'static,
        ) -> Signal<T> {
            Signal::$name_same($($arg,)+ f, Rc::new(eq))
        }

        #[allow(clippy::too_many_arguments, reason = "one for each signal")]
        pub(super) fn $name_same<$($A: 'static),+>(
            $($arg: &Signal<$A>,)+
            mut f: impl FnMut($(&$A),+) -> T + 'static,
            same: Same<T>,
        ) -> Signal<T> {
            let parts = [$($arg.part()),+];
            $(let $arg = $arg.clone();)+
            let mut value = move || Rc::new(f($(&$arg.now()),+));
            update::between_steps(|| {
                Signal::derived(value(), same, parts, move |_| Flow::Value(value()))
            })
        }
    };
}

/// Lifting: `f` of the values. Each has a form with an equality of one's own.
impl<T: 'static> Signal<T> {
    lift! {
        /// [`map`](Signal::map), as one of its family (`S.l1`).
        l1,
        /// [`l1`](Signal::l1) with an equality of one's own (`S.l1 ~eq`).
        l1_eq,
        l1_same, a: A
    }
    lift! {
        /// `f` of the values of two signals (`S.l2`).
        ///
        /// It is called when one of them changes, or both in one step: once.
        ///
        /// ```
        /// use lwt_core::react::Signal;
        /// let (n, set) = Signal::create(2);
        /// let cube = Signal::l2(&n, &n.map(|n| n * n), |n, square| n * square);
        /// set.set(3);
        /// assert_eq!(cube.value(), 27);
        /// ```
        l2,
        /// [`l2`](Signal::l2) with an equality of one's own (`S.l2 ~eq`).
        l2_eq,
        l2_same, a: A, b: B
    }
    lift! {
        /// [`l2`](Signal::l2) for three (`S.l3`).
        l3,
        /// [`l3`](Signal::l3) with an equality of one's own (`S.l3 ~eq`).
        l3_eq,
        l3_same, a: A, b: B, c: C
    }
    lift! {
        /// [`l2`](Signal::l2) for four (`S.l4`).
        l4,
        /// [`l4`](Signal::l4) with an equality of one's own (`S.l4 ~eq`).
        l4_eq,
        l4_same, a: A, b: B, c: C, d: D
    }
    lift! {
        /// [`l2`](Signal::l2) for five (`S.l5`).
        l5,
        /// [`l5`](Signal::l5) with an equality of one's own (`S.l5 ~eq`).
        l5_eq,
        l5_same, a: A, b: B, c: C, d: D, e: E
    }
    lift! {
        /// [`l2`](Signal::l2) for six (`S.l6`).
        l6,
        /// [`l6`](Signal::l6) with an equality of one's own (`S.l6 ~eq`).
        l6_eq,
        l6_same, a: A, b: B, c: C, d: D, e: E, g: G
    }
}
