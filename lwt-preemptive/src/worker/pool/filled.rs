//! [`Filled`]: many numbers, written by a job where the program reads them.
//!
//! In a pool's worker the numbers lie in a segment of the link from the start, and the result's bytes are the
//! segment: nothing is copied. Anywhere else they lie in a vector.
//!
//! 1. The numbers' types are those of [`Number`], for which any bits are a value; the same holds for their
//!    archived forms, which differ in the order of bytes at most.
//! 2. A segment begins at a page, so it is aligned for all of them.
//! 3. So all that is to be checked of an archive is that the numbers lie in it, and are aligned.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use rkyv::api::high::HighSerializer;
use rkyv::bytecheck::{CheckBytes, Verify};
use rkyv::primitive::ArchivedUsize;
use rkyv::rancor::{self, Fallible, Source};
use rkyv::ser::allocator::ArenaHandle;
use rkyv::ser::{Writer, WriterExt};
use rkyv::validation::{ArchiveContext, archive::ArchiveContextExt};
use rkyv::{Archive, Deserialize, Place, Portable, RelPtr, Serialize, munge::munge, rend};

use super::super::link::{Draft, SHORT};
use super::super::sink::Sink;
use super::serve::segment;

mod sealed {
    /// Any bits are a value.
    pub trait Bits {}
}

/// A number that a [`Filled`] can have.
pub trait Number:
    sealed::Bits + Archive<Archived: sealed::Bits + From<Self> + Into<Self> + Copy> + Copy + Default + 'static
{
}

macro_rules! numbers {
    ($($number:ty $(, $archived:ty)?;)*) => {$(
        impl sealed::Bits for $number {}
        impl Number for $number {}
        $(impl sealed::Bits for $archived {})?
    )*};
}

numbers! {
    u8; i8;
    u16, rend::u16_le; u32, rend::u32_le; u64, rend::u64_le;
    i16, rend::i16_le; i32, rend::i32_le; i64, rend::i64_le;
    f32, rend::f32_le; f64, rend::f64_le;
}

/// Many numbers as a job's result, filled in where the program will read them: the fastest way for much data.
/// The program reads them by [`Call::in_place`](super::Call::in_place), or has them copied into a `Filled` of
/// its own by [`Pool::submit`](super::Pool::submit). As an argument it is the fastest form of many numbers,
/// too: a vector is checked and copied one by one.
///
/// ```standalone_crate
/// use lwt_preemptive::worker::pool::{Filled, Options, Pool};
///
/// fn squares(many: usize) -> Filled<u64> {
///     Filled::new(many, |numbers| {
///         for (number, root) in numbers.iter_mut().zip(0..) {
///             *number = root * root;
///         }
///     })
/// }
///
/// lwt_preemptive::main! {
///     workers [squares];
///     async fn main() -> Result<(), lwt_core::Error> {
///         let pool = Pool::new(Options::new().workers(1))?;
///         let squares = pool.call().in_place(squares, 100_000).await?;
///         assert_eq!(squares[300], 90_000);
///         Ok(())
///     }
/// }
/// ```
pub struct Filled<T: Number>(Numbers<T>);

enum Numbers<T> {
    Memory(Vec<T>),
    /// So many numbers, in a segment that is taken out when it is sent.
    Segment(Cell<Option<Draft>>, usize),
}

impl<T: Number> Filled<T> {
    /// So many numbers, which `fill` gives their values: what they are before is not said.
    pub fn new(many: usize, fill: impl FnOnce(&mut [T])) -> Filled<T> {
        let mut fill = Some(fill);
        let mut in_segment = || {
            let len = many.checked_mul(size_of::<T>()).filter(|len| *len > SHORT)?;
            // The archived number has the number's bits: otherwise each is to be turned.
            <T as Archive>::COPY_OPTIMIZATION.is_enabled().then_some(())?;
            let mut draft = segment()?;
            let filled = draft.fill(len, |bytes| {
                // SAFETY: any bits are a number (rule 1), and the part that is not aligned is checked for.
                let (before, numbers, after) = unsafe { bytes.align_to_mut::<T>() };
                assert!(before.is_empty() && after.is_empty(), "a segment begins at a page");
                if let Some(fill) = fill.take() {
                    fill(numbers);
                }
            });
            filled.ok().map(|()| draft)
        };
        Filled(match in_segment() {
            Some(draft) => Numbers::Segment(Cell::new(Some(draft)), many),
            None => {
                let mut numbers = vec![T::default(); many];
                if let Some(fill) = fill {
                    fill(&mut numbers);
                }
                Numbers::Memory(numbers)
            }
        })
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Numbers::Memory(numbers) => numbers.len(),
            Numbers::Segment(_, many) => *many,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, in a vector; copied if they lie elsewhere. None if they were a job's result before.
    pub fn into_vec(self) -> Vec<T> {
        match self.0 {
            Numbers::Memory(numbers) => numbers,
            Numbers::Segment(draft, many) => draft.take().map_or_else(Vec::new, |draft| {
                // SAFETY: as in `new`.
                let (_, numbers, _) = unsafe { draft.bytes().align_to::<T>() };
                numbers[..many].to_vec()
            }),
        }
    }
}

impl<T: Number> From<Vec<T>> for Filled<T> {
    fn from(numbers: Vec<T>) -> Filled<T> {
        Filled(Numbers::Memory(numbers))
    }
}

/// A [`Filled`] in its archived form: its numbers, to be read where they are.
#[derive(Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck, verify)]
#[repr(C)]
pub struct ArchivedFilled<A> {
    at: RelPtr<A>,
    len: ArchivedUsize,
}

// SAFETY: what is checked is what `deref` relies on: rule 3.
unsafe impl<A, C> Verify<C> for ArchivedFilled<A>
where
    A: sealed::Bits,
    C: Fallible + ArchiveContext + ?Sized,
    C::Error: Source,
{
    fn verify(&self, context: &mut C) -> Result<(), C::Error> {
        let numbers =
            std::ptr::slice_from_raw_parts(self.at.as_ptr_wrapping(), self.len.to_native() as usize);
        context.in_subtree(numbers, |_| Ok(()))
    }
}

impl<A: sealed::Bits> Deref for ArchivedFilled<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        // SAFETY: there is a reference to it, so it was checked, or made by `resolve`: there are so many, and
        // any bits are one (rule 1).
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len.to_native() as usize) }
    }
}

/// Where the numbers are in the archive.
#[doc(hidden)]
#[derive(Debug)]
pub struct Position(usize);

impl<T: Number> Archive for Filled<T> {
    type Archived = ArchivedFilled<T::Archived>;
    type Resolver = Position;

    fn resolve(&self, Position(position): Position, out: Place<Self::Archived>) {
        munge!(let ArchivedFilled { at, len } = out);
        RelPtr::emplace(position, at);
        self.len().resolve((), len);
    }
}

type Serializer<'a, 'b> = HighSerializer<&'b mut Sink, ArenaHandle<'a>, rancor::Error>;

impl<'a, 'b, T: Number> Serialize<Serializer<'a, 'b>> for Filled<T> {
    fn serialize(&self, serializer: &mut Serializer<'a, 'b>) -> Result<Position, rancor::Error> {
        match &self.0 {
            Numbers::Memory(numbers) if <T as Archive>::COPY_OPTIMIZATION.is_enabled() => {
                write(serializer, numbers)
            }
            Numbers::Memory(numbers) => write(
                serializer,
                &numbers.iter().map(|number| T::Archived::from(*number)).collect::<Vec<_>>(),
            ),
            Numbers::Segment(place, many) => {
                let Some(draft) = place.take() else { return Err(rancor::Error::new(Sent)) };
                if serializer.writer.is_empty() {
                    serializer.writer.adopt(draft);
                    return Ok(Position(0));
                }
                // SAFETY: as in `new`.
                let (_, numbers, _) = unsafe { draft.bytes().align_to::<T>() };
                let written = write(serializer, &numbers[..*many]);
                place.set(Some(draft));
                written
            }
        }
    }
}

/// The numbers went with their segment.
#[derive(Debug)]
struct Sent;

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Filled that was a job's result before")
    }
}

impl std::error::Error for Sent {}

/// Writes numbers that have the bits of their archived forms.
fn write<T: sealed::Bits>(
    serializer: &mut Serializer<'_, '_>,
    numbers: &[T],
) -> Result<Position, rancor::Error> {
    let position = serializer.align_for::<T>()?;
    // SAFETY: numbers have no padding, so all of their bytes are initialised.
    let bytes = unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(numbers)) };
    serializer.write(bytes)?;
    Ok(Position(position))
}

impl<T, D> Deserialize<Filled<T>, D> for ArchivedFilled<T::Archived>
where
    T: Number,
    D: Fallible + ?Sized,
{
    fn deserialize(&self, _: &mut D) -> Result<Filled<T>, D::Error> {
        Ok(Filled::from(self.iter().map(|number| (*number).into()).collect::<Vec<T>>()))
    }
}

impl<A: sealed::Bits + fmt::Debug> fmt::Debug for ArchivedFilled<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchivedFilled").field("len", &self.len()).finish()
    }
}

impl<T: Number> fmt::Debug for Filled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filled").field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::value::Wire;
    use super::*;

    #[test]
    fn numbers_that_are_not_there_are_refused() {
        let both = || (Filled::from(vec![7_u16, 8]), 3_u8, Filled::from(vec![1_u64, 2, 3]));
        let bytes = both().to_bytes().unwrap();
        let read = |bytes: &[u8]| <(Filled<u16>, u8, Filled<u64>)>::from_bytes(bytes);
        let (short, three, long) = read(&bytes).unwrap();
        assert_eq!((short.into_vec(), three, long.into_vec()), (vec![7, 8], 3, vec![1, 2, 3]));
        let mut refused = 0;
        for at in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[at / 8] ^= 1 << (at % 8);
            match read(&broken) {
                Ok((short, _, long)) => assert!(2 * short.len() + 8 * long.len() <= 2 * bytes.len()),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 64, "{refused}");
    }
}
