//! One client: its connection, which it keeps from file to file, and its downloads.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lwt::Error;
use lwt::net::TcpStream;

use crate::digest::{Digest, Hasher};
use crate::target;
use crate::wire::Wire;

/// So much of a file is hashed at a time.
const PIECE: usize = 128 * 1024;

/// So many header fields may an answer have.
const FIELDS: usize = 64;

/// Why a file was not downloaded.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection to the server, so other files will fare no better.
    NoServer(Error),
    /// It did not give the file.
    NoFile(Error),
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    server: SocketAddr,
    patience: Duration,
    wire: Option<Wire>,
}

/// The head of an answer.
struct Answer {
    code: u16,
    reason: String,
    length: Option<u64>,
    keep_alive: bool,
}

impl Client {
    pub(crate) fn new(server: SocketAddr, patience: Duration) -> Client {
        Client { server, patience, wire: None }
    }

    /// Downloads a file; `progress` is told of the bytes as they arrive.
    pub(crate) async fn download(&mut self, path: &Path, progress: impl Fn(u64)) -> Result<Digest, Failure> {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", target::encode(path), self.server);
        let (mut wire, kept) = match self.wire.take() {
            Some(wire) => (wire, true),
            None => (self.connect().await?, false),
        };
        let mut answer = ask(&mut wire, &request, self.patience).await.map_err(Failure::NoFile)?;
        if answer.is_none() && kept {
            // A server may close a connection between two requests; that says nothing about this one.
            wire = self.connect().await?;
            answer = ask(&mut wire, &request, self.patience).await.map_err(Failure::NoFile)?;
        }
        let answer =
            answer.ok_or_else(|| Failure::NoFile(Error::msg("the server closed the connection unasked")))?;
        let keep_alive = answer.keep_alive;
        let digest = body(&mut wire, answer, self.patience, progress).await.map_err(Failure::NoFile)?;
        if keep_alive {
            self.wire = Some(wire);
        }
        Ok(digest)
    }

    async fn connect(&self) -> Result<Wire, Failure> {
        let stream = lwt::within(self.patience, TcpStream::connect(self.server)).await;
        stream.and_then(Wire::new).map_err(|error| Failure::NoServer(context(&error, "no connection")))
    }
}

/// Sends a request and waits for the head of its answer; `None` if the connection ended before anything came.
async fn ask(wire: &mut Wire, request: &str, patience: Duration) -> Result<Option<Answer>, Error> {
    match wire.send(&mut [IoSlice::new(request.as_bytes())], patience).await {
        Err(error) if is_end(&error) => return Ok(None),
        sent => sent?,
    }
    loop {
        if let Some((answer, length)) = parse(wire.unused())? {
            wire.used(length);
            return Ok(Some(answer));
        }
        if wire.is_full() {
            return Err(Error::msg("the head of the answer is too large"));
        }
        let nothing = wire.unused().is_empty();
        match wire.fill(patience).await {
            Ok(0) if nothing => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(_) => {}
            Err(error) if nothing && is_end(&error) => return Ok(None),
            Err(error) => return Err(context(&error, "no answer")),
        }
    }
}

/// Reads the head of an answer; `None` as long as it is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>, Error> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(size) =
        head.parse(bytes).map_err(|error| context(&error.into(), "not HTTP"))?
    else {
        return Ok(None);
    };
    let mut answer = Answer {
        code: head.code.unwrap_or_default(),
        reason: head.reason.unwrap_or_default().to_owned(),
        length: None,
        keep_alive: head.version == Some(1),
    };
    for field in head.headers.iter() {
        let value = field.value.trim_ascii();
        if field.name.eq_ignore_ascii_case("content-length") {
            let length = str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            if length.is_none() || answer.length.is_some_and(|before| Some(before) != length) {
                return Err(Error::msg("the answer does not say clearly how long it is"));
            }
            answer.length = length;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Error::msg("the answer is in a transfer coding, which was not asked for"));
        } else if field.name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case(b"close") {
            answer.keep_alive = false;
        }
    }
    Ok(Some((answer, size)))
}

/// Receives and hashes the file that an answer brings.
async fn body(
    wire: &mut Wire,
    answer: Answer,
    patience: Duration,
    progress: impl Fn(u64),
) -> Result<Digest, Error> {
    if answer.code != 200 {
        return Err(Error::msg(format!("the server says {} {}", answer.code, answer.reason)));
    }
    let mut left = answer.length.ok_or_else(|| Error::msg("the answer does not say how long it is"))?;
    let mut hasher = Hasher::default();
    let mut piece = Vec::new();
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        piece.resize(n, 0);
        wire.read(&mut piece, patience).await.map_err(|error| context(&error, "the download broke off"))?;
        progress(n as u64);
        left -= n as u64;
        (hasher, piece) = hasher.add(piece, n).await?;
    }
    Ok(hasher.finish())
}

/// Whether an error only says that the peer has gone.
fn is_end(error: &Error) -> bool {
    matches!(error.io_kind(), Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe))
}

/// The error, with what did not succeed because of it.
fn context(error: &Error, what: &str) -> Error {
    Error::msg(format!("{what}: {error}"))
}
