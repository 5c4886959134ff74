//! The parallel forms over lists: `_p`, `_n`, and `Parallel`.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Log, Rng, Unhandled, Unique, heavy, on_small_stack, show, watchdog};
use lwt_core::list::{
    Parallel, exists_n, exists_p, filter_map_n, filter_map_p, filter_n, filter_p, for_all_n, for_all_p,
    iter_n, iter_p, iteri_n, iteri_p, map_n, map_p, mapi_n, mapi_p, partition_n, partition_p, rev_map_n,
    rev_map_p,
};
use lwt_core::scheduler::{paused_count, wakeup_paused};
use lwt_core::{Error, Promise, Resolver, pause, task, wait};

fn boom<T>(text: &'static str) -> Promise<T> {
    Promise::fail(Error::msg(text))
}

fn turns() {
    (0..9).for_each(|_| wakeup_paused());
}

/// What the function of a test was called with, and the promises it gave.
#[derive(Clone, Default)]
struct Calls {
    log: Log,
    resolvers: Rc<RefCell<Vec<Option<Resolver<usize>>>>>,
}

impl Calls {
    /// A function whose promises are pending until the test resolves them, by their number.
    fn function(&self) -> impl FnMut(usize) -> Promise<usize> + use<> {
        let calls = self.clone();
        move |n| {
            calls.log.add(n);
            let (promise, resolver) = task();
            calls.resolvers.borrow_mut().push(Some(resolver));
            promise
        }
    }

    fn take(&self, n: usize) -> Resolver<usize> {
        self.resolvers.borrow_mut()[n].take().unwrap()
    }

    fn wake(&self, n: usize) {
        self.take(n).wakeup(n * 10);
    }

    fn fail(&self, n: usize) {
        self.take(n).wakeup_err(Error::msg(format!("e{n}")));
    }

    fn is_wanted(&self, n: usize) -> bool {
        self.resolvers.borrow()[n].as_ref().unwrap().is_wanted()
    }
}

#[test]
fn all_at_once() {
    let calls = Calls::default();
    let p = map_p(0..3, calls.function());
    assert_eq!(calls.log.take(), "0 1 2");
    calls.wake(2);
    calls.wake(0);
    assert_eq!(show(&p), "pending");
    calls.wake(1);
    assert_eq!(show(&p), "ok [0, 10, 20]");
}

#[test]
fn at_most_so_many() {
    let calls = Calls::default();
    let p = map_n(2, 0..5, calls.function());
    assert_eq!(calls.log.take(), "0 1");
    calls.wake(1);
    assert_eq!(calls.log.take(), "2");
    calls.wake(2);
    calls.wake(3);
    assert_eq!(calls.log.take(), "3 4");
    calls.wake(4);
    assert_eq!(show(&p), "pending");
    calls.wake(0);
    assert_eq!(show(&p), "ok [0, 10, 20, 30, 40]");
}

#[test]
fn every_function_in_every_form() {
    fn give<T: 'static>(late: bool, value: T) -> Promise<T> {
        if late { pause().map(|()| value) } else { Promise::ready(value) }
    }
    let three = || [Unique(1), Unique(2), Unique(3)];
    for late in [false, true] {
        for n in [None, Some(1), Some(2), Some(50)] {
            let log = Log::new();
            let l = log.clone();
            let f = move |s: &str| {
                l.add(s);
                give(late, ())
            };
            let p = n.map_or_else(|| iter_p(["a", "b"], f.clone()), |n| iter_n(n, ["a", "b"], f.clone()));
            turns();
            assert_eq!((show(&p), log.take()), ("ok ()".into(), "a b".into()));

            let l = log.clone();
            let f = move |i: usize, s: &str| {
                l.add(format!("{i}{s}"));
                give(late, ())
            };
            let p = n.map_or_else(|| iteri_p(["a", "b"], f.clone()), |n| iteri_n(n, ["a", "b"], f.clone()));
            turns();
            assert_eq!((show(&p), log.take()), ("ok ()".into(), "0a 1b".into()));

            let f = move |n| give(late, Unique(n));
            let p = n.map_or_else(|| map_p(1..3, f), |n| map_n(n, 1..3, f));
            turns();
            assert_eq!(show(&p), "ok [Unique(1), Unique(2)]");
            let f = move |i, n| give(late, (i, n));
            let p = n.map_or_else(|| mapi_p(5..7, f), |n| mapi_n(n, 5..7, f));
            turns();
            assert_eq!(show(&p), "ok [(0, 5), (1, 6)]");
            let f = move |n| give(late, n);
            let p = n.map_or_else(|| rev_map_p(1..4, f), |n| rev_map_n(n, 1..4, f));
            turns();
            assert_eq!(show(&p), "ok [3, 2, 1]");
            for (limit, all, one) in
                [(4, "ok true", "ok true"), (2, "ok false", "ok true"), (0, "ok false", "ok false")]
            {
                let f = move |n| give(late, n < limit);
                let p = n.map_or_else(|| for_all_p(1..4, f), |n| for_all_n(n, 1..4, f));
                let q = n.map_or_else(|| exists_p(1..4, f), |n| exists_n(n, 1..4, f));
                turns();
                assert_eq!((show(&p), show(&q)), (all.into(), one.into()));
            }
            let f = move |u: &Unique| give(late, u.0 != 2);
            let p = n.map_or_else(|| filter_p(three(), f), |n| filter_n(n, three(), f));
            let q = n.map_or_else(|| partition_p(three(), f), |n| partition_n(n, three(), f));
            turns();
            assert_eq!(show(&p), "ok [Unique(1), Unique(3)]");
            assert_eq!(show(&q), "ok ([Unique(1), Unique(3)], [Unique(2)])");
            let f = move |n| give(late, (n % 2 == 0).then_some(n * 10));
            let p = n.map_or_else(|| filter_map_p(1..5, f), |n| filter_map_n(n, 1..5, f));
            turns();
            assert_eq!(show(&p), "ok [20, 40]");
        }
    }
    assert_eq!(show(&map_p([0; 0], Promise::ready)), "ok []");
    assert_eq!(show(&map_n(3, [0; 0], Promise::ready)), "ok []");
}

#[test]
fn the_first_rejection_in_time_and_everyone_is_waited_for() {
    let calls = Calls::default();
    let p = map_p(0..4, calls.function());
    calls.fail(2);
    calls.fail(0);
    calls.wake(1);
    assert_eq!(show(&p), "pending");
    calls.fail(3);
    assert_eq!(show(&p), "error e2");

    let p = iter_p(0..3, |n| boom(["zero", "one", "two"][n]));
    assert_eq!(show(&p), "error zero");
}

#[test]
fn without_a_bound_all_are_started_also_after_a_rejection() {
    let log = Log::new();
    let l = log.clone();
    let p = iter_p(0..3, move |n| {
        l.add(n);
        boom("at once")
    });
    assert_eq!((show(&p), log.take()), ("error at once".into(), "0 1 2".into()));
}

#[test]
fn with_a_bound_none_is_started_after_a_rejection() {
    let calls = Calls::default();
    let p = map_n(3, 0..9, calls.function());
    assert_eq!(calls.log.take(), "0 1 2");
    calls.fail(1);
    assert!(calls.is_wanted(0), "nobody was asked to cancel it");
    calls.wake(0);
    assert_eq!((show(&p), calls.log.take()), ("pending".into(), String::new()));
    calls.fail(2);
    assert_eq!((show(&p), calls.log.take()), ("error e1".into(), String::new()));
}

#[test]
fn cancelling_the_rest() {
    for how in [Parallel::unbounded(), Parallel::at_most(3)] {
        let calls = Calls::default();
        let p = how.cancel_rest().map(0..3, calls.function());
        assert_eq!(calls.log.take(), "0 1 2");
        calls.wake(0);
        assert!(calls.is_wanted(2));
        calls.fail(1);
        assert!(!calls.is_wanted(2));
        assert_eq!(show(&p), "error e1");
    }
}

#[test]
fn cancelling_the_rest_waits_for_its_cleanup() {
    let (cleaning, cleaned) = wait::<()>();
    let (failing, fail) = wait::<()>();
    let (slow, _r) = task::<()>();
    let slow = slow.finalize(|| cleaning);
    let mut both = vec![failing, slow];
    let p = Parallel::unbounded().cancel_rest().iter(0..2, move |_| both.remove(0));
    fail.wakeup_err(Error::msg("first"));
    assert_eq!(show(&p), "pending");
    cleaned.wakeup(());
    assert_eq!(show(&p), "error first");
}

#[test]
fn a_rejection_while_they_are_being_started() {
    for how in [Parallel::unbounded(), Parallel::at_most(8)] {
        let calls = Calls::default();
        let mut f = calls.function();
        let p = how.cancel_rest().map(0..6, move |n| if n == 3 { boom("three") } else { f(n) });
        assert_eq!(calls.log.take(), "0 1 2", "the others were never started");
        assert_eq!(show(&p), "error three");
        assert!((0..3).all(|n| !calls.is_wanted(n)));
    }
    // An earlier one fails while the function runs for a later one: what that gives is cancelled, too.
    let (first, fail) = task::<()>();
    let (second, r) = task::<()>();
    let mut fail = Some(fail);
    let mut promises = vec![first, second];
    let p = Parallel::at_most(5).cancel_rest().iter(0..5, move |n| {
        if n == 1 {
            fail.take().unwrap().wakeup_err(Error::msg("inside"));
        }
        promises.remove(0)
    });
    assert!(!r.is_wanted());
    assert_eq!(show(&p), "error inside");
}

/// The function is being called for the third item when the second one fails.
#[test]
fn a_rejection_during_a_later_call() {
    for cancel_rest in [false, true] {
        let calls = Calls::default();
        let (theirs, mut f) = (calls.clone(), calls.function());
        let how = if cancel_rest { Parallel::at_most(2).cancel_rest() } else { Parallel::at_most(2) };
        let p = how.map(0..9, move |n| {
            let promise = f(n);
            if n == 2 {
                theirs.fail(1);
            }
            promise
        });
        calls.wake(0);
        assert_eq!(calls.log.take(), "0 1 2");
        assert_eq!(calls.is_wanted(2), !cancel_rest);
        calls.wake(2);
        assert_eq!((show(&p), calls.log.take()), ("error e1".into(), String::new()));
    }
}

#[test]
fn panics() {
    let calls = Calls::default();
    let mut f = calls.function();
    let p = map_p(0..3, move |n| if n == 1 { panic!("one") } else { f(n) });
    assert_eq!(calls.log.take(), "0 2", "a panic is the rejection of its item");
    calls.wake(0);
    calls.wake(1);
    assert_eq!(show(&p), "panic one");

    for how in [Parallel::unbounded(), Parallel::at_most(5), Parallel::unbounded().cancel_rest()] {
        let p = how.map((0..3).inspect(|n| assert!(*n < 2, "iterator")), Promise::ready);
        assert_eq!(show(&p), "panic iterator");
    }
    let p = map_n(2, 0..5, |n| if n == 2 { panic!("two") } else { Promise::ready(n) });
    assert_eq!(show(&p), "panic two");
}

#[test]
fn a_function_whose_end_panics() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("its end");
        }
    }
    for many in [0, 3] {
        let told = Unhandled::collect();
        let bad = Bad;
        let p = iter_n(2, 0..many, move |_| {
            let _kept = &bad;
            pause()
        });
        turns();
        assert_eq!((show(&p), told.take()), ("ok ()".into(), "panic its end".into()));
    }
}

#[test]
#[should_panic = "no item may run"]
fn a_bound_of_zero() {
    drop(iter_n(0, 0..3, |_| Promise::ready(())));
}

/// Ruling: the function is not called while a call of it runs.
#[test]
fn a_call_that_would_reenter_is_queued() {
    let log = Log::new();
    let resolvers = Rc::new(RefCell::new(Vec::new()));
    let running = Rc::new(Cell::new(false));
    let (l, rs) = (log.clone(), resolvers.clone());
    let p = map_n(3, 0..6, move |n| {
        assert!(!running.replace(true));
        l.add(format!("({n}"));
        let (p, r) = wait::<usize>();
        if n == 2 {
            // Resolves two others inside the call: their lanes want the next item at once.
            let earlier: Vec<Resolver<usize>> = rs.take();
            for (i, r) in earlier.into_iter().enumerate() {
                r.wakeup(i);
            }
        }
        rs.borrow_mut().push(r);
        l.add(format!("{n})"));
        running.set(false);
        p
    });
    assert_eq!(log.take(), "(0 0) (1 1) (2 2) (3 3) (4 4)");
    for n in 2..6 {
        let r = resolvers.borrow_mut().remove(0);
        r.wakeup(n);
    }
    assert_eq!(show(&p), "ok [0, 1, 2, 3, 4, 5]");
}

#[test]
fn a_cancel_goes_to_all_that_are_pending() {
    for how in [Parallel::unbounded(), Parallel::at_most(3), Parallel::at_most(3).cancel_rest()] {
        for resolved in 0..3 {
            let calls = Calls::default();
            let items = Rc::new(RefCell::new(0..3_usize));
            let theirs = items.clone();
            let p = how.map(std::iter::from_fn(move || theirs.borrow_mut().next()), calls.function());
            (0..resolved).for_each(|n| calls.wake(n));
            p.cancel();
            assert_eq!(show(&p), "canceled");
            assert!((resolved..3).all(|n| !calls.is_wanted(n)));
        }
    }
}

#[test]
fn a_cancel_with_a_bound_takes_no_further_item() {
    for waiting in 1..6 {
        let calls = Calls::default();
        let items = Rc::new(RefCell::new(0..6_usize));
        let theirs = items.clone();
        let p = map_n(2, std::iter::from_fn(move || theirs.borrow_mut().next()), calls.function());
        (0..waiting - 1).for_each(|n| calls.wake(n));
        let begun = calls.log.len();
        p.cancel();
        assert_eq!(show(&p), "canceled");
        assert_eq!(calls.log.len(), begun);
        assert_eq!(items.borrow().clone().count(), 6 - begun, "every item taken was started");
    }
}

#[test]
fn a_cancel_that_nobody_takes_has_no_effect() {
    let resolvers = Rc::new(RefCell::new(Vec::new()));
    let rs = resolvers.clone();
    let p = map_n(2, 0..4, move |n| {
        let (p, r) = wait::<i32>();
        rs.borrow_mut().push((n, r));
        p
    });
    p.cancel();
    loop {
        let next = resolvers.borrow_mut().pop();
        let Some((n, r)) = next else { break };
        r.wakeup(n);
    }
    assert_eq!(show(&p), "ok [0, 1, 2, 3]");
}

#[test]
fn a_dropped_result_lets_the_work_go_on() {
    for at in 0..5 {
        let calls = Calls::default();
        let mut p = Some(map_n(2, 0..5, calls.function()));
        for n in 0..5 {
            if n == at {
                drop(p.take());
            }
            calls.wake(n);
        }
        assert_eq!(calls.log.take(), "0 1 2 3 4");
    }
}

#[test]
fn everything_is_dropped_at_the_end() {
    for how in [Parallel::unbounded(), Parallel::at_most(2), Parallel::at_most(2).cancel_rest()] {
        let drops = Drops::new();
        let items: Vec<_> = (0..5).map(|_| drops.token()).collect();
        let token = drops.token();
        let p = how.iteri(items, move |i, item| {
            let _held = &token;
            pause().bind(move |()| {
                drop(item);
                if i == 1 { boom("one") } else { Promise::ready(()) }
            })
        });
        turns();
        assert_eq!(show(&p), "error one");
        assert_eq!(drops.count(), 6);
        assert_eq!(paused_count(), 0);
    }
}

/// The bound holds, nothing is lost and the order is right, whatever the order of events.
#[test]
fn random_order() {
    let _watchdog = watchdog();
    for seed in 0..heavy(2000, 300, 10) as u64 {
        let mut rng = Rng(seed);
        let (bound, items) = (1 + rng.below(5), rng.below(30));
        let pending: Rc<RefCell<Vec<(usize, Resolver<usize>)>>> = Rc::default();
        let (theirs, mut dice) = (pending.clone(), rng.clone());
        let p = map_n(bound, 0..items, move |n| {
            if dice.one_in(3) {
                return Promise::ready(n);
            }
            if dice.one_in(3) && !theirs.borrow().is_empty() {
                let (n, r) = theirs.borrow_mut().swap_remove(0);
                r.wakeup(n);
            }
            let (p, r) = task();
            theirs.borrow_mut().push((n, r));
            assert!(theirs.borrow().len() <= bound);
            p
        });
        while p.is_pending() {
            let (n, r) = {
                let mut pending = pending.borrow_mut();
                let at = rng.below(pending.len());
                pending.swap_remove(at)
            };
            r.wakeup(n);
        }
        assert_eq!(show(&p), format!("ok {:?}", (0..items).collect::<Vec<_>>()), "seed {seed}");
    }
}

#[test]
fn long_lists_on_a_small_stack() {
    let _watchdog = watchdog();
    on_small_stack(|| {
        let n = heavy(1_000_000, 300_000, 300);
        let all = [Parallel::unbounded(), Parallel::at_most(10), Parallel::unbounded().cancel_rest()];
        for how in all {
            assert_eq!(show(&how.map(0..n, Promise::ready).map(|v| v.len())), format!("ok {n}"));
            let p = how.map(0..n / 10, |n| pause().map(move |()| n)).map(|v| v.is_sorted() && !v.is_empty());
            while p.is_pending() {
                wakeup_paused();
            }
            assert_eq!(show(&p), "ok true");
        }
        let p = Parallel::unbounded().cancel_rest().iter(0..n / 10, |_| task::<()>().0);
        assert_eq!(show(&p), "abandoned");
    });
}
