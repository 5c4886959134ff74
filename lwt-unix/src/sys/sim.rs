//! The seam's way into a simulation: each function does for a simulated socket what its namesake of the
//! system does for a real one, or says `None` where there is no simulation or the socket is not its. Then the
//! system is asked.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use libc::{c_int, c_short};

use super::addr::RawAddr;
use super::{Room, hook};
use crate::engine::sim::{self, Id, Taken, World};

/// See the head of this module.
type Simulated<T> = Option<io::Result<T>>;

#[inline]
fn act<T>(
    name: &'static str,
    fd: BorrowedFd<'_>,
    act: impl FnOnce(&mut World, Id) -> io::Result<T>,
) -> Simulated<T> {
    if hook::hooked() { sim::act(name, fd, act) } else { None }
}

pub(super) fn socket(domain: c_int, kind: c_int) -> Simulated<OwnedFd> {
    sim::call("socket", |world| world.make(domain, kind))
}

pub(super) fn pair(domain: c_int, kind: c_int) -> Simulated<(OwnedFd, OwnedFd)> {
    sim::call("socketpair", |world| world.make_pair(domain, kind))
}

/// The end to read from, and the end to write to.
pub(super) fn pipe() -> Simulated<(OwnedFd, OwnedFd)> {
    sim::call("pipe2", World::make_pipe)
}

pub(super) fn bind(fd: BorrowedFd<'_>, address: &RawAddr) -> Simulated<()> {
    act("bind", fd, |world, id| world.bind(id, address))
}

pub(super) fn listen(fd: BorrowedFd<'_>, backlog: c_int) -> Simulated<()> {
    act("listen", fd, |world, id| world.listen(id, backlog))
}

pub(super) fn connect(fd: BorrowedFd<'_>, address: &RawAddr) -> Simulated<bool> {
    act("connect", fd, |world, id| world.connect(id, address))
}

pub(super) fn accept(fd: BorrowedFd<'_>) -> Simulated<(OwnedFd, RawAddr)> {
    act("accept4", fd, World::accept)
}

pub(super) fn shutdown(fd: BorrowedFd<'_>, how: c_int) -> Simulated<()> {
    act("shutdown", fd, |world, id| world.shutdown(id, how))
}

pub(super) fn local_address(fd: BorrowedFd<'_>) -> Simulated<RawAddr> {
    act("getsockname", fd, World::local_address)
}

pub(super) fn peer_address(fd: BorrowedFd<'_>) -> Simulated<RawAddr> {
    act("getpeername", fd, World::peer_address)
}

/// What a call that reads has come to.
pub(super) struct Heard {
    /// What it returns.
    pub(super) bytes: usize,
    pub(super) from: RawAddr,
    /// A datagram was longer than the room for it.
    pub(super) truncated: bool,
}

/// Has a call that reads take up to `room` bytes, which `fill` puts where they belong.
fn hear(
    name: &'static str,
    fd: BorrowedFd<'_>,
    room: usize,
    flags: c_int,
    fill: impl FnOnce(&[u8]),
) -> Simulated<Heard> {
    act(name, fd, |world, id| {
        let most = world.cut(name, id, room);
        let Taken { bytes, from, left } = world.receive(id, most, flags)?;
        fill(&bytes);
        let told = if flags & libc::MSG_TRUNC != 0 { left } else { 0 };
        Ok(Heard { bytes: bytes.len() + told, from, truncated: left > 0 })
    })
}

/// The calls that read into one buffer. Whoever is called often asks [`hook::hooked`] before.
#[cold]
pub(super) fn read(
    name: &'static str,
    fd: BorrowedFd<'_>,
    room: &Room<'_>,
    flags: c_int,
) -> Simulated<Heard> {
    hear(name, fd, room.len(), flags, |bytes| {
        room.fill(bytes);
    })
}

/// The calls that read into several buffers.
pub(super) fn readv(
    name: &'static str,
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    flags: c_int,
) -> Simulated<Heard> {
    hear(name, fd, bufs.iter().map(|buf| buf.len()).sum(), flags, |bytes| {
        let mut rest = bytes;
        for buf in bufs {
            let (part, left) = rest.split_at(rest.len().min(buf.len()));
            buf[..part.len()].copy_from_slice(part);
            rest = left;
        }
    })
}

/// The calls that write from one buffer. Whoever is called often asks [`hook::hooked`] before.
#[cold]
pub(super) fn write(
    name: &'static str,
    fd: BorrowedFd<'_>,
    buf: &[u8],
    to: Option<&RawAddr>,
    flags: c_int,
) -> Simulated<usize> {
    act(name, fd, |world, id| {
        let most = world.cut(name, id, buf.len());
        world.send(id, &buf[..most], to, flags)
    })
}

/// The calls that write from several buffers.
pub(super) fn writev(
    name: &'static str,
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    to: Option<&RawAddr>,
    flags: c_int,
) -> Simulated<usize> {
    act(name, fd, |world, id| {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let most = world.cut(name, id, all.len());
        world.send(id, &all[..most], to, flags)
    })
}

pub(super) fn option(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> Simulated<Vec<u8>> {
    act("getsockopt", fd, |world, id| world.option(id, level, name))
}

pub(super) fn set_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: impl FnOnce() -> Vec<u8>,
) -> Simulated<()> {
    act("setsockopt", fd, |world, id| world.set_option(id, level, name, value()))
}

pub(super) fn is_ready(fd: BorrowedFd<'_>, events: c_short) -> Simulated<bool> {
    act("poll", fd, |world, id| world.is_ready(id, events))
}

/// What cannot be done with a simulated socket.
#[inline]
pub(super) fn refused<T>(name: &'static str, fd: BorrowedFd<'_>) -> Simulated<T> {
    act(name, fd, |_, _| Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)))
}

/// In a simulation what the kernel has at hand is nothing to go by: it would make each run differ.
#[inline]
pub(super) fn never_at_hand() -> io::Result<()> {
    if hook::is_simulated() { Err(io::Error::from_raw_os_error(libc::EAGAIN)) } else { Ok(()) }
}

/// Whether this number is that of a simulated socket.
pub(super) fn is_socket(fd: RawFd) -> bool {
    hook::is_simulated() && sim::is_socket(fd)
}

/// The number is about to be closed.
pub(super) fn closed(fd: RawFd) {
    if hook::is_simulated() {
        sim::closed(fd);
    }
}

/// `new` means now what `old` means.
pub(super) fn duplicated(old: RawFd, new: RawFd) {
    if hook::is_simulated() {
        sim::duplicated(old, new);
    }
}
