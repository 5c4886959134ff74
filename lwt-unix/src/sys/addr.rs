//! Socket addresses between the standard library's types and the kernel's.
//!
//! Rules:
//! 1. A [`RawAddr`] is always a zeroed `sockaddr_storage` of which the first `len` bytes count; the family
//!    field is read only when `len` covers it, so that an address of length zero (an unnamed peer) is
//!    harmless.
//! 2. Decoding copies field by field and never trusts a length that the kernel reports to be inside the
//!    storage: it is clamped first.

use std::io;
use std::mem::{self, offset_of, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::Path;

use libc::{
    c_int, sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t,
};

/// An address in the kernel's form.
#[derive(Clone, Copy)]
pub(crate) struct RawAddr {
    storage: sockaddr_storage,
    len: socklen_t,
}

/// The address types that a socket of ours can have.
pub(crate) trait Address: Sized {
    /// The kernel's form, or `InvalidInput` when it has none (a path that is too long).
    fn encode(&self) -> io::Result<RawAddr>;
    /// Reads the kernel's form; `InvalidData` when it is of another family. What has no form here, though it
    /// is of the right family, is unnamed.
    fn decode(raw: &RawAddr) -> io::Result<Self>;
}

impl RawAddr {
    /// Room for an address that a call is to fill.
    pub(crate) fn empty() -> RawAddr {
        // SAFETY: all zeroes is a valid value of the plain C structure.
        RawAddr { storage: unsafe { mem::zeroed() }, len: size_of::<sockaddr_storage>() as socklen_t }
    }

    /// Copies an address of the C library's.
    ///
    /// # Safety
    /// `at` is null or goes to `len` live bytes.
    pub(crate) unsafe fn copy(at: *const sockaddr, len: socklen_t) -> RawAddr {
        let mut raw = RawAddr::empty();
        let len = if at.is_null() { 0 } else { (len as usize).min(size_of::<sockaddr_storage>()) };
        // SAFETY: the caller's word for the one side; the other is ours, and `len` is inside of it.
        unsafe { std::ptr::copy_nonoverlapping(at.cast::<u8>(), (&raw mut raw.storage).cast::<u8>(), len) };
        raw.len = len as socklen_t;
        raw
    }

    /// The address as the calls that take one want it.
    pub(crate) fn as_ptr(&self) -> *const sockaddr {
        (&raw const self.storage).cast()
    }

    /// How many bytes of it count.
    pub(crate) fn len(&self) -> socklen_t {
        self.len
    }

    /// Notes how many bytes a call has written.
    pub(crate) fn set_len(&mut self, len: socklen_t) {
        self.len = len;
    }

    /// Where a call puts an address, and where it puts its length.
    pub(crate) fn out(&mut self) -> (*mut sockaddr, *mut socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.len)
    }

    /// The address family, 0 for an address without one.
    pub(crate) fn family(&self) -> c_int {
        if self.used() < size_of::<sa_family_t>() { 0 } else { c_int::from(self.storage.ss_family) }
    }

    fn used(&self) -> usize {
        (self.len as usize).min(size_of::<sockaddr_storage>())
    }

    /// Views the storage as one of the family's structures.
    fn view<T: Plain>(&self) -> &T {
        // SAFETY: `T` is a plain C structure of the sockaddr family (see `Plain`): not larger than the
        // storage, aligned no more strictly, valid for every bit pattern, and the storage is fully
        // initialised (rule 1).
        unsafe { &*(&raw const self.storage).cast::<T>() }
    }

    fn store<T: Plain>(value: &T, len: usize) -> RawAddr {
        let mut raw = RawAddr::empty();
        // SAFETY: as in `view`; the destination is exclusively ours.
        unsafe { (&raw mut raw.storage).cast::<T>().write(*value) };
        raw.len = len as socklen_t;
        raw
    }
}

/// The structures that may overlay a `sockaddr_storage`; the assertions below are what makes the overlay
/// sound.
trait Plain: Copy {}
impl Plain for sockaddr_in {}
impl Plain for sockaddr_in6 {}
impl Plain for sockaddr_un {}

const _: () = {
    assert!(size_of::<sockaddr_in>() <= size_of::<sockaddr_storage>());
    assert!(size_of::<sockaddr_in6>() <= size_of::<sockaddr_storage>());
    assert!(size_of::<sockaddr_un>() <= size_of::<sockaddr_storage>());
    assert!(align_of::<sockaddr_in>() <= align_of::<sockaddr_storage>());
    assert!(align_of::<sockaddr_in6>() <= align_of::<sockaddr_storage>());
    assert!(align_of::<sockaddr_un>() <= align_of::<sockaddr_storage>());
};

impl Address for SocketAddr {
    fn encode(&self) -> io::Result<RawAddr> {
        Ok(match self {
            SocketAddr::V4(v4) => RawAddr::store(
                &sockaddr_in {
                    sin_family: libc::AF_INET as sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                },
                size_of::<sockaddr_in>(),
            ),
            SocketAddr::V6(v6) => RawAddr::store(
                &sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                },
                size_of::<sockaddr_in6>(),
            ),
        })
    }

    fn decode(raw: &RawAddr) -> io::Result<SocketAddr> {
        match raw.family() {
            libc::AF_INET if raw.used() >= size_of::<sockaddr_in>() => {
                let v4 = raw.view::<sockaddr_in>();
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Ok(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 if raw.used() >= size_of::<sockaddr_in6>() => {
                let v6 = raw.view::<sockaddr_in6>();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not an internet address")),
        }
    }
}

/// Where the name starts inside a `sockaddr_un`.
const NAME: usize = offset_of!(sockaddr_un, sun_path);

impl Address for UnixAddr {
    fn encode(&self) -> io::Result<RawAddr> {
        // SAFETY: all zeroes is a valid value of the plain C structure.
        let mut un: sockaddr_un = unsafe { mem::zeroed() };
        un.sun_family = libc::AF_UNIX as sa_family_t;
        // A path ends with a zero byte, which `zeroed` has put there; an abstract name starts with one and
        // has its length.
        let (start, name, len) = if let Some(path) = self.as_pathname() {
            let name = path.as_os_str().as_bytes();
            (0, name, NAME + name.len() + 1)
        } else if let Some(name) = self.as_abstract_name() {
            (1, name, NAME + 1 + name.len())
        } else {
            (0, &[][..], NAME)
        };
        if len > size_of::<sockaddr_un>() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name is too long for a Unix socket",
            ));
        }
        for (slot, byte) in un.sun_path[start..].iter_mut().zip(name) {
            *slot = *byte as libc::c_char;
        }
        Ok(RawAddr::store(&un, len))
    }

    fn decode(raw: &RawAddr) -> io::Result<UnixAddr> {
        if raw.used() > NAME && raw.family() != libc::AF_UNIX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not the address of a Unix socket"));
        }
        let un = raw.view::<sockaddr_un>();
        let used = raw.used().clamp(NAME, size_of::<sockaddr_un>()) - NAME;
        let name: Vec<u8> = un.sun_path[..used].iter().map(|byte| *byte as u8).collect();
        match name.split_first() {
            None => UnixAddr::from_pathname(Path::new("")),
            Some((0, name)) => UnixAddr::from_abstract_name(name),
            Some(_) => {
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                // The kernel takes a path that fills the structure, with no room for its zero byte. The
                // standard library's type does not; and a peer must not decide whether `accept` succeeds.
                let end = if end == un.sun_path.len() { 0 } else { end };
                UnixAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(&name[..end])))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<A: Address>(address: &A) -> A {
        A::decode(&address.encode().expect("encodes")).expect("decodes")
    }

    #[test]
    fn internet_addresses_survive() {
        for text in ["127.0.0.1:80", "0.0.0.0:0", "255.1.2.3:65535", "[::1]:443", "[fe80::1%7]:9"] {
            let address: SocketAddr = text.parse().expect("an address");
            assert_eq!(round_trip(&address), address);
        }
    }

    #[test]
    fn unix_names_survive() {
        let path = UnixAddr::from_pathname("/some/where").expect("a path");
        assert_eq!(round_trip(&path).as_pathname(), Some(Path::new("/some/where")));
        let name = UnixAddr::from_abstract_name(b"a\0b").expect("a name");
        assert_eq!(round_trip(&name).as_abstract_name(), Some(&b"a\0b"[..]));
        let long = "x".repeat(107);
        let longest = UnixAddr::from_pathname(&long).expect("a path of the greatest length");
        assert_eq!(round_trip(&longest).as_pathname(), Some(Path::new(&long)));
        let mut full = longest.encode().expect("encodes");
        full.len = size_of::<sockaddr_un>() as socklen_t;
        // SAFETY: a byte inside of the storage, behind the longest path that has its zero byte.
        unsafe { (&raw mut full.storage).cast::<u8>().add(NAME + 107).write(b'y') };
        assert!(UnixAddr::decode(&full).expect("decodes").is_unnamed());
        let unnamed = UnixAddr::from_pathname("").expect("no name");
        assert!(round_trip(&unnamed).is_unnamed());
    }

    #[test]
    fn a_foreign_family_is_refused() {
        let unix = UnixAddr::from_pathname("/p").expect("a path").encode().expect("encodes");
        assert!(SocketAddr::decode(&unix).is_err());
        let inet = "1.2.3.4:5".parse::<SocketAddr>().expect("an address").encode().expect("encodes");
        assert!(UnixAddr::decode(&inet).is_err());
    }
}
