//! The simulated network does what the real one does, on good days and on bad ones.

use std::io::{ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::time::Duration;

use lwt_core::{Error, all, spawn};
use lwt_unix::entry::guarded;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::{Fd, OsError, copy};
use lwt_unix::file::File;
use lwt_unix::net::{
    Domain, ListenOptions, MsgFlags, Shutdown, Socket, TcpListener, TcpStream, Type, UdpSocket, UnixListener,
    UnixStream, opt,
};
use lwt_unix::sim::{self, Sim};
use lwt_unix::{loop_stats, sleep, with_timeout};

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A connection, and the time it took.
async fn connection(address: &str) -> Result<(TcpStream, TcpStream), Error> {
    let listener = TcpListener::bind(at(address))?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}

lwt_unix::sim_test! {
    /// Names, both ends, and the bytes.
    async fn a_connection_has_two_names_and_carries_bytes() -> Result<(), Error> {
        let listener = TcpListener::bind(at("[::]:0"))?;
        let port = listener.local_addr()?.port();
        assert_ne!(port, 0);
        let client = TcpStream::connect(format!("[fd00::5]:{port}").parse().expect("an address")).await?;
        let (server, peer) = listener.accept().await?;
        assert_eq!(client.local_addr()?, peer);
        assert_eq!(server.local_addr()?, client.peer_addr()?);
        assert_eq!(server.peer_addr()?, peer);
        client.set_option::<opt::NoDelay>(true)?;
        assert!(client.option::<opt::NoDelay>()?);
        assert!(listener.fd().option::<opt::Listening>()?);
        let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let writing = spawn({
            let sent = sent.clone();
            async move { client.write_all(&sent).await }
        });
        let mut back = vec![0; sent.len()];
        server.read_exact(&mut back).await?;
        assert_eq!(server.read(&mut [0]).await?, 0);
        writing.await?;
        assert!(back == sent);
        Ok(())
    }

    /// Half of a connection ends, the other goes on.
    async fn half_closing() -> Result<(), Error> {
        let (client, server) = connection("10.0.0.1:1").await?;
        client.write_all(b"the last").await?;
        client.shutdown(Shutdown::Write)?;
        assert_eq!(client.write(b"x").await.unwrap_err().io_kind(), Some(ErrorKind::BrokenPipe));
        let mut buf = [0; 100];
        server.read_exact(&mut buf[..8]).await?;
        assert_eq!(server.read(&mut buf).await?, 0);
        assert_eq!(server.read(&mut buf).await?, 0);
        server.write_all(b"answer").await?;
        drop(server);
        client.read_exact(&mut buf[..6]).await?;
        assert_eq!(client.read(&mut buf).await?, 0);
        Ok(())
    }

    /// Who closes with unread bytes resets; who writes to the dead is told.
    async fn resets() -> Result<(), Error> {
        let (client, server) = connection("10.0.0.1:1").await?;
        client.write_all(b"never read").await?;
        sleep(ms(100)).await?;
        drop(server);
        let error = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::ConnectionReset));
        assert_eq!(client.read(&mut [0]).await?, 0);
        assert_eq!(client.write(b"x").await.unwrap_err().io_kind(), Some(ErrorKind::BrokenPipe));
        assert_eq!(client.peer_addr().unwrap_err().io_kind(), Some(ErrorKind::NotConnected));

        // What has come before a reset can be read.
        let (client, server) = connection("10.0.0.1:2").await?;
        server.set_option::<opt::Linger>(Some(Duration::ZERO))?;
        server.write_all(b"bye").await?;
        drop(server);
        client.read_exact(&mut [0; 3]).await?;
        assert_eq!(client.read(&mut [0]).await.unwrap_err().io_kind(), Some(ErrorKind::ConnectionReset));

        // A write to a peer that is gone is found out by the next one.
        let (client, server) = connection("10.0.0.1:3").await?;
        drop(server);
        assert_eq!(client.read(&mut [0]).await?, 0);
        client.write_all(b"x").await?;
        sleep(ms(100)).await?;
        assert_eq!(client.write(b"x").await.unwrap_err().io_kind(), Some(ErrorKind::BrokenPipe));
        Ok(())
    }

    /// Nobody listens; the name is taken; the attempt is given up.
    async fn connections_that_fail() -> Result<(), Error> {
        let error = TcpStream::connect(at("10.0.0.1:9")).await.unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::ConnectionRefused));
        let listener = TcpListener::bind(at("10.0.0.1:9"))?;
        assert_eq!(TcpListener::bind(at("10.0.0.1:9")).unwrap_err().io_kind(), Some(ErrorKind::AddrInUse));
        sim::change(|sim| sim.loss(1.0));
        let start = sim::elapsed();
        let error = with_timeout(ms(500), || TcpStream::connect(at("10.0.0.1:9"))).await.unwrap_err();
        assert!(error.downcast_ref::<lwt_unix::Timeout>().is_some());
        assert_eq!(sim::elapsed() - start, ms(500));
        let error = TcpStream::connect(at("10.0.0.1:9")).await.unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::TimedOut));
        assert!(sim::elapsed() - start > Duration::from_secs(60));
        sim::change(|sim| sim.loss(0.0));
        drop(listener);
        assert_eq!(TcpListener::bind(at("10.0.0.1:9"))?.local_addr()?, at("10.0.0.1:9"));
        Ok(())
    }

    /// A full queue makes clients wait, and they get in when there is room.
    async fn a_full_queue() -> Result<(), Error> {
        let listener = ListenOptions::new().backlog(2).tcp(at("10.0.0.1:9"))?;
        let clients: Vec<_> = (0..8).map(|_| spawn(TcpStream::connect(at("10.0.0.1:9")))).collect();
        sleep(Duration::from_secs(10)).await?;
        assert_eq!(clients.iter().filter(|client| client.is_pending()).count(), 5);
        for _ in 0..8 {
            listener.accept().await?;
        }
        assert_eq!(all(clients).await?.len(), 8);
        Ok(())
    }

    /// Datagrams are whole, late, out of order, and lost.
    async fn datagrams() -> Result<(), Error> {
        let one = UdpSocket::bind(at("0.0.0.0:53"))?;
        let two = UdpSocket::bind(at("10.0.0.2:0"))?;
        for n in 0..50 {
            two.send_to(&[n; 10], at("10.0.0.1:53")).await?;
        }
        let mut order = Vec::new();
        for _ in 0..50 {
            let mut buf = [0; 4];
            let (n, from) = one.recv_from(&mut buf).await?;
            assert_eq!((n, from), (4, two.local_addr()?));
            order.push(buf[0]);
        }
        let sorted: Vec<u8> = (0..50).collect();
        assert_ne!(order, sorted);
        order.sort();
        assert_eq!(order, sorted);

        two.connect(at("10.0.0.1:54"))?;
        two.send(b"nobody is there").await?;
        assert_eq!(two.recv(&mut [0]).await.unwrap_err().io_kind(), Some(ErrorKind::ConnectionRefused));
        assert!(two.send_to(&[0; 70_000], at("10.0.0.1:53")).await.is_err());

        sim::change(|sim| sim.loss(0.5));
        for n in 0..100 {
            two.send_to(&[n], at("10.0.0.1:53")).await?;
        }
        sleep(ms(100)).await?;
        let mut arrived = 0;
        while one.fd().readable()? {
            one.recv(&mut [0]).await?;
            arrived += 1;
        }
        assert!((20..80).contains(&arrived), "{arrived}");
        Ok(())
    }

    /// Listeners in the file system's name space, and nameless pairs.
    async fn unix_sockets() -> Result<(), Error> {
        let name = UnixAddr::from_abstract_name(b"here")?;
        let listener = UnixListener::bind_addr(&name)?;
        let client = UnixStream::connect_addr(&name).await?;
        let (server, peer) = listener.accept().await?;
        assert!(peer.is_unnamed());
        assert_eq!(client.peer_addr()?.as_abstract_name(), Some(&b"here"[..]));
        assert_eq!(client.peer_credentials()?.pid, Some(std::process::id()));
        client.write_all(b"hello").await?;
        server.read_exact(&mut [0; 5]).await?;
        drop(server);
        assert_eq!(client.read(&mut [0]).await?, 0);
        assert_eq!(client.write(b"x").await.unwrap_err().io_kind(), Some(ErrorKind::BrokenPipe));
        drop(listener);
        let error = UnixStream::connect_addr(&name).await.unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::ConnectionRefused));
        let error = UnixStream::connect("/no/such").await.unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::NotFound));

        // Nothing is lost to a peer that does not read: the writer waits.
        let (left, right) = UnixStream::pair()?;
        let writing = spawn({
            let left = left.clone();
            async move { left.write_all(&[5; 300_000]).await }
        });
        sleep(ms(1)).await?;
        assert!(writing.is_pending());
        assert!(!left.writable()? && right.readable()?);
        let mut back = vec![0; 300_000];
        right.read_exact(&mut back).await?;
        writing.await?;
        assert!(back.iter().all(|byte| *byte == 5));
        Ok(())
    }

    /// Writes of nothing change nothing for those who wait for room; nor do those of a duplicate.
    async fn who_waits_for_room_gets_it() -> Result<(), Error> {
        sim::change(|sim| sim.window(3000));
        let (client, server) = connection("10.0.0.1:1").await?;
        let twin = client.fd().dup()?;
        let writers = [(client.fd().clone(), 100), (twin, 77)].map(|(fd, len)| {
            spawn(async move {
                for _ in 0..200 {
                    fd.write_all(&[1; 100][..len]).await?;
                    let _ = fd.try_write(&[])?;
                }
                Ok::<_, Error>(())
            })
        });
        let nothings = spawn(async move {
            for _ in 0..500 {
                sleep(Duration::from_micros(37)).await?;
                let _ = client.try_write(&[])?;
            }
            Ok::<_, Error>(())
        });
        server.read_exact(&mut vec![0; 200 * 177]).await?;
        for task in writers {
            task.await?;
        }
        nothings.await?;
        assert_eq!(server.read(&mut [0]).await?, 0);
        Ok(())
    }

    /// Who was never accepted hears of it after all that was on its way, whatever that is.
    async fn a_listener_closes_with_a_queue() -> Result<(), Error> {
        for _ in 0..10 {
            let listener = TcpListener::bind(at("10.0.0.1:1"))?;
            let waiting = spawn(TcpStream::connect(at("10.0.0.1:1")));
            // Until the opening packet has arrived; the answer is under way.
            while !listener.fd().readable()? {
                sleep(Duration::from_micros(10)).await?;
            }
            drop(listener);
            // It was connected, if only for a moment.
            let read = async { waiting.await?.read(&mut [0]).await };
            assert_eq!(read.await.unwrap_err().io_kind(), Some(ErrorKind::ConnectionReset));
            let refused = TcpStream::connect(at("10.0.0.1:1")).await.unwrap_err();
            assert_eq!(refused.io_kind(), Some(ErrorKind::ConnectionRefused));
        }
        Ok(())
    }

    /// A socket takes addresses of its own family.
    async fn families() -> Result<(), Error> {
        let socket = UdpSocket::bind(at("10.0.0.1:1"))?;
        let number = |error: Error| OsError::of(&error).and_then(OsError::raw_os_error);
        assert_eq!(socket.connect(at("[::1]:5")).map_err(number), Err(Some(libc::EAFNOSUPPORT)));
        let sent = socket.send_to(b"x", at("[::1]:5")).await;
        assert_eq!(sent.map_err(number), Err(Some(libc::EAFNOSUPPORT)));
        Ok(())
    }

    /// Closing wakes those who wait; an abort, too; nothing is left registered.
    async fn closing_and_aborting() -> Result<(), Error> {
        let (left, right) = UnixStream::pair()?;
        let reading = spawn({
            let left = left.clone();
            async move { left.read(&mut [0]).await }
        });
        let accepting = spawn({
            let right = right.clone();
            async move { right.read(&mut [0]).await }
        });
        sleep(ms(1)).await?;
        right.abort(Error::msg("aborted"));
        assert!(accepting.await.is_err());
        left.close()?;
        assert!(reading.await.is_err());
        right.close()?;
        assert_eq!(loop_stats().descriptors, 0);
        Ok(())
    }

    /// Pipes go one way, wait when they are full, and break when nobody reads.
    async fn pipes() -> Result<(), Error> {
        let (reader, writer) = lwt_unix::fd::pipe()?;
        let writing = spawn({
            let writer = writer.clone();
            async move { writer.write_all(&[3; 200_000]).await }
        });
        let mut back = vec![0; 200_000];
        reader.read_exact(&mut back).await?;
        writing.await?;
        assert!(back.iter().all(|byte| *byte == 3));
        assert!(reader.write(b"the wrong way").await.is_err());
        writer.write_all(b"unread").await?;
        drop(reader);
        assert_eq!(writer.write(b"x").await.unwrap_err().io_kind(), Some(ErrorKind::BrokenPipe));
        let (reader, writer) = lwt_unix::fd::pipe()?;
        drop(writer);
        assert_eq!(reader.read(&mut [0]).await?, 0);
        Ok(())
    }

    /// Pipes that are to be treated as if they blocked wait all the same, and for each other.
    async fn blocking_pipes() -> Result<(), Error> {
        let (reader, writer) = lwt_unix::fd::pipe()?;
        reader.set_blocking(true)?;
        writer.set_blocking(true)?;
        let writing = spawn(async move { writer.write_all(&[3; 200_000]).await });
        let mut back = vec![0; 200_000];
        reader.read_exact(&mut back).await?;
        writing.await?;
        assert_eq!(reader.read(&mut [0]).await?, 0);
        Ok(())
    }

    /// What the kernel cannot move to and from a simulated socket goes through a buffer.
    async fn files() -> Result<(), Error> {
        let (left, right) = UnixStream::pair()?;
        let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).await?;
        let mut sent = 0;
        while sent < 9 {
            sent += left.send_file(&file, sent as u64, 9 - sent).await?;
        }
        let fd = Fd::new(std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))?.into())?;
        assert_eq!(copy(&fd, left.fd(), 9).await?, 9);
        let mut back = [0; 18];
        right.read_exact(&mut back).await?;
        assert_eq!(&back, b"[package][package]");
        Ok(())
    }

    /// What flags ask for is done, or refused.
    async fn flags() -> Result<(), Error> {
        let socket = || Socket::new(Domain::V4, Type::Datagram, 0);
        let (one, two) = (socket()?, socket()?);
        two.bind(at("10.0.0.1:1")).await?;
        for _ in 0..3 {
            one.send_to(b"hello", two.local_addr()?, MsgFlags::DONT_ROUTE).await?;
        }
        let mut buf = [0; 2];
        assert_eq!(two.recv(&mut buf, MsgFlags::REAL_LENGTH | MsgFlags::PEEK).await?, 5);
        assert_eq!(two.recv_from(&mut buf, MsgFlags::REAL_LENGTH).await?.0, 5);
        assert_eq!(two.recv_from(&mut buf, MsgFlags::NONE).await?.0, 2);
        let message = two.recv_msg(&mut [IoSliceMut::new(&mut buf)]).await?;
        assert_eq!((message.bytes, message.truncated), (2, true));
        let (client, server) = connection("10.0.0.1:2").await?;
        let (client, server) = (Socket::from(&client), Socket::from(&server));
        let number = |error: Error| OsError::of(&error).and_then(OsError::raw_os_error);
        let urgent = client.send(b"x", MsgFlags::OUT_OF_BAND).await;
        assert_eq!(urgent.map_err(number), Err(Some(libc::EOPNOTSUPP)));
        let urgent = server.recv(&mut buf, MsgFlags::OUT_OF_BAND).await;
        assert_eq!(urgent.map_err(number), Err(Some(libc::EOPNOTSUPP)));
        Ok(())
    }

    /// A duplicate keeps the connection alive.
    async fn duplicates() -> Result<(), Error> {
        let (left, right) = UnixStream::pair()?;
        let twin: Fd = left.fd().dup()?;
        drop(left);
        right.write_all(b"x").await?;
        twin.read_exact(&mut [0]).await?;
        twin.write_all(b"y").await?;
        right.read_exact(&mut [0]).await?;
        drop(twin);
        assert_eq!(right.read(&mut [0]).await?, 0);
        Ok(())
    }

    /// A plan of faults is in force in a simulation as anywhere.
    async fn faults_in_a_simulation() -> Result<(), Error> {
        let plan = Plan::seeded(3)
            .with(Rule::on(["socket"]).nth(2).error(libc::EMFILE))
            .with(Rule::any().chance(0.3).interrupted(2))
            .with(Rule::reads().every(2).would_block())
            .with(Rule::writes().short(7));
        let faults = plan.install();
        let listener = TcpListener::bind(at("10.0.0.1:1"))?;
        assert!(TcpStream::connect(at("10.0.0.1:1")).await.is_err());
        let client = TcpStream::connect(at("10.0.0.1:1")).await?;
        let (server, _) = listener.accept().await?;
        client.write_all(&[1; 100]).await?;
        server.read_exact(&mut [0; 100]).await?;
        assert!(faults.injected_by_rule().iter().all(|n| *n > 0), "{faults:?}");
        Ok(())
    }
}

/// Lost packets delay a connection, and lose nothing; connections that break are reset at both ends.
#[test]
fn a_bad_network() {
    guarded("a_bad_network", || {
        let transfer = || async {
            let (client, server) = connection("10.0.0.1:80").await?;
            let reading = spawn(async move {
                let mut back = vec![0; 50_000];
                server.read_exact(&mut back).await?;
                Ok::<_, Error>(back)
            });
            let sent: Vec<u8> = (0..50_000u32).map(|n| (n % 253) as u8).collect();
            for part in sent.chunks(1000) {
                client.write_all(part).await?;
            }
            assert!(reading.await? == sent);
            Ok::<_, Error>(sim::elapsed())
        };
        let mut broken = 0;
        for seed in sim::seeds(20) {
            let good = Sim::new().seed(seed).run(transfer).unwrap();
            let slow = Sim::new().seed(seed).loss(0.1).run(transfer);
            assert!(slow.is_err() || slow.unwrap() > good + ms(100));
            match Sim::new().seed(seed).breaks(0.01).run(transfer) {
                Ok(_) => {}
                Err(error) => {
                    let kinds =
                        [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::ConnectionRefused];
                    assert!(error.io_kind().is_some_and(|kind| kinds.contains(&kind)), "{error:?}");
                    broken += 1;
                }
            }
        }
        assert!(broken > 0 || sim::seeds(20).count() == 1);
    });
}

/// Latency is what it is said to be.
#[test]
fn latency_is_what_it_is_said_to_be() {
    guarded("latency_is_what_it_is_said_to_be", || {
        let took = Sim::new()
            .latency(ms(10)..=ms(10))
            .partial(0.0)
            .run(|| async {
                let (client, server) = connection("10.0.0.1:80").await?;
                assert_eq!(sim::elapsed(), ms(20));
                client.write_all(b"x").await?;
                server.read_exact(&mut [0]).await?;
                Ok::<_, Error>(sim::elapsed())
            })
            .unwrap();
        assert_eq!(took, ms(30));
    });
}
