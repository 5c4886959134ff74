//! The order in which callbacks run: attachment, nesting, `wakeup` and `wakeup_later`, unification.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Log, Unhandled, show, show_result};
use lwt_core::{Error, Promise, Resolver, all, both, choose, dont_wait, nchoose, pick, task, wait};

// ---- order --------------------------------------------------------------------------------------------------

#[test]
fn callbacks_run_in_order_of_attachment() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    let note = |n: &'static str| {
        let log = log.clone();
        move || log.add(n)
    };
    let (n1, n2, n3, n4, n5, n6) = (note("1"), note("2"), note("3"), note("4"), note("5"), note("6"));
    p.on_success(move |_| n1());
    let _m = p.clone().map(move |_| n2());
    p.on_any(move |_| n3());
    let _b = p.clone().bind(move |_| {
        n4();
        Promise::ready(())
    });
    p.on_termination(n5);
    p.on_success(move |_| n6());
    r.wakeup(0);
    assert_eq!(log.take(), "1 2 3 4 5 6");
}

#[test]
fn a_result_promise_runs_its_callbacks_before_the_next_one_of_the_source() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let a = p.clone().map({
        let log = log.clone();
        move |_| log.add("a")
    });
    let b = p.clone().map({
        let log = log.clone();
        move |_| log.add("b")
    });
    a.on_termination(log.note("after-a"));
    b.on_termination(log.note("after-b"));
    r.wakeup(());
    assert_eq!(log.take(), "a after-a b after-b");
}

#[test]
fn which_direct_callbacks_are_called() {
    let log = Log::new();
    let watch = |p: &Promise<i32>| {
        let (l1, l2, l3, l4) = (log.clone(), log.clone(), log.clone(), log.clone());
        p.on_success(move |v| l1.add(format!("success:{v}")));
        p.on_failure(move |e| l2.add(format!("failure:{}", e.as_std())));
        p.on_termination(move || l3.add("termination"));
        p.on_any(move |r| l4.add(show_result(r).replace(' ', ":")));
    };
    let (p, r) = wait();
    watch(&p);
    assert_eq!(log.take(), "");
    r.wakeup(1);
    assert_eq!(log.take(), "success:1 termination ok:1");
    watch(&p);
    assert_eq!(log.take(), "success:1 termination ok:1");

    let (p, r) = wait();
    watch(&p);
    r.wakeup_err(Error::msg("e"));
    assert_eq!(log.take(), "failure:e termination error:e");
    watch(&p);
    assert_eq!(log.take(), "failure:e termination error:e");
}

#[test]
fn a_direct_callback_that_panics_does_not_stop_the_others() {
    let hook = Unhandled::collect();
    let log = Log::new();
    let (p, r) = wait::<i32>();
    p.on_success(|_| panic!("first"));
    p.on_success({
        let log = log.clone();
        move |_| log.add("second")
    });
    r.wakeup(1);
    assert_eq!(log.take(), "second");
    assert_eq!(hook.take(), "panic first");
    p.on_any(|_| panic!("at once"));
    p.on_termination(|| panic!("again"));
    assert_eq!(hook.take(), "panic at once, panic again");
    p.on_cancel(|| panic!("never"));
    let (p, _r) = task::<i32>();
    p.on_cancel(|| panic!("cancel"));
    p.on_failure(|_| panic!("failure"));
    p.cancel();
    assert_eq!(hook.take(), "panic cancel, panic failure");
}

// ---- wakeup and wakeup_later --------------------------------------------------------------------------------

/// p's callbacks are: A, which resolves q by `how`, then B. q has the callback Q.
fn nested(how: fn(Resolver<()>)) -> String {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let (q, rq) = wait::<()>();
    q.on_termination(log.note("Q"));
    p.on_success({
        let (log, q) = (log.clone(), q.clone());
        move |_| {
            log.add("A");
            how(rq);
            log.add(if q.is_pending() { "q-pending" } else { "q-resolved" });
        }
    });
    p.on_success({
        let log = log.clone();
        move |_| log.add("B")
    });
    r.wakeup(());
    log.add("end");
    log.take()
}

#[test]
fn wakeup_runs_its_cascade_before_it_returns() {
    assert_eq!(nested(|r| r.wakeup(())), "A Q q-resolved B end");
    assert_eq!(nested(|r| r.wakeup_err(Error::msg("e"))), "A Q q-resolved B end");
    assert_eq!(nested(|r| r.wakeup_result(Ok(()))), "A Q q-resolved B end");
}

#[test]
fn wakeup_later_leaves_the_callbacks_to_the_outermost_level() {
    assert_eq!(nested(|r| r.wakeup_later(())), "A q-resolved B Q end");
    assert_eq!(nested(|r| r.wakeup_later_err(Error::msg("e"))), "A q-resolved B Q end");
    assert_eq!(nested(|r| r.wakeup_later_result(Ok(()))), "A q-resolved B Q end");
}

#[test]
fn wakeup_later_outside_a_cascade_is_wakeup() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    p.on_termination(log.note("ran"));
    r.wakeup_later(());
    assert_eq!(log.take(), "ran");
}

#[test]
fn a_callback_that_runs_at_once_is_no_cascade() {
    let log = Log::new();
    let (q, rq) = wait::<()>();
    q.on_termination(log.note("Q"));
    let l = log.clone();
    Promise::ready(()).on_success(move |_| {
        rq.wakeup_later(());
        l.add("A");
    });
    assert_eq!(log.take(), "Q A");
}

#[test]
fn deferred_callbacks_wait_for_the_outermost_level_and_come_in_order() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let (middle, rm) = wait::<()>();
    let (later1, r1) = wait::<()>();
    let (later2, r2) = wait::<()>();
    let (later3, r3) = wait::<()>();
    later1.on_success({
        let log = log.clone();
        move |_| {
            log.add("later1");
            r3.wakeup_later(());
        }
    });
    later2.on_termination(log.note("later2"));
    later3.on_termination(log.note("later3"));
    middle.on_success({
        let log = log.clone();
        move |_| {
            r1.wakeup_later(());
            log.add("middle");
        }
    });
    p.on_success({
        let log = log.clone();
        move |_| {
            rm.wakeup(());
            log.add("after-middle");
            r2.wakeup_later(());
        }
    });
    p.on_termination(log.note("last-of-p"));
    r.wakeup(());
    assert_eq!(log.take(), "middle after-middle last-of-p later1 later2 later3");
}

#[test]
fn cancel_counts_as_a_level() {
    let log = Log::new();
    let (p, _r) = task::<()>();
    let (q, rq) = wait::<()>();
    q.on_termination(log.note("Q"));
    p.on_termination({
        let log = log.clone();
        move || {
            rq.wakeup_later(());
            log.add("A");
        }
    });
    p.on_termination(log.note("B"));
    p.cancel();
    assert_eq!(log.take(), "A B Q");
}

#[test]
fn a_poll_counts_as_a_level() {
    let log = Log::new();
    let (q, rq) = wait::<()>();
    q.on_termination(log.note("Q"));
    let l = log.clone();
    let t = lwt_core::spawn(async move {
        rq.wakeup_later(());
        l.add("polled");
        Ok::<_, Error>(())
    });
    assert_eq!(log.take(), "polled Q");
    drop(t);
}

#[test]
fn nested_wakeups_run_in_place_down_to_some_depth() {
    let log = Log::new();
    let (first, r) = wait::<()>();
    let mut rs = Vec::new();
    let mut previous = first;
    for n in 0..30 {
        let (next, rn) = wait::<()>();
        let log = log.clone();
        previous.on_success(move |_| {
            rn.wakeup(());
            log.add(n);
        });
        rs.push(previous);
        previous = next;
    }
    r.wakeup(());
    let expected: Vec<_> = (0..30).rev().map(|n| n.to_string()).collect();
    assert_eq!(log.take(), expected.join(" "), "each returns after those that it woke");
}

#[test]
fn very_deep_wakeups_all_run_before_the_outermost_returns() {
    let log = Log::new();
    let (first, r) = wait::<()>();
    let mut previous = first;
    for n in 0..1000 {
        let (next, rn) = wait::<()>();
        let log = log.clone();
        previous.on_success(move |_| {
            rn.wakeup(());
            log.add(n);
        });
        previous = next;
    }
    r.wakeup(());
    assert_eq!(log.len(), 1000);
    assert_eq!(show(&previous), "ok ()");
}

// ---- unification --------------------------------------------------------------------------------------------

#[test]
fn the_outer_takes_the_place_of_the_inner() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let (q, rq) = wait::<i32>();
    let o = p.bind({
        let q = q.clone();
        move |_| q
    });
    q.on_termination(log.note("q1"));
    o.on_termination(log.note("o1"));
    o.on_termination(log.note("o2"));
    r.wakeup(());
    o.on_termination(log.note("o-late"));
    q.on_termination(log.note("q-late"));
    rq.wakeup(5);
    assert_eq!(log.take(), "o1 o2 q1 o-late q-late");
    assert_eq!((show(&o), show(&q)), ("ok 5".into(), "ok 5".into()));
}

#[test]
fn a_chain_of_unifications_ends_in_one_promise() {
    let log = Log::new();
    let (inner, ri) = wait::<i32>();
    let mut all = vec![inner.clone()];
    let mut current = inner;
    for n in 0..10 {
        let (p, r) = wait::<()>();
        let outer = p.bind(move |_| current);
        outer.on_termination(log.note(n));
        r.wakeup(());
        all.push(outer.clone());
        current = outer;
    }
    ri.wakeup(3);
    for p in all {
        assert_eq!(show(&p), "ok 3");
    }
    assert_eq!(log.take(), "9 8 7 6 5 4 3 2 1 0", "the outermost first");
}

#[test]
fn two_outers_of_one_inner() {
    let (a, ra) = wait::<()>();
    let (b, rb) = wait::<()>();
    let (q, rq) = wait::<i32>();
    let (q1, q2) = (q.clone(), q.clone());
    let oa = a.bind(move |_| q1);
    let ob = b.bind(move |_| q2);
    ra.wakeup(());
    rb.wakeup(());
    assert_eq!(show(&oa), "pending");
    rq.wakeup(1);
    assert_eq!([show(&oa), show(&ob), show(&q)], ["ok 1", "ok 1", "ok 1"]);
}

/// Nothing can ever resolve it: an error, and not a hang.
#[test]
fn a_promise_bound_to_itself_is_abandoned() {
    let (p, r) = wait::<()>();
    let own: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    let o = p.bind({
        let own = own.clone();
        move |_| own.borrow_mut().take().expect("set below")
    });
    *own.borrow_mut() = Some(o.clone());
    let log = Log::new();
    o.on_termination(log.note("once"));
    r.wakeup(());
    assert_eq!(show(&o), "abandoned");
    o.cancel();
    assert_eq!(show(&o.map(|v| v)), "abandoned");
    assert_eq!(log.take(), "once");
}

#[test]
fn two_promises_bound_to_each_other_are_abandoned() {
    let (p, rp) = wait::<()>();
    let (q, rq) = wait::<()>();
    let slots: Rc<RefCell<[Option<Promise<i32>>; 2]>> = Rc::default();
    let (s1, s2) = (slots.clone(), slots.clone());
    let a = p.bind(move |_| s1.borrow_mut()[1].take().expect("set below"));
    let b = q.bind(move |_| s2.borrow_mut()[0].take().expect("set below"));
    *slots.borrow_mut() = [Some(a.clone()), Some(b.clone())];
    rp.wakeup(());
    assert_eq!([show(&a), show(&b)], ["pending", "pending"]);
    a.cancel();
    rq.wakeup(());
    assert_eq!([show(&a), show(&b)], ["abandoned", "abandoned"]);
}

/// While the callback of `inner` runs, its result is made a proxy of `outer` by what the callback resolves.
#[test]
fn a_callback_that_unifies_its_own_result() {
    let (p, rp) = wait::<()>();
    let (gate, rg) = wait::<()>();
    let slot: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    let inner = p.bind(move |_| {
        rg.wakeup(());
        Promise::ready(8)
    });
    let outer = gate.bind({
        let slot = slot.clone();
        move |_| slot.borrow_mut().take().expect("set below")
    });
    *slot.borrow_mut() = Some(inner.clone());
    rp.wakeup(());
    assert_eq!((show(&inner), show(&outer)), ("ok 8".into(), "ok 8".into()));
}

// ---- panics -------------------------------------------------------------------------------------------------
#[test]
fn a_panic_leaves_no_trace_in_the_counters() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<()>();
    p.on_success(|_| panic!("one"));
    drop(p.clone().map(|_| panic!("two")));
    r.wakeup(());
    dont_wait(
        {
            let p = p.clone();
            move || p.bind(|_| Promise::fail(Error::msg("three")))
        },
        |_| panic!("four"),
    );
    assert_eq!(nested(|r| r.wakeup_later(())), "A q-resolved B Q end");
    assert_eq!(hook.take(), "panic one, panic two, panic four");
}

#[test]
fn a_dont_wait_handler_that_panics_later_breaks_nothing() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<()>();
    dont_wait(move || p, |_| panic!("handler"));
    r.wakeup_err(Error::msg("later"));
    assert_eq!(hook.take(), "panic handler");
    assert_eq!(nested(|r| r.wakeup_later(())), "A q-resolved B Q end");
}

#[test]
fn many_combinators_over_one_moment() {
    let (p, r) = wait::<i32>();
    let a = choose([p.clone(), p.clone().map(|v| v + 1)]);
    let b = nchoose([p.clone(), p.clone().map(|v| v + 1), a.clone()]);
    let c = pick([b.clone().map(|v| v.len() as i32), a.clone()]);
    let d = all([p.clone(), a.clone(), c.clone()]);
    let e = both(d.clone(), b.clone());
    r.wakeup(1);
    // The map was attached first, so it had its value before the choose looked.
    assert_eq!(show(&a), "ok 2");
    assert_eq!(show(&b), "ok [1, 2]");
    assert!(!c.is_pending() && !d.is_pending() && !e.is_pending());
}
