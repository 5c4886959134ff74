//! Signals of booleans, pairs and options (`S.Bool`, `S.Pair`, `S.Option`).
//!
//! Each is a lift; for numbers and comparisons (`S.Int`, `S.Float`, `S.Compare`) a lift of the operator is as
//! short as a name for it would be: `Signal::l2(&a, &b, |a, b| a + b)`.

use std::rc::Rc;

use super::atom::Flow;
use super::signal::by_eq;
use super::{Event, Signal, update};

impl Signal<bool> {
    /// True while this one is false (`S.Bool.not`).
    ///
    /// ```
    /// assert!(lwt_core::react::Signal::constant(false).not().value());
    /// ```
    pub fn not(&self) -> Signal<bool> {
        self.map(|on| !on)
    }

    /// True while both are (`S.Bool.(&&)`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (a, b) = (Signal::constant(true), Signal::constant(false));
    /// assert!(!a.and(&b).value() && a.or(&b).value());
    /// ```
    pub fn and(&self, other: &Signal<bool>) -> Signal<bool> {
        Signal::l2(self, other, |a, b| *a && *b)
    }

    /// True while one of them is (`S.Bool.(||)`).
    pub fn or(&self, other: &Signal<bool>) -> Signal<bool> {
        Signal::l2(self, other, |a, b| *a || *b)
    }

    /// Its changes (`S.Bool.edge`).
    pub fn edge(&self) -> Event<bool> {
        self.changes()
    }

    /// Occurs when it becomes true (`S.Bool.rise`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (on, set) = Signal::create(false);
    /// let rises = on.rise().fold(0, |many, ()| many + 1).hold(0);
    /// [true, false, true].into_iter().for_each(|value| set.set(value));
    /// assert_eq!(rises.value(), 2);
    /// ```
    pub fn rise(&self) -> Event<()> {
        self.edge().filter(|on| *on).stamp(())
    }

    /// Occurs when it becomes false (`S.Bool.fall`).
    pub fn fall(&self) -> Event<()> {
        self.edge().filter(|on| !on).stamp(())
    }

    /// `start`, and the opposite of what it was at each occurrence of `event` (`S.Bool.flip`).
    ///
    /// ```
    /// use lwt_core::react::{Event, Signal};
    /// let (click, sender) = Event::create();
    /// let light = Signal::flip(false, &click);
    /// sender.send(());
    /// assert!(light.value());
    /// ```
    pub fn flip<A: 'static>(start: bool, event: &Event<A>) -> Signal<bool> {
        event.fold(start, |on, _| !on).hold(start)
    }
}

impl<A: PartialEq + Clone + 'static, B: PartialEq + Clone + 'static> Signal<(A, B)> {
    /// Both values (`S.Pair.pair`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let pair = Signal::pair(&Signal::constant(1), &Signal::constant('a'));
    /// assert_eq!((pair.fst().value(), pair.snd().value()), (1, 'a'));
    /// ```
    pub fn pair(a: &Signal<A>, b: &Signal<B>) -> Signal<(A, B)> {
        Signal::l2(a, b, |a, b| (a.clone(), b.clone()))
    }

    /// The first value (`S.Pair.fst`).
    pub fn fst(&self) -> Signal<A> {
        self.map(|(a, _)| a.clone())
    }

    /// The second value (`S.Pair.snd`).
    pub fn snd(&self) -> Signal<B> {
        self.map(|(_, b)| b.clone())
    }
}

impl<T: PartialEq + Clone + 'static> Signal<Option<T>> {
    /// The value, and that of `default` while there is none (`` S.Option.value ~default:(`Always s) ``).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (option, set) = Signal::create(None);
    /// let (default, set_default) = Signal::create(1);
    /// let (always, last) = (option.or_always(&default), option.or_last(&default));
    /// set.set(Some(7));
    /// set.set(None);
    /// set_default.set(2);
    /// assert_eq!((always.value(), last.value()), (2, 7));
    /// ```
    pub fn or_always(&self, default: &Signal<T>) -> Signal<T> {
        Signal::l2(self, default, |option, default| option.clone().unwrap_or_else(|| default.clone()))
    }

    /// The last value; what `default` is while there was none yet (`` S.Option.value ~default:(`Init s) ``).
    pub fn or_last(&self, default: &Signal<T>) -> Signal<T> {
        let (source, default_too) = (self.clone(), default.clone());
        let mut had = false;
        let mut value = move || {
            if let Some(value) = &*source.now() {
                had = true;
                return Some(Rc::new(value.clone()));
            }
            (!had).then(|| default_too.now())
        };
        let parts = [self.part(), default.part()];
        update::between_steps(|| {
            let first = value().unwrap_or_else(|| default.now());
            Signal::derived(first, by_eq(), parts, move |_| Flow::from(value()))
        })
    }

    /// Whether there is a value.
    pub fn has_some(&self) -> Signal<bool> {
        self.map(Option::is_some)
    }
}
