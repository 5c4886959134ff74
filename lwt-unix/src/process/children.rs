//! The children that loops wait for, as far as all loops of the process have them in common.
//!
//! The system tells of a child's end once. So whichever loop asks first keeps the answer for the others:
//!
//! 1. There is one [`Child`] for a process that somebody waits for by its number; all who do share it, on all
//!    threads.
//! 2. The system is asked under the lock of the table, and an end is written into the `Child` and the `Child`
//!    taken out of the table before the lock is released. The number may be given to a new process from then
//!    on; that one gets a `Child` of its own.
//! 3. Only numbers that were asked for are waited for. (`wait` for any child asks for any; if it gets one
//!    that others wait for by number, they are told too.)
//! 4. An `Arc` of a `Child` is cloned and dropped under the lock, so that the last one takes it out of the
//!    table.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use libc::c_int;

use super::{Pid, Waited};
use crate::sys;

/// A child that somebody waits for.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    end: OnceLock<Waited>,
}

type Table = BTreeMap<Pid, Weak<Child>>;

static TABLE: Mutex<Table> = Mutex::new(BTreeMap::new());

/// Somebody waits for the child of this number.
pub(super) fn watch(pid: Pid) -> Arc<Child> {
    let mut table = lock();
    if let Some(child) = table.get(&pid).and_then(Weak::upgrade) {
        return child;
    }
    let child = Arc::new(Child { pid, end: OnceLock::new() });
    table.insert(pid, Arc::downgrade(&child));
    child
}

/// The other end of [`watch`].
pub(super) fn leave(child: Arc<Child>) {
    let mut table = lock();
    let listed = table.get(&child.pid).is_some_and(|listed| std::ptr::eq(listed.as_ptr(), &*child));
    if listed && Arc::strong_count(&child) == 1 {
        table.remove(&child.pid);
    }
    drop(child);
}

/// What the child has to tell, if anything: its end, or what `flags` ask for besides.
///
/// # Errors
/// The system's; `ECHILD` if it is no child of this process, or somebody else has waited for it.
pub(super) fn ask(child: &Child, flags: c_int) -> io::Result<Option<Waited>> {
    let mut table = lock();
    if let Some(end) = child.end.get() {
        return Ok(Some(*end));
    }
    let told = sys::process::wait4(child.pid.number(), flags)?;
    if let Some(waited) = told {
        note(&mut table, waited);
    }
    Ok(told)
}

/// The same of any child that `which` names, as `waitpid` does.
///
/// # Errors
/// The system's; `ECHILD` if there is none.
pub(super) fn ask_any(which: c_int, flags: c_int) -> io::Result<Option<Waited>> {
    let mut table = lock();
    let told = sys::process::wait4(which, flags)?;
    if let Some(waited) = told {
        note(&mut table, waited);
    }
    Ok(told)
}

/// Takes note of all children that have ended.
pub(super) fn take_ended() {
    while let Ok(Some(_)) = ask_any(-1, 0) {}
}

/// See rule 2.
fn note(table: &mut Table, waited: Waited) {
    if waited.status.has_ended()
        && let Some(child) = table.remove(&waited.pid)
        && let Some(child) = child.upgrade()
    {
        let _ = child.end.set(waited);
    }
}

/// Keeps other threads away, for the time of a fork.
pub(super) fn hold() -> impl Drop {
    lock()
}

fn lock() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}
