//! [`Children`]: what one loop waits for of its process's children.
//!
//! 1. There is a *row* for each number that is waited for, with all who wait for it on this loop; and a list
//!    of those who wait for any child, or any of a group. Whoever has gone is taken out at once, and a row
//!    without waiters goes too.
//! 2. A row learns of the end by a descriptor of the process. Where none can be had, and for what such a
//!    descriptor does not tell (stops, any child), the loop listens to `SIGCHLD`, as long as there is
//!    somebody who needs it; and so it does where that signal is ignored, because a child would leave nothing
//!    to ask for. No more than [`MOST`] rows have descriptors: the program is to have some, too. Where the
//!    signal cannot be listened to, or is blocked, the loop asks each [`TICK`].
//! 3. The system is asked after the ear is there, so that an end in between is not missed; and only while
//!    somebody wants to know, so that a child whose wait was cancelled can be waited for again.
//! 4. A descriptor tells once. If there is nothing to be had then (somebody else has waited for that process,
//!    and the number is a new one's by now; or a debugger keeps the end to itself), the row goes on without
//!    one, for the next would tell the same.
//! 5. Where the system discards children, the ear stays for a tick when nobody needs it any more: whoever
//!    waits for one child after the other is told of all. With it those are discarded that have ended
//!    meanwhile, and for which nobody waited.
//! 6. Nothing is borrowed while a promise is resolved.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lwt_core::{Error, Promise, task};

use super::children::{self, Child};
use super::{Pid, WaitFlags, Waited, Which};
use crate::engine::registration::{Direction, Registration};
use crate::fd::During;
use crate::main_loop::runtime::Runtime;
use crate::signal::table::{children_are_discarded, while_children_are_discarded};
use crate::signal::{SIGCHLD, SignalHandler, on_signal};
use crate::sys;
use crate::time::sleep;

/// How many rows of a loop have descriptors at most.
const MOST: usize = 256;

/// How often children are asked for of which nothing tells.
const TICK: Duration = Duration::from_millis(100);

/// Whether new rows do without descriptors.
static SIGNALS_ONLY: AtomicBool = AtomicBool::new(false);

/// Has waits for children that begin from now on, in all of the process, go by `SIGCHLD` also where the
/// system has descriptors of processes. For tests, and for systems on which those do not work.
///
/// ```
/// lwt_unix::process::wait_by_signal(false);
/// ```
pub fn wait_by_signal(yes: bool) {
    SIGNALS_ONLY.store(yes, Ordering::Relaxed);
}

/// What one loop waits for.
#[derive(Default)]
pub(crate) struct Children {
    rows: RefCell<BTreeMap<Pid, Row>>,
    /// Those who wait for more than one child, in the order in which they came.
    any: RefCell<Vec<Waiter>>,
    /// While somebody needs it.
    ear: RefCell<Option<SignalHandler>>,
    /// While the ear is needed and hears nothing.
    tick: RefCell<Option<Promise<()>>>,
    serial: Cell<u64>,
}

struct Row {
    child: Arc<Child>,
    waiters: Vec<Waiter>,
    /// Left before the descriptor is closed.
    descriptor: Option<(Registration, OwnedFd)>,
}

struct Waiter {
    serial: u64,
    which: Which,
    flags: WaitFlags,
    tell: Tell,
}

/// What somebody who waits is told.
type Told = Result<Option<Waited>, Error>;

type Tell = Box<dyn FnOnce(Told)>;

/// Waits for a child; `convert` makes of it what is promised, if that can be made of it.
#[track_caller]
pub(super) fn begin<T: 'static>(
    flags: WaitFlags,
    which: Which,
    convert: impl FnOnce(Option<Waited>) -> Option<T> + 'static,
) -> Promise<T> {
    let runtime = match Runtime::current() {
        Ok(runtime) => runtime,
        Err(error) => return Promise::fail(error),
    };
    // However it is written.
    let which = Which::from(which.raw());
    let (promise, resolver) = task();
    let children = &runtime.children;
    let serial = children.serial.replace(children.serial.get() + 1);
    resolver.on_unwanted(move || {
        if let Some(runtime) = Runtime::existing() {
            runtime.children.forget(which, serial);
        }
    });
    let tell = move |told: Told| match told.map(convert) {
        Ok(Some(value)) => resolver.wakeup(value),
        Ok(None) => resolver.wakeup_err(io::Error::from(io::ErrorKind::WouldBlock)),
        Err(error) => resolver.wakeup_err(error),
    };
    children.enter(Waiter { serial, which, flags, tell: Box::new(tell) });
    promise
}

impl Children {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.any.borrow().len() + self.rows.borrow().values().map(|row| row.waiters.len()).sum::<usize>()
    }

    fn enter(&self, waiter: Waiter) {
        let (flags, which, serial) = (waiter.flags, waiter.which, waiter.serial);
        match which {
            Which::Child(pid) => {
                self.rows.borrow_mut().entry(pid).or_insert_with(|| Row::new(pid)).waiters.push(waiter)
            }
            _ => self.any.borrow_mut().push(waiter),
        }
        self.ask(which);
        if flags.contains(WaitFlags::NOHANG) {
            self.tell(which, serial, Ok(None));
        } else {
            self.listen(which);
            self.ask(which);
        }
        self.settle();
    }

    /// Sees to it that the loop hears of what this waiter waits for, if it still does.
    fn listen(&self, which: Which) {
        let described = self.rows.borrow().values().filter(|row| row.descriptor.is_some()).count();
        if described < MOST
            && let Which::Child(pid) = which
            && let Some(row) = self.rows.borrow_mut().get_mut(&pid)
            && row.descriptor.is_none()
            && !SIGNALS_ONLY.load(Ordering::Relaxed)
            && !children_are_discarded()
        {
            // Whatever the reason, there is the other way.
            row.descriptor = open(pid).ok();
        }
        self.hear();
    }

    /// Sees to it that the loop hears of those who have no descriptor.
    fn hear(&self) {
        if !self.needs_ear() {
            return;
        }
        if self.ear.borrow().is_none() {
            let ear = on_signal(SIGCHLD, |_| {
                if let Some(runtime) = Runtime::existing() {
                    runtime.children.heard();
                }
            });
            *self.ear.borrow_mut() = ear.ok();
        }
        if self.ear.borrow().is_none() || sys::signal::is_blocked(SIGCHLD.number()) {
            self.start_tick();
        }
    }

    fn start_tick(&self) {
        if self.tick.borrow().is_some() {
            return;
        }
        let tick = sleep(TICK);
        *self.tick.borrow_mut() = Some(tick.clone());
        tick.on_any(|over| {
            if let (Ok(()), Some(runtime)) = (over, Runtime::existing()) {
                runtime.children.ticked();
            }
        });
    }

    fn ticked(&self) {
        let tick = self.tick.take();
        drop(tick);
        if self.needs_ear() {
            self.heard();
            self.hear();
        } else {
            self.let_go();
        }
    }

    /// The descriptor of a row has told of the end.
    fn ended(&self, pid: Pid) {
        self.ask_row(pid);
        let left = self.rows.borrow_mut().get_mut(&pid).and_then(|row| row.descriptor.take());
        if left.is_some() {
            // See rule 4.
            drop(left);
            self.hear();
            self.ask_row(pid);
        }
        self.settle();
    }

    fn needs_ear(&self) -> bool {
        !self.any.borrow().is_empty() || self.rows.borrow().values().any(Row::needs_ear)
    }

    /// Whoever is not needed any more is let go.
    fn settle(&self) {
        if self.needs_ear() {
            return;
        }
        if self.ear.borrow().is_some() && children_are_discarded() {
            // See rule 5.
            self.stop_tick();
            self.start_tick();
        } else {
            self.let_go();
        }
    }

    fn let_go(&self) {
        self.stop_tick();
        if let Some(ear) = self.ear.take() {
            silence(&ear);
        }
    }

    fn stop_tick(&self) {
        let tick = self.tick.take();
        if let Some(tick) = tick {
            tick.cancel();
        }
    }

    /// `SIGCHLD` has come.
    fn heard(&self) {
        let rows: Vec<Pid> =
            self.rows.borrow().iter().filter(|(_, row)| row.needs_ear()).map(|(pid, _)| *pid).collect();
        for pid in rows {
            self.ask(Which::Child(pid));
        }
        self.ask(Which::Any);
        self.settle();
    }

    /// Asks the system, and tells those who wait what it says.
    fn ask(&self, which: Which) {
        match which {
            Which::Child(pid) => self.ask_row(pid),
            _ => self.ask_any(),
        }
    }

    fn ask_row(&self, pid: Pid) {
        let asked = {
            let rows = self.rows.borrow();
            let Some(row) = rows.get(&pid) else { return };
            let flags = if row.wants_stops() { WaitFlags::UNTRACED } else { WaitFlags::NONE };
            children::ask(&row.child, flags.raw())
        };
        let told = match asked.during_on("wait4", pid) {
            Ok(None) => return,
            Ok(Some(waited)) => Ok(Some(waited)),
            Err(error) => Err(error),
        };
        self.tell_row(pid, &told);
    }

    /// Tells those who wait in a row, or, if it is a stop, those of them who asked for stops.
    fn tell_row(&self, pid: Pid, told: &Told) {
        let stopped = matches!(told, Ok(Some(waited)) if !waited.status.has_ended());
        let ready: Vec<Waiter> = {
            let mut rows = self.rows.borrow_mut();
            let Some(row) = rows.get_mut(&pid) else { return };
            row.waiters
                .extract_if(.., |waiter| !stopped || waiter.flags.contains(WaitFlags::UNTRACED))
                .collect()
        };
        self.sweep(pid);
        for waiter in ready {
            (waiter.tell)(told.clone());
        }
    }

    fn ask_any(&self) {
        let mut asked = u64::MAX;
        loop {
            // The oldest that was not asked for yet. Those who come meanwhile ask for themselves.
            let next = {
                let any = self.any.borrow();
                let waiter = any.iter().find(|waiter| asked == u64::MAX || waiter.serial > asked);
                waiter.map(|waiter| (waiter.serial, waiter.which, waiter.flags))
            };
            let Some((serial, which, flags)) = next else { return };
            asked = serial;
            match children::ask_any(which.raw(), flags.raw()).during("wait4") {
                Ok(None) => {}
                Ok(Some(waited)) => self.tell(which, serial, Ok(Some(waited))),
                Err(error) => self.tell(which, serial, Err(error)),
            }
        }
    }

    /// Takes a waiter out, and tells him.
    fn tell(&self, which: Which, serial: u64, told: Told) {
        if let Some(waiter) = self.take(which, serial) {
            (waiter.tell)(told);
        }
    }

    fn take(&self, which: Which, serial: u64) -> Option<Waiter> {
        let same = |waiter: &mut Waiter| waiter.serial == serial;
        match which {
            Which::Child(pid) => {
                let waiter = self.rows.borrow_mut().get_mut(&pid)?.waiters.extract_if(.., same).next();
                self.sweep(pid);
                waiter
            }
            _ => self.any.borrow_mut().extract_if(.., same).next(),
        }
    }

    /// A waiter has gone.
    fn forget(&self, which: Which, serial: u64) {
        let waiter = self.take(which, serial);
        drop(waiter);
        self.settle();
    }

    /// Ends a row that nobody waits in.
    fn sweep(&self, pid: Pid) {
        let gone = {
            let mut rows = self.rows.borrow_mut();
            let empty = rows.get(&pid).is_some_and(|row| row.waiters.is_empty());
            if empty { rows.remove(&pid) } else { None }
        };
        if let Some(row) = gone {
            row.end();
        }
    }

    /// The end of the loop: all who wait are abandoned.
    pub(crate) fn end(&self) {
        self.take_all();
    }

    /// In the child of a fork: the parent's children are not its own.
    pub(crate) fn after_fork(&self) {
        for waiter in self.take_all() {
            (waiter.tell)(Err(io::Error::from_raw_os_error(libc::ECHILD)).during("wait4"));
        }
        self.settle();
    }

    fn take_all(&self) -> Vec<Waiter> {
        let mut waiters = self.any.take();
        for (_, mut row) in self.rows.take() {
            waiters.append(&mut row.waiters);
            row.end();
        }
        waiters
    }
}

impl Row {
    fn new(pid: Pid) -> Row {
        Row { child: children::watch(pid), waiters: Vec::new(), descriptor: None }
    }

    fn wants_stops(&self) -> bool {
        self.waiters.iter().any(|waiter| waiter.flags.contains(WaitFlags::UNTRACED))
    }

    fn needs_ear(&self) -> bool {
        !self.waiters.is_empty() && (self.descriptor.is_none() || self.wants_stops())
    }

    fn end(self) {
        drop(self.descriptor);
        children::leave(self.child);
    }
}

/// A handler for `SIGCHLD`, if the system discards children without one: for whoever is about to start one.
///
/// # Errors
/// As [`on_signal`].
pub(super) fn ear_beforehand() -> Result<Option<SignalHandler>, Error> {
    children_are_discarded().then(|| on_signal(SIGCHLD, |_| ())).transpose()
}

/// Ends a handler for `SIGCHLD`. See rule 5.
pub(super) fn silence(ear: &SignalHandler) {
    ear.disable();
    while_children_are_discarded(children::take_ended);
}

/// A descriptor of a process, registered with the engine: when it tells of the end, that is asked for.
fn open(pid: Pid) -> io::Result<(Registration, OwnedFd)> {
    let fd = sys::process::pidfd_open(pid)?;
    let registration = Registration::new(fd.as_raw_fd())?;
    registration.clear(Direction::Read);
    registration.wait(Direction::Read).on_any(move |ended| {
        if let (Ok(()), Some(runtime)) = (ended, Runtime::existing()) {
            runtime.children.ended(pid);
        }
    });
    Ok((registration, fd))
}
