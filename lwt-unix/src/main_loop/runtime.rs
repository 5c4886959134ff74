//! [`Runtime`]: what a thread's promises have of the operating system.
//!
//! 1. A thread has one, made at the first need: by `run`, a timer, a descriptor, a job. Making it takes descriptors,
//!    so it may fail, and whoever needed it reports the error.
//! 2. It ends with its thread. What the core still holds is dropped first, then timers, jobs and registrations;
//!    whoever still waits for one of them is rejected. A thread that is ending gets no new one.
//! 3. No cell of it is borrowed while a promise is resolved or dropped.
//! 4. In a forked child it does nothing to the engine, whose kernel part is the parent's too, before
//!    [`Runtime::after_fork`]. It is not ended in a child that ends without it, nor when `run` is on the stack: there
//!    the process is ending (`exit`), and what the loop holds is in use.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::process;
use std::rc::Rc;

use lwt_core::{Error, scheduler};

use crate::engine::registration::Source;
use crate::engine::sources::Sources;
use crate::engine::{Engine, Event, MioEngine, Readiness, Token, Wait};
use crate::job::desk::Desk;
use crate::time::timers::Timers;

/// What a thread's promises have of the operating system.
pub(crate) struct Runtime {
    engine: RefCell<Box<dyn Engine>>,
    sources: RefCell<Sources>,
    pub(crate) timers: Timers,
    pub(crate) jobs: Desk,
    /// Whether `run` is on the stack.
    pub(crate) running: Cell<bool>,
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
            Ok(Runtime::settle(home, Box::new(MioEngine::new()?)))
        })
        .unwrap_or_else(|_ended| Err(io::Error::other("the thread is ending, and its main loop has ended")))
    }

    /// This thread's runtime, if there is one.
    pub(crate) fn existing() -> Option<Rc<Runtime>> {
        HOME.try_with(|home| home.0.borrow().clone()).ok().flatten()
    }

    /// Makes a runtime with this engine, for a thread that has none.
    ///
    /// # Errors
    /// The engine back, if there is one already or the thread is ending.
    pub(crate) fn install(engine: Box<dyn Engine>) -> Result<(), Box<dyn Engine>> {
        let mut engine = Some(engine);
        let installed = HOME.try_with(|home| {
            if home.0.borrow().is_none()
                && let Some(engine) = engine.take()
            {
                Runtime::settle(home, engine);
            }
        });
        match (installed, engine) {
            (_, Some(engine)) => Err(engine),
            _ => Ok(()),
        }
    }

    fn settle(home: &Home, engine: Box<dyn Engine>) -> Rc<Runtime> {
        scheduler::set_kick(Some(engine.waker()));
        let runtime = Rc::new(Runtime {
            timers: Timers::new(engine.now()),
            engine: RefCell::new(engine),
            sources: RefCell::default(),
            jobs: Desk::new(scheduler::handle()),
            running: Cell::new(false),
            process: Cell::new(process::id()),
            batch: Cell::default(),
        });
        *home.0.borrow_mut() = Some(Rc::clone(&runtime));
        runtime
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
            self.engine.borrow_mut().register(fd, token)?;
            Ok(make(token))
        })
    }

    /// Takes a registration out of table and engine.
    pub(crate) fn deregister(&self, fd: RawFd, token: Token) {
        let source = self.sources.borrow_mut().remove(token);
        if source.is_some() && !self.is_forked() {
            // It fails if the descriptor was closed before; then the system has forgotten it by itself.
            let _ = self.engine.borrow_mut().deregister(fd, token);
        }
    }

    /// The registration that this token was given to, if it still stands.
    pub(crate) fn source(&self, token: Token) -> Option<Rc<Source>> {
        self.sources.borrow().get(token).cloned()
    }

    /// Passes on what is waited for.
    pub(crate) fn wants(&self, fd: RawFd, token: Token, readiness: Readiness) {
        self.engine.borrow_mut().wants(fd, token, readiness);
    }

    /// How many descriptors are registered.
    pub(crate) fn registered(&self) -> usize {
        self.sources.borrow().len()
    }

    /// Takes from the engine what is there, and wakes those who waited for it.
    pub(crate) fn poll(&self) -> io::Result<()> {
        let mut batch = self.batch.take();
        let polled = self.engine.borrow_mut().poll(Wait::No, &mut batch);
        self.report(batch);
        polled
    }

    /// The same, after having waited for it, or for a message from another thread.
    pub(crate) fn block(&self, wait: Wait) -> io::Result<()> {
        let mut batch = self.batch.take();
        // A message that came before we announced our sleep was not followed by a kick.
        let wait = if scheduler::prepare_sleep() { wait } else { Wait::No };
        let polled = self.engine.borrow_mut().poll(wait, &mut batch);
        scheduler::awake();
        self.report(batch);
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

    /// Makes the engine anew in the child after a fork, and registers everything with it.
    ///
    /// # Errors
    /// Those of the engine.
    pub(crate) fn after_fork(&self) -> io::Result<()> {
        self.engine.borrow_mut().after_fork()?;
        self.process.set(process::id());
        scheduler::set_kick(Some(self.engine.borrow().waker()));
        let sources = self.sources.borrow().all();
        for source in sources {
            let (fd, token) = source.place();
            self.engine.borrow_mut().register(fd, token)?;
        }
        Ok(())
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
        let sources = self.sources.borrow().all();
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
