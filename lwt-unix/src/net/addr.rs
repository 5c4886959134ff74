//! [`Addr`]: the address of a socket of any family.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;

use super::unix::Shown;
use crate::sys::addr::{Address, RawAddr};

/// The address of a socket of any family (`Unix.sockaddr`).
///
/// ```
/// use lwt_unix::net::Addr;
///
/// let address = Addr::from("127.0.0.1:80".parse::<std::net::SocketAddr>().unwrap());
/// assert_eq!(address.to_string(), "127.0.0.1:80");
/// assert!(address.inet().is_some() && address.unix().is_none());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Addr {
    /// An internet address and a port.
    Inet(SocketAddr),
    /// A path, an abstract name, or a Unix socket without a name.
    Unix(UnixAddr),
    /// No address: the peer of a pair, for one.
    Unnamed,
    /// The address of a family that is not known here, by the family's number.
    Other(i32),
}

impl Addr {
    /// The internet address, if it is one.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Addr::Inet(address) => Some(*address),
            _ => None,
        }
    }

    /// The Unix address, if it is one.
    pub fn unix(&self) -> Option<&UnixAddr> {
        match self {
            Addr::Unix(address) => Some(address),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Addr {
    fn from(address: SocketAddr) -> Addr {
        Addr::Inet(address)
    }
}

impl From<UnixAddr> for Addr {
    fn from(address: UnixAddr) -> Addr {
        Addr::Unix(address)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Inet(address) => address.fmt(f),
            Addr::Unix(address) => Shown(address).fmt(f),
            Addr::Unnamed => f.write_str("(unnamed)"),
            Addr::Other(family) => write!(f, "(an address of family {family})"),
        }
    }
}

impl Address for Addr {
    fn encode(&self) -> io::Result<RawAddr> {
        match self {
            Addr::Inet(address) => address.encode(),
            Addr::Unix(address) => address.encode(),
            Addr::Unnamed | Addr::Other(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "not an address to go to"))
            }
        }
    }

    fn decode(raw: &RawAddr) -> io::Result<Addr> {
        Ok(match raw.family() {
            libc::AF_INET | libc::AF_INET6 => Addr::Inet(SocketAddr::decode(raw)?),
            libc::AF_UNIX => Addr::Unix(UnixAddr::decode(raw)?),
            0 => Addr::Unnamed,
            other => Addr::Other(other),
        })
    }
}
