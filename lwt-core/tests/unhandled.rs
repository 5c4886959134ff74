//! Rejections that nobody looked at: who is told, when, and how often.
//!
//! The rule: a rejection is *seen* when user code gets it (await, `state`, `on_failure`, `on_any`, `on_termination`, the handler
//! of `catch` and `try_bind`) or when a combinator absorbs it. One that passes into a derived promise is that promise's
//! responsibility from then on. Whoever drops the last unseen trace of it has the hook told, once per error.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{Unhandled, show, spin};
use lwt_core::{
    Abandoned, Error, Promise, all, both, choose, join, nchoose, pick, set_unhandled_hook, spawn, task, wait,
};

fn boom<T>() -> Promise<T> {
    Promise::fail(Error::msg("boom"))
}

#[test]
fn a_rejection_dropped_unseen_is_told() {
    let hook = Unhandled::collect();
    let p = boom::<i32>();
    assert_eq!(hook.take(), "");
    drop(p);
    assert_eq!(hook.take(), "error boom");

    let (p, r) = wait::<i32>();
    r.wakeup_err(Error::msg("late"));
    assert_eq!(hook.take(), "");
    drop(p);
    assert_eq!(hook.take(), "error late");
}

#[test]
fn also_when_the_last_handle_went_before_the_rejection() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<i32>();
    drop(p);
    r.wakeup_err(Error::msg("boom"));
    assert_eq!(hook.take(), "error boom");
}

#[test]
fn with_clones_the_last_one_tells() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<i32>();
    let q = p.clone();
    r.wakeup_err(Error::msg("boom"));
    drop(p);
    assert_eq!(hook.take(), "");
    drop(q);
    assert_eq!(hook.take(), "error boom");
}

#[test]
fn a_look_is_enough() {
    let hook = Unhandled::collect();
    let looks: [(&str, fn(&Promise<i32>)); 5] = [
        ("state", |p| _ = p.state()),
        ("on_failure", |p| p.on_failure(|_| ())),
        ("on_any", |p| p.on_any(|_| ())),
        ("on_termination", |p| p.on_termination(|| ())),
        ("catch", |p| drop(p.clone().catch(|_| Promise::ready(1)))),
    ];
    for (name, look) in looks {
        let p = boom();
        look(&p);
        drop(p);
        assert_eq!(hook.take(), "", "{name}, rejected before");

        if name != "state" {
            let (p, r) = wait();
            look(&p);
            r.wakeup_err(Error::msg("boom"));
            drop(p);
            assert_eq!(hook.take(), "", "{name}, rejected later");
        }
    }
}

#[test]
fn try_bind_looks() {
    let hook = Unhandled::collect();
    drop(boom::<i32>().try_bind(|_| Promise::ready(()), |_| Promise::ready(())));
    let (p, r) = wait::<i32>();
    drop(p.try_bind(|_| Promise::ready(()), |_| Promise::ready(())));
    r.wakeup_err(Error::msg("boom"));
    assert_eq!(hook.take(), "");
}

#[test]
fn what_is_no_look() {
    let hook = Unhandled::collect();
    let p = boom::<i32>();
    assert!(!p.is_pending());
    p.on_success(|_| ());
    p.on_cancel(|| ());
    p.cancel();
    drop(p);
    assert_eq!(hook.take(), "error boom");

    let (p, r) = wait::<i32>();
    p.on_success(|_| ());
    p.on_cancel(|| ());
    drop(p);
    r.wakeup_err(Error::msg("late"));
    assert_eq!(hook.take(), "error late");
}

#[test]
fn a_look_at_any_clone_counts() {
    let hook = Unhandled::collect();
    let error = Error::msg("shared");
    let p = Promise::<()>::fail(error.clone());
    let q = Promise::<()>::fail(error);
    let _ = p.state();
    drop(q);
    drop(p);
    assert_eq!(hook.take(), "");
}

#[test]
fn one_error_is_told_once() {
    let hook = Unhandled::collect();
    let error = Error::msg("shared");
    drop(Promise::<()>::fail(error.clone()));
    drop(Promise::<()>::fail(error.clone()));
    let (p, r) = wait::<i32>();
    let (a, b) = (p.clone().map(|v| v), p.map(|v| v));
    r.wakeup_err(error);
    drop((a, b));
    assert_eq!(hook.take(), "error shared");
}

#[test]
fn a_derived_promise_takes_the_responsibility_over() {
    let hook = Unhandled::collect();
    let derived: [(&str, fn(Promise<i32>) -> Promise<i32>); 12] = [
        ("bind", |p| p.bind(Promise::ready)),
        ("map", |p| p.map(|v| v)),
        ("finalize", |p| p.finalize(|| Promise::ready(()))),
        ("protected", |p| p.protected()),
        ("no_cancel", |p| p.no_cancel()),
        ("wrap_in_cancelable", |p| p.wrap_in_cancelable()),
        ("both", |p| both(p, Promise::ready(())).map(|(v, ())| v)),
        ("all", |p| all([p]).map(|v| v[0])),
        ("join", |p| join([p.map(|_| ())]).map(|()| 0)),
        ("choose", |p| choose([p])),
        ("pick", |p| pick([p])),
        ("nchoose", |p| nchoose([p]).map(|v| v[0])),
    ];
    for (name, derive) in derived {
        for early in [true, false] {
            for look in [true, false] {
                let q = if early {
                    derive(boom())
                } else {
                    let (p, r) = wait();
                    let q = derive(p);
                    r.wakeup_err(Error::msg("boom"));
                    q
                };
                assert_eq!(hook.take(), "", "{name}");
                if look {
                    assert_eq!(show(&q), "error boom");
                }
                drop(q);
                assert_eq!(
                    hook.take(),
                    if look { "" } else { "error boom" },
                    "{name}, seen: {look}, early: {early}"
                );
            }
        }
    }
}

#[test]
fn a_derived_promise_dropped_before_the_rejection() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<i32>();
    drop(p.map(|v| v));
    r.wakeup_err(Error::msg("boom"));
    assert_eq!(hook.take(), "error boom");
}

#[test]
fn a_source_handle_that_is_still_held_does_not_tell_again() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<i32>();
    let q = p.clone().map(|v| v);
    r.wakeup_err(Error::msg("boom"));
    drop(q);
    drop(p);
    assert_eq!(hook.take(), "error boom", "once for both");

    let (p, r) = wait::<i32>();
    let q = p.clone().map(|v| v);
    r.wakeup_err(Error::msg("boom"));
    assert_eq!(show(&q), "error boom");
    drop(p);
    assert_eq!(hook.take(), "");
}

#[test]
fn an_error_of_a_handler_is_a_new_one() {
    let hook = Unhandled::collect();
    drop(boom::<i32>().catch(|_| Promise::fail(Error::msg("worse"))));
    assert_eq!(hook.take(), "error worse");
    drop(boom::<i32>().finalize(|| Promise::fail(Error::msg("cleanup"))));
    let told = hook.take();
    assert!(told.contains("error cleanup"), "{told}");
}

#[test]
fn an_error_that_a_handler_raises_again_is_fresh() {
    let hook = Unhandled::collect();
    drop(boom::<i32>().catch(Promise::fail));
    assert_eq!(hook.take(), "error boom");
}

#[test]
fn a_panic_is_told_like_an_error() {
    let hook = Unhandled::collect();
    drop(Promise::ready(1).map(|_| panic!("out")));
    assert_eq!(hook.take(), "panic out");
    let (p, r) = wait::<i32>();
    drop(p.bind(|_| -> Promise<()> { panic!("later") }));
    r.wakeup(1);
    assert_eq!(hook.take(), "panic later");
}

#[test]
fn a_combinator_absorbs_the_errors_that_are_not_its_result() {
    let hook = Unhandled::collect();
    let two = || [Promise::<i32>::fail(Error::msg("first")), Promise::fail(Error::msg("second"))];
    for (name, p) in [
        ("join", join(two().map(|p| p.map(|_| ())))),
        ("all", all(two()).map(|_| ())),
        ("choose", choose(two()).map(|_| ())),
        ("pick", pick(two()).map(|_| ())),
        ("nchoose", nchoose(two()).map(|_| ())),
    ] {
        let shown = show(&p);
        assert!(shown.starts_with("error"), "{name}");
        drop(p);
        assert_eq!(hook.take(), "", "{name}: one is seen, the other absorbed");
    }
    let (a, ra) = wait::<()>();
    let (b, rb) = wait::<()>();
    let p = join([a, b]);
    ra.wakeup_err(Error::msg("a"));
    rb.wakeup_err(Error::msg("b"));
    assert_eq!(show(&p), "error a");
    drop(p);
    assert_eq!(hook.take(), "");
    let (a, ra) = wait::<()>();
    let (b, rb) = wait::<()>();
    let p = join([a, b]);
    ra.wakeup_err(Error::msg("a"));
    rb.wakeup_err(Error::msg("b"));
    drop(p);
    assert_eq!(hook.take(), "error a", "only the result");
}

#[test]
fn a_loser_that_somebody_else_holds() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<i32>();
    drop(choose([p.clone(), Promise::ready(1)]));
    r.wakeup_err(Error::msg("later"));
    assert_eq!(hook.take(), "");
    drop(p);
    assert_eq!(hook.take(), "error later", "the choose was over, and absorbed nothing");

    let (p, r) = wait::<i32>();
    drop(choose([p, Promise::ready(1)]));
    r.wakeup_err(Error::msg("lost race"));
    assert_eq!(hook.take(), "", "the choose was its last holder");
}

#[test]
fn a_task_that_fails_unseen_is_told() {
    let hook = Unhandled::collect();
    drop(spawn(async { Err::<(), _>(Error::msg("at once")) }));
    assert_eq!(hook.take(), "error at once");

    let (p, r) = wait::<()>();
    drop(spawn(async move {
        p.await?;
        Err::<(), _>(Error::msg("detached"))
    }));
    r.wakeup(());
    spin();
    assert_eq!(hook.take(), "error detached");

    let t = spawn(async { Err::<(), _>(Error::msg("seen")) });
    assert_eq!(show(&t), "error seen");
    drop(t);
    assert_eq!(hook.take(), "");
}

#[test]
fn an_error_that_a_task_got_from_an_await_and_returns_is_fresh() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<()>();
    let t = spawn(async move {
        p.await?;
        Ok::<_, Error>(())
    });
    r.wakeup_err(Error::msg("through"));
    spin();
    assert_eq!(hook.take(), "");
    drop(t);
    assert_eq!(hook.take(), "error through");
}

#[test]
fn an_awaited_error_is_seen() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<()>();
    let t = spawn(async move {
        let _ = p.await;
        Ok::<_, Error>(())
    });
    r.wakeup_err(Error::msg("swallowed"));
    spin();
    drop(t);
    assert_eq!(hook.take(), "");
    drop(spawn(async {
        let _ = boom::<()>().await;
        Ok::<_, Error>(())
    }));
    assert_eq!(hook.take(), "");
}

#[test]
fn a_cancel_is_never_told() {
    let hook = Unhandled::collect();
    drop(Promise::<()>::fail(Error::canceled()));
    let (t, _r) = task::<()>();
    t.cancel();
    drop(t);
    let (t, _r) = task::<i32>();
    let q = t.map(|v| v);
    q.cancel();
    drop(q);
    let (t, _r) = task::<i32>();
    let q = spawn(t);
    q.cancel();
    drop(q);
    spin();
    let (w, r) = wait::<()>();
    drop(w);
    r.wakeup_err(Error::canceled());
    assert_eq!(hook.take(), "");
}

#[test]
fn an_abandoned_promise_is_told_only_if_somebody_held_it() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<()>();
    drop(p);
    drop(r);
    assert_eq!(hook.take(), "", "nobody waited");
    let (p, r) = wait::<()>();
    drop(r);
    drop(p);
    assert_eq!(hook.take(), "abandoned");
    let (p, r) = wait::<()>();
    drop(p);
    r.wakeup_err(Abandoned);
    assert_eq!(hook.take(), "");
}

#[test]
fn what_nobody_wants_of_a_dropped_copy() {
    let hook = Unhandled::collect();
    let (p, r) = wait::<i32>();
    drop(p.protected());
    r.wakeup_err(Error::msg("boom"));
    assert_eq!(hook.take(), "error boom", "its last holder went unseeing");

    let (p, r) = wait::<i32>();
    let held = p.clone();
    drop(choose([p]));
    r.wakeup_err(Error::msg("boom"));
    assert_eq!(show(&held), "error boom");
    drop(held);
    assert_eq!(hook.take(), "");
}

#[test]
fn a_rejection_that_meets_a_copy_being_cancelled() {
    let hook = Unhandled::collect();
    let (p, r) = task::<i32>();
    // A cancel marks the outer copy, then the inner one; the handler runs before the inner one has let go of `p`.
    let copy = p.protected().wrap_in_cancelable();
    let caught = copy.catch(move |_| {
        r.wakeup_err(Error::msg("meanwhile"));
        Promise::ready(1)
    });
    caught.cancel();
    assert_eq!(show(&caught), "ok 1");
    assert_eq!(hook.take(), "error meanwhile");
}

#[test]
fn a_discarded_unification_tells_once() {
    let hook = Unhandled::collect();
    let (gate, rg) = wait::<()>();
    let (q, rq) = wait::<i32>();
    let o = gate.bind({
        let q = q.clone();
        move |()| q
    });
    rg.wakeup(());
    rq.wakeup_err(Error::msg("boom"));
    drop(o);
    assert_eq!(hook.take(), "");
    drop(q);
    assert_eq!(hook.take(), "error boom");
}

#[test]
fn a_hook_that_panics_is_caught() {
    let calls = Rc::new(Cell::new(0));
    let seen = calls.clone();
    let before = set_unhandled_hook(Some(Rc::new(move |_| {
        seen.set(seen.get() + 1);
        panic!("in the hook");
    })));
    drop(boom::<()>());
    let (p, r) = wait::<()>();
    drop(p);
    r.wakeup_err(Error::msg("boom"));
    set_unhandled_hook(before);
    assert_eq!(calls.get(), 2);
}

#[test]
fn a_hook_may_make_resolve_and_replace() {
    let calls = Rc::new(Cell::new(0));
    let seen = calls.clone();
    let (p, r) = wait::<i32>();
    let slot = Cell::new(Some(r));
    let before = set_unhandled_hook(Some(Rc::new(move |_| {
        seen.set(seen.get() + 1);
        if let Some(r) = slot.take() {
            r.wakeup(9);
            set_unhandled_hook(None);
        }
    })));
    drop(boom::<()>());
    assert_eq!(show(&p), "ok 9");
    assert_eq!(calls.get(), 1);
    set_unhandled_hook(before);
}

#[test]
fn the_hook_is_per_thread() {
    let hook = Unhandled::collect();
    std::thread::spawn(|| drop(boom::<()>())).join().unwrap();
    assert_eq!(hook.take(), "");
    drop(boom::<()>());
    assert_eq!(hook.take(), "error boom");
}

#[test]
fn the_previous_hook_is_given_back() {
    let calls = Rc::new(Cell::new(0));
    let seen = calls.clone();
    assert!(set_unhandled_hook(Some(Rc::new(move |_| seen.set(seen.get() + 1)))).is_none());
    let mine = set_unhandled_hook(None).expect("the one set above");
    mine(&Error::msg("x"));
    assert_eq!(calls.get(), 1);
}
