//! [`Chunks`]: a vector in static memory that grows without moving, and may be read in signal handlers.

use std::sync::OnceLock;

/// Chunk *n* has 64 · 2ⁿ places. Looking one up is two loads, and never waits for anybody who makes one.
pub(crate) struct Chunks<T: 'static> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

const CHUNKS: usize = 26;

/// The first number that there is no place for.
pub(crate) const END: u32 = u32::MAX - 63;

impl<T> Chunks<T> {
    pub(crate) const fn new() -> Chunks<T> {
        Chunks { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    /// The chunk of a number, and its place there.
    fn place(number: u32) -> (usize, usize) {
        let number = u64::from(number) + 64;
        let chunk = number.ilog2() - 6;
        (chunk as usize, (number - (64 << chunk)) as usize)
    }

    /// What has this number, if it is there.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (chunk, place) = Chunks::<T>::place(number);
        self.chunks.get(chunk)?.get()?.get(place)
    }

    /// The same; its whole chunk is made if it is not there. `None` from [`END`] on. Not for signal handlers.
    pub(crate) fn get_or_make(&self, number: u32, make: impl Fn() -> T) -> Option<&T> {
        let (chunk, place) = Chunks::<T>::place(number);
        let chunk_of = self.chunks.get(chunk)?;
        chunk_of.get_or_init(|| (0..64_usize << chunk).map(|_| make()).collect()).get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_place_in_a_chunk() {
        let mut expected = (0, 0);
        for number in 0..100_000 {
            assert_eq!(Chunks::<u8>::place(number), expected);
            expected.1 += 1;
            if expected.1 == 64 << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(Chunks::<u8>::place(END - 1).0, CHUNKS - 1);
        assert_eq!(Chunks::<u8>::place(END).0, CHUNKS);
    }

    #[test]
    fn what_was_made_stays_where_it_is() {
        let chunks: Chunks<u32> = Chunks::new();
        assert!(chunks.get(0).is_none() && chunks.get_or_make(END, || 1).is_none());
        let first = chunks.get_or_make(3, || 7).map(std::ptr::from_ref);
        assert_eq!(chunks.get_or_make(1000, || 8), Some(&8));
        assert_eq!((chunks.get(3), chunks.get(3).map(std::ptr::from_ref)), (Some(&7), first));
        assert!(chunks.get(100).is_none());
    }
}
