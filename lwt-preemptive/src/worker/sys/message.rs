//! The system calls of workers: sockets that keep the edges of messages, and files in memory.
//!
//! 1. As in the file above.
//! 2. A [`Mapping`] is of a file that nobody can change or shorten any more, so its bytes may be referred to.

use std::ffi::CStr;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

use libc::{c_int, c_void};

use super::retry;

/// Two connected sockets of messages, which block.
///
/// # Errors
/// `EMFILE` and the like.
pub(in crate::worker) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the two integers are written.
    retry(|| unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) })?;
    // SAFETY: the call has made them, for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) })
}

/// Ends both directions of a connection: what has come can still be received, and then the end.
pub(in crate::worker) fn shutdown(socket: BorrowedFd<'_>) {
    // If it is over already, so much the better.
    // SAFETY: integers only.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Room for a control message with one descriptor.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends a message, with at most one descriptor.
///
/// # Errors
/// `EPIPE` and `ECONNRESET` if there is nobody at the other end; `WouldBlock`, unless `wait` or the socket is
/// one that waits; `EMSGSIZE`; `ETOOMANYREFS`.
pub(in crate::worker) fn send(
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
    // SAFETY: what the message points to is alive.
    retry(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) })?;
    Ok(())
}

/// What a message has brought beside its bytes.
#[derive(Debug)]
pub(in crate::worker) struct Came {
    pub(in crate::worker) file: Option<OwnedFd>,
    /// It was longer than the buffer, or had more descriptors.
    pub(in crate::worker) cut: bool,
}

/// Receives a message into a buffer, in place of what is there, as far as the buffer's capacity goes. No
/// bytes: the other end is closed.
///
/// # Errors
/// `ECONNRESET`; `EMFILE` if it had a descriptor and this process can have no more; `WouldBlock`, unless
/// `wait` or the socket is one that waits.
pub(in crate::worker) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    wait: bool,
) -> io::Result<Came> {
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
    // SAFETY: what the message points to is alive, and has the room that it says.
    let bytes = retry(|| unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) })?;
    // SAFETY: the kernel has written so many, and no more than there is room for.
    unsafe { buffer.set_len(bytes.unsigned_abs()) };
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

const SEALS: c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;

/// A file without a name that has these bytes, for ever.
///
/// # Errors
/// `ENOSPC`, `ENOMEM`, `EMFILE` and the like.
pub(in crate::worker) fn sealed_file(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    use std::io::Write;

    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name ends with a zero.
    let fd = retry(|| unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the call has made it, for us.
    let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(bytes)?;
    // SAFETY: integers only.
    retry(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
    Ok(file.into())
}

/// The bytes of a [sealed](sealed_file) file.
pub(in crate::worker) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps all of the file.
    ///
    /// # Errors
    /// `InvalidData` for one that somebody could still change; the system's.
    pub(in crate::worker) fn of(file: &OwnedFd) -> io::Result<Mapping> {
        let file = file.as_raw_fd();
        // SAFETY: integers only.
        let seals = retry(|| unsafe { libc::fcntl(file, libc::F_GET_SEALS) });
        if seals.ok().is_none_or(|seals| seals & SEALS != SEALS) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: all zeroes are a valid `stat`, which the call fills.
        let len = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            retry(|| libc::fstat(file, &raw mut stat))?;
            usize::try_from(stat.st_size).map_err(|_| io::ErrorKind::InvalidData)?
        };
        if len == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: the kernel chooses where, so nothing that is mapped is touched.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, len })
    }
}

impl Deref for Mapping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is there until the drop, and its file sealed (rule 2).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}
