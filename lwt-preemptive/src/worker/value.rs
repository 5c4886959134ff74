//! [`Wire`]: values that go from one process to another.

use std::any::type_name;
use std::fmt;
use std::num::NonZeroUsize;

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::de::Pool;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use rkyv::{Archive, Deserialize, Portable, Serialize};

use super::sink::Sink;
use crate::shm::{SHAPE_START, shape_number, shape_text};

/// What can be an argument, a result, or a report of a worker.
///
/// Every type has it that [`rkyv`](super::rkyv) can archive, check and read back: numbers, strings, vectors,
/// maps, options, results, tuples, and structures and enumerations that derive it. What comes is checked
/// before it becomes a value; one of more than 500 boxes, vectors or the like in each other is refused.
///
/// ```
/// use lwt_preemptive::worker::{Wire, rkyv};
///
/// #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, Debug, PartialEq)]
/// #[rkyv(crate = lwt_preemptive::worker::rkyv)]
/// struct Picture {
///     width: u32,
///     title: String,
/// }
///
/// let picture = Picture { width: 640, title: "boats".to_owned() };
/// let bytes = picture.to_bytes()?;
/// assert_eq!(Picture::from_bytes(&bytes)?, picture);
/// assert!(Picture::from_bytes(&bytes[1..]).is_err());
/// # Ok::<(), lwt_preemptive::worker::WireError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot go from one process to another",
    note = "derive `rkyv::Archive`, `rkyv::Serialize` and `rkyv::Deserialize` for it"
)]
pub trait Wire: Sized + 'static {
    /// The bytes of the value.
    ///
    /// # Errors
    /// If the type's own implementation refuses it.
    fn to_bytes(&self) -> Result<AlignedVec, WireError> {
        let mut sink = Sink::in_memory();
        self.write(&mut sink)?;
        Ok(sink.into_memory())
    }

    /// Writes the bytes of the value to where they are sent from.
    ///
    /// # Errors
    /// As [`to_bytes`](Wire::to_bytes).
    #[doc(hidden)]
    fn write(&self, sink: &mut Sink) -> Result<(), WireError>;

    /// The value of these bytes, which may lie anywhere.
    ///
    /// # Errors
    /// If they are none.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError>;

    /// A hash of the type's name and layout: the same in each process of a program, and different for types
    /// that cannot read each other's values.
    fn shape() -> u64;
}

impl<T> Wire for T
where
    T: Archive
        + for<'a, 'b> Serialize<HighSerializer<&'b mut Sink, ArenaHandle<'a>, rancor::Error>>
        + 'static,
    T::Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>
        + Deserialize<T, HighDeserializer<rancor::Error>>,
{
    fn write(&self, sink: &mut Sink) -> Result<(), WireError> {
        let written = rkyv::api::high::to_bytes_in(self, sink);
        written.map(|_| ()).map_err(|error: rancor::Error| WireError::of::<T>(&error))
    }

    fn from_bytes(bytes: &[u8]) -> Result<T, WireError> {
        let moved;
        let aligned = if bytes.as_ptr().align_offset(AlignedVec::<16>::ALIGNMENT) == 0 {
            bytes
        } else {
            let mut copy = AlignedVec::<16>::with_capacity(bytes.len());
            copy.extend_from_slice(bytes);
            moved = copy;
            &moved
        };
        read(aligned).map_err(|error| WireError::of::<T>(&error))
    }

    fn shape() -> u64 {
        let named = shape_text(SHAPE_START, type_name::<T>());
        let layout = (size_of::<T::Archived>() as u64) << 8 | align_of::<T::Archived>() as u64;
        shape_number(named, layout)
    }
}

/// How deep a value may be that comes from another process: boxes in boxes. Each level takes some stack,
/// where it is checked and where it is read, and what comes must not be able to use up all of it.
const DEPTH: NonZeroUsize = NonZeroUsize::new(512).unwrap();

fn read<T>(bytes: &[u8]) -> Result<T, rancor::Error>
where
    T: Archive,
    T::Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>>
        + Deserialize<T, HighDeserializer<rancor::Error>>,
{
    rkyv::api::deserialize_using(access::<T::Archived>(bytes)?, &mut Pool::new())
}

/// The archive in these bytes, checked.
pub(crate) fn access<A>(bytes: &[u8]) -> Result<&A, rancor::Error>
where
    A: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    let archive = ArchiveValidator::with_max_depth(bytes, Some(DEPTH));
    rkyv::api::access_with_context(bytes, &mut Validator::new(archive, SharedValidator::new()))
}

/// Why a value could not be written as bytes, or bytes are no value of the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    text: String,
}

impl WireError {
    fn of<T>(error: &rancor::Error) -> WireError {
        WireError::new(format_args!("not a value of {}: {error}", type_name::<T>()))
    }

    pub(super) fn new(text: impl fmt::Display) -> WireError {
        WireError { text: text.to_string() }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Archive, Serialize, Deserialize, Debug)]
    #[rkyv(serialize_bounds(__S: rkyv::ser::Writer, __S::Error: rancor::Source))]
    #[rkyv(deserialize_bounds(__D::Error: rancor::Source))]
    #[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rancor::Source)))]
    struct Chain {
        #[rkyv(omit_bounds)]
        next: Option<Box<Chain>>,
    }

    /// The bytes of a chain: each link is a tag and how far back the next one is.
    fn chain(links: usize) -> AlignedVec {
        let mut bytes = AlignedVec::new();
        for link in 0..links {
            bytes.extend_from_slice(&u32::from(link > 0).to_le_bytes());
            bytes.extend_from_slice(&if link > 0 { -12_i32 } else { 0 }.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let mut last = Chain { next: None };
        for _ in 0..100 {
            last = Chain { next: Some(Box::new(last)) };
        }
        let bytes = last.to_bytes().unwrap();
        assert_eq!(bytes[..], chain(101)[..]);
        for links in [1, 2, 101, DEPTH.get() - 1] {
            let mut next = Chain::from_bytes(&chain(links)).unwrap().next;
            let mut found = 1;
            while let Some(link) = next {
                (next, found) = (link.next, found + 1);
            }
            assert_eq!(found, links);
        }
        for links in [DEPTH.get(), 1_000_000] {
            assert!(Chain::from_bytes(&chain(links)).is_err());
        }
    }
}
