//! The file server of the quickstart example, and peers that mean it no good.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lwt_tests::dir::TempDir;
use lwt_tests::http::{Answer, get};
use lwt_tests::peer::Peer;
use lwt_tests::program::Program;
use lwt_tests::until;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// Starts the server on a directory and reads where it listens.
#[track_caller]
fn serve(dir: &Path, arguments: &[&str]) -> (Program, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    let mut program = Program::start(command.args(["--serve", "--dir"]).arg(dir).args(arguments));
    let line = program.line();
    let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
    (program, address.unwrap_or_else(|| panic!("not the line that was promised: {line:?}")))
}

/// Sends something and gives the code of the answer, after which the connection has to end.
#[track_caller]
fn refusal(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut peer = Peer::connect(address);
    peer.send(request);
    let answer = Answer::receive(&mut peer, true);
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(peer.rest(), b"");
    answer
}

#[test]
fn requests_in_a_row() {
    let dir = TempDir::new();
    dir.write("one", "first");
    dir.write("empty", "");
    dir.write("sub/two words", "second");
    let (_program, address) = serve(dir.path(), &[]);
    let mut peer = Peer::connect(address);
    for _ in 0..3 {
        let answer = get(&mut peer, "/one");
        assert_eq!((answer.code, answer.body.as_slice()), (200, &b"first"[..]));
        assert_eq!(answer.field("Connection"), Some("keep-alive"));
        // A file that is not there is no reason to part.
        assert_eq!(get(&mut peer, "/none").code, 404);
        assert_eq!(get(&mut peer, "/empty").body, b"");
        assert_eq!(get(&mut peer, "/sub/two%20words?a=b").body, b"second");
        assert_eq!(get(&mut peer, "http://test/%6F%6e%65").body, b"first");
    }
    peer.finish();
    assert_eq!(peer.rest(), b"");
}

#[test]
fn a_head_alone() {
    let dir = TempDir::new();
    dir.write("one", "first");
    let (_program, address) = serve(dir.path(), &[]);
    let mut peer = Peer::connect(address);
    peer.send("HEAD /one HTTP/1.1\r\nHost: test\r\n\r\nHEAD /none HTTP/1.1\r\nHost: test\r\n\r\n");
    let answer = Answer::receive(&mut peer, false);
    assert_eq!((answer.code, answer.field("Content-Length")), (200, Some("5")));
    assert_eq!(Answer::receive(&mut peer, false).code, 404);
    assert_eq!(get(&mut peer, "/one").body, b"first");
}

#[test]
fn requests_at_once_and_in_crumbs() {
    let dir = TempDir::new();
    let content: Vec<u8> = (0..300_000_u32).map(|at| (at / 7) as u8).collect();
    dir.write("large", &content);
    dir.write("one", "first");
    let (_program, address) = serve(dir.path(), &[]);
    let mut peer = Peer::connect(address);
    // Many more than one buffer holds.
    let round = "GET /one HTTP/1.1\r\nHost: test\r\n\r\n\r\nGET /large HTTP/1.1\r\nHost:test\r\nX: y\r\n\r\n";
    let mut sender = Peer::of(peer.try_clone().unwrap());
    let requests = round.repeat(200);
    let sending = std::thread::spawn(move || sender.send(requests));
    for _ in 0..200 {
        assert_eq!(Answer::receive(&mut peer, true).body, b"first");
        assert!(Answer::receive(&mut peer, true).body == content, "not the file");
    }
    sending.join().unwrap();
    peer.set_nodelay(true).unwrap();
    for byte in "GET /one HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".bytes() {
        peer.send([byte]);
    }
    assert_eq!(Answer::receive(&mut peer, true).body, b"first");
    assert_eq!(peer.rest(), b"");
}

#[test]
fn the_older_version() {
    let dir = TempDir::new();
    dir.write("one", "first");
    let (_program, address) = serve(dir.path(), &[]);
    assert_eq!(refusal(address, "GET /one HTTP/1.0\r\n\r\n").body, b"first");
    let mut peer = Peer::connect(address);
    for _ in 0..2 {
        peer.send("GET /one HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        assert_eq!(Answer::receive(&mut peer, true).body, b"first");
    }
}

#[test]
fn no_way_out() {
    let outside = TempDir::new();
    outside.write("secret", "the secret");
    outside.write("root/inside", "no secret");
    outside.write("root/sub/inside", "no secret");
    let root = outside.path().join("root");
    symlink("../secret", root.join("link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink(outside.path(), root.join("sub/absolute")).unwrap();
    symlink("inside", root.join("neighbour")).unwrap();
    mkfifo(&root.join("pipe"), Mode::S_IRWXU).unwrap();
    let (_program, address) = serve(&root, &[]);
    let absolute = outside.path().join("secret").display().to_string();
    let encoded = absolute.replace('/', "%2f");
    let targets = [
        ("/../secret", 403),
        ("/sub/../../secret", 403),
        ("/sub/../inside", 403),
        ("/./inside", 403),
        ("/%2e%2e/secret", 403),
        ("/%2E./secret", 403),
        ("/.%2e/secret", 403),
        ("/..%2fsecret", 404),
        ("/%2e%2e%2fsecret", 404),
        ("/sub%2f..%2f..%2fsecret", 404),
        ("/..%5csecret", 404),
        ("/..\\secret", 404),
        ("/%252e%252e/secret", 404),
        ("/%c0%ae%c0%ae/secret", 404),
        ("/inside/../../secret", 403),
        ("http://test/../secret", 403),
        ("/inside%00", 400),
        ("/%00/../secret", 400),
        ("/link", 403),
        ("/neighbour", 403),
        ("/up/secret", 404),
        ("/sub/absolute/secret", 404),
        ("/pipe", 403),
        ("/", 403),
        ("/sub", 403),
        ("/sub/", 404),
        ("//inside", 404),
        ("/inside/", 404),
        ("/inside/below", 404),
        ("/%", 400),
        ("/%2", 400),
        ("/%zz", 400),
        ("/%+1", 400),
        ("inside", 400),
        ("../secret", 400),
        ("*", 400),
        ("/inside#top", 400),
        (&format!("/{absolute}"), 404),
        (&absolute, 404),
        (&format!("/{encoded}"), 404),
        (&format!("/{}", "x".repeat(300)), 404),
        (&format!("/{}", "x/".repeat(3000)), 404),
    ];
    let mut peer = Peer::connect(address);
    for (target, code) in targets {
        let answer = get(&mut peer, target);
        assert_eq!(answer.code, code, "{target}");
        assert!(!answer.body.windows(6).any(|six| six == b"secret"), "{target}");
    }
    assert_eq!(get(&mut peer, "/sub/inside").body, b"no secret");
}

#[test]
fn requests_that_are_none() {
    let (_program, address) = serve(TempDir::new().path(), &[]);
    let garbage: Vec<u8> = (0..2000_u32).map(|at| (at * 167 % 256) as u8).collect();
    let requests: [(&[u8], u16); 22] = [
        (&garbage, 400),
        // The beginning of an encrypted connection.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/3.0\r\n\r\n", 505),
    ];
    for (request, code) in requests {
        let answer = refusal(address, request);
        assert_eq!(answer.code, code, "{}", request.escape_ascii());
        assert_eq!(answer.field("Allow").is_some(), code == 405);
    }
}

#[test]
fn heads_that_are_too_large() {
    let dir = TempDir::new();
    dir.write("one", "first");
    let (program, address) = serve(dir.path(), &[]);
    let before = program.descriptors();
    let line = format!("GET /{}", "x".repeat(9000));
    assert_eq!(refusal(address, line).code, 414);
    let field = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}", "x".repeat(9000));
    assert_eq!(refusal(address, field).code, 431);
    let fields = format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: x\r\n".repeat(64));
    assert_eq!(refusal(address, fields).code, 431);
    // Somebody who does not stop talking sees the answer all the same, and is rid of in the end.
    let mut peer = Peer::connect(address);
    peer.send(vec![b'x'; 500_000]);
    assert_eq!(Answer::receive(&mut peer, true).code, 414);
    let endless = vec![b'x'; 1 << 20];
    until("the end of the connection", || peer.write_all(&endless).is_err());
    // The largest that are allowed.
    let mut peer = Peer::connect(address);
    let fields = format!("GET /one HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: x\r\n".repeat(63));
    peer.send(fields);
    assert_eq!(Answer::receive(&mut peer, true).code, 200);
    let start = "GET /one HTTP/1.1\r\nHost: test\r\nX: ";
    peer.send(format!("{start}{}\r\n\r\n", "x".repeat(8191 - start.len() - 4)));
    assert_eq!(Answer::receive(&mut peer, true).code, 200);
    drop(peer);
    until("the closing of all descriptors", || program.descriptors() == before);
}

#[test]
fn stalled_peers() {
    let dir = TempDir::new();
    dir.write("one", "first");
    File::create(dir.path().join("huge")).unwrap().set_len(1 << 30).unwrap();
    let (program, address) = serve(dir.path(), &["--timeout", "1"]);
    let before = program.descriptors();
    let time = Instant::now();
    let mut silent = Peer::connect(address);
    let mut half = Peer::connect(address);
    half.send("GET /one HTTP/1.1\r\nHo");
    let mut deaf = Peer::connect(address);
    deaf.send("GET /huge HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut idle = Peer::connect(address);
    assert_eq!(get(&mut idle, "/one").code, 200);

    let answer = Answer::receive(&mut half, true);
    assert_eq!((answer.code, answer.field("Connection")), (408, Some("close")));
    assert_eq!(half.rest(), b"");
    assert!(time.elapsed() >= Duration::from_secs(1), "too early");
    // Who has not begun to ask anything is left without a word.
    assert_eq!(silent.rest(), b"");
    assert_eq!(idle.rest(), b"");
    // A head that comes drop by drop does not come for ever.
    let mut slow = Peer::connect(address);
    slow.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut first = [0];
    until("the end of the patience", || slow.write_all(b"x").is_err() || slow.read(&mut first).is_ok());
    assert_eq!(first, *b"H");
    drop(slow);
    // What the deaf one did not take is not kept for it.
    until("the closing of all descriptors", || program.descriptors() == before);
    let _ = deaf.read_to_end(&mut Vec::new());
    assert_eq!(get(&mut Peer::connect(address), "/one").code, 200);
}

#[test]
fn peers_that_go_away() {
    let dir = TempDir::new();
    dir.write("one", "first");
    File::create(dir.path().join("huge")).unwrap().set_len(1 << 30).unwrap();
    let (program, address) = serve(dir.path(), &[]);
    let before = program.descriptors();
    for round in 0..100 {
        let mut peer = Peer::connect(address);
        match round % 5 {
            0 => peer.send("GET /on"),
            1 => peer.send("GET /huge HTTP/1.1\r\nHost: test\r\n\r\n"),
            2 => {
                peer.send("GET /huge HTTP/1.1\r\nHost: test\r\n\r\n");
                peer.receive(100_000);
            }
            3 => peer.send("POST /one HTTP/1.1\r\nHost: test\r\n\r\n"),
            _ => {}
        }
        if round % 2 == 0 {
            peer.reset();
        }
    }
    until("the closing of all descriptors", || program.descriptors() == before);
    assert_eq!(get(&mut Peer::connect(address), "/one").code, 200);
}

#[test]
fn a_file_that_shrinks() {
    let dir = TempDir::new();
    let path = dir.path().join("huge");
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let (_program, address) = serve(dir.path(), &[]);
    let mut peer = Peer::connect(address);
    peer.send("GET /huge HTTP/1.1\r\nHost: test\r\n\r\n");
    let answer = Answer::receive(&mut peer, false);
    assert_eq!(answer.field("Content-Length"), Some("1073741824"));
    peer.receive(1000);
    File::options().write(true).open(&path).unwrap().set_len(2000).unwrap();
    // It ends too early, and so is seen to be incomplete.
    assert!(peer.rest().len() < (1 << 30) - 1000);
    assert_eq!(get(&mut Peer::connect(address), "/huge").body.len(), 2000);
    fs::remove_file(path).unwrap();
    assert_eq!(get(&mut Peer::connect(address), "/huge").code, 404);
}

#[test]
fn more_connections_than_there_is_room_for() {
    let dir = TempDir::new();
    dir.write("one", "first");
    let (_program, address) = serve(dir.path(), &["--connections", "1"]);
    // That many for its own clients, and 256 for others.
    let mut peers: Vec<Peer> = (0..257).map(|_| Peer::connect(address)).collect();
    for peer in &mut peers {
        assert_eq!(get(peer, "/one").code, 200);
    }
    let mut waiting = Peer::connect(address);
    waiting.send("GET /one HTTP/1.1\r\nHost: test\r\n\r\n");
    waiting.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(waiting.read(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    waiting.patience(lwt_tests::LIMIT);
    assert_eq!(get(&mut peers[0], "/one").code, 200);
    drop(peers.pop());
    assert_eq!(Answer::receive(&mut waiting, true).code, 200);
}
