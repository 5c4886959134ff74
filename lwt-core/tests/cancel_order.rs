//! Cancellation: copies with their own answer to it, graphs of any shape, and the order in which callbacks run.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Log, Unhandled, Unique, show};
use lwt_core::{Error, Promise, all, both, choose, join, pick, task, wait};

type Form = fn(Promise<i32>) -> Promise<i32>;

// ---- protected, no_cancel, wrap_in_cancelable ---------------------------------------------------------------

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

// ---- shape: DAG, cycle --------------------------------------------------------------------------------------

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

// ---- callbacks ----------------------------------------------------------------------------------------------

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

#[test]
fn a_pick_marks_all_losers_before_it_runs_their_handlers() {
    let ((winner, resolver), (one, _keep_one), (other, _keep_other)) =
        (task::<()>(), task::<()>(), task::<()>());
    let log = Log::new();
    for (name, promise, next) in [("one", one.clone(), other.clone()), ("other", other.clone(), one.clone())]
    {
        let log = log.clone();
        promise.on_cancel(move || log.add(format!("{name}:{}", show(&next))));
        drop(promise);
    }
    let picked = pick([one, winner, other]);
    resolver.wakeup(());
    assert_eq!(log.take(), "one:canceled other:canceled");
    assert_eq!(show(&picked), "ok ()");
}
