//! Unix stream sockets: paths, abstract names, pairs, full queues, credentials, ancillary data of others.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

use lwt_core::{Error, spawn};
use lwt_unix::fd::OsError;
use lwt_unix::net::{Domain, ListenOptions, MsgFlags, Shutdown, Socket, Type, UnixListener, UnixStream};
use net_support::{TempDir, pattern, run, settle};

mod net_support;

async fn echo(stream: UnixStream) -> Result<(), Error> {
    let mut buf = [0; 1000];
    loop {
        match stream.read(&mut buf).await? {
            0 => return stream.shutdown(Shutdown::Write),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

#[test]
fn echo_at_a_path() {
    run(async {
        let dir = TempDir::new();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
        let client = UnixStream::connect(&path).await?;
        let (server, from) = listener.accept().await?;
        assert!(from.is_unnamed() && client.local_addr()?.is_unnamed());
        assert_eq!(client.peer_addr()?.as_pathname(), Some(path.as_path()));
        let serving = spawn(echo(server));
        for turn in 0..300_u32 {
            client.write_all(&turn.to_be_bytes()).await?;
            let mut back = [0; 4];
            client.read_exact(&mut back).await?;
            assert_eq!(back, turn.to_be_bytes());
        }
        client.shutdown(Shutdown::Write)?;
        assert_eq!(client.read(&mut [0; 1]).await?, 0);
        serving.await?;

        // The path outlives the listener, and is named when it is in the way.
        listener.close()?;
        assert!(path.exists());
        let error = UnixStream::connect(&path).await.map(drop).expect_err("nobody listens");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
        let error = UnixListener::bind(&path).map(drop).expect_err("in the way");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrInUse));
        assert_eq!(OsError::of(&error).and_then(OsError::subject), path.to_str());
        std::fs::remove_file(&path)?;
        let error = UnixStream::connect(&path).await.map(drop).expect_err("no path");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
        let error = UnixListener::bind("x".repeat(200)).map(drop).expect_err("too long");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
        Ok(())
    });
}

#[test]
fn abstract_names_leave_nothing_behind() {
    run(async {
        let name = SocketAddr::from_abstract_name(format!("lwt-test-{}", std::process::id()))?;
        let listener = UnixListener::bind_addr(&name)?;
        assert_eq!(listener.local_addr()?.as_abstract_name(), name.as_abstract_name());
        let client = UnixStream::connect_addr(&name).await?;
        let (server, _) = listener.accept().await?;
        client.write_all(b"x").await?;
        server.read_exact(&mut [0; 1]).await?;
        listener.close()?;
        assert!(UnixStream::connect_addr(&name).await.is_err());
        UnixListener::bind_addr(&name)?;
        Ok(())
    });
}

#[test]
fn a_large_message_through_a_pair() {
    run(async {
        for size in [1, 999, 1000, 1001, 200_000, 2_000_000] {
            let (left, right) = UnixStream::pair()?;
            let serving = spawn(echo(right));
            let message = pattern(size);
            let (sender, expected) = (left.clone(), message.clone());
            let sending = spawn(async move {
                sender.write_all(&message).await?;
                sender.shutdown(Shutdown::Write)
            });
            let mut got = Vec::new();
            let mut buf = [0; 1000];
            loop {
                match left.read(&mut buf).await? {
                    0 => break,
                    n => got.extend_from_slice(&buf[..n]),
                }
            }
            assert!(got == expected);
            sending.await?;
            serving.await?;
        }
        Ok(())
    });
}

#[test]
fn a_full_queue_is_waited_for() {
    run(async {
        let dir = TempDir::new();
        let path = dir.path().join("socket");
        let address = SocketAddr::from_pathname(&path)?;
        let listener = ListenOptions::new().backlog(1).unix(&address)?;
        let connecting: Vec<_> = (0..10)
            .map(|i: u8| {
                let path = path.clone();
                spawn(async move {
                    let stream = UnixStream::connect(path).await?;
                    stream.write_all(&[i]).await?;
                    Ok::<_, Error>(stream)
                })
            })
            .collect();
        settle().await?;
        assert!(connecting.iter().any(|promise| promise.is_pending()), "the queue is full");
        let mut seen = Vec::new();
        for _ in 0..10 {
            let (server, _) = listener.accept().await?;
            let mut byte = [0];
            server.read_exact(&mut byte).await?;
            seen.push(byte[0]);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        drop(lwt_core::all(connecting).await?);
        Ok(())
    });
}

#[test]
fn the_peer_is_known() {
    run(async {
        let (left, _right) = UnixStream::pair()?;
        let peer = left.peer_credentials()?;
        assert_eq!(peer.pid, Some(std::process::id()));
        // SAFETY: asks for two numbers.
        assert_eq!((peer.uid, peer.gid), unsafe { (libc::geteuid(), libc::getegid()) });
        Ok(())
    });
}

/// Bytes with a descriptor attached end a read although more bytes wait behind them. Taking the short count
/// for "nothing left" would wait for an event that never comes.
#[test]
fn descriptors_that_nobody_asked_for_do_not_hang_the_reader() {
    run(async {
        let (left, right) = UnixStream::pair()?;
        let reading = spawn(async move {
            let mut buf = [0; 64];
            let mut all = Vec::new();
            while all.len() < 30 {
                let n = right.read(&mut buf).await?;
                assert_ne!(n, 0);
                all.extend_from_slice(&buf[..n]);
            }
            Ok::<_, Error>(all)
        });
        settle().await?; // the reader waits, so all of it arrives in one event
        let raw = left.hold()?;
        for _ in 0..3 {
            send_with_descriptor(raw.as_fd(), b"ten bytes!");
        }
        assert_eq!(reading.await?, b"ten bytes!".repeat(3));
        Ok(())
    });
}

/// Sends `bytes` with a descriptor attached.
fn send_with_descriptor(socket: BorrowedFd<'_>, bytes: &[u8]) {
    let mut slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut space = [0_u64; 8];
    // SAFETY: the header describes the one slice and the control buffer, both live, the second larger than its
    // one message.
    let sent = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &mut slice;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(socket.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &message, 0)
    };
    assert_eq!(sent, bytes.len() as isize);
}

/// Binds to a path that fills the address, with no room for a zero byte: the kernel takes it.
fn bind_full(socket: &impl AsRawFd, dir: &TempDir) {
    // SAFETY: all zeroes is a valid value of the plain C structure.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let start = dir.path().to_str().expect("a plain path").to_owned() + "/";
    for (place, byte) in address.sun_path.iter_mut().zip(start.bytes().chain(std::iter::repeat(b'x'))) {
        *place = byte as libc::c_char;
    }
    let (at, len) = ((&raw const address).cast(), mem::size_of_val(&address) as libc::socklen_t);
    // SAFETY: pointer and length are those of one live structure.
    assert_eq!(unsafe { libc::bind(socket.as_raw_fd(), at, len) }, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_peer_whose_path_has_no_end_is_served() {
    run(async {
        let (dir, full) = (TempDir::new(), TempDir::new());
        let listener = UnixListener::bind(dir.path().join("socket"))?;
        let client = Socket::new(Domain::Unix, Type::Stream, 0)?;
        bind_full(client.fd(), &full);
        client.connect(listener.local_addr()?).await?;
        let (server, from) = listener.accept().await?;
        assert!(from.is_unnamed(), "the standard library has no form for it");
        client.write_all(b"served").await?;
        assert_eq!(server.read(&mut [0; 8]).await?, 6);

        let full = TempDir::new();
        let (sender, receiver) =
            (Socket::new(Domain::Unix, Type::Datagram, 0)?, Socket::new(Domain::Unix, Type::Datagram, 0)?);
        receiver.bind(SocketAddr::from_pathname(dir.path().join("datagrams"))?).await?;
        bind_full(sender.fd(), &full);
        sender.send_to(b"here", receiver.local_addr()?, MsgFlags::NONE).await?;
        assert_eq!(receiver.recv_from(&mut [0; 8], MsgFlags::NONE).await?.0, 4);
        Ok(())
    });
}
