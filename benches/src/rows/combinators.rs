//! Combinators over pending promises.
//!
//! The peers' `join_all` and `select` are those of `futures`. tokio's run inside `task::unconstrained`: its budget of
//! 128 polls a turn would otherwise make a join of 100 000 quadratic.

use futures_util::future::{Either, join_all, select};
use lwt::State;
use tokio::sync::oneshot;
use tokio::task::unconstrained;

use super::PLAIN;
use crate::harness::Row;
use crate::measure::{CpuWatch, Failure, Outcome, resident};
use crate::runtimes::{on_lwt, on_smol, on_tokio, poll_once};

pub const ROWS: [Row; 3] = [
    Row {
        name: "join-100k",
        what: "make, join and resolve 100 000 promises, per promise",
        ops: 100_000,
        cold: true,
        lwt: lwt_join,
        tokio: Some(tokio_join),
        smol: Some(smol_join),
        ..PLAIN
    },
    Row {
        name: "choose-loop",
        what: "choose(p, never) + wakeup / select: poll + send + await",
        ops: 1_000_000,
        aside: Some("growth of memory over all operations, KiB"),
        goal: Some("60"),
        lwt: lwt_choose,
        tokio: Some(tokio_choose),
        smol: Some(smol_choose),
        ..PLAIN
    },
    Row {
        name: "choose-await",
        what: "choose(p, never) + poll + wakeup + await in a task",
        ops: 1_000_000,
        lwt: lwt_choose_await,
        tokio: Some(tokio_choose),
        smol: Some(smol_choose),
        ..PLAIN
    },
];

fn lwt_join(ops: u64) -> Outcome {
    on_lwt(async move {
        let watch = CpuWatch::start();
        let (promises, resolvers): (Vec<_>, Vec<_>) = (0..ops).map(|_| lwt::wait::<()>()).unzip();
        let mut all = lwt::join(promises);
        assert!(poll_once(&mut all).await.is_pending());
        for resolver in resolvers {
            resolver.wakeup(());
        }
        all.await?;
        Ok(watch.per(ops))
    })
}

fn tokio_join(ops: u64) -> Outcome {
    on_tokio(unconstrained(async move {
        let watch = CpuWatch::start();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..ops).map(|_| oneshot::channel::<()>()).unzip();
        let mut all = join_all(receivers);
        assert!(poll_once(&mut all).await.is_pending());
        for sender in senders {
            sender.send(()).map_err(Failure::wrong)?;
        }
        for result in all.await {
            result?;
        }
        Ok(watch.per(ops))
    }))
}

fn smol_join(ops: u64) -> Outcome {
    on_smol(async move {
        let watch = CpuWatch::start();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..ops).map(|_| async_oneshot::oneshot::<()>()).unzip();
        let mut all = join_all(receivers);
        assert!(poll_once(&mut all).await.is_pending());
        for mut sender in senders {
            sender.send(())?;
        }
        for result in all.await {
            result?;
        }
        Ok(watch.per(ops))
    })
}

fn lwt_choose(ops: u64) -> Outcome {
    let (never, _keep) = lwt::wait::<()>();
    let before = resident()?;
    let watch = CpuWatch::start();
    for _ in 0..ops {
        let (promise, resolver) = lwt::wait();
        let first = lwt::choose([promise, never.clone()]);
        resolver.wakeup(());
        match first.state() {
            State::Fulfilled(()) => {}
            state => return Err(Failure::wrong(state)),
        }
    }
    let measure = watch.per(ops).beside(growth_since(before)?);
    drop(never); // before its resolver, whose drop would reject it
    Ok(measure)
}

fn lwt_choose_await(ops: u64) -> Outcome {
    on_lwt(async move {
        let (never, _keep) = lwt::wait::<()>();
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let (promise, resolver) = lwt::wait();
            let mut first = lwt::choose([promise, never.clone()]);
            assert!(poll_once(&mut first).await.is_pending());
            resolver.wakeup(());
            first.await?;
        }
        let measure = watch.per(ops);
        drop(never); // before its resolver, whose drop would reject it
        Ok(measure)
    })
}

fn tokio_choose(ops: u64) -> Outcome {
    on_tokio(unconstrained(async move {
        let (_keep, mut never) = oneshot::channel::<()>();
        let before = resident()?;
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let (sender, receiver) = oneshot::channel::<()>();
            let mut first = select(receiver, &mut never);
            assert!(poll_once(&mut first).await.is_pending());
            sender.send(()).map_err(Failure::wrong)?;
            match first.await {
                Either::Left((result, _)) => result?,
                Either::Right((result, _)) => return Err(Failure::wrong(result)),
            }
        }
        Ok(watch.per(ops).beside(growth_since(before)?))
    }))
}

fn smol_choose(ops: u64) -> Outcome {
    on_smol(async move {
        let (_keep, mut never) = async_oneshot::oneshot::<()>();
        let before = resident()?;
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let (mut sender, receiver) = async_oneshot::oneshot::<()>();
            let mut first = select(receiver, &mut never);
            assert!(poll_once(&mut first).await.is_pending());
            sender.send(())?;
            match first.await {
                Either::Left((result, _)) => result?,
                Either::Right(_) => return Err("the promise that never resolves did".into()),
            }
        }
        Ok(watch.per(ops).beside(growth_since(before)?))
    })
}

/// KiB of resident memory that came since.
fn growth_since(before: u64) -> std::io::Result<f64> {
    Ok((resident()? as f64 - before as f64) / 1024.0)
}
