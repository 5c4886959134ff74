//! Sequencing on what is already resolved: the price of writing a program with promises where nothing waits.
//!
//! *Inlined*, each side may be compiled to a loop; the value passes through an opaque register in each step, so that
//! the loop cannot be folded away. *Behind a call*, the step may not be inlined: lwt calls a function that takes and
//! gives a promise, the peers, whose step is a future, have to box it to hide its type.

use std::pin::Pin;

use lwt::{Promise, State};

use super::PLAIN;
use crate::harness::Row;
use crate::measure::{CpuWatch, Failure, Outcome, opaque};
use crate::runtimes::{on_smol, on_tokio};

pub const ROWS: [Row; 2] = [
    Row {
        name: "bind-inline",
        what: "bind of a resolved promise, inlined",
        ops: 100_000_000,
        goal: Some("0.3"),
        lwt: |ops| lwt_loop(ops, |promise| promise.bind(|value| Promise::ready(opaque(value) + 1))),
        tokio: Some(|ops| on_tokio(inline_loop(ops))),
        smol: Some(|ops| on_smol(inline_loop(ops))),
        floor: Some(|ops| floor_loop(ops, |value| opaque(value) + 1)),
        ..PLAIN
    },
    Row {
        name: "bind-call",
        what: "the same behind a call / a boxed future",
        ops: 30_000_000,
        goal: Some("1.3"),
        lwt: |ops| lwt_loop(ops, bind_step),
        tokio: Some(|ops| on_tokio(boxed_loop(ops))),
        smol: Some(|ops| on_smol(boxed_loop(ops))),
        floor: Some(|ops| floor_loop(ops, plain_step)),
        ..PLAIN
    },
];

fn lwt_loop(ops: u64, step: impl Fn(Promise<u64>) -> Promise<u64>) -> Outcome {
    let watch = CpuWatch::start();
    let mut promise = Promise::ready(0);
    for _ in 0..ops {
        promise = step(promise);
    }
    let measure = watch.per(ops);
    match promise.state() {
        State::Fulfilled(&sum) if sum == ops => Ok(measure),
        state => Err(Failure::wrong(state)),
    }
}

#[inline(never)]
fn bind_step(promise: Promise<u64>) -> Promise<u64> {
    promise.bind(|value| Promise::ready(opaque(value) + 1))
}

async fn inline_loop(ops: u64) -> Outcome {
    async fn step(value: u64) -> u64 {
        opaque(value) + 1
    }
    let watch = CpuWatch::start();
    let mut value = 0;
    for _ in 0..ops {
        value = step(value).await;
    }
    checked(value, ops, watch)
}

async fn boxed_loop(ops: u64) -> Outcome {
    #[inline(never)]
    fn step(value: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(async move { opaque(value) + 1 })
    }
    let watch = CpuWatch::start();
    let mut value = 0;
    for _ in 0..ops {
        value = step(value).await;
    }
    checked(value, ops, watch)
}

fn floor_loop(ops: u64, step: impl Fn(u64) -> u64) -> Outcome {
    let watch = CpuWatch::start();
    let mut value = 0;
    for _ in 0..ops {
        value = step(value);
    }
    checked(value, ops, watch)
}

#[inline(never)]
fn plain_step(value: u64) -> u64 {
    opaque(value) + 1
}

fn checked(value: u64, ops: u64, watch: CpuWatch) -> Outcome {
    let measure = watch.per(ops);
    if value == ops { Ok(measure) } else { Err(Failure::wrong(value)) }
}
