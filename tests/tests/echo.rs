//! The echo example: many connections, peers that behave badly, a lack of descriptors, and how it ends.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lwt_tests::peer::Peer;
use lwt_tests::program::Program;
use lwt_tests::{allow_descriptors, until};
use nix::sys::signal::Signal;

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

/// Starts the server and reads where it listens.
#[track_caller]
fn start(command: &mut Command) -> (Program, SocketAddr) {
    let mut program = Program::start(command);
    let line = program.line();
    let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
    (program, address.unwrap_or_else(|| panic!("not the line that was promised: {line:?}")))
}

fn echo() -> (Program, SocketAddr) {
    start(&mut Command::new(ECHO))
}

/// Sends something and has it come back.
#[track_caller]
fn exchange(peer: &mut Peer, message: &[u8]) {
    peer.send(message);
    assert_eq!(peer.receive(message.len()), message);
}

/// Checks that the program does next to nothing for a while.
///
/// The bound is a hundred times what it needs. A loop that spins uses as much of the time as the other
/// programs leave to it.
#[track_caller]
fn assert_idle(program: &Program) {
    let (used, time) = (program.cpu_time(), Instant::now());
    thread::sleep(Duration::from_secs(1));
    let used = program.cpu_time() - used;
    assert!(used < time.elapsed() / 10, "it is busy with nothing: {used:?}");
}

/// Bytes without a pattern.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(next).collect()
}

#[test]
fn everything_comes_back_in_order() {
    let (_program, address) = echo();
    let mut peer = Peer::connect(address);
    exchange(&mut peer, b"x");
    // More than all buffers on the way hold: it must be read while it is sent.
    let message = noise(16 << 20);
    let mut sender = Peer::of(peer.try_clone().unwrap());
    let copy = message.clone();
    let sending = thread::spawn(move || {
        sender.send(copy);
        sender.finish();
    });
    assert!(peer.rest() == message, "something else came back");
    sending.join().unwrap();
}

#[test]
fn a_half_closed_connection_gets_the_rest() {
    let (_program, address) = echo();
    let mut peer = Peer::connect(address);
    peer.send(b"the last words");
    peer.finish();
    assert_eq!(peer.rest(), b"the last words");
}

#[test]
fn thousands_of_connections() {
    let most = usize::try_from(allow_descriptors()).unwrap_or(usize::MAX);
    let number = 2000.min(most.saturating_sub(200));
    let (program, address) = echo();
    let before = program.descriptors();
    let mut peers: Vec<Peer> = (0..number).map(|_| Peer::connect(address)).collect();
    for peer in &mut peers {
        peer.send(b"hello");
    }
    for peer in &mut peers {
        assert_eq!(peer.receive(5), b"hello");
    }
    assert_eq!(program.descriptors(), before + number, "one descriptor a connection");
    assert_idle(&program);
    exchange(peers.last_mut().unwrap(), b"still there");
    drop(peers);
    until("the closing of all descriptors", || program.descriptors() == before);
}

#[test]
fn resets_in_mid_message() {
    let (program, address) = echo();
    let mut witness = Peer::connect(address);
    exchange(&mut witness, b"before");
    let before = program.descriptors();
    let message = noise(1 << 20);
    for round in 0..200 {
        let mut peer = Peer::connect(address);
        // Some have something on its way back, some have filled the buffers and read nothing, some have not
        // said a word.
        match round % 3 {
            0 => exchange(&mut peer, b"a few bytes"),
            1 => {
                peer.set_nonblocking(true).unwrap();
                while peer.write(&message).is_ok_and(|n| n > 0) {}
            }
            _ => {}
        }
        peer.reset();
    }
    exchange(&mut witness, b"after");
    until("the closing of all descriptors", || program.descriptors() == before);
    assert!(program.is_alive());
}

#[test]
fn the_descriptor_limit() {
    const LIMIT: usize = 48;
    let mut shell = Command::new("sh");
    let (program, address) =
        start(shell.args(["-c", "ulimit -n \"$1\" && exec \"$0\"", ECHO, &LIMIT.to_string()]));
    // Numbers beyond the limit may have been inherited.
    let below_limit = || program.descriptor_numbers().into_iter().filter(|number| *number < LIMIT).count();
    let room = LIMIT - below_limit();
    // The system completes these connections, so they are there, but half of them cannot be accepted.
    let mut peers: Vec<Peer> = (0..2 * room).map(|_| Peer::connect(address)).collect();
    for peer in &mut peers {
        peer.send(b"hello");
    }
    for peer in &mut peers[..room] {
        assert_eq!(peer.receive(5), b"hello");
    }
    until("the limit", || below_limit() == LIMIT);

    assert_idle(&program);
    let waiting = &mut peers[room];
    waiting.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(waiting.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    waiting.patience(lwt_tests::LIMIT);
    // Those that are in go on.
    exchange(&mut peers[0], b"as usual");

    // When the first half goes the second gets in.
    let mut rest = peers.split_off(room);
    drop(peers);
    for peer in &mut rest {
        assert_eq!(peer.receive(5), b"hello");
    }
    program.signal(Signal::SIGTERM);
    for peer in &mut rest {
        assert_eq!(peer.rest(), b"");
    }
    let ended = program.wait();
    ended.assert_code(0);
    assert!(ended.stderr.contains("waiting"), "{ended:?}");
}

#[test]
fn signals_drain_the_connections() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (program, address) = echo();
        let mut peers: Vec<Peer> = (0..50).map(|_| Peer::connect(address)).collect();
        for peer in &mut peers {
            exchange(peer, b"hello");
        }
        // While it sleeps it is sent something by half of its peers, and then the signal: all of it is there
        // when it wakes up.
        program.signal(Signal::SIGSTOP);
        let last = noise(10_000);
        for peer in peers.iter_mut().step_by(2) {
            peer.send(&last);
            peer.delivered();
        }
        program.signal(signal);
        program.signal(Signal::SIGCONT);
        for (number, peer) in peers.iter_mut().enumerate() {
            let expected = if number % 2 == 0 { last.as_slice() } else { b"" };
            assert!(peer.rest() == expected, "{signal}: something else came back");
        }
        let ended = program.wait();
        ended.assert_code(0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    }
}

/// A peer that has sent `message` again and again and taken nothing back, until all buffers were full; how
/// much it has sent.
fn stuck(address: SocketAddr, message: &[u8]) -> (Peer, usize) {
    let mut peer = Peer::connect(address);
    exchange(&mut peer, b"hello");
    peer.set_nonblocking(true).unwrap();
    // They are when nothing more goes out for a while.
    let (mut sent, mut quiet) = (0, 0);
    while quiet < 20 {
        match peer.write(&message[sent % message.len()..]) {
            Ok(n) => (sent, quiet) = (sent + n, 0),
            Err(_) => {
                quiet += 1;
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    peer.set_nonblocking(false).unwrap();
    (peer, sent)
}

#[test]
fn what_waits_in_the_buffers_goes_back_after_a_signal() {
    let (program, address) = start(Command::new(ECHO).args(["--grace", "1000000"]));
    let message = noise(1 << 20);
    let (mut peer, sent) = stuck(address, &message);
    // What has not even reached the server's system may be lost.
    let under_way = peer.unacknowledged();
    let before = program.descriptors();
    program.signal(Signal::SIGTERM);
    until("the listener's end", || program.descriptors() < before);
    let (mut at, mut buf) = (0, vec![0; 1 << 16]);
    loop {
        let n = peer.read(&mut buf).expect("a proper end");
        if n == 0 {
            break;
        }
        for byte in &buf[..n] {
            assert!(*byte == message[at % message.len()], "something else came back, at {at}");
            at += 1;
        }
    }
    assert!(at >= sent - under_way, "{at} of {sent} bytes came back, {under_way} were under way");
    drop(peer);
    let ended = program.wait();
    ended.assert_code(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_grace_time_is_bounded() {
    let (program, address) = start(Command::new(ECHO).args(["--grace", "0.3"]));
    let _stuck = stuck(address, &noise(1 << 20));
    let time = Instant::now();
    program.signal(Signal::SIGTERM);
    let ended = program.wait();
    assert!(time.elapsed() >= Duration::from_millis(300), "no grace");
    ended.assert_code(0);
    assert_eq!(ended.stderr, "echo: 1 connections cut off\n");
}

#[test]
fn a_second_signal_ends_the_waiting() {
    let (program, address) = start(Command::new(ECHO).args(["--grace", "1000000"]));
    let _stuck = stuck(address, &noise(1 << 20));
    let before = program.descriptors();
    program.signal(Signal::SIGTERM);
    // Two signals at once would be one, so the listener has to be seen closing first.
    until("the listener's end", || program.descriptors() < before);
    assert!(program.is_alive());
    program.signal(Signal::SIGTERM);
    program.wait().assert_code(0);
}

#[test]
fn a_port_that_is_taken() {
    let (_program, address) = echo();
    let other = Program::start(Command::new(ECHO).args(["--port", &address.port().to_string()])).wait();
    other.assert_code(1);
    assert_eq!(other.stdout, "");
    assert!(other.stderr.starts_with("echo: ") && other.stderr.contains(&address.to_string()), "{other:?}");
}

#[test]
fn wrong_arguments() {
    for arguments in [&["--port", "70000"][..], &["--port"], &["--nonsense"], &["--grace", "-1"], &["extra"]]
    {
        let ended = Program::start(Command::new(ECHO).args(arguments)).wait();
        ended.assert_code(2);
        assert_eq!(ended.stdout, "");
    }
    let help = Program::start(Command::new(ECHO).arg("--help")).wait();
    help.assert_code(0);
    assert!(help.stdout.contains("--port"));
}
