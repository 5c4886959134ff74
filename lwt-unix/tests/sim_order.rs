//! Simulations: time that jumps, the same order for one seed, deadlocks that are reported.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwt_core::{Error, join, pause, spawn};
use lwt_unix::engine::SimEngine;
use lwt_unix::entry::guarded;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::net::{Shutdown, TcpListener, TcpStream, UdpSocket, UnixStream};
use lwt_unix::sim::{self, Deadlock, Sim};
use lwt_unix::{detach, engine_name, loop_stats, sleep, timeout, with_timeout};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn an_hour_of_timeouts_takes_no_time() {
    guarded("an_hour_of_timeouts_takes_no_time", || {
        let start = Instant::now();
        let took = Sim::new()
            .run(|| async {
                for _ in 0..360 {
                    let error = with_timeout(secs(10), || sleep(secs(3600))).await.unwrap_err();
                    assert!(error.downcast_ref::<lwt_unix::Timeout>().is_some());
                }
                assert_eq!(engine_name(), Some("sim"));
                assert_eq!(loop_stats().timers, 0);
                Ok::<_, Error>(sim::elapsed())
            })
            .unwrap();
        // Not a nanosecond of it is lost or won.
        assert_eq!(took, secs(3600));
        assert!(start.elapsed() < secs(3600));
    });
}

/// What happens in a program with all that a simulation has, in the order in which it does.
type Trace = Vec<String>;

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Trace>>);

impl Log {
    fn note(&self, what: impl std::fmt::Display) {
        self.0.borrow_mut().push(format!("{:?} {what}", sim::elapsed()));
    }
}

async fn echo(stream: TcpStream, log: Log, name: usize) -> Result<(), Error> {
    let mut buf = [0; 512];
    loop {
        let n = stream.read(&mut buf).await?;
        log.note(format_args!("server {name} read {n}"));
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

async fn client(address: std::net::SocketAddr, log: Log, name: usize) -> Result<(), Error> {
    let stream = TcpStream::connect(address).await?;
    log.note(format_args!("client {name} is connected from {}", stream.local_addr()?));
    for round in 0..5 {
        let sent = vec![(name + round) as u8; 100 * (name + 1)];
        stream.write_all(&sent).await?;
        let mut back = vec![0; sent.len()];
        let mut got = 0;
        while got < back.len() {
            let n = stream.read(&mut back[got..]).await?;
            log.note(format_args!("client {name} read {n}"));
            assert_ne!(n, 0);
            got += n;
        }
        assert_eq!(back, sent);
        let summed = detach(move || sent.iter().map(|byte| u64::from(*byte)).sum::<u64>()).await?;
        log.note(format_args!("client {name} summed {summed}"));
        sleep(Duration::from_millis(10 * (name as u64 % 3))).await?;
    }
    stream.shutdown(Shutdown::Write)?;
    assert_eq!(stream.read(&mut [0]).await?, 0);
    Ok(())
}

async fn program() -> Result<Trace, Error> {
    let log = Log::default();
    let listener = TcpListener::bind("0.0.0.0:80".parse().unwrap())?;
    let server = spawn({
        let log = log.clone();
        async move {
            let mut all = Vec::new();
            for name in 0..10 {
                let (stream, _) = listener.accept().await?;
                all.push(spawn(echo(stream, log.clone(), name)));
            }
            join(all).await
        }
    });
    let clients: Vec<_> =
        (0..10).map(|name| spawn(client("10.1.1.1:80".parse().unwrap(), log.clone(), name))).collect();
    let datagrams = spawn({
        let log = log.clone();
        async move {
            let one = UdpSocket::bind("10.0.0.1:53".parse().unwrap())?;
            let two = UdpSocket::bind("10.0.0.2:0".parse().unwrap())?;
            for n in 0..20 {
                two.send_to(&[n], "10.0.0.1:53".parse().unwrap()).await?;
            }
            for _ in 0..20 {
                let mut byte = [0];
                one.recv_from(&mut byte).await?;
                log.note(format_args!("datagram {}", byte[0]));
            }
            Ok::<_, Error>(())
        }
    });
    let pauses = spawn({
        let log = log.clone();
        async move {
            for n in 0..50 {
                pause().await?;
                if n % 10 == 0 {
                    log.note(format_args!("pause {n}"));
                    let first =
                        lwt_core::choose([lwt_core::Promise::ready(1), lwt_core::Promise::ready(2)]).await?;
                    log.note(format_args!("chose {first}"));
                }
            }
            Ok::<_, Error>(())
        }
    });
    let (left, right) = UnixStream::pair()?;
    let pair = spawn({
        let log = log.clone();
        async move {
            let mut buf = vec![0; 3000];
            let mut got = 0;
            while got < buf.len() {
                let n = right.read(&mut buf[got..]).await?;
                log.note(format_args!("pair read {n}"));
                got += n;
            }
            Ok::<_, Error>(())
        }
    });
    left.write_all(&[7; 3000]).await?;
    join(clients).await?;
    server.await?;
    datagrams.await?;
    pauses.await?;
    pair.await?;
    Ok(log.0.take())
}

#[test]
fn one_seed_one_order() {
    guarded("one_seed_one_order", || {
        let run = |seed| Sim::new().seed(seed).partial(0.3).loss(0.0).run(program).unwrap();
        let mut traces: Vec<_> = (0..5).map(run).collect();
        for (seed, trace) in traces.iter().enumerate() {
            assert!(trace.len() > 150, "{}", trace.len());
            for _ in 0..3 {
                assert_eq!(&run(seed as u64), trace, "seed {seed}");
            }
        }
        traces.sort();
        traces.dedup();
        assert_eq!(traces.len(), 5);
    });
}

/// Faults strike at the same places each time, in jobs, too.
#[test]
fn one_seed_one_order_of_faults() {
    guarded("one_seed_one_order_of_faults", || {
        let run = |seed: u64| {
            let sim = Sim::new().seed(seed).partial(0.3);
            sim.run(move || async move {
                let faults = Plan::seeded(seed)
                    .with(Rule::any().chance(0.2).interrupted(2))
                    .with(Rule::on(["recv", "send"]).chance(0.2).would_block())
                    .with(Rule::reads().chance(0.3).short(20))
                    .with(Rule::on(["openat"]).chance(0.5).error(libc::ENOSPC))
                    .install();
                let mut trace = Vec::new();
                for _ in 0..10 {
                    let opened = lwt_unix::file::File::open("/dev/null").await;
                    trace.push(format!("{:?} opened: {}", sim::elapsed(), opened.is_ok()));
                }
                trace.extend(program().await?);
                trace.push(format!("{faults:?}"));
                Ok::<_, Error>(trace)
            })
            .unwrap()
        };
        for seed in 0..3 {
            let first = run(seed);
            assert!(first.iter().any(|line| line.contains("ENOSPC")), "{first:?}");
            assert_eq!(run(seed), first);
        }
    });
}

#[test]
fn jobs_take_no_time_and_keep_their_order() {
    guarded("jobs_take_no_time_and_keep_their_order", || {
        let order = Sim::new()
            .run(|| async {
                let log = Log::default();
                let alarm = sleep(Duration::from_nanos(1)).map({
                    let log = log.clone();
                    move |()| log.note("alarm")
                });
                let jobs: Vec<_> = (0..4)
                    .map(|n| {
                        let log = log.clone();
                        // The first takes longest.
                        detach(move || std::thread::sleep(Duration::from_millis(20 >> n)))
                            .map(move |()| log.note(n))
                    })
                    .collect();
                let cancelled = detach(|| panic!("it never runs"));
                cancelled.cancel();
                assert!(cancelled.await.is_err());
                join(jobs).await?;
                alarm.await?;
                assert_eq!(loop_stats().jobs, 0);
                Ok::<_, Error>(log.0.take())
            })
            .unwrap();
        assert_eq!(order, ["0ns 0", "0ns 1", "0ns 2", "0ns 3", "1ns alarm"]);
    });
}

#[test]
fn a_loop_that_never_rests_sees_its_timers() {
    guarded("a_loop_that_never_rests_sees_its_timers", || {
        Sim::new()
            .run(|| async {
                let timer = sleep(Duration::from_millis(5));
                while timer.is_pending() {
                    pause().await?;
                }
                Ok::<_, Error>(())
            })
            .unwrap();
    });
}

#[test]
fn a_deadlock_is_reported_with_what_waits() {
    guarded("a_deadlock_is_reported_with_what_waits", || {
        let error = Sim::new()
            .run(|| async {
                let listener = TcpListener::bind("10.0.0.1:7".parse().unwrap())?;
                sleep(secs(5)).await?;
                spawn(async move { listener.accept().await.map(drop) }).await
            })
            .unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::Deadlock));
        let deadlock = Deadlock::of(&error).expect("a deadlock");
        assert_eq!(deadlock.after(), secs(5));
        assert!(deadlock.waits()[0].contains("TCP listener at 10.0.0.1:7"), "{deadlock}");
        assert!(deadlock.to_string().contains("seed 0"), "{deadlock}");
        assert_eq!(format!("{error:?}").matches("nothing can run").count(), 1, "{error:?}");
        #[cfg(feature = "registry")]
        assert!(deadlock.waits().iter().any(|wait| wait.contains("sim_order.rs")), "{deadlock}");
        let forever = || async {
            let (promise, _resolver) = lwt_core::wait::<()>();
            promise.await
        };
        assert!(Deadlock::of(&Sim::new().run(forever).unwrap_err()).is_some());
        // A time-out is something that will happen.
        let error = Sim::new().run(|| timeout::<()>(secs(1))).unwrap_err();
        assert!(error.downcast_ref::<lwt_unix::Timeout>().is_some());
    });
}

#[test]
fn a_panic_comes_out() {
    guarded("a_panic_comes_out", || {
        let panic = std::panic::catch_unwind(|| {
            Sim::new().seed(77).run(|| {
                assert_eq!(engine_name(), None, "made here");
                async { Ok::<_, Error>(()) }
            })
        });
        assert!(panic.is_err());
    });
}

/// A second simulation on a thread is refused, and the first one goes on.
#[test]
fn there_is_one_at_a_time() {
    guarded("there_is_one_at_a_time", || {
        Sim::new()
            .run(|| async {
                let (left, right) = UnixStream::pair()?;
                assert!(std::panic::catch_unwind(|| drop(SimEngine::new(&Sim::new()))).is_err());
                left.write_all(b"x").await?;
                right.read_exact(&mut [0]).await
            })
            .unwrap();
    });
}

#[test]
fn a_real_descriptor_cannot_be_waited_for() {
    guarded("a_real_descriptor_cannot_be_waited_for", || {
        let error = Sim::new()
            .run(|| async {
                let (reader, _writer) = std::io::pipe()?;
                let reader = lwt_unix::fd::Fd::new(reader.into())?;
                reader.read(&mut [0]).await.map(drop)
            })
            .unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::Unsupported));
    });
}

lwt_unix::sim_test! {
    /// The entry for tests.
    async fn an_entry_for_tests() -> Result<(), Error> {
        sleep(secs(100)).await?;
        assert_eq!(sim::elapsed(), secs(100));
        Ok(())
    }

    #[should_panic(expected = "on purpose")]
    async fn that_can_fail() {
        panic!("on purpose");
    }
}
