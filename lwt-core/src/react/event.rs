//! [`Event`] and [`Sender`]: making events, sending, and what concerns an event as a whole.

use std::any::Any;
use std::fmt;
use std::rc::{Rc, Weak};

use super::atom::{Atom, Flow};
use super::node::{Node, Part};
use super::step::Step;
use super::update;

/// Something that occurs now and then, each time with a value (`React.event`). See the [module](super).
///
/// A handle: clones are the same event. An event is kept by its handles and by the events and signals that
/// are made from it.
///
/// ```
/// use lwt_core::react::Event;
/// use std::{cell::RefCell, rc::Rc};
/// let (keys, press) = Event::create();
/// let typed = Rc::new(RefCell::new(String::new()));
/// let text = typed.clone();
/// let typing = keys.filter(|c: &char| c.is_alphabetic()).map(move |c| text.borrow_mut().push(*c));
/// "h-i".chars().for_each(|c| press.send(c));
/// assert_eq!(*typed.borrow(), "hi");
/// # drop(typing);
/// ```
#[must_use = "an event that nobody holds is freed, and what it would do does not happen"]
pub struct Event<T: 'static> {
    pub(super) atom: Rc<Atom<T>>,
}

/// What makes an event occur: see [`Event::create`]. Clones are for the same event.
///
/// It does not keep the event: to send to one that is gone has no effect.
pub struct Sender<T: 'static> {
    atom: Weak<Atom<T>>,
}

impl<T: 'static> Event<T> {
    /// An event, and what makes it occur (`E.create`).
    ///
    /// ```
    /// use lwt_core::{State, react::Event};
    /// let (event, sender) = Event::create();
    /// let next = event.next();
    /// sender.send(1);
    /// assert!(matches!(next.state(), State::Fulfilled(1)));
    /// ```
    pub fn create() -> (Event<T>, Sender<T>) {
        let atom = Atom::primitive(None, None);
        let sender = Sender { atom: Rc::downgrade(&atom) };
        (Event { atom }, sender)
    }

    /// The event that never occurs (`E.never`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// assert!(Event::<u8>::never() == Event::never());
    /// ```
    pub fn never() -> Event<T> {
        Event { atom: Atom::fixed(None, None) }
    }

    /// What `rule` makes of `sources`.
    pub(super) fn derived(
        sources: impl IntoIterator<Item = Rc<dyn Part>>,
        rule: impl FnMut(&Rc<Atom<T>>) -> Flow<T> + 'static,
    ) -> Event<T> {
        Event { atom: Atom::derived(None, None, sources, rule) }
    }

    /// What `f` makes of this event's occurrences.
    pub(super) fn each<U: 'static>(&self, mut f: impl FnMut(Rc<T>) -> Option<Rc<U>> + 'static) -> Event<U> {
        let source = self.clone();
        Event::derived([self.part()], move |_| source.now().and_then(&mut f).into())
    }

    /// The occurrence in this step.
    pub(super) fn now(&self) -> Option<Rc<T>> {
        self.atom.value()
    }

    pub(super) fn part(&self) -> Rc<dyn Part> {
        self.atom.clone()
    }

    /// From now on it does not occur (`E.stop`). What it was made from is let go of, as far as only it kept
    /// that.
    ///
    /// In a step it may still occur in this one.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let doubled = event.map(|n: &i32| n * 2);
    /// doubled.stop();
    /// let next = doubled.next();
    /// sender.send(1);
    /// assert!(next.is_pending());
    /// ```
    pub fn stop(&self) {
        self.atom.stop();
    }

    /// Whether it has stopped, or is [`never`](Event::never).
    pub fn is_stopped(&self) -> bool {
        self.atom.is_stopped()
    }

    /// Keeps this event, with all that it is made from, to the end of the program, or until it
    /// [stops](Event::stop) (`E.keep`).
    ///
    /// For events that are there for what their functions do. Where something else knows how long that is
    /// wanted, let it hold the handle.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let printing = event.map(|line: &&str| println!("{line}"));
    /// printing.keep();
    /// drop(printing);
    /// sender.send("is printed");
    /// # event.stop();
    /// ```
    pub fn keep(&self) {
        std::mem::forget(self.clone());
    }

    /// Has the event keep a value for as long as it lives, in place of the one before, which it gives back
    /// (`E.retain`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, _sender) = Event::<()>::create();
    /// assert!(event.retain("a").is_none());
    /// assert_eq!(event.retain("b").unwrap().downcast_ref(), Some(&"a"));
    /// ```
    pub fn retain(&self, value: impl Any) -> Option<Box<dyn Any>> {
        self.atom.retain(Some(Box::new(value)))
    }

    /// This event, and `f` is called when the one that it gives is freed (`E.with_finaliser`).
    ///
    /// A panic of `f` goes to the unhandled-rejection hook.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// use std::{cell::Cell, rc::Rc};
    /// let freed = Rc::new(Cell::new(false));
    /// let flag = freed.clone();
    /// let (event, _sender) = Event::<()>::create();
    /// let event = event.with_finaliser(move || flag.set(true));
    /// assert!(!freed.get());
    /// drop(event);
    /// assert!(freed.get());
    /// ```
    pub fn with_finaliser(&self, f: impl FnOnce() + 'static) -> Event<T> {
        let finaliser = Finaliser(Some(f));
        self.each(move |value| {
            let _kept = &finaliser;
            Some(value)
        })
    }
}

/// Calls a function when it is dropped.
pub(super) struct Finaliser<F: FnOnce()>(pub(super) Option<F>);

impl<F: FnOnce()> Drop for Finaliser<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

impl<T: 'static> Sender<T> {
    /// Makes the event occur, with all that follows from it, before this returns.
    ///
    /// Inside a step, or inside what happens at its end, the occurrence waits its turn, and happens before
    /// the outermost `send` returns.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let (copy, copier) = Event::create();
    /// let sum = copy.fold(0, |sum, n| sum + n).hold(0);
    /// let copying = event.map(move |n: &i32| copier.send(*n)); // inside a step
    /// sender.send(1);
    /// sender.send(2);
    /// assert_eq!(sum.value(), 3);
    /// # drop(copying);
    /// ```
    pub fn send(&self, value: T) {
        self.send_shared(Rc::new(value));
    }

    pub(super) fn send_shared(&self, value: Rc<T>) {
        let atom = self.atom.clone();
        update::step(move || {
            if let Some(atom) = atom.upgrade() {
                atom.send(value);
            }
        });
    }

    /// Adds an occurrence to a step, which makes it happen at once with the others of that step
    /// (`send ~step`). Of two for the same event the later one counts.
    ///
    /// ```
    /// use lwt_core::react::{Event, Step};
    /// let ((a, send_a), (b, send_b)) = (Event::create(), Event::create());
    /// let both = Event::l2(&a, &b, |a: &i32, b: &i32| a + b).hold(0);
    /// let mut step = Step::new();
    /// send_a.send_in(&mut step, 1);
    /// send_b.send_in(&mut step, 2);
    /// step.execute();
    /// assert_eq!(both.value(), 3);
    /// ```
    pub fn send_in(&self, step: &mut Step, value: T) {
        let (atom, value) = (self.atom.clone(), Rc::new(value));
        step.add(move || {
            if let Some(atom) = atom.upgrade() {
                atom.send(value);
            }
        });
    }

    /// Whether there still is an event to send to.
    ///
    /// ```
    /// let (event, sender) = lwt_core::react::Event::<()>::create();
    /// assert!(sender.is_wanted());
    /// drop(event);
    /// assert!(!sender.is_wanted());
    /// ```
    pub fn is_wanted(&self) -> bool {
        self.atom.upgrade().is_some_and(|atom| !atom.is_stopped())
    }

    /// The end of the event on behalf of who sends.
    pub(super) fn stop(&self) {
        if let Some(atom) = self.atom.upgrade() {
            atom.stop();
        }
    }
}

impl<T: 'static> Clone for Event<T> {
    fn clone(&self) -> Event<T> {
        Event { atom: self.atom.clone() }
    }
}

impl<T: 'static> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { atom: self.atom.clone() }
    }
}

impl<T: 'static> PartialEq for Event<T> {
    /// The same event, or two that will not occur any more (`E.equal`).
    fn eq(&self, other: &Event<T>) -> bool {
        Rc::ptr_eq(&self.atom, &other.atom) || (self.is_stopped() && other.is_stopped())
    }
}

impl<T: 'static> Eq for Event<T> {}

impl<T: 'static> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node: &Node = self.atom.node();
        f.debug_struct("Event")
            .field("stopped", &self.is_stopped())
            .field("dependents", &node.many_dependents())
            .finish()
    }
}

impl<T: 'static> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("wanted", &self.is_wanted()).finish()
    }
}
