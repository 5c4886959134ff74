//! Elements of arrays and matrices: values side by side, each of which is read and written as a whole.
//!
//! A value of one, two, four or eight bytes is a cell of that width: reading and writing it is one
//! instruction, and needs no lock. Any other is a twin: reading it needs no lock, writing it does.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use super::block::Block;
use super::error::ShmError;
use super::safe::{ShmSafe, bytes_of, value_of};
use super::twin;

/// Elements of one type.
pub(super) struct Elements<T>(PhantomData<T>);

/// Calls `$cell` with the width of `T`, or `$other`.
macro_rules! by_width {
    ($type:ty, $width:ident, $number:ident => $cell:expr, $other:expr) => {
        match size_of::<$type>() {
            1 => by_width!(@ $width, $number, AtomicU8, u8, $cell),
            2 => by_width!(@ $width, $number, AtomicU16, u16, $cell),
            4 => by_width!(@ $width, $number, AtomicU32, u32, $cell),
            8 => by_width!(@ $width, $number, AtomicU64, u64, $cell),
            _ => $other,
        }
    };
    (@ $width:ident, $number:ident, $atomic:ty, $int:ty, $cell:expr) => {{
        type $width = $atomic;
        type $number = $int;
        $cell
    }};
}

/// The bytes of a value, as many as are asked for.
fn bytes<T: ShmSafe, const N: usize>(value: &T) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(bytes_of(value));
    bytes
}

fn value<T: ShmSafe>(bytes: &[u8]) -> Result<T, ShmError> {
    value_of(|to| to.copy_from_slice(bytes)).ok_or(ShmError::Corrupt)
}

impl<T: ShmSafe> Elements<T> {
    /// Whether writing needs no lock.
    pub(super) const SMALL: bool = matches!(size_of::<T>(), 1 | 2 | 4 | 8);
    /// The distance of two.
    pub(super) const STEP: u64 = match size_of::<T>() as u64 {
        0 => 1,
        small @ (1 | 2 | 4 | 8) => small,
        _ => twin::room::<T>(),
    };

    /// Fills elements that nobody else sees yet.
    pub(super) fn init(block: Block<'_>, from: u64, count: u64, value: &T) {
        for index in 0..count {
            let offset = from + index * Self::STEP;
            if Self::SMALL {
                Self::write(block, offset, value);
            } else {
                twin::init(block, offset, value);
            }
        }
    }

    /// Loads the element at an offset.
    #[inline]
    pub(super) fn read(block: Block<'_>, offset: u64) -> Result<T, ShmError> {
        by_width!(T, Cell, Number => {
            let number: Number = block.cells::<Cell>(offset, 1)[0].load(Acquire);
            value(&number.to_ne_bytes())
        }, twin::read(block, offset))
    }

    /// Stores an element. The caller has the lock, unless elements are small.
    #[inline]
    pub(super) fn write(block: Block<'_>, offset: u64, value: &T) {
        by_width!(T, Cell, Number => {
            block.cells::<Cell>(offset, 1)[0].store(Number::from_ne_bytes(bytes(value)), Release);
        }, twin::write(block, offset, value));
    }

    /// Sets an element to what `f` makes of it, and gives that. The caller has the lock, unless elements are
    /// small: `f` may be called several times then.
    pub(super) fn update(block: Block<'_>, offset: u64, mut f: impl FnMut(T) -> T) -> Result<T, ShmError> {
        by_width!(T, Cell, Number => {
            let cell = &block.cells::<Cell>(offset, 1)[0];
            let mut seen = cell.load(Acquire);
            loop {
                let new = f(value(&seen.to_ne_bytes())?);
                match cell.compare_exchange(seen, Number::from_ne_bytes(bytes(&new)), AcqRel, Acquire) {
                    Ok(_) => return Ok(new),
                    Err(now) => seen = now,
                }
            }
        }, {
            let new = f(twin::read(block, offset)?);
            twin::write(block, offset, &new);
            Ok(new)
        })
    }

    /// Loads elements side by side.
    pub(super) fn read_all(block: Block<'_>, offset: u64, count: u64) -> Result<Vec<T>, ShmError> {
        by_width!(T, Cell, Number => {
            let cells = block.cells::<Cell>(offset, count as usize);
            cells.iter().map(|cell| {
                let number: Number = cell.load(Relaxed);
                value(&number.to_ne_bytes())
            }).collect()
        }, (0..count).map(|index| twin::read(block, offset + index * Self::STEP)).collect())
    }

    /// Stores elements side by side. The caller has the lock, unless elements are small.
    pub(super) fn write_all(block: Block<'_>, offset: u64, values: &[T]) {
        by_width!(T, Cell, Number => {
            for (cell, value) in block.cells::<Cell>(offset, values.len()).iter().zip(values) {
                cell.store(Number::from_ne_bytes(bytes(value)), Relaxed);
            }
        }, for (index, value) in values.iter().enumerate() {
            twin::write(block, offset + index as u64 * Self::STEP, value);
        });
    }
}
