//! Reading and writing with [`Poll`], for adapters to the traits of other crates (hyper's, futures-io's).
//!
//! Each direction of a descriptor keeps one wait here between two polls. So the usual rule of such interfaces holds: per
//! direction one task polls at a time, and the last one that did is woken.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

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
                None => {
                    if hopeful {
                        match self.attempt(direction, &mut op) {
                            Ok(Some(done)) => return Poll::Ready(Ok(done)),
                            Ok(None) => {}
                            Err(failure) => return Poll::Ready(Err(failure.into_io())),
                        }
                    }
                    self.wait(direction)
                }
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
        self.poll_drive(cx, Direction::Read, |fd| self.read_once(fd, &mut *buf))
    }

    /// [`poll_read`](Fd::poll_read) into memory that need not be initialised: of `buf` the first `n` bytes are, when it is
    /// ready with `n`.
    ///
    /// # Errors
    /// As [`poll_read`](Fd::poll_read).
    pub fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.poll_drive(cx, Direction::Read, |fd| self.read_once(fd, &mut *buf))
    }

    /// [`write`](Fd::write) as a poll.
    ///
    /// # Errors
    /// As [`write`](Fd::write), with the system's own [`io::Error`] where there is one.
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_drive(cx, Direction::Write, |fd| self.write_once(fd, buf))
    }

    /// [`writev`](Fd::writev) as a poll.
    ///
    /// # Errors
    /// As [`poll_write`](Fd::poll_write).
    pub fn poll_writev(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_drive(cx, Direction::Write, |fd| self.writev_once(fd, bufs))
    }
}
