//! Lifting functions that answer with promises to signals: `l1_s` to `l6_s`.

use std::rc::Rc;

use crate::Promise;

use super::Signal;
use super::atom::{Flow, Same};
use super::event_serial::some;
use super::promises::serial_signal;
use super::signal::{always_new, by_eq};

macro_rules! lift_s {
    (
        $(#[$doc:meta])* $name:ident,
        $(#[$doc_eq:meta])* $name_eq:ident,
        $name_same:ident, $($arg:ident: $A:ident),+
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// As [`map_s`](Signal::map_s).
        #[allow(clippy::too_many_arguments, reason = "one for each signal")]
        #[track_caller]
        pub fn $name<$($A: 'static),+>(
            $($arg: &Signal<$A>,)+
            f: impl FnMut($(&$A),+) -> Promise<T> + 'static,
        ) -> Promise<Signal<T>>
        where
            T: PartialEq,
        {
            Signal::$name_same($($arg,)+ f, by_eq())
        }

        $(#[$doc_eq])*
        #[allow(clippy::too_many_arguments, reason = "one for each signal")]
        #[track_caller]
        pub fn $name_eq<$($A: 'static),+>(
            $($arg: &Signal<$A>,)+
            f: impl FnMut($(&$A),+) -> Promise<T> + 'static,
            eq: impl Fn(&T, &T) -> bool + 'static,
        ) -> Promise<Signal<T>> {
            Signal::$name_same($($arg,)+ f, Rc::new(eq))
        }

        #[allow(clippy::too_many_arguments, reason = "one for each signal")]
        #[track_caller]
        fn $name_same<$($A: 'static),+>(
            $($arg: &Signal<$A>,)+
            mut f: impl FnMut($(&$A),+) -> Promise<T> + 'static,
            same: Same<T>,
        ) -> Promise<Signal<T>> {
            let parts = [$($arg.part()),+];
            $(let $arg = $arg.clone();)+
            let values = move || Rc::new(($($arg.now(),)+));
            let all = Signal::derived(values(), always_new(), parts, move |_| Flow::Value(values()));
            serial_signal(&all, None, same, move |all| {
                let ($($arg,)+) = &*all;
                some(f($($arg),+))
            })
        }
    };
}

/// Lifting: what `f` promises for the values, one call after the other.
impl<T: 'static> Signal<T> {
    lift_s! {
        /// [`map_s`](Signal::map_s), as one of its family (`S.l1_s`).
        l1_s,
        /// [`l1_s`](Signal::l1_s) with an equality of one's own (`S.l1_s ~eq`).
        l1_s_eq,
        l1_s_same, a: A
    }
    lift_s! {
        /// What `f` promises for the values of two signals, one call after the other (`S.l2_s`).
        ///
        /// ```
        /// use lwt_core::{Promise, State, react::Signal};
        /// let ((a, set), b) = (Signal::create(1), Signal::constant(2));
        /// let sum = Signal::l2_s(&a, &b, |a, b| Promise::ready(a + b));
        /// set.set(40);
        /// assert!(matches!(sum.state(), State::Fulfilled(signal) if signal.value() == 42));
        /// ```
        l2_s,
        /// [`l2_s`](Signal::l2_s) with an equality of one's own (`S.l2_s ~eq`).
        l2_s_eq,
        l2_s_same, a: A, b: B
    }
    lift_s! {
        /// [`l2_s`](Signal::l2_s) for three (`S.l3_s`).
        l3_s,
        /// [`l3_s`](Signal::l3_s) with an equality of one's own (`S.l3_s ~eq`).
        l3_s_eq,
        l3_s_same, a: A, b: B, c: C
    }
    lift_s! {
        /// [`l2_s`](Signal::l2_s) for four (`S.l4_s`).
        l4_s,
        /// [`l4_s`](Signal::l4_s) with an equality of one's own (`S.l4_s ~eq`).
        l4_s_eq,
        l4_s_same, a: A, b: B, c: C, d: D
    }
    lift_s! {
        /// [`l2_s`](Signal::l2_s) for five (`S.l5_s`).
        l5_s,
        /// [`l5_s`](Signal::l5_s) with an equality of one's own (`S.l5_s ~eq`).
        l5_s_eq,
        l5_s_same, a: A, b: B, c: C, d: D, e: E
    }
    lift_s! {
        /// [`l2_s`](Signal::l2_s) for six (`S.l6_s`).
        l6_s,
        /// [`l6_s`](Signal::l6_s) with an equality of one's own (`S.l6_s ~eq`).
        l6_s_eq,
        l6_s_same, a: A, b: B, c: C, d: D, e: E, g: G
    }
}
