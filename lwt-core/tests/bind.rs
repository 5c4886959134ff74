//! Sequencing: `bind`, `map`, `catch`, `try_bind`, `finalize`, `iterate`, the direct callbacks.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Log, Unique, show, spin};
use lwt_core::{Error, Promise, Resolver, dont_wait, iterate, wait};
use std::ops::ControlFlow;

fn boom<T>() -> Promise<T> {
    Promise::fail(Error::msg("boom"))
}

// ---- on a resolved promise: at once -------------------------------------------------------------------------

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

// ---- on a pending promise: when it is resolved --------------------------------------------------------------

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

// ---- the rest -----------------------------------------------------------------------------------------------

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
