//! Cancellation: what a cancel reaches, what stops it, in which order callbacks run, and what it leaves alone.

mod common;

use common::{Log, Unique, show};
use lwt_core::{Error, Promise, all, both, choose, join, nchoose, nchoose_split, npick, pick, task, wait};

// ---- the leaves ---------------------------------------------------------------------------------------------

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

// ---- through sequencing -------------------------------------------------------------------------------------

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

// ---- through combinators ------------------------------------------------------------------------------------

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
