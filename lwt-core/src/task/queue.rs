//! The tasks of a thread: those that wait for their turn, and all that live.

use std::cell::Cell;
use std::mem::{ManuallyDrop, offset_of};
use std::ptr;

use crate::Error;
use crate::links::List;

use super::header::{Task, TaskRef};
use super::run;

struct Tasks {
    /// The run queue, through [`Task::next`]. Each entry owns a ref.
    first: Cell<*const Task>,
    last: Cell<*const Task>,
    many: Cell<usize>,
    /// Every task that was suspended once and is not done.
    live: List,
}

thread_local! {
    // Without a destructor, so that tasks work to the very end of a thread.
    static TASKS: ManuallyDrop<Tasks> = const {
        ManuallyDrop::new(Tasks {
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
            many: Cell::new(0),
            live: List::new(),
        })
    };
}

/// Appends a task to the run queue.
#[inline]
pub(super) fn push(task: TaskRef) {
    let task = ManuallyDrop::new(task).as_ptr();
    TASKS.with(|tasks| {
        let last = tasks.last.replace(task);
        if last.is_null() {
            tasks.first.set(task);
        } else {
            // SAFETY: a queued task is alive: the queue owns a ref.
            unsafe { (*last).next.set(task) };
        }
        tasks.many.set(tasks.many.get() + 1);
    });
}

fn pop() -> Option<TaskRef> {
    TASKS.with(|tasks| {
        let first = tasks.first.get();
        if first.is_null() {
            return None;
        }
        // SAFETY: a queued task is alive, and the queue's ref is the caller's now.
        let task = unsafe { TaskRef::adopt(first) };
        // SAFETY: as above.
        tasks.first.set(unsafe { (*first).next.replace(ptr::null()) });
        if tasks.first.get().is_null() {
            tasks.last.set(ptr::null());
        }
        tasks.many.set(tasks.many.get() - 1);
        Some(task)
    })
}

/// How many tasks wait for their turn.
pub(crate) fn len() -> usize {
    TASKS.with(|tasks| tasks.many.get())
}

/// Polls queued tasks, first come first served, at most `budget` of them. Returns how many.
pub(crate) fn run(budget: usize) -> usize {
    let mut done = 0;
    while done < budget {
        let Some(task) = pop() else { break };
        task.run();
        done += 1;
    }
    done
}

/// Adds a task to the live ones.
///
/// # Safety
/// `task` is alive, not in the list, and unlinked before its block goes.
pub(super) unsafe fn enlist(task: *const Task) {
    // SAFETY: by the caller.
    TASKS.with(|tasks| unsafe { tasks.live.push_back(&raw const (*task).live) });
}

/// Whether there is no task, neither queued nor suspended.
pub(crate) fn is_idle() -> bool {
    TASKS.with(|tasks| tasks.live.is_empty()) && len() == 0
}

/// Drops the futures of all tasks that are live now, whose promises are rejected as abandoned. What their
/// ends begin anew is left.
pub(crate) fn end_all() {
    let ending = List::new();
    TASKS.with(|tasks| ending.append(&tasks.live));
    while let Some(links) = ending.pop_front() {
        let task = links.wrapping_byte_sub(offset_of!(Task, live)).cast::<Task>();
        // SAFETY: a live task has a ref of its own.
        run::end(&unsafe { TaskRef::new(task) }, Error::abandoned());
    }
    // Those that are done now need no turn any more.
    for _ in 0..len() {
        if let Some(task) = pop().filter(|task| !task.is_done()) {
            push(task);
        }
    }
}
