//! Paths in requests: [`encode`] for the client, [`decode`] for the server.
//!
//! A name is any bytes except `/` and NUL, as the system has it; whatever is not plain stands as `%XX`. A
//! decoded path is a list of names of which none is empty, `.` or `..`, or has a `/` inside: there is no text
//! left in which a way out could hide.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::status::Status;

/// A relative path as the target of a request.
pub(crate) fn encode(path: &Path) -> String {
    let mut target = String::new();
    for name in path {
        target.push('/');
        for byte in name.as_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    target.push(char::from(*byte))
                }
                _ => {
                    let _ = write!(target, "%{byte:02X}"); // a String takes everything
                }
            }
        }
    }
    target
}

/// The names that lead from the directory to the file; none for the directory itself.
///
/// # Errors
/// What the request has to be answered with.
pub(crate) fn decode(target: &str) -> Result<Vec<OsString>, Status> {
    // A proxy's form, which servers have to accept as well.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = target.split_once('?').map_or(target, |(path, _query)| path);
    let names = path.strip_prefix('/').ok_or(Status::BAD_REQUEST)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    names.split('/').map(name).collect()
}

/// One name.
fn name(text: &str) -> Result<OsString, Status> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte;
        (byte, rest) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (hex(*high)? << 4 | hex(*low)?, after),
            (b'%' | b'#', _) => return Err(Status::BAD_REQUEST),
            (plain, after) => (*plain, after),
        };
        bytes.push(byte);
    }
    match bytes.as_slice() {
        b"." | b".." => Err(Status::FORBIDDEN),
        name if name.contains(&0) => Err(Status::BAD_REQUEST),
        // No file has such a name.
        name if name.is_empty() || name.contains(&b'/') => Err(Status::NOT_FOUND),
        _ => Ok(OsString::from_vec(bytes)),
    }
}

fn hex(digit: u8) -> Result<u8, Status> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Status::BAD_REQUEST),
    }
}
