//! Watches: functions that are called whenever a descriptor is ready, or time has passed (`Lwt_engine`'s
//! events).
//!
//! Promises are what programs wait with; watches are for what stands beside them, above all for other loops
//! and for libraries that have descriptors of their own and do not read them to the end.
//!
//! 1. A watch is a task of this thread that waits, calls, and waits again. It runs until it is stopped,
//!    whether or not its handle is held, and does not keep `run` from returning.
//! 2. Between two calls others have their turn. While the descriptor stays ready the function is called again
//!    and again, so it need not read all that is there.
//! 3. A function that panics is reported to the hook for unhandled rejections, and called again the next
//!    time.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use libc::c_short;
use lwt_core::{Error, Promise, pause, spawn};

use super::Readiness;
use super::registration::{Direction, Registration};
use crate::main_loop::hooks::guarded;
use crate::main_loop::runtime::Runtime;
use crate::sys;

/// A function that is called again and again until it is stopped (`Lwt_engine.event`). Clones are the same
/// watch.
#[derive(Clone)]
pub struct Watch {
    task: Rc<RefCell<Option<Promise<()>>>>,
}

impl Watch {
    /// A watch that watches nothing (`Lwt_engine.fake_event`).
    pub fn idle() -> Watch {
        Watch { task: Rc::default() }
    }

    /// Ends it (`Lwt_engine.stop_event`): the function is not called any more, and is dropped, at once unless
    /// it is running. Done again it does nothing.
    pub fn stop(&self) {
        let task = self.task.take();
        if let Some(task) = task {
            lwt_core::task::abort(&task);
        }
    }

    /// A watch that does this.
    fn start(work: impl Future<Output = Result<(), Error>> + 'static) -> Watch {
        Watch { task: Rc::new(RefCell::new(Some(spawn(work)))) }
    }
}

/// Calls `f` whenever a read from `fd` would not block, until the watch is stopped
/// (`Lwt_engine.on_readable`).
///
/// While there is something to read the function is called again, on each turn of the loop. The descriptor is
/// kept for as long as the watch runs: give it a duplicate, an `Rc` or an `Arc`, to use it elsewhere.
///
/// # Errors
/// The engine's: `EPERM` for what is always ready, such as a regular file. `EMFILE`: a watch takes a
/// descriptor of its own.
///
/// ```
/// use std::{cell::Cell, io::{Read, Write}, os::unix::net::UnixStream, rc::Rc};
/// use lwt_unix::engine::on_readable;
/// let (ours, mut theirs) = UnixStream::pair().unwrap();
/// let ours = Rc::new(ours);
/// let (promise, resolver) = lwt_core::wait();
/// let resolver = Cell::new(Some(resolver));
/// let watch = on_readable(Rc::clone(&ours), move || {
///     let mut byte = [0];
///     (&*ours).read_exact(&mut byte).unwrap();
///     if let Some(resolver) = resolver.take() {
///         resolver.wakeup(byte[0]);
///     }
/// }).unwrap();
/// theirs.write_all(b"x").unwrap();
/// assert_eq!(lwt_unix::run(promise).unwrap(), b'x');
/// watch.stop();
/// ```
pub fn on_readable(fd: impl AsFd + 'static, f: impl FnMut() + 'static) -> Result<Watch, Error> {
    on_ready(fd, Direction::Read, libc::POLLIN, f)
}

/// Calls `f` whenever a write to `fd` would not block, until the watch is stopped (`Lwt_engine.on_writable`).
/// Otherwise as [`on_readable`].
///
/// # Errors
/// As [`on_readable`].
pub fn on_writable(fd: impl AsFd + 'static, f: impl FnMut() + 'static) -> Result<Watch, Error> {
    on_ready(fd, Direction::Write, libc::POLLOUT, f)
}

fn on_ready(
    fd: impl AsFd + 'static,
    direction: Direction,
    events: c_short,
    mut f: impl FnMut() + 'static,
) -> Result<Watch, Error> {
    let place = Place::new(fd.as_fd())?;
    Ok(Watch::start(async move {
        // It is kept for as long as the watch runs.
        let _fd = fd;
        // The caller's own call is over before the function is called for the first time.
        pause().await?;
        loop {
            if place.is_ready(events)? {
                guarded(&mut f);
                pause().await?;
            } else {
                place.registration.clear(direction);
                place.registration.wait(direction).await?;
            }
        }
    }))
}

/// A descriptor that is watched, by a duplicate: a number is registered once only, and this one may be, now
/// or later, by an `Fd` or by another watch.
struct Place {
    registration: Registration,
    /// There until the drop.
    duplicate: Option<OwnedFd>,
}

impl Place {
    fn new(fd: BorrowedFd<'_>) -> io::Result<Place> {
        let duplicate = sys::descriptor::duplicate(fd)?;
        match Registration::new(duplicate.as_raw_fd()) {
            Ok(registration) => Ok(Place { registration, duplicate: Some(duplicate) }),
            Err(error) => {
                let _ = sys::close(duplicate);
                Err(error)
            }
        }
    }

    /// Whether it is ready for any of `events` now.
    fn is_ready(&self, events: c_short) -> io::Result<bool> {
        self.duplicate.as_ref().map_or(Ok(false), |fd| sys::poll_now(fd.as_fd(), events))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registration.close(Error::msg("the watch has ended"));
        // What a duplicate's closing may report is nobody's business.
        let _ = self.duplicate.take().map(sys::close);
    }
}

/// Calls `f` when `delay` has passed, and if it is to `repeat`, again each time that it has passed, until the
/// watch is stopped (`Lwt_engine.on_timer`).
///
/// A repeated timer keeps its rhythm: a call that comes late does not put off the next one; calls that were
/// missed altogether are left out.
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// let calls = Rc::new(Cell::new(0));
/// let watch = lwt_unix::engine::on_timer(Duration::from_millis(1), true, {
///     let calls = calls.clone();
///     move || calls.set(calls.get() + 1)
/// });
/// while calls.get() < 3 {
///     lwt_unix::run(lwt_unix::sleep(Duration::from_millis(1))).unwrap();
/// }
/// watch.stop();
/// ```
pub fn on_timer(delay: Duration, repeat: bool, mut f: impl FnMut() + 'static) -> Watch {
    Watch::start(async move {
        let runtime = Runtime::current()?;
        let mut due = runtime.now().checked_add(delay);
        loop {
            let left = due.map_or(Duration::MAX, |due| due.saturating_duration_since(runtime.now()));
            crate::sleep(left).await?;
            guarded(&mut f);
            if !repeat {
                return Ok(());
            }
            due = due.and_then(|due| next(due, delay, runtime.now()));
        }
    })
}

/// The first moment after `now` in the rhythm of a timer that was due at `due`.
fn next(due: Instant, delay: Duration, now: Instant) -> Option<Instant> {
    let late = now.saturating_duration_since(due);
    let missed = late.as_nanos().checked_div(delay.as_nanos()).unwrap_or(0);
    let missed = u32::try_from(missed).unwrap_or(u32::MAX);
    due.checked_add(delay.checked_mul(missed)?.checked_add(delay)?)
}

/// Behaves as if the engine had reported `fd` ready, for reading and for writing (`Lwt_engine.fake_io`):
/// whoever waits for it tries its system call.
///
/// Nothing happens for a descriptor that this thread's loop does not know.
///
/// ```
/// lwt_unix::engine::fake_io(0);
/// ```
pub fn fake_io(fd: RawFd) {
    let Some(runtime) = Runtime::existing() else { return };
    for source in runtime.sources() {
        if source.place().0 == fd {
            source.report(Readiness::READ.with(Readiness::WRITE));
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("running", &self.task.borrow().as_ref().is_some_and(Promise::is_pending))
            .finish()
    }
}
