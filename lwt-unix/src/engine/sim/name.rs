//! [`Name`]: what a simulated socket is called.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

use libc::c_int;

use crate::sys::addr::{Address, RawAddr};

/// The address of a socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Inet(SocketAddr),
    Path(Vec<u8>),
    Abstract(Vec<u8>),
    Unnamed,
}

impl Name {
    pub(crate) fn of(raw: &RawAddr) -> io::Result<Name> {
        if raw.family() != libc::AF_UNIX {
            return SocketAddr::decode(raw).map(Name::Inet);
        }
        let address = UnixAddr::decode(raw)?;
        Ok(match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => Name::Path(path.as_os_str().as_bytes().to_vec()),
            (None, Some(name)) => Name::Abstract(name.to_vec()),
            (None, None) => Name::Unnamed,
        })
    }

    pub(crate) fn raw(&self) -> io::Result<RawAddr> {
        match self {
            Name::Inet(address) => address.encode(),
            Name::Path(path) => {
                UnixAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(path)))?.encode()
            }
            Name::Abstract(name) => UnixAddr::from_abstract_name(name)?.encode(),
            Name::Unnamed => UnixAddr::from_pathname("")?.encode(),
        }
    }

    /// The name that a socket has before it gets one.
    pub(crate) fn none(domain: c_int) -> Name {
        match domain {
            libc::AF_INET => Name::Inet((Ipv4Addr::UNSPECIFIED, 0).into()),
            libc::AF_INET6 => Name::Inet((Ipv6Addr::UNSPECIFIED, 0).into()),
            _ => Name::Unnamed,
        }
    }

    /// The address and the port.
    pub(crate) fn inet(&self) -> Option<SocketAddr> {
        match self {
            Name::Inet(address) => Some(*address),
            _ => None,
        }
    }

    /// The same port on every interface: whoever is bound so is meant by this name, too.
    pub(crate) fn anywhere(&self) -> Name {
        match self {
            Name::Inet(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                Name::Inet((ip, address.port()).into())
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Inet(address) => address.fmt(f),
            Name::Path(path) => path.escape_ascii().fmt(f),
            Name::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Name::Unnamed => f.write_str("(unnamed)"),
        }
    }
}
