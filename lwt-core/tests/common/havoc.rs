//! What the wild tests share: values whose destructors, clones and comparisons do anything, functions that do
//! so, bags of things to do something with, and the play ([`nothing_is_left`]).
#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]

#[path = "seeded.rs"]
mod seeded;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use lwt_core::Error;

use crate::common::{Rng, heavy, turn};

/// A model: things that random programs do something with.
pub(crate) trait World: 'static {
    fn create() -> Rc<Self>;

    /// Does something.
    fn act(self: &Rc<Self>);

    /// Lets go of all, which may set off more. What does not end, or goes no more, if anything.
    fn end(&self) -> Option<String>;

    /// Whether programs may reject something with this and never look.
    fn is_expected(error: &Error) -> bool {
        is_on_purpose(error)
    }
}

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

/// No program makes anything but its own panics come out, hang, or be left when all is let go of.
pub(crate) fn nothing_is_left<W: World>() {
    let strange: Rc<RefCell<Option<String>>> = Rc::default();
    let (told, busy) = (strange.clone(), Cell::new(false));
    let before = lwt_core::set_unhandled_hook(Some(Rc::new(move |error: &Error| {
        if !W::is_expected(error) {
            told.replace(Some(error.to_string()));
        }
        if !busy.replace(true) {
            let panicked = catch_unwind(|| {
                if one_in(10) {
                    anything()
                }
            });
            busy.set(false);
            drop(panicked);
        }
    })));
    let found = seeded::quietly(|| {
        seeded::first(heavy(20_000, 1_000, 2), |seed| play::<W>(seed).or_else(|| strange.take()))
    });
    lwt_core::set_unhandled_hook(before);
    if let Some((seed, what)) = found {
        panic!("LWT_SEED={seed}: {what}");
    }
}

/// What goes wrong in one program, if anything.
fn play<W: World>(seed: u64) -> Option<String> {
    RNG.set(Rng(seed));
    ALIVE.set(0);
    let world = W::create();
    let theirs = world.clone();
    ACT.set(Some(Rc::new(move || theirs.act())));
    let mut panicked = None;
    for _ in 0..60 {
        FUEL.set(60);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(act))
            && panic.downcast_ref() != Some(&"on purpose")
        {
            panicked = Some(format!("a panic of ours: {}", Error::from_panic(panic)));
            break;
        }
        if one_in(5) {
            turn();
        }
    }
    // From now on nothing happens by itself, and nothing panics.
    drop(ACT.take());
    let hang = world.end();
    let held = Rc::strong_count(&world) - 1;
    drop(world);
    turn();
    let (alive, cells) = (ALIVE.get(), seeded::cells());
    panicked.or(hang).or_else(|| {
        let left = held > 0 || alive > 0 || cells > 0;
        left.then(|| format!("{alive} values, {held} functions and {cells} cells are left"))
    })
}

/// Whether all is being let go of.
pub(crate) fn is_calm() -> bool {
    ACT.with_borrow(Option::is_none)
}

pub(crate) fn below(bound: usize) -> usize {
    RNG.with_borrow_mut(|rng| rng.below(bound))
}

pub(crate) fn one_in(n: usize) -> bool {
    below(n) == 0
}

/// Does something, if there is fuel.
fn act() {
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

struct Token;

impl Token {
    fn new() -> Token {
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
