//! [`Reference`] and [`BytesReference`]: one value that all see.

use std::fmt;
use std::marker::PhantomData;

use super::blob::{self, Blob};
use super::error::ShmError;
use super::object::{self, Object, Place};
use super::pool::Pool;
use super::safe::{ShmSafe, bytes_of};
use super::twin;

/// A value between processes, with a header of the user's (`Netmcore_ref`).
///
/// Reading takes no lock, and gives a whole value, as it was at one moment. Changes take the reference's lock
/// for a moment, and happen by a single store: a process that dies has made its change, or not.
///
/// ```
/// use lwt_preemptive::shm::{Pool, Reference};
/// let pool = Pool::create()?;
/// let reference: Reference<[u32; 4]> = Reference::create(&pool, [0; 4], ())?;
/// assert_eq!(reference.swap([1; 4])?, [0; 4]);
/// assert!(reference.compare_and_set([0; 4], [2; 4])?.is_err());
/// assert_eq!(reference.update(|value| value.map(|n| n + 1))?, [2; 4]);
/// assert_eq!(reference.get()?, [2; 4]);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct Reference<T, H = ()> {
    object: Object,
    types: PhantomData<fn(T, H) -> (T, H)>,
}

impl<T, H> Clone for Reference<T, H> {
    fn clone(&self) -> Self {
        Reference { object: self.object.clone(), types: PhantomData }
    }
}

impl<T, H> fmt::Debug for Reference<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reference").field(&self.object.place()).finish()
    }
}

impl<T: ShmSafe, H: ShmSafe> Reference<T, H> {
    const KIND: &'static str = "reference";
    const SHAPE: u64 = object::shape::<T, H>();
    const BODY: u64 = object::body::<H>();

    /// Makes a reference with a value (`sref`).
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, value: T, header: H) -> Result<Reference<T, H>, ShmError> {
        let len = twin::room::<T>();
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &header, len, |block, at| {
            twin::init(block, at, &value);
        })?;
        Ok(Reference { object, types: PhantomData })
    }

    /// Opens the reference at a place (`sref_of_descr`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Reference<T, H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, Self::SHAPE, twin::room::<T>())?;
        Ok(Reference { object, types: PhantomData })
    }

    /// Where it is (`descr_of_sref`).
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// The value (`deref_c`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`]; [`ShmError::Corrupt`] if what is there is no `T`.
    #[inline]
    pub fn get(&self) -> Result<T, ShmError> {
        self.object.check()?;
        twin::read(self.object.block(), Self::BODY)
    }

    /// Sets the value (`assign`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    #[inline]
    pub fn set(&self, value: T) -> Result<(), ShmError> {
        let locked = self.object.lock()?;
        twin::write(locked.block, Self::BODY, &value);
        Ok(())
    }

    /// Sets the value, and gives the one before.
    ///
    /// # Errors
    /// As [`get`](Reference::get).
    pub fn swap(&self, value: T) -> Result<T, ShmError> {
        let locked = self.object.lock()?;
        let old = twin::read(locked.block, Self::BODY)?;
        twin::write(locked.block, Self::BODY, &value);
        Ok(old)
    }

    /// Sets the value if it has the same bytes as `current`; gives the value that it has if not.
    ///
    /// # Errors
    /// As [`get`](Reference::get).
    pub fn compare_and_set(&self, current: T, new: T) -> Result<Result<(), T>, ShmError> {
        let locked = self.object.lock()?;
        let old: T = twin::read(locked.block, Self::BODY)?;
        if bytes_of(&old) != bytes_of(&current) {
            return Ok(Err(old));
        }
        twin::write(locked.block, Self::BODY, &new);
        Ok(Ok(()))
    }

    /// Sets the value to what `f` makes of it, and gives that. `f` must not use the reference.
    ///
    /// # Errors
    /// As [`get`](Reference::get).
    pub fn update(&self, f: impl FnOnce(T) -> T) -> Result<T, ShmError> {
        let locked = self.object.lock()?;
        let new = f(twin::read(locked.block, Self::BODY)?);
        twin::write(locked.block, Self::BODY, &new);
        Ok(new)
    }

    /// The header, as it was last written.
    ///
    /// # Errors
    /// As [`get`](Reference::get).
    pub fn header(&self) -> Result<H, ShmError> {
        self.object.header()
    }

    /// Changes the header under the reference's lock, and gives the new one. `f` must not use the reference.
    ///
    /// # Errors
    /// As [`get`](Reference::get).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the reference. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy(std::iter::empty())
    }
}

/// Bytes of any length between processes: the reference for values that are not stored as they are.
///
/// Reading takes no lock and copies nothing: it gives the bytes in place, which stay what they are while they
/// are looked at, whatever is set meanwhile. A process that dies takes its [`Blob`]s with it.
///
/// ```
/// use lwt_preemptive::shm::{BytesReference, Pool};
/// let pool = Pool::create()?;
/// let reference: BytesReference = BytesReference::create(&pool, ())?;
/// assert!(reference.get()?.is_none());
/// reference.set(Some(b"first"))?;
/// let first = reference.get()?.unwrap();
/// reference.set(Some(b"second"))?;
/// assert_eq!((&*first, &*reference.get()?.unwrap()), (&b"first"[..], &b"second"[..]));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct BytesReference<H = ()> {
    object: Object,
    header: PhantomData<fn(H) -> H>,
}

impl<H> Clone for BytesReference<H> {
    fn clone(&self) -> Self {
        BytesReference { object: self.object.clone(), header: PhantomData }
    }
}

impl<H> fmt::Debug for BytesReference<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BytesReference").field(&self.object.place()).finish()
    }
}

impl<H> BytesReference<H> {
    /// Where it is.
    pub fn place(&self) -> Place {
        self.object.place()
    }
}

impl<H: ShmSafe> BytesReference<H> {
    const KIND: &'static str = "bytes reference";
    const CELL: u64 = object::body::<H>();

    /// Makes a reference without a value.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, header: H) -> Result<BytesReference<H>, ShmError> {
        BytesReference::create_of(pool, object::BYTES, header)
    }

    /// Opens the reference at a place.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<BytesReference<H>, ShmError> {
        BytesReference::open_of(pool, object::BYTES, place)
    }

    /// A reference to bytes that have a meaning, of which this is the hash.
    pub(super) fn create_of(pool: &Pool, value: u64, header: H) -> Result<BytesReference<H>, ShmError> {
        let shape = object::shape_of::<H>(value);
        let object = Object::create(pool, Self::KIND, shape, &header, 8, |_, _| ())?;
        Ok(BytesReference { object, header: PhantomData })
    }

    pub(super) fn open_of(pool: &Pool, value: u64, place: Place) -> Result<BytesReference<H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, object::shape_of::<H>(value), 8)?;
        Ok(BytesReference { object, header: PhantomData })
    }

    /// The bytes, in place (`deref_p`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`], [`ShmError::TooManyPins`].
    pub fn get(&self) -> Result<Option<Blob>, ShmError> {
        let found = blob::read(self.object.inner(), self.object.home(Self::CELL))?;
        self.object.check()?;
        Ok(found)
    }

    /// Sets the bytes (`assign`). The ones before are freed when nobody looks at them any more.
    ///
    /// # Errors
    /// As [`swap`](BytesReference::swap).
    pub fn set(&self, bytes: Option<&[u8]>) -> Result<(), ShmError> {
        self.swap(bytes).map(drop)
    }

    /// Sets the bytes, and gives the ones before.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::TooManyPins`], and those of growing the pool; nothing is changed
    /// then.
    pub fn swap(&self, bytes: Option<&[u8]>) -> Result<Option<Blob>, ShmError> {
        self.replace(bytes, |_| true).map(|(before, _)| before)
    }

    /// Sets the bytes if they are `current`; gives those that there are if not.
    ///
    /// # Errors
    /// As [`swap`](BytesReference::swap).
    pub fn compare_and_set(
        &self,
        current: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<Result<(), Option<Blob>>, ShmError> {
        let (before, done) = self.replace(new, |before| before == current)?;
        Ok(if done { Ok(()) } else { Err(before) })
    }

    /// Sets the bytes if `wanted` says so of the ones before; gives those, and what it said.
    fn replace(
        &self,
        bytes: Option<&[u8]>,
        wanted: impl FnOnce(Option<&[u8]>) -> bool,
    ) -> Result<(Option<Blob>, bool), ShmError> {
        let inner = self.object.inner();
        // Written before the lock is taken: it may be long.
        let block = bytes.map(|bytes| blob::make(inner, bytes)).transpose()?;
        let home = self.object.home(Self::CELL);
        let replaced = self.object.lock().and_then(|_locked| {
            let before = blob::read(inner, home)?;
            let done = wanted(before.as_deref());
            if done {
                inner.replace(home, block)?;
            }
            Ok((before, done))
        });
        if let (Err(_) | Ok((_, false)), Some(block)) = (&replaced, block) {
            inner.free(block);
        }
        replaced
    }

    /// The header, as it was last written.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn header(&self) -> Result<H, ShmError> {
        self.object.header()
    }

    /// Changes the header under the reference's lock, and gives the new one. `f` must not use the reference.
    ///
    /// # Errors
    /// As [`header`](BytesReference::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the reference with its bytes. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy([Self::CELL].into_iter())
    }
}
