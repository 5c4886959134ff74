//! [`Rendezvous`]: a name in the file system at which unrelated processes get a pool.
//!
//! A socket at the path hands out the pool's descriptor to whoever may connect to it, which the socket's mode
//! says.
//!
//! 1. *One server for each path*: it has a lock on the file beside it, `PATH.lock`, for as long as it lives,
//!    and the kernel takes the lock away when it dies. Only the holder removes or replaces the socket. So a
//!    second program that starts with the same path is refused, and what a crashed one left is taken over.
//! 2. The socket is made under another name, gets its mode, and is then renamed: nobody finds one with other
//!    rights.
//! 3. The lock file is removed by its holder, while it has the lock; whoever has locked a file that is not
//!    (any more) at the path begins anew.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::ShmError;
use super::pool::Pool;

/// How long it rests when it cannot accept, for want of descriptors for example.
const REST: Duration = Duration::from_millis(20);

/// Serves a pool at a path until it is dropped; see [`Pool::serve`].
#[derive(Debug)]
pub struct Rendezvous {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
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

/// Takes the lock of a path.
fn lock(path: &Path) -> Result<File, ShmError> {
    loop {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = open.map_err(failed("open"))?;
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
    /// [`ShmError::Taken`] if a living program serves at this path; the system's.
    pub fn serve(&self, path: impl AsRef<Path>, mode: u32) -> Result<Rendezvous, ShmError> {
        let path = path.as_ref().to_owned();
        let lock = lock(&beside(&path, ".lock"))?;
        let fresh = beside(&path, ".new");
        for old in [&fresh, &path] {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("unlink")(error)),
                _ => {}
            }
        }
        let listener = UnixListener::bind(&fresh).map_err(failed("bind"))?;
        fs::set_permissions(&fresh, Permissions::from_mode(mode)).map_err(failed("chmod"))?;
        fs::rename(&fresh, &path).map_err(failed("rename"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut rendezvous = Rendezvous { path, stop: stop.clone(), thread: None, _lock: lock };
        let pool = self.clone();
        let server = thread::Builder::new().name("lwt-shm-serve".to_owned()).spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                match listener.accept() {
                    // Whoever has gone meanwhile does not need it.
                    Ok((socket, _)) => drop(pool.send(&socket)),
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
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It may be waiting for somebody to come. If this fails, it is because nobody can come any more.
        let woken = UnixStream::connect(&self.path).is_ok();
        // Failures leave a file behind, which the next program at this path takes over.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(beside(&self.path, ".lock"));
        if let Some(thread) = self.thread.take()
            && woken
        {
            let _ = thread.join();
        }
    }
}
