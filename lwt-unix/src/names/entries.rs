//! The entries of the data bases: hosts, services, protocols.

use std::net::IpAddr;

use lwt_core::Promise;

use super::{c_string, look_up};
use crate::sys::names::{self, Entry, Host, Trouble};

/// An entry of the host data base (`host_entry`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostEntry {
    /// The official name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Its addresses, of one family.
    pub addresses: Vec<IpAddr>,
}

/// An entry of the service data base (`service_entry`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceEntry {
    /// The official name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// The port.
    pub port: u16,
    /// The protocol, such as `"tcp"`.
    pub protocol: String,
}

/// An entry of the protocol data base (`protocol_entry`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProtocolEntry {
    /// The official name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// The number.
    pub number: i32,
}

/// The entry of a host (`gethostbyname`): its IPv4 addresses, or its IPv6 addresses if it has none.
///
/// [`getaddrinfo`](super::getaddrinfo) knows both at once, and in the order in which to try them.
///
/// ```
/// let entry = lwt_unix::run(lwt_unix::names::gethostbyname("127.0.0.1")).unwrap();
/// assert_eq!(entry.addresses, [std::net::IpAddr::from([127, 0, 0, 1])]);
/// ```
///
/// # Errors
/// [`NameError`](super::NameError); `Canceled`.
pub fn gethostbyname(name: &str) -> Promise<HostEntry> {
    let wanted = name.to_owned();
    look_up("gethostbyname", name.to_owned(), move || {
        let name = c_string(&wanted)?;
        match names::host_by_name(&name, libc::AF_INET) {
            Ok(host) => Ok(host.into()),
            // What the first has said is the more telling error.
            Err(Trouble::Code(code, cause)) => match names::host_by_name(&name, libc::AF_INET6) {
                Ok(host) => Ok(host.into()),
                Err(_) => Err(Trouble::Code(code, cause)),
            },
            Err(trouble) => Err(trouble),
        }
    })
}

/// The entry of the host that has an address (`gethostbyaddr`).
///
/// ```
/// let here = std::net::IpAddr::from([127, 0, 0, 1]);
/// // Whether there is a name depends on the machine.
/// match lwt_unix::run(lwt_unix::names::gethostbyaddr(here)) {
///     Ok(entry) => assert!(entry.addresses.contains(&here)),
///     Err(error) => assert!(lwt_unix::names::NameError::of(&error).is_some()),
/// }
/// ```
///
/// # Errors
/// [`NameError`](super::NameError), of the kind [`NotFound`](super::NameErrorKind::NotFound) when it has no
/// name; `Canceled`.
pub fn gethostbyaddr(address: IpAddr) -> Promise<HostEntry> {
    look_up("gethostbyaddr", address.to_string(), move || names::host_by_address(address).map(Into::into))
}

/// The entry of a service, for a protocol such as `"tcp"` (`getservbyname`).
///
/// ```
/// use lwt_unix::names::{NameError, getservbyname};
/// // Small systems have no such data base.
/// match lwt_unix::run(getservbyname("http", "tcp")) {
///     Ok(entry) => assert_eq!(entry.port, 80),
///     Err(error) => assert!(NameError::of(&error).is_some()),
/// }
/// ```
///
/// # Errors
/// [`NameError`](super::NameError), of the kind [`NotFound`](super::NameErrorKind::NotFound) when there is
/// none; `Canceled`.
pub fn getservbyname(name: &str, protocol: &str) -> Promise<ServiceEntry> {
    let (wanted, of) = (name.to_owned(), protocol.to_owned());
    look_up("getservbyname", format!("{name}/{protocol}"), move || {
        names::service_by_name(&c_string(&wanted)?, &c_string(&of)?).map(Into::into)
    })
}

/// The entry of the service at a port (`getservbyport`). Otherwise as [`getservbyname`].
///
/// # Errors
/// As [`getservbyname`].
pub fn getservbyport(port: u16, protocol: &str) -> Promise<ServiceEntry> {
    let of = protocol.to_owned();
    look_up("getservbyport", format!("{port}/{protocol}"), move || {
        names::service_by_port(port, &c_string(&of)?).map(Into::into)
    })
}

/// The entry of a protocol (`getprotobyname`).
///
/// ```
/// use lwt_unix::names::{NameError, getprotobyname};
/// // Small systems have no such data base.
/// match lwt_unix::run(getprotobyname("tcp")) {
///     Ok(entry) => assert_eq!(entry.number, 6),
///     Err(error) => assert!(NameError::of(&error).is_some()),
/// }
/// ```
///
/// # Errors
/// [`NameError`](super::NameError), of the kind [`NotFound`](super::NameErrorKind::NotFound) when there is
/// none; `ENOSYS` where the C library has no reentrant form of the call; `Canceled`.
pub fn getprotobyname(name: &str) -> Promise<ProtocolEntry> {
    let wanted = name.to_owned();
    look_up("getprotobyname", name.to_owned(), move || {
        names::protocol_by_name(&c_string(&wanted)?).map(Into::into)
    })
}

/// The entry of the protocol of that number (`getprotobynumber`). Otherwise as [`getprotobyname`].
///
/// # Errors
/// As [`getprotobyname`].
pub fn getprotobynumber(number: i32) -> Promise<ProtocolEntry> {
    look_up("getprotobynumber", number.to_string(), move || names::protocol_by_number(number).map(Into::into))
}

impl From<Host> for HostEntry {
    fn from(host: Host) -> HostEntry {
        HostEntry { name: host.name, aliases: host.aliases, addresses: host.addresses }
    }
}

impl From<Entry> for ServiceEntry {
    fn from(entry: Entry) -> ServiceEntry {
        let port = u16::try_from(entry.number).unwrap_or(0);
        ServiceEntry { name: entry.name, aliases: entry.aliases, port, protocol: entry.protocol }
    }
}

impl From<Entry> for ProtocolEntry {
    fn from(entry: Entry) -> ProtocolEntry {
        ProtocolEntry { name: entry.name, aliases: entry.aliases, number: entry.number }
    }
}
