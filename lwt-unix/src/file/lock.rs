//! Locks on parts of files, which other *processes* meet (`lockf`).
//!
//! 1. A lock is first tried for without waiting. Only if it is taken a job waits for it, in a lane of the
//!    pool for such jobs, and as one that waits for others. So however long the other process keeps its lock,
//!    all other jobs find a thread, our own `unlock` among them.
//! 2. A lock that was got is [`Fresh`] until its promise is resolved.

#![allow(clippy::unnecessary_cast, reason = "the constants are shorter on other systems")]

use std::io;
use std::sync::Arc;

use lwt_core::{Error, Promise};

use super::call::resolved;
use super::handle::{File, Open};
use crate::fd::During;
use crate::{job, sys};

/// Whether a lock keeps everybody out, or only those who write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Several processes may have it at a time. The file has to be open for reading.
    Shared,
    /// One process has it. The file has to be open for writing.
    Exclusive,
}

impl Lock {
    fn kind(self) -> i32 {
        match self {
            Lock::Shared => libc::F_RDLCK as i32,
            Lock::Exclusive => libc::F_WRLCK as i32,
        }
    }
}

/// Part of a file: from `start` on so many bytes, as [`File::lock`] has it.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: u64,
    len: i64,
}

/// What came of trying for a lock.
enum Attempt {
    Got(Fresh),
    /// Another process has it.
    Taken(Arc<Open>, Part),
}

/// A lock that was got and not yet told of; dropped, it is given back.
struct Fresh {
    open: Arc<Open>,
    part: Part,
    told: bool,
}

impl Fresh {
    fn tell(mut self) {
        self.told = true;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.told {
            // It was ours a moment ago, and giving it back waits for nobody.
            let _ = set(&self.open, libc::F_SETLK, libc::F_UNLCK as i32, self.part);
        }
    }
}

fn set(open: &Open, command: i32, kind: i32, part: Part) -> io::Result<i32> {
    sys::file::lock(open.fd(), command, kind, part.start, part.len).map(|lock| i32::from(lock.l_type))
}

/// The bytes that `len` means at the file's position.
fn part(open: &Open, len: i64) -> io::Result<Part> {
    Ok(Part { start: sys::file::seek(open.fd(), 0, libc::SEEK_CUR)?, len })
}

/// # Locks
///
/// They are the system's record locks, which belong to the *process*: its own files and tasks do not lock
/// each other out, **closing any descriptor of the file gives all its locks back** (also the one that
/// [`read`](super::read) has for a moment), and a forked child has none of them.
///
/// `len` is counted from the file's position: so many bytes after it, or before it if negative; 0 is all from
/// the position to the end, however long the file gets.
impl File {
    /// Locks a part of the file, as soon as no other process's lock is in the way (`Lwt_unix.lockf` with
    /// `F_LOCK` or `F_RLOCK`).
    ///
    /// A thread waits for it. After a cancel it goes on waiting, and gives the lock back when it has got it,
    /// with whatever this process had locked of these bytes meanwhile.
    ///
    /// ```
    /// use lwt_unix::file::{self, Lock};
    /// # lwt_unix::run(file::with_temp_file(|file, _| async move {
    /// file.lock(Lock::Exclusive, 0).await?;
    /// file.write_all(b"alone").await?;
    /// file.unlock(0).await?;
    /// # Ok::<_, lwt_core::Error>(())
    /// # })).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `fcntl`: `Deadlock`, if two processes would wait for each other; `EBADF` if the file is not
    /// open for what the lock needs.
    #[track_caller]
    pub fn lock(&self, lock: Lock, len: i64) -> Promise<()> {
        self.attempt(lock, len).bind(move |attempt| match attempt {
            Attempt::Got(fresh) => {
                fresh.tell();
                Promise::ready(())
            }
            Attempt::Taken(open, part) => job::locks()
                .run_job(None, move || {
                    let set = job::waiting(|| set(&open, libc::F_SETLKW, lock.kind(), part));
                    set.during_on("lockf", open.path().display())?;
                    Ok::<_, Error>(Fresh { open, part, told: false })
                })
                .map(Fresh::tell),
        })
    }

    /// [`lock`](File::lock) that does not wait: whether it has got the lock (`F_TLOCK`, `F_TRLOCK`).
    ///
    /// # Errors
    /// As [`lock`](File::lock).
    #[track_caller]
    pub fn try_lock(&self, lock: Lock, len: i64) -> Promise<bool> {
        self.attempt(lock, len).map(|attempt| match attempt {
            Attempt::Got(fresh) => {
                fresh.tell();
                true
            }
            Attempt::Taken(..) => false,
        })
    }

    /// Whether this part of the file is free of other processes' locks (`F_TEST`).
    ///
    /// # Errors
    /// As [`lock`](File::lock).
    #[track_caller]
    pub fn test_lock(&self, lock: Lock, len: i64) -> Promise<bool> {
        self.locking(move |open| {
            let part = part(open, len)?;
            Ok(set(open, libc::F_GETLK, lock.kind(), part)? == libc::F_UNLCK as i32)
        })
    }

    /// Gives this process's locks on a part of the file back (`F_ULOCK`).
    ///
    /// # Errors
    /// As [`lock`](File::lock).
    #[track_caller]
    pub fn unlock(&self, len: i64) -> Promise<()> {
        self.locking(move |open| {
            let part = part(open, len)?;
            set(open, libc::F_SETLK, libc::F_UNLCK as i32, part).map(drop)
        })
    }

    #[track_caller]
    fn attempt(&self, lock: Lock, len: i64) -> Promise<Attempt> {
        self.locking(move |open| {
            let part = part(open, len)?;
            let open = Arc::clone(open);
            match set(&open, libc::F_SETLK, lock.kind(), part) {
                Ok(_) => Ok(Attempt::Got(Fresh { open, part, told: false })),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                    Ok(Attempt::Taken(open, part))
                }
                Err(error) => Err(error),
            }
        })
    }

    #[track_caller]
    fn locking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Arc<Open>) -> io::Result<T> + Send + 'static,
    ) -> Promise<T> {
        match self.hold("lockf") {
            Ok(open) => job::run_job(None, move || f(&open).during_on("lockf", open.path().display())),
            Err(error) => resolved(Err(error)),
        }
    }
}
