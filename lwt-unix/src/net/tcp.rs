//! TCP: [`TcpStream`] and [`TcpListener`].

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};

use lwt_core::Error;

use super::accept::{self, Incoming, Listener};
use super::{ListenOptions, Shutdown, connect, how, opt};
use crate::engine::registration::Direction;
use crate::fd::{During, Fd, Kind};
use crate::sys::Room;
use crate::sys::addr::{Address, RawAddr};
use crate::sys::socket;

/// A TCP connection.
///
/// Reading, writing, waiting and closing are those of [`Fd`], which it dereferences to. A clone is a second
/// handle on the same connection, so that one task can read while another writes; it ends with the last
/// handle, or by [`Fd::close`].
///
/// What the peer does, and what a read says: a graceful end gives 0, once what was sent before has been read;
/// a reset gives `ConnectionReset`, once.
///
/// ```
/// use lwt_unix::net::{Shutdown, TcpListener, TcpStream};
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let address = listener.local_addr()?;
/// let echo = lwt_core::spawn(async move {
///     let (stream, _peer) = listener.accept().await?;
///     let mut buf = [0; 64];
///     loop {
///         match stream.read(&mut buf).await? {
///             0 => return Ok::<_, lwt_core::Error>(()),
///             n => stream.write_all(&buf[..n]).await?,
///         }
///     }
/// });
/// lwt_unix::run(async move {
///     let stream = TcpStream::connect(address).await?;
///     stream.write_all(b"once more").await?;
///     stream.shutdown(Shutdown::Write)?; // the half-close tells the other side that this was all
///     let mut back = [0; 9];
///     stream.read_exact(&mut back).await?;
///     assert_eq!(&back, b"once more");
///     echo.await
/// })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TcpStream {
    fd: Fd,
}

impl TcpStream {
    /// Connects to `address` (`socket` and `connect`).
    ///
    /// A cancel, or dropping the future, gives the attempt up and closes the socket. The time limit is the
    /// system's (minutes); wrap it in a [`with_timeout`](crate::with_timeout) for a shorter one.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable` and the like, with the address as the subject;
    /// `EMFILE` and the like of `socket`; `Canceled`.
    pub async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
        TcpStream::connect_with(address, |_| Ok(())).await
    }

    /// [`connect`](TcpStream::connect) from a local address of the caller's choice; port 0 takes a free one.
    ///
    /// # Errors
    /// As [`connect`](TcpStream::connect), and those of `bind`.
    pub async fn connect_from(local: SocketAddr, address: SocketAddr) -> Result<TcpStream, Error> {
        let bind = |fd: &Fd| fd.with_on("bind", local, |fd| socket::bind(fd, &local.encode()?));
        TcpStream::connect_with(address, bind).await
    }

    /// [`connect`](TcpStream::connect) on a socket that `prepare` has set up: options that matter while the
    /// connection is made.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lwt_unix::net::{TcpListener, TcpStream, opt};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let address = listener.local_addr()?;
    /// lwt_unix::run(TcpStream::connect_with(address, |socket| {
    ///     socket.set_option::<opt::ReceiveBuffer>(1 << 20)?;
    ///     socket.set_option::<opt::UserTimeout>(Duration::from_secs(5))
    /// }))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](TcpStream::connect), and that of `prepare`.
    pub async fn connect_with(
        address: SocketAddr,
        prepare: impl FnOnce(&Fd) -> Result<(), Error>,
    ) -> Result<TcpStream, Error> {
        let domain = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = socket::socket(domain, libc::SOCK_STREAM, 0).during("socket")?;
        let fd = Fd::from_parts(fd, Kind::Tcp);
        prepare(&fd)?;
        Ok(TcpStream { fd: connect::connect(fd, &address, address).await? })
    }

    /// The descriptor.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Ends one direction or both (`shutdown`). After `Write` the peer reads the end of the file, and can
    /// still send.
    ///
    /// # Errors
    /// `NotConnected` when the peer has reset the connection.
    pub fn shutdown(&self, direction: Shutdown) -> Result<(), Error> {
        self.fd.with("shutdown", |fd| socket::shutdown(fd, how(direction)))
    }

    /// The address of this end (`getsockname`).
    ///
    /// # Errors
    /// `EBADF` on a closed stream.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.fd.with("getsockname", |fd| SocketAddr::decode(&socket::local_address(fd)?))
    }

    /// The address of the other end (`getpeername`).
    ///
    /// # Errors
    /// `NotConnected` when the connection has been reset.
    pub fn peer_addr(&self) -> Result<SocketAddr, Error> {
        self.fd.with("getpeername", |fd| SocketAddr::decode(&socket::peer_address(fd)?))
    }

    /// Reads without taking the bytes away (`recv` with `MSG_PEEK`). Otherwise as [`Fd::read`].
    ///
    /// # Errors
    /// As [`Fd::read`].
    pub async fn peek(&self, buf: &mut [u8]) -> Result<usize, Error> {
        let op =
            |fd: BorrowedFd<'_>| socket::recv(fd, &Room::from(&mut *buf), libc::MSG_PEEK | self.fd.flags());
        self.fd.drive(Direction::Read, op).await.map_err(|failure| failure.into_error("recv"))
    }

    /// Whether small segments are sent at once ([`opt::NoDelay`]).
    ///
    /// # Errors
    /// As [`Fd::option`].
    pub fn nodelay(&self) -> Result<bool, Error> {
        self.fd.option::<opt::NoDelay>()
    }

    /// Sends small segments at once, or gathers them ([`opt::NoDelay`]).
    ///
    /// # Errors
    /// As [`Fd::set_option`].
    pub fn set_nodelay(&self, on: bool) -> Result<(), Error> {
        self.fd.set_option::<opt::NoDelay>(on)
    }
}

impl Deref for TcpStream {
    type Target = Fd;
    fn deref(&self) -> &Fd {
        &self.fd
    }
}

/// Takes a connection of the standard library's over and makes it non-blocking.
impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = Error;
    fn try_from(stream: std::net::TcpStream) -> Result<TcpStream, Error> {
        Ok(TcpStream { fd: Fd::new(stream.into())? })
    }
}

/// A socket that accepts TCP connections.
///
/// See [`Incoming`] for a server's loop.
#[derive(Debug, Clone)]
pub struct TcpListener {
    fd: Fd,
}

impl TcpListener {
    /// Listens at `address`, with [`opt::ReuseAddress`] and the other defaults of [`ListenOptions`]; port 0
    /// takes a free one.
    ///
    /// # Errors
    /// Those of `socket`, `bind` (such as `AddrInUse`) and `listen`, with the address as the subject.
    pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
        ListenOptions::new().tcp(address)
    }

    pub(super) fn from_bound(fd: Fd) -> TcpListener {
        TcpListener { fd }
    }

    /// The descriptor.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// The address that it listens at (`getsockname`).
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.fd.with("getsockname", |fd| SocketAddr::decode(&socket::local_address(fd)?))
    }

    /// The next connection and its address (`accept`).
    ///
    /// Connections that died in the queue are passed over. A cancel loses none.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM` when there is nothing left to accept with: the connection
    /// stays in the queue, and another call would fail at once, so a loop wants
    /// [`incoming`](TcpListener::incoming). `EBADF` when closed, the error of an abort, `Canceled`.
    pub async fn accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        accept::one(self).await
    }

    /// Waits for a connection, then takes all that are there, `most` at most, and the error that ended it, if
    /// one did (`accept_n`).
    pub async fn accept_n(&self, most: usize) -> (Vec<(TcpStream, SocketAddr)>, Option<Error>) {
        accept::many(self, most).await
    }

    /// The connections to come, through every shortage of descriptors.
    pub fn incoming(&self) -> Incoming<'_, TcpListener> {
        Incoming::new(self)
    }

    /// Stops listening, for all handles: whoever waits is rejected, whoever was not accepted yet is reset
    /// ([`Fd::close`]).
    ///
    /// # Errors
    /// `EBADF` when it is closed already.
    pub fn close(&self) -> Result<(), Error> {
        self.fd.close()
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    fn fd(&self) -> &Fd {
        &self.fd
    }

    fn adopt(fd: OwnedFd, peer: &RawAddr) -> io::Result<(TcpStream, SocketAddr)> {
        Ok((TcpStream { fd: Fd::from_parts(fd, Kind::Tcp) }, SocketAddr::decode(peer)?))
    }
}

/// Takes a listener of the standard library's over and makes it non-blocking.
impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = Error;
    fn try_from(listener: std::net::TcpListener) -> Result<TcpListener, Error> {
        Ok(TcpListener { fd: Fd::new(listener.into())? })
    }
}
