//! [`Wheel`]: a timing wheel that is exact to the nanosecond.
//!
//! Times are nanoseconds since some beginning, `u64`. There are eleven levels of 64 slots; a slot of level
//! *n* spans 64ⁿ ns, so that the levels cover all of `u64` and no entry is ever out of range. An entry lies
//! at the level of the highest six-bit digit in which its time differs from `reached`, in the slot of that
//! digit.
//!
//! 1. Inserting and removing are O(1): the slots are doubly linked lists through the table of entries.
//! 2. On every level, occupied slots lie ahead of `reached`'s own digit (on level 0 also at it), and all
//!    entries of a lower level come before all entries of a higher one. So the first occupied slot of the
//!    lowest occupied level holds the earliest entry.
//! 3. A slot knows a lower bound of its times: exact when nothing was removed from it since it was empty. The
//!    bound of the first slot is when the loop wakes up. If it proves too low (that entry was removed), the
//!    slot is spread over the levels below, which gives exact bounds: one wake-up for nothing, once.
//! 4. [`Wheel::expire`] hands over what is due, earliest first, equal times in the order of insertion.
//!    Nothing is handed over before its time. Each entry moves down a level at most ten times in its life,
//!    and only when a slot in which it lies has come due.
//! 5. `u64::MAX` means never: such an entry lies in no slot.

use slab::Slab;

/// Bits of a digit.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 11;
/// Memory for more than so many is not kept.
pub(super) const KEPT: usize = 4096;
/// The end of a list.
const NIL: u32 = u32::MAX;
/// The slot of an entry that lies in none.
const NOWHERE: u16 = u16::MAX;

/// Names an entry, also after it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    position: u32,
    serial: u32,
}

struct Entry<V> {
    time: u64,
    value: V,
    next: u32,
    prev: u32,
    serial: u32,
    slot: u16,
}

#[derive(Clone, Copy)]
struct Slot {
    first: u32,
    /// No entry in the slot has a time before this one.
    bound: u64,
}

/// Values ordered by time. The module's documentation tells how.
pub(crate) struct Wheel<V> {
    entries: Slab<Entry<V>>,
    slots: Box<[Slot]>,
    /// For each level the slots that are not empty.
    occupied: [u64; LEVELS],
    reached: u64,
    serial: u32,
    /// The memory for the next batch of those that are due: time, serial number, value.
    batch: Vec<(u64, u32, V)>,
}

impl<V> Wheel<V> {
    /// An empty wheel that has reached time 0.
    pub(crate) fn new() -> Wheel<V> {
        Wheel {
            entries: Slab::new(),
            slots: vec![Slot { first: NIL, bound: u64::MAX }; SLOTS * LEVELS].into_boxed_slice(),
            occupied: [0; LEVELS],
            reached: 0,
            serial: 0,
            batch: Vec::new(),
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds what is due at `time`.
    pub(crate) fn insert(&mut self, time: u64, value: V) -> Id {
        let id = self.next_id();
        self.serial = self.serial.wrapping_add(1);
        self.entries.insert(Entry { time, value, next: NIL, prev: NIL, serial: id.serial, slot: NOWHERE });
        self.link(id.position);
        id
    }

    /// What the next [`Wheel::insert`] will return.
    pub(crate) fn next_id(&self) -> Id {
        let position = u32::try_from(self.entries.vacant_key()).unwrap_or(NIL);
        assert_ne!(position, NIL, "too many timers at once");
        Id { position, serial: self.serial }
    }

    /// Takes an entry out, if it is still there.
    pub(crate) fn remove(&mut self, id: Id) -> Option<V> {
        let entry = self.entries.get(id.position as usize).filter(|entry| entry.serial == id.serial)?;
        if entry.slot != NOWHERE {
            let (next, prev, slot) = (entry.next, entry.prev, entry.slot);
            self.unlink(next, prev, slot);
        }
        Some(self.entries.remove(id.position as usize).value)
    }

    /// No entry is due before this time; `None` if there is nothing to wait for.
    pub(crate) fn next(&self) -> Option<u64> {
        self.first_slot().map(|slot| self.slots[slot].bound)
    }

    /// Takes out what is due at `now`, and appends it to `due`.
    pub(crate) fn expire(&mut self, now: u64, due: &mut Vec<V>) {
        let mut found = std::mem::take(&mut self.batch);
        let mut oldest = self.serial;
        while let Some(slot) = self.first_slot() {
            if self.slots[slot].bound > now {
                break;
            }
            self.reached = self.reached.max(self.begin(slot));
            let mut at = self.slots[slot].first;
            self.clear(slot);
            while at != NIL {
                let entry = &mut self.entries[at as usize];
                let next = entry.next;
                if entry.time <= now {
                    let entry = self.entries.remove(at as usize);
                    // Serial numbers go round; they are compared by their distance from the next one.
                    if self.serial.wrapping_sub(entry.serial) > self.serial.wrapping_sub(oldest) {
                        oldest = entry.serial;
                    }
                    found.push((entry.time, entry.serial, entry.value));
                } else {
                    self.link(at);
                }
                at = next;
            }
        }
        if self.first_slot().is_none_or(|slot| self.begin(slot) > now) {
            self.reached = self.reached.max(now);
        }
        found.sort_unstable_by_key(|(time, serial, _)| (*time, serial.wrapping_sub(oldest)));
        due.extend(found.drain(..).map(|(_, _, value)| value));
        if found.capacity() <= KEPT {
            self.batch = found;
        }
    }

    /// Takes everything out, in no order.
    pub(crate) fn drain(&mut self) -> Vec<V> {
        for slot in &mut self.slots {
            *slot = Slot { first: NIL, bound: u64::MAX };
        }
        self.occupied = [0; LEVELS];
        self.entries.drain().map(|entry| entry.value).collect()
    }

    /// The slot of the earliest entry.
    fn first_slot(&self) -> Option<usize> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        Some(level * SLOTS + self.occupied[level].trailing_zeros() as usize)
    }

    /// The time at which a slot that is ahead begins.
    fn begin(&self, slot: usize) -> u64 {
        let (level, digit) = ((slot / SLOTS) as u32, (slot % SLOTS) as u64);
        // What lies above the slot's digit is as in `reached`.
        let above =
            self.reached.checked_shr((level + 1) * BITS).map_or(0, |high| high << ((level + 1) * BITS));
        above | digit << (level * BITS)
    }

    /// Puts an entry that is in no slot into the one where it belongs, in front.
    fn link(&mut self, position: u32) {
        let time = self.entries[position as usize].time;
        if time == u64::MAX {
            return;
        }
        let place = time.max(self.reached);
        let highest = u64::BITS - 1 - ((place ^ self.reached) | 1).leading_zeros();
        let level = highest / BITS;
        let digit = (place >> (level * BITS)) as usize % SLOTS;
        let index = level as usize * SLOTS + digit;
        let slot = &mut self.slots[index];
        let next = slot.first;
        slot.first = position;
        slot.bound = slot.bound.min(time);
        self.occupied[level as usize] |= 1 << digit;
        if next != NIL {
            self.entries[next as usize].prev = position;
        }
        let entry = &mut self.entries[position as usize];
        (entry.next, entry.prev, entry.slot) = (next, NIL, index as u16);
    }

    /// Takes the entry between `prev` and `next` out of its slot's list.
    fn unlink(&mut self, next: u32, prev: u32, slot: u16) {
        if next != NIL {
            self.entries[next as usize].prev = prev;
        }
        if prev != NIL {
            self.entries[prev as usize].next = next;
        } else if next != NIL {
            self.slots[slot as usize].first = next;
        } else {
            self.clear(slot as usize);
        }
    }

    /// Makes a slot empty.
    fn clear(&mut self, slot: usize) {
        self.slots[slot] = Slot { first: NIL, bound: u64::MAX };
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::guarded;

    /// A generator of numbers, the same in every run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// A number of any size: as many small ones as big ones.
        fn any_size(&mut self) -> u64 {
            let bits = self.next() % 64;
            self.next() >> bits
        }
    }

    #[test]
    fn agrees_with_a_sorted_list() {
        guarded("agrees_with_a_sorted_list", || {
            for seed in 1..=60_u64 {
                let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
                let mut wheel = Wheel::new();
                // (time, number, id), kept sorted by time and number
                let mut model: Vec<(u64, u64, Id)> = Vec::new();
                let mut now = 0_u64;
                for number in 0..600_u64 {
                    match random.next() % 8 {
                        0..=3 => {
                            let time = match random.next() % 8 {
                                0 => now.saturating_sub(random.any_size()),
                                1 => u64::MAX - random.next() % 3,
                                _ => now.saturating_add(random.any_size() >> (random.next() % 40)),
                            };
                            let id = wheel.insert(time, number);
                            model.push((time, number, id));
                            model.sort_unstable_by_key(|(time, number, _)| (*time, *number));
                        }
                        4 if !model.is_empty() => {
                            let at = random.next() as usize % model.len();
                            let (_, number, id) = model.remove(at);
                            assert_eq!(wheel.remove(id), Some(number));
                            assert_eq!(wheel.remove(id), None);
                        }
                        _ => {
                            // Mostly as the loop does it: to the bound, or a little later.
                            now = match (random.next() % 4, wheel.next()) {
                                (0, _) => now.saturating_add(random.any_size() >> (random.next() % 50)),
                                (1, Some(next)) => now.max(next).saturating_add(random.next() % 1000),
                                (_, Some(next)) => now.max(next),
                                (_, None) => now,
                            }
                            .min(u64::MAX - 1);
                            let split = model.partition_point(|(time, _, _)| *time <= now);
                            let expected: Vec<u64> =
                                model.drain(..split).map(|(_, number, _)| number).collect();
                            let mut due = Vec::new();
                            wheel.expire(now, &mut due);
                            assert_eq!(due, expected, "seed {seed} at {now}");
                        }
                    }
                    assert_eq!(wheel.len(), model.len());
                    let earliest = model.first().map(|(time, _, _)| *time).filter(|time| *time != u64::MAX);
                    match (wheel.next(), earliest) {
                        (Some(bound), Some(earliest)) => assert!(bound <= earliest),
                        (bound, earliest) => assert_eq!(bound, earliest),
                    }
                }
                assert_eq!(wheel.drain().len(), model.len());
                assert_eq!((wheel.len(), wheel.next()), (0, None));
            }
        });
    }

    #[test]
    fn the_bound_is_exact_while_nothing_is_removed() {
        guarded("the_bound_is_exact_while_nothing_is_removed", || {
            let mut random = Random(7);
            let mut wheel = Wheel::new();
            let mut earliest = u64::MAX;
            for _ in 0..1000 {
                let time = random.any_size().min(u64::MAX - 1);
                wheel.insert(time, ());
                earliest = earliest.min(time);
                assert_eq!(wheel.next(), Some(earliest));
            }
        });
    }

    #[test]
    fn a_removed_earliest_costs_one_wake_up_for_nothing() {
        guarded("a_removed_earliest_costs_one_wake_up_for_nothing", || {
            let mut wheel = Wheel::new();
            let second = 1_000_000_000;
            let early = wheel.insert(60 * second, 0);
            for more in 1..1000 {
                wheel.insert(60 * second + more, more);
            }
            wheel.remove(early);
            let mut due = Vec::new();
            let mut wakes = 0;
            while due.is_empty() {
                wakes += 1;
                let now = wheel.next().expect("a thousand wait");
                wheel.expire(now, &mut due);
            }
            assert_eq!((wakes, due[0]), (2, 1));
        });
    }

    #[test]
    fn never_is_kept_and_never_comes() {
        guarded("never_is_kept_and_never_comes", || {
            let mut wheel = Wheel::new();
            let never = wheel.insert(u64::MAX, 'n');
            assert_eq!(wheel.next(), None);
            let mut due = Vec::new();
            wheel.expire(u64::MAX - 1, &mut due);
            assert_eq!(due, []);
            assert_eq!(wheel.remove(never), Some('n'));
        });
    }

    #[test]
    fn a_stale_name_touches_nothing() {
        guarded("a_stale_name_touches_nothing", || {
            let mut wheel = Wheel::new();
            let first = wheel.insert(10, 'a');
            let mut due = Vec::new();
            wheel.expire(10, &mut due);
            let second = wheel.insert(20, 'b');
            assert_eq!(first.position, second.position);
            assert_eq!(wheel.remove(first), None);
            assert_eq!(wheel.remove(second), Some('b'));
        });
    }
}
