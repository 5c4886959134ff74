//! Levels of nesting, the storage in force, and who has seen which error.

use std::cell::{Cell as Var, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lwt_core::Error;

use super::{Outcome, Promise};

thread_local! {
    static LEVEL: Var<usize> = const { Var::new(0) };
    static DEFERRED: RefCell<VecDeque<Box<dyn FnOnce()>>> = const { RefCell::new(VecDeque::new()) };
    pub(super) static STORED: Var<Option<i64>> = const { Var::new(None) };
}

pub(super) fn level(f: impl FnOnce()) {
    LEVEL.set(LEVEL.get() + 1);
    f();
    if LEVEL.get() == 1 {
        while let Some(next) = DEFERRED.with_borrow_mut(VecDeque::pop_front) {
            next();
        }
    }
    LEVEL.set(LEVEL.get() - 1);
}

/// Runs `f` now, or, if a cascade is running and `later` is said, when that has ended.
pub(super) fn level_or_later(later: bool, f: impl FnOnce() + 'static) {
    if later && LEVEL.get() > 0 {
        DEFERRED.with_borrow_mut(|queue| queue.push_back(Box::new(f)));
    } else {
        level(f);
    }
}

/// The one key that scripts use.
#[derive(Clone, Copy)]
pub(crate) struct Key;

impl Key {
    pub(crate) fn new() -> Key {
        Key
    }

    pub(crate) fn get(self) -> Option<i64> {
        STORED.get()
    }

    pub(crate) fn with_value<R>(self, value: Option<i64>, f: impl FnOnce() -> R) -> R {
        let before = STORED.replace(value);
        let result = f();
        STORED.set(before);
        result
    }
}

/// `f`, to be run later with what is stored now.
pub(super) fn captured<A, R>(f: impl FnOnce(A) -> R) -> impl FnOnce(A) -> R {
    let stored = STORED.get();
    move |argument| Key.with_value(stored, || f(argument))
}

pub(super) fn caught<T: Clone + 'static>(f: impl FnOnce() -> Promise<T>) -> Promise<T> {
    let stored = STORED.get();
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        STORED.set(stored);
        Promise::fail(Error::from_panic(payload))
    })
}

pub(super) fn swallowed(f: impl FnOnce()) {
    let stored = STORED.get();
    if catch_unwind(AssertUnwindSafe(f)).is_err() {
        STORED.set(stored);
    }
}

/// An error that scripts make.
#[derive(Debug)]
pub(crate) struct Tagged(pub(crate) u32);

impl std::fmt::Display for Tagged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "e{}", self.0)
    }
}

impl std::error::Error for Tagged {}

thread_local! {
    /// The errors that rejected some promise, and those that user code or a combinator got hold of.
    pub(crate) static REJECTED: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
    pub(crate) static SEEN: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

pub(super) fn note<T>(set: &'static std::thread::LocalKey<RefCell<BTreeSet<u32>>>, outcome: &Outcome<T>) {
    if let Err(error) = outcome
        && let Some(Tagged(id)) = error.downcast_ref()
    {
        set.with_borrow_mut(|set| set.insert(*id));
    }
}

pub(super) fn note_seen<T>(outcome: &Outcome<T>) {
    note(&SEEN, outcome);
}

/// Forgets everything: the next script starts anew.
pub(crate) fn reset() {
    DEFERRED.take();
    LEVEL.set(0);
    STORED.set(None);
    SEEN.take();
    REJECTED.take();
}
