//! The resolver: host names, services and protocols. Rules: see the head of [`sys`](crate::sys).
//!
//! These are calls of the C library that may take long, so job threads make them; and only those of them that
//! keep their results in memory of the caller's.
//!
//! Rules of its own:
//! 1. Each asks the seam first, so that a test can make it fail ([`Trouble::System`]), and is made outside of
//!    it: these calls return codes ([`Trouble::Code`]), and `errno` says nothing about most of them.
//! 2. What the library returns by pointers is copied before the memory behind it goes.

use std::ffi::{CStr, c_char};
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use libc::{addrinfo, c_int, hostent, servent, size_t, socklen_t};

use super::addr::RawAddr;
use super::retry;

// The reentrant forms, which both C libraries of Linux have.
unsafe extern "C" {
    fn gethostbyname2_r(
        name: *const c_char,
        family: c_int,
        entry: *mut hostent,
        memory: *mut c_char,
        len: size_t,
        found: *mut *mut hostent,
        trouble: *mut c_int,
    ) -> c_int;
    fn gethostbyaddr_r(
        address: *const libc::c_void,
        address_len: socklen_t,
        family: c_int,
        entry: *mut hostent,
        memory: *mut c_char,
        len: size_t,
        found: *mut *mut hostent,
        trouble: *mut c_int,
    ) -> c_int;
    fn getservbyname_r(
        name: *const c_char,
        protocol: *const c_char,
        entry: *mut servent,
        memory: *mut c_char,
        len: size_t,
        found: *mut *mut servent,
    ) -> c_int;
    fn getservbyport_r(
        port: c_int,
        protocol: *const c_char,
        entry: *mut servent,
        memory: *mut c_char,
        len: size_t,
        found: *mut *mut servent,
    ) -> c_int;
}

/// The name is known, but has nothing of what is looked for. (A number that both C libraries of Linux share.)
pub(crate) const EAI_NODATA: c_int = -5;

/// Why a look-up has failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A code of `getaddrinfo` (`EAI_…`), and `errno` where that code says so.
    Code(c_int, Option<io::Error>),
    /// A number of the system's.
    System(io::Error),
}

/// Asks the seam: see rule 1.
fn passes(name: &'static str) -> Result<(), Trouble> {
    retry(name, || 0).map(drop).map_err(Trouble::System)
}

/// Makes a call that returns 0 or a code.
fn coded(name: &'static str, call: impl FnOnce() -> c_int) -> Result<(), Trouble> {
    passes(name)?;
    match call() {
        0 => Ok(()),
        libc::EAI_SYSTEM => Err(Trouble::Code(libc::EAI_SYSTEM, Some(io::Error::last_os_error()))),
        code => Err(Trouble::Code(code, None)),
    }
}

/// The text of a code.
pub(crate) fn message(code: c_int) -> String {
    // SAFETY: the call returns a string that is never changed or freed, for any number.
    let text = unsafe { libc::gai_strerror(code) };
    if text.is_null() {
        return format!("resolver error {code}");
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// One address that `getaddrinfo` has found.
pub(crate) struct Found {
    pub(crate) family: c_int,
    pub(crate) kind: c_int,
    pub(crate) protocol: c_int,
    pub(crate) address: RawAddr,
    pub(crate) canonical: Option<String>,
}

/// What to look for: flags, family, type and protocol; 0 for any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hints {
    pub(crate) flags: c_int,
    pub(crate) family: c_int,
    pub(crate) kind: c_int,
    pub(crate) protocol: c_int,
}

/// `getaddrinfo`.
pub(crate) fn addresses(
    host: Option<&CStr>,
    service: Option<&CStr>,
    hints: Hints,
) -> Result<Vec<Found>, Trouble> {
    // SAFETY: all zeroes is a valid value of the plain C structure.
    let mut wanted: addrinfo = unsafe { mem::zeroed() };
    wanted.ai_flags = hints.flags;
    wanted.ai_family = hints.family;
    wanted.ai_socktype = hints.kind;
    wanted.ai_protocol = hints.protocol;
    let mut list: *mut addrinfo = ptr::null_mut();
    coded("getaddrinfo", || {
        let (host, service) =
            (host.map_or(ptr::null(), CStr::as_ptr), service.map_or(ptr::null(), CStr::as_ptr));
        // SAFETY: the strings are null or live, the hints are live, and the list is ours.
        unsafe { libc::getaddrinfo(host, service, &wanted, &mut list) }
    })?;
    let mut found = Vec::new();
    let mut at = list;
    while !at.is_null() {
        // SAFETY: an entry of a list that is not freed yet.
        let entry = unsafe { &*at };
        // SAFETY: the library gives each address with its length.
        let address = unsafe { RawAddr::copy(entry.ai_addr, entry.ai_addrlen) };
        let (family, kind, protocol) = (entry.ai_family, entry.ai_socktype, entry.ai_protocol);
        // SAFETY: null, or a string of the list.
        let canonical = unsafe { text(entry.ai_canonname) };
        found.push(Found { family, kind, protocol, address, canonical });
        at = entry.ai_next;
    }
    if !list.is_null() {
        // SAFETY: the list comes from `getaddrinfo`, and nothing of it is used any more.
        unsafe { libc::freeaddrinfo(list) };
    }
    Ok(found)
}

/// `getnameinfo`: the name of the host, and that of the service.
pub(crate) fn names(address: &RawAddr, flags: c_int) -> Result<(String, String), Trouble> {
    // What the manual gives as the greatest lengths.
    let (mut host, mut service) = ([0 as c_char; 1025], [0 as c_char; 32]);
    coded("getnameinfo", || {
        // SAFETY: each pointer goes with the length of a live array; the address is live.
        unsafe {
            libc::getnameinfo(
                address.as_ptr(),
                address.len(),
                host.as_mut_ptr(),
                host.len() as _,
                service.as_mut_ptr(),
                service.len() as _,
                flags,
            )
        }
    })?;
    // SAFETY: the call succeeded, so both arrays hold strings with their zero bytes.
    Ok(unsafe { (text(host.as_ptr()).unwrap_or_default(), text(service.as_ptr()).unwrap_or_default()) })
}

/// `gethostname`.
pub(crate) fn host_name() -> io::Result<String> {
    let mut name = [0_u8; 256];
    // SAFETY: the array has room for its length; the last byte stays zero.
    retry("gethostname", || unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) })?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..end]).into_owned())
}

/// An entry of the host data base.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// `gethostbyname2_r`, for one family of addresses.
pub(crate) fn host_by_name(name: &CStr, family: c_int) -> Result<Host, Trouble> {
    host("gethostbyname", |entry, memory, len, found, trouble| {
        // SAFETY: the name is a live string; the rest is what the closure was given.
        unsafe { gethostbyname2_r(name.as_ptr(), family, entry, memory, len, found, trouble) }
    })
}

/// `gethostbyaddr_r`.
pub(crate) fn host_by_address(address: IpAddr) -> Result<Host, Trouble> {
    let (bytes, family) = match address {
        IpAddr::V4(v4) => (v4.octets().to_vec(), libc::AF_INET),
        IpAddr::V6(v6) => (v6.octets().to_vec(), libc::AF_INET6),
    };
    host("gethostbyaddr", |entry, memory, len, found, trouble| {
        let (start, size) = (bytes.as_ptr().cast(), bytes.len() as socklen_t);
        // SAFETY: the address has the length of its family; the rest is what the closure was given.
        unsafe { gethostbyaddr_r(start, size, family, entry, memory, len, found, trouble) }
    })
}

/// The codes of the older calls, as those of `getaddrinfo`; or the number of the system's, where that is the
/// trouble.
fn newer(trouble: c_int, number: c_int) -> Trouble {
    const NETDB_INTERNAL: c_int = -1;
    const HOST_NOT_FOUND: c_int = 1;
    const TRY_AGAIN: c_int = 2;
    const NO_DATA: c_int = 4;
    let code = match trouble {
        _ if number == libc::ERANGE => return system(number),
        NETDB_INTERNAL if number > 0 => return system(number),
        HOST_NOT_FOUND => libc::EAI_NONAME,
        TRY_AGAIN => libc::EAI_AGAIN,
        NO_DATA => EAI_NODATA,
        _ => libc::EAI_FAIL,
    };
    Trouble::Code(code, None)
}

/// A number of the system's.
fn system(number: c_int) -> Trouble {
    Trouble::System(io::Error::from_raw_os_error(number))
}

fn host(
    name: &'static str,
    mut call: impl FnMut(*mut hostent, *mut c_char, size_t, *mut *mut hostent, *mut c_int) -> c_int,
) -> Result<Host, Trouble> {
    with_memory(name, |memory| {
        // SAFETY: all zeroes is a valid value of the plain C structure.
        let mut entry: hostent = unsafe { mem::zeroed() };
        let (mut found, mut trouble) = (ptr::null_mut(), 0);
        let number = call(&mut entry, memory.as_mut_ptr(), memory.len(), &mut found, &mut trouble);
        if number != 0 || found.is_null() {
            return Err(newer(trouble, number));
        }
        let addresses = {
            // SAFETY: a list that ends with null, of addresses of the entry's length, in `memory`.
            let raw = unsafe { list(entry.h_addr_list) };
            let size = usize::try_from(entry.h_length).unwrap_or(0);
            // SAFETY: as above.
            raw.into_iter().filter_map(|at| unsafe { ip(at, size) }).collect()
        };
        // SAFETY: a string, and a list of strings that ends with null, in `memory` or static.
        let (name, aliases) = unsafe { (text(entry.h_name), texts(entry.h_aliases)) };
        Ok(Host { name: name.unwrap_or_default(), aliases, addresses })
    })
}

/// An entry of the data base of services or protocols: name, other names, number (of a service: its port),
/// protocol.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) number: c_int,
    pub(crate) protocol: String,
}

/// `getservbyname_r`.
pub(crate) fn service_by_name(name: &CStr, protocol: &CStr) -> Result<Entry, Trouble> {
    service("getservbyname", |entry, memory, len, found| {
        // SAFETY: the strings are live; the rest is what the closure was given.
        unsafe { getservbyname_r(name.as_ptr(), protocol.as_ptr(), entry, memory, len, found) }
    })
}

/// `getservbyport_r`.
pub(crate) fn service_by_port(port: u16, protocol: &CStr) -> Result<Entry, Trouble> {
    let port = c_int::from(port.to_be());
    service("getservbyport", |entry, memory, len, found| {
        // SAFETY: the string is live; the rest is what the closure was given.
        unsafe { getservbyport_r(port, protocol.as_ptr(), entry, memory, len, found) }
    })
}

fn service(
    name: &'static str,
    call: impl FnMut(*mut servent, *mut c_char, size_t, *mut *mut servent) -> c_int,
) -> Result<Entry, Trouble> {
    let read = |entry: &servent| {
        // SAFETY: strings, and a list of strings that ends with null, in the memory of the call.
        let (name, aliases, protocol) =
            unsafe { (text(entry.s_name), texts(entry.s_aliases), text(entry.s_proto)) };
        let number = c_int::from(u16::from_be(entry.s_port as u16));
        Entry { name: name.unwrap_or_default(), aliases, number, protocol: protocol.unwrap_or_default() }
    };
    // SAFETY: a plain C structure.
    unsafe { found(name, call, read) }
}

/// What `call` finds: it fills an entry, whose strings lie in the memory that it is given, and that `read`
/// copies.
///
/// # Safety
/// All zeroes are a value of `T`, and so is what `call` makes of it.
unsafe fn found<T>(
    name: &'static str,
    mut call: impl FnMut(*mut T, *mut c_char, size_t, *mut *mut T) -> c_int,
    read: impl Fn(&T) -> Entry,
) -> Result<Entry, Trouble> {
    with_memory(name, |memory| {
        let mut entry = MaybeUninit::zeroed();
        let mut found = ptr::null_mut();
        let number = call(entry.as_mut_ptr(), memory.as_mut_ptr(), memory.len(), &mut found);
        if number != 0 || found.is_null() {
            return Err(absent(number));
        }
        // SAFETY: the caller's word.
        Ok(read(unsafe { entry.assume_init_ref() }))
    })
}

#[cfg(target_env = "gnu")]
mod protocols {
    use libc::protoent;

    use super::*;

    unsafe extern "C" {
        fn getprotobyname_r(
            name: *const c_char,
            entry: *mut protoent,
            memory: *mut c_char,
            len: size_t,
            found: *mut *mut protoent,
        ) -> c_int;
        fn getprotobynumber_r(
            number: c_int,
            entry: *mut protoent,
            memory: *mut c_char,
            len: size_t,
            found: *mut *mut protoent,
        ) -> c_int;
    }

    /// `getprotobyname_r`.
    pub(crate) fn protocol_by_name(name: &CStr) -> Result<Entry, Trouble> {
        protocol("getprotobyname", |entry, memory, len, found| {
            // SAFETY: the string is live; the rest is what the closure was given.
            unsafe { getprotobyname_r(name.as_ptr(), entry, memory, len, found) }
        })
    }

    /// `getprotobynumber_r`.
    pub(crate) fn protocol_by_number(number: c_int) -> Result<Entry, Trouble> {
        protocol("getprotobynumber", |entry, memory, len, found| {
            // SAFETY: what the closure was given.
            unsafe { getprotobynumber_r(number, entry, memory, len, found) }
        })
    }

    fn protocol(
        name: &'static str,
        call: impl FnMut(*mut protoent, *mut c_char, size_t, *mut *mut protoent) -> c_int,
    ) -> Result<Entry, Trouble> {
        let read = |entry: &protoent| {
            // SAFETY: a string, and a list of strings that ends with null, in the memory of the call.
            let (name, aliases) = unsafe { (text(entry.p_name), texts(entry.p_aliases)) };
            let name = name.unwrap_or_default();
            Entry { name, aliases, number: entry.p_proto, protocol: String::new() }
        };
        // SAFETY: a plain C structure.
        unsafe { found(name, call, read) }
    }
}

#[cfg(not(target_env = "gnu"))]
mod protocols {
    use super::*;

    /// This C library has no reentrant form.
    pub(crate) fn protocol_by_name(_: &CStr) -> Result<Entry, Trouble> {
        Err(Trouble::System(io::Error::from_raw_os_error(libc::ENOSYS)))
    }

    /// This C library has no reentrant form.
    pub(crate) fn protocol_by_number(_: c_int) -> Result<Entry, Trouble> {
        Err(Trouble::System(io::Error::from_raw_os_error(libc::ENOSYS)))
    }
}

pub(crate) use protocols::{protocol_by_name, protocol_by_number};

/// What a look-up in a data base says when there is nothing: a number of the system's, or that there is no
/// such name.
fn absent(number: c_int) -> Trouble {
    match number {
        0 | libc::ENOENT => Trouble::Code(libc::EAI_NONAME, None),
        number => system(number),
    }
}

/// Makes a call with memory for its result, more and more of it, as long as it says `ERANGE`.
fn with_memory<T>(
    name: &'static str,
    mut call: impl FnMut(&mut [c_char]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    /// More than any entry has a reason to take.
    const MOST: usize = 1 << 20;
    passes(name)?;
    let mut memory = vec![0 as c_char; 1024];
    loop {
        match call(&mut memory) {
            Err(Trouble::System(error))
                if error.raw_os_error() == Some(libc::ERANGE) && memory.len() < MOST =>
            {
                let len = memory.len() * 2;
                memory.resize(len, 0);
            }
            done => return done,
        }
    }
}

/// # Safety
/// `at` is null or a live string with its zero byte.
unsafe fn text(at: *const c_char) -> Option<String> {
    // SAFETY: the caller's word.
    (!at.is_null()).then(|| unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned())
}

/// # Safety
/// `at` is null or a live array of pointers that ends with null.
unsafe fn list(at: *mut *mut c_char) -> Vec<*mut c_char> {
    let mut all = Vec::new();
    if at.is_null() {
        return all;
    }
    // SAFETY: the caller's word: nothing is read behind the null.
    unsafe {
        let mut at = at;
        while !(*at).is_null() {
            all.push(*at);
            at = at.add(1);
        }
    }
    all
}

/// # Safety
/// As of [`list`], with live strings in it.
unsafe fn texts(at: *mut *mut c_char) -> Vec<String> {
    // SAFETY: the caller's word.
    unsafe { list(at).into_iter().filter_map(|at| text(at)).collect() }
}

/// # Safety
/// `at` goes to `size` live bytes.
unsafe fn ip(at: *const c_char, size: usize) -> Option<IpAddr> {
    match size {
        4 => {
            // SAFETY: the caller's word.
            let octets: [u8; 4] = unsafe { ptr::read_unaligned(at.cast()) };
            Some(Ipv4Addr::from(octets).into())
        }
        16 => {
            // SAFETY: the caller's word.
            let octets: [u8; 16] = unsafe { ptr::read_unaligned(at.cast()) };
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}
