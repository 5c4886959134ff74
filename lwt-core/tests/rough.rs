//! Values, iterators and destructors that misbehave: the promises around them end all the same.

mod common;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;

use common::{Drops, Unhandled, at_level, show, spin};
use lwt_core::{Error, Promise, all, choose, iterate, pick, scheduler, seq, spawn, task, wait};

/// Panics when it is cloned or dropped, as it was told.
struct Bad {
    clone: bool,
    drop: Rc<Cell<bool>>,
}

impl Bad {
    fn new(clone: bool, drop: bool) -> Bad {
        Bad { clone, drop: Rc::new(Cell::new(drop)) }
    }
}

impl Clone for Bad {
    fn clone(&self) -> Bad {
        assert!(!self.clone, "no clone");
        Bad { clone: self.clone, drop: Rc::clone(&self.drop) }
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        assert!(!self.drop.replace(false), "no drop");
    }
}

#[test]
fn a_clone_that_panics_in_a_combinator_rejects_it() {
    let unhandled = Unhandled::collect();
    let (promise, resolver) = wait::<Bad>();
    let chosen = choose([promise.clone()]).map(drop);
    let both = all([promise.clone(), Promise::ready(Bad::new(false, false))]).map(drop);
    let copy = promise.clone().protected().map(drop);
    let mapped = promise.clone().map(drop);
    resolver.wakeup(Bad::new(true, false));
    for promise in [chosen, both, copy, mapped] {
        assert!(show(&promise).contains("no clone"), "{}", show(&promise));
    }
    drop(promise);
    assert_eq!(unhandled.take(), "");
}

#[test]
fn a_drop_that_panics_in_a_combinator_rejects_it() {
    let (promise, resolver) = wait::<Bad>();
    let failed = Promise::<Bad>::fail(Error::msg("first"));
    let both = all([failed, promise]).map(drop);
    resolver.wakeup(Bad::new(false, true));
    assert!(!both.is_pending());
    both.on_failure(|_| ());
}

/// Announces more than there can be.
struct Boaster(Option<Promise<i32>>);

impl Iterator for Boaster {
    type Item = Promise<i32>;

    fn next(&mut self) -> Option<Promise<i32>> {
        self.0.take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

#[test]
fn an_iterator_that_announces_too_much() {
    let (promise, resolver) = wait();
    let all = all(Boaster(Some(promise.clone())));
    let first = choose(Boaster(Some(promise)));
    resolver.wakeup(1);
    assert_eq!([show(&all.map(|v| v.len() as i32)), show(&first)], ["ok 1", "ok 1"]);
}

/// What is resolved while a looker is run on behalf of a taker: the taker's own promise moves meanwhile.
#[test]
fn a_callback_moves_the_promise_that_is_being_settled() {
    #[derive(Debug)]
    struct Value;
    let (inner, resolver) = wait::<Value>();
    let (source, settle) = wait::<()>();
    let (other, forward) = wait::<()>();
    let slot = Rc::new(RefCell::new(Some(inner)));
    let taken = Rc::clone(&slot);
    let outer = source.bind(move |()| taken.borrow_mut().take().expect("there"));
    let last = other.bind(move |()| outer);
    {
        let slot = slot.borrow();
        let promise = slot.as_ref().expect("there");
        promise.on_success(move |_| settle.wakeup(()));
        promise.on_success(move |_| forward.wakeup(()));
    }
    resolver.wakeup(Value);
    assert_eq!(show(&last), "ok Value");
}

#[test]
fn what_waits_for_abandoned_callbacks_ends() {
    let unhandled = Unhandled::collect();
    let (a, ra) = wait::<()>();
    let (b, rb) = wait::<i32>();
    let mapped = b.clone().map(|n| n + 1);
    let both = all([b.clone()]).map(|v| v.len());
    let copy = b.clone().protected();
    let (task, chosen) = (spawn(b.clone()), choose([b]));
    a.on_success(move |()| {
        rb.wakeup_later(1);
        assert!(scheduler::abandon_wakeups() > 0);
    });
    ra.wakeup(());
    spin();
    let abandoned = |text: String| assert!(text.contains("abandoned"), "{text}");
    abandoned(show(&mapped));
    abandoned(show(&both));
    abandoned(show(&copy));
    abandoned(show(&chosen));
    assert_eq!(show(&task), "ok 1", "a wake is no callback");
    assert_eq!(unhandled.take(), "");
}

#[test]
fn posts_that_are_thrown_away_are_all_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("no drop");
        }
    }
    let unhandled = Unhandled::collect();
    let home = scheduler::handle();
    let dropped = std::sync::Arc::new(());
    let (bomb, token) = (Bomb, std::sync::Arc::clone(&dropped));
    home.post(move || drop(bomb)).expect("open");
    home.post(move || drop(token)).expect("open");
    scheduler::end_thread();
    assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
    assert!(unhandled.take().contains("no drop"));
    assert!(home.post(|| ()).is_err());
}

#[test]
fn a_promise_that_got_other_holders_by_unification_is_reported() {
    let unhandled = Unhandled::collect();
    let (source, open) = wait::<()>();
    let (inner, resolver) = wait::<i32>();
    let other = inner.clone();
    let outer = source.bind(move |()| other);
    drop(choose([outer, Promise::ready(1)]));
    open.wakeup(());
    resolver.wakeup_err(Error::msg("e"));
    drop(inner);
    assert_eq!(unhandled.take(), "error e");
}

#[test]
fn one_error_of_two_members_is_reported() {
    let unhandled = Unhandled::collect();
    let error = Error::msg("e");
    drop(all([Promise::<()>::fail(error.clone()), Promise::fail(error)]));
    assert_eq!(unhandled.take(), "error e");
}

#[test]
fn a_callback_that_is_abandoned_is_dropped() {
    let drops = Drops::new();
    let token = drops.token();
    let (a, ra) = wait::<()>();
    let (b, rb) = wait::<()>();
    let mapped = b.map(move |()| drop(token));
    a.on_success(move |()| {
        rb.wakeup_later(());
        scheduler::abandon_wakeups();
    });
    ra.wakeup(());
    assert_eq!(drops.count(), 1);
    assert_eq!(show(&mapped), "abandoned");
}

/// The copy lets go of its original, whose resolver then cancels the copy: that waits for its turn by then.
#[test]
fn a_promise_that_nobody_wants_is_cancelled_by_what_it_lets_go_of() {
    for levels in [0, 39, 40, 41] {
        let (original, resolver) = task::<i32>();
        let copy = original.protected();
        let told = Drops::new();
        let token = told.token();
        copy.on_cancel(move || drop(token));
        let stop = copy.canceller();
        let (later, mut resolvers): (Vec<_>, Vec<_>) = (0..3).map(|_| wait::<i32>()).unzip();
        let later: Vec<_> = later.into_iter().map(|promise| promise.map(|n| n + 1)).collect();
        resolver.on_unwanted(move || {
            stop.cancel();
            resolvers.drain(..).for_each(|resolver| resolver.wakeup(1));
        });
        at_level(levels, move || {
            drop(copy);
            let (last, resolver) = wait::<()>();
            last.on_success(|()| ());
            resolver.wakeup(());
        });
        assert_eq!(told.count(), 1);
        later.iter().for_each(|promise| assert_eq!(show(promise), "ok 2", "at level {levels}"));
    }
}

#[test]
fn a_clone_that_panics_does_not_keep_the_callback() {
    let drops = Drops::new();
    let (promise, resolver) = wait::<Bad>();
    let token = drops.token();
    let mapped = promise.clone().map(move |_| drop(token));
    resolver.wakeup(Bad::new(true, false));
    assert!(show(&mapped).contains("no clone"));
    assert_eq!(drops.count(), 1);
    drop(promise);
}

#[test]
fn losers_are_cancelled_although_the_winner_panics() {
    let ((winner, resolver), (loser, late)) = (wait::<Bad>(), task::<Bad>());
    let drops = Drops::new();
    let token = drops.token();
    late.on_cancel(move || drop(token));
    let picked = pick([winner.clone(), loser]);
    resolver.wakeup(Bad::new(true, false));
    assert_eq!(drops.count(), 1);
    assert_eq!(show(&picked.map(drop)), "panic no clone");
    drop(winner);
}

#[test]
fn a_callback_that_is_not_used_and_panics_takes_nothing_with_it() {
    let drops = Drops::new();
    let (promise, resolver) = wait();
    let bad = Bad::new(false, true);
    let caught = promise.catch(move |error| {
        drop(bad);
        Promise::fail(error)
    });
    resolver.wakeup(drops.token());
    assert!(show(&caught).contains("no drop"));
    assert_eq!(drops.count(), 1, "the value");
}

#[test]
fn the_end_of_a_loop_that_panics_takes_nothing_with_it() {
    let drops = Drops::new();
    let (promise, resolver) = wait();
    let bad = Bad::new(false, true);
    let late = iterate(promise, move |promise| {
        let _ = &bad;
        promise.map(ControlFlow::Break)
    });
    resolver.wakeup(drops.token());
    assert!(show(&late).contains("no drop"));
    assert_eq!(drops.count(), 1, "the value");

    let (bad, value) = (Bad::new(false, true), drops.token());
    let at_once = iterate(value, move |value| {
        let _ = &bad;
        Promise::<ControlFlow<_, _>>::ready(ControlFlow::Break(value))
    });
    assert!(show(&at_once).contains("no drop"));
    assert_eq!(drops.count(), 2, "the value");
}

#[test]
fn the_end_of_a_sequence_that_panics_takes_nothing_with_it() {
    let drops = Drops::new();
    let (bad, made) = (Bad::new(false, true), drops.clone());
    let sequence = seq::from_fn(move || {
        let _ = &bad;
        Promise::ready(Some((made.token(), seq::empty())))
    });
    let (promise, resolver) = wait();
    let first = Cell::new(Some(promise));
    let next =
        seq::from_fn(move || first.take().unwrap_or_else(|| Promise::ready(None))).append(sequence).next();
    resolver.wakeup(None);
    assert_eq!(show(&next.map(drop)), "panic no drop");
    assert_eq!(drops.count(), 1, "the element");
}

#[test]
fn all_losers_are_dropped_although_some_panic() {
    let unhandled = Unhandled::collect();
    let drops = Drops::new();
    let (winner, resolver) = wait::<(Bad, common::DropToken)>();
    let mut members = vec![winner];
    let losers = (0..4).map(|_| (Bad::new(false, true), drops.token()));
    // Resolved, but not to be taken before the chosen one: rejections come first.
    members.extend(losers.map(Promise::ready));
    members.push(Promise::fail(Error::msg("first")));
    let chosen = choose(members).map(drop);
    assert_eq!(show(&chosen), "error first");
    assert_eq!(drops.count(), 4);
    assert_eq!(unhandled.take(), ["panic no drop"; 4].join(", "));
    drop(resolver);
}
