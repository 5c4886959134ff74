//! One direction of a link: frames in a ring of bytes. See `ends` for the positions.
//!
//! A frame is three words, [`Frame`], and its bytes, filled up to words. It is whole in the ring when the end
//! moves, and may lie around the ring's end.
//!
//! 1. A frame takes a quarter of the ring at most ([`longest`]); what is longer goes through a segment, and
//!    its frame says where.
//! 2. The consumer copies a frame, and checks the copy; nothing is read twice.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::ends::{Broken, Ends};
use super::map::Map;

pub(super) const WORD: usize = size_of::<u64>();
const HEAD: usize = 3;

/// What stands at the beginning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Frame {
    /// What it is, to the users of the link.
    pub(crate) kind: u8,
    /// Whose it is.
    pub(crate) id: u64,
    /// One more number.
    pub(crate) extra: u64,
}

/// Where a ring is in a map.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) map: Arc<Map>,
    /// Of its positions.
    pub(super) ends: usize,
    /// Of its bytes, and how many they are: a power of two.
    pub(super) bytes: usize,
    pub(super) len: usize,
}

/// The bytes that a frame can carry in a ring of this length.
pub(super) fn longest(len: usize) -> usize {
    len / 4 - HEAD * WORD
}

impl Place {
    #[inline]
    fn ends(&self) -> &Ends {
        self.map.ends(self.ends)
    }

    /// The words of the ring from a position on: up to its end, and from its beginning.
    #[inline]
    fn words(&self, at: u64, count: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let words = self.map.words(self.bytes, self.len / WORD);
        let from = at as usize % self.len / WORD;
        let first = count.min(words.len() - from);
        (&words[from..from + first], &words[..count - first])
    }

    fn store(&self, at: u64, bytes: &[u8]) {
        let (first, rest) = self.words(at, bytes.len().div_ceil(WORD));
        let (now, later) = bytes.split_at(bytes.len().min(first.len() * WORD));
        store(first, now);
        store(rest, later);
    }

    fn load(&self, at: u64, bytes: &mut [u8]) {
        let (first, rest) = self.words(at, bytes.len().div_ceil(WORD));
        let (now, later) = bytes.split_at_mut(bytes.len().min(first.len() * WORD));
        load(first, now);
        load(rest, later);
    }
}

#[inline]
fn store(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, end) = bytes.as_chunks::<WORD>();
    for (cell, chunk) in words.iter().zip(whole) {
        cell.store(u64::from_ne_bytes(*chunk), Relaxed);
    }
    if !end.is_empty() {
        let mut last = [0; WORD];
        last[..end.len()].copy_from_slice(end);
        words[whole.len()].store(u64::from_ne_bytes(last), Relaxed);
    }
}

#[inline]
fn load(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, end) = bytes.as_chunks_mut::<WORD>();
    let count = whole.len();
    for (cell, chunk) in words.iter().zip(whole) {
        *chunk = cell.load(Relaxed).to_ne_bytes();
    }
    if !end.is_empty() {
        let len = end.len();
        end.copy_from_slice(&words[count].load(Relaxed).to_ne_bytes()[..len]);
    }
}

/// The writing end of a ring.
#[derive(Debug)]
pub(super) struct Producer {
    place: Place,
    end: u64,
    /// As it was last looked at.
    first: u64,
}

/// The reading end of a ring.
#[derive(Debug)]
pub(super) struct Consumer {
    place: Place,
    first: u64,
    /// What has been read, and not been given back.
    given_back: u64,
    /// As it was last looked at.
    end: u64,
}

impl Producer {
    pub(super) fn new(place: Place) -> Producer {
        Producer { place, end: 0, first: 0 }
    }

    fn need(bytes: usize) -> u64 {
        (HEAD * WORD + bytes.next_multiple_of(WORD)) as u64
    }

    /// Puts a frame in if there is room; whether the other side is to be rung. `segment` is the slot of a
    /// segment that has the message's bytes, in place of these.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) fn put(
        &mut self,
        frame: Frame,
        segment: Option<u8>,
        bytes: &[u8],
    ) -> Result<Option<bool>, Broken> {
        let (need, len) = (Producer::need(bytes.len()), self.place.len as u64);
        debug_assert!(need <= len / 2, "too long for a ring");
        let room = |first: u64| len - self.end.wrapping_sub(first);
        if room(self.first) < need {
            self.first = self.place.ends().first(self.end, len)?;
            if room(self.first) < need {
                return Ok(None);
            }
        }
        let head = u64::from(frame.kind)
            | u64::from(segment.is_some()) << 8
            | u64::from(segment.unwrap_or(0)) << 16
            | (bytes.len() as u64) << 32;
        let mut words = [0; HEAD * WORD];
        for (to, word) in words.as_chunks_mut::<WORD>().0.iter_mut().zip([head, frame.id, frame.extra]) {
            *to = word.to_ne_bytes();
        }
        self.place.store(self.end, &words);
        self.place.store(self.end + words.len() as u64, bytes);
        self.end += need;
        Ok(Some(self.place.ends().publish(self.end)))
    }

    /// There was no room for these bytes: the other side will ring when there is. False if there is now.
    pub(super) fn want_room(&self, bytes: usize) -> bool {
        self.place.ends().want_room(self.end, Producer::need(bytes), self.place.len as u64)
    }
}

impl Consumer {
    pub(super) fn new(place: Place) -> Consumer {
        Consumer { place, first: 0, given_back: 0, end: 0 }
    }

    /// Whether there is a frame, as far as one look tells.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub(super) fn has_more(&mut self) -> Result<bool, Broken> {
        if self.end == self.first {
            self.end = self.place.ends().end(self.first, self.place.len as u64)?;
        }
        Ok(self.end != self.first)
    }

    /// Takes a frame out, its bytes at the end of `bytes`; with the slot of its segment, if it has one. Its
    /// room stays taken until [`give_back`](Consumer::give_back).
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) fn get(&mut self, bytes: &mut impl Room) -> Result<Option<(Frame, Option<u8>)>, Broken> {
        if !self.has_more()? {
            return Ok(None);
        }
        let there = self.end - self.first;
        if there < (HEAD * WORD) as u64 {
            return Err(Broken("half a frame"));
        }
        let mut words = [0; HEAD * WORD];
        self.place.load(self.first, &mut words);
        let [head, id, extra] = [0, 1, 2].map(|word| {
            let mut bytes = [0; WORD];
            bytes.copy_from_slice(&words[word * WORD..][..WORD]);
            u64::from_ne_bytes(bytes)
        });
        let len = (head >> 32) as usize;
        let need = Producer::need(len);
        if len > longest(self.place.len) || need > there {
            return Err(Broken("the length of a frame"));
        }
        self.place.load(self.first + words.len() as u64, bytes.room(len));
        self.first += need;
        let frame = Frame { kind: head as u8, id, extra };
        Ok(Some((frame, (head >> 8 & 1 == 1).then_some((head >> 16) as u8))))
    }

    /// Gives the room of all that was read back; whether the other side is to be rung.
    #[inline]
    pub(super) fn give_back(&mut self) -> bool {
        if self.given_back == self.first {
            return false;
        }
        self.given_back = self.first;
        self.place.ends().release(self.first, self.place.len as u64)
    }

    /// Whether more than half of the ring was read and not given back.
    #[inline]
    pub(super) fn is_half_taken(&self) -> bool {
        self.first - self.given_back > self.place.len as u64 / 2
    }

    /// About to sleep; false if there is something.
    pub(super) fn want_message(&self) -> bool {
        self.place.ends().want_message(self.first)
    }

    #[inline]
    pub(super) fn awake(&self) {
        self.place.ends().awake();
    }
}

/// What a message's bytes are copied to.
pub(crate) trait Room {
    /// So many bytes, whatever was there before.
    fn room(&mut self, len: usize) -> &mut [u8];
}

impl Room for Vec<u8> {
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.resize(len, 0);
        self
    }
}

#[cfg(all(test, not(loom)))]
impl Consumer {
    /// Publishes a position as no consumer does.
    pub(super) fn scribble(&self, first: u64) {
        self.place.ends().release(first, 0);
    }
}

#[cfg(all(test, not(loom)))]
impl Producer {
    /// Publishes a position as no producer does.
    pub(super) fn scribble(&self, end: u64) {
        self.place.ends().publish(end);
    }
}
