//! React: who keeps whom: what nobody holds is freed, with its edges; what is held keeps what it is made
//! from.

mod common;
#[path = "common/counting.rs"]
mod counting;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "common/seeded.rs"]
mod seeded;

use std::cell::Cell;
use std::rc::Rc;

use common::{DropToken, Drops, Unhandled, heavy, on_small_stack};
use counting::{live, rounds};
use lwt_core::react::{Event, Sender, Signal};
use lwt_core::{Promise, pause, scheduler, stream, task, wait};

/// A function that owns a token.
fn plus_one(drops: &Drops) -> impl FnMut(&i32) -> i32 + 'static {
    let token: DropToken = drops.token();
    move |n| {
        let _ = &token;
        n + 1
    }
}

fn dependents<T: 'static>(event: &Event<T>) -> usize {
    let text = format!("{event:?}");
    let at = text.find("dependents: ").expect("a number of dependents") + "dependents: ".len();
    text[at..].trim_end_matches([' ', '}']).parse().expect("a number")
}

#[test]
fn what_nobody_holds_is_freed_at_once() {
    let drops = Drops::new();
    let (event, send) = Event::create();
    let a = event.map(plus_one(&drops));
    let b = a.map(plus_one(&drops));
    assert_eq!((dependents(&event), dependents(&a)), (1, 1));
    drop(a);
    assert_eq!((drops.count(), dependents(&event)), (0, 1), "b is made from it");
    let last = b.hold(0);
    drop(b);
    send.send(1);
    assert_eq!((last.value(), drops.count()), (3, 0));
    drop(last);
    assert_eq!((drops.count(), dependents(&event)), (2, 0));
    drop(event);
    assert!(!send.is_wanted());
}

#[test]
fn every_edge_goes() {
    let (event, _send) = Event::<i32>::create();
    let (on, _set) = Signal::create(true);
    let (events, switch) = Event::create();
    let made: Vec<Box<dyn FnOnce()>> = vec![
        Box::new({
            let made = event.select_with(&event);
            move || drop(made)
        }),
        Box::new({
            let made = (event.on(&on), event.until(&event), event.dismiss(&event), event.once());
            move || drop(made)
        }),
        Box::new({
            let made = (
                event.switch(&events),
                event.fold(0, |a, b| a + b),
                event.hold(0),
                on.sample(&event, |_, _| ()),
            );
            move || drop(made)
        }),
        Box::new({
            let made = (event.next(), event.limit(|| Promise::ready(())), event.to_stream());
            move || drop(made)
        }),
        Box::new({
            let made = (event.map_s(|n| Promise::ready(*n)), event.map_p(|n| Promise::ready(*n)));
            move || drop(made)
        }),
    ];
    assert!(dependents(&event) > 10);
    made.into_iter().for_each(|drop| drop());
    assert_eq!(dependents(&event), 0);
    let switching = Event::never().switch(&events);
    switch.send(event.clone());
    assert_eq!(dependents(&event), 1);
    switch.send(Event::never());
    assert_eq!(dependents(&event), 0, "it is switched away");
    drop(switching);
}

trait SelectWith {
    fn select_with(&self, other: &Self) -> Self;
}

impl SelectWith for Event<i32> {
    fn select_with(&self, other: &Event<i32>) -> Event<i32> {
        Event::select([self.clone(), other.clone(), self.clone()])
    }
}

#[test]
fn stopping_lets_go() {
    let drops = Drops::new();
    let (event, send) = Event::create();
    let mapped = event.map(plus_one(&drops)).map(plus_one(&drops));
    mapped.stop();
    assert_eq!((drops.count(), dependents(&event)), (2, 0));
    let once = event.map(plus_one(&drops)).once();
    send.send(1);
    assert_eq!((drops.count(), dependents(&event)), (3, 0), "it will not occur any more");
    let (end, ender) = Event::create();
    let until = event.map(plus_one(&drops)).until(&end);
    ender.send(());
    assert_eq!((drops.count(), dependents(&event), dependents(&end)), (4, 0, 0));
    drop((mapped, once, until));
}

#[test]
fn bindings_free_what_they_have_left() {
    let drops = Drops::new();
    let ((which, choose), (n, set)) = (Signal::create(0), Signal::create(1));
    let bound = which.bind({
        let (n, drops) = (n.clone(), drops.clone());
        move |_| n.map(plus_one(&drops))
    });
    for round in 1..10 {
        choose.set(round);
        assert_eq!(drops.count(), round);
    }
    set.set(5);
    assert_eq!(bound.value(), 6);
    drop(bound);
    assert_eq!(drops.count(), 10);
}

#[test]
fn keeping_and_finalising() {
    let drops = Drops::new();
    let ended = Rc::new(Cell::new(0));
    let count = || {
        let ended = ended.clone();
        move || ended.set(ended.get() + 1)
    };
    let (event, send) = Event::create();
    let kept = event.map(plus_one(&drops));
    kept.keep();
    let alias = kept.clone();
    drop(kept);
    assert_eq!(drops.count(), 0);
    alias.stop();
    assert_eq!(drops.count(), 1, "what has stopped needs nothing");
    let finalised = event.with_finaliser(count());
    let below = finalised.map(|n| *n);
    drop(finalised);
    send.send(1);
    assert_eq!(ended.get(), 0);
    drop(below);
    assert_eq!(ended.get(), 1);
    let (signal, _set) = Signal::create(1);
    drop(signal.with_finaliser(count()).map(|n| *n));
    assert_eq!(ended.get(), 2);
    let unhandled = Unhandled::collect();
    seeded::quietly(|| drop(signal.with_finaliser(|| panic!("final"))));
    assert_eq!(unhandled.take(), "panic final");
    assert!(event.retain(drops.token()).is_none() && signal.retain(1).is_none());
    assert_eq!(signal.retain(2).and_then(|before| before.downcast_ref::<i32>().copied()), Some(1));
    drop(event);
    assert_eq!(drops.count(), 2);
}

#[test]
fn loops_are_freed() {
    let drops = Drops::new();
    let looping = Event::fix(|before: Event<i32>| {
        let event = before.map(plus_one(&drops));
        (event.clone(), event)
    });
    drop(looping);
    assert_eq!(drops.count(), 1);
    let looping = Signal::fix(0, |before| {
        let signal = before.map(plus_one(&drops)).filter(0, |n| *n < 5);
        (signal.clone(), signal)
    });
    assert_eq!(looping.value(), 4);
    drop(looping);
    assert_eq!(drops.count(), 2);
}

#[test]
fn what_feeds_an_event_goes_with_it() {
    let drops = Drops::new();
    let (event, send) = Event::create();
    let source = event.map(plus_one(&drops));
    let (never, _open) = wait();
    let made: Vec<Event<i32>> = vec![
        source.map_s(|n| Promise::ready(*n)),
        source.map_p(|n| Promise::ready(*n)),
        source.limit(move || never.clone()),
        source.fold_s(0, |a, b| Promise::ready(a + b)),
    ];
    let stopped = source.map_s(|n| Promise::ready(*n));
    let next = source.next();
    let stream = source.to_stream();
    send.send(1);
    let waiting = source.next();
    drop(source);
    stopped.stop();
    drop((made, next, stream));
    assert_eq!(drops.count(), 0, "one still waits for it");
    drop(waiting);
    assert_eq!(drops.count(), 1);
    drop(stopped);
}

#[test]
fn sources_of_events_are_freed() {
    let drops = Drops::new();
    let token = drops.token();
    let (elements, push) = stream::create();
    let of_stream = Event::of_stream(elements.map(move |n: i32| {
        let _ = &token;
        n
    }));
    drop(of_stream);
    assert_eq!(drops.count(), 1, "it has not begun, and does not");
    assert!(push.is_closed());
    let token = drops.token();
    let from = Event::from(move || {
        let _ = &token;
        pause().map(|()| 1)
    });
    scheduler::wakeup_paused();
    drop(from);
    assert_eq!(drops.count(), 2);
    let token = drops.token();
    let (promise, resolver) = wait();
    let delayed = Event::delay(promise);
    let held = delayed.map(move |n: &i32| {
        let _ = &token;
        *n
    });
    drop((delayed, held));
    assert_eq!(drops.count(), 3);
    assert!(!resolver.is_wanted(), "nobody waits any more");
}

/// What may be done with an event, the sender of it and a signal, and then given up.
type Use = fn(&Event<usize>, &Sender<usize>, &Signal<usize>);

#[test]
fn nothing_gathers() {
    let (event, send) = Event::create();
    let on = Signal::constant(0_usize);
    let uses: Vec<(&str, Use)> = vec![
        ("map", |event, send, _| {
            let made = event.map(|n| n + 1).hold(0);
            send.send(1);
            assert_eq!(made.value(), 2);
        }),
        ("select", |event, send, _| {
            let made = Event::select([event.clone(), event.map(|n| *n)]);
            send.send(1);
            drop(made);
        }),
        ("fix", |event, send, _| {
            let made = Event::fix(|before| (event.clone(), before)).hold(0);
            send.send(1);
            drop((made, Event::fix(|before| (event.clone(), before))));
        }),
        ("next", |event, send, _| {
            let next = event.next();
            send.send(1);
            drop(next);
        }),
        ("next, cancelled", |event, _, _| event.next().cancel()),
        ("next, dropped", |event, _, _| drop(event.next())),
        ("bind", |event, send, on| {
            let made = event.hold(0).bind({
                let on = on.clone();
                move |n| {
                    let n = *n;
                    on.map(move |on| on + n)
                }
            });
            send.send(1);
            send.send(2);
            drop(made);
        }),
        ("map_s, in progress", |event, send, _| {
            let (promise, resolver) = wait();
            let made = event.map_s(move |_| promise.clone());
            send.send(1);
            send.send(2);
            drop(made);
            resolver.wakeup(1);
        }),
        ("limit, waiting", |event, send, _| {
            let (promise, resolver) = wait();
            let made = event.limit(move || promise.clone());
            send.send(1);
            send.send(2);
            drop(made);
            drop(resolver);
        }),
        ("to_stream", |event, send, _| {
            let stream = event.to_stream();
            send.send(1);
            drop(stream);
        }),
        ("of_stream", |_, _, _| {
            let event = Event::of_stream(stream::create::<usize>().0);
            scheduler::wakeup_paused();
            drop(event);
        }),
        ("map_s of a signal, cancelled", |_, _, on| {
            let (promise, resolver) = task::<usize>();
            let mut promise = Some(promise);
            let made = on.map_s(move |_| promise.take().unwrap_or_else(|| Promise::ready(0)));
            made.cancel();
            drop(made);
            drop(resolver);
        }),
    ];
    for (what, once) in uses {
        let many = rounds() / 10;
        (0..10).for_each(|_| once(&event, &send, &on));
        let before = live();
        (0..many).for_each(|_| once(&event, &send, &on));
        let left = live() - before;
        assert!(left < 16 * 1024, "{what}: {many} rounds left {left} bytes");
        assert_eq!(dependents(&event), 0, "{what}");
    }
}

#[test]
fn the_end_of_the_thread_gives_the_queues_back() {
    on_small_stack(|| {
        let before = live();
        let (event, send) = Event::create();
        let made: Vec<Event<i32>> = (0..100).map(|_| event.map(|n| n + 1)).collect();
        send.send(1);
        drop((event, send, made));
        scheduler::end_thread();
        assert!(live() - before < 512, "{} bytes are left", live() - before);
    });
}

#[test]
fn a_thousand_dependents_that_come_and_go() {
    let (event, send) = Event::create();
    let mut made: Vec<Signal<usize>> = Vec::new();
    for round in 0..heavy(20_000, 2_000, 60) {
        made.push(event.map(move |n: &usize| n + round).hold(0));
        if made.len() > 40 {
            // From the middle, and so that places are used again.
            drop(made.swap_remove(round % 40));
        }
    }
    assert_eq!(dependents(&event), made.len());
    send.send(1);
    assert!(made.iter().all(|signal| signal.value() > 0));
    drop(made);
    assert_eq!(dependents(&event), 0);
}
