//! Accepting connections: one, many, and for ever.
//!
//! Rules:
//! 1. A connection that died in the queue is not the listener's failure: such errors (`ECONNABORTED`, and the
//!    network errors that Linux reports for the new socket) are passed over.
//! 2. A lack of descriptors or memory is an error of [`accept`](super::TcpListener::accept), because its
//!    caller may know what to close. [`Incoming`] waits it out: see [`shortage`](crate::fd::shortage).
//! 3. An accepted socket is never dropped by a cancel: nothing is awaited between accepting and handing it
//!    over.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;

use lwt_core::Error;

use super::{Addr, Socket, TcpListener, TcpStream, UnixListener, UnixStream};
use crate::engine::registration::Direction;
use crate::fd::shortage::{Shortage, is_shortage};
use crate::fd::{Failure, Fd, OsError};
use crate::sys;
use crate::sys::addr::RawAddr;
use crate::sys::socket;

/// What the listeners have in common.
pub(super) trait Listener {
    type Stream;
    type Address;
    fn fd(&self) -> &Fd;
    /// Makes a stream of what the system call gave.
    fn adopt(fd: OwnedFd, peer: &RawAddr) -> io::Result<(Self::Stream, Self::Address)>;
}

/// A connection and where it came from.
pub(super) type Accepted<L> = (<L as Listener>::Stream, <L as Listener>::Address);

/// The next connection.
pub(super) async fn one<L: Listener>(listener: &L) -> Result<Accepted<L>, Error> {
    listener.fd().drive(Direction::Read, |fd| accept(listener, fd)).await.map_err(told)
}

/// Waits for one connection, then takes what else is there, up to `most`.
pub(super) async fn many<L: Listener>(listener: &L, most: usize) -> (Vec<Accepted<L>>, Option<Error>) {
    let mut accepted = Vec::new();
    if most == 0 {
        return (accepted, None);
    }
    match one(listener).await {
        Ok(first) => accepted.push(first),
        Err(error) => return (accepted, Some(error)),
    }
    while accepted.len() < most {
        match listener.fd().attempt(Direction::Read, |fd| accept(listener, fd)) {
            Ok(Some(next)) => accepted.push(next),
            Ok(None) => break,
            Err(failure) => return (accepted, Some(told(failure))),
        }
    }
    (accepted, None)
}

fn accept<L: Listener>(listener: &L, fd: BorrowedFd<'_>) -> io::Result<Accepted<L>> {
    loop {
        // No flag says "do not wait" here. Who shares the listener may be faster all the same, and then this
        // waits.
        if listener.fd().blocking() && !sys::poll_now(fd, libc::POLLIN)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match socket::accept(fd) {
            Ok((fd, peer)) => return L::adopt(fd, &peer),
            Err(error) if died_in_the_queue(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn told(failure: Failure) -> Error {
    failure.into_error("accept")
}

fn died_in_the_queue(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}

/// The connections of a listener, one after the other, for as long as it listens.
///
/// Made by the listeners' `incoming`. A lack of descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`,
/// `ENOMEM`) does not end it: it waits until this thread has closed a descriptor, or for a time that grows to
/// a third of a second, and tries again. Those who wanted to connect stay in the queue meanwhile.
///
/// ```
/// use lwt_unix::net::{Shutdown, TcpListener, TcpStream};
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let address = listener.local_addr()?;
/// let server = lwt_core::spawn(async move {
///     let mut incoming = listener.incoming().on_shortage(|error| eprintln!("waiting: {error}"));
///     loop {
///         let (stream, _peer) = incoming.next().await?;
///         // Dropping the promise lets the task go on by itself.
///         drop(lwt_core::spawn(async move { stream.write_all(b"hello").await }));
///     }
///     # #[allow(unreachable_code)]
///     Ok::<(), lwt_core::Error>(())
/// });
/// let greeting = lwt_unix::run(async move {
///     let stream = TcpStream::connect(address).await?;
///     let mut greeting = [0; 5];
///     stream.read_exact(&mut greeting).await?;
///     Ok::<_, lwt_core::Error>(greeting)
/// })?;
/// assert_eq!(&greeting, b"hello");
/// server.cancel();
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is accepted before `next` is called"]
pub struct Incoming<'a, L> {
    listener: &'a L,
    shortage: Option<Shortage>,
    report: Option<Report<'a>>,
}

type Report<'a> = Box<dyn FnMut(&Error) + 'a>;

impl<'a, L> Incoming<'a, L> {
    pub(super) fn new(listener: &'a L) -> Incoming<'a, L> {
        Incoming { listener, shortage: None, report: None }
    }

    /// Calls `report` when a shortage begins: once, however long it lasts.
    pub fn on_shortage(mut self, report: impl FnMut(&Error) + 'a) -> Incoming<'a, L> {
        self.report = Some(Box::new(report));
        self
    }
}

/// The public face of [`step`] for each listener, which keeps the shared trait private.
macro_rules! next {
    ($listener:ty, $stream:ty, $address:ty) => {
        impl Incoming<'_, $listener> {
            /// The next connection and its address.
            ///
            /// A cancel loses nothing: who was not accepted yet stays in the queue.
            ///
            /// # Errors
            /// When the listener is closed or aborted, and what else `accept` reports, except a shortage.
            pub async fn next(&mut self) -> Result<($stream, $address), Error> {
                step(self).await
            }

            /// A connection that waits already, and its address; `None` if there is none. It waits for
            /// nothing: a server takes its last ones so, before it closes the listener.
            ///
            /// ```
            /// # fn main() -> Result<(), lwt_core::Error> {
            /// let listener = lwt_unix::net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
            /// assert!(listener.incoming().waiting()?.is_none());
            /// let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
            /// lwt_unix::run(listener.fd().wait_read())?;
            /// let (_, peer) = listener.incoming().waiting()?.expect("who has connected");
            /// assert_eq!(peer, stream.local_addr()?);
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// As those of the listener's `accept`, a shortage of descriptors too.
            pub fn waiting(&mut self) -> Result<Option<($stream, $address)>, Error> {
                let listener = self.listener;
                listener.fd().attempt(Direction::Read, |fd| accept(listener, fd)).map_err(told)
            }
        }
    };
}

next!(TcpListener, TcpStream, SocketAddr);
next!(UnixListener, UnixStream, UnixAddr);
next!(Socket, Socket, Addr);

async fn step<L: Listener>(incoming: &mut Incoming<'_, L>) -> Result<Accepted<L>, Error> {
    loop {
        match one(incoming.listener).await {
            Ok(accepted) => {
                incoming.shortage = None;
                return Ok(accepted);
            }
            Err(error) if OsError::of(&error).is_some_and(is_shortage) => {
                if incoming.shortage.is_none()
                    && let Some(report) = &mut incoming.report
                {
                    report(&error);
                }
                incoming.shortage.get_or_insert_with(Shortage::new).pause().await?;
            }
            Err(error) => return Err(error),
        }
    }
}

impl<L: fmt::Debug> fmt::Debug for Incoming<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Incoming");
        out.field("listener", self.listener).field("short", &self.shortage.is_some());
        out.finish_non_exhaustive()
    }
}
