//! Which engine a thread's loop runs on.

use std::env;
use std::io;
use std::rc::Rc;

use lwt_core::Error;

use super::{Engine, MioEngine, PollEngine};
use crate::main_loop::runtime::Runtime;

/// The environment variable that names the engine of loops for which the program sets none.
const VARIABLE: &str = "LWT_ENGINE";

/// The engine of a loop for which none was set.
///
/// It is the one that the environment variable `LWT_ENGINE` names, `mio` or `poll`; without it, `mio`, or
/// `poll` on a system that has nothing better.
pub(crate) fn default_engine() -> io::Result<Rc<dyn Engine>> {
    match env::var_os(VARIABLE) {
        None => match MioEngine::new() {
            Ok(engine) => Ok(Rc::new(engine)),
            Err(error) if is_missing(&error) => Ok(Rc::new(PollEngine::new()?)),
            Err(error) => Err(error),
        },
        Some(name) => match name.to_str() {
            Some("mio") => Ok(Rc::new(MioEngine::new()?)),
            Some("poll") => Ok(Rc::new(PollEngine::new()?)),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{VARIABLE} is {name:?}; there are the engines \"mio\" and \"poll\""),
            )),
        },
    }
}

/// Whether the system has no such poller, or does not let us use it.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES))
        || error.kind() == io::ErrorKind::Unsupported
}

/// The engine of this thread's main loop, which is made if there is none (`Lwt_engine.get`).
///
/// # Errors
/// The operating system's, if no engine can be made (`EMFILE`); that the thread is ending.
///
/// ```
/// assert_eq!(lwt_unix::engine::current_engine().unwrap().name(), "mio");
/// ```
pub fn current_engine() -> Result<Rc<dyn Engine>, Error> {
    Ok(Runtime::current()?.engine())
}

/// Has this thread's main loop go on with another engine, and gives the one before, if there was one
/// (`Lwt_engine.set`).
///
/// All descriptors, waits and timers move over; a timer keeps what is left of its time, also if the new
/// engine has another clock. It may be called at any time, also by a callback while the loop runs. With the
/// engine that the loop is on it does nothing.
///
/// Without it, a loop runs on [`MioEngine`], or on what the environment variable `LWT_ENGINE` names (`mio` or
/// `poll`).
///
/// # Errors
/// The new engine's, at a descriptor that it does not take; then all is as it was. That the thread is ending.
///
/// ```
/// use std::{rc::Rc, time::Duration};
/// use lwt_unix::engine::{PollEngine, set_engine};
/// let sleep = lwt_unix::sleep(Duration::from_millis(1));
/// let old = set_engine(Rc::new(PollEngine::new().unwrap())).unwrap();
/// assert_eq!(old.unwrap().name(), "mio");
/// lwt_unix::run(sleep).unwrap();
/// ```
pub fn set_engine(engine: Rc<dyn Engine>) -> Result<Option<Rc<dyn Engine>>, Error> {
    match Runtime::current_or(Rc::clone(&engine))? {
        Some(runtime) => Ok(Some(runtime.move_to(engine)?)),
        None => Ok(None),
    }
}
