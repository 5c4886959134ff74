//! One generation of a service's workers: each kept alive by a task of its own.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise, Resolver, all, pick, spawn, wait};
use lwt_unix::fd;
use lwt_unix::process::{Pid, Status};
use lwt_unix::sleep;

use super::service::{GivenUp, Settings};
use crate::worker::WorkerFailure;

/// What happens to a service's workers: what [`Prefork::on_event`](super::Prefork::on_event) is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A worker has been started.
    Started(Pid),
    /// It serves.
    Ready(Pid),
    /// It has ended.
    Ended {
        /// Which process it was; none if it could not even be started.
        pid: Option<Pid>,
        /// How the process ended.
        status: Option<Status>,
        /// Why, if its function did not return: a [`WorkerFailure`], which is
        /// [`Cancelled`](WorkerFailure::Cancelled) if it was asked to end and was too slow.
        failure: Option<Error>,
        /// Whether it was asked to.
        asked: bool,
    },
}

/// What a worker of a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerState {
    /// It has not said yet that it serves.
    Starting,
    /// It serves.
    Serving,
    /// It was asked to end, and finishes what it has.
    Draining,
}

/// A worker that runs.
pub(super) struct Run {
    pub(super) pid: Promise<Pid>,
    /// Resolved with the function's end.
    pub(super) result: Promise<()>,
    /// Resolved when the process has gone.
    pub(super) gone: Promise<Status>,
    /// Asks it to end.
    pub(super) stop: Box<dyn Fn()>,
}

/// Starts a worker, which says by this pipe that it is ready.
pub(super) type Launch = Rc<dyn Fn(OwnedFd) -> Run>;

pub(super) struct Generation {
    settings: Rc<Settings>,
    /// None when it ends: it has the socket.
    launch: RefCell<Option<Launch>>,
    live: RefCell<Vec<Rc<Live>>>,
    /// How many have ended in a row before they had served for a while.
    failures: Cell<u32>,
    /// How many of its places have not had a worker that was ready.
    unready: Cell<usize>,
    /// All places have.
    ready: Cell<Option<Resolver<()>>>,
    is_ending: Cell<bool>,
    /// The same, a moment later.
    ending: Promise<()>,
    end: Cell<Option<Resolver<()>>>,
}

struct Live {
    pid: Cell<Option<Pid>>,
    state: Cell<WorkerState>,
    stop: Box<dyn Fn()>,
}

impl Generation {
    /// Starts all workers. The first promise is fulfilled when all are ready, the second when the generation
    /// has ended; that is rejected if it was given up.
    pub(super) fn start(
        settings: Rc<Settings>,
        launch: Launch,
    ) -> (Rc<Generation>, Promise<()>, Promise<()>) {
        let (ending, end) = wait();
        let (all_ready, ready) = wait();
        let workers = settings.workers;
        let generation = Rc::new(Generation {
            settings,
            launch: RefCell::new(Some(launch)),
            live: RefCell::default(),
            failures: Cell::new(0),
            unready: Cell::new(workers),
            ready: Cell::new(Some(ready)),
            is_ending: Cell::new(false),
            ending,
            end: Cell::new(Some(end)),
        });
        let places: Vec<_> = (0..workers).map(|_| spawn(Rc::clone(&generation).keep())).collect();
        (generation, all_ready, all(places).map(drop))
    }

    /// Asks all to end, and starts none any more.
    pub(super) fn end(&self) {
        self.is_ending.set(true);
        drop(self.launch.take());
        if let Some(end) = self.end.take() {
            end.wakeup_later(());
        }
        let live = self.live.borrow().clone();
        for worker in live {
            worker.state.set(WorkerState::Draining);
            (worker.stop)();
        }
    }

    pub(super) fn workers(&self) -> Vec<(Pid, WorkerState)> {
        let live = self.live.borrow();
        live.iter().filter_map(|worker| Some((worker.pid.get()?, worker.state.get()))).collect()
    }

    /// Keeps one worker alive until the generation ends.
    async fn keep(self: Rc<Self>) -> Result<(), Error> {
        let mut was_ready = false;
        let mut attempt = 0;
        while !self.is_ending.get() {
            let (served, failure) = self.one(&mut was_ready).await;
            if self.is_ending.get() {
                break;
            }
            if let Some(error) = &failure
                && let Some(WorkerFailure::OwnerGone) = error.downcast_ref()
            {
                // In a fork of the program, which has none of its workers.
                self.end();
                return Err(error.clone());
            }
            if served.is_some_and(|served| served >= self.settings.healthy) {
                self.failures.set(0);
                attempt = 0;
                continue;
            }
            self.failures.set(self.failures.get() + 1);
            if self.failures.get() >= self.settings.attempts && !self.is_of_use() {
                self.end();
                return Err(GivenUp::new(self.failures.get(), failure).into());
            }
            attempt += 1;
            let delay = sleep(self.settings.back_off.delay(attempt));
            pick([delay, self.ending.clone().protected()]).await?;
        }
        Ok(())
    }

    /// Whether it can stay though workers fail: all of it was ready once, and a worker serves.
    fn is_of_use(&self) -> bool {
        let serving = |worker: &Rc<Live>| worker.state.get() == WorkerState::Serving;
        self.unready.get() == 0 && self.live.borrow().iter().any(serving)
    }

    /// Takes note of a place whose worker is ready for the first time.
    fn is_ready(&self) {
        self.unready.set(self.unready.get() - 1);
        if self.unready.get() == 0
            && let Some(ready) = self.ready.take()
        {
            ready.wakeup_later(());
        }
    }

    /// Runs one worker to its end: how long it has served, if it did, and why it ended.
    async fn one(&self, was_ready: &mut bool) -> (Option<Duration>, Option<Error>) {
        let Some(launch) = self.launch.borrow().clone() else { return (None, None) };
        let (reader, writer) = match fd::pipe_in() {
            Ok(pipe) => pipe,
            Err(error) => {
                self.tell(Event::Ended {
                    pid: None,
                    status: None,
                    failure: Some(error.clone()),
                    asked: false,
                });
                return (None, Some(error));
            }
        };
        let Run { pid, result, gone, stop } = launch(writer);
        drop(launch);
        let live = Rc::new(Live { pid: Cell::new(None), state: Cell::new(WorkerState::Starting), stop });
        self.live.borrow_mut().push(Rc::clone(&live));

        let mut began = None;
        if let Ok(pid) = pid.await {
            live.pid.set(Some(pid));
            self.tell(Event::Started(pid));
            // The worker's end is the end of waiting, also where a child of its own has the pipe.
            let byte = spawn(async move { reader.read(&mut [0]).await });
            if let Ok(1..) = pick([byte, gone.clone().protected().map(|_| 0)]).await {
                began = Some(Instant::now());
                if live.state.get() == WorkerState::Starting {
                    live.state.set(WorkerState::Serving);
                }
                self.tell(Event::Ready(pid));
                if !std::mem::replace(was_ready, true) {
                    self.is_ready();
                }
            }
        }
        let failure = result.await.err();
        let status = gone.await.ok();
        self.live.borrow_mut().retain(|other| !Rc::ptr_eq(other, &live));
        let asked = live.state.get() == WorkerState::Draining;
        let pid = live.pid.get();
        self.tell(Event::Ended { pid, status, failure: failure.clone(), asked });
        (began.map(|began| began.elapsed()), failure)
    }

    fn tell(&self, event: Event) {
        if let Some(tell) = self.settings.on_event.clone() {
            // At once. What goes wrong there goes to the hook for unhandled rejections.
            drop(spawn(async move {
                tell(event);
                Ok::<(), Error>(())
            }));
        }
    }
}
