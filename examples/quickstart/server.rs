//! The server: [`start`] accepts, [`converse`] is one connection, [`answer`] one answer.
//!
//! What a peer may not do: have more than the limit of connections (who is over it waits in the queue), send
//! a head that is larger than [`HEAD`](crate::wire::HEAD) or takes longer than the patience, take nothing of
//! an answer for that long, send a body. Between two requests a connection may be idle for as long, and is
//! then closed without a word.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lwt::net::{TcpListener, TcpStream};
use lwt::semaphore::Semaphore;
use lwt::time::Timeout;
use lwt::{Error, Promise, dont_wait, job, spawn};
use nix::libc;

use crate::files::{self, PIECE, Root};
use crate::request::{self, Request};
use crate::status::Status;
use crate::wire::Wire;

/// What peers may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many connections at a time.
    pub(crate) connections: usize,
    /// How long a peer may be silent.
    pub(crate) patience: Duration,
}

/// Serves the files below `root`, until the promise is cancelled. Conversations that are under way go on
/// then.
pub(crate) fn start(listener: TcpListener, root: Arc<Root>, limits: Limits) -> Promise<()> {
    spawn(accept(listener, root, limits))
}

async fn accept(listener: TcpListener, root: Arc<Root>, limits: Limits) -> Result<(), Error> {
    let places = Semaphore::new(limits.connections);
    let mut incoming = listener.incoming();
    loop {
        let place = places.acquire().await?;
        let (stream, _peer) = incoming.next().await?;
        let root = Arc::clone(&root);
        let conversation = async move {
            let _place = place;
            converse(stream, root, limits.patience).await
        };
        // However a conversation ends, it is its peer's affair: resets and silence are normal.
        dont_wait(|| spawn(conversation), |_error| {});
    }
}

/// One connection: requests and answers, in turn.
async fn converse(stream: TcpStream, root: Arc<Root>, patience: Duration) -> Result<(), Error> {
    let mut wire = Wire::new(stream)?;
    loop {
        let request = match next(&mut wire, patience).await? {
            Next::Request(request) => request,
            Next::Refused(status) => {
                refuse(&wire, status, false, false, patience).await?;
                return wire.farewell().await;
            }
            Next::End => return Ok(()),
        };
        let keep_alive = request.keep_alive;
        answer(&wire, request, &root, patience).await?;
        if !keep_alive {
            return wire.farewell().await;
        }
    }
}

/// What comes next on a connection.
enum Next {
    Request(Request),
    /// Something that cannot be understood, or came too slowly.
    Refused(Status),
    /// Nothing.
    End,
}

/// Waits for a request.
async fn next(wire: &mut Wire, patience: Duration) -> Result<Next, Error> {
    let mut deadline = None;
    loop {
        // Several may have arrived at once. A head that comes in many fragments is looked at as many times;
        // its size bounds that.
        match request::parse(wire.unused()) {
            Ok(Some((request, length))) => {
                wire.used(length);
                return Ok(Next::Request(request));
            }
            Ok(None) if wire.is_full() => {
                let line = wire.unused().contains(&b'\n');
                return Ok(Next::Refused(if line { Status::HEAD_TOO_LARGE } else { Status::URI_TOO_LONG }));
            }
            Ok(None) => {}
            Err(status) => return Ok(Next::Refused(status)),
        }
        // The time for a head begins with its first byte.
        let begun = !wire.unused().is_empty();
        if begun && deadline.is_none() {
            deadline = Instant::now().checked_add(patience);
        }
        let left = deadline.map_or(patience, |deadline| deadline.saturating_duration_since(Instant::now()));
        match wire.fill(left).await {
            // Also in the middle of a head: there is nobody to be told.
            Ok(0) => return Ok(Next::End),
            Ok(_) => {}
            Err(error) if error.downcast_ref::<Timeout>().is_none() => return Err(error),
            Err(_) if begun => return Ok(Next::Refused(Status::REQUEST_TIMEOUT)),
            Err(_) => return Ok(Next::End),
        }
    }
}

/// Sends the file that was asked for, or why not.
async fn answer(wire: &Wire, request: Request, root: &Arc<Root>, patience: Duration) -> Result<(), Error> {
    let Request { head_only, path, keep_alive } = request;
    let names = match path {
        Ok(names) => names,
        Err(status) => return refuse(wire, status, head_only, keep_alive, patience).await,
    };
    let root = Arc::clone(root);
    // Opening and the first piece are one job: most files need no other.
    let opened = job::detach_result(move || {
        let (file, size) = root.file(&names)?;
        let first = if head_only { Vec::new() } else { files::piece(&file, Vec::new(), 0, size)? };
        Ok::<_, io::Error>((Arc::new(file), size, first))
    });
    let (file, size, first) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return refuse(wire, status_of(&error), head_only, keep_alive, patience).await,
    };
    let head = head(Status::OK, size, "application/octet-stream", keep_alive);
    if head_only {
        return wire.send(&mut [IoSlice::new(head.as_bytes())], patience).await;
    }
    send_file(wire, file, size, head, first, patience).await
}

/// Sends a head and a file of which the first piece is there; each other piece is read while the one before
/// it is on its way.
async fn send_file(
    wire: &Wire,
    file: Arc<File>,
    size: u64,
    head: String,
    first: Vec<u8>,
    patience: Duration,
) -> Result<(), Error> {
    let mut head = head.as_bytes();
    let mut piece = first;
    let mut spare = Vec::new();
    let mut offset = 0;
    loop {
        if piece.is_empty() && offset < size {
            // The size was promised and is not there any more; all that can be done is to break off.
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        offset += piece.len() as u64;
        let ahead = (offset < size).then(|| read_ahead(&file, spare, offset, size - offset));
        let sent = wire.send(&mut [IoSlice::new(head), IoSlice::new(&piece)], patience).await;
        match (sent, ahead) {
            (Ok(()), Some(ahead)) => (spare, piece) = (piece, ahead.await?),
            (sent, ahead) => {
                // A job that is not wanted any more should not run.
                ahead.inspect(Promise::cancel);
                return sent;
            }
        }
        head = &[];
    }
}

fn read_ahead(file: &Arc<File>, buf: Vec<u8>, offset: u64, left: u64) -> Promise<Vec<u8>> {
    let file = Arc::clone(file);
    job::detach_result(move || files::piece(&file, buf, offset, left.min(PIECE as u64)))
}

/// Sends an answer that is no file.
async fn refuse(
    wire: &Wire,
    status: Status,
    head_only: bool,
    keep_alive: bool,
    patience: Duration,
) -> Result<(), Error> {
    let body = format!("{} {}\n", status.0, status.1);
    let head = head(status, body.len() as u64, "text/plain", keep_alive);
    let body = if head_only { "" } else { &body };
    wire.send(&mut [IoSlice::new(head.as_bytes()), IoSlice::new(body.as_bytes())], patience).await
}

/// The head of an answer.
fn head(status: Status, length: u64, kind: &str, keep_alive: bool) -> String {
    let Status(code, reason) = status;
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let allow = if status == Status::METHOD_NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         {allow}Connection: {connection}\r\n\r\n"
    )
}

/// What to answer when a file cannot be opened or read.
fn status_of(error: &Error) -> Status {
    let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    match (error.io_kind(), number) {
        (_, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN)) => Status::UNAVAILABLE,
        // A link, on the way or at its end.
        (_, Some(libc::ELOOP)) => Status::FORBIDDEN,
        (
            Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename),
            _,
        ) => Status::NOT_FOUND,
        // Also what is no regular file, and pipes and devices that nobody serves.
        (Some(io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput), _) => Status::FORBIDDEN,
        (_, Some(libc::ENXIO | libc::ENODEV)) => Status::FORBIDDEN,
        _ => Status::INTERNAL,
    }
}
