//! [`ArchiveBuilder`] and [`Archive`]: values that refer to each other, in one piece of bytes.
//!
//! An archive is a head (a mark, the shape of its root's type, the root's link) and then values, each at a
//! multiple of eight. A [`Link`] is a distance from the archive's start, so the bytes mean the same wherever
//! they lie: in a pool, in a file, in a message.
//!
//! 1. Building appends and never looks back; reading follows one link at a time; freeing frees one piece.
//!    Nothing here recurses, however deep the value is.
//! 2. Each link is checked against the archive's length, and each value that is read against its type: bytes
//!    that are no archive are an error.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::block::words;
use super::error::ShmError;
use super::safe::{SHAPE_START, ShmSafe, bytes_of, shape_number, shape_text, value_of};

const MARK: u64 = 0x6172_6368_6976_6531;
/// The head's length: mark, shape, root.
const HEAD: usize = 24;

/// Where a `T` is in its archive, or nothing.
#[repr(C)]
pub struct Link<T> {
    at: u64,
    types: PhantomData<fn() -> T>,
}

/// Where a row of `T`s is in its archive.
#[repr(C)]
pub struct Row<T> {
    at: u64,
    len: u64,
    types: PhantomData<fn() -> T>,
}

macro_rules! plain_reference {
    ($name:ident, $text:literal) => {
        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        // SAFETY: numbers, without padding. Where they lead is checked when they are followed. The type that
        // they lead to is not part of the shape, for it may have such links itself.
        unsafe impl<T: 'static> ShmSafe for $name<T> {
            const SHAPE: u64 = shape_text(SHAPE_START, $text);
            fn is_valid(_: &[u8]) -> bool {
                true
            }
        }
    };
}
plain_reference!(Link, "Link");
plain_reference!(Row, "Row");

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.at).finish()
    }
}

impl<T> fmt::Debug for Row<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("at", &self.at).field("len", &self.len).finish()
    }
}

impl<T> Link<T> {
    /// The link to nothing.
    pub const NONE: Link<T> = Link { at: 0, types: PhantomData };

    /// Whether it leads to nothing.
    pub fn is_none(self) -> bool {
        self.at == 0
    }
}

impl<T> Row<T> {
    /// How many values there are.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// Builds an archive: values first, then those that refer to them, the root at last (`Netmcore_heap.add`).
///
/// ```
/// use lwt_preemptive::shm::{Archive, ArchiveBuilder, Link, Pool, Row};
/// lwt_preemptive::shm_safe! {
///     #[derive(Clone, Copy)]
///     struct Person { name: Row<u8>, boss: Link<Person> }
/// }
/// let mut builder = ArchiveBuilder::new();
/// let name = builder.add_row(b"Ada");
/// let boss = builder.add(&Person { name, boss: Link::NONE });
/// let name = builder.add_row(b"Bob");
/// let bob = builder.add(&Person { name, boss });
///
/// let pool = Pool::create()?;
/// let place = pool.store(&builder.finish(bob))?;
/// let archive = Archive::open(pool.read(place)?)?;
/// let bob: Person = archive.root()?;
/// let boss = archive.get(bob.boss)?.unwrap();
/// assert_eq!(archive.row(boss.name)?, b"Ada");
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug)]
pub struct ArchiveBuilder {
    bytes: Vec<u8>,
}

impl ArchiveBuilder {
    /// Nothing yet.
    pub fn new() -> ArchiveBuilder {
        ArchiveBuilder { bytes: vec![0; HEAD] }
    }

    fn append(&mut self, bytes: &[u8]) -> u64 {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(at + words(bytes.len()) as usize, 0);
        at as u64
    }

    /// Adds a value.
    pub fn add<T: ShmSafe>(&mut self, value: &T) -> Link<T> {
        Link { at: self.append(bytes_of(value)), types: PhantomData }
    }

    /// Adds values side by side.
    pub fn add_row<T: ShmSafe>(&mut self, values: &[T]) -> Row<T> {
        let at = self.bytes.len() as u64;
        for value in values {
            self.bytes.extend_from_slice(bytes_of(value));
        }
        let end = words(self.bytes.len()) as usize;
        self.bytes.resize(end, 0);
        Row { at, len: values.len() as u64, types: PhantomData }
    }

    /// The archive's bytes.
    pub fn finish<T: ShmSafe>(mut self, root: Link<T>) -> Vec<u8> {
        let head = [MARK, shape::<T>(), root.at].map(u64::to_ne_bytes).concat();
        self.bytes[..HEAD].copy_from_slice(&head);
        self.bytes
    }
}

impl Default for ArchiveBuilder {
    fn default() -> ArchiveBuilder {
        ArchiveBuilder::new()
    }
}

const fn shape<T: ShmSafe>() -> u64 {
    shape_number(T::SHAPE, size_of::<T>() as u64)
}

/// An archive whose root is a `T`, in any bytes: a [`Blob`](super::Blob), a vector, a mapped file.
#[derive(Debug)]
pub struct Archive<B, T> {
    bytes: B,
    root: Link<T>,
}

impl<B: Deref<Target = [u8]>, T: ShmSafe> Archive<B, T> {
    /// Looks at the head.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`] if these bytes are no archive, or the root is of another type.
    pub fn open(bytes: B) -> Result<Archive<B, T>, ShmError> {
        let word = |at| number(&bytes, at).ok_or(ShmError::TypeMismatch);
        if word(0)? != MARK || word(1)? != shape::<T>() {
            return Err(ShmError::TypeMismatch);
        }
        let root = Link { at: word(2)?, types: PhantomData };
        Ok(Archive { bytes, root })
    }

    /// The root.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn root(&self) -> Result<T, ShmError> {
        self.get(self.root)?.ok_or(ShmError::Corrupt)
    }

    /// Follows a link; nothing if it leads to nothing.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`] if it does not lead to a `U` in this archive.
    pub fn get<U: ShmSafe>(&self, link: Link<U>) -> Result<Option<U>, ShmError> {
        if link.is_none() { Ok(None) } else { value(&self.bytes, link.at).map(Some) }
    }

    /// The values of a row.
    ///
    /// # Errors
    /// As [`get`](Archive::get).
    pub fn row<U: ShmSafe>(&self, row: Row<U>) -> Result<Vec<U>, ShmError> {
        let size = size_of::<U>() as u64;
        let fits = row.len.checked_mul(size.max(1)).and_then(|len| len.checked_add(row.at));
        if fits.is_none_or(|end| end > self.bytes.len() as u64) {
            return Err(ShmError::Corrupt);
        }
        (0..row.len).map(|index| value(&self.bytes, row.at + index * size)).collect()
    }

    /// The bytes.
    pub fn into_inner(self) -> B {
        self.bytes
    }
}

fn number(bytes: &[u8], index: usize) -> Option<u64> {
    bytes.as_chunks::<8>().0.get(index).map(|word| u64::from_ne_bytes(*word))
}

fn value<U: ShmSafe>(bytes: &[u8], at: u64) -> Result<U, ShmError> {
    let at = usize::try_from(at).map_err(|_| ShmError::Corrupt)?;
    let end = at.checked_add(size_of::<U>()).ok_or(ShmError::Corrupt)?;
    let from = bytes.get(at..end).ok_or(ShmError::Corrupt)?;
    value_of(|to| to.copy_from_slice(from)).ok_or(ShmError::Corrupt)
}
