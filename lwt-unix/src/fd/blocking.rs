//! Descriptors whose open file description blocks: how their calls are kept from blocking the loop.
//!
//! A regular file always blocks, and a description that this program shares with others (standard input, say)
//! must not be made non-blocking, because the flag would be theirs, too, and stay. The ways, in this order:
//!
//! 1. The kernel is asked to do only what it can do at once (`preadv2` and `pwritev2` with `RWF_NOWAIT`):
//!    cached pages, and on newer kernels pipes. Whether it can is learnt per descriptor and direction.
//! 2. Where a read or write may have to wait for a peer (a terminal, a pipe), readiness is waited for with
//!    the engine.
//! 3. The call is made on a job thread, with memory of its own.
//!
//! Rules:
//! 1. One job per direction at a time. Whoever comes meanwhile waits until it has ended, then looks again: so
//!    bytes keep their order, also when the operation that began a job has been given up.
//! 2. *A cancel loses nothing.* A read that is given up while its job runs leaves the job running, and what
//!    it brings is kept ([`Ahead`]) for the next read. A write cannot be taken back once its job has begun:
//!    the cancel then has no effect on it (it meets the next await), and the count is returned.
//! 3. Closing and aborting reject whoever waits, at once; the job ends by itself, and holds the number until
//!    then.
//! 4. Nothing is borrowed while a promise is resolved.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use lwt_core::{Error, Promise, Resolver, spawn, task};

use super::Failure;
use crate::engine::registration::Direction;
use crate::sys;
use crate::sys::descriptor::{Place, readv_nowait};

/// At most so many bytes are read or written by one job, or read by one call on the loop.
pub(super) const MOST: usize = 256 << 10;

/// Reads what is cached of the first `most` bytes of these buffers, or of fewer where one ends and the next
/// one is too long: copying more would be no matter of a moment.
#[inline]
pub(crate) fn readv_front(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    place: Place,
    most: usize,
) -> io::Result<usize> {
    if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= most {
        return readv_nowait(fd, bufs, place);
    }
    let empty = bufs.iter().take_while(|buf| buf.is_empty()).count();
    let bufs = &mut bufs[empty..];
    if let Some(first) = bufs.first_mut().filter(|first| first.len() > most) {
        return readv_nowait(fd, &mut [IoSliceMut::new(&mut first[..most])], place);
    }
    let mut room = most;
    let fit = |buf: &&IoSliceMut<'_>| room.checked_sub(buf.len()).inspect(|left| room = *left).is_some();
    let many = bufs.iter().take_while(fit).count();
    readv_nowait(fd, &mut bufs[..many], place)
}

/// What a blocking descriptor has besides.
pub(super) struct Blocking {
    /// Whether the description is to be treated so at present.
    pub(super) active: Cell<bool>,
    /// Regular files and block devices: always ready, with a position.
    pub(super) seekable: bool,
    /// Whether the kernel may still be asked to read and to write without waiting.
    nowait: [Cell<bool>; 2],
    /// For reading and for writing, as above.
    jobs: [RefCell<Job>; 2],
    ahead: RefCell<Ahead>,
    /// The write of a poll that has said `Pending`.
    pub(super) polled: RefCell<Option<Outcome>>,
}

/// A direction's job.
#[derive(Default)]
struct Job {
    runs: bool,
    waiters: Vec<Resolver<()>>,
}

/// What a read has brought that nobody has taken yet.
enum Ahead {
    Nothing,
    Bytes(Vec<u8>, usize),
    Failed(Failure),
}

/// Where a write job leaves its result.
pub(super) type Outcome = Rc<Cell<Option<Result<usize, Failure>>>>;

/// What a step has come to.
pub(super) enum Step {
    Done(usize),
    /// Not yet: wait for this, and make another step.
    Wait(Promise<()>),
}

/// Where a read puts its bytes.
pub(super) trait Sink {
    fn room(&self) -> usize;
    fn read_nowait(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize>;
    /// As many of `bytes` as there is room for.
    fn put(&mut self, bytes: &[u8]) -> usize;
}

impl Sink for &mut [IoSliceMut<'_>] {
    fn room(&self) -> usize {
        self.iter().take(sys::MAX_SLICES).map(|buf| buf.len()).sum()
    }

    fn read_nowait(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        readv_front(fd, self, Place::Position, MOST)
    }

    fn put(&mut self, mut bytes: &[u8]) -> usize {
        let whole = bytes.len();
        for buf in self.iter_mut() {
            let n = bytes.len().min(buf.len());
            buf[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
        }
        whole - bytes.len()
    }
}

impl Sink for &mut [MaybeUninit<u8>] {
    fn room(&self) -> usize {
        self.len()
    }

    fn read_nowait(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let mut bytes = vec![0; self.len().min(MOST)];
        let n = readv_nowait(fd, &mut [IoSliceMut::new(&mut bytes)], Place::Position)?;
        Ok(self.put(&bytes[..n]))
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.len());
        self[..n].write_copy_of_slice(&bytes[..n]);
        n
    }
}

impl Blocking {
    pub(super) fn new(seekable: bool) -> Blocking {
        Blocking {
            active: Cell::new(true),
            seekable,
            nowait: [Cell::new(true), Cell::new(true)],
            jobs: Default::default(),
            ahead: RefCell::new(Ahead::Nothing),
            polled: RefCell::new(None),
        }
    }

    /// Whether calls have to pass here, if only to take what earlier ones have left.
    pub(super) fn in_use(&self) -> bool {
        self.active.get()
            || self.holds_back()
            || self.runs(Direction::Write)
            || self.polled.borrow().is_some()
    }

    /// Whether bytes of the file have been, or are being, read that nobody has taken yet.
    pub(super) fn holds_back(&self) -> bool {
        self.runs(Direction::Read) || self.has_ahead()
    }

    /// Whether a read would be answered with what an earlier one has left.
    pub(super) fn has_ahead(&self) -> bool {
        !matches!(*self.ahead.borrow(), Ahead::Nothing)
    }

    fn job(&self, direction: Direction) -> &RefCell<Job> {
        match direction {
            Direction::Read => &self.jobs[0],
            Direction::Write => &self.jobs[1],
        }
    }

    pub(super) fn nowait(&self, direction: Direction) -> &Cell<bool> {
        match direction {
            Direction::Read => &self.nowait[0],
            Direction::Write => &self.nowait[1],
        }
    }

    pub(super) fn runs(&self, direction: Direction) -> bool {
        self.job(direction).borrow().runs
    }

    /// Resolved when the direction's job has ended.
    pub(super) fn turn(&self, direction: Direction) -> Option<Promise<()>> {
        if !self.runs(direction) {
            return None;
        }
        let (turn, waiter) = task();
        self.wake_when_ended(direction, waiter);
        Some(turn)
    }

    pub(super) fn wake_when_ended(&self, direction: Direction, waiter: Resolver<()>) {
        self.job(direction).borrow_mut().waiters.push(waiter);
    }

    /// Makes `call` on a job thread as the direction's job, and hands its result to `keep`.
    pub(super) fn start<T: Send + 'static>(
        self: &Rc<Blocking>,
        direction: Direction,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
        keep: impl FnOnce(&Blocking, Result<T, Failure>) + 'static,
    ) {
        self.job(direction).borrow_mut().runs = true;
        let blocking = Rc::clone(self);
        let job = crate::job::detach(call);
        drop(spawn(async move {
            let result = match job.await {
                Ok(result) => result.map_err(Failure::System),
                Err(error) => Err(Failure::Rejected(error)),
            };
            keep(&blocking, result);
            let waiters = {
                let mut job = blocking.job(direction).borrow_mut();
                job.runs = false;
                mem::take(&mut job.waiters)
            };
            waiters.into_iter().for_each(|waiter| waiter.wakeup_later(()));
            Ok::<(), Error>(())
        }));
    }

    /// What a read has left, if it has: into the sink, as far as there is room.
    pub(super) fn take_ahead(&self, sink: &mut impl Sink) -> Option<Result<usize, Failure>> {
        let mut ahead = self.ahead.borrow_mut();
        match mem::replace(&mut *ahead, Ahead::Nothing) {
            Ahead::Nothing => None,
            Ahead::Failed(failure) => Some(Err(failure)),
            Ahead::Bytes(bytes, start) => {
                let n = sink.put(&bytes[start..]);
                if start + n < bytes.len() {
                    *ahead = Ahead::Bytes(bytes, start + n);
                }
                Some(Ok(n))
            }
        }
    }

    /// Keeps what a read job has brought; no bytes say that the file has ended.
    pub(super) fn keep_ahead(&self, result: Result<Vec<u8>, Failure>) {
        let ahead = match result {
            Ok(bytes) => Ahead::Bytes(bytes, 0),
            // Somebody else has made the description non-blocking, and taken what was there.
            Err(failure) if would_block(&failure) => Ahead::Nothing,
            Err(failure) => Ahead::Failed(failure),
        };
        drop(self.ahead.replace(ahead));
    }

    /// Rejects whoever waits.
    pub(super) fn close(&self, error: &Error) {
        for direction in [Direction::Read, Direction::Write] {
            let waiters = std::mem::take(&mut self.job(direction).borrow_mut().waiters);
            for waiter in waiters.into_iter().filter(Resolver::is_wanted) {
                waiter.wakeup_err(error.clone());
            }
        }
    }
}

/// Whether a call has said "not now", on a description that is non-blocking after all.
pub(super) fn would_block(failure: &Failure) -> bool {
    matches!(failure, Failure::System(error) if error.kind() == io::ErrorKind::WouldBlock)
}
