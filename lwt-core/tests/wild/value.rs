//! Values that notice what is done to them, and whose destructors and clone functions do what they like.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread::panicking;

use lwt_core::Promise;

use crate::common::Rng;

const INTACT: u64 = 0x1ead_beef;

thread_local! {
    static LEFT: Cell<isize> = const { Cell::new(0) };
    static FAULT: RefCell<Option<String>> = const { RefCell::new(None) };
    static MOOD: RefCell<Mood> = const { RefCell::new(Mood { rng: Rng(0), panics: false, acts: false }) };
    /// What a destructor does to the graph.
    static ACT: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
}

struct Mood {
    rng: Rng,
    panics: bool,
    acts: bool,
}

/// A fresh graph: half of them have values that panic, half have some whose destructors act.
pub(crate) fn begin(seed: u64) {
    LEFT.set(0);
    FAULT.take();
    MOOD.set(Mood { rng: Rng(!seed), panics: seed & 1 != 0, acts: seed & 2 != 0 });
}

pub(crate) fn set_act(act: Option<Rc<dyn Fn()>>) {
    let before = ACT.replace(act);
    drop(before);
}

/// From now on no value does anything.
pub(crate) fn calm_down() {
    MOOD.with_borrow_mut(|mood| (mood.panics, mood.acts) = (false, false));
}

pub(crate) fn left() -> isize {
    LEFT.get()
}

/// Notes what is wrong. (A panic would only reject a promise.)
pub(crate) fn complain(text: &str) {
    FAULT.with_borrow_mut(|fault| _ = fault.get_or_insert_with(|| text.to_owned()));
}

pub(crate) fn fault() -> Option<String> {
    FAULT.take()
}

fn now(what: impl Fn(&Mood) -> bool, one_in: usize) -> bool {
    MOOD.with_borrow_mut(|mood| what(mood) && mood.rng.one_in(one_in))
}

fn act() {
    if now(|mood| mood.acts, 6)
        && let Some(act) = ACT.with_borrow(Clone::clone)
    {
        // In a destructor, perhaps in the middle of a panic.
        let _ = catch_unwind(AssertUnwindSafe(|| act()));
    }
}

/// A value that can only be moved.
pub(crate) struct Unique(Box<u64>);

impl Unique {
    fn made() -> Unique {
        LEFT.set(LEFT.get() + 1);
        Unique(Box::new(INTACT))
    }
}

impl Drop for Unique {
    fn drop(&mut self) {
        self.look();
        *self.0 = 0;
        LEFT.set(LEFT.get() - 1);
        act();
        if !panicking() && now(|mood| mood.panics, 12) {
            panic!("a destructor");
        }
    }
}

/// A value with many owners.
pub(crate) struct Shared(Unique);

impl Clone for Shared {
    fn clone(&self) -> Shared {
        self.look();
        act();
        if !panicking() && now(|mood| mood.panics, 12) {
            panic!("a clone function");
        }
        self.look();
        Shared(Unique::made())
    }
}

pub(crate) trait Value: Sized + 'static {
    fn new() -> Self;
    /// Complains if the value is gone.
    fn look(&self);
    /// Another handle, if there may be one.
    fn share(promise: &Promise<Self>) -> Option<Promise<Self>>;
}

impl Value for Unique {
    fn new() -> Unique {
        Unique::made()
    }

    fn look(&self) {
        if *self.0 != INTACT {
            complain("a value was used after it was dropped");
        }
    }

    fn share(_: &Promise<Unique>) -> Option<Promise<Unique>> {
        None
    }
}

impl Value for Shared {
    fn new() -> Shared {
        Shared(Unique::made())
    }

    fn look(&self) {
        self.0.look();
    }

    fn share(promise: &Promise<Shared>) -> Option<Promise<Shared>> {
        Some(promise.clone())
    }
}

/// Does something to the graph when it is dropped, if it is in the mood: to be captured.
pub(crate) struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        act();
    }
}
