//! [`RichMap`]: a hash map of bytes to values that can be archived.

use std::fmt;
use std::marker::PhantomData;

use super::super::error::ShmError;
use super::super::map::{BytesEntry, BytesMap, BytesMapIter};
use super::super::object::Place;
use super::super::pool::Pool;
use super::super::safe::ShmSafe;
use super::{Archivable, Rich, bytes, rich};

rich_structure! {
    /// A [`BytesMap`] to values of any type that can be archived; the keys are strings, or any bytes.
    ///
    /// ```
    /// use lwt_preemptive::shm::{Pool, RichMap};
    /// let pool = Pool::create()?;
    /// let ages: RichMap<Option<u32>> = RichMap::create(&pool, ())?;
    /// ages.insert("Ada", &Some(36))?;
    /// assert_eq!(ages.get("Ada")?.unwrap().as_ref().unwrap().to_native(), 36);
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    RichMap of BytesMap
}

impl<T: Archivable, H: ShmSafe> RichMap<T, H> {
    /// Makes a map.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, header: H) -> Result<Self, ShmError> {
        BytesMap::create_of(pool, T::shape(), header).map(Self::over)
    }

    /// The value of a key, in place.
    ///
    /// # Errors
    /// Those of [`BytesMap::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.get(key.as_ref())?)
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    /// Those of [`BytesMap::contains`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, ShmError> {
        self.bytes.contains(key.as_ref())
    }

    /// Sets the value of a key, and gives the one before.
    ///
    /// # Errors
    /// Those of [`BytesMap::insert`], and [`ShmError::NotStorable`].
    pub fn insert(&self, key: impl AsRef<[u8]>, value: &T) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.insert(key.as_ref(), &bytes(value)?)?)
    }

    /// Removes a key, and gives its value.
    ///
    /// # Errors
    /// Those of [`BytesMap::remove`].
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.remove(key.as_ref())?)
    }

    /// Locks a key's shard, to look and to change in one step. Whoever has two entries of one map at a time
    /// may wait for itself for ever.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn entry<'a>(&'a self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<RichEntry<'a, T>, ShmError> {
        Ok(RichEntry { bytes: self.bytes.entry(key.as_ref())?, value: PhantomData })
    }

    /// Sets the value of a key to what `f` makes of it, in one step; `None` stands for no value. `f` must not
    /// use other keys of the map.
    ///
    /// # Errors
    /// As [`insert`](RichMap::insert).
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        f: impl FnOnce(Option<&T::Archived>) -> Option<T>,
    ) -> Result<(), ShmError> {
        self.entry(&key)?.update(f)
    }

    /// How many keys there are, at no single moment.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn len(&self) -> Result<usize, ShmError> {
        self.bytes.len()
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn is_empty(&self) -> Result<bool, ShmError> {
        self.bytes.is_empty()
    }

    /// Removes all keys, shard by shard.
    ///
    /// # Errors
    /// Those of [`BytesMap::clear`].
    pub fn clear(&self) -> Result<(), ShmError> {
        self.bytes.clear()
    }

    /// All keys and values, each in the form of its bytes: [`Rich::of`] reads a value. As
    /// [`BytesMap::iter`].
    pub fn iter(&self) -> BytesMapIter {
        self.bytes.iter()
    }
}

/// A key of a [`RichMap`], there or not. Nobody else changes it, or others of its shard, as long as the value
/// is there; reading goes on. No operation takes any other lock than that of the shard, which the entry has
/// already; values are archived under it.
///
/// ```
/// use lwt_preemptive::shm::{Pool, RichMap};
/// let pool = Pool::create()?;
/// let ages: RichMap<Vec<u32>> = RichMap::create(&pool, ())?;
/// for age in [36, 37] {
///     let mut entry = ages.entry("Ada")?;
///     let before = entry.or_insert_with(Vec::new)?.to_value()?;
///     entry.insert(&[&before[..], &[age]].concat())?;
/// }
/// assert_eq!(ages.get("Ada")?.unwrap().to_value()?, [36, 37]);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct RichEntry<'a, T> {
    bytes: BytesEntry<'a>,
    value: PhantomData<fn(T) -> T>,
}

impl<T> fmt::Debug for RichEntry<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RichEntry").field(&self.bytes).finish()
    }
}

impl<T: Archivable> RichEntry<'_, T> {
    /// The key.
    pub fn key(&self) -> &[u8] {
        self.bytes.key()
    }

    /// The value, if there is one, in place.
    ///
    /// # Errors
    /// Those of [`BytesEntry::get`].
    pub fn get(&self) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.get()?)
    }

    /// Sets the value, and gives the one before.
    ///
    /// # Errors
    /// Those of [`BytesEntry::insert`], and [`ShmError::NotStorable`].
    pub fn insert(&mut self, value: &T) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.insert(&bytes(value)?)?)
    }

    /// Removes the key, and gives its value.
    ///
    /// # Errors
    /// Those of [`BytesEntry::remove`].
    pub fn remove(&mut self) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.remove()?)
    }

    /// The value, which is set if there is none.
    ///
    /// # Errors
    /// Those of [`BytesEntry::or_insert`], and [`ShmError::NotStorable`].
    pub fn or_insert(&mut self, value: &T) -> Result<Rich<T>, ShmError> {
        match self.get()? {
            Some(value) => Ok(value),
            None => self.put(value),
        }
    }

    /// Sets the value, where there is none.
    fn put(&mut self, value: &T) -> Result<Rich<T>, ShmError> {
        Rich::of(self.bytes.or_insert(&bytes(value)?)?)
    }

    /// The value, which is set to what `f` gives if there is none. `f` must not use other keys of the map.
    ///
    /// # Errors
    /// As [`or_insert`](RichEntry::or_insert).
    pub fn or_insert_with(&mut self, f: impl FnOnce() -> T) -> Result<Rich<T>, ShmError> {
        match self.get()? {
            Some(value) => Ok(value),
            None => self.put(&f()),
        }
    }

    /// Sets the value, if there is one, to what `f` makes of it; gives the entry again, for what is to be
    /// done if there is none. `f` must not use other keys of the map.
    ///
    /// # Errors
    /// As [`insert`](RichEntry::insert).
    pub fn and_modify(&mut self, f: impl FnOnce(&T::Archived) -> T) -> Result<&mut Self, ShmError> {
        if let Some(value) = self.get()? {
            self.insert(&f(&value))?;
        }
        Ok(self)
    }

    /// Sets the value to what `f` makes of it; `None` stands for no value. `f` must not use other keys of the
    /// map.
    ///
    /// # Errors
    /// As [`insert`](RichEntry::insert).
    pub fn update(&mut self, f: impl FnOnce(Option<&T::Archived>) -> Option<T>) -> Result<(), ShmError> {
        match f(self.get()?.as_deref()) {
            Some(value) => self.insert(&value)?,
            None => self.remove()?,
        };
        Ok(())
    }
}
