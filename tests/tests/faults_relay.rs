//! The relay example under every fault that can happen to it, in this process: nothing is lost, leaked or
//! spinning.

#[path = "../../lwt-unix/tests/campaign/mod.rs"]
mod campaign;
#[allow(dead_code)]
#[path = "../../examples/relay/main.rs"]
mod relay;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use campaign::echo::{BYTES, client, echo, patiently};
use campaign::{ENGINES, under};
use lwt::entry::guarded;
use lwt::faults::{Plan, Rule};
use lwt::net::TcpListener;
use lwt::net::opt::Linger;
use lwt::{Error, Promise, all, sim, spawn, wait};
use nix::libc;
use relay::Relay;
use relay::options::Options;

const CLIENTS: usize = 5;

/// A server that sends back what it gets, until the listener is closed. Its result is how many reads and
/// writes that took.
fn echo_server(listener: TcpListener) -> Promise<u64> {
    spawn(async move {
        let mut incoming = listener.incoming();
        let mut all = Vec::new();
        while let Ok((stream, _)) = incoming.next().await {
            all.push(spawn(async move {
                let served = echo(&stream).await;
                if served.is_err() {
                    // A part is not to pass for the whole.
                    stream.set_option::<Linger>(Some(Duration::ZERO))?;
                }
                served
            }));
        }
        let mut steps = 0;
        for served in all {
            // How a connection ends is the relay's and the client's affair.
            steps += served.await.unwrap_or(BYTES as u64);
        }
        Ok::<u64, Error>(steps)
    })
}

/// Clients, the relay, and two servers. So many connections may die.
async fn relayed(mortal: usize) -> Result<u64, Error> {
    let bind = async || TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = patiently(&bind).await?;
    let servers = [patiently(&bind).await?, patiently(&bind).await?];
    let address = listener.local_addr()?;
    let options = Options {
        listen: address,
        to: vec![servers[0].local_addr()?, servers[1].local_addr()?],
        connect_timeout: Duration::from_secs(60),
        check_every: Duration::from_secs(3600),
        limit: 100,
        idle: None,
        grace: Duration::from_secs(3600),
    };
    let serving: Vec<_> = servers.iter().map(|server| echo_server(server.clone())).collect();
    let (end, stop) = wait();
    let (hurry, _never) = wait();
    let relay = Rc::new(Relay::new(options));
    let relaying = spawn(async move { relay.serve(listener, end, || hurry).await });

    let clients: Vec<_> = (0..CLIENTS).map(|name| spawn(client(address, name))).collect();
    let (mut steps, mut dead) = (0, 0);
    for client in clients {
        match client.await {
            Ok(done) => steps += done,
            Err(error) => {
                let told = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(error.io_kind().is_some_and(|kind| told.contains(&kind)), "{error:?}");
                dead += 1;
                steps += BYTES as u64;
            }
        }
    }
    assert!(dead <= mortal, "{dead} connections have died");
    stop.wakeup(());
    relaying.await?;
    for server in servers {
        server.close()?;
    }
    let served: u64 = all(serving).await?.iter().sum();
    Ok(2 * (steps + served) + 100)
}

fn everywhere(name: &'static str, mortal: usize, plans: fn(u64) -> Vec<(&'static str, Plan)>) {
    guarded(name, move || {
        for on in ENGINES {
            for seed in sim::seeds(2) {
                for (what, plan) in plans(seed) {
                    match under(on, seed, &plan, move || relayed(mortal)) {
                        Ok(outcome) => println!("{on:?}, seed {seed}, {what}: {outcome:?}"),
                        Err(error) => panic!("{on:?}, seed {seed}, {what}: {error:?}"),
                    }
                }
            }
        }
    });
}

#[test]
fn nothing_is_lost() {
    everywhere("nothing_is_lost", 0, |seed| {
        let plan = || Plan::seeded(seed);
        vec![
            ("nothing", plan()),
            ("every call is interrupted", plan().with(Rule::any().interrupted(3))),
            ("splices would block", plan().with(Rule::on(["splice"]).every(2).would_block())),
            ("reads would block", plan().with(Rule::on(["recv", "recvmsg", "read"]).every(2).would_block())),
            (
                "writes would block",
                plan().with(Rule::on(["send", "sendmsg", "write"]).every(2).would_block()),
            ),
            ("a few bytes at a time", plan().with(Rule::reads().short(23)).with(Rule::writes().short(19))),
            ("no splice", plan().with(Rule::on(["splice"]).error(libc::EINVAL))),
            ("no pipes", plan().with(Rule::on(["pipe2"]).error(libc::EMFILE))),
            (
                "no descriptors for a while",
                plan().with(Rule::on(["accept4"]).every(2).times(6).error(libc::EMFILE)),
            ),
            (
                "no sockets for a while",
                plan().with(Rule::on(["socket"]).every(2).times(6).error(libc::EMFILE)),
            ),
            (
                "clients die in the queue",
                plan().with(Rule::on(["accept4"]).every(2).error(libc::ECONNABORTED)),
            ),
            (
                "all of it",
                plan()
                    .with(Rule::any().chance(0.2).interrupted(2))
                    .with(Rule::on(["recv", "send", "splice", "accept4"]).chance(0.2).would_block())
                    .with(Rule::reads().chance(0.5).short(50))
                    .with(Rule::writes().chance(0.5).short(50)),
            ),
        ]
    });
}

#[test]
fn who_dies_is_told() {
    everywhere("who_dies_is_told", 3, |seed| {
        let plan = || Plan::seeded(seed);
        vec![
            (
                "a splice finds a reset",
                plan().with(Rule::on(["splice", "recv"]).nth(9).error(libc::ECONNRESET)),
            ),
            (
                "a splice finds no reader",
                plan().with(Rule::on(["splice", "send"]).nth(14).error(libc::EPIPE)),
            ),
            (
                "both, and short counts",
                plan()
                    .with(Rule::on(["splice", "recv"]).nth(30).error(libc::ECONNRESET))
                    .with(Rule::on(["splice", "send"]).nth(41).error(libc::EPIPE))
                    .with(Rule::reads().chance(0.5).short(100)),
            ),
        ]
    });
}
