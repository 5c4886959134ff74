//! React: what each combinator of signals does, beyond the examples in the documentation.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{Log, Unhandled};
use lwt_core::react::{Event, Signal, Step};

/// Counts calls.
fn counted<A: 'static, B>(
    calls: &Rc<Cell<usize>>,
    f: impl Fn(&A) -> B + 'static,
) -> impl FnMut(&A) -> B + 'static {
    let calls = calls.clone();
    move |a| {
        calls.set(calls.get() + 1);
        f(a)
    }
}

#[test]
fn equal_values_go_no_further() {
    let calls = Rc::new(Cell::new(0));
    let (n, set) = Signal::create(1);
    let parity = n.map(|n| n % 2);
    let next = parity.map(counted(&calls, |p| p + 1));
    [1, 3, 5, 6].into_iter().for_each(|n| set.set(n));
    assert_eq!((next.value(), calls.get()), (1, 2));
    let always = n.map_eq(|n| n % 2, |_, _| false);
    let next = always.map(counted(&calls, |p| p + 1));
    [8, 10].into_iter().for_each(|n| set.set(n));
    assert_eq!((next.value(), calls.get()), (1, 5));
}

#[test]
fn what_passes_values_on_has_their_equality() {
    let near = |a: &f64, b: &f64| (a - b).abs() < 1.0;
    let (n, set) = Signal::create_eq(1.0, near);
    let (positive, limited) = (n.filter(0.0, |n| *n > 0.0), n.on(&Signal::constant(true), 0.0));
    let changes = positive.changes().fold(0, |many, _| many + 1).hold(0);
    [1.5, 3.0, -7.0, 3.5].into_iter().for_each(|n| set.set(n));
    assert_eq!((positive.value(), limited.value(), changes.value()), (3.0, 3.5, 1));
}

#[test]
fn the_forms_with_an_equality() {
    let never = |_: &i32, _: &i32| false;
    let ((n, set), (e, send)) = (Signal::create(1), Event::create());
    let f = Signal::constant(|n: &i32| n / 2);
    let all = [
        n.map_eq(|n| n / 2, never),
        n.filter_map_eq(0, |n| Some(n / 2), never),
        f.app_eq(&n, never),
        Signal::merge_eq([n.clone(), n.clone()], 0, |sum, n| (sum + n) / 4, never),
        Signal::l1_eq(&n, |n| n / 2, never),
        Signal::l2_eq(&n, &n, |n, _| n / 2, never),
        Signal::l3_eq(&n, &n, &n, |n, _, _| n / 2, never),
        Signal::l4_eq(&n, &n, &n, &n, |n, _, _, _| n / 2, never),
        Signal::l5_eq(&n, &n, &n, &n, &n, |n, _, _, _, _| n / 2, never),
        Signal::l6_eq(&n, &n, &n, &n, &n, &n, |n, _, _, _, _, _| n / 2, never),
        e.hold_eq(0, never),
        Signal::fold_eq(&e, 0, |sum, _| *sum, never),
    ];
    let changes: Vec<_> = all.iter().map(|s| s.changes().fold(0, |many, _| many + 1).hold(0)).collect();
    [2, 3].into_iter().for_each(|n| set.set(n));
    [7, 7].into_iter().for_each(|n| send.send(n));
    assert_eq!(changes.iter().map(Signal::value).collect::<Vec<_>>(), [2; 12]);
}

#[test]
fn lifting_up_to_six() {
    let (n, set) = Signal::create(1);
    let all = [
        Signal::l1(&n, |a| *a),
        Signal::l3(&n, &n, &n, |a, b, c| a + b + c),
        Signal::l4(&n, &n, &n, &n, |a, b, c, d| a + b + c + d),
        Signal::l5(&n, &n, &n, &n, &n, |a, b, c, d, e| a + b + c + d + e),
        Signal::l6(&n, &n, &n, &n, &n, &n, |a, b, c, d, e, f| a + b + c + d + e + f),
    ];
    set.set(2);
    assert_eq!(all.each_ref().map(|s| s.value()), [2, 6, 8, 10, 12]);
}

#[test]
fn holding_and_dismissing() {
    let ((n, set), (on, switch)) = (Signal::create(1), Signal::create(false));
    let held = n.on(&on, 0);
    set.set(2);
    assert_eq!(held.value(), 0);
    switch.set(true);
    set.set(3);
    switch.set(false);
    set.set(4);
    assert_eq!(held.value(), 3);
    let (e, send) = Event::create();
    let dismissed = n.dismiss(&e, 0);
    let mut step = Step::new();
    set.set_in(&mut step, 5);
    send.send_in(&mut step, ());
    step.execute();
    assert_eq!(dismissed.value(), 4);
    send.send(());
    assert_eq!(dismissed.value(), 4, "no change, nothing to take");
    set.set(6);
    assert_eq!(dismissed.value(), 6);
}

#[test]
fn tracing() {
    let log = Log::new();
    let ((n, set), (on, switch)) = (Signal::create(1), Signal::create(true));
    let traced = n.trace_if(&on, {
        let log = log.clone();
        move |n| log.add(n)
    });
    set.set(2);
    switch.set(false);
    set.set(3);
    switch.set(true);
    assert_eq!((log.take().as_str(), traced.value()), ("1 2", 3));
    let all = n.trace({
        let log = log.clone();
        move |n| log.add(n)
    });
    set.set(4);
    assert_eq!((log.take().as_str(), all.value()), ("3 4 4", 4));
}

#[test]
fn binding_is_never_half_updated() {
    let log = Log::new();
    let (index, choose) = Signal::create(0);
    let (list, set) = Signal::create(vec![10, 11]);
    // The inner signal would be out of range if it saw a new list with an old index, or kept its turn.
    let chosen = index.bind({
        let list = list.clone();
        move |index| {
            let index = *index;
            list.map(move |list| list.get(index).copied().unwrap_or(-1))
        }
    });
    let seen = chosen.changes().map({
        let log = log.clone();
        move |n| log.add(n)
    });
    choose.set(1);
    let mut step = Step::new();
    set.set_in(&mut step, vec![20]);
    choose.set_in(&mut step, 0);
    step.execute();
    set.set(vec![30]);
    assert_eq!((log.take().as_str(), chosen.value()), ("11 20 30", 30));
    drop(seen);
}

#[test]
fn a_binding_has_an_equality_of_its_own() {
    let (which, choose) = Signal::create(1);
    let changes = |signal: &Signal<f64>| signal.changes().fold(0, |many, _| many + 1).hold(0);
    let exact = which.bind(|n| Signal::constant(f64::from(n % 3)));
    let near = which.bind_eq(|n| Signal::constant(f64::from(n % 3)), |a, b| (a - b).abs() < 1.5);
    let many = (changes(&exact), changes(&near));
    choose.set(4);
    assert_eq!((many.0.value(), many.1.value()), (0, 0), "another signal of the same value");
    choose.set(2);
    assert_eq!((exact.value(), near.value()), (2.0, 1.0));
    choose.set(3);
    assert_eq!((exact.value(), near.value()), (0.0, 1.0));
    choose.set(5);
    assert_eq!((many.0.value(), many.1.value()), (3, 0));
}

#[test]
fn who_gets_the_value_it_has_does_not_change() {
    let (on, set) = Signal::create(true);
    let (never_equal, set_value) = Signal::create_eq(1, |_, _| false);
    let many = never_equal.on(&on, 0).changes().fold(0, |many, _| many + 1).hold(0);
    [false, true].into_iter().for_each(|value| set.set(value));
    assert_eq!(many.value(), 0);
    set_value.set(1);
    assert_eq!(many.value(), 1);
}

#[test]
fn no_signal_is_made_from_itself() {
    let unhandled = Unhandled::collect();
    let (signals, switch) = Event::create();
    let value = signals.hold(Signal::constant(1)).switch();
    let own = value.map(|n| n + 1).map(|n| n + 1);
    switch.send(own);
    assert_eq!(unhandled.take(), "panic a signal was switched to one that is made from it");
    assert_eq!(value.value(), 1);
    switch.send(Signal::constant(5));
    assert_eq!(value.value(), 5);
}

#[test]
fn loops_with_a_delay() {
    // The sum of all values so far: itself a moment ago, and the change.
    let (n, set) = Signal::create(1);
    let history = Signal::fix(String::new(), |before| {
        let now = before.sample(&n.changes(), |n, before| format!("{before}{n}")).hold("1".to_owned());
        (now.clone(), now)
    });
    [2, 3].into_iter().for_each(|n| set.set(n));
    assert_eq!(history.value(), "123");
    // The first value of the loop is taken over before anything else.
    let (delayed, signal) = Signal::fix(0, |before| (n.clone(), (before.clone(), n.clone())));
    assert_eq!((delayed.value(), signal.value()), (3, 3));
    set.set(7);
    assert_eq!(delayed.value(), 7);
    let itself = Signal::fix_eq(5, |before| (before.clone(), before.clone()), |a, b| a == b);
    assert_eq!(itself.value(), 5);
}

#[test]
fn booleans_and_ends() {
    let log = Log::new();
    let (a, set) = Signal::create(false);
    let seen = [
        a.rise().map({
            let log = log.clone();
            move |()| log.add("rise")
        }),
        a.fall().map({
            let log = log.clone();
            move |()| log.add("fall")
        }),
        a.edge().map({
            let log = log.clone();
            move |edge| log.add(edge)
        }),
    ];
    [true, true, false].into_iter().for_each(|value| set.set(value));
    assert_eq!(log.take(), "true rise false fall");
    assert!(a == a.clone() && Signal::constant(1) == Signal::constant(1));
    assert!(Signal::constant(1) != Signal::constant(2) && a != Signal::constant(false));
    a.stop();
    set.set(true);
    assert!(!a.value() && a.is_stopped() && !set.is_wanted() && a == Signal::constant(false));
    assert!(Signal::constant(Some(1)).has_some().value());
    assert!(format!("{a:?} {set:?}").contains("wanted: false"));
    drop(seen);
}
