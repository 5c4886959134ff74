//! [`Pump`]: moves bytes from one descriptor to another, inside the kernel where that can be.
//!
//! # Ways
//! | from | to | way |
//! |---|---|---|
//! | a file | a file | `copy_file_range`, on a job thread |
//! | a file | a socket, a pipe | `sendfile`, on a job thread |
//! | a socket, a pipe | a file | `splice` into a pipe of ours, and from there on a job thread |
//! | a socket, a pipe | a socket, a pipe | `splice` into a pipe of ours and out of it, on the loop |
//! | whatever the kernel refuses | | a buffer |
//!
//! # Rules
//! 1. *Nothing is lost.* What has been taken from the one side and not been given to the other is in
//!    [`Held`], which belongs to the pump and not to the future that works on it: a cancel, an error or a
//!    drop leaves it there, and the next [`run`](Pump::run) begins with it. It changes in the same poll as
//!    the call that moves the bytes.
//! 2. A job that is under way is not cancelled, because it cannot be taken back: a cancel waits for it, and
//!    is met before the next one. The job too belongs to the pump.
//! 3. A pipe of ours is held only while there is something in it, so that ten thousand idle relays need none.
//! 4. Where no pipe can be had (`EMFILE`) a buffer does its work, for that time.
//! 5. A call inside the kernel would wait where a socket, a pipe or a terminal [blocks](Fd::blocking), so
//!    that is looked at before each of them; from the first that would on, it is a buffer ([`unblocked`]).

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use lwt_core::{Error, Promise, task};

use super::spare::SparePipe;
use super::{Direction, During, Failure, Fd};
use crate::job;
use crate::sys::{self, Room, transfer};

/// At most so many bytes are moved by one call on the loop.
const CHUNK: usize = 1 << 20;
/// At most so many bytes are moved by one job.
const JOB: usize = 8 << 20;
/// The size of a buffer, where there has to be one.
const BUFFER: usize = 64 << 10;

/// How many bytes have passed; a handle that tells it at any time, also while the pump works.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (reader, _writer) = lwt_unix::fd::pipe()?;
/// let (_reader, writer) = lwt_unix::fd::pipe()?;
/// let traffic = lwt_unix::fd::Pump::new(&reader, &writer).traffic();
/// assert_eq!((traffic.taken(), traffic.given()), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Traffic(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    taken: Cell<u64>,
    given: Cell<u64>,
}

impl Traffic {
    /// How many bytes were taken from the one side.
    pub fn taken(&self) -> u64 {
        self.0.taken.get()
    }

    /// How many bytes were given to the other side.
    pub fn given(&self) -> u64 {
        self.0.given.get()
    }
}

/// Moves bytes from one descriptor to another, without a buffer of this program where the kernel can.
///
/// It is there for relays and for copies: sockets are spliced, files are sent or copied inside the kernel, by
/// job threads, and what the kernel refuses goes through a buffer. What has been taken from the one side and
/// not been given to the other stays in the pump when its work is interrupted: run it again, or look at
/// [`held`](Pump::held).
///
/// ```
/// use lwt_unix::fd::{Pump, pipe};
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (from, writer) = pipe()?;
/// let (reader, to) = pipe()?;
/// lwt_unix::run(async move {
///     writer.write_all(b"passed on").await?;
///     writer.close()?;
///     let mut pump = Pump::new(&from, &to);
///     assert_eq!(pump.run().await?, 9); // to the end of `from`
///     let mut buf = [0; 9];
///     reader.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"passed on");
///     Ok::<_, lwt_core::Error>(())
/// })
/// # }
/// ```
pub struct Pump {
    from: Fd,
    to: Fd,
    way: Way,
    held: Held,
    job: Option<Promise<io::Result<usize>>>,
    traffic: Traffic,
    failed: Option<Direction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    CopyRange,
    SendFile,
    Splice,
    Buffer,
}

/// What has been taken and not been given.
enum Held {
    Nothing,
    /// So many bytes in a pipe.
    Pipe(SparePipe, usize),
    /// The bytes from there on.
    Buffer(Vec<u8>, usize),
}

/// What filling has come to.
enum Filled {
    Some,
    End,
    /// The kernel refuses this way.
    Refused,
}

impl Pump {
    /// A pump between two descriptors, of which it keeps handles. Nothing moves before it is run.
    pub fn new(from: &Fd, to: &Fd) -> Pump {
        let way = match (from.is_seekable(), to.is_seekable()) {
            (true, true) => Way::CopyRange,
            (true, false) if !to.blocking() => Way::SendFile,
            (false, _) if !from.blocking() && (to.is_seekable() || !to.blocking()) => Way::Splice,
            // The kernel would wait in the call.
            _ => Way::Buffer,
        };
        Pump {
            from: from.clone(),
            to: to.clone(),
            way,
            held: Held::Nothing,
            job: None,
            traffic: Traffic::default(),
            failed: None,
        }
    }

    /// A handle that tells how many bytes have passed, at any time.
    pub fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// How many bytes have been taken and not been given yet.
    pub fn held(&self) -> usize {
        match &self.held {
            Held::Nothing => 0,
            Held::Pipe(_, n) => *n,
            Held::Buffer(bytes, start) => bytes.len() - start,
        }
    }

    /// Whether the last error was that of the side that is written to. None was: `None`.
    pub fn failed(&self) -> Option<Direction> {
        self.failed
    }

    /// Moves everything, to the end of the side that is read from; how many bytes this run has given.
    ///
    /// A cancel, an error, or dropping the future loses nothing: what was taken and not given stays in the
    /// pump. (A cancel waits for a job that is under way.)
    ///
    /// # Errors
    /// Those of either side ([`failed`](Pump::failed) tells which), as of [`Fd::read`] and [`Fd::write`];
    /// `Canceled`.
    pub async fn run(&mut self) -> Result<u64, Error> {
        self.run_some(u64::MAX).await
    }

    /// [`run`](Pump::run) for at most `most` bytes; fewer only at the end of the side that is read from. What
    /// the pump held before counts.
    ///
    /// # Errors
    /// As [`run`](Pump::run).
    pub async fn run_some(&mut self, most: u64) -> Result<u64, Error> {
        let before = self.traffic.given();
        self.failed = None;
        self.finish_job().await?;
        loop {
            let moved = self.traffic.given() - before;
            if self.held() > 0 {
                self.drain(most.saturating_sub(moved)).await?;
            }
            let left = most.saturating_sub(self.traffic.given() - before);
            if left == 0 {
                return Ok(self.traffic.given() - before);
            }
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let filled = match self.way {
                // What a cancelled read has left comes first.
                _ if self.from.holds_back() => self.fill_buffer(left.min(BUFFER)).await?,
                Way::CopyRange | Way::SendFile => self.move_file(left).await?,
                Way::Splice => self.fill_pipe(left.min(CHUNK)).await?,
                Way::Buffer => self.fill_buffer(left.min(BUFFER)).await?,
            };
            match filled {
                Filled::Some => {}
                Filled::End => return Ok(self.traffic.given() - before),
                Filled::Refused => self.way = Way::Buffer,
            }
        }
    }

    /// Makes a call as a job that counts what it has moved, and waits for it.
    async fn by_job(
        &mut self,
        call: impl FnOnce() -> io::Result<usize> + Send + 'static,
    ) -> Result<io::Result<usize>, Error> {
        task::cancel_point().await?;
        self.job = Some(job::detach(call).no_cancel());
        self.finish_job().await.map(|done| done.unwrap_or(Ok(0)))
    }

    /// Waits for the job that is under way, and counts what it has moved.
    async fn finish_job(&mut self) -> Result<Option<io::Result<usize>>, Error> {
        let Some(job) = &mut self.job else { return Ok(None) };
        let done = task::keep_cancel(job).await;
        self.job = None;
        let done = done?;
        if let Ok(n) = done {
            match &mut self.held {
                Held::Pipe(_, _) => self.gave(n),
                _ => {
                    self.took(n);
                    self.gave(n);
                }
            }
        }
        Ok(Some(done))
    }

    fn took(&self, n: usize) {
        self.traffic.0.taken.set(self.traffic.taken() + n as u64);
    }

    /// So many bytes of what is held, or of a file, have arrived.
    fn gave(&mut self, n: usize) {
        self.traffic.0.given.set(self.traffic.given() + n as u64);
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Pipe(pipe, held) if n >= held => pipe.give_back(),
            Held::Pipe(pipe, held) => self.held = Held::Pipe(pipe, held - n),
            Held::Buffer(bytes, start) if start + n >= bytes.len() => {}
            Held::Buffer(bytes, start) => self.held = Held::Buffer(bytes, start + n),
        }
    }

    /// A file, straight to where it goes.
    async fn move_file(&mut self, left: usize) -> Result<Filled, Error> {
        let (from, to) = (self.from.hold()?, self.to.hold()?);
        let call = if self.way == Way::SendFile { "sendfile" } else { "copy_file_range" };
        let most = left.min(JOB);
        let done = match self.way {
            Way::SendFile if self.to.blocking() => return Ok(Filled::Refused),
            Way::SendFile => {
                self.by_job(move || transfer::send_file(to.as_fd(), from.as_fd(), None, most.min(CHUNK)))
                    .await?
            }
            _ => self.by_job(move || transfer::copy_file_range(from.as_fd(), to.as_fd(), most)).await?,
        };
        match done {
            // The end; or a file that is made as it is read (those of /proc), which seems empty to these
            // calls.
            Ok(0) => self.fill_buffer(left.min(BUFFER)).await,
            Ok(_) => Ok(Filled::Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let ready = self.to.wait_write().await;
                self.told(Direction::Write, ready)?;
                Ok(Filled::Some)
            }
            Err(error) if refused(&error) => Ok(Filled::Refused),
            Err(error) => {
                self.failed = Some(Direction::Write);
                Err(error).during(call)
            }
        }
    }

    /// From the one side into a pipe of ours.
    async fn fill_pipe(&mut self, most: usize) -> Result<Filled, Error> {
        let mut filled = None;
        let source = &self.from;
        let op = |from: BorrowedFd<'_>| {
            unblocked(source)?;
            let pipe = SparePipe::take()?;
            let n = match transfer::splice(from, pipe.writer(), most) {
                Ok(n) => n,
                Err(error) => {
                    pipe.give_back();
                    return Err(error);
                }
            };
            match n {
                0 => pipe.give_back(),
                n => filled = Some((pipe, n)),
            }
            Ok(n)
        };
        match source.drive(Direction::Read, op).await {
            Ok(0) => Ok(Filled::End),
            Ok(n) => {
                self.took(n);
                if let Some((pipe, n)) = filled {
                    self.held = Held::Pipe(pipe, n);
                }
                Ok(Filled::Some)
            }
            Err(Failure::System(error)) if refused(&error) => Ok(Filled::Refused),
            // No pipe for now.
            Err(Failure::System(error)) if no_room(&error) => self.fill_buffer(most.min(BUFFER)).await,
            Err(failure) => {
                self.failed = Some(Direction::Read);
                Err(failure.into_error("splice"))
            }
        }
    }

    /// From the one side into a buffer.
    async fn fill_buffer(&mut self, most: usize) -> Result<Filled, Error> {
        // Nothing is kept while there is nothing to be read.
        if !self.from.is_seekable() {
            let ready = self.from.wait_read().await;
            self.told(Direction::Read, ready)?;
        }
        let mut bytes = vec![0; most];
        let read = self.from.read(&mut bytes).await;
        let n = self.told(Direction::Read, read)?;
        if n == 0 {
            return Ok(Filled::End);
        }
        bytes.truncate(n);
        self.took(n);
        self.held = Held::Buffer(bytes, 0);
        Ok(Filled::Some)
    }

    /// At most `most` bytes of what is held, to the other side.
    async fn drain(&mut self, most: u64) -> Result<(), Error> {
        let mut left = usize::try_from(most).unwrap_or(usize::MAX);
        while left > 0 && self.held() > 0 {
            let n = match self.drain_once(left).await {
                Ok(0) => Err(io::Error::from(io::ErrorKind::WriteZero)).during("write"),
                Err(Failure::System(error)) if refused(&error) && matches!(self.held, Held::Pipe(..)) => {
                    self.way = Way::Buffer;
                    self.unload()?;
                    continue;
                }
                done => done.map_err(|failure| failure.into_error("splice")),
            };
            left -= self.told(Direction::Write, n)?;
        }
        Ok(())
    }

    async fn drain_once(&mut self, left: usize) -> Result<usize, Failure> {
        let n = match &self.held {
            Held::Nothing => return Ok(0),
            Held::Buffer(bytes, start) => {
                let end = bytes.len().min(start.saturating_add(left));
                self.to.write(&bytes[*start..end]).await.map_err(Failure::Rejected)?
            }
            Held::Pipe(pipe, held) if self.to.is_seekable() => {
                let most = left.min(*held);
                let (pipe, to) = (pipe.held_reader(), self.to.hold().map_err(Failure::Rejected)?);
                let call = move || transfer::splice(pipe.as_fd(), to.as_fd(), most);
                // It counts by itself.
                return self.by_job(call).await.map_err(Failure::Rejected)?.map_err(Failure::System);
            }
            Held::Pipe(pipe, held) => {
                let most = left.min(*held);
                let op = |to: BorrowedFd<'_>| {
                    unblocked(&self.to)?;
                    transfer::splice(pipe.reader(), to, most)
                };
                self.to.drive(Direction::Write, op).await?
            }
        };
        self.gave(n);
        Ok(n)
    }

    /// Moves what is held in a pipe to a buffer.
    fn unload(&mut self) -> Result<(), Error> {
        let Held::Pipe(pipe, held) = &self.held else { return Ok(()) };
        let mut bytes = vec![0; *held];
        let mut filled = 0;
        while filled < bytes.len() {
            match sys::read(pipe.reader(), &Room::from(&mut bytes[filled..])).during("read")? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        if let Held::Pipe(pipe, _) = std::mem::replace(&mut self.held, Held::Buffer(bytes, 0)) {
            pipe.give_back();
        }
        Ok(())
    }

    /// Notes which side has failed.
    fn told<T>(&mut self, side: Direction, result: Result<T, Error>) -> Result<T, Error> {
        if result.as_ref().is_err_and(|error| !error.is_canceled()) {
            self.failed = Some(side);
        }
        result
    }
}

/// Refuses a call that might wait on the loop: see rule 5.
fn unblocked(fd: &Fd) -> io::Result<()> {
    if fd.blocking() { Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)) } else { Ok(()) }
}

/// Whether the kernel says that it cannot move bytes this way, between these two.
fn refused(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    sys::descriptor::is_unsupported(error)
        || matches!(number, Some(libc::EINVAL | libc::EXDEV | libc::EBADF | libc::EPERM))
}

/// Whether a pipe cannot be had for now.
fn no_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Pump");
        out.field("from", &self.from).field("to", &self.to).field("way", &self.way);
        out.field("held", &self.held()).field("traffic", &self.traffic).finish_non_exhaustive()
    }
}

/// Moves up to `count` bytes from one descriptor to another, at their positions; how many there were, fewer
/// only at the end of `from`.
///
/// The bytes take the shortest way that there is: see [`Pump`], which also keeps what an interrupted copy has
/// taken and not given; here that is lost with the count.
///
/// ```
/// use lwt_unix::fd::{copy, pipe};
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (from, writer) = pipe()?;
/// let (reader, to) = pipe()?;
/// lwt_unix::run(async move {
///     writer.write_all(b"head body").await?;
///     assert_eq!(copy(&from, &to, 4).await?, 4);
///     let mut buf = [0; 16];
///     assert_eq!(reader.read(&mut buf).await?, 4);
///     Ok::<_, lwt_core::Error>(())
/// })
/// # }
/// ```
///
/// # Errors
/// As [`Pump::run`].
pub async fn copy(from: &Fd, to: &Fd, count: u64) -> Result<u64, Error> {
    Pump::new(from, to).run_some(count).await
}
