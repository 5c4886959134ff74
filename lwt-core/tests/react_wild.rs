//! React: random programs whose functions, destructors, comparisons and clones do anything: send, make, drop,
//! stop, cancel, panic. No panic comes out where it does not belong, no step hangs, and nothing is left when
//! all is let go of.
//!
//! `LWT_GRAPHS=n` sets how many are tried, `LWT_SEED=s` plays one again.

mod common;
#[path = "common/havoc.rs"]
mod havoc;

use std::rc::Rc;

use common::turn;
use havoc::{Bag, Value, below, called, consume, number, one_in};
use lwt_core::react::{Event, Sender, Setter, Signal, Step};
use lwt_core::stream::Stream;
use lwt_core::{Error, Promise, Resolver, State, pause, task};

#[derive(Default)]
struct World {
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
        match below(5) {
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

    fn send(&self) {
        if let Some(sender) = self.senders.any() {
            sender.send(Value::any());
        }
        if let Some(setter) = self.setters.any() {
            setter.set(Value::any());
        }
    }

    fn change(&self) {
        match below(4) {
            0 => {
                let (event, sender) = Event::create();
                self.events.put(event);
                self.senders.put(sender);
            }
            1 => {
                let (signal, setter) = Signal::create(Value::any());
                self.signals.put(signal);
                self.setters.put(setter);
            }
            2 => {
                let mut step = Step::new();
                for _ in 0..3 {
                    self.senders.any().into_iter().for_each(|sender| sender.send_in(&mut step, Value::any()));
                    self.setters.any().into_iter().for_each(|setter| setter.set_in(&mut step, Value::any()));
                }
                if !one_in(4) {
                    step.execute();
                }
            }
            _ => self.send(),
        }
    }

    fn make_event(self: &Rc<Self>) {
        let (one, two, on) = (self.event(), self.event(), self.signal());
        let (f, number) = (called(), number());
        let made = match below(12) {
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
            _ => one.with_finaliser(move || consume(&f, Value::new(0))),
        };
        self.events.put(made);
    }

    fn make_signal(self: &Rc<Self>) {
        let (one, two, event) = (self.signal(), self.signal(), self.event());
        let (f, number) = (called(), number());
        let made = match below(9) {
            0 => event.hold(Value::any()),
            1 => one.map(move |v| f(v)),
            2 => Signal::l2(&one, &two, move |v, _| f(v)),
            3 => {
                let targets = [two, self.signal()];
                one.bind(move |v| targets[number(v) as usize % 2].clone())
            }
            4 => Signal::fix(Value::any(), |before| {
                let signal = Signal::l2(before, &one, move |a, b| if f(a).0 > b.0 { f(a) } else { f(b) });
                (signal.clone(), signal)
            }),
            5 => one.trace(move |v| drop(f(v))),
            6 => one.filter(Value::any(), move |v| number(v) > 1),
            7 => one.dismiss(&event, Value::any()),
            _ => Signal::fold(&event, Value::any(), move |_, v| f(v)),
        };
        self.signals.put(made);
    }

    fn meet_promises(self: &Rc<Self>) {
        let (event, signal, world) = (self.event(), self.signal(), self.clone());
        let f = called();
        match below(11) {
            0 => self.nexts.put(event.next()),
            1 => self.events.put(event.limit(move || {
                consume(&f, Value::new(0));
                world.gate()
            })),
            2 => self.signals.put(signal.limit(move || world.gate())),
            3 => self.events.put(event.map_s(move |v| f(v).then(world.slow()))),
            4 => self.events.put(event.map_p(move |v| f(v).then(world.slow()))),
            5 => self.events.put(event.fold_s(Value::any(), move |_, v| f(v).then(world.slow()))),
            6 => self.promised.put(signal.map_s(move |v| f(v).then(world.slow()))),
            7 => self.streams.put(event.to_stream()),
            8 => self.streams.take().into_iter().for_each(|s| self.events.put(Event::of_stream(s))),
            9 => self.events.put(Event::from(move || {
                let (f, world) = (f.clone(), world.clone());
                pause().bind(move |()| {
                    consume(&f, Value::new(0));
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
        match below(5) {
            0 => self.values.take().into_iter().for_each(|resolver| resolver.wakeup(Value::any())),
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
        match below(9) {
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
}

impl havoc::World for World {
    fn create() -> Rc<World> {
        Rc::default()
    }

    fn act(self: &Rc<Self>) {
        match below(8) {
            0 | 1 => self.change(),
            2 => self.make_event(),
            3 => self.make_signal(),
            4 => self.meet_promises(),
            5 => self.answer(),
            6 => self.give_up(),
            _ => self.send(),
        }
    }

    fn end(&self) -> Option<String> {
        for _ in 0..50 {
            drop((
                self.events.take_all(),
                self.signals.take_all(),
                self.senders.take_all(),
                self.setters.take_all(),
            ));
            drop((
                self.nexts.take_all(),
                self.promised.take_all(),
                self.streams.take_all(),
                self.delays.take_all(),
            ));
            drop((self.values.take_all(), self.gates.take_all()));
            turn();
        }
        let (event, sender) = Event::create();
        let last = event.hold(0);
        sender.send(1);
        (last.value() != 1).then(|| "steps are made no more".into())
    }
}

#[test]
fn nothing_is_left_whatever_happens() {
    havoc::nothing_is_left::<World>();
}
