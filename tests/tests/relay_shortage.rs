//! The relay example when descriptors run out, and when its end comes while it is connecting.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use lwt_tests::peer::{Peer, deaf_port};
use lwt_tests::program::Program;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage};

/// Starts a relay; `shell` is what is done before, in its process.
#[track_caller]
fn start(shell: &str, server: SocketAddr, options: &[&str]) -> (Program, SocketAddr) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell}exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_relay")]);
    command.args(["--listen", "127.0.0.1:0", "--check-every", "3600", "--to", &server.to_string()]);
    let mut program = Program::start(command.args(options));
    let line = program.line();
    let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
    (program, address.unwrap_or_else(|| panic!("not the line that was promised: {line:?}")))
}

#[test]
fn without_descriptors_clients_wait_and_no_server_is_down() {
    const CLIENTS: usize = 40;
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (relay, address) = start("ulimit -n 24; ", server.local_addr().expect("an address"), &[]);
    let serving = thread::spawn(move || {
        let echoes: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut peer = Peer::of(server.accept().expect("a connection").0);
                thread::spawn(move || {
                    let word = peer.receive(5);
                    peer.send(word);
                    let _ = peer.rest();
                })
            })
            .collect();
        echoes.into_iter().for_each(|echo| echo.join().expect("joined"));
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Peer::connect(address);
                client.write_all(b"hello").expect("a relay that listens");
                assert_eq!(client.receive(5), b"hello");
                // For a while nobody gets what it holds.
                thread::sleep(Duration::from_millis(30));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("served, at last"));
    serving.join().expect("joined");
    relay.signal(Signal::SIGTERM);
    let ended = relay.wait();
    ended.assert_code(0);
    assert!(!ended.stderr.contains("is down") && !ended.stderr.contains("no server"), "{}", ended.stderr);
}

#[test]
fn who_is_not_connected_at_the_end_is_reset() {
    // Its queue is full: who connects waits for an answer.
    let (deaf, server) = deaf_port();
    socket::listen(&deaf, Backlog::new(0).expect("a number")).expect("listening");
    let _queue: Vec<_> = (0..3)
        .map(|_| {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let one = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
            // It is in progress, and will be.
            let _ = socket::connect(one.as_raw_fd(), &SockaddrStorage::from(server));
            one
        })
        .collect();
    let (relay, address) = start("", server, &["--connect-timeout", "3600", "--grace", "0.2"]);
    let mut client = Peer::connect(address);
    client.send("is anybody there?");
    // A report comes when the relay has taken it.
    relay.signal(Signal::SIGUSR1);
    thread::sleep(Duration::from_millis(50));
    relay.signal(Signal::SIGTERM);
    let end = client.read_to_end(&mut Vec::new()).expect_err("nobody has answered");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    let ended = relay.wait();
    ended.assert_code(0);
    assert!(ended.stderr.ends_with("relay: 1 connections reset\n"), "{}", ended.stderr);
}
