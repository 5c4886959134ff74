//! Cancelling tasks: a cancel arrives at an await, is remembered where it cannot, and drops what is foreign.

mod common;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use common::{Gate, Log, show, spin, text, turn};
use lwt_core::{Error, Promise, join, pause, pick, spawn, task, wait};

type Outcome<T = ()> = Result<T, Error>;

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
