//! Streams: the transformers with several promises pending at once.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Rng, Unhandled, Unique, heavy, on_small_stack, show, watchdog};
use lwt_core::stream::{self, Stream};
use lwt_core::{Error, Promise, Resolver, pause, scheduler, task};
use streams::{Desk, of_range};

fn by_desk(desk: &Desk) -> impl FnMut(i32) -> Promise<i32> + use<> {
    let desk = desk.clone();
    move |n| desk.ask(n).map(move |()| n)
}

#[test]
fn in_order_and_within_the_bound() {
    let desk = Desk::default();
    let (below, _push) = of_range(6);
    let s = below.share().map_n(3, by_desk(&desk));
    assert_eq!(desk.asked(), [], "nothing is begun before it is asked");
    let (a, b) = (s.get(), s.get());
    assert_eq!(desk.asked(), [1, 2, 3]);
    desk.answer(3);
    desk.answer(2);
    assert_eq!((show(&a), show(&b)), ("pending".into(), "pending".into()));
    assert_eq!(desk.asked(), [1], "what nobody has read keeps its place");
    desk.answer(1);
    assert_eq!((show(&a), show(&b)), ("ok Some(1)".into(), "ok Some(2)".into()));
    assert_eq!(desk.asked(), [4], "begun for the second reader");
    assert_eq!(show(&s.get()), "ok Some(3)");
    assert_eq!(desk.asked(), [4, 5], "and for the third");
    assert_eq!(below.get_available(), [6]);
}

#[test]
fn what_comes_later_is_begun_while_somebody_waits() {
    for limit in [2, usize::MAX] {
        let desk = Desk::default();
        let (below, push) = stream::create();
        let s = below.map_n(limit, by_desk(&desk));
        let all = s.to_list();
        for n in 1..=4 {
            push.push(n).expect("open");
        }
        assert_eq!(desk.asked().len(), limit.min(4));
        push.close();
        while let Some(last) = desk.asked().pop() {
            assert!(all.is_pending());
            desk.answer(last);
        }
        assert_eq!(show(&all), "ok [1, 2, 3, 4]");
    }
}

#[test]
fn errors_take_the_place_of_their_elements() {
    let desk = Desk::default();
    let (below, push) = of_range(3);
    push.close();
    let s = below.map_n(3, by_desk(&desk));
    let first = s.get();
    desk.take(2).wakeup_err(Error::msg("two"));
    desk.answer(3);
    assert!(first.is_pending());
    desk.answer(1);
    assert_eq!(show(&first), "ok Some(1)");
    assert_eq!(show(&s.get()), "error two");
    assert_eq!(show(&s.get()), "ok Some(3)");
    assert_eq!(show(&s.get()), "ok None");
    let s = stream::of_list([1, 2]).map_n(2, |n| if n == 1 { panic!("one") } else { Promise::ready(n) });
    assert_eq!(show(&s.get()), "panic one");
    assert_eq!(show(&s.to_list()), "ok [2]");
}

#[test]
fn elements_need_not_be_clone_and_may_be_left_out() {
    let three = || stream::of_list([Unique(1), Unique(2), Unique(3)]);
    assert_eq!(
        show(&three().filter_p(|u| pause_then(u.0 != 2)).to_list()),
        "pending",
        "they take their time"
    );
    scheduler::wakeup_paused();
    let odd = three().filter_n(2, |u| pause_then(u.0 != 2)).to_list();
    (0..3).for_each(|_| scheduler::wakeup_paused());
    assert_eq!(show(&odd), "ok [Unique(1), Unique(3)]");
    let halves = stream::of_list(1..=4).filter_map_p(|n| pause_then((n % 2 == 0).then_some(n / 2))).to_list();
    scheduler::wakeup_paused();
    assert_eq!(show(&halves), "ok [1, 2]");
}

fn pause_then<T: 'static>(value: T) -> Promise<T> {
    pause().map(move |()| value)
}

#[test]
#[should_panic = "no place for an element"]
fn a_bound_of_zero() {
    drop(stream::of_list([1]).map_n(0, Promise::ready));
}

#[test]
fn a_reader_that_gives_up_leaves_all_for_the_next() {
    for cancel in [false, true] {
        let desk = Desk::default();
        let (below, push) = of_range(2);
        let s = below.map_n(3, by_desk(&desk));
        let given_up = s.get();
        if cancel {
            given_up.cancel();
        } else {
            drop(given_up);
        }
        assert_eq!(desk.asked(), [1, 2], "they go on");
        push.push(3).expect("open");
        desk.answer(2);
        desk.answer(1);
        let rest = s.nget(3);
        desk.answer(3);
        assert_eq!(show(&rest), "ok [1, 2, 3]");
    }
}

#[test]
fn all_is_cancelled_with_the_stream() {
    for waiting in [false, true] {
        let told = Unhandled::collect();
        let drops = Drops::new();
        let desk = Desk::default();
        let (below, push) = of_range(4);
        let s = below.share().map_n(3, {
            let (desk, token) = (desk.clone(), drops.token());
            move |n| {
                let _held = &token;
                desk.ask(n)
            }
        });
        let first = s.get();
        assert_eq!(desk.asked(), [1, 2, 3]);
        if waiting {
            drop(first);
        } else {
            desk.answer(1);
            assert_eq!(show(&first), "ok Some(())");
        }
        drop(s);
        assert_eq!(desk.asked(), [], "waiting: {waiting}");
        assert_eq!(drops.count(), 1);
        push.push(5).expect("open");
        assert_eq!(below.get_available(), [4, 5], "what was not begun stays below");
        assert_eq!(told.take(), "");
    }
}

#[test]
fn a_source_that_fails_or_ends_in_the_middle() {
    let asked: Rc<RefCell<Vec<Resolver<Option<i32>>>>> = Rc::default();
    let below = stream::from({
        let asked = asked.clone();
        move || {
            let (p, r) = task();
            asked.borrow_mut().push(r);
            p
        }
    });
    let desk = Desk::default();
    let s = below.map_p(by_desk(&desk));
    let all: Vec<_> = (0..4).map(|_| s.get()).collect();
    let next = || asked.borrow_mut().pop().expect("asked");
    next().wakeup(Some(1));
    next().wakeup_err(Error::msg("below"));
    next().wakeup(Some(2));
    next().wakeup(None);
    desk.answer(2);
    desk.answer(1);
    let shown: Vec<_> = all.iter().map(show).collect();
    assert_eq!(shown, ["ok Some(1)", "error below", "ok Some(2)", "ok None"]);
    assert!(s.is_closed());
}

/// In order, complete and within the bound, whatever the order of events.
#[test]
fn random_order() {
    let _watchdog = watchdog();
    for seed in 0..heavy(3000, 500, 4) as u64 {
        let mut rng = Rng(seed);
        let (bound, many) = (1 + rng.below(4), rng.below(20));
        let pending: Rc<RefCell<Vec<(usize, Resolver<usize>)>>> = Rc::default();
        let begun = Rc::new(Cell::new(0));
        let (below, push) = stream::create();
        let s: Stream<usize> = below.map_n(bound, {
            let (pending, begun, mut dice) = (pending.clone(), begun.clone(), rng.clone());
            move |n| {
                begun.set(begun.get() + 1);
                if dice.one_in(3) {
                    return Promise::ready(n);
                }
                let (p, r) = task();
                pending.borrow_mut().push((n, r));
                p
            }
        });
        let (mut pushed, mut read) = (0, 0);
        let mut waiting: Option<Promise<Option<usize>>> = None;
        loop {
            if let Some(got) = waiting.take_if(|p| !p.is_pending()) {
                if read == many {
                    assert_eq!(show(&got), "ok None", "seed {seed}");
                    break;
                }
                assert_eq!(show(&got), format!("ok Some({read})"), "seed {seed}");
                read += 1;
            }
            match rng.below(4) {
                0 if pushed < many => {
                    push.push(pushed).expect("open");
                    pushed += 1;
                }
                0 => drop(push.close()),
                1 if waiting.is_none() => waiting = Some(s.get()),
                2 if rng.one_in(3) => {
                    if let Some(p) = waiting.take_if(|p| p.is_pending()) {
                        p.cancel();
                    }
                }
                _ => {
                    let next = {
                        let mut pending = pending.borrow_mut();
                        let many = pending.len();
                        (many > 0).then(|| pending.swap_remove(rng.below(many)))
                    };
                    if let Some((n, resolver)) = next {
                        resolver.wakeup(n);
                    }
                }
            }
            assert!(begun.get() <= read + bound + 1, "seed {seed}");
        }
    }
}

#[test]
fn long_streams_on_a_small_stack() {
    let _watchdog = watchdog();
    on_small_stack(|| {
        let many = heavy(300_000, 50_000, 200);
        let s = stream::of_iter(0..many).map_n(8, Promise::ready).filter_n(3, |n| Promise::ready(n % 2 == 0));
        assert_eq!(show(&s.fold(0, |n, _| n + 1)), format!("ok {}", many / 2));
        let all = stream::of_iter(0..many / 10).map_p(pause_then).to_list();
        while all.is_pending() {
            scheduler::wakeup_paused();
        }
        assert_eq!(show(&all.map(|all| all.len())), format!("ok {}", many / 10));
    });
}
