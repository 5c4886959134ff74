//! [`Prefork`] and [`Service`]: the program's side.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use lwt_core::mutex::Mutex;
use lwt_core::retry::BackOff;
use lwt_core::{Error, Promise, Resolver, pick, spawn, wait};
use lwt_unix::main_loop::ExitHook;
use lwt_unix::process::Pid;

use super::generation::{Event, Generation, Launch, Run, WorkerState};
use super::{READY, SOCKET};
use crate::worker::{Message, Process, Start};

/// How a service is to be run; see the [module](super).
#[derive(Clone)]
#[must_use = "nothing serves before `serve` is called"]
pub struct Prefork {
    settings: Settings,
    start: Start,
    on_message: Option<Rc<dyn Fn(Pid, Message)>>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) workers: usize,
    pub(super) healthy: Duration,
    pub(super) attempts: u32,
    pub(super) back_off: BackOff,
    pub(super) on_event: Option<Rc<dyn Fn(Event)>>,
}

impl Default for Prefork {
    fn default() -> Prefork {
        Prefork::new()
    }
}

impl Prefork {
    /// As many workers as there are processors; ten starts that come to nothing, in a row, give it up; the
    /// delays between them double from 50 ms to 5 s; a worker is well that has served for a second; and it
    /// has 30 seconds to drain.
    pub fn new() -> Prefork {
        Prefork {
            settings: Settings {
                workers: std::thread::available_parallelism().map_or(1, usize::from),
                healthy: Duration::from_secs(1),
                attempts: 10,
                back_off: BackOff::new(Duration::from_millis(50)).at_most(Duration::from_secs(5)),
                on_event: None,
            },
            start: Start::new().grace(Duration::from_secs(30)),
            on_message: None,
        }
    }

    /// How many workers there are; one at least.
    pub fn workers(mut self, workers: usize) -> Prefork {
        self.settings.workers = workers.max(1);
        self
    }

    /// How long a worker must have served so that its end is no failure to start, and it is replaced at once.
    pub fn healthy(mut self, served: Duration) -> Prefork {
        self.settings.healthy = served;
        self
    }

    /// After how many failures in a row it is given up, if no worker serves, or not all have got ready yet.
    /// Those of all workers count: when there are more workers, it can be one of each.
    pub fn attempts(mut self, attempts: u32) -> Prefork {
        self.settings.attempts = attempts;
        self
    }

    /// The delays between failures in a row.
    pub fn back_off(mut self, back_off: BackOff) -> Prefork {
        self.settings.back_off = back_off;
        self
    }

    /// How workers are started: what they are given besides the socket, their limits, and by
    /// [`Start::grace`] how long they have to drain before they are killed.
    pub fn start(mut self, start: Start) -> Prefork {
        self.start = start;
        self
    }

    /// Calls `f` for what happens to the workers.
    pub fn on_event(mut self, f: impl Fn(Event) + 'static) -> Prefork {
        self.settings.on_event = Some(Rc::new(f));
        self
    }

    /// Calls `f` for what the workers tell: progress, and lines for the log.
    pub fn on_message(mut self, f: impl Fn(Pid, Message) + 'static) -> Prefork {
        self.on_message = Some(Rc::new(f));
        self
    }

    /// Serves a listening socket: starts workers that run `function` with a copy of `argument`. Fulfilled
    /// when all of them are ready. A cancel ends those that were started.
    ///
    /// The function takes the socket by [`serve`](super::serve()), or by [`socket`](super::socket).
    ///
    /// # Errors
    /// [`GivenUp`]; [`Stopped`], if the loop ends before.
    pub fn serve<F, M>(
        self,
        socket: impl Into<OwnedFd>,
        function: F,
        argument: F::Argument,
    ) -> Promise<Service<F::Argument>>
    where
        F: Process<M>,
        F::Argument: Clone,
        M: 'static,
    {
        let Prefork { settings, start, on_message } = self;
        let socket: OwnedFd = socket.into();
        let launch = move |argument: F::Argument| -> Launch {
            let start = start.clone().pass(SOCKET, socket.as_fd());
            let on_message = on_message.clone();
            Rc::new(move |ready: OwnedFd| {
                let worker = start.clone().pass(READY, ready.as_fd()).start(function, argument.clone());
                let (pid, gone) = (worker.pid(), worker.ended());
                if let Some(tell) = on_message.clone() {
                    let (pid, messages) = (pid.clone(), worker.messages());
                    // They end with the worker; that there is none is told as an event.
                    let told = pid.map(Some).catch(|_| Promise::ready(None)).bind(move |pid| match pid {
                        Some(pid) => messages.iter(move |message| tell(pid, message)),
                        None => Promise::ready(()),
                    });
                    drop(told);
                }
                let stop = Box::new(worker.stopper());
                Run { pid, result: worker.into_result().map(drop), gone, stop }
            })
        };
        let (ended, end) = wait();
        let inner = Rc::new(Inner {
            settings: Rc::new(settings),
            launch: RefCell::new(Some(Box::new(launch))),
            current: RefCell::new(None),
            coming: RefCell::new(None),
            given_up: RefCell::new(None),
            generations: Cell::new(0),
            reloading: Mutex::new(()),
            stopping: Cell::new(false),
            ended,
            end: Cell::new(Some(end)),
            hook: Cell::new(None),
        });
        // Otherwise it would replace the workers that are stopped at the loop's end.
        let weak = Rc::downgrade(&inner);
        inner.hook.set(Some(lwt_unix::at_exit(move || match weak.upgrade() {
            Some(inner) => Service(inner).stop(),
            None => Promise::ready(()),
        })));
        spawn(async move {
            let served = Inner::replace(&inner, argument).await;
            if served.is_err() {
                inner.forget_hook();
            }
            served.map(|()| Service(inner))
        })
    }
}

impl fmt::Debug for Prefork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefork").field("workers", &self.settings.workers).finish_non_exhaustive()
    }
}

/// A service that runs. Clones are the same; dropping it stops nothing.
pub struct Service<A>(Rc<Inner<A>>);

struct Inner<A> {
    settings: Rc<Settings>,
    /// None when it is stopped: it has the socket.
    launch: RefCell<Option<Box<dyn Fn(A) -> Launch>>>,
    /// Whose workers serve.
    current: RefCell<Option<Rc<Generation>>>,
    /// Whose workers get ready.
    coming: RefCell<Option<Rc<Generation>>>,
    /// Why the current generation was given up, while another one gets ready that may take its place.
    given_up: RefCell<Option<Error>>,
    /// How many have not ended.
    generations: Cell<usize>,
    /// One reload at a time.
    reloading: Mutex<()>,
    stopping: Cell<bool>,
    ended: Promise<()>,
    end: Cell<Option<Resolver<()>>>,
    /// While it has not ended.
    hook: Cell<Option<ExitHook>>,
}

impl<A: 'static> Inner<A> {
    /// Puts a new generation in the place of the current one.
    async fn replace(self: &Rc<Self>, argument: A) -> Result<(), Error> {
        let launch = self.launch.borrow().as_ref().map(|launch| launch(argument));
        let Some(launch) = launch.filter(|_| !self.stopping.get()) else { return Err(Stopped.into()) };
        let (generation, ready, ended) = Generation::start(Rc::clone(&self.settings), launch);
        *self.coming.borrow_mut() = Some(Rc::clone(&generation));
        self.watch(&generation, &ended);
        if self.stopping.get() {
            // By whoever was told that the first of its workers could not be started.
            generation.end();
        }
        let stopped = ended.protected().bind(|()| Promise::fail(Stopped));
        let outcome = pick([ready, stopped]).await;
        drop(self.coming.take());
        let old = match outcome {
            Ok(()) => self.current.replace(Some(generation)),
            Err(_) => Some(generation),
        };
        if let Some(old) = old {
            old.end();
        }
        if let Some(error) = self.given_up.take()
            && outcome.is_err()
            && !self.stopping.get()
        {
            self.give_up(error);
        }
        outcome
    }

    /// Takes note of a generation's end.
    fn watch(self: &Rc<Self>, generation: &Rc<Generation>, ended: &Promise<()>) {
        self.generations.set(self.generations.get() + 1);
        let (inner, generation) = (Rc::clone(self), Rc::clone(generation));
        ended.on_any(move |outcome| {
            inner.generations.set(inner.generations.get() - 1);
            let is_current =
                inner.current.borrow().as_ref().is_some_and(|current| Rc::ptr_eq(current, &generation));
            match outcome {
                Err(error) if is_current => {
                    inner.current.take();
                    // One of its own: to have looked at a generation's is not to have looked at the
                    // service's.
                    let own = error.downcast_ref::<GivenUp>().map(|given_up| given_up.clone().into());
                    let error = own.unwrap_or_else(|| error.clone());
                    if inner.coming.borrow().is_some() {
                        *inner.given_up.borrow_mut() = Some(error);
                    } else {
                        inner.give_up(error);
                    }
                }
                _ if inner.stopping.get() && inner.generations.get() == 0 => inner.end_with(Ok(())),
                _ => {}
            }
        });
    }

    fn give_up(&self, error: Error) {
        self.stopping.set(true);
        drop(self.launch.take());
        self.end_with(Err(error));
    }

    fn forget_hook(&self) {
        if let Some(hook) = self.hook.take() {
            hook.remove();
        }
    }

    fn end_with(&self, outcome: Result<(), Error>) {
        self.forget_hook();
        if let Some(end) = self.end.take() {
            end.wakeup_later_result(outcome);
        }
    }

    fn stop(&self) {
        if self.stopping.replace(true) {
            return;
        }
        drop(self.launch.take());
        let coming = self.coming.borrow().clone();
        let current = self.current.borrow().clone();
        coming.iter().chain(&current).for_each(|generation| generation.end());
        if self.generations.get() == 0 {
            self.end_with(Ok(()));
        }
    }
}

impl<A> Clone for Service<A> {
    fn clone(&self) -> Self {
        Service(Rc::clone(&self.0))
    }
}

impl<A> fmt::Debug for Service<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("workers", &self.0.settings.workers).finish_non_exhaustive()
    }
}

impl<A: 'static> Service<A> {
    /// The workers that there are, those of an old generation that drain left out.
    pub fn workers(&self) -> Vec<(Pid, WorkerState)> {
        self.0.current.borrow().as_ref().map_or_else(Vec::new, |current| current.workers())
    }

    /// Replaces all workers by new ones with this argument, without refusing or losing a connection.
    /// Fulfilled when the new ones are ready; the old ones drain then. One reload waits for the one before. A
    /// cancel before that ends the new ones, and the old ones stay.
    ///
    /// # Errors
    /// [`GivenUp`], if the new ones do not get ready; the old ones stay then. [`Stopped`]. (If it is the old
    /// ones that are given up meanwhile, the service goes on with the new ones.)
    pub fn reload(&self, argument: A) -> Promise<()> {
        let inner = Rc::clone(&self.0);
        spawn(async move {
            let _alone = inner.reloading.lock().await?;
            Inner::replace(&inner, argument).await
        })
    }

    /// Closes the socket, so that who connects is refused, and asks all workers to drain: who has connected
    /// is served (or, in the very moment of closing, reset). Fulfilled when they have gone, which is after
    /// the grace time at the latest. Later calls wait for the same; a cancel ends the wait only.
    ///
    /// # Errors
    /// As [`ended`](Service::ended).
    pub fn stop(&self) -> Promise<()> {
        self.0.stop();
        self.ended()
    }

    /// Fulfilled when the service has been [stopped](Service::stop), and its last worker has gone.
    ///
    /// # Errors
    /// [`GivenUp`]. In a fork of the program, to which the workers do not belong,
    /// [`OwnerGone`](crate::worker::WorkerFailure::OwnerGone).
    pub fn ended(&self) -> Promise<()> {
        self.0.ended.clone().protected()
    }
}

/// A service's workers do not get ready, or end as soon as they have.
#[derive(Debug, Clone)]
pub struct GivenUp {
    failures: u32,
    last: Option<Error>,
}

impl GivenUp {
    pub(super) fn new(failures: u32, last: Option<Error>) -> GivenUp {
        GivenUp { failures, last }
    }

    /// How many workers in a row have ended so.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Why the last of them has ended; none if its function returned.
    pub fn last(&self) -> Option<&Error> {
        self.last.as_ref()
    }
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} workers in a row have ended before they served for a while", self.failures)
    }
}

impl std::error::Error for GivenUp {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.last.as_ref().map(|last| last.as_std() as _)
    }
}

/// The service has been stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service has been stopped")
    }
}

impl std::error::Error for Stopped {}
