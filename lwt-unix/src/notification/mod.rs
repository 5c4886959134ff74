//! Notifications: having a function called on this thread's loop, from any thread and from signal handlers
//! (`Lwt_unix.make_notification` and its like).
//!
//! A [`Notification`] is a number. It may be copied, sent to threads, and kept by C code
//! ([`Notification::number`]); the function behind it never leaves the thread that made it.
//!
//! 1. *Sending* ([`send_notification`]) takes no lock, allocates nothing and waits for nobody. It is allowed
//!    in signal handlers, and in whatever one may interrupt.
//! 2. *Each send is one call.* Sends are counted, not merged, up to 2³² before the loop looks. Notifications
//!    are served in the order of their first sends; all sends of one that have come by then, one after the
//!    other.
//! 3. *Calls* come from the loop only: in the part of a turn in which descriptors are served, whether the
//!    send came from this thread or another. What is sent by a function that is called is for a later turn,
//!    and so is what comes over the budget of one: a flood of sends keeps nobody else waiting. A function
//!    that panics is reported to the hook for unhandled rejections, and stays.
//! 4. *Stale numbers are refused.* A notification that was stopped, or whose loop has ended, is never called
//!    again, and its number is no other's: numbers have a generation, and one is never given twice.
//! 5. *Fork.* In the child, this thread's notifications go on, without the sends of before; those of other
//!    threads have ended. The parent's are not disturbed.
//!
//! Files: `slots`, the table that all threads share, and its rules; `list`, its atomics; here stands what
//! belongs to one loop.
//!
//! ```
//! use lwt_unix::notification::{make_notification_once, send_notification};
//! lwt_unix::run(async {
//!     let (promise, resolver) = lwt_core::wait();
//!     let notification = make_notification_once(move || resolver.wakeup("rung"))?;
//!     std::thread::spawn(move || send_notification(notification));
//!     assert_eq!(promise.await?, "rung");
//!     assert!(send_notification(notification).is_err());
//!     Ok::<_, lwt_core::Error>(())
//! }).unwrap();
//! ```

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use lwt_core::Error;

use crate::engine::registration::{Direction, Registration};
use crate::fd::During;
use crate::main_loop::hooks::guarded;
use crate::main_loop::runtime::Runtime;

mod list;
mod slots;

pub(crate) use self::slots::hold;
use self::slots::{Id, Keeper};

/// How many calls a loop makes in one turn at most; see rule 3.
const BUDGET: usize = 256;

/// Names a function that a loop calls when it is told to. See the [module's documentation](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Notification(Id);

/// The notification was stopped, or its loop has ended; for what only its own thread may do, it may also
/// belong to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such notification (any more)")
    }
}

impl std::error::Error for Stopped {}

/// Makes a notification: `f` is called by this thread's loop once for each [`send_notification`]
/// (`Lwt_unix.make_notification`).
///
/// It lasts until it is [stopped](stop_notification), or the loop ends with its thread.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use lwt_unix::notification::{make_notification, send_notification, stop_notification};
/// let calls = Rc::new(Cell::new(0));
/// let seen = calls.clone();
/// let notification = make_notification(move || seen.set(seen.get() + 1)).unwrap();
/// for _ in 0..3 {
///     send_notification(notification).unwrap();
/// }
/// assert_eq!(calls.get(), 0);
/// lwt_unix::run(lwt_unix::sleep(std::time::Duration::from_millis(1))).unwrap();
/// assert_eq!(calls.get(), 3);
/// stop_notification(notification).unwrap();
/// ```
///
/// # Errors
/// The operating system's, if the thread has no main loop and none can be made, or no descriptor can be had
/// for the first notification of a loop; the engine's, if it watches no descriptors of the system.
pub fn make_notification(f: impl FnMut() + 'static) -> Result<Notification, Error> {
    make(Box::new(f), false)
}

/// Makes a notification for one call: it is stopped when it is called (`Lwt_unix.make_notification
/// ~once:true`). Sends that came with the first are not called for.
///
/// # Errors
/// As [`make_notification`].
pub fn make_notification_once(f: impl FnOnce() + 'static) -> Result<Notification, Error> {
    let mut f = Some(f);
    let call = move || {
        if let Some(f) = f.take() {
            f();
        }
    };
    make(Box::new(call), true)
}

/// Has the notification's function called by its loop (`Lwt_unix.send_notification`). From any thread, and
/// from signal handlers: see the [module's first rule](self). `errno` is not kept.
///
/// # Errors
/// [`Stopped`]; nothing is called then.
pub fn send_notification(notification: Notification) -> Result<(), Stopped> {
    if slots::send(notification.0) { Ok(()) } else { Err(Stopped) }
}

/// Ends a notification of this thread (`Lwt_unix.stop_notification`): its function is dropped, what was sent
/// and not served is forgotten, and its number is refused from now on.
///
/// # Errors
/// [`Stopped`].
pub fn stop_notification(notification: Notification) -> Result<(), Stopped> {
    let runtime = Runtime::existing().ok_or(Stopped)?;
    let f = runtime.notifications.remove(notification.0).ok_or(Stopped)?;
    drop(f);
    Ok(())
}

/// Gives a notification of this thread another function (`Lwt_unix.set_notification`). Calls that were sent
/// for and have not come are to the new one.
///
/// # Errors
/// [`Stopped`].
pub fn set_notification(notification: Notification, f: impl FnMut() + 'static) -> Result<(), Stopped> {
    let runtime = Runtime::existing().ok_or(Stopped)?;
    let old = runtime.notifications.with(notification.0, |entry| entry.call.replace(Box::new(f)));
    old.map(drop).ok_or(Stopped)
}

/// Calls the function of a notification of this thread, here and now (`Lwt_unix.call_notification`). Inside
/// that very function it does nothing.
///
/// # Errors
/// [`Stopped`].
pub fn call_notification(notification: Notification) -> Result<(), Stopped> {
    let runtime = Runtime::existing().ok_or(Stopped)?;
    if runtime.notifications.call(notification.0) { Ok(()) } else { Err(Stopped) }
}

impl Notification {
    /// The notification as a number, to hand to C code or to keep in an atomic. It is never 0.
    pub fn number(self) -> u64 {
        self.0.number()
    }

    /// The notification of a number that [`number`](Notification::number) gave. Another number is that of
    /// none, or of some other one.
    pub fn from_number(number: u64) -> Notification {
        Notification(Id::from_number(number))
    }
}

/// The notifications of one loop.
#[derive(Default)]
pub(crate) struct Notifications {
    /// Made with the first notification.
    post: OnceCell<Post>,
    table: RefCell<BTreeMap<Id, Entry>>,
    /// What was sent and taken out of the post, and how many times it is still to be called.
    due: RefCell<VecDeque<(Id, u32)>>,
}

/// Where sends arrive.
struct Post {
    keeper: Keeper,
    /// How the engine tells of the bell; `None` if it watches nothing that is real (a simulation). Then the
    /// loop looks by itself whenever it polls, and hears of no other thread's sends in its sleep.
    registration: Option<Registration>,
}

struct Entry {
    once: bool,
    /// It is out of its place while it runs.
    call: Option<Box<dyn FnMut()>>,
}

fn make(call: Box<dyn FnMut()>, once: bool) -> Result<Notification, Error> {
    let runtime = Runtime::current()?;
    let notifications = &runtime.notifications;
    let id = notifications.post().and_then(|post| post.keeper.allocate()).during("notification")?;
    notifications.table.borrow_mut().insert(id, Entry { once, call: Some(call) });
    Ok(Notification(id))
}

impl Notifications {
    /// Where sends to this thread's loop arrive.
    fn post(&self) -> io::Result<&Post> {
        if let Some(post) = self.post.get() {
            return Ok(post);
        }
        let keeper = Keeper::new()?;
        let bell = keeper.bell().ok_or(io::ErrorKind::NotFound)?;
        let registration = match Registration::new(bell.fd().as_raw_fd()) {
            Ok(registration) => Some(registration),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        // Nobody is called in between.
        let post = self.post.get_or_init(|| Post { keeper, registration });
        self.look();
        Ok(post)
    }

    /// Serves what was sent, and has the loop do so again when the bell is rung.
    fn look(&self) {
        let Some(post) = self.post.get() else { return };
        if let Some(registration) = &post.registration {
            registration.clear(Direction::Read);
        }
        if let Some(bell) = post.keeper.bell() {
            bell.hush();
        }
        self.due.borrow_mut().extend(post.keeper.take().into_iter().filter_map(slots::count));
        self.serve();
        if let Some(registration) = &post.registration {
            if let Some(bell) = post.keeper.bell().filter(|_| self.is_due()) {
                bell.ring();
            }
            registration.wait(Direction::Read).on_any(|rung| {
                if let (Ok(()), Some(runtime)) = (rung, Runtime::existing()) {
                    runtime.notifications.look();
                }
            });
        }
    }

    /// Calls for what is due, as far as the budget goes.
    fn serve(&self) {
        for _ in 0..BUDGET {
            let next = {
                let mut due = self.due.borrow_mut();
                let Some((id, times)) = due.front_mut() else { return };
                let id = *id;
                *times = times.saturating_sub(1);
                if *times == 0 {
                    due.pop_front();
                }
                id
            };
            if !self.call(next) {
                // It was stopped, perhaps by a call of its own.
                let mut due = self.due.borrow_mut();
                due.pop_front_if(|(id, _)| *id == next);
            }
        }
    }

    fn is_due(&self) -> bool {
        !self.due.borrow().is_empty()
    }

    /// Whether something was sent of which the engine will not tell.
    #[inline]
    pub(crate) fn is_unheard(&self) -> bool {
        let unheard = |post: &Post| post.registration.is_none() && (post.keeper.has_sent() || self.is_due());
        self.post.get().is_some_and(unheard)
    }

    /// Serves what was sent and the engine does not tell of.
    #[inline]
    pub(crate) fn look_unheard(&self) {
        if self.is_unheard() {
            self.look();
        }
    }

    /// Calls the function of a notification; false if there is none of this id.
    fn call(&self, id: Id) -> bool {
        let Some((once, call)) = self.with(id, |entry| (entry.once, entry.call.take())) else { return false };
        if once {
            self.remove(id);
        }
        let Some(mut call) = call else { return true };
        guarded(&mut call);
        let mut call = Some(call);
        self.with(id, |entry| {
            if entry.call.is_none() {
                entry.call = call.take();
            }
        });
        guarded(|| drop(call));
        true
    }

    fn with<R>(&self, id: Id, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.table.borrow_mut().get_mut(&id).map(f)
    }

    /// Ends a notification; its function comes back, if it is not running.
    fn remove(&self, id: Id) -> Option<Option<Box<dyn FnMut()>>> {
        let entry = self.table.borrow_mut().remove(&id)?;
        slots::stop(id);
        Some(entry.call)
    }

    /// The end of the loop: all are stopped.
    pub(crate) fn end(&self) {
        self.due.take();
        let table = self.table.take();
        for (id, entry) in table {
            slots::stop(id);
            guarded(|| drop(entry));
        }
    }
}

/// In the child of a fork, before the engine is made anew: see rule 5. `own` are the notifications of this
/// thread's loop, if it has one.
///
/// # Errors
/// The operating system's.
pub(crate) fn after_fork(own: Option<&Notifications>) -> io::Result<()> {
    let table = own.map(|own| own.table.borrow());
    let ids = table.iter().flat_map(|table| table.keys().copied());
    slots::after_fork(own.and_then(|own| own.post.get()).map(|post| &post.keeper), ids)?;
    if let Some(own) = own {
        own.due.take();
    }
    Ok(())
}
