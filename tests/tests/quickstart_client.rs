//! The clients of the quickstart example, and servers that do not do what they should.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lwt_tests::dir::TempDir;
use lwt_tests::http;
use lwt_tests::peer::Peer;
use lwt_tests::program::{Ended, Program};

/// What is on disk.
const CONTENT: &str = "what is on disk";

/// Has three files downloaded from a server, one after the other.
#[track_caller]
fn download(server: SocketAddr) -> Ended {
    download_files(&["a", "b", "c"], server, &[])
}

/// Has files downloaded from a server.
#[track_caller]
fn download_files(names: &[&str], server: SocketAddr, arguments: &[&str]) -> Ended {
    let dir = TempDir::new();
    for name in names {
        dir.write(name, CONTENT);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.arg("--dir").arg(dir.path()).args(["--server", &server.to_string(), "--connections", "1"]);
    Program::start(command.args(arguments)).wait()
}

/// Checks that `b` was found to be wrong, and why, and nothing else.
#[track_caller]
fn assert_only_b(ended: &Ended, why: &str) {
    ended.assert_code(1);
    assert_eq!(ended.stdout, "quickstart: 2 files, 30 bytes agree, 1 problems\n");
    let problems: Vec<_> = ended.stderr.lines().collect();
    assert!(problems.len() == 1 && problems[0].starts_with("quickstart: \"b\": "), "{ended:#?}");
    assert!(problems[0].contains(why), "{ended:#?}");
}

/// A server that does `wrong` when it is asked for `b`, and then closes the connection.
fn wrong_for_b(wrong: impl Fn(&mut TcpStream) + Clone + Send + 'static) -> SocketAddr {
    http::server(move |mut stream| {
        while let Some(target) = http::target(&mut stream) {
            if target == "/b" {
                return wrong(&mut stream);
            }
            send(
                &mut stream,
                &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{CONTENT}", CONTENT.len()),
            );
        }
    })
}

/// A client that has gone is nothing that a server would fail for.
fn send(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes());
}

/// A server that answers the request for `b` by this.
fn answer_for_b(text: impl Into<String>) -> SocketAddr {
    let text = text.into();
    wrong_for_b(move |stream| {
        send(stream, &text);
        // Closed after the client, so that nothing of the answer is lost.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn lies() {
    let flipped = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nwhat is on dusk";
    let ended = download(answer_for_b(flipped));
    assert_only_b(&ended, "differs: on disk 15 bytes, ");
    // All three digests are named, and what was downloaded is the different one.
    let sums: Vec<_> = ended.stderr.split("15 bytes, ").skip(1).map(|rest| &rest[..64]).collect();
    let [disk, downloaded, worker] = sums[..] else { panic!("{ended:?}") };
    assert!(disk == worker && disk != downloaded, "{ended:?}");
    assert!(sums.concat().bytes().all(|byte| byte.is_ascii_hexdigit()), "{ended:?}");
    let shorter = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nwhat is on dis";
    assert_only_b(&download(answer_for_b(shorter)), "downloaded 14 bytes");
    let longer = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nwhat is on disk!";
    assert_only_b(&download(answer_for_b(longer)), "downloaded 16 bytes");
    let empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_only_b(&download(answer_for_b(empty)), "downloaded 0 bytes");
}

#[test]
fn answers_that_are_none() {
    let answers = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404 Not Found"),
        ("HTTP/1.1 500 Oh\r\n\r\n", "500 Oh"),
        ("HTTP/1.1 200 OK\r\n\r\nwhat is on disk", "how long"),
        ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "how long"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Length: 16\r\n\r\nwhat is on disk", "how long"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer coding"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nwhat is on disk", "broke off"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nwhat is on disk", "broke off"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "end of file"),
        ("SSH-2.0-server\r\n", "not HTTP"),
        ("\x00\x01\x02\x03", "not HTTP"),
        ("", "closed the connection"),
    ];
    for (answer, why) in answers {
        assert_only_b(&download(answer_for_b(answer)), why);
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000));
    assert_only_b(&download(answer_for_b(endless)), "too large");
}

#[test]
fn silence() {
    let silent = wrong_for_b(|stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let half = wrong_for_b(|stream| {
        send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nwhat is");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for server in [silent, half] {
        // Only the one that will not come: on a busy machine an honest answer may take as long.
        let ended = download_files(&["b"], server, &["--timeout", "0.3"]);
        ended.assert_code(1);
        assert_eq!(ended.stdout, "quickstart: 0 files, 0 bytes agree, 1 problems\n");
        assert!(
            ended.stderr.contains("\"b\"") && ended.stderr.contains("longer than it was allowed"),
            "{ended:?}"
        );
    }
}

#[test]
fn resets() {
    let reset = wrong_for_b(|stream| {
        send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nwhat is");
        // The socket's last copy is closed right after this one, and the option is the socket's.
        Peer::of(stream.try_clone().unwrap()).reset();
    });
    let ended = download(reset);
    assert_only_b(&ended, "broke off");
}

#[test]
fn a_server_that_closes_between_two_requests() {
    // It says nothing of it beforehand, so the second request on each connection finds nobody.
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = http::server(move |mut stream| {
        if http::target(&mut stream).is_some() {
            count.fetch_add(1, Ordering::SeqCst);
            send(
                &mut stream,
                &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{CONTENT}", CONTENT.len()),
            );
        }
    });
    let ended = download(server);
    ended.assert_code(0);
    assert_eq!(ended.stdout, "quickstart: 3 files, 45 bytes, all digests agree\n");
    assert_eq!(asked.load(Ordering::SeqCst), 3, "each file is asked for once");
}

#[test]
fn one_connection_is_enough() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let server = http::server(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        while http::target(&mut stream).is_some() {
            send(
                &mut stream,
                &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{CONTENT}", CONTENT.len()),
            );
        }
    });
    download(server).assert_code(0);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
