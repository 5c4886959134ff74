//! The two positions of a ring, and who is to be rung when one of them moves. Nothing but atomics, so that
//! all interleavings can be tried.
//!
//! A ring has one *producer*, which moves its end, and one *consumer*, which moves its beginning. Positions
//! only grow; a byte's place in the ring is its position modulo the ring's length.
//!
//! 1. Each side keeps its own position to itself, and here only publishes it. So a side believes the other
//!    nothing but the other's position, and that is checked: a ring never holds more than its length.
//! 2. *Sleep.* Who is about to sleep announces what it wants, and looks again *after* that; who moves its
//!    position looks at what the other wants *after* that. One of the two sees the other, because there is a
//!    `SeqCst` fence between the two steps on both sides.
//! 3. A wish is taken back by whoever rings for it: one ring for any number of messages.
//! 4. A producer that wants room asks for no more than half of the ring, and the consumer rings when half of
//!    it is empty: not for each message.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

/// The other side has written what cannot be: it is not to be listened to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

/// Something in lines of the processor's cache of its own.
#[repr(C, align(128))]
struct Line<T>(T);

/// A ring's positions and wishes, in memory that both sides have.
#[repr(C)]
pub(super) struct Ends {
    /// Where the producer goes on.
    end: Line<AtomicU64>,
    /// Where the consumer goes on.
    first: Line<AtomicU64>,
    /// The consumer sleeps, and wants messages.
    message: Line<AtomicU32>,
    /// The producer wants room.
    room: Line<AtomicU32>,
}

impl Ends {
    /// An empty ring. In the memory itself it is all zeroes.
    #[cfg(any(test, loom))]
    pub(super) fn new() -> Ends {
        Ends {
            end: Line(AtomicU64::new(0)),
            first: Line(AtomicU64::new(0)),
            message: Line(AtomicU32::new(0)),
            room: Line(AtomicU32::new(0)),
        }
    }

    /// The producer has written up to here; whether the consumer is to be rung.
    #[inline]
    pub(super) fn publish(&self, end: u64) -> bool {
        self.end.0.store(end, Release);
        fence(SeqCst);
        take_wish(&self.message.0)
    }

    /// The consumer has read up to here; whether the producer is to be rung.
    #[inline]
    pub(super) fn release(&self, first: u64, len: u64) -> bool {
        self.first.0.store(first, Release);
        fence(SeqCst);
        // As far as the consumer knows; a producer that writes on meanwhile has room.
        self.end.0.load(Relaxed).wrapping_sub(first) <= len / 2 && take_wish(&self.room.0)
    }

    /// Up to where the consumer, which is at `first`, may read.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub(super) fn end(&self, first: u64, len: u64) -> Result<u64, Broken> {
        let end = self.end.0.load(Acquire);
        if end.wrapping_sub(first) > len { Err(Broken("the end of a ring")) } else { Ok(end) }
    }

    /// From where on the ring of the producer, which is at `end`, is in use.
    ///
    /// # Errors
    /// [`Broken`].
    #[inline]
    pub(super) fn first(&self, end: u64, len: u64) -> Result<u64, Broken> {
        let first = self.first.0.load(Acquire);
        if end.wrapping_sub(first) > len { Err(Broken("the beginning of a ring")) } else { Ok(first) }
    }

    /// The consumer is about to sleep; false if there is something to read.
    pub(super) fn want_message(&self, first: u64) -> bool {
        announce(&self.message.0);
        self.end.0.load(Acquire) == first
    }

    /// The producer, at `end`, wants `need` bytes, no more than half of the ring; false if it has them.
    pub(super) fn want_room(&self, end: u64, need: u64, len: u64) -> bool {
        announce(&self.room.0);
        len.saturating_sub(end.wrapping_sub(self.first.0.load(Acquire))) < need
    }

    /// The consumer is awake.
    #[inline]
    pub(super) fn awake(&self) {
        if self.message.0.load(Relaxed) != 0 {
            self.message.0.store(0, Relaxed);
        }
    }
}

fn announce(wish: &AtomicU32) {
    wish.store(1, Relaxed);
    fence(SeqCst);
}

#[inline]
fn take_wish(wish: &AtomicU32) -> bool {
    wish.load(Relaxed) != 0 && wish.swap(0, Relaxed) != 0
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::Ends;

    const LEN: u64 = 2;

    #[derive(Default)]
    struct Bell(Mutex<bool>, Condvar);

    impl Bell {
        fn ring(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_one();
        }

        fn sleep(&self) {
            let mut rung = self.0.lock().unwrap();
            while !*rung {
                rung = self.1.wait(rung).unwrap();
            }
            *rung = false;
        }
    }

    struct Ring {
        ends: Ends,
        bytes: [AtomicU64; LEN as usize],
        consumer: Bell,
        producer: Bell,
    }

    fn produce(ring: &Ring, count: u64) {
        for end in 0..count {
            while end - ring.ends.first(end, LEN).unwrap() == LEN {
                if ring.ends.want_room(end, 1, LEN) {
                    ring.producer.sleep();
                }
            }
            ring.bytes[(end % LEN) as usize].store(end + 1, Relaxed);
            if ring.ends.publish(end + 1) {
                ring.consumer.ring();
            }
        }
    }

    fn consume(ring: &Ring, count: u64) {
        for first in 0..count {
            while ring.ends.end(first, LEN).unwrap() == first {
                if ring.ends.want_message(first) {
                    ring.consumer.sleep();
                }
                ring.ends.awake();
            }
            assert_eq!(ring.bytes[(first % LEN) as usize].load(Relaxed), first + 1);
            if ring.ends.release(first + 1, LEN) {
                ring.producer.ring();
            }
        }
    }

    /// Each message arrives, in order and whole, and neither side sleeps over the other's step.
    #[test]
    fn loom_a_ring_loses_no_message_and_no_ring() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound.get_or_insert(3);
        model.check(|| {
            let ring = Arc::new(Ring {
                ends: Ends::new(),
                bytes: [AtomicU64::new(0), AtomicU64::new(0)],
                consumer: Bell::default(),
                producer: Bell::default(),
            });
            let producer = {
                let ring = Arc::clone(&ring);
                thread::spawn(move || produce(&ring, 3))
            };
            consume(&ring, 3);
            producer.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn positions_that_cannot_be_are_not_believed() {
        let ends = Ends::new();
        assert!(!ends.publish(64));
        assert_eq!(ends.end(0, 64), Ok(64));
        assert!(ends.end(0, 32).is_err() && ends.end(72, 64).is_err());
        assert!(!ends.release(64, 64));
        assert_eq!(ends.first(128, 64), Ok(64));
        assert!(ends.first(129, 64).is_err() && ends.first(0, 64).is_err());
    }

    #[test]
    fn who_wants_something_is_rung_once() {
        let ends = Ends::new();
        assert!(ends.want_message(0));
        assert!(ends.publish(8) && !ends.publish(64));
        assert!(!ends.want_message(0));
        ends.awake();
        assert!(ends.want_room(64, 8, 64));
        assert!(!ends.release(8, 64), "less than half is empty");
        assert!(ends.release(32, 64) && !ends.release(64, 64));
        assert!(!ends.want_room(64, 8, 64));
    }
}
