//! Making connections.
//!
//! Rules:
//! 1. The socket belongs to the future, so that a refused, timed-out, cancelled or dropped attempt leaves no
//!    descriptor.
//! 2. A connection stands when the socket has a peer. As long as it has none, `SO_ERROR` tells a failed
//!    attempt from one that goes on; readiness proves neither.
//! 3. The outcome is looked at once before anything is waited for, because on loopback it is known already.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use lwt_core::Error;

use super::opt::{PendingError, SocketOption};
use crate::engine::registration::Direction;
use crate::fd::{During, Fd};
use crate::job;
use crate::sys::addr::{Address, RawAddr};
use crate::sys::socket;

/// Connects a socket of any family but Unix.
pub(super) async fn connect(fd: Fd, to: &impl Address, shown: impl fmt::Display + Copy) -> Result<Fd, Error> {
    let to = to.encode().during_on("connect", shown)?;
    if !begin(&fd, &to, shown).await? {
        let done = fd.drive(Direction::Write, outcome).await;
        done.map_err(|failure| failure.into_error_on("connect", shown))?;
    }
    Ok(fd)
}

/// Begins an attempt: `true` when the connection stands, `false` when it is being made in the background.
///
/// Where the description blocks, a thread makes the call, because no flag says "do not wait" here.
async fn begin(fd: &Fd, to: &RawAddr, shown: impl fmt::Display) -> Result<bool, Error> {
    if !fd.blocking() {
        return fd.with_on("connect", shown, |fd| socket::connect(fd, to));
    }
    let (held, to) = (fd.held("connect")?, *to);
    job::detach(move || socket::connect(held.as_fd(), &to)).await?.during_on("connect", shown)
}

/// What has become of an attempt: `WouldBlock` while it goes on.
fn outcome(fd: BorrowedFd<'_>) -> io::Result<()> {
    match socket::peer_address(fd) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() != Some(libc::ENOTCONN) => Err(error),
        Err(_) => Err(PendingError::get(fd)?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into())),
    }
}

/// Connects a Unix stream socket.
///
/// It stands at once or fails at once, with one exception: `EAGAIN` says that the listener's queue is full.
/// No event tells when it has room again, so the attempt is made again after a growing pause.
pub(super) async fn connect_unix(
    fd: Fd,
    to: &impl Address,
    shown: impl fmt::Display + Copy,
) -> Result<Fd, Error> {
    const LONGEST: Duration = Duration::from_millis(50);
    let mut pause = Duration::from_millis(1);
    let to = to.encode().during_on("connect", shown)?;
    loop {
        match begin(&fd, &to, shown).await {
            Ok(true) => return Ok(fd),
            // Interrupted; here nothing goes on in the background.
            Ok(false) if fd.with("connect", |fd| Ok(socket::peer_address(fd).is_ok()))? => return Ok(fd),
            Ok(false) => {}
            Err(error) if error.io_kind() == Some(io::ErrorKind::WouldBlock) => {
                crate::sleep(pause).await?;
                pause = (pause * 2).min(LONGEST);
            }
            Err(error) => return Err(error),
        }
    }
}
