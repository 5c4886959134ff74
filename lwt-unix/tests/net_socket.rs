//! Sockets of any family and type, their names, flags and options.

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::time::Duration;

use lwt_core::{Error, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::{Fd, OsError, pipe};
use lwt_unix::net::opt;
use lwt_unix::net::{
    Addr, Domain, Interface, MsgFlags, Shutdown, Socket, TcpListener, TcpStream, Type, UdpSocket, somaxconn,
};
use net_support::{TempDir, loopback, settle};

mod net_support;

fn path(dir: &TempDir, name: &str) -> Result<Addr, Error> {
    Ok(UnixAddr::from_pathname(dir.path().join(name))?.into())
}

lwt_unix::test! {
    async fn a_server_and_a_client_of_each_family() -> Result<(), Error> {
        let dir = TempDir::new();
        for (domain, kind, at) in [
            (Domain::V4, Type::Stream, Addr::from(loopback())),
            (Domain::Unix, Type::Stream, path(&dir, "stream")?),
            (Domain::Unix, Type::SeqPacket, path(&dir, "packets")?),
        ] {
            for blocking in [false, true] {
                let at = if blocking && at.unix().is_some() {
                    path(&dir, &format!("{kind:?}"))?
                } else {
                    at.clone()
                };
                let listener = Socket::new(domain, kind, 0)?;
                listener.set_option::<opt::ReuseAddress>(true)?;
                listener.bind(at).await?;
                listener.listen(8)?;
                assert!(listener.option::<opt::Listening>()?);
                listener.set_blocking(blocking)?;
                let client = Socket::new(domain, kind, 0)?;
                client.set_blocking(blocking)?;
                let accepting = {
                    let listener = listener.clone();
                    spawn(async move { listener.accept().await })
                };
                settle().await?;
                assert!(accepting.is_pending());
                client.connect(listener.local_addr()?).await?;
                let (server, _) = accepting.await?;
                assert_eq!(client.peer_addr()?.to_string(), listener.local_addr()?.to_string());
                client.send(b"request", MsgFlags::NONE).await?;
                let mut buf = [0; 16];
                assert_eq!(server.recv(&mut buf, MsgFlags::PEEK).await?, 7);
                assert_eq!(server.recv(&mut buf, MsgFlags::NONE).await?, 7);
                server.shutdown(Shutdown::Write)?;
                assert_eq!(client.recv(&mut buf, MsgFlags::NONE).await?, 0);
                client.close()?;
                let (accepted, error) = listener.accept_n(0).await;
                assert!(accepted.is_empty() && error.is_none());
            }
        }
        Ok(())
    }

    async fn binding_tells_what_is_wrong() -> Result<(), Error> {
        let dir = TempDir::new();
        for at in [Addr::from(loopback()), path(&dir, "name")?] {
            let domain = if at.inet().is_some() { Domain::V4 } else { Domain::Unix };
            let socket = Socket::new(domain, Type::Stream, 0)?;
            socket.abort(Error::msg("aborted on purpose"));
            let error = socket.bind(at.clone()).await.expect_err("aborted");
            assert_eq!(error.to_string(), "aborted on purpose");
            let socket = Socket::new(domain, Type::Stream, 0)?;
            socket.close()?;
            let error = socket.bind(at.clone()).await.expect_err("closed");
            let told = OsError::of(&error).map(|error| (error.call(), error.raw_os_error()));
            assert_eq!(told, Some(("bind", Some(libc::EBADF))));
            let socket = Socket::new(domain, Type::Stream, 0)?;
            socket.bind(at.clone()).await?;
            let error =
                Socket::new(domain, Type::Stream, 0)?.bind(socket.local_addr()?).await.expect_err("taken");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrInUse));
            assert!(error.to_string().contains(&socket.local_addr()?.to_string()), "{error}");
        }
        let error = Socket::new(Domain::Unix, Type::Stream, 0)?.bind(path(&dir, "no/where")?).await;
        assert_eq!(error.expect_err("no directory").io_kind(), Some(std::io::ErrorKind::NotFound));
        let error =
            Socket::new(Domain::V4, Type::Stream, 0)?.bind(Addr::Unnamed).await.expect_err("no address");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
        Ok(())
    }

    async fn connecting_where_nobody_is() -> Result<(), Error> {
        let dir = TempDir::new();
        let free = TcpListener::bind(loopback())?.local_addr()?;
        for (domain, to, kind) in [
            (Domain::V4, Addr::from(free), std::io::ErrorKind::ConnectionRefused),
            (Domain::Unix, path(&dir, "nothing")?, std::io::ErrorKind::NotFound),
        ] {
            for blocking in [false, true] {
                let socket = Socket::new(domain, Type::Stream, 0)?;
                socket.set_blocking(blocking)?;
                let error = socket.connect(to.clone()).await.expect_err("nobody");
                assert_eq!(error.io_kind(), Some(kind));
                assert_eq!(OsError::of(&error).and_then(OsError::subject), Some(to.to_string().as_str()));
            }
        }
        Ok(())
    }

    async fn datagrams_tell_their_sender() -> Result<(), Error> {
        let one = UdpSocket::bind(loopback())?;
        let two = Socket::new(Domain::V4, Type::Datagram, 0)?;
        two.bind(loopback()).await?;
        let to = two.local_addr()?;
        one.send_to(b"over", to.inet().expect("inet")).await?;
        let mut buf = [0; 2];
        let (n, from) = two.recv_from(&mut buf, MsgFlags::REAL_LENGTH).await?;
        assert_eq!((n, from.inet()), (4, Some(one.local_addr()?)));
        two.send_to(b"back", one.local_addr()?, MsgFlags::NONE).await?;
        assert_eq!(Socket::from(&one).recv_from(&mut [0; 8], MsgFlags::NONE).await?.0, 4);
        assert!(two.send_to(b"?", Addr::Unnamed, MsgFlags::NONE).await.is_err());
        // A connection tells nobody.
        let (left, right) = Socket::pair(Domain::Unix, Type::Stream, 0)?;
        left.send(b"x", MsgFlags::NONE).await?;
        assert!(matches!(
            right.recv_from(&mut [0; 1], MsgFlags::NONE).await?,
            (1, Addr::Unnamed | Addr::Unix(_))
        ));
        Ok(())
    }

    async fn urgent_data_comes_by_its_flag() -> Result<(), Error> {
        let listener = TcpListener::bind(loopback())?;
        let client = Socket::from(&TcpStream::connect(listener.local_addr()?).await?);
        let (server, _) = listener.accept().await?;
        let server = Socket::from(&server);
        client.send(b"a", MsgFlags::NONE).await?;
        client.send(b"!", MsgFlags::OUT_OF_BAND).await?;
        server.wait_read().await?;
        let mut buf = [0; 4];
        loop {
            // The mark comes with its own segment.
            match server.recv(&mut buf[..1], MsgFlags::OUT_OF_BAND).await {
                Ok(1) => break,
                Ok(n) => panic!("{n} bytes"),
                Err(_) => settle().await?,
            }
        }
        assert_eq!(buf[0], b'!');
        assert_eq!(server.recv(&mut buf, MsgFlags::NONE).await?, 1);
        assert_eq!(buf[0], b'a');
        Ok(())
    }

    async fn waits_are_cancelled_and_aborted() -> Result<(), Error> {
        let (left, right) = Socket::pair(Domain::Unix, Type::Stream, 0)?;
        let recv = || {
            let socket = right.clone();
            spawn(async move { socket.recv(&mut [0; 4], MsgFlags::NONE).await })
        };
        let from = || {
            let socket = right.clone();
            spawn(async move { socket.recv_from(&mut [0; 4], MsgFlags::NONE).await.map(|(n, _)| n) })
        };
        let (one, two, three, four) = (recv(), from(), recv(), from());
        settle().await?;
        one.cancel();
        two.cancel();
        assert!(one.await.is_err_and(|error| error.is_canceled()));
        assert!(two.await.is_err_and(|error| error.is_canceled()));
        right.abort(Error::msg("over"));
        for wait in [three, four] {
            assert_eq!(wait.await.expect_err("aborted").to_string(), "over");
        }
        drop(left);
        let socket = Socket::new(Domain::V4, Type::Stream, 0)?;
        socket.bind(loopback()).await?;
        socket.listen(1)?;
        let accept = {
            let socket = socket.clone();
            spawn(async move { socket.accept().await.map(drop) })
        };
        settle().await?;
        socket.close()?;
        assert!(accept.await.is_err());
        Ok(())
    }

    async fn options_keep_what_they_are_given() -> Result<(), Error> {
        let tcp = Socket::new(Domain::V4, Type::Stream, 0)?;
        let udp = Socket::new(Domain::V4, Type::Datagram, 0)?;
        macro_rules! toggles {
            ($($socket:ident $option:ident)*) => {$(
                for on in [true, false] {
                    $socket.set_option::<opt::$option>(on)?;
                    assert_eq!($socket.option::<opt::$option>()?, on, stringify!($option));
                }
            )*};
        }
        toggles! {
            tcp NoDelay tcp KeepAlive tcp ReuseAddress tcp ReusePort tcp DontRoute tcp OutOfBandInline
            tcp Cork
            udp Broadcast udp MulticastLoop
        }
        assert_eq!(tcp.option::<opt::SocketType>()?, libc::SOCK_STREAM as u32);
        assert_eq!(tcp.option::<opt::SocketDomain>()?, libc::AF_INET as u32);
        assert_eq!(udp.option::<opt::SocketProtocol>()?, libc::IPPROTO_UDP as u32);
        assert!(!tcp.option::<opt::Listening>()? && !tcp.option::<opt::ProtocolDebug>()?);
        assert!(tcp.option::<opt::PendingError>()?.is_none());
        tcp.set_option::<opt::SendBuffer>(65_536)?;
        assert!(tcp.option::<opt::SendBuffer>()? >= 65_536);
        tcp.set_option::<opt::ReceiveLowWater>(7)?;
        assert_eq!(tcp.option::<opt::ReceiveLowWater>()?, 7);
        assert_eq!(tcp.option::<opt::SendLowWater>()?, 1);
        for linger in [None, Some(Duration::ZERO), Some(Duration::from_secs(3))] {
            tcp.set_option::<opt::Linger>(linger)?;
            assert_eq!(tcp.option::<opt::Linger>()?, linger);
        }
        assert_eq!(tcp.option::<opt::ReceiveTimeout>()?, None);
        for time in [Some(Duration::from_millis(1500)), None] {
            tcp.set_option::<opt::ReceiveTimeout>(time)?;
            tcp.set_option::<opt::SendTimeout>(time)?;
            assert_eq!(
                (tcp.option::<opt::ReceiveTimeout>()?, tcp.option::<opt::SendTimeout>()?),
                (time, time)
            );
        }
        // Never rounded to "no limit".
        tcp.set_option::<opt::SendTimeout>(Some(Duration::from_nanos(1)))?;
        assert!(tcp.option::<opt::SendTimeout>()?.is_some());
        udp.set_option::<opt::MulticastTtl>(9)?;
        assert_eq!(udp.option::<opt::MulticastTtl>()?, 9);
        let (reader, _writer) = pipe()?;
        let error = reader.option::<opt::KeepAlive>().expect_err("not a socket");
        assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::ENOTSOCK));
        assert!(Socket::try_from(reader).is_err());
        assert!(somaxconn() > 0);
        Ok(())
    }

    async fn multicast_by_the_name_of_the_interface() -> Result<(), Error> {
        let group = "239.255.77.8".parse().expect("an address");
        let receiver = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0)))?;
        let port = receiver.local_addr()?.port();
        let receiving = Socket::from(&receiver);
        for at in [Interface::Name("lo"), Interface::Address([127, 0, 0, 1].into())] {
            receiving.mcast_add_membership(group, at)?;
            let error = receiving.mcast_add_membership(group, at).expect_err("joined already");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrInUse));
            let sender = UdpSocket::bind(loopback())?;
            let sending = Socket::from(&sender);
            sender.fd().set_option::<opt::MulticastInterface>([127, 0, 0, 1].into())?;
            sending.mcast_set_ttl(1)?;
            sending.mcast_set_loop(true)?;
            sending.send_to(b"to all", SocketAddr::new(group, port), MsgFlags::NONE).await?;
            let mut buf = [0; 8];
            assert_eq!(receiver.recv_from(&mut buf).await?.0, 6);
            receiving.mcast_drop_membership(group, at)?;
        }
        let none = receiving.mcast_add_membership(group, Interface::Name("no-such-one"));
        assert_eq!(
            OsError::of(&none.expect_err("no interface")).and_then(OsError::raw_os_error),
            Some(libc::ENODEV)
        );
        assert!(receiving.mcast_add_membership([127, 0, 0, 1].into(), Interface::Any).is_err());
        let Ok(v6) = Socket::new(Domain::V6, Type::Datagram, 0) else { return Ok(()) };
        let group = "ff02::7777".parse().expect("an address");
        v6.mcast_set_ttl(3)?;
        v6.mcast_set_loop(false)?;
        assert_eq!((v6.option::<opt::MulticastHopsV6>()?, v6.option::<opt::MulticastLoopV6>()?), (3, false));
        let wrong = v6.mcast_add_membership(group, Interface::Address([127, 0, 0, 1].into()));
        assert_eq!(wrong.expect_err("no index").io_kind(), Some(std::io::ErrorKind::InvalidInput));
        if v6.mcast_add_membership(group, Interface::Name("lo")).is_ok() {
            v6.mcast_drop_membership(group, Interface::Name("lo"))?;
        }
        Ok(())
    }

    async fn what_waits_while_the_mode_changes_does_not_block() -> Result<(), Error> {
        let (near, far) = Socket::pair(Domain::Unix, Type::Stream, 0)?;
        let recv = |near: Socket| spawn(async move { near.recv(&mut [0; 1], MsgFlags::NONE).await });
        let message = |near: Socket| {
            spawn(async move {
                let message = near.recv_msg(&mut [IoSliceMut::new(&mut [0; 1])]).await?;
                Ok::<_, Error>(message.bytes)
            })
        };
        let all = [recv(near.clone()), message(near.clone()), recv(near.clone()), message(near.clone())];
        settle().await?;
        near.set_blocking(true)?;
        for left in (0..all.len()).rev() {
            // It wakes all, and is there for one.
            far.write_all(b"x").await?;
            settle().await?;
            assert_eq!(all.iter().filter(|one| one.is_pending()).count(), left);
        }
        Ok(())
    }

    async fn a_second_connection_is_refused() -> Result<(), Error> {
        let dir = TempDir::new();
        for (domain, at) in [(Domain::V4, Addr::from(loopback())), (Domain::Unix, path(&dir, "twice")?)] {
            let listener = Socket::new(domain, Type::Stream, 0)?;
            listener.bind(at).await?;
            listener.listen(8)?;
            for blocking in [false, true] {
                let client = Socket::new(domain, Type::Stream, 0)?;
                client.set_blocking(blocking)?;
                client.connect(listener.local_addr()?).await?;
                if domain == Domain::V4 && !blocking {
                    // The system takes this for the question what has become of the first.
                    client.connect(listener.local_addr()?).await?;
                }
                let error = client.connect(listener.local_addr()?).await.expect_err("it has a peer");
                assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::EISCONN));
            }
        }
        Ok(())
    }

    async fn interrupted_connects_go_on() -> Result<(), Error> {
        let dir = TempDir::new();
        for (domain, at) in [(Domain::V4, Addr::from(loopback())), (Domain::Unix, path(&dir, "again")?)] {
            let listener = Socket::new(domain, Type::Stream, 0)?;
            listener.bind(at).await?;
            listener.listen(8)?;
            for blocking in [false, true] {
                let client = Socket::new(domain, Type::Stream, 0)?;
                client.set_blocking(blocking)?;
                let faults = Plan::seeded(1).with(Rule::on(["connect"]).times(1).interrupted(1)).install();
                client.connect(listener.local_addr()?).await?;
                assert_eq!(faults.injected(), 1);
                drop(faults);
                let (server, _) = listener.accept().await?;
                server.write_all(b"x").await?;
                assert_eq!(client.read(&mut [0; 8]).await?, 1);
            }
        }
        Ok(())
    }

    async fn sockets_are_shared_without_their_flag() -> Result<(), Error> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        let fd = Fd::shared(near.into())?;
        let socket = Socket::try_from(fd.clone())?;
        assert!(fd.blocking());
        let reading = spawn(async move { socket.recv(&mut [0; 8], MsgFlags::NONE).await });
        settle().await?;
        assert!(reading.is_pending());
        std::io::Write::write_all(&mut (&far), b"hi")?;
        assert_eq!(reading.await?, 2);
        Ok(())
    }
}
