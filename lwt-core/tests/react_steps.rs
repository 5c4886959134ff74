//! React: what a step is: order, sends inside it, panics, simultaneous changes, what is made and dropped
//! inside.

mod common;
#[path = "common/events.rs"]
mod events;
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "common/seeded.rs"]
mod seeded;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Drops, Log, Unhandled, heavy, on_small_stack, show, watchdog};
use events::noted;
use lwt_core::Key;
use lwt_core::react::{Event, Sender, Signal, Step};
use seeded::quietly;

#[test]
fn a_diamond_is_seen_once_and_whole() {
    let log = Log::new();
    let (n, set) = Signal::create(1);
    let (double, square) = (n.map(|n| n * 2), n.map(|n| n * n));
    let deep = square.map(|n| *n).map(|n| *n);
    let sum = Signal::l3(&n, &double, &deep, {
        let log = log.clone();
        move |n, double, square| {
            log.add(format!("{n}:{double}:{square}"));
            n + double + square
        }
    });
    set.set(3);
    set.set(3);
    assert_eq!(log.take(), "1:2:1 3:6:9");
    assert_eq!(sum.value(), 18);
}

#[test]
fn a_send_inside_a_step_waits_its_turn() {
    let log = Log::new();
    let (a, send_a) = Event::create();
    let (b, send_b) = Event::create();
    let seen = [noted(&a, &log), noted(&b, &log)];
    let feeding = a.map({
        let log = log.clone();
        move |n: &i32| {
            log.add("in");
            send_b.send(n * 10);
            send_b.send(n * 10 + 1);
            log.add("out");
        }
    });
    send_a.send(1);
    assert_eq!(log.take(), "1 in out 10 11");
    drop((seen, feeding));
}

#[test]
fn a_function_may_change_its_source_while_its_signal_is_made() {
    let (n, set) = Signal::create(1);
    let up_to_three = move |n: &i32| {
        if *n < 3 {
            set.set(n + 1);
        }
        n * 10
    };
    let log = Log::new();
    let made = n.map(up_to_three);
    assert_eq!((n.value(), made.value()), (3, 30));
    let (first, _set) = Signal::create(0);
    let (m, set) = Signal::create(1);
    let sum = Signal::l2(&first, &m, {
        let log = log.clone();
        move |_, n| {
            log.add(n);
            if *n < 3 {
                set.set(n + 1);
            }
            n * 10
        }
    });
    assert_eq!((sum.value(), log.take().as_str()), (30, "1 2 3"));
    quietly(|| {
        let (n, set) = Signal::create(1);
        let double = n.map(|n| n * 2);
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            n.filter(0, move |_| {
                set.set(5);
                panic!("the first call")
            })
        }));
        assert!(made.is_err());
        assert_eq!(double.value(), 10, "what was set is set");
    });
}

#[test]
fn feedback_runs_in_constant_stack() {
    on_small_stack(|| {
        let _dog = watchdog();
        let many = heavy(1_000_000, 100_000, 300);
        let (event, sender) = Event::create();
        let kick = sender.clone();
        let again = event.map(move |n| {
            if *n < many {
                sender.send(n + 1);
            }
        });
        let last = event.hold(0);
        kick.send(0);
        assert_eq!(last.value(), many);
        drop(again);
    });
}

#[test]
fn a_panic_stays_where_it_happens() {
    quietly(|| {
        let unhandled = Unhandled::collect();
        let log = Log::new();
        let (n, set) = Signal::create(1);
        let bad = n.map(|n| if *n == 2 { panic!("two") } else { *n });
        let good = noted(&n.changes(), &log);
        let after_bad = noted(&bad.changes(), &log);
        set.set(2);
        assert_eq!(bad.value(), 1, "it keeps its value");
        assert_eq!(log.take(), "2");
        assert_eq!(unhandled.take(), "panic two");
        set.set(3);
        assert_eq!((bad.value(), log.take()), (3, "3 3".into()), "it goes on");
        drop((good, after_bad));
    });
}

#[test]
fn a_comparison_that_panics_takes_nothing() {
    quietly(|| {
        let unhandled = Unhandled::collect();
        let (n, set) = Signal::create_eq(1, |a, b| if *b == 2 { panic!("eq") } else { a == b });
        set.set(2);
        assert_eq!((n.value(), unhandled.take()), (1, "panic eq".into()));
        set.set(3);
        assert_eq!(n.value(), 3);
    });
}

/// Does something when it is dropped or compared.
struct Busy {
    number: i32,
    sender: Sender<i32>,
    panics: bool,
}

impl PartialEq for Busy {
    fn eq(&self, other: &Busy) -> bool {
        self.sender.send(100 + other.number);
        self.number == other.number
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.sender.send(self.number);
        if self.panics {
            panic!("drop {}", self.number);
        }
    }
}

#[test]
fn drops_and_comparisons_may_send() {
    quietly(|| {
        let unhandled = Unhandled::collect();
        let log = Log::new();
        let (told, sender) = Event::create();
        let seen = noted(&told, &log);
        let busy = |number, panics| Busy { number, sender: sender.clone(), panics };
        let (signal, set) = Signal::create(busy(1, false));
        set.set(busy(1, true));
        assert_eq!((log.take().as_str(), unhandled.take().as_str()), ("101 1", "panic drop 1"));
        set.set(busy(2, true));
        assert_eq!(log.take(), "102 1");
        drop(signal);
        assert_eq!((log.take().as_str(), unhandled.take().as_str()), ("2", "panic drop 2"));
        let (event, send) = Event::create();
        send.send(busy(3, true));
        assert_eq!((log.take().as_str(), unhandled.take().as_str()), ("3", "panic drop 3"));
        drop((seen, event));
    });
}

#[test]
fn a_step_of_several_changes() {
    let log = Log::new();
    let ((a, set_a), (b, send_b)) = (Signal::create(1), Event::create());
    let both = noted(&a.sample(&b, |b: &i32, a| format!("{b}@{a}")), &log);
    let mut step = Step::new();
    send_b.send_in(&mut step, 7);
    set_a.set_in(&mut step, 2);
    send_b.send_in(&mut step, 8);
    assert_eq!(log.take(), "");
    step.execute();
    assert_eq!(log.take(), "8@2", "simultaneous; the later of two counts");
    drop(Step::new());
    drop(both);
}

#[test]
fn there_and_back_in_one_step_is_no_change() {
    let log = Log::new();
    let (n, set) = Signal::create(1);
    let seen = noted(&n.changes(), &log);
    let mut step = Step::new();
    [2, 3, 1].into_iter().for_each(|n| set.set_in(&mut step, n));
    step.execute();
    assert_eq!((n.value(), log.take().as_str()), (1, ""));
    drop(seen);
}

#[test]
fn a_value_that_panics_in_its_drop_takes_nothing_from_the_step() {
    quietly(|| {
        let unhandled = Unhandled::collect();
        let (sender, log) = (Event::create().1, Log::new());
        let busy = |number| Busy { number, sender: sender.clone(), panics: true };
        let ((gone, send_gone), (event, send)) = (Event::create(), Event::create());
        let seen = noted(&event, &log);
        drop(gone);
        let mut step = Step::new();
        send_gone.send_in(&mut step, busy(1));
        send_gone.send_in(&mut step, busy(2));
        send.send_in(&mut step, 3);
        step.execute();
        assert_eq!((log.take().as_str(), unhandled.take().as_str()), ("3", "panic drop 1, panic drop 2"));
        drop(seen);
    });
}

#[test]
fn what_loops_feed_back_from_one_step_comes_in_one_step() {
    let log = Log::new();
    let (event, send) = Event::create();
    let doubled = event.map(|n: &i32| n * 2);
    let both = Event::fix(|a| {
        let both = Event::fix(|b| (doubled.clone(), Event::l2(&a, &b, |a, b| format!("{a}+{b}"))));
        (event.clone(), both)
    });
    let seen = (noted(&both, &log), noted(&event, &log));
    let mut step = Step::new();
    [7, 1].into_iter().for_each(|n| send.send_in(&mut step, n));
    step.execute();
    assert_eq!(log.take(), "1 1+2", "once, of the later one");
    let again = event.map({
        let send = send.clone();
        move |n| {
            if *n == 2 {
                send.send(3)
            }
        }
    });
    send.send(2);
    assert_eq!(log.take(), "2 2+4 3 3+6", "before what was sent meanwhile");
    drop((seen, again));
}

#[test]
fn what_is_made_inside_a_step_takes_part_in_it() {
    let log = Log::new();
    let (n, send) = Event::create();
    let made: Rc<RefCell<Vec<Event<()>>>> = Rc::default();
    let making = n.map({
        let (n, log, made) = (n.clone(), log.clone(), made.clone());
        move |value: &i32| {
            if made.borrow().is_empty() {
                log.add(format!("made by {value}"));
                let event = noted(&n.map(|n| n * 2).map(|n| n + 1), &log);
                made.borrow_mut().push(event);
            }
        }
    });
    send.send(1);
    assert_eq!(log.take(), "made by 1 3");
    send.send(2);
    assert_eq!(log.take(), "5");
    drop(making);
}

#[test]
fn what_is_dropped_or_stopped_inside_a_step_does_nothing_more() {
    let log = Log::new();
    let (n, send) = Event::create();
    let victim: Rc<Cell<Option<Event<()>>>> = Rc::default();
    let killer = n.map({
        let victim = victim.clone();
        move |_: &i32| drop(victim.take())
    });
    victim.set(Some(noted(&n, &log)));
    send.send(1);
    assert_eq!(log.take(), "", "it was dropped before its turn");
    let stopped = noted(&n, &log);
    let stopper = n.map({
        let stopped = stopped.clone();
        move |_| stopped.stop()
    });
    send.send(2);
    send.send(3);
    assert_eq!(log.take(), "2", "it was older than what stops it");
    drop((killer, stopper));
}

#[test]
fn an_event_may_stop_and_drop_itself() {
    let drops = Drops::new();
    let (n, send) = Event::create();
    let own: Rc<Cell<Option<Event<i32>>>> = Rc::default();
    let token = drops.token();
    let event = n.map({
        let own = own.clone();
        move |n: &i32| {
            let _ = &token;
            if let Some(event) = own.take() {
                event.stop();
            }
            *n
        }
    });
    own.set(Some(event.clone()));
    let last = event.hold(0);
    send.send(1);
    assert_eq!((last.value(), drops.count()), (1, 1), "it still occurs in this step");
    send.send(2);
    assert_eq!(last.value(), 1);
}

#[test]
fn a_deep_graph_on_a_small_stack() {
    on_small_stack(|| {
        let _dog = watchdog();
        let many = heavy(300_000, 100_000, 200);
        let (n, set) = Signal::create(0);
        let mut last = n.clone();
        for _ in 0..many {
            last = last.map(|n| n + 1);
        }
        assert_eq!(last.value(), many);
        set.set(1);
        assert_eq!(last.value(), many + 1);
        // The head is lifted above another chain, and all that follows with it.
        let ((other, _set), (choice, choose)) = (Signal::create(7), Signal::create(0));
        let mut far = other.clone();
        for _ in 0..many {
            far = far.map(|n| n + 1);
        }
        let mut follower = choice.bind({
            let (n, far) = (n.clone(), far.clone());
            move |choice| if *choice == 0 { n.clone() } else { far.clone() }
        });
        for _ in 0..many {
            follower = follower.map(|n| n + 1);
        }
        assert_eq!(follower.value(), many + 1);
        choose.set(1);
        assert_eq!(follower.value(), 2 * many + 7);
        drop((last, far, follower));
    });
}

#[test]
fn deep_values_on_a_small_stack() {
    on_small_stack(|| {
        // Events whose values hold events, and so on.
        struct Nest(#[allow(dead_code, reason = "it is there to be dropped")] Option<Signal<Nest>>);
        let mut signal = Signal::constant(Nest(None));
        for _ in 0..heavy(300_000, 100_000, 200) {
            signal = Signal::constant(Nest(Some(signal)));
        }
        drop(signal);
    });
}

#[test]
fn what_waits_keeps_its_storage() {
    let key = Key::<&'static str>::new();
    let log = Log::new();
    let (a, send_a) = Event::create();
    let (b, send_b) = Event::create();
    let feeding = a.map(move |()| key.with_value(Some("inner"), || send_b.send(())));
    let seen = b.map({
        let log = log.clone();
        move |()| log.add(key.get().unwrap_or("none"))
    });
    key.with_value(Some("outer"), || send_a.send(()));
    assert_eq!(log.take(), "inner");
    drop((feeding, seen));
}

#[test]
fn what_is_at_the_end_of_a_step_sees_it_done() {
    let (n, set) = Signal::create(1);
    let double = n.map(|n| n * 2);
    let next = n.changes().next().map({
        let double = double.clone();
        move |n| (n, double.value())
    });
    set.set(5);
    assert_eq!(show(&next), "ok (5, 10)");
}
