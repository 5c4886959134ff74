//! [`handle_unix_error`]: programs that end when the system refuses something.

use std::error::Error as _;
use std::future::Future;
use std::io::{self, Write};
use std::iter::successors;

use lwt_core::{Error, Promise};

use crate::fd::OsError;
use crate::main_loop::run::promise_of;

/// Calls `f`; if it fails because the operating system refused something, prints what and why to standard
/// error, and ends the process with exit code 2 (`Lwt_unix.handle_unix_error`). Any other failure is given
/// on.
///
/// The process ends at once, without exit hooks. For small programs: a server wants [`main!`](crate::main),
/// which prints any error, runs the hooks, and ends with exit code 1.
///
/// ```
/// let length = lwt_unix::handle_unix_error(|| lwt_unix::detach(|| "text".len()));
/// assert_eq!(lwt_unix::run(length).unwrap(), 4);
/// ```
///
/// # Errors
/// Those of `f` that are not the operating system's.
#[track_caller]
pub fn handle_unix_error<T, E, F>(f: impl FnOnce() -> F) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    promise_of(f()).catch(|error| {
        if is_of_the_system(&error) {
            end(&error);
        }
        Promise::fail(error)
    })
}

/// Whether the system has given it a number. (An end of file, or an `io::Error` of the program's own, has
/// none.)
fn is_of_the_system(error: &Error) -> bool {
    let first = error.downcast_ref::<io::Error>();
    let mut causes = successors(first, |&error| error.source()?.downcast_ref());
    causes.any(|error| error.raw_os_error().is_some())
        || OsError::of(error).is_some_and(|error| error.raw_os_error().is_some())
}

#[expect(clippy::disallowed_methods, reason = "this is what the function is for")]
fn end(error: &Error) -> ! {
    let program = std::env::args_os().next().unwrap_or_default();
    // If standard error is closed there is nobody to tell; the exit code tells all the same.
    let _ = writeln!(io::stderr(), "{}: {error}", program.display());
    std::process::exit(2)
}
