//! React: random programs whose functions, destructors, comparisons and clones do anything: send, make, drop,
//! stop, cancel, panic. No panic comes out where it does not belong, no step hangs, and nothing is left when
//! all is let go of.
//!
//! `LWT_GRAPHS=n` sets how many are tried, `LWT_SEED=s` plays one again.

mod common;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "common/seeded.rs"]
mod seeded;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use common::{Rng, heavy, turn};
use lwt_core::react::{Event, Sender, Setter, Signal, Step};
use lwt_core::stream::Stream;
use lwt_core::{Error, Promise, Resolver, State, pause, task};

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
    /// Values and functions that are alive.
    static ALIVE: Cell<isize> = const { Cell::new(0) };
}

fn world() -> Option<Rc<World>> {
    WORLD.with_borrow(Clone::clone)
}

/// What a user's code does, once in a while: anything.
fn anything() {
    if let Some(world) = world() {
        if world.one_in(6) {
            world.act();
        }
        if world.one_in(12) && !std::thread::panicking() {
            panic!("on purpose");
        }
    }
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

struct Value(u32, #[allow(dead_code, reason = "it is counted")] Token);

impl Value {
    fn new(number: u32) -> Value {
        Value(number, Token::new())
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

/// A few things at random; one more makes one of them go.
struct Bag<T>(RefCell<Vec<T>>);

impl<T> Default for Bag<T> {
    fn default() -> Bag<T> {
        Bag(RefCell::default())
    }
}

impl<T> Bag<T> {
    fn put(&self, thing: T) {
        let many = self.0.borrow().len();
        drop((many >= 12).then(|| self.take()));
        self.0.borrow_mut().push(thing);
    }

    fn take(&self) -> Option<T> {
        let many = self.0.borrow().len();
        let at = (many > 0).then(|| world().map_or(0, |world| world.below(many)))?;
        Some(self.0.borrow_mut().swap_remove(at))
    }

    fn any(&self) -> Option<T>
    where
        T: Clone,
    {
        let many = self.0.borrow().len();
        let at = (many > 0).then(|| world().map_or(0, |world| world.below(many)))?;
        Some(self.0.borrow()[at].clone())
    }
}

struct World {
    rng: RefCell<Rng>,
    /// How much may still happen.
    fuel: Cell<u32>,
    events: Bag<Event<Value>>,
    signals: Bag<Signal<Value>>,
    senders: Bag<Sender<Value>>,
    setters: Bag<Setter<Value>>,
    nexts: Bag<Promise<Value>>,
    promised: Bag<Promise<Signal<Value>>>,
    streams: Bag<Stream<Value>>,
    values: Bag<Resolver<Value>>,
    gates: Bag<Resolver<()>>,
    /// With what each will be resolved: an older event, lest it leads back to itself.
    delays: Bag<(Resolver<Event<Value>>, Event<Value>)>,
}

impl World {
    fn new(seed: u64) -> Rc<World> {
        Rc::new(World {
            rng: RefCell::new(Rng(seed)),
            fuel: Cell::new(0),
            events: Bag::default(),
            signals: Bag::default(),
            senders: Bag::default(),
            setters: Bag::default(),
            nexts: Bag::default(),
            promised: Bag::default(),
            streams: Bag::default(),
            values: Bag::default(),
            gates: Bag::default(),
            delays: Bag::default(),
        })
    }

    fn below(&self, bound: usize) -> usize {
        self.rng.borrow_mut().below(bound)
    }

    fn one_in(&self, n: usize) -> bool {
        self.rng.borrow_mut().one_in(n)
    }

    fn value(&self) -> Value {
        Value::new(self.below(4) as u32)
    }

    fn event(&self) -> Event<Value> {
        self.events.any().unwrap_or_else(Event::never)
    }

    fn signal(&self) -> Signal<Value> {
        self.signals.any().unwrap_or_else(|| Signal::constant(Value::new(0)))
    }

    /// A promise that is resolved, or will be, perhaps.
    fn promise<T: 'static>(
        &self,
        value: impl FnOnce() -> T + 'static,
        open: &Bag<Resolver<T>>,
    ) -> Promise<T> {
        match self.below(5) {
            0 => Promise::ready(value()),
            1 => Promise::fail(Error::msg("on purpose")),
            2 => pause().map(move |()| value()),
            _ => {
                let (promise, resolver) = task();
                open.put(resolver);
                promise
            }
        }
    }

    fn slow(&self) -> Promise<Value> {
        self.promise(|| Value::new(1), &self.values)
    }

    fn gate(&self) -> Promise<()> {
        self.promise(|| (), &self.gates)
    }

    fn act(self: &Rc<Self>) {
        if self.fuel.get() > 0 {
            self.fuel.set(self.fuel.get() - 1);
            match self.below(8) {
                0 | 1 => self.change(),
                2 => self.make_event(),
                3 => self.make_signal(),
                4 => self.meet_promises(),
                5 => self.answer(),
                6 => self.give_up(),
                _ => self.send(),
            }
        }
    }

    fn send(&self) {
        if let Some(sender) = self.senders.any() {
            sender.send(self.value());
        }
        if let Some(setter) = self.setters.any() {
            setter.set(self.value());
        }
    }

    fn change(&self) {
        match self.below(4) {
            0 => {
                let (event, sender) = Event::create();
                self.events.put(event);
                self.senders.put(sender);
            }
            1 => {
                let (signal, setter) = Signal::create(self.value());
                self.signals.put(signal);
                self.setters.put(setter);
            }
            2 => {
                let mut step = Step::new();
                for _ in 0..3 {
                    self.senders.any().into_iter().for_each(|sender| sender.send_in(&mut step, self.value()));
                    self.setters.any().into_iter().for_each(|setter| setter.set_in(&mut step, self.value()));
                }
                if !self.one_in(4) {
                    step.execute();
                }
            }
            _ => self.send(),
        }
    }

    fn make_event(self: &Rc<Self>) {
        let (one, two, on) = (self.event(), self.event(), self.signal());
        let (f, number) = (called(), number());
        let made = match self.below(12) {
            0 => one.map(move |v| f(v)),
            1 => one.filter(move |v| number(v) > 1),
            2 => on.changes(),
            3 => on.sample(&one, move |v, _| f(v)),
            4 => {
                let targets = [two.clone(), self.event()];
                one.switch(&two.map(move |v| targets[number(v) as usize % 2].clone()))
            }
            5 => Event::fix(|before| {
                let counted = before.filter_map(move |v| number(v).checked_sub(1).map(Value::new));
                let event = Event::select([counted, one]);
                (event.clone(), event)
            }),
            6 => one.diff(move |now, _| f(now)),
            7 => one.changes(),
            8 => one.fold(Value::new(0), move |_, v| f(v)),
            9 => one.once(),
            10 => one.until(&two),
            _ => one.with_finaliser(move || drop(f(&Value::new(0)))),
        };
        self.events.put(made);
    }

    fn make_signal(self: &Rc<Self>) {
        let (one, two, event) = (self.signal(), self.signal(), self.event());
        let (f, number) = (called(), number());
        let made = match self.below(9) {
            0 => event.hold(self.value()),
            1 => one.map(move |v| f(v)),
            2 => Signal::l2(&one, &two, move |v, _| f(v)),
            3 => {
                let targets = [two, self.signal()];
                one.bind(move |v| targets[number(v) as usize % 2].clone())
            }
            4 => Signal::fix(self.value(), |before| {
                let signal = Signal::l2(before, &one, move |a, b| if f(a).0 > b.0 { f(a) } else { f(b) });
                (signal.clone(), signal)
            }),
            5 => one.trace(move |v| drop(f(v))),
            6 => one.filter(self.value(), move |v| number(v) > 1),
            7 => one.dismiss(&event, self.value()),
            _ => Signal::fold(&event, self.value(), move |_, v| f(v)),
        };
        self.signals.put(made);
    }

    fn meet_promises(self: &Rc<Self>) {
        let (event, signal, world) = (self.event(), self.signal(), self.clone());
        let f = called();
        match self.below(11) {
            0 => self.nexts.put(event.next()),
            1 => self.events.put(event.limit(move || {
                drop(f(&Value::new(0)));
                world.gate()
            })),
            2 => self.signals.put(signal.limit(move || world.gate())),
            3 => self.events.put(event.map_s(move |v| f(v).then(world.slow()))),
            4 => self.events.put(event.map_p(move |v| f(v).then(world.slow()))),
            5 => self.events.put(event.fold_s(self.value(), move |_, v| f(v).then(world.slow()))),
            6 => self.promised.put(signal.map_s(move |v| f(v).then(world.slow()))),
            7 => self.streams.put(event.to_stream()),
            8 => self.streams.take().into_iter().for_each(|s| self.events.put(Event::of_stream(s))),
            9 => self.events.put(Event::from(move || {
                let (f, world) = (f.clone(), world.clone());
                pause().bind(move |()| {
                    // Not in one expression: a result leaks if a temporary's destructor panics behind it,
                    // which is the compiler's.
                    drop(f(&Value::new(0)));
                    world.slow()
                })
            })),
            _ => {
                let (promise, resolver) = task();
                self.delays.put((resolver, event));
                self.events.put(Event::delay(promise));
            }
        }
    }

    fn answer(&self) {
        match self.below(5) {
            0 => self.values.take().into_iter().for_each(|resolver| resolver.wakeup(self.value())),
            1 => self.gates.take().into_iter().for_each(|resolver| resolver.wakeup(())),
            2 => self.delays.take().into_iter().for_each(|(resolver, event)| resolver.wakeup(event)),
            3 => self.streams.take().into_iter().for_each(|stream| {
                self.nexts.put(stream.next());
                self.streams.put(stream);
            }),
            _ => self.promised.take().into_iter().for_each(|promise| match promise.state() {
                State::Fulfilled(signal) => self.signals.put(signal.clone()),
                _ => promise.cancel(),
            }),
        }
    }

    fn give_up(&self) {
        match self.below(9) {
            0 => drop(self.events.take()),
            1 => drop(self.signals.take()),
            2 => self.event().stop(),
            3 => self.signal().stop(),
            4 => self.nexts.take().into_iter().for_each(|promise| promise.cancel()),
            5 => drop((self.nexts.take(), self.promised.take())),
            6 => drop(self.streams.take()),
            7 => drop((self.senders.take(), self.setters.take())),
            _ => drop(self.event().retain(Value::new(0))),
        }
    }

    /// Lets go of all; what that sets off may put something back.
    fn empty(&self) {
        for _ in 0..50 {
            drop((self.events.0.take(), self.signals.0.take(), self.senders.0.take(), self.setters.0.take()));
            drop((self.nexts.0.take(), self.promised.0.take(), self.streams.0.take(), self.delays.0.take()));
            drop((self.values.0.take(), self.gates.0.take()));
            turn();
        }
    }
}

impl Value {
    /// The promise; the end of this value comes before.
    fn then<T: 'static>(self, promise: Promise<T>) -> Promise<T> {
        drop(self);
        promise
    }
}

/// A user's function.
fn called() -> impl Fn(&Value) -> Value + Clone {
    let token = Rc::new(Token::new());
    move |value| {
        let _ = &token;
        anything();
        Value::new(value.0)
    }
}

/// [`called`], of which only a number is wanted; the value ends before.
fn number() -> impl Fn(&Value) -> u32 + Clone {
    let f = called();
    move |value| f(value).0
}

fn is_on_purpose(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("on purpose") || error.is_abandoned()
}

/// What went wrong, if anything.
fn play(seed: u64) -> Option<String> {
    let world = World::new(seed);
    WORLD.set(Some(world.clone()));
    for _ in 0..60 {
        world.fuel.set(60);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.act()))
            && panic.downcast_ref() != Some(&"on purpose")
        {
            return Some(format!("a panic of ours: {}", Error::from_panic(panic)));
        }
        if world.one_in(5) {
            turn();
        }
    }
    WORLD.set(None);
    world.empty();
    let (event, sender) = Event::create();
    let last = event.hold(0);
    sender.send(1);
    if last.value() != 1 {
        return Some("steps are made no more".into());
    }
    let held = Rc::strong_count(&world) - 1;
    drop(world);
    let alive = ALIVE.replace(0);
    (held > 0 || alive > 0).then(|| format!("{alive} values are left, {held} functions"))
}

#[test]
fn nothing_is_left_whatever_happens() {
    let strange = Rc::new(RefCell::new(None));
    let told = strange.clone();
    let before = lwt_core::set_unhandled_hook(Some(Rc::new(move |error: &Error| {
        if !is_on_purpose(error) {
            told.replace(Some(error.to_string()));
        }
        if world().is_some_and(|world| world.one_in(10)) {
            anything();
        }
    })));
    let found = seeded::quietly(|| {
        seeded::first(heavy(20_000, 1_000, 2), |seed| play(seed).or_else(|| strange.take()))
    });
    lwt_core::set_unhandled_hook(before);
    if let Some((seed, what)) = found {
        panic!("LWT_SEED={seed}: {what}");
    }
}
