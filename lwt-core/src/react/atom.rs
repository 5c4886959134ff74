//! [`Atom`]: a node with its value and its rule; what events and signals are handles on.
//!
//! 1. The value of an event is there while it occurs: from its update to the end of the step. That of a
//!    signal is always there. Values are shared by `Rc`: to pass one on needs no clone of it, and a signal
//!    that gets the one it has does not change.
//! 2. The rule is out of its place while it runs. It runs in steps only, so never inside itself. If it
//!    panics, the node does not change, and the step goes on.
//! 3. A rule owns the handles that it reads, so it keeps them; it knows its own node by its argument only.
//! 4. An atom that has stopped has no rule and no links; a signal's value stays.
//! 5. What is dropped is user code: it is dropped when no borrow is held, and not nested (`grave.rs`).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::promise::cascade::guarded;

use super::grave::{bury, let_go};
use super::node::{Link, Node, Part};
use super::update;

/// What a rule finds.
pub(super) enum Flow<T> {
    /// A new value.
    Value(Rc<T>),
    /// No occurrence, no change.
    Nothing,
    /// It has a new source, and is to be asked again when that is up to date.
    Again,
}

impl<T> From<Option<Rc<T>>> for Flow<T> {
    fn from(value: Option<Rc<T>>) -> Flow<T> {
        value.map_or(Flow::Nothing, Flow::Value)
    }
}

type Rule<T> = Box<dyn FnMut(&Rc<Atom<T>>) -> Flow<T>>;

/// Whether two values are the same.
pub(super) type Same<T> = Rc<dyn Fn(&T, &T) -> bool>;

pub(super) struct Atom<T: 'static> {
    node: Node,
    value: RefCell<Option<Rc<T>>>,
    /// Set for signals.
    same: Option<Same<T>>,
    rule: Cell<Option<Rule<T>>>,
    /// What a primitive takes when it is updated: the last that was sent in this step.
    sent: Cell<Option<Rc<T>>>,
    /// Atoms that take this one's value in the next step.
    echoes: RefCell<Vec<Weak<Atom<T>>>>,
    /// What lives as long as this atom is in use: what feeds it.
    feed: RefCell<Option<Box<dyn Any>>>,
    /// What a user has it keep.
    retained: RefCell<Option<Box<dyn Any>>>,
}

impl<T: 'static> Atom<T> {
    /// A primitive: it changes when it is told.
    pub(super) fn primitive(value: Option<Rc<T>>, same: Option<Same<T>>) -> Rc<Atom<T>> {
        Atom::new(value, same, None)
    }

    /// What changes never.
    pub(super) fn fixed(value: Option<Rc<T>>, same: Option<Same<T>>) -> Rc<Atom<T>> {
        let atom = Atom::primitive(value, same);
        atom.node.stopped.set(true);
        atom
    }

    /// What is updated by `rule` when one of `sources` changes.
    ///
    /// Inside a step it sees also what has already occurred in it.
    pub(super) fn derived(
        value: Option<Rc<T>>,
        same: Option<Same<T>>,
        sources: impl IntoIterator<Item = Rc<dyn Part>>,
        rule: impl FnMut(&Rc<Atom<T>>) -> Flow<T> + 'static,
    ) -> Rc<Atom<T>> {
        let atom = Atom::new(value, same, Some(Box::new(rule)));
        let part: Rc<dyn Part> = atom.clone();
        let mut occurring = false;
        for source in sources {
            Node::link(&part, &source);
            occurring |= source.occurs();
        }
        if occurring {
            update::enqueue(&part);
        }
        atom
    }

    fn new(value: Option<Rc<T>>, same: Option<Same<T>>, rule: Option<Rule<T>>) -> Rc<Atom<T>> {
        Rc::new(Atom {
            node: Node::new(update::new_id()),
            value: RefCell::new(value),
            same,
            rule: Cell::new(rule),
            sent: Cell::new(None),
            echoes: RefCell::new(Vec::new()),
            feed: RefCell::new(None),
            retained: RefCell::new(None),
        })
    }

    /// The occurrence in this step, or the value of the signal.
    pub(super) fn value(&self) -> Option<Rc<T>> {
        self.value.borrow().clone()
    }

    pub(super) fn same(&self) -> Option<&Same<T>> {
        self.same.as_ref()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.node.stopped.get()
    }

    /// Has a primitive take a value in this step, in place of one that was sent before in it.
    pub(super) fn send(self: &Rc<Self>, value: Rc<T>) {
        if self.is_stopped() {
            return;
        }
        let part: Rc<dyn Part> = self.clone();
        update::enqueue(&part);
        drop(self.sent.replace(Some(value)));
    }

    fn put(self: &Rc<Self>, value: Rc<T>) {
        if let (Some(same), Some(old)) = (&self.same, self.value()) {
            // If it cannot be compared it is not taken.
            let mut differs = false;
            guarded(|| differs = !Rc::ptr_eq(&old, &value) && !same(&old, &value));
            if !differs {
                return let_go(value);
            }
        }
        let old = self.value.borrow_mut().replace(value.clone());
        if self.same.is_none() {
            let part: Weak<dyn Part> = Rc::downgrade(self) as Weak<dyn Part>;
            update::occurs(part);
        }
        self.node.for_each_dependent(|dependent| update::enqueue(&dependent));
        for echo in self.echoes.borrow().iter() {
            let (echo, value) = (echo.clone(), value.clone());
            update::echo(move || {
                if let Some(echo) = echo.upgrade() {
                    echo.send(value);
                }
            });
        }
        let_go(old);
    }

    /// From now on it does not change.
    pub(super) fn stop(&self) {
        if !self.node.stopped.replace(true) {
            bury((self.rule.take(), self.node.cut(), self.feed.take()));
        }
    }

    /// Takes `new` as a source in place of `old`. Whether it could: not if `new` depends on this atom.
    pub(super) fn relink(self: &Rc<Self>, old: Option<Rc<dyn Part>>, new: Rc<dyn Part>) -> bool {
        if self.is_stopped() {
            return true;
        }
        let link: Option<Link> = old.and_then(|old| self.node.unlink(old.node()));
        let part: Rc<dyn Part> = self.clone();
        let linked = Node::link(&part, &new);
        bury(link);
        linked
    }

    /// Has `echo` take each value of this atom in the step after. Nobody is kept by it.
    pub(super) fn echo(&self, echo: &Rc<Atom<T>>) {
        let mut echoes = self.echoes.borrow_mut();
        if echoes.len() == echoes.capacity() {
            echoes.retain(|echo| echo.strong_count() > 0);
        }
        echoes.push(Rc::downgrade(echo));
    }

    /// Keeps what feeds this atom until it stops or is dropped.
    pub(super) fn set_feed(&self, feed: impl Any) {
        let before = self.feed.borrow_mut().replace(Box::new(feed));
        bury(before);
    }

    pub(super) fn retain(&self, value: Option<Box<dyn Any>>) -> Option<Box<dyn Any>> {
        self.retained.replace(value)
    }
}

impl<T: 'static> Part for Atom<T> {
    fn node(&self) -> &Node {
        &self.node
    }

    fn update(self: Rc<Self>) {
        if let Some(sent) = self.sent.take() {
            return self.put(sent);
        }
        let Some(mut rule) = self.rule.take() else { return };
        let mut flow = Flow::Nothing;
        guarded(|| flow = rule(&self));
        if self.is_stopped() {
            bury(rule);
        } else {
            self.rule.set(Some(rule));
        }
        match flow {
            Flow::Value(value) => self.put(value),
            Flow::Nothing => {}
            Flow::Again => {
                let part: Rc<dyn Part> = self;
                update::enqueue(&part);
            }
        }
    }

    fn forget(&self) {
        let occurrence = self.value.take();
        let_go(occurrence);
    }

    fn occurs(&self) -> bool {
        self.same.is_none() && self.value.borrow().is_some()
    }
}

impl<T: 'static> Drop for Atom<T> {
    fn drop(&mut self) {
        let links = self.node.cut();
        bury((
            self.rule.take(),
            self.value.take(),
            self.sent.take(),
            links,
            self.feed.take(),
            self.retained.take(),
            self.same.take(),
        ));
    }
}
