//! [`Once`]: a value that the first one makes.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use lwt_core::Promise;

use super::block::room;
use super::error::ShmError;
use super::event;
use super::lock::Held;
use super::object::{self, Object, Place};
use super::pool::Pool;
use super::safe::{ShmSafe, bytes_of};

/// The lock of whoever makes the value, whether it is made, and the value.
const MAKER: u64 = 0;
pub(super) const HOLDER: u64 = body() + MAKER;
const MADE: u64 = 8;
const VALUE: u64 = 16;

/// A value in shared memory that is made once, by whoever needs it first.
///
/// If the maker fails, panics or dies, the next one makes it.
///
/// ```
/// use lwt_preemptive::shm::{Once, Pool};
/// let pool = Pool::create()?;
/// let once: Once<u64> = Once::create(&pool)?;
/// assert_eq!(once.get()?, None);
/// assert_eq!(once.get_or_make(|| 7)?, 7);
/// assert_eq!(once.get_or_make(|| unreachable!("it is there"))?, 7);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Once<T> {
    object: Object,
    value: PhantomData<fn(T) -> T>,
}

const fn body() -> u64 {
    object::body::<()>()
}

fn get<T: ShmSafe>(object: &Object) -> Result<Option<T>, ShmError> {
    object.check()?;
    let block = object.block();
    if block.word(body() + MADE).load(Acquire) == 0 {
        return Ok(None);
    }
    block.get(body() + VALUE).map(Some).ok_or(ShmError::Corrupt)
}

impl<T: ShmSafe> Once<T> {
    const KIND: &'static str = "once";
    const SHAPE: u64 = object::shape::<T, ()>();
    const LEN: u64 = VALUE + room::<T>();

    /// Makes the place for the value.
    ///
    /// # Errors
    /// Those of growing the pool.
    pub fn create(pool: &Pool) -> Result<Once<T>, ShmError> {
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &(), Self::LEN, |_, _| ())?;
        Ok(Once { object, value: PhantomData })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Once<T>, ShmError> {
        let object = Object::open::<()>(pool, place, Self::KIND, Self::SHAPE, Self::LEN)?;
        Ok(Once { object, value: PhantomData })
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.object.place()
    }

    /// The value, if it has been made. Takes no lock.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn get(&self) -> Result<Option<T>, ShmError> {
        get(&self.object)
    }

    /// The value; makes it if nobody has, and blocks the thread while somebody else makes it. `f` must not
    /// ask for the same value.
    ///
    /// # Errors
    /// As [`get`](Once::get).
    pub fn get_or_make(&self, f: impl FnOnce() -> T) -> Result<T, ShmError> {
        self.get_or_try_make(|| Ok(f()))
    }

    /// The same with a maker that may fail: then there is still no value.
    ///
    /// # Errors
    /// Those of the maker, and as [`get`](Once::get).
    pub fn get_or_try_make<E: From<ShmError>>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some(value) = self.get()? {
            return Ok(value);
        }
        let block = self.object.block();
        let _held = Held::new(self.object.inner(), block.half(body() + MAKER), None)?;
        if let Some(value) = self.get()? {
            return Ok(value);
        }
        let value = f()?;
        block.store(body() + VALUE, bytes_of(&value));
        block.word(body() + MADE).store(1, Release);
        self.object.came().notify(self.object.inner());
        Ok(value)
    }

    /// The value, as soon as somebody has made it.
    pub fn wait_async(&self) -> Promise<T> {
        event::promise_until(&self.object, Object::came, |object, _| get(object))
    }

    /// Whether somebody is making it at the moment, or has died while doing so.
    pub fn is_being_made(&self) -> bool {
        self.object.block().half(body() + MAKER).load(Relaxed) != 0
    }

    /// Destroys it. Whoever waits is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.object.destroy(std::iter::empty())
    }
}
