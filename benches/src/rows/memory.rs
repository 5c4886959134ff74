//! Bytes that a million of them take: growth of the resident set, so that what the allocator adds is counted.
//!
//! The vector that holds the handles is touched before, so the figures are those of the cells alone; the sizes of the
//! handles, which live in the user's own structures, stand in the second line (promise or receiver, and write end).

use std::mem::size_of;

use lwt::{Promise, Resolver};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::PLAIN;
use crate::harness::Row;
use crate::measure::{Measure, Outcome, opaque, resident};
use crate::runtimes::{on_lwt, on_smol, on_tokio, smol_spawn};

pub const ROWS: [Row; 2] = [
    Row {
        name: "memory-promise",
        what: "a pending promise of a u64",
        unit: "bytes",
        ops: 1_000_000,
        aside: Some("size of its two handles, bytes"),
        cold: true,
        lwt: |ops| {
            on_lwt(async move {
                let held = hold(ops, lwt::wait::<u64>)?;
                Ok(held.beside(size_of::<(Promise<u64>, Resolver<u64>)>() as f64))
            })
        },
        tokio: Some(|ops| {
            on_tokio(async move {
                let held = hold(ops, oneshot::channel::<u64>)?;
                Ok(held.beside(size_of::<(oneshot::Sender<u64>, oneshot::Receiver<u64>)>() as f64))
            })
        }),
        smol: Some(|ops| {
            on_smol(async move {
                let held = hold(ops, async_oneshot::oneshot::<u64>)?;
                Ok(held
                    .beside(size_of::<(async_oneshot::Sender<u64>, async_oneshot::Receiver<u64>)>() as f64))
            })
        }),
        ..PLAIN
    },
    Row {
        name: "memory-task",
        what: "the same and a task that awaits it",
        unit: "bytes",
        ops: 1_000_000,
        aside: Some("size of the handles of both, bytes"),
        cold: true,
        lwt: |ops| {
            on_lwt(async move {
                let held = hold(ops, || {
                    let (promise, resolver) = lwt::wait::<u64>();
                    (lwt::spawn(async move { Ok::<u64, lwt::Error>(opaque(promise.await?)) }), resolver)
                })?;
                Ok(held.beside(size_of::<(Promise<u64>, Resolver<u64>)>() as f64))
            })
        },
        tokio: Some(tokio_tasks),
        smol: Some(smol_tasks),
        ..PLAIN
    },
];

/// Makes that many, holds them, and says by how many bytes each made the process grow.
fn hold<T>(count: u64, mut make: impl FnMut() -> T) -> std::io::Result<Measure> {
    let mut held = touched(count);
    let before = resident()?;
    for _ in 0..count {
        held.push(make());
    }
    let after = resident()?;
    // The end of a million things is nobody's measurement.
    std::mem::forget(held);
    Ok(Measure::of((after as f64 - before as f64) / count as f64))
}

/// An empty vector whose memory is resident.
fn touched<T>(count: u64) -> Vec<T> {
    let mut held: Vec<T> = Vec::with_capacity(count as usize);
    for place in held.spare_capacity_mut() {
        // SAFETY: the place is owned spare capacity, and any bytes may stand in what is not initialised. Volatile,
        // because the compiler may drop a write that nobody reads.
        unsafe { place.as_mut_ptr().cast::<u8>().write_volatile(1) };
    }
    held
}

/// The peers poll a new task in a later turn: the figure is taken when all of them wait.
fn tokio_tasks(ops: u64) -> Outcome {
    type Held = (JoinHandle<u64>, oneshot::Sender<u64>);
    on_tokio(async move {
        let mut held: Vec<Held> = touched(ops);
        let before = resident()?;
        for _ in 0..ops {
            let (sender, receiver) = oneshot::channel::<u64>();
            held.push((tokio::spawn(async move { receiver.await.unwrap_or(0) }), sender));
        }
        tokio::task::yield_now().await;
        let after = resident()?;
        std::mem::forget(held);
        Ok(Measure::of((after as f64 - before as f64) / ops as f64).beside(size_of::<Held>() as f64))
    })
}

fn smol_tasks(ops: u64) -> Outcome {
    type Held = (smol::Task<u64>, async_oneshot::Sender<u64>);
    on_smol(async move {
        let mut held: Vec<Held> = touched(ops);
        let before = resident()?;
        for _ in 0..ops {
            let (sender, receiver) = async_oneshot::oneshot::<u64>();
            held.push((smol_spawn(async move { receiver.await.unwrap_or(0) }), sender));
        }
        smol::future::yield_now().await;
        let after = resident()?;
        std::mem::forget(held);
        Ok(Measure::of((after as f64 - before as f64) / ops as f64).beside(size_of::<Held>() as f64))
    })
}
