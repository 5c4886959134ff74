//! Files in memory ([`Map`]), and what the system tells of pages (`Lwt_bytes`).
//!
//! Buffers outside a collector's heap, which `Lwt_bytes` is for, are any `Vec<u8>` and `&mut [u8]` in Rust.
//! What is left is memory that is a file's.
//!
//! **Why there is no slice.** A file in memory can be changed by others at any time, by another process or by
//! a plain `write`; a `&[u8]` to it would be a lie. So its bytes are copied in and out, word by word, as they
//! are at that moment; who knows that nobody else writes may use [`as_slice`](Map::as_slice), which is
//! unsafe. A file that is *shortened* by somebody loses its pages, and the process that touches one of those
//! is ended by `SIGBUS`. No wrong byte is ever read; but a program that maps what others may shorten must be
//! ready to be ended, or use [`File::pread`](crate::file::File::pread), which is as fast for what is cached.
//! Files of one's own, and sealed ones, do not have the problem, as long as the disk has room: a file that a
//! shared map has made longer gets it page by page, and a write into one for which none is left ends the
//! process, too. [`File::preallocate`](crate::file::File::preallocate) takes the room beforehand.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lwt_core::{Error, Promise, pause};

use crate::fd::{During, exhausted, spent};
use crate::job;
use crate::sys::map::{self, Mapping};

/// So many times, each a millisecond after the other, it is looked for a page on a kernel that does not wait
/// for it.
const LOOKS: u32 = 60_000;

/// Whom writing to a [`Map`] reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody: it is the file that is written.
    Shared,
    /// Nobody else: pages that are written to are copied first, and the file stays as it is.
    Private,
    /// It cannot be written to.
    ReadOnly,
}

/// Advice to the system about the use of some pages (`Lwt_bytes.advice`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Nothing in particular (`MADV_NORMAL`).
    Normal,
    /// They are used in no order (`MADV_RANDOM`).
    Random,
    /// They are used from the first to the last (`MADV_SEQUENTIAL`).
    Sequential,
    /// They are needed soon (`MADV_WILLNEED`).
    WillNeed,
    /// They are not needed soon. What was written to private ones **is lost** (`MADV_DONTNEED`).
    DontNeed,
    /// They may be merged with equal ones (`MADV_MERGEABLE`, Linux).
    Mergeable,
    /// They may not (`MADV_UNMERGEABLE`, Linux).
    Unmergeable,
    /// They are better put together to large pages (`MADV_HUGEPAGE`, Linux).
    HugePage,
    /// They are not (`MADV_NOHUGEPAGE`, Linux).
    NoHugePage,
}

impl Advice {
    fn raw(self) -> io::Result<libc::c_int> {
        Ok(match self {
            Advice::Normal => libc::MADV_NORMAL,
            Advice::Random => libc::MADV_RANDOM,
            Advice::Sequential => libc::MADV_SEQUENTIAL,
            Advice::WillNeed => libc::MADV_WILLNEED,
            Advice::DontNeed => libc::MADV_DONTNEED,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Advice::Mergeable => libc::MADV_MERGEABLE,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Advice::Unmergeable => libc::MADV_UNMERGEABLE,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Advice::HugePage => libc::MADV_HUGEPAGE,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Advice::NoHugePage => libc::MADV_NOHUGEPAGE,
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            _ => return Err(crate::platform::NotAvailable("this advice to madvise").into()),
        })
    }
}

/// A part of a file in memory (`Lwt_bytes.map_file`), which stays on the thread that made it. Clones, and
/// [parts](Map::proxy), are the same memory; it goes with the last of them.
///
/// ```
/// use lwt_unix::bytes::{Map, Sharing};
/// use lwt_unix::file;
/// # lwt_unix::run(file::with_temp_file(|file, path| async move {
/// file.write_all(b"hello").await?;
/// let map = Map::new(&file.try_clone_to_owned()?, 0, None, Sharing::Shared)?;
/// map.write(0, b"J");
/// assert_eq!(map.to_vec(), b"Jello");
/// assert_eq!(file::read(&path).await?, b"Jello");
/// # Ok::<_, lwt_core::Error>(())
/// # })).unwrap();
/// ```
#[derive(Clone)]
pub struct Map {
    /// `None` if it is empty.
    mapping: Option<Arc<Mapping>>,
    /// Which part of it this is.
    start: usize,
    len: usize,
    sharing: Sharing,
    /// It stays on its thread: two that write at once would be a data race.
    here: PhantomData<Rc<()>>,
}

impl Map {
    /// Maps `size` bytes of a file from `position` on, or all to its end (`Lwt_bytes.map_file`). A shared map
    /// that reaches beyond the end makes the file longer; any other must not.
    ///
    /// Nothing is read by this; the first access to a page reads it, **and waits for the disk on this
    /// thread**: see [`wait_mincore`](Map::wait_mincore).
    ///
    /// # Errors
    /// Those of `mmap`, `fstat` and `ftruncate`; `InvalidInput` for a part that the file does not have.
    pub fn new(fd: &impl AsFd, position: u64, size: Option<usize>, sharing: Sharing) -> Result<Map, Error> {
        Map::mapped(fd.as_fd(), position, size, sharing).during("mmap")
    }

    fn mapped(fd: BorrowedFd<'_>, position: u64, size: Option<usize>, sharing: Sharing) -> io::Result<Map> {
        use crate::sys::file;

        let there = u64::try_from(file::fstat(fd)?.st_size).unwrap_or(0);
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "the file does not have this part");
        let left = usize::try_from(there.saturating_sub(position)).map_err(|_| outside())?;
        let len = size.unwrap_or(left);
        let end = u64::try_from(len).ok().and_then(|len| position.checked_add(len)).ok_or_else(outside)?;
        let grows = end > there;
        if grows && (len == 0 || sharing != Sharing::Shared) {
            return Err(outside());
        }
        if len == 0 {
            return Ok(Map { mapping: None, start: 0, len: 0, sharing, here: PhantomData });
        }
        // The system maps whole pages.
        let start = usize::try_from(position % page_size() as u64).map_err(|_| outside())?;
        let whole = start.checked_add(len).ok_or_else(outside)?;
        let (protection, flags) = match sharing {
            Sharing::Shared => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            Sharing::Private => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE),
            Sharing::ReadOnly => (libc::PROT_READ, libc::MAP_SHARED),
        };
        let mapping = Mapping::new(fd, position - start as u64, whole, protection, flags)?;
        // Not before it is known that the file can be mapped.
        if grows {
            file::truncate(fd, end)?;
        }
        Ok(Map { mapping: Some(Arc::new(mapping)), start, len, sharing, here: PhantomData })
    }

    /// How many bytes it has (`Lwt_bytes.length`).
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whom writing to it reaches.
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// The same memory, or a part of it (`Lwt_bytes.proxy`).
    ///
    /// # Panics
    /// If the range is not in it.
    pub fn proxy(&self, range: impl RangeBounds<usize>) -> Map {
        let (start, len) = self.part(range);
        Map { start: self.start + start, len, ..self.clone() }
    }

    /// Copies the bytes from `offset` on into `buf` (`Lwt_bytes.blit_to_bytes`). They are copied word by
    /// word, each as it is at that moment.
    ///
    /// # Panics
    /// If they are not all in it.
    pub fn read(&self, offset: usize, buf: &mut [u8]) {
        self.check(offset, buf.len());
        if let Some(mapping) = &self.mapping {
            mapping.read(self.start + offset, buf);
        }
    }

    /// A copy of all of it (`Lwt_bytes.to_bytes`).
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }

    /// Copies `buf` to `offset` (`Lwt_bytes.blit_from_bytes`).
    ///
    /// # Panics
    /// If it does not fit, or this is [`ReadOnly`](Sharing::ReadOnly).
    pub fn write(&self, offset: usize, buf: &[u8]) {
        assert!(self.sharing != Sharing::ReadOnly, "this map was made for reading only");
        self.check(offset, buf.len());
        if let Some(mapping) = &self.mapping {
            mapping.write(self.start + offset, buf);
        }
    }

    /// Sets `len` bytes from `offset` on to `byte` (`Lwt_bytes.fill`).
    ///
    /// # Panics
    /// As [`write`](Map::write).
    pub fn fill(&self, offset: usize, len: usize, byte: u8) {
        self.check(offset, len);
        let piece = [byte; 1024];
        for done in (0..len).step_by(piece.len()) {
            self.write(offset + done, &piece[..piece.len().min(len - done)]);
        }
    }

    /// The byte at `offset` (`Lwt_bytes.get`).
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, offset: usize) -> u8 {
        let mut byte = [0];
        self.read(offset, &mut byte);
        byte[0]
    }

    /// Sets the byte at `offset` (`Lwt_bytes.set`).
    ///
    /// # Panics
    /// As [`write`](Map::write).
    pub fn set(&self, offset: usize, byte: u8) {
        self.write(offset, &[byte]);
    }

    /// The bytes themselves.
    ///
    /// # Safety
    /// As long as the slice lives, nobody writes to these bytes, be it through this map, another one, the
    /// file, or from another process, nobody shortens the file, and nobody gives the advice
    /// [`DontNeed`](Advice::DontNeed).
    pub unsafe fn as_slice(&self) -> &[u8] {
        match &self.mapping {
            // SAFETY: the part is in the mapping, which lives as long as `self`; the rest is the caller's.
            Some(mapping) => unsafe {
                std::slice::from_raw_parts(mapping.start().as_ptr().add(self.start), self.len)
            },
            None => &[],
        }
    }

    /// Gives the system advice about the pages of a range (`Lwt_bytes.madvise`).
    ///
    /// # Errors
    /// Those of `madvise`; `Unsupported` for advice that the system does not know.
    ///
    /// # Panics
    /// If the range is not in it.
    pub fn madvise(&self, range: impl RangeBounds<usize>, advice: Advice) -> Result<(), Error> {
        let advice = advice.raw().during("madvise")?;
        match self.pages(range) {
            Some((mapping, start, len)) => mapping.advise(start, len, advice).during("madvise"),
            None => Ok(()),
        }
    }

    /// For each page that has bytes of the range, whether it is in memory, so that reading it would not wait
    /// (`Lwt_bytes.mincore`). Of a file that this process may not write to, Linux says so of all pages.
    ///
    /// # Errors
    /// Those of `mincore`.
    ///
    /// # Panics
    /// If the range is not in it.
    pub fn mincore(&self, range: impl RangeBounds<usize>) -> Result<Vec<bool>, Error> {
        let Some((mapping, start, len)) = self.pages(range) else { return Ok(Vec::new()) };
        let page = page_size();
        let mut pages = vec![0; len.div_ceil(page)];
        mapping.resident(start, &mut pages, page).during("mincore")?;
        // The other bits mean nothing.
        Ok(pages.iter().map(|page| page & 1 == 1).collect())
    }

    /// Waits until the page of the byte at `offset` is in memory (`Lwt_bytes.wait_mincore`): at once if it
    /// is, else by a job that has it read. A cancel loses nothing.
    ///
    /// It may be thrown out again before it is read; and a page that the file has lost may still be there for
    /// a while.
    ///
    /// # Errors
    /// Those of `mincore` and `madvise`, such as `EFAULT` for a page that the file has lost;
    /// `TimedOut` after a minute, on kernels before Linux 5.14.
    ///
    /// # Panics
    /// If there is no such byte.
    #[track_caller]
    pub fn wait_mincore(&self, offset: usize) -> Promise<()> {
        self.check(offset, 1);
        if exhausted() {
            let map = self.clone();
            return pause().bind(move |()| map.wait_mincore(offset));
        }
        match self.mincore(offset..=offset) {
            Ok(pages) if pages.iter().all(|resident| *resident) => {
                spent();
                return Promise::ready(());
            }
            Ok(_) => {}
            Err(error) => return Promise::fail(error),
        }
        match self.pages(offset..=offset) {
            Some((mapping, start, len)) => {
                job::run_job(None, move || populate(&mapping, start, len).during("madvise"))
            }
            None => Promise::ready(()),
        }
    }

    /// Waits until what was written to a range is on the disk (`msync`), if this is
    /// [`Shared`](Sharing::Shared). A job; a cancel has no effect once it has begun.
    ///
    /// # Errors
    /// Those of `msync`.
    ///
    /// # Panics
    /// If the range is not in it.
    #[track_caller]
    pub fn sync(&self, range: impl RangeBounds<usize>) -> Promise<()> {
        match self.pages(range) {
            Some((mapping, start, len)) => {
                job::run_job(None, move || mapping.sync(start, len).during("msync"))
            }
            None => Promise::ready(()),
        }
    }

    /// The whole pages of a range; `None` if it is empty.
    fn pages(&self, range: impl RangeBounds<usize>) -> Option<(Arc<Mapping>, usize, usize)> {
        let (start, len) = self.part(range);
        let start = self.start + start;
        let before = start % page_size();
        let mapping = self.mapping.as_ref().filter(|_| len > 0)?;
        Some((Arc::clone(mapping), start - before, before + len))
    }

    /// Where a range begins, and how long it is.
    fn part(&self, range: impl RangeBounds<usize>) -> (usize, usize) {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len,
        };
        assert!(start <= end, "a range from {start} to {end}");
        self.check(start, end - start);
        (start, end - start)
    }

    fn check(&self, offset: usize, len: usize) {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "{len} bytes from {offset} on are not in a map of {} bytes", self.len);
    }
}

/// Has a page read. The system is asked to, because that tells of a page that is not there; touching it would
/// not. No other thread than the map's reads or writes its bytes.
fn populate(mapping: &Mapping, start: usize, len: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match mapping.advise(start, len, libc::MADV_POPULATE_READ) {
        // A kernel that does not know it.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        done => return done,
    }
    mapping.advise(start, len, libc::MADV_WILLNEED)?;
    for _ in 0..LOOKS {
        let mut page = [0];
        mapping.resident(start, &mut page, page_size())?;
        if page[0] & 1 == 1 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(io::ErrorKind::TimedOut.into())
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("len", &self.len).field("sharing", &self.sharing).finish_non_exhaustive()
    }
}

/// The size of a page of memory, in bytes (`Lwt_bytes.page_size`).
///
/// ```
/// assert!(lwt_unix::bytes::page_size().is_power_of_two());
/// ```
pub fn page_size() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    if SIZE.load(Ordering::Relaxed) == 0 {
        SIZE.store(map::page_size(), Ordering::Relaxed);
    }
    SIZE.load(Ordering::Relaxed)
}
