//! What threads cost the loop, and each other: a timer beside busy threads, and the runtime lock.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lwt::lock::RuntimeLock;

use super::PLAIN;
use crate::harness::Row;
use crate::libuv;
use crate::measure::{CpuWatch, Failure, Measure, Outcome};
use crate::runtimes::{on_smol, on_tokio, smol_spawn};

pub const ROWS: [Row; 3] = [
    Row {
        name: "timer-busy",
        what: "a timer of 1 ms, beside 64 calls asleep for 50 ms and four that compute: how late",
        aside: Some("late at the 99th of 100, µs"),
        ops: 500,
        goal: Some("200000"),
        cold: true,
        lwt: timer_of_lwt,
        tokio: Some(timer_of_tokio),
        smol: Some(timer_of_smol),
        libuv: Some(|ops| lateness(libuv::ticks(ops, TICK, 4 * NAP, (SLEEPERS + COMPUTERS, call))?)),
        ..PLAIN
    },
    Row {
        name: "lock",
        what: "the runtime lock given up and taken again, nobody waits; floor: a std mutex",
        ops: 10_000_000,
        goal: Some("10"),
        lwt: |ops| {
            let lock = RuntimeLock::current()?;
            let (watch, _) = lock.with_token(|token| {
                let watch = CpuWatch::start();
                (watch, (0..ops).for_each(|turn| token.blocking(|| _ = black_box(turn))))
            })?;
            Ok(watch.per(ops))
        },
        floor: Some(|ops| {
            let mutex = Mutex::new(());
            let watch = CpuWatch::start();
            for turn in 0..ops {
                let _held = black_box(&mutex).lock();
                black_box(turn);
            }
            Ok(watch.per(ops))
        }),
        ..PLAIN
    },
    Row {
        name: "lock-late",
        what: "a thread that wants the lock each ms, beside one that keeps it busy: how late; floor: a std mutex",
        aside: Some("late at the 99th of 100, µs"),
        ops: 500,
        cold: true,
        lwt: |ops| {
            let lock = RuntimeLock::current()?;
            let busy = lock.clone();
            late_at_lock(
                ops,
                move |stop| {
                    let attached = busy.attach(|token| {
                        while !stop.load(Ordering::Relaxed) {
                            work(Duration::from_micros(10));
                            token.checkpoint();
                        }
                    });
                    assert_eq!(attached, Ok(()));
                },
                || assert_eq!(lock.with_token(|_| ()), Ok(())),
            )
        },
        floor: Some(|ops| {
            let mutex = Arc::new(Mutex::new(()));
            let busy = Arc::clone(&mutex);
            late_at_lock(
                ops,
                move |stop| {
                    while !stop.load(Ordering::Relaxed) {
                        let held = busy.lock();
                        work(Duration::from_micros(10));
                        drop(held);
                    }
                },
                || drop(mutex.lock()),
            )
        }),
        ..PLAIN
    },
];

/// Computes for so long.
fn work(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        spin_loop();
    }
}

/// What the calls do that are asleep, and those that compute.
const NAP: Duration = Duration::from_millis(50);
const SLEEPERS: usize = 64;
const COMPUTERS: usize = 4;
const TICK: Duration = Duration::from_millis(1);

fn call(which: usize) {
    if which < SLEEPERS { thread::sleep(NAP) } else { work(NAP) }
}

/// The median of some latenesses, and beside it the 99th of 100.
fn lateness(mut late: Vec<Duration>) -> Outcome {
    late.sort_unstable();
    let at =
        |part: usize| late.get(late.len() * part / 100).map(Duration::as_nanos).map(|nanos| nanos as f64);
    match (at(50), at(99)) {
        (Some(median), Some(high)) => Ok(Measure::of(median).beside(high / 1000.0)),
        _ => Err(Failure::wrong(late)),
    }
}

fn timer_of_lwt(ops: u64) -> Outcome {
    let mut late = Vec::new();
    let late = on_loop(async move {
        let stop = std::rc::Rc::new(std::cell::Cell::new(false));
        let calls: Vec<_> = (0..SLEEPERS + COMPUTERS)
            .map(|which| {
                let stop = stop.clone();
                lwt::spawn(async move {
                    while !stop.get() {
                        lwt::detach(move || call(which)).await?;
                    }
                    Ok::<_, lwt::Error>(())
                })
            })
            .collect();
        lwt::sleep(4 * NAP).await?;
        for _ in 0..ops {
            let begin = Instant::now();
            lwt::sleep(TICK).await?;
            late.push(begin.elapsed().saturating_sub(TICK));
        }
        stop.set(true);
        lwt::join(calls).await?;
        Ok(late)
    })?;
    lateness(late)
}

/// Runs the body on this project's runtime; it gives what is measured afterwards.
fn on_loop<T: 'static>(body: impl Future<Output = Result<T, lwt::Error>> + 'static) -> Result<T, Failure> {
    Ok(lwt::run(body)?)
}

fn timer_of_tokio(ops: u64) -> Outcome {
    on_tokio(async move {
        let stop = Arc::new(AtomicBool::new(false));
        let calls: Vec<_> = (0..SLEEPERS + COMPUTERS)
            .map(|which| {
                let stop = stop.clone();
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        tokio::task::spawn_blocking(move || call(which)).await?;
                    }
                    Ok::<_, tokio::task::JoinError>(())
                })
            })
            .collect();
        tokio::time::sleep(4 * NAP).await;
        let mut late = Vec::new();
        for _ in 0..ops {
            let begin = Instant::now();
            tokio::time::sleep(TICK).await;
            late.push(begin.elapsed().saturating_sub(TICK));
        }
        stop.store(true, Ordering::Relaxed);
        for call in calls {
            call.await??;
        }
        lateness(late)
    })
}

fn timer_of_smol(ops: u64) -> Outcome {
    on_smol(async move {
        let stop = Arc::new(AtomicBool::new(false));
        let calls: Vec<_> = (0..SLEEPERS + COMPUTERS)
            .map(|which| {
                let stop = stop.clone();
                smol_spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        smol::unblock(move || call(which)).await;
                    }
                })
            })
            .collect();
        smol::Timer::after(4 * NAP).await;
        let mut late = Vec::new();
        for _ in 0..ops {
            let begin = Instant::now();
            smol::Timer::after(TICK).await;
            late.push(begin.elapsed().saturating_sub(TICK));
        }
        stop.store(true, Ordering::Relaxed);
        for call in calls {
            call.await;
        }
        lateness(late)
    })
}

/// How late this thread, which sleeps for a millisecond and then calls `take`, comes back from the call, while `busy`
/// goes on on another thread.
fn late_at_lock(ops: u64, busy: impl FnOnce(&AtomicBool) + Send, take: impl Fn()) -> Outcome {
    let stop = AtomicBool::new(false);
    let late = thread::scope(|scope| {
        scope.spawn(|| busy(&stop));
        thread::sleep(4 * TICK);
        let late = (0..ops).map(|_| {
            thread::sleep(TICK);
            let begin = Instant::now();
            take();
            begin.elapsed()
        });
        let late = late.collect();
        stop.store(true, Ordering::Relaxed);
        late
    });
    lateness(late)
}
