//! Switch: what a scope ends, in which order, and what it fails with.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Gate, Log, Unhandled, heavy, show, spin, text, turn, watchdog};
use lwt_core::switch::{self, Off, Switch, with_switch};
use lwt_core::{Error, Promise, State, pause, task, wait, wrap};

/// A child that waits for ever, says when it is cancelled, and takes a turn to clean up.
fn child(scope: &Switch, log: &Log, name: &'static str) -> Promise<()> {
    let log = log.clone();
    let (p, r) = task::<()>();
    scope
        .spawn(async move {
            let outcome = p.await;
            drop(r);
            log.add(format!("{name}-cancelled"));
            pause().await?;
            log.add(format!("{name}-ended"));
            outcome
        })
        .unwrap()
}

fn hook(scope: &Switch, log: &Log, name: &'static str) {
    let log = log.clone();
    let run = move || {
        log.add(format!("{name}-begins"));
        pause().map(move |()| log.add(format!("{name}-ends")))
    };
    scope.add_hook(run).unwrap();
}

fn turns(n: usize) {
    (0..n).for_each(|_| turn());
}

/// An error with those attached to it.
fn whole<T: std::fmt::Debug + 'static>(p: &Promise<T>) -> String {
    match p.state() {
        State::Rejected(e) => {
            let others = switch::others(e).iter().map(text).collect::<Vec<_>>();
            format!("{} [{}]", text(switch::first(e)), others.join(", "))
        }
        _ => show(p),
    }
}

/// What it was rejected with.
fn error<T: 'static>(p: &Promise<T>) -> Error {
    match p.state() {
        State::Rejected(e) => e.clone(),
        _ => panic!("it is not rejected"),
    }
}

// ---- the switch of Lwt ----

#[test]
fn hooks_run_newest_first_and_once() {
    let log = Log::new();
    let s = Switch::create();
    assert!(s.is_on() && s.check().is_ok());
    for name in ["a", "b"] {
        hook(&s, &log, name);
    }
    let (first, second) = (s.turn_off(), s.turn_off());
    assert!(!s.is_on());
    assert!(first.is_pending() && second.is_pending(), "a second call waits for the same");
    turns(3);
    assert_eq!(log.take(), "b-begins b-ends a-begins a-ends");
    assert_eq!(
        (show(&first), show(&second), show(&s.turn_off())),
        ("ok ()".into(), "ok ()".into(), "ok ()".into())
    );
    assert_eq!(log.take(), "");
}

#[test]
fn off() {
    let log = Log::new();
    let s = Switch::create();
    assert_eq!(show(&s.turn_off()), "ok ()");
    assert_eq!(s.check(), Err(Off));
    assert_eq!(s.add_hook(|| Promise::ready(())), Err(Off));
    assert_eq!(show(&s.add_hook_or_exec(|| Promise::fail(Error::msg("ran")))), "error ran");
    let (p, r) = task::<()>();
    assert!(s.add(p).is_err());
    assert!(!r.is_wanted(), "it was cancelled");
    assert!(s.spawn(async { Ok(()) }).is_err());
    drop(s.add_hook_or_exec({
        let log = log.clone();
        move || wrap(|| log.add("at once"))
    }));
    assert_eq!(log.take(), "at once");
}

#[test]
fn optional_switches() {
    let log = Log::new();
    assert_eq!(switch::check(None), Ok(()));
    assert_eq!(switch::add_hook(None, || panic!("not run")), Ok(()));
    assert_eq!(show(&switch::add_hook_or_exec(None, || panic!("not run"))), "ok ()");
    let s = Switch::create();
    for name in ["a", "b"] {
        let log = log.clone();
        let run = move || wrap(|| log.add(name));
        if name == "a" {
            switch::add_hook(Some(&s), run).unwrap();
        } else {
            assert_eq!(show(&switch::add_hook_or_exec(Some(&s), run)), "ok ()");
        }
    }
    drop(s.turn_off());
    assert_eq!(log.take(), "b a");
    assert_eq!(switch::check(Some(&s)), Err(Off));
    let error = Error::from(Off);
    assert_eq!(text(&error), "error the switch is off");
}

#[test]
fn hooks_that_fail_or_panic_stop_nothing() {
    let log = Log::new();
    let s = Switch::create();
    hook(&s, &log, "oldest");
    s.add_hook(|| Promise::fail(Error::msg("one"))).unwrap();
    s.add_hook(|| panic!("two")).unwrap();
    let p = s.turn_off();
    turns(2);
    assert_eq!(log.take(), "oldest-begins oldest-ends");
    assert_eq!(whole(&p), "panic two [error one]");
    assert_eq!(error(&p).to_string(), "panicked: two; and then: one");
}

#[test]
fn a_cancelled_or_dropped_turn_off_goes_on() {
    let log = Log::new();
    let s = Switch::create();
    hook(&s, &log, "a");
    hook(&s, &log, "b");
    let p = s.turn_off();
    p.cancel();
    assert_eq!(show(&p), "canceled");
    drop(s.turn_off());
    turns(3);
    assert_eq!(log.take(), "b-begins b-ends a-begins a-ends");
}

// ---- the scope ----

#[test]
fn children_are_cancelled_and_awaited_then_hooks_run() {
    let log = Log::new();
    let l = log.clone();
    let p = with_switch(async move |scope| {
        hook(&scope, &l, "h1");
        drop(child(&scope, &l, "a"));
        hook(&scope, &l, "h2");
        drop(child(&scope, &l, "b"));
        pause().await?;
        l.add("body");
        Ok(7)
    });
    turn();
    assert_eq!(log.take(), "body b-cancelled a-cancelled");
    assert!(p.is_pending());
    turns(3);
    assert_eq!(log.take(), "b-ended a-ended h2-begins h2-ends h1-begins h1-ends");
    assert_eq!(show(&p), "ok 7");
}

#[test]
fn a_child_that_has_ended_is_forgotten() {
    let s = Switch::create();
    for _ in 0..10 {
        let (p, r) = task::<i32>();
        let p = s.add(p).unwrap();
        r.wakeup(1);
        assert_eq!(show(&p), "ok 1");
    }
    assert_eq!(format!("{s:?}"), "Switch { on: true, children: 0, hooks: 0 }");
    let (_p, r) = task::<i32>();
    drop(s.add(_p));
    assert!(r.is_wanted(), "by the scope");
    drop(s.turn_off());
    assert!(!r.is_wanted());
}

#[test]
fn a_failing_child_cancels_its_siblings_and_the_body() {
    let log = Log::new();
    let l = log.clone();
    let (heart, beat) = task::<()>();
    let p = with_switch(async move |scope| {
        drop(child(&scope, &l, "a"));
        drop(scope.add(heart)?);
        drop(child(&scope, &l, "b"));
        hook(&scope, &l, "h");
        let (never, _r) = task::<()>();
        let outcome = never.await;
        l.add("body-cancelled");
        assert!(scope.is_on(), "the body may still add what its cleanup needs");
        let late = child(&scope, &l, "late");
        l.add(show(&late));
        outcome
    });
    beat.wakeup_err(Error::msg("stopped"));
    assert!(p.is_pending());
    spin();
    assert_eq!(log.take(), "b-cancelled a-cancelled body-cancelled pending late-cancelled");
    turns(3);
    assert_eq!(log.take(), "b-ended a-ended late-ended h-begins h-ends");
    assert_eq!(whole(&p), "error stopped []");
}

#[test]
fn later_errors_are_attached() {
    let p = with_switch(async |scope| {
        let (first, break_first) = task::<()>();
        let (second, _r) = task::<()>();
        let second = second.catch(|_| Promise::fail(Error::msg("second")));
        drop(scope.add(first)?);
        drop(scope.add(second)?);
        scope.add_hook(|| Promise::fail(Error::msg("hook")))?;
        break_first.wakeup_err(Error::msg("first"));
        Err::<(), _>(Error::msg("body"))
    });
    spin();
    assert_eq!(whole(&p), "error first [error second, error body, error hook]");
    let e = error(&p);
    let all = e.downcast_ref::<switch::SwitchError>().unwrap();
    assert_eq!((all.first().to_string(), all.others().len()), ("first".into(), 3));
    assert_eq!(std::error::Error::source(all).unwrap().to_string(), "first");
}

#[test]
fn one_error_on_several_ways_is_one() {
    let p = with_switch(async |scope| {
        let (cause, break_it) = task::<i32>();
        let a = scope.add(cause.clone())?;
        let b = scope.spawn(cause)?;
        break_it.wakeup_err(std::io::Error::other("gone"));
        drop(b);
        a.await
    });
    spin();
    assert_eq!(whole(&p), "error gone []");
    assert!(error(&p).io_kind().is_some(), "the error itself");
}

#[test]
fn a_child_that_is_cancelled_fails_nothing() {
    let p = with_switch(async |scope| {
        let (p, _r) = task::<()>();
        let p = scope.add(p)?;
        p.cancel();
        pause().await?;
        Ok(1)
    });
    turns(1);
    assert_eq!(show(&p), "ok 1");
}

#[test]
fn a_child_that_failed_before_it_was_added_and_while_the_body_begins() {
    let log = Log::new();
    let l = log.clone();
    let p = with_switch(async move |scope| {
        drop(child(&scope, &l, "a"));
        drop(scope.add(Promise::<()>::fail(Error::msg("early")))?);
        drop(child(&scope, &l, "b"));
        pause().await?; // is cancelled
        l.add("not reached");
        Ok(())
    });
    turns(2);
    assert_eq!(log.take(), "a-cancelled b-cancelled a-ended b-ended");
    assert_eq!(whole(&p), "error early []");
}

#[test]
fn a_body_that_fails_or_panics() {
    for panics in [false, true] {
        let log = Log::new();
        let l = log.clone();
        let p = with_switch(async move |scope| -> Result<(), Error> {
            drop(child(&scope, &l, "a"));
            hook(&scope, &l, "h");
            assert!(!panics, "ouch");
            Err(Error::msg("ouch"))
        });
        assert!(p.is_pending());
        turns(3);
        assert_eq!(log.take(), "a-cancelled a-ended h-begins h-ends");
        assert_eq!(whole(&p), if panics { "panic ouch []" } else { "error ouch []" });
    }
}

#[test]
fn a_plain_function_as_the_body() {
    let p = with_switch(|scope: Switch| Promise::ready(scope.is_on()));
    assert_eq!(show(&p), "ok true");
    let p = with_switch(|_: Switch| -> Promise<()> { panic!("ouch") });
    assert_eq!(show(&p), "panic ouch");
}

#[test]
fn cancelled_at_each_wait() {
    for moment in 0..4 {
        let log = Log::new();
        let l = log.clone();
        let p = with_switch(async move |scope| {
            hook(&scope, &l, "h1");
            hook(&scope, &l, "h2");
            drop(child(&scope, &l, "a"));
            pause().await?;
            Ok(1)
        });
        turns(moment);
        p.cancel(); // in the body, while the child ends, in each hook
        assert!(p.is_pending());
        turns(5);
        assert_eq!(log.take(), "a-cancelled a-ended h2-begins h2-ends h1-begins h1-ends");
        assert_eq!(show(&p), if moment == 0 { "canceled" } else { "ok 1" });
    }
}

#[test]
fn dropped_at_each_wait() {
    for moment in 0..4 {
        let log = Log::new();
        let l = log.clone();
        let p = with_switch(async move |scope| {
            hook(&scope, &l, "h");
            drop(child(&scope, &l, "a"));
            pause().await?;
            l.add("body");
            Ok(1)
        });
        turns(moment);
        drop(p);
        turns(5);
        assert_eq!(log.take(), "body a-cancelled a-ended h-begins h-ends");
    }
}

#[test]
fn aborted_at_each_wait() {
    for moment in 0..4 {
        let log = Log::new();
        let l = log.clone();
        let (foreign, gate) = Gate::new();
        let opened = gate.clone();
        let p = with_switch(async move |scope| {
            hook(&scope, &l, "h");
            drop(child(&scope, &l, "a"));
            if moment > 0 {
                opened.open();
            }
            foreign.await;
            Ok(1)
        });
        turns(moment);
        let aborted = lwt_core::task::abort(&p);
        assert_eq!(aborted, moment < 3);
        assert_eq!(gate.drops.count(), 1, "the body has ended");
        turns(5);
        assert_eq!(log.take(), "a-cancelled a-ended h-begins h-ends");
        assert_eq!(show(&p), if aborted { "canceled" } else { "ok 1" });
    }
}

#[test]
fn a_child_that_no_cancel_reaches_is_waited_for() {
    let (p, r) = wait::<()>();
    let scope = with_switch(async move |scope| scope.add(p).map(drop).map_err(Error::from));
    assert!(scope.is_pending());
    r.wakeup(());
    spin();
    assert_eq!(show(&scope), "ok ()");
}

#[test]
fn turned_off_from_inside() {
    let log = Log::new();
    let l = log.clone();
    let p = with_switch(async move |scope| {
        drop(child(&scope, &l, "a"));
        let (inner, (go, start)) = (scope.clone(), wait());
        // A child that waits for its own end gives that up when it is cancelled.
        let ender = scope.spawn(async move {
            go.await?;
            inner.turn_off().await
        })?;
        start.wakeup(());
        task::yield_now().await?;
        l.add(show(&ender));
        scope.turn_off().await?;
        l.add("off");
        assert_eq!(scope.check(), Err(Off));
        Ok(1)
    });
    turns(3);
    assert_eq!(log.take(), "canceled a-cancelled a-ended off");
    assert_eq!(show(&p), "ok 1");

    let p = with_switch(async |scope| {
        scope.add_hook(|| Promise::fail(Error::msg("one")))?;
        scope.add_hook(|| Promise::fail(Error::msg("two")))?;
        scope.turn_off().await
    });
    spin();
    assert_eq!(
        whole(&p),
        "error two [error one]",
        "the way of the same errors through the body adds nothing"
    );
}

#[test]
fn nested_scopes() {
    let log = Log::new();
    let l = log.clone();
    let p = with_switch(async move |outer| {
        hook(&outer, &l, "outer");
        drop(outer.add(with_switch(async move |inner| {
            hook(&inner, &l, "inner");
            drop(child(&inner, &l, "a"));
            let (never, _r) = task::<()>();
            never.await
        }))?);
        Err::<(), _>(Error::msg("no"))
    });
    turns(6);
    assert_eq!(log.take(), "a-cancelled a-ended inner-begins inner-ends outer-begins outer-ends");
    assert_eq!(whole(&p), "error no []");
}

#[test]
fn failures_are_told_once() {
    let told = Unhandled::collect();
    let kept: Rc<RefCell<Option<Switch>>> = Rc::default();
    let keep = kept.clone();
    let p = with_switch(async move |scope| {
        *keep.borrow_mut() = Some(scope.clone());
        drop(scope.spawn(async { Err::<(), _>(Error::msg("lost")) })?);
        pause().await
    });
    turns(2);
    drop(kept.take());
    assert_eq!(told.take(), "", "the scope answers for it");
    drop(p);
    assert_eq!(told.take(), "error lost");

    let s = Switch::create();
    s.add_hook(|| Promise::fail(Error::msg("hook"))).unwrap();
    drop(s.turn_off());
    assert_eq!(told.take(), "error hook");
}

#[test]
fn many_children() {
    let _dog = watchdog();
    let n = heavy(100_000, 20_000, 50);
    let p = with_switch(async move |scope| {
        for _ in 0..n {
            drop(scope.spawn(pause())?);
        }
        Ok(())
    });
    turns(1);
    assert_eq!(show(&p), "ok ()");
}
