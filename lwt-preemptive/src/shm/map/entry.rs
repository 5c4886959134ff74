//! [`MapEntry`] and [`BytesEntry`]: a key of a map whose shard is locked.

use std::fmt;

use super::super::blob::Blob;
use super::super::block::Block;
use super::super::error::ShmError;
use super::super::safe::ShmSafe;
use super::cells::Cells;
use super::links::{self, Links};
use super::shards::Locked;
use super::table::{Found, Table};

/// A key of a [`Map`](super::Map), there or not. Nobody else changes it, or others of its shard, as long as
/// the value is there; reading goes on. No operation takes any other lock than that of the shard, which the
/// entry has already.
///
/// ```
/// use lwt_preemptive::shm::{Map, Pool};
/// let pool = Pool::create()?;
/// let map: Map<[u8; 5], u32> = Map::create(&pool, ())?;
/// for word in [*b"these", *b"those", *b"these"] {
///     map.entry(word)?.and_modify(|count| count + 1)?.or_insert(1)?;
/// }
/// assert_eq!((map.get(b"these")?, map.get(b"those")?), (Some(2), Some(1)));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct MapEntry<'a, K, V> {
    shard: Locked<'a, Cells<K, V>>,
    hash: u32,
    key: K,
}

impl<K: fmt::Debug, V> fmt::Debug for MapEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapEntry").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<'a, K: ShmSafe, V: ShmSafe> MapEntry<'a, K, V> {
    #[inline]
    pub(super) fn new(shard: Locked<'a, Cells<K, V>>, hash: u32, key: K) -> MapEntry<'a, K, V> {
        MapEntry { shard, hash, key }
    }

    /// The table that has the key, and where.
    fn slot(&self) -> Option<(Table<'a, Cells<K, V>>, u64)> {
        let table = self.shard.table()?;
        match table.find_key(self.hash, &self.key) {
            Found::Key(slot) => Some((table, slot)),
            _ => None,
        }
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The value, if there is one.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`] if what is there is no `V`.
    pub fn get(&self) -> Result<Option<V>, ShmError> {
        self.slot().map(|(table, slot)| table.get(slot)).transpose()
    }

    /// Sets the value, and gives the one before.
    ///
    /// # Errors
    /// As [`get`](MapEntry::get), and those of growing the pool; nothing is changed then.
    pub fn insert(&mut self, value: V) -> Result<Option<V>, ShmError> {
        if let Some(table) = self.shard.table() {
            match table.find_key(self.hash, &self.key) {
                Found::Key(slot) => {
                    let old = table.get(slot)?;
                    table.set(slot, &value);
                    return Ok(Some(old));
                }
                Found::Room(slot, empty) if !empty || self.shard.has_room(&table) => {
                    self.add(&table, slot, empty, &value);
                    return Ok(None);
                }
                _ => {}
            }
        }
        let table = self.shard.grow(0)?;
        match table.find_key(self.hash, &self.key) {
            Found::Room(slot, empty) => self.add(&table, slot, empty, &value),
            _ => return Err(ShmError::Corrupt),
        }
        Ok(None)
    }

    fn add(&self, table: &Table<'_, Cells<K, V>>, slot: u64, empty: bool, value: &V) {
        table.add(slot, self.hash, &self.key, value);
        self.shard.count_born(empty);
    }

    /// Removes the key, and gives its value.
    ///
    /// # Errors
    /// As [`get`](MapEntry::get); the key is removed nevertheless.
    pub fn remove(&mut self) -> Result<Option<V>, ShmError> {
        let Some((table, slot)) = self.slot() else { return Ok(None) };
        let value = table.get(slot);
        table.kill(slot);
        self.shard.count_dead();
        value.map(Some)
    }

    /// The value, which is set if there is none.
    ///
    /// # Errors
    /// As [`insert`](MapEntry::insert).
    pub fn or_insert(&mut self, value: V) -> Result<V, ShmError> {
        self.or_insert_with(|| value)
    }

    /// The value, which is set to what `f` gives if there is none. `f` must not use other keys of the map.
    ///
    /// # Errors
    /// As [`insert`](MapEntry::insert).
    pub fn or_insert_with(&mut self, f: impl FnOnce() -> V) -> Result<V, ShmError> {
        match self.get()? {
            Some(value) => Ok(value),
            None => {
                let value = f();
                self.insert(value).map(|_| value)
            }
        }
    }

    /// Sets the value, if there is one, to what `f` makes of it; gives the entry again, for what is to be done
    /// if there is none. `f` must not use other keys of the map.
    ///
    /// # Errors
    /// As [`insert`](MapEntry::insert).
    pub fn and_modify(&mut self, f: impl FnOnce(V) -> V) -> Result<&mut Self, ShmError> {
        if let Some(value) = self.get()? {
            self.insert(f(value))?;
        }
        Ok(self)
    }

    /// Sets the value to what `f` makes of it, and gives that; `None` stands for no value. `f` must not use
    /// other keys of the map.
    ///
    /// # Errors
    /// As [`insert`](MapEntry::insert).
    pub fn update(&mut self, f: impl FnOnce(Option<V>) -> Option<V>) -> Result<Option<V>, ShmError> {
        let new = f(self.get()?);
        match new {
            Some(value) => self.insert(value)?,
            None => self.remove()?,
        };
        Ok(new)
    }
}

/// A key of a [`BytesMap`](super::BytesMap), there or not. Nobody else changes it, or others of its shard, as
/// long as the value is there; reading goes on. No operation takes any other lock than that of the shard, which
/// the entry has already.
///
/// ```
/// use lwt_preemptive::shm::{BytesMap, Pool};
/// let pool = Pool::create()?;
/// let map: BytesMap = BytesMap::create(&pool, ())?;
/// for _ in 0..3 {
///     map.entry(b"stars")?.and_modify(|stars| [stars, b"*"].concat())?.or_insert(b"*")?;
/// }
/// assert_eq!(&*map.get(b"stars")?.unwrap(), b"***");
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct BytesEntry<'a> {
    shard: Locked<'a, Links>,
    hash: u32,
    key: &'a [u8],
}

impl fmt::Debug for BytesEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesEntry").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<'a> BytesEntry<'a> {
    pub(super) fn new(shard: Locked<'a, Links>, hash: u32, key: &'a [u8]) -> BytesEntry<'a> {
        BytesEntry { shard, hash, key }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.key
    }

    /// The value, if there is one.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`], [`ShmError::TooManyPins`].
    pub fn get(&self) -> Result<Option<Blob>, ShmError> {
        let inner = self.shard.object().inner();
        let Some(table) = self.shard.table() else { return Ok(None) };
        match table.find_key(inner, self.hash, self.key)? {
            Found::Key(slot) => table.get(inner, slot)?.into_value().map(Some),
            _ => Ok(None),
        }
    }

    /// Sets the value, and gives the one before.
    ///
    /// # Errors
    /// As [`get`](BytesEntry::get), and those of growing the pool; nothing is changed then.
    pub fn insert(&mut self, value: &[u8]) -> Result<Option<Blob>, ShmError> {
        let inner = self.shard.object().inner();
        let block = links::make(inner, self.key, value)?;
        let inserted = self.put(block);
        if inserted.is_err() {
            inner.free(block);
        }
        inserted
    }

    /// Puts a private block in; after an error it is the caller's still.
    pub(super) fn put(&self, block: Block<'_>) -> Result<Option<Blob>, ShmError> {
        let inner = self.shard.object().inner();
        let table = match self.shard.table() {
            Some(table) => match table.find_key(inner, self.hash, self.key)? {
                Found::Key(slot) => {
                    let before = table.get(inner, slot)?.into_value()?;
                    table.set(inner, slot, block)?;
                    return Ok(Some(before));
                }
                Found::Room(_, empty) if !empty || self.shard.has_room(&table) => table,
                _ => self.shard.grow(0)?,
            },
            None => self.shard.grow(0)?,
        };
        let Found::Room(slot, empty) = table.find(self.hash, |_| false) else {
            return Err(ShmError::Corrupt);
        };
        table.add(inner, slot, self.hash, block)?;
        self.shard.count_born(empty);
        Ok(None)
    }

    /// Removes the key, and gives its value.
    ///
    /// # Errors
    /// As [`get`](BytesEntry::get).
    pub fn remove(&mut self) -> Result<Option<Blob>, ShmError> {
        let inner = self.shard.object().inner();
        let Some(table) = self.shard.table() else { return Ok(None) };
        let Found::Key(slot) = table.find_key(inner, self.hash, self.key)? else { return Ok(None) };
        let before = table.get(inner, slot)?.into_value()?;
        table.remove(inner, slot)?;
        self.shard.count_dead();
        Ok(Some(before))
    }

    /// The value, which is set if there is none.
    ///
    /// # Errors
    /// As [`insert`](BytesEntry::insert); with [`ShmError::TooManyPins`] it may have been set.
    pub fn or_insert(&mut self, value: &[u8]) -> Result<Blob, ShmError> {
        self.or_insert_with(|| value)
    }

    /// The value, which is set to what `f` gives if there is none. `f` must not use other keys of the map.
    ///
    /// # Errors
    /// As [`or_insert`](BytesEntry::or_insert).
    pub fn or_insert_with<B: AsRef<[u8]>>(&mut self, f: impl FnOnce() -> B) -> Result<Blob, ShmError> {
        if let Some(value) = self.get()? {
            return Ok(value);
        }
        self.insert(f().as_ref())?;
        self.get()?.ok_or(ShmError::Corrupt)
    }

    /// Sets the value, if there is one, to what `f` makes of it; gives the entry again, for what is to be done
    /// if there is none. `f` must not use other keys of the map.
    ///
    /// # Errors
    /// As [`insert`](BytesEntry::insert).
    pub fn and_modify<B: AsRef<[u8]>>(&mut self, f: impl FnOnce(&[u8]) -> B) -> Result<&mut Self, ShmError> {
        if let Some(value) = self.get()? {
            self.insert(f(&value).as_ref())?;
        }
        Ok(self)
    }

    /// Sets the value to what `f` makes of it; `None` stands for no value. `f` must not use other keys of the
    /// map.
    ///
    /// # Errors
    /// As [`insert`](BytesEntry::insert).
    pub fn update<B: AsRef<[u8]>>(
        &mut self,
        f: impl FnOnce(Option<&[u8]>) -> Option<B>,
    ) -> Result<(), ShmError> {
        match f(self.get()?.as_deref()) {
            Some(value) => self.insert(value.as_ref())?,
            None => self.remove()?,
        };
        Ok(())
    }
}
