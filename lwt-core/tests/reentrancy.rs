//! Callbacks that resolve, cancel, bind, await or drop other promises of the same graph, from inside.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Log, Unique, show, spin};
use lwt_core::{Error, Promise, Resolver, all, both, choose, join, pick, spawn, task, wait};

/// A place where a callback finds something to take.
fn slot<T>(value: T) -> (Rc<RefCell<Option<T>>>, impl Fn() -> Option<T> + Clone) {
    let slot = Rc::new(RefCell::new(Some(value)));
    let taker = slot.clone();
    (slot, move || taker.borrow_mut().take())
}

#[test]
fn a_callback_attaches_to_the_promise_that_runs_it() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    p.on_success({
        let (log, p) = (log.clone(), p.clone());
        move |_| {
            log.add("outer");
            let inner = log.clone();
            p.on_success(move |v| inner.add(format!("inner:{v}")));
            log.add(show(&p.clone().map(|v| v + 1)));
        }
    });
    p.on_termination(log.note("next"));
    r.wakeup(1);
    assert_eq!(log.take(), "outer inner:1 ok 2 next");
}

#[test]
fn a_callback_drops_the_last_handle_of_the_promise_that_runs_it() {
    let log = Log::new();
    let drops = Drops::new();
    let (p, r) = wait::<Rc<common::DropToken>>();
    let (_, take) = slot(p.clone());
    p.on_success({
        let (log, drops) = (log.clone(), drops.clone());
        move |token| {
            drop(take());
            log.add(drops.count());
            log.add(Rc::strong_count(token));
        }
    });
    p.on_success({
        let log = log.clone();
        move |_| log.add("still")
    });
    drop(p);
    r.wakeup(Rc::new(drops.token()));
    assert_eq!(log.take(), "0 1 still");
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_callback_drops_promises_made_from_the_same_source() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    let derived = Rc::new(RefCell::new(Vec::new()));
    p.on_success({
        let derived = derived.clone();
        move |_| drop(derived.take())
    });
    for n in 0..3 {
        let log = log.clone();
        derived.borrow_mut().push(p.clone().map(move |v| log.add(n + v)));
        derived.borrow_mut().push(choose([p.clone()]).map(|_| ()));
        derived.borrow_mut().push(all([p.clone()]).map(|_| ()));
        derived.borrow_mut().push(p.clone().protected().map(|_| ()));
    }
    drop(p);
    r.wakeup(10);
    assert_eq!(log.take(), "10 11 12", "users' callbacks run all the same");
}

#[test]
fn a_callback_drops_copies_that_are_still_to_be_served() {
    let (p, r) = wait::<i32>();
    let copies = Rc::new(RefCell::new(Vec::new()));
    p.on_success({
        let copies = copies.clone();
        move |_| drop(copies.take())
    });
    for _ in 0..3 {
        let mut copies = copies.borrow_mut();
        copies.push(p.clone().protected());
        copies.push(choose([p.clone(), p.clone()]));
        copies.push(all([p.clone(), p.clone()]).map(|v| v[0]));
        copies.push(pick([p.clone()]).no_cancel());
        copies.push(p.clone().wrap_in_cancelable());
        copies.push(spawn(p.clone()));
    }
    r.wakeup(1);
    spin();
    assert_eq!(show(&p), "ok 1");
}

#[test]
fn a_callback_drops_its_own_result() {
    let (p, r) = wait::<i32>();
    let own: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    let taken = own.clone();
    let q = p.map(move |v| {
        drop(taken.borrow_mut().take());
        v + 1
    });
    own.replace(Some(q));
    r.wakeup(1);
    assert!(own.borrow().is_none());

    let (p, r) = wait::<i32>();
    let (inner, ri) = wait::<i32>();
    let taken = own.clone();
    let q = p.bind(move |_| {
        drop(taken.borrow_mut().take());
        inner
    });
    own.replace(Some(q));
    r.wakeup(1);
    assert!(!ri.is_wanted(), "the result was dropped, and the inner promise with it");
    ri.wakeup(2);
}

#[test]
fn a_callback_cancels_its_own_result() {
    let (p, r) = wait::<i32>();
    let (inner, _ri) = task::<i32>();
    let own: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    let seen = own.clone();
    let q = p.bind({
        let inner = inner.clone();
        move |_| {
            seen.borrow().as_ref().expect("set below").cancel();
            inner
        }
    });
    own.replace(Some(q.clone()));
    r.wakeup(1);
    assert_eq!([show(&q), show(&inner)], ["pending", "pending"], "there was nothing to cancel yet");
    q.cancel();
    assert_eq!([show(&q), show(&inner)], ["canceled", "canceled"]);
}

#[test]
fn a_callback_resolves_the_source_of_what_it_returns() {
    let (p, r) = wait::<()>();
    let (q, rq) = wait::<i32>();
    let o = p.bind(move |()| {
        let derived = q.map(|v| v + 1);
        rq.wakeup(1);
        derived
    });
    r.wakeup(());
    assert_eq!(show(&o), "ok 2");
}

#[test]
fn a_callback_returns_a_promise_that_waits_for_its_own_result() {
    let (p, r) = wait::<()>();
    let own: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    let seen = own.clone();
    let (side, rs) = wait::<i32>();
    let o = p.bind(move |()| {
        let o = seen.borrow_mut().take().expect("set below");
        choose([o, side])
    });
    own.replace(Some(o.clone()));
    r.wakeup(());
    assert_eq!(show(&o), "pending");
    rs.wakeup(6);
    assert_eq!(show(&o), "ok 6");
}

#[test]
fn a_member_of_a_join_resolves_the_next_one() {
    let (ps, rs): (Vec<_>, Vec<_>) = (0..100).map(|_| wait::<i32>()).unzip();
    let mut rs = rs.into_iter();
    let first = rs.next().expect("many");
    for (p, r) in ps.iter().zip(rs) {
        p.on_success(move |v| r.wakeup(v + 1));
    }
    let sum = all(ps).map(|v| v.into_iter().sum::<i32>());
    first.wakeup(0);
    assert_eq!(show(&sum), "ok 4950");
}

#[test]
fn a_member_of_a_pick_resolves_another_member() {
    let (a, ra) = wait::<i32>();
    let (b, rb) = wait::<i32>();
    a.on_success(move |_| rb.wakeup(2));
    let p = pick([a, b]);
    ra.wakeup(1);
    assert_eq!(show(&p), "ok 2", "b was resolved before a's turn came for the pick");
}

#[test]
fn a_loser_resolves_the_other_loser() {
    let (a, ra) = wait::<i32>();
    let (b, _rb) = task::<i32>();
    let (c, rc) = wait::<i32>();
    b.on_cancel(move || rc.wakeup(3));
    let p = pick([a, b, c.clone()]);
    ra.wakeup(1);
    assert_eq!([show(&p), show(&c)], ["ok 1", "ok 3"]);
}

#[test]
fn a_loser_drops_the_pick() {
    let log = Log::new();
    let (a, ra) = wait::<i32>();
    let (b, _rb) = task::<i32>();
    let p = pick([b.clone(), a]);
    let (_, take) = slot(p);
    b.on_cancel({
        let log = log.clone();
        move || {
            drop(take());
            log.add("dropped");
        }
    });
    ra.wakeup(1);
    assert_eq!(log.take(), "dropped");
}

#[test]
fn a_loser_picks_anew_from_the_same_members() {
    let (a, ra) = wait::<i32>();
    let (b, _rb) = task::<i32>();
    let result: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    b.on_cancel({
        let (a, b, result) = (a.clone(), b.clone(), result.clone());
        move || {
            result.replace(Some(pick([a.clone()])));
            drop(b);
        }
    });
    let p = pick([b, a]);
    ra.wakeup(1);
    assert_eq!([show(&p), show(result.borrow().as_ref().expect("made"))], ["ok 1", "ok 1"]);
}

#[test]
fn a_callback_drops_a_combinator_over_the_promise_that_runs_it() {
    let (p, r) = wait::<i32>();
    let (other, ro) = task::<i32>();
    let (_, take) = slot(pick([other.clone(), p.clone()]));
    p.on_success(|_| ());
    let early = p.clone().map({
        let take = take.clone();
        move |_| drop(take())
    });
    r.wakeup(1);
    assert_eq!(show(&early), "ok ()");
    drop(ro);

    // Now in the order in which the pick is dropped before its turn has come.
    let (p, r) = wait::<i32>();
    let (other, ro) = task::<i32>();
    let held: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    p.on_success({
        let held = held.clone();
        move |_| drop(held.borrow_mut().take())
    });
    held.replace(Some(pick([other.clone(), p.clone()])));
    r.wakeup(1);
    assert_eq!(show(&other), "pending", "a dropped pick cancels nobody");
    drop(ro);
}

#[test]
fn a_cancel_callback_that_drops_and_makes_leaves() {
    let log = Log::new();
    let leaves: Rc<RefCell<Vec<(Promise<i32>, Resolver<i32>)>>> = Rc::default();
    leaves.borrow_mut().extend((0..5).map(|_| task::<i32>()));
    let everything = all(leaves.borrow().iter().map(|(p, _)| p.clone()).collect::<Vec<_>>());
    let first = leaves.borrow()[0].0.clone();
    first.on_cancel({
        let (leaves, log) = (leaves.clone(), log.clone());
        move || {
            leaves.borrow_mut().clear();
            let (fresh, _r) = task::<i32>();
            fresh.on_cancel(log.note("fresh"));
            fresh.cancel();
        }
    });
    everything.cancel();
    assert_eq!(show(&everything), "canceled");
    assert_eq!(log.take(), "fresh");
}

#[test]
fn a_cancel_callback_that_resolves_a_pending_member() {
    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let joined = both(t.clone(), w);
    t.on_cancel(move || rw.wakeup(1));
    joined.cancel();
    assert_eq!(show(&joined), "canceled");
}

#[test]
fn a_handler_that_cancels_the_rest_of_the_graph() {
    let (a, ra) = wait::<i32>();
    let (b, _rb) = task::<i32>();
    let (c, _rc) = task::<i32>();
    let others = join([b.clone().map(|_| ()), c.clone().map(|_| ())]);
    let guard = a.catch({
        let others = others.clone();
        move |e| {
            others.cancel();
            Promise::fail(e)
        }
    });
    ra.wakeup_err(Error::msg("boom"));
    assert_eq!([show(&guard), show(&others), show(&b)], ["error boom", "canceled", "canceled"]);
}

#[test]
fn destructors_of_values_do_anything() {
    struct Busy(Option<Resolver<i32>>, Promise<i32>);
    impl Drop for Busy {
        fn drop(&mut self) {
            if let Some(r) = self.0.take() {
                r.wakeup(1);
            }
            self.1.cancel();
            drop(choose([self.1.clone(), Promise::ready(1)]));
        }
    }
    let (p, r) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let (holder, rh) = wait::<Busy>();
    rh.wakeup(Busy(Some(r), t.clone()));
    drop(holder);
    assert_eq!([show(&p), show(&t)], ["ok 1", "canceled"]);
}

#[test]
fn destructors_of_callbacks_do_anything() {
    struct Wakes(Option<Resolver<i32>>);
    impl Drop for Wakes {
        fn drop(&mut self) {
            self.0.take().expect("once").wakeup(9);
        }
    }
    let (seen, rs) = wait::<i32>();
    let (p, r) = wait::<i32>();
    let wakes = Wakes(Some(rs));
    p.on_failure(move |_| drop(wakes));
    r.wakeup(1);
    assert_eq!(show(&seen), "ok 9", "a callback that does not run is dropped");
}

#[test]
fn on_unwanted_does_anything() {
    let log = Log::new();
    let (p, r) = task::<i32>();
    let (q, rq) = task::<i32>();
    let holder = both(p.clone(), q.clone());
    let slot: Rc<RefCell<Option<Resolver<i32>>>> = Rc::new(RefCell::new(Some(rq)));
    r.on_unwanted({
        let (log, slot) = (log.clone(), slot.clone());
        move || {
            log.add("unwanted");
            if let Some(rq) = slot.borrow_mut().take() {
                rq.wakeup(1);
            }
        }
    });
    drop(p);
    drop(holder);
    assert_eq!(log.take(), "unwanted");
    assert_eq!(show(&q), "ok 1");
    drop(r);
}

#[test]
fn a_resolver_that_is_dropped_inside_its_own_on_unwanted() {
    let (p, r) = task::<i32>();
    let own: Rc<RefCell<Option<Resolver<i32>>>> = Rc::default();
    let taken = own.clone();
    r.on_unwanted(move || drop(taken.borrow_mut().take()));
    own.replace(Some(r));
    drop(p);
    assert!(own.borrow().is_none());

    let (p, r) = task::<i32>();
    let taken = own.clone();
    r.on_unwanted(move || {
        if let Some(r) = taken.borrow_mut().take() {
            r.wakeup(1);
        }
    });
    own.replace(Some(r));
    p.cancel();
    assert_eq!(show(&p), "canceled");
}

#[test]
fn a_wake_up_inside_the_drop_of_a_promise() {
    let log = Log::new();
    let (next, rn) = wait::<i32>();
    next.on_termination(log.note("next"));
    struct Last(Option<Resolver<i32>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.take().expect("once").wakeup_later(1);
        }
    }
    let (p, r) = wait::<Last>();
    r.wakeup(Last(Some(rn)));
    drop(p);
    assert_eq!(log.take(), "next");
}

#[test]
fn the_value_is_moved_out_before_later_callbacks_look() {
    // The only handle goes to the bind; the looks were attached before it, and see the value.
    let log = Log::new();
    let (p, r) = wait::<Unique>();
    p.on_success({
        let log = log.clone();
        move |u| log.add(u.0)
    });
    let q = p.map(|u| Unique(u.0 + 1));
    q.on_success({
        let log = log.clone();
        move |u| log.add(u.0)
    });
    r.wakeup(Unique(1));
    assert_eq!(log.take(), "1 2");
    assert_eq!(show(&q), "ok Unique(2)");
}

#[test]
fn tasks_spawn_wake_and_cancel_each_other_while_they_run() {
    let log = Log::new();
    let (gate, rg) = wait::<()>();
    let (t, rt) = task::<i32>();
    let victim = spawn({
        let log = log.clone();
        async move {
            let outcome = t.await;
            log.add(if outcome.is_err() { "victim-canceled" } else { "victim-ok" });
            outcome
        }
    });
    let killer = spawn({
        let (victim, log) = (victim.clone(), log.clone());
        async move {
            gate.await?;
            victim.cancel();
            log.add("killed");
            let helper = spawn({
                let log = log.clone();
                async move {
                    log.add("helper");
                    rt.wakeup(1);
                    Ok::<_, Error>(())
                }
            });
            helper.await
        }
    });
    rg.wakeup(());
    spin();
    assert_eq!(log.take(), "killed helper victim-canceled");
    assert_eq!([show(&victim), show(&killer.map(|()| 0))], ["canceled", "ok 0"]);
}

#[test]
fn a_future_that_drops_the_promise_of_its_own_task() {
    let own: Rc<RefCell<Option<Promise<()>>>> = Rc::default();
    let (gate, rg) = wait::<()>();
    let done = Rc::new(Cell::new(false));
    let t = spawn({
        let (own, done) = (own.clone(), done.clone());
        async move {
            gate.await?;
            drop(own.borrow_mut().take());
            lwt_core::task::yield_now().await?;
            done.set(true);
            Ok::<_, Error>(())
        }
    });
    own.replace(Some(t));
    rg.wakeup(());
    spin();
    assert!(done.get());
}
