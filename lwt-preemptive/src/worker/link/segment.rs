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
//!    or dropped. In the child of a fork nothing is given back: the parent still reads.
//! 5. A segment grows while it is written, in powers of two; its space is reserved as it grows, so running
//!    out of memory is an error, not a signal.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::ends::Broken;
use super::map::Map;
use super::sys;
use crate::shm::lease;

/// How many segments a direction has at most.
pub(super) const SLOTS: usize = 64;
/// How long a segment can be, and so a message.
const ROOM: u64 = 1 << 36;
/// How long it is at least.
const SMALLEST: usize = 256 << 10;
/// After so many uses its pages are put together.
const WORTH_IT: u32 = 1;

/// Where a direction's segments are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: Rc<OwnedFd>,
    /// In the file.
    pub(super) base: u64,
    /// Where the flags are.
    pub(super) header: Arc<Map>,
    pub(super) flags: usize,
}

impl Place {
    fn flags(&self) -> &[AtomicU32] {
        self.header.halves(self.flags, SLOTS)
    }

    fn offset(&self, slot: usize) -> u64 {
        self.base + slot as u64 * ROOM
    }

    /// What all segments of a direction take of the file's addresses.
    pub(super) const LEN: u64 = SLOTS as u64 * ROOM;
}

/// The writer's segments.
#[derive(Debug)]
pub(super) struct Outbox {
    place: Place,
    /// `None`: never used, or being written.
    maps: [Option<(Map, u32)>; SLOTS],
    /// Which are being written.
    drafts: Slots,
}

/// Some of the slots, bit by bit.
#[derive(Debug, Clone, Default)]
struct Slots(Rc<Cell<u64>>);

/// One of them, until the drop.
#[derive(Debug)]
struct Taken {
    of: Slots,
    slot: usize,
}

impl Slots {
    fn has(&self, slot: usize) -> bool {
        self.0.get() >> slot & 1 != 0
    }

    fn many(&self) -> usize {
        self.0.get().count_ones() as usize
    }

    fn take(&self, slot: usize) -> Taken {
        self.0.set(self.0.get() | 1 << slot);
        Taken { of: self.clone(), slot }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.of.0.set(self.of.0.get() & !(1 << self.slot));
    }
}

/// A segment that is being written. Dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Draft {
    place: Place,
    slot: Taken,
    map: Map,
    len: usize,
    /// How often it was written before, as long as it is now.
    uses: u32,
}

impl Outbox {
    pub(super) fn new(place: Place) -> Outbox {
        Outbox { place, maps: [const { None }; SLOTS], drafts: Slots::default() }
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
        let free = |slot: &usize| self.place.flags()[*slot].load(Acquire) == 0 && !self.drafts.has(*slot);
        let len = |slot: &usize| self.maps[*slot].as_ref().map_or(0, |(map, _)| map.len());
        // Of equals the first: a new one only if there is no other.
        let Some(slot) = (0..SLOTS).filter(free).rev().max_by_key(len) else { return Ok(None) };
        let (map, uses) = match self.maps[slot].take() {
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
        Ok(Some(Draft { place: self.place.clone(), slot: self.drafts.take(slot), map, len: 0, uses }))
    }

    /// Gives a segment to the reader: slot and length are for the message.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn give(&mut self, draft: Draft) -> io::Result<(u8, u64)> {
        let Draft { place, slot: taken, mut map, len, uses } = draft;
        map.set_writable(false)?;
        let slot = taken.slot;
        // The message that tells of it is published by a release.
        place.flags()[slot].store(1, Relaxed);
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
        let (old, new) = (self.map.len(), len.next_power_of_two());
        let from = self.place.offset(self.slot.slot);
        sys::reserve(self.place.file.as_fd(), from + old as u64, new - old)?;
        // What was written is in the file.
        self.map = Map::new(self.place.file.as_fd(), self.place.offset(self.slot.slot), new, true)?;
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
    /// Which are being read.
    open: Slots,
    forks: u32,
}

/// A long message, where its sender has written it. As long as it is held nobody writes there; dropped, it
/// goes back to the sender.
pub(crate) struct Segment {
    map: Arc<Map>,
    len: usize,
    place: Place,
    slot: Taken,
    /// See [`lease::forks`].
    forks: u32,
}

impl Inbox {
    pub(super) fn new(place: Place) -> Inbox {
        lease::count_forks();
        Inbox { place, maps: [const { None }; SLOTS], open: Slots::default(), forks: lease::forks() }
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
        if self.open.has(slot) {
            return Err(broken("a segment that is being read"));
        }
        let from = self.place.offset(slot);
        if !sys::has(self.place.file.as_fd(), from + len)? {
            return Err(broken("the length of a segment"));
        }
        let len = len as usize;
        let map = match &self.maps[slot] {
            Some(map) if map.len() >= len => Arc::clone(map),
            _ => {
                let room = len.next_power_of_two().max(SMALLEST);
                let map = Arc::new(Map::new(self.place.file.as_fd(), from, room, false)?);
                map.populate(0, len);
                self.maps[slot] = Some(Arc::clone(&map));
                map
            }
        };
        Ok(Segment { map, len, place: self.place.clone(), slot: self.open.take(slot), forks: self.forks })
    }
}

impl Segment {
    /// Whether so many are being read that the writer may soon have none left: then it is better copied.
    pub(crate) fn is_scarce(&self) -> bool {
        self.slot.of.many() > SLOTS / 2
    }
}

impl Deref for Segment {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: they are in the file (`open`), and nobody writes them until the drop (rule 2).
        unsafe { self.map.bytes(self.len) }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.forks == lease::forks() {
            self.place.flags()[self.slot.slot].store(0, Release);
        }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("slot", &self.slot.slot).field("len", &self.len).finish()
    }
}
