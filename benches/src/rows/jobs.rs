//! Work that is handed to a thread and comes back as a promise: wall time, for the threads are the point.

use std::sync::Arc;

use super::PLAIN;
use crate::harness::Row;
use crate::libuv::{self, Flight};
use crate::measure::{Outcome, WallWatch};
use crate::runtimes::{on_lwt, on_smol, on_tokio, smol_spawn};

pub const ROWS: [Row; 2] = [
    Row {
        name: "detach-one",
        what: "detach of an empty job, back to back",
        ops: 10_000,
        goal: Some("5500"),
        lwt: |ops| lwt_jobs(ops, 1),
        tokio: Some(|ops| tokio_jobs(ops, 1)),
        smol: Some(|ops| smol_jobs(ops, 1)),
        libuv: Some(|ops| libuv_jobs(ops, 1)),
        ..PLAIN
    },
    Row {
        name: "detach-256",
        what: "the same, 256 in flight",
        ops: 256_000,
        goal: Some("300-800"),
        lwt: |ops| lwt_jobs(ops, 256),
        tokio: Some(|ops| tokio_jobs(ops, 256)),
        smol: Some(|ops| smol_jobs(ops, 256)),
        libuv: Some(|ops| libuv_jobs(ops, 256)),
        ..PLAIN
    },
];

fn lwt_jobs(ops: u64, flying: u64) -> Outcome {
    on_lwt(async move {
        let each = (ops / flying).max(1);
        let watch = WallWatch::start();
        let one = || async move {
            for _ in 0..each {
                lwt::detach(|| ()).await?;
            }
            Ok::<(), lwt::Error>(())
        };
        let tasks: Vec<_> = (0..flying).map(|_| lwt::spawn(one())).collect();
        for task in tasks {
            task.await?;
        }
        Ok(watch.per(each * flying))
    })
}

fn tokio_jobs(ops: u64, flying: u64) -> Outcome {
    on_tokio(async move {
        let each = (ops / flying).max(1);
        let watch = WallWatch::start();
        let one = || async move {
            for _ in 0..each {
                tokio::task::spawn_blocking(|| ()).await?;
            }
            Ok::<(), tokio::task::JoinError>(())
        };
        let tasks: Vec<_> = (0..flying).map(|_| tokio::spawn(one())).collect();
        for task in tasks {
            task.await??;
        }
        Ok(watch.per(each * flying))
    })
}

fn smol_jobs(ops: u64, flying: u64) -> Outcome {
    on_smol(async move {
        let each = (ops / flying).max(1);
        let watch = WallWatch::start();
        let one = || async move {
            for _ in 0..each {
                smol::unblock(|| ()).await;
            }
        };
        let tasks: Vec<_> = (0..flying).map(|_| smol_spawn(one())).collect();
        for task in tasks {
            task.await;
        }
        Ok(watch.per(each * flying))
    })
}

fn libuv_jobs(ops: u64, flying: u64) -> Outcome {
    let each = (ops / flying).max(1);
    let watch = WallWatch::start();
    libuv::fly(flying, each, Flight::work, &Arc::from([]))?;
    Ok(watch.per(each * flying))
}
