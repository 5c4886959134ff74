//! Tasks: futures spawned on the thread, their wake-ups, and their cancellation.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{Drops, Log, Unique, show, spin, text, turn};
use lwt_core::scheduler::{has_ready, run_ready};
use lwt_core::{Error, Promise, both, join, pause, pick, spawn, task, wait};

type Outcome<T = ()> = Result<T, Error>;

/// A future of nobody's runtime: pending until `open`, counts its polls and its drops.
struct Foreign {
    open: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
    polls: Rc<Cell<usize>>,
    _drop: common::DropToken,
}

/// The outside of a [`Foreign`].
#[derive(Clone)]
struct Gate {
    open: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
    polls: Rc<Cell<usize>>,
    drops: Drops,
}

impl Gate {
    fn new() -> (Foreign, Gate) {
        let gate =
            Gate { open: Rc::default(), waker: Rc::default(), polls: Rc::default(), drops: Drops::new() };
        let Gate { open, waker, polls, drops } = gate.clone();
        (Foreign { open, waker, polls, _drop: drops.token() }, gate)
    }

    fn open(&self) {
        self.open.set(true);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Foreign {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.set(self.polls.get() + 1);
        if self.open.get() {
            return Poll::Ready(());
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

// ---- running ------------------------------------------------------------------------------------------------------

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

// ---- the end of a task --------------------------------------------------------------------------------------------------

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

// ---- cancel ---------------------------------------------------------------------------------------------------------------

#[test]
fn a_cancel_arrives_as_an_error_at_the_await() {
    let log = Log::new();
    let (p, _r) = task::<()>();
    let (cleanup, rc) = wait::<()>();
    let t = spawn({
        let (log, p) = (log.clone(), p.clone());
        async move {
            let outcome = p.await;
            log.add(if matches!(&outcome, Err(e) if e.is_canceled()) { "canceled" } else { "?" });
            cleanup.await?;
            log.add("cleaned");
            outcome
        }
    });
    t.cancel();
    assert_eq!(show(&p), "canceled");
    assert_eq!(show(&t), "pending", "it cleans up");
    spin();
    assert_eq!(log.take(), "canceled");
    rc.wakeup(());
    spin();
    assert_eq!(log.take(), "cleaned");
    assert_eq!(show(&t), "canceled");
}

#[test]
fn a_task_may_swallow_its_cancel() {
    let (p, _r) = task::<()>();
    let t = spawn(async move {
        let _ = p.await;
        Outcome::Ok("survived")
    });
    t.cancel();
    spin();
    assert_eq!(show(&t), "ok \"survived\"");
}

#[test]
fn a_cancel_goes_through_tasks_that_await_tasks() {
    let (p, _r) = task::<i32>();
    let inner = spawn({
        let p = p.clone();
        async move { Outcome::Ok(p.await? + 1) }
    });
    let outer = spawn({
        let inner = inner.clone();
        async move { Outcome::Ok(inner.map(|v| v + 1).await? + 1) }
    });
    outer.cancel();
    spin();
    assert_eq!([show(&p), show(&inner), show(&outer)], ["canceled", "canceled", "canceled"]);
}

#[test]
fn a_protected_await_is_cancelled_alone() {
    let (p, r) = task::<i32>();
    let t = spawn({
        let p = p.clone();
        async move { p.protected().await }
    });
    t.cancel();
    spin();
    assert_eq!([show(&t), show(&p)], ["canceled", "pending"]);
    r.wakeup(1);
    assert_eq!(show(&p), "ok 1");
}

/// `wait()` and `no_cancel` do not take a remembered cancel: it is kept for the next await.
#[test]
fn a_remembered_cancel_is_offered_to_each_pending_await_in_turn() {
    let (start, rs) = wait::<()>();
    let (w, rw) = wait::<()>();
    let (guarded, rg) = task::<()>();
    let (last, _rl) = task::<()>();
    let log = Log::new();
    let t = spawn({
        let (log, last, guarded) = (log.clone(), last.clone(), guarded.clone());
        async move {
            start.await?;
            log.add("start");
            w.await?;
            log.add("wait");
            guarded.no_cancel().await?;
            log.add("no_cancel");
            Promise::ready(()).await?;
            log.add("resolved");
            last.await?;
            log.add("never");
            Outcome::Ok(())
        }
    });
    rs.wakeup(());
    t.cancel();
    spin();
    assert_eq!(show(&t), "pending");
    rw.wakeup(());
    spin();
    assert_eq!([show(&t), show(&guarded)], ["pending", "pending"]);
    rg.wakeup(());
    spin();
    assert_eq!([show(&t), show(&last)], ["canceled", "canceled"]);
    assert_eq!(log.take(), "start wait no_cancel resolved");
}

#[test]
fn a_remembered_cancel_is_delivered_once() {
    let (w, rw) = wait::<()>();
    let (first, _r1) = task::<()>();
    let (second, r2) = task::<()>();
    let t = spawn({
        let second = second.clone();
        async move {
            w.await?;
            assert!(first.await.is_err_and(|e| e.is_canceled()));
            second.await
        }
    });
    rw.wakeup(());
    t.cancel();
    t.cancel();
    spin();
    assert_eq!([show(&t), show(&second)], ["pending", "pending"]);
    r2.wakeup(());
    spin();
    assert_eq!(show(&t), "ok ()");
}

#[test]
fn a_cancel_between_the_state_and_the_callbacks() {
    // `p` has its value, but inside the cascade its callbacks wait: the task is as good as woken.
    let (start, rs) = wait::<()>();
    let (p, r) = wait::<i32>();
    let (q, _rq) = task::<()>();
    let log = Log::new();
    let t = spawn({
        let (log, q) = (log.clone(), q.clone());
        async move {
            log.add(p.await?);
            let outcome = q.await;
            log.add(if outcome.is_err() { "canceled" } else { "?" });
            outcome
        }
    });
    start.on_success({
        let t = t.clone();
        move |()| {
            r.wakeup_later(1);
            t.cancel();
        }
    });
    rs.wakeup(());
    spin();
    assert_eq!(log.take(), "1 canceled");
    assert_eq!([show(&t), show(&q)], ["canceled", "canceled"]);
}

#[test]
fn a_cancel_that_finds_the_awaited_promise_first() {
    for task_first in [false, true] {
        let (x, _r) = task::<()>();
        let log = Log::new();
        let t = spawn({
            let (x, log) = (x.clone(), log.clone());
            async move {
                let outcome = x.await;
                log.add("cleanup");
                pause().await?;
                log.add("done");
                outcome
            }
        });
        let joined = join(if task_first { [t.clone(), x] } else { [x, t.clone()] });
        joined.cancel();
        spin();
        assert_eq!(log.take(), "cleanup", "task first: {task_first}");
        assert_eq!(show(&t), "pending");
        turn();
        assert_eq!(log.take(), "done", "the cancel was delivered once, and not to the cleanup");
        assert_eq!([show(&t), show(&joined)], ["canceled", "canceled"]);
    }
}

#[test]
fn a_delivered_cancel_is_not_remembered() {
    let (first, _r1) = task::<()>();
    let (second, r2) = task::<()>();
    let t = spawn(async move {
        assert!(first.await.is_err());
        second.await
    });
    t.cancel();
    spin();
    assert_eq!(show(&t), "pending");
    r2.wakeup(());
    spin();
    assert_eq!(show(&t), "ok ()");
}

#[test]
fn a_cancel_that_meets_a_woken_task_is_remembered() {
    let (p, r) = task::<i32>();
    let (q, _rq) = task::<()>();
    let log = Log::new();
    let t = spawn({
        let (log, q) = (log.clone(), q.clone());
        async move {
            log.add(p.await?);
            q.await
        }
    });
    r.wakeup(1);
    t.cancel();
    spin();
    assert_eq!(log.take(), "1", "the await that was resolved first gives its value");
    assert_eq!([show(&t), show(&q)], ["canceled", "canceled"]);
}

#[test]
fn a_cancel_that_meets_a_running_task_is_remembered() {
    let own: Rc<RefCell<Option<Promise<()>>>> = Rc::default();
    let (start, rs) = wait::<()>();
    let (q, _rq) = task::<()>();
    let log = Log::new();
    let t = spawn({
        let (own, log, q) = (own.clone(), log.clone(), q.clone());
        async move {
            start.await?;
            own.borrow().as_ref().expect("set below").cancel();
            log.add("goes on");
            Promise::ready(()).await?;
            log.add("still");
            q.await
        }
    });
    own.replace(Some(t.clone()));
    rs.wakeup(());
    spin();
    assert_eq!(log.take(), "goes on still");
    assert_eq!([show(&t), show(&q)], ["canceled", "canceled"]);
    own.take();
}

#[test]
fn a_yield_takes_the_cancel() {
    let (q, rq) = task::<i32>();
    let t = spawn({
        let q = q.clone();
        async move {
            let yielded = lwt_core::task::yield_now().await;
            assert!(yielded.is_err_and(|e| e.is_canceled()));
            q.await
        }
    });
    t.cancel();
    spin();
    assert_eq!([show(&t), show(&q)], ["pending", "pending"]);
    rq.wakeup(1);
    spin();
    assert_eq!(show(&t), "ok 1");
}

#[test]
fn a_remembered_cancel_of_a_task_that_ends_is_forgotten() {
    let (p, r) = wait::<i32>();
    let t = spawn(p);
    t.cancel();
    r.wakeup(3);
    spin();
    assert_eq!(show(&t), "ok 3");
}

/// Polls both promises at every poll; ready when both are.
async fn together(a: Promise<()>, b: Promise<()>) -> (Outcome, Outcome) {
    let (mut a, mut b) = (a, b);
    let (mut got_a, mut got_b) = (None, None);
    poll_fn(move |cx| {
        if got_a.is_none()
            && let Poll::Ready(v) = Pin::new(&mut a).poll(cx)
        {
            got_a = Some(v);
        }
        if got_b.is_none()
            && let Poll::Ready(v) = Pin::new(&mut b).poll(cx)
        {
            got_b = Some(v);
        }
        match (&got_a, &got_b) {
            (Some(_), Some(_)) => Poll::Ready((got_a.take().expect("some"), got_b.take().expect("some"))),
            _ => Poll::Pending,
        }
    })
    .await
}

#[test]
fn with_several_promises_awaited_at_once_all_are_cancelled() {
    let (a, _ra) = task::<()>();
    let (b, _rb) = task::<()>();
    let t = spawn({
        let (a, b) = (a.clone(), b.clone());
        async move {
            let (a, b) = together(a, b).await;
            Outcome::Ok((a.is_err_and(|e| e.is_canceled()), b.is_err_and(|e| e.is_canceled())))
        }
    });
    t.cancel();
    spin();
    assert_eq!([show(&a), show(&b), show(&t)], ["canceled", "canceled", "ok (true, true)"]);
}

#[test]
fn several_at_once_resolved_one_after_the_other() {
    let (a, ra) = wait::<()>();
    let (b, rb) = wait::<()>();
    let t = spawn(async move {
        let (a, b) = together(a, b).await;
        Outcome::Ok((a.is_ok(), b.is_ok()))
    });
    rb.wakeup(());
    spin();
    assert_eq!(show(&t), "pending");
    ra.wakeup(());
    spin();
    assert_eq!(show(&t), "ok (true, true)");
}

#[test]
fn a_promise_that_is_no_longer_awaited_is_not_cancelled() {
    let (a, ra) = task::<()>();
    let (b, _rb) = task::<()>();
    let t = spawn({
        let (mut a, b) = (a.clone(), b.clone());
        async move {
            // Awaits `a` for one poll only, then turns to `b`.
            let once = poll_fn(|cx| Poll::Ready(Pin::new(&mut a).poll(cx).is_pending())).await;
            assert!(once);
            drop(a);
            b.await
        }
    });
    t.cancel();
    spin();
    assert_eq!([show(&t), show(&b), show(&a)], ["canceled", "canceled", "pending"]);
    ra.wakeup(());
}

#[test]
fn a_cancel_drops_a_foreign_future_with_its_task() {
    let (foreign, gate) = Gate::new();
    let log = Log::new();
    let t = spawn({
        let log = log.clone();
        async move {
            foreign.await;
            log.add("never");
            Outcome::Ok(())
        }
    });
    t.cancel();
    spin();
    assert_eq!(show(&t), "canceled");
    assert_eq!(gate.drops.count(), 1);
    gate.open();
    spin();
    assert_eq!(log.take(), "");
}

#[test]
fn a_remembered_cancel_drops_a_foreign_future_too() {
    let (w, rw) = wait::<()>();
    let (foreign, gate) = Gate::new();
    let t = spawn(async move {
        w.await?;
        foreign.await;
        Outcome::Ok(())
    });
    rw.wakeup(());
    t.cancel();
    spin();
    assert_eq!(show(&t), "canceled");
    assert_eq!(gate.drops.count(), 1);
}

#[test]
fn where_both_are_awaited_the_promise_gets_the_cancel() {
    let (p, _r) = task::<()>();
    let (foreign, gate) = Gate::new();
    let t = spawn({
        let p = p.clone();
        async move {
            let (mut p, mut foreign) = (p, pin!(foreign));
            poll_fn(|cx| {
                if foreign.as_mut().poll(cx).is_ready() {
                    return Poll::Ready("foreign".to_owned());
                }
                Pin::new(&mut p).poll(cx).map(|v| v.map_or_else(|e| text(&e), |()| "fulfilled".to_owned()))
            })
            .await;
            Outcome::Ok("cleaned up")
        }
    });
    t.cancel();
    spin();
    assert_eq!([show(&p), show(&t)], ["canceled", "ok \"cleaned up\""]);
    assert_eq!(gate.drops.count(), 1);
}

#[test]
fn a_cancel_in_a_task_reaches_what_a_pick_waits_on() {
    let (a, _ra) = task::<()>();
    let (b, _rb) = task::<()>();
    let t = spawn({
        let (a, b) = (a.clone(), b.clone());
        async move { pick([a, b]).await }
    });
    t.cancel();
    spin();
    assert_eq!([show(&a), show(&b), show(&t)], ["canceled", "canceled", "canceled"]);
}

#[test]
fn a_pick_cancels_losing_tasks() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let loser = spawn(pause());
    let (slow, _rs) = task::<()>();
    let tidy = spawn({
        let log = log.clone();
        async move {
            let outcome = slow.await;
            log.add("tidied");
            outcome
        }
    });
    let first = pick([p, tidy.clone(), loser.clone()]);
    r.wakeup(());
    spin();
    assert_eq!([show(&first), show(&tidy), show(&loser)], ["ok ()", "canceled", "canceled"]);
    assert_eq!(log.take(), "tidied");
}

// ---- abort --------------------------------------------------------------------------------------------------------------------

#[test]
fn abort_drops_at_once() {
    let drops = Drops::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = spawn({
        let (token, log) = (drops.token(), log.clone());
        async move {
            let _token = token;
            let outcome = p.await;
            log.add("never");
            outcome
        }
    });
    lwt_core::task::abort(&t);
    assert_eq!(drops.count(), 1);
    assert_eq!(show(&t), "canceled");
    r.wakeup(());
    spin();
    assert_eq!(log.take(), "");
}

#[test]
fn abort_of_what_has_ended_or_is_no_task_does_no_harm() {
    let t = spawn(async { Outcome::Ok(1) });
    lwt_core::task::abort(&t);
    assert_eq!(show(&t), "ok 1");
    let (p, r) = wait::<()>();
    let t = spawn(p);
    r.wakeup(());
    spin();
    lwt_core::task::abort(&t);
    assert_eq!(show(&t), "ok ()");
}

#[test]
fn abort_of_a_woken_task() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = spawn({
        let log = log.clone();
        async move {
            p.await?;
            log.add("never");
            Outcome::Ok(())
        }
    });
    r.wakeup(());
    lwt_core::task::abort(&t);
    spin();
    assert_eq!(show(&t), "canceled");
    assert_eq!(log.take(), "");
}

#[test]
fn a_task_that_aborts_itself() {
    let own: Rc<RefCell<Option<Promise<()>>>> = Rc::default();
    let drops = Drops::new();
    let (start, rs) = wait::<()>();
    let (never, _rn) = wait::<()>();
    let t = spawn({
        let (own, token) = (own.clone(), drops.token());
        async move {
            let _token = token;
            start.await?;
            let own = own.borrow_mut().take().expect("set below");
            lwt_core::task::abort(&own);
            never.await
        }
    });
    own.replace(Some(t.clone()));
    rs.wakeup(());
    spin();
    assert_eq!(show(&t), "canceled");
    assert_eq!(drops.count(), 1);
}

#[test]
fn abort_from_the_destructor_of_another_task() {
    struct Aborts(Promise<()>);
    impl Drop for Aborts {
        fn drop(&mut self) {
            lwt_core::task::abort(&self.0);
        }
    }
    let drops = Drops::new();
    let (never, _rn) = wait::<()>();
    let victim = spawn({
        let (never, token) = (never.clone(), drops.token());
        async move {
            let _token = token;
            never.await
        }
    });
    let first = spawn({
        let aborts = Aborts(victim.clone());
        async move {
            let _aborts = aborts;
            never.await
        }
    });
    lwt_core::task::abort(&first);
    assert_eq!([show(&first), show(&victim)], ["canceled", "canceled"]);
    assert_eq!(drops.count(), 1);
}

// ---- other executors ------------------------------------------------------------------------------------------------------------

/// A waker that counts.
struct Count(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn counting() -> (std::sync::Arc<Count>, Waker) {
    let count = std::sync::Arc::new(Count(0.into()));
    (count.clone(), count.into())
}

#[test]
fn a_promise_works_in_any_executor() {
    let (count, waker) = counting();
    let mut cx = Context::from_waker(&waker);
    let (p, r) = wait::<i32>();
    let mut future = pin!(async move { p.map(|v| v + 1).await });
    assert!(future.as_mut().poll(&mut cx).is_pending());
    r.wakeup(1);
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(matches!(future.as_mut().poll(&mut cx), Poll::Ready(Ok(2))));
}

#[test]
fn the_latest_waker_is_the_one_that_counts() {
    let ((old, old_waker), (new, new_waker)) = (counting(), counting());
    let (mut p, r) = wait::<i32>();
    assert!(Pin::new(&mut p).poll(&mut Context::from_waker(&old_waker)).is_pending());
    assert!(Pin::new(&mut p).poll(&mut Context::from_waker(&new_waker)).is_pending());
    r.wakeup(1);
    assert_eq!(new.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    let _ = old;
    assert!(matches!(Pin::new(&mut p).poll(&mut Context::from_waker(&new_waker)), Poll::Ready(Ok(1))));
}

#[test]
fn an_await_given_up_wakes_nobody() {
    let (count, waker) = counting();
    let (mut p, r) = wait::<i32>();
    let keep = p.clone();
    assert!(Pin::new(&mut p).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(p);
    r.wakeup(1);
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(show(&keep), "ok 1");
    assert_eq!(std::sync::Arc::strong_count(&count), 2, "and keeps no waker");
}

#[test]
fn a_foreign_waker_between_a_task_and_a_promise() {
    // As combinators of other crates do: they poll with wakers of their own, which wake the task's.
    struct Relay(Waker, std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Relay {
        fn wake(self: std::sync::Arc<Self>) {
            self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            self.0.wake_by_ref();
        }
    }
    let (p, r) = wait::<i32>();
    let relays: Rc<RefCell<Vec<std::sync::Arc<Relay>>>> = Rc::default();
    let t = spawn({
        let (mut p, relays) = (p, relays.clone());
        poll_fn(move |cx| {
            let relay = std::sync::Arc::new(Relay(cx.waker().clone(), 0.into()));
            relays.borrow_mut().push(relay.clone());
            Pin::new(&mut p).poll(&mut Context::from_waker(&relay.into()))
        })
    });
    r.wakeup(6);
    spin();
    assert_eq!(show(&t), "ok 6");
    assert_eq!(relays.borrow().len(), 2);
}

#[test]
fn a_task_polls_a_promise_that_another_task_awaited_before() {
    let (p, r) = wait::<i32>();
    let shared = Rc::new(RefCell::new(p));
    let ask = |shared: Rc<RefCell<Promise<i32>>>| {
        spawn(poll_fn(move |cx| match Pin::new(&mut *shared.borrow_mut()).poll(cx) {
            Poll::Ready(v) => Poll::Ready(v),
            Poll::Pending => Poll::Pending,
        }))
    };
    let first = ask(shared.clone());
    let second = ask(shared.clone());
    r.wakeup(1);
    spin();
    assert_eq!(show(&second), "ok 1", "the last one that polled is woken");
    drop(first);
}

#[test]
fn join_of_many_tasks() {
    let (gates, resolvers): (Vec<_>, Vec<_>) = (0..100).map(|_| wait::<()>()).unzip();
    let all = join(gates.into_iter().map(spawn));
    for r in resolvers {
        r.wakeup(());
    }
    assert_eq!(show(&all), "pending");
    spin();
    assert_eq!(show(&all), "ok ()");
}
