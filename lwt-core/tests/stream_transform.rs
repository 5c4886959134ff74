//! Streams made from streams, and what reads streams to their end.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Log, heavy, on_small_stack, show, spin};
use lwt_core::stream::{self, Push, Stream};
use lwt_core::{Error, Promise, pause, scheduler};
use streams::Desk;

type Made = Stream<String>;

type Transformer = (&'static str, fn(Stream<i32>) -> Made, &'static [&'static str]);

/// Every transformer, made of a stream, and what it makes of 1, 2, 3.
fn transformers() -> Vec<Transformer> {
    fn text(n: i32) -> String {
        n.to_string()
    }
    vec![
        ("map", |s| s.map(text), &["1", "2", "3"]),
        ("map_s", |s| s.map_s(|n| Promise::ready(text(n))), &["1", "2", "3"]),
        ("filter", |s| s.filter(|n| *n != 2).map(text), &["1", "3"]),
        ("filter_s", |s| s.filter_s(|n| Promise::ready(*n != 2)).map(text), &["1", "3"]),
        ("filter_map", |s| s.filter_map(|n| (n != 2).then(|| text(n))), &["1", "3"]),
        ("filter_map_s", |s| s.filter_map_s(|n| Promise::ready((n > 1).then(|| text(n)))), &["2", "3"]),
        ("map_n", |s| s.map_n(2, |n| Promise::ready(text(n))), &["1", "2", "3"]),
        ("map_p", |s| s.map_p(|n| Promise::ready(text(n))), &["1", "2", "3"]),
        ("filter_n", |s| s.filter_n(1, |n| Promise::ready(*n != 2)).map(text), &["1", "3"]),
        ("filter_p", |s| s.filter_p(|n| Promise::ready(*n != 2)).map(text), &["1", "3"]),
        ("filter_map_n", |s| s.filter_map_n(9, |n| Promise::ready((n > 1).then(|| text(n)))), &["2", "3"]),
        ("filter_map_p", |s| s.filter_map_p(|n| Promise::ready((n > 1).then(|| text(n)))), &["2", "3"]),
        ("map_list", |s| s.map_list(|n| vec![text(n); n as usize - 1]), &["2", "3", "3"]),
        (
            "map_list_s",
            |s| s.map_list_s(|n| Promise::ready(vec![text(n), text(-n)])),
            &["1", "-1", "2", "-2", "3", "-3"],
        ),
        ("flatten", |s| s.map(|n| Some(n).filter(|n| *n != 1)).flatten().map(text), &["2", "3"]),
        ("append", |s| stream::of_list([0]).append(s).map(text), &["0", "1", "2", "3"]),
        ("append to", |s| s.append(stream::of_list([0])).map(text), &["1", "2", "3", "0"]),
        (
            "concat",
            |s| stream::of_list([stream::of_list([]), s, stream::ready(4)]).concat().map(text),
            &["1", "2", "3", "4"],
        ),
        ("choose", |s| stream::choose([stream::of_list([]), s]).map(text), &["1", "2", "3"]),
        ("combine", |s| s.combine(stream::of_iter(10..)).map(|(a, b)| text(a * b)), &["10", "22", "36"]),
        ("combine with", |s| stream::of_iter(10..).combine(s).map(|(a, b)| text(a * b)), &["10", "22", "36"]),
        ("wrap_err", |s| s.wrap_err().map(|r| text(r.unwrap_or(0))), &["1", "2", "3"]),
        ("clone", |s| s.clone().map(text), &["1", "2", "3"]),
        ("of_futures", |s| stream::of_futures(s).map(|r| text(r.unwrap_or(0))), &["1", "2", "3"]),
        ("of_try_futures", |s| stream::of_try_futures(s).map(text), &["1", "2", "3"]),
    ]
}

fn ok(made: &[&str]) -> String {
    format!("ok {made:?}")
}

#[test]
fn elements_that_are_there() {
    for (name, make, made) in transformers() {
        assert_eq!(show(&make(stream::of_list([1, 2, 3])).to_list()), ok(made), "{name}");
    }
}

#[test]
fn elements_that_come_later() {
    for (name, make, made) in transformers() {
        let (s, push) = stream::create();
        let all = make(s).to_list();
        for n in 1..=3 {
            push.push(n).expect("open");
            spin();
        }
        assert_eq!(show(&all), "pending", "{name}");
        push.close();
        spin();
        assert_eq!(show(&all), ok(made), "{name}");
    }
}

#[test]
fn transformers_take_nothing_before_they_are_asked() {
    for (name, make, _) in transformers() {
        let (s, push) = stream::create();
        push.push(1).expect("open");
        let made = make(s.share());
        assert_eq!(s.get_available(), [1], "{name}");
        drop((made, push));
    }
}

#[test]
fn a_reader_that_gives_up_leaves_the_element_for_the_next() {
    for (name, make, made) in transformers() {
        let (s, push) = stream::create();
        let s = make(s);
        let first = s.get();
        if !first.is_pending() {
            continue; // what it began with was there
        }
        let second = s.get();
        first.cancel();
        drop(second);
        for n in 1..=3 {
            push.push(n).expect("open");
            spin();
        }
        push.close();
        let all = s.to_list();
        spin();
        assert_eq!(show(&all), ok(made), "{name}");
    }
}

#[test]
fn a_stream_dropped_while_it_waits_takes_nothing_from_the_one_below() {
    for (name, make, _) in transformers() {
        let (s, push) = stream::create();
        let made = make(s.share());
        let all = made.to_list();
        spin();
        drop(made);
        drop(all);
        spin();
        push.push(1).expect("open");
        spin();
        assert_eq!(s.get_available(), [1], "{name}");
    }
}

#[test]
fn errors_pass_through_and_the_stream_goes_on() {
    for (name, make, made) in transformers() {
        let mut n = 0;
        let s = stream::from(move || {
            n += 1;
            match n {
                2 => Promise::fail(Error::msg("below")),
                5 => Promise::ready(None),
                _ => Promise::ready(Some(n - n / 3 - n / 4 * (n % 4 == 0) as i32 + (n == 4) as i32)),
            }
        });
        let s = make(s);
        let mut outcomes = Vec::new();
        loop {
            let got = s.get();
            spin();
            match show(&got).as_str() {
                "ok None" => break,
                outcome => outcomes.push(outcome.to_owned()),
            }
        }
        let failed = outcomes.iter().filter(|o| o.starts_with("error below")).count();
        if name == "wrap_err" || name == "of_futures" {
            assert!(outcomes.contains(&"ok Some(\"0\")".to_owned()), "{name}: {outcomes:?}");
        } else {
            assert_eq!(failed, 1, "{name}: {outcomes:?}");
            assert!(outcomes.len() > made.len() / 2, "{name}: {outcomes:?}");
            assert!(!outcomes.last().expect("some").starts_with("error"), "{name}: {outcomes:?}");
        }
    }
}

#[test]
fn errors_of_the_function_take_the_place_of_the_element() {
    let s = stream::of_list([1, 2, 3])
        .map_s(|n| if n == 2 { Promise::fail(Error::msg("two")) } else { Promise::ready(n) });
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert_eq!(show(&s.get()), "error two");
    assert_eq!(show(&s.get()), "ok Some(3)");
    let s = stream::of_list([1, 2]).map(|n| if n == 1 { panic!("one") } else { n });
    assert_eq!(show(&s.get()), "panic one");
    assert_eq!(show(&s.get()), "ok Some(2)");
    assert_eq!(show(&s.get()), "ok None");
}

#[test]
fn map_s_runs_one_at_a_time_and_is_cancelled_with_its_stream() {
    let desk = Desk::default();
    let mapped = stream::of_list([1, 2, 3]).map_s({
        let desk = desk.clone();
        move |n| desk.ask(n).map(move |()| n)
    });
    let (a, b) = (mapped.get(), mapped.get());
    assert_eq!(desk.asked(), [1]);
    a.cancel();
    assert_eq!(desk.asked(), [1], "the element goes to the next reader");
    desk.answer(1);
    assert_eq!(show(&b), "ok Some(1)");
    let c = mapped.get();
    assert_eq!(desk.asked(), [2]);
    drop((c, mapped));
    assert_eq!(desk.asked(), []);
}

#[test]
fn combine_leaves_what_the_longer_one_has() {
    let (a, b) = (stream::of_list([1, 2, 3]), stream::of_list(['x']));
    assert_eq!(show(&a.share().combine(b).to_list()), "ok [(1, 'x')]");
    assert_eq!(show(&a.to_list()), "ok [2, 3]");
    let ((a, push_a), (b, push_b)) = (stream::create(), stream::create());
    let both = a.share().combine(b.share());
    let first = both.get();
    push_a.push(1).expect("open");
    assert_eq!(show(&first), "pending");
    drop((first, both));
    assert_eq!(a.get_available(), [1], "it took nothing before both were there");
    push_b.push('x').expect("open");
    assert_eq!(b.get_available(), ['x']);
}

#[test]
fn choose_takes_turns_and_ends_with_the_last() {
    let (streams, pushes): (Vec<Stream<i32>>, Vec<Push<i32>>) = (0..3).map(|_| stream::create()).unzip();
    let merged = stream::choose(streams.iter().map(Stream::share));
    let first = merged.get();
    pushes[2].push(20).expect("open");
    assert_eq!(show(&first), "ok Some(20)");
    for n in 0..2 {
        for (k, push) in pushes.iter().enumerate() {
            push.push(k as i32 * 10 + n).expect("open");
        }
    }
    assert_eq!(merged.get_available(), [0, 10, 20, 1, 11, 21]);
    let waiting = merged.get();
    pushes[0].close();
    assert_eq!(show(&waiting), "pending");
    drop(pushes);
    assert_eq!(show(&waiting), "ok None");
    assert_eq!(show(&stream::choose(Vec::<Stream<i32>>::new()).get()), "ok None");
}

// ---- to the end ----

#[test]
fn folds_and_iterations() {
    let log = Log::new();
    let note = || {
        let log = log.clone();
        move |n: i32| log.add(n)
    };
    let s = || stream::of_list([1, 2, 3]);
    assert_eq!(show(&s().fold(0, |a, n| a * 10 + n)), "ok 123");
    assert_eq!(show(&s().fold_s(0, |a, n| pause().map(move |()| a * 10 + n))), "pending");
    assert_eq!(show(&s().iter(note())), "ok ()");
    assert_eq!(log.take(), "1 2 3");
    assert_eq!(show(&s().find_map(|n| (n > 1).then_some(n * 2))), "ok Some(4)");
    assert_eq!(show(&s().fold(0, |a, n| if n == 2 { panic!("two") } else { a + n })), "panic two");
}

#[test]
fn iter_s_is_one_at_a_time_and_a_cancel_goes_on_to_it() {
    let desk = Desk::default();
    let (s, push) = stream::create();
    let p = s.iter_s({
        let desk = desk.clone();
        move |n| desk.ask(n)
    });
    for n in 1..=3 {
        push.push(n).expect("open");
    }
    assert_eq!(desk.asked(), [1]);
    desk.answer(1);
    assert_eq!(desk.asked(), [2]);
    p.cancel();
    assert_eq!(show(&p), "canceled");
    assert_eq!(desk.asked(), []);
    assert_eq!(s.get_available(), [3]);
}

#[test]
fn iter_n_keeps_its_bound_and_iter_p_has_none() {
    for (limit, many) in [(1, 1), (2, 2), (9, 5), (usize::MAX, 5)] {
        let desk = Desk::default();
        let most = Rc::new(Cell::new(0));
        let p = stream::of_list([1, 2, 3, 4, 5]).iter_n(limit, {
            let (desk, most) = (desk.clone(), most.clone());
            move |n| {
                let p = desk.ask(n);
                most.set(most.get().max(desk.asked().len()));
                p
            }
        });
        assert_eq!(desk.asked().len(), many);
        while let Some(last) = desk.asked().pop() {
            assert!(p.is_pending());
            desk.answer(last);
        }
        assert_eq!(show(&p), "ok ()");
        assert_eq!(most.get(), many);
    }
}

#[test]
fn iter_p_reports_the_first_failure_in_time_and_takes_no_more() {
    let desk = Desk::default();
    let (s, push) = stream::create();
    let p = s.iter_p({
        let desk = desk.clone();
        move |n| desk.ask(n)
    });
    for n in 1..=3 {
        push.push(n).expect("open");
    }
    assert_eq!(desk.asked(), [1, 2, 3]);
    desk.take(2).wakeup_err(Error::msg("two"));
    assert!(p.is_pending(), "the others are still running");
    desk.take(1).wakeup(());
    push.push(4).expect("open");
    assert_eq!(desk.asked(), [3]);
    desk.answer(3);
    assert_eq!(show(&p), "error two");
    assert_eq!(s.get_available(), [4]);
}

#[test]
fn a_cancel_of_iter_n_goes_to_all_and_waits_for_them() {
    let desk = Desk::default();
    let cleaned = Rc::new(Cell::new(0));
    let (s, push) = stream::create();
    let p = s.iter_n(3, {
        let (desk, cleaned) = (desk.clone(), cleaned.clone());
        move |n| {
            let (cleaned, desk) = (cleaned.clone(), desk.clone());
            desk.clone()
                .ask(n)
                .finalize(move || desk.ask(-n).no_cancel().map(move |()| cleaned.set(cleaned.get() + 1)))
        }
    });
    for n in 1..=2 {
        push.push(n).expect("open");
    }
    p.cancel();
    assert_eq!(show(&p), "pending");
    assert_eq!(desk.asked(), [-1, -2]);
    desk.answer(-1);
    desk.answer(-2);
    assert_eq!(show(&p), "canceled");
    assert_eq!(cleaned.get(), 2);
    push.push(3).expect("open");
    assert_eq!(s.get_available(), [3]);
}

#[test]
fn a_function_that_feeds_its_own_stream_is_not_entered_again() {
    let (s, push) = stream::create();
    push.push(3).expect("open");
    let log = Log::new();
    let p = s.iter_n(2, {
        let (log, push) = (log.clone(), RefCell::new(Some(push)));
        move |n| {
            log.add(format!("{n}("));
            match n {
                0 => drop(push.take()),
                _ => push.borrow().as_ref().expect("open").push(n - 1).expect("open"),
            }
            log.add(")");
            Promise::ready(())
        }
    });
    assert_eq!(show(&p), "ok ()");
    assert_eq!(log.take(), "3( ) 2( ) 1( ) 0( )");
    let (s, push) = stream::create();
    let p = s.iter({
        let log = log.clone();
        move |n: i32| {
            log.add(format!("{n}("));
            if n > 0 {
                push.push(n - 1).expect("open");
            }
            log.add(")");
        }
    });
    drop(p);
    let _ = (s, spin());
    assert_eq!(log.take(), "");
}

#[test]
fn functions_are_dropped_with_their_stream() {
    let drops = Drops::new();
    for (name, make, _) in transformers() {
        let token = drops.token();
        let mut n = 0;
        let below = stream::from_direct(move || {
            let _kept = &token;
            n += 1;
            Some(n)
        });
        let before = drops.count();
        let made = make(below);
        let got = made.get();
        spin();
        assert!(!got.is_pending(), "{name}");
        drop(made);
        assert_eq!(drops.count(), before + 1, "{name}");
    }
}

#[test]
fn long_streams_run_on_a_small_stack() {
    on_small_stack(|| {
        let many = heavy(1_000_000, 100_000, 120);
        let mut n = 0;
        let s = stream::from_direct(move || {
            n += 1;
            (n <= many).then_some(n)
        });
        let p = s.filter(move |n| *n == many).map_list(|n| [n]).fold(0, |a, n| a + n);
        assert_eq!(show(&p), format!("ok {many}"));
        let mut n = 0;
        let s = stream::from(move || {
            n += 1;
            let more = (n <= many).then_some(n);
            if n % 100 == 0 { pause().map(move |()| more) } else { Promise::ready(more) }
        });
        let p = s.map_s(Promise::ready).iter_n(3, |_| Promise::ready(()));
        while p.is_pending() {
            scheduler::wakeup_paused();
        }
        assert_eq!(show(&p), "ok ()");
        let (s, push) = stream::create();
        for n in 0..many {
            push.push(n).expect("open");
        }
        let all = s.get_while(|_| true);
        push.close();
        assert_eq!(show(&all.map(|all| all.len())), format!("ok {many}"));
    });
}

// ---- text ----

#[test]
fn texts_and_dumps() {
    assert_eq!(show(&stream::of_string("grün").to_string()), "ok \"grün\"");
    let bytes: Vec<u8> = (b'a'..=b'z').chain([0, 255]).collect();
    let lines = stream::of_bytes(bytes).hexdump().to_list();
    let expected = [
        "00000000|  61 62 63 64 65 66 67 68  69 6a 6b 6c 6d 6e 6f 70 |abcdefghijklmnop|",
        "00000010|  71 72 73 74 75 76 77 78  79 7a 00 ff             |qrstuvwxyz..|",
    ];
    assert_eq!(show(&lines), format!("ok {expected:?}"));
}
