//! TCP: echo, half-close, resets, refusals, readiness under load, vectors, accepting.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use lwt_core::{Error, spawn};
use lwt_unix::fd::{Fd, OsError};
use lwt_unix::net::{ListenOptions, Shutdown, TcpListener, TcpStream, UnixStream, opt};
use net_support::{deaf_port, detach, loopback, pattern, run, settle};

mod net_support;

async fn pair() -> Result<(TcpStream, TcpStream), Error> {
    let listener = TcpListener::bind(loopback())?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, peer) = listener.accept().await?;
    assert_eq!(peer, client.local_addr()?);
    assert_eq!(client.peer_addr()?, server.local_addr()?);
    Ok((client, server))
}

async fn echo(stream: TcpStream, size: usize) -> Result<(), Error> {
    let mut buf = vec![0; size];
    loop {
        match stream.read(&mut buf).await? {
            0 => return stream.shutdown(Shutdown::Write),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

#[test]
fn echo_by_turns_and_half_close() {
    run(async {
        let (client, server) = pair().await?;
        let serving = spawn(echo(server, 1024));
        let mut buf = [0; 64];
        for turn in 0..500_u32 {
            let message = turn.to_be_bytes();
            client.write_all(&message).await?;
            let n = client.read(&mut buf).await?;
            assert_eq!(&buf[..n], &message);
        }
        client.shutdown(Shutdown::Write)?;
        assert_eq!(client.read(&mut buf).await?, 0);
        assert_eq!(client.read(&mut buf).await?, 0, "the end stays the end");
        serving.await
    });
}

/// Every mixture of a message's size with the sizes of the buffers: a readiness that is dropped too early
/// hangs.
#[test]
fn partial_reads_of_large_messages_never_hang() {
    run(async {
        for (size, reading) in
            [(1, 1), (100, 7), (4096, 4096), (70_000, 4096), (1_000_000, 1000), (3_000_000, 65_536)]
        {
            let (client, server) = pair().await?;
            detach(echo(server, reading));
            let message = pattern(size);
            let (sender, expected) = (client.clone(), message.clone());
            let sending = spawn(async move {
                sender.write_all(&message).await?;
                sender.shutdown(Shutdown::Write)
            });
            let mut got = Vec::new();
            let mut buf = vec![0; reading];
            loop {
                match client.read(&mut buf).await? {
                    0 => break,
                    n => got.extend_from_slice(&buf[..n]),
                }
            }
            sending.await?;
            assert!(got == expected, "{size} bytes through {reading}");
        }
        Ok(())
    });
}

/// The end arrives together with the last bytes, in one event; the short read must not hide it.
#[test]
fn the_end_right_behind_the_data_is_seen() {
    run(async {
        for _ in 0..200 {
            let (client, server) = pair().await?;
            let reading = spawn(async move {
                let mut buf = [0; 64];
                let mut all = 0;
                loop {
                    match server.read(&mut buf).await? {
                        0 => return Ok::<_, Error>(all),
                        n => all += n,
                    }
                }
            });
            client.write_all(b"last words").await?;
            drop(client);
            assert_eq!(reading.await?, 10);
        }
        Ok(())
    });
}

#[test]
fn a_reset_in_mid_message_is_an_error_once() {
    run(async {
        let (client, server) = pair().await?;
        let other = server.clone();
        let reading = spawn(async move {
            let mut buf = [0; 64];
            other.read_exact(&mut buf).await
        });
        client.write_all(b"the first half").await?;
        settle().await?;
        client.set_option::<opt::Linger>(Some(Duration::ZERO))?;
        client.close()?;
        let error = reading.await.expect_err("reset");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionReset));
        assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::ECONNRESET));
        // And writing says so, without a signal.
        let error = server.write_all(b"anybody?").await.expect_err("reset");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::BrokenPipe));
        assert!(server.shutdown(Shutdown::Both).is_err());
        Ok(())
    });
}

#[test]
fn writing_to_one_who_has_gone_ends() {
    run(async {
        let (client, server) = pair().await?;
        drop(server);
        let error = loop {
            if let Err(error) = client.write_all(&[0; 100_000]).await {
                break error;
            }
        };
        let kind = error.io_kind();
        assert!(
            kind == Some(std::io::ErrorKind::BrokenPipe) || kind == Some(std::io::ErrorKind::ConnectionReset),
            "{error:?}"
        );
        Ok(())
    });
}

#[test]
fn a_refused_connection_says_who_refused() {
    run(async {
        let (_deaf, address) = deaf_port().await?;
        for _ in 0..20 {
            let error = TcpStream::connect(address).await.map(drop).expect_err("nobody listens");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
            let os = OsError::of(&error).expect("a system error");
            assert_eq!((os.call(), os.subject()), ("connect", Some(address.to_string().as_str())));
        }
        Ok(())
    });
}

#[test]
fn the_address_in_use_is_named() {
    let first = ListenOptions::new().tcp(loopback()).expect("a port");
    let address = first.local_addr().expect("an address");
    let error = TcpListener::bind(address).map(drop).expect_err("in use");
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrInUse));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let shared = ListenOptions::new().reuse_port(true);
    let one = shared.tcp(loopback()).expect("a port");
    shared.tcp(one.local_addr().expect("an address")).expect("the same port");
}

#[test]
fn connecting_from_a_chosen_address() {
    run(async {
        let listener = TcpListener::bind(loopback())?;
        let from = SocketAddr::from(([127, 0, 0, 5], 0));
        let client = TcpStream::connect_from(from, listener.local_addr()?).await?;
        let (_server, peer) = listener.accept().await?;
        assert_eq!(peer.ip(), from.ip());
        assert_eq!(peer, client.local_addr()?);
        Ok(())
    });
}

#[test]
fn ipv6_works_where_there_is_one() {
    run(async {
        let Ok(listener) = ListenOptions::new().v6_only(true).tcp("[::1]:0".parse().expect("an address"))
        else {
            return Ok(());
        };
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        assert!(listener.fd().option::<opt::V6Only>()?);
        client.write_all(b"six").await?;
        server.read_exact(&mut [0; 3]).await
    });
}

#[test]
fn a_slow_reader_holds_the_writer_back_and_loses_nothing() {
    run(async {
        let (client, server) = pair().await?;
        client.set_option::<opt::SendBuffer>(16 * 1024)?;
        server.set_option::<opt::ReceiveBuffer>(16 * 1024)?;
        let message = pattern(2_000_000);
        let expected = message.clone();
        let writing = spawn(async move {
            client.write_all(&message).await?;
            client.close()
        });
        settle().await?;
        assert!(writing.is_pending());
        let mut got = Vec::new();
        let mut buf = vec![0; 50_000];
        loop {
            match server.read(&mut buf).await? {
                0 => break,
                n => got.extend_from_slice(&buf[..n]),
            }
            if got.len() % 3 == 0 {
                settle().await?;
            }
        }
        writing.await?;
        assert!(got == expected);
        Ok(())
    });
}

/// Reading and writing at the same time on one connection, both ends full.
#[test]
fn both_directions_at_once() {
    run(async {
        let (client, server) = pair().await?;
        const SIZE: usize = 2_000_000;
        let both = |stream: TcpStream| {
            let writer = stream.clone();
            let writing = spawn(async move { writer.write_all(&pattern(SIZE)).await });
            let reading = spawn(async move {
                let mut buf = vec![0; SIZE];
                stream.read_exact(&mut buf).await?;
                assert!(buf == pattern(SIZE));
                Ok::<_, Error>(())
            });
            lwt_core::both(writing, reading)
        };
        lwt_core::both(both(client), both(server)).await?;
        Ok(())
    });
}

#[test]
fn vectored_reading_and_writing() {
    run(async {
        let (client, server) = pair().await?;
        let parts = [pattern(10), vec![], pattern(100_000), pattern(3)];
        let whole = parts.concat();
        let len = whole.len();
        let writing = spawn(async move {
            let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            client.writev_all(&mut slices).await
        });
        let mut got = Vec::new();
        while got.len() < len {
            let (mut a, mut b) = ([0; 11], [0; 1000]);
            let n = server.readv(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).await?;
            let joined = [&a[..], &b[..]].concat();
            got.extend_from_slice(&joined[..n]);
        }
        writing.await?;
        assert!(got == whole);
        Ok(())
    });
}

#[test]
fn peeking_leaves_the_bytes() {
    run(async {
        let (client, server) = pair().await?;
        client.write_all(b"look").await?;
        let mut buf = [0; 8];
        assert_eq!(server.peek(&mut buf).await?, 4);
        assert_eq!(server.peek(&mut buf).await?, 4);
        assert_eq!(server.read(&mut buf).await?, 4);
        assert!(server.try_read(&mut buf)?.is_none());
        Ok(())
    });
}

#[test]
fn options_keep_what_was_set() {
    run(async {
        let (client, _server) = pair().await?;
        assert!(!client.nodelay()?);
        client.set_nodelay(true)?;
        assert!(client.nodelay()?);
        client.set_option::<opt::KeepAlive>(true)?;
        assert!(client.option::<opt::KeepAlive>()?);
        client.set_option::<opt::KeepAliveIdle>(Duration::from_millis(1500))?;
        assert_eq!(
            client.option::<opt::KeepAliveIdle>()?,
            Duration::from_secs(2),
            "never shorter than asked for"
        );
        client.set_option::<opt::UserTimeout>(Duration::from_micros(2500))?;
        assert_eq!(client.option::<opt::UserTimeout>()?, Duration::from_millis(3));
        client.set_option::<opt::Linger>(Some(Duration::ZERO))?;
        assert_eq!(client.option::<opt::Linger>()?, Some(Duration::ZERO));
        client.set_option::<opt::Linger>(None)?;
        assert_eq!(client.option::<opt::Linger>()?, None);
        client.set_option::<opt::ReceiveBuffer>(64 * 1024)?;
        assert!(client.option::<opt::ReceiveBuffer>()? >= 64 * 1024);
        client.set_option::<opt::Ttl>(9)?;
        assert_eq!(client.option::<opt::Ttl>()?, 9);
        assert!(client.option::<opt::PendingError>()?.is_none());
        assert!(!client.option::<opt::Listening>()?);
        let error = client.set_option::<opt::KeepAliveIdle>(Duration::MAX).expect_err("too long");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
        let (pipe, _writer) = std::io::pipe()?;
        let error = Fd::new(pipe.into())?.option::<opt::NoDelay>().expect_err("no socket");
        let os = OsError::of(&error).expect("a system error");
        assert_eq!((os.raw_os_error(), os.subject()), (Some(libc::ENOTSOCK), Some("TCP_NODELAY")));
        Ok(())
    });
}

#[test]
fn accept_n_takes_what_is_there() {
    run(async {
        let listener = TcpListener::bind(loopback())?;
        let address = listener.local_addr()?;
        assert!(matches!(listener.accept_n(0).await, (none, None) if none.is_empty()));
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(std::net::TcpStream::connect(address)?);
        }
        let (three, error) = listener.accept_n(3).await;
        assert!(three.len() == 3 && error.is_none());
        let (two, error) = listener.accept_n(100).await;
        assert!(two.len() == 2 && error.is_none());
        // And it waits for the first one.
        let other = listener.clone();
        let waiting = spawn(async move {
            let (streams, error) = other.accept_n(2).await;
            error.map_or(Ok(streams.len()), Err)
        });
        settle().await?;
        assert!(waiting.is_pending());
        clients.push(std::net::TcpStream::connect(address)?);
        assert_eq!(waiting.await?, 1);
        let other = listener.clone();
        let closed = spawn(async move {
            let (streams, error) = other.accept_n(2).await;
            assert!(streams.is_empty());
            error.map_or(Ok(()), Err)
        });
        settle().await?;
        listener.close()?;
        assert!(OsError::of(&closed.await.expect_err("closed")).is_some_and(OsError::is_closed));
        Ok(())
    });
}

#[test]
fn a_cancelled_accept_loses_no_connection() {
    run(async {
        let listener = TcpListener::bind(loopback())?;
        let address = listener.local_addr()?;
        for round in 0..20 {
            let other = listener.clone();
            let accepting = spawn(async move { other.accept().await });
            settle().await?;
            let mut client = std::net::TcpStream::connect(address)?;
            if round % 2 == 0 {
                accepting.cancel();
                assert!(accepting.await.map(drop).expect_err("cancelled").is_canceled());
            } else {
                drop(accepting);
                continue;
            }
            let (server, _) = listener.accept().await?;
            client.write_all(b"x")?;
            server.read_exact(&mut [0; 1]).await?;
            server.write_all(b"y").await?;
            client.read_exact(&mut [0; 1])?;
        }
        Ok(())
    });
}

#[test]
fn closing_a_listener_ends_its_incoming() {
    run(async {
        let listener = TcpListener::bind(loopback())?;
        let address = listener.local_addr()?;
        let other = listener.clone();
        let serving = spawn(async move {
            let mut incoming = other.incoming();
            let mut served = 0;
            loop {
                match incoming.next().await {
                    Ok((stream, _)) => {
                        stream.write_all(b"x").await?;
                        served += 1;
                    }
                    Err(error) if OsError::of(&error).is_some_and(OsError::is_closed) => {
                        return Ok::<_, Error>(served);
                    }
                    Err(error) => return Err(error),
                }
            }
        });
        for _ in 0..3 {
            TcpStream::connect(address).await?.read_exact(&mut [0; 1]).await?;
        }
        listener.close()?;
        assert_eq!(serving.await?, 3);
        assert!(TcpStream::connect(address).await.is_err());
        Ok(())
    });
}

#[test]
fn closing_a_stream_wakes_its_writer() {
    run(async {
        let (client, _server) = pair().await?;
        let writer = client.clone();
        let writing = spawn(async move { writer.write_all(&vec![0; 50_000_000]).await });
        settle().await?;
        assert!(writing.is_pending());
        client.close()?;
        assert!(OsError::of(&writing.await.expect_err("closed")).is_some_and(OsError::is_closed));
        Ok(())
    });
}

#[test]
fn everything_is_close_on_exec_and_non_blocking() {
    run(async {
        let listener = TcpListener::bind(loopback())?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        let (left, right) = UnixStream::pair()?;
        let adopted = TcpStream::try_from(std::net::TcpStream::connect(listener.local_addr()?)?)?;
        for fd in [listener.fd(), client.fd(), server.fd(), left.fd(), right.fd(), adopted.fd()] {
            // SAFETY: both commands take no argument.
            let (own, shared) = unsafe {
                (libc::fcntl(fd.as_raw_fd(), libc::F_GETFD), libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))
            };
            assert_ne!(own & libc::FD_CLOEXEC, 0, "{fd:?}");
            assert_ne!(shared & libc::O_NONBLOCK, 0, "{fd:?}");
        }
        Ok(())
    });
}

#[test]
fn streams_of_the_standard_library_are_taken_over() {
    run(async {
        let listener = TcpListener::try_from(std::net::TcpListener::bind("127.0.0.1:0")?)?;
        let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept().await?;
        let client = TcpStream::try_from(theirs)?;
        let serving = spawn(echo(server, 100));
        client.write_all(b"over").await?;
        client.read_exact(&mut [0; 4]).await?;
        drop(client);
        serving.await
    });
}
