//! Pipes.

use std::os::fd::OwnedFd;

use lwt_core::Error;

use super::{During, Fd, Kind};
use crate::sys;

/// A pipe: the end to read from and the end to write to, both non-blocking and close-on-exec (`pipe`).
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (reader, writer) = lwt_unix::fd::pipe()?;
/// lwt_unix::run(async move {
///     writer.write_all(b"through").await?;
///     let mut buf = [0; 7];
///     reader.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"through");
///     Ok::<_, lwt_core::Error>(())
/// })
/// # }
/// ```
///
/// # Errors
/// `EMFILE`, `ENFILE`.
pub fn pipe() -> Result<(Fd, Fd), Error> {
    let (reader, writer) = sys::descriptor::pipe(true).during("pipe2")?;
    Ok((Fd::from_parts(reader, Kind::Other), Fd::from_parts(writer, Kind::Other)))
}

/// A pipe to read from here; the end to write to is plain and blocking, for a child (`pipe_in`).
///
/// The raw end is close-on-exec: what hands it to a child gives it its number there.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (reader, writer) = lwt_unix::fd::pipe_in()?;
/// let mut child = std::process::Command::new("echo").arg("hello").stdout(writer).spawn()?;
/// let mut buf = [0; 16];
/// let n = lwt_unix::run(async move {
///     let n = reader.read(&mut buf).await?;
///     assert_eq!(&buf[..n], b"hello\n");
///     Ok::<_, lwt_core::Error>(n)
/// })?;
/// # assert_eq!(n, 6);
/// # child.wait()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`pipe`].
pub fn pipe_in() -> Result<(Fd, OwnedFd), Error> {
    let (reader, writer) = sys::descriptor::pipe(false).during("pipe2")?;
    Ok((Fd::new(reader)?, writer))
}

/// A pipe to write to here; the end to read from is plain and blocking, for a child (`pipe_out`). See
/// [`pipe_in`].
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// use std::io::Read;
///
/// let (reader, writer) = lwt_unix::fd::pipe_out()?;
/// lwt_unix::run(async move { writer.write_all(b"down").await })?;
/// let mut text = String::new();
/// std::fs::File::from(reader).read_to_string(&mut text)?;
/// assert_eq!(text, "down");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`pipe`].
pub fn pipe_out() -> Result<(OwnedFd, Fd), Error> {
    let (reader, writer) = sys::descriptor::pipe(false).during("pipe2")?;
    Ok((reader, Fd::new(writer)?))
}
