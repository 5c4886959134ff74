//! [`MapEntry`]: a key of a map whose shard is locked.

use std::fmt;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::super::error::ShmError;
use super::super::lock::Held;
use super::super::object::Object;
use super::super::safe::ShmSafe;
use super::table::{Found, Table};
use super::{LIVE, Spot, TABLE, USED};

/// A key of a [`Map`](super::Map), there or not. Nobody else changes it, or others of its shard, as long as
/// the value is there; reading goes on.
pub struct MapEntry<'a, K, V> {
    object: &'a Object,
    spot: Spot,
    key: K,
    _held: Held<'a>,
    types: std::marker::PhantomData<fn(V) -> V>,
}

impl<K: fmt::Debug, V> fmt::Debug for MapEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapEntry").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<'a, K: ShmSafe, V: ShmSafe> MapEntry<'a, K, V> {
    pub(super) fn new(object: &'a Object, held: Held<'a>, spot: Spot, key: K) -> MapEntry<'a, K, V> {
        MapEntry { object, spot, key, _held: held, types: std::marker::PhantomData }
    }

    fn table(&self) -> Option<Table<'a, K, V>> {
        self.object.linked(self.spot.shard + TABLE).map(Table::new)
    }

    /// The table that has the key, and where.
    fn slot(&self) -> Option<(Table<'a, K, V>, u64)> {
        let table = self.table()?;
        match table.find(self.spot.hash, &self.key) {
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
        if let Some(table) = self.table() {
            match table.find(self.spot.hash, &self.key) {
                Found::Key(slot) => {
                    let old = table.get(slot)?;
                    table.set(slot, &value);
                    return Ok(Some(old));
                }
                Found::Room(slot, empty) if !empty || self.used() * 4 < table.slots * 3 => {
                    self.put(&table, slot, empty, &value);
                    return Ok(None);
                }
                _ => {}
            }
        }
        let table: Table<'_, K, V> = grow(self.object, self.spot.shard, 0)?;
        match table.find(self.spot.hash, &self.key) {
            Found::Room(slot, empty) => self.put(&table, slot, empty, &value),
            _ => return Err(ShmError::Corrupt),
        }
        Ok(None)
    }

    fn put(&self, table: &Table<'_, K, V>, slot: u64, empty: bool, value: &V) {
        table.put(slot, self.spot.hash, &self.key, value);
        let block = self.object.block();
        let (live, used) = (block.word(self.spot.shard + LIVE), block.word(self.spot.shard + USED));
        live.store(live.load(Relaxed) + 1, Release);
        used.store(used.load(Relaxed) + u64::from(empty), Release);
    }

    fn used(&self) -> u64 {
        self.object.block().word(self.spot.shard + USED).load(Relaxed)
    }

    /// Removes the key, and gives its value.
    ///
    /// # Errors
    /// As [`get`](MapEntry::get); the key is removed nevertheless.
    pub fn remove(&mut self) -> Result<Option<V>, ShmError> {
        let Some((table, slot)) = self.slot() else { return Ok(None) };
        let value = table.get(slot);
        table.kill(slot);
        let live = self.object.block().word(self.spot.shard + LIVE);
        live.store(live.load(Relaxed).saturating_sub(1), Release);
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

/// Replaces a shard's table by one in which `keys` keys, and twice those that live, have room. The caller has
/// the lock.
#[cold]
pub(super) fn grow<K: ShmSafe, V: ShmSafe>(
    object: &Object,
    shard: u64,
    keys: u64,
) -> Result<Table<'_, K, V>, ShmError> {
    let inner = object.inner();
    let old: Option<Table<'_, K, V>> = object.linked(shard + TABLE).map(Table::new);
    let (live, _) = old.as_ref().map_or((0, 0), Table::count);
    let slots = (3 * (live + 1)).max(keys.saturating_mul(3) / 2).max(4);
    let step = Table::<K, V>::STEP;
    let block = inner.allocate(slots.checked_mul(step).ok_or(ShmError::TooLarge)?)?;
    let table = Table::new(block);
    table.init();
    if let Some(old) = old
        && let Err(error) = old.copy_to(&table)
    {
        inner.free(block);
        return Err(error);
    }
    inner.replace(object.home(shard + TABLE), Some(block))?;
    object.block().word(shard + USED).store(live, Release);
    Ok(table)
}
