//! [`Rendezvous`]: a name in the file system at which unrelated processes get a pool.
//!
//! A socket at the path hands out the pool's descriptor to whoever may connect to it, which the socket's mode
//! says.
//!
//! 1. *One server for each path*: it has a lock on the file beside it, `PATH.lock`, for as long as it lives,
//!    and the kernel takes the lock away when it dies. Only the holder removes or replaces the socket. So a
//!    second program that starts with the same path is refused, and what a crashed one left is taken over.
//! 2. The socket is made in a directory of its own that only this user may enter, gets its mode, and is then
//!    moved to the path: nobody finds one with other rights.
//! 3. The lock file is removed by its holder, while it has the lock; whoever has locked a file that is not
//!    (any more) at the path begins anew.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::ShmError;
use super::lease;
use super::pool::Pool;
use super::sys;

/// The file beside a path that is locked.
pub(super) const LOCK_ENDING: &str = ".lock";
/// The directory beside it in which the socket is made, and the socket's name there.
const NEW_ENDING: &str = ".new";
const NEW_NAME: &str = "s";
/// What stands in that file, so that nobody else's is taken for one.
const MARK: &[u8] = b"lwt-pool\n";

/// How long it rests when it cannot accept, for want of descriptors for example.
const REST: Duration = Duration::from_millis(20);

/// Serves a pool at a path until it is dropped; see [`Pool::serve`].
#[derive(Debug)]
pub struct Rendezvous {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    listener: Arc<UnixListener>,
    thread: Option<JoinHandle<()>>,
    /// In which life of this process it was made: a forked child is not the one that serves.
    born: u32,
    /// The lock of rule 1.
    _lock: File,
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> ShmError {
    move |error| ShmError::System { call, error }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What was to be removed is gone.
fn removed(call: &'static str, done: io::Result<()>) -> Result<(), ShmError> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(call)(error)),
        _ => Ok(()),
    }
}

/// Removes a socket, if there is one; anything else is not ours.
fn remove_socket(path: &Path) -> Result<(), ShmError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => removed("unlink", fs::remove_file(path)),
        Ok(_) => Err(failed("bind")(io::ErrorKind::AlreadyExists.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("stat")(error)),
    }
}

/// Removes a path's socket, also one that was still being made. Its lock is the caller's.
fn remove_sockets(path: &Path) -> Result<(), ShmError> {
    let fresh = beside(path, NEW_ENDING);
    remove_socket(&fresh.join(NEW_NAME))?;
    removed("rmdir", fs::remove_dir(&fresh))?;
    remove_socket(path)
}

/// Makes the socket at a path, the lock of which is the caller's.
fn listen(path: &Path, mode: u32) -> Result<UnixListener, ShmError> {
    remove_sockets(path)?;
    let fresh = beside(path, NEW_ENDING);
    let socket = fresh.join(NEW_NAME);
    DirBuilder::new().mode(0o700).create(&fresh).map_err(failed("mkdir"))?;
    let listener = UnixListener::bind(&socket).map_err(failed("bind"))?;
    fs::set_permissions(&socket, Permissions::from_mode(mode)).map_err(failed("chmod"))?;
    fs::rename(&socket, path).map_err(failed("rename"))?;
    // If it stays, the next one removes it.
    let _ = fs::remove_dir(&fresh);
    Ok(listener)
}

/// Takes the lock of a path, and makes its file if there is none and it may be `new`: one that only this user
/// may open, for whoever can read it could lock it.
fn lock(path: &Path, new: bool) -> Result<File, ShmError> {
    loop {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(new).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = open.open(path).map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ShmError::Taken),
            Err(TryLockError::Error(error)) => return Err(failed("flock")(error)),
        }
        let mine = file.metadata().map_err(failed("fstat"))?;
        match fs::metadata(path) {
            Ok(there) if there.ino() == mine.ino() && there.dev() == mine.dev() => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("stat")(error)),
            _ => {}
        }
    }
}

/// Whether a file has the mark.
fn is_marked(lock: &Path) -> bool {
    let small =
        fs::symlink_metadata(lock).is_ok_and(|file| file.is_file() && file.len() == MARK.len() as u64);
    small && fs::read(lock).is_ok_and(|text| text == MARK)
}

impl Pool {
    /// Gives the pool to whoever connects to the socket that is made at `path`, and may: `mode` is that of
    /// the socket, `0o600` for the own user alone. One thread serves, until the value is dropped; then the
    /// path is free again. The directory should be one in which nobody else may make files.
    ///
    /// ```
    /// use lwt_preemptive::shm::Pool;
    /// let dir = std::env::temp_dir().join(format!("lwt-rendezvous-{}", std::process::id()));
    /// std::fs::create_dir(&dir)?;
    /// let path = dir.join("pool");
    /// let pool = Pool::create()?;
    /// let rendezvous = pool.serve(&path, 0o600)?;
    /// // In any other process of this user:
    /// let same = Pool::connect(&path)?;
    /// drop(rendezvous);
    /// assert!(Pool::connect(&path).is_err());
    /// std::fs::remove_dir(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ShmError::Taken`] if a living program serves at this path; the system's: `AlreadyExists` if
    /// something else is there, or at the path with `.lock` behind it.
    pub fn serve(&self, path: impl AsRef<Path>, mode: u32) -> Result<Rendezvous, ShmError> {
        let path = path.as_ref().to_owned();
        let lock_path = beside(&path, LOCK_ENDING);
        let mut lock = lock(&lock_path, true)?;
        if lock.metadata().map_err(failed("fstat"))?.len() == 0 {
            lock.write_all(MARK).map_err(failed("write"))?;
        } else if !is_marked(&lock_path) {
            return Err(failed("open")(io::ErrorKind::AlreadyExists.into()));
        }
        let listener = listen(&path, mode).inspect_err(|_| {
            let _ = remove_sockets(&path);
            let _ = fs::remove_file(&lock_path);
        })?;
        let (listener, stop) = (Arc::new(listener), Arc::new(AtomicBool::new(false)));
        let mut rendezvous = Rendezvous {
            path,
            stop: stop.clone(),
            listener: listener.clone(),
            thread: None,
            born: lease::forks(),
            _lock: lock,
        };
        let pool = self.clone();
        let server = thread::Builder::new().name("lwt-shm-serve".to_owned()).spawn(move || {
            loop {
                match listener.accept() {
                    // Whoever has gone meanwhile does not need it.
                    Ok((socket, _)) => drop(pool.send(&socket)),
                    Err(_) if stop.load(Ordering::SeqCst) => return,
                    Err(_) => thread::sleep(REST),
                }
            }
        });
        rendezvous.thread = Some(server.map_err(failed("clone"))?);
        Ok(rendezvous)
    }

    /// Attaches to the pool that is [served](Pool::serve) at a path.
    ///
    /// # Errors
    /// The system's: nobody serves there, or this user may not connect; and those of [`Pool::attach`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Pool, ShmError> {
        let socket = UnixStream::connect(path).map_err(failed("connect"))?;
        Pool::receive(&socket)
    }
}

impl Rendezvous {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what a dead program left that served at a path: `false` if there is nothing of that, or its
    /// server lives.
    ///
    /// # Errors
    /// The system's.
    pub fn clean(path: impl AsRef<Path>) -> Result<bool, ShmError> {
        let path = path.as_ref();
        if !Rendezvous::is_ours(path) {
            return Ok(false);
        }
        let lock_path = beside(path, LOCK_ENDING);
        let _lock = match lock(&lock_path, false) {
            Ok(lock) => lock,
            Err(ShmError::Taken) => return Ok(false),
            Err(ShmError::System { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        remove_sockets(path)?;
        fs::remove_file(&lock_path).map_err(failed("unlink"))?;
        Ok(true)
    }

    /// Whether what is at a path and beside it is a server's: a file with the mark, and a socket or nothing.
    pub(super) fn is_ours(path: &Path) -> bool {
        is_marked(&beside(path, LOCK_ENDING))
            && fs::symlink_metadata(path).map_or_else(
                |error| error.kind() == io::ErrorKind::NotFound,
                |there| there.file_type().is_socket(),
            )
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        if lease::forks() != self.born {
            return;
        }
        // Failures leave a file behind, which the next program at this path takes over.
        let _ = remove_socket(&self.path);
        let _ = fs::remove_file(beside(&self.path, LOCK_ENDING));
        self.stop.store(true, Ordering::SeqCst);
        sys::shutdown(self.listener.as_fd());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
