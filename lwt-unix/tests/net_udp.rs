//! UDP: echo, connected sockets, edges of datagrams, cancelling, multicast.

use std::net::{Ipv4Addr, SocketAddr};

use lwt_core::{Error, spawn};
use lwt_unix::fd::OsError;
use lwt_unix::net::{UdpSocket, opt};
use net_support::{loopback, run, settle};

mod net_support;

#[test]
fn echo_to_whoever_sends() {
    run(async {
        let server = UdpSocket::bind(loopback())?;
        let address = server.local_addr()?;
        let serving = spawn(async move {
            let mut buf = [0; 1500];
            for _ in 0..200 {
                let (n, from) = server.recv_from(&mut buf).await?;
                assert_eq!(server.send_to(&buf[..n], from).await?, n);
            }
            Ok::<_, Error>(())
        });
        let clients = [UdpSocket::bind(loopback())?, UdpSocket::bind(loopback())?];
        for turn in 0..100_u32 {
            for client in &clients {
                client.send_to(&turn.to_be_bytes(), address).await?;
                let mut back = [0; 16];
                assert_eq!(client.recv_from(&mut back).await?, (4, address));
                assert_eq!(&back[..4], &turn.to_be_bytes());
            }
        }
        serving.await
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    run(async {
        let (left, right, third) =
            (UdpSocket::bind(loopback())?, UdpSocket::bind(loopback())?, UdpSocket::bind(loopback())?);
        left.connect(right.local_addr()?)?;
        assert_eq!(left.peer_addr()?, right.local_addr()?);
        third.send_to(b"stranger", left.local_addr()?).await?;
        left.send(b"friend?").await?;
        let mut buf = [0; 16];
        let (n, from) = right.recv_from(&mut buf).await?;
        assert_eq!(&buf[..n], b"friend?");
        right.send_to(b"friend", from).await?;
        let n = left.recv(&mut buf).await?;
        assert_eq!(&buf[..n], b"friend");
        assert!(left.fd().readable().is_ok_and(|more| !more));
        Ok(())
    });
}

#[test]
fn datagrams_keep_their_edges() {
    run(async {
        let (left, right) = (UdpSocket::bind(loopback())?, UdpSocket::bind(loopback())?);
        let to = right.local_addr()?;
        // All in one event: every short count is a whole datagram, none means "empty".
        let waiting = right.clone();
        let reading = spawn(async move {
            let mut sizes = Vec::new();
            let mut buf = [0; 10];
            assert_eq!(waiting.peek_from(&mut buf).await?.0, 3);
            for _ in 0..4 {
                sizes.push(waiting.recv_from(&mut buf).await?.0);
            }
            Ok::<_, Error>(sizes)
        });
        settle().await?;
        for size in [3, 0, 20, 10] {
            left.send_to(&[7; 20][..size], to).await?;
        }
        assert_eq!(reading.await?, [3, 0, 10, 10]);
        let error = left.send_to(&[0; 70_000], to).await.expect_err("too large");
        let os = OsError::of(&error).expect("a system error");
        assert_eq!((os.raw_os_error(), os.subject()), (Some(libc::EMSGSIZE), Some(to.to_string().as_str())));
        Ok(())
    });
}

#[test]
fn nobody_there_is_reported_once_and_the_socket_lives() {
    run(async {
        // It hears nobody but itself, and keeps others from the port.
        let deaf = UdpSocket::bind(loopback())?;
        let address = deaf.local_addr()?;
        deaf.connect(address)?;
        let left = UdpSocket::bind(loopback())?;
        left.connect(address)?;
        left.send(b"hello?").await?;
        let error = left.recv(&mut [0; 4]).await.expect_err("nobody");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
        // The error event must not make the next receive spin or end.
        let other = left.clone();
        let reading = spawn(async move { other.recv(&mut [0; 4]).await });
        settle().await?;
        assert!(reading.is_pending());
        deaf.connect(left.local_addr()?)?;
        deaf.send(b"here").await?;
        assert_eq!(reading.await?, 4);
        Ok(())
    });
}

#[test]
fn cancelling_loses_no_datagram() {
    run(async {
        let (left, right) = (UdpSocket::bind(loopback())?, UdpSocket::bind(loopback())?);
        let other = right.clone();
        let reading = spawn(async move { other.recv_from(&mut [0; 4]).await });
        settle().await?;
        left.send_to(b"kept", right.local_addr()?).await?;
        reading.cancel();
        assert!(reading.await.expect_err("cancelled").is_canceled());
        assert_eq!(right.recv_from(&mut [0; 8]).await?.0, 4);
        let other = right.clone();
        let reading = spawn(async move { other.recv(&mut [0; 4]).await });
        settle().await?;
        right.fd().close()?;
        assert!(OsError::of(&reading.await.expect_err("closed")).is_some_and(OsError::is_closed));
        Ok(())
    });
}

#[test]
fn multicast_arrives_where_it_was_joined() {
    run(async {
        let group = Ipv4Addr::new(239, 255, 77, 3);
        let receiver = UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        let to = SocketAddr::from((group, receiver.local_addr()?.port()));
        let sender = UdpSocket::bind(loopback())?;
        sender.fd().set_option::<opt::MulticastInterface>(Ipv4Addr::LOCALHOST)?;
        assert_eq!(sender.fd().option::<opt::MulticastInterface>()?, Ipv4Addr::LOCALHOST);
        sender.fd().set_option::<opt::MulticastTtl>(0)?;
        sender.fd().set_option::<opt::MulticastLoop>(true)?;
        if let Err(error) = receiver.join_v4(group, Ipv4Addr::LOCALHOST) {
            eprintln!("no multicast on this machine: {error}");
            return Ok(());
        }
        let other = receiver.clone();
        let first = spawn(async move { other.recv(&mut [0; 8]).await });
        settle().await?;
        if let Err(error) = sender.send_to(b"all", to).await {
            eprintln!("no multicast on loopback: {error}");
            return Ok(());
        }
        assert_eq!(first.await?, 3);
        receiver.leave_v4(group, Ipv4Addr::LOCALHOST)?;
        let error = receiver.leave_v4(group, Ipv4Addr::LOCALHOST).expect_err("left already");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrNotAvailable));
        sender.send_to(b"nobody", to).await?;
        let other = receiver.clone();
        let second = spawn(async move { other.recv(&mut [0; 8]).await });
        settle().await?;
        assert!(second.is_pending());
        Ok(())
    });
}
