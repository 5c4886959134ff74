//! Promises under other executors and other wakers.

mod common;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{show, spin};
use lwt_core::{Promise, join, spawn, wait};

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
