//! What tasks share: streams, mutexes, mvars and pools, each beside the nearest that the peers ship.
//!
//! tokio's are made for tasks on several threads, smol's (`async-channel`, `async-lock`) too: atomics are part of their
//! figures, as they are of every program that uses them on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use lwt::mutex::Mutex;
use lwt::mvar::Mvar;
use lwt::pool::Pool;
use lwt::stream;
use tokio::sync::mpsc;

use super::PLAIN;
use crate::harness::Row;
use crate::measure::{CpuWatch, Failure, Outcome, opaque};
use crate::runtimes::{on_lwt, on_smol, on_tokio, smol_spawn};

pub const ROWS: [Row; 6] = [
    Row {
        name: "stream",
        what: "push + get of what is there",
        ops: 5_000_000,
        lwt: lwt_stream,
        tokio: Some(tokio_stream),
        smol: Some(smol_stream),
        ..PLAIN
    },
    Row {
        name: "stream-bounded",
        what: "one task pushes, another one gets, through a stream of 64, per element",
        ops: 3_000_000,
        lwt: lwt_bounded,
        tokio: Some(tokio_bounded),
        smol: Some(smol_bounded),
        ..PLAIN
    },
    Row {
        name: "mutex",
        what: "lock + unlock of a free mutex",
        ops: 5_000_000,
        lwt: lwt_mutex,
        tokio: Some(tokio_mutex),
        smol: Some(smol_mutex),
        ..PLAIN
    },
    Row {
        name: "mutex-line",
        what: "8 tasks in line for a mutex, each yields while it has it, per lock",
        ops: 2_000_000,
        lwt: lwt_line,
        tokio: Some(tokio_line),
        smol: Some(smol_line),
        ..PLAIN
    },
    Row {
        name: "mvar",
        what: "two tasks pass a value to and fro, per hand-over",
        ops: 3_000_000,
        lwt: lwt_mvar,
        tokio: Some(tokio_mvar),
        smol: Some(smol_mvar),
        ..PLAIN
    },
    Row {
        name: "pool",
        what: "use of an idle member",
        ops: 3_000_000,
        lwt: lwt_pool,
        tokio: Some(tokio_pool),
        smol: Some(smol_pool),
        ..PLAIN
    },
];

/// Fails unless the elements were those that were sent.
fn checked(sum: u64, ops: u64) -> Result<(), Failure> {
    if sum == (0..ops).sum::<u64>() { Ok(()) } else { Err(Failure::wrong(sum)) }
}

fn lwt_stream(ops: u64) -> Outcome {
    on_lwt(async move {
        let (elements, push) = stream::create();
        let watch = CpuWatch::start();
        let mut sum = 0;
        for turn in 0..ops {
            push.push(opaque(turn))?;
            sum += elements.get().await?.unwrap_or_default();
        }
        let measure = watch.per(ops);
        checked(sum, ops).map_err(|failure| lwt::Error::msg(failure.to_string()))?;
        Ok(measure)
    })
}

fn tokio_stream(ops: u64) -> Outcome {
    on_tokio(async move {
        let (push, mut elements) = mpsc::unbounded_channel();
        let watch = CpuWatch::start();
        let mut sum = 0;
        for turn in 0..ops {
            push.send(opaque(turn)).map_err(Failure::wrong)?;
            sum += elements.recv().await.unwrap_or_default();
        }
        let measure = watch.per(ops);
        checked(sum, ops)?;
        Ok(measure)
    })
}

fn smol_stream(ops: u64) -> Outcome {
    on_smol(async move {
        let (push, elements) = smol::channel::unbounded();
        let watch = CpuWatch::start();
        let mut sum = 0;
        for turn in 0..ops {
            push.send(opaque(turn)).await.map_err(Failure::wrong)?;
            sum += elements.recv().await.map_err(Failure::wrong)?;
        }
        let measure = watch.per(ops);
        checked(sum, ops)?;
        Ok(measure)
    })
}

/// Elements that a bounded stream holds.
const BOUND: usize = 64;

fn lwt_bounded(ops: u64) -> Outcome {
    on_lwt(async move {
        let (elements, push) = stream::create_bounded(BOUND);
        let watch = CpuWatch::start();
        let other = lwt::spawn(async move {
            for turn in 0..ops {
                push.push(opaque(turn)).await?;
            }
            Ok::<_, lwt::Error>(())
        });
        let mut sum = 0;
        while let Some(element) = elements.get().await? {
            sum += element;
        }
        let measure = watch.per(ops);
        other.await?;
        checked(sum, ops).map_err(|failure| lwt::Error::msg(failure.to_string()))?;
        Ok(measure)
    })
}

fn tokio_bounded(ops: u64) -> Outcome {
    on_tokio(async move {
        let (push, mut elements) = mpsc::channel(BOUND);
        let watch = CpuWatch::start();
        let other = tokio::spawn(async move {
            for turn in 0..ops {
                if push.send(opaque(turn)).await.is_err() {
                    break;
                }
            }
        });
        let mut sum = 0;
        while let Some(element) = elements.recv().await {
            sum += element;
        }
        let measure = watch.per(ops);
        other.await?;
        checked(sum, ops)?;
        Ok(measure)
    })
}

fn smol_bounded(ops: u64) -> Outcome {
    on_smol(async move {
        let (push, elements) = smol::channel::bounded(BOUND);
        let watch = CpuWatch::start();
        let other = smol_spawn(async move {
            for turn in 0..ops {
                if push.send(opaque(turn)).await.is_err() {
                    break;
                }
            }
        });
        let mut sum = 0;
        while let Ok(element) = elements.recv().await {
            sum += element;
        }
        let measure = watch.per(ops);
        other.await;
        checked(sum, ops)?;
        Ok(measure)
    })
}

fn lwt_mutex(ops: u64) -> Outcome {
    on_lwt(async move {
        let mutex = Mutex::new(0);
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let mut value = mutex.lock().await?;
            *value = opaque(*value) + 1;
        }
        Ok(watch.per(ops))
    })
}

fn tokio_mutex(ops: u64) -> Outcome {
    on_tokio(async move {
        let mutex = tokio::sync::Mutex::new(0);
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let mut value = mutex.lock().await;
            *value = opaque(*value) + 1;
        }
        Ok(watch.per(ops))
    })
}

fn smol_mutex(ops: u64) -> Outcome {
    on_smol(async move {
        let mutex = smol::lock::Mutex::new(0);
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let mut value = mutex.lock().await;
            *value = opaque(*value) + 1;
        }
        Ok(watch.per(ops))
    })
}

/// Tasks in line.
const LINE: u64 = 8;

fn lwt_line(ops: u64) -> Outcome {
    on_lwt(async move {
        let mutex = Mutex::new(0);
        let watch = CpuWatch::start();
        let one = || {
            let mutex = mutex.clone();
            async move {
                for _ in 0..ops / LINE {
                    let mut value = mutex.lock().await?;
                    lwt::task::yield_now().await?;
                    *value = opaque(*value) + 1;
                }
                Ok::<_, lwt::Error>(())
            }
        };
        let tasks: Vec<_> = (0..LINE).map(|_| lwt::spawn(one())).collect();
        for task in tasks {
            task.await?;
        }
        Ok(watch.per(ops))
    })
}

fn tokio_line(ops: u64) -> Outcome {
    on_tokio(async move {
        let mutex = Arc::new(tokio::sync::Mutex::new(0));
        let watch = CpuWatch::start();
        let one = || {
            let mutex = mutex.clone();
            async move {
                for _ in 0..ops / LINE {
                    let mut value = mutex.lock().await;
                    tokio::task::yield_now().await;
                    *value = opaque(*value) + 1;
                }
            }
        };
        let tasks: Vec<_> = (0..LINE).map(|_| tokio::spawn(one())).collect();
        for task in tasks {
            task.await?;
        }
        Ok(watch.per(ops))
    })
}

fn smol_line(ops: u64) -> Outcome {
    on_smol(async move {
        let mutex = Rc::new(smol::lock::Mutex::new(0));
        let watch = CpuWatch::start();
        let one = || {
            let mutex = mutex.clone();
            async move {
                for _ in 0..ops / LINE {
                    let mut value = mutex.lock().await;
                    smol::future::yield_now().await;
                    *value = opaque(*value) + 1;
                }
            }
        };
        let tasks: Vec<_> = (0..LINE).map(|_| smol_spawn(one())).collect();
        for task in tasks {
            task.await;
        }
        Ok(watch.per(ops))
    })
}

fn lwt_mvar(ops: u64) -> Outcome {
    on_lwt(async move {
        let (there, back) = (Mvar::empty(), Mvar::empty());
        let (theirs, answer) = (there.clone(), back.clone());
        let other = lwt::spawn(async move {
            for _ in 0..ops / 2 {
                let value: u64 = theirs.take().await?;
                answer.put(opaque(value)).await?;
            }
            Ok::<_, lwt::Error>(())
        });
        let watch = CpuWatch::start();
        for turn in 0..ops / 2 {
            there.put(turn).await?;
            opaque(back.take().await?);
        }
        let measure = watch.per(ops);
        other.await?;
        Ok(measure)
    })
}

fn tokio_mvar(ops: u64) -> Outcome {
    on_tokio(async move {
        let ((there, mut theirs), (answer, mut back)) = (mpsc::channel::<u64>(1), mpsc::channel(1));
        let other = tokio::spawn(async move {
            while let Some(value) = theirs.recv().await {
                if answer.send(opaque(value)).await.is_err() {
                    break;
                }
            }
        });
        let watch = CpuWatch::start();
        for turn in 0..ops / 2 {
            there.send(turn).await.map_err(Failure::wrong)?;
            opaque(back.recv().await.ok_or("the other task is gone")?);
        }
        let measure = watch.per(ops);
        drop(there);
        other.await?;
        Ok(measure)
    })
}

fn smol_mvar(ops: u64) -> Outcome {
    on_smol(async move {
        let ((there, theirs), (answer, back)) = (smol::channel::bounded::<u64>(1), smol::channel::bounded(1));
        let other = smol_spawn(async move {
            while let Ok(value) = theirs.recv().await {
                if answer.send(opaque(value)).await.is_err() {
                    break;
                }
            }
        });
        let watch = CpuWatch::start();
        for turn in 0..ops / 2 {
            there.send(turn).await.map_err(Failure::wrong)?;
            opaque(back.recv().await.map_err(Failure::wrong)?);
        }
        let measure = watch.per(ops);
        drop(there);
        other.await;
        Ok(measure)
    })
}

/// Members of a pool.
const MEMBERS: usize = 4;

fn lwt_pool(ops: u64) -> Outcome {
    on_lwt(async move {
        let pool = Pool::create(MEMBERS, async || Ok(0_u64));
        let watch = CpuWatch::start();
        for _ in 0..ops {
            pool.use_(async |member: &mut u64| {
                *member = opaque(*member) + 1;
                Ok(())
            })
            .await?;
        }
        Ok(watch.per(ops))
    })
}

/// The peers have no pool; who needs one puts the members behind a semaphore.
fn tokio_pool(ops: u64) -> Outcome {
    on_tokio(async move {
        let permits = tokio::sync::Semaphore::new(MEMBERS);
        let members = std::sync::Mutex::new(vec![0_u64; MEMBERS]);
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let _permit = permits.acquire().await.map_err(Failure::wrong)?;
            let mut member = members.lock().ok().and_then(|mut all| all.pop()).ok_or("no member is idle")?;
            member = opaque(member) + 1;
            members.lock().map_err(|_| "poisoned")?.push(member);
        }
        Ok(watch.per(ops))
    })
}

fn smol_pool(ops: u64) -> Outcome {
    on_smol(async move {
        let permits = smol::lock::Semaphore::new(MEMBERS);
        let members = RefCell::new(vec![0_u64; MEMBERS]);
        let watch = CpuWatch::start();
        for _ in 0..ops {
            let _permit = permits.acquire().await;
            let mut member = members.borrow_mut().pop().ok_or("no member is idle")?;
            member = opaque(member) + 1;
            members.borrow_mut().push(member);
        }
        Ok(watch.per(ops))
    })
}
