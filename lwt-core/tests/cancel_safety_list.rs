//! Every function over lists and sequences, given up at each point where it waits: a cancel goes to all that
//! is pending, and no item is taken that was not given to the function; a drop stops nothing.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::cell::Cell;
use std::rc::Rc;

use common::{show, spin, watchdog};
use lwt_core::list::{self, Parallel};
use lwt_core::seq::{self, Seq};
use lwt_core::{Promise, spawn};
use streams::Desk;

const ITEMS: i32 = if cfg!(miri) { 2 } else { 4 };

/// The numbers from 0, which say how many were taken.
struct Items(Rc<Cell<i32>>);

impl Iterator for Items {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        let n = self.0.get();
        (n < ITEMS).then(|| self.0.replace(n + 1))
    }
}

fn ok_all() -> String {
    format!("ok {:?}", (0..ITEMS).collect::<Vec<_>>())
}

/// How a function goes through its items.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Serial,
    /// Two at a time.
    Bounded,
    AllAtOnce,
}

type Call = fn(Items, Desk) -> Promise<()>;

fn functions() -> Vec<(&'static str, Form, Call)> {
    use Form::{AllAtOnce, Bounded, Serial};
    fn yes<T>(desk: Desk) -> impl FnMut(T) -> Promise<bool> + 'static
    where
        T: std::borrow::Borrow<i32>,
    {
        move |n| desk.ask(*n.borrow()).map(|()| true)
    }
    vec![
        ("iter_s", Serial, |i, d| list::iter_s(i, move |n| d.ask(n))),
        ("iteri_s", Serial, |i, d| list::iteri_s(i, move |_, n| d.ask(n))),
        ("map_s", Serial, |i, d| list::map_s(i, move |n| d.ask(n)).map(drop)),
        ("mapi_s", Serial, |i, d| list::mapi_s(i, move |_, n| d.ask(n)).map(drop)),
        ("rev_map_s", Serial, |i, d| list::rev_map_s(i, move |n| d.ask(n)).map(drop)),
        ("fold_left_s", Serial, |i, d| list::fold_left_s(i, (), move |(), n| d.ask(n))),
        ("for_all_s", Serial, |i, d| list::for_all_s(i, yes(d)).map(drop)),
        ("exists_s", Serial, |i, d| list::exists_s(i, move |n| d.ask(n).map(|()| false)).map(drop)),
        ("find_s", Serial, |i, d| list::find_s(i, move |n| d.ask(*n).map(|()| false)).map(drop)),
        ("filter_s", Serial, |i, d| list::filter_s(i, move |n| d.ask(*n).map(|()| true)).map(drop)),
        ("filter_map_s", Serial, |i, d| list::filter_map_s(i, move |n| d.ask(n).map(Some)).map(drop)),
        ("partition_s", Serial, |i, d| list::partition_s(i, move |n| d.ask(*n).map(|()| true)).map(drop)),
        ("iter_p", AllAtOnce, |i, d| list::iter_p(i, move |n| d.ask(n))),
        ("iteri_p", AllAtOnce, |i, d| list::iteri_p(i, move |_, n| d.ask(n))),
        ("map_p", AllAtOnce, |i, d| list::map_p(i, move |n| d.ask(n)).map(drop)),
        ("mapi_p", AllAtOnce, |i, d| list::mapi_p(i, move |_, n| d.ask(n)).map(drop)),
        ("rev_map_p", AllAtOnce, |i, d| list::rev_map_p(i, move |n| d.ask(n)).map(drop)),
        ("for_all_p", AllAtOnce, |i, d| list::for_all_p(i, yes(d)).map(drop)),
        ("exists_p", AllAtOnce, |i, d| list::exists_p(i, yes(d)).map(drop)),
        ("filter_p", AllAtOnce, |i, d| list::filter_p(i, move |n| d.ask(*n).map(|()| true)).map(drop)),
        ("filter_map_p", AllAtOnce, |i, d| list::filter_map_p(i, move |n| d.ask(n).map(Some)).map(drop)),
        ("partition_p", AllAtOnce, |i, d| list::partition_p(i, move |n| d.ask(*n).map(|()| true)).map(drop)),
        ("iter_n", Bounded, |i, d| list::iter_n(2, i, move |n| d.ask(n))),
        ("iteri_n", Bounded, |i, d| list::iteri_n(2, i, move |_, n| d.ask(n))),
        ("map_n", Bounded, |i, d| list::map_n(2, i, move |n| d.ask(n)).map(drop)),
        ("mapi_n", Bounded, |i, d| list::mapi_n(2, i, move |_, n| d.ask(n)).map(drop)),
        ("rev_map_n", Bounded, |i, d| list::rev_map_n(2, i, move |n| d.ask(n)).map(drop)),
        ("for_all_n", Bounded, |i, d| list::for_all_n(2, i, yes(d)).map(drop)),
        ("exists_n", Bounded, |i, d| list::exists_n(2, i, yes(d)).map(drop)),
        ("filter_n", Bounded, |i, d| list::filter_n(2, i, move |n| d.ask(*n).map(|()| true)).map(drop)),
        ("filter_map_n", Bounded, |i, d| list::filter_map_n(2, i, move |n| d.ask(n).map(Some)).map(drop)),
        ("partition_n", Bounded, |i, d| list::partition_n(2, i, move |n| d.ask(*n).map(|()| true)).map(drop)),
        ("cancel_rest", Bounded, |i, d| Parallel::at_most(2).cancel_rest().iter(i, move |n| d.ask(n))),
        ("cancel_rest, all", AllAtOnce, |i, d| {
            Parallel::unbounded().cancel_rest().iter(i, move |n| d.ask(n))
        }),
        ("in a task", Serial, |i, d| spawn(async move { list::iter_s(i, move |n| d.ask(n)).await })),
        ("iter_n in a task", Bounded, |i, d| {
            spawn(async move { list::iter_n(2, i, move |n| d.ask(n)).await })
        }),
    ]
}

/// Begins, and answers the first `answered` items.
fn begin(call: Call, answered: i32) -> (Promise<()>, Rc<Cell<i32>>, Desk) {
    let (taken, desk) = (Rc::new(Cell::new(0)), Desk::default());
    let p = call(Items(taken.clone()), desk.clone());
    (0..answered).for_each(|n| desk.answer(n));
    spin();
    assert!(p.is_pending());
    (p, taken, desk)
}

fn begun(form: Form, answered: i32) -> Vec<i32> {
    let most = match form {
        Form::Serial => 1,
        Form::Bounded => 2,
        Form::AllAtOnce => ITEMS,
    };
    (answered..ITEMS.min(answered + most)).collect()
}

#[test]
fn a_list_cancelled_at_each_point() {
    let _watchdog = watchdog();
    for (name, form, call) in functions() {
        for answered in 0..ITEMS {
            let (p, taken, desk) = begin(call, answered);
            let under_way = begun(form, answered);
            assert_eq!(desk.asked(), under_way, "{name} at {answered}");
            p.cancel();
            spin();
            assert_eq!(show(&p), "canceled", "{name} at {answered}");
            assert_eq!(desk.asked(), [], "{name} at {answered}: the cancel goes to all");
            let all = answered + under_way.len() as i32;
            assert_eq!(taken.get(), all, "{name} at {answered}: what was taken was begun");
        }
    }
}

#[test]
fn a_list_dropped_at_each_point_goes_on() {
    let _watchdog = watchdog();
    for (name, _, call) in functions() {
        for answered in 0..ITEMS {
            let (p, taken, desk) = begin(call, answered);
            drop(p);
            for n in answered..ITEMS {
                desk.answer(n);
                spin();
            }
            assert_eq!(taken.get(), ITEMS, "{name} at {answered}");
        }
    }
}

#[test]
fn a_fold_from_the_right() {
    for answered in 0..ITEMS {
        let desk = Desk::default();
        let theirs = desk.clone();
        let p = list::fold_right_s(0..ITEMS, (), move |n, ()| theirs.ask(n));
        for n in 0..answered {
            desk.answer(ITEMS - 1 - n);
        }
        assert_eq!(desk.asked(), [ITEMS - 1 - answered]);
        p.cancel();
        assert_eq!((show(&p), desk.asked()), ("canceled".into(), vec![]));
    }
}

// ---- sequences ----

type Read = fn(Seq<i32>) -> Promise<()>;

/// Reads to the end; but for `next`, which is as good as its first step.
fn reads() -> Vec<(&'static str, Read)> {
    vec![
        ("to_list", |s| s.to_list().map(drop)),
        ("fold_left", |s| s.fold_left(0, |a, n| a + n).map(drop)),
        ("fold_left_s", |s| s.fold_left_s(0, |a, n| Promise::ready(a + n)).map(drop)),
        ("iter", |s| s.iter(drop)),
        ("iter_s", |s| s.iter_s(|_| Promise::ready(()))),
        ("iter_p", |s| s.iter_p(|_| Promise::ready(()))),
        ("iter_n", |s| s.iter_n(2, |_| Promise::ready(()))),
        ("map", |s| s.map(|n| n).iter(drop)),
        ("map_s", |s| s.map_s(Promise::ready).iter(drop)),
        ("filter", |s| s.filter(|_| true).iter(drop)),
        ("filter, none", |s| s.filter(|_| false).iter(drop)),
        ("filter_s", |s| s.filter_s(|_| Promise::ready(true)).iter(drop)),
        ("filter_map", |s| s.filter_map(Some).iter(drop)),
        ("filter_map_s", |s| s.filter_map_s(|n| Promise::ready(Some(n))).iter(drop)),
        ("flat_map", |s| s.flat_map(seq::ready).iter(drop)),
        ("append", |s| seq::ready(0).append(s).append(seq::empty()).iter(drop)),
        ("cons", |s| s.cons(0).cons_promise(Promise::ready(1)).iter(drop)),
        ("of_seq", |s| lwt_core::stream::of_seq(s).to_list().map(drop)),
        ("in a task", |s| {
            spawn(async move {
                let mut at = s;
                while let Some((_, rest)) = at.next().await? {
                    at = rest;
                }
                Ok::<_, lwt_core::Error>(())
            })
        }),
    ]
}

/// A sequence whose steps are answered at the desk.
fn by_desk(desk: &Desk) -> Seq<i32> {
    let desk = desk.clone();
    seq::unfold_s(0, move |n| desk.ask(n).map(move |()| (n < ITEMS).then_some((n, n + 1))))
}

#[test]
fn a_sequence_given_up_at_each_step_is_what_it_was() {
    let _watchdog = watchdog();
    for (name, read) in reads() {
        for (step, cancel) in (0..=ITEMS).flat_map(|step| [(step, false), (step, true)]) {
            let desk = Desk::default();
            let s = by_desk(&desk);
            let p = read(s.clone());
            for n in 0..step {
                desk.answer(n);
                spin();
            }
            assert_eq!(desk.asked(), [step], "{name} at {step}");
            if cancel {
                p.cancel();
                spin();
                assert_eq!(show(&p), "canceled", "{name} at {step}");
                if name == "of_seq" {
                    drop(desk.take(step)); // the step goes on, for the next reader
                }
                assert_eq!(desk.asked(), [], "{name} at {step}");
            }
            drop(p);
            let all = s.to_list();
            (0..=ITEMS).for_each(|n| desk.answer(n));
            assert_eq!(show(&all), ok_all(), "{name} at {step}");
        }
    }
}

/// A function that takes its time over a sequence that does not.
#[test]
fn a_function_over_a_sequence_given_up_at_each_element() {
    let _watchdog = watchdog();
    type Over = (&'static str, Form, fn(Seq<i32>, Desk) -> Promise<()>);
    let all: [Over; 7] = [
        ("iter_s", Form::Serial, |s, d| s.iter_s(move |n| d.ask(n))),
        ("iter_n", Form::Bounded, |s, d| s.iter_n(2, move |n| d.ask(n))),
        ("iter_p", Form::AllAtOnce, |s, d| s.iter_p(move |n| d.ask(n))),
        ("fold_left_s", Form::Serial, |s, d| s.fold_left_s((), move |(), n| d.ask(n))),
        ("map_s", Form::Serial, |s, d| s.map_s(move |n| d.ask(n)).iter(drop)),
        ("filter_s", Form::Serial, |s, d| s.filter_s(move |n| d.ask(*n).map(|()| true)).iter(drop)),
        ("filter_map_s", Form::Serial, |s, d| s.filter_map_s(move |n| d.ask(n).map(Some)).iter(drop)),
    ];
    for (name, form, read) in all {
        for answered in 0..ITEMS {
            let (taken, desk) = (Rc::new(Cell::new(0)), Desk::default());
            let counts = taken.clone();
            let s = seq::of_iter(0..ITEMS).map(move |n| {
                counts.set(counts.get() + 1);
                n
            });
            let p = read(s.clone(), desk.clone());
            (0..answered).for_each(|n| desk.answer(n));
            let under_way = begun(form, answered);
            assert_eq!(desk.asked(), under_way, "{name} at {answered}");
            p.cancel();
            assert_eq!((show(&p), desk.asked()), ("canceled".into(), vec![]), "{name} at {answered}");
            assert_eq!(taken.get(), answered + under_way.len() as i32, "{name}: what was forced was begun");
            assert_eq!(show(&s.to_list()), ok_all(), "{name} at {answered}");
        }
    }
}
