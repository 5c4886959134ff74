//! Reading to the end, into memory that grows with what comes.
//!
//! Room is made before a read, and what of it was not filled is taken away after it, however it ends: well,
//! with an error, or dropped in the middle.

use std::io;

use lwt_core::Error;

/// So much room there is at first.
const FIRST: usize = 4096;
/// So much room there is at most for one read.
const MOST: usize = 1 << 20;

/// A vector with room behind its content. Dropped, it leaves what was filled.
struct Filling<'a> {
    bytes: &'a mut Vec<u8>,
    filled: usize,
}

impl<'a> Filling<'a> {
    fn begin(bytes: &'a mut Vec<u8>, room: usize) -> Option<Filling<'a>> {
        let filled = bytes.len();
        bytes.try_reserve(room).ok()?;
        bytes.resize(filled + room, 0);
        Some(Filling { bytes, filled })
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.filled);
    }
}

/// Calls `read` until it brings nothing more, and appends to `content`; how many bytes that were. More than
/// `most` are an error, with the first one too many in `content`. `fail` makes the errors.
pub(crate) async fn read_to_end(
    content: &mut Vec<u8>,
    most: usize,
    mut read: impl AsyncFnMut(&mut [u8]) -> Result<usize, Error>,
    fail: impl Fn(io::ErrorKind) -> Error,
) -> Result<usize, Error> {
    let begin = content.len();
    let mut size = FIRST;
    loop {
        let got = content.len() - begin;
        let Some(left) = most.checked_sub(got) else { return Err(fail(io::ErrorKind::FileTooLarge)) };
        let room = size.min(left.saturating_add(1));
        let Some(mut filling) = Filling::begin(content, room) else {
            return Err(fail(io::ErrorKind::OutOfMemory));
        };
        let place = filling.filled;
        let n = read(&mut filling.bytes[place..]).await?;
        filling.filled += n;
        match n {
            0 => return Ok(got),
            n if n == size => size = (size * 2).min(MOST),
            _ => {}
        }
    }
}
