//! Streams as `futures_core::Stream`, both ways, and in tasks.

mod common;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use common::{Gate, show, spin, turn};
use futures_core::Stream as _;
use lwt_core::stream::{self, Stream};
use lwt_core::{Error, Promise, pause, spawn, task as pending};

fn next<T: 'static>(mut s: Stream<T>) -> Promise<(Option<T>, Stream<T>)> {
    spawn(async move {
        let element = poll_fn(|cx| Pin::new(&mut s).poll_next(cx)).await.transpose()?;
        Ok::<_, Error>((element, s))
    })
}

#[test]
fn polled_as_a_stream_of_results() {
    let (s, push) = stream::create();
    let other = s.share();
    let first = next(s);
    assert!(first.is_pending());
    push.push(1).expect("open");
    assert_eq!(show(&other.get()), "ok Some(1)", "a poll takes nothing before it is made");
    spin();
    let all = spawn(async move {
        let (first, mut s) = first.await?;
        let mut all = vec![first];
        loop {
            match poll_fn(|cx| Pin::new(&mut s).poll_next(cx)).await {
                None => return Ok::<_, Error>(all),
                Some(element) => all.push(element.ok()),
            }
        }
    });
    push.push(2).expect("open");
    push.push(3).expect("open");
    push.close();
    spin();
    assert_eq!(show(&all), "ok [Some(2), Some(3)]");
}

#[test]
fn a_poll_that_is_given_up_takes_nothing() {
    let (mut s, push) = stream::create();
    let other = s.share();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut s).poll_next(&mut cx).is_pending());
    push.push(1).expect("open");
    assert_eq!(show(&s.get()), "ok Some(1)", "nothing is kept in the handle");
    assert!(Pin::new(&mut s).poll_next(&mut cx).is_pending());
    drop(s);
    push.push(2).expect("open");
    assert_eq!(show(&other.get()), "ok Some(2)");
    let mut s = other;
    assert!(Pin::new(&mut s).poll_next(&mut cx).is_pending());
    push.push(3).expect("open");
    assert!(matches!(Pin::new(&mut s).poll_next(&mut cx), Poll::Ready(Some(Ok(3)))));
    push.close();
    assert!(matches!(Pin::new(&mut s).poll_next(&mut cx), Poll::Ready(None)));
}

#[test]
fn errors_are_items() {
    let mut n = 0;
    let mut s = stream::from(move || {
        n += 1;
        if n == 1 { Promise::fail(Error::msg("one")) } else { Promise::ready((n < 3).then_some(n)) }
    });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(Pin::new(&mut s).poll_next(&mut cx), Poll::Ready(Some(Err(_)))));
    assert!(matches!(Pin::new(&mut s).poll_next(&mut cx), Poll::Ready(Some(Ok(2)))));
    assert!(matches!(Pin::new(&mut s).poll_next(&mut cx), Poll::Ready(None)));
}

#[test]
fn a_task_cancelled_while_it_polls_takes_nothing() {
    let (s, push) = stream::create::<i32>();
    let other = s.share();
    let p = next(s).map(|(element, _)| element);
    p.cancel();
    spin();
    assert_eq!(show(&p), "canceled");
    push.push(1).expect("open");
    assert_eq!(show(&other.get()), "ok Some(1)");
}

/// A stream of nobody's library: waits for a gate before each element.
struct Gated(Vec<(common::Foreign, i32)>);

impl futures_core::Stream for Gated {
    type Item = i32;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<i32>> {
        let Some((gate, n)) = self.0.first_mut() else { return Poll::Ready(None) };
        let n = *n;
        if std::future::Future::poll(Pin::new(gate), cx).is_pending() {
            return Poll::Pending;
        }
        self.0.remove(0);
        if n == 13 {
            panic!("thirteen");
        }
        Poll::Ready(Some(n))
    }
}

#[test]
fn of_any_stream_of_futures() {
    let (futures, gates): (Vec<_>, Vec<_>) = (0..3).map(|_| Gate::new()).unzip();
    let s = stream::of_futures(Gated(futures.into_iter().zip([1, 13, 3]).collect()));
    assert_eq!(gates[0].polls.get(), 0, "not before it is needed");
    let (a, b) = (s.get(), s.get());
    gates[0].open();
    spin();
    assert_eq!((show(&a), show(&b)), ("ok Some(1)".into(), "pending".into()));
    b.cancel();
    gates[1].open();
    spin();
    assert_eq!(show(&s.get()), "panic thirteen");
    assert_eq!(show(&s.get()), "ok None");
    let (future, gate) = Gate::new();
    let s = stream::of_futures(Gated(vec![(future, 1)]));
    let waiting = s.get();
    drop((s, waiting));
    assert_eq!(gate.drops.count(), 1, "dropped with what reads it");
}

#[test]
fn producer_and_consumers_in_tasks() {
    let (s, push) = stream::create_bounded(2);
    let producer = spawn(async move {
        for n in 0..100 {
            push.push(n).await?;
            if n % 7 == 0 {
                pause().await?;
            }
        }
        Ok::<_, Error>(())
    });
    let consumers: Vec<_> = (0..3)
        .map(|_| {
            let s = s.share();
            spawn(async move {
                let mut sum = 0;
                while let Some(n) = s.get().await? {
                    sum += n;
                    if n % 5 == 0 {
                        pause().await?;
                    }
                }
                Ok::<_, Error>(sum)
            })
        })
        .collect();
    let sum = lwt_core::all(consumers).map(|sums| sums.into_iter().sum::<i32>());
    while sum.is_pending() {
        turn();
    }
    assert_eq!(show(&sum), "ok 4950");
    assert_eq!(show(&producer), "ok ()");
}

#[test]
fn a_source_that_is_a_task() {
    let (gate, open) = pending::<()>();
    let mut gate = Some(gate);
    let mut n = 0;
    let s = stream::from(move || {
        n += 1;
        let gate = gate.take();
        spawn(async move {
            if let Some(gate) = gate {
                gate.await?;
            }
            Ok::<_, Error>((n < 4).then_some(n))
        })
    });
    let all = s.to_list();
    spin();
    assert_eq!(show(&all), "pending");
    open.wakeup(());
    spin();
    assert_eq!(show(&all), "ok [1, 2, 3]");
}
