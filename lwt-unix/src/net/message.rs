//! Messages with more than bytes: descriptors and credentials that travel over Unix sockets.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};

use lwt_core::Error;

use super::opt::Credentials;
use super::{Addr, MsgFlags, Socket};
use crate::engine::registration::Direction;
use crate::fd::{During, Failure};
use crate::sys::addr::Address;
use crate::sys::message::{self, Beside};

/// What a message has brought.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received {
    /// How many bytes; 0 at the end of a stream.
    pub bytes: usize,
    /// The descriptors that came along, owned and close-on-exec. Dropping them closes them.
    pub descriptors: Vec<OwnedFd>,
    /// Who has sent it, as the system vouches; only with
    /// [`opt::PassCredentials`](super::opt::PassCredentials).
    pub credentials: Option<Credentials>,
    /// The sender's address; nobody's, on a connection.
    pub source: Addr,
    /// The datagram was longer than the buffers, and its rest is lost (`MSG_TRUNC`).
    pub truncated: bool,
    /// More descriptors came than there was room for, or than this process may have open: the others are
    /// closed and lost (`MSG_CTRUNC`).
    pub lost_descriptors: bool,
}

/// What a message takes along, for [`Socket::send_msg_with`].
#[derive(Debug, Clone, Default)]
pub struct Outgoing<'a> {
    /// Descriptors to be duplicated into the receiving process. At most 253.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// The credentials to be shown; the system lets only a privileged process show others than its own.
    pub credentials: Option<Credentials>,
    /// Where to, unless the socket has a peer.
    pub to: Option<Addr>,
    /// What the send is asked for besides.
    pub flags: MsgFlags,
}

/// # Messages with descriptors
///
/// A cancel loses nothing: it arrives while nothing has been transferred.
impl Socket {
    /// Receives bytes into several buffers, and the descriptors that come with them (`recv_msg`). All that
    /// one message can bring has room.
    ///
    /// On a stream the bytes that descriptors were sent with end a receive: what was sent later comes by the
    /// next.
    ///
    /// ```
    /// use std::io::{IoSlice, IoSliceMut, Read, Write};
    /// use std::os::fd::AsFd;
    /// use lwt_unix::net::{Domain, Socket, Type};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (left, right) = Socket::pair(Domain::Unix, Type::Stream, 0)?;
    /// lwt_unix::run(async move {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     left.send_msg(&[IoSlice::new(b"a pipe")], &[reader.as_fd()]).await?;
    ///     let mut text = [0; 6];
    ///     let mut received = right.recv_msg(&mut [IoSliceMut::new(&mut text)]).await?;
    ///     assert_eq!(&text, b"a pipe");
    ///     let mut passed = std::fs::File::from(received.descriptors.remove(0));
    ///     writer.write_all(b"x")?;
    ///     assert_eq!(passed.read(&mut [0; 8])?, 1);
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Fd::read`](crate::fd::Fd::read).
    pub async fn recv_msg(&self, bufs: &mut [IoSliceMut<'_>]) -> Result<Received, Error> {
        self.recv_msg_with(bufs, message::MOST_DESCRIPTORS, MsgFlags::NONE).await
    }

    /// [`recv_msg`](Socket::recv_msg) with room for so many descriptors (more are closed, and
    /// [told of](Received::lost_descriptors)), and with flags.
    ///
    /// [`MsgFlags::PEEK`] gives duplicates of the descriptors, and they come again.
    ///
    /// # Errors
    /// As [`Fd::read`](crate::fd::Fd::read).
    pub async fn recv_msg_with(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        descriptors: usize,
        flags: MsgFlags,
    ) -> Result<Received, Error> {
        let op =
            |fd: BorrowedFd<'_>| message::receive(fd, bufs, descriptors, flags.raw() | self.fd().flags());
        let message = self.fd().drive(Direction::Read, op).await;
        let message = message.map_err(|failure| failure.into_error("recvmsg"))?;
        Ok(Received {
            bytes: message.bytes,
            descriptors: message.descriptors,
            credentials: message.credentials.map(Credentials::of),
            // An address that makes no sense must not lose the message.
            source: Addr::decode(&message.source).unwrap_or(Addr::Unnamed),
            truncated: message.flags & libc::MSG_TRUNC != 0,
            lost_descriptors: message.flags & libc::MSG_CTRUNC != 0,
        })
    }

    /// Sends bytes from several buffers, and descriptors with them (`send_msg`).
    ///
    /// Descriptors travel with the first byte: when a stream takes only a part of the bytes, send the rest
    /// without them.
    ///
    /// # Errors
    /// `InvalidInput` for descriptors without bytes on a stream, which the system would forget; `EINVAL` for
    /// more than 253 descriptors; `ETOOMANYREFS` when too many are under way; otherwise as
    /// [`Fd::write`](crate::fd::Fd::write).
    pub async fn send_msg(
        &self,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<usize, Error> {
        self.send_msg_with(bufs, &Outgoing { descriptors, ..Outgoing::default() }).await
    }

    /// [`send_msg`](Socket::send_msg) to an address (`send_msgto`).
    ///
    /// # Errors
    /// As [`send_msg`](Socket::send_msg), with the address as the subject.
    pub async fn send_msg_to(
        &self,
        bufs: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
        to: impl Into<Addr>,
    ) -> Result<usize, Error> {
        self.send_msg_with(bufs, &Outgoing { descriptors, to: Some(to.into()), ..Outgoing::default() }).await
    }

    /// [`send_msg`](Socket::send_msg) with all that a message can take along.
    ///
    /// # Errors
    /// As [`send_msg`](Socket::send_msg); `PermissionDenied` for credentials that are not one's own.
    pub async fn send_msg_with(&self, bufs: &[IoSlice<'_>], with: &Outgoing<'_>) -> Result<usize, Error> {
        let told = |failure: Failure| match &with.to {
            Some(to) => failure.into_error_on("sendmsg", to),
            None => failure.into_error("sendmsg"),
        };
        if bufs.iter().all(|buf| buf.is_empty()) && !with.descriptors.is_empty() && self.is_stream()? {
            let text = "descriptors have to travel with a byte";
            return Err(told(Failure::System(io::Error::new(io::ErrorKind::InvalidInput, text))));
        }
        let to = match &with.to {
            Some(to) => Some(to.encode().during_on("sendmsg", to)?),
            None => None,
        };
        let credentials = with.credentials.map(Credentials::raw).transpose().during("sendmsg")?;
        let beside = Beside { to: to.as_ref(), descriptors: with.descriptors, credentials };
        let op = |fd: BorrowedFd<'_>| message::send(fd, bufs, &beside, with.flags.raw() | self.fd().flags());
        self.fd().drive(Direction::Write, op).await.map_err(told)
    }

    fn is_stream(&self) -> Result<bool, Error> {
        Ok(self.fd().option::<super::opt::SocketType>()? == libc::SOCK_STREAM as u32)
    }
}
