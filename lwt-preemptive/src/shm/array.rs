//! [`Array`]: values by index, and more of them when they are needed.
//!
//! The elements lie in chunks, the first of 64 and each further one as long as all before it, linked to words
//! of the array's block. So growing moves nothing, and an element stays where it is.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::elements::Elements;
use super::error::ShmError;
use super::object::{self, Object, Place};
use super::pool::Pool;
use super::safe::ShmSafe;

/// How many elements the first chunk has.
const FIRST: u64 = 64;
const CHUNKS: u64 = 34;
// The array's own part.
const LENGTH: u64 = 0;
const CHUNK: u64 = 8;
const LEN: u64 = CHUNK + 8 * CHUNKS;

/// An array between processes, that grows and never shrinks (`Netmcore_array`), with a header of the user's.
///
/// Reading takes no lock, writing takes the array's for a moment. An element is always read whole.
///
/// ```
/// use lwt_preemptive::shm::{Array, Pool};
/// let pool = Pool::create()?;
/// let array: Array<u64> = Array::create(&pool, 10, 0, ())?;
/// array.set(3, 7)?;
/// array.update(3, |n| n + 1)?;
/// array.grow(1000, 5)?;
/// assert_eq!((array.get(3)?, array.get(999)?, array.get(1000)?), (Some(8), Some(5), None));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct Array<T, H = ()> {
    object: Object,
    types: PhantomData<fn(T, H) -> (T, H)>,
}

impl<T, H> Clone for Array<T, H> {
    fn clone(&self) -> Self {
        Array { object: self.object.clone(), types: PhantomData }
    }
}

impl<T, H> fmt::Debug for Array<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Array").field(&self.object.place()).finish()
    }
}

/// The chunk of an index, and where it is in it.
#[inline]
fn spot(index: u64) -> (u64, u64) {
    match (index / FIRST).checked_ilog2() {
        None => (0, index),
        Some(power) => (u64::from(power) + 1, index - (FIRST << power)),
    }
}

/// How many elements a chunk has.
fn chunk_len(chunk: u64) -> u64 {
    FIRST << chunk.saturating_sub(1)
}

impl<T: ShmSafe, H: ShmSafe> Array<T, H> {
    const KIND: &'static str = "array";
    const SHAPE: u64 = object::shape::<T, H>();
    const BODY: u64 = object::body::<H>();

    /// Makes an array of `length` elements, all `value` (`make`).
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, length: usize, value: T, header: H) -> Result<Array<T, H>, ShmError> {
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &header, LEN, |_, _| ())?;
        let array = Array { object, types: PhantomData };
        if let Err(error) = array.grow(length, value) {
            array.destroy()?;
            return Err(error);
        }
        Ok(array)
    }

    /// Opens the array at a place (`array_of_descr`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Array<T, H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, Self::SHAPE, LEN)?;
        Ok(Array { object, types: PhantomData })
    }

    /// Where it is (`descr_of_array`).
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// How many elements there are (`length`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn len(&self) -> Result<usize, ShmError> {
        self.object.check()?;
        Ok(self.object.block().word(Self::BODY + LENGTH).load(Acquire) as usize)
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn is_empty(&self) -> Result<bool, ShmError> {
        self.len().map(|len| len == 0)
    }

    /// Calls `f` with the block and the offset of an element, if it is there.
    #[inline]
    fn at<R>(
        &self,
        index: usize,
        f: impl FnOnce(super::block::Block<'_>, u64) -> Result<R, ShmError>,
    ) -> Result<Option<R>, ShmError> {
        if index >= self.len()? {
            return Ok(None);
        }
        let (chunk, index) = spot(index as u64);
        if chunk >= CHUNKS {
            return Err(ShmError::Corrupt);
        }
        // While the array is not destroyed, a chunk that is linked stays; after that, this is some other
        // block, of the same size, or none.
        let block = self.object.linked(Self::BODY + CHUNK + 8 * chunk).ok_or(ShmError::Corrupt)?;
        if (index + 1) * Elements::<T>::STEP > block.len {
            return Err(ShmError::Corrupt);
        }
        f(block, index * Elements::<T>::STEP).map(Some)
    }

    /// The element with an index, if there are as many (`get_c`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`]; [`ShmError::Corrupt`] if what is there is no `T`.
    #[inline]
    pub fn get(&self, index: usize) -> Result<Option<T>, ShmError> {
        let found = self.at(index, Elements::read)?;
        self.object.check()?;
        Ok(found)
    }

    /// Sets an element (`set`): `false` if there are not as many.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    #[inline]
    pub fn set(&self, index: usize, value: T) -> Result<bool, ShmError> {
        let _locked = self.object.lock()?;
        self.at(index, |block, offset| {
            Elements::write(block, offset, &value);
            Ok(())
        })
        .map(|done| done.is_some())
    }

    /// Sets an element to what `f` makes of it, and gives that; nothing if there are not as many. `f` must
    /// not use the array.
    ///
    /// # Errors
    /// As [`get`](Array::get).
    pub fn update(&self, index: usize, f: impl FnMut(T) -> T) -> Result<Option<T>, ShmError> {
        let _locked = self.object.lock()?;
        self.at(index, |block, offset| Elements::update(block, offset, f))
    }

    /// Makes the array at least `length` elements long; the new ones are `value` (`grow`).
    ///
    /// # Errors
    /// [`ShmError::TooLarge`], [`ShmError::Destroyed`], and those of growing the pool; the array is as it was
    /// then.
    pub fn grow(&self, length: usize, value: T) -> Result<(), ShmError> {
        let locked = self.object.lock()?;
        let word = locked.block.word(Self::BODY + LENGTH);
        let (now, goal) = (word.load(Acquire), length as u64);
        let inner = self.object.inner();
        if goal <= now {
            return Ok(());
        }
        let (last, _) = spot(goal - 1);
        if last >= CHUNKS {
            return Err(ShmError::TooLarge);
        }
        for chunk in spot(now).0..=last {
            let cell = Self::BODY + CHUNK + 8 * chunk;
            let first = if chunk == 0 { 0 } else { FIRST << (chunk - 1) };
            let from = now.max(first) - first;
            let to = goal.min(first + chunk_len(chunk)) - first;
            let block = match self.object.linked(cell) {
                Some(block) => block,
                None => {
                    let len = chunk_len(chunk).checked_mul(Elements::<T>::STEP).ok_or(ShmError::TooLarge)?;
                    inner.allocate(len)?
                }
            };
            // Nobody looks at elements beyond the length.
            Elements::init(block, from * Elements::<T>::STEP, to - from, &value);
            if self.object.linked(cell).is_none() {
                inner.replace(self.object.home(cell), Some(block))?;
            }
        }
        word.store(goal, Release);
        Ok(())
    }

    /// A copy of all elements, each of them whole, but not of one moment.
    ///
    /// # Errors
    /// As [`get`](Array::get).
    pub fn to_vec(&self) -> Result<Vec<T>, ShmError> {
        (0..self.len()?).map(|index| self.get(index)?.ok_or(ShmError::Corrupt)).collect()
    }

    /// The header, as it was last written (`header`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn header(&self) -> Result<H, ShmError> {
        self.object.header()
    }

    /// Changes the header under the array's lock, and gives the new one. `f` must not use the array.
    ///
    /// # Errors
    /// As [`header`](Array::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the array. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy((0..CHUNKS).map(|chunk| Self::BODY + CHUNK + 8 * chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_each_other() {
        let mut next = (0, 0);
        for index in 0..100_000 {
            assert_eq!(spot(index), next);
            next = if next.1 + 1 == chunk_len(next.0) { (next.0 + 1, 0) } else { (next.0, next.1 + 1) };
        }
    }
}
