//! Reading and writing with [`Poll`], for adapters to the traits of other crates (hyper's, futures-io's).
//!
//! Each direction of a descriptor keeps one wait here between two polls. So the usual rule of such interfaces
//! holds: per direction one task polls at a time, and the last one that did is woken.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use lwt_core::Promise;

use super::{Failure, Fd, exhausted};
use crate::engine::registration::Direction;

impl Fd {
    /// One round of [`drive`](Fd::drive) per poll.
    pub(crate) fn poll_drive<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll_kept(cx, direction, |hopeful| {
            if hopeful && let Some(done) = self.attempt(direction, &mut op)? {
                return Ok(Ok(done));
            }
            Ok(Err(self.wait(direction)))
        })
    }

    /// Takes steps until one is done (`Ok`) or gives something to wait for (`Err`), which is kept until the
    /// next poll. A step is told whether an attempt is worth while.
    pub(super) fn poll_kept<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut step: impl FnMut(bool) -> Result<Result<T, Promise<()>>, Failure>,
    ) -> Poll<io::Result<T>> {
        if exhausted() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let kept = match direction {
            Direction::Read => &self.inner.waits[0],
            Direction::Write => &self.inner.waits[1],
        };
        let mut hopeful = self.is_ready(direction);
        loop {
            // Taken out while it is polled: the poll may run foreign code, which may come back here.
            let mut wait = match kept.take() {
                Some(wait) => wait,
                None => match step(hopeful) {
                    Ok(Ok(done)) => return Poll::Ready(Ok(done)),
                    Ok(Err(wait)) => wait,
                    Err(failure) => return Poll::Ready(Err(failure.into_io())),
                },
            };
            match Pin::new(&mut wait).poll(cx) {
                Poll::Ready(Ok(())) => hopeful = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Rejected(error).into_io())),
                Poll::Pending => {
                    kept.set(Some(wait));
                    return Poll::Pending;
                }
            }
        }
    }

    /// [`read`](Fd::read) as a poll.
    ///
    /// # Errors
    /// As [`read`](Fd::read), with the system's own [`io::Error`] where there is one.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(side) = self.blocking_side() {
            return self.poll_read_blocking(side, cx, &mut [IoSliceMut::new(buf)][..]);
        }
        self.poll_drive(cx, Direction::Read, |fd| self.read_once(fd, &mut *buf))
    }

    /// [`poll_read`](Fd::poll_read) into memory that need not be initialised: of `buf` the first `n` bytes
    /// are, when it is ready with `n`.
    ///
    /// # Errors
    /// As [`poll_read`](Fd::poll_read).
    pub fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        if let Some(side) = self.blocking_side() {
            return self.poll_read_blocking(side, cx, buf);
        }
        self.poll_drive(cx, Direction::Read, |fd| self.read_once(fd, &mut *buf))
    }

    /// [`write`](Fd::write) as a poll.
    ///
    /// Where the descriptor [blocks](Fd::blocking) a poll that says `Pending` may have begun to write: the
    /// next poll must bring the same bytes.
    ///
    /// # Errors
    /// As [`write`](Fd::write), with the system's own [`io::Error`] where there is one.
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(side) = self.blocking_side() {
            return self.poll_write_blocking(side, cx, &[IoSlice::new(buf)]);
        }
        self.poll_drive(cx, Direction::Write, |fd| self.write_once(fd, buf))
    }

    /// [`writev`](Fd::writev) as a poll.
    ///
    /// # Errors
    /// As [`poll_write`](Fd::poll_write).
    pub fn poll_writev(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(side) = self.blocking_side() {
            return self.poll_write_blocking(side, cx, bufs);
        }
        self.poll_drive(cx, Direction::Write, |fd| self.writev_once(fd, bufs))
    }
}
