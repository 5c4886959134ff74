//! What threads and signal handlers do with a notification: the words of its slot, and the list of those that
//! were sent. The rules stand in `slots`; here is nothing but the atomics, so that all interleavings can be
//! tried.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Where a list ends.
pub(super) const NIL: u32 = u32::MAX;
/// The bits of a slot's word that count.
const COUNT: u64 = u32::MAX as u64;

/// A notification's place.
pub(super) struct Slot {
    /// The generation in the upper half, the count in the lower.
    word: AtomicU64,
    /// The next slot in the list, older than this one.
    next: AtomicU32,
    /// The number of its tower.
    home: AtomicU32,
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raised {
    /// The slot is of another generation.
    Refused,
    /// It was sent before, and will be looked at.
    Again,
    /// It is for the sender to put the slot into the list.
    First,
}

impl Slot {
    /// A free slot.
    pub(super) fn new() -> Slot {
        Slot { word: AtomicU64::new(0), next: AtomicU32::new(NIL), home: AtomicU32::new(NIL) }
    }

    /// Begins a generation in a tower, and tells which.
    pub(super) fn begin(&self, home: u32) -> u32 {
        self.home.store(home, Relaxed);
        // Whoever will know of this generation is to see its home.
        (self.word.fetch_add(1 << 32, Release) >> 32) as u32 + 1
    }

    /// The number of its tower. For those who have raised its count.
    pub(super) fn home(&self) -> u32 {
        self.home.load(Relaxed)
    }

    /// Whether another generation may begin.
    pub(super) fn is_fresh(&self) -> bool {
        self.word.load(Acquire) >> 32 < u64::from(u32::MAX - 1)
    }

    /// One more send, if the slot is of this generation, and it has not ended.
    pub(super) fn raise(&self, generation: u32) -> Raised {
        let mut word = self.word.load(Relaxed);
        loop {
            if word >> 32 != u64::from(generation) || generation.is_multiple_of(2) {
                return Raised::Refused;
            }
            if word & COUNT == COUNT {
                return Raised::Again;
            }
            // Acquire: the slot's home. Release: what the sender did before is seen by the function that is
            // called.
            match self.word.compare_exchange_weak(word, word + 1, AcqRel, Relaxed) {
                Ok(_) if word & COUNT == 0 => return Raised::First,
                Ok(_) => return Raised::Again,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the sends out of the count: the generation that they were for, and how many they were; `None` if
    /// it has ended. Then the slot is free.
    pub(super) fn lower(&self) -> Option<(u32, u32)> {
        let word = self.word.fetch_and(!COUNT, AcqRel);
        let generation = (word >> 32) as u32;
        (generation % 2 == 1).then_some((generation, (word & COUNT) as u32))
    }

    /// Ends the generation, which has begun; whether the slot is free, because it is in no list and on its
    /// way to none.
    pub(super) fn end(&self) -> bool {
        self.word.fetch_add(1 << 32, AcqRel) & COUNT == 0
    }

    /// No thread but this one is there: forgets what was sent, and ends the generation, or keeps it.
    pub(super) fn reset(&self, keep: bool) {
        let mut generation = self.word.load(Acquire) >> 32;
        if !keep {
            generation += generation % 2;
        }
        self.word.store(generation << 32, Release);
    }
}

/// The slots that were sent and not yet looked at: the number of the newest.
pub(super) struct List(AtomicU32);

impl List {
    pub(super) fn new() -> List {
        List(AtomicU32::new(NIL))
    }

    /// Puts a slot in, whose count was raised from 0 by the caller; whether the list was empty.
    pub(super) fn push(&self, number: u32, slot: &Slot) -> bool {
        let mut newest = self.0.load(Relaxed);
        loop {
            slot.next.store(newest, Relaxed);
            match self.0.compare_exchange_weak(newest, number, AcqRel, Relaxed) {
                Ok(_) => return newest == NIL,
                Err(now) => newest = now,
            }
        }
    }

    /// Whether there is something to take.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Relaxed) == NIL
    }

    /// Takes all slots out, oldest first.
    pub(super) fn take<'a>(&self, slot: impl Fn(u32) -> Option<&'a Slot>) -> Vec<u32> {
        let mut at = self.0.swap(NIL, AcqRel);
        let mut sent = Vec::new();
        while let Some(slot) = slot(at) {
            sent.push(at);
            at = slot.next.load(Relaxed);
        }
        sent.reverse();
        sent
    }

    /// No thread but this one is there: forgets what was sent.
    pub(super) fn reset(&self) {
        self.0.store(NIL, Relaxed);
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::{List, Raised, Slot};

    /// A loop with two slots and a bell.
    struct Tower {
        slots: [Slot; 2],
        list: List,
        rung: Mutex<bool>,
        changed: Condvar,
    }

    impl Tower {
        fn new() -> Arc<Tower> {
            let tower = Tower {
                slots: [Slot::new(), Slot::new()],
                list: List::new(),
                rung: Mutex::new(false),
                changed: Condvar::new(),
            };
            assert!(tower.slots.iter().all(|slot| slot.begin(0) == 1));
            Arc::new(tower)
        }

        fn send(&self, number: u32, generation: u32) -> bool {
            let slot = &self.slots[number as usize];
            let raised = slot.raise(generation);
            if raised == Raised::First && self.list.push(number, slot) {
                *self.rung.lock().unwrap() = true;
                self.changed.notify_one();
            }
            raised != Raised::Refused
        }

        /// Sleeps until the bell is rung, and hushes it.
        fn sleep(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.changed.wait(rung).unwrap();
            }
            *rung = false;
        }

        fn take(&self) -> Vec<u32> {
            self.list.take(|number| self.slots.get(number as usize))
        }
    }

    #[test]
    fn loom_each_send_is_counted_and_none_is_slept_over() {
        // All interleavings of this one would take hours.
        let mut model = loom::model::Builder::new();
        model.preemption_bound.get_or_insert(3);
        model.check(|| {
            let tower = Tower::new();
            let senders = [&[0, 1][..], &[0]].map(|order| {
                let tower = Arc::clone(&tower);
                thread::spawn(move || assert!(order.iter().all(|number| tower.send(*number, 1))))
            });
            let mut counts = [0, 0];
            while counts != [2, 1] {
                tower.sleep();
                for number in tower.take() {
                    let (generation, count) = tower.slots[number as usize].lower().expect("it lives");
                    assert!(generation == 1 && count > 0);
                    counts[number as usize] += count;
                }
            }
            for sender in senders {
                sender.join().unwrap();
            }
            assert!(tower.take().is_empty());
        });
    }

    #[test]
    fn loom_a_stopped_slot_is_given_back_once_and_its_sends_reach_nobody() {
        loom::model(|| {
            let tower = Tower::new();
            let senders = [(); 2].map(|()| {
                let tower = Arc::clone(&tower);
                thread::spawn(move || tower.send(0, 1))
            });
            // Looked at before and after, whenever the bell is rung.
            let mut freed = 0;
            let mut called = 0;
            for number in tower.take() {
                called += tower.slots[number as usize].lower().expect("it lives").1;
            }
            freed += u32::from(tower.slots[0].end());
            let sent = senders.into_iter().map(|sender| u32::from(sender.join().unwrap())).sum::<u32>();
            for number in tower.take() {
                assert_eq!(tower.slots[number as usize].lower(), None, "it was stopped before");
                freed += 1;
            }
            assert_eq!(freed, 1);
            assert!(called <= sent);
            assert!(!tower.send(0, 1) && !tower.send(0, 2));
            // The next owner has it to himself.
            assert_eq!(tower.slots[0].begin(0), 3);
            assert!(tower.send(0, 3) && tower.take() == [0] && tower.slots[0].lower() == Some((3, 1)));
        });
    }

    #[test]
    fn loom_what_the_sender_did_is_seen_by_the_receiver() {
        loom::model(|| {
            let tower = Tower::new();
            let cell = Arc::new(loom::cell::UnsafeCell::new(0));
            let sender = {
                let (tower, cell) = (Arc::clone(&tower), Arc::clone(&cell));
                thread::spawn(move || {
                    // SAFETY: nobody reads before the send.
                    cell.with_mut(|cell| unsafe { *cell = 7 });
                    tower.send(0, 1);
                })
            };
            if let [0] = tower.take()[..]
                && tower.slots[0].lower() == Some((1, 1))
            {
                // SAFETY: it was written before the send, and no more after it.
                assert_eq!(cell.with(|cell| unsafe { *cell }), 7);
            }
            sender.join().unwrap();
        });
    }
}
