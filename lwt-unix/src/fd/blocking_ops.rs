//! Reading and writing where the description blocks. The ways and the rules stand at the head of
//! [`blocking`].
//!
//! [`Fd::read_step`] and [`Fd::write_step`] are the whole of it: each says "done", or what to wait for before
//! another step. The operations with `.await` and the poll-style ones are loops over them.
//!
//! [`blocking`]: super::blocking

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use lwt_core::{Error, Promise, task, wait};

use super::blocking::{Blocking, MOST, Outcome, Sink, Step, would_block};
use super::{Failure, Fd, breathe, ready_now, spent};
use crate::engine::registration::Direction;
use crate::sys::descriptor::{is_unsupported, writev_nowait};
use crate::sys::{self, Room};

/// So many bytes can be written to a pipe that is ready, without waiting: what `PIPE_BUF` is on Linux, or
/// less.
pub(super) const READY_FOR: usize = 4096;

/// What the kernel says when it is asked not to wait.
enum Asked {
    Done(usize),
    /// It would have to.
    NotNow,
    /// It cannot tell.
    Unknown,
}

impl Fd {
    /// The other way for reading and writing, if this descriptor has to take it.
    #[inline]
    pub(super) fn blocking_side(&self) -> Option<&Rc<Blocking>> {
        self.inner.blocking.get().filter(|side| side.in_use())
    }

    /// Whether a cancelled read has left something to be taken first.
    pub(super) fn holds_back(&self) -> bool {
        self.inner.blocking.get().is_some_and(|side| side.holds_back())
    }

    pub(super) async fn read_blocking(
        &self,
        side: &Rc<Blocking>,
        mut sink: impl Sink,
    ) -> Result<usize, Failure> {
        breathe().await.map_err(Failure::Rejected)?;
        loop {
            match self.read_step(side, &mut sink)? {
                Step::Done(n) => return Ok(n),
                Step::Wait(promise) => promise.await.map_err(Failure::Rejected)?,
            }
        }
    }

    pub(super) fn poll_read_blocking(
        &self,
        side: &Rc<Blocking>,
        cx: &mut Context<'_>,
        mut sink: impl Sink,
    ) -> Poll<io::Result<usize>> {
        self.poll_steps(cx, Direction::Read, || self.read_step(side, &mut sink))
    }

    /// What can be read at once; `None` if that would block, or cannot be known.
    pub(super) fn try_read_blocking(
        &self,
        side: &Rc<Blocking>,
        mut sink: impl Sink,
    ) -> Result<Option<usize>, Failure> {
        self.once(|_| Ok(()))?;
        if sink.room() == 0 {
            return Ok(Some(0));
        }
        if let Some(done) = side.take_ahead(&mut sink) {
            return done.map(Some);
        }
        if side.runs(Direction::Read) {
            return Ok(None);
        }
        match self.ask(side, Direction::Read, |fd| sink.read_nowait(fd))? {
            Asked::Done(n) => Ok(Some(n)),
            Asked::NotNow | Asked::Unknown => Ok(None),
        }
    }

    fn read_step(&self, side: &Rc<Blocking>, sink: &mut impl Sink) -> Result<Step, Failure> {
        self.once(|_| Ok(()))?;
        if sink.room() == 0 {
            return Ok(Step::Done(0));
        }
        if let Some(done) = side.take_ahead(sink) {
            return done.map(Step::Done);
        }
        if let Some(turn) = side.turn(Direction::Read) {
            return Ok(Step::Wait(turn));
        }
        match self.ask(side, Direction::Read, |fd| sink.read_nowait(fd))? {
            Asked::Done(n) => return Ok(Step::Done(n)),
            asked => {
                if let Some(ready) = self.ready_for_job(side, Direction::Read, &asked)? {
                    return Ok(Step::Wait(ready));
                }
            }
        }
        let held = self.hold().map_err(Failure::Rejected)?;
        let room = sink.room().min(MOST);
        let call = move || {
            let mut bytes = vec![0; room];
            let n = sys::read(held.as_fd(), &Room::from(&mut bytes[..]))?;
            bytes.truncate(n);
            Ok(bytes)
        };
        side.start(Direction::Read, call, Blocking::keep_ahead);
        // The job was started just now, so there is something to wait for.
        Ok(Step::Wait(side.turn(Direction::Read).unwrap_or(Promise::ready(()))))
    }

    pub(super) async fn write_blocking(
        &self,
        side: &Rc<Blocking>,
        bufs: &[IoSlice<'_>],
    ) -> Result<usize, Failure> {
        breathe().await.map_err(Failure::Rejected)?;
        loop {
            // The one of the write before, maybe.
            task::cancel_point().await.map_err(Failure::Rejected)?;
            match self.write_step(side, bufs)? {
                Written::Done(n) => return Ok(n),
                Written::Wait(promise) => promise.await.map_err(Failure::Rejected)?,
                Written::Started(outcome) => {
                    // Not to be cancelled: see rule 2.
                    let (ended, waiter) = wait();
                    side.wake_when_ended(Direction::Write, waiter);
                    task::keep_cancel(ended).await.map_err(Failure::Rejected)?;
                    match outcome.take() {
                        Some(Err(failure)) if would_block(&failure) => {}
                        Some(done) => return done,
                        None => return Err(Failure::Closed),
                    }
                }
            }
        }
    }

    /// A poll that says `Pending` may have begun to write: the next one must bring the same bytes.
    pub(super) fn poll_write_blocking(
        &self,
        side: &Rc<Blocking>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_steps(cx, Direction::Write, || {
            let polled = side.polled.take();
            match polled {
                Some(outcome) => match outcome.take() {
                    Some(Err(failure)) if would_block(&failure) => {}
                    Some(result) => return result.map(Step::Done),
                    None => *side.polled.borrow_mut() = Some(outcome),
                },
                None => match self.write_step(side, bufs)? {
                    Written::Done(n) => return Ok(Step::Done(n)),
                    Written::Wait(promise) => return Ok(Step::Wait(promise)),
                    Written::Started(outcome) => *side.polled.borrow_mut() = Some(outcome),
                },
            }
            Ok(Step::Wait(side.turn(Direction::Write).unwrap_or(Promise::ready(()))))
        })
    }

    /// What can be written at once; `None` if that would block, or cannot be known.
    pub(super) fn try_write_blocking(
        &self,
        side: &Rc<Blocking>,
        bufs: &[IoSlice<'_>],
    ) -> Result<Option<usize>, Failure> {
        self.once(|_| Ok(()))?;
        if side.seekable || side.runs(Direction::Write) {
            return Ok(None);
        }
        match self.ask(side, Direction::Write, |fd| writev_nowait(fd, bufs))? {
            Asked::Done(n) => Ok(Some(n)),
            Asked::NotNow | Asked::Unknown => Ok(None),
        }
    }

    fn write_step(&self, side: &Rc<Blocking>, bufs: &[IoSlice<'_>]) -> Result<Written, Failure> {
        self.once(|_| Ok(()))?;
        if let Some(turn) = side.turn(Direction::Write) {
            return Ok(Written::Wait(turn));
        }
        // Writing to a file may always have to wait for the disk, whatever it says.
        let asked = match side.seekable {
            true => Asked::Unknown,
            false => self.ask(side, Direction::Write, |fd| writev_nowait(fd, bufs))?,
        };
        if let Asked::Done(n) = asked {
            return Ok(Written::Done(n));
        }
        if let Some(ready) = self.ready_for_job(side, Direction::Write, &asked)? {
            return Ok(Written::Wait(ready));
        }
        let most = if side.seekable { MOST } else { READY_FOR };
        let bytes = gather(bufs, most);
        let held = self.hold().map_err(Failure::Rejected)?;
        let outcome = Outcome::default();
        let left = Rc::clone(&outcome);
        side.start(
            Direction::Write,
            move || sys::write(held.as_fd(), &bytes),
            move |_, result| left.set(Some(result)),
        );
        Ok(Written::Started(outcome))
    }

    /// Asks the kernel to do what it can do at once, as long as it has not said that it cannot tell.
    fn ask(
        &self,
        side: &Blocking,
        direction: Direction,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Result<Asked, Failure> {
        if !side.nowait(direction).get() {
            return Ok(Asked::Unknown);
        }
        match self.once(call) {
            Ok(n) => {
                spent();
                Ok(Asked::Done(n))
            }
            Err(failure) if would_block(&failure) => Ok(Asked::NotNow),
            Err(Failure::System(error)) if is_unsupported(&error) => {
                side.nowait(direction).set(false);
                Ok(Asked::Unknown)
            }
            Err(failure) => Err(failure),
        }
    }

    /// What to wait for before a job is worth while: nothing if it would find the descriptor ready.
    fn ready_for_job(
        &self,
        side: &Blocking,
        direction: Direction,
        asked: &Asked,
    ) -> Result<Option<Promise<()>>, Failure> {
        if side.seekable {
            return Ok(None);
        }
        let ready = matches!(asked, Asked::Unknown) && self.once(|fd| ready_now(fd, direction))?;
        if ready {
            return Ok(None);
        }
        self.clear(direction);
        // What the engine refuses to watch is always ready.
        match self.registration(direction).map_err(Failure::Rejected)? {
            None => Ok(None),
            Some(_) => Ok(Some(self.wait(direction))),
        }
    }

    /// What the poll-style operations are when each round is a step.
    fn poll_steps(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut step: impl FnMut() -> Result<Step, Failure>,
    ) -> Poll<io::Result<usize>> {
        self.poll_kept(cx, direction, |_| {
            Ok(match step()? {
                Step::Done(n) => Ok(n),
                Step::Wait(promise) => Err(promise),
            })
        })
    }

    /// Rejects those who wait for jobs of the descriptor.
    pub(super) fn close_blocking(&self, error: &Error) {
        if let Some(side) = self.inner.blocking.get() {
            side.close(error);
        }
    }
}

/// What a step of a write has come to.
enum Written {
    Done(usize),
    /// Nothing yet: wait for this, and make another step.
    Wait(Promise<()>),
    /// It is under way, and its result will be there.
    Started(Outcome),
}

/// The first `most` bytes of the buffers, in one piece.
pub(super) fn gather(bufs: &[IoSlice<'_>], most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(bufs.iter().map(|buf| buf.len()).sum::<usize>().min(most));
    for buf in bufs {
        let room = most - bytes.len();
        bytes.extend_from_slice(&buf[..buf.len().min(room)]);
    }
    bytes
}
