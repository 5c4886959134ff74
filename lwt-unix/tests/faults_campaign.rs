//! The campaign: an echo server, its clients and jobs under every fault that can happen to them.

mod campaign;

use std::io::ErrorKind;
use std::time::Duration;

use campaign::echo::{BYTES, bytes, client, echo};
use campaign::{ENGINES, On, under};
use lwt_core::{Error, all as values, spawn};
use lwt_unix::entry::guarded;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::Fd;
use lwt_unix::net::{TcpListener, UdpSocket, UnixStream};
use lwt_unix::{detach, sim, sleep};

const CLIENTS: usize = 6;

/// An echo server with its clients. Everything arrives.
async fn echoes() -> Result<u64, Error> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let address = listener.local_addr()?;
    let server = spawn(async move {
        let mut incoming = listener.incoming();
        let mut all = Vec::new();
        for _ in 0..CLIENTS {
            let (stream, _) = incoming.next().await?;
            all.push(spawn(async move { echo(&stream).await }));
        }
        Ok::<u64, Error>(values(all).await?.iter().sum())
    });
    let clients = values((0..CLIENTS).map(|name| spawn(client(address, name))).collect::<Vec<_>>()).await?;
    Ok(clients.iter().sum::<u64>() + server.await? + 20)
}

/// The same, but connections may die: whoever was on one is told, and the others are served.
async fn mortal_echoes() -> Result<u64, Error> {
    let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let address = listener.local_addr()?;
    let server = spawn({
        let listener = listener.clone();
        async move {
            let mut incoming = listener.incoming();
            let mut all = Vec::new();
            while let Ok((stream, _)) = incoming.next().await {
                all.push(spawn(async move { echo(&stream).await }));
            }
            let mut steps = 0;
            for served in all {
                steps += served.await.unwrap_or(BYTES as u64);
            }
            Ok::<u64, Error>(steps)
        }
    });
    let clients: Vec<_> = (0..CLIENTS).map(|name| spawn(client(address, name))).collect();
    let mut steps = 0;
    let mut dead = 0;
    for client in clients {
        match client.await {
            Ok(done) => steps += done,
            Err(error) => {
                let told = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
                assert!(error.io_kind().is_some_and(|kind| told.contains(&kind)), "{error:?}");
                dead += 1;
                steps += BYTES as u64;
            }
        }
    }
    assert!(dead < CLIENTS, "nobody was served");
    listener.close()?;
    Ok(steps + server.await? + 20)
}

/// Bytes through a pair of Unix sockets, with vectors, both ways at once.
async fn pair() -> Result<u64, Error> {
    let (left, right) = UnixStream::pair()?;
    let one_way = |from: Fd, to: Fd, name: usize| {
        let sending = spawn(async move {
            let sent = bytes(name);
            let (mut done, mut steps) = (0, 0);
            while done < sent.len() {
                let (head, tail) = sent[done..].split_at((sent.len() - done) / 3);
                done += from.writev(&[io_slice(head), io_slice(&[]), io_slice(tail)]).await?;
                steps += 1;
            }
            Ok::<u64, Error>(steps)
        });
        spawn(async move {
            let (mut back, mut steps) = (Vec::<u8>::new(), 0);
            while back.len() < BYTES {
                let (mut a, mut b) = ([0; 100], [0; 300]);
                let mut bufs = [std::io::IoSliceMut::new(&mut a), std::io::IoSliceMut::new(&mut b)];
                let n = to.readv(&mut bufs).await?;
                assert_ne!(n, 0);
                back.extend(a.iter().chain(&b).take(n));
                steps += 1;
            }
            assert_eq!(back, bytes(name));
            Ok::<u64, Error>(steps + sending.await?)
        })
    };
    let there = one_way(left.fd().clone(), right.fd().clone(), 1);
    let back = one_way(right.fd().clone(), left.fd().clone(), 2);
    Ok(there.await? + back.await? + 4)
}

fn io_slice(bytes: &[u8]) -> std::io::IoSlice<'_> {
    std::io::IoSlice::new(bytes)
}

/// Jobs whose system calls are under the plan as well.
async fn jobs() -> Result<u64, Error> {
    let bound = || UdpSocket::bind("127.0.0.1:0".parse().expect("an address")).map(drop).is_ok();
    let all = values((0..20).map(|_| detach(bound)).collect::<Vec<_>>()).await?;
    assert!(all.iter().any(|done| !done), "the plan has not reached the jobs");
    assert!(all.iter().any(|done| *done), "no job got a socket");
    Ok(20 * 4)
}

/// The plans under which nothing may be lost.
fn survivable(seed: u64) -> Vec<(&'static str, Plan)> {
    let plan = || Plan::seeded(seed);
    let shortage = |number| {
        plan()
            .with(Rule::on(["accept4"]).chance(0.5).times(8).error(number))
            .with(Rule::on(["socket"]).nth(3).error(number))
    };
    vec![
        ("nothing", plan()),
        ("every call is interrupted", plan().with(Rule::any().interrupted(3))),
        ("many calls are interrupted", plan().with(Rule::any().chance(0.3).interrupted(2))),
        ("reads would block", plan().with(Rule::on(["recv", "recvmsg", "read"]).every(2).would_block())),
        ("writes would block", plan().with(Rule::on(["send", "sendmsg", "write"]).every(2).would_block())),
        ("accepting would block", plan().with(Rule::on(["accept4"]).every(2).would_block())),
        ("single bytes are read", plan().with(Rule::reads().short(1))),
        ("single bytes are written", plan().with(Rule::writes().short(1))),
        (
            "short counts now and then",
            plan().with(Rule::reads().chance(0.5).short(37)).with(Rule::writes().chance(0.5).short(41)),
        ),
        (
            "connections die in the queue",
            plan().with(Rule::on(["accept4"]).every(2).error(libc::ECONNABORTED)),
        ),
        ("EMFILE", shortage(libc::EMFILE)),
        ("ENFILE", shortage(libc::ENFILE)),
        ("ENOMEM", shortage(libc::ENOMEM)),
        (
            "all of it",
            plan()
                .with(Rule::any().chance(0.2).interrupted(2))
                .with(Rule::on(["recv", "send", "recvmsg", "sendmsg", "accept4"]).chance(0.2).would_block())
                .with(Rule::reads().chance(0.5).short(50))
                .with(Rule::writes().chance(0.5).short(50))
                .with(Rule::on(["accept4"]).chance(0.2).times(5).error(libc::EMFILE)),
        ),
    ]
}

fn everywhere<F, S>(
    name: &'static str,
    plans: impl Fn(u64) -> Vec<(&'static str, Plan)> + Send + 'static,
    scenario: S,
) where
    F: Future<Output = Result<u64, Error>> + 'static,
    S: Fn() -> F + Clone + Send + 'static,
{
    guarded(name, move || {
        for on in ENGINES {
            for seed in sim::seeds(2) {
                for (what, plan) in plans(seed) {
                    match under(on, seed, &plan, scenario.clone()) {
                        Ok(outcome) => println!("{on:?}, seed {seed}, {what}: {outcome:?}"),
                        Err(error) => panic!("{on:?}, seed {seed}, {what}: {error:?}"),
                    }
                }
            }
        }
    });
}

#[test]
fn echoes_lose_nothing() {
    everywhere("echoes_lose_nothing", survivable, echoes);
}

#[test]
fn pairs_lose_nothing() {
    let plans = |seed| {
        survivable(seed).into_iter().filter(|(_, plan)| !format!("{plan:?}").contains("socket\"")).collect()
    };
    everywhere("pairs_lose_nothing", plans, pair);
}

#[test]
fn the_dead_are_told_and_the_living_served() {
    let plans = |seed| {
        let plan = || Plan::seeded(seed);
        vec![
            ("one write finds no reader", plan().with(Rule::on(["send"]).nth(5).error(libc::EPIPE))),
            ("one read finds a reset", plan().with(Rule::on(["recv"]).nth(7).error(libc::ECONNRESET))),
            (
                "both, and short counts",
                plan()
                    .with(Rule::on(["send"]).nth(20).error(libc::EPIPE))
                    .with(Rule::on(["recv"]).nth(11).error(libc::ECONNRESET))
                    .with(Rule::reads().chance(0.5).short(100)),
            ),
        ]
    };
    everywhere("the_dead_are_told_and_the_living_served", plans, mortal_echoes);
}

#[test]
fn jobs_are_under_the_plan() {
    let plans = |seed| {
        let plan = Plan::seeded(seed);
        vec![
            ("no descriptor", plan.clone().with(Rule::on(["socket"]).every(3).error(libc::EMFILE))),
            (
                "no memory",
                plan.with(Rule::on(["bind"]).chance(0.4).error(libc::ENOMEM))
                    .with(Rule::any().interrupted(2)),
            ),
        ]
    };
    everywhere("jobs_are_under_the_plan", plans, jobs);
}

#[test]
fn the_harness_sees_leaks_and_spins() {
    guarded("the_harness_sees_leaks_and_spins", || {
        let caught = |scenario: fn() -> lwt_core::Promise<u64>| {
            std::panic::catch_unwind(|| under(On::Mio, 0, &Plan::seeded(0), scenario)).is_err()
        };
        assert!(caught(|| {
            std::mem::forget(sleep(Duration::from_secs(100)));
            lwt_core::Promise::ready(1)
        }));
        assert!(caught(|| {
            std::mem::forget(std::fs::File::open("/dev/null"));
            lwt_core::Promise::ready(1)
        }));
        assert!(caught(|| spawn(async {
            for _ in 0..5000 {
                lwt_core::pause().await?;
            }
            Ok::<_, Error>(1)
        })));
    });
}
