//! What all structures have in common: a block that says what it is, a lock, two events, and the user's
//! header.
//!
//! ```text
//!   0  what kind of structure, 0 until it is complete      24  an event: something came
//!   8  the shape of its types                              40  an event: something went
//!  16  the lock; whether it was destroyed                  64  the user's header (twin), then its own part
//! ```
//!
//! 1. A structure lives until it is [destroyed](Object::destroy) or its pool ends; dropping a handle does
//!    nothing to it.
//! 2. A handle pins the block, so it stays one of this structure. After its destruction, operations say so.
//! 3. Other blocks of a structure are linked to words in its first one (see `heap`), made when they are
//!    needed, and only changed under its lock.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::block::{Block, Head, KEPT, NOBODY, State, room};
use super::error::ShmError;
use super::event::Event;
use super::lock::{Got, Held};
use super::pin::Pin;
use super::pool::{Inner, Pool};
use super::safe::{SHAPE_START, ShmSafe, shape_number, shape_text};
use super::{layout, twin};

const KIND: u64 = 0;
const SHAPE: u64 = 8;
pub(super) const LOCK: u64 = 16;
const DESTROYED: u64 = 20;
const CAME: u64 = 24;
const WENT: u64 = 40;
const USER: u64 = 64;

/// Where a structure is in its pool: a number that means the same in all processes, and may be stored and
/// sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Place(pub(super) u64);

// SAFETY: a number. What is at a place is checked when it is opened.
unsafe impl ShmSafe for Place {
    const SHAPE: u64 = shape_text(SHAPE_START, "Place");
    fn is_valid(_: &[u8]) -> bool {
        true
    }
}

/// A handle on a structure.
#[derive(Debug, Clone)]
pub(super) struct Object(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    inner: Arc<Inner>,
    at: u64,
    len: u64,
    base: *mut u8,
    _pin: Pin,
}

// SAFETY: the pointer is into the memory that `inner` keeps mapped, and only used as a `Block` uses it.
unsafe impl Send for Parts {}
// SAFETY: as above.
unsafe impl Sync for Parts {}

/// The lock of a structure.
pub(super) struct Locked<'a> {
    pub(super) block: Block<'a>,
    pub(super) got: Got,
    _held: Held<'a>,
}

fn kind_word(kind: &str) -> u64 {
    shape_number(shape_text(SHAPE_START, kind), layout::VERSION)
}

/// The kinds of structures that there are.
const KINDS: [&str; 16] = [
    "array",
    "barrier",
    "buffer",
    "bytes map",
    "bytes queue",
    "bytes reference",
    "condition",
    "mailbox",
    "map",
    "matrix",
    "mutex",
    "once",
    "queue",
    "reference",
    "rwlock",
    "semaphore",
];

/// The kind of which a block's first word says that it is.
pub(super) fn kind_of(word: u64) -> Option<&'static str> {
    KINDS.into_iter().find(|kind| kind_word(kind) == word)
}

/// Where the structure's own part begins if its header is an `H`.
pub(super) const fn body<H>() -> u64 {
    USER + twin::room::<H>()
}

/// What a structure of bytes says of their meaning if they have none.
pub(super) const BYTES: u64 = <u8 as ShmSafe>::SHAPE;

/// The shape of a structure of bytes that have this meaning, with this header.
pub(super) const fn shape_of<H: ShmSafe>(values: u64) -> u64 {
    shape_number(values, shape::<u8, H>())
}

/// The shape of a structure of these types.
pub(super) const fn shape<T: ShmSafe, H: ShmSafe>() -> u64 {
    let sizes = shape_number(T::SHAPE, size_of::<T>() as u64);
    shape_number(shape_number(sizes, H::SHAPE), size_of::<H>() as u64)
}

impl Object {
    /// Makes a structure whose own part, of `len` bytes, is zeroed and then filled by `fill`.
    pub(super) fn create<H: ShmSafe>(
        pool: &Pool,
        kind: &str,
        shape: u64,
        header: &H,
        len: u64,
        fill: impl FnOnce(Block<'_>, u64),
    ) -> Result<Object, ShmError> {
        let inner = &pool.0;
        let len = body::<H>().checked_add(len).ok_or(ShmError::TooLarge)?;
        let block = inner.allocate(len)?;
        for word in 0..len.div_ceil(8).min(block.len / 8) {
            block.word(8 * word).store(0, Relaxed);
        }
        block.word(SHAPE).store(shape, Relaxed);
        twin::init(block, USER, header);
        fill(block, body::<H>());
        block.word(KIND).store(kind_word(kind), Release);
        match Object::handle(inner, block) {
            Ok(object) => {
                inner.keep(block);
                Ok(object)
            }
            Err(error) => {
                inner.free(block);
                Err(error)
            }
        }
    }

    fn handle(inner: &Arc<Inner>, block: Block<'_>) -> Result<Object, ShmError> {
        let pin = Pin::at(inner, block.at)?;
        Ok(Object(Arc::new(Parts {
            inner: inner.clone(),
            at: block.at,
            len: block.len,
            base: block.base(),
            _pin: pin,
        })))
    }

    /// Opens a structure, which has to have at least `len` bytes of its own.
    pub(super) fn open<H: ShmSafe>(
        pool: &Pool,
        place: Place,
        kind: &str,
        shape: u64,
        len: u64,
    ) -> Result<Object, ShmError> {
        let block = pool.0.block(place.0).map_err(|_| ShmError::TypeMismatch)?;
        let object = Object::handle(&pool.0, block)?;
        let whole = body::<H>().checked_add(len).is_some_and(|len| len <= block.len);
        let kept = matches!(block.head(), Some(Head { state: State::Taken, owner: NOBODY, .. }))
            && block.home().load(Relaxed) == KEPT;
        if !whole
            || !kept
            || block.word(KIND).load(Acquire) != kind_word(kind)
            || block.word(SHAPE).load(Relaxed) != shape
        {
            return Err(ShmError::TypeMismatch);
        }
        Ok(object)
    }

    pub(super) fn place(&self) -> Place {
        Place(self.0.at)
    }

    #[inline]
    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }

    /// The structure's block.
    #[inline]
    pub(super) fn block(&self) -> Block<'_> {
        let Parts { inner, at, len, base, .. } = &*self.0;
        // SAFETY: it was found in this memory when the handle was made, and blocks never change their size.
        unsafe { Block::found(&inner.memory, *at, *len, *base) }
    }

    /// The address of a word, as the home of a block.
    #[inline]
    pub(super) fn home(&self, offset: u64) -> u64 {
        self.0.at + offset
    }

    /// The block that a word refers to, if it does.
    #[inline]
    pub(super) fn linked(&self, offset: u64) -> Option<Block<'_>> {
        Block::find(&self.0.inner.memory, self.block().word(offset).load(Acquire))
    }

    /// Whether a word of the memory, at an address, refers to a block.
    pub(super) fn is_linked(&self, home: u64, at: u64) -> bool {
        self.0.inner.memory.word(home).load(SeqCst) == at
    }

    /// Takes the lock, which is held for moments only.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`].
    #[inline]
    pub(super) fn lock(&self) -> Result<Locked<'_>, ShmError> {
        let block = self.block();
        let held = Held::short(self.inner(), block.half(LOCK));
        if block.half(DESTROYED).load(Relaxed) != 0 {
            return Err(ShmError::Destroyed);
        }
        Ok(Locked { block, got: held.got, _held: held })
    }

    /// That the structure has not been destroyed.
    #[inline]
    pub(super) fn check(&self) -> Result<(), ShmError> {
        if self.block().half(DESTROYED).load(Relaxed) == 0 { Ok(()) } else { Err(ShmError::Destroyed) }
    }

    #[inline]
    pub(super) fn came(&self) -> Event<'_> {
        Event::at(self.block(), CAME)
    }

    #[inline]
    pub(super) fn went(&self) -> Event<'_> {
        Event::at(self.block(), WENT)
    }

    /// Wakes everybody who waits.
    pub(super) fn notify_all(&self) {
        self.came().notify(self.inner());
        self.went().notify(self.inner());
    }

    /// The user's header, as it was last written.
    pub(super) fn header<H: ShmSafe>(&self) -> Result<H, ShmError> {
        self.check()?;
        twin::read(self.block(), USER)
    }

    /// Changes the header under the structure's lock.
    pub(super) fn update_header<H: ShmSafe>(&self, f: impl FnOnce(H) -> H) -> Result<H, ShmError> {
        let locked = self.lock()?;
        let new = f(twin::read(locked.block, USER)?);
        twin::write(locked.block, USER, &new);
        Ok(new)
    }

    /// Has all operations from now on refused.
    pub(super) fn mark_destroyed(&self) {
        self.block().half(DESTROYED).store(1, SeqCst);
    }

    /// Destroys the structure: its blocks at `links` and then its own are freed, when nobody reads them any
    /// more. May be called again if a process died in it.
    pub(super) fn destroy(&self, links: impl Iterator<Item = u64>) -> Result<(), ShmError> {
        let block = self.block();
        let inner = self.inner();
        {
            let _held = Held::short(inner, block.half(LOCK));
            self.mark_destroyed();
            for offset in links {
                inner.replace(self.home(offset), None)?;
            }
            if block.home().load(Relaxed) != KEPT {
                return Ok(());
            }
            inner.claim(block)?;
            block.home().store(0, SeqCst);
        }
        self.notify_all();
        inner.retire(block);
        Ok(())
    }
}

/// The room that two values of a type take, each in words of its own.
#[inline]
pub(super) const fn twice<T>() -> u64 {
    2 * room::<T>()
}
