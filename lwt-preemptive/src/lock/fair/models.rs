//! All interleavings of the lock's hand-over.

use loom::sync::Arc;
use loom::sync::atomic::AtomicU32 as Value;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::*;

/// A value that only the holder of the lock touches. It is read and written in two steps, and in no order with anything
/// else: so if two do it at once, or one does not see what the one before has written, some of it is lost.
struct Guarded {
    lock: Fair,
    value: Value,
}

impl Guarded {
    fn new(interval: Option<Duration>) -> Arc<Guarded> {
        Arc::new(Guarded { lock: Fair::new(interval), value: Value::new(0) })
    }

    /// To be called by the holder.
    fn add(&self) {
        self.value.store(self.value.load(Relaxed) + 1, Relaxed);
    }

    fn total(&self) -> u32 {
        self.lock.acquire();
        let total = self.value.load(Relaxed);
        self.lock.release();
        assert!(self.lock.try_acquire(), "it is free at the end");
        total
    }
}

#[test]
fn loom_two_take_it_in_turn() {
    loom::model(|| {
        let guarded = Guarded::new(None);
        let other = thread::spawn({
            let guarded = Arc::clone(&guarded);
            move || {
                for _ in 0..2 {
                    guarded.lock.acquire();
                    guarded.add();
                    guarded.lock.release();
                }
            }
        });
        guarded.lock.acquire();
        guarded.add();
        guarded.lock.release();
        other.join().expect("joined");
        assert_eq!(guarded.total(), 3);
    });
}

#[test]
fn loom_three_and_all_are_served() {
    loom::model(|| {
        let guarded = Guarded::new(None);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let guarded = Arc::clone(&guarded);
                thread::spawn(move || {
                    guarded.lock.acquire();
                    guarded.add();
                    guarded.lock.release();
                })
            })
            .collect();
        guarded.lock.acquire();
        guarded.add();
        guarded.lock.release();
        for other in others {
            other.join().expect("joined");
        }
        assert_eq!(guarded.total(), 3);
    });
}

#[test]
fn loom_a_hand_over_lets_the_waiter_go_first_and_comes_back() {
    loom::model(|| {
        // Everybody who waits is due at once.
        let guarded = Guarded::new(Some(Duration::ZERO));
        guarded.lock.acquire();
        let other = thread::spawn({
            let guarded = Arc::clone(&guarded);
            move || {
                guarded.lock.acquire();
                guarded.add();
                guarded.lock.release();
            }
        });
        guarded.add();
        let due = guarded.lock.is_due();
        if guarded.lock.hand_over() {
            assert_eq!(guarded.value.load(Relaxed), 2, "the other was first");
        } else {
            assert!(!due, "who is due is in the queue");
        }
        guarded.lock.release();
        other.join().expect("joined");
        assert_eq!(guarded.total(), 2);
    });
}
