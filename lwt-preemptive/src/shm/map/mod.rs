//! [`Map`] and [`BytesMap`]: hash maps that many processes change and read at once.
//!
//! A map has 64 `shards`, each with a lock and a `table`, an open one with linear probing. A key belongs to one
//! shard. What a slot of a table has is the maps' difference: the key and the value themselves (`cells`), or a
//! link to a block with both (`links`).
//!
//! 1. *Changes* take the shard's lock. Each is one store of a slot's state word, or of its link; what
//!    precedes it is in no reader's way, and what follows it are counts, which are worked out anew after the
//!    holder of the lock has died.
//! 2. *Reads* take no lock. A slot has room for two values, of which the state word says which one counts,
//!    and the word changes with each change of the slot: who finds the same word before and after has read
//!    one whole value. A link is pinned.
//! 3. *A full table* is replaced by a larger one. Who iterates has a pin, and goes on in the old one: it sees
//!    each entry that is there all the time exactly once.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::error::ShmError;
use super::object::{self, Object, Place};
use super::pin::Pin;
use super::pool::Pool;
use super::safe::{ShmSafe, bytes_of};

mod bytes;
mod cells;
mod entry;
mod links;
mod shards;
mod table;

pub use self::bytes::{BytesMap, BytesMapIter};
use self::cells::Cells;
pub use self::entry::{BytesEntry, MapEntry};
pub use self::links::BytesPair;
use self::shards::Shards;
use self::table::{Slot, Table};

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
    shards: Shards<Cells<K, V>>,
    header: PhantomData<fn(H) -> H>,
}

impl<K, V, H> Clone for Map<K, V, H> {
    fn clone(&self) -> Self {
        Map { shards: self.shards.clone(), header: PhantomData }
    }
}

impl<K, V, H> fmt::Debug for Map<K, V, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.shards.object.place()).finish()
    }
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
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &header, shards::LEN, shards::init)?;
        Ok(Map { shards: Shards::new(object, Self::BODY), header: PhantomData })
    }

    /// Opens the map at a place (`hashtbl_of_descr`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Map<K, V, H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, Self::SHAPE, shards::LEN)?;
        Ok(Map { shards: Shards::new(object, Self::BODY), header: PhantomData })
    }

    /// Where it is (`descr_of_hashtbl`).
    pub fn place(&self) -> Place {
        self.shards.object.place()
    }

    /// The value of a key (`find_c`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`]; [`ShmError::Corrupt`] if what is there is no `V`.
    #[inline]
    pub fn get(&self, key: &K) -> Result<Option<V>, ShmError> {
        let spot = self.shards.spot(bytes_of(key));
        let found = self.shards.read(spot.shard, |table, _| match table {
            None => Some(None),
            Some(table) => table.read(spot.hash, key),
        })?;
        match found {
            Some(found) => found.transpose(),
            None => self.entry(*key)?.get(),
        }
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
        let spot = self.shards.spot(bytes_of(&key));
        Ok(MapEntry::new(self.shards.enter(spot)?, spot.hash, key))
    }

    /// How many keys there are, at no single moment (`length`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn len(&self) -> Result<usize, ShmError> {
        self.shards.len()
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn is_empty(&self) -> Result<bool, ShmError> {
        self.len().map(|len| len == 0)
    }

    /// Makes room for so many keys in all, so that hardly any of the next insertions has to.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], and those of growing the pool.
    pub fn reserve(&self, keys: usize) -> Result<(), ShmError> {
        self.shards.reserve(keys)
    }

    /// Removes all keys, shard by shard (`clear`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn clear(&self) -> Result<(), ShmError> {
        self.shards.clear()
    }

    /// All keys and values (`iter`). Nothing is locked: a key that is there from the beginning to the end
    /// comes once; what comes, goes or is set meanwhile may be seen or not.
    pub fn iter(&self) -> MapIter<K, V> {
        MapIter { tables: Tables::new(&self.shards), types: PhantomData }
    }

    /// The header, as it was last written.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn header(&self) -> Result<H, ShmError> {
        self.shards.object.header()
    }

    /// Changes the header under a lock of its own, and gives the new one.
    ///
    /// # Errors
    /// As [`header`](Map::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.shards.object.update_header(f)
    }

    /// Destroys the map with what is in it. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.shards.destroy()
    }
}

/// What a look into a table gives.
enum Step<R> {
    Item(R),
    /// There is no more in it.
    End,
    /// It has been replaced, and what was in it may be gone.
    Again,
}

/// The tables of a map, one after the other, each pinned while it is looked through.
struct Tables {
    object: Object,
    /// The table words of the shards that are left, the one that it is in at the end.
    left: Vec<u64>,
    /// The table that it is in, and where.
    table: Option<(Pin, u64)>,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").field("left", &self.left.len()).finish_non_exhaustive()
    }
}

impl Tables {
    fn new<S: Slot>(shards: &Shards<S>) -> Tables {
        let object = shards.object.clone();
        let left = shards.all().map(|shard| object.home(shards::table_word(shard))).collect();
        Tables { object, left, table: None }
    }

    /// The next thing that `look` finds in a table, whose word is at an address, from a slot on.
    fn next<S: Slot, R>(
        &mut self,
        mut look: impl FnMut(&Object, &Table<'_, S>, u64, &mut u64) -> Step<Result<R, ShmError>>,
    ) -> Option<Result<R, ShmError>> {
        loop {
            let home = *self.left.last()?;
            let step = match &mut self.table {
                Some((pin, slot)) => match self.object.inner().block(pin.at) {
                    Ok(block) => look(&self.object, &Table::new(block), home, slot),
                    Err(error) => Step::Item(Err(error)),
                },
                None => match self.enter(home) {
                    Ok(()) if self.table.is_none() => Step::End,
                    Ok(()) => continue,
                    Err(error) => Step::Item(Err(error)),
                },
            };
            match step {
                Step::Item(Ok(found)) => return Some(Ok(found)),
                Step::Item(Err(error)) => {
                    // It could come again and again.
                    (self.table, self.left) = (None, Vec::new());
                    return Some(Err(error));
                }
                Step::Again => self.table = None,
                Step::End => {
                    self.table = None;
                    self.left.pop();
                }
            }
        }
    }

    /// Pins a table, if there is one.
    fn enter(&mut self, home: u64) -> Result<(), ShmError> {
        self.object.check()?;
        self.table = Pin::new(self.object.inner(), home)?.map(|pin| (pin, 0));
        Ok(())
    }
}

/// The iterator of [`Map::iter`].
#[derive(Debug)]
pub struct MapIter<K, V> {
    tables: Tables,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: ShmSafe, V: ShmSafe> Iterator for MapIter<K, V> {
    type Item = Result<(K, V), ShmError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.tables
            .next(|_, table: &Table<'_, Cells<K, V>>, _, slot| table.next(slot).map_or(Step::End, Step::Item))
    }
}

impl<K: ShmSafe, V: ShmSafe> FusedIterator for MapIter<K, V> {}
