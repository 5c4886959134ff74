//! [`calls`]: the named calls that run now, to see what keeps the threads.

use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use slab::Slab;

/// A named call that runs: see [`calls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Running {
    /// The name that it was given.
    pub name: &'static str,
    /// The line that detached it.
    pub origin: &'static Location<'static>,
    /// When it began.
    pub since: Instant,
}

/// What is to be listed when the call begins.
pub(super) struct About {
    name: &'static str,
    origin: &'static Location<'static>,
}

/// About a call that the caller detaches.
#[track_caller]
pub(super) fn about(name: Option<&'static str>) -> Option<About> {
    let origin = Location::caller();
    name.map(|name| About { name, origin })
}

/// The named calls that run now, in all pools of the process: what a program that seems to hang may print,
/// beside the promises that are pending (`lwt_core::registry`, which has the promise of each call by the same
/// name and line, also while the call waits for a thread).
///
/// ```
/// use lwt_preemptive::detach::{Call, calls};
/// let (began, begun) = std::sync::mpsc::channel();
/// let (go, wait) = std::sync::mpsc::channel::<()>();
/// let call = Call::new().named("backup").detach(move || {
///     began.send(()).unwrap();
///     wait.recv().is_err()
/// });
/// begun.recv().unwrap();
/// let listed = calls();
/// assert_eq!(listed[0].name, "backup");
/// println!("{} since {:?}, from {}", listed[0].name, listed[0].since.elapsed(), listed[0].origin);
/// drop(go);
/// lwt_unix::run(call).unwrap();
/// assert!(calls().is_empty());
/// ```
pub fn calls() -> Vec<Running> {
    let mut calls: Vec<_> = list().iter().map(|(_, running)| *running).collect();
    calls.sort_by_key(|running| running.since);
    calls
}

fn list() -> MutexGuard<'static, Slab<Running>> {
    static LIST: Mutex<Slab<Running>> = Mutex::new(Slab::new());
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The call begins; it is in the list until the guard is dropped.
pub(super) fn enlist(About { name, origin }: About) -> Listed {
    Listed(list().insert(Running { name, origin, since: Instant::now() }))
}

pub(super) struct Listed(usize);

impl Drop for Listed {
    fn drop(&mut self) {
        list().remove(self.0);
    }
}
