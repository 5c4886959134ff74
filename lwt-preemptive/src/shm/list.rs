//! What is in a pool, who has it, and which pools there are: for tools that show it, and clean up.
//!
//! A pool has no name. What leads to it are the descriptors of the processes that have it, which the system
//! shows, and the paths at which it is [served](Pool::serve). Only the paths can be left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::blob;
use super::block::{Block, KEPT, NOBODY, State};
use super::error::ShmError;
use super::lease::{self, Id};
use super::object::{self, Place};
use super::pool::{FILE_NAME, Pool};
use super::rendezvous::{LOCK_ENDING, Rendezvous};
use super::{mailbox, mutex, once, rwlock, sys};

/// Something that lies in a pool until it is destroyed or freed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Structure {
    /// What it is: `"queue"`, `"map"`, `"bytes"`, and so on.
    pub kind: &'static str,
    /// Where it is.
    pub place: Place,
    /// The bytes of its first block.
    pub bytes: u64,
    /// Its name in the pool's directory, if it has one.
    pub name: Option<String>,
    /// Who has it locked, or is the receiver of a mailbox, or makes the value of a `Once`.
    pub holder: Option<Holder>,
}

/// A process that is attached to a pool, or was until its death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its number, as it sees it itself; 0 if it has been [swept](Pool::sweep) away.
    pub pid: u32,
    /// Whether it is still there.
    pub alive: bool,
    /// How many blocks it has pinned: those of its handles, and those that it reads.
    pub pins: usize,
}

/// A pool that some process has a descriptor of; see [`Pool::find_all`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundPool {
    /// The number of the file: different for each pool.
    pub inode: u64,
    /// The processes that have it, each with a descriptor of it.
    pub processes: Vec<(u32, RawFd)>,
}

/// A path at which a pool is, or was, served; see [`Rendezvous::find_in`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundPath {
    /// The path.
    pub path: PathBuf,
    /// Whether its server lives. If not, [`Rendezvous::clean`] removes what it left.
    pub served: bool,
}

impl Pool {
    /// All structures and stored bytes of the pool. Takes time in proportion to the number of blocks.
    ///
    /// ```
    /// use lwt_preemptive::shm::{Pool, Queue};
    /// let pool = Pool::create()?;
    /// let queue: Queue<u8> = Queue::create(&pool, None, ())?;
    /// let found = pool.structures();
    /// assert_eq!((found[0].kind, found[0].place), ("queue", queue.place()));
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    pub fn structures(&self) -> Vec<Structure> {
        let names: BTreeMap<u64, String> =
            self.names().into_iter().map(|(name, place)| (place.0, name)).collect();
        let kept = |block: &Block<'_>| {
            let head = block.head();
            head.is_some_and(|head| head.state == State::Taken && head.owner == NOBODY)
                && block.home().load(Relaxed) == KEPT
        };
        let seen = |block: Block<'_>| {
            let kind = if blob::is_blob(block) {
                "bytes"
            } else {
                object::kind_of(block.word(0).load(Acquire)).unwrap_or("unknown")
            };
            let name = names.get(&block.at).cloned();
            Structure {
                kind,
                place: Place(block.at),
                bytes: block.len,
                name,
                holder: self.holder(kind, block),
            }
        };
        self.0.blocks().filter(kept).map(seen).collect()
    }

    /// Who has a structure.
    fn holder(&self, kind: &str, block: Block<'_>) -> Option<Holder> {
        let at = match kind {
            "mutex" => mutex::HOLDER,
            "rwlock" => rwlock::HOLDER,
            "mailbox" => mailbox::HOLDER,
            "once" => once::HOLDER,
            "bytes" | "unknown" => return None,
            _ => object::LOCK,
        };
        // A block of this kind has room for the word.
        let id = super::lock::holder(block.half(at).load(Acquire))?;
        let known = self.holders_by_id().find(|(known, _)| *known == id).map(|(_, holder)| holder);
        Some(known.unwrap_or(Holder { pid: 0, alive: false, pins: 0 }))
    }

    fn holders_by_id(&self) -> impl Iterator<Item = (Id, Holder)> + '_ {
        lease::holders(&self.0.memory)
            .map(|(id, pid)| (id, Holder { pid, alive: self.0.is_alive(id), pins: self.0.count_pins(id) }))
    }

    /// The processes that are attached, dead ones included that nobody has [swept](Pool::sweep) away.
    ///
    /// ```
    /// use lwt_preemptive::shm::Pool;
    /// let pool = Pool::create()?;
    /// assert_eq!(pool.holders()[0].pid, std::process::id());
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    pub fn holders(&self) -> Vec<Holder> {
        self.holders_by_id().map(|(_, holder)| holder).collect()
    }

    /// All pools of the processes that this one may look at: those of the same user, as a rule. What cannot
    /// be looked at is passed over.
    ///
    /// ```
    /// use lwt_preemptive::shm::Pool;
    /// let pool = Pool::create()?;
    /// let found = Pool::find_all()?;
    /// let me = std::process::id();
    /// assert!(found.iter().any(|found| found.processes.iter().any(|(pid, _)| *pid == me)));
    /// # Ok::<(), lwt_preemptive::shm::ShmError>(())
    /// ```
    ///
    /// # Errors
    /// The system's, if it shows no processes.
    pub fn find_all() -> Result<Vec<FoundPool>, ShmError> {
        let mut pools: BTreeMap<u64, FoundPool> = BTreeMap::new();
        for process in numbered(Path::new("/proc")).map_err(failed("readdir"))? {
            // It may end at any moment.
            for (number, path) in numbered(&process.1.join("fd")).unwrap_or_default() {
                let target = fs::read_link(&path).unwrap_or_default();
                let is_pool =
                    target.to_str().and_then(|target| target.strip_prefix("/memfd:")).is_some_and(|name| {
                        name.strip_suffix(" (deleted)").unwrap_or(name).as_bytes() == FILE_NAME.to_bytes()
                    });
                if let (true, Ok(file)) = (is_pool, fs::metadata(&path)) {
                    let inode = file.ino();
                    let pool = pools.entry(inode).or_insert(FoundPool { inode, processes: Vec::new() });
                    if pool.processes.last().is_none_or(|(last, _)| *last != process.0) {
                        pool.processes.push((process.0, number as RawFd));
                    }
                }
            }
        }
        Ok(pools.into_values().collect())
    }
}

impl FoundPool {
    /// Attaches to it, and leaves what the dead have left in it for those who [sweep](Pool::sweep) it.
    ///
    /// # Errors
    /// The system's, if all its processes have ended or this one may not; and those of [`Pool::attach`].
    pub fn attach(&self) -> Result<Pool, ShmError> {
        let mut last = ShmError::NotAPool;
        for (pid, number) in &self.processes {
            match sys::open(Path::new(&format!("/proc/{pid}/fd/{number}"))).and_then(Pool::look_at) {
                Ok(pool) => return Ok(pool),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Rendezvous {
    /// The paths in a directory at which pools are served, or were by programs that are dead: those of this
    /// user, or of all users if it may read all files.
    ///
    /// # Errors
    /// The system's.
    pub fn find_in(directory: impl AsRef<Path>) -> Result<Vec<FoundPath>, ShmError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed("readdir"))? {
            let lock = entry.map_err(failed("readdir"))?.path();
            let name = lock.file_name().and_then(|name| name.to_str());
            let Some(name) = name.and_then(|name| name.strip_suffix(LOCK_ENDING)) else { continue };
            let path = lock.with_file_name(name);
            if Rendezvous::is_ours(&path) {
                let served = std::os::unix::net::UnixStream::connect(&path);
                let refused = served.is_err_and(|error| {
                    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
                });
                found.push(FoundPath { path, served: !refused });
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }
}

/// What is in a directory under a number.
fn numbered(directory: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let Ok(entry) = entry else { break };
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> ShmError {
    move |error| ShmError::System { call, error }
}
