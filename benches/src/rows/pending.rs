//! One pending promise from its birth to its end, and chains of them.
//!
//! Only lwt has callbacks. Where it runs one inside `wakeup`, the nearest that the peers have is what stands in the
//! next row too: a oneshot channel that a task polls, that is sent to, and that the task then awaits. tokio's own
//! oneshot is used there, and for smol, which has none, the `async-oneshot` crate.

use std::pin::Pin;

use lwt::{Promise, Resolver, State};
use tokio::sync::oneshot;

use super::PLAIN;
use crate::harness::Row;
use crate::measure::{CpuWatch, Failure, Outcome, opaque};
use crate::runtimes::{on_lwt, on_smol, on_tokio, poll_once, smol_spawn};

pub const ROWS: [Row; 4] = [
    Row {
        name: "pending-bind",
        what: "wait + bind + wakeup / oneshot: poll + send + await",
        ops: 5_000_000,
        goal: Some("31-35"),
        lwt: lwt_bind,
        tokio: Some(tokio_await),
        smol: Some(smol_await),
        ..PLAIN
    },
    Row {
        name: "pending-await",
        what: "wait + poll + wakeup + await in a task",
        ops: 5_000_000,
        goal: Some("34-38"),
        lwt: lwt_await,
        tokio: Some(tokio_await),
        smol: Some(smol_await),
        ..PLAIN
    },
    Row {
        name: "letters",
        what: "two tasks answer each other, per wait + wakeup + switch",
        ops: 3_000_000,
        lwt: lwt_letters,
        tokio: Some(tokio_letters),
        smol: Some(smol_letters),
        ..PLAIN
    },
    Row {
        name: "map-chain",
        what: "chain of 1000 pending maps / boxed futures, per link",
        ops: 3_000_000,
        goal: Some("24-26"),
        lwt: lwt_chain,
        tokio: Some(tokio_chain),
        smol: Some(smol_chain),
        ..PLAIN
    },
];

fn lwt_bind(ops: u64) -> Outcome {
    let watch = CpuWatch::start();
    let mut sum = 0;
    for turn in 0..ops {
        let (promise, resolver) = lwt::wait::<u64>();
        let next = promise.bind(|value| Promise::ready(opaque(value) + 1));
        resolver.wakeup(turn);
        match next.state() {
            State::Fulfilled(&value) => sum += value,
            state => return Err(Failure::wrong(state)),
        }
    }
    opaque(sum);
    Ok(watch.per(ops))
}

fn lwt_await(ops: u64) -> Outcome {
    on_lwt(async move {
        let watch = CpuWatch::start();
        let mut sum = 0;
        for turn in 0..ops {
            let (mut promise, resolver) = lwt::wait::<u64>();
            assert!(poll_once(&mut promise).await.is_pending());
            resolver.wakeup(turn);
            sum += promise.await?;
        }
        opaque(sum);
        Ok(watch.per(ops))
    })
}

fn tokio_await(ops: u64) -> Outcome {
    on_tokio(async move {
        let watch = CpuWatch::start();
        let mut sum = 0;
        for turn in 0..ops {
            let (sender, mut receiver) = oneshot::channel::<u64>();
            assert!(poll_once(&mut receiver).await.is_pending());
            sender.send(turn).map_err(Failure::wrong)?;
            sum += receiver.await?;
        }
        opaque(sum);
        Ok(watch.per(ops))
    })
}

fn smol_await(ops: u64) -> Outcome {
    on_smol(async move {
        let watch = CpuWatch::start();
        let mut sum = 0;
        for turn in 0..ops {
            let (mut sender, mut receiver) = async_oneshot::oneshot::<u64>();
            assert!(poll_once(&mut receiver).await.is_pending());
            sender.send(turn)?;
            sum += receiver.await?;
        }
        opaque(sum);
        Ok(watch.per(ops))
    })
}

/// A letter of a correspondence: what to answer through. One letter is one promise, one wake-up and one switch of
/// tasks; nothing yields, so that no side pays for its loop's turns.
struct LwtLetter(Resolver<LwtLetter>);
struct TokioLetter(oneshot::Sender<TokioLetter>);
struct SmolLetter(async_oneshot::Sender<SmolLetter>);

fn lwt_letters(ops: u64) -> Outcome {
    on_lwt(async move {
        let (first, mut pen) = lwt::wait::<LwtLetter>();
        let other = lwt::spawn(async move {
            let mut post = first;
            while let Ok(LwtLetter(pen)) = post.await {
                let (answer, back) = lwt::wait();
                pen.wakeup(LwtLetter(back));
                post = answer;
            }
            Ok::<(), lwt::Error>(())
        });
        let watch = CpuWatch::start();
        for _ in 0..ops / 2 {
            let (answer, back) = lwt::wait();
            pen.wakeup(LwtLetter(back));
            pen = answer.await?.0;
        }
        let measure = watch.per(ops);
        drop(pen);
        other.await?;
        Ok(measure)
    })
}

fn tokio_letters(ops: u64) -> Outcome {
    on_tokio(async move {
        let (mut pen, first) = oneshot::channel::<TokioLetter>();
        let other = tokio::spawn(async move {
            let mut post = first;
            while let Ok(TokioLetter(pen)) = post.await {
                let (back, answer) = oneshot::channel();
                if pen.send(TokioLetter(back)).is_err() {
                    break;
                }
                post = answer;
            }
        });
        let watch = CpuWatch::start();
        for _ in 0..ops / 2 {
            let (back, answer) = oneshot::channel();
            pen.send(TokioLetter(back)).map_err(|_| "the other task is gone")?;
            pen = answer.await?.0;
        }
        let measure = watch.per(ops);
        drop(pen);
        other.await?;
        Ok(measure)
    })
}

fn smol_letters(ops: u64) -> Outcome {
    on_smol(async move {
        let (mut pen, first) = async_oneshot::oneshot::<SmolLetter>();
        let other = smol_spawn(async move {
            let mut post = first;
            while let Ok(SmolLetter(mut pen)) = post.await {
                let (back, answer) = async_oneshot::oneshot();
                if pen.send(SmolLetter(back)).is_err() {
                    break;
                }
                post = answer;
            }
        });
        let watch = CpuWatch::start();
        for _ in 0..ops / 2 {
            let (back, answer) = async_oneshot::oneshot();
            pen.send(SmolLetter(back))?;
            pen = answer.await?.0;
        }
        let measure = watch.per(ops);
        drop(pen);
        other.await;
        Ok(measure)
    })
}

/// Links of one chain.
const CHAIN: u64 = 1000;

fn lwt_chain(ops: u64) -> Outcome {
    let watch = CpuWatch::start();
    for _ in 0..ops / CHAIN {
        let (mut promise, resolver) = lwt::wait::<u64>();
        for _ in 0..CHAIN {
            promise = promise.map(|value| opaque(value) + 1);
        }
        resolver.wakeup(0);
        match promise.state() {
            State::Fulfilled(&CHAIN) => {}
            state => return Err(Failure::wrong(state)),
        }
    }
    Ok(watch.per(ops / CHAIN * CHAIN))
}

/// A step whose type is hidden: the nearest that a future has to a promise.
type Boxed = Pin<Box<dyn Future<Output = u64> + Send>>;

fn boxed_chain(source: impl Future<Output = u64> + Send + 'static) -> Boxed {
    let mut future: Boxed = Box::pin(source);
    for _ in 0..CHAIN {
        future = Box::pin(async move { opaque(future.await) + 1 });
    }
    future
}

fn tokio_chain(ops: u64) -> Outcome {
    on_tokio(async move {
        let watch = CpuWatch::start();
        for _ in 0..ops / CHAIN {
            let (sender, receiver) = oneshot::channel::<u64>();
            let mut future = boxed_chain(async { receiver.await.unwrap_or(u64::MAX) });
            assert!(poll_once(&mut future).await.is_pending());
            sender.send(0).map_err(Failure::wrong)?;
            assert_eq!(future.await, CHAIN);
        }
        Ok(watch.per(ops / CHAIN * CHAIN))
    })
}

fn smol_chain(ops: u64) -> Outcome {
    on_smol(async move {
        let watch = CpuWatch::start();
        for _ in 0..ops / CHAIN {
            let (mut sender, receiver) = async_oneshot::oneshot::<u64>();
            let mut future = boxed_chain(async { receiver.await.unwrap_or(u64::MAX) });
            assert!(poll_once(&mut future).await.is_pending());
            sender.send(0)?;
            assert_eq!(future.await, CHAIN);
        }
        Ok(watch.per(ops / CHAIN * CHAIN))
    })
}
