//! [`Matrix`]: values in rows and columns, in one piece.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::Relaxed;

use super::elements::Elements;
use super::error::ShmError;
use super::object::{self, Locked, Object, Place};
use super::pool::Pool;
use super::safe::ShmSafe;

// The matrix's own part: rows, columns, and then the elements, row by row.
const ROWS: u64 = 0;
const COLUMNS: u64 = 8;
const ELEMENTS: u64 = 16;

/// A matrix between processes (`Netmcore_matrix`), with a header of the user's.
///
/// Reading takes no lock. Writing takes none either if the elements have one, two, four or eight bytes; else
/// it takes the matrix's for a moment. An element is always read whole; a row is not of one moment.
///
/// ```
/// use lwt_preemptive::shm::{Matrix, Pool};
/// let pool = Pool::create()?;
/// let matrix: Matrix<u32> = Matrix::create(&pool, 3, 4, 0, ())?;
/// matrix.set_row(1, &[1, 2, 3, 4])?;
/// assert_eq!(matrix.get(1, 2)?, Some(3));
/// assert_eq!(matrix.row(2)?, Some(vec![0; 4]));
/// assert_eq!(matrix.dim()?, (3, 4));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
pub struct Matrix<T, H = ()> {
    object: Object,
    rows: u64,
    columns: u64,
    types: PhantomData<fn(T, H) -> (T, H)>,
}

impl<T, H> Clone for Matrix<T, H> {
    fn clone(&self) -> Self {
        Matrix { object: self.object.clone(), rows: self.rows, columns: self.columns, types: PhantomData }
    }
}

impl<T, H> fmt::Debug for Matrix<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Matrix").field(&self.object.place()).finish()
    }
}

impl<T: ShmSafe, H: ShmSafe> Matrix<T, H> {
    const KIND: &'static str = "matrix";
    const SHAPE: u64 = object::shape::<T, H>();
    const BODY: u64 = object::body::<H>();

    /// The bytes of its own part.
    fn len(rows: u64, columns: u64) -> Option<u64> {
        rows.checked_mul(columns)?.checked_mul(Elements::<T>::STEP)?.checked_add(ELEMENTS)
    }

    /// Makes a matrix of so many rows and columns, all `value` (`make`).
    ///
    /// # Errors
    /// [`ShmError::TooLarge`], and those of growing the pool.
    pub fn create(
        pool: &Pool,
        rows: usize,
        columns: usize,
        value: T,
        header: H,
    ) -> Result<Matrix<T, H>, ShmError> {
        let (rows, columns) = (rows as u64, columns as u64);
        let len = Self::len(rows, columns).ok_or(ShmError::TooLarge)?;
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &header, len, |block, at| {
            block.word(at + ROWS).store(rows, Relaxed);
            block.word(at + COLUMNS).store(columns, Relaxed);
            Elements::init(block, at + ELEMENTS, rows * columns, &value);
        })?;
        Ok(Matrix { object, rows, columns, types: PhantomData })
    }

    /// Opens the matrix at a place (`matrix_of_descr`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`], [`ShmError::Corrupt`].
    pub fn open(pool: &Pool, place: Place) -> Result<Matrix<T, H>, ShmError> {
        let object = Object::open::<H>(pool, place, Self::KIND, Self::SHAPE, ELEMENTS)?;
        let block = object.block();
        let rows = block.word(Self::BODY + ROWS).load(Relaxed);
        let columns = block.word(Self::BODY + COLUMNS).load(Relaxed);
        let fits = Self::len(rows, columns).and_then(|len| len.checked_add(Self::BODY));
        if fits.is_none_or(|len| len > block.len) {
            return Err(ShmError::Corrupt);
        }
        Ok(Matrix { object, rows, columns, types: PhantomData })
    }

    /// Where it is (`descr_of_matrix`).
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// How many rows and columns there are (`dim`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn dim(&self) -> Result<(usize, usize), ShmError> {
        self.object.check()?;
        Ok((self.rows as usize, self.columns as usize))
    }

    /// The offset of an element, if there is one.
    #[inline]
    fn offset(&self, row: usize, column: usize) -> Result<Option<u64>, ShmError> {
        self.object.check()?;
        let (row, column) = (row as u64, column as u64);
        let there = row < self.rows && column < self.columns;
        let index = row.wrapping_mul(self.columns).wrapping_add(column);
        Ok(there.then(|| Self::BODY + ELEMENTS + index * Elements::<T>::STEP))
    }

    /// The offset of a row, if there is one.
    fn row_offset(&self, row: usize) -> Result<Option<u64>, ShmError> {
        self.object.check()?;
        let there = (row as u64) < self.rows;
        Ok(there.then(|| Self::BODY + ELEMENTS + row as u64 * self.columns * Elements::<T>::STEP))
    }

    /// The lock, if writing needs it.
    #[inline]
    fn lock(&self) -> Result<Option<Locked<'_>>, ShmError> {
        if Elements::<T>::SMALL { Ok(None) } else { self.object.lock().map(Some) }
    }

    /// An element (`get_c`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`]; [`ShmError::Corrupt`] if what is there is no `T`.
    #[inline]
    pub fn get(&self, row: usize, column: usize) -> Result<Option<T>, ShmError> {
        self.offset(row, column)?.map(|offset| Elements::read(self.object.block(), offset)).transpose()
    }

    /// Sets an element (`set`): `false` if there is none.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    #[inline]
    pub fn set(&self, row: usize, column: usize, value: T) -> Result<bool, ShmError> {
        let Some(offset) = self.offset(row, column)? else { return Ok(false) };
        let _locked = self.lock()?;
        Elements::write(self.object.block(), offset, &value);
        Ok(true)
    }

    /// Sets an element to what `f` makes of it, in one step, and gives that; nothing if there is none. `f`
    /// may be called several times, and must not use the matrix.
    ///
    /// # Errors
    /// As [`get`](Matrix::get).
    pub fn update(&self, row: usize, column: usize, f: impl FnMut(T) -> T) -> Result<Option<T>, ShmError> {
        let Some(offset) = self.offset(row, column)? else { return Ok(None) };
        let _locked = self.lock()?;
        Elements::update(self.object.block(), offset, f).map(Some)
    }

    /// A copy of a row.
    ///
    /// # Errors
    /// As [`get`](Matrix::get).
    pub fn row(&self, row: usize) -> Result<Option<Vec<T>>, ShmError> {
        let offset = self.row_offset(row)?;
        offset.map(|offset| Elements::read_all(self.object.block(), offset, self.columns)).transpose()
    }

    /// Sets a row: `false` if there is none. Of too many values the first ones count, and of too few the rest
    /// of the row stays.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    pub fn set_row(&self, row: usize, values: &[T]) -> Result<bool, ShmError> {
        let Some(offset) = self.row_offset(row)? else { return Ok(false) };
        let values = &values[..values.len().min(self.columns as usize)];
        let _locked = self.lock()?;
        Elements::write_all(self.object.block(), offset, values);
        Ok(true)
    }

    /// The header, as it was last written (`header`).
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn header(&self) -> Result<H, ShmError> {
        self.object.header()
    }

    /// Changes the header under the matrix's lock, and gives the new one. `f` must not use the matrix.
    ///
    /// # Errors
    /// As [`header`](Matrix::header).
    pub fn update_header(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        self.object.update_header(f)
    }

    /// Destroys the matrix. Whoever uses it is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy(std::iter::empty())
    }
}
