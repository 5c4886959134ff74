//! What the system does when a signal comes: actions, the handler that is ours, and masks.
//!
//! 1. [`caught`] is the handler. It may interrupt any code of any thread, so it and all that it calls take no
//!    lock, allocate nothing and do not panic; it leaves `errno` as it was. (A thread-local is looked at only
//!    where somebody else's function is to be called: in a library that was loaded at run time, its first use
//!    in a thread may allocate.)
//! 2. It calls the action that was there before it ([`Action::call`]) with just what it got itself.
//! 3. All signals but those of faults are blocked while it runs, and it runs on the thread's alternate stack,
//!    if there is one, as foreign runtimes demand; unless the action before it is a function that expects the
//!    ordinary one. An alternate stack has room for one handler, and not for one that interrupts another. (A
//!    fault that is blocked ends the process, and the function before us may be one that lives with faults.)
//! 4. No call here is made through [`retry`](super::retry) that a handler makes: a test's plan of faults may
//!    take a lock.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_int, c_void, siginfo_t};
use nix::errno::Errno;

use super::retry;
use crate::signal::table;

/// The signals by which the system tells of a fault of the very instruction at which they come.
pub(crate) const FAULTS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// What the system does on a signal.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

/// What an [`Action`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Default,
    Nothing,
    Ours,
    /// It calls a function of somebody else's.
    Other,
}

type Plain = extern "C" fn(c_int);
type Informed = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

impl Action {
    /// The action in force.
    pub(crate) fn current(signal: c_int) -> io::Result<Action> {
        let mut current = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: it fills the structure and changes nothing.
        retry("sigaction", || unsafe { libc::sigaction(signal, ptr::null(), current.as_mut_ptr()) })?;
        // SAFETY: the call succeeded.
        Ok(Action(unsafe { current.assume_init() }))
    }

    /// Our handler, in front of `below`.
    pub(crate) fn ours(below: &Action) -> Action {
        let mut ours = below.0;
        ours.sa_sigaction = caught as Informed as usize;
        let stack =
            if below.does() == Does::Other { ours.sa_flags & libc::SA_ONSTACK } else { libc::SA_ONSTACK };
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | stack;
        // SAFETY: the set is live; the first call fills it.
        unsafe {
            libc::sigfillset(&mut ours.sa_mask);
            for fault in FAULTS {
                libc::sigdelset(&mut ours.sa_mask, fault);
            }
        }
        Action(ours)
    }

    /// Puts the action in force, and gives the one that was.
    pub(crate) fn install(&self, signal: c_int) -> io::Result<Action> {
        let mut old = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: the action is ours, or one that was in force before and that its owner has not taken away.
        retry("sigaction", || unsafe { libc::sigaction(signal, &self.0, old.as_mut_ptr()) })?;
        // SAFETY: the call succeeded.
        Ok(Action(unsafe { old.assume_init() }))
    }

    /// Whether children leave nothing to wait for, this being the action of `SIGCHLD`.
    pub(crate) fn discards_children(&self) -> bool {
        self.does() == Does::Nothing || self.0.sa_flags & libc::SA_NOCLDWAIT != 0
    }

    pub(crate) fn does(&self) -> Does {
        match self.0.sa_sigaction {
            libc::SIG_DFL => Does::Default,
            libc::SIG_IGN => Does::Nothing,
            address if address == caught as Informed as usize => Does::Ours,
            _ => Does::Other,
        }
    }

    /// Whether both call the same function in the same way.
    pub(crate) fn is(&self, other: &Action) -> bool {
        (self.0.sa_sigaction, self.0.sa_flags) == (other.0.sa_sigaction, other.0.sa_flags)
    }

    /// Calls the function, if there is one.
    ///
    /// # Safety
    /// Only in a handler, with what the handler got.
    unsafe fn call(&self, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        if self.does() != Does::Other {
            return;
        }
        let address = self.0.sa_sigaction as *const ();
        if self.0.sa_flags & libc::SA_SIGINFO != 0 {
            // SAFETY: with this flag the action's function takes three arguments.
            unsafe { std::mem::transmute::<*const (), Informed>(address)(signal, info, context) }
        } else {
            // SAFETY: without it, it takes one.
            unsafe { std::mem::transmute::<*const (), Plain>(address)(signal) }
        }
    }
}

thread_local! {
    /// How many of our handlers are on this thread's stack, by signal, in calls of other people's functions.
    /// (It has no destructor and is const: in a program, using it is one access to memory.)
    static DEPTH: [Cell<u8>; table::SIGNALS] = const { [const { Cell::new(0) }; table::SIGNALS] };
}

/// The handler. See rules 1 and 2.
extern "C" fn caught(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    let below = table::below(signal, 0).map_or(Does::Default, Action::does);
    if below == Does::Other {
        pass_on(signal, info, context);
    } else if !table::send(signal) && below == Does::Default {
        leave_to_default(signal);
    }
    Errno::set_raw(errno);
}

/// Tells the loops, and calls the function that was there before us.
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    DEPTH.with(|depths| {
        let Some(depth) = usize::try_from(signal).ok().and_then(|signal| depths.get(signal)) else { return };
        let outer = depth.get();
        if outer == 0 {
            table::send(signal);
        }
        // A handler that stands behind us in the chain may call us again, if it was put there before us too.
        depth.set(outer.saturating_add(1));
        if let Some(below) = table::below(signal, outer) {
            // SAFETY: this is a handler, and these are its arguments.
            unsafe { below.call(signal, info, context) };
        }
        depth.set(outer);
    });
}

/// Nobody listens to the signal any more, and nobody did before us: what would have happened without us
/// happens as soon as the handler is left. Unless the system calls somebody else, who has called us, or a
/// loop has begun to listen since.
fn leave_to_default(signal: c_int) {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: `sigaction` and `raise` may be called in handlers; the structure is filled before it is used.
    unsafe {
        if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0 {
            let mut action = action.assume_init();
            match Action(action).does() {
                // It has put us back after its place was in the table.
                Does::Ours if table::send(signal) => return,
                Does::Ours => {
                    action.sa_sigaction = libc::SIG_DFL;
                    action.sa_flags = 0;
                    libc::sigaction(signal, &action, ptr::null_mut());
                }
                // The last loop that listened has put it back since the signal came.
                Does::Default => {}
                Does::Nothing | Does::Other => return,
            }
            libc::raise(signal);
        }
    }
}

/// All signals, blocked in this thread until it is dropped.
pub(crate) struct Blocked(libc::sigset_t);

impl Blocked {
    pub(crate) fn all() -> Blocked {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut old = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the first call fills `all`, the second `old`; neither can fail with these arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
            Blocked(old.assume_init())
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the mask was in force before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}

/// Whether this thread keeps the signal waiting.
pub(crate) fn is_blocked(signal: c_int) -> bool {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: without a new mask the call changes nothing, and fills this one; it is looked at only then.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr()) == 0
            && libc::sigismember(mask.as_ptr(), signal) == 1
    }
}

/// The first and the last of the signals that are free for applications, where there are any.
pub(crate) fn realtime() -> (c_int, c_int) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return (libc::SIGRTMIN(), libc::SIGRTMAX());
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    (1, 0)
}
