//! [`Map`]: a hash map that many processes change and read at once.
//!
//! A map has 64 shards, each with a lock and a table, an open one with linear probing (see `table`). A key
//! belongs to one shard.
//!
//! 1. *Changes* take the shard's lock. Each is one store of an entry's state word; what precedes it is in no
//!    reader's way, and what follows it are counts, which are worked out anew after the holder of the lock
//!    has died.
//! 2. *Reads* take no lock. An entry has room for two values, of which the state word says which one counts,
//!    and the word changes with each change of the entry: who finds the same word before and after has read
//!    one whole value.
//! 3. *A full table* is replaced by a larger one, in the shard's table word. It is not changed any more then,
//!    and freed when nobody has it pinned. A reader without a pin looks at the table word again before it
//!    believes anything; one that iterates has a pin, and goes on in the old table: it sees each entry that
//!    is there all the time exactly once.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::error::ShmError;
use super::lock::{Got, Held};
use super::object::{self, Object, Place};
use super::pin::Pin;
use super::pool::Pool;
use super::safe::{ShmSafe, bytes_of};

mod entry;
mod table;

pub use self::entry::MapEntry;
use self::table::Table;

const SEED: u64 = 0;
const SHARDS: u64 = 64;
/// The first shard, and the distance of two.
const FIRST: u64 = 64;
const SHARD: u64 = 64;
// In a shard: the lock, how many entries live, how many are not empty, the table.
const LIVE: u64 = 8;
const USED: u64 = 16;
const TABLE: u64 = 24;
const LEN: u64 = FIRST + SHARDS * SHARD;
/// A reader that is disturbed as often takes the lock.
const TRIES: u32 = 100;

/// A hash map of `K` to `V` between processes (`Netmcore_hashtbl`), with a header of the user's.
///
/// Keys are equal when their bytes are. Reading takes no lock; a change locks one of 64 shards, so processes
/// rarely wait for each other. Iterating locks nothing, and the map may be changed meanwhile, by the one who
/// iterates too.
///
/// A process that dies in a change leaves the map as it was before it, or after it.
///
/// ```
/// use lwt_preemptive::shm::{Map, Pool};
/// let pool = Pool::create()?;
/// let map: Map<u64, f64> = Map::create(&pool, ())?;
/// map.insert(1, 0.5)?;
/// assert_eq!(map.get(&1)?, Some(0.5));
/// map.entry(1)?.update(|value| value.map(|value| value + 1.0))?;
/// for item in map.iter() {
///     assert_eq!(item?, (1, 1.5));
/// }
/// assert_eq!(map.remove(&1)?, Some(1.5));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct Map<K, V, H = ()> {
    object: Object,
    seed: u64,
    types: PhantomData<fn(K, V, H) -> (K, V, H)>,
}

impl<K, V, H> Clone for Map<K, V, H> {
    fn clone(&self) -> Self {
        Map { object: self.object.clone(), seed: self.seed, types: PhantomData }
    }
}

impl<K, V, H> fmt::Debug for Map<K, V, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.object.place()).finish()
    }
}

/// Where a key belongs.
#[derive(Debug, Clone, Copy)]
struct Spot {
    /// The offset of its shard.
    shard: u64,
    /// What its entry has of the hash: 48 bits.
    hash: u64,
}

impl<K: ShmSafe, V: ShmSafe, H: ShmSafe> Map<K, V, H> {
    const KIND: &'static str = "map";
    const SHAPE: u64 = super::safe::shape_number(object::shape::<K, H>(), object::shape::<V, ()>());
    const BODY: u64 = object::body::<H>();

    /// Makes a map (`create`).
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, header: H) -> Result<Map<K, V, H>, ShmError> {
        let seed = RandomState::new().hash_one(0_u64);
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &header, LEN, |block, at| {
            block.word(at + SEED).store(seed, Relaxed);
        })?;
        Ok(Map { object, seed, types: PhantomData })
    }

    /// Opens the map at a place (`hashtbl_of_descr`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Map<K, V, H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, Self::SHAPE, LEN)?;
        let seed = object.block().word(Self::BODY + SEED).load(Relaxed);
        Ok(Map { object, seed, types: PhantomData })
    }

    /// Where it is (`descr_of_hashtbl`).
    pub fn place(&self) -> Place {
        self.object.place()
    }

    #[inline]
    fn spot(&self, key: &K) -> Spot {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = self.seed;
        let (words, rest) = bytes_of(key).as_chunks::<8>();
        let mut mix = |word: u64| {
            let wide = u128::from(hash ^ word) * u128::from(FACTOR | 1);
            hash = (wide as u64) ^ (wide >> 64) as u64;
            hash = hash.rotate_left(23).wrapping_mul(FACTOR);
        };
        words.iter().for_each(|word| mix(u64::from_ne_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            mix(u64::from_ne_bytes(word));
        }
        hash ^= hash >> 32;
        Spot { shard: Self::BODY + FIRST + (hash % SHARDS) * SHARD, hash: hash >> 16 }
    }

    /// The value of a key (`find_c`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`]; [`ShmError::Corrupt`] if what is there is no `V`.
    #[inline]
    pub fn get(&self, key: &K) -> Result<Option<V>, ShmError> {
        let spot = self.spot(key);
        let word = self.object.block().word(spot.shard + TABLE);
        for _ in 0..TRIES {
            let at = word.load(Acquire);
            let found = match self.object.linked(spot.shard + TABLE) {
                None if at == 0 => Some(None),
                None => None,
                Some(block) => Table::<K, V>::new(block).read(spot.hash, key),
            };
            std::sync::atomic::fence(Acquire);
            if let Some(found) = found
                && word.load(Relaxed) == at
            {
                self.object.check()?;
                return found.transpose();
            }
        }
        self.entry(*key)?.get()
    }

    /// Whether there is such a key (`mem`).
    ///
    /// # Errors
    /// As [`get`](Map::get).
    pub fn contains(&self, key: &K) -> Result<bool, ShmError> {
        self.get(key).map(|value| value.is_some())
    }

    /// Sets the value of a key, and gives the one before (`replace`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], and those of growing the pool; the map is as it was then.
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Result<Option<V>, ShmError> {
        self.entry(key)?.insert(value)
    }

    /// Removes a key, and gives its value (`remove`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    #[inline]
    pub fn remove(&self, key: &K) -> Result<Option<V>, ShmError> {
        self.entry(*key)?.remove()
    }

    /// Locks a key's shard, to look and to change in one step. Whoever has two entries of one map at a time
    /// may wait for itself for ever.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    #[inline]
    pub fn entry(&self, key: K) -> Result<MapEntry<'_, K, V>, ShmError> {
        let spot = self.spot(&key);
        let held = self.lock(spot.shard)?;
        Ok(MapEntry::new(&self.object, held, spot, key))
    }

    fn lock(&self, shard: u64) -> Result<Held<'_>, ShmError> {
        let block = self.object.block();
        let held = Held::short(self.object.inner(), block.half(shard));
        self.object.check()?;
        if held.got == Got::Died {
            let (live, used) = match self.object.linked(shard + TABLE) {
                Some(table) => Table::<K, V>::new(table).count(),
                None => (0, 0),
            };
            block.word(shard + LIVE).store(live, Relaxed);
            block.word(shard + USED).store(used, Relaxed);
        }
        Ok(held)
    }

    fn shards() -> impl Iterator<Item = u64> {
        (0..SHARDS).map(|shard| Self::BODY + FIRST + shard * SHARD)
    }

    /// How many keys there are, at no single moment (`length`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn len(&self) -> Result<usize, ShmError> {
        self.object.check()?;
        Self::shards().try_fold(0, |sum, shard| {
            // Its holder may have died before it had counted; then this counts anew.
            if self.object.block().half(shard).load(Relaxed) != 0 {
                drop(self.lock(shard)?);
            }
            Ok(sum + self.object.block().word(shard + LIVE).load(Relaxed) as usize)
        })
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn is_empty(&self) -> Result<bool, ShmError> {
        self.len().map(|len| len == 0)
    }

    /// Makes room for so many keys in all, so that none of the next insertions has to.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], and those of growing the pool.
    pub fn reserve(&self, keys: usize) -> Result<(), ShmError> {
        // The hash does not deal out evenly.
        let each = keys as u64 / SHARDS + keys as u64 / SHARDS / 8 + 8;
        Self::shards().try_for_each(|shard| {
            let _held = self.lock(shard)?;
            let slots = self.object.linked(shard + TABLE).map_or(0, |block| Table::<K, V>::new(block).slots);
            if slots.saturating_mul(3) / 4 < each {
                entry::grow::<K, V>(&self.object, shard, each)?;
            }
            Ok(())
        })
    }

    /// Removes all keys, shard by shard (`clear`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn clear(&self) -> Result<(), ShmError> {
        Self::shards().try_for_each(|shard| {
            let _held = self.lock(shard)?;
            self.drop_table(shard)
        })
    }

    fn drop_table(&self, shard: u64) -> Result<(), ShmError> {
        self.object.inner().replace(self.object.home(shard + TABLE), None)?;
        self.object.block().word(shard + LIVE).store(0, Release);
        self.object.block().word(shard + USED).store(0, Release);
        Ok(())
    }

    /// All keys and values (`iter`). Nothing is locked: what is there from the beginning to the end comes
    /// once, what comes or goes meanwhile may be missed.
    pub fn iter(&self) -> MapIter<K, V> {
        let shards = Self::shards().map(|shard| self.object.home(shard + TABLE)).collect();
        MapIter { object: self.object.clone(), shards, table: None, types: PhantomData }
    }

    /// The header, as it was last written.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn header(&self) -> Result<H, ShmError> {
        self.object.header()
    }

    /// Changes the header under a lock of its own, and gives the new one.
    ///
    /// # Errors
    /// As [`header`](Map::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the map with what is in it. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.mark_destroyed();
        for shard in Self::shards() {
            let _held = Held::short(self.object.inner(), self.object.block().half(shard));
            self.drop_table(shard)?;
        }
        self.object.destroy(std::iter::empty())
    }
}

/// The iterator of [`Map::iter`].
pub struct MapIter<K, V> {
    object: Object,
    /// The table words of the shards that are left.
    shards: Vec<u64>,
    /// The table that it is in, and where.
    table: Option<(Pin, u64)>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> fmt::Debug for MapIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapIter").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl<K: ShmSafe, V: ShmSafe> Iterator for MapIter<K, V> {
    type Item = Result<(K, V), ShmError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((pin, next)) = &mut self.table {
                match self.object.inner().block(pin.at) {
                    Ok(block) => {
                        if let Some(found) = Table::<K, V>::new(block).next(next) {
                            return Some(found);
                        }
                    }
                    Err(error) => {
                        self.table = None;
                        return Some(Err(error));
                    }
                }
                self.table = None;
            }
            let home = self.shards.pop()?;
            if let Err(error) = self.object.check() {
                self.shards.clear();
                return Some(Err(error));
            }
            match Pin::new(self.object.inner(), home) {
                None => return Some(Err(ShmError::TooManyPins)),
                Some(pin) => self.table = pin.map(|pin| (pin, 0)),
            }
        }
    }
}

impl<K: ShmSafe, V: ShmSafe> FusedIterator for MapIter<K, V> {}
