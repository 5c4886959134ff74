//! [`Socket`]: a socket of any family and type, with all that the system can do with one.
//!
//! The typed sockets of this module are what most programs want; this one is for the rest, and for what is
//! the same for all: each of them gives its `Socket` by [`From`].

use std::io;
use std::ops::{BitOr, Deref};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::c_int;
use lwt_core::{Error, Promise};

use super::accept::{self, Incoming, Listener};
use super::{Addr, Shutdown, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream, connect, how, opt};
use crate::engine::registration::Direction;
use crate::fd::{During, Fd, Kind};
use crate::job;
use crate::sys::Room;
use crate::sys::addr::{Address, RawAddr};
use crate::sys::socket;

/// A family of addresses (`socket_domain`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Domain {
    /// Unix sockets.
    Unix,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Another family, by its number.
    Other(i32),
}

/// How a socket transfers (`socket_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Type {
    /// A stream of bytes.
    Stream,
    /// Datagrams.
    Datagram,
    /// Messages over a connection.
    SeqPacket,
    /// The network layer's own packets.
    Raw,
}

impl Domain {
    pub(crate) fn of(number: c_int) -> Domain {
        match number {
            libc::AF_UNIX => Domain::Unix,
            libc::AF_INET => Domain::V4,
            libc::AF_INET6 => Domain::V6,
            number => Domain::Other(number),
        }
    }

    pub(crate) fn raw(self) -> c_int {
        match self {
            Domain::Unix => libc::AF_UNIX,
            Domain::V4 => libc::AF_INET,
            Domain::V6 => libc::AF_INET6,
            Domain::Other(number) => number,
        }
    }
}

impl Type {
    pub(crate) fn of(number: c_int) -> Option<Type> {
        [Type::Stream, Type::Datagram, Type::SeqPacket, Type::Raw]
            .into_iter()
            .find(|kind| kind.raw() == number)
    }

    pub(crate) fn raw(self) -> c_int {
        match self {
            Type::Stream => libc::SOCK_STREAM,
            Type::Datagram => libc::SOCK_DGRAM,
            Type::SeqPacket => libc::SOCK_SEQPACKET,
            Type::Raw => libc::SOCK_RAW,
        }
    }
}

/// What a receive or a send is asked for besides (`msg_flag`). Joined by `|`.
///
/// ```
/// use lwt_unix::net::MsgFlags;
/// assert_ne!(MsgFlags::PEEK | MsgFlags::OUT_OF_BAND, MsgFlags::NONE);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MsgFlags(c_int);

impl MsgFlags {
    /// Nothing.
    pub const NONE: MsgFlags = MsgFlags(0);
    /// Urgent data (`MSG_OOB`).
    pub const OUT_OF_BAND: MsgFlags = MsgFlags(libc::MSG_OOB);
    /// Only to hosts on a directly connected network (`MSG_DONTROUTE`).
    pub const DONT_ROUTE: MsgFlags = MsgFlags(libc::MSG_DONTROUTE);
    /// What is received stays to be received again (`MSG_PEEK`).
    pub const PEEK: MsgFlags = MsgFlags(libc::MSG_PEEK);
    /// The count is that of the whole datagram, also where the buffer is smaller (`MSG_TRUNC`).
    pub const REAL_LENGTH: MsgFlags = MsgFlags(libc::MSG_TRUNC);
    /// More is to come soon, so that small segments are gathered (`MSG_MORE`).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub const MORE: MsgFlags = MsgFlags(libc::MSG_MORE);

    pub(super) fn raw(self) -> c_int {
        self.0
    }
}

impl BitOr for MsgFlags {
    type Output = MsgFlags;
    fn bitor(self, other: MsgFlags) -> MsgFlags {
        MsgFlags(self.0 | other.0)
    }
}

/// A socket of any family and type.
///
/// It dereferences to [`Fd`], where reading, writing, waiting, options and closing are; a clone is a second
/// handle.
///
/// ```
/// use lwt_unix::net::{Domain, MsgFlags, Socket, Type};
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (left, right) = Socket::pair(Domain::Unix, Type::SeqPacket, 0)?;
/// lwt_unix::run(async move {
///     left.send(b"one", MsgFlags::NONE).await?;
///     left.send(b"two", MsgFlags::NONE).await?;
///     let mut buf = [0; 16];
///     let n = right.recv(&mut buf, MsgFlags::NONE).await?;
///     assert_eq!(&buf[..n], b"one"); // messages keep their edges
///     Ok::<_, lwt_core::Error>(())
/// })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Socket {
    fd: Fd,
}

/// # Making
impl Socket {
    /// A socket, non-blocking and close-on-exec (`socket`); protocol 0 is the usual one of the type.
    ///
    /// # Errors
    /// `EAFNOSUPPORT`, `EPROTONOSUPPORT` and the like; `PermissionDenied` for raw sockets; `EMFILE`.
    pub fn new(domain: Domain, kind: Type, protocol: i32) -> Result<Socket, Error> {
        let fd = socket::socket(domain.raw(), kind.raw(), protocol).during("socket")?;
        Ok(Socket::adopted(fd))
    }

    /// Two connected sockets (`socketpair`), as [`new`](Socket::new) makes them.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the family has no pairs; otherwise as [`new`](Socket::new).
    pub fn pair(domain: Domain, kind: Type, protocol: i32) -> Result<(Socket, Socket), Error> {
        let (left, right) = socket::pair(domain.raw(), kind.raw(), protocol).during("socketpair")?;
        Ok((Socket::adopted(left), Socket::adopted(right)))
    }

    fn adopted(fd: OwnedFd) -> Socket {
        let kind = Kind::of_socket(fd.as_fd());
        Socket { fd: Fd::from_parts(fd, kind) }
    }

    /// The descriptor.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }
}

/// # Names and connections
impl Socket {
    /// Gives the socket an address (`bind`). The name of a Unix socket is made in the file system, which may
    /// have to wait for a disk, so that is done by a job thread; a cancel does not stop it then.
    ///
    /// ```
    /// use lwt_unix::net::{Domain, Socket, Type};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// lwt_unix::run(async {
    ///     let listener = Socket::new(Domain::V4, Type::Stream, 0)?;
    ///     listener.bind("127.0.0.1:0".parse::<std::net::SocketAddr>()?).await?;
    ///     listener.listen(16)?;
    ///     let client = Socket::new(Domain::V4, Type::Stream, 0)?;
    ///     client.connect(listener.local_addr()?).await?;
    ///     let (_server, from) = listener.accept().await?;
    ///     assert_eq!(from.inet(), client.local_addr()?.inet());
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, with the address as the subject; `EBADF` when
    /// closed; the error of an abort.
    pub fn bind(&self, address: impl Into<Addr>) -> Promise<()> {
        let address = address.into();
        let named = address.unix().is_some_and(|name| name.as_pathname().is_some());
        let shown = address.to_string();
        let begun = self.fd.held("bind").and_then(|held| {
            let raw = address.encode().during_on("bind", &shown)?;
            Ok((held, raw))
        });
        match begun {
            Err(error) => Promise::fail(error),
            Ok((held, raw)) if named => {
                let bind = move || socket::bind(held.as_fd(), &raw).during_on("bind", &shown);
                job::run_job(None, bind).no_cancel()
            }
            Ok((held, raw)) => match socket::bind(held.as_fd(), &raw).during_on("bind", &shown) {
                Ok(()) => Promise::ready(()),
                Err(error) => Promise::fail(error),
            },
        }
    }

    /// Waits for connections from now on, of which `backlog` may wait to be accepted (`listen`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` for datagrams, `AddrInUse`; `EBADF` when closed.
    pub fn listen(&self, backlog: u32) -> Result<(), Error> {
        let backlog = c_int::try_from(backlog).unwrap_or(c_int::MAX);
        self.fd.with("listen", |fd| socket::listen(fd, backlog))
    }

    /// The next connection and its address (`accept`). A cancel loses none.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn accept(&self) -> Result<(Socket, Addr), Error> {
        accept::one(self).await
    }

    /// Waits for a connection, then takes all that are there, `most` at most, and the error that ended it, if
    /// one did (`accept_n`).
    pub async fn accept_n(&self, most: usize) -> (Vec<(Socket, Addr)>, Option<Error>) {
        accept::many(self, most).await
    }

    /// The connections to come, through every shortage of descriptors.
    pub fn incoming(&self) -> Incoming<'_, Socket> {
        Incoming::new(self)
    }

    /// Connects to `address` (`connect`). For datagrams it sets the peer, at once.
    ///
    /// After a cancel or an error the socket is still there, but what it is connected to is not known: close
    /// it.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `NotFound` and the like, with the address as the subject; `EISCONN`
    /// when it is connected already; `EBADF` when closed; the error of an abort; `Canceled`.
    pub async fn connect(&self, address: impl Into<Addr>) -> Result<(), Error> {
        let address = address.into();
        let shown = address.to_string();
        match &address {
            Addr::Unix(_) => connect::connect_unix(self.fd.clone(), &address, &shown).await?,
            _ => connect::connect(self.fd.clone(), &address, &shown).await?,
        };
        Ok(())
    }

    /// Ends one direction or both (`shutdown`).
    ///
    /// # Errors
    /// `NotConnected`; `EBADF` when closed.
    pub fn shutdown(&self, direction: Shutdown) -> Result<(), Error> {
        self.fd.with("shutdown", |fd| socket::shutdown(fd, how(direction)))
    }

    /// The address of this end (`getsockname`).
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn local_addr(&self) -> Result<Addr, Error> {
        self.fd.with("getsockname", |fd| Addr::decode(&socket::local_address(fd)?))
    }

    /// The address of the other end (`getpeername`).
    ///
    /// # Errors
    /// `NotConnected`; `EBADF` when closed.
    pub fn peer_addr(&self) -> Result<Addr, Error> {
        self.fd.with("getpeername", |fd| Addr::decode(&socket::peer_address(fd)?))
    }
}

/// # Sending and receiving
///
/// A cancel loses nothing: it arrives while nothing has been transferred.
impl Socket {
    /// Receives up to `buf.len()` bytes, or a datagram, of which the rest is lost (`recv`).
    ///
    /// # Errors
    /// As [`Fd::read`].
    pub async fn recv(&self, buf: &mut [u8], flags: MsgFlags) -> Result<usize, Error> {
        let op = |fd: BorrowedFd<'_>| socket::recv(fd, &Room::from(&mut *buf), flags.raw() | self.fd.flags());
        self.fd.drive(Direction::Read, op).await.map_err(|failure| failure.into_error("recv"))
    }

    /// Sends from the front of `buf`, or all of it as a datagram (`send`).
    ///
    /// # Errors
    /// As [`Fd::write`].
    pub async fn send(&self, buf: &[u8], flags: MsgFlags) -> Result<usize, Error> {
        let op = |fd: BorrowedFd<'_>| socket::send(fd, buf, flags.raw() | self.fd.flags());
        let sent = self.fd.drive(Direction::Write, op).await;
        sent.map_err(|failure| failure.into_error("send"))
    }

    /// [`recv`](Socket::recv) that also tells who has sent it (`recvfrom`); nobody, on a connection.
    ///
    /// # Errors
    /// As [`Fd::read`].
    pub async fn recv_from(&self, buf: &mut [u8], flags: MsgFlags) -> Result<(usize, Addr), Error> {
        let op = |fd: BorrowedFd<'_>| {
            let flags = flags.raw() | self.fd.flags();
            let (n, source) = socket::recv_from(fd, &Room::from(&mut *buf), flags)?;
            Ok((n, Addr::decode(&source)?))
        };
        self.fd.drive(Direction::Read, op).await.map_err(|failure| failure.into_error("recvfrom"))
    }

    /// [`send`](Socket::send) to an address (`sendto`).
    ///
    /// ```
    /// use lwt_unix::net::{Domain, MsgFlags, Socket, Type};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// lwt_unix::run(async {
    ///     let one = Socket::new(Domain::V4, Type::Datagram, 0)?;
    ///     let two = Socket::new(Domain::V4, Type::Datagram, 0)?;
    ///     two.bind("127.0.0.1:0".parse::<std::net::SocketAddr>()?).await?;
    ///     one.send_to(b"hello", two.local_addr()?, MsgFlags::NONE).await?;
    ///     let (n, from) = two.recv_from(&mut [0; 16], MsgFlags::NONE).await?;
    ///     assert_eq!(n, 5);
    ///     assert_eq!(from.inet().map(|from| from.port()), one.local_addr()?.inet().map(|own| own.port()));
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Fd::write`], with the address as the subject; `InvalidInput` for an address that is none.
    pub async fn send_to(&self, buf: &[u8], to: impl Into<Addr>, flags: MsgFlags) -> Result<usize, Error> {
        let to = to.into();
        let raw = to.encode().during_on("sendto", &to)?;
        let op = |fd: BorrowedFd<'_>| socket::send_to(fd, buf, &raw, flags.raw() | self.fd.flags());
        let sent = self.fd.drive(Direction::Write, op).await;
        sent.map_err(|failure| failure.into_error_on("sendto", &to))
    }
}

impl Deref for Socket {
    type Target = Fd;
    fn deref(&self) -> &Fd {
        &self.fd
    }
}

/// Fails with `ENOTSOCK` for a descriptor of another kind.
impl TryFrom<Fd> for Socket {
    type Error = Error;
    fn try_from(fd: Fd) -> Result<Socket, Error> {
        fd.option::<opt::SocketType>()?;
        Ok(Socket { fd })
    }
}

macro_rules! socket_of {
    ($($name:ident)*) => {$(
        /// Another handle on the same socket.
        impl From<&$name> for Socket {
            fn from(socket: &$name) -> Socket {
                Socket { fd: socket.fd().clone() }
            }
        }
    )*};
}

socket_of! { TcpStream TcpListener UdpSocket UnixStream UnixListener }

impl Listener for Socket {
    type Stream = Socket;
    type Address = Addr;

    fn fd(&self) -> &Fd {
        &self.fd
    }

    fn adopt(fd: OwnedFd, peer: &RawAddr) -> io::Result<(Socket, Addr)> {
        Ok((Socket::adopted(fd), Addr::decode(peer)?))
    }
}
