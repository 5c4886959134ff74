//! The process's table of signals: which loops listen to each, and whose action stood there before ours.
//!
//! 1. *Loops.* Each signal has a list of places, and each place the notification of a loop, or 0. Places are
//!    added and never taken away, so the handler walks the list without a lock. A notification that was
//!    stopped takes no sends, so it does no harm for the moment in which its number still stands there.
//! 2. *Actions.* Ours is installed when the first loop begins to listen, and taken back when the last one
//!    stops: if it is still the one in force. If somebody has put another one in front of it, ours stays
//!    where it is in that one's chain, says nothing to anybody, and passes on to what was before it.
//! 3. *Below.* What was in force when ours was installed is the action *below* ours. If ours is installed
//!    again, in front of somebody who was in front of it (`reinstall`, or a new beginning), it stands in the
//!    chain twice, and there are two below: the newer for the handler that the system calls, the older for
//!    the one that is called out of the chain. The handler tells by its depth. So no chain ever closes to a
//!    circle.
//! 4. Actions below are kept in memory that is never freed, once for each pair of action and older action; a
//!    program that listens and stops again and again adds nothing to them.
//! 5. Changes are made under one lock, reading ([`send`], [`below`]) is for handlers and takes none.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::c_int;

use crate::chunks::{Chunks, END};
use crate::notification::{Notification, send_notification};
use crate::sys::signal::{Action, Does};

/// One more than the largest number of a signal.
pub(crate) const SIGNALS: usize = 128;

/// The number of no action.
const NONE: u32 = u32::MAX;

/// What the handler reads of a signal.
struct Line {
    first: Place,
    /// The number of the action below ours, in [`BELOW`].
    below: AtomicU32,
}

/// A loop's place in a signal's list.
struct Place {
    /// The number of its notification; 0 if the place is free.
    notification: AtomicU64,
    next: OnceLock<Box<Place>>,
}

struct Below {
    action: Action,
    older: u32,
}

static LINES: [Line; SIGNALS] =
    [const { Line { first: Place::new(), below: AtomicU32::new(NONE) } }; SIGNALS];
static BELOW: Chunks<OnceLock<Below>> = Chunks::new();
static STATE: Mutex<State> = Mutex::new(State { listening: [0; SIGNALS], actions: 0 });

struct State {
    /// How many loops listen to each signal.
    listening: [usize; SIGNALS],
    /// How many actions are in [`BELOW`].
    actions: u32,
}

impl Place {
    const fn new() -> Place {
        Place { notification: AtomicU64::new(0), next: OnceLock::new() }
    }
}

impl Line {
    fn of(signal: c_int) -> Option<&'static Line> {
        LINES.get(usize::try_from(signal).ok()?)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::successors(Some(&self.first), |place| place.next.get().map(|next| &**next))
    }

    /// Writes `new` into the first place that has `old`; whether there is one.
    fn replace(&self, old: u64, new: u64) -> bool {
        let found = self.places().find(|place| place.notification.load(Relaxed) == old);
        found.inspect(|place| place.notification.store(new, Release)).is_some()
    }
}

/// Tells all loops that listen to a signal; whether there are any. Async-signal-safe.
pub(crate) fn send(signal: c_int) -> bool {
    let Some(line) = Line::of(signal) else { return false };
    let mut heard = false;
    for place in line.places() {
        let number = place.notification.load(Acquire);
        heard |= number != 0 && send_notification(Notification::from_number(number)).is_ok();
    }
    heard
}

/// The action below our `depth`th handler on the stack. Async-signal-safe.
pub(crate) fn below(signal: c_int, depth: u8) -> Option<&'static Action> {
    let mut below = get(Line::of(signal)?.below.load(Acquire))?;
    for _ in 0..depth {
        below = get(below.older)?;
    }
    Some(&below.action)
}

fn get(number: u32) -> Option<&'static Below> {
    BELOW.get(number)?.get()
}

/// A loop begins to listen to a signal; it does so at most once at a time.
///
/// # Errors
/// The system's: it has no such signal, or none that can be caught.
pub(super) fn listen(signal: c_int, notification: Notification) -> io::Result<()> {
    let mut state = state();
    let (Some(line), Some(listening)) = (Line::of(signal), listening(&mut state, signal)) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    *listening += 1;
    if !line.replace(0, notification.number()) {
        let mut last = &line.first;
        while let Some(next) = last.next.get() {
            last = next;
        }
        let place = Place { notification: AtomicU64::new(notification.number()), next: OnceLock::new() };
        // Nobody else adds one: this is under the lock.
        let _ = last.next.set(Box::new(place));
    }
    if *listening == 1
        && let Err(error) = install(&mut state, line, signal)
    {
        leave(&mut state, line, signal, notification);
        return Err(error);
    }
    Ok(())
}

/// A loop that listens to a signal stops doing so.
pub(super) fn unlisten(signal: c_int, notification: Notification) {
    let mut state = state();
    if let Some(line) = Line::of(signal) {
        drop_out(&mut state, line, signal, notification);
    }
}

/// Installs our handler again, if a loop listens and somebody has put another action in its place.
///
/// # Errors
/// The system's.
pub(super) fn reinstall(signal: c_int) -> io::Result<()> {
    let mut state = state();
    match (Line::of(signal), listening(&mut state, signal)) {
        (Some(line), Some(1..)) => install(&mut state, line, signal),
        _ => Ok(()),
    }
}

/// In the child of a fork: the loops of other threads listen no more. `own` gives what this one listens by.
pub(super) fn after_fork(own: impl Fn(c_int) -> Option<Notification>) {
    let mut state = state();
    for (signal, line) in (0..).zip(&LINES) {
        let own = own(signal).map_or(0, Notification::number);
        for place in line.places() {
            let number = place.notification.load(Relaxed);
            if number != 0 && number != own {
                drop_out(&mut state, line, signal, Notification::from_number(number));
            }
        }
    }
}

/// Whether, but for ours, the action of `SIGCHLD` has the system forget children as they end.
pub(crate) fn children_are_discarded() -> bool {
    let discards = |action: &Action| match action.does() {
        Does::Ours => below(libc::SIGCHLD, 0).is_some_and(Action::discards_children),
        _ => action.discards_children(),
    };
    Action::current(libc::SIGCHLD).as_ref().is_ok_and(discards)
}

/// Calls `f` if the system, as things are, forgets children as they end; no loop begins to listen meanwhile.
pub(crate) fn while_children_are_discarded(f: impl FnOnce()) {
    let _state = state();
    if Action::current(libc::SIGCHLD).is_ok_and(|action| action.discards_children()) {
        f();
    }
}

/// Keeps others from changing the table, for the time of a fork.
pub(crate) fn hold() -> impl Drop {
    state()
}

/// Takes a notification off a signal's list, and our handler away if nobody is left.
fn drop_out(state: &mut State, line: &Line, signal: c_int, notification: Notification) {
    if leave(state, line, signal, notification) {
        // There is nobody to tell; a handler that stays is inert.
        let _ = restore(line, signal);
    }
}

/// Takes a notification off a signal's list; whether it was the last.
fn leave(state: &mut State, line: &Line, signal: c_int, notification: Notification) -> bool {
    let left = line.replace(notification.number(), 0);
    listening(state, signal).is_some_and(|listening| {
        *listening -= usize::from(left);
        left && *listening == 0
    })
}

/// Puts our handler in force, if it is not.
fn install(state: &mut State, line: &Line, signal: c_int) -> io::Result<()> {
    let current = Action::current(signal)?;
    if current.does() == Does::Ours {
        return Ok(());
    }
    let before = line.below.load(Relaxed);
    // Our handler may need it at once.
    line.below.store(enter(state, current, before)?, Release);
    let installed = Action::ours(&current).install(signal).and_then(|replaced| {
        // Somebody may have been quicker by a moment, and is the one below then.
        if replaced.is(&current) {
            Ok(())
        } else {
            enter(state, replaced, before).map(|new| line.below.store(new, Release))
        }
    });
    installed.inspect_err(|_| line.below.store(before, Release))
}

/// The number of this action as the newest of those below; `before` is the number of the newest so far.
fn enter(state: &mut State, action: Action, before: u32) -> io::Result<u32> {
    // Who is there already has been put in front of us again: what came later is not in the chain any more.
    let mut at = before;
    while let Some(below) = get(at) {
        if below.action.is(&action) {
            return Ok(at);
        }
        at = below.older;
    }
    // What calls nobody does not call us.
    let older = if action.does() == Does::Other { before } else { NONE };
    let known = (0..state.actions)
        .find(|number| get(*number).is_some_and(|below| below.older == older && below.action.is(&action)));
    if let Some(number) = known {
        return Ok(number);
    }
    let number = state.actions;
    let place = BELOW.get_or_make(number, OnceLock::new).filter(|_| number < END);
    let place = place.ok_or_else(|| io::Error::from_raw_os_error(libc::ENFILE))?;
    let _ = place.set(Below { action, older });
    state.actions += 1;
    Ok(number)
}

/// Takes our handler away, if it is the one in force.
fn restore(line: &Line, signal: c_int) -> io::Result<()> {
    if Action::current(signal)?.does() != Does::Ours {
        return Ok(());
    }
    let Some(below) = get(line.below.load(Relaxed)) else { return Ok(()) };
    let replaced = below.action.install(signal)?;
    if replaced.does() == Does::Ours {
        // Who stood behind us may call us; else what was below stays, for a handler that is still on its way.
        if below.older != NONE {
            line.below.store(below.older, Release);
        }
    } else {
        // Somebody has put another one there in this moment, and it shall stay.
        replaced.install(signal)?;
    }
    Ok(())
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listening(state: &mut State, signal: c_int) -> Option<&mut usize> {
    state.listening.get_mut(usize::try_from(signal).ok()?)
}
