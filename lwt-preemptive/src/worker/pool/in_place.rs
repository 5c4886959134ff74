//! [`InPlace`]: a result that is read where its worker has written it.
//!
//! 1. The bytes were checked when this was made, and cannot change: they are memory of its own, or a segment
//!    of a link, which nobody writes as long as it is held (`link/segment`).

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use lwt_core::Error;
use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Portable};

use super::super::WorkerFailure;
use super::super::link::{Bytes, Segment};
use super::super::value::access;

/// A result of type `R` in its archived form, where the worker has written it, checked, and not copied. Made
/// by [`Call::in_place`](super::Call::in_place).
///
/// As long as it is held, the worker has that much less memory for long results to use again; so when 32 of
/// one worker are held, more are copied after all. It may outlive its worker and its pool.
///
/// [`fork`](lwt_unix::process::fork()) is refused as long as a long one is there.
///
/// # Panics
/// Looking at a long one panics in a child that was made by another fork: the memory is the parent's, which
/// uses it again.
pub struct InPlace<R> {
    bytes: Held,
    of: PhantomData<fn() -> R>,
}

enum Held {
    Memory(AlignedVec),
    Segment(Segment),
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Held::Memory(bytes) => bytes,
            Held::Segment(segment) => segment,
        }
    }
}

impl<R> InPlace<R>
where
    R: Archive,
    R::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, rancor::Error>>,
{
    /// # Errors
    /// If the bytes are no `R`.
    pub(super) fn new(bytes: Bytes<'_>) -> Result<InPlace<R>, Error> {
        let bytes = match bytes {
            Bytes::Long(segment) if !segment.is_scarce() => Held::Segment(segment),
            bytes => {
                let mut copy = AlignedVec::with_capacity(bytes.len());
                copy.extend_from_slice(&bytes);
                Held::Memory(copy)
            }
        };
        match access::<R::Archived>(&bytes) {
            Ok(_) => Ok(InPlace { bytes, of: PhantomData }),
            Err(error) => Err(WorkerFailure::Decode(format!("the result: {error}")).into()),
        }
    }
}

impl<R> Deref for InPlace<R>
where
    R: Archive,
    R::Archived: Portable,
{
    type Target = R::Archived;

    fn deref(&self) -> &R::Archived {
        // SAFETY: they were checked to be one, and are the same (rule 1).
        unsafe { rkyv::access_unchecked::<R::Archived>(&self.bytes) }
    }
}

impl<R> fmt::Debug for InPlace<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InPlace").field("bytes", &self.bytes.len()).finish()
    }
}
