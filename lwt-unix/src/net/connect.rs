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
use std::os::fd::BorrowedFd;
use std::time::Duration;

use lwt_core::Error;

use super::opt::{PendingError, SocketOption};
use crate::engine::registration::Direction;
use crate::fd::Fd;
use crate::sys::addr::Address;
use crate::sys::socket;

/// Connects an internet stream socket.
pub(super) async fn connect(fd: Fd, to: &impl Address, shown: impl fmt::Display + Copy) -> Result<Fd, Error> {
    if !fd.with_on("connect", shown, |fd| socket::connect(fd, &to.encode()?))? {
        finish(&fd, shown).await?;
    }
    Ok(fd)
}

/// Waits for the outcome of an attempt that goes on.
pub(super) async fn finish(fd: &Fd, shown: impl fmt::Display) -> Result<(), Error> {
    let done = fd.drive(Direction::Write, outcome).await;
    done.map_err(|failure| failure.into_error_on("connect", shown))
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
    loop {
        match fd.with_on("connect", shown, |fd| socket::connect(fd, &to.encode()?)) {
            Ok(true) => return Ok(fd),
            // Interrupted; here nothing goes on in the background.
            Ok(false) => {}
            Err(error) if error.io_kind() == Some(io::ErrorKind::WouldBlock) => {
                crate::sleep(pause).await?;
                pause = (pause * 2).min(LONGEST);
            }
            Err(error) => return Err(error),
        }
    }
}
