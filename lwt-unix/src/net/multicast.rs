//! Multicast: which groups a socket belongs to, and how far its own packets go.

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::c_int;
use lwt_core::Error;

use super::{Socket, opt};
use crate::fd::Fd;
use crate::sys::option::interface_index;
use crate::sys::socket::set_option;

/// Which network interface.
///
/// ```
/// use lwt_unix::net::Interface;
/// assert_eq!(Interface::default(), Interface::Any);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Interface<'a> {
    /// One that the system chooses.
    #[default]
    Any,
    /// The one with this address; for IPv4.
    Address(Ipv4Addr),
    /// The one with this name, such as `"eth0"`.
    Name(&'a str),
    /// The one with this index.
    Index(u32),
}

/// # Multicast
///
/// For sockets of datagrams; a [`UdpSocket`](super::UdpSocket) becomes one by `Socket::from(&udp)`.
impl Socket {
    /// Joins a multicast group at an interface (`mcast_add_membership`).
    ///
    /// ```
    /// use lwt_unix::net::{Interface, Socket, UdpSocket};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let udp = UdpSocket::bind("0.0.0.0:0".parse().unwrap())?;
    /// let socket = Socket::from(&udp);
    /// socket.mcast_add_membership("239.255.7.7".parse().unwrap(), Interface::Name("lo"))?;
    /// socket.mcast_set_ttl(1)?;
    /// socket.mcast_drop_membership("239.255.7.7".parse().unwrap(), Interface::Name("lo"))
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EINVAL` when it is no multicast address, `ENODEV` when there is no such interface, `AddrInUse` when
    /// it is joined already; `InvalidInput` for an IPv6 group at an interface that is named by an IPv4
    /// address.
    pub fn mcast_add_membership(&self, group: IpAddr, at: Interface<'_>) -> Result<(), Error> {
        membership(self.fd(), true, group, at)
    }

    /// Leaves a multicast group (`mcast_drop_membership`).
    ///
    /// # Errors
    /// `AddrNotAvailable` when it was not joined; otherwise as
    /// [`mcast_add_membership`](Socket::mcast_add_membership).
    pub fn mcast_drop_membership(&self, group: IpAddr, at: Interface<'_>) -> Result<(), Error> {
        membership(self.fd(), false, group, at)
    }

    /// Whether own multicast packets come back to this machine (`mcast_set_loop`).
    ///
    /// # Errors
    /// As [`Fd::set_option`].
    pub fn mcast_set_loop(&self, on: bool) -> Result<(), Error> {
        if self.is_v6()? {
            self.set_option::<opt::MulticastLoopV6>(on)
        } else {
            self.set_option::<opt::MulticastLoop>(on)
        }
    }

    /// How many hops a multicast packet may make (`mcast_set_ttl`).
    ///
    /// # Errors
    /// `EINVAL` above 255; otherwise as [`Fd::set_option`].
    pub fn mcast_set_ttl(&self, hops: u32) -> Result<(), Error> {
        if self.is_v6()? {
            self.set_option::<opt::MulticastHopsV6>(hops)
        } else {
            self.set_option::<opt::MulticastTtl>(hops)
        }
    }

    fn is_v6(&self) -> Result<bool, Error> {
        Ok(self.option::<opt::SocketDomain>()? == libc::AF_INET6 as u32)
    }
}

/// Joins or leaves a group.
pub(super) fn membership(fd: &Fd, join: bool, group: IpAddr, at: Interface<'_>) -> Result<(), Error> {
    fd.with_on("setsockopt", group, |fd| match group {
        IpAddr::V4(group) => {
            let (address, index) = match at {
                Interface::Any => (Ipv4Addr::UNSPECIFIED, 0),
                Interface::Address(address) => (address, 0),
                at => (Ipv4Addr::UNSPECIFIED, c_int::try_from(index(at)?).map_err(|_| unknown())?),
            };
            let request = libc::ip_mreqn {
                imr_multiaddr: raw_v4(group),
                imr_address: raw_v4(address),
                imr_ifindex: index,
            };
            let name = if join { libc::IP_ADD_MEMBERSHIP } else { libc::IP_DROP_MEMBERSHIP };
            set_option(fd, libc::IPPROTO_IP, name, request)
        }
        IpAddr::V6(group) => {
            let request = libc::ipv6_mreq {
                ipv6mr_multiaddr: libc::in6_addr { s6_addr: Ipv6Addr::octets(&group) },
                ipv6mr_interface: index(at)?,
            };
            let name = if join { libc::IPV6_ADD_MEMBERSHIP } else { libc::IPV6_DROP_MEMBERSHIP };
            set_option(fd, libc::IPPROTO_IPV6, name, request)
        }
    })
}

fn index(at: Interface<'_>) -> io::Result<u32> {
    match at {
        Interface::Any => Ok(0),
        Interface::Index(index) => Ok(index),
        Interface::Name(name) => interface_index(&CString::new(name).map_err(|_| unknown())?),
        Interface::Address(_) => {
            let text = "an interface of IPv6 has a name or an index";
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

fn raw_v4(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}

fn unknown() -> io::Error {
    io::Error::from_raw_os_error(libc::ENODEV)
}
