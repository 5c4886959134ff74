//! [`Signal`] and [`Setter`]: making signals, their values, and what concerns a signal as a whole.

use std::any::Any;
use std::fmt;
use std::rc::{Rc, Weak};

use super::atom::{Atom, Flow, Same};
use super::event::{Event, Finaliser};
use super::grave::let_go;
use super::node::Part;
use super::step::Step;
use super::update;

/// A value that changes now and then (`React.signal`). See the [module](super).
///
/// A handle: clones are the same signal. A signal is kept by its handles and by what is made from it. It has
/// an equality, and does not change when it is to take a value that equals the one it has: `==`, or, by the
/// functions with `_eq` in their name, one of your own.
///
/// ```
/// use lwt_core::react::Signal;
/// let ((width, set_width), (height, _)) = (Signal::create(3), Signal::create(4));
/// let area = Signal::l2(&width, &height, |w, h| w * h);
/// assert_eq!(area.value(), 12);
/// set_width.set(5);
/// assert_eq!(area.value(), 20);
/// ```
#[must_use = "a signal that nobody holds is freed, and what it would do does not happen"]
pub struct Signal<T: 'static> {
    pub(super) atom: Rc<Atom<T>>,
}

/// What changes a signal: see [`Signal::create`]. Clones are for the same signal.
///
/// It does not keep the signal: to set one that is gone has no effect.
pub struct Setter<T: 'static> {
    atom: Weak<Atom<T>>,
}

/// The equality of a type.
pub(super) fn by_eq<T: PartialEq + 'static>() -> Same<T> {
    Rc::new(T::eq)
}

/// The equality of values that always count as new.
pub(super) fn always_new<T: 'static>() -> Same<T> {
    Rc::new(|_, _| false)
}

impl<T: 'static> Signal<T> {
    /// A signal with this value, and what changes it (`S.create`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (signal, setter) = Signal::create(1);
    /// setter.set(2);
    /// assert_eq!(signal.value(), 2);
    /// ```
    pub fn create(value: T) -> (Signal<T>, Setter<T>)
    where
        T: PartialEq,
    {
        Signal::with_same(value, by_eq())
    }

    /// [`create`](Signal::create) with an equality of one's own (`S.create ~eq`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (signal, setter) = Signal::create_eq(1.0, |a: &f64, b| (a - b).abs() < 0.1);
    /// setter.set(1.01);
    /// assert_eq!(signal.value(), 1.0);
    /// ```
    pub fn create_eq(value: T, eq: impl Fn(&T, &T) -> bool + 'static) -> (Signal<T>, Setter<T>) {
        Signal::with_same(value, Rc::new(eq))
    }

    fn with_same(value: T, same: Same<T>) -> (Signal<T>, Setter<T>) {
        let atom = Atom::primitive(Some(Rc::new(value)), Some(same));
        let setter = Setter { atom: Rc::downgrade(&atom) };
        (Signal { atom }, setter)
    }

    /// A signal that does not change (`S.const`, `S.return`).
    ///
    /// ```
    /// assert_eq!(lwt_core::react::Signal::constant(1).value(), 1);
    /// ```
    pub fn constant(value: T) -> Signal<T> {
        Signal { atom: Atom::fixed(Some(Rc::new(value)), Some(always_new())) }
    }

    /// What `rule` makes of `sources`; `value` at first.
    pub(super) fn derived(
        value: Rc<T>,
        same: Same<T>,
        sources: impl IntoIterator<Item = Rc<dyn Part>>,
        rule: impl FnMut(&Rc<Atom<T>>) -> Flow<T> + 'static,
    ) -> Signal<T> {
        Signal { atom: Atom::derived(Some(value), Some(same), sources, rule) }
    }

    /// The value, shared.
    pub(super) fn now(&self) -> Rc<T> {
        match self.atom.value() {
            Some(value) => value,
            None => unreachable!("a signal always has a value"),
        }
    }

    pub(super) fn part(&self) -> Rc<dyn Part> {
        self.atom.clone()
    }

    /// This signal's equality.
    pub(super) fn same(&self) -> Same<T> {
        self.atom.same().cloned().unwrap_or_else(always_new)
    }

    /// A clone of the value (`S.value`).
    ///
    /// In a step, what is to be updated later in it still has its old value.
    ///
    /// ```
    /// assert_eq!(lwt_core::react::Signal::constant("a").value(), "a");
    /// ```
    pub fn value(&self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// `f` of the value, which need not be `Clone`.
    ///
    /// ```
    /// let text = lwt_core::react::Signal::constant("text".to_owned());
    /// assert_eq!(text.with(|text| text.len()), 4);
    /// ```
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let value = self.now();
        let result = f(&value);
        // `f` may have changed the signal; then this is the end of the value.
        let_go(value);
        result
    }

    /// From now on it keeps its value (`S.stop`). What it was made from is let go of, as far as only it kept
    /// that.
    ///
    /// In a step it may still change in this one.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (signal, setter) = Signal::create(1);
    /// signal.stop();
    /// setter.set(2);
    /// assert_eq!(signal.value(), 1);
    /// ```
    pub fn stop(&self) {
        self.atom.stop();
    }

    /// Whether it has stopped, or is [constant](Signal::constant).
    pub fn is_stopped(&self) -> bool {
        self.atom.is_stopped()
    }

    /// Keeps this signal, with all that it is made from, to the end of the program, or until it
    /// [stops](Signal::stop) (`S.keep`): as [`Event::keep`].
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (signal, setter) = Signal::create(1);
    /// let printing = signal.map(|n| println!("now it is {n}"));
    /// printing.keep();
    /// drop(printing);
    /// setter.set(2);
    /// # signal.stop();
    /// ```
    pub fn keep(&self) {
        std::mem::forget(self.clone());
    }

    /// Has the signal keep a value for as long as it lives, in place of the one before, which it gives back
    /// (`S.retain`).
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (signal, _setter) = Signal::create(1);
    /// assert!(signal.retain("a").is_none());
    /// ```
    pub fn retain(&self, value: impl Any) -> Option<Box<dyn Any>> {
        self.atom.retain(Some(Box::new(value)))
    }

    /// This signal, and `f` is called when the one that it gives is freed (`S.with_finaliser`).
    ///
    /// A panic of `f` goes to the unhandled-rejection hook.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// use std::{cell::Cell, rc::Rc};
    /// let freed = Rc::new(Cell::new(false));
    /// let flag = freed.clone();
    /// let signal = Signal::constant(1).with_finaliser(move || flag.set(true));
    /// drop(signal);
    /// assert!(freed.get());
    /// ```
    pub fn with_finaliser(&self, f: impl FnOnce() + 'static) -> Signal<T> {
        let (source, finaliser) = (self.clone(), Finaliser(Some(f)));
        Signal::derived(self.now(), self.same(), [self.part()], move |_| {
            let _kept = &finaliser;
            Flow::Value(source.now())
        })
    }

    /// A signal that is made from what it was a moment ago (`S.fix`).
    ///
    /// `f` gets a signal that is `start` at first, and then, in the step right after each change, what the
    /// signal is which `f` returns. What else `f` returns is the result. The loop lives as long as the signal
    /// that `f` returns is held: as a part of the result, or by something made from it.
    ///
    /// ```
    /// use lwt_core::react::Signal;
    /// let (up, setter) = Signal::create(10);
    /// // A maximum that remembers: the greater one of the input and itself.
    /// let max = Signal::fix(0, |before| {
    ///     let max = Signal::l2(&up, before, |a, b| *a.max(b));
    ///     (max.clone(), max)
    /// });
    /// [12, 7].into_iter().for_each(|n| setter.set(n));
    /// assert_eq!(max.value(), 12);
    /// ```
    pub fn fix<R>(start: T, f: impl FnOnce(&Signal<T>) -> (Signal<T>, R)) -> R
    where
        T: PartialEq,
    {
        Signal::fix_same(start, f, by_eq())
    }

    /// [`fix`](Signal::fix) with an equality of one's own (`S.fix ~eq`).
    pub fn fix_eq<R>(
        start: T,
        f: impl FnOnce(&Signal<T>) -> (Signal<T>, R),
        eq: impl Fn(&T, &T) -> bool + 'static,
    ) -> R {
        Signal::fix_same(start, f, Rc::new(eq))
    }

    fn fix_same<R>(start: T, f: impl FnOnce(&Signal<T>) -> (Signal<T>, R), same: Same<T>) -> R {
        let (delayed, setter) = Signal::with_same(start, same);
        let (signal, result) = f(&delayed);
        if !Rc::ptr_eq(&signal.atom, &delayed.atom) {
            signal.atom.echo(&delayed.atom);
            let first = signal.now();
            update::echo(move || setter.take(first));
        }
        result
    }
}

impl<T: 'static> Setter<T> {
    /// Changes the signal, with all that follows from it, before this returns; has no effect if the value
    /// equals the one it has.
    ///
    /// Inside a step, or inside what happens at its end, the change waits its turn, and is made before the
    /// outermost call returns.
    ///
    /// ```
    /// let (signal, setter) = lwt_core::react::Signal::create(1);
    /// setter.set(2);
    /// assert_eq!(signal.value(), 2);
    /// ```
    pub fn set(&self, value: T) {
        let (setter, value) = (self.clone(), Rc::new(value));
        update::step(move || setter.take(value));
    }

    /// Adds a change to a step, which makes it together with the others of that step (`set ~step`). Of two
    /// for the same signal the later one counts. See [`Step`].
    pub fn set_in(&self, step: &mut Step, value: T) {
        let (setter, value) = (self.clone(), Rc::new(value));
        step.add(move || setter.take(value));
    }

    /// Part of a step.
    fn take(&self, value: Rc<T>) {
        if let Some(atom) = self.atom.upgrade() {
            atom.send(value);
        }
    }

    /// Whether there still is a signal to set.
    ///
    /// ```
    /// let (signal, setter) = lwt_core::react::Signal::create(1);
    /// drop(signal);
    /// assert!(!setter.is_wanted());
    /// ```
    pub fn is_wanted(&self) -> bool {
        self.atom.upgrade().is_some_and(|atom| !atom.is_stopped())
    }
}

impl<T: 'static> Clone for Signal<T> {
    fn clone(&self) -> Signal<T> {
        Signal { atom: self.atom.clone() }
    }
}

impl<T: 'static> Clone for Setter<T> {
    fn clone(&self) -> Setter<T> {
        Setter { atom: self.atom.clone() }
    }
}

impl<T: PartialEq + 'static> PartialEq for Signal<T> {
    /// The same signal, or two that do not change any more and have equal values (`S.equal`).
    fn eq(&self, other: &Signal<T>) -> bool {
        Rc::ptr_eq(&self.atom, &other.atom)
            || (self.is_stopped() && other.is_stopped() && *self.now() == *other.now())
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for Signal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal")
            .field("value", &self.now())
            .field("stopped", &self.is_stopped())
            .field("dependents", &self.atom.node().many_dependents())
            .finish()
    }
}

impl<T: 'static> fmt::Debug for Setter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setter").field("wanted", &self.is_wanted()).finish()
    }
}

impl<T: 'static> Event<T> {
    /// The value of the last occurrence, and `start` before the first (`S.hold`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let last = event.hold(0);
    /// assert_eq!(last.value(), 0);
    /// sender.send(1);
    /// assert_eq!(last.value(), 1);
    /// ```
    pub fn hold(&self, start: T) -> Signal<T>
    where
        T: PartialEq,
    {
        self.held(Rc::new(start), by_eq())
    }

    /// [`hold`](Event::hold) with an equality of one's own (`S.hold ~eq`).
    pub fn hold_eq(&self, start: T, eq: impl Fn(&T, &T) -> bool + 'static) -> Signal<T> {
        self.held(Rc::new(start), Rc::new(eq))
    }

    pub(super) fn held(&self, start: Rc<T>, same: Same<T>) -> Signal<T> {
        let source = self.clone();
        Signal::derived(start, same, [self.part()], move |_| source.now().into())
    }
}
