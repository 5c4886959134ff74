//! The socket calls. Rules: see the head of [`sys`](crate::sys).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_void, socklen_t};

use super::addr::RawAddr;
use super::{NO_VECTOR, Room, count, hook, once, retry, sim, transfer, vector, vector_mut};

/// Set on every socket when it is made (rule 4 of the seam).
const FLAGS: c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

/// `socket`, non-blocking and close-on-exec.
pub(crate) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    if let Some(done) = sim::socket(domain, kind) {
        return done;
    }
    // SAFETY: the call takes integers only.
    let raw = retry("socket", || unsafe { libc::socket(domain, kind | FLAGS, protocol) })?;
    // SAFETY: the call succeeded, so the number is open, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// `socketpair`, both ends non-blocking and close-on-exec.
pub(crate) fn pair(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<(OwnedFd, OwnedFd)> {
    if let Some(done) = sim::pair(domain, kind) {
        return done;
    }
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two numbers.
    retry("socketpair", || unsafe { libc::socketpair(domain, kind | FLAGS, protocol, ends.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so both numbers are open, and nobody else knows them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// `bind`.
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &RawAddr) -> io::Result<()> {
    if let Some(done) = sim::bind(fd, address) {
        return done;
    }
    // SAFETY: pointer and length are those of one live address.
    retry("bind", || unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr(), address.len()) }).map(drop)
}

/// `listen`.
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: c_int) -> io::Result<()> {
    if let Some(done) = sim::listen(fd, backlog) {
        return done;
    }
    // SAFETY: the call takes integers only.
    retry("listen", || unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// `connect`, made once: `true` when the connection stands, `false` when it is being made in the background.
///
/// An interrupted `connect` goes on in the background too; making it again would only say `EALREADY`.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &RawAddr) -> io::Result<bool> {
    if let Some(done) = sim::connect(fd, address) {
        return done;
    }
    // SAFETY: pointer and length are those of one live address.
    match once("connect", || unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr(), address.len()) }) {
        Ok(_) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINPROGRESS | libc::EINTR) => Ok(false),
            _ => Err(error),
        },
    }
}

/// `accept4`: the new socket, non-blocking and close-on-exec, and the peer's address.
///
/// It waits if the listener's description is blocking; there is no flag against that.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddr)> {
    if let Some(done) = sim::accept(fd) {
        return done;
    }
    let mut peer = RawAddr::empty();
    let raw = retry("accept4", || {
        peer = RawAddr::empty();
        let (address, len) = peer.out();
        // SAFETY: both pointers go to one exclusively borrowed address, whose length field holds its
        // capacity.
        unsafe { libc::accept4(fd.as_raw_fd(), address, len, FLAGS) }
    })?;
    // SAFETY: the call succeeded, so the number is open, and nobody else knows it.
    Ok((unsafe { OwnedFd::from_raw_fd(raw) }, peer))
}

/// `shutdown`.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: c_int) -> io::Result<()> {
    if let Some(done) = sim::shutdown(fd, how) {
        return done;
    }
    // SAFETY: the call takes integers only.
    retry("shutdown", || unsafe { libc::shutdown(fd.as_raw_fd(), how) }).map(drop)
}

/// `getsockname`.
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<RawAddr> {
    if let Some(done) = sim::local_address(fd) {
        return done;
    }
    let mut local = RawAddr::empty();
    let (address, len) = local.out();
    // SAFETY: both pointers go to one exclusively borrowed address, whose length field holds its capacity.
    retry("getsockname", || unsafe { libc::getsockname(fd.as_raw_fd(), address, len) })?;
    Ok(local)
}

/// `getpeername`.
pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<RawAddr> {
    if let Some(done) = sim::peer_address(fd) {
        return done;
    }
    let mut peer = RawAddr::empty();
    let (address, len) = peer.out();
    // SAFETY: both pointers go to one exclusively borrowed address, whose length field holds its capacity.
    retry("getpeername", || unsafe { libc::getpeername(fd.as_raw_fd(), address, len) })?;
    Ok(peer)
}

/// `recv`.
#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, room: &Room<'_>, flags: c_int) -> io::Result<usize> {
    if hook::hooked()
        && let Some(done) = sim::read("recv", fd, room, flags)
    {
        return done.map(|heard| heard.bytes);
    }
    transfer("recv", fd, room.len, |len| {
        // SAFETY: a room's start and length are those of one exclusive borrow; `len` is no greater.
        unsafe { libc::recv(fd.as_raw_fd(), room.start.cast(), len, flags) }
    })
}

/// `send`, without a signal when the peer is gone.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8], flags: c_int) -> io::Result<usize> {
    if hook::hooked()
        && let Some(done) = sim::write("send", fd, buf, None, flags)
    {
        return done;
    }
    let flags = flags | libc::MSG_NOSIGNAL;
    transfer("send", fd, buf.len(), |len| {
        // SAFETY: pointer and length are those of one live borrow; `len` is no greater.
        unsafe { libc::send(fd.as_raw_fd(), buf.as_ptr().cast(), len, flags) }
    })
}

/// `recvfrom`: the count and where it came from.
pub(crate) fn recv_from(fd: BorrowedFd<'_>, room: &Room<'_>, flags: c_int) -> io::Result<(usize, RawAddr)> {
    if let Some(done) = sim::read("recvfrom", fd, room, flags) {
        return done.map(|heard| (heard.bytes, heard.from));
    }
    let mut source = RawAddr::empty();
    let received = retry("recvfrom", || {
        source = RawAddr::empty();
        let (address, len) = source.out();
        // SAFETY: the room is one exclusive borrow; the other pointers go to one exclusively borrowed
        // address.
        unsafe { libc::recvfrom(fd.as_raw_fd(), room.start.cast(), room.len, flags, address, len) }
    })?;
    Ok((count(received), source))
}

/// `sendto`, without a signal when the peer is gone.
pub(crate) fn send_to(fd: BorrowedFd<'_>, buf: &[u8], to: &RawAddr, flags: c_int) -> io::Result<usize> {
    if let Some(done) = sim::write("sendto", fd, buf, Some(to), flags) {
        return done;
    }
    let flags = flags | libc::MSG_NOSIGNAL;
    retry("sendto", || {
        // SAFETY: each pointer goes with the length of the live borrow that it was made from.
        unsafe { libc::sendto(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), flags, to.as_ptr(), to.len()) }
    })
    .map(count)
}

/// `sendmsg` over at most [`MAX_SLICES`] buffers, without a signal when the peer is gone.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], flags: c_int) -> io::Result<usize> {
    if let Some(done) = sim::writev("sendmsg", fd, bufs, None, flags) {
        return done;
    }
    let mut front = NO_VECTOR;
    let (start, slices) = vector("sendmsg", fd, bufs, &mut front);
    let mut message = empty_message();
    message.msg_iov = start.cast_mut();
    message.msg_iovlen = slices as _;
    // SAFETY: the vector has the layout of `iovec` by guarantee, is live and not longer than the slice;
    // `sendmsg` only reads.
    retry("sendmsg", || unsafe { libc::sendmsg(fd.as_raw_fd(), &message, flags | libc::MSG_NOSIGNAL) })
        .map(count)
}

/// `recvmsg` over at most [`MAX_SLICES`] buffers, without room for ancillary data: the count, and whether
/// there was some.
///
/// Descriptors that came with the bytes are closed by the kernel. On a Unix stream such bytes end a message
/// even when more are waiting, so a short count says "nothing left" only when the flag is false.
pub(crate) fn recv_vectored(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    flags: c_int,
) -> io::Result<(usize, bool)> {
    if let Some(done) = sim::readv("recvmsg", fd, bufs, flags) {
        return done.map(|heard| (heard.bytes, false));
    }
    let mut front = NO_VECTOR;
    let (start, slices) = vector_mut("recvmsg", fd, bufs, &mut front);
    // SAFETY: `IoSliceMut` is guaranteed to have the layout of `iovec`, and the borrow is live and exclusive.
    unsafe { receive(fd, start, slices, flags) }
}

/// [`recv_vectored`] into one buffer.
#[inline]
pub(crate) fn recv_noting_ancillary(
    fd: BorrowedFd<'_>,
    room: &Room<'_>,
    flags: c_int,
) -> io::Result<(usize, bool)> {
    if hook::hooked()
        && let Some(done) = sim::read("recvmsg", fd, room, flags)
    {
        return done.map(|heard| (heard.bytes, false));
    }
    let len = if hook::hooked() { hook::cut("recvmsg", fd, room.len) } else { room.len };
    let mut slice = libc::iovec { iov_base: room.start.cast(), iov_len: len };
    // SAFETY: one vector, with a room's start and no more than its length: those of one exclusive borrow.
    unsafe { receive(fd, &mut slice, 1, flags) }
}

/// # Safety
/// `slices` must point to `count` vectors that may be written through.
unsafe fn receive(
    fd: BorrowedFd<'_>,
    slices: *mut libc::iovec,
    slice_count: usize,
    flags: c_int,
) -> io::Result<(usize, bool)> {
    let mut message = empty_message();
    message.msg_iov = slices;
    message.msg_iovlen = slice_count as _;
    let received = retry("recvmsg", || {
        message.msg_flags = 0;
        // SAFETY: the caller vouches for the vectors; the rest of the header is empty.
        unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, flags | libc::MSG_CMSG_CLOEXEC) }
    })?;
    Ok((count(received), message.msg_flags & libc::MSG_CTRUNC != 0))
}

fn empty_message() -> libc::msghdr {
    // SAFETY: all zeroes is a valid, empty message header.
    unsafe { mem::zeroed() }
}

/// The C types that options carry: plain structures and integers, valid for every bit pattern.
///
/// # Safety
/// All zeroes and whatever the kernel writes must be valid values, and there may be no padding whose reading
/// matters.
pub(crate) unsafe trait Carried: Copy {}
// SAFETY: an integer.
unsafe impl Carried for c_int {}
// SAFETY: two integers.
unsafe impl Carried for libc::linger {}
// SAFETY: two integers.
unsafe impl Carried for libc::timeval {}
// SAFETY: three integers.
unsafe impl Carried for libc::ucred {}
// SAFETY: an address, which is an integer.
unsafe impl Carried for libc::in_addr {}
// SAFETY: two addresses and an interface index, all integers.
unsafe impl Carried for libc::ip_mreqn {}
// SAFETY: an address of bytes and an interface index.
unsafe impl Carried for libc::ipv6_mreq {}

/// `getsockopt`.
pub(crate) fn option<T: Carried>(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    if let Some(done) = sim::option(fd, level, name) {
        let bytes = done?;
        let len = bytes.len().min(size_of::<T>());
        // SAFETY: the value has room for that many bytes, and is exclusively ours.
        unsafe { value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), len) };
        // SAFETY: zeroed, then written over by bytes, as the kernel does; `Carried` allows it.
        return Ok(unsafe { value.assume_init() });
    }
    let mut len = size_of::<T>() as socklen_t;
    retry("getsockopt", || {
        // SAFETY: the value has room for `len` bytes and is exclusively ours.
        unsafe {
            libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast::<c_void>(), &raw mut len)
        }
    })?;
    // SAFETY: zeroed, then written by the kernel, both of which `Carried` allows.
    Ok(unsafe { value.assume_init() })
}

/// `setsockopt`.
pub(crate) fn set_option<T: Carried>(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: T,
) -> io::Result<()> {
    let start = (&raw const value).cast::<u8>();
    // SAFETY: the bytes of a live value of a type without padding that matters (`Carried`).
    let bytes = || unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec();
    if let Some(done) = sim::set_option(fd, level, name, bytes) {
        return done;
    }
    retry("setsockopt", || {
        // SAFETY: pointer and length are those of one live value.
        unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                level,
                name,
                (&raw const value).cast::<c_void>(),
                size_of::<T>() as socklen_t,
            )
        }
    })
    .map(drop)
}
