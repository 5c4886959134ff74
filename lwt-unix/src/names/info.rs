//! From names to addresses and back: [`getaddrinfo`] and [`getnameinfo`].

use std::net::SocketAddr;
use std::ops::BitOr;

use lwt_core::Promise;

use super::{c_string, look_up};
use crate::fd::During;
use crate::net::{Addr, Domain, Type};
use crate::sys::addr::Address;
use crate::sys::names::{self, EAI_NODATA, Trouble};

/// What [`getaddrinfo`] is to look for (`getaddrinfo_option`); by default everything.
///
/// ```
/// use lwt_unix::names::Hints;
/// use lwt_unix::net::{Domain, Type};
///
/// let hints = Hints::new().family(Domain::V4).socket_type(Type::Stream).passive();
/// # let _ = hints;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints(names::Hints);

impl Hints {
    /// Everything.
    pub fn new() -> Hints {
        Hints::default()
    }

    /// Addresses of this family only (`AI_FAMILY`).
    pub fn family(mut self, family: Domain) -> Hints {
        self.0.family = family.raw();
        self
    }

    /// Sockets of this type only (`AI_SOCKTYPE`).
    pub fn socket_type(mut self, kind: Type) -> Hints {
        self.0.kind = kind.raw();
        self
    }

    /// Sockets of this protocol only (`AI_PROTOCOL`).
    pub fn protocol(mut self, protocol: i32) -> Hints {
        self.0.protocol = protocol;
        self
    }

    /// The host is an address already, and nobody is asked (`AI_NUMERICHOST`).
    pub fn numeric_host(self) -> Hints {
        self.with(libc::AI_NUMERICHOST)
    }

    /// The service is a number already (`AI_NUMERICSERV`).
    pub fn numeric_service(self) -> Hints {
        self.with(libc::AI_NUMERICSERV)
    }

    /// The official name of the host is wanted, too (`AI_CANONNAME`).
    pub fn canonical_name(self) -> Hints {
        self.with(libc::AI_CANONNAME)
    }

    /// An empty host means all addresses of this machine, to listen at, and not the loopback (`AI_PASSIVE`).
    pub fn passive(self) -> Hints {
        self.with(libc::AI_PASSIVE)
    }

    /// Only families that this machine has an address of (`AI_ADDRCONFIG`).
    pub fn configured(self) -> Hints {
        self.with(libc::AI_ADDRCONFIG)
    }

    /// IPv4 addresses in the form of IPv6, if the host has no others (`AI_V4MAPPED`).
    pub fn v4_mapped(self) -> Hints {
        self.with(libc::AI_V4MAPPED)
    }

    fn with(mut self, flag: i32) -> Hints {
        self.0.flags |= flag;
        self
    }
}

/// One way to reach a host (`addr_info`).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AddrInfo {
    /// The family, for [`Socket::new`](crate::net::Socket::new).
    pub family: Domain,
    /// The type; `None` for one that is not known here.
    pub socket_type: Option<Type>,
    /// The protocol, by its number.
    pub protocol: i32,
    /// The address.
    pub address: Addr,
    /// The official name of the host, in the first result, if it was asked for.
    pub canonical_name: Option<String>,
}

/// Looks up how to reach a service of a host (`getaddrinfo`), in the order in which to try it.
///
/// The service is a name or a number, or empty for port 0; the host a name or an address, or empty for this
/// machine. A host that is known and has no address of the kind that is asked for gives an empty list. (Lwt
/// gives an empty list for every error.)
///
/// ```
/// use lwt_unix::names::{Hints, getaddrinfo};
/// use lwt_unix::net::Type;
///
/// let hints = Hints::new().numeric_host().socket_type(Type::Stream);
/// let found = lwt_unix::run(getaddrinfo("::1", "80", hints)).unwrap();
/// assert_eq!(found[0].address.to_string(), "[::1]:80");
/// ```
///
/// # Errors
/// [`NameError`](super::NameError); `Canceled`.
pub fn getaddrinfo(host: &str, service: &str, hints: Hints) -> Promise<Vec<AddrInfo>> {
    let subject = match service {
        "" => host.to_owned(),
        service => format!("{host}:{service}"),
    };
    let (host, service) = (host.to_owned(), service.to_owned());
    look_up("getaddrinfo", subject, move || {
        // Neither of them is an error to the library; to ask for nothing is no use, but harmless.
        let service = if host.is_empty() && service.is_empty() { "0" } else { service.as_str() };
        // The C library cuts a number that is too large, and finds another port.
        if service.bytes().all(|byte| byte.is_ascii_digit())
            && !service.is_empty()
            && service.parse::<u16>().is_err()
        {
            return Err(Trouble::Code(libc::EAI_SERVICE, None));
        }
        let named = |name: &str| if name.is_empty() { Ok(None) } else { c_string(name).map(Some) };
        let (host, service) = (named(&host)?, named(service)?);
        match names::addresses(host.as_deref(), service.as_deref(), hints.0) {
            Ok(found) => found.into_iter().map(info).collect(),
            Err(Trouble::Code(EAI_NODATA, _)) => Ok(Vec::new()),
            Err(trouble) => Err(trouble),
        }
    })
}

fn info(found: names::Found) -> Result<AddrInfo, Trouble> {
    Ok(AddrInfo {
        family: Domain::of(found.family),
        socket_type: Type::of(found.kind),
        protocol: found.protocol,
        address: Addr::decode(&found.address).map_err(Trouble::System)?,
        canonical_name: found.canonical,
    })
}

/// How [`getnameinfo`] is to answer (`getnameinfo_option`). Joined by `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NameFlags(i32);

impl NameFlags {
    /// Names where there are any, numbers elsewhere.
    pub const NONE: NameFlags = NameFlags(0);
    /// Hosts of the local domain without the domain (`NI_NOFQDN`).
    pub const NO_DOMAIN: NameFlags = NameFlags(libc::NI_NOFQDN);
    /// The host as a number (`NI_NUMERICHOST`).
    pub const NUMERIC_HOST: NameFlags = NameFlags(libc::NI_NUMERICHOST);
    /// A host without a name is an error (`NI_NAMEREQD`).
    pub const NAME_REQUIRED: NameFlags = NameFlags(libc::NI_NAMEREQD);
    /// The service as a number (`NI_NUMERICSERV`).
    pub const NUMERIC_SERVICE: NameFlags = NameFlags(libc::NI_NUMERICSERV);
    /// The service is one of datagrams (`NI_DGRAM`).
    pub const DATAGRAM: NameFlags = NameFlags(libc::NI_DGRAM);
}

impl BitOr for NameFlags {
    type Output = NameFlags;
    fn bitor(self, other: NameFlags) -> NameFlags {
        NameFlags(self.0 | other.0)
    }
}

/// The names of an address (`name_info`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameInfo {
    /// The host.
    pub host: String,
    /// The service.
    pub service: String,
}

/// Looks up the names that belong to an address and its port (`getnameinfo`).
///
/// ```
/// use lwt_unix::names::{NameFlags, getnameinfo};
///
/// let address = "127.0.0.1:80".parse().unwrap();
/// let flags = NameFlags::NUMERIC_HOST | NameFlags::NUMERIC_SERVICE;
/// let names = lwt_unix::run(getnameinfo(address, flags)).unwrap();
/// assert_eq!((names.host.as_str(), names.service.as_str()), ("127.0.0.1", "80"));
/// ```
///
/// # Errors
/// [`NameError`](super::NameError), of the kind [`NotFound`](super::NameErrorKind::NotFound) with
/// [`NameFlags::NAME_REQUIRED`] for a host without a name; `Canceled`.
pub fn getnameinfo(address: SocketAddr, flags: NameFlags) -> Promise<NameInfo> {
    let raw = match address.encode().during_on("getnameinfo", address) {
        Ok(raw) => raw,
        Err(error) => return Promise::fail(error),
    };
    look_up("getnameinfo", address.to_string(), move || {
        names::names(&raw, flags.0).map(|(host, service)| NameInfo { host, service })
    })
}
