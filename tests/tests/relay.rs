//! The relay example: bytes, ends and resets in both directions; the choice of servers; limits, counters and
//! the end.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lwt_tests::peer::{Peer, deaf_port};
use lwt_tests::program::{Ended, Program};
use lwt_tests::until;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, Backlog};

/// A relay under test, and the servers that it passes connections on to.
struct Relay {
    program: Program,
    address: SocketAddr,
    servers: Vec<TcpListener>,
}

impl Relay {
    /// With so many servers, none of which is tried but for a connection, and further options.
    #[track_caller]
    fn start(servers: usize, options: &[&str]) -> Relay {
        let servers: Vec<_> =
            (0..servers).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let mut command = command(servers.iter().map(|server| server.local_addr().expect("an address")));
        Relay::of(command.args(["--check-every", "3600"]).args(options), servers)
    }

    #[track_caller]
    fn of(command: &mut Command, servers: Vec<TcpListener>) -> Relay {
        let mut program = Program::start(command);
        let line = program.line();
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("not the line that was promised: {line:?}"));
        Relay { program, address, servers }
    }

    /// A client's end and a server's end of one connection.
    #[track_caller]
    fn connect(&self) -> (Peer, Peer) {
        let client = Peer::connect(self.address);
        (client, self.accept(0))
    }

    #[track_caller]
    fn accept(&self, server: usize) -> Peer {
        Peer::of(self.servers[server].accept().expect("a connection").0)
    }

    /// Has it end, and looks at what it has printed on standard error.
    #[track_caller]
    fn end(self) -> Ended {
        self.program.signal(Signal::SIGTERM);
        let ended = self.program.wait();
        ended.assert_code(0);
        ended
    }
}

fn command(servers: impl Iterator<Item = SocketAddr>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.args(["--listen", "127.0.0.1:0"]);
    for server in servers {
        command.arg("--to").arg(server.to_string());
    }
    command
}

/// Bytes that say where they stand.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

/// How a peer's connection ends: `None` properly, or the kind of the error. What comes before is thrown away.
#[track_caller]
fn end_of(peer: &mut Peer) -> Option<ErrorKind> {
    peer.read_to_end(&mut Vec::new()).err().map(|error| error.kind())
}

/// Sends something through, in both directions.
#[track_caller]
fn exchange(client: &mut Peer, server: &mut Peer) {
    client.send("question");
    assert_eq!(server.receive(8), b"question");
    server.send("answer");
    assert_eq!(client.receive(6), b"answer");
}

/// Whether somebody listens there; to connect would be one more connection.
fn listens(address: SocketAddr) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").expect("the system's table");
    let local = format!(":{:04X}", address.port());
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|row| row.get(1).is_some_and(|address| address.ends_with(&local)) && row.get(3) == Some(&"0A"))
}

#[test]
fn bytes_and_ends_pass_in_both_directions() {
    let relay = Relay::start(1, &[]);
    let (mut client, mut server) = relay.connect();
    exchange(&mut client, &mut server);
    // Half of the connection ends, the other goes on.
    client.send("last words");
    client.finish();
    assert_eq!(server.rest(), b"last words");
    for _ in 0..3 {
        server.send("and yet it moves");
        assert_eq!(client.receive(16), b"and yet it moves");
    }
    server.finish();
    assert_eq!(client.rest(), b"");
    // The other way round.
    let (mut client, mut server) = relay.connect();
    server.finish();
    assert_eq!(client.rest(), b"");
    client.send("still here");
    client.finish();
    assert_eq!(server.rest(), b"still here");
    assert_eq!(relay.end().stderr, "");
}

#[test]
fn much_passes_both_ways_at_once_and_slowly_at_first() {
    let relay = Relay::start(1, &[]);
    let (client, server) = relay.connect();
    let data = bytes(24 << 20);
    let send_and_receive = |mut peer: Peer| {
        let mut writer = peer.try_clone().expect("a second handle");
        thread::scope(|scope| {
            let sent = scope.spawn(|| writer.write_all(&data));
            // Who does not read for a while holds the other up, and loses nothing.
            thread::sleep(Duration::from_millis(50));
            assert!(peer.receive(data.len()) == data, "not what was sent");
            sent.join().expect("joined").expect("sent");
        });
        peer.finish();
        assert_eq!(peer.rest(), b"");
    };
    thread::scope(|scope| {
        scope.spawn(|| send_and_receive(client));
        send_and_receive(server);
    });
    relay.end();
}

#[test]
fn a_reset_on_one_side_is_a_reset_on_the_other() {
    let relay = Relay::start(1, &[]);
    let (mut client, mut server) = relay.connect();
    exchange(&mut client, &mut server);
    server.send(bytes(100_000));
    assert_eq!(client.receive(50_000), bytes(100_000)[..50_000]);
    server.reset();
    assert_eq!(end_of(&mut client), Some(ErrorKind::ConnectionReset), "a part must not pass for the whole");
    let (mut client, mut server) = relay.connect();
    client.send(bytes(1000));
    server.receive(1000);
    client.reset();
    assert_eq!(end_of(&mut server), Some(ErrorKind::ConnectionReset));
    // It goes on, and leaves no descriptors behind.
    let (mut client, mut server) = relay.connect();
    exchange(&mut client, &mut server);
    relay.program.signal(Signal::SIGUSR1);
    // A signal comes when it comes, but not after the second exchange.
    exchange(&mut client, &mut server);
    exchange(&mut client, &mut server);
    drop((client, server));
    let ended = relay.end();
    assert!(ended.stderr.contains("relay: 1 open, 3 taken, 0 refused\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 open, 3 taken, 2 broken, 0 failed"), "{}", ended.stderr);
}

#[test]
fn the_counters_are_live() {
    let relay = Relay::start(2, &[]);
    let (mut client, mut server) = relay.connect();
    client.send(bytes(5000));
    server.receive(5000);
    server.send(bytes(300));
    client.receive(300);
    relay.program.signal(Signal::SIGUSR1);
    for _ in 0..3 {
        client.send("x");
        server.receive(1);
    }
    drop((client, server));
    let (first, second) = (relay.servers[0].local_addr(), relay.servers[1].local_addr());
    let (first, second) = (first.expect("an address"), second.expect("an address"));
    let ended = relay.end();
    let line = |start: String| {
        let found = ended.stderr.lines().find(|line| line.starts_with(&start));
        found.unwrap_or_else(|| panic!("no line {start:?} in {:?}", ended.stderr)).to_owned()
    };
    assert_eq!(line("relay: 1 open".to_owned()), "relay: 1 open, 1 taken, 0 refused");
    let used = line(format!("relay: {first} up:"));
    assert!(
        used.contains("1 open, 1 taken, 0 broken, 0 failed, 500") && used.contains(", 300 received"),
        "{used}"
    );
    let unused = line(format!("relay: {second} up:"));
    assert!(unused.ends_with("0 open, 0 taken, 0 broken, 0 failed, 0 bytes sent, 0 received"), "{unused}");
}

#[test]
fn connections_are_spread_over_the_servers() {
    let relay = Relay::start(3, &[]);
    let mut open = Vec::new();
    for _ in 0..4 {
        // Three clients at a time: each server has one of them.
        let clients: Vec<_> = (0..3).map(|_| Peer::connect(relay.address)).collect();
        let servers: Vec<_> = (0..3).map(|server| relay.accept(server)).collect();
        open.push((clients, servers));
    }
    drop(open);
    relay.end();
}

#[test]
fn a_server_that_is_down_is_left_out_until_it_is_up() {
    let (deaf, down) = deaf_port();
    let up = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addresses = [down, up.local_addr().expect("an address")];
    let mut command = command(addresses.into_iter());
    let relay = Relay::of(command.args(["--check-every", "0.05"]), vec![up]);
    // The health checks connect to the server that is up, too: connections without a word.
    let served = |server: usize, relay: &Relay| {
        let mut client = Peer::connect(relay.address);
        client.send("hello");
        loop {
            let mut peer = relay.accept(server);
            let mut word = [0; 5];
            if peer.read_exact(&mut word).is_ok() {
                assert_eq!(&word, b"hello");
                peer.send("world");
                assert_eq!(client.receive(5), b"world");
                return;
            }
        }
    };
    for _ in 0..4 {
        served(0, &relay);
    }
    // Now it comes up: where it was deaf before, it listens.
    socket::listen(&deaf, Backlog::new(16).expect("a number")).expect("listening");
    let mut relay = relay;
    relay.servers.push(TcpListener::from(deaf));
    let (mut client, mut at_second) = (None, None);
    until("a connection to the second server", || {
        let mut peer = relay.accept(1);
        // A check first, then the clients come.
        let next = client.get_or_insert_with(|| {
            let mut client = Peer::connect(relay.address);
            client.send("hello");
            client
        });
        let mut word = [0; 5];
        if peer.read_exact(&mut word).is_err() {
            return false;
        }
        peer.send("world");
        assert_eq!(next.receive(5), b"world");
        at_second = Some(peer);
        true
    });
    drop((client, at_second));
    let ended = relay.end();
    let (downs, ups) = (format!("relay: {down} is down: "), format!("relay: {down} is up\n"));
    assert!(ended.stderr.contains(&downs) && ended.stderr.contains(&ups), "{}", ended.stderr);
}

#[test]
fn with_all_servers_down_clients_are_reset() {
    let (_deaf, down) = deaf_port();
    let mut command = command([down].into_iter());
    let relay = Relay::of(command.args(["--check-every", "3600"]), Vec::new());
    for _ in 0..3 {
        assert_eq!(end_of(&mut Peer::connect(relay.address)), Some(ErrorKind::ConnectionReset));
    }
    relay.program.signal(Signal::SIGUSR1);
    assert_eq!(end_of(&mut Peer::connect(relay.address)), Some(ErrorKind::ConnectionReset));
    let ended = relay.end();
    assert!(ended.stderr.contains(&format!("relay: {down} is down: ")), "{}", ended.stderr);
    assert!(ended.stderr.contains("no server takes the connection of 127.0.0.1:"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(" refused\n") && ended.stderr.contains(" down: 0 open"),
        "{}",
        ended.stderr
    );
}

#[test]
fn over_the_limit_one_waits() {
    let relay = Relay::start(1, &["--limit", "2"]);
    let mut first = relay.connect();
    let second = relay.connect();
    let mut third = Peer::connect(relay.address);
    third.send("patience");
    relay.servers[0].set_nonblocking(true).expect("a socket");
    for _ in 0..3 {
        exchange(&mut first.0, &mut first.1);
        let refused = relay.servers[0].accept().expect_err("a third connection");
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    }
    relay.servers[0].set_nonblocking(false).expect("a socket");
    drop(second);
    assert_eq!(relay.accept(0).receive(8), b"patience");
    drop((first, third));
    relay.end();
}

#[test]
fn a_connection_on_which_nothing_moves_is_reset() {
    let relay = Relay::start(1, &["--idle", "0.2"]);
    let (mut client, mut server) = relay.connect();
    assert_eq!(end_of(&mut client), Some(ErrorKind::ConnectionReset));
    assert_eq!(end_of(&mut server), Some(ErrorKind::ConnectionReset));
    relay.end();
}

#[test]
fn at_the_end_connections_may_finish() {
    let relay = Relay::start(1, &["--grace", "60"]);
    let (mut client, mut server) = relay.connect();
    exchange(&mut client, &mut server);
    relay.program.signal(Signal::SIGTERM);
    until("the listener is closed", || !listens(relay.address));
    exchange(&mut client, &mut server);
    relay.program.signal(Signal::SIGUSR1);
    client.send(bytes(300_000));
    client.finish();
    assert!(server.rest() == bytes(300_000));
    server.finish();
    assert_eq!(client.rest(), b"");
    let ended = relay.program.wait();
    ended.assert_code(0);
    assert!(ended.stderr.starts_with("relay: 1 open, 1 taken, 0 refused\n"), "{}", ended.stderr);
}

#[test]
fn who_does_not_finish_is_reset_after_the_grace_time_or_a_second_signal() {
    for (grace, again) in [("0.1", false), ("3600", true)] {
        let relay = Relay::start(1, &["--grace", grace]);
        let (mut client, mut server) = relay.connect();
        exchange(&mut client, &mut server);
        relay.program.signal(Signal::SIGTERM);
        until("the listener is closed", || !listens(relay.address));
        if again {
            exchange(&mut client, &mut server);
            relay.program.signal(Signal::SIGINT);
        }
        assert_eq!(end_of(&mut client), Some(ErrorKind::ConnectionReset));
        assert_eq!(end_of(&mut server), Some(ErrorKind::ConnectionReset));
        let ended = relay.program.wait();
        ended.assert_code(0);
        assert_eq!(ended.stderr, "relay: 1 connections reset\n");
    }
}

#[test]
fn nothing_is_left_behind_and_nothing_spins() {
    let relay = Relay::start(1, &[]);
    drop(relay.connect());
    // The pipes of ended connections may be kept for the next ones; these are the most that there will be.
    let many: Vec<_> = (0..20).map(|_| relay.connect()).collect();
    drop(many);
    let mut baseline = usize::MAX;
    for round in 0..4 {
        let mut pairs: Vec<_> = (0..20).map(|_| relay.connect()).collect();
        for (at, (client, server)) in pairs.iter_mut().enumerate() {
            exchange(client, server);
            if at % 3 == 0 {
                client.finish();
            }
        }
        for (at, (client, server)) in pairs.into_iter().enumerate() {
            match at % 4 {
                0 => client.reset(),
                1 => server.reset(),
                _ => drop((client, server)),
            }
        }
        until("all connections are closed", || relay.program.descriptors() <= baseline.saturating_add(round));
        if round == 0 {
            thread::sleep(Duration::from_millis(200));
            baseline = relay.program.descriptors();
        }
    }
    let used = relay.program.cpu_time();
    let (_client, _server) = relay.connect();
    thread::sleep(Duration::from_millis(500));
    assert!(relay.program.cpu_time() - used < Duration::from_millis(100), "it is busy with nothing");
    relay.end();
}

/// A web server that answers each request with `body`, of which it sends only the `honest` first bytes before
/// a reset.
fn web_server(listener: TcpListener, body: Vec<u8>, honest: usize, requests: usize) -> JoinHandle<()> {
    thread::spawn(move || {
        for _ in 0..requests {
            let mut peer = Peer::of(listener.accept().expect("a connection").0);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(peer.receive(1)[0]);
            }
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            ));
            peer.send(&body[..honest]);
            if honest < body.len() {
                peer.delivered();
                peer.reset();
            } else {
                peer.finish();
                let _ = peer.rest();
            }
        }
    })
}

fn curl(address: SocketAddr) -> Output {
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "100"])
        .arg(format!("http://{address}/"))
        .output();
    curl.expect("curl, which these tests need (package curl)")
}

#[test]
fn curl_gets_what_the_server_sends() {
    let relay = Relay::start(1, &[]);
    let body = bytes(3_000_000);
    let listener = relay.servers[0].try_clone().expect("a second handle");
    let server = web_server(listener, body.clone(), body.len(), 3);
    for _ in 0..3 {
        let got = curl(relay.address);
        assert!(got.status.success(), "{}", String::from_utf8_lossy(&got.stderr));
        assert!(got.stdout == body, "{} bytes of {}", got.stdout.len(), body.len());
    }
    server.join().expect("joined");
    relay.end();
}

#[test]
fn curl_notices_a_reset_in_mid_stream() {
    let relay = Relay::start(1, &[]);
    let body = bytes(1_000_000);
    let listener = relay.servers[0].try_clone().expect("a second handle");
    let server = web_server(listener, body.clone(), 400_000, 1);
    let got = curl(relay.address);
    assert_eq!(got.status.code(), Some(56), "a failure to receive: {}", String::from_utf8_lossy(&got.stderr));
    assert!(body.starts_with(&got.stdout));
    server.join().expect("joined");
    relay.end();
}

#[test]
fn bad_options_are_explained() {
    for (options, why) in [
        (&["--to", "127.0.0.1:1"][..], "--listen is missing"),
        (&["--listen", "127.0.0.1:0"], "--to is missing"),
        (&["--listen", "nowhere"], "--listen nowhere"),
        (&["--listen", "127.0.0.1:7", "--to", "127.0.0.1:7"], "the relay itself"),
        (
            &["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--connect-timeout", "0"],
            "--connect-timeout 0",
        ),
        (&["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--limit", "0"], "--limit 0"),
        (&["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--grace", "-1"], "negative"),
        (&["--frobnicate"], "--frobnicate"),
    ] {
        let ended = Program::start(Command::new(env!("CARGO_BIN_EXE_relay")).args(options)).wait();
        ended.assert_code(2);
        assert!(ended.stderr.contains(why), "{options:?}: {}", ended.stderr);
    }
    let (_socket, taken) = deaf_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    let ended = Program::start(command.args(["--listen", &taken.to_string(), "--to", "127.0.0.1:1"])).wait();
    ended.assert_code(1);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
}
