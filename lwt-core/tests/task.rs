//! Tasks: futures spawned on the thread, in which order they run, and how they end.

mod common;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{Drops, Gate, Log, Unique, show, spin, text, turn};
use lwt_core::scheduler::{has_ready, run_ready};
use lwt_core::{Error, Promise, both, pause, spawn, wait};

type Outcome<T = ()> = Result<T, Error>;

// ---- running ----

#[test]
fn spawn_runs_up_to_the_first_pending_await() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    let t = spawn({
        let log = log.clone();
        async move {
            log.add("start");
            let v = Promise::ready(1).await?;
            log.add("resolved-await-goes-on");
            let w = p.await?;
            log.add("end");
            Outcome::Ok(v + w)
        }
    });
    assert_eq!(log.take(), "start resolved-await-goes-on");
    assert_eq!(show(&t), "pending");
    r.wakeup(2);
    assert_eq!(log.take(), "", "a task is never polled inside a wake-up");
    assert!(has_ready());
    assert_eq!(run_ready(10), 1);
    assert_eq!(log.take(), "end");
    assert_eq!(show(&t), "ok 3");
    assert!(!has_ready());
    assert_eq!(run_ready(10), 0);
}

#[test]
fn a_future_that_is_ready_at_once() {
    let t = spawn(async { Outcome::Ok(Unique(1)) });
    assert_eq!(show(&t), "ok Unique(1)");
    let t = spawn(async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::NotFound)) });
    match t.state() {
        lwt_core::State::Rejected(e) => assert_eq!(e.io_kind(), Some(std::io::ErrorKind::NotFound)),
        _ => panic!("rejected"),
    }
}

#[test]
fn the_ready_queue_is_first_in_first_out_and_has_a_budget() {
    let log = Log::new();
    let (gates, resolvers): (Vec<_>, Vec<_>) = (0..5).map(|_| wait::<()>()).unzip();
    let tasks: Vec<_> = gates
        .into_iter()
        .enumerate()
        .map(|(n, gate)| {
            let log = log.clone();
            spawn(async move {
                gate.await?;
                log.add(n);
                Outcome::Ok(())
            })
        })
        .collect();
    let order = [3, 1, 4, 0, 2];
    let mut resolvers: Vec<_> = resolvers.into_iter().map(Some).collect();
    for n in order {
        resolvers[n].take().expect("each once").wakeup(());
    }
    assert_eq!(run_ready(2), 2);
    assert_eq!(log.take(), "3 1");
    assert!(has_ready());
    assert_eq!(run_ready(100), 3);
    assert_eq!(log.take(), "4 0 2");
    assert!(tasks.iter().all(|t| !t.is_pending()));
}

#[test]
fn one_promise_wakes_its_tasks_in_order() {
    let log = Log::new();
    let (p, r) = wait::<i32>();
    for n in 0..3 {
        let (log, p) = (log.clone(), p.clone());
        drop(spawn(async move {
            let v = p.await?;
            log.add(format!("{n}:{v}"));
            Outcome::Ok(())
        }));
    }
    r.wakeup(7);
    spin();
    assert_eq!(log.take(), "0:7 1:7 2:7");
}

#[test]
fn a_rejection_comes_out_of_the_await() {
    let (p, r) = wait::<i32>();
    let t = spawn(async move {
        match p.await {
            Ok(_) => Outcome::Ok("fulfilled".to_owned()),
            Err(e) => Ok(text(&e)),
        }
    });
    r.wakeup_err(Error::msg("boom"));
    spin();
    assert_eq!(show(&t), "ok \"error boom\"");

    let (p, r) = wait::<i32>();
    let t = spawn(async move { Outcome::Ok(p.await? + 1) });
    r.wakeup_err(Error::msg("boom"));
    spin();
    assert_eq!(show(&t), "error boom");
}

#[test]
fn an_abandoned_promise_ends_the_await() {
    let (p, r) = wait::<()>();
    let t = spawn(p);
    drop(r);
    spin();
    assert_eq!(show(&t), "abandoned");
}

#[test]
fn values_move_through_an_await() {
    let (p, r) = wait::<Unique>();
    let t = spawn(async move { Outcome::Ok(Unique(p.await?.0 + 1)) });
    r.wakeup(Unique(1));
    spin();
    assert_eq!(show(&t), "ok Unique(2)");
    assert_eq!(show(&t.map(|u| u.0)), "ok 2");
}

#[test]
fn a_promise_can_be_awaited_by_reference() {
    let (p, r) = wait::<i32>();
    let t = spawn(async move {
        let mut p = p;
        let v = (&mut p).await?;
        Outcome::Ok(v)
    });
    r.wakeup(4);
    spin();
    assert_eq!(show(&t), "ok 4");
}

#[test]
fn yield_now_lets_the_others_go_first() {
    let log = Log::new();
    let tasks: Vec<_> = ["a", "b"]
        .map(|name| {
            let log = log.clone();
            spawn(async move {
                for n in 0..3 {
                    log.add(format!("{name}{n}"));
                    lwt_core::task::yield_now().await?;
                }
                Outcome::Ok(())
            })
        })
        .into();
    spin();
    assert_eq!(log.take(), "a0 b0 a1 b1 a2 b2");
    assert!(tasks.iter().all(|t: &Promise<()>| !t.is_pending()));
}

#[test]
fn a_task_that_keeps_yielding_does_not_hold_run_ready() {
    let stop = Rc::new(Cell::new(false));
    let t = spawn({
        let stop = stop.clone();
        async move {
            while !stop.get() {
                lwt_core::task::yield_now().await?;
            }
            Outcome::Ok(())
        }
    });
    assert_eq!(run_ready(5), 5);
    assert_eq!(run_ready(7), 7);
    stop.set(true);
    spin();
    assert_eq!(show(&t), "ok ()");
}

#[test]
fn dropping_the_promise_detaches_the_task() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    drop(spawn({
        let log = log.clone();
        async move {
            p.await?;
            log.add("went on");
            Outcome::Ok(())
        }
    }));
    r.wakeup(());
    spin();
    assert_eq!(log.take(), "went on");
}

#[test]
fn tasks_await_tasks() {
    let (p, r) = wait::<i32>();
    let inner = spawn(async move { Outcome::Ok(p.await? * 2) });
    let outer = spawn(async move { Outcome::Ok(inner.await? + 1) });
    r.wakeup(5);
    spin();
    assert_eq!(show(&outer), "ok 11");
}

#[test]
fn spawning_inside_a_task_and_inside_a_callback() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = spawn({
        let log = log.clone();
        async move {
            log.add("outer");
            let inner = {
                let log = log.clone();
                spawn(async move {
                    log.add("inner");
                    p.await?;
                    log.add("inner-end");
                    Outcome::Ok(1)
                })
            };
            log.add("outer-goes-on");
            inner.await
        }
    });
    assert_eq!(log.take(), "outer inner outer-goes-on");
    let u = t.clone().bind({
        let log = log.clone();
        move |v| {
            spawn(async move {
                log.add("in-callback");
                pause().await?;
                Outcome::Ok(v + 1)
            })
        }
    });
    r.wakeup(());
    spin();
    assert_eq!(log.take(), "inner-end in-callback");
    turn();
    assert_eq!([show(&t), show(&u)], ["ok 1", "ok 2"]);
}

#[test]
fn several_wakes_make_one_poll() {
    let (foreign, gate) = Gate::new();
    let t = spawn(async move {
        foreign.await;
        Outcome::Ok(())
    });
    assert_eq!(gate.polls.get(), 1);
    let waker = gate.waker.borrow().clone().expect("polled");
    for _ in 0..5 {
        waker.wake_by_ref();
    }
    assert_eq!(run_ready(10), 1);
    assert_eq!(gate.polls.get(), 2);
    gate.open();
    spin();
    assert_eq!(show(&t), "ok ()");
    waker.wake_by_ref();
    drop(waker);
    assert_eq!(run_ready(10), 0, "a task that has ended is not polled");
}

#[test]
fn a_wake_during_the_poll_is_not_lost() {
    let mut polls = 0;
    let t = spawn(poll_fn(move |cx| {
        polls += 1;
        if polls == 3 {
            return Poll::Ready(Outcome::Ok(polls));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    spin();
    assert_eq!(show(&t), "ok 3");
}

#[test]
fn a_promise_resolved_by_the_poll_that_then_awaits_it() {
    let t = spawn(async {
        let (p, r) = wait::<i32>();
        let (q, rq) = wait::<i32>();
        let first = both(p, q);
        r.wakeup(1);
        rq.wakeup(2);
        first.await
    });
    assert_eq!(show(&t), "ok (1, 2)");
}

#[test]
fn run_ready_inside_a_task() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    drop(spawn({
        let log = log.clone();
        async move {
            p.await?;
            log.add("other");
            Outcome::Ok(())
        }
    }));
    let t = spawn({
        let log = log.clone();
        async move {
            r.wakeup(());
            run_ready(10);
            log.add("after");
            Outcome::Ok(())
        }
    });
    spin();
    assert_eq!(show(&t), "ok ()");
    let order = log.take();
    assert!(order == "other after" || order == "after other", "{order}");
}

/// A task that is running is not polled again from inside itself.
#[test]
fn run_ready_inside_a_task_that_was_woken() {
    let depth = Rc::new(Cell::new(0));
    let deepest = Rc::new(Cell::new(0));
    let mut polls = 0;
    let t = spawn({
        let (depth, deepest) = (depth.clone(), deepest.clone());
        poll_fn(move |cx| {
            polls += 1;
            depth.set(depth.get() + 1);
            deepest.set(deepest.get().max(depth.get()));
            let done = polls == 3;
            if !done {
                cx.waker().wake_by_ref();
                run_ready(10);
            }
            depth.set(depth.get() - 1);
            if done { Poll::Ready(Outcome::Ok(())) } else { Poll::Pending }
        })
    });
    spin();
    assert_eq!(deepest.get(), 1);
    assert_eq!(show(&t), "ok ()");
}

// ---- the end of a task ----

#[test]
fn the_future_is_dropped_before_its_promise_resolves() {
    let drops = Drops::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = spawn({
        let token = drops.token();
        async move {
            let _token = token;
            p.await
        }
    });
    t.on_termination({
        let (log, drops) = (log.clone(), drops.clone());
        move || log.add(drops.count())
    });
    r.wakeup(());
    spin();
    assert_eq!(log.take(), "1");
}

#[test]
fn a_panic_in_a_poll_rejects_and_the_others_go_on() {
    let drops = Drops::new();
    let (p, r) = wait::<()>();
    let bad = spawn({
        let (p, token) = (p.clone(), drops.token());
        async move {
            let _token = token;
            p.await?;
            if true {
                panic!("in the task");
            }
            Outcome::Ok(())
        }
    });
    let good = spawn(p);
    r.wakeup(());
    spin();
    assert_eq!([show(&bad), show(&good)], ["panic in the task", "ok ()"]);
    assert_eq!(drops.count(), 1);
    let at_once = spawn(async {
        if true {
            panic!("at once");
        }
        Outcome::Ok(())
    });
    assert_eq!(show(&at_once), "panic at once");
}

#[test]
fn a_panic_in_the_drop_of_a_future() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("bomb");
            }
        }
    }
    /// Ends at the second poll; its fields are dropped with it, and not before.
    struct Armed(Option<Promise<()>>, Bomb);
    impl Future for Armed {
        type Output = Outcome;
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
            let _ = &self.1;
            Pin::new(self.0.as_mut().expect("polled once more")).poll(cx)
        }
    }
    let (p, r) = wait::<()>();
    let (q, rq) = wait::<()>();
    let bad = spawn(Armed(Some(p), Bomb));
    let good = spawn(q);
    r.wakeup(());
    rq.wakeup(());
    spin();
    assert_ne!(show(&bad), "pending", "it has an outcome all the same");
    assert_eq!(show(&good), "ok ()");
}

#[test]
fn a_resolver_lost_in_a_task_abandons() {
    let (p, r) = wait::<()>();
    let (gate, rg) = wait::<()>();
    let t = spawn(async move {
        let _r = r;
        gate.await
    });
    rg.wakeup(());
    spin();
    assert_eq!([show(&t), show(&p)], ["ok ()", "abandoned"]);
}

#[test]
fn a_promise_whose_value_an_await_has_taken_is_rejected_for_all() {
    let mut promise = Promise::ready(1);
    let outcome = Pin::new(&mut promise).poll(&mut Context::from_waker(Waker::noop()));
    assert!(outcome.is_ready() && !promise.is_pending());
    let taken = show(&promise);
    assert!(taken.contains("an await had taken"), "{taken}");
    let log = Log::new();
    let (any, failure) = (log.clone(), log.clone());
    promise.on_any(move |outcome| any.add(outcome.is_err()));
    promise.on_failure(move |_| failure.add("failure"));
    assert_eq!(log.take(), "true failure");
    assert_eq!(show(&promise.map(|n| n + 1)), taken);
}
