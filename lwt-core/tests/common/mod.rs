//! Helpers shared by the behaviour tests of the core.
//!
//! The tests speak of promises by a short text (`show`) and of callbacks by a journal (`Log`), so that an assertion
//! reads as a sentence: `assert_eq!(show(&p), "ok 3")`, `assert_eq!(log.take(), "first second")`.
#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]

use std::cell::{Cell, RefCell};
use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lwt_core::{Error, Promise, State, scheduler};

/// What callbacks did, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Log {
        Log::default()
    }

    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    /// The entries so far, separated by blanks; the journal is empty afterwards.
    pub(crate) fn take(&self) -> String {
        self.0.take().join(" ")
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// A callback that writes `entry`, whatever it is called with.
    pub(crate) fn note(&self, entry: impl Display) -> impl FnOnce() + 'static {
        let (log, entry) = (self.clone(), entry.to_string());
        move || log.add(entry)
    }
}

/// An error as a test writes it: `canceled`, `abandoned`, `panic TEXT`, `error TEXT`.
pub(crate) fn text(error: &Error) -> String {
    if error.is_canceled() {
        "canceled".into()
    } else if error.is_abandoned() {
        "abandoned".into()
    } else if let Some(message) = error.panic_message() {
        format!("panic {message}")
    } else {
        format!("error {}", error.as_std())
    }
}

/// The state of a promise: `pending`, `ok VALUE`, or what `text` says. This is a look at the rejection.
pub(crate) fn show<T: Debug + 'static>(promise: &Promise<T>) -> String {
    match promise.state() {
        State::Pending => "pending".into(),
        State::Fulfilled(value) => format!("ok {value:?}"),
        State::Rejected(error) => text(error),
    }
}

/// An outcome in the same words.
pub(crate) fn show_result<T: Debug>(result: Result<T, &Error>) -> String {
    match result {
        Ok(value) => format!("ok {value:?}"),
        Err(error) => text(error),
    }
}

/// Polls tasks until none is queued.
pub(crate) fn spin() {
    let mut polled = 0;
    loop {
        let now = scheduler::run_ready(64);
        polled += now;
        if now == 0 && !scheduler::has_ready() {
            return;
        }
        assert!(polled < 1_000_000_000, "the tasks never come to rest");
    }
}

/// One turn of a loop without an engine: wakes the paused, then polls the tasks until none is queued.
pub(crate) fn turn() {
    scheduler::wakeup_paused();
    spin();
}

/// A value that can only be moved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unique(pub(crate) i32);

/// Counts how often its clones, or the one original, were dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub(crate) fn new() -> Drops {
        Drops::default()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }

    /// A token whose drop is counted.
    pub(crate) fn token(&self) -> DropToken {
        DropToken(self.0.clone())
    }
}

/// See [`Drops::token`].
pub(crate) struct DropToken(Rc<Cell<usize>>);

impl Debug for DropToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DropToken")
    }
}

impl Drop for DropToken {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Collects what the unhandled-rejection hook of this thread is told, until it is dropped.
pub(crate) struct Unhandled {
    told: Rc<RefCell<Vec<String>>>,
    before: Option<Rc<dyn Fn(&Error)>>,
}

impl Unhandled {
    pub(crate) fn collect() -> Unhandled {
        let told = Rc::new(RefCell::new(Vec::new()));
        let sink = told.clone();
        let before = lwt_core::set_unhandled_hook(Some(Rc::new(move |error: &Error| {
            sink.borrow_mut().push(text(error))
        })));
        Unhandled { told, before }
    }

    /// What was told so far, separated by `, `; empty afterwards.
    pub(crate) fn take(&self) -> String {
        self.told.take().join(", ")
    }
}

impl Drop for Unhandled {
    fn drop(&mut self) {
        lwt_core::set_unhandled_hook(self.before.take());
    }
}

/// Runs `f` on a thread with a stack of 256 KiB; its panic is the test's.
pub(crate) fn on_small_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(f).expect("a thread");
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Calls `f` at this depth of a cascade. From 40 on, resolutions inside wait for the outermost one.
pub(crate) fn at_level(depth: u32, f: impl FnOnce() + 'static) {
    fn nest(depth: u32, f: Box<dyn FnOnce()>) {
        if depth == 0 {
            return f();
        }
        let (promise, resolver) = lwt_core::wait::<()>();
        promise.on_success(move |()| nest(depth - 1, f));
        resolver.wakeup(());
    }
    nest(depth, Box::new(f));
}

/// Ends the process when the test that holds it hangs.
pub(crate) struct Watchdog {
    _bark: mpsc::Sender<()>,
}

pub(crate) fn watchdog() -> Watchdog {
    let (bark, quiet) = mpsc::channel::<()>();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        let patience = if cfg!(miri) { 3600 } else { 300 };
        if quiet.recv_timeout(Duration::from_secs(patience)) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    Watchdog { _bark: bark }
}

/// How many times a heavy test turns: all of it when optimised, less in a debug build, very little under miri.
pub(crate) fn heavy(release: usize, debug: usize, miri: usize) -> usize {
    if cfg!(miri) {
        miri
    } else if cfg!(debug_assertions) {
        debug
    } else {
        release
    }
}

/// A small generator (splitmix64) for seeded tests.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `n` calls, on average.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A future of nobody's runtime: pending until `open`, counts its polls and its drops.
pub(crate) struct Foreign {
    open: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
    polls: Rc<Cell<usize>>,
    _drop: DropToken,
}

/// The outside of a [`Foreign`].
#[derive(Clone)]
pub(crate) struct Gate {
    open: Rc<Cell<bool>>,
    pub(crate) waker: Rc<RefCell<Option<Waker>>>,
    pub(crate) polls: Rc<Cell<usize>>,
    pub(crate) drops: Drops,
}

impl Gate {
    pub(crate) fn new() -> (Foreign, Gate) {
        let gate =
            Gate { open: Rc::default(), waker: Rc::default(), polls: Rc::default(), drops: Drops::new() };
        let Gate { open, waker, polls, drops } = gate.clone();
        (Foreign { open, waker, polls, _drop: drops.token() }, gate)
    }

    pub(crate) fn open(&self) {
        self.open.set(true);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Foreign {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.set(self.polls.get() + 1);
        if self.open.get() {
            return Poll::Ready(());
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}
