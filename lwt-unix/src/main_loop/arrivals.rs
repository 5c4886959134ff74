//! [`Arrivals`]: what comes to a loop by memory that it shares, and how an idle loop waits for it, and for
//! the outcomes of jobs.
//!
//! A message in shared memory is not reported by the engine. So whoever has such memory is asked by the loop:
//!
//! 1. *Taking.* [`Arrivals::take`] is called after each poll of the engine, and again and again while the
//!    loop spins. It may resolve promises.
//! 2. *Sleep.* Before the loop sleeps, [`Arrivals::prepare_sleep`] announces that, and looks again: from then
//!    on, until [`Arrivals::awake`], who sends something rings the loop's [bell](Arriving::bell), which is a
//!    descriptor that the engine watches. One bell is enough for all; it may be rung by other processes.
//! 3. *Spinning.* An idle loop that waits for jobs or expects arrivals looks for them for a moment before it
//!    sleeps, while that pays ([`Spin`]): further where an answer comes from another process.
//! 4. No list is borrowed while somebody is asked.
//! 5. In the child of a fork there are no arrivals: they are the parent's.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::{Rc, Weak};
use std::time::Instant;

use lwt_core::{Error, scheduler};

use super::run::explain;
use super::runtime::Runtime;
use crate::engine::registration::{Direction, Registration};
use crate::spin::{Spin, spin};
use crate::sys::bell::Bell;

/// Something that comes to a loop without the engine's knowledge. See [`add_arrivals`].
pub trait Arrivals {
    /// Takes in what has come; says whether there was something.
    fn take(&self) -> bool;

    /// Whether something is expected soon, for which a loop without work may spin.
    fn is_expected(&self) -> bool;

    /// The loop is about to sleep, from when on it has to be rung for. False if something has come, or may be
    /// there already.
    fn prepare_sleep(&self) -> bool;

    /// The loop does not sleep (any more).
    fn awake(&self);
}

/// Has this thread's loop, which is made if there is none, look for arrivals from now on, until what is
/// returned is dropped.
///
/// ```
/// use std::{cell::Cell, os::fd::AsFd, rc::Rc, time::Duration};
/// use lwt_unix::main_loop::{Arrivals, add_arrivals};
///
/// /// Something that comes once, from another thread.
/// struct Letter(std::sync::mpsc::Receiver<u8>, Cell<Option<lwt_core::Resolver<u8>>>);
/// impl Arrivals for Letter {
///     fn take(&self) -> bool {
///         let Ok(letter) = self.0.try_recv() else { return false };
///         self.1.take().is_some_and(|resolver| resolver.try_wakeup(letter).is_ok())
///     }
///     fn is_expected(&self) -> bool { true }
///     fn prepare_sleep(&self) -> bool { !self.take() }
///     fn awake(&self) {}
/// }
///
/// let (send, receive) = std::sync::mpsc::channel();
/// let (promise, resolver) = lwt_core::wait();
/// let arriving = add_arrivals(Rc::new(Letter(receive, Cell::new(Some(resolver))))).unwrap();
/// let bell = arriving.bell().try_clone_to_owned().unwrap();
/// let sender = std::thread::spawn(move || {
///     std::thread::sleep(Duration::from_millis(1));
///     send.send(7).unwrap();
///     std::io::Write::write_all(&mut std::fs::File::from(bell), &1_u64.to_ne_bytes()).unwrap();
/// });
/// assert_eq!(lwt_unix::run(promise).unwrap(), 7);
/// sender.join().unwrap();
/// ```
///
/// # Errors
/// The operating system's, if the loop, or its bell, cannot be made; the engine's, if it watches no
/// descriptors of the system.
pub fn add_arrivals(arrivals: Rc<dyn Arrivals>) -> Result<Arriving, Error> {
    let runtime = Runtime::current().map_err(|error| explain("cannot make the main loop", error))?;
    let bell = runtime.arrivals.post().map_err(|error| explain("cannot watch for arrivals", error))?;
    runtime.arrivals.list.borrow_mut().push(Rc::clone(&arrivals));
    runtime.arrivals.some.set(true);
    Ok(Arriving { bell, arrivals: Rc::downgrade(&arrivals) })
}

/// Arrivals that a loop looks for; dropped, it looks no more.
pub struct Arriving {
    bell: Rc<Bell>,
    arrivals: Weak<dyn Arrivals>,
}

impl Arriving {
    /// What is to be rung for a loop that sleeps: write the eight bytes of a `u64` of 1 to it. Duplicates may
    /// be handed to other processes.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.rings()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let Some(runtime) = Runtime::existing() else { return };
        let place = &runtime.arrivals;
        let same = |other: &mut Rc<dyn Arrivals>| Weak::ptr_eq(&Rc::downgrade(other), &self.arrivals);
        let gone: Vec<_> = place.list.borrow_mut().extract_if(.., same).collect();
        place.some.set(!place.list.borrow().is_empty());
        drop(gone);
    }
}

/// What one loop expects, and how it spins for it.
pub(crate) struct Expected {
    list: RefCell<Vec<Rc<dyn Arrivals>>>,
    /// Whether there are any: all that a loop without arrivals looks at.
    some: Cell<bool>,
    /// Made with the first of them.
    post: OnceCell<Post>,
    /// How many outcomes and arrivals there were.
    answers: Cell<u64>,
    /// How the loop spins for jobs, and for arrivals.
    near: RefCell<Spin>,
    far: RefCell<Spin>,
    /// When it last blocked, and whether for arrivals, if nothing has come since.
    blocked: Cell<Option<(Instant, bool)>>,
}

struct Post {
    registration: Registration,
    bell: Rc<Bell>,
}

impl Default for Expected {
    fn default() -> Expected {
        Expected {
            list: RefCell::default(),
            some: Cell::new(false),
            post: OnceCell::new(),
            answers: Cell::new(0),
            near: RefCell::new(Spin::near()),
            far: RefCell::new(Spin::far()),
            blocked: Cell::new(None),
        }
    }
}

impl Expected {
    /// The bell, and the engine's watch for it.
    fn post(&self) -> io::Result<Rc<Bell>> {
        if let Some(post) = self.post.get() {
            return Ok(Rc::clone(&post.bell));
        }
        let bell = Rc::new(Bell::new()?);
        let registration = Registration::new(bell.fd().as_raw_fd())?;
        let _ = self.post.set(Post { registration, bell: Rc::clone(&bell) });
        self.listen();
        Ok(bell)
    }

    /// Hushes the bell, and does so again when it is rung. What it was rung for is taken in after the poll.
    fn listen(&self) {
        let Some(post) = self.post.get() else { return };
        post.registration.clear(Direction::Read);
        post.bell.hush();
        post.registration.wait(Direction::Read).on_any(|rung| {
            if let (Ok(()), Some(runtime)) = (rung, Runtime::existing()) {
                runtime.arrivals.listen();
            }
        });
    }

    /// Asks them all; whether one said yes.
    fn ask(&self, f: impl Fn(&dyn Arrivals) -> bool) -> bool {
        let mut yes = false;
        for index in 0.. {
            let next = self.list.borrow().get(index).cloned();
            let Some(next) = next else { break };
            yes |= f(&*next);
        }
        yes
    }

    /// Takes in what has come.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        let came = self.some.get() && self.ask(|arrivals| arrivals.take());
        if came {
            self.answered();
        }
        came
    }

    /// See rule 2.
    #[inline]
    pub(crate) fn prepare_sleep(&self) -> bool {
        !self.some.get() || !self.ask(|arrivals| !arrivals.prepare_sleep())
    }

    /// See rule 2.
    #[inline]
    pub(crate) fn awake(&self) {
        if self.some.get() {
            self.ask(|arrivals| {
                arrivals.awake();
                false
            });
        }
    }

    /// The outcome of a job, or an arrival, has come.
    pub(crate) fn answered(&self) {
        self.answers.set(self.answers.get() + 1);
        if let Some((blocked, far)) = self.blocked.take() {
            self.spin_for(far).borrow_mut().parked(blocked.elapsed());
        }
    }

    fn spin_for(&self, far: bool) -> &RefCell<Spin> {
        if far { &self.far } else { &self.near }
    }

    /// The loop has nothing to do, and would block now. Waits a moment for the outcome of a job, if there are
    /// any `jobs` away, or for an arrival, if that was worth it of late, but no longer than until `deadline`;
    /// says whether there is something to do now. That is for `changed` to tell, too: what other threads send
    /// may be anything.
    pub(crate) fn spin(&self, jobs: bool, deadline: Option<Instant>, changed: impl Fn() -> bool) -> bool {
        let far = self.some.get() && self.ask(|arrivals| arrivals.is_expected());
        if !jobs && !far {
            return false;
        }
        let length = self.spin_for(far).borrow().length();
        if let Some(mut length) = length {
            if let Some(deadline) = deadline {
                length = length.min(deadline.saturating_duration_since(Instant::now()));
            }
            let before = self.answers.get();
            let found = spin(length, || {
                // Only takes in what other threads have sent.
                scheduler::run_ready(0);
                self.take();
                self.answers.get() != before || scheduler::has_ready() || scheduler::has_paused() || changed()
            });
            self.spin_for(far).borrow_mut().ended(found);
            if found {
                return true;
            }
        }
        self.blocked.set(Some((Instant::now(), far)));
        false
    }

    /// The end of the loop.
    pub(crate) fn end(&self) {
        self.some.set(false);
        let list = self.list.take();
        drop(list);
    }

    /// See rule 5. Before the engine is made anew.
    ///
    /// # Errors
    /// Those of making a bell.
    pub(crate) fn after_fork(&self) -> io::Result<()> {
        self.some.set(false);
        // What they hold is shared with the parent; their ends are not to be told of.
        mem::forget(self.list.take());
        self.post.get().map_or(Ok(()), |post| post.bell.renew())
    }
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving").field("bell", &self.bell()).finish()
    }
}
