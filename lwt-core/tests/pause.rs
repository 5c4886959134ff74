//! The queue of paused promises and the hooks a loop drives it with.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Log, show, spin, turn};
use lwt_core::scheduler::{abandon_paused, paused_count, register_pause_notifier, wakeup_paused};
use lwt_core::{Error, pause, spawn};

#[test]
fn a_pause_ends_at_the_next_turn() {
    let p = pause();
    assert_eq!(show(&p), "pending");
    spin();
    assert_eq!(show(&p), "pending", "tasks that are polled are no turn");
    wakeup_paused();
    assert_eq!(show(&p), "ok ()");
}

#[test]
fn the_paused_wake_in_order_each_with_its_whole_cascade() {
    let log = Log::new();
    let (a, b) = (pause(), pause());
    let done = a.clone().map(|()| ());
    a.on_termination(log.note("a"));
    done.on_termination(log.note("a-derived"));
    b.on_termination(log.note("b"));
    b.on_termination({
        let (log, a) = (log.clone(), a.clone());
        move || log.add(a.is_pending())
    });
    wakeup_paused();
    assert_eq!(log.take(), "a-derived a b false");
}

#[test]
fn pauses_made_meanwhile_wait_for_the_next_turn() {
    let log = Log::new();
    let second: Rc<RefCell<Option<lwt_core::Promise<()>>>> = Rc::default();
    pause().on_success({
        let (log, second) = (log.clone(), second.clone());
        move |()| {
            log.add("first");
            let p = pause();
            p.on_termination(log.note("second"));
            second.replace(Some(p));
        }
    });
    wakeup_paused();
    assert_eq!(log.take(), "first");
    assert_eq!(paused_count(), 1);
    wakeup_paused();
    assert_eq!(log.take(), "second");
    assert_eq!(paused_count(), 0);
}

#[test]
fn counts() {
    assert_eq!(paused_count(), 0);
    let ps: Vec<_> = (0..5).map(|_| pause()).collect();
    assert_eq!(paused_count(), 5);
    let log = Log::new();
    ps[0].on_termination({
        let log = log.clone();
        move || log.add(paused_count())
    });
    wakeup_paused();
    assert_eq!(log.take(), "0", "those that are being woken are not waiting any more");
    assert_eq!(paused_count(), 0);
}

#[test]
fn a_cancelled_pause_is_not_counted() {
    let (a, b) = (pause(), pause());
    a.cancel();
    assert_eq!(paused_count(), 1);
    assert_eq!([show(&a), show(&b)], ["canceled", "pending"]);
    wakeup_paused();
    assert_eq!([show(&a), show(&b)], ["canceled", "ok ()"]);
    assert_eq!(paused_count(), 0);
}

#[test]
fn one_paused_promise_may_cancel_another_of_the_same_turn() {
    let (a, b) = (pause(), pause());
    a.on_success({
        let b = b.clone();
        move |()| b.cancel()
    });
    wakeup_paused();
    assert_eq!([show(&a), show(&b)], ["ok ()", "canceled"]);
    assert_eq!(paused_count(), 0);
}

#[test]
fn a_wake_inside_a_wake() {
    let log = Log::new();
    let (a, b) = (pause(), pause());
    b.on_termination(log.note("b"));
    a.on_termination({
        let log = log.clone();
        move || {
            pause().on_termination(log.note("inner"));
            wakeup_paused();
            log.add("a");
        }
    });
    wakeup_paused();
    wakeup_paused();
    let mut all: Vec<_> = log.take().split(' ').map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["a", "b", "inner"], "everybody once");
    assert_eq!(paused_count(), 0);
}

#[test]
fn the_notifier_hears_each_pause() {
    let counts: Rc<RefCell<Vec<usize>>> = Rc::default();
    let sink = counts.clone();
    register_pause_notifier(Some(Rc::new(move |n| sink.borrow_mut().push(n))));
    let ps = [pause(), pause(), pause()];
    assert_eq!(*counts.borrow(), [1, 2, 3]);
    wakeup_paused();
    drop(ps);
    drop(pause());
    assert_eq!(*counts.borrow(), [1, 2, 3, 1]);
    abandon_paused();
    register_pause_notifier(None);
}

#[test]
fn the_notifier_may_wake_and_pause() {
    let depth = Rc::new(Cell::new(0));
    let seen = depth.clone();
    register_pause_notifier(Some(Rc::new(move |_| {
        seen.set(seen.get() + 1);
        if seen.get() == 1 {
            drop(pause());
            wakeup_paused();
        }
    })));
    let p = pause();
    assert_eq!(show(&p), "ok ()", "the notifier is called when the promise is queued already");
    assert_eq!(depth.get(), 2);
    register_pause_notifier(None);
}

#[test]
fn abandoned_pauses_are_forgotten() {
    let ps = [pause(), pause()];
    abandon_paused();
    assert_eq!(paused_count(), 0);
    wakeup_paused();
    for p in &ps {
        assert_ne!(show(p), "ok ()");
    }
    let p = pause();
    wakeup_paused();
    assert_eq!(show(&p), "ok ()", "later ones are served");
}

#[test]
fn each_paused_task_gets_one_step_per_turn() {
    let log = Log::new();
    let tasks: Vec<_> = (0..3)
        .map(|n| {
            let log = log.clone();
            spawn(async move {
                for step in 0..3 {
                    log.add(format!("{n}.{step}"));
                    pause().await?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    assert_eq!(log.take(), "0.0 1.0 2.0");
    turn();
    assert_eq!(log.take(), "0.1 1.1 2.1");
    turn();
    assert_eq!(log.take(), "0.2 1.2 2.2");
    turn();
    assert!(tasks.iter().all(|t| !t.is_pending()));
}
