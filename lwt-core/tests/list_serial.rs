//! The serial forms over lists: `_s`.

mod common;

use std::collections::BTreeMap;
use std::rc::Rc;

use common::{Drops, Log, Unhandled, Unique, heavy, on_small_stack, show, watchdog};
use lwt_core::list::{
    exists_s, filter_map_s, filter_s, find_s, fold_left_s, fold_right_s, for_all_s, iter_s, iteri_s, map_s,
    mapi_s, partition_s, rev_map_s,
};
use lwt_core::scheduler::wakeup_paused;
use lwt_core::{Error, Key, Promise, Resolver, pause, task, wait};

fn boom<T>() -> Promise<T> {
    Promise::fail(Error::msg("boom"))
}

/// Pending promises by number, and their resolvers.
struct Gates {
    promises: Vec<Option<Promise<i32>>>,
    resolvers: Vec<Option<Resolver<i32>>>,
}

fn gates(n: usize) -> Gates {
    let (promises, resolvers) = (0..n)
        .map(|_| task::<i32>())
        .map(|(p, r)| (Some(p), Some(r)))
        .collect::<Vec<_>>()
        .into_iter()
        .unzip();
    Gates { promises, resolvers }
}

#[test]
fn one_after_the_other() {
    let log = Log::new();
    let Gates { mut promises, mut resolvers } = gates(3);
    let theirs = log.clone();
    let p = map_s(0..3, move |n| {
        theirs.add(format!("start{n}"));
        promises[n].take().unwrap()
    });
    assert_eq!(log.take(), "start0");
    resolvers[1].take().unwrap().wakeup(10);
    assert_eq!(log.take(), "");
    resolvers[0].take().unwrap().wakeup(0);
    assert_eq!(log.take(), "start1 start2");
    assert_eq!(show(&p), "pending");
    resolvers[2].take().unwrap().wakeup(20);
    assert_eq!(show(&p), "ok [0, 10, 20]");
}

#[test]
fn every_function_over_resolved_and_over_pending_promises() {
    /// Resolved, or in the next turn.
    fn give<T: 'static>(late: bool, value: T) -> Promise<T> {
        if late { pause().map(|()| value) } else { Promise::ready(value) }
    }
    for late in [false, true] {
        let done = |text: String, expected: &str| assert_eq!(text, expected, "late: {late}");
        let turn = || (0..9).for_each(|_| wakeup_paused());
        let log = Log::new();

        let l = log.clone();
        let p = iter_s(["a", "b"], move |s| {
            l.add(s);
            give(late, ())
        });
        turn();
        done(show(&p), "ok ()");
        assert_eq!(log.take(), "a b");

        let l = log.clone();
        let p = iteri_s(["a", "b"], move |i, s| {
            l.add(format!("{i}{s}"));
            give(late, ())
        });
        turn();
        done(show(&p), "ok ()");
        assert_eq!(log.take(), "0a 1b");

        let p = map_s(vec![1, 2], move |n| give(late, Unique(n)));
        turn();
        done(show(&p), "ok [Unique(1), Unique(2)]");
        let p = mapi_s(vec!['a', 'b'], move |i, c| give(late, (i, c)));
        turn();
        done(show(&p), "ok [(0, 'a'), (1, 'b')]");
        let p = rev_map_s(1..4, move |n| give(late, n));
        turn();
        done(show(&p), "ok [3, 2, 1]");
        let p = fold_left_s(["b", "c"], "a".to_owned(), move |s, x| give(late, s + x));
        turn();
        done(show(&p), "ok \"abc\"");
        let p = fold_right_s(["b", "c"], "a".to_owned(), move |x, s| give(late, s + x));
        turn();
        done(show(&p), "ok \"acb\"");
        let p = for_all_s(1..4, move |n| give(late, n < 4));
        turn();
        done(show(&p), "ok true");
        let p = exists_s(1..4, move |n| give(late, n > 4));
        turn();
        done(show(&p), "ok false");
        let p = find_s([Unique(1), Unique(2), Unique(3)], move |u| give(late, u.0 > 1));
        turn();
        done(show(&p), "ok Some(Unique(2))");
        let p = find_s([Unique(1)], move |_| give(late, false));
        turn();
        done(show(&p), "ok None");
        let p = filter_s([Unique(1), Unique(2), Unique(3)], move |u| give(late, u.0 != 2));
        turn();
        done(show(&p), "ok [Unique(1), Unique(3)]");
        let p = filter_map_s(1..5, move |n| give(late, (n % 2 == 0).then_some(n * 10)));
        turn();
        done(show(&p), "ok [20, 40]");
        let p = partition_s([Unique(1), Unique(2), Unique(3)], move |u| give(late, u.0 == 2));
        turn();
        done(show(&p), "ok ([Unique(2)], [Unique(1), Unique(3)])");
    }
}

#[test]
fn over_anything_that_has_items() {
    let map = BTreeMap::from([("a", 1), ("b", 2)]);
    assert_eq!(show(&map_s(map, |(k, v)| Promise::ready(format!("{k}{v}")))), r#"ok ["a1", "b2"]"#);
    assert_eq!(show(&map_s(Some(3), Promise::ready)), "ok [3]");
    let nothing = Vec::<i32>::new();
    assert_eq!(show(&map_s(nothing, |_| boom::<i32>())), "ok []");
    assert_eq!(show(&find_s(None::<i32>, |_| boom())), "ok None");
}

#[test]
fn searches_end_early_and_ask_for_no_more_items() {
    let log = Log::new();
    let counted = |log: &Log| {
        let log = log.clone();
        (1..).inspect(move |n| log.add(n))
    };
    assert_eq!(show(&for_all_s(counted(&log), |n| Promise::ready(n < 3))), "ok false");
    assert_eq!(log.take(), "1 2 3");
    assert_eq!(show(&exists_s(counted(&log), |n| Promise::ready(n == 2))), "ok true");
    assert_eq!(log.take(), "1 2");
    assert_eq!(show(&find_s(counted(&log), |n| Promise::ready(*n == 2))), "ok Some(2)");
    assert_eq!(log.take(), "1 2");
}

#[test]
fn a_rejection_ends_it() {
    let log = Log::new();
    let l = log.clone();
    let p = iter_s(0..5, move |n| {
        l.add(n);
        if n == 2 { boom() } else { Promise::ready(()) }
    });
    assert_eq!(show(&p), "error boom");
    assert_eq!(log.take(), "0 1 2");

    let l = log.clone();
    let p = map_s(0..5, move |n| {
        l.add(n);
        pause().bind(move |()| if n == 1 { boom() } else { Promise::ready(n) })
    });
    (0..9).for_each(|_| wakeup_paused());
    assert_eq!(show(&p), "error boom");
    assert_eq!(log.take(), "0 1");
}

#[test]
fn panics_are_rejections() {
    let p = map_s(0..3, |n| if n == 1 { panic!("at one") } else { Promise::ready(n) });
    assert_eq!(show(&p), "panic at one");
    let p = map_s((0..3).inspect(|n| assert!(*n < 1, "no more")), Promise::ready);
    assert_eq!(show(&p), "panic no more");
    let p = map_s(0..3, |n| pause().map(move |()| assert!(n < 1, "late")));
    (0..4).for_each(|_| wakeup_paused());
    assert_eq!(show(&p), "panic late");
}

/// At each of its suspension points: what is under way gets the cancel, nothing further is started, the items
/// before it were all given to the function, and the iterator still has the others.
#[test]
fn a_cancel_at_each_suspension_point() {
    for at in 0..4 {
        let log = Log::new();
        let Gates { mut promises, mut resolvers } = gates(4);
        let items = Rc::new(std::cell::RefCell::new(0..4_usize));
        let (theirs, l) = (items.clone(), log.clone());
        let source = std::iter::from_fn(move || theirs.borrow_mut().next());
        let p = map_s(source, move |n| {
            l.add(n);
            promises[n].take().unwrap()
        });
        for resolver in resolvers.iter_mut().take(at) {
            resolver.take().unwrap().wakeup(0);
        }
        p.cancel();
        assert_eq!(show(&p), "canceled");
        assert!(!resolvers[at].as_ref().unwrap().is_wanted());
        assert_eq!(log.len(), at + 1, "nothing was started after the cancel");
        assert_eq!(items.borrow().clone().count(), 3 - at, "no item was taken and not started");
    }
}

#[test]
fn a_dropped_result_lets_the_work_go_on() {
    for at in 0..3 {
        let log = Log::new();
        let Gates { mut promises, resolvers } = gates(3);
        let l = log.clone();
        let p = iter_s(0..3, move |n| {
            l.add(n);
            promises[n].take().unwrap().map(drop)
        });
        let mut p = Some(p);
        for (n, resolver) in resolvers.into_iter().flatten().enumerate() {
            if n == at {
                drop(p.take());
            }
            resolver.wakeup(0);
        }
        assert_eq!(log.take(), "0 1 2");
    }
}

#[test]
fn a_function_that_handles_the_cancel_goes_on() {
    let (slow, _r) = task::<()>();
    let mut slow = Some(slow);
    let p = map_s(0..3, move |n| match slow.take() {
        Some(slow) => slow.map(|()| 0).catch(|_| Promise::ready(-1)),
        None => Promise::ready(n),
    });
    p.cancel();
    assert_eq!(show(&p), "ok [-1, 1, 2]");
}

#[test]
fn items_and_function_are_dropped_at_the_end() {
    let unhandled = Unhandled::collect();
    let drops = Drops::new();
    let (token, items) = (drops.token(), vec![drops.token(), drops.token(), drops.token()]);
    let p = iter_s(items, move |_item| {
        let _held = &token;
        boom()
    });
    assert_eq!(drops.count(), 4);
    drop(p);
    assert_eq!(unhandled.take(), "error boom");
}

#[test]
fn storage_is_that_of_the_call() {
    let key = Key::new();
    let (p, r) = wait::<()>();
    let mut first = Some(p);
    let seen = key.with_value(Some(7), || {
        map_s(0..2, move |_| {
            let value = key.get();
            first.take().unwrap_or_else(|| Promise::ready(())).map(move |()| value)
        })
    });
    r.wakeup(());
    assert_eq!(show(&seen), "ok [Some(7), Some(7)]");
}

#[test]
fn long_lists_on_a_small_stack() {
    let _watchdog = watchdog();
    on_small_stack(|| {
        let n = heavy(1_000_000, 1_000_000, 500);
        assert_eq!(show(&map_s(0..n, Promise::ready).map(|v| v.len())), format!("ok {n}"));
        assert_eq!(show(&fold_right_s(0..n, 0, |i, s| Promise::ready(s ^ i)).map(drop)), "ok ()");
        assert_eq!(
            show(&filter_s(0..n, |i| Promise::ready(i % 2 == 0)).map(|v| v.len())),
            format!("ok {}", n / 2)
        );
        assert_eq!(show(&for_all_s(0..n, |_| Promise::ready(true))), "ok true");
        assert_eq!(show(&find_s(0..n, move |i| Promise::ready(*i == n - 1))), format!("ok Some({})", n - 1));

        let n = heavy(200_000, 50_000, 100);
        let p = iter_s(0..n, |_| pause());
        for _ in 0..n {
            assert!(p.is_pending());
            wakeup_paused();
        }
        assert_eq!(show(&p), "ok ()");
    });
}
