//! Memory that processes share, and structures in it (Ocamlnet's `Netmcore`, `Netcamlbox`).
//!
//! A [`Pool`] is memory without a name, to which processes attach by its descriptor. In it lie structures,
//! each of which any attached process opens by its [`Place`]:
//!
//! | | what it is | in Ocamlnet |
//! |---|---|---|
//! | [`Pool`] | memory that grows; names, bytes to read in place ([`Blob`]) | `Netmcore_mempool` |
//! | [`Rendezvous`] | a path at which unrelated processes get a pool | `create_camlbox` by address |
//! | [`Reference`] | one value: swap, compare and set, snapshots | `Netmcore_ref` |
//! | [`Array`], [`Matrix`] | values by index | `Netmcore_array`, `Netmcore_matrix` |
//! | [`Buffer`] | bytes with positions that stay | `Netmcore_buffer` |
//! | [`Queue`] | values in order, bounded or not | `Netmcore_queue` |
//! | [`Map`] | values by key | `Netmcore_hashtbl` |
//! | [`BytesReference`], [`BytesQueue`], [`BytesMap`] | the same for bytes of any length | |
//! | `RichReference`, `RichQueue`, `RichMap` | the same for values that `rkyv` archives; feature `worker` | |
//! | [`Archive`], [`ArchiveBuilder`] | values that refer to each other, of any depth | `Netmcore_heap` |
//! | [`Mailbox`] | messages from many to one | `Netcamlbox`, `Netmcore_camlbox` |
//! | [`Mutex`], [`Condition`], [`Semaphore`] | | `Netmcore_mutex`, `Netmcore_condition`, `Netmcore_sem` |
//! | [`RwLock`], [`Once`], [`Barrier`] | | – |
//!
//! What waits has three forms: `try_…`, which does not, a plain one, which blocks its thread, with a limit of
//! time if one wants, and `…_async`, a promise, which is rejected with what the plain one fails with. However
//! many promises wait, they take one thread for each pool of a process.
//!
//! ```
//! use lwt_preemptive::shm::{Map, Pool, Queue};
//!
//! lwt_preemptive::shm_safe! {
//!     /// What there is to do.
//!     #[derive(Debug, Clone, Copy, PartialEq)]
//!     pub struct Job { pub number: u32, pub width: f32 }
//! }
//!
//! let pool = Pool::create()?;
//! let jobs: Queue<Job> = Queue::create(&pool, Some(100), ())?;
//! let results: Map<u32, f32> = Map::create(&pool, ())?;
//! jobs.push(Job { number: 1, width: 0.5 })?;
//! // Any process that has the pool and the places could do this:
//! let job = jobs.pop()?;
//! results.insert(job.number, job.width * 2.0)?;
//! assert_eq!(results.get(&1)?, Some(1.0));
//! # Ok::<(), lwt_preemptive::shm::ShmError>(())
//! ```
//!
//! # How it is made
//! ```text
//!   the file, sealed against shrinking; it grows at its end
//!   ┌────────┬───────┬───────────┬────────┬───────┬────────┬───────┬───────┐
//!   │ header │ lists │ directory │ leases │ block │ block  │ block │ …     │ room to grow, mapped already
//!   └────────┴───────┴───────────┴────────┴───────┴────────┴───────┴───────┘
//!                                    who is        └ a structure: kind, types, lock, events, header, its own part
//!                                    attached          └──> further blocks, each linked to one word
//! ```
//! One file, and not one for each step of growth: an attached process has mapped the addresses of all that
//! the pool may become, so a place in the pool is the distance from its start, what is added is there for all
//! at once, and no descriptor has to be passed for it.
//!
//! The files, in the order in which they explain each other: `memory` (how it is touched), `layout` (what is
//! where), `lease` (who is alive), `lock`, `block` and `heap` (allocation), `pin` (reading what others free),
//! `sweep`, `event` and `bell` (waiting), `object` and `twin` (what structures have in common), `line` (what
//! queues have), then the structures; `rich` over those of bytes, `rendezvous` and `list` for those who come
//! from outside.
//!
//! # Rules
//! 1. *A process may die between any two instructions*, and no other may be hurt by it: not blocked for ever,
//!    not shown half a change. So each change is made by one store, before which nobody looks at what it
//!    publishes; what a change takes besides (counts, lists) can be worked out anew, and is, by the next one
//!    who has the lock.
//! 2. *Locks* name their holder and are taken over when it is dead, which the kernel knows (`lease`). Each
//!    structure has a lock for its changes, a map one for each shard, the pool one for each list of free
//!    blocks, one for its top and one for the directory. They are held for moments, and no user code runs
//!    under them, but for what the documentation of a method says. Order: a structure's, then a list's or the
//!    top's, never two of one kind.
//! 3. *A block* is free in one list, or private to a process, or linked to one word, or retired. When a
//!    process dies, the [sweep](Pool::sweep) tells from the block's header and that word which of them it is.
//!    Until then what it held is not reused, and nothing else happens.
//! 4. *Reading takes no lock* (except a queue's and a buffer's contents). A reader finds out that it was
//!    disturbed, and reads again; or it has a pin, and what it reads stays.
//! 5. *What is read is checked*: addresses, lengths and values that cannot be are [`ShmError::Corrupt`], or
//!    at worst a panic, and never undefined behaviour. References into the memory are given out only for the
//!    bytes of a [`Blob`], which nobody changes, and for the archives in them. Processes that share a pool
//!    trust each other so far as not to write into it by other means than these: whoever has the descriptor
//!    can.
//! 6. *Nothing is left behind*: the memory has no name, and goes with the last process that has it. A
//!    structure stays until it is destroyed, or the pool goes.
//! 7. *Waiting* stands for nothing in the memory that could be lost with a waiter (`event`): all who wait are
//!    woken, and try again.

mod archive;
mod array;
mod barrier;
mod bell;
mod blob;
mod block;
mod buffer;
mod bytes_queue;
mod condition;
#[cfg(test)]
mod crash;
mod directory;
mod elements;
mod error;
mod event;
mod heap;
mod holders;
mod layout;
pub(crate) mod lease;
mod line;
mod list;
mod lock;
mod mailbox;
mod map;
mod matrix;
mod memory;
mod mutex;
mod object;
mod once;
mod pin;
mod pool;
mod queue;
mod reference;
mod rendezvous;
#[cfg(feature = "worker")]
mod rich;
mod ring;
mod rwlock;
mod safe;
mod semaphore;
mod sweep;
pub(crate) mod sys;
mod twin;

pub use self::archive::{Archive, ArchiveBuilder, Link, Row};
pub use self::array::Array;
pub use self::barrier::Barrier;
pub use self::blob::Blob;
pub use self::buffer::Buffer;
pub use self::bytes_queue::BytesQueue;
pub use self::condition::Condition;
pub use self::error::ShmError;
pub use self::list::{FoundPath, FoundPool, Holder, Structure};
pub use self::mailbox::{Mailbox, Receiver};
pub use self::map::{BytesEntry, BytesMap, BytesMapIter, BytesPair, Map, MapEntry, MapIter};
pub use self::matrix::Matrix;
pub use self::mutex::{LockError, LockResult, Mutex, MutexGuard, OwnerDied};
pub use self::object::Place;
pub use self::once::Once;
pub use self::pool::{Pool, PoolOptions, PoolStats};
pub use self::queue::Queue;
pub use self::reference::{BytesReference, Reference};
pub use self::rendezvous::Rendezvous;
#[cfg(feature = "worker")]
pub use self::rich::{Archivable, Rich, RichEntry, RichMap, RichQueue, RichReference};
pub use self::rwlock::{RwLock, RwReadGuard, RwWriteGuard};
pub use self::safe::{SHAPE_START, ShmSafe, shape_number, shape_text};
pub use self::semaphore::{Permits, Semaphore};
#[cfg(feature = "worker")]
pub(crate) use self::sweep::Sweeper;
