//! [`LongTimeout`]: time-outs that are started again and again, and nearly never come (`Lwt_timeout`).
//!
//! A server has one for each connection, and starts it anew with each request. So starting one that is
//! running only notes the new moment: there is one timer in the loop for each, which, when it comes too
//! early, sleeps for what is left. (Lwt has a wheel with slots of a second for this, whose time-outs come up
//! to a second late; these come when they are due.)
//!
//! 1. It *runs* while it has a moment. [`stop`](LongTimeout::stop) takes that away; the timer stays until it
//!    comes or the last handle is dropped, and does nothing.
//! 2. The timer is never later than the moment. A start that brings the moment forward makes another one.
//!    Both count as the loop's timers do, which keep what is left of their time when the loop gets another
//!    engine.
//! 3. The function is called by the loop, with nothing borrowed and the time-out not running: it may start it
//!    again.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, Promise};

use crate::main_loop::hooks::report;
use crate::main_loop::runtime::Runtime;

/// A time-out that may be started, stopped and changed any number of times (`Lwt_timeout.t`). Clones are the
/// same; it does not run on when the last one is dropped.
///
/// ```
/// use std::time::Duration;
/// use std::{cell::Cell, rc::Rc};
/// use lwt_unix::time::LongTimeout;
/// let called = Rc::new(Cell::new(false));
/// let seen = called.clone();
/// let idle = LongTimeout::create(Duration::from_millis(2), move || seen.set(true));
/// idle.start();
/// // With every request:
/// idle.start();
/// lwt_unix::run(lwt_unix::sleep(Duration::from_millis(4))).unwrap();
/// assert!(called.get() && !idle.is_running());
/// ```
#[derive(Clone)]
pub struct LongTimeout(Rc<Inner>);

struct Inner {
    delay: Cell<Duration>,
    call: RefCell<Option<Box<dyn FnMut()>>>,
    /// When it is due, while it runs.
    due: Cell<Option<u64>>,
    /// The timer, and when it comes.
    timer: RefCell<Option<(u64, Promise<()>)>>,
}

type Handler = Rc<dyn Fn(Error)>;

thread_local! {
    static HANDLER: RefCell<Option<Handler>> = const { RefCell::new(None) };
}

/// Sets what is told of a [`LongTimeout`]'s function that panics, on this thread
/// (`Lwt_timeout.set_exn_handler`); without one, the hook for unhandled rejections is.
///
/// ```
/// use lwt_unix::time::set_timeout_handler;
/// set_timeout_handler(Some(|error| eprintln!("a time-out: {error}")));
/// set_timeout_handler(None::<fn(lwt_core::Error)>);
/// ```
pub fn set_timeout_handler(handler: Option<impl Fn(Error) + 'static>) {
    let handler = handler.map(|handler| Rc::new(handler) as Handler);
    // At the very end of a thread its place may be gone.
    let old = HANDLER.try_with(|place| place.replace(handler));
    drop(old);
}

impl LongTimeout {
    /// A time-out that calls `f` when it has run for `delay`; it does not run yet (`Lwt_timeout.create`). Any
    /// duration is legal.
    pub fn create(delay: Duration, f: impl FnMut() + 'static) -> LongTimeout {
        LongTimeout(Rc::new(Inner {
            delay: Cell::new(delay),
            call: RefCell::new(Some(Box::new(f))),
            due: Cell::new(None),
            timer: RefCell::new(None),
        }))
    }

    /// Starts it, or starts it anew: its time counts from now (`Lwt_timeout.start`). Where the thread has no
    /// main loop, and none can be made, its handler is told so, and it does not run.
    pub fn start(&self) {
        match Runtime::current() {
            Ok(runtime) => {
                let due = runtime.timers.count(runtime.now(), self.0.delay.get());
                self.0.due.set(Some(due));
                self.0.set_timer(&runtime, due);
            }
            Err(error) => {
                self.0.due.set(None);
                tell(error.into());
            }
        }
    }

    /// Stops it: its function is not called (`Lwt_timeout.stop`).
    pub fn stop(&self) {
        self.0.due.set(None);
    }

    /// Gives it another delay; if it runs, its time counts anew from now (`Lwt_timeout.change`).
    pub fn change(&self, delay: Duration) {
        self.0.delay.set(delay);
        if self.is_running() {
            self.start();
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.0.due.get().is_some()
    }

    /// The time it takes.
    pub fn delay(&self) -> Duration {
        self.0.delay.get()
    }
}

impl Inner {
    /// Sees to it that the timer comes at `due` or before.
    fn set_timer(self: &Rc<Self>, runtime: &Runtime, due: u64) {
        if self.timer.borrow().as_ref().is_some_and(|(comes, _)| *comes <= due) {
            return;
        }
        let timer = runtime.timers.start_at(due);
        let this = Rc::downgrade(self);
        let old = self.timer.replace(Some((due, timer.clone())));
        if let Some((_, old)) = old {
            old.cancel();
        }
        timer.on_any(move |came| {
            if let (Ok(()), Some(runtime), Some(this)) = (came, Runtime::existing(), this.upgrade()) {
                this.ring(&runtime);
            }
        });
    }

    /// The timer has come.
    fn ring(self: &Rc<Self>, runtime: &Runtime) {
        let timer = self.timer.take();
        drop(timer);
        let Some(due) = self.due.get() else { return };
        if due > runtime.timers.count(runtime.now(), Duration::ZERO) {
            self.set_timer(runtime, due);
            return;
        }
        self.due.set(None);
        let call = self.call.take();
        let Some(mut call) = call else { return };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(&mut call)) {
            tell(Error::from_panic(panic));
        }
        *self.call.borrow_mut() = Some(call);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A callback hangs on the timer, so that it would live on without its handles.
        if let Some((_, timer)) = self.timer.take() {
            timer.cancel();
        }
    }
}

fn tell(error: Error) {
    let handler = HANDLER.try_with(|handler| handler.borrow().clone());
    match handler.ok().flatten() {
        Some(handler) => crate::main_loop::hooks::guarded(|| handler(error)),
        None => report(error),
    }
}

impl fmt::Debug for LongTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongTimeout")
            .field("delay", &self.delay())
            .field("running", &self.is_running())
            .finish()
    }
}
