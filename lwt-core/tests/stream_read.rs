//! Streams: reading, looking, throwing away, searching; what cancelled and dropped reads leave.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::cell::RefCell;
use std::rc::Rc;

use common::show;
use lwt_core::stream::{self, Empty, Stream};
use lwt_core::{Error, Promise, Resolver, task};
use streams::{is, of_range};

// ---- several readers ----

#[test]
fn waiting_readers_get_different_elements_in_order() {
    let (s, push) = stream::create();
    let got: Vec<_> = (0..3).map(|_| s.get()).collect();
    let peeked = s.peek();
    for n in 1..=3 {
        push.push(n).expect("open");
    }
    assert_eq!(got.iter().map(show).collect::<Vec<_>>(), ["ok Some(1)", "ok Some(2)", "ok Some(3)"]);
    assert_eq!(show(&peeked), "pending");
    push.push(4).expect("open");
    assert_eq!(show(&peeked), "ok Some(4)");
    assert_eq!(show(&s.get()), "ok Some(4)");
}

#[test]
fn peeks_share() {
    let (s, push) = stream::create();
    let (a, b, c, d) = (s.peek(), s.peek(), s.is_empty(), s.get());
    push.push(1).expect("open");
    assert_eq!((show(&a), show(&b)), ("ok Some(1)".into(), "ok Some(1)".into()));
    assert_eq!((show(&c), show(&d)), ("ok false".into(), "ok Some(1)".into()));
    let (a, c) = (s.peek(), s.is_empty());
    push.close();
    assert_eq!((show(&a), show(&c)), ("ok None".into(), "ok true".into()));
}

#[test]
fn a_cancelled_or_dropped_get_loses_nothing() {
    let (s, push) = stream::create();
    let (a, b, c, d) = (s.get(), s.get(), s.get(), s.get());
    a.cancel();
    drop(b);
    push.push(1).expect("open");
    assert_eq!(show(&a), "canceled");
    assert_eq!(show(&c), "ok Some(1)", "another reader is not disturbed");
    d.cancel();
    push.push(2).expect("open");
    assert_eq!(show(&s.get()), "ok Some(2)");
}

#[test]
fn a_reader_that_gives_up_inside_a_callback() {
    let (s, push) = stream::create();
    let (a, b, c) = (s.get(), s.get(), s.get());
    let b = Rc::new(RefCell::new(Some(b)));
    a.on_success({
        let b = b.clone();
        move |_| drop(b.take())
    });
    push.push(1).expect("open");
    push.push(2).expect("open");
    assert_eq!((show(&a), show(&c)), ("ok Some(1)".into(), "ok Some(2)".into()));
}

// ---- each reading function, given up while it waits ----

type Read = fn(&Stream<i32>) -> Promise<String>;

fn text_of<T: std::fmt::Debug + 'static>(p: Promise<T>) -> Promise<String> {
    // A cell of its own, so that the drop of what is made is the drop of the read.
    p.map(|v| format!("{v:?}"))
}

/// Reading functions, and what each says and leaves of 1, 2, 3, the end.
fn reads() -> Vec<(&'static str, Read, &'static str, &'static str)> {
    vec![
        ("get", |s| text_of(s.get()), "Some(1)", "[2, 3]"),
        ("next", |s| text_of(s.next()), "1", "[2, 3]"),
        ("nget", |s| text_of(s.nget(2)), "[1, 2]", "[3]"),
        ("nget 0", |s| text_of(s.nget(0)), "[]", "[1, 2, 3]"),
        ("nget more", |s| text_of(s.nget(9)), "[1, 2, 3]", "[]"),
        ("get_while", |s| text_of(s.get_while(|n| *n < 3)), "[1, 2]", "[3]"),
        ("get_while_s", |s| text_of(s.get_while_s(|n| Promise::ready(*n < 2))), "[1]", "[2, 3]"),
        ("to_list", |s| text_of(s.to_list()), "[1, 2, 3]", "[]"),
        ("peek", |s| text_of(s.peek()), "Some(1)", "[1, 2, 3]"),
        ("npeek", |s| text_of(s.npeek(2)), "[1, 2]", "[1, 2, 3]"),
        ("is_empty", |s| text_of(s.is_empty()), "false", "[1, 2, 3]"),
        ("junk", |s| text_of(s.junk()), "()", "[2, 3]"),
        ("njunk", |s| text_of(s.njunk(2)), "()", "[3]"),
        ("junk_while", |s| text_of(s.junk_while(|n| *n < 3)), "()", "[3]"),
        ("find", |s| text_of(s.find(|n| *n == 2)), "Some(2)", "[3]"),
        ("find nothing", |s| text_of(s.find(|n| *n == 9)), "None", "[]"),
        ("find_map", |s| text_of(s.find_map(|n| (n == 2).then_some('b'))), "Some('b')", "[3]"),
        ("fold", |s| text_of(s.fold(0, |sum, n| sum + n)), "6", "[]"),
        ("parse", |s| text_of(s.parse(|s| s.nget(2))), "[1, 2]", "[3]"),
    ]
}

#[test]
fn reading_what_is_there() {
    for (name, read, said, left) in reads() {
        let (s, push) = of_range(3);
        push.close();
        assert_eq!(show(&read(&s)), format!("ok {said:?}"), "{name}");
        assert_eq!(show(&s.to_list()), format!("ok {left}"), "{name}");
    }
}

#[test]
fn reading_what_comes_later() {
    for (name, read, said, left) in reads() {
        let (s, push) = stream::create();
        let p = read(&s);
        for n in 1..=3 {
            push.push(n).expect("open");
        }
        push.close();
        assert_eq!(show(&p), format!("ok {said:?}"), "{name}");
        assert_eq!(show(&s.to_list()), format!("ok {left}"), "{name}");
    }
}

#[test]
fn cancelling_a_read_at_each_point_loses_nothing() {
    for (name, read, ..) in reads() {
        for there in 0..=2 {
            let (s, push) = of_range(there);
            let p = read(&s);
            if !p.is_pending() {
                continue;
            }
            let behind = s.get();
            p.cancel();
            assert_eq!(show(&p), "canceled", "{name} with {there}");
            // What these have thrown away, or given to a function, is gone.
            let consumed =
                if name.contains("while") && name.contains("junk") || name.contains("find") || name == "fold"
                {
                    there
                } else {
                    0
                };
            push.push(there + 1).expect("open");
            push.close();
            assert_eq!(show(&behind), format!("ok Some({})", consumed + 1), "{name} with {there}");
            let rest: Vec<i32> = (consumed + 2..=there + 1).collect();
            assert_eq!(show(&s.to_list()), format!("ok {rest:?}"), "{name} with {there}");
        }
    }
}

#[test]
fn dropping_a_read_at_each_point_loses_nothing() {
    type Reads<T> = Vec<(&'static str, fn(&Stream<i32>) -> Promise<T>)>;
    fn check<T: 'static>(reads: Reads<T>) {
        for (name, read) in reads {
            for there in 0..=2 {
                let (s, push) = of_range(there);
                let p = read(&s);
                if !p.is_pending() {
                    continue;
                }
                let behind = s.get();
                drop(p);
                let consumed = if name.starts_with("junk_") || name.starts_with("find") { there } else { 0 };
                push.push(there + 1).expect("open");
                push.close();
                assert_eq!(show(&behind), format!("ok Some({})", consumed + 1), "{name} with {there}");
                let rest: Vec<i32> = (consumed + 2..=there + 1).collect();
                assert_eq!(show(&s.to_list()), format!("ok {rest:?}"), "{name} with {there}");
            }
        }
    }
    check(vec![("get", Stream::get), ("peek", Stream::peek), ("find", |s| s.find(|n| *n == 9))]);
    check(vec![("find_map", |s| s.find_map(|n| (n == 9).then_some(n)))]);
    check(vec![("next", Stream::next), ("last_new", Stream::last_new)]);
    check(vec![
        ("nget", |s| s.nget(3)),
        ("npeek", |s| s.npeek(3)),
        ("to_list", Stream::to_list),
        ("get_while", |s| s.get_while(|_| true)),
    ]);
    check(vec![
        ("junk", Stream::junk),
        ("njunk", |s| s.njunk(3)),
        ("junk_while", |s| s.junk_while(|_| true)),
    ]);
    check(vec![("is_empty", Stream::is_empty)]);
}

// ---- predicates that take their time ----

#[test]
fn a_slow_predicate_is_asked_in_order_and_given_up_cleanly() {
    type Reads = Vec<(&'static str, fn(&Stream<i32>, Questions) -> Promise<String>)>;
    type Questions = Rc<RefCell<Vec<(i32, Resolver<bool>)>>>;
    fn ask(q: Questions) -> impl FnMut(&i32) -> Promise<bool> {
        move |n| {
            let (p, r) = task();
            q.borrow_mut().push((*n, r));
            p
        }
    }
    let reads: Reads = vec![
        ("get_while_s", |s, q| text_of(s.get_while_s(ask(q)))),
        ("junk_while_s", |s, q| text_of(s.junk_while_s(ask(q)))),
        ("find_s", |s, q| text_of(s.find_s(ask(q)))),
    ];
    for (name, read) in &reads {
        for give_up in [false, true] {
            let questions: Questions = Rc::default();
            let answer = |yes| {
                let (n, r) = questions.borrow_mut().pop().expect("a question");
                r.wakeup(yes);
                n
            };
            let (s, _push) = of_range(3);
            let p = read(&s, questions.clone());
            let behind = s.get();
            assert_eq!(questions.borrow().len(), 1);
            let yes = *name != "find_s";
            assert_eq!(answer(yes), 1);
            assert_eq!(show(&behind), "pending");
            if give_up {
                p.cancel();
                assert_eq!(show(&p), "canceled", "{name}");
                let (n, asked) = questions.borrow_mut().pop().expect("a question");
                assert_eq!(n, 2);
                assert!(!asked.is_wanted(), "the cancel went on to the predicate");
                let kept = if *name == "get_while_s" { 1 } else { 2 };
                assert_eq!(show(&behind), format!("ok Some({kept})"), "{name}");
            } else {
                assert_eq!(answer(!yes), 2);
                let (said, next) = match *name {
                    "get_while_s" => ("[1]", 2),
                    "junk_while_s" => ("()", 2),
                    _ => ("Some(2)", 3),
                };
                assert_eq!(show(&p), format!("ok {said:?}"), "{name}");
                assert_eq!(show(&behind), format!("ok Some({next})"), "{name}");
            }
        }
    }
}

#[test]
fn dropping_a_read_while_its_predicate_waits_gives_the_elements_back() {
    let (s, _push) = of_range(2);
    let (p, r) = task();
    let mut p = Some(p);
    let read = s.get_while_s(move |n| if *n == 1 { Promise::ready(true) } else { p.take().expect("once") });
    drop(read);
    assert_eq!(show(&s.get()), "ok Some(1)");
    r.wakeup(true);
    assert_eq!(show(&s.get()), "ok Some(2)");
}

#[test]
fn a_predicate_that_fails_gives_the_elements_back() {
    let (s, _push) = of_range(3);
    let failing = |n: &i32| if *n == 2 { Promise::fail(Error::msg("two")) } else { Promise::ready(true) };
    assert_eq!(show(&s.get_while_s(failing)), "error two");
    assert_eq!(show(&s.get_while(|n| if *n == 2 { panic!("two") } else { true })), "panic two");
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert_eq!(show(&s.find_s(|_| Promise::fail(Error::msg("no")))), "error no");
    assert_eq!(show(&s.get()), "ok Some(2)");
}

#[test]
fn calls_from_inside_a_predicate_wait_their_turn() {
    let (s, _push) = of_range(3);
    let inner = Rc::new(RefCell::new(Vec::new()));
    let p = s.get_while({
        let (s, inner) = (s.share(), inner.clone());
        move |n| {
            assert_eq!(s.get_available(), []);
            inner.borrow_mut().push(s.get());
            *n < 2
        }
    });
    assert_eq!(show(&p), "ok [1]");
    let inner: Vec<_> = inner.borrow().iter().map(show).collect();
    assert_eq!(inner, ["ok Some(2)", "ok Some(3)"]);
}

#[test]
fn a_predicate_that_drops_its_own_read() {
    let (s, _push) = stream::create();
    let slot: Rc<RefCell<Option<Promise<Vec<i32>>>>> = Rc::default();
    let p = s.get_while({
        let slot = slot.clone();
        move |n| {
            if *n == 2 {
                drop(slot.take());
            }
            true
        }
    });
    *slot.borrow_mut() = Some(p);
    for n in 1..=3 {
        _push.push(n).expect("open");
    }
    assert_eq!(s.get_available(), [1, 2, 3]);
}

// ---- what is there ----

#[test]
fn what_is_available() {
    let (s, push) = of_range(5);
    assert_eq!(s.get_available_up_to(2), [1, 2]);
    assert_eq!(show(&s.last_new()), "ok 5");
    let last = s.last_new();
    assert_eq!(show(&last), "pending");
    assert_eq!(s.get_available(), []);
    push.push(6).expect("open");
    assert_eq!(show(&last), "ok 6");
    push.push(7).expect("open");
    s.junk_available();
    push.push(8).expect("open");
    assert_eq!(s.get_available(), [8]);
    push.close();
    assert!(is::<Empty, _>(&s.last_new()));
    let odd = stream::of_list(1..6).filter(|n| n % 2 == 1);
    assert_eq!(odd.get_available(), [1, 3, 5]);
    let named = stream::of_list(1..6).filter_map(|n| (n % 2 == 0).then(|| n.to_string()));
    assert_eq!(named.get_available(), ["2", "4"]);
}

#[test]
fn a_failure_is_left_by_what_takes_what_is_there() {
    let mut n = 0;
    let s = stream::from(move || {
        n += 1;
        if n == 3 { Promise::fail(Error::msg("three")) } else { Promise::ready((n < 5).then_some(n)) }
    });
    assert_eq!(s.get_available(), [1, 2]);
    assert_eq!(s.get_available(), []);
    assert_eq!(show(&s.last_new()), "error three");
    assert_eq!(show(&s.last_new()), "ok 4");
}
