//! Unix stream sockets: [`UnixStream`] and [`UnixListener`].
//!
//! An address is a path or, on Linux, an abstract name (no file, gone with its last socket), written by
//! [`std::os::unix::net::SocketAddr`]. A path that was bound stays in the file system after the listener is
//! closed, and a later `bind` to it says `AddrInUse`: whoever binds it removes it, before (if he knows that
//! nobody listens there) or after.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

use lwt_core::Error;

use super::accept::{self, Incoming, Listener};
use super::opt::{Credentials, PeerCredentials};
use super::{ListenOptions, Shutdown, connect, how};
use crate::fd::{During, Fd, Kind};
use crate::sys::addr::{Address, RawAddr};
use crate::sys::socket;

/// A connected Unix stream socket.
///
/// Reading, writing, waiting and closing are those of [`Fd`], which it dereferences to; a clone is a second
/// handle on the same connection.
///
/// ```
/// use lwt_unix::net::UnixStream;
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (left, right) = UnixStream::pair()?;
/// let answer = lwt_unix::run(async move {
///     left.write_all(b"ping").await?;
///     let mut buf = [0; 4];
///     right.read_exact(&mut buf).await?;
///     Ok::<_, lwt_core::Error>(buf)
/// })?;
/// assert_eq!(&answer, b"ping");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct UnixStream {
    fd: Fd,
}

impl UnixStream {
    /// Connects to the socket at `path` (`connect`).
    ///
    /// When the listener's queue is full it tries again after a pause, until there is room. A cancel closes
    /// the socket.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `ConnectionRefused` (nobody listens there any more), with the path as
    /// the subject; `InvalidInput` for a path that is too long; `Canceled`.
    pub async fn connect(path: impl AsRef<Path>) -> Result<UnixStream, Error> {
        UnixStream::connect_addr(&named(path.as_ref(), "connect")?).await
    }

    /// Connects to an address, which may be an abstract name. Otherwise as [`connect`](UnixStream::connect).
    ///
    /// # Errors
    /// As [`connect`](UnixStream::connect).
    pub async fn connect_addr(address: &UnixAddr) -> Result<UnixStream, Error> {
        let fd = socket::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).during("socket")?;
        let fd = Fd::from_parts(fd, Kind::UnixStream);
        Ok(UnixStream { fd: connect::connect_unix(fd, address, Shown(address)).await? })
    }

    /// Two connected sockets (`socketpair`).
    ///
    /// # Errors
    /// `EMFILE` and the like.
    pub fn pair() -> Result<(UnixStream, UnixStream), Error> {
        let (left, right) = socket::pair(libc::AF_UNIX, libc::SOCK_STREAM, 0).during("socketpair")?;
        let stream = |fd| UnixStream { fd: Fd::from_parts(fd, Kind::UnixStream) };
        Ok((stream(left), stream(right)))
    }

    /// The descriptor.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Ends one direction or both (`shutdown`). After `Write` the peer reads the end of the file, and can
    /// still send.
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn shutdown(&self, direction: Shutdown) -> Result<(), Error> {
        self.fd.with("shutdown", |fd| socket::shutdown(fd, how(direction)))
    }

    /// The address of this end (`getsockname`), most often unnamed.
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn local_addr(&self) -> Result<UnixAddr, Error> {
        self.fd.with("getsockname", |fd| UnixAddr::decode(&socket::local_address(fd)?))
    }

    /// The address of the other end (`getpeername`).
    ///
    /// # Errors
    /// `NotConnected`; `EBADF` when closed.
    pub fn peer_addr(&self) -> Result<UnixAddr, Error> {
        self.fd.with("getpeername", |fd| UnixAddr::decode(&socket::peer_address(fd)?))
    }

    /// Who is at the other end, as of when it connected (`get_credentials`).
    ///
    /// # Errors
    /// As [`Fd::option`].
    pub fn peer_credentials(&self) -> Result<Credentials, Error> {
        self.fd.option::<PeerCredentials>()
    }
}

impl Deref for UnixStream {
    type Target = Fd;
    fn deref(&self) -> &Fd {
        &self.fd
    }
}

/// Takes a connection of the standard library's over and makes it non-blocking.
impl TryFrom<std::os::unix::net::UnixStream> for UnixStream {
    type Error = Error;
    fn try_from(stream: std::os::unix::net::UnixStream) -> Result<UnixStream, Error> {
        Ok(UnixStream { fd: Fd::new(stream.into())? })
    }
}

/// A socket that accepts Unix stream connections.
///
/// ```
/// use std::os::linux::net::SocketAddrExt;
/// use std::os::unix::net::SocketAddr;
/// use lwt_unix::net::{UnixListener, UnixStream};
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let name = SocketAddr::from_abstract_name(format!("doc-example-{}", std::process::id()))?;
/// let listener = UnixListener::bind_addr(&name)?;
/// lwt_unix::run(async move {
///     let client = UnixStream::connect_addr(&name).await?;
///     let (server, _unnamed) = listener.accept().await?;
///     assert_eq!(server.peer_credentials()?.pid, Some(std::process::id()));
///     drop(client);
///     assert_eq!(server.read(&mut [0]).await?, 0);
///     Ok::<_, lwt_core::Error>(())
/// })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct UnixListener {
    fd: Fd,
}

impl UnixListener {
    /// Listens at `path`, which is made, and stays when the listener is closed (see the
    /// [module](crate::net)).
    ///
    /// # Errors
    /// `AddrInUse` when the path exists, `NotFound`, `PermissionDenied`, with the path as the subject;
    /// `InvalidInput` for a path that is too long.
    pub fn bind(path: impl AsRef<Path>) -> Result<UnixListener, Error> {
        UnixListener::bind_addr(&named(path.as_ref(), "bind")?)
    }

    /// Listens at an address, which may be an abstract name.
    ///
    /// # Errors
    /// As [`bind`](UnixListener::bind).
    pub fn bind_addr(address: &UnixAddr) -> Result<UnixListener, Error> {
        ListenOptions::new().unix(address)
    }

    pub(super) fn from_bound(fd: Fd) -> UnixListener {
        UnixListener { fd }
    }

    /// The descriptor.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// The address that it listens at (`getsockname`).
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn local_addr(&self) -> Result<UnixAddr, Error> {
        self.fd.with("getsockname", |fd| UnixAddr::decode(&socket::local_address(fd)?))
    }

    /// The next connection and its address, most often unnamed; see
    /// [`TcpListener::accept`](super::TcpListener::accept).
    ///
    /// # Errors
    /// As [`TcpListener::accept`](super::TcpListener::accept).
    pub async fn accept(&self) -> Result<(UnixStream, UnixAddr), Error> {
        accept::one(self).await
    }

    /// Waits for a connection, then takes all that are there, `most` at most, and the error that ended it, if
    /// one did (`accept_n`).
    pub async fn accept_n(&self, most: usize) -> (Vec<(UnixStream, UnixAddr)>, Option<Error>) {
        accept::many(self, most).await
    }

    /// The connections to come, through every shortage of descriptors.
    pub fn incoming(&self) -> Incoming<'_, UnixListener> {
        Incoming::new(self)
    }

    /// Stops listening, for all handles ([`Fd::close`]); the path stays.
    ///
    /// # Errors
    /// `EBADF` when it is closed already.
    pub fn close(&self) -> Result<(), Error> {
        self.fd.close()
    }
}

impl TryFrom<std::os::unix::net::UnixListener> for UnixListener {
    type Error = Error;
    fn try_from(listener: std::os::unix::net::UnixListener) -> Result<UnixListener, Error> {
        Ok(UnixListener { fd: Fd::new(listener.into())? })
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Address = UnixAddr;

    fn fd(&self) -> &Fd {
        &self.fd
    }

    fn adopt(fd: OwnedFd, peer: &RawAddr) -> io::Result<(UnixStream, UnixAddr)> {
        Ok((UnixStream { fd: Fd::from_parts(fd, Kind::UnixStream) }, UnixAddr::decode(peer)?))
    }
}

fn named(path: &Path, call: &'static str) -> Result<UnixAddr, Error> {
    UnixAddr::from_pathname(path).during_on(call, path.display())
}

/// An address as error texts show it: the path, or `@` and the abstract name.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a>(pub(super) &'a UnixAddr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.0.as_pathname() {
            write!(f, "{}", path.display())
        } else if let Some(name) = self.0.as_abstract_name() {
            write!(f, "@{}", name.escape_ascii())
        } else {
            f.write_str("(unnamed)")
        }
    }
}
