//! Several promises at once: `both`, `join`, `all` and the choose family.

mod common;

use common::{Log, Rng, Unique, show};
use lwt_core::{
    Error, Promise, Resolver, all, both, choose, join, nchoose, nchoose_split, npick, pick, task, wait,
};

fn boom<T>(text: &'static str) -> Promise<T> {
    Promise::fail(Error::msg(text))
}

fn waits<T: 'static>(n: usize) -> (Vec<Promise<T>>, Vec<Resolver<T>>) {
    (0..n).map(|_| wait::<T>()).unzip()
}

#[test]
fn both_waits_for_both() {
    let (a, ra) = wait::<i32>();
    let (b, rb) = wait::<Unique>();
    let p = both(a, b);
    rb.wakeup(Unique(2));
    assert_eq!(show(&p), "pending");
    ra.wakeup(1);
    assert_eq!(show(&p), "ok (1, Unique(2))");
    assert_eq!(show(&both(Promise::ready(1), Promise::ready('x'))), "ok (1, 'x')");
}

#[test]
fn both_keeps_the_first_rejection_in_time_and_waits() {
    let (a, ra) = wait::<i32>();
    let (b, rb) = wait::<i32>();
    let p = both(a, b);
    rb.wakeup_err(Error::msg("b"));
    assert_eq!(show(&p), "pending");
    ra.wakeup_err(Error::msg("a"));
    assert_eq!(show(&p), "error b");

    let (b, rb) = wait::<i32>();
    let p = both(boom::<i32>("a"), b);
    assert_eq!(show(&p), "pending", "it waits also for the other");
    rb.wakeup(1);
    assert_eq!(show(&p), "error a");
    assert_eq!(show(&both(boom::<i32>("a"), boom::<i32>("b"))), "error a");
}

#[test]
fn join_and_all_wait_for_everyone() {
    let (ps, rs) = waits::<()>(3);
    let p = join(ps);
    for r in rs.into_iter().rev() {
        assert_eq!(show(&p), "pending");
        r.wakeup(());
    }
    assert_eq!(show(&p), "ok ()");

    let (ps, rs) = waits::<Unique>(3);
    let p = all(ps);
    for (n, r) in rs.into_iter().enumerate().rev() {
        assert_eq!(show(&p), "pending");
        r.wakeup(Unique(n as i32));
    }
    assert_eq!(show(&p), "ok [Unique(0), Unique(1), Unique(2)]", "in list order");
}

#[test]
fn join_and_all_of_nothing_are_ready() {
    assert_eq!(show(&join([])), "ok ()");
    assert_eq!(show(&all::<i32>([])), "ok []");
}

#[test]
fn join_and_all_of_resolved_members() {
    assert_eq!(show(&join([Promise::ready(()), Promise::ready(())])), "ok ()");
    assert_eq!(show(&all([Promise::ready(1), Promise::ready(2)])), "ok [1, 2]");
    let (p, r) = wait();
    let mixed = all([Promise::ready(1), p, Promise::ready(3)]);
    assert_eq!(show(&mixed), "pending");
    r.wakeup(2);
    assert_eq!(show(&mixed), "ok [1, 2, 3]");
}

#[test]
fn join_keeps_the_first_rejection_in_time() {
    let (ps, rs) = waits::<()>(3);
    let p = join(ps);
    let mut rs = rs.into_iter();
    let (r0, r1, r2) = (rs.next().unwrap(), rs.next().unwrap(), rs.next().unwrap());
    r1.wakeup_err(Error::msg("second"));
    r0.wakeup_err(Error::msg("first"));
    assert_eq!(show(&p), "pending");
    r2.wakeup(());
    assert_eq!(show(&p), "error second");
}

#[test]
fn among_members_rejected_at_the_call_the_first_in_the_list_wins() {
    assert_eq!(show(&join([Promise::ready(()), boom("a"), boom("b")])), "error a");
    assert_eq!(show(&all([Promise::ready(1), boom("a"), boom("b")])), "error a");
    let (p, r) = wait::<i32>();
    let q = all([p, boom("a"), boom("b")]);
    assert_eq!(show(&q), "pending");
    r.wakeup_err(Error::msg("late"));
    assert_eq!(show(&q), "error a");
}

#[test]
fn the_same_promise_twice() {
    let (p, r) = wait::<i32>();
    let a = all([p.clone(), p.clone()]);
    let b = both(p.clone(), p.clone());
    let c = choose([p.clone(), p.clone()]);
    let n = nchoose([p.clone(), p.clone()]);
    let k = npick([p.clone(), p.clone()]);
    let i = pick([p.clone(), p.clone()]);
    let s = nchoose_split([p.clone(), p]).map(|(done, rest)| (done, rest.len()));
    r.wakeup(4);
    assert_eq!(show(&a), "ok [4, 4]");
    assert_eq!(show(&b), "ok (4, 4)");
    assert_eq!(show(&c), "ok 4");
    assert_eq!(show(&n), "ok [4, 4]");
    assert_eq!(show(&k), "ok [4, 4]");
    assert_eq!(show(&i), "ok 4");
    assert_eq!(show(&s), "ok ([4, 4], 0)");
}

#[test]
fn members_that_become_one_by_unification() {
    let (gate, rg) = wait::<()>();
    let (q, rq) = wait::<i32>();
    let o = gate.bind({
        let q = q.clone();
        move |_| q
    });
    let everything = all([o.clone(), q.clone()]);
    let first = choose([o, q]);
    rg.wakeup(());
    assert_eq!(show(&everything), "pending");
    rq.wakeup(2);
    assert_eq!(show(&everything), "ok [2, 2]");
    assert_eq!(show(&first), "ok 2");
}

type Chooser = fn(Vec<Promise<i32>>) -> Promise<String>;

/// The choose family, results as text.
fn family() -> Vec<(&'static str, Chooser)> {
    vec![
        ("choose", |l| choose(l).map(|v| format!("{v}"))),
        ("pick", |l| pick(l).map(|v| format!("{v}"))),
        ("nchoose", |l| nchoose(l).map(|v| format!("{v:?}"))),
        ("npick", |l| npick(l).map(|v| format!("{v:?}"))),
        ("nchoose_split", |l| nchoose_split(l).map(|(v, rest)| format!("{v:?}+{}", rest.len()))),
    ]
}

#[test]
fn an_empty_list_is_an_error_that_says_so() {
    for (name, chooser) in family() {
        let shown = show(&chooser(Vec::new()));
        assert!(shown.starts_with("error "), "{name}: {shown}");
        assert!(shown.contains(name) || shown.contains("empty"), "{name}: {shown}");
    }
}

#[test]
fn the_first_to_be_fulfilled_decides() {
    for (name, chooser) in family() {
        let (ps, mut rs) = waits(3);
        let p = chooser(ps);
        assert_eq!(show(&p), "pending", "{name}");
        rs.remove(1).wakeup(5);
        let expected = match name {
            "choose" | "pick" => "ok \"5\"",
            "nchoose" | "npick" => "ok \"[5]\"",
            _ => "ok \"[5]+2\"",
        };
        assert_eq!(show(&p), expected, "{name}");
        for r in rs {
            r.wakeup(6);
        }
        assert_eq!(show(&p), expected, "{name}: the others change nothing");
    }
}

#[test]
fn the_first_to_be_rejected_decides() {
    for (name, chooser) in family() {
        let (ps, mut rs) = waits(3);
        let p = chooser(ps);
        rs.remove(2).wakeup_err(Error::msg("no"));
        assert_eq!(show(&p), "error no", "{name}");
    }
}

#[test]
fn a_single_member() {
    for (name, chooser) in family() {
        let (p, r) = wait();
        let q = chooser(vec![p]);
        r.wakeup(1);
        assert!(show(&q).contains('1'), "{name}: {}", show(&q));
        assert!(show(&chooser(vec![Promise::ready(1)])).contains('1'), "{name}");
        assert_eq!(show(&chooser(vec![boom("b")])), "error b", "{name}");
    }
}

#[test]
fn among_resolved_members_a_rejected_one_comes_first() {
    for (name, chooser) in family() {
        for _ in 0..20 {
            let (pending, _r) = wait();
            let p = chooser(vec![Promise::ready(1), pending, boom("bad"), Promise::ready(2)]);
            assert_eq!(show(&p), "error bad", "{name}");
        }
    }
}

#[test]
fn the_n_forms_report_the_first_rejected_in_the_list() {
    for (name, chooser) in family().into_iter().skip(2) {
        assert_eq!(show(&chooser(vec![Promise::ready(1), boom("a"), boom("b")])), "error a", "{name}");
    }
}

#[test]
fn the_n_forms_take_all_that_are_resolved_in_list_order() {
    let (pending, _r) = wait();
    assert_eq!(show(&nchoose([Promise::ready(1), pending, Promise::ready(3)])), "ok [1, 3]");
    let (pending, _r) = wait();
    assert_eq!(show(&npick([Promise::ready(1), pending, Promise::ready(3)])), "ok [1, 3]");
}

#[test]
fn the_n_forms_see_what_is_resolved_at_that_moment() {
    for (name, chooser) in family().into_iter().skip(2) {
        let (start, rs) = wait::<()>();
        let (ps, mut rest) = waits::<i32>(3);
        let p = chooser(ps);
        // Within a cascade both get their state at once, and their callbacks later, the last one first.
        start.on_success(move |_| {
            rest.remove(2).wakeup_later(3);
            rest.remove(0).wakeup_later(1);
            std::mem::forget(rest);
        });
        rs.wakeup(());
        let expected = if name == "nchoose_split" { "ok \"[1, 3]+1\"" } else { "ok \"[1, 3]\"" };
        assert_eq!(show(&p), expected, "{name}");
    }
}

#[test]
fn nchoose_split_lists_the_pending_in_list_order() {
    let (ps, rs) = waits::<i32>(5);
    let mut rs: Vec<_> = rs.into_iter().map(Some).collect();
    let split = nchoose_split(ps);
    rs[2].take().unwrap().wakeup(2);
    let checked = split.bind(move |(done, rest)| {
        assert_eq!(done, [2]);
        for (n, r) in rs.into_iter().enumerate() {
            if let Some(r) = r {
                r.wakeup(n as i32);
            }
        }
        all(rest)
    });
    assert_eq!(show(&checked), "ok [0, 1, 3, 4]");

    let (a, ra) = wait::<i32>();
    let (b, rb) = wait::<i32>();
    let checked = nchoose_split([a, Promise::ready(9), b]).bind(move |(done, rest)| {
        assert_eq!(done, [9]);
        ra.wakeup(1);
        rb.wakeup(2);
        all(rest)
    });
    assert_eq!(show(&checked), "ok [1, 2]", "also when decided at the call");
}

#[test]
fn values_that_cannot_be_cloned() {
    let (p, r) = wait();
    let (w, _rw) = wait();
    let q = choose([p, w]);
    r.wakeup(Unique(1));
    assert_eq!(show(&q), "ok Unique(1)");

    let (p, r) = wait();
    let (t, _rt) = task();
    let q = pick([t, p]);
    r.wakeup(Unique(2));
    assert_eq!(show(&q), "ok Unique(2)");

    let (p, r) = wait();
    let (t, _rt) = wait();
    let q = nchoose([t, p]);
    r.wakeup(Unique(3));
    assert_eq!(show(&q), "ok [Unique(3)]");

    let (p, r) = wait();
    let (t, _rt) = task();
    let q = npick([t, p]);
    r.wakeup(Unique(4));
    assert_eq!(show(&q), "ok [Unique(4)]");

    let (w, _rw) = wait();
    assert_eq!(show(&choose([Promise::ready(Unique(5)), w])), "ok Unique(5)");
    assert_eq!(show(&all([Promise::ready(Unique(6))])), "ok [Unique(6)]");
    let (t, rt) = wait();
    let q = nchoose_split([Promise::ready(Unique(7)), t]).map(|(v, rest)| (v, rest.len()));
    assert_eq!(show(&q), "ok ([Unique(7)], 1)");
    rt.wakeup(Unique(8));
}

#[test]
fn losers_keep_running_after_choose() {
    let (a, ra) = wait::<i32>();
    let (b, rb) = task::<i32>();
    let p = choose([a, b.clone()]);
    ra.wakeup(1);
    assert_eq!((show(&p), show(&b)), ("ok 1".into(), "pending".into()));
    rb.wakeup(2);
    assert_eq!((show(&p), show(&b)), ("ok 1".into(), "ok 2".into()));
}

// ---- the random choice ------------------------------------------------------------------------------------------------

fn draws(n: usize) -> Vec<i32> {
    (0..n)
        .map(|_| {
            let p = choose((0..4).map(Promise::ready));
            let q = pick((0..4).map(Promise::ready));
            show(&both(p, q).map(|(a, b)| a * 4 + b)).trim_start_matches("ok ").parse().unwrap()
        })
        .collect()
}

#[test]
fn the_choice_is_fair_and_can_be_seeded() {
    let mut rng = Rng(1);
    for _ in 0..5 {
        let seed = rng.next();
        lwt_core::set_random_seed(seed);
        let first = draws(50);
        lwt_core::set_random_seed(seed);
        assert_eq!(first, draws(50), "the same seed gives the same choices");
    }
    lwt_core::set_random_seed(42);
    let drawn = draws(1600);
    for outcome in 0..16 {
        let times = drawn.iter().filter(|d| **d == outcome).count();
        // 100 expected, deviation about 10.
        assert!((40..=160).contains(&times), "{outcome} was drawn {times} times of 1600");
    }
    lwt_core::set_random_seed(7);
    let one = draws(50);
    lwt_core::set_random_seed(8);
    assert_ne!(one, draws(50), "another seed gives other choices");
}

#[test]
fn only_fulfilled_members_are_drawn() {
    for _ in 0..50 {
        let (p, _r) = wait::<i32>();
        let (q, _s) = wait::<i32>();
        let shown = show(&choose([p, Promise::ready(1), q, Promise::ready(2)]));
        assert!(shown == "ok 1" || shown == "ok 2", "{shown}");
    }
}

// ---- order ----------------------------------------------------------------------------------------------------------------

#[test]
fn a_combinator_takes_its_place_in_the_order_of_attachment() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    p.on_termination(log.note("before"));
    let chosen = choose([p.clone()]);
    chosen.on_termination(log.note("chosen"));
    let joined = all([p.clone()]);
    joined.on_termination(log.note("all"));
    p.on_termination(log.note("after"));
    r.wakeup(1);
    assert_eq!(log.take(), "before chosen all after");
}

// ---- life -----------------------------------------------------------------------------------------------------------------

#[test]
fn direct_callbacks_outlive_the_handle() {
    type Form = fn(Promise<i32>) -> Promise<i32>;
    let forms: &[(&str, Form)] = &[
        ("map", |p| p.map(|v| v)),
        ("both", |p| both(p, Promise::ready(())).map(|(v, ())| v)),
        ("all", |p| all([p]).map(|v| v[0])),
        ("choose", |p| choose([p])),
        ("pick", |p| pick([p])),
        ("nchoose", |p| nchoose([p]).map(|v| v[0])),
        ("protected", |p| p.protected()),
        ("no_cancel", |p| p.no_cancel()),
        ("wrap_in_cancelable", |p| p.wrap_in_cancelable()),
        ("a copy of a choose", |p| choose([p]).protected()),
        ("a task", |p| lwt_core::spawn(p)),
    ];
    for (name, form) in forms {
        let log = Log::new();
        let (p, r) = wait::<i32>();
        let q = form(p);
        q.on_success({
            let log = log.clone();
            move |v| log.add(v)
        });
        q.on_any({
            let log = log.clone();
            move |_| log.add("any")
        });
        q.on_termination(log.note("end"));
        drop(q);
        assert!(r.is_wanted(), "{name}");
        r.wakeup(5);
        common::spin();
        assert_eq!(log.take(), "5 any end", "{name}");

        let (p, r) = wait::<i32>();
        let q = form(p);
        q.on_failure({
            let log = log.clone();
            move |e| log.add(common::text(e))
        });
        drop(q);
        r.wakeup_err(Error::msg("boom"));
        common::spin();
        assert_eq!(log.take(), "error boom", "{name}");
    }
}

#[test]
fn direct_callbacks_on_joins() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let joined = join([p.clone()]);
    joined.on_termination(log.note("join"));
    let values = all([p.clone()]);
    values.on_termination(log.note("all"));
    let pair = both(p.clone(), p.clone());
    pair.on_termination(log.note("both"));
    let many = nchoose([p.clone()]);
    many.on_termination(log.note("nchoose"));
    let split = nchoose_split([p]);
    split.on_termination(log.note("nchoose_split"));
    drop((joined, values, pair, many, split));
    r.wakeup(());
    assert_eq!(log.take(), "join all both nchoose nchoose_split");
}
