//! [`SimEngine`]: an engine with a clock of its own and a network that is only a computation.
//!
//! 1. *Time* stands still while something can be done, and jumps to the next moment at which something
//!    happens: a timer, or a packet's arrival. So an hour of waiting takes no time, and each run with one
//!    seed sees the same times. A loop that never rests would never see a timer: a poll in passing counts
//!    [`TICK`].
//! 2. *Sockets* that are made on the thread while it has such an engine are the simulation's, and so are
//!    their pairs and what they accept; the seam's functions ask [`act`] in place of the kernel. Their
//!    descriptors are real numbers, and are closed and used again as such, but nothing can be done with them
//!    past the seam.
//! 3. *Other descriptors* are as they are, as long as nobody has to wait for them: [`Engine::register`]
//!    refuses them.
//! 4. *Jobs* are events that take no time. One begins when nothing else can be done, and the loop stands
//!    still until it is over; the first that was asked for is the first. So their effects and outcomes have
//!    one order. (The desk sees to it, `job::desk`.) A job that waits for another, or for the loop, therefore
//!    waits for ever.
//! 5. *Deadlock*: if nothing can be done, and nothing will happen, the poll fails, with the list of what
//!    waits. Whatever other threads might still send is no part of the simulation.

mod arrivals;
mod calls;
mod draw;
mod name;
mod socket;
mod world;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) use self::calls::Taken;
pub(crate) use self::socket::Id;
pub(crate) use self::world::World;
use super::registration::Direction;
use super::{Engine, Event, Token, Wait, Waker};
use crate::main_loop::runtime::Runtime;
use crate::sim::{Deadlock, Sim};
use crate::sys::{self, hook};

/// What a poll in passing takes.
const TICK: Duration = Duration::from_micros(100);

thread_local! {
    /// The world of this thread's sockets.
    static WORLD: RefCell<Option<Rc<RefCell<World>>>> = const { RefCell::new(None) };
}

/// The simulated engine: a virtual clock, a network in memory, and chance from a seed.
///
/// [`Sim::run`] makes one and runs a program on it, which is what tests want. By itself it is for those who
/// [set](super::set_engine) the engine of a thread: from when it is made until it is dropped, the sockets
/// that the thread makes are simulated. There is one at a time for each thread.
///
/// ```
/// use std::rc::Rc;
/// use std::time::{Duration, Instant};
/// use lwt_unix::engine::{SimEngine, set_engine};
/// use lwt_unix::sim::Sim;
///
/// let start = Instant::now();
/// set_engine(Rc::new(SimEngine::new(&Sim::new()).unwrap())).unwrap();
/// lwt_unix::run(lwt_unix::sleep(Duration::from_secs(3600))).unwrap();
/// assert!(start.elapsed() < Duration::from_secs(3600));
/// ```
pub struct SimEngine {
    world: Rc<RefCell<World>>,
    /// The moment at which the virtual clock begins.
    begin: Instant,
    woken: Arc<AtomicBool>,
}

impl SimEngine {
    /// An engine whose clock and network are at their beginning.
    ///
    /// # Errors
    /// The operating system's, such as `EMFILE`: it takes one descriptor.
    ///
    /// # Panics
    /// If this thread has one already.
    pub fn new(sim: &Sim) -> io::Result<SimEngine> {
        assert!(!hook::is_simulated(), "a thread has one simulated engine at a time");
        let world = Rc::new(RefCell::new(World::new(sim)?));
        WORLD.with(|place| place.replace(Some(Rc::clone(&world))));
        hook::set_simulated(true);
        Ok(SimEngine { world, begin: Instant::now(), woken: Arc::default() })
    }

    /// Nothing can be done, and nothing will happen.
    fn deadlock(&self) -> io::Error {
        let mut waits = Vec::new();
        let world = self.world.borrow();
        for source in Runtime::existing().iter().flat_map(|runtime| runtime.sources()) {
            let (fd, _) = source.place();
            for (direction, verb) in [(Direction::Read, "read"), (Direction::Write, "write")] {
                let count = source.waiting(direction);
                if count > 0 {
                    let what = world.describe(fd).unwrap_or_else(|| "a real descriptor".to_owned());
                    waits.push(format!("{count} to {verb} descriptor {fd}, {what}"));
                }
            }
        }
        #[cfg(feature = "registry")]
        waits.extend(lwt_core::registry::pending().iter().map(|entry| format!("promise {entry}")));
        io::Error::new(io::ErrorKind::Deadlock, Deadlock::new(world.seed(), world.elapsed(), waits))
    }
}

impl Drop for SimEngine {
    fn drop(&mut self) {
        // At the very end of a thread the place may be gone.
        let _ = WORLD.try_with(|place| place.take());
        hook::set_simulated(false);
    }
}

impl Engine for SimEngine {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> Instant {
        self.begin + self.world.borrow().now
    }

    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        if let Some(done) = self.world.borrow_mut().register(fd, token) {
            return done;
        }
        match sys::file_type_of(fd)? {
            libc::S_IFREG | libc::S_IFDIR => Err(io::Error::from_raw_os_error(libc::EPERM)),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("descriptor {fd} is no part of the simulation: it cannot be waited for"),
            )),
        }
    }

    fn deregister(&self, fd: RawFd, _token: Token) -> io::Result<()> {
        self.world.borrow_mut().deregister(fd)
    }

    fn poll(&self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        world.advance(now);
        world.take_reports(events);
        if !events.is_empty() || self.woken.swap(false, Ordering::Acquire) {
            return Ok(());
        }
        let deadline = match wait {
            Wait::No => Some(now + TICK),
            Wait::Until(deadline) => Some(deadline.saturating_duration_since(self.begin)),
            Wait::Forever => None,
        };
        let next = match (world.next_arrival(), deadline) {
            (Some(arrival), Some(deadline)) => arrival.min(deadline),
            (Some(time), None) | (None, Some(time)) => time,
            (None, None) => {
                drop(world);
                return Err(self.deadlock());
            }
        };
        world.advance(next);
        world.take_reports(events);
        Ok(())
    }

    fn waker(&self) -> Waker {
        let woken = Arc::clone(&self.woken);
        Arc::new(move || woken.store(true, Ordering::Release))
    }

    fn after_fork(&self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a simulation cannot be forked"))
    }
}

impl fmt::Debug for SimEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimEngine").field("elapsed", &self.world.borrow().now).finish_non_exhaustive()
    }
}

/// This thread's world.
pub(crate) fn world() -> Option<Rc<RefCell<World>>> {
    if !hook::is_simulated() {
        return None;
    }
    WORLD.try_with(|place| place.borrow().clone()).ok().flatten()
}

/// Does `act` in this thread's world, if it has one, as the call of that name.
#[cold]
pub(crate) fn call<T>(
    name: &'static str,
    act: impl FnOnce(&mut World) -> io::Result<T>,
) -> Option<io::Result<T>> {
    let world = world()?;
    Some(hook::passed(name, || act(&mut world.borrow_mut())))
}

/// Does `act` with the simulated socket that `fd` refers to, if it does, as the call of that name.
#[cold]
pub(crate) fn act<T>(
    name: &'static str,
    fd: BorrowedFd<'_>,
    act: impl FnOnce(&mut World, Id) -> io::Result<T>,
) -> Option<io::Result<T>> {
    let world = world()?;
    let id = world.borrow().id(fd.as_raw_fd())?;
    Some(hook::passed(name, || act(&mut world.borrow_mut(), id)))
}

/// A number is closed.
#[cold]
pub(crate) fn closed(fd: RawFd) {
    if let Some(world) = world() {
        world.borrow_mut().forget(fd);
    }
}

/// `new` refers to what `old` does.
#[cold]
pub(crate) fn duplicated(old: RawFd, new: RawFd) {
    if let Some(world) = world() {
        let mut world = world.borrow_mut();
        match world.id(old) {
            Some(id) => world.hold(new, id),
            None => world.forget(new),
        }
    }
}

/// Whether a number is that of a simulated socket.
pub(crate) fn is_socket(fd: RawFd) -> bool {
    world().is_some_and(|world| world.borrow().id(fd).is_some())
}
