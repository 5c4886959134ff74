//! Sequencing: `bind`, `map`, `catch`, `try_bind`, `finalize`, the direct callbacks, and the order in which all run.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Log, Unhandled, Unique, show, show_result, spin};
use lwt_core::{Error, Promise, Resolver, dont_wait, iterate, task, wait};
use std::ops::ControlFlow;

fn boom<T>() -> Promise<T> {
    Promise::fail(Error::msg("boom"))
}

// ---- on a resolved promise: at once -------------------------------------------------------------------------------

#[test]
fn a_callback_on_a_resolved_promise_runs_inside_the_call() {
    let log = Log::new();
    let l = log.clone();
    let p = Promise::ready(1).bind(move |v| {
        l.add("ran");
        Promise::ready(v + 1)
    });
    log.add("after");
    assert_eq!(show(&p), "ok 2");
    assert_eq!(log.take(), "ran after");
}

#[test]
fn each_form_on_each_outcome_at_once() {
    assert_eq!(show(&Promise::ready(1).map(|v| v + 1)), "ok 2");
    assert_eq!(show(&boom::<i32>().map(|v| v + 1)), "error boom");
    assert_eq!(show(&boom::<i32>().bind(|v| Promise::ready(v + 1))), "error boom");
    assert_eq!(show(&Promise::ready(1).bind(|_| boom::<i32>())), "error boom");
    assert_eq!(show(&Promise::ready(1).catch(|_| Promise::ready(2))), "ok 1");
    assert_eq!(show(&boom().catch(|_| Promise::ready(2))), "ok 2");
    assert_eq!(show(&boom::<i32>().catch(|_| Promise::fail(Error::msg("worse")))), "error worse");
    let both = |p: Promise<i32>| p.try_bind(|v| Promise::ready(v + 1), |_| Promise::ready(0));
    assert_eq!(show(&both(Promise::ready(1))), "ok 2");
    assert_eq!(show(&both(boom())), "ok 0");
    assert_eq!(show(&Promise::ready(1).finalize(|| Promise::ready(()))), "ok 1");
    assert_eq!(show(&boom::<i32>().finalize(|| Promise::ready(()))), "error boom");
    assert_eq!(show(&Promise::ready(1).finalize(|| Promise::fail(Error::msg("cleanup")))), "error cleanup");
    assert_eq!(show(&boom::<i32>().finalize(|| Promise::fail(Error::msg("cleanup")))), "error cleanup");
}

#[test]
fn an_error_of_the_success_branch_is_not_caught_by_the_other() {
    let p = Promise::ready(1).try_bind(|_| boom::<i32>(), |_| Promise::ready(9));
    assert_eq!(show(&p), "error boom");
    let (p, r) = wait::<i32>();
    let q = p.try_bind(|_| boom::<i32>(), |_| Promise::ready(9));
    r.wakeup(1);
    assert_eq!(show(&q), "error boom");
}

// ---- on a pending promise: when it is resolved --------------------------------------------------------------------

/// Each form over a pending promise, its results shown for a fulfilled and for a rejected end.
#[test]
fn each_form_on_each_outcome_later() {
    type Form = fn(Promise<i32>) -> Promise<i32>;
    let table: &[(&str, Form, &str, &str)] = &[
        ("map", |p| p.map(|v| v + 1), "ok 2", "error boom"),
        ("bind", |p| p.bind(|v| Promise::ready(v + 1)), "ok 2", "error boom"),
        ("bind to failure", |p| p.bind(|_| Promise::fail(Error::msg("f"))), "error f", "error boom"),
        ("catch", |p| p.catch(|_| Promise::ready(7)), "ok 1", "ok 7"),
        ("catch to failure", |p| p.catch(|_| Promise::fail(Error::msg("f"))), "ok 1", "error f"),
        ("try_bind", |p| p.try_bind(|v| Promise::ready(v + 1), |_| Promise::ready(7)), "ok 2", "ok 7"),
        ("finalize", |p| p.finalize(|| Promise::ready(())), "ok 1", "error boom"),
        ("finalize to failure", |p| p.finalize(|| Promise::fail(Error::msg("f"))), "error f", "error f"),
        ("map panics", |p| p.map(|_| panic!("p")), "panic p", "error boom"),
        ("bind panics", |p| p.bind(|_| panic!("p")), "panic p", "error boom"),
        ("catch panics", |p| p.catch(|_| panic!("p")), "ok 1", "panic p"),
        ("try_bind panics", |p| p.try_bind(|_| panic!("p"), |_| panic!("q")), "panic p", "panic q"),
        ("finalize panics", |p| p.finalize(|| panic!("p")), "panic p", "panic p"),
    ];
    for (name, form, fulfilled, rejected) in table {
        let (p, r) = wait();
        let q = form(p);
        assert_eq!(show(&q), "pending", "{name}");
        r.wakeup(1);
        assert_eq!(show(&q), *fulfilled, "{name}, fulfilled later");

        let (p, r) = wait();
        let q = form(p);
        r.wakeup_err(Error::msg("boom"));
        assert_eq!(show(&q), *rejected, "{name}, rejected later");

        assert_eq!(show(&form(Promise::ready(1))), *fulfilled, "{name}, on a fulfilled one");
        assert_eq!(show(&form(boom())), *rejected, "{name}, on a rejected one");
    }
}

/// The same forms, with callbacks that return a promise which is itself resolved later.
#[test]
fn each_form_with_a_pending_inner_promise() {
    type Form = fn(Promise<i32>, Promise<i32>) -> Promise<i32>;
    let table: &[(&str, Form, Result<i32, &str>)] = &[
        ("bind", |p, q| p.bind(|_| q), Ok(1)),
        ("catch", |p, q| p.catch(|_| q), Err("e")),
        ("try_bind, success", |p, q| p.try_bind(|_| q, |_| panic!()), Ok(1)),
        ("try_bind, failure", |p, q| p.try_bind(|_| panic!(), |_| q), Err("e")),
    ];
    for (name, form, start) in table {
        for (end, expected) in [(Ok(5), "ok 5"), (Err(Error::msg("inner")), "error inner")] {
            for resolved_before in [false, true] {
                let (p, r) = wait::<i32>();
                let (q, rq) = wait::<i32>();
                let start = start.map_err(Error::msg);
                let o = if resolved_before {
                    r.wakeup_result(start);
                    form(p, q)
                } else {
                    let o = form(p, q);
                    r.wakeup_result(start);
                    o
                };
                assert_eq!(show(&o), "pending", "{name}");
                rq.wakeup_result(end.clone());
                assert_eq!(show(&o), expected, "{name}");
            }
        }
    }
}

#[test]
fn finalize_waits_for_its_cleanup() {
    for (outcome, cleanup, expected) in [
        (Ok(1), Ok(()), "ok 1"),
        (Err(Error::msg("boom")), Ok(()), "error boom"),
        (Ok(1), Err(Error::msg("cleanup")), "error cleanup"),
        (Err(Error::msg("boom")), Err(Error::msg("cleanup")), "error cleanup"),
    ] {
        let (p, r) = wait::<i32>();
        let (c, rc) = wait::<()>();
        let q = p.finalize(move || c);
        r.wakeup_result(outcome.clone());
        assert_eq!(show(&q), "pending");
        rc.wakeup_result(cleanup);
        assert_eq!(show(&q), expected);
    }
}

#[test]
fn values_that_cannot_be_cloned_move_through() {
    let (p, r) = wait::<Unique>();
    let q = p
        .map(|u| Unique(u.0 + 1))
        .bind(|u| Promise::ready(Unique(u.0 * 10)))
        .catch(|_| Promise::ready(Unique(0)))
        .try_bind(|u| Promise::ready(Unique(u.0 + 3)), |_| Promise::ready(Unique(0)))
        .finalize(|| Promise::ready(()))
        .protected()
        .no_cancel()
        .wrap_in_cancelable();
    r.wakeup(Unique(1));
    assert_eq!(show(&q), "ok Unique(23)");

    let (p, r) = wait::<()>();
    let q = p.bind(|()| Promise::ready(Unique(4))).bind(|u| {
        let (inner, ri) = wait::<Unique>();
        ri.wakeup(u);
        inner
    });
    r.wakeup(());
    assert_eq!(show(&q), "ok Unique(4)");
}

#[test]
fn each_share_gets_its_own_value() {
    let (p, r) = wait::<Vec<i32>>();
    let grown: Vec<_> = (0..4)
        .map(|n| {
            p.clone().map(move |mut v| {
                v.push(n);
                v
            })
        })
        .collect();
    r.wakeup(vec![9]);
    for (n, q) in grown.iter().enumerate() {
        assert_eq!(show(q), format!("ok [9, {n}]"));
    }
    assert_eq!(show(&p), "ok [9]");
    assert_eq!(show(&p.map(|v| v.len())), "ok 1");
}

// ---- order ----------------------------------------------------------------------------------------------------------

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

// ---- wakeup and wakeup_later ----------------------------------------------------------------------------------------

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

// ---- unification ------------------------------------------------------------------------------------------------------

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

// ---- the rest -----------------------------------------------------------------------------------------------------------

#[test]
fn a_callback_runs_also_when_its_promise_was_dropped() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    drop(p.clone().map({
        let log = log.clone();
        move |_| log.add("map")
    }));
    drop(p.clone().bind({
        let log = log.clone();
        move |_| {
            log.add("bind");
            Promise::ready(())
        }
    }));
    drop(p.finalize({
        let log = log.clone();
        move || {
            log.add("finalize");
            Promise::ready(())
        }
    }));
    r.wakeup(1);
    assert_eq!(log.take(), "map bind finalize");
}

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
fn dont_wait_starts_at_once_and_hands_errors_over() {
    let log = Log::new();
    let handler = || {
        let log = log.clone();
        move |e: Error| log.add(common::text(&e).replace(' ', ":"))
    };
    dont_wait(|| Promise::fail(Error::msg("at-once")), handler());
    assert_eq!(log.take(), "error:at-once");
    dont_wait(|| panic!("thunk"), handler());
    assert_eq!(log.take(), "panic:thunk");
    let (p, r) = wait::<()>();
    dont_wait(
        {
            let log = log.clone();
            move || {
                log.add("started");
                p
            }
        },
        handler(),
    );
    assert_eq!(log.take(), "started");
    r.wakeup_err(Error::msg("later"));
    assert_eq!(log.take(), "error:later");
    dont_wait(|| Promise::ready(()), handler());
    assert_eq!(log.take(), "");
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
fn iterate_goes_on_until_it_breaks() {
    let p = iterate(0, |n| {
        Promise::ready(if n < 10 { ControlFlow::Continue(n + 1) } else { ControlFlow::Break(n) })
    });
    assert_eq!(show(&p), "ok 10");

    let p =
        iterate(0, |n| if n < 3 { Promise::ready(ControlFlow::<(), _>::Continue(n + 1)) } else { boom() });
    assert_eq!(show(&p), "error boom");

    let p = iterate(0, |n| {
        if n < 3 { Promise::ready(ControlFlow::<(), _>::Continue(n + 1)) } else { panic!("at {n}") }
    });
    assert_eq!(show(&p), "panic at 3");
}

#[test]
fn iterate_over_pending_steps() {
    let gates: Rc<RefCell<Vec<Resolver<()>>>> = Rc::default();
    let made = gates.clone();
    let p = iterate(0, move |n| {
        let (p, r) = wait::<()>();
        made.borrow_mut().push(r);
        p.map(move |()| if n < 3 { ControlFlow::Continue(n + 1) } else { ControlFlow::Break(n) })
    });
    for _ in 0..4 {
        assert_eq!(show(&p), "pending");
        let gate = gates.borrow_mut().pop().expect("one step at a time");
        assert!(gates.borrow().is_empty());
        gate.wakeup(());
        spin();
    }
    assert_eq!(show(&p), "ok 3");
}
