//! [`Rich`]: values of any type that `rkyv` can archive, in the structures of bytes.
//!
//! 1. A value is stored as its archive, by one write of bytes that nobody changes afterwards. It is validated
//!    before: what is stored can be read.
//! 2. An archive is validated once, when it is read, and is then looked at in place. What keeps it is the pin
//!    of its [`Blob`].

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::Duration;

use lwt_core::{Error, Promise};
use rkyv::Archive;
use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;

use super::blob::Blob;
use super::bytes_queue::BytesQueue;
use super::error::ShmError;
use super::object::Place;
use super::pool::Pool;
use super::reference::BytesReference;
use super::safe::ShmSafe;
use crate::worker::{Wire, access};

/// What [`Rich`] values can be: every type that can be archived, and whose archives can be checked. A value of
/// more than 500 boxes, vectors or the like in each other is [`ShmError::NotStorable`]; values of any depth are
/// for [`ArchiveBuilder`](super::ArchiveBuilder).
pub trait Archivable: Wire + Archive<Archived: Checked> {}

impl<T: Wire + Archive<Archived: Checked>> Archivable for T {}

/// An archived type that can be checked.
#[doc(hidden)]
pub trait Checked: for<'a> CheckBytes<HighValidator<'a, rancor::Error>> {}

impl<T: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>> Checked for T {}

/// A value in shared memory, in place: it reads as the archived form of `T`, and stays what it is until this
/// is dropped. The [`Blob`] in it is the pin.
///
/// ```
/// use lwt_preemptive::shm::{Pool, RichMap};
/// let pool = Pool::create()?;
/// let map: RichMap<Vec<String>> = RichMap::create(&pool, ())?;
/// map.insert("words", &vec!["one".to_owned(), "two".to_owned()])?;
/// let words = map.get("words")?.unwrap();
/// assert_eq!(words[1], "two");
/// assert_eq!(words.to_value()?, ["one", "two"]);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct Rich<T> {
    blob: Blob,
    value: PhantomData<fn() -> T>,
}

impl<T: Archivable> Rich<T> {
    /// The value whose archive is in these bytes.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`] if it is none.
    pub fn of(blob: Blob) -> Result<Rich<T>, ShmError> {
        access::<T::Archived>(&blob).map_err(|_| ShmError::Corrupt)?;
        Ok(Rich { blob, value: PhantomData })
    }

    /// A copy of the value outside the shared memory.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn to_value(&self) -> Result<T, ShmError> {
        T::from_bytes(&self.blob).map_err(|_| ShmError::Corrupt)
    }

    /// The archive's bytes.
    pub fn into_blob(self) -> Blob {
        self.blob
    }
}

impl<T: Archivable> Deref for Rich<T> {
    type Target = T::Archived;
    fn deref(&self) -> &T::Archived {
        // SAFETY: `of` has checked these bytes, and nobody changes them as long as the blob is there.
        unsafe { rkyv::access_unchecked(&self.blob) }
    }
}

impl<T> fmt::Debug for Rich<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rich").field(&std::any::type_name::<T>()).field(&self.blob).finish()
    }
}

/// The archive of a value, if others will be able to read it: one that is too deep they would not.
fn bytes<T: Archivable>(value: &T) -> Result<impl Deref<Target = [u8]> + use<T>, ShmError> {
    let bytes = value.to_bytes().map_err(|_| ShmError::NotStorable)?;
    access::<T::Archived>(&bytes).map_err(|_| ShmError::NotStorable)?;
    Ok(bytes)
}

fn rich<T: Archivable>(blob: Option<Blob>) -> Result<Option<Rich<T>>, ShmError> {
    blob.map(Rich::of).transpose()
}

macro_rules! rich_structure {
    ($(#[$doc:meta])* $name:ident of $bytes:ident) => {
        $(#[$doc])*
        pub struct $name<T, H = ()> {
            bytes: $bytes<H>,
            value: PhantomData<fn(T) -> T>,
        }

        impl<T, H> Clone for $name<T, H> {
            fn clone(&self) -> Self {
                $name { bytes: self.bytes.clone(), value: PhantomData }
            }
        }

        impl<T, H> fmt::Debug for $name<T, H> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.bytes.place()).finish()
            }
        }

        impl<T: Archivable, H: ShmSafe> $name<T, H> {
            fn over(bytes: $bytes<H>) -> Self {
                $name { bytes, value: PhantomData }
            }

            /// Opens the one at a place.
            ///
            /// # Errors
            /// [`ShmError::TypeMismatch`], also if its values are of another type.
            pub fn open(pool: &Pool, place: Place) -> Result<Self, ShmError> {
                $bytes::open_of(pool, T::shape(), place).map(Self::over)
            }

            /// Where it is.
            pub fn place(&self) -> Place {
                self.bytes.place()
            }

            /// The header, as it was last written.
            ///
            /// # Errors
            /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
            pub fn header(&self) -> Result<H, ShmError> {
                self.bytes.header()
            }

            /// Changes the header under a lock, and gives the new one.
            ///
            /// # Errors
            /// As [`header`](Self::header).
            pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
                self.bytes.update_header(f)
            }

            /// Destroys it with what is in it. Whoever uses it is told.
            ///
            /// # Errors
            /// [`ShmError::Corrupt`].
            pub fn destroy(self) -> Result<(), ShmError> {
                self.bytes.destroy()
            }
        }
    };
}

mod map;
pub use self::map::{RichEntry, RichMap};

rich_structure! {
    /// A [`BytesReference`] to a value of any type that can be archived.
    ///
    /// ```
    /// use lwt_preemptive::shm::{Pool, RichReference};
    /// let pool = Pool::create()?;
    /// let name: RichReference<String> = RichReference::create(&pool, ())?;
    /// name.set(&"Ada".to_owned())?;
    /// assert_eq!(*name.get()?.unwrap(), "Ada");
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    RichReference of BytesReference
}

impl<T: Archivable, H: ShmSafe> RichReference<T, H> {
    /// Makes a reference without a value.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, header: H) -> Result<Self, ShmError> {
        BytesReference::create_of(pool, T::shape(), header).map(Self::over)
    }

    /// The value, in place.
    ///
    /// # Errors
    /// Those of [`BytesReference::get`].
    pub fn get(&self) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.get()?)
    }

    /// Sets the value.
    ///
    /// # Errors
    /// Those of [`BytesReference::set`], and [`ShmError::NotStorable`].
    pub fn set(&self, value: &T) -> Result<(), ShmError> {
        self.bytes.set(Some(&*bytes(value)?))
    }

    /// Sets the value, and gives the one before.
    ///
    /// # Errors
    /// As [`set`](RichReference::set), and those of [`get`](RichReference::get); it is set nevertheless.
    pub fn swap(&self, value: &T) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.swap(Some(&*bytes(value)?))?)
    }

    /// Sets the value, or none, if the archive of the one that is there is `current`; gives that one if not.
    ///
    /// # Errors
    /// As [`swap`](RichReference::swap).
    pub fn compare_and_set(
        &self,
        current: Option<&Rich<T>>,
        new: Option<&T>,
    ) -> Result<Result<(), Option<Rich<T>>>, ShmError> {
        let new = new.map(bytes).transpose()?;
        match self.bytes.compare_and_set(current.map(|value| &*value.blob), new.as_deref())? {
            Ok(()) => Ok(Ok(())),
            Err(other) => rich(other).map(Err),
        }
    }

    /// Takes the value out.
    ///
    /// # Errors
    /// As [`swap`](RichReference::swap).
    pub fn take(&self) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.swap(None)?)
    }
}

rich_structure! {
    /// A [`BytesQueue`] of values of any type that can be archived.
    ///
    /// ```
    /// use lwt_preemptive::shm::{Pool, RichQueue};
    /// let pool = Pool::create()?;
    /// let queue: RichQueue<(u32, String)> = RichQueue::create(&pool, None, ())?;
    /// queue.push(&(1, "one".to_owned()))?;
    /// let first = queue.pop()?;
    /// assert_eq!((first.0.to_native(), first.1.as_str()), (1, "one"));
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    RichQueue of BytesQueue
}

impl<T: Archivable, H: ShmSafe> RichQueue<T, H> {
    /// Makes a queue for `bound` values at most, one at least, or any number.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool, bound: Option<usize>, header: H) -> Result<Self, ShmError> {
        BytesQueue::create_of(pool, T::shape(), bound, header).map(Self::over)
    }

    /// Puts a value at the end, if there is room: `false` if not.
    ///
    /// # Errors
    /// Those of [`BytesQueue::try_push`], and [`ShmError::NotStorable`].
    pub fn try_push(&self, value: &T) -> Result<bool, ShmError> {
        self.bytes.try_push(&bytes(value)?)
    }

    /// Puts a value at the end, and blocks the thread while there is no room.
    ///
    /// # Errors
    /// As [`try_push`](RichQueue::try_push).
    pub fn push(&self, value: &T) -> Result<(), ShmError> {
        self.bytes.push(&bytes(value)?)
    }

    /// The same within a time.
    ///
    /// # Errors
    /// As [`try_push`](RichQueue::try_push), and [`ShmError::TimedOut`].
    pub fn push_timeout(&self, value: &T, limit: Duration) -> Result<(), ShmError> {
        self.bytes.push_timeout(&bytes(value)?, limit)
    }

    /// Puts a value at the end: fulfilled when it is in the queue. A cancel before that withdraws it.
    pub fn push_async(&self, value: &T) -> Promise<()> {
        match bytes(value) {
            Ok(bytes) => self.bytes.push_async(&bytes),
            Err(error) => Promise::fail(error),
        }
    }

    /// Takes the first value, if there is one.
    ///
    /// # Errors
    /// Those of [`BytesQueue::try_pop`]; a value that is none is taken nevertheless.
    pub fn try_pop(&self) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.try_pop()?)
    }

    /// Takes the first value, and blocks the thread while there is none.
    ///
    /// # Errors
    /// As [`try_pop`](RichQueue::try_pop).
    pub fn pop(&self) -> Result<Rich<T>, ShmError> {
        Rich::of(self.bytes.pop()?)
    }

    /// The same within a time.
    ///
    /// # Errors
    /// As [`try_pop`](RichQueue::try_pop), and [`ShmError::TimedOut`].
    pub fn pop_timeout(&self, limit: Duration) -> Result<Rich<T>, ShmError> {
        Rich::of(self.bytes.pop_timeout(limit)?)
    }

    /// The first value, as soon as there is one. A cancel takes none.
    pub fn pop_async(&self) -> Promise<Rich<T>>
    where
        T: 'static,
    {
        self.bytes.pop_async().bind(|blob| match Rich::of(blob) {
            Ok(value) => Promise::ready(value),
            Err(error) => Promise::fail(Error::from(error)),
        })
    }

    /// The first value, which stays.
    ///
    /// # Errors
    /// Those of [`BytesQueue::peek`].
    pub fn peek(&self) -> Result<Option<Rich<T>>, ShmError> {
        rich(self.bytes.peek()?)
    }

    /// All values, in order, as they are at one moment, in place.
    ///
    /// # Errors
    /// Those of [`BytesQueue::snapshot`].
    pub fn snapshot(&self) -> Result<Vec<Rich<T>>, ShmError> {
        self.bytes.snapshot()?.into_iter().map(Rich::of).collect()
    }

    /// Takes all values out, one after the other, and says how many they were.
    ///
    /// # Errors
    /// Those of [`BytesQueue::clear`].
    pub fn clear(&self) -> Result<usize, ShmError> {
        self.bytes.clear()
    }

    /// How many values there are, at a moment that may be over already.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn len(&self) -> Result<usize, ShmError> {
        self.bytes.len()
    }

    /// Whether there are none, at a moment that may be over already.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn is_empty(&self) -> Result<bool, ShmError> {
        self.bytes.is_empty()
    }
}
