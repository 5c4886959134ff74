//! [`ListenOptions`]: how a listening socket is made.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;

use libc::c_int;
use lwt_core::Error;

use super::unix::Shown;
use super::{TcpListener, UnixListener, opt};
use crate::fd::{During, Fd, Kind};
use crate::sys::addr::Address;
use crate::sys::socket;

/// How a listening socket is made; the `bind` functions of the listeners use the defaults.
///
/// ```
/// use lwt_unix::net::ListenOptions;
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let listener = ListenOptions::new().backlog(16).reuse_port(true).tcp("127.0.0.1:0".parse().unwrap())?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing listens before `tcp` or `unix` is called"]
pub struct ListenOptions {
    backlog: u32,
    reuse_address: bool,
    reuse_port: bool,
    v6_only: Option<bool>,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions::new()
    }
}

impl ListenOptions {
    /// A backlog of 4096, addresses re-used, ports not shared, the system's default for IPv6.
    pub fn new() -> ListenOptions {
        ListenOptions { backlog: 4096, reuse_address: true, reuse_port: false, v6_only: None }
    }

    /// How many connections may wait to be accepted; the system has a limit of its own (`somaxconn`).
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.backlog = connections;
        self
    }

    /// Whether an address may be bound whose old connections are still in their final wait (see
    /// [`opt::ReuseAddress`]).
    pub fn reuse_address(mut self, on: bool) -> ListenOptions {
        self.reuse_address = on;
        self
    }

    /// Whether several sockets may listen at one port and share its connections (see [`opt::ReusePort`]).
    pub fn reuse_port(mut self, on: bool) -> ListenOptions {
        self.reuse_port = on;
        self
    }

    /// Whether a socket bound to an IPv6 address refuses IPv4 peers (see [`opt::V6Only`]).
    pub fn v6_only(mut self, on: bool) -> ListenOptions {
        self.v6_only = Some(on);
        self
    }

    /// Listens at a TCP address; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of `socket`, `bind` (such as `AddrInUse`, with the address as the subject) and `listen`.
    pub fn tcp(&self, address: SocketAddr) -> Result<TcpListener, Error> {
        let domain = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = socket::socket(domain, libc::SOCK_STREAM, 0).during("socket")?;
        if self.reuse_address {
            opt::set::<opt::ReuseAddress>(fd.as_fd(), true)?;
        }
        if self.reuse_port {
            opt::set::<opt::ReusePort>(fd.as_fd(), true)?;
        }
        if let (Some(on), true) = (self.v6_only, address.is_ipv6()) {
            opt::set::<opt::V6Only>(fd.as_fd(), on)?;
        }
        Ok(TcpListener::from_bound(self.listen(fd, &address, address)?))
    }

    /// Listens at a Unix address: a path, or on Linux an abstract name.
    ///
    /// # Errors
    /// Those of `socket`, `bind` (such as `AddrInUse`, also for a path that is left over) and `listen`.
    pub fn unix(&self, address: &UnixAddr) -> Result<UnixListener, Error> {
        let fd = socket::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).during("socket")?;
        Ok(UnixListener::from_bound(self.listen(fd, address, Shown(address))?))
    }

    fn listen(
        &self,
        fd: OwnedFd,
        address: &impl Address,
        shown: impl fmt::Display + Copy,
    ) -> Result<Fd, Error> {
        let raw = address.encode().during_on("bind", shown)?;
        socket::bind(fd.as_fd(), &raw).during_on("bind", shown)?;
        let backlog = c_int::try_from(self.backlog).unwrap_or(c_int::MAX);
        socket::listen(fd.as_fd(), backlog).during_on("listen", shown)?;
        Ok(Fd::from_parts(fd, Kind::Socket))
    }
}

/// The most connections that the system lets wait to be accepted at one socket (`somaxconn`), as of now.
///
/// ```
/// assert!(lwt_unix::net::somaxconn() > 0);
/// ```
pub fn somaxconn() -> u32 {
    let told = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    told.and_then(|text| text.trim().parse().ok()).unwrap_or(libc::SOMAXCONN as u32)
}
