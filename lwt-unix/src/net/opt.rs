//! Typed socket options: each is a type, its value has the type that it means.
//!
//! ```
//! use std::time::Duration;
//! use lwt_unix::net::{UdpSocket, opt};
//!
//! # fn main() -> Result<(), lwt_core::Error> {
//! let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
//! socket.fd().set_option::<opt::Broadcast>(true)?;
//! assert!(socket.fd().option::<opt::Broadcast>()?);
//! # Ok(())
//! # }
//! ```
//!
//! The table at the end of the file is the list of them: documentation, name, value, level, number.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use libc::c_int;
use lwt_core::Error;

use crate::fd::{During, Fd};
use crate::sys::socket::{self, Carried};

mod sealed {
    pub trait Sealed {}
}

/// An option of sockets that can be read (`getsockopt`). The types of this module implement it.
pub trait SocketOption: sealed::Sealed {
    /// The type of its value.
    type Value;
    /// The name that the system's manual has for it.
    const NAME: &'static str;
    #[doc(hidden)]
    fn get(fd: BorrowedFd<'_>) -> io::Result<Self::Value>;
}

/// An option of sockets that can also be set (`setsockopt`).
pub trait SettableOption: SocketOption {
    #[doc(hidden)]
    fn set(fd: BorrowedFd<'_>, value: Self::Value) -> io::Result<()>;
}

impl Fd {
    /// Reads an option of the socket (`getsockopt`, `getsockopt_int`, `getsockopt_optint`,
    /// `getsockopt_float`).
    ///
    /// # Errors
    /// `ENOTSOCK` on another kind of descriptor, `ENOPROTOOPT` where the socket does not have the option,
    /// `EBADF` when closed.
    pub fn option<O: SocketOption>(&self) -> Result<O::Value, Error> {
        self.with_on("getsockopt", O::NAME, O::get)
    }

    /// Sets an option of the socket (`setsockopt`, `setsockopt_int`, `setsockopt_optint`,
    /// `setsockopt_float`).
    ///
    /// # Errors
    /// As [`option`](Fd::option); `InvalidInput` when the value does not fit the system's type.
    pub fn set_option<O: SettableOption>(&self, value: O::Value) -> Result<(), Error> {
        self.with_on("setsockopt", O::NAME, |fd| O::set(fd, value))
    }
}

/// Sets an option of a socket that is not an [`Fd`] yet.
pub(crate) fn set<O: SettableOption>(fd: BorrowedFd<'_>, value: O::Value) -> Result<(), Error> {
    O::set(fd, value).during_on("setsockopt", O::NAME)
}

/// The credentials of the process at the other end of a Unix socket, as they were when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// The process, when the system tells it.
    pub pid: Option<u32>,
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
}

impl Credentials {
    /// From the kernel's form.
    pub(super) fn of(raw: libc::ucred) -> Credentials {
        Credentials::decode(raw)
    }

    /// The kernel's form.
    pub(super) fn raw(self) -> io::Result<libc::ucred> {
        self.encode()
    }
}

/// How a value travels through the system calls.
trait Coded: Sized {
    type Raw: Carried;
    fn decode(raw: Self::Raw) -> Self;
    fn encode(self) -> io::Result<Self::Raw>;
}

impl Coded for bool {
    type Raw = c_int;
    fn decode(raw: c_int) -> bool {
        raw != 0
    }
    fn encode(self) -> io::Result<c_int> {
        Ok(c_int::from(self))
    }
}

impl Coded for u32 {
    type Raw = c_int;
    fn decode(raw: c_int) -> u32 {
        u32::try_from(raw).unwrap_or(0)
    }
    fn encode(self) -> io::Result<c_int> {
        c_int::try_from(self).map_err(|_| too_large())
    }
}

/// Whole seconds; a part of a second counts as one, so that no time is shorter than asked for.
struct Seconds(Duration);
/// Whole milliseconds, rounded up alike.
struct Millis(Duration);

impl Coded for Seconds {
    type Raw = c_int;
    fn decode(raw: c_int) -> Seconds {
        Seconds(Duration::from_secs(u64::try_from(raw).unwrap_or(0)))
    }
    fn encode(self) -> io::Result<c_int> {
        let whole = self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() != 0));
        c_int::try_from(whole).map_err(|_| too_large())
    }
}

impl Coded for Millis {
    type Raw = c_int;
    fn decode(raw: c_int) -> Millis {
        Millis(Duration::from_millis(u64::try_from(raw).unwrap_or(0)))
    }
    fn encode(self) -> io::Result<c_int> {
        c_int::try_from(self.0.as_nanos().div_ceil(1_000_000)).map_err(|_| too_large())
    }
}

impl From<Seconds> for Duration {
    fn from(value: Seconds) -> Duration {
        value.0
    }
}
impl From<Duration> for Seconds {
    fn from(value: Duration) -> Seconds {
        Seconds(value)
    }
}
impl From<Millis> for Duration {
    fn from(value: Millis) -> Duration {
        value.0
    }
}
impl From<Duration> for Millis {
    fn from(value: Duration) -> Millis {
        Millis(value)
    }
}

impl Coded for Ipv4Addr {
    type Raw = libc::in_addr;
    fn decode(raw: libc::in_addr) -> Ipv4Addr {
        Ipv4Addr::from(raw.s_addr.to_ne_bytes())
    }
    fn encode(self) -> io::Result<libc::in_addr> {
        Ok(libc::in_addr { s_addr: u32::from_ne_bytes(self.octets()) })
    }
}

impl Coded for Option<Duration> {
    type Raw = libc::linger;
    fn decode(raw: libc::linger) -> Option<Duration> {
        (raw.l_onoff != 0).then(|| Seconds::decode(raw.l_linger).0)
    }
    fn encode(self) -> io::Result<libc::linger> {
        Ok(match self {
            None => libc::linger { l_onoff: 0, l_linger: 0 },
            Some(time) => libc::linger { l_onoff: 1, l_linger: Seconds(time).encode()? },
        })
    }
}

/// A limit of time, of which zero means that there is none.
struct Limit(Option<Duration>);

impl Coded for Limit {
    type Raw = libc::timeval;
    fn decode(raw: libc::timeval) -> Limit {
        let time = Duration::from_secs(u64::try_from(raw.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(raw.tv_usec).unwrap_or(0));
        Limit((!time.is_zero()).then_some(time))
    }
    fn encode(self) -> io::Result<libc::timeval> {
        let Some(time) = self.0 else { return Ok(libc::timeval { tv_sec: 0, tv_usec: 0 }) };
        // Rounded up, so that a limit above zero never means that there is none.
        let micros = time.as_nanos().div_ceil(1000).max(1);
        let seconds = libc::time_t::try_from(micros / 1_000_000).map_err(|_| too_large())?;
        Ok(libc::timeval { tv_sec: seconds, tv_usec: (micros % 1_000_000) as libc::suseconds_t })
    }
}

impl From<Limit> for Option<Duration> {
    fn from(value: Limit) -> Option<Duration> {
        value.0
    }
}
impl From<Option<Duration>> for Limit {
    fn from(value: Option<Duration>) -> Limit {
        Limit(value)
    }
}

impl Coded for Option<io::Error> {
    type Raw = c_int;
    fn decode(raw: c_int) -> Option<io::Error> {
        (raw != 0).then(|| io::Error::from_raw_os_error(raw))
    }
    fn encode(self) -> io::Result<c_int> {
        Ok(self.and_then(|error| error.raw_os_error()).unwrap_or(0))
    }
}

impl Coded for Credentials {
    type Raw = libc::ucred;
    fn decode(raw: libc::ucred) -> Credentials {
        Credentials { pid: u32::try_from(raw.pid).ok().filter(|pid| *pid != 0), uid: raw.uid, gid: raw.gid }
    }
    fn encode(self) -> io::Result<libc::ucred> {
        let pid = libc::pid_t::try_from(self.pid.unwrap_or(0)).map_err(|_| too_large())?;
        Ok(libc::ucred { pid, uid: self.uid, gid: self.gid })
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the value is too large for the system's type")
}

macro_rules! options {
    ($(
        $(#[$doc:meta])*
        $name:ident: $value:ty $(as $code:ty)?, $level:ident $number:ident, $access:ident;
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl sealed::Sealed for $name {}

        impl SocketOption for $name {
            type Value = $value;
            const NAME: &'static str = stringify!($number);
            fn get(fd: BorrowedFd<'_>) -> io::Result<$value> {
                let raw = socket::option(fd, libc::$level, libc::$number)?;
                Ok(<options!(@code $value $(, $code)?) as Coded>::decode(raw).into())
            }
        }

        options!(@set $access, $name, $value, options!(@code $value $(, $code)?), $level, $number);
    )*};
    (@code $value:ty) => { $value };
    (@code $value:ty, $code:ty) => { $code };
    (@set read, $($rest:tt)*) => {};
    (@set write, $name:ident, $value:ty, $code:ty, $level:ident, $number:ident) => {
        impl SettableOption for $name {
            fn set(fd: BorrowedFd<'_>, value: $value) -> io::Result<()> {
                socket::set_option(fd, libc::$level, libc::$number, <$code>::from(value).encode()?)
            }
        }
    };
}

options! {
    /// Small segments are sent at once instead of being gathered (`TCP_NODELAY`).
    NoDelay: bool, IPPROTO_TCP TCP_NODELAY, write;
    /// Nothing but full segments is sent until it is switched off, or for 200 ms (`TCP_CORK`).
    Cork: bool, IPPROTO_TCP TCP_CORK, write;
    /// Acknowledgements are sent at once; the system resets it as it sees fit (`TCP_QUICKACK`).
    QuickAck: bool, IPPROTO_TCP TCP_QUICKACK, write;
    /// How long sent data may stay unacknowledged before the connection is given up; 0 for the system's
    /// default (`TCP_USER_TIMEOUT`).
    UserTimeout: Duration as Millis, IPPROTO_TCP TCP_USER_TIMEOUT, write;
    /// A silent peer is probed from time to time, so that its death is noticed (`SO_KEEPALIVE`).
    KeepAlive: bool, SOL_SOCKET SO_KEEPALIVE, write;
    /// How long a connection is silent before the first probe (`TCP_KEEPIDLE`).
    KeepAliveIdle: Duration as Seconds, IPPROTO_TCP TCP_KEEPIDLE, write;
    /// The time between two probes (`TCP_KEEPINTVL`).
    KeepAliveInterval: Duration as Seconds, IPPROTO_TCP TCP_KEEPINTVL, write;
    /// After so many unanswered probes the connection is given up (`TCP_KEEPCNT`).
    KeepAliveCount: u32, IPPROTO_TCP TCP_KEEPCNT, write;
    /// How many times the opening segment is sent again before `connect` times out (`TCP_SYNCNT`).
    ConnectRetries: u32, IPPROTO_TCP TCP_SYNCNT, write;
    /// What closing does with data that is not sent yet (`SO_LINGER`). `None`, the default: it is sent in the
    /// background. `Some(0)`: it is thrown away and the peer gets a reset. A longer time makes the close
    /// *block the thread* for up to that long, also on a non-blocking socket; do not use it on a loop's
    /// thread.
    Linger: Option<Duration>, SOL_SOCKET SO_LINGER, write;
    /// The address may be bound while old connections of it are still in their final wait (`SO_REUSEADDR`).
    ReuseAddress: bool, SOL_SOCKET SO_REUSEADDR, write;
    /// Several sockets may be bound to the address, and share what arrives (`SO_REUSEPORT`).
    ReusePort: bool, SOL_SOCKET SO_REUSEPORT, write;
    /// An IPv6 socket takes no IPv4 peers (`IPV6_V6ONLY`).
    V6Only: bool, IPPROTO_IPV6 IPV6_V6ONLY, write;
    /// The size of the send buffer in bytes; the system keeps twice what was set (`SO_SNDBUF`).
    SendBuffer: u32, SOL_SOCKET SO_SNDBUF, write;
    /// The size of the receive buffer in bytes; the system keeps twice what was set (`SO_RCVBUF`).
    ReceiveBuffer: u32, SOL_SOCKET SO_RCVBUF, write;
    /// Datagrams may be sent to broadcast addresses (`SO_BROADCAST`).
    Broadcast: bool, SOL_SOCKET SO_BROADCAST, write;
    /// How many hops a packet may make (`IP_TTL`).
    Ttl: u32, IPPROTO_IP IP_TTL, write;
    /// The service class of packets (`IP_TOS`).
    TypeOfService: u32, IPPROTO_IP IP_TOS, write;
    /// Own multicast packets come back to this machine (`IP_MULTICAST_LOOP`; `mcast_set_loop`).
    MulticastLoop: bool, IPPROTO_IP IP_MULTICAST_LOOP, write;
    /// How many hops a multicast packet may make (`IP_MULTICAST_TTL`; `mcast_set_ttl`).
    MulticastTtl: u32, IPPROTO_IP IP_MULTICAST_TTL, write;
    /// The interface, by one of its addresses, that multicast packets leave by; `0.0.0.0` for the system's
    /// choice (`IP_MULTICAST_IF`).
    MulticastInterface: Ipv4Addr, IPPROTO_IP IP_MULTICAST_IF, write;
    /// As [`MulticastTtl`], for IPv6 (`IPV6_MULTICAST_HOPS`).
    MulticastHopsV6: u32, IPPROTO_IPV6 IPV6_MULTICAST_HOPS, write;
    /// As [`MulticastInterface`], for IPv6, by the interface's index; 0 for the system's choice
    /// (`IPV6_MULTICAST_IF`).
    MulticastInterfaceV6: u32, IPPROTO_IPV6 IPV6_MULTICAST_IF, write;
    /// As [`Ttl`], for IPv6 (`IPV6_UNICAST_HOPS`).
    HopsV6: u32, IPPROTO_IPV6 IPV6_UNICAST_HOPS, write;
    /// How long a *blocking* receive waits; `None` for ever (`SO_RCVTIMEO`). Operations of this crate do not
    /// block, so it concerns whoever else uses the socket; they have [`with_timeout`](crate::with_timeout).
    ReceiveTimeout: Option<Duration> as Limit, SOL_SOCKET SO_RCVTIMEO, write;
    /// As [`ReceiveTimeout`], for sending (`SO_SNDTIMEO`).
    SendTimeout: Option<Duration> as Limit, SOL_SOCKET SO_SNDTIMEO, write;
    /// How many bytes have to be there before a stream socket is ready to be read (`SO_RCVLOWAT`).
    ReceiveLowWater: u32, SOL_SOCKET SO_RCVLOWAT, write;
    /// How much room there has to be before a socket is ready to be written; fixed on Linux (`SO_SNDLOWAT`).
    SendLowWater: u32, SOL_SOCKET SO_SNDLOWAT, write;
    /// The protocol's debugging is on; for the super-user (`SO_DEBUG`).
    ProtocolDebug: bool, SOL_SOCKET SO_DEBUG, write;
    /// Packets go to directly connected hosts only (`SO_DONTROUTE`).
    DontRoute: bool, SOL_SOCKET SO_DONTROUTE, write;
    /// Urgent data is received in its place in the stream (`SO_OOBINLINE`).
    OutOfBandInline: bool, SOL_SOCKET SO_OOBINLINE, write;
    /// Messages on a Unix socket bring their sender's credentials (`SO_PASSCRED`): see
    /// [`Received::credentials`].
    ///
    /// [`Received::credentials`]: super::Received::credentials
    PassCredentials: bool, SOL_SOCKET SO_PASSCRED, write;
    /// The type of the socket, by its number (`SO_TYPE`).
    SocketType: u32, SOL_SOCKET SO_TYPE, read;
    /// The address family of the socket, by its number (`SO_DOMAIN`).
    SocketDomain: u32, SOL_SOCKET SO_DOMAIN, read;
    /// The protocol of the socket, by its number (`SO_PROTOCOL`).
    SocketProtocol: u32, SOL_SOCKET SO_PROTOCOL, read;
    /// As [`MulticastLoop`], for IPv6 (`IPV6_MULTICAST_LOOP`).
    MulticastLoopV6: bool, IPPROTO_IPV6 IPV6_MULTICAST_LOOP, write;
    /// The error that waits to be reported; reading takes it away (`SO_ERROR`; `getsockopt_error`).
    PendingError: Option<io::Error>, SOL_SOCKET SO_ERROR, read;
    /// Whether the socket listens (`SO_ACCEPTCONN`).
    Listening: bool, SOL_SOCKET SO_ACCEPTCONN, read;
    /// Who is at the other end of a Unix socket (`SO_PEERCRED`; `get_credentials`).
    PeerCredentials: Credentials, SOL_SOCKET SO_PEERCRED, read;
}
