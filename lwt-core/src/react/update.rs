//! One step after the other: what is sent, the order in which nodes follow, and what waits for the end of a
//! step.
//!
//! 1. A *step* is one update of the graph: primitives change, then each node that has a changed source is
//!    updated, in the order of ranks, once.
//! 2. One step at a time: what is sent during a step, or during the actions at its end, waits. The outermost
//!    send makes all steps that wait before it returns, first come first served; only the *echoes* of a step,
//!    what its `fix` loops feed back, go before them, together in one step.
//! 3. When the graph has come to rest, the step's occurrences are dropped, and then the step's *actions*
//!    run: what is to happen with promises, streams and other code outside the graph.
//! 4. The queues know nodes weakly: a node that was dropped in the meantime is not updated.
//! 5. User code runs without any borrow, and its panic goes to the unhandled-rejection hook.

use std::cell::{Cell, RefCell};
use std::collections::{BinaryHeap, VecDeque};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};

use crate::promise::cascade::guarded;
use crate::storage::Storage;

use super::node::{Part, entry};

type Action = Box<dyn FnOnce()>;

/// A step that waits; it finds the task-local values of whoever had it wait.
struct Waiting {
    storage: Storage,
    change: Action,
}

struct Time {
    /// Somebody is making steps.
    running: Cell<bool>,
    /// The number of the newest node.
    nodes: Cell<u64>,
    waiting: RefCell<VecDeque<Waiting>>,
    /// Nodes to be updated in this step.
    queue: RefCell<BinaryHeap<Entry>>,
    /// Events that occur in this step.
    occurring: RefCell<Vec<Weak<dyn Part>>>,
    actions: RefCell<VecDeque<Action>>,
    echoes: RefCell<Vec<Action>>,
}

thread_local! {
    // Without a destructor, as all of the core's thread-locals.
    static TIME: ManuallyDrop<Time> = const {
        ManuallyDrop::new(Time {
            running: Cell::new(false),
            nodes: Cell::new(0),
            waiting: RefCell::new(VecDeque::new()),
            queue: RefCell::new(BinaryHeap::new()),
            occurring: RefCell::new(Vec::new()),
            actions: RefCell::new(VecDeque::new()),
            echoes: RefCell::new(Vec::new()),
        })
    };
}

/// The number of a new node.
pub(super) fn new_id() -> u64 {
    TIME.with(|time| {
        time.nodes.set(time.nodes.get() + 1);
        time.nodes.get()
    })
}

/// Makes a step of what `change` does to primitives: now, or, where steps are being made, after those that
/// wait.
pub(super) fn step(change: impl FnOnce() + 'static) {
    if TIME.with(|time| time.running.get()) {
        let later = Waiting::new(change);
        TIME.with(|time| time.waiting.borrow_mut().push_back(later));
    } else {
        between_steps(|| TIME.with(|time| time.make_step(change)));
    }
}

/// Runs `f` while no step is made: what is sent meanwhile waits, and is made before this returns, or, if it
/// is called inside a step, after that.
pub(super) fn between_steps<R>(f: impl FnOnce() -> R) -> R {
    if TIME.with(|time| time.running.replace(true)) {
        return f();
    }
    TIME.with(|time| {
        let _running = Running(time);
        let result = catch_unwind(AssertUnwindSafe(f));
        time.make_waiting();
        result.unwrap_or_else(|payload| resume_unwind(payload))
    })
}

/// Has `change` be a part of the step right after the current one, which goes before all that wait; or makes
/// a step of it now.
pub(super) fn echo(change: impl FnOnce() + 'static) {
    if TIME.with(|time| time.running.get()) {
        TIME.with(|time| time.echoes.borrow_mut().push(Box::new(change)));
    } else {
        step(change);
    }
}

/// Runs `action` at the end of the current step.
pub(super) fn at_end(action: impl FnOnce() + 'static) {
    TIME.with(|time| time.actions.borrow_mut().push_back(Box::new(action)));
}

/// Updates a node in this step.
pub(super) fn enqueue(part: &Rc<dyn Part>) {
    if !part.node().queued.replace(true) {
        TIME.with(|time| time.queue.borrow_mut().push(entry(part)));
    }
}

/// Has an event forget its occurrence at the end of this step.
pub(super) fn occurs(part: Weak<dyn Part>) {
    TIME.with(|time| time.occurring.borrow_mut().push(part));
}

impl Waiting {
    fn new(change: impl FnOnce() + 'static) -> Waiting {
        Waiting { storage: Storage::capture(), change: Box::new(change) }
    }
}

fn pop<T>(queue: &RefCell<VecDeque<T>>) -> Option<T> {
    queue.borrow_mut().pop_front()
}

impl Time {
    fn make_step(&self, change: impl FnOnce()) {
        guarded(change);
        loop {
            let next = self.queue.borrow_mut().pop();
            let Some(Entry { rank, part, .. }) = next else { break };
            let Some(part) = part.upgrade() else { continue };
            if part.node().rank() > rank {
                // It was lifted while it was in the queue.
                self.queue.borrow_mut().push(entry(&part));
                continue;
            }
            part.node().queued.set(false);
            part.update();
        }
        loop {
            let next = self.occurring.borrow_mut().pop();
            let Some(part) = next else { break };
            if let Some(part) = part.upgrade() {
                part.forget();
            }
        }
        while let Some(action) = pop(&self.actions) {
            guarded(action);
        }
    }

    /// Makes all steps that wait.
    fn make_waiting(&self) {
        loop {
            let echoes = self.echoes.take();
            if !echoes.is_empty() {
                let together = Waiting::new(move || echoes.into_iter().for_each(guarded));
                self.waiting.borrow_mut().push_front(together);
            }
            let Some(Waiting { storage, change }) = pop(&self.waiting) else { break };
            let _installed = storage.install();
            self.make_step(change);
        }
    }

    /// Gives memory back, but for `many` places in each queue.
    fn shrink_to(&self, many: usize) {
        self.waiting.borrow_mut().shrink_to(many);
        self.queue.borrow_mut().shrink_to(many);
        self.occurring.borrow_mut().shrink_to(many);
        self.actions.borrow_mut().shrink_to(many);
    }
}

/// Gives back the memory that is kept for the next step.
pub(super) fn release_cached() {
    TIME.with(|time| time.shrink_to(0));
}

/// The time in which steps are made. At its end the memory of long queues goes.
struct Running<'a>(&'a Time);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shrink_to(64);
        self.0.running.set(false);
    }
}

/// A node in the queue of a step.
pub(super) struct Entry {
    rank: u64,
    id: u64,
    part: Weak<dyn Part>,
}

impl Entry {
    pub(super) fn new(rank: u64, id: u64, part: Weak<dyn Part>) -> Entry {
        Entry { rank, id, part }
    }
}

impl Ord for Entry {
    /// The greatest comes out first: the lowest rank, and of those the oldest node.
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (other.rank, other.id).cmp(&(self.rank, self.id))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}
