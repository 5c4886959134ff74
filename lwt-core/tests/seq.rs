//! Sequences: laziness, every function, errors, cancels, long runs.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Log, heavy, on_small_stack, show};
use lwt_core::seq::{self, Seq};
use lwt_core::{Error, Promise, Resolver, pause, scheduler, stream, task};

fn head<T: std::fmt::Debug + Clone + 'static>(s: &Seq<T>) -> String {
    show(&s.next().map(|node| node.map(|(element, _rest)| element)))
}

#[test]
fn making() {
    assert_eq!(show(&seq::empty::<i32>().to_list()), "ok []");
    assert_eq!(show(&seq::ready(1).to_list()), "ok [1]");
    assert_eq!(show(&seq::of_promise(Promise::ready(1)).to_list()), "ok [1]");
    assert_eq!(show(&seq::of_list([1, 2]).cons(0).to_list()), "ok [0, 1, 2]");
    assert_eq!(show(&seq::ready(2).cons_promise(Promise::ready(1)).to_list()), "ok [1, 2]");
    assert_eq!(show(&seq::of_iter(1..3).append(seq::of_iter(5..7)).to_list()), "ok [1, 2, 5, 6]");
    assert_eq!(show(&seq::unfold(3, |n| (n > 0).then(|| (n, n - 1))).to_list()), "ok [3, 2, 1]");
    let slow = seq::unfold_s(2, |n: i32| Promise::ready((n > 0).then(|| (n, n - 1))));
    assert_eq!(show(&slow.to_list()), "ok [2, 1]");
    let promise = |n| if n == 2 { Promise::fail(Error::msg("two")) } else { Promise::ready(n) };
    let s = seq::of_promises((1..3).map(promise));
    assert_eq!(head(&s), "ok Some(1)");
    assert_eq!(show(&s.to_list()), "error two");
    assert_eq!(show(&stream::of_seq(seq::of_iter(1..4)).to_list()), "ok [1, 2, 3]");
}

#[test]
fn made_from_others() {
    let s = || seq::of_iter(1..=4);
    assert_eq!(show(&s().map(|n| n * 2).to_list()), "ok [2, 4, 6, 8]");
    assert_eq!(show(&s().map_s(|n| Promise::ready(-n)).to_list()), "ok [-1, -2, -3, -4]");
    assert_eq!(show(&s().filter(|n| n % 2 == 0).to_list()), "ok [2, 4]");
    assert_eq!(show(&s().filter_s(|n| Promise::ready(*n > 2)).to_list()), "ok [3, 4]");
    assert_eq!(show(&s().filter_map(|n| (n > 3).then(|| n.to_string())).to_list()), "ok [\"4\"]");
    assert_eq!(show(&s().filter_map_s(|n| Promise::ready((n < 3).then_some(n))).to_list()), "ok [1, 2]");
    assert_eq!(show(&s().flat_map(|n| seq::of_iter(0..n - 2)).to_list()), "ok [0, 0, 1]");
}

#[test]
fn to_the_end() {
    let log = Log::new();
    let s = seq::of_iter(1..=3);
    assert_eq!(show(&s.fold_left(0, |a, n| a * 10 + n)), "ok 123");
    assert_eq!(show(&s.fold_left_s(0, |a, n| Promise::ready(a + n))), "ok 6");
    let note = |log: &Log| {
        let log = log.clone();
        move |n: i32| log.add(n)
    };
    assert_eq!(show(&s.iter(note(&log))), "ok ()");
    let noted = note(&log);
    assert_eq!(show(&s.iter_s(move |n| lwt_core::wrap(|| noted(n)))), "ok ()");
    let noted = note(&log);
    assert_eq!(show(&s.iter_p(move |n| lwt_core::wrap(|| noted(n)))), "ok ()");
    assert_eq!(log.take(), "1 2 3 1 2 3 1 2 3");
}

#[test]
fn nothing_is_done_before_it_is_forced_and_again_each_time() {
    let log = Log::new();
    let s = seq::of_iter(1..).map({
        let log = log.clone();
        move |n| {
            log.add(n);
            n
        }
    });
    let s = s.filter(|n| n % 2 == 0).append(seq::empty());
    assert_eq!(log.take(), "");
    assert_eq!(head(&s), "ok Some(2)");
    assert_eq!(log.take(), "1 2");
    let copy = s.clone();
    assert_eq!(head(&copy), "ok Some(2)");
    assert_eq!(log.take(), "1 2");
    let p = s.next().bind(|node| node.expect("endless").1.next()).map(|node| node.map(|(n, _)| n));
    assert_eq!(show(&p), "ok Some(4)");
    assert_eq!(log.take(), "1 2 3 4");
}

#[test]
fn errors_reject_the_step_and_may_be_tried_again() {
    let bad = Rc::new(Cell::new(true));
    let s = seq::of_iter(1..4).map_s({
        let bad = bad.clone();
        move |n| if n == 2 && bad.get() { Promise::fail(Error::msg("two")) } else { Promise::ready(n) }
    });
    assert_eq!(show(&s.to_list()), "error two");
    let read = stream::of_seq(s.clone());
    assert_eq!(show(&read.get()), "ok Some(1)");
    assert_eq!(show(&read.get()), "error two");
    bad.set(false);
    assert_eq!(show(&s.to_list()), "ok [1, 2, 3]");
    assert_eq!(show(&read.to_list()), "ok [2, 3]");
    assert_eq!(
        show(&seq::of_iter((0..3).map(|n| 1 / n)).next().map(|_| ())),
        "panic attempt to divide by zero"
    );
    assert_eq!(show(&seq::ready(1).map(|_| -> i32 { panic!("map") }).to_list()), "panic map");
    assert_eq!(show(&seq::ready(1).fold_left(0, |_, _| panic!("fold"))), "panic fold");
}

#[test]
fn a_cancel_goes_to_the_step_in_progress() {
    type Asked = Rc<RefCell<Vec<Resolver<i32>>>>;
    let reads: Vec<(&str, fn(&Seq<i32>) -> Promise<()>)> = vec![
        ("next", |s| s.next().map(|_| ())),
        ("to_list", |s| s.to_list().map(|_| ())),
        ("iter_s", |s| s.iter_s(|_| Promise::ready(()))),
        ("iter_n", |s| s.iter_n(2, |_| Promise::ready(()))),
        ("map", |s| s.clone().map(|n| n).next().map(|_| ())),
        ("filter", |s| s.clone().filter(|_| true).next().map(|_| ())),
        ("append", |s| seq::empty().append(s.clone()).next().map(|_| ())),
        ("flat_map", |s| s.clone().flat_map(seq::ready).next().map(|_| ())),
    ];
    for (name, read) in reads {
        let asked: Asked = Rc::default();
        let s = seq::unfold_s(0, {
            let asked = asked.clone();
            move |n| {
                let (p, r) = task();
                asked.borrow_mut().push(r);
                p.map(move |v| (n < 2).then_some((v, n + 1)))
            }
        });
        let p = read(&s);
        p.cancel();
        assert_eq!(show(&p), "canceled", "{name}");
        assert!(!asked.borrow()[0].is_wanted(), "{name}");
        let all = s.to_list();
        for n in 0..3 {
            let r = asked.borrow_mut().pop().expect("asked");
            r.wakeup(n);
        }
        assert_eq!(show(&all), "ok [0, 1]", "{name}: the sequence is what it was");
    }
    let (p, r) = task::<i32>();
    let s = seq::of_promise(p);
    s.to_list().cancel();
    r.wakeup(1);
    assert_eq!(show(&s.to_list()), "ok [1]", "a promise that is an element is not cancelled");
}

#[test]
fn iter_n_keeps_its_bound_and_reports_the_first_failure() {
    let running: Rc<RefCell<Vec<Resolver<()>>>> = Rc::default();
    let forced = Rc::new(Cell::new(0));
    let s = seq::of_iter(0..10).map({
        let forced = forced.clone();
        move |n| {
            forced.set(forced.get() + 1);
            n
        }
    });
    let p = s.iter_n(3, {
        let running = running.clone();
        move |_| {
            let (p, r) = task();
            running.borrow_mut().push(r);
            p
        }
    });
    let take = || running.borrow_mut().remove(0);
    assert_eq!((running.borrow().len(), forced.get()), (3, 3));
    take().wakeup(());
    assert_eq!(forced.get(), 4);
    take().wakeup_err(Error::msg("first"));
    take().wakeup_err(Error::msg("second"));
    assert_eq!(show(&p), "pending");
    take().wakeup(());
    assert_eq!(show(&p), "error first");
    assert_eq!(forced.get(), 4);
}

#[test]
fn what_was_read_is_freed() {
    let drops = Drops::new();
    let tokens: Vec<_> = (0..3).map(|_| Rc::new(drops.token())).collect();
    let s = seq::of_list(tokens).cons(Rc::new(drops.token()));
    let p = s.iter(drop);
    assert_eq!(show(&p), "ok ()");
    assert_eq!(drops.count(), 0, "it can be read again");
    drop(s);
    assert_eq!(drops.count(), 4);
}

#[test]
fn long_sequences_need_no_stack() {
    on_small_stack(|| {
        let many = heavy(1_000_000, 100_000, 300);
        let s = seq::of_iter(0..many).filter(move |n| *n == many - 1).map(|n| n + 1);
        assert_eq!(show(&s.fold_left(0, |a, n| a + n)), format!("ok {many}"));
        let s = seq::of_iter(0..many).flat_map(|_| seq::empty::<()>());
        assert_eq!(show(&s.to_list()), "ok []");
        let mut s = seq::empty();
        for n in 0..many {
            s = s.cons(n);
        }
        assert_eq!(show(&s.fold_left(0, |a, _| a + 1)), format!("ok {many}"));
        drop(s);
        let few = many / 100;
        let p = seq::of_iter(0..few).map_s(|n| pause().map(move |()| n)).fold_left(0, |a, _| a + 1);
        while p.is_pending() {
            scheduler::wakeup_paused();
        }
        assert_eq!(show(&p), format!("ok {few}"));
    });
}
