//! Urgent data: a read stops at its mark, so that a short count does not say that nothing is left.

use std::io::{IoSliceMut, Write};
use std::os::fd::{AsRawFd, BorrowedFd};

use lwt_core::{Error, pause, spawn};
use lwt_unix::fd::Fd;
use lwt_unix::net::{TcpListener, TcpStream, UnixStream};
use net_support::{loopback, run, settle};

mod net_support;

/// Sends one urgent byte.
fn urge(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: pointer and length are those of one live array.
    unsafe { libc::send(fd.as_raw_fd(), [b'!'].as_ptr().cast(), 1, libc::MSG_OOB) == 1 }
}

/// Reads what comes in buffers that are never filled.
async fn read_all(fd: Fd, vectored: bool) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while !all.ends_with(b".") {
        let mut buf = [0; 64];
        let n = if vectored {
            fd.readv(&mut [IoSliceMut::new(&mut buf)]).await?
        } else {
            fd.read(&mut buf).await?
        };
        all.extend_from_slice(&buf[..n]);
    }
    Ok(all)
}

/// Everything is there before the loop hears of it, so that there is one report for all.
async fn what_follows_the_mark_is_read(
    ours: Fd,
    mut theirs: impl Write + std::os::fd::AsFd,
) -> Result<(), Error> {
    for round in 0..6 {
        let reading = spawn(read_all(ours.clone(), round % 2 == 1));
        // It waits, and the loop has heard of all before.
        settle().await?;
        assert!(reading.is_pending());
        theirs.write_all(b"before")?;
        assert!(urge(theirs.as_fd()));
        theirs.write_all(b"after.")?;
        assert_eq!(String::from_utf8_lossy(&reading.await?), "beforeafter.");
        // What is not urgent goes on as ever.
        let reading = spawn(read_all(ours.clone(), false));
        theirs.write_all(b"one,")?;
        pause().await?;
        theirs.write_all(b"two.")?;
        assert_eq!(reading.await?, b"one,two.");
    }
    Ok(())
}

#[test]
fn a_tcp_read_that_stopped_at_the_mark_is_followed_by_another() {
    run(async {
        let listener = TcpListener::bind(loopback())?;
        let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (ours, _): (TcpStream, _) = listener.accept().await?;
        theirs.set_nodelay(true)?;
        what_follows_the_mark_is_read(ours.fd().clone(), theirs).await
    });
}

#[test]
fn a_unix_read_that_stopped_at_the_mark_is_followed_by_another() {
    run(async {
        let (theirs, ours) = std::os::unix::net::UnixStream::pair()?;
        // Not every kernel has urgent data for these.
        if urge(std::os::fd::AsFd::as_fd(&theirs)) {
            let ours = UnixStream::try_from(ours)?;
            what_follows_the_mark_is_read(ours.fd().clone(), theirs).await?;
        }
        Ok(())
    });
}
