//! [`OpenOptions`]: how a file is opened.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use lwt_core::{Promise, pause};

use super::cached::{self, Miss};
use super::call::{at_once, on_path, resolved, with_c_path};
use super::handle::File;
use crate::fd::{During, exhausted};
use crate::sys;

/// How a file is opened (the flags and permissions of `Lwt_unix.openfile`). Each method gives the options
/// with one thing changed; nothing is asked for at the beginning.
///
/// ```
/// use lwt_unix::file::{self, OpenOptions};
/// # fn main() -> Result<(), lwt_core::Error> {
/// lwt_unix::run(file::with_temp_dir(|dir| async move {
///     let log = OpenOptions::new().append(true).create(true).open(dir.join("log")).await?;
///     log.write_all(b"one\n").await?;
///     log.close().await?;
///     assert_eq!(file::read(dir.join("log")).await?, b"one\n");
///     Ok::<_, lwt_core::Error>(())
/// }))
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "options open nothing by themselves: call `open`"]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    create: bool,
    create_new: bool,
    truncate: bool,
    keep_on_exec: bool,
    mode: Option<u32>,
    flags: i32,
}

impl OpenOptions {
    /// Nothing asked for.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// For reading (`O_RDONLY`, or `O_RDWR` with [`write`](OpenOptions::write)).
    pub fn read(mut self, on: bool) -> OpenOptions {
        self.read = on;
        self
    }

    /// For writing (`O_WRONLY`, `O_RDWR`).
    pub fn write(mut self, on: bool) -> OpenOptions {
        self.write = on;
        self
    }

    /// For writing, always at the end (`O_APPEND`).
    pub fn append(mut self, on: bool) -> OpenOptions {
        self.append = on;
        self
    }

    /// Makes the file if there is none (`O_CREAT`).
    pub fn create(mut self, on: bool) -> OpenOptions {
        self.create = on;
        self
    }

    /// Makes the file, and refuses one that is there, be it a link that leads nowhere (`O_CREAT`, `O_EXCL`).
    pub fn create_new(mut self, on: bool) -> OpenOptions {
        self.create_new = on;
        self
    }

    /// Throws the file's content away (`O_TRUNC`).
    pub fn truncate(mut self, on: bool) -> OpenOptions {
        self.truncate = on;
        self
    }

    /// The permissions of a file that is made, less the process's mask; 0o666 unless told.
    pub fn mode(mut self, mode: u32) -> OpenOptions {
        self.mode = Some(mode);
        self
    }

    /// Whether programs that this one turns into, or starts, inherit the descriptor (`O_KEEPEXEC`). They do
    /// not unless told; and not if `O_CLOEXEC` is among the [flags](OpenOptions::custom_flags).
    pub fn keep_on_exec(mut self, on: bool) -> OpenOptions {
        self.keep_on_exec = on;
        self
    }

    /// More flags of `open`, such as `libc::O_NOFOLLOW`, `O_DSYNC` or `O_DIRECT`.
    pub fn custom_flags(mut self, flags: i32) -> OpenOptions {
        self.flags = flags;
        self
    }

    /// Opens the file (`Lwt_unix.openfile`).
    ///
    /// A file that is opened for reading only, and whose path the kernel has in memory, is opened at once;
    /// anything else is a job. A cancel loses nothing: a file that is opened all the same is closed, though
    /// one that was to be created has been.
    ///
    /// A named pipe is opened when somebody has its other end, **and a thread waits for that**, also after a
    /// cancel; `O_NONBLOCK` among the [flags](OpenOptions::custom_flags) makes it not wait.
    ///
    /// # Errors
    /// Those of `open`, with the path; `InvalidInput` if it is not said for what.
    #[track_caller]
    pub fn open(self, path: impl AsRef<Path>) -> Promise<File> {
        let path = path.as_ref();
        let flags = match self.raw_flags().during_on("open", path.display()) {
            Ok(flags) => flags,
            Err(error) => return Promise::fail(error),
        };
        if exhausted() {
            let path = path.to_owned();
            return pause().bind(move |()| self.open(path));
        }
        let mut miss = Miss::Thread;
        if flags == libc::O_RDONLY && !self.keep_on_exec {
            match with_c_path(path, |path| Ok(cached::open(path))) {
                Ok(Ok(answer)) => {
                    let opened = answer.during_on("open", path.display());
                    return at_once(opened.map(|(fd, _)| File::local(fd, path)));
                }
                Ok(Err(why)) => miss = why,
                Err(error) => return resolved(Err(error).during_on("open", path.display())),
            }
        }
        let name = path.to_owned();
        on_path("open", path, move |path| self.on_thread(path, flags, miss))
            .map(move |fd| File::from_parts(fd, &name))
    }

    fn on_thread(self, path: &CStr, flags: i32, miss: Miss) -> io::Result<OwnedFd> {
        let fd = sys::file::open(None, path, flags, self.mode.unwrap_or(0o666) as libc::mode_t)?;
        if miss == Miss::Unknown {
            cached::learn(fd.as_fd());
        }
        if self.keep_on_exec && self.flags & libc::O_CLOEXEC == 0 {
            sys::descriptor::clear_close_on_exec(fd.as_fd())?;
        }
        Ok(fd)
    }

    /// What `open` takes for flags.
    fn raw_flags(self) -> io::Result<i32> {
        let mut flags = match (self.read, self.write || self.append) {
            (true, false) => libc::O_RDONLY,
            (false, true) => libc::O_WRONLY,
            (true, true) => libc::O_RDWR,
            (false, false) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "neither for reading nor for writing",
                ));
            }
        };
        let wanted = [
            (self.append, libc::O_APPEND),
            (self.create, libc::O_CREAT),
            (self.create_new, libc::O_CREAT | libc::O_EXCL),
            (self.truncate, libc::O_TRUNC),
        ];
        for (on, flag) in wanted {
            flags |= if on { flag } else { 0 };
        }
        Ok(flags | self.flags)
    }
}
