//! Messages over Unix sockets, each with at most one descriptor.
//!
//! 1. Pointers given to the kernel are those of live values with their sizes. The calls are made under the
//!    plan of faults in force, by their own names ([`lwt_unix::faults`]); `EINTR` never leaves this file.
//! 2. A descriptor that comes is owned at once, close-on-exec, whatever the rest of the message is like.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use lwt_unix::faults;

/// Room for a control message with one descriptor.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends a message, with at most one descriptor.
///
/// # Errors
/// `EPIPE` and `ECONNRESET` if there is nobody at the other end; `WouldBlock`, unless `wait` or the socket is
/// one that waits; `EMSGSIZE`; `ETOOMANYREFS`.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fd: Option<BorrowedFd<'_>>,
    wait: bool,
) -> io::Result<()> {
    let mut control = Control([0; 64]);
    // SAFETY: all zeroes are an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // An `IoSlice` is laid out as an `iovec`.
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    if let Some(fd) = fd {
        message.msg_control = control.0.as_mut_ptr().cast();
        let size = size_of::<RawFd>() as u32;
        // SAFETY: the control buffer is aligned for its header and has room for it and one descriptor.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd.as_raw_fd());
        }
    }
    let flags = libc::MSG_NOSIGNAL | if wait { 0 } else { libc::MSG_DONTWAIT };
    faults::call("sendmsg", || {
        // SAFETY: what the message points to is alive.
        done(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) })
    })?;
    Ok(())
}

/// What a message has brought beside its bytes.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) file: Option<OwnedFd>,
    /// It was longer than the buffer, or had more descriptors.
    pub(crate) cut: bool,
}

/// Receives a message into a buffer, in place of what is there, as far as the buffer's capacity goes. No
/// bytes: the other end is closed.
///
/// # Errors
/// `ECONNRESET`; `EMFILE` if it had a descriptor and this process can have no more; `WouldBlock`, unless
/// `wait` or the socket is one that waits.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut Vec<u8>, wait: bool) -> io::Result<Came> {
    buffer.clear();
    let room = buffer.spare_capacity_mut();
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all zeroes are an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: an integer only.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    let bytes = faults::call("recvmsg", || {
        // SAFETY: what the message points to is alive, and has the room that it says.
        done(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })
    })?;
    // SAFETY: the kernel has written so many, and no more than there is room for.
    unsafe { buffer.set_len(bytes) };
    let mut files = Vec::new();
    // SAFETY: the kernel has filled the control buffer and set its length; each descriptor in it is ours.
    // Room for one may be room for two, where the header's alignment leaves some.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS
        {
            let size = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            for index in 0..size / size_of::<RawFd>() {
                let fd = libc::CMSG_DATA(header).cast::<RawFd>().add(index).read_unaligned();
                files.push(OwnedFd::from_raw_fd(fd));
            }
        }
    }
    let lost = message.msg_flags & libc::MSG_CTRUNC != 0;
    if lost && files.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    let cut = lost || message.msg_flags & libc::MSG_TRUNC != 0 || files.len() > 1;
    Ok(Came { file: files.pop(), cut })
}

fn done(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}
