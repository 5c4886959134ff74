//! React: what each combinator of events does, beyond the examples in the documentation.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::Unhandled;
use lwt_core::react::{Event, Signal, Step};

/// What occurs while it is looked at.
struct Seen<T: 'static> {
    all: Rc<RefCell<Vec<T>>>,
    _watching: Event<()>,
}

impl<T: Clone + 'static> Seen<T> {
    fn new(event: &Event<T>) -> Seen<T> {
        let all: Rc<RefCell<Vec<T>>> = Rc::default();
        let sink = all.clone();
        Seen { all, _watching: event.map(move |value| sink.borrow_mut().push(value.clone())) }
    }

    fn take(&self) -> Vec<T> {
        self.all.take()
    }
}

#[test]
fn filters() {
    let (n, send) = Event::create();
    let (once, rest) = (Seen::new(&n.once()), Seen::new(&n.drop_once()));
    let (changes, near) = (Seen::new(&n.changes()), Seen::new(&n.changes_eq(|a: &i32, b| (a - b).abs() < 2)));
    let (diff, stamp) = (Seen::new(&n.diff(|a, b| a - b)), Seen::new(&n.stamp("x")));
    [1, 1, 2, 5].into_iter().for_each(|n| send.send(n));
    assert_eq!((once.take(), rest.take()), (vec![1], vec![1, 2, 5]));
    assert_eq!((changes.take(), near.take()), (vec![1, 2, 5], vec![1, 5]));
    assert_eq!((diff.take(), stamp.take()), (vec![0, 1, 3], vec!["x"; 4]));
}

#[test]
fn values_need_not_be_clone() {
    #[derive(Debug, PartialEq)]
    struct Unique(i32);
    let (event, send) = Event::create();
    let passed = Event::select([event.filter(|u: &Unique| u.0 > 1).once(), Event::never()]).hold(Unique(0));
    send.send(Unique(1));
    send.send(Unique(2));
    passed.with(|u| assert_eq!(*u, Unique(2)));
}

#[test]
fn simultaneous_or_not() {
    let ((a, send_a), (b, send_b)) = (Event::create(), Event::create());
    let first = Seen::new(&Event::select([a.clone(), b.clone()]));
    let sum = Seen::new(&Event::merge([a.clone(), b.clone(), a.clone()], 0, |sum, n: &i32| sum * 10 + n));
    let both = Seen::new(&Event::l2(&a, &b, |a, b| (*a, *b)));
    let not_b = Seen::new(&a.dismiss(&b));
    let until_b = Seen::new(&a.until(&b));
    let app = Seen::new(
        &a.map(|a| {
            let a = *a;
            move |b: &i32| a - b
        })
        .app(&b),
    );
    send_a.send(1);
    let mut step = Step::new();
    send_b.send_in(&mut step, 3);
    send_a.send_in(&mut step, 2);
    step.execute();
    send_b.send(4);
    send_a.send(5);
    assert_eq!(first.take(), [1, 2, 4, 5]);
    assert_eq!(sum.take(), [11, 232, 4, 55]);
    assert_eq!(both.take(), [(2, 3)]);
    assert_eq!(not_b.take(), [1, 5]);
    assert_eq!(until_b.take(), [1]);
    assert_eq!(app.take(), [-1]);
}

#[test]
fn lifting_up_to_six() {
    let (n, send) = Event::create();
    let l1 = Seen::new(&Event::l1(&n, |a: &i32| *a));
    let l3 = Seen::new(&Event::l3(&n, &n, &n, |a, b, c| a + b + c));
    let l4 = Seen::new(&Event::l4(&n, &n, &n, &n, |a, b, c, d| a + b + c + d));
    let l5 = Seen::new(&Event::l5(&n, &n, &n, &n, &n, |a, b, c, d, e| a + b + c + d + e));
    let l6 = Seen::new(&Event::l6(&n, &n, &n, &n, &n, &n, |a, b, c, d, e, f| a + b + c + d + e + f));
    send.send(1);
    let all = [l1.take(), l3.take(), l4.take(), l5.take(), l6.take()].concat();
    assert_eq!(all, [1, 3, 4, 5, 6]);
}

#[test]
fn switching() {
    let ((a, send_a), (b, send_b)) = (Event::create(), Event::create());
    let (events, switch) = Event::create();
    let deep_b = b.map(|n| n * 10).map(|n| n + 1).map(|n| n + 1);
    let seen = Seen::new(&a.switch(&events).map(|n: &i32| *n));
    send_a.send(1);
    // At the same time as the switch it is the new one that counts, deep as it is.
    let mut step = Step::new();
    send_a.send_in(&mut step, 2);
    send_b.send_in(&mut step, 3);
    switch.send_in(&mut step, deep_b.clone());
    step.execute();
    send_a.send(4);
    send_b.send(5);
    switch.send(deep_b);
    send_b.send(6);
    switch.send(a);
    send_a.send(7);
    assert_eq!(seen.take(), [1, 32, 52, 62, 7]);
}

#[test]
fn switching_to_what_is_made_inside() {
    let (n, send) = Event::create();
    // Each occurrence makes a new event of the occurrences from there on, this one included.
    let made = n.map({
        let n = n.clone();
        move |start: &i32| {
            let start = *start;
            n.map(move |n| n * 100 + start).map(|n| *n)
        }
    });
    let seen = Seen::new(&Event::never().switch(&made.once()));
    send.send(1);
    send.send(2);
    assert_eq!(seen.take(), [101, 201]);
}

#[test]
fn no_event_is_made_from_itself() {
    let unhandled = Unhandled::collect();
    let (a, send) = Event::create();
    let (events, switch) = Event::create();
    let result = a.switch(&events);
    let own = result.map(|n: &i32| n + 1).map(|n| n + 1);
    let seen = Seen::new(&result);
    send.send(1);
    switch.send(Event::select([a.clone(), own.clone()]));
    assert_eq!(unhandled.take(), "panic an event was switched to one that is made from it");
    send.send(2);
    switch.send(a);
    send.send(3);
    assert_eq!(seen.take(), [1, 3]);
    drop(own);
}

#[test]
fn loops_with_a_delay() {
    let (start, send) = Event::create();
    // Collatz: each occurrence is followed by the next one, in a step of its own, before others that wait.
    let (path, seen) = Event::fix(|before: Event<u32>| {
        let next = before.filter(|n| *n > 1).map(|n| if n % 2 == 0 { n / 2 } else { 3 * n + 1 });
        let path = Event::select([start.clone(), next]);
        (path.clone(), (path.clone(), Seen::new(&path)))
    });
    send.send(6);
    assert_eq!(seen.take(), [6, 3, 10, 5, 16, 8, 4, 2, 1]);
    drop(path);
}

#[test]
fn what_is_sent_waits_for_the_echo() {
    let (a, send_a) = Event::create();
    let (b, send_b) = Event::create();
    let (all, seen) = Event::fix(|before: Event<i32>| {
        let echo = before.filter(|n| *n < 10).map(|n| n + 10);
        let all = Event::select([a.clone(), b.clone(), echo]);
        (all.clone(), (all.clone(), Seen::new(&all)))
    });
    let feeding = a.map(move |_| send_b.send(2));
    send_a.send(1);
    assert_eq!(seen.take(), [1, 11, 2, 12]);
    drop((all, feeding));
}

#[test]
fn gates_traces_and_options() {
    let ((n, send), (on, set)) = (Event::create(), Signal::create(false));
    let traced: Rc<RefCell<Vec<i32>>> = Rc::default();
    let (open, passing) = (Seen::new(&n.on(&on)), {
        let traced = traced.clone();
        Seen::new(&n.trace_if(&on, move |n: &i32| traced.borrow_mut().push(*n)))
    });
    send.send(1);
    let mut step = Step::new();
    send.send_in(&mut step, 2);
    set.set_in(&mut step, true);
    step.execute();
    set.set(false);
    assert_eq!((open.take(), passing.take(), traced.take()), (vec![2], vec![1, 2], vec![2]));
    let (option, send) = Event::create();
    let (default, set) = Signal::create(9);
    let (values, or) = (Seen::new(&option.values()), Seen::new(&option.values_or(&default)));
    send.send(Some(1));
    set.set(8);
    send.send(None);
    assert_eq!((values.take(), or.take()), (vec![1], vec![1, 8]));
}

#[test]
fn identity_and_ends() {
    let ((a, send), (b, _)) = (Event::create(), Event::<i32>::create());
    assert!(a == a.clone() && a != b && Event::<i32>::never() == Event::never());
    assert!(!a.is_stopped() && Event::<i32>::never().is_stopped());
    let seen = Seen::new(&a);
    assert!(send.is_wanted());
    a.stop();
    assert!(!send.is_wanted());
    send.send(1);
    assert_eq!(seen.take(), []);
    assert!(format!("{a:?} {send:?}").contains("stopped: true"));
}
