//! Descriptors: states, closing, aborting, cancelling, kinds of files, and the poll-style operations.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use lwt_core::{Error, spawn};
use lwt_unix::fd::{Fd, FdState, OsError};
use net_support::{detach, pattern, run, settle};

mod net_support;

fn pipe() -> Result<(Fd, Fd), Error> {
    let (reader, writer) = std::io::pipe()?;
    Ok((Fd::new(reader.into())?, Fd::new(writer.into())?))
}

fn flags(fd: &Fd, command: i32) -> i32 {
    // SAFETY: both commands take no argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), command) }
}

#[test]
fn bytes_go_through_a_pipe_and_its_end_is_seen() {
    run(async {
        let (reader, writer) = pipe()?;
        let reading = spawn(async move {
            let mut buf = [0; 8];
            let mut all = Vec::new();
            loop {
                match reader.read(&mut buf).await? {
                    0 => return Ok::<_, Error>(all),
                    n => all.extend_from_slice(&buf[..n]),
                }
            }
        });
        for part in [&b"one "[..], b"two ", b"and a longer three"] {
            writer.write_all(part).await?;
            settle().await?;
        }
        drop(writer);
        assert_eq!(reading.await?, b"one two and a longer three");
        Ok(())
    });
}

#[test]
fn taking_over_makes_it_non_blocking_and_close_on_exec() {
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let reader = OwnedFd::from(reader);
    // SAFETY: sets a flag of a descriptor of ours.
    unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFD, 0) };
    let fd = Fd::new(reader).expect("an fd");
    assert_ne!(flags(&fd, libc::F_GETFL) & libc::O_NONBLOCK, 0);
    assert_ne!(flags(&fd, libc::F_GETFD) & libc::FD_CLOEXEC, 0);
}

#[test]
fn closing_wakes_everybody_who_waits() {
    run(async {
        let (reader, _writer) = pipe()?;
        let other = reader.clone();
        let read = spawn(async move { other.read(&mut [0; 4]).await });
        let (first, second) = (reader.wait_read(), reader.wait_read());
        settle().await?;
        assert!(read.is_pending() && first.is_pending() && second.is_pending());
        reader.close()?;
        let error = read.await.expect_err("the read fails");
        assert!(OsError::of(&error).is_some_and(OsError::is_closed), "{error:?}");
        for wait in [first, second] {
            let error = wait.await.expect_err("the wait fails");
            assert!(OsError::of(&error).is_some_and(OsError::is_closed), "{error:?}");
        }
        Ok(())
    });
}

#[test]
fn a_closed_descriptor_says_so_and_closes_only_once() {
    run(async {
        let (reader, writer) = pipe()?;
        let clone = reader.clone();
        assert!(matches!(reader.state(), FdState::Open));
        reader.close()?;
        assert!(matches!(clone.state(), FdState::Closed));
        assert_eq!(clone.as_raw_fd(), -1);
        // The number may be somebody else's by now: none of these may touch it.
        let (reader2, writer2) = pipe()?;
        let errors = [
            clone.close().expect_err("closed"),
            clone.read(&mut [0; 4]).await.expect_err("closed"),
            clone.write(b"x").await.expect_err("closed"),
            clone.try_read(&mut [0; 4]).expect_err("closed"),
            clone.wait_read().await.expect_err("closed"),
            clone.readable().expect_err("closed"),
            clone.hold().map(drop).expect_err("closed"),
        ];
        for error in &errors {
            let os = OsError::of(error).expect("an error of the system");
            assert_eq!(os.raw_os_error(), Some(libc::EBADF));
            assert!(os.is_closed());
        }
        writer2.write_all(b"ok").await?;
        assert_eq!(reader2.read(&mut [0; 4]).await?, 2);
        let error = writer.write_all(b"x").await.expect_err("nobody reads");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::BrokenPipe));
        assert_eq!(OsError::of(&error).map(OsError::call), Some("write"));
        Ok(())
    });
}

#[test]
fn an_abort_is_the_error_of_everything_that_follows() {
    run(async {
        let (reader, writer) = pipe()?;
        let read = {
            let reader = reader.clone();
            spawn(async move { reader.read(&mut [0; 4]).await })
        };
        settle().await?;
        reader.abort(Error::msg("enough"));
        assert_eq!(read.await.expect_err("aborted").to_string(), "enough");
        assert_eq!(reader.read(&mut [0; 4]).await.expect_err("aborted").to_string(), "enough");
        assert_eq!(reader.wait_read().await.expect_err("aborted").to_string(), "enough");
        assert!(matches!(reader.state(), FdState::Aborted(_)));
        // The number is still taken, so the pipe still has a reader.
        assert_eq!(writer.write(b"x").await?, 1);
        reader.abort(Error::msg("again"));
        assert_eq!(reader.read(&mut [0; 4]).await.expect_err("aborted").to_string(), "enough");
        reader.close()?;
        assert!(matches!(reader.state(), FdState::Closed));
        assert!(writer.write(b"x").await.is_err());
        Ok(())
    });
}

#[test]
fn a_callback_of_the_close_may_use_the_descriptor() {
    run(async {
        let (reader, _writer) = pipe()?;
        let seen = Rc::new(Cell::new(0));
        let wait = reader.wait_read();
        let (again, count) = (reader.clone(), seen.clone());
        wait.on_failure(move |_| {
            assert!(again.close().is_err());
            assert!(again.try_read(&mut [0; 1]).is_err());
            again.abort(Error::msg("too late"));
            count.set(count.get() + 1);
        });
        settle().await?;
        reader.close()?;
        assert_eq!(seen.get(), 1);
        assert!(matches!(reader.state(), FdState::Closed));
        Ok(())
    });
}

#[test]
fn cancelling_a_read_loses_nothing() {
    run(async {
        let (reader, writer) = pipe()?;
        for round in 0..50 {
            let other = reader.clone();
            let read = spawn(async move { other.read(&mut [0; 8]).await });
            if round % 2 == 0 {
                settle().await?;
            }
            read.cancel();
            assert!(read.await.expect_err("cancelled").is_canceled());
        }
        writer.write_all(b"whole").await?;
        let mut buf = [0; 8];
        assert_eq!(reader.read(&mut buf).await?, 5);
        assert_eq!(&buf[..5], b"whole");
        Ok(())
    });
}

#[test]
fn a_cancelled_read_and_data_in_the_same_turn() {
    run(async {
        let (reader, writer) = pipe()?;
        let other = reader.clone();
        let read = spawn(async move {
            let mut buf = [0; 8];
            let n = other.read(&mut buf).await?;
            Ok::<_, Error>(buf[..n].to_vec())
        });
        settle().await?;
        // The bytes are there, the event is not delivered yet.
        assert_eq!(writer.try_write(b"whole")?, Some(5));
        read.cancel();
        assert!(read.await.expect_err("cancelled").is_canceled());
        let mut buf = [0; 8];
        assert_eq!(reader.read(&mut buf).await?, 5);
        Ok(())
    });
}

#[test]
fn waiting_tells_the_truth() {
    run(async {
        let (reader, writer) = pipe()?;
        assert!(!reader.readable()? && writer.writable()?);
        let wait = reader.wait_read();
        settle().await?;
        assert!(wait.is_pending());
        writer.write_all(b"ab").await?;
        wait.await?;
        assert!(reader.readable()?);
        // Still readable: at once.
        assert!(!reader.wait_read().is_pending());
        assert_eq!(reader.read(&mut [0; 1]).await?, 1);
        assert!(!reader.wait_read().is_pending());
        assert_eq!(reader.read(&mut [0; 1]).await?, 1);
        // The cache may still say ready, the promise may not.
        let wait = reader.wait_read();
        settle().await?;
        assert!(wait.is_pending());
        // Full: no room until something is read.
        while writer.try_write(&[0; 4096])?.is_some() {}
        let room = writer.wait_write();
        settle().await?;
        assert!(room.is_pending());
        while reader.try_read(&mut [0; 65536])?.is_some() {}
        room.await?;
        wait.await?;
        Ok(())
    });
}

#[test]
fn two_readers_are_both_served() {
    run(async {
        let (reader, writer) = pipe()?;
        let reads: Vec<_> = (0..2)
            .map(|_| {
                let reader = reader.clone();
                spawn(async move { reader.read(&mut [0; 1]).await })
            })
            .collect();
        settle().await?;
        writer.write_all(b"ab").await?;
        for read in reads {
            assert_eq!(read.await?, 1);
        }
        Ok(())
    });
}

#[test]
fn holding_the_number_keeps_it_open() {
    run(async {
        let (reader, writer) = pipe()?;
        let held = reader.hold()?;
        reader.close()?;
        // Closed for us, open for the peer.
        assert!(reader.try_read(&mut [0; 1]).is_err());
        assert_eq!(writer.write(b"x").await?, 1);
        std::thread::spawn(move || {
            let mut file = std::fs::File::from(held.as_fd().try_clone_to_owned().expect("a duplicate"));
            let mut byte = [0];
            file.read_exact(&mut byte).expect("a byte");
            assert_eq!(&byte, b"x");
        })
        .join()
        .expect("the thread");
        assert_eq!(
            writer.write(b"x").await.expect_err("gone").io_kind(),
            Some(std::io::ErrorKind::BrokenPipe)
        );
        Ok(())
    });
}

#[test]
fn regular_files_and_null_are_always_ready() {
    run(async {
        let mut file = tempfile()?;
        file.write_all(b"contents")?;
        std::io::Seek::rewind(&mut file)?;
        let file = Fd::new(file.into())?;
        assert_eq!(flags(&file, libc::F_GETFL) & libc::O_NONBLOCK, 0);
        file.wait_read().await?;
        file.wait_write().await?;
        let mut buf = [0; 16];
        assert_eq!(file.read(&mut buf).await?, 8);
        assert_eq!(file.read(&mut buf).await?, 0);
        file.write_all(b"more").await?;

        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let null = Fd::new(null.into())?;
        null.wait_read().await?;
        assert_eq!(null.read(&mut buf).await?, 0);
        null.write_all(&buf).await?;
        Ok(())
    });
}

fn tempfile() -> std::io::Result<std::fs::File> {
    let dir = net_support::TempDir::new();
    std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(dir.path().join("f"))
}

#[test]
fn what_is_always_ready_starves_nobody() {
    run(async {
        let zero = Fd::new(std::fs::File::open("/dev/zero")?.into())?;
        let reading = spawn(async move {
            let mut buf = [1; 16];
            loop {
                zero.read(&mut buf).await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), Error>(())
        });
        let zero = Fd::new(std::fs::File::open("/dev/zero")?.into())?;
        let waiting = spawn(async move {
            loop {
                zero.wait_read().await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), Error>(())
        });
        // A timer, a descriptor and another task, all beside them.
        let (reader, writer) = pipe()?;
        let other = spawn(async move { reader.read(&mut [0; 1]).await });
        lwt_unix::sleep(std::time::Duration::from_millis(5)).await?;
        writer.write_all(b"x").await?;
        assert_eq!(other.await?, 1);
        for busy in [reading, waiting] {
            busy.cancel();
            assert!(busy.await.is_err());
        }
        Ok(())
    });
}

#[test]
fn vectors_are_filled_and_emptied_in_order() {
    run(async {
        let (reader, writer) = pipe()?;
        let n = writer.writev(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdefg")]).await?;
        assert_eq!(n, 7);
        let (mut a, mut b, mut c) = ([0; 3], [0; 0], [0; 8]);
        let mut slices = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
        assert_eq!(reader.readv(&mut slices).await?, 7);
        assert_eq!((&a[..], &c[..4]), (&b"abc"[..], &b"defg"[..]));
        // More slices than one call takes: exactly as many as it takes.
        let many = vec![IoSlice::new(b"x"); 3000];
        assert_eq!(writer.writev(&many).await?, 1024);
        let mut all = many.clone();
        writer.writev_all(&mut all).await?;
        let mut got = vec![0; 4024];
        reader.read_exact(&mut got).await?;
        assert!(got.iter().all(|byte| *byte == b'x'));
        assert_eq!(writer.writev(&[]).await?, 0);
        Ok(())
    });
}

/// Where messages have edges, a short read says nothing about what is left: one event, several messages.
#[test]
fn messages_behind_a_short_read_are_not_forgotten() {
    run(async {
        let (mut packets, mut sequence) = ([0; 2], [0; 2]);
        let seqpacket = libc::SOCK_SEQPACKET;
        // SAFETY: both calls fill two numbers, which are nobody else's.
        let ends = unsafe {
            assert_eq!(libc::pipe2(packets.as_mut_ptr(), libc::O_DIRECT | libc::O_CLOEXEC), 0);
            assert_eq!(libc::socketpair(libc::AF_UNIX, seqpacket, 0, sequence.as_mut_ptr()), 0);
            [packets, sequence].map(|ends| ends.map(|end| OwnedFd::from_raw_fd(end)))
        };
        for [reader, writer] in ends {
            let (reader, writer) = (Fd::new(reader)?, Fd::new(writer)?);
            let reading = spawn(async move {
                let mut buf = [0; 100];
                let mut sizes = Vec::new();
                for _ in 0..3 {
                    sizes.push(reader.read(&mut buf).await?);
                }
                Ok::<_, Error>(sizes)
            });
            settle().await?; // it waits, so all three come with one event
            for size in [5, 1, 9] {
                assert_eq!(writer.try_write(&[1; 9][..size])?, Some(size));
            }
            assert_eq!(reading.await?, [5, 1, 9]);
        }
        Ok(())
    });
}

#[test]
fn exact_reading_tells_a_file_that_ends_too_early() {
    run(async {
        let (reader, writer) = pipe()?;
        writer.write_all(b"short").await?;
        drop(writer);
        let error = reader.read_exact(&mut [0; 6]).await.expect_err("too short");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::UnexpectedEof));
        Ok(())
    });
}

#[test]
fn a_large_message_through_a_small_pipe() {
    run(async {
        let (reader, writer) = pipe()?;
        let message = pattern(3_000_000);
        let expected = message.clone();
        detach(async move {
            writer.write_all(&message).await?;
            writer.close()
        });
        let mut got = Vec::new();
        let mut buf = vec![0; 777];
        loop {
            match reader.read(&mut buf).await? {
                0 => break,
                n => got.extend_from_slice(&buf[..n]),
            }
        }
        assert!(got == expected);
        Ok(())
    });
}

#[test]
fn the_poll_forms_wait_and_wake() {
    run(async {
        let (reader, writer) = pipe()?;
        let got = Rc::new(RefCell::new(Vec::new()));
        let sink = got.clone();
        let reading = spawn(async move {
            let mut buf = [0; 5];
            loop {
                match poll_fn(|cx| reader.poll_read(cx, &mut buf)).await? {
                    0 => return Ok::<_, Error>(()),
                    n => sink.borrow_mut().extend_from_slice(&buf[..n]),
                }
            }
        });
        settle().await?;
        let message = pattern(300_000);
        let mut rest = &message[..];
        while !rest.is_empty() {
            let n = poll_fn(|cx| writer.poll_write(cx, rest)).await?;
            rest = &rest[n..];
        }
        drop(writer);
        reading.await?;
        assert!(*got.borrow() == message);
        Ok(())
    });
}

#[test]
fn a_poll_form_hears_of_the_close() {
    run(async {
        let (reader, _writer) = pipe()?;
        let other = reader.clone();
        let reading = spawn(async move {
            let mut buf = [0; 5];
            let error = poll_fn(|cx| other.poll_read(cx, &mut buf)).await.expect_err("closed");
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
            Ok::<_, Error>(())
        });
        settle().await?;
        reader.close()?;
        reading.await?;
        // A poll that nobody repeats leaves its wait behind, which goes with the descriptor.
        let (reader, _writer) = pipe()?;
        poll_fn(|cx| {
            assert!(reader.poll_read(cx, &mut [0; 1]).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        reader.close()?;
        drop(reader);
        Ok(())
    });
}
