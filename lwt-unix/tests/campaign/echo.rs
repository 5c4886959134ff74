//! An echo server and its clients, who see that nothing is lost.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use lwt_core::{Error, spawn};
use lwt_unix::fd::OsError;
use lwt_unix::net::{Shutdown, TcpStream};
use lwt_unix::sleep;
use nix::libc;

/// So many bytes does each client send.
pub(crate) const BYTES: usize = 4000;

/// What a client sends: its own, and different everywhere.
pub(crate) fn bytes(client: usize) -> Vec<u8> {
    (0..BYTES).map(|n| (n.wrapping_mul(31) ^ (n >> 8) ^ (client * 77)) as u8).collect()
}

/// Sends back what comes, until the end; the result is its reads and writes.
pub(crate) async fn echo(stream: &TcpStream) -> Result<u64, Error> {
    let mut buf = [0; 700];
    let mut steps = 0;
    loop {
        let n = stream.read(&mut buf).await?;
        steps += 1;
        if n == 0 {
            stream.shutdown(Shutdown::Write)?;
            return Ok(steps);
        }
        let mut rest = &buf[..n];
        while !rest.is_empty() {
            rest = &rest[stream.write(rest).await?..];
            steps += 1;
        }
    }
}

/// Sends all at once and reads it back meanwhile: how many steps that took. What comes back is right as far
/// as it goes, also when the connection dies; an end that is too early is an error.
pub(crate) async fn client(address: SocketAddr, name: usize) -> Result<u64, Error> {
    let stream = patiently(async || TcpStream::connect(address).await).await?;
    let sending = spawn({
        let stream = stream.clone();
        async move {
            let sent = bytes(name);
            let (mut rest, mut steps) = (&sent[..], 0);
            while !rest.is_empty() {
                match stream.write(rest).await {
                    Ok(n) => rest = &rest[n..],
                    Err(error) => {
                        // Whoever reads is to know.
                        stream.abort(error.clone());
                        return Err(error);
                    }
                }
                steps += 1;
            }
            stream.shutdown(Shutdown::Write)?;
            Ok::<u64, Error>(steps)
        }
    });
    let (mut back, mut buf, mut steps) = (Vec::new(), [0; 900], 4);
    let ended = loop {
        match stream.read(&mut buf).await {
            Ok(0) => break Ok(()),
            Ok(n) => back.extend_from_slice(&buf[..n]),
            Err(error) => break Err(error),
        }
        steps += 1;
    };
    let sent = bytes(name);
    assert!(sent.starts_with(&back), "client {name} got something else back");
    if let Err(error) = ended {
        sending.cancel();
        let _ = sending.await;
        return Err(error);
    }
    steps += sending.await?;
    if back.len() < sent.len() {
        return Err(Error::from(io::Error::from(ErrorKind::UnexpectedEof)));
    }
    Ok(steps)
}

/// Does it again for as long as descriptors or memory have run out: a plan strikes whoever makes the call,
/// and this may be one who is not on trial.
pub(crate) async fn patiently<T>(act: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let is_shortage = |error: &Error| {
        let number = OsError::of(error).and_then(OsError::raw_os_error);
        matches!(number, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
    };
    loop {
        match act().await {
            Err(error) if is_shortage(&error) => sleep(Duration::from_millis(1)).await?,
            done => return done,
        }
    }
}
