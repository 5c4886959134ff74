//! The head of a request, and what a server has to refuse.

use std::ffi::OsString;

use crate::status::Status;
use crate::target;

/// So many header fields may a request have.
const FIELDS: usize = 64;

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Request {
    /// `HEAD`: as `GET`, without the file itself.
    pub(crate) head_only: bool,
    /// The names that lead to the file, or why there are none.
    pub(crate) path: Result<Vec<OsString>, Status>,
    /// Whether another request may follow.
    pub(crate) keep_alive: bool,
}

/// Reads a request at the beginning of `bytes`, and tells how long its head is; `None` as long as it is
/// incomplete.
///
/// # Errors
/// What has to be answered, if nothing that follows on the connection can be understood any more.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Status> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HEAD_TOO_LARGE),
        Err(httparse::Error::Version) => return Err(Status::VERSION),
        Err(_) => return Err(Status::BAD_REQUEST),
    };
    let (Some(method), Some(path), Some(minor)) = (head.method, head.path, head.version) else {
        return Err(Status::BAD_REQUEST);
    };
    let mut hosts = 0;
    let mut keep_alive = minor == 1;
    let mut lengths = Vec::new();
    let mut coded = false;
    for field in head.headers.iter() {
        let value = field.value.trim_ascii();
        match field.name {
            name if name.eq_ignore_ascii_case("host") => hosts += 1,
            name if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        keep_alive = false;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") && minor == 0 {
                        keep_alive = true;
                    }
                }
            }
            name if name.eq_ignore_ascii_case("content-length") => lengths.push(value),
            name if name.eq_ignore_ascii_case("transfer-encoding") => coded = true,
            _ => {}
        }
    }
    // Two opinions of where a request ends are how one is smuggled past a proxy.
    if hosts > 1 || hosts < usize::from(minor) || lengths.len() + usize::from(coded) > 1 {
        return Err(Status::BAD_REQUEST);
    }
    if coded {
        return Err(Status::NOT_IMPLEMENTED);
    }
    match lengths.first() {
        Some(text) if text.is_empty() || !text.iter().all(u8::is_ascii_digit) => {
            return Err(Status::BAD_REQUEST);
        }
        Some(text) if text.iter().any(|digit| *digit != b'0') => return Err(Status::CONTENT_TOO_LARGE),
        _ => {}
    }
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => {
            return Err(Status::METHOD_NOT_ALLOWED);
        }
        _ => return Err(Status::NOT_IMPLEMENTED),
    };
    Ok(Some((Request { head_only, path: target::decode(path), keep_alive }, length)))
}
