//! [`Draw`]: chance from a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A generator of random numbers that gives the same ones for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    /// A generator that begins at `seed`.
    pub(crate) fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True with this probability. Certainty and impossibility draw nothing.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability >= 1.0
            || probability > 0.0 && ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    /// A number from the range, which is not empty.
    pub(crate) fn among(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        let width = u128::from(end.saturating_sub(start)) + 1;
        start + ((u128::from(self.next()) * width) >> 64) as u64
    }

    /// A length from 1 to `most`, which is at least 1.
    pub(crate) fn length(&mut self, most: usize) -> usize {
        self.among(1..=most as u64) as usize
    }

    /// A time from the range.
    pub(crate) fn time(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.among(nanos(range.start())..=nanos(range.end()).max(nanos(range.start()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_their_range_and_repeat() {
        let mut draw = Draw::new(1);
        let mut again = draw.clone();
        let mut seen = [false; 5];
        for _ in 0..200 {
            let n = draw.among(3..=7);
            assert_eq!(n, again.among(3..=7));
            seen[n as usize - 3] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(draw.among(9..=9), 9);
        assert!(!draw.chance(0.0) && draw.chance(1.0));
        let struck = (0..1000).filter(|_| draw.chance(0.5)).count();
        assert!((400..600).contains(&struck), "{struck}");
        let range = Duration::from_millis(1)..=Duration::from_millis(2);
        assert!((0..100).all(|_| range.contains(&draw.time(&range))));
    }
}
