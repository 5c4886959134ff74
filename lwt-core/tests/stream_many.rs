//! Streams: independent readers, back-pressure, parse.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Rng, Unique, heavy, show};
use lwt_core::stream::{self, Closed, Full, PushError, Stream};
use lwt_core::{Error, Promise, Resolver, State, task};
use streams::{full_of, is};

// ---- clone ----

#[test]
fn clones_see_everything_from_their_place_on() {
    let (a, push) = stream::create();
    push.push(1).expect("open");
    push.push(2).expect("open");
    assert_eq!(show(&a.get()), "ok Some(1)");
    let b = a.clone();
    let later = (a.get(), b.get(), b.get(), a.get());
    assert_eq!((show(&later.0), show(&later.1)), ("ok Some(2)".into(), "ok Some(2)".into()));
    assert_eq!((show(&later.2), show(&later.3)), ("pending".into(), "pending".into()));
    push.push(3).expect("open");
    assert_eq!((show(&later.2), show(&later.3)), ("ok Some(3)".into(), "ok Some(3)".into()));
}

/// Counts its clones and the values alive.
struct Counted(Rc<Cell<usize>>, Rc<()>);

impl Clone for Counted {
    fn clone(&self) -> Counted {
        self.0.set(self.0.get() + 1);
        Counted(self.0.clone(), self.1.clone())
    }
}

#[test]
fn the_slowest_reader_moves_and_frees() {
    let (clones, alive) = (Rc::new(Cell::new(0)), Rc::new(()));
    let a = stream::of_list((0..3).map(|_| Counted(clones.clone(), alive.clone())).collect::<Vec<_>>());
    let (b, c) = (a.clone(), a.clone());
    assert_eq!(Rc::strong_count(&alive), 4);
    drop(a.get());
    drop(b.get());
    assert_eq!(clones.get(), 2);
    assert_eq!(Rc::strong_count(&alive), 4, "the third reader has still to read it");
    drop(c.get());
    assert_eq!((clones.get(), Rc::strong_count(&alive)), (2, 3), "moved, not cloned");
    drop(a.nget(2));
    drop(b);
    assert_eq!(Rc::strong_count(&alive), 3);
    drop(c);
    assert_eq!(Rc::strong_count(&alive), 1, "the slowest reader went away");
}

#[test]
fn readers_that_share_a_source_ask_it_once() {
    let asked = Rc::new(RefCell::new(Vec::<Resolver<Option<i32>>>::new()));
    let a = stream::from({
        let asked = asked.clone();
        move || {
            let (p, r) = task();
            asked.borrow_mut().push(r);
            p
        }
    });
    let b = a.clone();
    let (x, y) = (a.get(), b.nget(2));
    assert_eq!(asked.borrow().len(), 1);
    let r = asked.borrow_mut().pop().expect("asked");
    r.wakeup(Some(1));
    assert_eq!(show(&x), "ok Some(1)");
    assert_eq!(asked.borrow().len(), 1, "the other one needs more");
    let r = asked.borrow_mut().pop().expect("asked");
    r.wakeup_err(Error::msg("no"));
    assert_eq!(show(&y), "error no");
    assert_eq!(show(&a.get()), "error no", "every reader comes by it");
    assert_eq!(show(&b.get_while(|_| true)), "pending");
    let c = b.clone();
    let r = asked.borrow_mut().pop().expect("asked");
    r.wakeup(None);
    assert_eq!(show(&c.to_list()), "ok [1]", "told once");
    assert_eq!(show(&a.to_list()), "ok []");
}

#[test]
fn a_clone_function_that_calls_the_stream_or_panics() {
    struct Odd(i32, Rc<RefCell<Option<Stream<Odd>>>>);
    impl Clone for Odd {
        fn clone(&self) -> Odd {
            assert!(self.0 != 3, "three");
            if let Some(s) = self.1.borrow().as_ref() {
                assert_eq!(s.get_available().len(), 0, "the reader is busy");
            }
            Odd(self.0, self.1.clone())
        }
    }
    let slot: Rc<RefCell<Option<Stream<Odd>>>> = Rc::default();
    let s = stream::of_list((1..=3).map(|n| Odd(n, slot.clone())).collect::<Vec<_>>());
    let other = s.clone();
    *slot.borrow_mut() = Some(s.share());
    assert_eq!(show(&s.get().map(|o| o.map(|o| o.0))), "ok Some(1)");
    assert_eq!(show(&s.nget(2).map(|v| v.len())), "panic three");
    assert_eq!(show(&s.get().map(|o| o.map(|o| o.0))), "ok Some(2)");
    assert_eq!(show(&s.peek().map(|_| ())), "panic three");
    slot.take();
    drop(other);
    assert_eq!(show(&s.get().map(|o| o.map(|o| o.0))), "ok Some(3)", "it need not be cloned any more");
}

// ---- back-pressure ----

#[test]
fn a_bounded_stream_blocks_one_push_and_refuses_more() {
    let (s, push) = full_of(3);
    let fourth = push.push(4);
    assert_eq!(show(&fourth), "pending");
    assert!(push.is_blocked());
    assert!(is::<Full, _>(&push.push(5)) && is::<Full, _>(&push.push(6)));
    assert_eq!(push.try_push(5), Err(PushError::Full(5)));
    assert_eq!((push.size(), push.count()), (3, 3));
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert_eq!(show(&fourth), "ok ()");
    assert!(!push.is_blocked());
    assert!(push.close());
    assert!(push.is_closed() && !push.close());
    assert!(is::<Closed, _>(&push.push(7)));
    assert_eq!(push.try_push(7), Err(PushError::Closed(7)));
    assert_eq!(show(&s.to_list()), "ok [2, 3, 4]");
}

#[test]
fn every_way_of_reading_makes_room() {
    type Way = (&'static str, fn(Stream<i32>) -> Promise<()>);
    let ways: [Way; 9] = [
        ("get", |s| s.get().map(|_| ())),
        ("nget", |s| s.nget(3).map(|_| ())),
        ("junk", |s| s.junk()),
        ("junk_while", |s| s.junk_while(|n| *n < 2)),
        ("get_available", |s| Promise::ready(s.get_available()).map(|_| ())),
        ("to_list", |s| s.to_list().map(|_| ())),
        ("npeek", |s| s.npeek(2).map(|_| ())),
        ("parse", |s| s.parse(|s| s.nget(2)).map(|_| ())),
        ("resize", |_| Promise::ready(())),
    ];
    for (name, read) in ways {
        let (s, push) = full_of(1);
        let second = push.push(2);
        let p = read(s.share());
        if name == "resize" {
            push.resize(2);
            assert_eq!(push.size(), 2);
        }
        assert_eq!(show(&second), "ok ()", "{name}");
        drop(push);
        drop(s);
        assert!(!p.is_pending(), "{name}");
    }
}

#[test]
fn a_rendezvous() {
    let (s, push) = stream::create_bounded(0);
    assert_eq!(push.try_push(1), Err(PushError::Full(1)), "nobody waits");
    let first = push.push(1);
    assert_eq!(show(&first), "pending");
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert_eq!(show(&first), "ok ()");
    let (a, b) = (s.get(), s.get());
    assert_eq!(push.try_push(2), Ok(()));
    assert_eq!(show(&push.push(3)), "ok ()");
    assert_eq!((show(&a), show(&b)), ("ok Some(2)".into(), "ok Some(3)".into()));
    let fourth = push.push(4);
    assert_eq!(s.get_available(), [4]);
    assert_eq!(show(&fourth), "ok ()");
    let many = s.nget(3);
    for n in 5..8 {
        assert_eq!(show(&push.push(n)), "ok ()");
    }
    assert_eq!(show(&many), "ok [5, 6, 7]");
    assert!(push.push(8).is_pending());
    s.get().cancel();
    assert_eq!(push.count(), 0);
}

#[test]
fn a_cancelled_push_takes_its_element_back_and_a_dropped_one_does_not() {
    let drops = Drops::new();
    let (s, push) = stream::create_bounded(0);
    let p = push.push(Some(drops.token()));
    p.cancel();
    assert_eq!(show(&p), "canceled");
    assert_eq!(drops.count(), 1);
    assert!(!push.is_blocked());
    drop(push.push(None));
    assert!(push.is_blocked());
    assert!(matches!(s.get().state(), State::Fulfilled(Some(None))));
    drop(push.push(None));
    push.close();
    assert!(matches!(s.get().state(), State::Fulfilled(Some(None))), "nobody could be told");
    assert!(matches!(s.get().state(), State::Fulfilled(None)));
}

#[test]
fn close_rejects_the_push_that_waits() {
    let (s, push) = full_of(1);
    let second = push.push(2);
    push.close();
    assert!(is::<Closed, _>(&second));
    assert_eq!(show(&s.to_list()), "ok [1]");
    let (s, push) = full_of(1);
    let second = push.push(2);
    drop(s);
    assert!(is::<Closed, _>(&second), "nobody is left to read it");
    assert!(is::<Closed, _>(&push.push(3)));
    let (s, push) = full_of(1);
    let (second, waiting) = (push.push(2), s.closed());
    drop(push);
    assert_eq!(show(&waiting), "ok ()");
    assert_eq!(show(&second), "pending");
    assert_eq!(show(&s.to_list()), "ok [1, 2]", "it still gets through");
    assert_eq!(show(&second), "ok ()");
    let (s, push) = full_of(1);
    let second = push.push(2);
    drop(push);
    second.cancel();
    assert_eq!(show(&s.to_list()), "ok [1]");
    let (s, push) = stream::create_bounded::<i32>(1);
    let waiting = s.get();
    push.close();
    assert_eq!(show(&waiting), "ok None");
}

#[test]
fn the_slowest_reader_holds_the_pushes_back() {
    let (a, push) = full_of(2);
    let b = a.clone();
    let third = push.push(3);
    assert_eq!(show(&a.nget(2)), "ok [1, 2]");
    assert_eq!((show(&third), push.count()), ("pending".into(), 2));
    assert_eq!(show(&b.get()), "ok Some(1)");
    assert_eq!((show(&third), push.count()), ("ok ()".into(), 2));
    let fourth = push.push(4);
    drop(b);
    assert_eq!((show(&fourth), push.count()), ("ok ()".into(), 2));
}

#[test]
fn what_a_read_had_set_aside_comes_back_over_the_bound() {
    let (s, push) = full_of(2);
    let many = s.nget(5);
    assert_eq!(push.count(), 0);
    assert_eq!(push.try_push(3), Ok(()));
    many.cancel();
    assert_eq!(push.count(), 3);
    let fourth = push.push(4);
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert_eq!(show(&fourth), "pending");
    assert_eq!(show(&s.nget(2)), "ok [2, 3]");
    assert_eq!(show(&fourth), "ok ()");
}

// ---- parse ----

fn number(s: Stream<char>) -> Promise<u32> {
    s.get_while(char::is_ascii_digit).bind(|text| Promise::from(String::from_iter(text).parse::<u32>()))
}

#[test]
fn parse_restores_the_place_when_it_fails() {
    let s = stream::of_string("12x34");
    assert_eq!(show(&s.parse(number)), "ok 12");
    assert!(!show(&s.parse(number)).starts_with("ok"));
    assert_eq!(show(&s.parse(|s| s.nget(2).map(|_| panic!("no")))), "panic no" as &str);
    assert_eq!(show(&s.parse::<()>(|_| panic!("at once"))), "panic at once");
    assert_eq!(show(&s.get()), "ok Some('x')");
    assert_eq!(show(&s.parse(|s| s.parse(number))), "ok 34");
    assert_eq!(show(&s.get()), "ok None");
}

#[test]
fn parse_over_what_comes_later_and_others_wait() {
    let (s, push) = stream::create();
    let (failing, behind) =
        (s.parse(|s| s.nget(2).bind(|two| Promise::<()>::fail(Error::msg(format!("{two:?}"))))), s.get());
    push.push(1).expect("open");
    assert_eq!(show(&behind), "pending");
    assert_eq!(s.get_available(), []);
    push.push(2).expect("open");
    assert_eq!(show(&failing), "error [1, 2]");
    assert_eq!(show(&behind), "ok Some(1)");
    let (waiting, parse) = (s.nget(2), s.parse(|s| s.get()));
    parse.cancel();
    assert_eq!(show(&parse), "canceled");
    push.push(3).expect("open");
    assert_eq!(show(&waiting), "ok [2, 3]");
    let parse = s.parse(|s| s.nget(2));
    push.push(4).expect("open");
    parse.cancel();
    assert_eq!(show(&parse), "canceled");
    assert_eq!(show(&s.get()), "ok Some(4)");
}

#[test]
fn parse_leaves_the_stream_where_its_own_is() {
    let s = stream::of_list([1, 2, 3, 4]);
    let kept = Rc::new(RefCell::new(None));
    let p = s.parse({
        let kept = kept.clone();
        move |s| {
            *kept.borrow_mut() = Some(s.share());
            s.nget(2)
        }
    });
    assert_eq!(show(&p), "ok [1, 2]");
    let kept = kept.take().expect("kept");
    assert_eq!(show(&kept.to_list()), "ok [3, 4]");
    assert_eq!(show(&s.to_list()), "ok [3, 4]");
}

// ---- everything at once ----

/// Random reads of several readers, given up at random, against a list of what each has still to see.
#[test]
fn random_readers_against_a_plain_model() {
    for seed in 0..heavy(20_000, 2_000, 3) as u64 {
        let mut rng = Rng(seed);
        let (s, push) = stream::create_bounded(rng.below(4));
        let mut readers = vec![(s, 0_i32)]; // and what it sees next
        let mut pushed = 0;
        let mut blocked: Option<Promise<()>> = None;
        for _ in 0..60 {
            if blocked.as_ref().is_some_and(|p| !p.is_pending()) {
                blocked = None;
            }
            let at = rng.below(readers.len());
            match rng.below(8) {
                0..=2 if blocked.is_none() => {
                    let p = push.push(pushed);
                    pushed += 1;
                    if p.is_pending() && rng.one_in(4) {
                        p.cancel();
                        pushed -= 1;
                    } else {
                        blocked = Some(p);
                    }
                }
                3 if readers.len() < 4 => {
                    let (s, next) = &readers[at];
                    let clone = (s.clone(), *next);
                    readers.push(clone);
                }
                4 if readers.len() > 1 => drop(readers.remove(at)),
                way => {
                    let (s, next) = &mut readers[at];
                    let many = 1 + rng.below(3);
                    let p = match way {
                        5 => s.get().map(|e| e.into_iter().collect()),
                        6 => s.parse(move |s| s.nget(many)),
                        _ => s.nget(many),
                    };
                    match p.state() {
                        State::Fulfilled(got) => {
                            for n in got {
                                assert_eq!(n, next, "seed {seed}");
                                *next += 1;
                            }
                        }
                        State::Pending => p.cancel(),
                        State::Rejected(e) => panic!("seed {seed}: {e:?}"),
                    }
                }
            }
        }
        drop(push);
        // The slow ones first would deadlock nothing: the last push is on its way already.
        let rest: Vec<_> = readers.iter().map(|(s, next)| (s.to_list(), *next)).collect();
        for (rest, next) in rest {
            assert_eq!(show(&rest), format!("ok {:?}", (next..pushed).collect::<Vec<_>>()), "seed {seed}");
        }
    }
}

#[test]
fn at_a_rendezvous_of_several_readers_the_slowest_lets_the_push_through() {
    for drops in [false, true] {
        let (s, push) = stream::create_bounded(0);
        let (slow, first) = (s.clone(), s.get());
        assert_eq!(show(&push.push(1)), "ok ()");
        let (second, pushed) = (s.get(), push.push(2));
        assert_eq!((show(&first), show(&pushed)), ("ok Some(1)".into(), "pending".into()));
        if drops {
            drop(slow);
        } else {
            assert_eq!(show(&slow.get()), "ok Some(1)");
        }
        assert_eq!((show(&second), show(&pushed)), ("ok Some(2)".into(), "ok ()".into()));
    }
}

#[test]
fn a_value_that_is_not_clone_through_a_rendezvous() {
    let (s, push) = stream::create_bounded(0);
    let all = s.to_list();
    for n in 0..3 {
        assert_eq!(show(&push.push(Unique(n))), "ok ()");
    }
    drop(push);
    assert_eq!(show(&all), "ok [Unique(0), Unique(1), Unique(2)]");
}
