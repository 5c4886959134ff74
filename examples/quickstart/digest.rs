//! SHA-256: of what arrives, and of what is on disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use lwt::{Error, detach};
use nix::libc;
use sha2::{Digest as _, Sha256};

/// What is hashed on the loop's own thread: less work than handing it to another one.
const LITTLE: usize = 4 * 1024;

/// How much of a file on disk is read at a time.
const PIECE: usize = 128 * 1024;

/// The size of something, and its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) bytes: u64,
    pub(crate) sum: [u8; 32],
}

/// Hashes what comes in pieces.
#[derive(Default)]
pub(crate) struct Hasher {
    bytes: u64,
    state: Sha256,
}

impl Hasher {
    /// Adds the first `n` bytes of `piece`, on a job thread if they are many. Both come back when it is done.
    pub(crate) async fn add(mut self, piece: Vec<u8>, n: usize) -> Result<(Hasher, Vec<u8>), Error> {
        self.bytes += n as u64;
        if n <= LITTLE {
            self.state.update(&piece[..n]);
            return Ok((self, piece));
        }
        detach(move || {
            self.state.update(&piece[..n]);
            (self, piece)
        })
        .await
    }

    pub(crate) fn finish(self) -> Digest {
        Digest { bytes: self.bytes, sum: self.state.finalize().into() }
    }
}

/// Reads and hashes a file. This blocks.
///
/// # Errors
/// The system's; `InvalidInput` if it is not a regular file, or not any more.
pub(crate) fn of_file(path: &Path) -> io::Result<Digest> {
    // Neither following a link nor waiting for a pipe's other end, if one of these should stand there by now.
    let mut file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file any more"));
    }
    let mut buf = vec![0; PIECE];
    let mut hasher = Hasher::default();
    loop {
        match file.read(&mut buf) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => {
                hasher.bytes += n as u64;
                hasher.state.update(&buf[..n]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, ", self.bytes)?;
        self.sum.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
