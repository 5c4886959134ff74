//! Streams: where elements come from, errors, the end.

mod common;
#[path = "common/streams.rs"]
mod streams;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Log, Unhandled, Unique, show};
use lwt_core::stream::{self, Empty, PushError, Stream};
use lwt_core::{Error, Promise, Resolver, task, wait};
use streams::{is, of_range};

// ---- sources ----

#[test]
fn closed_sources_are_closed_before_they_are_read() {
    assert!(stream::ready(1).is_closed());
    assert!(stream::of_list([1]).is_closed());
    assert!(stream::of_string("a").is_closed());
    assert!(stream::of_bytes("a").is_closed());
    let (p, _r) = wait::<i32>();
    assert!(stream::of_promise(p).is_closed());
    let s = stream::of_iter(1..3);
    assert_eq!(show(&s.to_list()), "ok [1, 2]");
    assert!(s.is_closed());
    assert_eq!(show(&s.get()), "ok None");
}

#[test]
fn an_iterator_is_forced_one_step_at_a_time() {
    let log = Log::new();
    let s = stream::of_iter((1..3).inspect({
        let log = log.clone();
        move |n| log.add(n)
    }));
    assert_eq!(log.take(), "");
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert_eq!(log.take(), "1");
    assert!(!s.is_closed());
    assert_eq!(show(&s.get()), "ok Some(2)");
    assert!(!s.is_closed());
    assert_eq!(show(&s.get()), "ok None");
    assert!(s.is_closed());
}

#[test]
fn of_promise_gives_value_or_error() {
    let (p, r) = wait();
    let s = stream::of_promise(p);
    let got = s.get();
    assert_eq!(show(&got), "pending");
    r.wakeup(1);
    assert_eq!(show(&got), "ok Some(1)");
    assert_eq!(show(&s.get()), "ok None");
    let (p, r) = wait::<i32>();
    let s = stream::of_promise(p);
    r.wakeup_err(Error::msg("no"));
    assert_eq!(show(&s.get()), "error no");
    assert!(is::<Empty, _>(&s.next()));
    let (p, _r) = task::<i32>();
    let s = stream::of_promise(p.clone());
    assert_eq!(show(&s.get()), "pending");
    drop(s);
    assert_eq!(show(&p), "pending", "somebody else's promise is not cancelled");
    drop(p);
}

#[test]
fn push_and_get() {
    let (s, push) = of_range(2);
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert!(push.close());
    assert!(!push.close());
    assert_eq!(push.push(3), Err(PushError::Closed(3)));
    assert!(s.is_closed());
    assert_eq!(show(&s.next()), "ok 2");
    assert_eq!(show(&s.get()), "ok None");
    assert!(is::<Empty, _>(&s.next()));
    assert_eq!(show(&s.to_list()), "ok []");
}

#[test]
fn elements_need_not_be_clone() {
    let (s, push) = stream::create();
    let waiting = s.get();
    push.push(Unique(1)).expect("open");
    push.push(Unique(2)).expect("open");
    push.push(Unique(3)).expect("open");
    assert_eq!(show(&waiting), "ok Some(Unique(1))");
    assert_eq!(show(&s.get_while(|u| u.0 < 3)), "ok [Unique(2)]");
    assert_eq!(show(&s.get()), "ok Some(Unique(3))");
}

#[test]
fn dropping_the_last_push_handle_ends_the_stream() {
    let (s, push) = of_range(1);
    let other = push.clone();
    drop(push);
    other.push(2).expect("open");
    let all = s.to_list();
    assert_eq!(show(&all), "pending");
    drop(other);
    assert_eq!(show(&all), "ok [1, 2]");
    assert!(s.is_closed());
}

#[test]
fn dropping_the_stream_frees_its_elements_though_the_push_handle_lives() {
    let drops = Drops::new();
    let (s, push) = stream::create();
    for _ in 0..3 {
        push.push(drops.token()).expect("open");
    }
    let other = s.share();
    drop(s);
    assert_eq!(drops.count(), 0);
    drop(other);
    assert_eq!(drops.count(), 3);
    assert!(push.is_closed());
    assert!(push.push(drops.token()).is_err());
    assert!(!push.close());
}

#[test]
fn an_operation_in_progress_keeps_the_stream() {
    let (s, push) = stream::create();
    let (one, rest) = (s.get(), s.to_list());
    drop(s);
    push.push(1).expect("somebody waits");
    push.push(2).expect("somebody waits");
    push.close();
    assert_eq!(show(&one), "ok Some(1)");
    assert_eq!(show(&rest), "ok [2]");
    let (s, push) = stream::create::<i32>();
    let one = s.get();
    drop(s);
    drop(one);
    assert!(push.is_closed(), "nobody is left");
}

#[test]
fn a_source_is_asked_when_needed_and_one_at_a_time() {
    let log = Log::new();
    let questions: Rc<RefCell<Vec<Resolver<Option<i32>>>>> = Rc::default();
    let s = stream::from({
        let (log, questions) = (log.clone(), questions.clone());
        move || {
            log.add("asked");
            let (p, r) = task();
            questions.borrow_mut().push(r);
            p
        }
    });
    let answer = |v| {
        let r = questions.borrow_mut().pop().expect("a question");
        r.wakeup(v);
    };
    assert_eq!(log.take(), "");
    let (a, b) = (s.get(), s.get());
    assert_eq!(log.take(), "asked");
    answer(Some(1));
    assert_eq!((show(&a), show(&b)), ("ok Some(1)".into(), "pending".into()));
    assert_eq!(log.take(), "asked");
    b.cancel();
    drop(b);
    answer(Some(2));
    assert_eq!(log.take(), "", "nobody needs one");
    assert_eq!(show(&s.get()), "ok Some(2)", "the answer was kept");
    let c = s.get();
    answer(None);
    assert_eq!(show(&c), "ok None");
    assert_eq!(show(&s.get()), "ok None");
    assert_eq!(log.take(), "asked", "not after the end");
}

#[test]
fn dropping_the_stream_cancels_what_the_source_waits_for() {
    let (p, r) = task();
    let mut p = Some(p);
    let s = stream::from(move || p.take().expect("asked once"));
    let got = s.get();
    drop(s);
    assert!(r.is_wanted(), "the read keeps the stream");
    drop(got);
    assert_eq!(r.try_wakeup(Some(1)), Err(Some(1)));
}

#[test]
fn errors_of_a_source_reach_the_reader_and_the_stream_goes_on() {
    let mut n = 0;
    let s = stream::from(move || {
        n += 1;
        match n {
            2 => Promise::fail(Error::msg("two")),
            4 => panic!("four"),
            6 => Promise::ready(None),
            _ => Promise::ready(Some(n)),
        }
    });
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert_eq!(show(&s.get()), "error two");
    assert_eq!(show(&s.nget(2)), "panic four");
    assert!(!s.is_closed());
    assert_eq!(show(&s.nget(2)), "ok [3, 5]", "what the failed read had was given back");
    assert_eq!(show(&s.get()), "ok None");
    assert!(s.is_closed());
}

#[test]
fn an_error_that_nobody_reads_goes_to_the_hook() {
    let unhandled = Unhandled::collect();
    let (p, r) = task::<Option<i32>>();
    let mut p = Some(p);
    let s = stream::from(move || p.take().unwrap_or_else(|| Promise::ready(None)));
    let got = s.get();
    got.cancel();
    r.wakeup_err(Error::msg("unread"));
    assert_eq!(unhandled.take(), "");
    drop(s);
    assert_eq!(unhandled.take(), "error unread");
    let s = stream::from(|| Promise::<Option<i32>>::fail(Error::msg("read")));
    assert_eq!(show(&s.get()), "error read");
    drop(s);
    assert_eq!(unhandled.take(), "");
}

#[test]
fn a_source_that_reads_from_its_own_stream_does_not_enter_itself() {
    let slot: Rc<RefCell<Option<Stream<i32>>>> = Rc::default();
    let inner: Rc<RefCell<Vec<Promise<Option<i32>>>>> = Rc::default();
    let mut n = 0;
    let s = stream::from_direct({
        let (slot, inner) = (slot.clone(), inner.clone());
        move || {
            n += 1;
            let again = slot.borrow().as_ref().map(Stream::share);
            if n == 1
                && let Some(again) = again
            {
                let got = again.get();
                assert!(got.is_pending());
                inner.borrow_mut().push(got);
            }
            Some(n)
        }
    });
    *slot.borrow_mut() = Some(s.share());
    let got = s.get();
    assert_eq!(show(&inner.borrow()[0]), "ok Some(1)", "it was first");
    assert_eq!(show(&got), "ok Some(2)");
    slot.take();
}

// ---- closing ----

#[test]
fn closed_is_not_empty() {
    let (s, push) = of_range(1);
    let closed = s.closed();
    let also = s.closed();
    closed.cancel();
    assert_eq!(show(&closed), "canceled");
    let seen = Rc::new(Cell::new(false));
    also.on_success({
        let (s, seen) = (s.share(), seen.clone());
        move |()| seen.set(s.is_closed())
    });
    assert_eq!(show(&s.peek()), "ok Some(1)");
    assert!(also.is_pending());
    push.close();
    assert!(seen.get());
    assert_eq!(show(&s.closed()), "ok ()");
    assert_eq!(show(&s.is_empty()), "ok false");
    let (s, push) = of_range(0);
    let closed = s.closed();
    drop(s);
    assert_eq!(show(&closed), "abandoned");
    drop(push);
}

#[test]
fn from_is_closed_when_its_end_was_seen() {
    let s = stream::of_iter([1]);
    let closed = s.closed();
    assert_eq!(show(&s.get()), "ok Some(1)");
    assert!(closed.is_pending() && !s.is_closed());
    assert_eq!(show(&s.get()), "ok None");
    assert!(!closed.is_pending() && s.is_closed());
}

// ---- destructors that push or panic ----

#[test]
fn the_end_of_an_element_pushes_into_a_stream_that_nobody_reads() {
    struct Pushes(Option<stream::Push<Pushes>>, Rc<Cell<Option<bool>>>);
    impl Drop for Pushes {
        fn drop(&mut self) {
            if let Some(push) = self.0.take() {
                self.1.set(Some(push.push(Pushes(None, self.1.clone())).is_ok()));
            }
        }
    }
    let (s, push) = stream::create();
    let taken = Rc::new(Cell::new(None));
    assert!(push.push(Pushes(Some(push.clone()), taken.clone())).is_ok());
    drop(s);
    assert_eq!(taken.get(), Some(false));
}

/// Its end panics.
struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("its end");
    }
}

#[test]
fn a_source_whose_end_panics_ends_the_stream() {
    let told = Unhandled::collect();
    let bad = Bad;
    let s = stream::from_direct(move || {
        let _kept = &bad;
        None::<i32>
    });
    let (a, b) = (s.get(), s.closed());
    assert_eq!((show(&a), show(&b), show(&s.get())), ("ok None".into(), "ok ()".into(), "ok None".into()));
    assert_eq!(told.take(), "panic its end");
}

#[test]
fn an_element_whose_end_panics_disturbs_nobody() {
    let told = Unhandled::collect();
    let (s, push) = stream::create();
    let rest = s.junk_while(Option::is_some);
    let next = s.get();
    assert!(push.push(Some(Bad)).is_ok());
    assert!(push.push(None).is_ok());
    assert_eq!(show(&rest), "ok ()");
    next.on_success(|element| assert!(matches!(element, Some(None))));
    assert_eq!(told.take(), "panic its end");
    assert!(push.push(Some(Bad)).is_ok());
    assert!(push.push(None).is_ok());
    s.last_new().on_success(|last| assert!(last.is_none()));
    assert_eq!(told.take(), "panic its end");
}
