//! A value that cannot be cloned, taken while a callback of the same promise is looking at it: the taker has to wait.

mod common;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;

use common::{Log, heavy, on_small_stack, show, spin};
use lwt_core::{Error, Promise, State, all, both, choose, iterate, nchoose, nchoose_split, spawn, wait};

/// Not `Clone`.
#[derive(Debug)]
struct Value(String);

fn value() -> Value {
    Value("value".to_owned())
}

/// Has `take` take a promise inside a callback that looks at its value, and afterwards looks again.
fn taken_while_looked_at<R: 'static>(take: impl FnOnce(Promise<Value>) -> R + 'static) -> R {
    let (promise, resolver) = wait::<Value>();
    let slot = Rc::new(RefCell::new(None));
    let taken = Rc::new(RefCell::new(None));
    let log = Log::default();
    promise.on_success({
        let (slot, taken, log) = (Rc::clone(&slot), Rc::clone(&taken), log.clone());
        move |value| {
            let promise = slot.borrow_mut().take().expect("set below");
            let result = take(promise);
            *taken.borrow_mut() = Some(result);
            log.add(&value.0);
        }
    });
    *slot.borrow_mut() = Some(promise);
    resolver.wakeup(value());
    spin();
    assert_eq!(log.take(), "value", "it was there as long as it was looked at");
    taken.take().expect("the callback ran")
}

#[test]
fn by_a_bind() {
    assert_eq!(show(&taken_while_looked_at(|p| p.map(|v| v.0))), "ok \"value\"");
}

#[test]
fn by_an_await() {
    let task = taken_while_looked_at(|p| spawn(async { Ok::<_, Error>(p.await?.0) }));
    assert_eq!(show(&task), "ok \"value\"");
}

#[test]
fn by_combinators() {
    assert_eq!(show(&taken_while_looked_at(|p| all([p]).map(|v| v.len()))), "ok 1");
    assert_eq!(show(&taken_while_looked_at(|p| choose([p]).map(|v| v.0))), "ok \"value\"");
    assert_eq!(show(&taken_while_looked_at(|p| p.protected().map(|v| v.0))), "ok \"value\"");
    let pair = taken_while_looked_at(|p| lwt_core::join!(p, Promise::ready(1)));
    assert!(matches!(pair.state(), State::Fulfilled((Value(_), 1))));
    let split = taken_while_looked_at(|p| nchoose_split([p, Promise::ready(value())]));
    assert!(
        matches!(split.state(), State::Fulfilled((values, rest)) if values.len() == 1 && rest.len() == 1)
    );
}

#[test]
fn by_a_combinator_that_is_resolved_meanwhile() {
    let (other, resolver) = wait::<Value>();
    let both = taken_while_looked_at(move |p| {
        let both = all([p, other]);
        resolver.wakeup(value());
        assert!(both.is_pending(), "the first value is still being looked at");
        both.map(|v| v.len())
    });
    assert_eq!(show(&both), "ok 2");
}

#[test]
fn by_a_loop() {
    let done = taken_while_looked_at(|p| {
        let mut first = Some(p);
        iterate((), move |()| match first.take() {
            Some(promise) => promise.map(|v| ControlFlow::Break(v.0)),
            None => Promise::ready(ControlFlow::Continue(())),
        })
    });
    assert_eq!(show(&done), "ok \"value\"");
}

#[test]
fn by_a_callback_that_returns_it() {
    let outer = taken_while_looked_at(|p| Promise::ready(()).bind(move |()| p).map(|v| v.0));
    assert_eq!(show(&outer), "ok \"value\"");
    let (gate, open) = wait::<()>();
    let outer = taken_while_looked_at(move |p| {
        let outer = gate.bind(move |()| p).map(|v| v.0);
        open.wakeup(());
        outer
    });
    assert_eq!(show(&outer), "ok \"value\"");
}

#[test]
fn by_those_that_take_what_is_there_while_lookers_are_behind_them() {
    let join_values = |values: &[Value]| values.iter().map(|v| v.0.clone()).collect::<String>();
    for split in [false, true] {
        let (source, open) = wait::<()>();
        let (inner, resolver) = wait::<Value>();
        inner.on_success(|_| ());
        let outer = source.bind(move |()| inner);
        let (never, _keep) = wait::<Value>();
        let values = if split {
            nchoose_split([outer, never])
                .map(move |(values, rest)| join_values(&values) + &rest.len().to_string())
        } else {
            nchoose([outer, never]).map(move |values| join_values(&values))
        };
        open.wakeup(());
        resolver.wakeup(value());
        assert_eq!(show(&values), if split { "ok \"value1\"" } else { "ok \"value\"" });
    }
}

#[test]
fn by_a_join_whose_last_member_is_resolved_by_who_looks() {
    for list in [true, false] {
        let (source, open) = wait::<()>();
        let (inner, resolver) = wait::<Value>();
        let (last, end) = wait::<Value>();
        inner.on_success(move |_| end.wakeup(value()));
        // The member stands before the callback that looks, once the two are one.
        let outer = source.bind(move |()| inner);
        let values = if list {
            all([outer, last]).map(|values| values.len())
        } else {
            both(outer, last).map(|(Value(one), Value(other))| one.len() + other.len())
        };
        open.wakeup(());
        resolver.wakeup(value());
        assert_eq!(show(&values), if list { "ok 2" } else { "ok 10" });
    }
}

#[test]
fn by_a_copy_that_stands_before_who_looks() {
    let (source, open) = wait::<()>();
    let (inner, resolver) = wait::<Value>();
    let log = Log::new();
    let seen = log.clone();
    inner.on_success(move |value| seen.add(&value.0));
    let copy = source.bind(move |()| inner).protected().map(|value| value.0);
    open.wakeup(());
    resolver.wakeup(value());
    assert_eq!((log.take().as_str(), show(&copy).as_str()), ("value", "ok \"value\""));
}

/// Each look takes the next promise, which is resolved but has not run its callbacks yet.
#[test]
fn a_chain_of_looks_needs_little_stack() {
    on_small_stack(|| {
        let many = heavy(100_000, 20_000, 100);
        let slots: Rc<RefCell<Vec<Option<Promise<Value>>>>> = Rc::default();
        let looked = Rc::new(Cell::new(0));
        let mut resolvers = Vec::new();
        for place in 0..many {
            let (promise, resolver) = wait::<Value>();
            let (rest, count) = (Rc::clone(&slots), Rc::clone(&looked));
            promise.on_success(move |_| {
                count.set(count.get() + 1);
                let next = rest.borrow_mut().get_mut(place + 1).and_then(Option::take);
                next.into_iter().for_each(|next| drop(next.map(drop)));
            });
            slots.borrow_mut().push(Some(promise));
            resolvers.push(resolver);
        }
        let (go, start) = wait::<()>();
        go.on_success(move |()| {
            resolvers.into_iter().for_each(|resolver| resolver.wakeup_later(value()));
            let first = slots.borrow_mut()[0].take().expect("nobody has looked yet");
            drop(first.map(drop));
        });
        start.wakeup(());
        assert_eq!(looked.get(), many);
    });
}
