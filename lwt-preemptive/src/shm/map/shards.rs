//! The shards of a map: 64 of them, each with a lock, counts, and a table, which is replaced when it is full.
//!
//! 1. The lock is for changes. The counts follow from the table, and are worked out anew after a holder of
//!    the lock has died.
//! 2. The epoch counts the tables: it changes *before* a table is taken out of its word. Who reads without a
//!    lock, and without a pin on the table, sees the same epoch before and after, or reads again.
//! 3. A table that has been replaced is not changed any more, and freed when nobody has it pinned.
//! 4. A shard has two lines of the processors' caches: what each change writes, and what readers read. So
//!    changes do not take the second one away from readers.

use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::fence;

use super::super::block::Block;
use super::super::error::ShmError;
use super::super::lock::{Got, Held};
use super::super::object::Object;
use super::table::{Slot, Table};

const SEED: u64 = 0;
const COUNT: u64 = 64;
/// A line, and the distance of two shards.
const LINE: u64 = 64;
const SHARD: u64 = 2 * LINE;
// In a shard: the lock, how many slots live, how many are not empty; the table, the epoch.
const LIVE: u64 = 8;
const USED: u64 = 16;
const TABLE: u64 = LINE;
const EPOCH: u64 = LINE + 8;
/// A map's own part: the seed, and the shards from the next line on.
pub(super) const LEN: u64 = 8 + LINE + COUNT * SHARD;

/// Where a key belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    /// The offset of its shard.
    pub(super) shard: u64,
    /// The half of the hash that its slot has.
    pub(super) hash: u32,
}

/// A map's shards, at an offset of its block.
pub(super) struct Shards<S> {
    pub(super) object: Object,
    /// The offset of the first one.
    first: u64,
    seed: u64,
    slots: PhantomData<fn() -> S>,
}

impl<S> Clone for Shards<S> {
    fn clone(&self) -> Self {
        Shards { object: self.object.clone(), first: self.first, seed: self.seed, slots: PhantomData }
    }
}

/// Fills the own part of a new map.
pub(super) fn init(block: Block<'_>, at: u64) {
    block.word(at + SEED).store(RandomState::new().hash_one(0_u64), Relaxed);
}

/// The word of a block in which a shard's table stands.
pub(super) fn table_word(shard: u64) -> u64 {
    shard + TABLE
}

/// A shard whose lock the caller has.
pub(super) struct Locked<'a, S> {
    object: &'a Object,
    shard: u64,
    _held: Held<'a>,
    slots: PhantomData<fn() -> S>,
}

impl<S: Slot> Shards<S> {
    pub(super) fn new(object: Object, body: u64) -> Shards<S> {
        let seed = object.block().word(body + SEED).load(Relaxed);
        let first = object.home(body + 8).next_multiple_of(LINE) - object.home(0);
        Shards { object, first, seed, slots: PhantomData }
    }

    #[inline]
    pub(super) fn spot(&self, key: &[u8]) -> Spot {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = self.seed;
        let (words, rest) = key.as_chunks::<8>();
        let mut mix = |word: u64| {
            let wide = u128::from(hash ^ word) * u128::from(FACTOR);
            hash = (wide as u64) ^ (wide >> 64) as u64;
            hash = hash.rotate_left(23).wrapping_mul(FACTOR);
        };
        words.iter().for_each(|word| mix(u64::from_ne_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            mix(u64::from_ne_bytes(word) ^ (rest.len() as u64) << 56);
        }
        let shard = (hash ^ hash >> 32) % COUNT;
        Spot { shard: self.first + shard * SHARD, hash: (hash >> 32) as u32 }
    }

    /// Reads a shard without its lock: calls `read` with its table, if it has one, until nobody has replaced
    /// that meanwhile, and `read` has found an answer. `read` may ask whether the table is in use still.
    /// `None`: it was disturbed too often.
    #[inline]
    pub(super) fn read<R>(
        &self,
        shard: u64,
        mut read: impl FnMut(Option<Table<'_, S>>, &dyn Fn() -> bool) -> Option<R>,
    ) -> Result<Option<R>, ShmError> {
        /// A reader that is disturbed as often takes the lock.
        const TRIES: u32 = 100;
        let block = self.object.block();
        let (epoch, word) = (block.word(shard + EPOCH), block.word(shard + TABLE));
        for _ in 0..TRIES {
            let before = epoch.load(Acquire);
            let at = word.load(Acquire);
            let table = Block::find(&self.object.inner().memory, at).map(Table::new);
            let current = || epoch.load(SeqCst) == before;
            let found = if at != 0 && table.is_none() { None } else { read(table, &current) };
            fence(Acquire);
            if epoch.load(Relaxed) == before && found.is_some() {
                self.object.check()?;
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Locks the shard of a key.
    #[inline]
    pub(super) fn enter(&self, spot: Spot) -> Result<Locked<'_, S>, ShmError> {
        // The lock and the slot are both far away as a rule: they come at the same time.
        if let Some(block) = self.object.linked(spot.shard + TABLE) {
            Table::<S>::new(block).prefetch(spot.hash);
        }
        self.lock(spot.shard)
    }

    /// Locks a shard.
    #[inline]
    pub(super) fn lock(&self, shard: u64) -> Result<Locked<'_, S>, ShmError> {
        let held = Held::short(self.object.inner(), self.object.block().half(shard));
        self.object.check()?;
        let got = held.got;
        let locked = Locked { object: &self.object, shard, _held: held, slots: PhantomData };
        if got == Got::Died {
            locked.count_anew();
        }
        Ok(locked)
    }

    /// The offsets of all shards.
    pub(super) fn all(&self) -> impl Iterator<Item = u64> + use<S> {
        let first = self.first;
        (0..COUNT).map(move |shard| first + shard * SHARD)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> Result<usize, ShmError> {
        self.object.check()?;
        self.all().try_fold(0, |sum, shard| {
            // Its holder may have died before it had counted; then this counts anew.
            if self.object.block().half(shard).load(Relaxed) != 0 {
                drop(self.lock(shard)?);
            }
            Ok(sum + self.object.block().word(shard + LIVE).load(Relaxed) as usize)
        })
    }

    /// Makes room for so many keys in all.
    pub(super) fn reserve(&self, keys: usize) -> Result<(), ShmError> {
        // The hash does not deal out evenly.
        let each = keys as u64 / COUNT + keys as u64 / COUNT / 8 + 8;
        self.all().try_for_each(|shard| {
            let locked = self.lock(shard)?;
            let slots = locked.table().map_or(0, |table| table.slots);
            if slots.saturating_mul(3) / 4 < each { locked.grow(each).map(drop) } else { Ok(()) }
        })
    }

    /// Removes all keys, shard by shard.
    pub(super) fn clear(&self) -> Result<(), ShmError> {
        self.all().try_for_each(|shard| self.lock(shard)?.drop_table())
    }

    /// Destroys the map.
    pub(super) fn destroy(self) -> Result<(), ShmError> {
        self.object.mark_destroyed();
        for shard in self.all() {
            let held = Held::short(self.object.inner(), self.object.block().half(shard));
            let locked: Locked<'_, S> =
                Locked { object: &self.object, shard, _held: held, slots: PhantomData };
            locked.drop_table()?;
        }
        self.object.destroy(std::iter::empty())
    }
}

impl<'a, S: Slot> Locked<'a, S> {
    fn word(&self, offset: u64) -> &'a std::sync::atomic::AtomicU64 {
        self.object.block().word(self.shard + offset)
    }

    fn count_anew(&self) {
        let (live, used) = self.table().map_or((0, 0), |table| table.count());
        self.word(LIVE).store(live, Relaxed);
        self.word(USED).store(used, Relaxed);
    }

    pub(super) fn object(&self) -> &'a Object {
        self.object
    }

    #[inline]
    pub(super) fn table(&self) -> Option<Table<'a, S>> {
        self.object.linked(self.shard + TABLE).map(Table::new)
    }

    /// Whether the table has room for one more key in an empty slot.
    #[inline]
    pub(super) fn has_room(&self, table: &Table<'_, S>) -> bool {
        self.word(USED).load(Relaxed).saturating_mul(4) < table.slots * 3
    }

    /// Counts a slot that has gone live; it was empty, or dead.
    #[inline]
    pub(super) fn count_born(&self, empty: bool) {
        let (live, used) = (self.word(LIVE), self.word(USED));
        live.store(live.load(Relaxed) + 1, Release);
        used.store(used.load(Relaxed) + u64::from(empty), Release);
    }

    /// Counts a slot that has died.
    pub(super) fn count_dead(&self) {
        let live = self.word(LIVE);
        live.store(live.load(Relaxed).saturating_sub(1), Release);
    }

    fn replace(&self, new: Option<Block<'_>>) -> Result<(), ShmError> {
        let epoch = self.word(EPOCH);
        epoch.store(epoch.load(Relaxed).wrapping_add(1), SeqCst);
        self.object.inner().replace(self.object.home(self.shard + TABLE), new)
    }

    /// Replaces the table by one in which `keys` keys, and twice those that live, have room.
    #[cold]
    pub(super) fn grow(&self, keys: u64) -> Result<Table<'a, S>, ShmError> {
        let inner = self.object.inner();
        let old = self.table();
        let (live, _) = old.as_ref().map_or((0, 0), Table::count);
        let slots = (3 * (live + 1)).max(keys.saturating_mul(3) / 2).max(4);
        let block = inner.allocate(slots.checked_mul(S::STEP).ok_or(ShmError::TooLarge)?)?;
        let table = Table::new(block);
        table.init();
        let copied = old.map_or(Ok(()), |old| old.copy_to(inner, &table));
        if let Err(error) = copied.and_then(|()| self.replace(Some(block))) {
            inner.free(block);
            return Err(error);
        }
        self.word(LIVE).store(live, Release);
        self.word(USED).store(live, Release);
        Ok(table)
    }

    fn drop_table(&self) -> Result<(), ShmError> {
        if let Some(table) = self.table() {
            table.clear(self.object.inner())?;
            self.replace(None)?;
        }
        self.word(LIVE).store(0, Release);
        self.word(USED).store(0, Release);
        Ok(())
    }
}
