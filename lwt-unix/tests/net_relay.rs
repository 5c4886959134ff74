//! Two connections that are one: bytes, ends, resets and interruptions pass between them.

use std::time::Duration;

use lwt_core::{Error, Promise, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::Traffic;
use lwt_unix::net::{Relay, Shutdown, Socket, TcpListener, TcpStream, UnixStream, opt};
use net_support::{loopback, pattern, settle};

mod net_support;

/// A client, a server, and what is to be relayed between them.
struct Chain {
    client: TcpStream,
    left: Socket,
    right: Socket,
    server: TcpStream,
}

async fn chain() -> Result<Chain, Error> {
    let listener = TcpListener::bind(loopback())?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (left, _) = listener.accept().await?;
    let right = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok(Chain { client, left: Socket::from(&left), right: Socket::from(&right), server })
}

impl Chain {
    fn relay(&self) -> (Promise<()>, Traffic, Traffic) {
        let mut relay = Relay::new(&self.left, &self.right);
        let (there, back) = relay.traffic();
        (spawn(async move { relay.run().await }), there, back)
    }
}

/// Sends everything and ends, while it reads to the end.
fn talk(stream: TcpStream, data: Vec<u8>) -> Promise<Vec<u8>> {
    let reader = stream.clone();
    spawn(async move {
        let sending = spawn(async move {
            stream.write_all(&data).await?;
            stream.shutdown(Shutdown::Write)
        });
        let mut all = Vec::new();
        let mut buf = vec![0; 7000];
        loop {
            match reader.read(&mut buf).await? {
                0 => break,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
        sending.await.map(|()| all)
    })
}

/// A reset instead of an end.
fn reset(stream: &TcpStream) -> Result<(), Error> {
    stream.set_option::<opt::Linger>(Some(Duration::ZERO))?;
    stream.close()
}

lwt_unix::test! {
    async fn both_directions_at_once_to_their_ends() -> Result<(), Error> {
        let cut = Plan::seeded(11)
            .with(Rule::any().chance(0.1).interrupted(3))
            .with(Rule::on(["splice", "recv", "send"]).chance(0.4).short(3000))
            .with(Rule::on(["splice"]).chance(0.1).would_block());
        let refusing = Plan::seeded(11).with(Rule::on(["splice"]).error(libc::EINVAL));
        for plan in [Plan::seeded(11), cut, refusing] {
            let _faults = plan.install();
            let chain = chain().await?;
            let (relaying, there, back) = chain.relay();
            let client = talk(chain.client.clone(), pattern(3_000_000));
            let server = talk(chain.server.clone(), pattern(1_000_000));
            assert!(client.await? == pattern(1_000_000));
            assert!(server.await? == pattern(3_000_000));
            relaying.await?;
            assert_eq!((there.given(), back.given()), (3_000_000, 1_000_000));
            assert_eq!((there.taken(), back.taken()), (3_000_000, 1_000_000));
        }
        Ok(())
    }

    async fn one_end_does_not_end_the_other() -> Result<(), Error> {
        let chain = chain().await?;
        let (relaying, there, _) = chain.relay();
        chain.client.write_all(b"question").await?;
        chain.client.shutdown(Shutdown::Write)?;
        let mut buf = [0; 16];
        chain.server.read_exact(&mut buf[..8]).await?;
        assert_eq!(chain.server.read(&mut buf).await?, 0);
        assert_eq!(there.given(), 8);
        settle().await?;
        assert!(relaying.is_pending());
        chain.server.write_all(b"an answer, late").await?;
        chain.client.read_exact(&mut buf[..15]).await?;
        assert!(relaying.is_pending());
        chain.server.shutdown(Shutdown::Write)?;
        assert_eq!(chain.client.read(&mut buf).await?, 0);
        relaying.await
    }

    async fn a_reset_ends_everything_and_is_told() -> Result<(), Error> {
        for of_the_client in [true, false] {
            let chain = chain().await?;
            let (relaying, ..) = chain.relay();
            settle().await?;
            reset(if of_the_client { &chain.client } else { &chain.server })?;
            let error = relaying.await.expect_err("a reset");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }

    async fn what_a_deaf_side_has_said_before_is_passed_on() -> Result<(), Error> {
        let (client, left) = UnixStream::pair()?;
        let (right, server) = UnixStream::pair()?;
        let mut relay = Relay::new(&Socket::from(&left), &Socket::from(&right));
        server.write_all(b"a last word").await?;
        server.shutdown(Shutdown::Read)?;
        client.write_all(b"to deaf ears").await?;
        let error = spawn(async move { relay.run().await }).await.expect_err("nobody listened");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::BrokenPipe));
        let mut buf = [0; 32];
        assert_eq!(client.read(&mut buf).await?, 11);
        assert_eq!(&buf[..11], b"a last word");
        // No end was made up for what has not ended.
        assert_eq!(client.try_read(&mut buf)?, None);
        Ok(())
    }

    async fn an_interrupted_relay_goes_on_where_it_was() -> Result<(), Error> {
        let chain = chain().await?;
        let client = talk(chain.client.clone(), pattern(2_000_000));
        let server = talk(chain.server.clone(), pattern(2_000_000));
        let mut relay = Relay::new(&chain.left, &chain.right);
        let (there, back) = relay.traffic();
        for turn in 0.. {
            let run = spawn(async move {
                let done = relay.run().await;
                Ok::<_, Error>((relay, done))
            });
            for _ in 0..turn % 7 {
                lwt_core::pause().await?;
            }
            run.cancel();
            let done;
            (relay, done) = run.await?;
            match done {
                Ok(()) => break,
                Err(error) => assert!(error.is_canceled(), "{error:?}"),
            }
            lwt_unix::sleep(Duration::from_micros(200)).await?;
        }
        assert!(client.await? == pattern(2_000_000) && server.await? == pattern(2_000_000));
        assert_eq!((there.given(), back.given(), relay.held()), (2_000_000, 2_000_000, (0, 0)));
        Ok(())
    }

    async fn a_side_that_is_closed_or_aborted_here_ends_it() -> Result<(), Error> {
        for abort in [false, true] {
            let chain = chain().await?;
            let (relaying, ..) = chain.relay();
            settle().await?;
            if abort {
                chain.right.abort(Error::msg("enough"))
            } else {
                chain.right.close()?
            }
            let error = relaying.await.expect_err("it ends");
            assert!(!abort || error.to_string() == "enough", "{error:?}");
        }
        Ok(())
    }

    async fn a_slow_reader_holds_the_writer_back() -> Result<(), Error> {
        let chain = chain().await?;
        let (relaying, there, _) = chain.relay();
        let writer = chain.client.clone();
        let writing = spawn(async move {
            writer.write_all(&pattern(40_000_000)).await?;
            writer.shutdown(Shutdown::Write)
        });
        for _ in 0..10 {
            settle().await?;
        }
        assert!(writing.is_pending() && there.taken() < 40_000_000, "{there:?}");
        chain.server.shutdown(Shutdown::Write)?;
        let mut got = vec![0; 40_000_000];
        chain.server.read_exact(&mut got).await?;
        assert!(got == pattern(40_000_000));
        writing.await?;
        relaying.await
    }
}
