//! Switching between tasks, making them, and waiting for them.
//!
//! `spawn` of lwt polls at once, as Lwt does; the peers queue a new task and poll it in the executor's turn. A ready
//! future is therefore done when lwt's `spawn` returns, and the row awaits it on all sides alike. In the other rows
//! each task yields once, so that all sides poll it twice.

use super::PLAIN;
use crate::harness::Row;
use crate::measure::{CpuWatch, Outcome, opaque};
use crate::runtimes::{on_lwt, on_smol, on_tokio, smol_spawn};

pub const ROWS: [Row; 6] = [
    Row {
        name: "pause-one",
        what: "one task pauses under run, per pause",
        ops: 1_000_000,
        lwt: lwt_pause_one,
        tokio: Some(tokio_yield_one),
        smol: Some(smol_yield_one),
        ..PLAIN
    },
    Row {
        name: "pause-1000",
        what: "1000 tasks pause, per pause",
        ops: 5_000_000,
        lwt: |ops| {
            lwt_crowd(ops, |turns| async move {
                for _ in 0..turns {
                    lwt::pause().await?;
                }
                Ok(())
            })
        },
        tokio: Some(tokio_crowd),
        smol: Some(smol_crowd),
        ..PLAIN
    },
    Row {
        name: "yield-1000",
        what: "1000 tasks yield, per yield",
        ops: 5_000_000,
        goal: Some("9"),
        lwt: |ops| {
            lwt_crowd(ops, |turns| async move {
                for _ in 0..turns {
                    lwt::task::yield_now().await?;
                }
                Ok(())
            })
        },
        tokio: Some(tokio_crowd),
        smol: Some(smol_crowd),
        ..PLAIN
    },
    Row {
        name: "spawn-ready",
        what: "spawn of a ready future + join",
        ops: 5_000_000,
        goal: Some("6"),
        lwt: |ops| {
            on_lwt(async move {
                let watch = CpuWatch::start();
                let mut sum = 0;
                for turn in 0..ops {
                    sum += lwt::spawn(async move { Ok::<u64, lwt::Error>(opaque(turn)) }).await?;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        },
        tokio: Some(|ops| {
            on_tokio(async move {
                let watch = CpuWatch::start();
                let mut sum = 0;
                for turn in 0..ops {
                    sum += tokio::spawn(async move { opaque(turn) }).await?;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        }),
        smol: Some(|ops| {
            on_smol(async move {
                let watch = CpuWatch::start();
                let mut sum = 0;
                for turn in 0..ops {
                    sum += smol_spawn(async move { opaque(turn) }).await;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        }),
        ..PLAIN
    },
    Row {
        name: "spawn-yield-join",
        what: "spawn + yield + join, one at a time",
        ops: 3_000_000,
        goal: Some("54-67"),
        lwt: |ops| {
            on_lwt(async move {
                let watch = CpuWatch::start();
                let mut sum = 0;
                for turn in 0..ops {
                    sum += lwt::spawn(lwt_yielding(turn)).await?;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        },
        tokio: Some(|ops| {
            on_tokio(async move {
                let watch = CpuWatch::start();
                let mut sum = 0;
                for turn in 0..ops {
                    sum += tokio::spawn(tokio_yielding(turn)).await?;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        }),
        smol: Some(|ops| {
            on_smol(async move {
                let watch = CpuWatch::start();
                let mut sum = 0;
                for turn in 0..ops {
                    sum += smol_spawn(smol_yielding(turn)).await;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        }),
        ..PLAIN
    },
    Row {
        name: "spawn-million",
        what: "spawn 1 000 000 tasks that yield, then join them",
        ops: 1_000_000,
        cold: true,
        lwt: |ops| {
            on_lwt(async move {
                let watch = CpuWatch::start();
                let tasks: Vec<_> = (0..ops).map(|turn| lwt::spawn(lwt_yielding(turn))).collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await?;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        },
        tokio: Some(|ops| {
            on_tokio(async move {
                let watch = CpuWatch::start();
                let tasks: Vec<_> = (0..ops).map(|turn| tokio::spawn(tokio_yielding(turn))).collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await?;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        }),
        smol: Some(|ops| {
            on_smol(async move {
                let watch = CpuWatch::start();
                let tasks: Vec<_> = (0..ops).map(|turn| smol_spawn(smol_yielding(turn))).collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await;
                }
                opaque(sum);
                Ok(watch.per(ops))
            })
        }),
        ..PLAIN
    },
];

async fn lwt_yielding(turn: u64) -> Result<u64, lwt::Error> {
    lwt::task::yield_now().await?;
    Ok(opaque(turn))
}

async fn tokio_yielding(turn: u64) -> u64 {
    tokio::task::yield_now().await;
    opaque(turn)
}

async fn smol_yielding(turn: u64) -> u64 {
    smol::future::yield_now().await;
    opaque(turn)
}

fn lwt_pause_one(ops: u64) -> Outcome {
    on_lwt(async move {
        let watch = CpuWatch::start();
        for _ in 0..ops {
            lwt::pause().await?;
        }
        Ok(watch.per(ops))
    })
}

fn tokio_yield_one(ops: u64) -> Outcome {
    on_tokio(async move {
        let watch = CpuWatch::start();
        for _ in 0..ops {
            tokio::task::yield_now().await;
        }
        Ok(watch.per(ops))
    })
}

fn smol_yield_one(ops: u64) -> Outcome {
    on_smol(async move {
        let watch = CpuWatch::start();
        for _ in 0..ops {
            smol::future::yield_now().await;
        }
        Ok(watch.per(ops))
    })
}

/// Tasks of a crowd.
const CROWD: u64 = 1000;

fn lwt_crowd<F>(ops: u64, one: impl Fn(u64) -> F + 'static) -> Outcome
where
    F: Future<Output = Result<(), lwt::Error>> + 'static,
{
    on_lwt(async move {
        let turns = ops / CROWD;
        let watch = CpuWatch::start();
        let tasks: Vec<_> = (0..CROWD).map(|_| lwt::spawn(one(turns))).collect();
        for task in tasks {
            task.await?;
        }
        Ok(watch.per(turns * CROWD))
    })
}

fn tokio_crowd(ops: u64) -> Outcome {
    on_tokio(async move {
        let turns = ops / CROWD;
        let watch = CpuWatch::start();
        let one = || async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let tasks: Vec<_> = (0..CROWD).map(|_| tokio::spawn(one())).collect();
        for task in tasks {
            task.await?;
        }
        Ok(watch.per(turns * CROWD))
    })
}

fn smol_crowd(ops: u64) -> Outcome {
    on_smol(async move {
        let turns = ops / CROWD;
        let watch = CpuWatch::start();
        let one = || async move {
            for _ in 0..turns {
                smol::future::yield_now().await;
            }
        };
        let tasks: Vec<_> = (0..CROWD).map(|_| smol_spawn(one())).collect();
        for task in tasks {
            task.await;
        }
        Ok(watch.per(turns * CROWD))
    })
}
