//! Timers that never fire: most timers of a server are time-outs that are cancelled.

use std::pin::pin;
use std::time::Duration;

use super::PLAIN;
use crate::harness::Row;
use crate::measure::CpuWatch;
use crate::runtimes::{on_lwt, on_smol, on_tokio, poll_once};

/// Far enough that none fires.
const LONG: Duration = Duration::from_secs(3600);

pub const ROWS: [Row; 2] = [
    Row {
        name: "sleep-drop",
        what: "sleep: make, poll, drop; one alive at a time",
        ops: 1_000_000,
        lwt: |ops| {
            on_lwt(async move {
                let watch = CpuWatch::start();
                for _ in 0..ops {
                    let mut sleep = lwt::sleep(LONG);
                    assert!(poll_once(&mut sleep).await.is_pending());
                }
                Ok(watch.per(ops))
            })
        },
        tokio: Some(|ops| {
            on_tokio(async move {
                let watch = CpuWatch::start();
                for _ in 0..ops {
                    let mut sleep = pin!(tokio::time::sleep(LONG));
                    assert!(poll_once(&mut sleep).await.is_pending());
                }
                Ok(watch.per(ops))
            })
        }),
        smol: Some(|ops| {
            on_smol(async move {
                let watch = CpuWatch::start();
                for _ in 0..ops {
                    let mut sleep = smol::Timer::after(LONG);
                    assert!(poll_once(&mut sleep).await.is_pending());
                }
                Ok(watch.per(ops))
            })
        }),
        ..PLAIN
    },
    Row {
        name: "sleep-100k-drop",
        what: "the same, 100 000 alive, then all dropped",
        ops: 100_000,
        cold: true,
        lwt: |ops| {
            on_lwt(async move {
                let watch = CpuWatch::start();
                let mut sleeps = Vec::new();
                for turn in 0..ops {
                    let mut sleep = lwt::sleep(spread(turn));
                    assert!(poll_once(&mut sleep).await.is_pending());
                    sleeps.push(sleep);
                }
                drop(sleeps);
                Ok(watch.per(ops))
            })
        },
        tokio: Some(|ops| {
            on_tokio(async move {
                let watch = CpuWatch::start();
                let mut sleeps = Vec::new();
                for turn in 0..ops {
                    let mut sleep = Box::pin(tokio::time::sleep(spread(turn)));
                    assert!(poll_once(&mut sleep).await.is_pending());
                    sleeps.push(sleep);
                }
                drop(sleeps);
                Ok(watch.per(ops))
            })
        }),
        smol: Some(|ops| {
            on_smol(async move {
                let watch = CpuWatch::start();
                let mut sleeps = Vec::new();
                for turn in 0..ops {
                    let mut sleep = smol::Timer::after(spread(turn));
                    assert!(poll_once(&mut sleep).await.is_pending());
                    sleeps.push(sleep);
                }
                drop(sleeps);
                Ok(watch.per(ops))
            })
        }),
        ..PLAIN
    },
];

/// Deadlines in no order, within an hour after `LONG`.
fn spread(turn: u64) -> Duration {
    LONG + Duration::from_millis(turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 3_600_000)
}
