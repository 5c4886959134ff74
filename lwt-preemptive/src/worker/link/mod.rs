//! The link between the program's loop and one worker: messages both ways through memory that they share.
//!
//! ```text
//!   one file without a name, sealed against shrinking
//!   ┌────────┬──────┬───────┬─────────────────┬─────────────────┐
//!   │ header │ ring │ ring  │ segments        │ segments        │   (these are far apart, and only
//!   │        │ out  │ back  │ out             │ back            │    what is used has memory)
//!   └────────┴──────┴───────┴─────────────────┴─────────────────┘
//!     positions, wishes, claims, flags of the segments
//! ```
//!
//! A message is a [`Frame`] with bytes. Short ones are copied through a ring (`ring`, `ends`), long ones lie
//! in a segment, and only their frame goes through the ring (`segment`).
//!
//! 1. *Trust.* What comes from the other side is checked, and read once; what cannot be is [`Broken`], and
//!    then the link is of no use any more. No reference is made into memory that others may change.
//! 2. *Sleep.* Each side has a bell; it is rung only for who has announced that it sleeps, or waits for room.
//!    Before they sleep both look for more for a moment ([`Spin`]).
//! 3. *Life.* The worker notices the end of the program, however it ends, by a pipe to which nobody writes.
//!    The program is told of the worker's end by those who have started it.
//! 4. *Claims.* For each job that was sent ahead there is a word, by which either the worker begins it or the
//!    program takes it back; never both.
//!
//! Files: `ends`, positions and who is to be rung; `map`, memory; `ring`; `segment`; `claim`; `sys`.

mod claim;
mod ends;
mod map;
mod ring;
mod segment;
mod sys;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use lwt_unix::spin::{Spin, spin};

pub(crate) use self::claim::{AHEAD, Claimed, Claims};
pub(crate) use self::ends::Broken;
use self::map::Map;
use self::ring::{Consumer, Producer};
pub(crate) use self::ring::{Frame, Room};
pub(crate) use self::segment::{Draft, Segment};
use self::segment::{Inbox, Outbox};
pub(crate) use self::sys::Bell;
use crate::shm::lease;

/// The bytes of each ring.
const RING: usize = 128 << 10;
const PAGE: usize = 4096;
/// Where things are in the header, which has two pages.
const ENDS: [usize; 2] = [512, 1024];
const FLAGS: [usize; 2] = [2048, 3072];
const CLAIMS: usize = 4096;
const HEADER: usize = 2 * PAGE;
/// Where the segments begin in the file.
const SEGMENTS: u64 = 1 << 40;

/// Messages of up to so many bytes go through a ring.
pub(crate) const SHORT: usize = 16 << 10;

/// How one side sends and receives.
#[derive(Debug)]
pub(crate) struct Link {
    out: Producer,
    into: Consumer,
    outbox: Outbox,
    inbox: Inbox,
    claims: Claims,
    /// Rung for the other side.
    theirs: Bell,
    /// What found no room.
    waiting: VecDeque<(Frame, Sent)>,
}

/// What the worker's side is made of: descriptors to be passed to it.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) file: OwnedFd,
    /// Rung for the worker.
    pub(crate) worker: OwnedFd,
    /// Rung for the loop.
    pub(crate) program: OwnedFd,
    pub(crate) life: OwnedFd,
}

/// The worker's side, which blocks its thread.
#[derive(Debug)]
pub(crate) struct Far {
    link: Link,
    bell: Bell,
    life: OwnedFd,
    spin: Spin,
}

/// The program's side.
#[derive(Debug)]
pub(crate) struct Near {
    pub(crate) link: Link,
    /// Its closing is what the worker sees.
    _life: OwnedFd,
}

/// A message's bytes on their way out.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// Not more than [`SHORT`].
    Short(&'a [u8]),
    /// From [`Link::draft`].
    Long(Draft),
}

/// The same once they are in a segment, or have to wait.
#[derive(Debug)]
enum Sent {
    Short(Vec<u8>),
    Long(u8, [u8; 8]),
}

/// Where the bytes of a message are that has come.
#[derive(Debug)]
pub(crate) enum Bytes<'a> {
    /// In the buffer that was given for it.
    Short(&'a [u8]),
    /// Where the sender has written them.
    Long(Segment),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Short(bytes) => bytes,
            Bytes::Long(segment) => segment,
        }
    }
}

/// The program or the worker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Why nothing more comes over a link.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The other side has written what cannot be.
    Broken(Broken),
    /// The other side has ended.
    Gone(Gone),
    /// The system has no memory, or no descriptors.
    System(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the memory of a link was damaged: {}", self.0)
    }
}

impl std::error::Error for Broken {}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Broken(broken) => broken.fmt(f),
            LinkError::Gone(Gone) => f.write_str("the other side of the link has ended"),
            LinkError::System(error) => write!(f, "the link: {error}"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<Broken> for LinkError {
    fn from(broken: Broken) -> LinkError {
        LinkError::Broken(broken)
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> LinkError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Broken>()) {
            Some(broken) => LinkError::Broken(*broken),
            None => LinkError::System(error),
        }
    }
}

/// Makes a link: the program's side, whose loop has the bell `program`, and what the worker's is made of.
///
/// # Errors
/// The system's.
pub(crate) fn link(program: BorrowedFd<'_>) -> io::Result<(Near, Parts)> {
    let file = sys::file(HEADER + 2 * RING)?;
    let bell = Bell::new()?;
    let (theirs, ours) = io::pipe()?;
    let parts = Parts {
        file: file.try_clone()?,
        worker: bell.fd().try_clone_to_owned()?,
        program: program.try_clone_to_owned()?,
        life: theirs.into(),
    };
    Ok((Near { link: Link::new(file, bell, [0, 1])?, _life: ours.into() }, parts))
}

impl Far {
    /// The worker's side.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new(parts: Parts) -> io::Result<Far> {
        let Parts { file, worker, program, life } = parts;
        if !sys::has(file.as_fd(), (HEADER + 2 * RING) as u64)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Broken("its file")));
        }
        let link = Link::new(file, Bell::from(program), [1, 0])?;
        Ok(Far { link, bell: Bell::from(worker), life, spin: Spin::far() })
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.link.claims
    }

    /// The next message, when there is one; its bytes are in `buffer` or in a segment.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) fn receive<'a, B: Room + Deref<Target = [u8]>>(
        &mut self,
        buffer: &'a mut B,
    ) -> Result<(Frame, Bytes<'a>), LinkError> {
        while !self.link.has_more()? {
            self.wait(|far| far.link.has_more(), |far| far.link.into.want_message())?;
            self.link.into.awake();
        }
        match self.link.receive(buffer)? {
            Some(message) => Ok(message),
            None => Err(Broken("the end of a ring").into()),
        }
    }

    /// Sends a message, when there is room.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) fn send(&mut self, frame: Frame, body: Body<'_>) -> Result<(), LinkError> {
        self.link.send(frame, body)?;
        while !self.link.waiting.is_empty() {
            self.wait(
                |far| far.link.flush().map(|()| far.link.waiting.is_empty()),
                |far| far.link.wants_room(),
            )?;
            self.link.flush()?;
        }
        Ok(())
    }

    /// A segment for a long message, if there is one now, and memory; but half of them are kept for
    /// [`draft`](Far::draft), whoever collects the others.
    pub(crate) fn draft_now(&mut self) -> Option<Draft> {
        if self.link.outbox.drafts() >= segment::SLOTS / 2 {
            return None;
        }
        self.link.draft().ok().flatten()
    }

    /// A segment for a long message, as soon as the program gives one back.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) fn draft(&mut self) -> Result<Draft, LinkError> {
        loop {
            if let Some(draft) = self.link.draft()? {
                return Ok(draft);
            }
            // The program holds as many results as there are segments: rare, and nobody rings.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Waits until `there` says so, or the bell is rung after `announce` has said that there is nothing.
    fn wait(
        &mut self,
        mut there: impl FnMut(&mut Far) -> Result<bool, Broken>,
        announce: impl Fn(&Far) -> bool,
    ) -> Result<(), LinkError> {
        if let Some(length) = self.spin.length() {
            let mut broken = Ok(());
            let found = spin(length, || {
                there(self).unwrap_or_else(|error| {
                    broken = Err(error);
                    true
                })
            });
            broken?;
            self.spin.ended(found);
            if found {
                return Ok(());
            }
        }
        if announce(self) {
            let begin = Instant::now();
            if !sys::sleep(&self.bell, self.life.as_fd())? {
                return Err(LinkError::Gone(Gone));
            }
            self.bell.hush();
            self.spin.parked(begin.elapsed());
        }
        Ok(())
    }
}

impl Link {
    /// The side that sends by `which[0]` and receives by `which[1]`.
    fn new(file: OwnedFd, theirs: Bell, which: [usize; 2]) -> io::Result<Link> {
        lease::count_forks();
        let map = Arc::new(Map::new(file.as_fd(), 0, HEADER + 2 * RING, true)?);
        let file = Rc::new(file);
        let ring = |which: usize| ring::Place {
            map: Arc::clone(&map),
            ends: ENDS[which],
            bytes: HEADER + which * RING,
            len: RING,
        };
        let segments = |which: usize| segment::Place {
            file: Rc::clone(&file),
            base: SEGMENTS + which as u64 * segment::Place::LEN,
            header: Arc::clone(&map),
            flags: FLAGS[which],
            forks: lease::forks(),
        };
        let [out, into] = which;
        Ok(Link {
            out: Producer::new(ring(out)),
            into: Consumer::new(ring(into)),
            outbox: Outbox::new(segments(out)),
            inbox: Inbox::new(segments(into)),
            claims: Claims::new(Arc::clone(&map), CLAIMS),
            theirs,
            waiting: VecDeque::new(),
        })
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// A segment for a long message; `None` while the other side has them all.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn draft(&mut self) -> io::Result<Option<Draft>> {
        self.outbox.draft()
    }

    /// Sends a message. What finds no room waits, in order, until [`flush`](Link::flush).
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) fn send(&mut self, frame: Frame, body: Body<'_>) -> Result<(), LinkError> {
        match body {
            Body::Short(bytes) => {
                if !self.waiting.is_empty() || !self.put(frame, None, bytes)? {
                    self.waiting.push_back((frame, Sent::Short(bytes.to_vec())));
                }
            }
            Body::Long(draft) => {
                let (slot, len) = self.outbox.give(draft)?;
                let len = len.to_ne_bytes();
                if !self.waiting.is_empty() || !self.put(frame, Some(slot), &len)? {
                    self.waiting.push_back((frame, Sent::Long(slot, len)));
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, frame: Frame, segment: Option<u8>, bytes: &[u8]) -> Result<bool, Broken> {
        let put = self.out.put(frame, segment, bytes)?;
        if put == Some(true) {
            self.theirs.ring();
        }
        Ok(put.is_some())
    }

    /// Sends what waits, as far as there is room now.
    ///
    /// # Errors
    /// [`Broken`].
    pub(crate) fn flush(&mut self) -> Result<(), Broken> {
        while let Some((frame, sent)) = self.waiting.pop_front() {
            let done = match &sent {
                Sent::Short(bytes) => self.put(frame, None, bytes)?,
                Sent::Long(slot, len) => self.put(frame, Some(*slot), len)?,
            };
            if !done {
                self.waiting.push_front((frame, sent));
                break;
            }
        }
        Ok(())
    }

    /// Announces that we are to be rung for when there is room for the first that waits; false if there is
    /// none that waits, or there is room.
    fn wants_room(&self) -> bool {
        self.waiting.front().is_some_and(|(_, sent)| {
            self.out.want_room(match sent {
                Sent::Short(bytes) => bytes.len(),
                Sent::Long(_, len) => len.len(),
            })
        })
    }

    /// Whether a message is there. If not, the other side gets its room back.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub(crate) fn has_more(&mut self) -> Result<bool, Broken> {
        let more = self.into.has_more()?;
        if !more && self.into.give_back() {
            self.theirs.ring();
        }
        Ok(more)
    }

    /// Takes a message, if there is one.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(crate) fn receive<'a, B: Room + Deref<Target = [u8]>>(
        &mut self,
        buffer: &'a mut B,
    ) -> Result<Option<(Frame, Bytes<'a>)>, LinkError> {
        let Some((frame, segment)) = self.into.get(buffer)? else { return Ok(None) };
        if self.into.is_half_taken() && self.into.give_back() {
            self.theirs.ring();
        }
        let Some(slot) = segment else { return Ok(Some((frame, Bytes::Short(buffer)))) };
        let len = <[u8; 8]>::try_from(&**buffer).map_err(|_| Broken("the length of a segment"))?;
        Ok(Some((frame, Bytes::Long(self.inbox.open(slot, u64::from_ne_bytes(len))?))))
    }

    /// The loop is about to sleep; false if it need not.
    ///
    /// # Errors
    /// [`Broken`].
    pub(crate) fn prepare_sleep(&mut self) -> Result<bool, Broken> {
        if self.has_more()? || !self.into.want_message() {
            return Ok(false);
        }
        Ok(self.waiting.is_empty() || self.wants_room())
    }

    /// The loop is awake.
    pub(crate) fn awake(&self) {
        self.into.awake();
    }
}
