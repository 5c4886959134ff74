//! UDP: [`UdpSocket`].

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use lwt_core::Error;

use super::Interface;
use super::multicast::membership;
use crate::engine::registration::Direction;
use crate::fd::{During, Fd, Kind};
use crate::sys::Room;
use crate::sys::addr::Address;
use crate::sys::socket;

/// A UDP socket.
///
/// A datagram that is larger than the buffer is cut, and the rest of it lost; whether that was so is told by
/// [`Socket::recv_msg`](super::Socket::recv_msg) of `Socket::from(&udp)`. On a connected socket, an
/// earlier datagram that nobody took may be reported as `ConnectionRefused`, once.
///
/// ```
/// use lwt_unix::net::UdpSocket;
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let any = "127.0.0.1:0".parse().unwrap();
/// let (left, right) = (UdpSocket::bind(any)?, UdpSocket::bind(any)?);
/// lwt_unix::run(async move {
///     left.send_to(b"knock", right.local_addr()?).await?;
///     let mut buf = [0; 16];
///     let (n, from) = right.recv_from(&mut buf).await?;
///     assert_eq!((&buf[..n], from), (&b"knock"[..], left.local_addr()?));
///     Ok::<_, lwt_core::Error>(())
/// })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct UdpSocket {
    fd: Fd,
}

impl UdpSocket {
    /// A socket bound to `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of `socket` and `bind`, with the address as the subject.
    pub fn bind(address: SocketAddr) -> Result<UdpSocket, Error> {
        let domain = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = socket::socket(domain, libc::SOCK_DGRAM, 0).during("socket")?;
        let raw = address.encode().during_on("bind", address)?;
        socket::bind(fd.as_fd(), &raw).during_on("bind", address)?;
        Ok(UdpSocket { fd: Fd::from_parts(fd, Kind::Socket) })
    }

    /// Sets the peer of [`send`](UdpSocket::send) and [`recv`](UdpSocket::recv); nothing is sent, so it is
    /// done at once.
    ///
    /// # Errors
    /// `NetworkUnreachable` and the like.
    pub fn connect(&self, peer: SocketAddr) -> Result<(), Error> {
        self.fd.with_on("connect", peer, |fd| socket::connect(fd, &peer.encode()?)).map(drop)
    }

    /// The descriptor, with its options and its closing.
    pub fn fd(&self) -> &Fd {
        &self.fd
    }

    /// The address of this socket (`getsockname`).
    ///
    /// # Errors
    /// `EBADF` when closed.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.fd.with("getsockname", |fd| SocketAddr::decode(&socket::local_address(fd)?))
    }

    /// The peer that [`connect`](UdpSocket::connect) has set (`getpeername`).
    ///
    /// # Errors
    /// `NotConnected`; `EBADF` when closed.
    pub fn peer_addr(&self) -> Result<SocketAddr, Error> {
        self.fd.with("getpeername", |fd| SocketAddr::decode(&socket::peer_address(fd)?))
    }

    /// Sends a datagram to `to`, all of it or nothing (`sendto`). A cancel comes before it is sent.
    ///
    /// # Errors
    /// `EMSGSIZE` when it is too large, `NetworkUnreachable` and the like, with the address as the subject;
    /// `Canceled`.
    pub async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> Result<usize, Error> {
        let raw = to.encode().during_on("sendto", to)?;
        let sent =
            self.fd.drive(Direction::Write, |fd| socket::send_to(fd, datagram, &raw, self.fd.flags())).await;
        sent.map_err(|failure| failure.into_error_on("sendto", to))
    }

    /// The next datagram and its sender (`recvfrom`). A cancel loses none.
    ///
    /// # Errors
    /// The system's; `EBADF` when the socket is closed before or meanwhile; `Canceled`.
    pub async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.receive(buf, 0).await
    }

    /// [`recv_from`](UdpSocket::recv_from) that leaves the datagram in its place (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn peek_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.receive(buf, libc::MSG_PEEK).await
    }

    async fn receive(&self, buf: &mut [u8], flags: libc::c_int) -> Result<(usize, SocketAddr), Error> {
        let op = |fd: BorrowedFd<'_>| {
            let (n, source) = socket::recv_from(fd, &Room::from(&mut *buf), flags | self.fd.flags())?;
            Ok((n, SocketAddr::decode(&source)?))
        };
        self.fd.drive(Direction::Read, op).await.map_err(|failure| failure.into_error("recvfrom"))
    }

    /// Sends a datagram to the peer, all of it or nothing (`send`). A cancel comes before it is sent.
    ///
    /// # Errors
    /// `ENOTCONN` or `EDESTADDRREQ` without a peer, `ConnectionRefused` when an earlier datagram met nobody,
    /// and as [`send_to`](UdpSocket::send_to).
    pub async fn send(&self, datagram: &[u8]) -> Result<usize, Error> {
        let sent = self.fd.drive(Direction::Write, |fd| socket::send(fd, datagram, self.fd.flags())).await;
        sent.map_err(|failure| failure.into_error("send"))
    }

    /// The next datagram from the peer, or from anybody if there is none (`recv`). A cancel loses none.
    ///
    /// # Errors
    /// `ConnectionRefused` when an earlier datagram met nobody, and as [`recv_from`](UdpSocket::recv_from).
    pub async fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
        let op = |fd: BorrowedFd<'_>| socket::recv(fd, &Room::from(&mut *buf), self.fd.flags());
        self.fd.drive(Direction::Read, op).await.map_err(|failure| failure.into_error("recv"))
    }

    /// Joins a multicast group at the interface with that address, or at one that the system chooses for
    /// `0.0.0.0` (`mcast_add_membership`).
    ///
    /// # Errors
    /// `EINVAL` when it is no multicast address, `ENODEV` when there is no such interface, `AddrInUse` when
    /// it is joined already.
    pub fn join_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> Result<(), Error> {
        membership(&self.fd, true, group.into(), Interface::Address(interface))
    }

    /// Leaves a multicast group (`mcast_drop_membership`).
    ///
    /// # Errors
    /// `AddrNotAvailable` when it was not joined.
    pub fn leave_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> Result<(), Error> {
        membership(&self.fd, false, group.into(), Interface::Address(interface))
    }

    /// Joins an IPv6 multicast group at the interface with that index, or at one that the system chooses for
    /// 0.
    ///
    /// # Errors
    /// As [`join_v4`](UdpSocket::join_v4).
    pub fn join_v6(&self, group: Ipv6Addr, interface: u32) -> Result<(), Error> {
        membership(&self.fd, true, group.into(), Interface::Index(interface))
    }

    /// Leaves an IPv6 multicast group.
    ///
    /// # Errors
    /// As [`leave_v4`](UdpSocket::leave_v4).
    pub fn leave_v6(&self, group: Ipv6Addr, interface: u32) -> Result<(), Error> {
        membership(&self.fd, false, group.into(), Interface::Index(interface))
    }
}

/// Takes a socket of the standard library's over and makes it non-blocking.
impl TryFrom<std::net::UdpSocket> for UdpSocket {
    type Error = Error;
    fn try_from(socket: std::net::UdpSocket) -> Result<UdpSocket, Error> {
        Ok(UdpSocket { fd: Fd::new(socket.into())? })
    }
}
