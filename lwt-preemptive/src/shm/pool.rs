//! [`Pool`]: memory that processes share.

use std::ffi::CStr;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex};

use super::bell::Bell;
use super::error::ShmError;
use super::lease::{self, Id};
use super::memory::Memory;
use super::pin::FreePins;
use super::{layout, sys};
use crate::message;

/// What the system shows as the name of a pool's file; it is none by which it could be opened.
pub(super) const FILE_NAME: &CStr = c"lwt-pool";

/// How a pool is made; see [`Pool::create`].
///
/// ```
/// use lwt_preemptive::shm::PoolOptions;
/// let pool = PoolOptions::new().limit(64 << 20).processes(16).create()?;
/// assert_eq!(pool.stats().limit, 64 << 20);
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    limit: u64,
    processes: u32,
    reserve: u64,
}

impl PoolOptions {
    /// A pool that may grow up to 64 GiB (of addresses: memory is taken as it is needed) for up to 64
    /// processes.
    pub fn new() -> PoolOptions {
        PoolOptions { limit: 64 << 30, processes: 64, reserve: 0 }
    }

    /// The most bytes that the pool may have.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> PoolOptions {
        self.limit = bytes;
        self
    }

    /// How many processes may be attached at once, at most 1024. Each costs 1 KiB.
    #[must_use]
    pub fn processes(mut self, most: u32) -> PoolOptions {
        self.processes = most.clamp(1, lease::MOST);
        self
    }

    /// How many bytes the pool takes from the system at once, instead of when they are needed.
    #[must_use]
    pub fn reserve(mut self, bytes: u64) -> PoolOptions {
        self.reserve = bytes;
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    /// The system's, if it has not got the memory or the descriptor; [`ShmError::PoolFull`] if the limit is
    /// below what the pool needs for itself.
    pub fn create(self) -> Result<Pool, ShmError> {
        let start = layout::start(self.processes);
        let limit = self.limit / 4096 * 4096;
        if limit < start.max(self.reserve) {
            return Err(ShmError::PoolFull { limit: self.limit });
        }
        let file = sys::memfd_create(FILE_NAME)?;
        sys::fallocate(file.as_fd(), 0, start.next_multiple_of(4096))?;
        sys::seal(file.as_fd())?;
        let memory = Memory::new(sys::reopen(file.as_fd())?, limit, self.processes)?;
        memory.word(layout::VERSION_AT).store(layout::VERSION, Relaxed);
        memory.word(layout::LIMIT).store(limit, Relaxed);
        memory.word(layout::LEASES).store(self.processes.into(), Relaxed);
        memory.word(layout::TOP).store(start, Relaxed);
        memory.word(layout::MAGIC_AT).store(layout::MAGIC, Release);
        let (pool, _) = Pool::new(file, memory)?;
        pool.0.reach(self.reserve)?;
        Ok(pool)
    }
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions::new()
    }
}

/// Memory that processes share (`Netmcore_mempool`).
///
/// A pool has no name in the system: it lives as long as a process is attached to it or has its descriptor,
/// and leaves nothing behind. It grows while it is in use; what it hands out has been reserved before, so a
/// shortage of memory is an error and never a signal. Other processes, running ones included,
/// [attach](Pool::attach) by a descriptor: inherited, [sent](Pool::send) over a socket,
/// [taken](Pool::of_process) from a process that one may trace, or got at a [path](Pool::connect).
///
/// Clones are the same attachment. When the last of them and of everything that was made from them is
/// dropped, the process is not attached any more. A child made by `fork` may not use its parent's: it
/// attaches anew.
///
/// ```
/// use lwt_preemptive::shm::{Pool, Queue};
/// use std::os::fd::AsFd;
///
/// let pool = Pool::create()?;
/// let queue: Queue<u64> = Queue::create(&pool, Some(16), ())?;
/// pool.publish("numbers", queue.place())?;
///
/// // What another process would do with the descriptor.
/// let other = Pool::attach(pool.as_fd().try_clone_to_owned().unwrap())?;
/// let same: Queue<u64> = Queue::open(&other, other.find("numbers").unwrap())?;
/// queue.try_push(42)?;
/// assert_eq!(same.try_pop()?, Some(42));
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Clone)]
pub struct Pool(pub(super) Arc<Inner>);

/// A process's attachment to a pool.
pub(super) struct Inner {
    pub(super) memory: Arc<Memory>,
    /// What is given to others. The memory has an open file of its own, whose locks are nobody else's.
    file: OwnedFd,
    pub(super) limit: u64,
    id: Id,
    /// In which life of this process it was made.
    born: u32,
    pub(super) free_pins: Mutex<FreePins>,
    pub(super) bell: Bell,
}

/// How a pool is used at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// The most bytes that it may have.
    pub limit: u64,
    /// The bytes that it has taken from the system.
    pub reserved: u64,
    /// The bytes in blocks that are in use, without their headers.
    pub used: u64,
    /// The bytes in blocks that were in use, without their headers.
    pub free: u64,
    /// The bytes in blocks that wait for their last reader.
    pub retired: u64,
    /// How many blocks are in use.
    pub blocks: u64,
    /// How many processes are attached.
    pub processes: u32,
}

impl Pool {
    /// The longest name of the [directory](Pool::publish), in bytes.
    pub const MAX_NAME: usize = layout::NAME_ROOM;

    /// Makes a pool with the usual [options](PoolOptions) (`create_mempool`).
    ///
    /// # Errors
    /// Those of [`PoolOptions::create`].
    pub fn create() -> Result<Pool, ShmError> {
        PoolOptions::new().create()
    }

    /// Attaches this process to the pool that a descriptor is of.
    ///
    /// # Errors
    /// [`ShmError::NotAPool`], [`ShmError::TooManyProcesses`], and the system's.
    pub fn attach(file: OwnedFd) -> Result<Pool, ShmError> {
        let (pool, died) = Pool::open(file)?;
        if died || pool.0.has_dead() {
            pool.sweep()?;
        }
        Ok(pool)
    }

    /// Attaches, and leaves what the dead have left as it is.
    pub(super) fn look_at(file: OwnedFd) -> Result<Pool, ShmError> {
        Pool::open(file).map(|(pool, _)| pool)
    }

    /// Attaches; the flag says that it has taken the place of one that is dead.
    fn open(file: OwnedFd) -> Result<(Pool, bool), ShmError> {
        // Opening a device, say, is not nothing.
        if !sys::is_sealed(file.as_fd()) {
            return Err(ShmError::NotAPool);
        }
        // Opened anew: the byte locks of a lease belong to an open file, and this one may be somebody else's
        // too.
        let header = Memory::new(sys::reopen(file.as_fd())?, 4096, 0)?;
        if !header.has(0, 4096)
            || header.word(layout::MAGIC_AT).load(Acquire) != layout::MAGIC
            || header.word(layout::VERSION_AT).load(Relaxed) != layout::VERSION
        {
            return Err(ShmError::NotAPool);
        }
        let limit = header.word(layout::LIMIT).load(Relaxed);
        let leases = header.word(layout::LEASES).load(Relaxed).min(lease::MOST.into()) as u32;
        drop(header);
        let memory = Memory::new(sys::reopen(file.as_fd())?, limit, leases)?;
        if !memory.has(0, layout::start(leases)) {
            return Err(ShmError::NotAPool);
        }
        Pool::new(file, memory)
    }

    fn new(file: OwnedFd, memory: Memory) -> Result<(Pool, bool), ShmError> {
        let (id, died) = lease::take(&memory)?;
        let pool = Pool(Arc::new(Inner {
            limit: memory.room(),
            memory: Arc::new(memory),
            file,
            id,
            born: lease::forks(),
            free_pins: Mutex::new(FreePins::new(id)),
            bell: Bell::default(),
        }));
        Ok((pool, died))
    }

    /// Attaches to the pool of which another process has a descriptor with this number. The other has to be
    /// one that this process may trace: its own child, mostly.
    ///
    /// # Errors
    /// The system's, and those of [`Pool::attach`].
    pub fn of_process(pid: u32, descriptor: RawFd) -> Result<Pool, ShmError> {
        Pool::attach(sys::descriptor_of(pid, descriptor)?)
    }

    /// Sends the pool's descriptor to the other end of a socket, with one byte.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&self, socket: &UnixStream) -> Result<(), ShmError> {
        message::send(socket.as_fd(), &[IoSlice::new(b"p")], Some(self.as_fd()), true)
            .map_err(|error| ShmError::System { call: "sendmsg", error })
    }

    /// Receives a pool's descriptor that was [sent](Pool::send), and attaches. Blocks until it comes.
    ///
    /// # Errors
    /// [`ShmError::NotAPool`] if something else came, the system's, and those of [`Pool::attach`].
    pub fn receive(socket: &UnixStream) -> Result<Pool, ShmError> {
        let came = message::receive(socket.as_fd(), &mut Vec::with_capacity(1), true)
            .map_err(|error| ShmError::System { call: "recvmsg", error })?;
        Pool::attach(came.file.filter(|_| !came.cut).ok_or(ShmError::NotAPool)?)
    }

    /// Settles what dead processes have left in the pool, and says how many they were. Call it when a process
    /// is known to have died that is no worker of this one: for those it is done. Without it nothing hangs,
    /// but their memory is not reused before somebody attaches or the pool would be full.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`], and the system's.
    pub fn sweep(&self) -> Result<usize, ShmError> {
        self.0.sweep()
    }

    /// Reserves memory up to this many bytes in all, and has the part that is there mapped at once. What is
    /// touched for the first time costs some microseconds a page; after this it does not.
    ///
    /// # Errors
    /// [`ShmError::PoolFull`], and the system's.
    pub fn prefault(&self, bytes: u64) -> Result<(), ShmError> {
        self.0.reach(bytes)?;
        self.0.memory.populate(0, bytes)
    }

    /// How the pool is used. Takes time in proportion to the number of blocks.
    pub fn stats(&self) -> PoolStats {
        self.0.stats()
    }

    /// The numbers of the processes that are attached, as they see them themselves, dead ones included that
    /// nobody has [swept](Pool::sweep) away.
    pub fn processes(&self) -> Vec<u32> {
        lease::holders(&self.0.memory).map(|(_, pid)| pid).collect()
    }
}

impl AsFd for Pool {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.0.id).finish()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Inner {
    /// The id of this process in the pool.
    ///
    /// # Panics
    /// In a child made by `fork`, which has none.
    #[inline]
    pub(super) fn me(&self) -> Id {
        assert!(self.is_here(), "a pool's attachment does not outlive a fork: attach anew");
        self.id
    }

    /// Whether this is the process that attached, and not a child of it made by `fork`, to which nothing
    /// belongs that is dropped there.
    #[inline]
    pub(super) fn is_here(&self) -> bool {
        lease::forks() == self.born
    }

    pub(super) fn is_alive(&self, id: Id) -> bool {
        lease::is_alive(&self.memory, self.me(), id)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The lease of a parent is not ours to give back, nor its helper ours to stop.
        if self.is_here() {
            self.bell.stop(&self.memory, self.id);
            self.give_pins_back();
            lease::give_back(&self.memory, self.id);
        }
    }
}
