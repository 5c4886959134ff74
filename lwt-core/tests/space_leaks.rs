//! Nothing is left on long-lived promises by what was given up.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::future::Future;
use std::rc::Rc;

use common::{heavy, on_small_stack, show, spin, watchdog};
use counting::{in_constant_memory, live, rounds, without_a_trace};
use lwt_core::{Promise, all, both, choose, nchoose, nchoose_split, npick, pick, spawn, task, wait};

/// What may be done with a promise that outlives it, and then given up.
fn passing_uses() -> Vec<(&'static str, fn(&Promise<usize>))> {
    vec![
        ("choose, decided", |long| {
            let (short, r) = wait();
            let p = choose([long.clone(), short]);
            r.wakeup(1);
            drop(p);
        }),
        ("choose, decided at the call", |long| drop(choose([long.clone(), Promise::ready(1)]))),
        ("choose, dropped", |long| drop(choose([long.clone(), long.clone()]))),
        ("choose, its loser's promise kept by a map", |long| {
            let (short, r) = wait();
            let p = choose([long.clone(), short]).map(|v| v + 1);
            r.wakeup(1);
            assert_eq!(show(&p), "ok 2");
        }),
        ("pick", |long| {
            let (short, r) = wait();
            let p = pick([long.clone().protected(), short]);
            r.wakeup(1);
            drop(p);
        }),
        ("pick, dropped", |long| drop(pick([long.clone(), long.clone()]))),
        ("nchoose, dropped", |long| drop(nchoose([long.clone()]))),
        ("npick, dropped", |long| drop(npick([long.clone()]))),
        ("nchoose_split, dropped", |long| drop(nchoose_split([long.clone()]))),
        ("nchoose_split, decided", |long| drop(nchoose_split([long.clone(), Promise::ready(1)]))),
        ("all, dropped", |long| drop(all([long.clone(), Promise::ready(1)]))),
        ("both, dropped", |long| drop(both(long.clone(), long.clone()))),
        ("join, nested and dropped", |long| {
            let inner = all([long.clone()]);
            drop(both(inner, choose([long.clone()])));
        }),
        ("a choose that a bind returned, dropped", |long| {
            let (gate, open) = wait::<()>();
            let long = long.clone();
            let outer = gate.bind(move |()| choose([long]));
            open.wakeup(());
            drop(outer);
        }),
        ("a copy that a bind returned, dropped before", |long| {
            let (gate, open) = wait::<()>();
            let long = long.clone();
            drop(gate.bind(move |()| long.protected()));
            open.wakeup(());
        }),
        ("protected, cancelled", |long| long.clone().protected().cancel()),
        ("protected, dropped", |long| drop(long.clone().protected())),
        ("no_cancel, dropped", |long| drop(long.clone().no_cancel())),
        ("wrap_in_cancelable of no_cancel, cancelled", |long| {
            long.clone().no_cancel().wrap_in_cancelable().cancel()
        }),
        ("wrap_in_cancelable, dropped", |long| drop(long.clone().wrap_in_cancelable())),
        ("copies of copies, dropped", |long| drop(long.clone().protected().no_cancel().protected())),
        ("a bind over protected, cancelled", |long| {
            let p = long.clone().protected().bind(|v| Promise::ready(v + 1));
            p.cancel();
            assert_eq!(show(&p), "canceled");
        }),
        ("an await, aborted", |long| {
            let t = spawn(long.clone());
            lwt_core::task::abort(&t);
        }),
        ("an await over protected, cancelled", |long| {
            let t = spawn(long.clone().protected());
            t.cancel();
            spin();
            assert_eq!(show(&t), "canceled");
        }),
        ("an await of a pick, decided", |long| {
            let (short, r) = wait();
            let t = spawn(choose([long.clone(), short]));
            r.wakeup(1);
            spin();
            assert_eq!(show(&t), "ok 1");
        }),
        ("clones", |long| drop((long.clone(), long.clone()))),
        ("cancellers", |long| drop(long.canceller())),
        ("polled by hand", |long| {
            let mut p = long.clone();
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(std::pin::Pin::new(&mut p).poll(&mut cx).is_pending());
        }),
    ]
}

#[test]
fn a_long_lived_promise_keeps_nothing() {
    for (name, passing_use) in passing_uses() {
        let (long, r) = wait::<usize>();
        for _ in 0..100 {
            passing_use(&long);
        }
        in_constant_memory(name, || {
            for _ in 0..rounds() / 4 {
                passing_use(&long);
            }
        });
        assert_eq!(show(&long), "pending");
        r.wakeup(3);
        assert_eq!(show(&long), "ok 3", "{name}");
    }
}

#[test]
fn a_million_chooses_on_one_promise() {
    let (long, r) = wait::<usize>();
    in_constant_memory("choose", || {
        for n in 0..rounds() {
            let (short, rs) = wait();
            let p = choose([long.clone(), short]);
            rs.wakeup(n);
            assert!(!p.is_pending());
        }
    });
    r.wakeup(0);
}

/// What is not given up must survive the clearing away of the rest.
#[test]
fn live_uses_survive_among_the_dropped() {
    let (long, r) = wait::<usize>();
    let mut kept = Vec::new();
    for n in 0..1000 {
        let p = match n % 3 {
            0 => choose([long.clone()]),
            1 => long.clone().protected(),
            _ => all([long.clone()]).map(|v| v[0]),
        };
        if n % 7 == 0 {
            kept.push(p);
        }
    }
    r.wakeup(5);
    assert!(kept.iter().all(|p| show(p) == "ok 5"));
}

/// The long-lived promise has meanwhile been made one with another.
#[test]
fn clearing_away_across_a_unification() {
    let (gate, rg) = wait::<()>();
    let (long, r) = wait::<usize>();
    let outer = gate.bind({
        let long = long.clone();
        move |()| long
    });
    let before: Vec<_> = (0..100).map(|_| choose([long.clone(), outer.clone()])).collect();
    rg.wakeup(());
    drop(before);
    in_constant_memory("after the unification", || {
        for _ in 0..rounds() / 4 {
            drop(choose([long.clone(), outer.clone()]));
            let mut rest = Vec::new();
            for _ in 0..3 {
                rest.push(outer.clone().protected());
            }
        }
    });
    r.wakeup(3);
    assert_eq!(show(&outer), "ok 3");
}

#[test]
fn dropping_a_member_of_many_is_fast_in_any_order() {
    // Quadratic work would not end: each drop must not search the list.
    let _dog = watchdog();
    let n = heavy(400_000, 200_000, 100);
    let (long, r) = wait::<usize>();
    let mut copies: Vec<_> = (0..n).map(|_| long.clone().protected()).collect();
    let mut rng = common::Rng(5);
    for i in (1..n).rev() {
        copies.swap(i, rng.below(i + 1));
    }
    drop(copies);
    r.wakeup(1);
}

#[test]
fn nothing_is_left_when_everything_is_dropped() {
    let scenario = || {
        let witness = Rc::new(());
        let (p, r) = task::<Rc<()>>();
        let (w, rw) = wait::<Rc<()>>();
        let a = p.clone().map(|v| v);
        let b = both(a.clone(), w.clone());
        let c = pick([b.clone().map(|(v, _)| v), p.clone()]);
        let d = spawn({
            let w = w.clone();
            async move { w.await.map(|v| (v, ())) }
        });
        p.on_any({
            let witness = witness.clone();
            move |_| drop(witness)
        });
        c.on_cancel({
            let witness = witness.clone();
            move || drop(witness)
        });
        drop((a, b));
        rw.wakeup(witness.clone());
        drop(r);
        spin();
        drop((c, d, p, w));
        assert_eq!(Rc::strong_count(&witness), 1);
    };
    scenario();
    without_a_trace("a small graph", || {
        for _ in 0..rounds() / 10 {
            scenario();
        }
    });
}

#[test]
fn the_end_of_the_loop_gives_cached_memory_back() {
    on_small_stack(|| {
        let before = live();
        let (p, r) = wait::<usize>();
        let many: Vec<_> = (0..10_000).map(|_| p.clone().map(|v| v)).collect();
        drop((many, p));
        drop(r);
        lwt_core::scheduler::end_thread();
        assert!(live() - before < 4096, "{} bytes are left", live() - before);
    });
}

/// The future lives in the task's block; it goes when the task ends, not when its promise does.
#[test]
fn a_resolved_promise_keeps_no_callbacks() {
    let witness = Rc::new(());
    let (p, r) = wait::<usize>();
    p.on_success({
        let witness = witness.clone();
        move |_| drop(witness)
    });
    let failing = p.clone().catch({
        let witness = witness.clone();
        move |_| {
            drop(witness);
            Promise::ready(0)
        }
    });
    p.on_cancel({
        let witness = witness.clone();
        move || drop(witness)
    });
    r.wakeup(1);
    assert_eq!(Rc::strong_count(&witness), 1);
    assert_eq!([show(&p), show(&failing)], ["ok 1", "ok 1"]);
}
