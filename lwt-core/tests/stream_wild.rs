//! Streams: random programs whose sources, functions, destructors and clones do anything: push, read, make,
//! close, drop, cancel, panic. No panic comes out where it does not belong, no operation hangs when the
//! sources have ended, and nothing is left when all is let go of.
//!
//! `LWT_GRAPHS=n` sets how many are tried, `LWT_SEED=s` plays one again.

mod common;
#[path = "common/havoc.rs"]
mod havoc;

use std::panic::Location;
use std::rc::Rc;

use common::turn;
use havoc::{Bag, Value, anything, below, called, consume, is_on_purpose, number, one_in};
use lwt_core::stream::{self, BoundedPush, Closed, Empty, Full, Push, Stream};
use lwt_core::{Error, Promise, Resolver, pause, task};

/// Something that was begun.
trait Begun {
    fn is_pending(&self) -> bool;
    fn cancel(&self);
}

impl<T: 'static> Begun for Promise<T> {
    fn is_pending(&self) -> bool {
        Promise::is_pending(self)
    }

    fn cancel(&self) {
        Promise::cancel(self);
    }
}

#[derive(Default)]
struct World {
    streams: Bag<Stream<Value>>,
    pushes: Bag<Push<Value>>,
    bounded: Bag<BoundedPush<Value>>,
    /// With the lines that began them.
    begun: Bag<(Box<dyn Begun>, u32)>,
    /// Ends at the latest when the streams are dropped: pushes that wait, and waits for the closing.
    closed: Bag<Promise<()>>,
    gates: Bag<Resolver<()>>,
}

impl World {
    /// A promise that is resolved, or will be.
    fn promise<T: 'static>(&self, make: impl FnOnce() -> T + 'static) -> Promise<T> {
        match if havoc::is_calm() { 0 } else { below(6) } {
            0 | 1 => Promise::ready(make()),
            2 => Promise::fail(Error::msg("on purpose")),
            3 => pause().map(move |()| make()),
            _ => {
                let (promise, resolver) = task::<()>();
                self.gates.put(resolver);
                promise.map(move |()| make())
            }
        }
    }

    /// One of the streams: the same place, or another reader.
    fn stream(&self) -> Stream<Value> {
        let stream = self.streams.with(Stream::share).unwrap_or_else(|| stream::of_list([]));
        if one_in(3) { stream.clone() } else { stream }
    }

    #[track_caller]
    fn begin<T: 'static>(&self, promise: Promise<T>) {
        self.begun.put((Box::new(promise), Location::caller().line()));
    }

    fn push(&self) {
        if let Some(push) = self.pushes.any() {
            drop(push.push(Value::any()));
        }
        if let Some(push) = self.bounded.any() {
            if one_in(2) {
                drop(push.try_push(Value::any()))
            } else {
                self.closed.put(push.push(Value::any()))
            }
        }
    }

    fn make(self: &Rc<Self>) {
        let (world, f) = (self.clone(), called());
        let mut many = below(6) as u32;
        let mut count = move || {
            many = many.saturating_sub(1);
            many
        };
        let made = match below(7) {
            0 => {
                let (stream, push) = stream::create();
                self.pushes.put(push);
                stream
            }
            1 | 2 => {
                let (stream, push) = stream::create_bounded(below(3));
                self.bounded.put(push);
                stream
            }
            3 => stream::from(move || {
                let (n, f) = (count(), f.clone());
                anything();
                world.promise(move || {
                    consume(&f, Value::new(0));
                    (n > 0).then(|| Value::new(n))
                })
            }),
            4 => stream::from_direct(move || {
                let n = count();
                consume(&f, Value::new(0));
                (n > 0).then(|| Value::new(n))
            }),
            5 => stream::of_list((0..3).map(Value::new)),
            _ => stream::of_promise(self.promise(Value::any)),
        };
        self.streams.put(made);
    }

    fn transform(self: &Rc<Self>) {
        let (one, two, world) = (self.stream(), self.stream(), self.clone());
        let (f, number, n) = (called(), number(), 1 + below(3));
        let list = || stream::of_list((0..3).map(Value::new));
        let made = match below(20) {
            0 => one.map(move |v| {
                consume(&f, v);
                Value::any()
            }),
            1 => one.map_s(move |v| {
                consume(&f, v);
                world.promise(Value::any)
            }),
            2 => one.filter(move |v| number(v) > 1),
            3 => one.filter_s(move |v| f(v).then(world.promise(|| one_in(2)))),
            4 => one.filter_map(move |v| (number(&v) > 1).then_some(v)),
            5 => one.filter_map_s(move |v| {
                consume(&f, v);
                world.promise(|| one_in(2).then(Value::any))
            }),
            6 => one.map_list(move |v| [f(&v), v]),
            7 => one.map_list_s(move |v| f(&v).then(world.promise(move || vec![v]))),
            8 => one.map_n(n, move |v| {
                consume(&f, v);
                world.promise(Value::any)
            }),
            9 => one.map_p(move |v| f(&v).then(world.promise(move || v))),
            10 => one.filter_n(n, move |v| f(v).then(world.promise(|| one_in(2)))),
            11 => one.filter_p(move |v| f(v).then(world.promise(|| one_in(2)))),
            12 => one.filter_map_n(n, move |v| {
                consume(&f, v);
                world.promise(|| Some(Value::any()))
            }),
            13 => one.filter_map_p(move |v| {
                consume(&f, v);
                world.promise(|| None)
            }),
            14 => one.wrap_err().filter_map(|result| result.ok()),
            // The second of these does not read while the first waits, and so may hold it up: no reader of a
            // stream that counts.
            15 => one.combine(list()).map(|(v, w)| w.then(v)),
            16 => one.append(list()),
            17 => stream::choose([one, two, self.stream()]),
            18 => stream::of_list([one, list()]).concat(),
            _ => stream::of_try_futures(one),
        };
        self.streams.put(made);
    }

    fn read(&self) {
        let (stream, n) = (self.stream(), below(4));
        match below(12) {
            0..4 => self.begin(stream.get()),
            4 => self.begin(stream.next()),
            5 => self.begin(stream.nget(n)),
            6 => self.begin(stream.last_new()),
            7 => self.begin(stream.peek()),
            8 => self.begin(stream.npeek(n)),
            9 => self.begin(stream.is_empty()),
            10 => self.begin(stream.njunk(n)),
            _ if one_in(2) => drop(stream.get_available()),
            _ => stream.junk_available(),
        }
    }

    fn search(self: &Rc<Self>) {
        let (stream, world, f, number) = (self.stream(), self.clone(), called(), number());
        match below(9) {
            0 => self.begin(stream.get_while(move |v| number(v) > 0)),
            1 => self.begin(stream.get_while_s(move |v| f(v).then(world.promise(|| !one_in(3))))),
            2 => self.begin(stream.junk_while(move |v| number(v) > 0)),
            3 => self.begin(stream.junk_while_s(move |v| f(v).then(world.promise(|| !one_in(3))))),
            4 => self.begin(stream.find(move |v| number(v) == 2)),
            5 => self.begin(stream.find_s(move |v| f(v).then(world.promise(|| one_in(3))))),
            6 => self.begin(stream.find_map(move |v| (number(&v) == 2).then_some(v))),
            7 => self.begin(stream.find_map_s(move |v| f(&v).then(world.promise(|| one_in(3).then_some(v))))),
            _ => self.begin(stream.parse(move |s| {
                anything();
                s.nget(2).bind(move |v| world.promise(move || v.len()))
            })),
        }
    }

    fn read_all(self: &Rc<Self>) {
        let (stream, world, f, n) = (self.stream(), self.clone(), called(), 1 + below(3));
        match below(8) {
            0 => self.begin(stream.to_list()),
            1 => self.begin(stream.fold(Value::new(0), move |sum, v| {
                consume(&f, v);
                sum
            })),
            2 => self.begin(stream.fold_s(Value::new(0), move |sum, v| {
                consume(&f, v);
                world.promise(move || sum)
            })),
            3 => self.begin(stream.iter(move |v| consume(&f, v))),
            4 => self.begin(stream.iter_s(move |v| {
                consume(&f, v);
                world.promise(|| ())
            })),
            5 => self.begin(stream.iter_p(move |v| {
                consume(&f, v);
                world.promise(|| ())
            })),
            6 => self.begin(stream.iter_n(n, move |v| {
                consume(&f, v);
                world.promise(|| ())
            })),
            _ => self.closed.put(stream.closed()),
        }
    }

    fn change(&self) {
        match below(8) {
            0..4 => self.gates.take().into_iter().for_each(|gate| gate.wakeup(())),
            4 => drop(self.gates.take()),
            5 => self.bounded.any().into_iter().for_each(|push| push.resize(below(3))),
            6 => self.bounded.any().into_iter().for_each(|push| push.set_reference(Value::new(0))),
            _ => self.pushes.any().into_iter().for_each(|push| push.set_reference(Value::new(0))),
        }
    }

    fn give_up(&self) {
        match below(10) {
            0 => drop(self.streams.take()),
            1 => drop(self.pushes.take()),
            2 => drop(self.bounded.take()),
            3 => drop(self.begun.take()),
            4 => drop(self.closed.take()),
            5 => _ = self.pushes.any().map(|push| push.close()),
            6 => _ = self.bounded.any().map(|push| push.close()),
            7 => self.closed.take().into_iter().for_each(|closed| closed.cancel()),
            _ => self.begun.take().into_iter().for_each(|begun| {
                begun.0.cancel();
                self.begun.put(begun);
            }),
        }
    }
}

impl havoc::World for World {
    fn create() -> Rc<World> {
        Rc::default()
    }

    fn act(self: &Rc<Self>) {
        match below(11) {
            0 => self.make(),
            1 | 2 => self.transform(),
            3 | 4 => self.read(),
            5 => self.search(),
            6 => self.read_all(),
            7 => self.change(),
            8 => self.give_up(),
            _ => self.push(),
        }
    }

    fn end(&self) -> Option<String> {
        // A reader that does not read holds up the others.
        drop(self.streams.take_all());
        for _ in 0..50 {
            drop((self.pushes.take_all(), self.bounded.take_all(), self.gates.take_all()));
            turn();
        }
        let begun = self.begun.take_all();
        let hang: Vec<u32> =
            begun.iter().filter(|(begun, _)| begun.is_pending()).map(|(_, line)| *line).collect();
        drop((self.streams.take_all(), begun));
        turn();
        let open = self.closed.take_all().iter().filter(|closed| closed.is_pending()).count();
        turn();
        (hang.len() + open > 0).then(|| {
            format!("begun in lines {hang:?} hang, {open} streams are not closed for those who wait")
        })
    }

    fn is_expected(error: &Error) -> bool {
        is_on_purpose(error)
            || error.downcast_ref::<Closed>().is_some()
            || error.downcast_ref::<Full>().is_some()
            || error.downcast_ref::<Empty>().is_some()
    }
}

#[test]
fn nothing_is_left_whatever_happens() {
    havoc::nothing_is_left::<World>();
}
