//! Streams: what is given up at each point where it waits, and in the middle of a cancel or a delivery, loses
//! no element, no room and no wake-up.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::cell::RefCell;
use std::rc::Rc;

use common::{show, spin, watchdog};
use lwt_core::stream::{self, Stream};
use lwt_core::{Error, Promise, join, pick, spawn, task};
use streams::{Desk, of_range};

/// At how many elements things are given up.
const POINTS: i32 = if cfg!(miri) { 1 } else { 3 };

/// A promise whose cancel has `f` run, and `others`, which are cancelled with it: they are marked before `f`
/// runs, and hear of it after.
fn cancelled_around<T: 'static>(f: impl FnOnce() + 'static, others: Promise<T>) {
    let (first, resolver) = task::<()>();
    resolver.on_cancel(f);
    join([first, others.map(drop)]).cancel();
}

// ---- pushes ----

#[test]
fn a_push_that_is_through_takes_no_cancel() {
    let (a, push) = stream::create_bounded(1);
    let b = a.clone();
    push.try_push(1).expect("room");
    assert_eq!(show(&a.get()), "ok Some(1)");
    let hungry = a.get();
    let second = Rc::new(push.push(2));
    let third = Rc::new(RefCell::new(None));
    hungry.on_success({
        let (push, second, third) = (push.clone(), second.clone(), third.clone());
        move |_| {
            *third.borrow_mut() = Some(push.push(3));
            second.cancel();
        }
    });
    assert_eq!(show(&b.get()), "ok Some(1)"); // makes room for the second one
    assert_eq!(show(&hungry), "ok Some(2)");
    assert_eq!(show(&second), "ok ()", "its element was read");
    assert_eq!(show(&b.get()), "ok Some(2)");
    assert_eq!(show(&third.take().expect("pushed")), "ok ()");
    assert_eq!(show(&b.get()), "ok Some(3)");
}

#[test]
fn a_push_that_is_being_cancelled_pushes_nothing() {
    type Way = (&'static str, fn(&stream::Stream<i32>, &stream::BoundedPush<i32>));
    let ways: [Way; 5] = [
        ("get", |s, _| assert_eq!(show(&s.get()), "ok Some(1)")),
        ("resize", |_, push| push.resize(9)),
        ("close", |_, push| assert!(push.close())),
        ("push", |_, push| assert!(push.try_push(3).is_err())),
        ("nothing", |_, _| ()),
    ];
    for (name, way) in ways {
        let (s, push) = stream::create_bounded(1);
        push.try_push(1).expect("room");
        let second = Rc::new(RefCell::new(None));
        let (theirs, handle) = (s.share(), push.clone());
        cancelled_around(
            move || way(&theirs, &handle),
            push.push(2).catch({
                let second = second.clone();
                move |error| {
                    *second.borrow_mut() = Some(error.is_canceled());
                    Promise::ready(())
                }
            }),
        );
        assert_eq!(second.take(), Some(true), "{name}");
        assert!(!push.is_blocked(), "{name}");
        let left = if name == "get" { "ok []" } else { "ok [1]" };
        push.close();
        assert_eq!(show(&s.to_list()), left, "{name}");
    }
}

#[test]
fn a_push_cancelled_by_who_hears_of_the_end_is_not_delivered() {
    let (s, push) = stream::create_bounded(0);
    let waiting = Rc::new(push.push(1));
    s.closed().on_success({
        let waiting = waiting.clone();
        move |()| waiting.cancel()
    });
    push.close();
    assert!(!waiting.is_pending());
    assert_eq!(show(&s.to_list()), "ok []");
}

#[test]
fn a_read_that_is_being_cancelled_while_its_predicate_waits() {
    let (s, push) = stream::create();
    push.push(1).expect("open");
    let (answer, asked) = task::<bool>();
    let mut answer = Some(answer);
    let read = s.get_while_s(move |_| answer.take().expect("asked once"));
    let behind = s.get();
    let handle = push.clone();
    cancelled_around(move || handle.push(2).expect("open"), read);
    assert!(!asked.is_wanted(), "the cancel went on to the predicate");
    assert_eq!(show(&behind), "ok Some(1)");
    assert_eq!(s.get_available(), [2]);
}

#[test]
fn a_pick_loses_no_element() {
    type Read = fn(&stream::Stream<i32>) -> Promise<Vec<i32>>;
    let reads: [(&str, Read); 4] = [
        ("get", |s| s.get().map(|got| got.into_iter().collect())),
        ("next", |s| s.next().map(|got| vec![got])),
        ("nget", |s| s.nget(1)),
        ("map", |s| s.share().map(|n| n).get().map(|got| got.into_iter().collect())),
    ];
    for (name, read) in reads {
        let (s, push) = stream::create();
        let (timeout, late) = task::<Vec<i32>>();
        let first = pick([read(&s), timeout]);
        let (event, happens) = task::<()>();
        event.on_success(move |()| {
            push.push(1).expect("open");
            late.wakeup(Vec::new());
        });
        happens.wakeup(());
        assert_eq!(show(&first), "ok [1]", "{name}");
    }
}

// ---- functions that take their time ----

/// What becomes of the elements for which the function has answered, and of the one that it has.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    /// They are given back, all of them.
    Back,
    /// The answered ones are gone, the other one is given back.
    Looked,
    /// They are gone.
    Given,
}

type Over = (&'static str, Fate, bool, fn(&Stream<i32>, Desk) -> Promise<()>);

/// Operations over all elements, and whether dropping them gives them up, too.
fn operations() -> Vec<Over> {
    vec![
        ("junk_while_s", Fate::Looked, true, |s, d| s.junk_while_s(move |n| d.ask(*n).map(|()| true))),
        ("iter_s", Fate::Given, false, |s, d| s.iter_s(move |n| d.ask(n))),
        ("iter_n", Fate::Given, false, |s, d| s.iter_n(1, move |n| d.ask(n))),
        ("fold_s", Fate::Given, false, |s, d| s.fold_s((), move |(), n| d.ask(n))),
        ("parse", Fate::Back, false, |s, d| s.parse(move |s| s.iter_s(move |n| d.ask(n)))),
        ("parse in a parse", Fate::Back, false, |s, d| {
            s.parse(move |s| s.parse(move |s| s.iter_s(move |n| d.ask(n))))
        }),
        ("map_s", Fate::Given, false, |s, d| s.share().map_s(move |n| d.ask(n)).iter(drop)),
        ("map_n", Fate::Given, false, |s, d| s.share().map_n(1, move |n| d.ask(n)).iter(drop)),
        ("filter_s", Fate::Given, false, |s, d| {
            s.share().filter_s(move |n| d.ask(*n).map(|()| true)).iter(drop)
        }),
        ("filter_map_s", Fate::Given, false, |s, d| {
            s.share().filter_map_s(move |n| d.ask(n).map(Some)).iter(drop)
        }),
        ("map_list_s", Fate::Given, false, |s, d| {
            s.share().map_list_s(move |n| d.ask(n).map(Some)).iter(drop)
        }),
        ("iter_s in a task", Fate::Given, false, |s, d| {
            let s = s.share();
            spawn(async move { s.iter_s(move |n| d.ask(n)).await })
        }),
    ]
}

/// The same for operations whose value is not `()`.
fn check_all(t: &impl Check) {
    for (name, fate, dropped, call) in operations() {
        t.check(name, fate, dropped, call);
    }
    t.check("get_while_s", Fate::Back, true, |s, d| s.get_while_s(move |n| d.ask(*n).map(|()| true)));
    t.check("find_s", Fate::Looked, true, |s, d| s.find_s(move |n| d.ask(*n).map(|()| false)));
    t.check("find_map_s", Fate::Given, true, |s, d| s.find_map_s(move |n| d.ask(n).map(|()| None::<i32>)));
}

trait Check {
    fn check<T: 'static>(
        &self,
        name: &str,
        fate: Fate,
        dropped: bool,
        call: fn(&Stream<i32>, Desk) -> Promise<T>,
    );
}

/// The numbers from 1, given up when the function has answered for `answered` of them, and then either has
/// the next one, or waits for it.
struct GivenUp;

impl Check for GivenUp {
    fn check<T: 'static>(
        &self,
        name: &str,
        fate: Fate,
        dropped: bool,
        call: fn(&Stream<i32>, Desk) -> Promise<T>,
    ) {
        for (answered, there) in (0..POINTS).flat_map(|n| [(n, n), (n, n + 1)]) {
            for cancel in [true, false].into_iter().filter(|cancel| *cancel || dropped) {
                let at = format!("{name} after {answered} of {there}, cancel: {cancel}");
                let (s, push) = of_range(there);
                let desk = Desk::default();
                let p = call(&s, desk.clone());
                (1..=answered).for_each(|n| {
                    desk.answer(n);
                    spin();
                });
                let has = there - answered;
                assert_eq!(desk.asked().len(), has as usize, "{at}");
                let behind = s.share(); // reads after what is given up
                let next = behind.get();
                if cancel {
                    p.cancel();
                    spin();
                    assert!(!p.is_pending(), "{at}");
                    assert_eq!(desk.asked(), [], "{at}: the cancel went on");
                } else {
                    drop(p);
                }
                spin();
                push.push(there + 1).expect("open");
                push.push(there + 2).expect("open");
                push.close();
                let first = match fate {
                    Fate::Back => 1,
                    Fate::Looked => answered + 1,
                    Fate::Given => there + 1,
                };
                assert_eq!(show(&next), format!("ok Some({first})"), "{at}");
                let rest: Vec<i32> = (first + 1..=there + 2).collect();
                assert_eq!(show(&s.to_list()), format!("ok {rest:?}"), "{at}");
            }
        }
    }
}

#[test]
fn given_up_at_each_element() {
    let _watchdog = watchdog();
    check_all(&GivenUp);
}

/// Operations over all elements that wait for nothing but the next one, given up when some are there.
struct GivenUpAtTheEnd;

impl Check for GivenUpAtTheEnd {
    fn check<T: 'static>(
        &self,
        name: &str,
        fate: Fate,
        dropped: bool,
        call: fn(&Stream<i32>, Desk) -> Promise<T>,
    ) {
        for (there, cancel) in (0..POINTS).flat_map(|there| [(there, true), (there, false)]) {
            let at = format!("{name} of {there}, cancel: {cancel}");
            let (s, push) = of_range(there);
            let p = call(&s, Desk::default());
            assert!(p.is_pending(), "{at}");
            if cancel {
                p.cancel();
                assert_eq!(show(&p.map(drop)), "canceled", "{at}");
            } else if dropped {
                drop(p);
            } else {
                continue;
            }
            (1..=2).for_each(|n| push.push(there + n).expect("open"));
            push.close();
            let first = if fate == Fate::Back { 1 } else { there + 1 };
            let rest: Vec<i32> = (first..=there + 2).collect();
            assert_eq!(show(&s.to_list()), format!("ok {rest:?}"), "{at}");
        }
    }
}

#[test]
fn given_up_at_the_end_of_what_is_there() {
    let t = GivenUpAtTheEnd;
    t.check("nget", Fate::Back, true, |s, _| s.nget(9));
    t.check("to_list", Fate::Back, true, |s, _| s.to_list());
    t.check("npeek", Fate::Back, true, |s, _| s.npeek(9));
    t.check("njunk", Fate::Back, true, |s, _| s.njunk(9));
    t.check("get_while", Fate::Back, true, |s, _| s.get_while(|_| true));
    t.check("junk_while", Fate::Looked, true, |s, _| s.junk_while(|_| true));
    t.check("find", Fate::Looked, true, |s, _| s.find(|_| false));
    t.check("find_map", Fate::Given, true, |s, _| s.find_map(|_| None::<i32>));
    t.check("fold", Fate::Given, false, |s, _| s.fold(0, |sum, n| sum + n));
    t.check("iter", Fate::Given, false, |s, _| s.iter(drop));
    t.check("iter_p", Fate::Given, false, |s, _| s.iter_p(|_| Promise::ready(())));
    t.check("parse", Fate::Back, false, |s, _| s.parse(|s| s.nget(9)));
}

#[test]
fn a_text_that_is_given_up_is_given_back() {
    for cancel in [true, false] {
        let (s, push) = stream::create();
        push.push('a').expect("open");
        let text = s.to_string();
        if cancel {
            text.cancel();
        }
        drop(text);
        push.push('b').expect("open");
        push.close();
        assert_eq!(show(&s.to_string()), "ok \"ab\"", "cancel: {cancel}");
    }
}

#[test]
fn a_slow_predicate_makes_room_for_a_push_that_waits() {
    let (s, push) = streams::full_of(2);
    let third = push.push(3);
    let p =
        s.junk_while_s(move |n| if *n == 1 { Promise::ready(true) } else { third.clone().map(|()| false) });
    assert_eq!(show(&p), "ok ()", "the predicate waited for the push, which got the room of the first");
    assert_eq!(s.get_available(), [2, 3]);
}

// ---- streams made from streams ----

type Make = fn(Stream<i32>) -> Stream<i32>;

/// Streams with the elements of another one.
fn transformers() -> Vec<(&'static str, Make)> {
    vec![
        ("map", |s| s.map(|n| n)),
        ("map_s", |s| s.map_s(Promise::ready)),
        ("map_n", |s| s.map_n(2, Promise::ready)),
        ("map_p", |s| s.map_p(Promise::ready)),
        ("filter", |s| s.filter(|_| true)),
        ("filter_s", |s| s.filter_s(|_| Promise::ready(true))),
        ("filter_n", |s| s.filter_n(2, |_| Promise::ready(true))),
        ("filter_p", |s| s.filter_p(|_| Promise::ready(true))),
        ("filter_map", |s| s.filter_map(Some)),
        ("filter_map_n", |s| s.filter_map_n(2, |n| Promise::ready(Some(n)))),
        ("filter_map_p", |s| s.filter_map_p(|n| Promise::ready(Some(n)))),
        ("filter_map_s", |s| s.filter_map_s(|n| Promise::ready(Some(n)))),
        ("map_list", |s| s.map_list(Some)),
        ("map_list_s", |s| s.map_list_s(|n| Promise::ready(Some(n)))),
        ("flatten", |s| s.map(Some).flatten()),
        ("append", |s| stream::of_list([]).append(s)),
        ("append to", |s| s.append(stream::of_list([]))),
        ("concat", |s| stream::of_list([stream::of_list([]), s]).concat()),
        ("choose", |s| stream::choose([stream::of_list([]), s, stream::of_list([])])),
        ("combine", |s| s.combine(stream::of_iter(0..)).map(|(n, _)| n)),
        ("combine with", |s| stream::of_iter(0..).combine(s).map(|(_, n)| n)),
        ("wrap_err", |s| s.wrap_err().map(|n| n.unwrap_or(0))),
        ("of_futures", |s| stream::of_futures(s).map(|n| n.unwrap_or(0))),
        ("of_try_futures", |s| stream::of_try_futures(s)),
        ("clone", |s| s.clone()),
        ("from", |s| stream::from(move || s.get())),
        ("of_promise", |s| stream::of_promise(s.get()).filter_map(|n| n).append(s)),
        ("two of them", |s| s.map_s(Promise::ready).map_n(3, Promise::ready)),
    ]
}

#[test]
fn a_read_of_a_made_stream_given_up_after_each_element() {
    let _watchdog = watchdog();
    for (name, make) in transformers() {
        for (read, cancel) in (0..POINTS).flat_map(|read| [(read, false), (read, true)]) {
            let at = format!("{name} after {read}, cancel: {cancel}");
            let (s, push) = of_range(read);
            let made = make(s);
            for n in 1..=read {
                let got = made.get();
                spin();
                assert_eq!(show(&got), format!("ok Some({n})"), "{at}");
            }
            let (one, many) = (made.get(), made.nget(2));
            spin();
            assert!(one.is_pending(), "{at}");
            if cancel {
                one.cancel();
                many.cancel();
                assert_eq!((show(&one), show(&many)), ("canceled".into(), "canceled".into()), "{at}");
            }
            drop((one, many));
            spin();
            for n in 1..=3 {
                push.push(read + n).expect("open");
                spin();
            }
            push.close();
            let rest = made.to_list();
            spin();
            let all: Vec<i32> = (read + 1..=read + 3).collect();
            assert_eq!(show(&rest), format!("ok {all:?}"), "{at}");
        }
    }
}

/// As a stream of futures: the task that polls is cancelled, or ended, at each element.
#[test]
fn a_poll_given_up_after_each_element() {
    use futures_core::Stream as _;
    for (read, abort) in (0..3).flat_map(|read| [(read, false), (read, true)]) {
        let (s, push) = of_range(read);
        let mut theirs = s.share();
        let waiting = spawn(async move {
            loop {
                let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut theirs).poll_next(cx)).await;
                if let Some(Err(error)) = next {
                    return Err::<(), Error>(error);
                }
            }
        });
        assert_eq!(s.get_available(), []);
        if abort {
            assert!(lwt_core::task::abort(&waiting));
        } else {
            waiting.cancel();
        }
        push.push(read + 1).expect("open");
        spin();
        assert_eq!(show(&waiting), "canceled");
        assert_eq!(s.get_available(), [read + 1], "after {read}, abort: {abort}");
    }
}
