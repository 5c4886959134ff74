//! React: random graphs, played on the real thing and on a plain model that computes every node anew in each
//! step.
//!
//! `LWT_GRAPHS=n` sets how many are tried, `LWT_SEED=s` plays one again.

mod common;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "common/seeded.rs"]
mod seeded;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Rng, heavy};
use lwt_core::react::{Event, Sender, Setter, Signal, Step};

/// How a node is made; the numbers are those of older nodes.
#[derive(Debug, Clone)]
enum Make {
    Primitive,
    Map(usize),
    Filter(usize),
    /// Two signals; or two events, folded when they occur at once.
    Two(usize, usize),
    /// A signal of an event.
    Hold(usize),
    Fold(usize),
    /// An event of a signal.
    Changes(usize),
    Diff(usize),
    /// An event and a signal.
    Sample(usize, usize),
    On(usize, usize),
    Dismiss(usize, usize),
    Until(usize, usize),
    Once(usize),
    /// The first says which of the others it is. Those may be younger than it.
    Switch(usize, Vec<usize>),
}

fn odd(n: i64) -> bool {
    n % 2 != 0
}

fn mix(a: i64, b: i64) -> i64 {
    (a * 3 + b) % 13
}

fn pick<T: Clone>(list: &[T], n: i64) -> T {
    list[n.rem_euclid(list.len() as i64) as usize].clone()
}

// ---- the model ----

#[derive(Debug)]
struct Plain {
    signal: bool,
    make: Make,
    /// The signal's value; what an event accumulates.
    value: i64,
    /// The occurrence, or the new value, of this step.
    now: Option<i64>,
    current: usize,
    stopped: bool,
    /// It is up to date in this step.
    done: bool,
}

fn start(nodes: &[Plain], signal: bool, make: Make) -> Plain {
    let value = |n: &usize| nodes[*n].value;
    let (mut first, mut current) = (0, 0);
    match &make {
        Make::Map(a) if signal => first = mix(value(a), 1),
        Make::Filter(a) if signal => first = if odd(value(a)) { value(a) } else { 0 },
        Make::Two(a, b) if signal => first = mix(value(a), value(b)),
        Make::On(a, on) if signal => first = if odd(value(on)) { value(a) } else { 0 },
        Make::Dismiss(a, _) if signal => first = value(a),
        Make::Diff(a) => first = value(a),
        Make::Switch(which, list) => {
            current = if signal { pick(list, value(which)) } else { list[0] };
            first = value(&current);
        }
        _ => {}
    }
    Plain { signal, make, value: first, now: None, current, stopped: false, done: false }
}

/// The new value, if there is one, of a node whose sources are up to date.
fn follow(nodes: &[Plain], node: &mut Plain) -> Option<i64> {
    let now = |n: &usize| nodes[*n].now;
    let value = |n: &usize| nodes[*n].value;
    let signal = node.signal;
    match &node.make {
        Make::Primitive => None,
        Make::Map(a) => now(a).map(|a| mix(a, 1)),
        Make::Filter(a) => now(a).filter(|a| odd(*a)),
        Make::Two(a, b) if signal => now(a).or(now(b)).map(|_| mix(value(a), value(b))),
        Make::Two(a, b) => match (now(a), now(b)) {
            (Some(a), Some(b)) => Some(mix(mix(5, a), b)),
            (a, b) => a.or(b).map(|n| mix(5, n)),
        },
        Make::Hold(a) | Make::Changes(a) => now(a),
        Make::Fold(a) => now(a).map(|a| mix(node.value, a)),
        Make::Diff(a) => {
            let before = std::mem::replace(&mut node.value, value(a));
            now(a).map(|now| mix(now, before))
        }
        Make::Sample(a, b) => now(a).map(|a| mix(a, value(b))),
        Make::On(a, on) if signal => now(a).or(now(on)).filter(|_| odd(value(on))).map(|_| value(a)),
        Make::On(a, on) => now(a).filter(|_| odd(value(on))),
        Make::Dismiss(a, b) => now(a).filter(|_| now(b).is_none()),
        Make::Until(a, b) => {
            node.stopped = now(b).is_some();
            now(a).filter(|_| !node.stopped)
        }
        Make::Once(a) => {
            node.stopped = now(a).is_some();
            now(a)
        }
        Make::Switch(which, list) => {
            if let Some(n) = now(which) {
                node.current = pick(list, n);
            }
            let current = node.current;
            if signal { Some(value(&current)) } else { now(&current) }
        }
    }
}

impl Make {
    fn sources(&self) -> Vec<usize> {
        match self {
            Make::Primitive => vec![],
            Make::Map(a) | Make::Filter(a) | Make::Hold(a) | Make::Fold(a) => vec![*a],
            Make::Changes(a) | Make::Diff(a) | Make::Once(a) => vec![*a],
            Make::Two(a, b) | Make::Sample(a, b) | Make::On(a, b) => vec![*a, *b],
            Make::Dismiss(a, b) | Make::Until(a, b) => vec![*a, *b],
            Make::Switch(which, list) => list.iter().chain([which]).copied().collect(),
        }
    }
}

/// Whether a node is, or may be, made from another.
fn depends(nodes: &[Plain], node: usize, on: usize) -> bool {
    node == on || nodes[node].make.sources().iter().any(|source| depends(nodes, *source, on))
}

/// Computes a node, after all that it may be made from.
fn compute(nodes: &mut [Plain], at: usize, sent: &[(usize, i64)]) {
    if nodes[at].done {
        return;
    }
    for source in nodes[at].make.sources() {
        compute(nodes, source, sent);
    }
    let mut node = std::mem::replace(&mut nodes[at], start(&[], false, Make::Primitive));
    let new = match sent.iter().rfind(|(n, _)| *n == at) {
        _ if node.stopped => None,
        Some((_, value)) => Some(*value),
        None => follow(nodes, &mut node),
    };
    node.now = if node.signal { new.filter(|new| *new != node.value) } else { new };
    if let Some(now) = node.now.filter(|_| node.signal || matches!(node.make, Make::Fold(_))) {
        node.value = now;
    }
    node.done = true;
    nodes[at] = node;
}

fn step_plain(nodes: &mut [Plain], sent: &[(usize, i64)]) {
    nodes.iter_mut().for_each(|node| node.done = false);
    for at in 0..nodes.len() {
        compute(nodes, at, sent);
    }
}

// ---- the real thing ----

#[derive(Clone)]
enum Real {
    Signal(Signal<i64>),
    Event(Event<i64>),
}

type List<T> = Rc<RefCell<Vec<T>>>;

#[derive(Default)]
struct World {
    nodes: Vec<Real>,
    setters: Vec<(usize, Setter<i64>)>,
    senders: Vec<(usize, Sender<i64>)>,
    /// What each event did in this step.
    seen: Rc<RefCell<Vec<(usize, i64)>>>,
    watching: Vec<Event<()>>,
    /// What each switch may be switched to.
    signals: Vec<(usize, List<Signal<i64>>)>,
    events: Vec<(usize, List<Event<i64>>)>,
    /// How often the function of each node was called in this step.
    calls: Vec<Rc<Cell<usize>>>,
}

impl World {
    fn signal(&self, n: usize) -> Signal<i64> {
        match &self.nodes[n] {
            Real::Signal(signal) => signal.clone(),
            Real::Event(_) => panic!("{n} is an event"),
        }
    }

    fn event(&self, n: usize) -> Event<i64> {
        match &self.nodes[n] {
            Real::Event(event) => event.clone(),
            Real::Signal(_) => panic!("{n} is a signal"),
        }
    }

    fn add(&mut self, signal: bool, make: &Make) {
        let calls = Rc::new(Cell::new(0));
        let called = {
            let calls = calls.clone();
            move |n: i64| {
                calls.set(calls.get() + 1);
                n
            }
        };
        let at = self.nodes.len();
        let real = if signal {
            Real::Signal(self.make_signal(make, called))
        } else {
            Real::Event(self.make_event(make, called))
        };
        if let Real::Event(event) = &real {
            let seen = self.seen.clone();
            self.watching.push(event.map(move |n| seen.borrow_mut().push((at, *n))));
        }
        self.nodes.push(real);
        self.calls.push(calls);
    }

    fn make_signal(&mut self, make: &Make, called: impl Fn(i64) -> i64 + 'static) -> Signal<i64> {
        match *make {
            Make::Primitive => {
                let (signal, setter) = Signal::create(0);
                self.setters.push((self.nodes.len(), setter));
                signal
            }
            Make::Map(a) => self.signal(a).map(move |a| called(mix(*a, 1))),
            Make::Filter(a) => self.signal(a).filter(0, move |a| odd(called(*a))),
            Make::Two(a, b) => Signal::l2(&self.signal(a), &self.signal(b), move |a, b| called(mix(*a, *b))),
            Make::Hold(a) => self.event(a).hold(0),
            Make::Fold(a) => Signal::fold(&self.event(a), 0, move |sum, a| called(mix(*sum, *a))),
            Make::On(a, on) => self.signal(a).on(&self.signal(on).map(|n| odd(*n)), 0),
            Make::Dismiss(a, b) => self.signal(a).dismiss(&self.event(b), 0),
            Make::Switch(which, ref list) => {
                let list: List<_> = Rc::new(RefCell::new(list.iter().map(|n| self.signal(*n)).collect()));
                self.signals.push((self.nodes.len(), list.clone()));
                self.signal(which).bind(move |n| pick(&list.borrow(), called(*n)))
            }
            ref other => panic!("{other:?} is no signal"),
        }
    }

    fn make_event(&mut self, make: &Make, called: impl Fn(i64) -> i64 + 'static) -> Event<i64> {
        match *make {
            Make::Primitive => {
                let (event, sender) = Event::create();
                self.senders.push((self.nodes.len(), sender));
                event
            }
            Make::Map(a) => self.event(a).map(move |a| called(mix(*a, 1))),
            Make::Filter(a) => self.event(a).filter(move |a| odd(called(*a))),
            Make::Two(a, b) => Event::merge([self.event(a), self.event(b)], 5, |sum, n| mix(sum, *n)),
            Make::Fold(a) => self.event(a).fold(0, move |sum, a| called(mix(*sum, *a))),
            Make::Changes(a) => self.signal(a).changes(),
            Make::Diff(a) => self.signal(a).diff(move |now, before| called(mix(*now, *before))),
            Make::Sample(a, b) => self.signal(b).sample(&self.event(a), move |a, b| called(mix(*a, *b))),
            Make::On(a, on) => self.event(a).on(&self.signal(on).map(|n| odd(*n))),
            Make::Dismiss(a, b) => self.event(a).dismiss(&self.event(b)),
            Make::Until(a, b) => self.event(a).until(&self.event(b)),
            Make::Once(a) => self.event(a).once(),
            Make::Switch(which, ref list) => {
                let list: List<_> = Rc::new(RefCell::new(list.iter().map(|n| self.event(*n)).collect()));
                self.events.push((self.nodes.len(), list.clone()));
                let first = list.borrow()[0].clone();
                first.switch(&self.event(which).map(move |n| pick(&list.borrow(), called(*n))))
            }
            Make::Hold(_) => panic!("{make:?} is no event"),
        }
    }

    /// Has a switch know one more node.
    fn extend(&self, switch: usize, target: usize) {
        for (_, list) in self.signals.iter().filter(|(n, _)| *n == switch) {
            list.borrow_mut().push(self.signal(target));
        }
        for (_, list) in self.events.iter().filter(|(n, _)| *n == switch) {
            list.borrow_mut().push(self.event(target));
        }
    }

    fn step(&mut self, sent: &[(usize, i64)]) {
        self.calls.iter().for_each(|calls| calls.set(0));
        self.seen.borrow_mut().clear();
        let mut step = Step::new();
        for (at, value) in sent {
            for (_, setter) in self.setters.iter().filter(|(n, _)| n == at) {
                setter.set_in(&mut step, *value);
            }
            for (_, sender) in self.senders.iter().filter(|(n, _)| n == at) {
                sender.send_in(&mut step, *value);
            }
        }
        step.execute();
    }
}

// ---- the play ----

/// A node of the given kind, made from random ones.
fn invent(rng: &mut Rng, nodes: &[Plain], signal: bool) -> Make {
    let of = |kind: bool| -> Vec<usize> { (0..nodes.len()).filter(|n| nodes[*n].signal == kind).collect() };
    let (signals, events) = (of(true), of(false));
    let mut s = || signals[rng.below(signals.len())];
    let (s1, s2, s3) = (s(), s(), s());
    let mut e = || events[rng.below(events.len())];
    let (e1, e2, e3) = (e(), e(), e());
    if signal {
        match rng.below(11) {
            0 => Make::Primitive,
            1 => Make::Map(s1),
            2 => Make::Filter(s1),
            3 => Make::Two(s1, s2),
            4 => Make::Hold(e1),
            5 => Make::Fold(e1),
            6 => Make::On(s1, s2),
            7 => Make::Dismiss(s1, e1),
            _ => Make::Switch(s1, vec![s2, s3, s1]),
        }
    } else {
        match rng.below(15) {
            0 => Make::Primitive,
            1 => Make::Map(e1),
            2 => Make::Filter(e1),
            3 => Make::Two(e1, e2),
            4 => Make::Fold(e1),
            5 => Make::Changes(s1),
            6 => Make::Diff(s1),
            7 => Make::Sample(e1, s1),
            8 => Make::On(e1, s1),
            9 => Make::Dismiss(e1, e2),
            10 => Make::Until(e1, e2),
            11 => Make::Once(e1),
            _ => Make::Switch(e1, vec![e2, e3, e1]),
        }
    }
}

/// What is different, if anything.
fn play(seed: u64) -> Option<String> {
    let mut rng = Rng(seed);
    let (mut plain, mut real) = (Vec::new(), World::default());
    let add = |signal: bool, make: Make, plain: &mut Vec<Plain>, real: &mut World| {
        real.add(signal, &make);
        let node = start(plain, signal, make);
        plain.push(node);
    };
    for signal in [true, false, true, false] {
        add(signal, Make::Primitive, &mut plain, &mut real);
    }
    for round in 0..40 {
        if rng.one_in(2) || plain.len() < 12 {
            let signal = rng.one_in(2);
            let make = invent(&mut rng, &plain, signal);
            add(signal, make, &mut plain, &mut real);
        }
        let (switch, target) = (rng.below(plain.len()), rng.below(plain.len()));
        if plain[switch].signal == plain[target].signal
            && !depends(&plain, target, switch)
            && let Make::Switch(_, list) = &mut plain[switch].make
        {
            list.push(target);
            real.extend(switch, target);
        }
        if rng.one_in(20) {
            let victim = rng.below(plain.len());
            plain[victim].stopped = true;
            match &real.nodes[victim] {
                Real::Signal(signal) => signal.stop(),
                Real::Event(event) => event.stop(),
            }
        }
        let mut sent = Vec::new();
        for (at, node) in plain.iter().enumerate() {
            while matches!(node.make, Make::Primitive) && rng.one_in(3) {
                sent.push((at, rng.below(7) as i64)); // of several the last counts
            }
        }
        real.step(&sent);
        step_plain(&mut plain, &sent);
        let mut seen = real.seen.borrow().clone();
        seen.sort_unstable();
        let expected: Vec<(usize, i64)> =
            (0..plain.len()).filter(|n| !plain[*n].signal).filter_map(|n| Some((n, plain[n].now?))).collect();
        let told = || format!("round {round}, sent {sent:?}\n{plain:#?}");
        if seen != expected {
            return Some(format!("events {seen:?} and not {expected:?} in {}", told()));
        }
        for (n, node) in plain.iter().enumerate() {
            if node.signal && real.signal(n).value() != node.value {
                return Some(format!("signal {n} is {} in {}", real.signal(n).value(), told()));
            }
            if real.calls[n].get() > 1 {
                return Some(format!("{n} was called {} times in {}", real.calls[n].get(), told()));
            }
        }
    }
    None
}

#[test]
fn the_model_agrees() {
    if let Some((seed, difference)) = seeded::first(heavy(100_000, 3_000, 3), play) {
        panic!("LWT_SEED={seed}: {difference}");
    }
}
