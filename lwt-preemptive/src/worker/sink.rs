//! [`Sink`]: where a value's bytes are written to: memory, or, once they are many, a segment of a link.
//!
//! Bytes are collected in memory first. If they become more than [`SHORT`] in a pool's worker, they move to a
//! segment of its link, and all that follows is written there at once: most of a long result is never
//! anywhere else.

use rkyv::rancor::{self, Source};
use rkyv::ser::{Positional, Writer};
use rkyv::util::AlignedVec;

use super::link::{Body, Draft, SHORT};
use super::pool::serve::segment;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Sink {
    memory: AlignedVec,
    segment: Option<Draft>,
    /// A segment may be had: nobody has looked yet.
    may_ask: bool,
}

impl Sink {
    /// Memory only.
    pub(super) fn in_memory() -> Sink {
        Sink::default()
    }

    /// For a result that goes over a link, if this is the thread that has one. `memory` is used again.
    pub(super) fn for_link(mut memory: AlignedVec) -> Sink {
        memory.clear();
        Sink { memory, segment: None, may_ask: true }
    }

    /// A segment that has been filled with a value's first bytes, and nothing else.
    pub(super) fn adopt(&mut self, segment: Draft) {
        self.segment = Some(segment);
        self.may_ask = false;
    }

    /// Whether nothing has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.may_ask && self.pos() == 0
    }

    /// The memory, with what was written if there is no segment.
    pub(super) fn into_memory(self) -> AlignedVec {
        self.memory
    }

    /// What was written, to be sent.
    pub(super) fn body(&mut self) -> Body<'_> {
        match self.segment.take() {
            Some(segment) => Body::Long(segment),
            None => Body::Short(&self.memory),
        }
    }

    /// It becomes too much for memory.
    #[cold]
    fn spill(&mut self) -> Result<(), rancor::Error> {
        self.may_ask = false;
        if let Some(mut segment) = segment() {
            segment.extend(&self.memory).map_err(rancor::Error::new)?;
            self.memory.clear();
            self.segment = Some(segment);
        }
        Ok(())
    }
}

impl Positional for Sink {
    #[inline]
    fn pos(&self) -> usize {
        self.segment.as_ref().map_or(self.memory.len(), Draft::len)
    }
}

impl Writer<rancor::Error> for Sink {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), rancor::Error> {
        if self.may_ask && self.memory.len() + bytes.len() > SHORT {
            self.spill()?;
        }
        match &mut self.segment {
            Some(segment) => segment.extend(bytes).map_err(rancor::Error::new),
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}
