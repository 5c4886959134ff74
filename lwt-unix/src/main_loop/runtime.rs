//! [`Runtime`]: what a thread's promises have of the operating system.
//!
//! 1. A thread has one, made at the first need: by `run`, a timer, a descriptor, a job. Making it takes
//!    descriptors, so it may fail, and whoever needed it reports the error.
//! 2. It ends with its thread. What the core still holds is dropped first, then timers, jobs and
//!    registrations; whoever still waits for one of them is rejected. A thread that is ending gets no new
//!    one.
//! 3. No cell of it is borrowed while a promise is resolved or dropped, nor while the engine is polled, which
//!    may run foreign code: that code may do all that a callback may, and give the thread another engine.
//! 4. In a forked child it does nothing to the engine, whose kernel part is the parent's too, before
//!    [`Runtime::after_fork`]. It is not ended in a child that ends without it, nor when `run` is on the
//!    stack: there the process is ending (`exit`), and what the loop holds is in use.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::process;
use std::rc::Rc;
use std::thread::AccessError;

use lwt_core::{Error, scheduler};

use super::arrivals::Expected;
use super::section::Place;
use crate::engine::registration::Source;
use crate::engine::sources::Sources;
use crate::engine::{self, Engine, Event, Readiness, Token, Wait};
use crate::file;
use crate::job::{self, desk::Desk};
use crate::notification::{self, Notifications};
use crate::process::desk::Children;
use crate::signal::handlers::{self, Signals};
use crate::sys::hook;
use crate::time::timers::Timers;

/// What a thread's promises have of the operating system.
pub(crate) struct Runtime {
    engine: RefCell<Rc<dyn Engine>>,
    sources: RefCell<Sources>,
    pub(crate) timers: Timers,
    pub(crate) jobs: Desk,
    pub(crate) arrivals: Expected,
    pub(crate) notifications: Notifications,
    pub(crate) signals: Signals,
    pub(crate) children: Children,
    /// Whether `run` is on the stack.
    pub(crate) running: Cell<bool>,
    /// What is told of the loop's blocking.
    pub(crate) section: Place,
    /// The process that the engine was made in.
    process: Cell<u32>,
    /// The memory for the next batch of events.
    batch: Cell<Vec<Event>>,
}

/// The place of a thread's runtime; its drop is the end of the thread.
struct Home(RefCell<Option<Rc<Runtime>>>);

thread_local! {
    static HOME: Home = const { Home(RefCell::new(None)) };
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            if runtime.running.get() || runtime.is_forked() {
                std::mem::forget(runtime);
            } else {
                runtime.end();
            }
        }
    }
}

impl Runtime {
    /// This thread's runtime, made if there is none.
    ///
    /// # Errors
    /// Those of making an engine (`EMFILE`, say); that the thread is ending.
    pub(crate) fn current() -> io::Result<Rc<Runtime>> {
        HOME.try_with(|home| {
            if let Some(runtime) = &*home.0.borrow() {
                return Ok(Rc::clone(runtime));
            }
            Ok(Runtime::settle(home, engine::default_engine()?))
        })
        .unwrap_or_else(|ended| Err(ending(ended)))
    }

    /// This thread's runtime, if there is one.
    pub(crate) fn existing() -> Option<Rc<Runtime>> {
        HOME.try_with(|home| home.0.borrow().clone()).ok().flatten()
    }

    /// Makes a runtime with this engine, if the thread has none; else gives the one that there is.
    ///
    /// # Errors
    /// That the thread is ending.
    pub(crate) fn current_or(engine: Rc<dyn Engine>) -> io::Result<Option<Rc<Runtime>>> {
        match Runtime::existing() {
            Some(runtime) => Ok(Some(runtime)),
            None => HOME.try_with(|home| drop(Runtime::settle(home, engine))).map(|()| None).map_err(ending),
        }
    }

    fn settle(home: &Home, engine: Rc<dyn Engine>) -> Rc<Runtime> {
        scheduler::set_kick(Some(engine.waker()));
        let runtime = Rc::new(Runtime {
            timers: Timers::new(engine.now()),
            engine: RefCell::new(engine),
            sources: RefCell::default(),
            jobs: Desk::new(scheduler::handle()),
            arrivals: Expected::default(),
            notifications: Notifications::default(),
            signals: Signals::default(),
            children: Children::default(),
            running: Cell::new(false),
            section: Place::default(),
            process: Cell::new(process::id()),
            batch: Cell::default(),
        });
        *home.0.borrow_mut() = Some(Rc::clone(&runtime));
        runtime
    }

    /// How other threads reach this one's loop.
    pub(crate) fn handle(&self) -> scheduler::Handle {
        self.jobs.handle()
    }

    /// The engine.
    #[inline]
    pub(crate) fn engine(&self) -> Rc<dyn Engine> {
        Rc::clone(&self.engine.borrow())
    }

    /// Goes on with another engine: all that is registered, waited for and timed moves over, and timers keep
    /// what is left of their time. Gives the old engine.
    ///
    /// # Errors
    /// The new engine's, at a descriptor that it does not take; then all is as it was.
    pub(crate) fn move_to(&self, engine: Rc<dyn Engine>) -> io::Result<Rc<dyn Engine>> {
        if Rc::ptr_eq(&engine, &self.engine.borrow()) {
            return Ok(engine);
        }
        let sources = self.sources();
        for (done, source) in sources.iter().enumerate() {
            let (fd, token) = source.place();
            if let Err(error) = engine.register(fd, token) {
                for source in &sources[..done] {
                    let (fd, token) = source.place();
                    let _ = engine.deregister(fd, token);
                }
                return Err(error);
            }
        }
        scheduler::set_kick(Some(engine.waker()));
        let now = engine.now();
        let old = self.engine.replace(engine);
        self.timers.move_clock(old.now(), now);
        for source in sources {
            let (fd, token) = source.place();
            let _ = old.deregister(fd, token);
            source.tell_wants();
        }
        Ok(old)
    }

    /// The engine's name.
    pub(crate) fn engine_name(&self) -> &'static str {
        self.engine.borrow().name()
    }

    /// The engine's clock.
    pub(crate) fn now(&self) -> std::time::Instant {
        self.engine.borrow().now()
    }

    /// Registers a descriptor; see [`Registration::new`](crate::engine::registration::Registration::new).
    pub(crate) fn register(
        &self,
        fd: RawFd,
        make: impl FnOnce(Token) -> Rc<Source>,
    ) -> io::Result<Rc<Source>> {
        self.sources.borrow_mut().insert(|token| {
            self.engine.borrow().register(fd, token)?;
            Ok(make(token))
        })
    }

    /// Takes a registration out of table and engine.
    pub(crate) fn deregister(&self, fd: RawFd, token: Token) {
        let source = self.sources.borrow_mut().remove(token);
        if source.is_some() && !self.is_forked() {
            // It fails if the descriptor was closed before; then the system has forgotten it by itself.
            let _ = self.engine.borrow().deregister(fd, token);
        }
    }

    /// The registration that this token was given to, if it still stands.
    pub(crate) fn source(&self, token: Token) -> Option<Rc<Source>> {
        self.sources.borrow().get(token).cloned()
    }

    /// Passes on what is waited for.
    pub(crate) fn wants(&self, fd: RawFd, token: Token, readiness: Readiness) {
        self.engine.borrow().wants(fd, token, readiness);
    }

    /// All registrations.
    pub(crate) fn sources(&self) -> Vec<Rc<Source>> {
        self.sources.borrow().all()
    }

    /// Takes from the engine what is there, and wakes those who waited for it.
    pub(crate) fn poll(&self) -> io::Result<()> {
        self.take_events(Wait::No)
    }

    /// The same, after having waited for it, or for a message from another thread.
    pub(crate) fn block(&self, wait: Wait) -> io::Result<()> {
        let wait = if self.prepare_sleep() { wait } else { Wait::No };
        // A loop inside a job that waits for jobs must not keep the thread from them.
        let polled = match self.jobs.len() {
            0 => self.take_events(wait),
            _ => job::waiting(|| self.take_events(wait)),
        };
        self.awake();
        polled
    }

    /// Announces that the thread is about to sleep, from when on others ring at the engine. False if there is
    /// something to do, of which nobody will tell: a message that came before, a report that is due.
    pub(crate) fn prepare_sleep(&self) -> bool {
        scheduler::prepare_sleep()
            && !hook::has_doubts()
            && !self.notifications.is_unheard()
            && self.arrivals.prepare_sleep()
    }

    /// The thread sleeps no more.
    pub(crate) fn awake(&self) {
        scheduler::awake();
        self.arrivals.awake();
    }

    /// A moment before the loop blocks: see [`Expected::spin`]. In a simulation a job is done instead.
    pub(crate) fn spin(&self, deadline: Option<std::time::Instant>, changed: impl Fn() -> bool) -> bool {
        let jobs = self.jobs.len() > 0;
        if hook::is_simulated() {
            return jobs && self.jobs.perform();
        }
        self.arrivals.spin(jobs, deadline, changed)
    }

    fn take_events(&self, wait: Wait) -> io::Result<()> {
        let mut batch = self.batch.take();
        let polled = {
            let _section = (wait != Wait::No).then(|| self.section.enter());
            self.engine().poll(wait, &mut batch)
        };
        file::polled();
        hook::report_doubts(&mut batch);
        self.report(batch);
        self.notifications.look_unheard();
        self.arrivals.take();
        polled
    }

    /// Wakes those who waited for these events.
    fn report(&self, mut batch: Vec<Event>) {
        for event in batch.drain(..) {
            if let Some(source) = self.source(event.token) {
                source.report(event.readiness);
            }
        }
        self.batch.set(batch);
    }

    /// In the child after a fork: this thread's loop, if it has one, gets its engine anew, with everything
    /// registered; the loops of other threads have ended. No callback is called, as long as there is no
    /// engine for it: see [`Runtime::leave_parent`].
    ///
    /// # Errors
    /// Those of the engine, and of the bell of the notifications.
    pub(crate) fn after_fork() -> io::Result<()> {
        job::after_fork();
        let runtime = Runtime::existing();
        // Before the bell's descriptor is registered anew: it becomes another one.
        notification::after_fork(runtime.as_ref().map(|runtime| &runtime.notifications))?;
        handlers::after_fork(runtime.as_ref().map(|runtime| &runtime.signals));
        crate::fd::after_fork();
        runtime.as_ref().map_or(Ok(()), |runtime| runtime.arrivals.after_fork())?;
        let Some(runtime) = runtime else { return Ok(()) };
        let engine = runtime.engine();
        engine.after_fork()?;
        runtime.process.set(process::id());
        scheduler::set_kick(Some(engine.waker()));
        for source in runtime.sources() {
            let (fd, token) = source.place();
            engine.register(fd, token)?;
            source.tell_wants();
        }
        Ok(())
    }

    /// The second step: whoever waits for what only the parent will hear of is told so.
    pub(crate) fn leave_parent() {
        if let Some(runtime) = Runtime::existing() {
            runtime.jobs.after_fork();
            runtime.children.after_fork();
        }
    }

    /// Whether this is the child of a fork, before [`Runtime::after_fork`].
    fn is_forked(&self) -> bool {
        self.process.get() != process::id()
    }

    /// The end: see rule 2.
    fn end(&self) {
        scheduler::end_thread();
        drop(self.timers.drain());
        self.jobs.end();
        self.arrivals.end();
        self.children.end();
        self.signals.end();
        self.notifications.end();
        let sources = self.sources();
        if !sources.is_empty() {
            let ended = Error::msg("the descriptor's main loop has ended");
            for source in sources {
                source.close(ended.clone());
            }
        }
        // What callbacks have begun meanwhile.
        scheduler::end_thread();
    }
}

/// What a thread says that is about to end, to those who need a runtime.
fn ending(_: AccessError) -> io::Error {
    io::Error::other("the thread is ending, and its main loop has ended")
}
