//! The example `prefork_echo`: its workers come, go and are replaced, and nobody who connects is lost.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lwt_tests::peer::Peer;
use lwt_tests::program::{Program, runs};
use lwt_tests::until;
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
    let (server, workers) = Server::start(2);
    let mut peer = server.connect();
    echoes(&mut peer, "hello");
    let pid = Pid::from_raw(i32::try_from(server.program.pid()).expect("a process number"));
    until("it has ended, with somebody connected", || {
        let _ = kill(pid, Signal::SIGTERM);
        !server.program.is_alive()
    });
    let status = server.program.wait().status;
    // One that comes after the second meets a program that does not handle it any more.
    assert!(status.success() || status.signal() == Some(Signal::SIGTERM as i32), "{status}");
    until("all workers have ended", || !workers.iter().any(|worker| runs(*worker)));
}

#[test]
fn it_goes_on_when_nobody_reads_what_it_prints() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = Command::new(env!("CARGO_BIN_EXE_prefork_echo"));
    command.args(["--workers", "2"]).stdout(writer).stderr(Stdio::piped());
    let program = Program::start_as_is(&mut command);
    drop(command);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("listening on ").expect("the address");
    let address: SocketAddr = address.parse().expect("an address");
    echoes(&mut Peer::connect(address), "hello");
    program.signal(Signal::SIGTERM);
    let ended = program.wait();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
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
