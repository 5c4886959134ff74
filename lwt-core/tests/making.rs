//! Making promises and resolving them: `ready`, `fail`, `wait`, `task`, the resolver's methods, abandonment.

mod common;

use common::{Drops, Log, Unique, show, spin, text};
use lwt_core::{Abandoned, Canceled, Error, Promise, State, task, wait};

#[test]
fn ready_and_fail_are_resolved() {
    assert_eq!(show(&Promise::ready(3)), "ok 3");
    assert_eq!(show(&Promise::<i32>::fail(Error::msg("boom"))), "error boom");
    assert!(!Promise::ready(()).is_pending());
    let failed = Promise::<()>::fail(std::io::Error::from(std::io::ErrorKind::NotFound));
    match failed.state() {
        State::Rejected(error) => assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound)),
        _ => panic!("rejected"),
    };
}

#[test]
fn a_wait_is_pending_until_it_is_woken() {
    let (p, r) = wait::<i32>();
    assert_eq!(show(&p), "pending");
    assert!(p.is_pending());
    r.wakeup(7);
    assert_eq!(show(&p), "ok 7");
}

#[test]
fn every_way_to_wake() {
    for make in [wait::<i32>, task::<i32>] {
        let (p, r) = make();
        r.wakeup_err(Error::msg("no"));
        assert_eq!(show(&p), "error no");

        let (p, r) = make();
        r.wakeup_result(Ok(1));
        assert_eq!(show(&p), "ok 1");

        let (p, r) = make();
        r.wakeup_result(Err(Error::msg("no")));
        assert_eq!(show(&p), "error no");

        let (p, r) = make();
        r.wakeup_later(2);
        assert_eq!(show(&p), "ok 2");

        let (p, r) = make();
        r.wakeup_later_err(Error::msg("later"));
        assert_eq!(show(&p), "error later");

        let (p, r) = make();
        r.wakeup_later_result(Ok(3));
        assert_eq!(show(&p), "ok 3");

        let (p, r) = make();
        r.wakeup_later_result(Err(Error::msg("later")));
        assert_eq!(show(&p), "error later");
    }
}

#[test]
fn clones_share_one_state() {
    let (p, r) = wait::<String>();
    let (a, b) = (p.clone(), p.clone());
    drop(p);
    r.wakeup("x".into());
    assert_eq!(show(&a), "ok \"x\"");
    assert_eq!(show(&b), "ok \"x\"");
    let c = b.clone();
    drop((a, b));
    assert_eq!(show(&c), "ok \"x\"");
}

#[test]
fn the_value_is_dropped_once() {
    let drops = Drops::new();
    drop(Promise::ready(drops.token()));
    assert_eq!(drops.count(), 1, "ready");

    let (p, r) = wait();
    r.wakeup(drops.token());
    assert_eq!(drops.count(), 1);
    drop(p);
    assert_eq!(drops.count(), 2, "woken, then dropped");

    let (p, r) = wait();
    drop(p);
    r.wakeup(drops.token());
    assert_eq!(drops.count(), 3, "woken with nobody there");

    let (p, r) = task();
    p.cancel();
    r.wakeup(drops.token());
    assert_eq!(drops.count(), 4, "woken after the cancel");
}

#[test]
fn a_dropped_resolver_abandons() {
    for make in [wait::<()>, task::<()>] {
        let (p, r) = make();
        drop(r);
        match p.state() {
            State::Rejected(error) => {
                assert!(error.is_abandoned());
                assert!(!error.is_canceled());
                assert!(error.downcast_ref::<Abandoned>().is_some());
            }
            _ => panic!("a lost resolver rejects"),
        };
    }
}

#[test]
fn a_dropped_resolver_runs_the_callbacks() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let l = log.clone();
    p.on_failure(move |e| l.add(text(e)));
    drop(r);
    assert_eq!(log.take(), "abandoned");
}

#[test]
fn inside_a_cascade_a_dropped_resolver_defers_its_callbacks() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let (q, rq) = wait::<()>();
    q.on_failure({
        let log = log.clone();
        move |_| log.add("q")
    });
    p.on_success({
        let (log, q) = (log.clone(), q.clone());
        move |_| {
            drop(rq);
            log.add(show(&q));
        }
    });
    p.on_success({
        let log = log.clone();
        move |_| log.add("second")
    });
    r.wakeup(());
    assert_eq!(log.take(), "abandoned second q");
}

#[test]
fn a_resolver_dropped_by_a_panic_runs_nothing_while_unwinding() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    p.on_termination({
        let log = log.clone();
        move || log.add(if std::thread::panicking() { "unwinding" } else { "calm" })
    });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _r = r;
        panic!("out of here");
    }));
    assert!(caught.is_err());
    assert_eq!(show(&p), "abandoned", "the state changes at once");
    spin();
    assert_eq!(log.take(), "calm");
}

#[test]
fn try_wakeup_gives_the_value_back_when_nobody_wants_it() {
    let (p, r) = wait();
    assert!(r.is_wanted());
    assert_eq!(r.try_wakeup(Unique(1)), Ok(()));
    assert_eq!(show(&p), "ok Unique(1)");

    let (p, r) = wait();
    drop(p);
    assert!(!r.is_wanted());
    assert_eq!(r.try_wakeup(Unique(2)), Err(Unique(2)));

    let (p, r) = task();
    p.cancel();
    assert!(!r.is_wanted());
    assert_eq!(r.try_wakeup(Unique(3)), Err(Unique(3)));
    assert_eq!(show(&p), "canceled");
}

#[test]
fn who_counts_as_a_holder() {
    let (p, r) = wait::<i32>();
    let q = p.clone();
    drop(p);
    assert!(r.is_wanted(), "a clone holds");
    drop(q);
    assert!(!r.is_wanted());

    let (p, r) = wait::<i32>();
    p.on_success(|_| ());
    drop(p);
    assert!(r.is_wanted(), "a callback holds: it must run");

    let (p, r) = wait::<i32>();
    drop(p.map(|v| v + 1));
    assert!(r.is_wanted(), "so does a map, also when its promise was dropped");

    let (p, r) = wait::<i32>();
    let copy = p.protected();
    assert!(r.is_wanted(), "a copy holds while it lives");
    drop(copy);
    assert!(!r.is_wanted());

    let (p, r) = task::<i32>();
    let copy = p.protected();
    copy.cancel();
    assert!(!r.is_wanted(), "a cancelled copy does not");

    let (p, r) = wait::<i32>();
    let chosen = lwt_core::choose([p, Promise::ready(1)]);
    assert_eq!(show(&chosen), "ok 1");
    assert!(!r.is_wanted(), "a decided choose does not");

    let (p, r) = wait::<i32>();
    let waiting = lwt_core::spawn(p);
    assert!(r.is_wanted(), "a task that awaits it holds");
    drop(waiting);
    assert!(r.is_wanted(), "also detached");
    r.wakeup(1);
    spin();
}

#[test]
fn a_canceller_is_not_a_holder() {
    let (p, r) = task::<Unique>();
    let canceller = p.canceller();
    drop(p);
    assert!(!r.is_wanted());
    canceller.cancel();
}

#[test]
fn on_unwanted_tells_of_the_last_holder() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    r.on_unwanted(log.note("unwanted"));
    let q = p.clone();
    drop(p);
    assert_eq!(log.take(), "");
    drop(q);
    assert_eq!(log.take(), "unwanted");
    drop(r);
    assert_eq!(log.take(), "", "once");
}

#[test]
fn on_unwanted_tells_of_a_cancel_once() {
    let log = Log::new();
    let (p, r) = task::<()>();
    r.on_unwanted(log.note("unwanted"));
    p.cancel();
    assert_eq!(log.take(), "unwanted");
    drop(p);
    r.wakeup(());
    assert_eq!(log.take(), "");
}

#[test]
fn on_unwanted_is_silent_when_the_promise_was_resolved() {
    let log = Log::new();
    let (p, r) = task::<()>();
    r.on_unwanted(log.note("unwanted"));
    r.wakeup(());
    p.cancel();
    drop(p);
    assert_eq!(log.take(), "");

    let (p, r) = task::<()>();
    r.on_unwanted(log.note("unwanted"));
    drop(r);
    drop(p);
    assert_eq!(log.take(), "", "an abandoned promise is resolved too");
}

#[test]
fn on_unwanted_comes_at_once_when_it_is_so_already() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    drop(p);
    r.on_unwanted(log.note("dropped"));
    assert_eq!(log.take(), "dropped");

    let (p, r) = task::<()>();
    p.cancel();
    r.on_unwanted(log.note("cancelled"));
    assert_eq!(log.take(), "cancelled");
}

#[test]
fn on_unwanted_follows_the_loss_of_a_copy() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    let (q, rq) = wait::<i32>();
    r.on_unwanted(log.note("r"));
    rq.on_unwanted(log.note("rq"));
    let picked = lwt_core::choose([p, q]);
    assert_eq!(log.take(), "");
    drop(picked);
    let mut told: Vec<_> = log.take().split(' ').map(str::to_owned).collect();
    told.sort();
    assert_eq!(told, ["r", "rq"]);
}

#[test]
fn resolver_on_cancel_runs_before_the_ordinary_callbacks() {
    let log = Log::new();
    let (p, r) = task::<()>();
    p.on_failure({
        let log = log.clone();
        move |_| log.add("failure")
    });
    r.on_cancel(log.note("cancel"));
    p.cancel();
    assert_eq!(log.take(), "cancel failure");
}

#[test]
fn resolver_on_cancel_is_silent_for_other_ends() {
    let log = Log::new();
    let (p, r) = task::<()>();
    r.on_cancel(log.note("cancel"));
    r.wakeup(());
    p.cancel();
    let (p, r) = task::<()>();
    r.on_cancel(log.note("cancel"));
    drop(r);
    drop(p);
    assert_eq!(log.take(), "");
}

#[test]
fn a_resolver_after_the_cancel_is_silently_ignored() {
    let (p, r) = task::<i32>();
    p.cancel();
    r.wakeup(3);
    assert_eq!(show(&p), "canceled");
    let (p, r) = task::<i32>();
    p.cancel();
    drop(r);
    assert_eq!(show(&p), "canceled");
    match p.state() {
        State::Rejected(error) => assert!(error.downcast_ref::<Canceled>().is_some()),
        _ => panic!("rejected"),
    };
}

#[test]
fn promises_are_small() {
    assert!(std::mem::size_of::<Promise<i64>>() <= 16);
    assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
}

#[test]
fn debug_text_of_each_state() {
    let (p, r) = wait::<i32>();
    assert!(!format!("{p:?}").is_empty());
    assert!(!format!("{r:?}").is_empty());
    assert!(format!("{:?}", Promise::ready(42)).contains("fulfilled"));
    let (p, _r) = wait::<Unique>();
    assert!(format!("{p:?}").contains("pending"));
    assert!(format!("{:?}", Promise::<i32>::fail(Error::msg("boom"))).contains("boom"));
}

#[test]
fn big_and_odd_values() {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(128))]
    struct Aligned([u8; 300]);
    let (p, r) = wait();
    let q = p.clone().map(|v: Aligned| (std::ptr::from_ref(&v) as usize % 128, v));
    r.wakeup(Aligned([9; 300]));
    match p.state() {
        State::Fulfilled(v) => assert_eq!((std::ptr::from_ref(v) as usize % 128, v), (0, &Aligned([9; 300]))),
        _ => panic!("fulfilled"),
    }
    match q.state() {
        State::Fulfilled(v) => assert_eq!(*v, (0, Aligned([9; 300]))),
        _ => panic!("fulfilled"),
    }
    drop(Promise::ready(Aligned([1; 300])));

    let (p, r) = wait::<[u64; 100]>();
    r.wakeup([5; 100]);
    assert_eq!(show(&p.map(|a| a.iter().sum::<u64>())), "ok 500");
}

#[test]
fn a_clone_that_panics_leaves_the_runtime_whole() {
    #[derive(Debug)]
    struct Touchy;
    impl Clone for Touchy {
        fn clone(&self) -> Touchy {
            panic!("do not copy me")
        }
    }
    let log = Log::new();
    let (p, r) = wait::<Touchy>();
    let a = p.clone().map(|_| 1);
    let b = p.clone().map(|_| 2);
    // The wake-up may report the panic as a rejection of the copy; it must not come out of `wakeup` nor unbalance it.
    r.wakeup(Touchy);
    let outcomes = [show(&a), show(&b)];
    assert!(outcomes.iter().any(|o| o.starts_with("panic")), "{outcomes:?}");
    drop(p);

    let (first, r1) = wait::<()>();
    let (second, r2) = wait::<()>();
    second.on_success({
        let log = log.clone();
        move |_| log.add("second")
    });
    first.on_success({
        let log = log.clone();
        move |_| {
            r2.wakeup_later(());
            log.add("first");
        }
    });
    r1.wakeup(());
    assert_eq!(log.take(), "first second", "deferred wake-ups still run");
}

#[test]
fn a_drop_that_panics_leaves_the_runtime_whole() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("bomb");
            }
        }
    }
    let (p, r) = wait::<Bomb>();
    let q = p.map(|bomb| {
        drop(bomb);
        1
    });
    r.wakeup(Bomb);
    assert_eq!(show(&q), "panic bomb");

    let (p, r) = wait::<Bomb>();
    drop(p);
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| r.wakeup(Bomb)));

    let log = Log::new();
    let (first, r1) = wait::<()>();
    let (second, r2) = wait::<()>();
    second.on_success({
        let log = log.clone();
        move |_| log.add("second")
    });
    first.on_success({
        let log = log.clone();
        move |_| {
            r2.wakeup_later(());
            log.add("first");
        }
    });
    r1.wakeup(());
    assert_eq!(log.take(), "first second");
}
