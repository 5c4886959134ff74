//! Leases: which processes are attached to a pool, and whether they are still alive.
//!
//! A pool has a table of leases. Whoever attaches takes one, and with it an [`Id`]: the lease's index and a
//! generation, so that the next holder of the same lease has another. Everything that a process holds in a
//! pool (locks, blocks on their way, pins, permits) bears its id.
//!
//! 1. *The kernel says who is alive.* The holder of lease `i` has locked byte `i` of the file, for an open
//!    file of its own. The kernel takes the lock away when the process ends, however it ends: no signal, no
//!    clock and no process number that somebody else may get is needed.
//! 2. A lease is *taken* by locking its byte and then writing a new id into its record, and *given back* by
//!    clearing the record's live bit and then unlocking the byte.
//! 3. An id is *dead* if its lease's record shows another one or is not live, or if nobody has the byte
//!    locked. Once dead, an id stays dead, up to a million holders of its lease later.
//! 4. A child made by `fork` is another process: it does not inherit the leases, and may not use the pools.
//!    It attaches anew. As long as it lives and has not executed another program, it has its parent's open
//!    files, and the parent counts as alive.

use std::sync::Once;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::error::ShmError;
use super::memory::Memory;
use super::{layout, sys};

/// Who holds something: a lease's index (ten bits) and its generation (twenty). Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub(super) u32);

const INDEX_BITS: u32 = 10;
const GENERATIONS: u32 = 1 << 20;
/// In a record's state, beside the id.
const LIVE: u64 = 1 << 32;

/// How many processes a pool can have at most.
pub(super) const MOST: u32 = 1 << INDEX_BITS;

impl Id {
    pub(super) fn index(self) -> u32 {
        self.0 & (MOST - 1)
    }

    fn after(self, index: u32) -> Id {
        let generation = (self.0 >> INDEX_BITS) % (GENERATIONS - 1) + 1;
        Id(generation << INDEX_BITS | index)
    }
}

/// How often this process has become another one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// How often this process was forked off, counted from the first call on.
#[inline]
pub(crate) fn forks() -> u32 {
    FORKS.load(Relaxed)
}

pub(crate) fn count_forks() {
    extern "C" fn forked() {
        FORKS.fetch_add(1, Relaxed);
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler only adds to an atomic. If it cannot be registered for want of memory, a child that
    // goes on to use a pool shares its parent's lease: a nuisance, but nothing that this file's callers rely
    // on.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(forked));
    });
}

/// Takes a lease: if there is one, one that was given back, so that of the dead it can still be told who they
/// were. The flag: its last holder has died with it.
pub(super) fn take(memory: &Memory) -> Result<(Id, bool), ShmError> {
    count_forks();
    let given_back = |index: &u32| memory.word(layout::lease(*index)).load(Acquire) & LIVE == 0;
    let all = 0..memory.leases;
    for index in all.clone().filter(given_back).chain(all) {
        if !sys::lock_byte(memory.file(), index.into())? {
            continue;
        }
        let record = layout::lease(index);
        let last = memory.word(record).load(Acquire);
        let id = Id(last as u32).after(index);
        // From here on the last holder's id is dead for everybody, and its pins with it.
        let pins = (layout::PINS + layout::PAGES) as usize;
        for word in memory.cells::<AtomicU64>(record + layout::LEASE_PINS, pins) {
            word.store(0, Relaxed);
        }
        memory.word(record + layout::LEASE_HIGH).store(0, Relaxed);
        memory.word(record + layout::LEASE_PID).store(std::process::id().into(), Relaxed);
        memory.word(record).store(LIVE | u64::from(id.0), SeqCst);
        return Ok((id, last & LIVE != 0));
    }
    Err(ShmError::TooManyProcesses)
}

/// Gives a lease back, of which nothing is in use any more.
pub(super) fn give_back(memory: &Memory, id: Id) {
    memory.word(layout::lease(id.index())).store(id.0.into(), SeqCst);
    // If it fails, closing the file unlocks it.
    let _ = sys::unlock_byte(memory.file(), id.index().into());
}

/// Whether the holder of `id` lives. `me` is known to.
pub(super) fn is_alive(memory: &Memory, me: Id, id: Id) -> bool {
    if id == me {
        return true;
    }
    if id.0 == 0 || id.index() >= memory.leases {
        return false;
    }
    let state = memory.word(layout::lease(id.index()));
    let shown = || state.load(SeqCst) == LIVE | u64::from(id.0);
    // If the kernel cannot say it, rather wait for ever than take a lock away from somebody who is alive.
    shown() && sys::is_byte_locked(memory.file(), id.index().into()).unwrap_or(true) && shown()
}

/// The ids of the leases that are in use, as their records have them, and the numbers of their processes.
pub(super) fn holders(memory: &Memory) -> impl Iterator<Item = (Id, u32)> + '_ {
    (0..memory.leases).filter_map(|index| {
        let record = layout::lease(index);
        let state = memory.word(record).load(SeqCst);
        let pid = memory.word(record + layout::LEASE_PID).load(Relaxed);
        let id = Id(state as u32);
        // Another lease's id would be damage.
        (state & LIVE != 0 && id.index() == index).then_some((id, pid as u32))
    })
}

/// Marks a lease whose holder is dead as free. `false`: somebody else has done it.
pub(super) fn mark_dead(memory: &Memory, dead: Id) -> bool {
    let state = memory.word(layout::lease(dead.index()));
    state.compare_exchange(LIVE | u64::from(dead.0), dead.0.into(), SeqCst, SeqCst).is_ok()
}

/// Whether the record of the lease shows that `id` is not its holder any more. A holder that died and has not
/// been marked is not gone.
pub(super) fn is_gone(memory: &Memory, id: Id) -> bool {
    id.index() >= memory.leases
        || memory.word(layout::lease(id.index())).load(SeqCst) != LIVE | u64::from(id.0)
}
