//! Long messages: each lies in a *segment* of the link's file, is written there by its maker and read there
//! by its receiver, without another copy. Segments are kept and used again, because the first touch of a page
//! costs more than anything that is done with it later.
//!
//! 1. Each direction has its segments, in slots. A slot belongs to the writer, or is *given* to the reader;
//!    the table of these flags is in shared memory. The writer sets one before the message, and the reader
//!    clears it when nobody reads any more.
//! 2. What the reader looks at cannot change: the reader never has a writable mapping of it, and the writer
//!    has its own made read-only by the kernel before it gives a segment away, and until it has it back. Only
//!    this file makes those mappings writable, in processes that run the same program. A stray store of a
//!    broken worker hits a read-only page, and ends the worker.
//! 3. The reader believes the writer nothing: slot and length are checked, the file is sealed against
//!    shrinking and asked for its length, and no slot is taken that is still being read.
//! 4. A slot has one draft at a time: which have one is noted on the writer's side, until the draft is given
//!    or dropped.
//! 5. A segment grows while it is written; its space is reserved as it grows, so running out of memory is an
//!    error, not a signal.
//! 6. Its memory is kept for the next message, up to [`KEPT`] in a direction. What is more goes back to the
//!    system, by whoever has the slot last: the reader, who says in the flag that there is nothing any more,
//!    or a draft that is dropped.
//! 7. As long as one is written or read, a safe fork is refused ([`Lent`]). In the child of another fork
//!    nothing is read, and nothing given back: all of it is the parent's.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use lwt_unix::process::Lent;

use super::ends::Broken;
use super::map::{HUGE, Map};
use super::sys;
use crate::shm::lease;

/// How many segments a direction has at most.
pub(super) const SLOTS: usize = 64;
/// How long a segment can be, and so a message.
const ROOM: u64 = 1 << 36;
/// How long it is at least.
const SMALLEST: usize = 256 << 10;
/// How many bytes of segments that nobody uses are kept, besides the smallest.
pub(super) const KEPT: usize = if cfg!(test) { 8 << 20 } else { 256 << 20 };
/// After so many uses its pages are put together.
const WORTH_IT: u32 = 1;

/// The flags of the slots: it is the writer's, ...
const FREE: u32 = 0;
/// ... the reader's, ...
const GIVEN: u32 = 1;
/// ... the writer's, and has no memory any more.
const EMPTIED: u32 = 2;

/// How long a segment is made for a message: somewhat longer, and a long one of whole huge pages.
fn roomy(len: usize) -> usize {
    if len <= HUGE {
        len.next_power_of_two().max(SMALLEST)
    } else {
        (len + len / 8).next_multiple_of(HUGE).min(ROOM as usize)
    }
}

/// Where a direction's segments are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: Rc<OwnedFd>,
    /// In the file.
    pub(super) base: u64,
    /// Where the flags are.
    pub(super) header: Arc<Map>,
    pub(super) flags: usize,
    /// In which life of this process it was made: see [`lease::forks`].
    pub(super) forks: u32,
}

impl Place {
    fn flag(&self, slot: usize) -> &AtomicU32 {
        &self.header.halves(self.flags, SLOTS)[slot]
    }

    fn offset(&self, slot: usize) -> u64 {
        self.base + slot as u64 * ROOM
    }

    /// Gives the memory of a slot back to the system.
    ///
    /// # Errors
    /// The system's.
    fn empty(&self, slot: usize) -> io::Result<()> {
        sys::empty(self.file.as_fd(), self.offset(slot), ROOM)
    }

    /// Whether this is the process that made the link, and not a child of it made by `fork`.
    fn is_here(&self) -> bool {
        self.forks == lease::forks()
    }

    /// What all segments of a direction take of the file's addresses.
    pub(super) const LEN: u64 = SLOTS as u64 * ROOM;
}

/// Some of the slots, bit by bit.
#[derive(Debug, Default)]
struct Slots(Cell<u64>);

impl Slots {
    fn has(&self, slot: usize) -> bool {
        self.0.get() >> slot & 1 != 0
    }

    fn many(&self) -> usize {
        self.0.get().count_ones() as usize
    }

    fn set(&self, slot: usize, has: bool) {
        self.0.set(self.0.get() & !(1 << slot) | u64::from(has) << slot);
    }
}

/// The writer's segments.
#[derive(Debug)]
pub(super) struct Outbox {
    place: Place,
    /// `None`: never used, or being written.
    maps: [Option<(Map, u32)>; SLOTS],
    /// Which are being written.
    drafts: Rc<Slots>,
}

/// A slot that is being written.
#[derive(Debug)]
struct Taken {
    place: Place,
    drafts: Rc<Slots>,
    slot: usize,
    /// Whether the reader gets it.
    given: bool,
    _lent: Lent,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.given && self.place.is_here() {
            // If that does not work, the next draft has the memory.
            let _ = self.place.empty(self.slot);
        }
        self.drafts.set(self.slot, false);
    }
}

/// A segment that is being written. Dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Draft {
    slot: Taken,
    map: Map,
    len: usize,
    /// How often it was written before, as long as it is now.
    uses: u32,
}

impl Outbox {
    pub(super) fn new(place: Place) -> Outbox {
        Outbox { place, maps: [const { None }; SLOTS], drafts: Rc::default() }
    }

    /// How many drafts there are.
    pub(super) fn drafts(&self) -> usize {
        self.drafts.many()
    }

    /// A segment to write into: of those that the reader has given back the largest. `None` if the reader has
    /// them all, or they are being written.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn draft(&mut self) -> io::Result<Option<Draft>> {
        let flag = |slot: usize| self.place.flag(slot).load(Acquire);
        let free = |slot: &usize| flag(*slot) != GIVEN && !self.drafts.has(*slot);
        let len = |slot: &usize| match &self.maps[*slot] {
            Some((map, _)) if flag(*slot) == FREE => map.len(),
            _ => 0,
        };
        // Of equals the first: a new one only if there is no other.
        let Some(slot) = (0..SLOTS).filter(free).rev().max_by_key(len) else { return Ok(None) };
        let kept = self.maps[slot].take();
        let emptied = self.place.flag(slot).swap(FREE, Relaxed) == EMPTIED;
        let (map, uses) = match kept.filter(|_| !emptied) {
            Some((mut map, uses)) => {
                map.set_writable(true)?;
                if uses == WORTH_IT {
                    map.put_together();
                }
                (map, uses.saturating_add(1))
            }
            None => {
                let from = self.place.offset(slot);
                sys::reserve(self.place.file.as_fd(), from, SMALLEST)?;
                (Map::new(self.place.file.as_fd(), from, SMALLEST, true)?, 0)
            }
        };
        self.drafts.set(slot, true);
        let (place, drafts) = (self.place.clone(), Rc::clone(&self.drafts));
        let slot = Taken { place, drafts, slot, given: false, _lent: Lent::new() };
        Ok(Some(Draft { slot, map, len: 0, uses }))
    }

    /// Gives a segment to the reader: slot and length are for the message.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn give(&mut self, draft: Draft) -> io::Result<(u8, u64)> {
        let Draft { slot: mut taken, mut map, len, uses } = draft;
        map.set_writable(false)?;
        taken.given = true;
        let slot = taken.slot;
        // The message that tells of it is published by a release.
        self.place.flag(slot).store(GIVEN, Relaxed);
        self.maps[slot] = Some((map, uses));
        Ok((slot as u8, len as u64))
    }
}

impl Draft {
    /// How many bytes were written.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes that were written.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: a draft is in no other hands, and this borrow keeps it from being written.
        unsafe { self.map.bytes(self.len) }
    }

    /// Has room for so many bytes more.
    ///
    /// # Errors
    /// The system's: `ENOMEM` or `ENOSPC` if there is no more memory, `EFBIG` if the message is too long.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) -> io::Result<()> {
        match self.len.checked_add(more) {
            Some(len) if len <= self.map.len() => Ok(()),
            len => self.grow(len.unwrap_or(usize::MAX)),
        }
    }

    #[cold]
    fn grow(&mut self, len: usize) -> io::Result<()> {
        if len as u64 > ROOM {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        let old = self.map.len();
        // What is written bit by bit is not to be mapped anew too often.
        let new = roomy(len.max(old + old / 3));
        let (file, from) = (self.slot.place.file.as_fd(), self.slot.place.offset(self.slot.slot));
        sys::reserve(file, from + old as u64, new - old)?;
        // What was written is in the file.
        self.map = Map::new(file, from, new, true)?;
        self.map.populate(0, new);
        self.uses = 0;
        Ok(())
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// As [`reserve`](Draft::reserve).
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.fill(bytes.len(), |room| room.copy_from_slice(bytes))
    }

    /// Appends so many bytes, which `f` fills in; they are what the segment had before, or zeroes.
    ///
    /// # Errors
    /// As [`reserve`](Draft::reserve).
    #[inline]
    pub(crate) fn fill<R>(&mut self, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> io::Result<R> {
        self.reserve(len)?;
        // SAFETY: a draft is in no other hands: its slot was given back by the reader, or never given (rules
        // 1 and 2).
        let bytes = unsafe { self.map.bytes_mut() };
        let done = f(&mut bytes[self.len..self.len + len]);
        self.len += len;
        Ok(done)
    }
}

/// The reader's side of a direction's segments.
#[derive(Debug)]
pub(super) struct Inbox {
    place: Place,
    maps: [Option<Arc<Map>>; SLOTS],
    read: Rc<Read>,
}

/// What has become of the slots at the reader's.
#[derive(Debug, Default)]
struct Read {
    /// Which are being read.
    open: Slots,
    /// Which were given back without memory.
    emptied: Slots,
    /// How much memory the others have that were given back.
    kept: Cell<usize>,
}

/// A long message, where its sender has written it. As long as it is held nobody writes there; dropped, it
/// goes back to the sender.
pub(crate) struct Segment {
    map: Arc<Map>,
    len: usize,
    place: Place,
    slot: usize,
    read: Rc<Read>,
    _lent: Lent,
}

impl Inbox {
    pub(super) fn new(place: Place) -> Inbox {
        Inbox { place, maps: [const { None }; SLOTS], read: Rc::default() }
    }

    /// The segment of a message.
    ///
    /// # Errors
    /// [`Broken`] if it cannot be, as an error of the kind `InvalidData`; the system's.
    pub(super) fn open(&mut self, slot: u8, len: u64) -> io::Result<Segment> {
        let slot = usize::from(slot);
        let broken = |what| io::Error::new(io::ErrorKind::InvalidData, Broken(what));
        if slot >= SLOTS || len > ROOM {
            return Err(broken("the place of a segment"));
        }
        if self.read.open.has(slot) {
            return Err(broken("a segment that is being read"));
        }
        let from = self.place.offset(slot);
        if !sys::has(self.place.file.as_fd(), from + len)? {
            return Err(broken("the length of a segment"));
        }
        let len = len as usize;
        let mut before = self.maps[slot].take();
        if self.read.emptied.has(slot) {
            self.read.emptied.set(slot, false);
            before = None;
        }
        self.read.kept.update(|kept| kept - before.as_ref().map_or(0, |map| map.len()));
        let map = match before {
            Some(map) if map.len() >= len => map,
            _ => {
                let map = Map::new(self.place.file.as_fd(), from, roomy(len), false)?;
                map.populate(0, len);
                Arc::new(map)
            }
        };
        self.maps[slot] = Some(Arc::clone(&map));
        self.read.open.set(slot, true);
        let (place, read) = (self.place.clone(), Rc::clone(&self.read));
        Ok(Segment { map, len, place, slot, read, _lent: Lent::new() })
    }
}

impl Segment {
    /// Whether so many are being read that the writer may soon have none left: then it is better copied.
    pub(crate) fn is_scarce(&self) -> bool {
        self.read.open.many() > SLOTS / 2
    }
}

/// # Panics
/// In a child made by `fork`: see rule 7.
impl Deref for Segment {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        assert!(self.place.is_here(), "what is read in place belongs to the parent of this process");
        // SAFETY: they are in the file (`open`), and nobody writes them until the drop (rule 2), which is
        // this process's.
        unsafe { self.map.bytes(self.len) }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.place.is_here() {
            return;
        }
        let kept = self.read.kept.get() + self.map.len();
        let flag = if kept > KEPT && self.map.len() > SMALLEST && self.place.empty(self.slot).is_ok() {
            self.read.emptied.set(self.slot, true);
            EMPTIED
        } else {
            self.read.kept.set(kept);
            FREE
        };
        self.read.open.set(self.slot, false);
        self.place.flag(self.slot).store(flag, Release);
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("slot", &self.slot).field("len", &self.len).finish()
    }
}
