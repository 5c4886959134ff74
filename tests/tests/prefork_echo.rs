//! The example `prefork_echo`: its workers come, go and are replaced, and nobody who connects is lost.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lwt_tests::peer::Peer;
use lwt_tests::program::{Program, runs};
use lwt_tests::until;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Server {
    program: Program,
    address: SocketAddr,
}

impl Server {
    /// A server whose workers all serve, and their numbers.
    fn start(workers: usize) -> (Server, Vec<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prefork_echo"));
        let mut program =
            Program::start(command.args(["--workers", &workers.to_string(), "--grace", "1000"]));
        let line = program.line();
        let address = line.strip_prefix("listening on ").expect("the address").parse().expect("an address");
        let mut server = Server { program, address };
        let serving = (0..workers).map(|_| server.serving()).collect();
        (server, serving)
    }

    /// The number of the next worker that tells that it serves.
    fn serving(&mut self) -> i32 {
        self.next("worker ", " serves").parse().expect("a number")
    }

    /// The next line that begins and ends so: what is in between.
    fn next(&mut self, begin: &str, end: &str) -> String {
        loop {
            let line = self.program.line();
            assert!(!line.is_empty(), "it has ended");
            if let Some(middle) = line.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)) {
                return middle.to_owned();
            }
        }
    }

    fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }
}

fn echoes(peer: &mut Peer, text: &str) {
    peer.send(text);
    assert_eq!(peer.receive(text.len()), text.as_bytes());
}

#[test]
fn all_workers_serve_one_socket() {
    let (server, workers) = Server::start(3);
    assert_eq!(workers.len(), 3);
    let mut peers: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for peer in &mut peers {
        echoes(peer, "hello");
    }
    server.program.signal(Signal::SIGTERM);
    for mut peer in peers {
        // Draining: who is connected is still served.
        echoes(&mut peer, "still there");
    }
    let ended = server.program.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!workers.iter().any(|worker| runs(*worker)), "a worker is left");
}

#[test]
fn a_worker_that_dies_is_replaced() {
    let (mut server, workers) = Server::start(2);
    for worker in workers {
        kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it is there");
        server.next(&format!("worker {worker}: "), "SIGKILL");
        server.serving();
        echoes(&mut server.connect(), "hello");
    }
    server.program.signal(Signal::SIGINT);
    assert!(server.program.wait().status.success());
}

#[test]
fn a_reload_loses_no_connection() {
    let (mut server, mut workers) = Server::start(2);
    let over = Arc::new(AtomicBool::new(false));
    let many = Arc::new(AtomicU64::new(0));
    let mut old = server.connect();
    echoes(&mut old, "before");
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (over, many, address) = (Arc::clone(&over), Arc::clone(&many), server.address);
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut peer = Peer::of(TcpStream::connect(address).expect("nobody is refused"));
                    echoes(&mut peer, "in between");
                    many.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let before = many.load(Ordering::Relaxed);
        server.program.signal(Signal::SIGHUP);
        let new = vec![server.serving(), server.serving()];
        server.next("reload", "ed");
        assert!(new.iter().all(|worker| !workers.contains(worker)));
        workers = new;
        until("connections go on", || many.load(Ordering::Relaxed) > before + 20);
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("every connection was served");
    }
    // Its worker drains for as long as it is there.
    echoes(&mut old, "after");
    drop(old);
    server.program.signal(Signal::SIGTERM);
    let ended = server.program.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[test]
fn a_second_signal_is_the_end() {
    for (first, second) in [(Signal::SIGTERM, Signal::SIGTERM), (Signal::SIGINT, Signal::SIGTERM)] {
        let (server, workers) = Server::start(2);
        let mut peer = server.connect();
        echoes(&mut peer, "hello");
        server.program.signal(first);
        until("nobody is accepted", || TcpStream::connect(server.address).is_err());
        echoes(&mut peer, "still there");
        server.program.signal(second);
        let ended = server.program.wait();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
        until("all workers have ended", || !workers.iter().any(|worker| runs(*worker)));
    }
}

#[test]
fn who_signals_all_of_its_processes_loses_no_connection() {
    let (server, workers) = Server::start(3);
    let mut peers: Vec<_> = (0..12).map(|_| server.connect()).collect();
    for peer in &mut peers {
        echoes(peer, "hello");
    }
    for worker in workers {
        kill(Pid::from_raw(worker), Signal::SIGTERM).expect("it is there");
    }
    server.program.signal(Signal::SIGTERM);
    for mut peer in peers {
        echoes(&mut peer, "still there");
    }
    assert!(server.program.wait().status.success());
}

/// With so few descriptors that no worker can be started.
fn without_workers(workers: &str) -> Program {
    let mut shell = Command::new("sh");
    let server = env!("CARGO_BIN_EXE_prefork_echo");
    Program::start(shell.args(["-c", "ulimit -n 12 && exec \"$0\" --workers \"$1\"", server, workers]))
}

#[test]
fn without_descriptors_for_workers_it_says_so() {
    let ended = without_workers("8").wait();
    ended.assert_code(1);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("prefork_echo: ")), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("Too many open files")), "{lines:?}");
    let last = lines.last().expect("the reason");
    assert!(last.contains("10 workers in a row have ended before they served for a while"), "{last}");
}

#[test]
fn it_can_be_ended_before_it_serves() {
    // A single one is tried ten times, with growing delays.
    let mut program = without_workers("1");
    assert!(program.line().starts_with("listening on "));
    program.signal(Signal::SIGTERM);
    assert!(program.wait().status.success());
}

#[test]
fn when_all_workers_die_again_and_again_it_gives_up() {
    let (server, workers) = Server::start(2);
    let mut program = server.program;
    let end = |worker: i32| {
        // It may have gone already.
        let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
    };
    workers.into_iter().for_each(end);
    let mut line = program.line();
    while !line.is_empty() {
        if let Some(worker) = line.strip_prefix("worker ").and_then(|rest| rest.strip_suffix(" begins")) {
            end(worker.parse().expect("a number"));
        }
        line = program.line();
    }
    let ended = program.wait();
    ended.assert_code(1);
    assert!(ended.stderr.contains("workers in a row have ended before they served for a while"), "{ended:?}");
    assert!(ended.stderr.trim_end().ends_with("the worker was ended by SIGKILL"), "{ended:?}");
}

/// A server that prints on a pipe from which only its first line has been read.
fn on_a_pipe() -> (Server, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = Command::new(env!("CARGO_BIN_EXE_prefork_echo"));
    command.args(["--workers", "2"]).stdout(writer).stderr(Stdio::piped());
    let program = Program::start_as_is(&mut command);
    let mut line = String::new();
    BufReader::with_capacity(1, &reader).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("listening on ").expect("the address");
    (Server { program, address: address.parse().expect("an address") }, reader)
}

#[test]
fn it_goes_on_when_nobody_reads_what_it_prints() {
    let (server, reader) = on_a_pipe();
    drop(reader);
    echoes(&mut server.connect(), "hello");
    server.program.signal(Signal::SIGTERM);
    let ended = server.program.wait();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn a_full_pipe_does_not_hold_it_up() {
    let (server, reader) = on_a_pipe();
    let path = format!("/proc/{}/fd/1", server.program.pid());
    // Opened anew, so that only this end of it does not block.
    let pipe = OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let mut pipe = pipe.expect("the pipe");
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    for _ in 0..2 {
        server.program.signal(Signal::SIGHUP);
        echoes(&mut server.connect(), "hello");
    }
    server.program.signal(Signal::SIGTERM);
    assert!(server.program.wait().status.success());
    drop(reader);
}

#[test]
fn what_it_cannot_do_it_says() {
    let (server, _) = Server::start(1);
    let port = server.address.port().to_string();
    for (arguments, code) in [
        (&["--port", &*port][..], 1),
        (&["--workers", "0"], 2),
        (&["--grace", "-1"], 2),
        (&["--port", "65536"], 2),
        (&["rubbish"], 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prefork_echo"));
        let ended = Program::start(command.args(arguments)).wait();
        ended.assert_code(code);
        assert!(ended.stderr.starts_with("prefork_echo: ") && ended.stdout.is_empty(), "{ended:?}");
    }
}

#[test]
fn nothing_is_left_of_a_server_that_is_killed() {
    let (server, workers) = Server::start(3);
    server.program.signal(Signal::SIGKILL);
    until("all workers have ended", || !workers.iter().any(|worker| runs(*worker)));
    assert!(TcpStream::connect(server.address).is_err());
}
