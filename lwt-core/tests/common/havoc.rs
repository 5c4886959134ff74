//! What the wild tests share: values whose destructors, clones and comparisons do anything, functions that do
//! so, and bags of things to do something with.
#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lwt_core::Error;

use crate::common::Rng;

type Act = Rc<dyn Fn()>;

thread_local! {
    static RNG: RefCell<Rng> = const { RefCell::new(Rng(0)) };
    /// What may happen anywhere; nothing does when there is none.
    static ACT: RefCell<Option<Act>> = const { RefCell::new(None) };
    /// How much may still happen.
    static FUEL: Cell<u32> = const { Cell::new(0) };
    /// Values and functions that are alive.
    static ALIVE: Cell<isize> = const { Cell::new(0) };
}

pub(crate) fn begin(seed: u64, act: impl Fn() + 'static) {
    RNG.set(Rng(seed));
    ALIVE.set(0);
    ACT.set(Some(Rc::new(act)));
}

pub(crate) fn refuel() {
    FUEL.set(60);
}

/// From now on nothing happens by itself, and nothing panics.
pub(crate) fn calm_down() {
    let act = ACT.take();
    drop(act);
}

pub(crate) fn is_calm() -> bool {
    ACT.with_borrow(Option::is_none)
}

pub(crate) fn alive() -> isize {
    ALIVE.get()
}

pub(crate) fn below(bound: usize) -> usize {
    RNG.with_borrow_mut(|rng| rng.below(bound))
}

pub(crate) fn one_in(n: usize) -> bool {
    below(n) == 0
}

/// Does something, if there is fuel.
pub(crate) fn act() {
    if let Some(act) = ACT.with_borrow(Clone::clone)
        && FUEL.get() > 0
    {
        FUEL.set(FUEL.get() - 1);
        act();
    }
}

/// What a user's code does, once in a while: anything.
pub(crate) fn anything() {
    if is_calm() {
        return;
    }
    if one_in(6) {
        act();
    }
    if one_in(12) && !std::thread::panicking() {
        panic!("on purpose");
    }
}

/// Whether an error is one of those that the play makes.
pub(crate) fn is_on_purpose(error: &Error) -> bool {
    error.to_string().contains("on purpose") || error.is_abandoned()
}

pub(crate) struct Token;

impl Token {
    pub(crate) fn new() -> Token {
        ALIVE.set(ALIVE.get() + 1);
        Token
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

pub(crate) struct Value(pub(crate) u32, #[allow(dead_code, reason = "it is counted")] Token);

impl Value {
    pub(crate) fn new(number: u32) -> Value {
        Value(number, Token::new())
    }

    pub(crate) fn any() -> Value {
        Value::new(below(4) as u32)
    }

    /// `thing`; the end of this value comes before. (What a function returns leaks if the destructor of an
    /// argument or a temporary panics behind it: that is the compiler's. So nothing here ends so late.)
    pub(crate) fn then<T>(self, thing: T) -> T {
        drop(self);
        thing
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        anything();
    }
}

impl Clone for Value {
    fn clone(&self) -> Value {
        anything();
        Value::new(self.0)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        anything();
        self.0 == other.0
    }
}

/// A user's function.
pub(crate) fn called() -> impl Fn(&Value) -> Value + Clone + 'static {
    let token = Rc::new(Token::new());
    move |value| {
        let _ = &token;
        anything();
        Value::new(value.0)
    }
}

/// Calls `f` for what it does.
pub(crate) fn consume(f: &impl Fn(&Value) -> Value, value: Value) {
    drop(f(&value));
}

/// [`called`], of which only a number is wanted; the value ends before.
pub(crate) fn number() -> impl Fn(&Value) -> u32 + Clone + 'static {
    let f = called();
    move |value| f(value).0
}

/// A few things at random; one more makes one of them go.
pub(crate) struct Bag<T>(pub(crate) RefCell<Vec<T>>);

impl<T> Default for Bag<T> {
    fn default() -> Bag<T> {
        Bag(RefCell::default())
    }
}

impl<T> Bag<T> {
    fn place(&self) -> Option<usize> {
        let many = self.0.borrow().len();
        (many > 0).then(|| below(many))
    }

    pub(crate) fn put(&self, thing: T) {
        let many = self.0.borrow().len();
        let gone = (many >= 12).then(|| self.take());
        drop(gone);
        self.0.borrow_mut().push(thing);
    }

    pub(crate) fn take(&self) -> Option<T> {
        let at = self.place()?;
        Some(self.0.borrow_mut().swap_remove(at))
    }

    /// What `f` makes of one of them; `f` runs no user code.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let at = self.place()?;
        Some(f(&self.0.borrow()[at]))
    }

    pub(crate) fn any(&self) -> Option<T>
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    pub(crate) fn take_all(&self) -> Vec<T> {
        self.0.take()
    }
}
