//! Descriptors whose open file description blocks, or is not ours to change: what happens to their flags, and
//! that nothing blocks, is lost, or hangs.

use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::task::Poll;

use lwt_core::{Error, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::{Fd, OsError, pipe};
use lwt_unix::net::UnixStream;
use net_support::{TempDir, pattern, settle};

mod net_support;

/// Whether the open file description is non-blocking.
fn nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: the command takes no argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

fn close_on_exec(fd: &impl AsRawFd) -> bool {
    // SAFETY: the command takes no argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

/// A pipe whose reading end is shared: an `Fd` that leaves the flags alone, and the writing end.
fn shared_pipe() -> Result<(Fd, std::io::PipeWriter), Error> {
    let (reader, writer) = std::io::pipe()?;
    Ok((Fd::shared(reader.into())?, writer))
}

/// A kernel that knows no `RWF_NOWAIT`.
fn old_kernel() -> Plan {
    Plan::seeded(1).with(Rule::on(["preadv2", "pwritev2"]).error(libc::EOPNOTSUPP))
}

/// A pseudo-terminal in raw mode: its master end, and the terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let ends = nix::pty::openpty(None, None).expect("a terminal");
    let mut raw = nix::sys::termios::tcgetattr(&ends.slave).expect("its attributes");
    nix::sys::termios::cfmakeraw(&mut raw);
    nix::sys::termios::tcsetattr(&ends.slave, nix::sys::termios::SetArg::TCSANOW, &raw).expect("raw mode");
    (ends.master, ends.slave)
}

lwt_unix::test! {
    async fn the_options_do_what_their_table_says() -> Result<(), Error> {
        for (blocking, set, flag, treated) in [
            (None, true, true, false),
            (None, false, false, true),
            (Some(true), true, false, true),
            (Some(true), false, false, true),
            (Some(false), true, true, false),
        ] {
            let (reader, _writer) = std::io::pipe()?;
            let mut options = Fd::options().set_flags(set);
            if let Some(blocking) = blocking {
                options = options.blocking(blocking);
            }
            let fd = options.adopt(reader.into())?;
            assert_eq!((nonblocking(&fd), fd.blocking()), (flag, treated), "{options:?}");
            assert!(close_on_exec(&fd));
        }
        // What is non-blocking already is found to be so, and what is made blocking is.
        let (reader, _writer) = pipe()?;
        let raw = reader.hold()?.as_fd().try_clone_to_owned()?;
        let found = Fd::options().set_flags(false).adopt(raw)?;
        assert!(!found.blocking() && nonblocking(&found));
        let raw = reader.hold()?.as_fd().try_clone_to_owned()?;
        assert!(!nonblocking(&Fd::options().blocking(true).adopt(raw)?));
        Ok(())
    }

    async fn the_mode_changes_with_or_without_the_flag() -> Result<(), Error> {
        let (reader, _writer) = pipe()?;
        reader.set_blocking(true)?;
        assert!(reader.blocking() && !nonblocking(&reader));
        reader.set_blocking(false)?;
        assert!(!reader.blocking() && nonblocking(&reader));
        reader.treat_as_blocking(true);
        assert!(reader.blocking() && nonblocking(&reader));
        let (left, right) = UnixStream::pair()?;
        left.set_blocking(true)?;
        assert!(left.blocking() && !nonblocking(left.fd()));
        // It would block the loop here if its calls did.
        let reading = spawn(async move {
            let mut buf = [0; 4];
            left.read_exact(&mut buf).await?;
            left.write_all(b"back").await?;
            Ok::<_, Error>(buf)
        });
        settle().await?;
        right.write_all(b"go").await?;
        settle().await?;
        right.write_all(b"od").await?;
        assert_eq!(&reading.await?, b"good");
        right.read_exact(&mut [0; 4]).await?;
        reader.close()?;
        assert!(reader.set_blocking(true).is_err());
        Ok(())
    }

    async fn a_shared_pipe_is_read_as_it_fills() -> Result<(), Error> {
        for plan in [Plan::seeded(1), old_kernel()] {
            let _faults = plan.install();
            let (reader, mut writer) = shared_pipe()?;
            let other = reader.clone();
            let reading = spawn(async move {
                let mut all = Vec::new();
                let mut buf = [0; 5];
                loop {
                    match other.read(&mut buf).await? {
                        0 => return Ok::<_, Error>(all),
                        n => all.extend_from_slice(&buf[..n]),
                    }
                }
            });
            for part in [&b"one "[..], b"and another", b" end"] {
                settle().await?;
                assert!(reading.is_pending());
                writer.write_all(part)?;
            }
            drop(writer);
            assert_eq!(reading.await?, b"one and another end");
            assert!(!nonblocking(&reader));
        }
        Ok(())
    }

    async fn a_shared_pipe_is_written_as_it_empties() -> Result<(), Error> {
        for plan in [Plan::seeded(1), old_kernel()] {
            let _faults = plan.install();
            let (mut reader, writer) = std::io::pipe()?;
            let writer = Fd::shared(writer.into())?;
            let data = pattern(300_000);
            let sent = data.clone();
            let other = writer.clone();
            let writing = spawn(async move { other.write_all(&sent).await });
            settle().await?;
            assert!(writing.is_pending(), "a pipe does not hold so much");
            assert!(!nonblocking(&writer));
            let got = lwt_unix::detach(move || {
                let mut got = vec![0; 300_000];
                reader.read_exact(&mut got).map(|()| got)
            });
            writing.await?;
            assert!(got.await?? == data);
        }
        Ok(())
    }

    async fn a_cancelled_read_loses_nothing() -> Result<(), Error> {
        for plan in [Plan::seeded(1), old_kernel()] {
            let _faults = plan.install();
            let (reader, mut writer) = shared_pipe()?;
            let data = pattern(20_000);
            let mut got = Vec::new();
            for (turn, chunk) in data.chunks(100).enumerate() {
                // Cancelled before there is anything, when there is something and a thread may have it, or
                // never.
                let other = reader.clone();
                let read = spawn(async move {
                    let mut buf = [0; 64];
                    let n = other.read(&mut buf).await?;
                    Ok::<_, Error>(buf[..n].to_vec())
                });
                if turn % 3 == 0 {
                    read.cancel();
                }
                writer.write_all(chunk)?;
                for _ in 0..turn % 5 {
                    lwt_core::pause().await?;
                }
                if turn % 3 == 1 {
                    read.cancel();
                }
                match read.await {
                    Ok(bytes) => got.extend(bytes),
                    Err(error) => assert!(error.is_canceled(), "{error:?}"),
                }
            }
            drop(writer);
            loop {
                let mut buf = [0; 1000];
                match reader.read(&mut buf).await? {
                    0 => break,
                    n => got.extend_from_slice(&buf[..n]),
                }
            }
            assert!(got == data, "{} of {} bytes", got.len(), data.len());
        }
        Ok(())
    }

    async fn closing_and_aborting_reject_whoever_waits() -> Result<(), Error> {
        for plan in [Plan::seeded(1), old_kernel()] {
            let _faults = plan.install();
            for abort in [false, true] {
                let (reader, _writer) = shared_pipe()?;
                let (_reader, writer) = std::io::pipe()?;
                let writer = Fd::shared(writer.into())?;
                let read = {
                    let fd = reader.clone();
                    spawn(async move { fd.read(&mut [0; 4]).await })
                };
                let write = {
                    let fd = writer.clone();
                    spawn(async move { fd.write_all(&[0; 200_000]).await })
                };
                settle().await?;
                assert!(read.is_pending() && write.is_pending());
                for fd in [&reader, &writer] {
                    if abort { fd.abort(Error::msg("on purpose")) } else { fd.close()? }
                }
                for error in [read.await.expect_err("it ends"), write.await.expect_err("it ends")] {
                    if abort {
                        assert_eq!(error.to_string(), "on purpose");
                    } else {
                        assert!(OsError::of(&error).is_some_and(OsError::is_closed), "{error:?}");
                    }
                }
            }
        }
        Ok(())
    }

    async fn a_shared_terminal_is_read_and_written() -> Result<(), Error> {
        let (master, slave) = terminal();
        let kept = slave.try_clone()?;
        let master = Fd::new(master)?;
        let slave = Fd::shared(slave)?;
        assert!(slave.isatty()?);
        let reading = {
            let slave = slave.clone();
            spawn(async move {
                let mut buf = [0; 5];
                slave.read_exact(&mut buf).await.map(|()| buf)
            })
        };
        settle().await?;
        assert!(reading.is_pending());
        master.write_all(b"typed").await?;
        assert_eq!(&reading.await?, b"typed");
        // More than the terminal holds.
        let data: Vec<u8> = pattern(50_000);
        let writing = {
            let (slave, data) = (slave.clone(), data.clone());
            spawn(async move { slave.write_all(&data).await })
        };
        let mut got = vec![0; 50_000];
        master.read_exact(&mut got).await?;
        writing.await?;
        assert!(got == data);
        assert!(!nonblocking(&kept));
        Ok(())
    }

    async fn a_regular_file_is_read_and_written_through_an_fd() -> Result<(), Error> {
        let uncached = Plan::seeded(1).with(Rule::on(["preadv2"]).would_block());
        for (plan, by_threads) in [(Plan::seeded(1), false), (old_kernel(), true), (uncached, true)] {
            let _faults = plan.install();
            let dir = TempDir::new();
            let path = dir.path().join("file");
            let data = pattern(700_000);
            let fd = Fd::new(std::fs::File::create(&path)?.into())?;
            assert!(fd.blocking() && !fd.isatty()?);
            fd.write_all(&data).await?;
            assert_eq!(fd.try_write(b"x")?, None);
            fd.close()?;
            let fd = Fd::new(std::fs::File::open(&path)?.into())?;
            let mut got = Vec::new();
            let mut buf = vec![0; 10_007];
            loop {
                if by_threads && got.len() % 3 == 0 {
                    // Given up while a thread reads: what that brings is not lost.
                    let other = fd.clone();
                    let read = spawn(async move { other.read(&mut [0; 100]).await });
                    read.cancel();
                    assert!(read.await.is_err_and(|error| error.is_canceled()));
                }
                match std::future::poll_fn(|cx| fd.poll_read(cx, &mut buf)).await? {
                    0 => break,
                    n => got.extend_from_slice(&buf[..n]),
                }
            }
            assert!(got == data, "{} bytes", got.len());
        }
        Ok(())
    }

    async fn a_write_that_has_begun_is_not_taken_back() -> Result<(), Error> {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        let fd = Fd::new(std::fs::File::create(&path)?.into())?;
        let mut count = 0;
        for turn in 0..50 {
            let other = fd.clone();
            let write = spawn(async move { other.write(&[b'x'; 1000]).await });
            for _ in 0..turn % 3 {
                lwt_core::pause().await?;
            }
            write.cancel();
            match write.await {
                Ok(n) => count += n,
                Err(error) => assert!(error.is_canceled(), "{error:?}"),
            }
            assert_eq!(std::fs::metadata(&path)?.len(), count as u64);
        }
        assert!(count > 0);
        Ok(())
    }

    async fn writes_that_were_dropped_keep_their_order() -> Result<(), Error> {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        let fd = Fd::new(std::fs::File::create(&path)?.into())?;
        for digit in 0..100_u8 {
            let other = fd.clone();
            let write = spawn(async move { other.write_all(&[digit; 64]).await });
            if digit % 2 == 0 {
                write.await?;
            } else {
                // Dropped when a thread has it already, and the next comes at once.
                let dropped = fd.clone();
                drop(write);
                drop(dropped);
            }
        }
        fd.write_all(&[100; 64]).await?;
        let got = std::fs::read(&path)?;
        assert_eq!(got.len(), 101 * 64);
        assert!(got.is_sorted(), "in the order in which they were begun");
        Ok(())
    }

    async fn polls_write_once_what_they_say_they_have() -> Result<(), Error> {
        let _faults = old_kernel().install();
        let (reader, writer) = std::io::pipe()?;
        let reader = Fd::new(reader.into())?;
        let writer = Fd::shared(writer.into())?;
        let data = pattern(100_000);
        let sent = data.clone();
        let writing = spawn(async move {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let n = std::future::poll_fn(|cx| writer.poll_write(cx, rest)).await?;
                rest = &rest[n..];
            }
            Ok::<_, Error>(())
        });
        let mut got = vec![0; data.len()];
        reader.read_exact(&mut got).await?;
        writing.await?;
        assert!(got == data);
        assert_eq!(reader.read(&mut [0; 4]).await?, 0);
        Ok(())
    }

    async fn a_poll_that_has_begun_to_write_ends_in_another_mode() -> Result<(), Error> {
        let _faults = old_kernel().install();
        let (reader, writer) = std::io::pipe()?;
        let (reader, writer) = (Fd::new(reader.into())?, Fd::shared(writer.into())?);
        let first = std::future::poll_fn(|cx| Poll::Ready(writer.poll_write(cx, b"once").is_pending()));
        assert!(first.await, "a thread writes");
        writer.set_blocking(false)?;
        settle().await?;
        assert_eq!(std::future::poll_fn(|cx| writer.poll_write(cx, b"once")).await?, 4);
        writer.close()?;
        let mut buf = [0; 16];
        assert_eq!(reader.read(&mut buf).await?, 4);
        assert_eq!(reader.read(&mut buf).await?, 0);
        Ok(())
    }

    async fn what_waits_while_the_mode_changes_does_not_block() -> Result<(), Error> {
        let (reader, writer) = pipe()?;
        let read = |reader: Fd| spawn(async move { reader.read(&mut [0; 1]).await });
        let reads = [read(reader.clone()), read(reader.clone())];
        settle().await?;
        reader.set_blocking(true)?;
        // It wakes both, and is there for one.
        writer.write_all(b"1").await?;
        settle().await?;
        assert_eq!(reads.iter().filter(|read| read.is_pending()).count(), 1);
        writer.write_all(b"2").await?;
        for read in reads {
            assert_eq!(read.await?, 1);
        }
        for vectored in [false, true] {
            let (reader, writer) = pipe()?;
            let data = pattern(300_000);
            let (sent, other) = (data.clone(), writer.clone());
            let writing = spawn(async move {
                match vectored {
                    false => other.write_all(&sent).await,
                    true => other.writev_all(&mut [IoSlice::new(&sent[..9]), IoSlice::new(&sent[9..])]).await,
                }
            });
            settle().await?;
            assert!(writing.is_pending(), "a pipe does not hold so much");
            writer.set_blocking(true)?;
            let mut got = vec![0; data.len()];
            reader.read_exact(&mut got).await?;
            writing.await?;
            assert!(got == data);
        }
        Ok(())
    }

    async fn the_end_that_a_cancelled_read_has_met_stays() -> Result<(), Error> {
        // The end of a terminal's file comes once.
        let ends = nix::pty::openpty(None, None).expect("a terminal");
        let (master, slave) = (Fd::new(ends.master)?, Fd::shared(ends.slave)?);
        for round in 0..2 {
            master.write_all(b"\x04").await?;
            slave.wait_read().await?;
            let other = slave.clone();
            let read = spawn(async move { other.read(&mut [0; 4]).await });
            read.cancel();
            assert!(read.await.is_err_and(|error| error.is_canceled()));
            settle().await?;
            assert!(slave.readable()?);
            if round == 1 {
                break;
            }
            assert_eq!(slave.try_read(&mut [])?, Some(0));
            assert_eq!(slave.try_read(&mut [0; 4])?, Some(0));
            assert!(!slave.readable()?);
        }
        slave.close()?;
        assert!(slave.wait_read().await.is_err() && slave.readable().is_err());
        Ok(())
    }

    async fn faults_lose_nothing() -> Result<(), Error> {
        for old in [false, true] {
            for seed in 0..10 {
                let calls = ["preadv2", "pwritev2", "read", "write"];
                let mut plan = Plan::seeded(seed)
                    .with(Rule::any().chance(0.2).interrupted(2))
                    .with(Rule::on(calls).chance(0.3).short(500))
                    .with(Rule::on(calls).chance(0.2).would_block());
                if old {
                    plan = plan.with(Rule::on(["preadv2", "pwritev2"]).error(libc::EOPNOTSUPP));
                }
                let _faults = plan.install();
                let (reader, writer) = std::io::pipe()?;
                let (reader, writer) = (Fd::shared(reader.into())?, Fd::shared(writer.into())?);
                let data = pattern(100_000);
                let sent = data.clone();
                let writing = spawn(async move { writer.write_all(&sent).await });
                let mut got = Vec::new();
                let mut buf = [0; 3000];
                loop {
                    match reader.read(&mut buf).await? {
                        0 => break,
                        n => got.extend_from_slice(&buf[..n]),
                    }
                }
                writing.await?;
                assert!(got == data, "seed {seed}: {} bytes", got.len());
            }
        }
        Ok(())
    }

    async fn the_null_device_is_empty_and_takes_everything() -> Result<(), Error> {
        for shared in [false, true] {
            let file = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
            let fd = if shared { Fd::shared(file.into())? } else { Fd::new(file.into())? };
            assert_eq!(fd.read(&mut [0; 8]).await?, 0);
            fd.write_all(&[7; 100_000]).await?;
            fd.wait_read().await?;
        }
        Ok(())
    }
}
