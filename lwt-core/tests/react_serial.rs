//! React: the `_s` and `_p` forms: order, failures, and what a cancel or a drop leaves at each point where
//! they wait.

mod common;
#[path = "common/events.rs"]
mod events;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "common/seeded.rs"]
mod seeded;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Drops, Log, Unhandled, heavy, on_small_stack, show, watchdog};
use events::noted;
use lwt_core::react::{Event, Sender, Setter, Signal};
use lwt_core::{Canceller, Error, Promise, Resolver, State, task};
use seeded::quietly;

/// Calls that were made and not answered yet, oldest first.
struct Calls<U> {
    open: Rc<RefCell<Vec<(i32, Resolver<U>, Canceller)>>>,
}

impl<U: Clone + 'static> Calls<U> {
    fn new() -> Calls<U> {
        Calls { open: Rc::default() }
    }

    /// A function whose calls are answered later.
    fn f(&self) -> impl FnMut(&i32) -> Promise<U> + 'static {
        let open = self.open.clone();
        move |n| {
            let (promise, resolver) = task();
            open.borrow_mut().push((*n, resolver, promise.canceller()));
            promise
        }
    }

    fn arguments(&self) -> Vec<i32> {
        self.open.borrow().iter().map(|(n, ..)| *n).collect()
    }

    fn take(&self, argument: i32) -> (Resolver<U>, Canceller) {
        let mut open = self.open.borrow_mut();
        let at = open.iter().position(|(n, ..)| *n == argument).expect("such a call");
        let (_, resolver, canceller) = open.remove(at);
        (resolver, canceller)
    }

    fn answer(&self, argument: i32, value: U) {
        let (resolver, _) = self.take(argument);
        resolver.wakeup(value);
    }
}

fn send_all(sender: &Sender<i32>, all: impl IntoIterator<Item = i32>) {
    all.into_iter().for_each(|n| sender.send(n));
}

fn set_all(setter: &Setter<i32>, all: impl IntoIterator<Item = i32>) {
    all.into_iter().for_each(|n| setter.set(n));
}

/// The signal of a fulfilled promise.
fn signal<T: 'static>(promise: &Promise<Signal<T>>) -> Signal<T> {
    match promise.state() {
        State::Fulfilled(signal) => signal.clone(),
        _ => panic!("there is no signal"),
    }
}

#[test]
fn one_after_the_other() {
    let (log, calls) = (Log::new(), Calls::new());
    let (event, send) = Event::create();
    let seen = noted(&event.map_s(calls.f()), &log);
    send_all(&send, 1..4);
    assert_eq!(calls.arguments(), [1]);
    calls.answer(1, 10);
    assert_eq!((log.take().as_str(), calls.arguments()), ("10", vec![2]));
    calls.answer(2, 20);
    calls.answer(3, 30);
    assert_eq!(log.take(), "20 30");
    drop(seen);
}

#[test]
fn all_at_once() {
    let (log, calls) = (Log::new(), Calls::new());
    let (event, send) = Event::create();
    let seen = noted(&event.map_p(calls.f()), &log);
    send_all(&send, 1..4);
    assert_eq!(calls.arguments(), [1, 2, 3]);
    [3, 1, 2].into_iter().for_each(|n| calls.answer(n, n * 10));
    assert_eq!(log.take(), "30 10 20");
    drop(seen);
}

#[test]
fn filters() {
    let log = Log::new();
    let (keep, some) = (Calls::new(), Calls::new());
    let (event, send) = Event::create();
    let seen = (
        noted(&event.filter_s(keep.f()), &log),
        noted(&event.filter_map_p(some.f()), &log),
        noted(&event.filter_p(|n| Promise::ready(n % 2 == 0)).map(|n| n * 100), &log),
        noted(&event.filter_map_s(|n| Promise::ready((n % 2 == 1).then_some(n * 1000))), &log),
    );
    send_all(&send, 1..3);
    assert_eq!(log.take(), "1000 200");
    keep.answer(1, true);
    keep.answer(2, false);
    some.answer(2, Some(20));
    some.answer(1, None);
    assert_eq!(log.take(), "1 20");
    drop(seen);
}

#[test]
fn failures_and_cancels_take_their_turn() {
    quietly(|| {
        let unhandled = Unhandled::collect();
        let (log, calls) = (Log::new(), Calls::new());
        let (event, send) = Event::create();
        let mut f = calls.f();
        let seen = noted(&event.map_s(move |n| if *n == 3 { panic!("three") } else { f(n) }), &log);
        send_all(&send, 1..6);
        calls.take(1).0.wakeup_err(Error::msg("one"));
        assert_eq!(unhandled.take(), "error one");
        calls.take(2).1.cancel();
        assert_eq!(unhandled.take(), "panic three", "a cancel is no failure; and 4 has its turn");
        drop(calls.take(4));
        assert_eq!(unhandled.take(), "abandoned");
        calls.answer(5, 50);
        assert_eq!((log.take().as_str(), unhandled.take().as_str()), ("50", ""));
        let parallel = noted(&event.map_p(calls.f()), &log);
        send_all(&send, [6, 7]);
        calls.take(6).0.wakeup_err(Error::msg("six"));
        assert_eq!(unhandled.take(), "error six");
        drop((seen, parallel));
    });
}

#[test]
fn a_dropped_event_lets_its_call_go_on() {
    let drops = Drops::new();
    for stop in [false, true] {
        let calls = Calls::<i32>::new();
        let (event, send) = Event::create();
        let (token, mut f) = (drops.token(), calls.f());
        let mapped = event.map_s(move |n| {
            let _ = &token;
            f(n)
        });
        send_all(&send, 1..3);
        if stop {
            mapped.stop();
        } else {
            drop(mapped.clone());
            drop(mapped);
        }
        let (resolver, _) = calls.take(1);
        assert!(resolver.is_wanted(), "a call is never cut off");
        resolver.wakeup(10);
        assert_eq!(calls.arguments(), [], "what waited is not called for");
    }
    assert_eq!(drops.count(), 2);
    // And no failure is lost.
    let unhandled = Unhandled::collect();
    let calls = Calls::<i32>::new();
    let (event, send) = Event::create();
    let mapped = event.map_s(calls.f());
    send.send(1);
    drop(mapped);
    calls.take(1).0.wakeup_err(Error::msg("late"));
    assert_eq!(unhandled.take(), "error late");
}

#[test]
fn an_event_that_is_dropped_by_its_call_has_no_further_ones() {
    let (log, calls) = (Log::new(), Calls::new());
    let (event, send) = Event::create();
    let made: Rc<RefCell<Option<Event<i32>>>> = Rc::default();
    let (mut first, own, called) = (calls.f(), made.clone(), log.clone());
    let mapped = event.map_s(move |n| {
        called.add(n);
        if *n == 1 {
            return first(n);
        }
        drop(own.take());
        Promise::ready(0)
    });
    made.replace(Some(mapped));
    send_all(&send, 1..5);
    calls.answer(1, 10);
    assert_eq!(log.take(), "1 2");
}

#[test]
fn accumulating() {
    let (log, calls) = (Log::new(), Calls::new());
    let (event, send) = Event::create();
    let mut f = calls.f();
    let unhandled = Unhandled::collect();
    let seen = noted(
        &event.fold_s(100, move |sum, n| {
            let sum = *sum;
            f(n).map(move |m: i32| sum + m)
        }),
        &log,
    );
    send_all(&send, 1..4);
    calls.answer(1, 1);
    calls.take(2).0.wakeup_err(Error::msg("no"));
    calls.answer(3, 3);
    assert_eq!((log.take().as_str(), unhandled.take().as_str()), ("101 104", "error no"));
    let diffs = noted(&event.diff_s(|now, before| Promise::ready(now - before)), &log);
    send_all(&send, [5, 9]);
    assert_eq!(log.take(), "4");
    drop((seen, diffs));
}

#[test]
fn the_function_may_set_off_the_event() {
    let log = Log::new();
    let (event, send) = Event::create();
    let again = send.clone();
    let mapped = event.map_s(move |n: &i32| {
        if *n < 3 {
            again.send(n + 1);
        }
        Promise::ready(n * 10)
    });
    let seen = noted(&mapped, &log);
    send.send(1);
    assert_eq!(log.take(), "10 20 30");
    drop(seen);
}

#[test]
fn many_that_wait_and_deep_chains() {
    on_small_stack(|| {
        let _dog = watchdog();
        let many = heavy(300_000, 30_000, 100);
        let (promise, resolver) = task();
        let mut first = Some(promise);
        let (event, send) = Event::create();
        let sum = event.fold_s(0, move |sum, n| {
            let next = sum + n;
            first.take().unwrap_or_else(|| Promise::ready(next))
        });
        let last = sum.hold(0);
        (0..=many).for_each(|_| send.send(1));
        resolver.wakeup(0);
        assert_eq!(last.value(), many);
        let (event, send) = Event::create();
        let mut chain = event.clone();
        for _ in 0..many {
            chain = chain.map_s(|n| Promise::ready(n + 1));
        }
        let last = chain.hold(0);
        drop(chain);
        send.send(0);
        assert_eq!(last.value(), many);
    });
}

// ---- signals ----

#[test]
fn a_signal_is_there_with_the_first_answer() {
    let calls = Calls::new();
    let (n, set) = Signal::create(1);
    let promise = n.map_s(calls.f());
    set_all(&set, [2, 3]);
    assert_eq!((show(&promise.clone().map(drop)), calls.arguments()), ("pending".into(), vec![1]));
    let seen = promise.clone().map(|signal| signal.value());
    calls.answer(1, 10);
    assert_eq!((show(&seen), calls.arguments()), ("ok 10".into(), vec![2]));
    calls.answer(2, 20);
    calls.answer(3, 30);
    assert_eq!(signal(&promise).value(), 30, "nothing was lost while it waited");
}

#[test]
fn changes_while_the_first_answer_is_there_at_once() {
    let log = Log::new();
    let (n, set) = Signal::create(1);
    let again = set.clone();
    let promise = n.map_s(move |n| {
        again.set((n + 1).min(3));
        Promise::ready(n * 10)
    });
    let mapped = signal(&promise);
    let seen = noted(&mapped.changes(), &log);
    assert_eq!(mapped.value(), 30);
    set.set(2);
    assert_eq!(log.take(), "20 30");
    drop(seen);
}

#[test]
fn a_first_answer_that_fails_or_is_cancelled() {
    let unhandled = Unhandled::collect();
    let calls = Calls::<i32>::new();
    let (n, set) = Signal::create(1);
    let failed = n.map_s(calls.f());
    set.set(2);
    calls.take(1).0.wakeup_err(Error::msg("no"));
    assert_eq!((show(&failed.map(drop)), calls.arguments()), ("error no".into(), vec![]));
    let cancelled = n.map_s(calls.f());
    cancelled.cancel();
    assert_eq!(show(&cancelled.map(drop)), "canceled");
    assert_eq!(calls.take(2).0.try_wakeup(5), Err(5), "the cancel has reached the call");
    // Dropped: the call goes on, and so does what had waited for its answer; then it is over.
    drop(n.map_s(calls.f()));
    set.set(3);
    calls.answer(2, 20);
    set.set(4);
    assert_eq!((calls.arguments(), unhandled.take().as_str()), (vec![3], ""));
    calls.answer(3, 30);
    assert_eq!(calls.arguments(), []);
    assert_eq!(show(&n.map_s::<i32>(|_| panic!("at once")).map(drop)), "panic at once");
    assert_eq!(unhandled.take(), "");
}

#[test]
fn the_family_of_signals() {
    let ((a, set), (b, set_b)) = (Signal::create(1), Signal::create(2));
    let even = |n: &i32| n % 2 == 0;
    let f = Signal::constant(|n: &i32| Promise::ready(n * 100));
    let all = [
        a.map_s(|n| Promise::ready(n * 10)),
        a.filter_s(0, move |n| Promise::ready(even(n))),
        a.filter_map_s(0, move |n| Promise::ready(even(n).then_some(n * 3))),
        f.app_s(&a),
        Signal::merge_s([a.clone(), b.clone()], 1000, |sum, n| Promise::ready(sum + n)),
        Signal::l1_s(&a, |a| Promise::ready(*a)),
        Signal::l2_s(&a, &b, |a, b| Promise::ready(a + b)),
        Signal::l3_s(&a, &b, &a, |a, b, c| Promise::ready(a + b + c)),
        Signal::l4_s(&a, &b, &a, &b, |a, b, c, d| Promise::ready(a + b + c + d)),
        Signal::l5_s(&a, &b, &a, &b, &a, |a, b, c, d, e| Promise::ready(a + b + c + d + e)),
        Signal::l6_s(&a, &b, &a, &b, &a, &b, |a, b, c, d, e, f| Promise::ready(a + b + c + d + e + f)),
    ]
    .map(|promise| signal(&promise));
    let values = || all.each_ref().map(Signal::value);
    assert_eq!(values(), [10, 0, 0, 100, 1003, 1, 3, 4, 6, 7, 9]);
    set.set(4);
    assert_eq!(values(), [40, 4, 12, 400, 1006, 4, 6, 10, 12, 16, 18]);
    set_b.set(0);
    set.set(3);
    assert_eq!(values(), [30, 4, 12, 300, 1003, 3, 3, 6, 6, 9, 9]);
}

#[test]
fn the_family_with_an_equality() {
    let never = |_: &i32, _: &i32| false;
    let ((a, set), (e, send)) = (Signal::create(1), Event::create());
    let f = Signal::constant(|_: &i32| Promise::ready(0));
    let g = e.map(|n: &i32| {
        let n = *n;
        move |_: &i32| Promise::ready(n)
    });
    let promises = [
        a.map_s_eq(|_| Promise::ready(0), never),
        a.filter_map_s_eq(0, |_| Promise::ready(Some(0)), never),
        f.app_s_eq(&a, never),
        Signal::merge_s_eq([a.clone()], 0, |sum, _| Promise::ready(sum), never),
        Signal::l1_s_eq(&a, |_| Promise::ready(0), never),
        Signal::l2_s_eq(&a, &a, |_, _| Promise::ready(0), never),
        Signal::l3_s_eq(&a, &a, &a, |_, _, _| Promise::ready(0), never),
        Signal::l4_s_eq(&a, &a, &a, &a, |_, _, _, _| Promise::ready(0), never),
        Signal::l5_s_eq(&a, &a, &a, &a, &a, |_, _, _, _, _| Promise::ready(0), never),
        Signal::l6_s_eq(&a, &a, &a, &a, &a, &a, |_, _, _, _, _, _| Promise::ready(0), never),
        a.map_eq(|_| Promise::ready(0), |_, _| false).run_s_eq(never),
        Promise::ready(Signal::fold_s_eq(&e, 0, |sum, _| Promise::ready(*sum), never)),
        Promise::ready(Signal::accum_s_eq(&g, 0, never)),
        Promise::ready(Signal::accum_eq(&e.map(|_| |n: &i32| *n), 0, never)),
    ];
    let all = promises.each_ref().map(signal);
    let changes = all.each_ref().map(|s| s.changes().fold(0, |many, _| many + 1).hold(0));
    set_all(&set, [2, 3]);
    send_all(&send, [0, 0]);
    assert_eq!(changes.each_ref().map(Signal::value), [2; 14]);
}

#[test]
fn sampling_takes_the_value_of_the_time() {
    let (log, calls) = (Log::new(), Calls::new());
    let ((n, set), (event, send)) = (Signal::create(1), Event::create());
    let mut f = calls.f();
    let sampled = n.sample_s(&event, move |a, n| {
        let n = *n;
        f(a).map(move |a: i32| a + n)
    });
    let seen = noted(&sampled, &log);
    send.send(10);
    set.set(2);
    send.send(20);
    set.set(3);
    calls.answer(10, 10);
    calls.answer(20, 20);
    assert_eq!(log.take(), "11 22");
    let diffs = noted(&n.diff_s(|now, before| Promise::ready(now * 10 + before)), &log);
    set_all(&set, [4, 5]);
    assert_eq!(log.take(), "43 54");
    drop((seen, diffs));
}

#[test]
fn binding_and_running() {
    let calls = Calls::new();
    let (n, set) = Signal::create(1);
    let bound = n.bind_s(calls.f());
    let ((x, set_x), (y, set_y)) = (Signal::create(10), Signal::create(20));
    calls.answer(1, x);
    let bound = signal(&bound);
    set_x.set(11);
    set.set(2);
    assert_eq!(bound.value(), 11, "as long as there is no answer");
    set_x.set(12);
    calls.answer(2, y);
    set_x.set(13);
    set_y.set(21);
    assert_eq!(bound.value(), 21);
    let log = Log::new();
    let (event, send) = Event::create();
    let seen = (noted(&event.run_s(), &log), noted(&event.run_p().map(|n| n * 10), &log));
    let ((p, first), (q, second)) = (task(), task());
    send.send(p.clone());
    send.send(q);
    second.wakeup(2);
    assert_eq!(log.take(), "20");
    p.cancel();
    assert_eq!(log.take(), "2", "a cancelled promise does not hold up the others");
    drop((seen, first));
}

#[test]
fn merging_one_promise_after_the_other() {
    let (log, calls) = (Log::new(), Calls::new());
    let (n, send) = Event::create();
    let doubled = n.map(|n| n * 2);
    let mut f = calls.f();
    let merged = Event::merge_s([n, doubled], String::new(), move |sum, n| {
        f(n).map(move |m: i32| format!("{sum}{m}"))
    });
    let seen = noted(&merged, &log);
    send.send(1);
    assert_eq!(calls.arguments(), [1]);
    calls.answer(1, 7);
    assert_eq!(calls.arguments(), [2]);
    calls.answer(2, 8);
    assert_eq!(log.take(), "78");
    drop(seen);
}
