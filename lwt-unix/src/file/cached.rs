//! What the kernel can answer without waiting: look-ups and opens of paths that it has in memory.
//!
//! 1. A path is looked up by `openat2` with `RESOLVE_CACHED`, which says `EAGAIN` rather than ask a disk or a
//!    server.
//! 2. Only the look-up is safe that way. What a file system does when a file is *opened*, or asked for its
//!    attributes, may be a trip to a server. So the path is first looked up with `O_PATH`, which asks the
//!    file system for nothing, and the attributes that the kernel has anyway tell where the file lies; it is
//!    opened, and they are believed, only on a file system that is known to be *local*.
//! 3. Which are, is learnt on a job thread ([`learn`]), because even that question may wait for a server. The
//!    answer is kept for the mount, by its number that is never given again; on a kernel without such numbers
//!    for block devices only, because other devices' numbers are given again.
//! 4. Only regular files and directories are opened. Others may wait in `open`, or do something when they are
//!    opened. `O_NONBLOCK` makes a file that somebody has a lease on refuse rather than wait; it means
//!    nothing to it afterwards.
//! 5. A thread is asked all the same where many look-ups follow each other: between two polls of the engine
//!    only the first [`FEW`] are made here. A look-up here is three system calls, one by one; threads make one,
//!    and several at a time.
//! 6. An error that the look-up brings is the kernel's answer as good as any. All that is not an answer is a
//!    *miss*: the call is made on a thread. Creating and writing are never tried here.

use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use super::stats::Stats;
use crate::sys;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// It is not in memory, or only a thread may do it.
    Thread,
    /// The file system is not known yet: the thread should [`learn`] it.
    Unknown,
}

/// An answer, which may be an error, or none.
pub(super) type Answer<T> = Result<io::Result<T>, Miss>;

/// Mount (0 if that has no number of its own) and device.
type Place = (u64, u64);

/// Which places have been asked, and whether they are local.
static PLACES: RwLock<Vec<(Place, bool)>> = RwLock::new(Vec::new());

/// Whether the kernel may know `RESOLVE_CACHED`.
static KNOWN: AtomicBool = AtomicBool::new(true);

thread_local! {
    static WANTED: Cell<bool> = const { Cell::new(true) };
    /// How many look-ups there have been since the last poll.
    static LOOKED: Cell<u32> = const { Cell::new(0) };
}

/// See rule 5.
const FEW: u32 = 8;

/// More mounts than this are forgotten, and asked again.
const MOST_PLACES: usize = 256;

/// See [`set_fast_paths`](super::set_fast_paths).
pub(super) fn set_wanted(on: bool) {
    WANTED.set(on);
}

/// Whether calls may be made on the loop's thread if they do not wait.
#[inline]
pub(super) fn wanted() -> bool {
    WANTED.get()
}

/// The engine is being polled.
#[inline]
pub(crate) fn polled() {
    LOOKED.set(0);
}

/// The attributes of what a path leads to, or of the link itself.
pub(super) fn stat(path: &CStr, follow: bool) -> Answer<Stats> {
    let found = look_up(path, follow)?;
    Ok(match found {
        Ok(probe) => Ok(local_attributes(probe.as_fd())?),
        Err(error) => Err(error),
    })
}

/// The attributes of an open file.
#[inline]
pub(super) fn fstat(fd: BorrowedFd<'_>) -> Result<Stats, Miss> {
    if wanted() { local_attributes(fd) } else { Err(Miss::Thread) }
}

/// Opens a regular file, or a directory, for reading.
pub(super) fn open(path: &CStr) -> Answer<(OwnedFd, Stats)> {
    let stats = match look_up(path, true)? {
        Ok(probe) => local_attributes(probe.as_fd())?,
        Err(error) => return Ok(Err(error)),
    };
    if !stats.is_file() && !stats.is_dir() {
        return Err(Miss::Thread);
    }
    let opened = answer(sys::file::open_cached(path, libc::O_RDONLY | libc::O_NONBLOCK))?;
    Ok(opened.map(|fd| (fd, stats)))
}

fn look_up(path: &CStr, follow: bool) -> Answer<OwnedFd> {
    if !wanted() || !KNOWN.load(Ordering::Relaxed) || LOOKED.get() >= FEW {
        return Err(Miss::Thread);
    }
    LOOKED.set(LOOKED.get() + 1);
    let flags = if follow { libc::O_PATH } else { libc::O_PATH | libc::O_NOFOLLOW };
    answer(sys::file::open_cached(path, flags))
}

/// Whether the result of a cached look-up is an answer.
fn answer<T>(result: io::Result<T>) -> Answer<T> {
    let number = result.as_ref().err().and_then(io::Error::raw_os_error);
    match number {
        None => Ok(result),
        Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ELOOP | libc::ENAMETOOLONG) => Ok(result),
        Some(libc::ENOSYS | libc::EINVAL) => {
            KNOWN.store(false, Ordering::Relaxed);
            Err(Miss::Thread)
        }
        Some(_) => Err(Miss::Thread),
    }
}

#[inline]
fn local_attributes(fd: BorrowedFd<'_>) -> Result<Stats, Miss> {
    let attributes = sys::file::attributes_cached(fd).map_err(|_| Miss::Thread)?;
    let place = place(&attributes).ok_or(Miss::Thread)?;
    let known = {
        let places = PLACES.read().unwrap_or_else(PoisonError::into_inner);
        places.iter().find(|(known, _)| *known == place).map(|(_, local)| *local)
    };
    match known {
        Some(true) => Ok(Stats::of_statx(&attributes)),
        Some(false) => Err(Miss::Thread),
        None => Err(Miss::Unknown),
    }
}

/// By what a file system is known: see rule 3.
fn place(attributes: &libc::statx) -> Option<Place> {
    let device = libc::makedev(attributes.stx_dev_major, attributes.stx_dev_minor);
    if attributes.stx_mask & sys::file::STATX_MNT_ID_UNIQUE != 0 {
        return Some((attributes.stx_mnt_id, device));
    }
    (attributes.stx_dev_major != 0).then_some((0, device))
}

/// On a job thread: asks of which kind the file system of an open file is, if that is not known.
pub(super) fn learn(fd: BorrowedFd<'_>) {
    let Ok(attributes) = sys::file::attributes_cached(fd) else { return };
    let Some(place) = place(&attributes) else { return };
    // Not asked under the lock, which loops take.
    let Ok(kind) = sys::file::file_system(fd) else { return };
    let mut places = write();
    if places.len() >= MOST_PLACES {
        places.clear();
    }
    if !places.iter().any(|(known, _)| *known == place) {
        places.push((place, is_local(kind)));
    }
}

/// Keeps others from asking for places, for the time of a fork.
pub(crate) fn hold() -> impl Drop {
    write()
}

fn write() -> RwLockWriteGuard<'static, Vec<(Place, bool)>> {
    PLACES.write().unwrap_or_else(PoisonError::into_inner)
}

/// [`learn`] for the file system of a path.
pub(super) fn learn_path(path: &CStr, follow: bool) {
    let flags = if follow { libc::O_PATH } else { libc::O_PATH | libc::O_NOFOLLOW };
    // Who cannot even look at it, learns nothing.
    if let Ok(probe) = sys::file::open(None, path, flags, 0) {
        learn(probe.as_fd());
    }
}

/// Whether a file system of this kind answers from memory, or from a disk of this machine. (One that lies
/// over another is as local as that; `overlayfs`, on which containers live, hardly ever has a server below
/// it.)
fn is_local(kind: u64) -> bool {
    matches!(
        kind,
        0xef53 // ext2, ext3, ext4
            | 0x5846_5342 // xfs
            | 0x9123_683e // btrfs
            | 0xf2f5_2010 // f2fs
            | 0xca45_1a4e // bcachefs
            | 0x2fc1_2fc1 // zfs
            | 0x3153_464a // jfs
            | 0x3434 // nilfs
            | 0x4d44 // vfat
            | 0x2011_bab0 // exfat
            | 0x7366_746e // ntfs3
            | 0x7371_7368 // squashfs
            | 0xe0f5_e1e2 // erofs
            | 0x9660 // iso9660
            | 0x1501_3346 // udf
            | 0x0102_1994 // tmpfs
            | 0x8584_58f6 // ramfs
            | 0x794c_7630 // overlayfs
    )
}
