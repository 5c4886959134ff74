//! A ring of bytes in a block: positions that only grow, and where they are.

use super::block::Block;

/// `len` bytes of a block from `start` on, used again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ring<'a> {
    block: Block<'a>,
    start: u64,
    pub(super) len: u64,
}

impl<'a> Ring<'a> {
    /// The length is cut to what the block has.
    pub(super) fn new(block: Block<'a>, start: u64, len: u64) -> Ring<'a> {
        Ring { block, start, len: len.min(block.len.saturating_sub(start)) / 8 * 8 }
    }

    /// Cuts a range at the ring's end: the offset of the first part and its length.
    fn part(&self, position: u64, len: usize) -> Option<(u64, usize)> {
        let offset = position.checked_rem(self.len)?;
        let first = (self.len - offset).min(len as u64) as usize;
        (len as u64 <= self.len).then_some((self.start + offset, first))
    }

    /// Stores bytes from a position on. `None`: they are more than the ring has.
    pub(super) fn store(&self, position: u64, bytes: &[u8]) -> Option<()> {
        let (offset, first) = self.part(position, bytes.len())?;
        self.block.store_at(offset, &bytes[..first]);
        self.block.store_at(self.start, &bytes[first..]);
        Some(())
    }

    /// Loads bytes from a position on. `None`: they are more than the ring has.
    pub(super) fn load(&self, position: u64, bytes: &mut [u8]) -> Option<()> {
        let (offset, first) = self.part(position, bytes.len())?;
        let (start, rest) = bytes.split_at_mut(first);
        self.block.load_at(offset, start);
        self.block.load_at(self.start, rest);
        Some(())
    }
}
