//! Streams of characters and bytes.

use std::fmt::Write;

use crate::Promise;

use super::create::from_state;
use super::scan::{Test, Way};
use super::{Stream, of_list};

/// The characters of a text, closed (`Lwt_stream.of_string`, whose characters are bytes: that is
/// [`of_bytes`]).
///
/// ```
/// use lwt_core::{State, stream};
/// assert!(matches!(stream::of_string("aé").to_string().state(), State::Fulfilled(text) if text == "aé"));
/// ```
pub fn of_string(text: impl AsRef<str>) -> Stream<char> {
    of_list(text.as_ref().chars().collect::<Vec<_>>())
}

/// The bytes, closed (`Lwt_stream.of_string`).
///
/// ```
/// use lwt_core::{State, stream};
/// assert!(matches!(stream::of_bytes(b"ab").get().state(), State::Fulfilled(Some(b'a'))));
/// ```
pub fn of_bytes(bytes: impl Into<Vec<u8>>) -> Stream<u8> {
    of_list(bytes.into())
}

impl Stream<char> {
    /// All characters to the end as a text (`Lwt_stream.to_string`).
    ///
    /// # Errors
    /// That of the source; the characters before it are given back.
    #[track_caller]
    pub fn to_string(&self) -> Promise<String> {
        // Not a `map` of `to_list`: who drops the promise gives up the reading, too.
        self.scan(Way::Take, usize::MAX, Test::All, |found| Ok(String::from_iter(found.elements)))
    }
}

/// Bytes in a line of [`Stream::hexdump`].
const LINE: usize = 16;

impl Stream<u8> {
    /// The lines of a dump: position, sixteen bytes in hexadecimal, and as characters (`Lwt_stream.hexdump`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let line = stream::of_bytes(b"hello\n").hexdump().get();
    /// assert!(matches!(line.state(), State::Fulfilled(Some(text)) if text ==
    ///     "00000000|  68 65 6c 6c 6f 0a                                |hello.|"));
    /// ```
    pub fn hexdump(self) -> Stream<String> {
        from_state(0_usize, move |position| {
            let position = position.clone();
            self.nget(LINE).map(move |bytes| {
                if bytes.is_empty() {
                    return None;
                }
                let from = position.call(|position| std::mem::replace(position, *position + bytes.len()));
                Some(hex_line(from, &bytes))
            })
        })
    }
}

fn hex_line(from: usize, bytes: &[u8]) -> String {
    let mut hex = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let gap = if at == LINE / 2 { "  " } else { " " };
        let _ = write!(hex, "{gap}{byte:02x}"); // a String takes everything
    }
    let text: String =
        bytes.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect();
    format!("{from:08x}| {hex:<width$} |{text}|", width = LINE * 3 + 1)
}
