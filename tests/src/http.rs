//! Just enough HTTP to be rude in it: answers for a client, requests for a server that lies.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::peer::Peer;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The head as it came.
    pub head: String,
    /// What follows it.
    pub body: Vec<u8>,
}

impl Answer {
    /// Receives one. `has_body` is false for the answer to a `HEAD`.
    ///
    /// # Panics
    /// If what comes is not an answer.
    #[track_caller]
    pub fn receive(peer: &mut Peer, has_body: bool) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(peer.receive(1));
        }
        let head = String::from_utf8(head).expect("text");
        let code = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .expect("a status line");
        let mut answer = Answer { code, head, body: Vec::new() };
        if has_body {
            let length = answer.field("Content-Length").expect("a length").parse().expect("a number");
            answer.body = peer.receive(length);
        }
        answer
    }

    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
    }
}

/// Sends a `GET` for a target, and gives the answer.
///
/// # Panics
/// If what comes is not an answer.
#[track_caller]
pub fn get(peer: &mut Peer, target: &str) -> Answer {
    peer.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
    Answer::receive(peer, true)
}

/// Starts a server that has each connection dealt with by `serve`, on a thread of its own. It goes on until
/// the process ends.
///
/// # Panics
/// If there is no free port.
#[track_caller]
pub fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Receives the head of a request, and gives its target; `None` at the end of the connection.
pub fn target(stream: &mut TcpStream) -> Option<String> {
    let mut reader = BufReader::with_capacity(1, stream.by_ref());
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
    }
    Some(target)
}
