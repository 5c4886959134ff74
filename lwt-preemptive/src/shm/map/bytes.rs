//! [`BytesMap`]: a hash map whose keys and values are bytes of any length.

use std::collections::HashSet;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use super::super::blob::Blob;
use super::super::error::ShmError;
use super::super::object::{self, Object, Place};
use super::super::pool::Pool;
use super::super::safe::ShmSafe;
use super::entry::BytesEntry;
use super::links::{self, BytesPair, Links, Look};
use super::shards::{self, Shards};
use super::table::Table;
use super::{Step, Tables};

/// A hash map of bytes to bytes between processes, with a header of the user's: for strings, and for values
/// that are not stored as they are.
///
/// Reading takes no lock and copies nothing: it gives the bytes in place, which stay what they are while they
/// are looked at, whatever is changed meanwhile. A change locks one of 64 shards for a moment. Iterating
/// locks nothing.
///
/// A process that dies in a change leaves the map as it was before it, or after it.
///
/// ```
/// use lwt_preemptive::shm::{BytesMap, Pool};
/// let pool = Pool::create()?;
/// let map: BytesMap = BytesMap::create(&pool, ())?;
/// map.insert(b"greeting", b"hello")?;
/// let hello = map.get(b"greeting")?.unwrap();
/// let before = map.insert(b"greeting", b"good day")?.unwrap();
/// assert_eq!((&*hello, &*before), (&b"hello"[..], &b"hello"[..]));
/// for item in map.iter() {
///     let item = item?;
///     assert_eq!((item.key(), item.value()), (&b"greeting"[..], &b"good day"[..]));
/// }
/// assert!(map.remove(b"greeting")?.is_some());
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct BytesMap<H = ()> {
    shards: Shards<Links>,
    header: PhantomData<fn(H) -> H>,
}

impl<H> Clone for BytesMap<H> {
    fn clone(&self) -> Self {
        BytesMap { shards: self.shards.clone(), header: PhantomData }
    }
}

impl<H> fmt::Debug for BytesMap<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BytesMap").field(&self.place()).finish()
    }
}

impl<H> BytesMap<H> {
    /// Where it is.
    pub fn place(&self) -> Place {
        self.shards.object.place()
    }
}

impl<H: ShmSafe> BytesMap<H> {
    const KIND: &'static str = "bytes map";
    const BODY: u64 = object::body::<H>();

    /// Makes a map.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, header: H) -> Result<BytesMap<H>, ShmError> {
        BytesMap::create_of(pool, object::BYTES, header)
    }

    /// Opens the map at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<BytesMap<H>, ShmError> {
        BytesMap::open_of(pool, object::BYTES, place)
    }

    /// A map whose values have a meaning, of which this is the hash.
    pub(in super::super) fn create_of(pool: &Pool, values: u64, header: H) -> Result<Self, ShmError> {
        let shape = object::shape_of::<H>(values);
        let object = Object::create(pool, Self::KIND, shape, &header, shards::LEN, shards::init)?;
        Ok(BytesMap { shards: Shards::new(object, Self::BODY), header: PhantomData })
    }

    pub(in super::super) fn open_of(pool: &Pool, values: u64, place: Place) -> Result<Self, ShmError> {
        let shape = object::shape_of::<H>(values);
        let object = Object::open::<H>(pool, place, Self::KIND, shape, shards::LEN)?;
        Ok(BytesMap { shards: Shards::new(object, Self::BODY), header: PhantomData })
    }

    /// The value of a key, in place.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`], [`ShmError::TooManyPins`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Blob>, ShmError> {
        let spot = self.shards.spot(key);
        let inner = self.shards.object.inner();
        let found = self.shards.read(spot.shard, |table, current| match table {
            None => Some(Ok(None)),
            Some(table) => table.read(inner, spot.hash, key, current),
        })?;
        match found {
            Some(found) => found?.map(BytesPair::into_value).transpose(),
            None => self.entry(key)?.get(),
        }
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    /// As [`get`](BytesMap::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, ShmError> {
        self.get(key).map(|value| value.is_some())
    }

    /// Sets the value of a key, and gives the one before.
    ///
    /// # Errors
    /// As [`get`](BytesMap::get), and those of growing the pool; the map is as it was then.
    pub fn insert(&self, key: &[u8], value: &[u8]) -> Result<Option<Blob>, ShmError> {
        // Written before the lock is taken: it may be long.
        let block = links::make(self.shards.object.inner(), key, value)?;
        let inserted = self.entry(key).and_then(|entry| entry.put(block));
        if inserted.is_err() {
            self.shards.object.inner().free(block);
        }
        inserted
    }

    /// Removes a key, and gives its value.
    ///
    /// # Errors
    /// As [`get`](BytesMap::get).
    pub fn remove(&self, key: &[u8]) -> Result<Option<Blob>, ShmError> {
        self.entry(key)?.remove()
    }

    /// Locks a key's shard, to look and to change in one step. Whoever has two entries of one map at a time
    /// may wait for itself for ever.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn entry<'a>(&'a self, key: &'a [u8]) -> Result<BytesEntry<'a>, ShmError> {
        let spot = self.shards.spot(key);
        Ok(BytesEntry::new(self.shards.enter(spot)?, spot.hash, key))
    }

    /// How many keys there are, at no single moment.
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

    /// Removes all keys, shard by shard.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn clear(&self) -> Result<(), ShmError> {
        self.shards.clear()
    }

    /// All keys and values, in place. Nothing is locked: a key that is there from the beginning to the end
    /// comes once; what comes, goes or is set meanwhile may be seen or not. Each item has a pin, of which a
    /// process has some four thousand.
    pub fn iter(&self) -> BytesMapIter {
        BytesMapIter { tables: Tables::new(&self.shards), shard: 0, seen: HashSet::new() }
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
    /// As [`header`](BytesMap::header).
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

/// The iterator of [`BytesMap::iter`].
#[derive(Debug)]
pub struct BytesMapIter {
    tables: Tables,
    /// The table word of the shard that it is in, and the keys that have come from it: when its table is
    /// replaced it begins anew, for the old one's links may not count any more.
    shard: u64,
    seen: HashSet<Vec<u8>>,
}

impl Iterator for BytesMapIter {
    type Item = Result<BytesPair, ShmError>;

    fn next(&mut self) -> Option<Self::Item> {
        let BytesMapIter { tables, shard, seen } = self;
        tables.next(|object, table: &Table<'_, Links>, home, slot| {
            if *shard != home {
                *shard = home;
                seen.clear();
            }
            // The table is pinned: as long as its address is in the word, it is this one.
            let current = || object.is_linked(home, table.block.at);
            loop {
                match table.next(object.inner(), slot, current) {
                    Ok(Look::Pair(pair)) if !seen.insert(pair.key().to_vec()) => {}
                    Ok(Look::Pair(pair)) => return Step::Item(Ok(pair)),
                    Ok(Look::Empty) => return Step::End,
                    Ok(Look::Disturbed) => return Step::Again,
                    Err(error) => return Step::Item(Err(error)),
                }
            }
        })
    }
}

impl FusedIterator for BytesMapIter {}
