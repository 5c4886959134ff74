//! A connection with a buffer, on which nobody may be silent for too long.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use lwt::net::{Shutdown, TcpStream};
use lwt::{Error, within};

/// The largest head, of a request or an answer.
pub(crate) const HEAD: usize = 8 * 1024;

/// The most bytes, and the longest time, that are spent on a peer who goes on talking after the end.
const FAREWELL: (usize, Duration) = (1024 * 1024, Duration::from_secs(2));

/// A connection, and what has arrived on it and was not used yet.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buf: Box<[u8]>,
    /// What was not used yet is `buf[start..end]`.
    start: usize,
    end: usize,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Result<Wire, Error> {
        // Each answer is sent in as few pieces as there can be, so there is nothing to gather.
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buf: vec![0; HEAD].into(), start: 0, end: 0 })
    }

    /// What has arrived and was not used yet.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// The first `n` bytes are used.
    pub(crate) fn used(&mut self, n: usize) {
        self.start += n;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether no more can arrive before some is used.
    pub(crate) fn is_full(&self) -> bool {
        self.unused().len() == self.buf.len()
    }

    /// Waits for more, and for at most `patience`: how much came, 0 at the end. There must be room.
    pub(crate) async fn fill(&mut self, patience: Duration) -> Result<usize, Error> {
        if self.end == self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let n = within(patience, self.stream.read(&mut self.buf[self.end..])).await?;
        self.end += n;
        Ok(n)
    }

    /// Fills `into` with what arrives; no single byte may take longer than `patience`.
    pub(crate) async fn read(&mut self, into: &mut [u8], patience: Duration) -> Result<(), Error> {
        let ready = self.unused().len().min(into.len());
        into[..ready].copy_from_slice(&self.unused()[..ready]);
        self.used(ready);
        let mut filled = ready;
        while filled < into.len() {
            match within(patience, self.stream.read(&mut into[filled..])).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Sends all of it; the peer may take as long as it likes, if only it takes something within `patience`.
    pub(crate) async fn send(&self, mut parts: &mut [IoSlice<'_>], patience: Duration) -> Result<(), Error> {
        IoSlice::advance_slices(&mut parts, 0); // an empty part in front would look like an end
        while !parts.is_empty() {
            match within(patience, self.stream.writev(parts)).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                n => IoSlice::advance_slices(&mut parts, n),
            }
        }
        Ok(())
    }

    /// Ends a connection on which the peer may still be talking.
    ///
    /// Closing it with something unread would reset it, and the peer might never see the last answer. So that
    /// end is closed, and what comes is thrown away until the peer closes too, within bounds.
    pub(crate) async fn farewell(mut self) -> Result<(), Error> {
        self.stream.shutdown(Shutdown::Write)?;
        let (mut bytes, deadline) = (0, Instant::now() + FAREWELL.1);
        while bytes < FAREWELL.0 {
            self.used(self.unused().len());
            match self.fill(deadline.saturating_duration_since(Instant::now())).await? {
                0 => break,
                n => bytes += n,
            }
        }
        Ok(())
    }
}
