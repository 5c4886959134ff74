//! Duplicates of descriptors, numbers that get another meaning, and the flags of a number itself.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};

use lwt_core::{Error, spawn};
use lwt_unix::fd::{Fd, FdState, OsError, Standard, pipe, pipe_in, pipe_out};
use lwt_unix::net::UnixStream;
use net_support::settle;

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

lwt_unix::test! {
    async fn duplicates_are_numbers_of_their_own() -> Result<(), Error> {
        let (reader, writer) = pipe()?;
        let other = writer.dup()?;
        assert_ne!(other.as_raw_fd(), writer.as_raw_fd());
        assert!(close_on_exec(&other));
        writer.close()?;
        other.write_all(b"still").await?;
        reader.read_exact(&mut [0; 5]).await?;
        drop(other);
        assert_eq!(reader.read(&mut [0; 1]).await?, 0);
        // The mode is that of the original, as the flag is.
        let shared = Fd::shared(std::io::pipe()?.0.into())?;
        assert!(shared.dup()?.blocking());
        let (left, _right) = UnixStream::pair()?;
        assert!(!left.dup()?.blocking());
        left.set_blocking(true)?;
        assert!(left.dup()?.blocking());
        Ok(())
    }

    async fn a_number_gets_another_meaning() -> Result<(), Error> {
        let (from, writer) = pipe()?;
        let (onto, _kept) = pipe()?;
        let (number, waiting) = (onto.as_raw_fd(), onto.wait_read());
        let read = {
            let onto = onto.clone();
            spawn(async move { onto.read(&mut [0; 4]).await })
        };
        settle().await?;
        let made = from.dup2(&onto)?;
        assert_eq!(made.as_raw_fd(), number);
        assert!(close_on_exec(&made));
        assert!(matches!(onto.state(), FdState::Closed));
        assert!(waiting.await.is_err() && read.await.is_err());
        let reading = spawn(async move {
            let mut buf = [0; 4];
            made.read_exact(&mut buf).await.map(|()| buf)
        });
        settle().await?;
        writer.write_all(b"new ").await?;
        assert_eq!(&reading.await?, b"new ");
        assert_eq!(from.dup2(&from)?.as_raw_fd(), from.as_raw_fd());
        assert!(from.dup2(&onto).is_err(), "what is closed has no number");
        Ok(())
    }

    async fn a_number_that_somebody_holds_keeps_its_meaning() -> Result<(), Error> {
        let (from, _writer) = pipe()?;
        let (onto, writer) = pipe()?;
        let held = onto.hold()?;
        let error = from.dup2(&onto).expect_err("held");
        assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::EBUSY));
        writer.write_all(b"still").await?;
        assert_eq!(onto.read(&mut [0; 8]).await?, 5);
        drop(held);
        from.dup2(&onto)?;
        assert!(matches!(onto.state(), FdState::Closed));
        Ok(())
    }

    async fn flags_of_the_number_itself() -> Result<(), Error> {
        let (reader, _writer) = pipe()?;
        reader.clear_close_on_exec()?;
        assert!(!close_on_exec(&reader));
        reader.set_close_on_exec()?;
        assert!(close_on_exec(&reader));
        reader.check_descriptor()?;
        assert!(!reader.isatty()?);
        reader.abort(Error::msg("no more"));
        assert_eq!(reader.check_descriptor().expect_err("aborted").to_string(), "no more");
        reader.close()?;
        assert!(reader.check_descriptor().is_err() && reader.set_close_on_exec().is_err());
        Ok(())
    }

    async fn raw_ends_of_pipes_block() -> Result<(), Error> {
        let (reader, raw) = pipe_in()?;
        assert!(nonblocking(&reader) && !nonblocking(&raw) && close_on_exec(&raw));
        let (raw, writer) = pipe_out()?;
        assert!(nonblocking(&writer) && !nonblocking(&raw) && close_on_exec(&raw));
        Ok(())
    }
}

#[test]
fn a_standard_stream_is_redirected() {
    net_support::in_child("a_standard_stream_is_redirected", || {
        net_support::run(async {
            let before = std::io::stderr().as_fd().try_clone_to_owned()?;
            let (reader, writer) = pipe()?;
            writer.redirect(Standard::Error)?;
            assert!(!close_on_exec(&std::io::stderr()));
            std::io::stderr().write_all(b"captured")?;
            Fd::shared(before)?.redirect(Standard::Error)?;
            let mut buf = [0; 8];
            reader.read_exact(&mut buf).await?;
            assert_eq!(&buf, b"captured");
            Ok(())
        });
    });
}
