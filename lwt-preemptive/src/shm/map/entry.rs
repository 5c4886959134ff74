//! [`MapEntry`]: a key of a map whose shard is locked.

use std::fmt;

use super::super::error::ShmError;
use super::super::safe::ShmSafe;
use super::cells::Cells;
use super::shards::Locked;
use super::table::{Found, Table};

/// A key of a [`Map`](super::Map), there or not. Nobody else changes it, or others of its shard, as long as
/// the value is there; reading goes on.
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
    pub fn or_insert_with(&mut self, f: impl FnOnce() -> V) -> Result<V, ShmError> {
        match self.get()? {
            Some(value) => Ok(value),
            None => {
                let value = f();
                self.insert(value).map(|_| value)
            }
        }
    }

    /// Sets the value to what `f` makes of it; `None` stands for no value. `f` must not use other keys of the
    /// map.
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
