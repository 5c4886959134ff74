//! React: `next`, `limit`, `delay`, streams: what they do, and that a cancel or a drop at each point where
//! they wait loses nothing.

mod common;
#[path = "common/events.rs"]
mod events;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "common/seeded.rs"]
mod seeded;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Log, Unhandled, show, turn, watchdog};
use events::noted;
use lwt_core::condition::Condition;
use lwt_core::mvar::Mvar;
use lwt_core::react::{Event, Signal};
use lwt_core::{Error, Promise, Resolver, pause, spawn, stream, task, wait};

/// A gate for `limit`, and what opens it.
fn gate() -> (impl FnMut() -> Promise<()> + 'static, impl Fn() -> Resolver<()>) {
    let place: Rc<Cell<Option<Resolver<()>>>> = Rc::default();
    let taken = place.clone();
    let f = move || {
        let (promise, resolver) = task();
        place.set(Some(resolver));
        promise
    };
    (f, move || taken.take().expect("the gate is closed"))
}

// ---- next ----

#[test]
fn next_is_the_next() {
    let (event, send) = Event::create();
    let (first, same) = (event.next(), event.next());
    send.send(1);
    let second = event.next();
    assert_eq!((show(&first), show(&same), show(&second)), ("ok 1".into(), "ok 1".into(), "pending".into()));
    send.send(2);
    assert_eq!(show(&second), "ok 2");
}

#[test]
fn next_keeps_the_event() {
    let (event, send) = Event::create();
    let next = event.map(|n| n * 2).next();
    drop(event);
    assert!(send.is_wanted());
    send.send(21);
    assert_eq!(show(&next), "ok 42");
    assert!(!send.is_wanted());
}

#[test]
fn a_cancelled_or_dropped_next_disturbs_nobody() {
    let (event, send) = Event::create();
    let (first, second, third) = (event.next(), event.next(), event.next());
    first.cancel();
    drop(second);
    assert_eq!(show(&first), "canceled");
    send.send(1);
    assert_eq!((show(&first), show(&third)), ("canceled".into(), "ok 1".into()));
    // In the very step of the occurrence.
    let victim = Rc::new(RefCell::new(Some(event.next())));
    let killer = event.map({
        let victim = victim.clone();
        move |_| {
            if let Some(promise) = victim.take() {
                promise.cancel();
            }
        }
    });
    let other = event.next();
    send.send(2);
    assert_eq!(show(&other), "ok 2");
    drop(killer);
}

#[test]
fn a_loop_over_next_misses_what_comes_while_it_works() {
    let _dog = watchdog();
    let (event, send) = Event::create();
    let log = Log::new();
    let task = spawn({
        let (event, log) = (event.clone(), log.clone());
        async move {
            for _ in 0..2 {
                log.add(event.next().await?);
            }
            Ok::<_, Error>(())
        }
    });
    (1..4).for_each(|n| send.send(n));
    turn();
    assert_eq!(log.take(), "1", "a stream would have had them all");
    send.send(4);
    turn();
    assert_eq!((log.take().as_str(), show(&task).as_str()), ("4", "ok ()"));
}

#[test]
fn a_clone_that_panics_rejects_next_and_is_not_in_the_stream() {
    #[derive(Debug)]
    struct Odd(u32);
    impl Clone for Odd {
        fn clone(&self) -> Odd {
            assert!(self.0.is_multiple_of(2), "odd");
            Odd(self.0)
        }
    }
    seeded::quietly(|| {
        let unhandled = Unhandled::collect();
        let (event, send) = Event::create();
        let (stream, next, last) = (event.to_stream(), event.next(), event.next());
        (1..3).for_each(|n| send.send(Odd(n)));
        assert_eq!((show(&next), show(&last)), ("panic odd".into(), "ok Odd(1)".into()));
        assert_eq!(unhandled.take(), "panic odd", "of the stream");
        assert_eq!(show(&stream.get()), "ok Some(Odd(2))");
    });
}

#[test]
fn callbacks_of_next_may_send() {
    let log = Log::new();
    let (event, send) = Event::create();
    let seen = noted(&event, &log);
    let again = send.clone();
    event.next().on_success(move |n| {
        again.send(n + 10);
        again.send(n + 20);
    });
    event.next().on_success({
        let log = log.clone();
        move |n| log.add(format!("next {n}"))
    });
    send.send(1);
    assert_eq!(log.take(), "1 next 1 11 21");
    drop(seen);
}

// ---- limit ----

#[test]
fn limit_keeps_the_newest() {
    let log = Log::new();
    let (event, send) = Event::create();
    let opening = Condition::<()>::new();
    let limited = event.limit({
        let opening = opening.clone();
        move || opening.wait()
    });
    let seen = noted(&limited, &log);
    [1, 0, 2].into_iter().for_each(|n| send.send(n));
    assert_eq!(log.take(), "1");
    opening.signal(());
    send.send(3);
    opening.signal(());
    assert_eq!(log.take(), "2 3");
    opening.signal(());
    send.send(4);
    assert_eq!(log.take(), "4");
    drop(seen);
}

#[test]
fn limit_with_what_comes_while_it_ends() {
    let log = Log::new();
    let (event, send) = Event::create();
    let (f, opener) = gate();
    let limited = event.limit(f);
    let seen = noted(&limited, &log);
    send.send(1);
    let resolver = opener();
    // Sent by the callback that runs before and the one that runs after that of `limit`.
    let (early, late) = (send.clone(), send.clone());
    resolver.on_cancel(|| panic!("nobody cancels"));
    early.send(2);
    limited.next().on_success(move |_| late.send(3));
    resolver.wakeup(());
    assert_eq!(log.take(), "1 2", "3 came when 2 had passed");
    opener().wakeup(());
    assert_eq!(log.take(), "3");
    opener().wakeup(());
    assert_eq!(log.take(), "");
    drop(seen);
}

#[test]
fn limit_that_does_not_limit() {
    let log = Log::new();
    let (event, send) = Event::create();
    let seen = noted(&event.limit(|| Promise::ready(())), &log);
    (1..4).for_each(|n| send.send(n));
    assert_eq!(log.take(), "1 2 3");
    drop(seen);
}

#[test]
fn a_failure_ends_the_waiting() {
    let unhandled = Unhandled::collect();
    let log = Log::new();
    let (event, send) = Event::create();
    let (f, opener) = gate();
    let seen = noted(&event.limit(f), &log);
    (1..4).for_each(|n| send.send(n));
    opener().wakeup_err(Error::msg("no"));
    assert_eq!((log.take().as_str(), unhandled.take().as_str()), ("1 3", "error no"));
    drop(opener());
    assert_eq!(unhandled.take(), "abandoned");
    send.send(4);
    assert_eq!(log.take(), "4");
    drop(seen);
}

#[test]
fn a_failure_that_sends_does_not_overtake() {
    let log = Log::new();
    let (event, send) = Event::create();
    let (mut f, opener) = gate();
    let mut calls = 0;
    let limited = event.limit(move || {
        calls += 1;
        if calls == 2 { Promise::fail(Error::msg("no")) } else { f() }
    });
    let seen = noted(&limited, &log);
    let sender = send.clone();
    let before = lwt_core::set_unhandled_hook(Some(Rc::new(move |_: &Error| sender.send(3))));
    (1..3).for_each(|n| send.send(n));
    opener().wakeup(());
    assert_eq!(log.take(), "1 2 3");
    lwt_core::set_unhandled_hook(before);
    drop(seen);
}

#[test]
fn limit_that_is_dropped_gives_the_waiting_up() {
    let (event, send) = Event::create();
    let (f, opener) = gate();
    let limited = event.limit(f);
    send.send(1);
    send.send(2);
    let resolver = opener();
    assert!(resolver.is_wanted());
    drop(limited);
    assert!(!resolver.is_wanted(), "a timer could be freed");
    let (shared, open) = wait();
    let copy = shared.clone();
    let limited = event.limit(move || copy.clone());
    send.send(1);
    drop(limited);
    assert_eq!(show(&shared), "pending", "the promise of somebody else is not cancelled");
    open.wakeup(());
}

#[test]
fn limit_of_a_signal() {
    let (n, set) = Signal::create(0);
    let (f, opener) = gate();
    let limited = n.limit(f);
    (1..4).for_each(|n| set.set(n));
    assert_eq!(limited.value(), 0, "it is limited from the beginning");
    opener().wakeup(());
    assert_eq!(limited.value(), 3);
    set.set(4);
    opener().wakeup(());
    assert_eq!(limited.value(), 4);
}

// ---- streams ----

#[test]
fn to_stream_has_all() {
    let (event, send) = Event::create();
    let stream = event.to_stream();
    let next = stream.get();
    assert_eq!(show(&next), "pending");
    send.send(42);
    assert_eq!(show(&next), "ok Some(42)");
    (1..4).for_each(|n| send.send(n));
    assert_eq!(show(&stream.nget(3)), "ok [1, 2, 3]");
}

#[test]
fn readers_of_to_stream_may_give_up() {
    let (event, send) = Event::create();
    let stream = event.to_stream();
    let (first, second, third) = (stream.get(), stream.get(), stream.get());
    first.cancel();
    drop(second);
    send.send(1);
    assert_eq!((show(&first), show(&third)), ("canceled".into(), "ok Some(1)".into()));
    let (last, rest) = (stream.nget(2), stream.get());
    send.send(2);
    last.cancel();
    send.send(3);
    assert_eq!((show(&rest), show(&stream.get())), ("ok Some(2)".into(), "ok Some(3)".into()));
}

#[test]
fn of_stream_begins_after_a_pause() {
    let log = Log::new();
    let (elements, push) = stream::create();
    let event = Event::of_stream(elements);
    let seen = noted(&event, &log);
    (1..4).for_each(|n| push.push(n).expect("it is open"));
    assert_eq!(log.take(), "");
    turn();
    assert_eq!(log.take(), "1 2 3");
    push.push(4).expect("it is open");
    assert_eq!(log.take(), "4");
    push.close();
    assert!(event.is_stopped());
    drop(seen);
}

#[test]
fn of_stream_that_is_dropped_takes_nothing_more() {
    // Before the pause, while it waits, and inside its own occurrence.
    let (elements, push) = stream::create();
    drop(Event::of_stream(elements.share()));
    turn();
    let waiting = Event::of_stream(elements.share());
    turn();
    drop(waiting);
    push.push(1).expect("it is open");
    assert_eq!(show(&elements.get()), "ok Some(1)");
    let own: Rc<Cell<Option<Event<()>>>> = Rc::default();
    let event = Event::of_stream(elements.share()).map({
        let own = own.clone();
        move |_| drop(own.take())
    });
    own.set(Some(event));
    turn();
    (2..4).for_each(|n| push.push(n).expect("it is open"));
    assert_eq!(show(&elements.get()), "ok Some(3)", "2 was its last");
    let stopped = Event::of_stream(elements.share());
    turn();
    stopped.stop();
    push.push(4).expect("it is open");
    assert_eq!(show(&elements.get()), "ok Some(4)");
}

#[test]
fn a_stream_that_fails_stops_the_event() {
    let unhandled = Unhandled::collect();
    let mut n = 0;
    let event = Event::of_stream(stream::from(move || {
        n += 1;
        if n == 2 { Promise::fail(Error::msg("no")) } else { Promise::ready(Some(n)) }
    }));
    let last = event.hold(0);
    turn();
    assert_eq!((last.value(), event.is_stopped(), unhandled.take()), (1, true, "error no".into()));
}

#[test]
fn from_calls_again_and_again() {
    let unhandled = Unhandled::collect();
    let log = Log::new();
    let letters = Mvar::empty();
    let event = Event::from({
        let letters = letters.clone();
        move || letters.take()
    });
    let seen = noted(&event, &log);
    drop(letters.put(1));
    turn();
    (2..4).for_each(|n| drop(letters.put(n)));
    assert_eq!(log.take(), "1 2 3");
    drop((event, seen));
    assert!(!letters.put(4).is_pending());
    assert_eq!(letters.take_available(), Some(4), "the taking was cancelled");
    let mut n = 0;
    let failing = Event::from(move || {
        n += 1;
        if n == 3 { panic!("three") } else { pause().map(move |()| n) }
    });
    let last = failing.hold(0);
    (0..5).for_each(|_| turn());
    assert_eq!((last.value(), failing.is_stopped(), unhandled.take()), (2, true, "panic three".into()));
}

// ---- delay ----

#[test]
fn delay_becomes_the_event() {
    let (event, send) = Event::create();
    let now = Event::delay(Promise::ready(event.clone()));
    assert!(now == event);
    let (promise, resolver) = wait();
    let later = Event::delay(promise);
    let last = later.hold(0);
    send.send(1);
    resolver.wakeup(event);
    assert_eq!(last.value(), 0);
    send.send(2);
    assert_eq!(last.value(), 2);
}

#[test]
fn delay_of_what_fails_or_is_cancelled() {
    let unhandled = Unhandled::collect();
    let failed = Event::<i32>::delay(Promise::fail(Error::msg("now")));
    assert_eq!(unhandled.take(), "error now");
    let (promise, resolver) = task();
    let later = Event::<i32>::delay(promise);
    resolver.wakeup_err(Error::msg("later"));
    assert_eq!(unhandled.take(), "error later");
    let (promise, resolver) = task();
    let (promise, canceller) = (promise.clone(), promise.canceller());
    let cancelled = Event::<i32>::delay(promise);
    canceller.cancel();
    assert_eq!(unhandled.take(), "");
    drop((failed, later, cancelled, resolver));
}

#[test]
fn delay_that_is_dropped_leaves_the_promise_to_others() {
    let (promise, resolver) = task();
    let (event, send) = Event::create();
    let (one, other) = (Event::delay(promise.clone()), Event::delay(promise.clone()));
    let last = other.hold(0);
    drop(one);
    assert!(promise.is_pending());
    resolver.wakeup(event);
    send.send(1);
    assert_eq!(last.value(), 1);
}
