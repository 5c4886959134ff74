//! Fairness, on each engine: what is always ready leaves room for everything else.

mod engine_support;

use std::cell::Cell;
use std::io::Write;
use std::net::{SocketAddr, TcpStream as StdTcp};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use engine_support::on_each;
use lwt_core::{Error, Promise, pause, spawn, task};
use lwt_unix::net::{TcpListener, UnixStream};
use lwt_unix::{detach, run, sleep};

/// How far each kind of work must get while the others go on.
const ENOUGH: u32 = 50;

/// How far one kind of work has got.
#[derive(Clone, Default)]
struct Count(Rc<Cell<u32>>);

impl Count {
    fn add(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Work without an end, until it is cancelled.
fn endless(work: impl Future<Output = Result<(), Error>> + 'static) -> Promise<()> {
    spawn(work)
}

/// Resolved when all have got far enough; in between it waits by turns of the loop, not by time.
async fn all_of(counts: &[Count]) -> Result<(), Error> {
    while counts.iter().any(|count| count.0.get() < ENOUGH) {
        pause().await?;
    }
    Ok(())
}

#[test]
fn ready_tasks_sockets_timers_and_jobs_share_the_loop() {
    on_each("ready_tasks_sockets_timers_and_jobs_share_the_loop", || {
        let counts: [Count; 5] = Default::default();
        let [yielding, paused, reading, timed, jobs] = counts.clone();
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let work = [
            // Always ready: it is woken again before it is polled.
            endless(async move {
                loop {
                    task::yield_now().await?;
                    yielding.add();
                }
            }),
            endless(async move {
                loop {
                    pause().await?;
                    paused.add();
                }
            }),
            // A socket that always has something to read, because its peer always writes.
            endless(async move {
                loop {
                    theirs.write(&[7; 4096]).await?;
                }
            }),
            endless(async move {
                let mut buf = [0; 64];
                loop {
                    ours.read(&mut buf).await?;
                    reading.add();
                }
            }),
            endless(async move {
                loop {
                    sleep(Duration::from_micros(100)).await?;
                    timed.add();
                }
            }),
            endless(async move {
                loop {
                    detach(|| ()).await?;
                    jobs.add();
                }
            }),
        ];
        run(async move { all_of(&counts).await }).expect("all get on");
        for work in &work {
            work.cancel();
        }
    });
}

#[test]
fn callbacks_that_wake_each_other_for_ever_do_not_stop_a_timer() {
    on_each("callbacks_that_wake_each_other_for_ever_do_not_stop_a_timer", || {
        // Two tasks that hand a token to and fro, each waking the other: the run queue is never empty.
        let turns = Rc::new(Cell::new(0u32));
        let talk: Vec<Promise<()>> = (0..2)
            .map(|_| {
                let turns = Rc::clone(&turns);
                endless(async move {
                    loop {
                        turns.set(turns.get() + 1);
                        task::yield_now().await?;
                    }
                })
            })
            .collect();
        run(sleep(Duration::from_millis(2))).expect("slept");
        assert!(turns.get() > 0);
        talk.iter().for_each(Promise::cancel);
    });
}

#[test]
fn a_flood_of_connections_starves_nobody() {
    on_each("a_flood_of_connections_starves_nobody", || {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bind");
        let address = listener.local_addr().expect("address");
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // A lack of ports, or a full backlog, is no matter here.
                        if let Ok(mut stream) = StdTcp::connect(address) {
                            let _ = stream.write_all(b"x");
                        }
                    }
                })
            })
            .collect();
        let counts: [Count; 4] = Default::default();
        let [accepted, read, timed, paused] = counts.clone();
        let server = endless(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                accepted.add();
                let read = read.clone();
                drop(spawn(async move {
                    // A caller may have reset its connection.
                    if stream.read(&mut [0; 8]).await.is_ok() {
                        read.add();
                    }
                    Ok::<_, Error>(())
                }));
            }
        });
        let clock = endless(async move {
            loop {
                sleep(Duration::from_micros(200)).await?;
                timed.add();
            }
        });
        let turns = endless(async move {
            loop {
                pause().await?;
                paused.add();
            }
        });
        run(async move { all_of(&counts).await }).expect("all get on");
        stop.store(true, Ordering::Relaxed);
        // While callers still wait to be accepted the server goes on.
        let joined = detach(move || callers.into_iter().all(|caller| caller.join().is_ok()));
        assert!(run(joined).expect("joined"));
        for work in [&server, &clock, &turns] {
            work.cancel();
        }
    });
}
