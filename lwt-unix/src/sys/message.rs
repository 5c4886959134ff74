//! `sendmsg` and `recvmsg` with what travels beside the bytes: descriptors and credentials. Rules: see the
//! head of [`sys`](crate::sys).
//!
//! Rules of its own:
//! 1. Every descriptor that a message brought is owned before anything else is looked at, so that none leaks,
//!    whatever the rest of the message is like. Those that did not fit the kernel has closed (`MSG_CTRUNC`).
//! 2. The memory for control data is [`Control`]: aligned as its headers are, zeroed when it is made, and its
//!    used length never exceeds it. Headers are walked by the system's macros over what `msg_controllen`
//!    says.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, cmsghdr, msghdr, ucred};

use super::addr::RawAddr;
use super::{NO_VECTOR, count, retry, sim, vector, vector_mut};

/// The most descriptors that the kernel takes in one message.
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// A message of a socket that somebody has set `SO_PASSPIDFD` on brings its sender's process, opened.
const SCM_PIDFD: c_int = 4;

/// Memory for control data: room for one message with all that we know of.
#[repr(C, align(16))]
struct Control {
    bytes: [u8; SIZE],
}

/// Enough for [`MOST_DESCRIPTORS`] descriptors and one set of credentials, with their headers and gaps.
const SIZE: usize = 1280;

const _: () = {
    assert!(align_of::<cmsghdr>() <= 16);
    // SAFETY: arithmetic.
    let needed = unsafe {
        libc::CMSG_SPACE((MOST_DESCRIPTORS * size_of::<RawFd>()) as _)
            + libc::CMSG_SPACE(size_of::<ucred>() as _)
    };
    assert!(needed as usize <= SIZE);
};

/// What a message brings beside its bytes.
pub(crate) struct Incoming {
    /// How many bytes it has brought.
    pub(crate) bytes: usize,
    /// What `msg_flags` says.
    pub(crate) flags: c_int,
    /// Who has sent it, where sockets of this kind tell.
    pub(crate) source: RawAddr,
    /// The descriptors, close-on-exec.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// The sender's credentials, when the socket asks for them.
    pub(crate) credentials: Option<ucred>,
}

/// What is sent beside the bytes.
#[derive(Default)]
pub(crate) struct Beside<'a> {
    /// Where to, unless the socket has a peer.
    pub(crate) to: Option<&'a RawAddr>,
    /// At most [`MOST_DESCRIPTORS`].
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
    /// The credentials to be shown; the kernel checks them.
    pub(crate) credentials: Option<ucred>,
}

/// `sendmsg` over at most [`MAX_SLICES`](super::MAX_SLICES) buffers, without a signal when the peer is gone.
///
/// More descriptors than the kernel takes are `EINVAL`.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    beside: &Beside<'_>,
    flags: c_int,
) -> io::Result<usize> {
    if beside.descriptors.len() > MOST_DESCRIPTORS {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let plain = beside.descriptors.is_empty() && beside.credentials.is_none();
    let simulated = || {
        if plain { sim::writev("sendmsg", fd, bufs, beside.to, flags) } else { sim::refused("sendmsg", fd) }
    };
    if let Some(done) = simulated() {
        return done;
    }
    let mut control = Control { bytes: [0; SIZE] };
    let mut header = empty();
    let mut front = NO_VECTOR;
    let (start, slices) = vector("sendmsg", fd, bufs, &mut front);
    header.msg_iov = start.cast_mut();
    header.msg_iovlen = slices as _;
    if let Some(to) = beside.to {
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
    }
    let mut used = 0;
    if !beside.descriptors.is_empty() {
        let numbers: Vec<RawFd> = beside.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        // SAFETY: integers.
        used += unsafe { append(&mut control, used, libc::SCM_RIGHTS, &numbers) };
    }
    if let Some(credentials) = beside.credentials {
        // SAFETY: a structure of integers.
        used += unsafe { append(&mut control, used, libc::SCM_CREDENTIALS, &[credentials]) };
    }
    if used > 0 {
        header.msg_control = control.bytes.as_mut_ptr().cast();
        header.msg_controllen = used as _;
    }
    // SAFETY: `sendmsg` only reads; vectors, address and control data are live for as long as their lengths
    // say.
    retry("sendmsg", || unsafe { libc::sendmsg(fd.as_raw_fd(), &header, flags | libc::MSG_NOSIGNAL) })
        .map(count)
}

/// Writes one header with its data behind the `used` bytes of `control`; how many bytes it takes.
///
/// # Safety
/// `T` has no padding. It must fit: see the assertion at [`SIZE`].
unsafe fn append<T: Copy>(control: &mut Control, used: usize, kind: c_int, data: &[T]) -> usize {
    let len = size_of_val(data);
    // SAFETY: arithmetic.
    let (space, total) = unsafe { (libc::CMSG_SPACE(len as _) as usize, libc::CMSG_LEN(len as _)) };
    let place = &mut control.bytes[used..used + space];
    let header: *mut cmsghdr = place.as_mut_ptr().cast();
    // SAFETY: `used` is a sum of `CMSG_SPACE`s, so the header is aligned; `place` has room for it and the
    // data, of which `data` has `len` bytes.
    unsafe {
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = total as _;
        ptr::copy_nonoverlapping(data.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), len);
    }
    space
}

/// `recvmsg` over at most [`MAX_SLICES`](super::MAX_SLICES) buffers, with room for at most `descriptors`
/// descriptors. Those that come are close-on-exec.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    descriptors: usize,
    flags: c_int,
) -> io::Result<Incoming> {
    if let Some(done) = sim::readv("recvmsg", fd, bufs, flags) {
        let sim::Heard { bytes, from: source, truncated } = done?;
        let flags = if truncated { libc::MSG_TRUNC } else { 0 };
        return Ok(Incoming { bytes, flags, source, descriptors: Vec::new(), credentials: None });
    }
    let mut control = Control { bytes: [0; SIZE] };
    let mut source = RawAddr::empty();
    let mut header = empty();
    let rights = descriptors.min(MOST_DESCRIPTORS) * size_of::<RawFd>();
    // SAFETY: arithmetic.
    let room = unsafe {
        let rights = if rights == 0 { 0 } else { libc::CMSG_SPACE(rights as _) };
        rights + libc::CMSG_SPACE(size_of::<ucred>() as _)
    };
    let mut front = NO_VECTOR;
    let (start, slices) = vector_mut("recvmsg", fd, bufs, &mut front);
    let received = retry("recvmsg", || {
        source = RawAddr::empty();
        let (name, len) = source.out();
        header.msg_name = name.cast();
        // SAFETY: the pointer goes to the length that `source` was made with.
        header.msg_namelen = unsafe { *len };
        header.msg_iov = start;
        header.msg_iovlen = slices as _;
        header.msg_control = control.bytes.as_mut_ptr().cast();
        header.msg_controllen = room as _;
        header.msg_flags = 0;
        // SAFETY: vectors, address and control data are exclusively borrowed for as long as their lengths
        // say.
        unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, flags | libc::MSG_CMSG_CLOEXEC) }
    })?;
    // SAFETY: the call succeeded, so the header describes what it has written into `control`; this is the
    // only look at it.
    let (mut owned, credentials) = unsafe { unpack(&header) };
    source.set_len(header.msg_namelen);
    let mut flags = header.msg_flags;
    if owned.len() > descriptors {
        // They came where credentials would have.
        owned.truncate(descriptors);
        flags |= libc::MSG_CTRUNC;
    }
    Ok(Incoming { bytes: count(received), flags, source, descriptors: owned, credentials })
}

/// Takes over what the control data of a received message holds.
///
/// # Safety
/// `header` was filled by a successful `recvmsg`, its control data is alive, and nobody has taken its
/// descriptors.
unsafe fn unpack(header: &msghdr) -> (Vec<OwnedFd>, Option<ucred>) {
    let (mut owned, mut credentials) = (Vec::new(), None);
    // SAFETY: the macros stay inside of `msg_controllen`; data is read unaligned and only as far as
    // `cmsg_len` covers it.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            let len = ((*at).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = libc::CMSG_DATA(at);
            match ((*at).cmsg_level, (*at).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for index in 0..len / size_of::<RawFd>() {
                        let raw = ptr::read_unaligned(data.cast::<RawFd>().add(index));
                        owned.push(OwnedFd::from_raw_fd(raw));
                    }
                }
                (libc::SOL_SOCKET, SCM_PIDFD) if len >= size_of::<RawFd>() => {
                    // Nobody has asked for it.
                    drop(OwnedFd::from_raw_fd(ptr::read_unaligned(data.cast::<RawFd>())));
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if len >= size_of::<ucred>() => {
                    credentials = Some(ptr::read_unaligned(data.cast::<ucred>()));
                }
                _ => {}
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
    (owned, credentials)
}

fn empty() -> msghdr {
    // SAFETY: all zeroes is a valid, empty message header.
    unsafe { mem::zeroed() }
}
