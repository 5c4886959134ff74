//! Cancellation: what a cancel reaches, what stops it, in which order callbacks run, and what it leaves alone.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Log, Unhandled, Unique, show};
use lwt_core::{Error, Promise, all, both, choose, join, nchoose, nchoose_split, npick, pick, task, wait};

// ---- the leaves -----------------------------------------------------------------------------------------------------

#[test]
fn task_yields_wait_does_not() {
    let (t, _rt) = task::<i32>();
    t.cancel();
    assert_eq!(show(&t), "canceled");
    let (w, r) = wait::<i32>();
    w.cancel();
    assert_eq!(show(&w), "pending");
    r.wakeup(1);
    assert_eq!(show(&w), "ok 1");
}

#[test]
fn a_resolved_promise_stays_as_it_is() {
    let p = Promise::ready(1);
    p.cancel();
    assert_eq!(show(&p), "ok 1");
    let p = Promise::<i32>::fail(Error::msg("boom"));
    p.cancel();
    assert_eq!(show(&p), "error boom");
    let (p, r) = task();
    r.wakeup(2);
    p.cancel();
    p.cancel();
    assert_eq!(show(&p), "ok 2");
}

#[test]
fn a_second_cancel_does_nothing() {
    let log = Log::new();
    let (t, _r) = task::<()>();
    t.on_cancel(log.note("once"));
    t.cancel();
    t.cancel();
    assert_eq!(log.take(), "once");
}

#[test]
fn a_canceller_needs_no_clone_of_the_value() {
    let (t, _r) = task::<Unique>();
    let c = t.canceller();
    let d = c.clone();
    let p = t.map(|u| u.0);
    c.cancel();
    d.cancel();
    assert_eq!(show(&p), "canceled");
}

#[test]
fn a_canceller_of_a_derived_promise() {
    let (t, _r) = task::<Unique>();
    let p = t.map(|u| u.0);
    let c = p.canceller();
    let log = Log::new();
    p.on_cancel(log.note("cancelled"));
    c.cancel();
    assert_eq!(log.take(), "cancelled");
    drop(p);
    c.cancel();
}

#[test]
fn pause_can_be_cancelled() {
    let before = lwt_core::scheduler::paused_count();
    let p = lwt_core::pause();
    p.cancel();
    assert_eq!(show(&p), "canceled");
    assert_eq!(lwt_core::scheduler::paused_count(), before, "a cancelled pause is not counted");
    lwt_core::scheduler::wakeup_paused();
    assert_eq!(show(&p), "canceled");
}

// ---- through sequencing -----------------------------------------------------------------------------------------------

type Form = fn(Promise<i32>) -> Promise<i32>;

fn forms() -> Vec<(&'static str, Form)> {
    vec![
        ("bind", |p| p.bind(Promise::ready)),
        ("map", |p| p.map(|v| v)),
        ("catch", |p| p.catch(Promise::fail)),
        ("try_bind", |p| p.try_bind(Promise::ready, Promise::fail)),
        ("finalize", |p| p.finalize(|| Promise::ready(()))),
        ("wrap_in_cancelable", |p| p.wrap_in_cancelable()),
        ("both", |p| both(p, Promise::ready(())).map(|(v, ())| v)),
        ("all", |p| all([p]).map(|v| v[0])),
        ("join", |p| join([p.map(|_| ())]).map(|()| 0)),
        ("choose", |p| choose([p])),
        ("pick", |p| pick([p])),
        ("nchoose", |p| nchoose([p]).map(|v| v[0])),
        ("npick", |p| npick([p]).map(|v| v[0])),
        ("nchoose_split", |p| nchoose_split([p]).map(|(v, _)| v[0])),
    ]
}

#[test]
fn a_cancel_reaches_the_source_through_every_form() {
    for (name, form) in forms() {
        let (t, _r) = task::<i32>();
        let p = form(t.clone());
        p.cancel();
        assert_eq!(show(&t), "canceled", "{name}: the source");
        assert_eq!(show(&p), "canceled", "{name}: the result");
    }
}

#[test]
fn a_cancel_of_a_result_over_a_wait_does_nothing_now() {
    for (name, form) in forms() {
        let (w, r) = wait::<i32>();
        let p = form(w.clone());
        p.cancel();
        assert_eq!(show(&w), "pending", "{name}");
        if name == "wrap_in_cancelable" {
            assert_eq!(show(&p), "canceled", "{name}");
        } else {
            assert_eq!(show(&p), "pending", "{name}");
        }
        r.wakeup(0);
        let expected = if name == "wrap_in_cancelable" { "canceled" } else { "ok 0" };
        assert_eq!(show(&p), expected, "{name}: goes on");
    }
}

#[test]
fn two_forms_deep() {
    for (outer_name, outer) in forms() {
        for (inner_name, inner) in forms() {
            let (t, _r) = task::<i32>();
            let p = outer(inner(t.clone()));
            p.cancel();
            assert_eq!(
                (show(&t), show(&p)),
                ("canceled".into(), "canceled".into()),
                "{outer_name}({inner_name})"
            );
        }
    }
}

#[test]
fn cancelling_the_source_rejects_the_results() {
    for (name, form) in forms() {
        let (t, _r) = task::<i32>();
        let p = form(t.clone());
        t.cancel();
        assert_eq!(show(&p), "canceled", "{name}");
    }
}

#[test]
fn a_bind_whose_callback_has_run_forwards_to_the_inner_promise() {
    let (p, r) = wait::<()>();
    let (t, _rt) = task::<i32>();
    let o = p.bind({
        let t = t.clone();
        move |()| t
    });
    r.wakeup(());
    o.cancel();
    assert_eq!((show(&t), show(&o)), ("canceled".into(), "canceled".into()));

    let (p, r) = task::<()>();
    let (w, rw) = wait::<i32>();
    let o = p.bind(move |()| w);
    r.wakeup(());
    o.cancel();
    assert_eq!(show(&o), "pending", "the outer is cancelled the way the inner is");
    rw.wakeup(1);
    assert_eq!(show(&o), "ok 1");
}

#[test]
fn a_bind_whose_callback_has_not_run_leaves_the_inner_alone() {
    let (p, _r) = task::<()>();
    let (t, _rt) = task::<i32>();
    let o = p.bind({
        let t = t.clone();
        move |()| t
    });
    o.cancel();
    assert_eq!((show(&t), show(&o)), ("pending".into(), "canceled".into()));
}

#[test]
fn the_handler_and_the_cleanup_can_be_cancelled_too() {
    let (p, r) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let o = p.catch({
        let t = t.clone();
        move |_| t
    });
    r.wakeup_err(Error::msg("boom"));
    o.cancel();
    assert_eq!((show(&t), show(&o)), ("canceled".into(), "canceled".into()));

    let (p, r) = wait::<i32>();
    let (t, _rt) = task::<()>();
    let o = p.finalize({
        let t = t.clone();
        move || t
    });
    r.wakeup(1);
    o.cancel();
    assert_eq!((show(&t), show(&o)), ("canceled".into(), "canceled".into()), "the cleanup's error wins");
}

#[test]
fn catch_may_swallow_the_cancel() {
    let log = Log::new();
    let (t, _r) = task::<i32>();
    let p = t.clone().catch(|e| if e.is_canceled() { Promise::ready(5) } else { Promise::fail(e) });
    t.on_cancel(log.note("inner"));
    p.on_cancel(log.note("outer"));
    p.cancel();
    assert_eq!((show(&t), show(&p)), ("canceled".into(), "ok 5".into()));
    assert_eq!(log.take(), "inner");

    let (t, _r) = task::<i32>();
    let p = t.clone().catch(Promise::fail);
    t.on_cancel(log.note("inner"));
    p.on_cancel(log.note("outer"));
    p.cancel();
    assert_eq!(log.take(), "inner outer");
}

#[test]
fn finalize_cleans_up_after_a_cancel() {
    let log = Log::new();
    let (t, _r) = task::<i32>();
    let (c, rc) = wait::<()>();
    let p = t.finalize({
        let log = log.clone();
        move || {
            log.add("cleanup");
            c
        }
    });
    p.cancel();
    assert_eq!(log.take(), "cleanup");
    assert_eq!(show(&p), "pending", "the cleanup may take its time");
    rc.wakeup(());
    assert_eq!(show(&p), "canceled");

    let (t, _r) = task::<i32>();
    let p = t.finalize(|| Promise::fail(Error::msg("cleanup")));
    p.cancel();
    assert_eq!(show(&p), "error cleanup", "the cleanup's own failure wins");
}

// ---- through combinators ------------------------------------------------------------------------------------------------

#[test]
fn join_of_wait_and_task() {
    let (w, r) = wait::<()>();
    let (t, _rt) = task::<()>();
    let p = join([w, t.clone()]);
    p.cancel();
    assert_eq!((show(&t), show(&p)), ("canceled".into(), "pending".into()));
    r.wakeup(());
    assert_eq!(show(&p), "canceled");

    let (w, r) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let p = both(t.clone(), w);
    p.cancel();
    assert_eq!((show(&t), show(&p)), ("canceled".into(), "pending".into()));
    r.wakeup(1);
    assert_eq!(show(&p), "canceled");
}

#[test]
fn join_keeps_a_rejection_that_came_before_the_cancel() {
    let (t, _rt) = task::<()>();
    let p = join([t, Promise::fail(Error::msg("boom"))]);
    p.cancel();
    assert_eq!(show(&p), "error boom");
}

#[test]
fn the_choose_family_over_wait_and_task() {
    type Chooser = fn(Vec<Promise<i32>>) -> Promise<()>;
    let family: [(&str, Chooser); 5] = [
        ("choose", |l| choose(l).map(|_| ())),
        ("pick", |l| pick(l).map(|_| ())),
        ("nchoose", |l| nchoose(l).map(|_| ())),
        ("npick", |l| npick(l).map(|_| ())),
        ("nchoose_split", |l| nchoose_split(l).map(|_| ())),
    ];
    for (name, chooser) in family {
        let (w, _r) = wait::<i32>();
        let (t, _rt) = task::<i32>();
        let (u, _ru) = task::<i32>();
        let p = chooser(vec![w.clone(), t.clone(), u.clone()]);
        p.cancel();
        assert_eq!(
            [show(&w), show(&t), show(&u), show(&p)],
            ["pending", "canceled", "canceled", "canceled"],
            "{name}"
        );
    }
}

#[test]
fn pick_and_npick_cancel_the_others() {
    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let (v, _rv) = wait::<i32>();
    let p = pick([t.clone(), w, v.clone()]);
    rw.wakeup(1);
    assert_eq!([show(&p), show(&t), show(&v)], ["ok 1", "canceled", "pending"]);

    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let p = npick([t.clone(), w]);
    rw.wakeup(1);
    assert_eq!([show(&p), show(&t)], ["ok [1]", "canceled"]);

    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let p = pick([t.clone(), w]);
    rw.wakeup_err(Error::msg("boom"));
    assert_eq!([show(&p), show(&t)], ["error boom", "canceled"], "also when one is rejected");
}

#[test]
fn pick_and_npick_cancel_the_others_when_decided_at_the_call() {
    let (t, _rt) = task::<i32>();
    let p = pick([Promise::ready(1), t.clone()]);
    assert_eq!([show(&p), show(&t)], ["ok 1", "canceled"]);
    let (t, _rt) = task::<i32>();
    let p = npick([t.clone(), Promise::ready(1)]);
    assert_eq!([show(&p), show(&t)], ["ok [1]", "canceled"]);
    let (t, _rt) = task::<i32>();
    let p = pick([t.clone(), Promise::fail(Error::msg("boom"))]);
    assert_eq!([show(&p), show(&t)], ["error boom", "canceled"]);
}

#[test]
fn losers_that_only_the_pick_holds() {
    for (name, form) in forms() {
        let (t, _rt) = task::<i32>();
        let (w, rw) = wait::<i32>();
        let p = pick([form(t.clone()), w]);
        rw.wakeup(1);
        assert_eq!([show(&p), show(&t)], ["ok 1", "canceled"], "pick over {name}");

        let (t, _rt) = task::<i32>();
        let (w, rw) = wait::<i32>();
        let p = npick([w, form(t.clone())]);
        rw.wakeup(1);
        assert_eq!([show(&p), show(&t)], ["ok [1]", "canceled"], "npick over {name}");

        let (t, _rt) = task::<i32>();
        let p = pick([form(t.clone()), Promise::ready(1)]);
        assert_eq!([show(&p), show(&t)], ["ok 1", "canceled"], "decided at the call, over {name}");
    }
}

#[test]
fn choose_and_nchoose_cancel_nobody() {
    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let p = choose([t.clone(), w.clone()]);
    let q = nchoose([t.clone(), w]);
    rw.wakeup(1);
    assert_eq!([show(&p), show(&q), show(&t)], ["ok 1", "ok [1]", "pending"]);
}

#[test]
fn losers_hear_of_it_before_the_winner_is_known() {
    let log = Log::new();
    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let p = pick([t.clone(), w]);
    t.on_cancel(log.note("loser-cancel"));
    t.on_termination(log.note("loser-end"));
    p.on_termination(log.note("result"));
    rw.wakeup(1);
    assert_eq!(log.take(), "loser-cancel loser-end result");
}

#[test]
fn npick_collects_before_it_cancels() {
    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let (late, rl) = wait::<i32>();
    t.on_cancel(move || rl.wakeup(9));
    let p = npick([late, w, t]);
    rw.wakeup(1);
    assert_eq!(show(&p), "ok [1]", "what ends because of the cancel is not among the results");
}

#[test]
fn a_loser_may_swallow_its_cancel() {
    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let loser = t.catch(|_| Promise::ready(77));
    let p = pick([loser.clone(), w]);
    rw.wakeup(1);
    assert_eq!([show(&p), show(&loser)], ["ok 1", "ok 77"]);
}

#[test]
fn a_pick_dropped_undecided_cancels_nobody() {
    let (t, rt) = task::<i32>();
    let (u, ru) = task::<i32>();
    drop(pick([t.clone(), u.clone()]));
    drop(npick([t.clone(), u.clone()]));
    assert_eq!([show(&t), show(&u)], ["pending", "pending"]);
    rt.wakeup(1);
    assert_eq!(show(&u), "pending");
    ru.wakeup(2);
    assert_eq!(show(&u), "ok 2");
}

#[test]
fn a_pick_that_is_only_bound_is_alive() {
    let log = Log::new();
    let (t, _rt) = task::<i32>();
    let (w, rw) = wait::<i32>();
    let l = log.clone();
    drop(pick([t.clone(), w]).map(move |v| l.add(v)));
    rw.wakeup(1);
    assert_eq!(log.take(), "1");
    assert_eq!(show(&t), "canceled");
}

// ---- protected, no_cancel, wrap_in_cancelable -----------------------------------------------------------------------------

#[test]
fn protected_is_cancelled_alone() {
    for (p, r) in [wait::<i32>(), task::<i32>()] {
        let copy = p.clone().protected();
        copy.cancel();
        assert_eq!([show(&copy), show(&p)], ["canceled", "pending"]);
        r.wakeup(1);
        assert_eq!([show(&copy), show(&p)], ["canceled", "ok 1"], "the end does not disturb the copy");
    }
    let (p, r) = task::<Unique>();
    let copy = p.protected();
    r.wakeup(Unique(1));
    assert_eq!(show(&copy), "ok Unique(1)");
}

#[test]
fn no_cancel_holds_every_cancel_off() {
    let (t, r) = task::<i32>();
    let copy = t.clone().no_cancel();
    let derived = copy.clone().map(|v| v + 1);
    copy.cancel();
    derived.cancel();
    assert_eq!([show(&copy), show(&t), show(&derived)], ["pending", "pending", "pending"]);
    r.wakeup(1);
    assert_eq!([show(&copy), show(&t), show(&derived)], ["ok 1", "ok 1", "ok 2"]);

    let (t, _r) = task::<i32>();
    let copy = t.clone().no_cancel();
    t.cancel();
    assert_eq!(show(&copy), "canceled", "but a cancel of the original arrives");
}

#[test]
fn wrap_in_cancelable_is_rejected_in_any_case() {
    let (w, r) = wait::<i32>();
    let copy = w.clone().wrap_in_cancelable();
    copy.cancel();
    assert_eq!([show(&copy), show(&w)], ["canceled", "pending"]);
    r.wakeup(1);
    assert_eq!([show(&copy), show(&w)], ["canceled", "ok 1"]);

    let (t, _r) = task::<i32>();
    let copy = t.clone().wrap_in_cancelable();
    copy.cancel();
    assert_eq!([show(&copy), show(&t)], ["canceled", "canceled"]);

    let (w, r) = wait::<i32>();
    let copy = w.wrap_in_cancelable();
    r.wakeup(3);
    assert_eq!(show(&copy), "ok 3");
}

#[test]
fn copies_of_resolved_promises() {
    let forms: [Form; 3] = [|p| p.protected(), |p| p.no_cancel(), |p| p.wrap_in_cancelable()];
    for form in forms {
        assert_eq!(show(&form(Promise::ready(1))), "ok 1");
        assert_eq!(show(&form(Promise::fail(Error::msg("boom")))), "error boom");
        let (p, r) = wait();
        let copy = form(p);
        r.wakeup_err(Error::msg("boom"));
        assert_eq!(show(&copy), "error boom");
    }
}

#[test]
fn copies_that_became_proxies_are_still_resolved() {
    let forms: [Form; 3] = [|p| p.protected(), |p| p.no_cancel(), |p| p.wrap_in_cancelable()];
    for form in forms {
        let (gate, rg) = wait::<()>();
        let (p, r) = wait::<i32>();
        let copy = form(p);
        let outer = gate.bind({
            let copy = copy.clone();
            move |()| copy
        });
        rg.wakeup(());
        r.wakeup(4);
        assert_eq!([show(&outer), show(&copy)], ["ok 4", "ok 4"]);
    }
}

#[test]
fn protected_then_unified_can_be_cancelled_from_outside() {
    let (gate, rg) = wait::<()>();
    let (p, r) = wait::<i32>();
    let copy = p.clone().protected();
    let outer = gate.bind({
        let copy = copy.clone();
        move |()| copy
    });
    rg.wakeup(());
    outer.cancel();
    assert_eq!([show(&outer), show(&copy), show(&p)], ["canceled", "canceled", "pending"]);
    r.wakeup(1);
}

// ---- shape: DAG, cycle ----------------------------------------------------------------------------------------------------

#[test]
fn each_leaf_is_cancelled_once_though_reachable_twice() {
    let log = Log::new();
    let (t, _r) = task::<i32>();
    t.on_cancel(log.note("leaf"));
    let (a, b) = (t.clone().map(|v| v), t.clone().map(|v| v));
    let diamond = both(both(a.clone(), b.clone()), all([t, a, b]));
    diamond.cancel();
    assert_eq!(log.take(), "leaf");
    assert_eq!(show(&diamond), "canceled");
}

#[test]
fn a_wide_dag_is_walked_once() {
    let (t, _r) = task::<i32>();
    let mut layer = t.clone();
    // Two ways per layer: a walk that forgets where it was takes 2^60 steps.
    for _ in 0..60 {
        layer = both(layer.clone(), layer).map(|(a, b)| a.wrapping_add(b));
    }
    layer.cancel();
    assert_eq!([show(&t), show(&layer)], ["canceled", "canceled"]);
}

#[test]
fn a_wide_dag_over_a_wait_is_walked_once_each_time() {
    let (w, r) = wait::<u64>();
    let mut layer = w;
    for _ in 0..60 {
        layer = choose([layer.clone(), layer]);
    }
    layer.cancel();
    layer.cancel();
    assert_eq!(show(&layer), "pending");
    r.wakeup(3);
    assert_eq!(show(&layer), "ok 3");
}

#[test]
fn a_cycle_ends_the_walk() {
    let _dog = common::watchdog();
    let (gate, rg) = wait::<()>();
    let (t, _rt) = task::<i32>();
    let slot: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    let o = gate.bind({
        let slot = slot.clone();
        move |()| slot.take().expect("set below")
    });
    // o becomes one with a promise that waits for o itself, and for t.
    let knot = all([o.clone(), t.clone()]).map(|v| v[0]);
    slot.replace(Some(knot));
    rg.wakeup(());
    o.cancel();
    assert_eq!(show(&t), "canceled");
    assert_eq!(show(&o), "pending", "it still waits for itself");
    o.cancel();
}

#[test]
fn cancel_marks_all_leaves_before_it_runs_callbacks() {
    let log = Log::new();
    let leaves: Vec<_> = (0..3).map(|_| task::<()>()).collect();
    let all_of: Vec<_> = leaves.iter().map(|(t, _)| t.clone()).collect();
    for (n, (t, _)) in leaves.iter().enumerate() {
        let (log, all_of) = (log.clone(), all_of.clone());
        t.on_cancel(move || {
            let marked = all_of.iter().filter(|t| !t.is_pending()).count();
            log.add(format!("{n}:{marked}"));
        });
    }
    join(all_of).cancel();
    assert_eq!(log.take(), "0:3 1:3 2:3");
}

#[test]
fn callbacks_run_depth_first_and_left_to_right() {
    let log = Log::new();
    let (a, _ra) = task::<i32>();
    let (b, _rb) = task::<i32>();
    let (c, _rc) = task::<i32>();
    let left = both(a.clone(), b.clone());
    let right = c.clone().map(|v| v);
    for (p, name) in [(&a, "a"), (&b, "b"), (&c, "c"), (&right, "right")] {
        p.on_termination(log.note(format!("{name}-end")));
        p.on_cancel(log.note(format!("{name}-cancel")));
    }
    left.on_termination(log.note("left-end"));
    left.on_cancel(log.note("left-cancel"));
    let top = both(left, right);
    top.on_cancel(log.note("top-cancel"));
    top.on_termination(log.note("top-end"));
    top.cancel();
    // `right` and `left` were attached to their sources before the notes were, so they come first.
    assert_eq!(
        log.take(),
        "a-cancel a-end b-cancel left-cancel left-end b-end c-cancel right-cancel right-end top-cancel top-end c-end"
    );
}

// ---- callbacks --------------------------------------------------------------------------------------------------------------

#[test]
fn cancel_callbacks_run_before_ordinary_ones_in_order() {
    let log = Log::new();
    let (t, _r) = task::<()>();
    t.on_termination(log.note("o1"));
    t.on_cancel(log.note("c1"));
    t.on_termination(log.note("o2"));
    t.on_cancel(log.note("c2"));
    t.cancel();
    assert_eq!(log.take(), "c1 c2 o1 o2");
    t.on_cancel(log.note("late"));
    assert_eq!(log.take(), "late", "at once when it is so already");
}

#[test]
fn on_cancel_runs_for_every_rejection_with_canceled() {
    let log = Log::new();
    let (w, r) = wait::<()>();
    w.on_termination(log.note("end"));
    w.on_cancel(log.note("cancel"));
    r.wakeup_err(Error::canceled());
    assert_eq!(log.take(), "cancel end");

    let (w, r) = wait::<()>();
    w.on_cancel(log.note("never"));
    r.wakeup_err(Error::msg("boom"));
    let (w2, r2) = wait::<()>();
    w2.on_cancel(log.note("never"));
    r2.wakeup(());
    w.on_cancel(log.note("never"));
    w2.on_cancel(log.note("never"));
    assert_eq!(log.take(), "");
    Promise::<()>::fail(Error::canceled()).on_cancel(log.note("failed"));
    assert_eq!(log.take(), "failed");
}

#[test]
fn on_cancel_of_derived_promises() {
    let log = Log::new();
    let (t, _r) = task::<i32>();
    let p = t.map(|v| v).bind(Promise::ready);
    p.on_cancel(log.note("derived"));
    p.cancel();
    assert_eq!(log.take(), "derived");
}

#[test]
fn unification_joins_the_cancel_callbacks() {
    let log = Log::new();
    let (gate, rg) = wait::<()>();
    let (t, _rt) = task::<i32>();
    let o = gate.bind({
        let t = t.clone();
        move |()| t
    });
    t.on_cancel(log.note("inner"));
    t.on_termination(log.note("inner-end"));
    o.on_cancel(log.note("outer"));
    o.on_termination(log.note("outer-end"));
    rg.wakeup(());
    o.cancel();
    assert_eq!(log.take(), "outer inner outer-end inner-end");
}

#[test]
fn a_cancel_from_inside_a_cancel_callback() {
    let log = Log::new();
    let (a, _ra) = task::<()>();
    let (b, _rb) = task::<()>();
    b.on_cancel(log.note("b"));
    a.on_cancel({
        let (log, a, b) = (log.clone(), a.clone(), b.clone());
        move || {
            log.add("a-starts");
            a.cancel();
            b.cancel();
            log.add("a-ends");
        }
    });
    a.on_termination(log.note("a-done"));
    a.cancel();
    assert_eq!(log.take(), "a-starts b a-ends a-done");
}

#[test]
fn a_cancel_from_inside_a_callback_of_the_same_chain() {
    let slot: Rc<RefCell<Option<Promise<i32>>>> = Rc::default();
    let (p, r) = task::<i32>();
    let chain = p
        .map({
            let slot = slot.clone();
            move |v| {
                slot.borrow().as_ref().expect("set below").cancel();
                v + 1
            }
        })
        .map(|v| v + 1);
    slot.replace(Some(chain.clone()));
    r.wakeup(1);
    assert_eq!(show(&chain), "ok 3", "nothing is left to cancel while the chain runs");
}

#[test]
fn a_loser_that_cancels_the_pick_itself() {
    let (w, rw) = wait::<i32>();
    let (t, _rt) = task::<i32>();
    let p = pick([t.clone(), w]);
    t.on_cancel({
        let p = p.clone();
        move || p.cancel()
    });
    rw.wakeup(1);
    assert_eq!(show(&p), "ok 1");
}

#[test]
fn a_cancel_is_never_unhandled() {
    let hook = Unhandled::collect();
    let (t, r) = task::<i32>();
    let p = t.map(|v| v);
    p.cancel();
    drop((p, r));
    assert_eq!(hook.take(), "");
}
