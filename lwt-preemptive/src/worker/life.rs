//! [`Life`]: one worker, from the request to the end of its process, as its program's loop sees it.
//!
//! # States
//! ```text
//! asked for ── its number is known ──> born ── its result ──> done ──┐
//!     │                                  │                           v
//!     └── the request failed ──> over <──┴── its process ended <─────┘
//! ```
//!
//! # Rules
//! 1. A task reads what the worker tells, to the end. What it tells is about one thing: its result is given
//!    on as soon as it is there, the process may take its time to end.
//! 2. When the number is known the process is waited for, whatever else happens: no zombie. When it has ended
//!    the socket is shut down, so that the task comes to its end also where a child of the worker's has the
//!    other end; what was sent before is still read.
//! 3. A worker that is to end is *asked* first, by `SIGTERM`, and when the grace time is over *killed*, with
//!    its group. What is sent before its number is known waits for that.
//! 4. A loop's workers are ended by an [exit hook](super::lives). A loop that ends without its hooks kills
//!    them.
//! 5. In a process forked off the program a life is over at once, and touches nothing of the parent's: not
//!    its socket, not its worker.
//! 6. A worker that the zygote has made tells its number before it looks at what it is to do. So where that
//!    connection ends without a number, nobody has begun anything, and the worker is made the other way.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use lwt_core::stream::{self, BoundedPush, Stream};
use lwt_core::{Error, Promise, Resolver, pick, spawn, wait};
use lwt_unix::fd::{Direction, Fd};
use lwt_unix::process::{Pid, Status, WaitFlags, wait4};
use lwt_unix::signal::{SIGKILL, SIGTERM, Signal};
use lwt_unix::sleep;

use super::birth::Foundling;
use super::failure::{Step, WorkerFailure};
use super::messages::{Message, Progress};
use super::wire::{Body, Packet, Report};
use super::zygote::{self, nobody};
use super::{birth, lives, sys};

/// How many messages of a worker wait to be read.
const MESSAGES: usize = 256;
/// How long a killed process may take to be gone, before it is left to the system.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What is made of the outcome.
pub(super) type Settle = Box<dyn FnOnce(Result<Body, Error>)>;

/// Who is told the messages, each with the number of its job, instead of the stream.
pub(crate) type Listener = Rc<dyn Fn(u64, Message)>;

/// How a worker is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// As a copy of the zygote, a process that was forked off the program first thing in it.
    Zygote,
    /// By executing the program anew.
    Exec,
}

/// One worker.
pub(super) struct Life {
    /// The process whose worker it is.
    program: u32,
    pub(super) grace: Duration,
    socket: RefCell<Option<Fd>>,
    born: Cell<Option<Pid>>,
    /// Signals that wait for the worker's birth.
    waiting: RefCell<Vec<(Signal, bool)>>,
    /// The zygote was asked for it.
    asked: Cell<bool>,
    /// What it is sent, until its number is known: see rule 6.
    packets: RefCell<Vec<Rc<Packet>>>,
    /// Why it was not sent what it needs.
    unsent: Cell<Option<WorkerFailure>>,
    /// Whether it has sent rubbish.
    is_garbled: Cell<bool>,
    /// Why it is to end, if it is.
    sentence: Cell<Option<Sentence>>,
    pid: Told<Pid>,
    ended: Told<Status>,
    over: Told<()>,
    messages: OnceCell<Stream<Message>>,
    /// The other end of that, while something can come.
    push: RefCell<Option<BoundedPush<Message>>>,
    lost: Cell<u64>,
    listener: Option<Listener>,
}

/// Why a worker is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sentence {
    Cancelled,
    OwnerGone,
}

/// A promise for any number of observers, and its resolver.
struct Told<T>(Promise<T>, Cell<Option<Resolver<T>>>);

impl<T: Clone + 'static> Told<T> {
    fn new() -> Told<T> {
        let (promise, resolver) = wait();
        // An observer is nobody's duty.
        promise.clone().on_any(|_| ());
        Told(promise, Cell::new(Some(resolver)))
    }

    fn tell(&self, result: Result<T, Error>) {
        if let Some(resolver) = self.1.take() {
            resolver.wakeup_result(result);
        }
    }

    fn is_told(&self) -> bool {
        !self.0.is_pending()
    }
}

impl Life {
    pub(super) fn new(grace: Duration, listener: Option<Listener>) -> Rc<Life> {
        Rc::new(Life {
            program: std::process::id(),
            grace,
            socket: RefCell::new(None),
            born: Cell::new(None),
            waiting: RefCell::new(Vec::new()),
            asked: Cell::new(false),
            packets: RefCell::new(Vec::new()),
            unsent: Cell::new(None),
            is_garbled: Cell::new(false),
            sentence: Cell::new(None),
            pid: Told::new(),
            ended: Told::new(),
            over: Told::new(),
            messages: OnceCell::new(),
            push: RefCell::new(None),
            lost: Cell::new(0),
            listener,
        })
    }

    /// Begins it: `packets` are what the worker is sent, or why there can be none. The outcome is settled
    /// later, or at once if there is no worker.
    pub(super) fn begin(
        self: &Rc<Life>,
        way: Option<Way>,
        packets: Result<Vec<Packet>, WorkerFailure>,
        settle: Settle,
    ) {
        let guard = Guard(Rc::clone(self));
        lives::add(self);
        let settle = Cell::new(Some(settle));
        drop(spawn(async move {
            let life = &guard.0;
            if let Err(failure) = life.conduct(way, packets, &settle).await {
                // An error for each: to have looked at one is not to have looked at the others.
                life.pid.tell(Err(failure.clone().into()));
                life.ended.tell(Err(failure.clone().into()));
                if let Some(settle) = settle.take() {
                    settle(Err(failure.into()));
                }
            }
            Ok::<(), Error>(())
        }));
    }

    /// The whole life.
    ///
    /// # Errors
    /// Why there was no worker.
    async fn conduct(
        self: &Rc<Life>,
        way: Option<Way>,
        packets: Result<Vec<Packet>, WorkerFailure>,
        settle: &Cell<Option<Settle>>,
    ) -> Result<(), WorkerFailure> {
        *self.packets.borrow_mut() = packets?.into_iter().map(Rc::new).collect();
        let first = way.unwrap_or(if zygote::is_there() { Way::Zygote } else { Way::Exec });
        match self.attempt(first, settle).await {
            Err(_) if self.is_foreign() => Err(WorkerFailure::OwnerGone),
            Err(WorkerFailure::Start { step: Step::Zygote, .. }) if way.is_none() => {
                self.asked.set(false);
                self.attempt(Way::Exec, settle).await
            }
            done => done,
        }
    }

    /// [`conduct`](Life::conduct), with a worker that is made this way.
    async fn attempt(self: &Rc<Life>, way: Way, settle: &Cell<Option<Settle>>) -> Result<(), WorkerFailure> {
        let (ours, theirs) = sys::socket_pair().map_err(|error| Step::Socket.failed(error))?;
        let ours = Fd::new(ours).map_err(|error| Step::Socket.failed_by(&error))?;
        *self.socket.borrow_mut() = Some(ours.clone());
        let (step, making) = birth::make(way, theirs);
        let (socket, life, packets) = (ours.clone(), Rc::clone(self), self.packets.borrow().clone());
        // Beside what it tells: a worker that takes nothing can still be killed.
        drop(spawn(async move {
            for packet in packets {
                if let Err(error) = life.send(&socket, &packet).await {
                    life.not_sent(packet.step(), &error);
                    break;
                }
            }
            Ok::<(), Error>(())
        }));
        match making.await.map_err(|error| step.failed_by(&error))? {
            Some(foundling) => foundling.adopt().into_iter().for_each(|pid| self.is_born(pid)),
            None => self.await_birth(),
        }
        let mut outcome = Err(None);
        while let Some(report) = self.report(&ours).await {
            match report {
                Report::Born { pid } => self.is_born(Pid::from(pid)),
                Report::NotBorn { step, errno } => {
                    outcome = Err(Some(step.failed(io::Error::from_raw_os_error(errno))));
                }
                Report::Value(body) => {
                    outcome = Ok(());
                    if let Some(settle) = settle.take() {
                        settle(Ok(body));
                    }
                }
                Report::Panic { message, place } => {
                    outcome = Err(Some(WorkerFailure::Panic { message, place }))
                }
                Report::NotDecoded { text } => outcome = Err(Some(WorkerFailure::Decode(text))),
                Report::Progress { job, shape, body } => {
                    self.tell(job, Message::Progress(Progress::new(shape, body)));
                }
                Report::Log { job, level, text } => self.tell(job, Message::Log { level, text }),
            }
        }
        if self.born.get().is_none() {
            return Err(outcome.err().flatten().unwrap_or_else(zygote::no_answer));
        }
        let ended = self.ended.0.clone().await;
        if let Some(settle) = settle.take() {
            let told = outcome.err().flatten().or_else(|| self.unsent.take());
            settle(Err(self.verdict(told, ended).into()));
        }
        Ok(())
    }

    /// Why there was no result.
    fn verdict(&self, told: Option<WorkerFailure>, ended: Result<Status, Error>) -> WorkerFailure {
        match (told, self.sentence.get(), ended) {
            (Some(failure), _, _) => failure,
            (None, Some(Sentence::Cancelled), _) => WorkerFailure::Cancelled,
            (None, Some(Sentence::OwnerGone), _) => WorkerFailure::OwnerGone,
            _ if self.is_foreign() => WorkerFailure::OwnerGone,
            (None, None, Ok(status)) => WorkerFailure::of_status(status),
            (None, None, Err(_)) => WorkerFailure::Lost,
        }
    }

    /// The next report, none at the end. What cannot be received is the last word of a worker; the zygote's
    /// is still heard.
    async fn report(&self, socket: &Fd) -> Option<Report> {
        loop {
            let received = socket.wrap_syscall(Direction::Read, |socket| {
                if self.is_foreign() { Ok(None) } else { Report::receive(socket) }
            });
            match received.await {
                Ok(Some(report)) if self.is_garbled.get() && !matches!(report, Report::Born { .. }) => {}
                Ok(report) => return report,
                Err(_) if self.is_foreign() => return None,
                Err(error) => {
                    if !self.is_garbled.replace(true) {
                        self.kill();
                        return Some(Report::NotDecoded {
                            text: format!("a message of the worker's: {error}"),
                        });
                    }
                }
            }
        }
    }

    /// See rule 2.
    fn is_born(self: &Rc<Life>, pid: Pid) {
        if pid.number() <= 0 || self.born.get().is_some() {
            return;
        }
        self.born.set(Some(pid));
        self.packets.take();
        for (signal, group) in self.waiting.take() {
            // It has gone already.
            let _ = sys::kill(pid.number(), signal.number(), group);
        }
        let life = Rc::clone(self);
        let waiting = wait4(WaitFlags::NONE, pid).try_bind(
            |waited| match waited {
                Some(waited) => Promise::ready(waited.status),
                None => Promise::fail(WorkerFailure::Lost),
            },
            Promise::fail,
        );
        waiting.on_any(move |ended| {
            life.ended.tell(ended.cloned().map_err(Error::clone));
            let Some(socket) = life.socket.borrow().clone() else { return };
            if life.is_foreign() {
                // The number is this process's own, and the connection its parent's.
                let _ = socket.close();
            } else if let Ok(socket) = socket.hold() {
                sys::shutdown(socket.as_fd());
            }
        });
        self.pid.tell(Ok(pid));
    }

    /// The zygote was asked, and has to answer some time.
    fn await_birth(self: &Rc<Life>) {
        self.asked.set(true);
        let life = Rc::clone(self);
        drop(spawn(async move {
            let known = life.pid.0.clone().map(drop);
            // There may be no number.
            let _ = pick([sleep(PATIENCE), known, life.over.0.clone()]).await;
            if life.asked.get() && !life.pid.is_told() && !life.is_over() {
                zygote::give_up();
            }
            Ok::<(), Error>(())
        }));
    }

    /// The worker that the zygote is making, if the loop has ended meanwhile.
    fn unborn(&self) -> Option<Foundling> {
        if !self.asked.get() || self.pid.is_told() {
            return None;
        }
        let socket = self.socket.borrow().as_ref()?.hold().ok()?;
        birth::expect(socket.as_fd(), Duration::from_secs(1))
    }

    /// A worker that does not get what it needs is ended.
    fn not_sent(&self, step: Step, error: &Error) {
        // If nobody is there to take it, what is told or not told says why.
        let nobody = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        if error.io_kind().is_some_and(|kind| !nobody.contains(&kind)) {
            self.unsent.set(Some(step.failed_by(error)));
            self.kill();
        }
    }

    /// Rule 5.
    fn is_foreign(&self) -> bool {
        self.program != std::process::id()
    }

    fn is_over(&self) -> bool {
        self.ended.is_told() || self.over.is_told() || self.is_foreign()
    }

    /// Sends a signal to the worker, or to its group, now or when it is born.
    ///
    /// # Errors
    /// `ESRCH` when it has ended.
    pub(super) fn signal(&self, signal: Signal, group: bool) -> io::Result<()> {
        if self.is_over() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        match self.born.get() {
            Some(pid) => sys::kill(pid.number(), signal.number(), group),
            None => {
                self.waiting.borrow_mut().push((signal, group));
                Ok(())
            }
        }
    }

    pub(super) fn kill(&self) {
        // It has gone already.
        let _ = self.signal(SIGKILL, true);
    }

    /// See rule 3.
    pub(super) fn stop(self: &Rc<Life>, why: Sentence) {
        if self.is_over() || self.sentence.get().is_some() {
            return;
        }
        self.sentence.set(Some(why));
        if self.grace.is_zero() {
            return self.kill();
        }
        // It has gone already.
        let _ = self.signal(SIGTERM, false);
        let life = Rc::clone(self);
        drop(spawn(async move {
            let ended = life.over.0.clone();
            pick([sleep(life.grace), ended]).await?;
            life.kill();
            Ok::<(), Error>(())
        }));
    }

    pub(super) fn pid(&self) -> Promise<Pid> {
        self.pid.0.clone()
    }

    pub(super) fn ended(&self) -> Promise<Status> {
        self.ended.0.clone()
    }

    /// Resolved when nothing of it is left.
    pub(super) fn over(&self) -> Promise<()> {
        self.over.0.clone()
    }

    pub(super) fn messages(&self) -> Stream<Message> {
        self.stream().share()
    }

    fn stream(&self) -> &Stream<Message> {
        self.messages.get_or_init(|| {
            let (stream, push) = stream::create_bounded(MESSAGES);
            if !self.over.is_told() {
                *self.push.borrow_mut() = Some(push);
            }
            stream
        })
    }

    /// Gives a message to whoever listens, or counts it as lost.
    fn tell(&self, job: u64, message: Message) {
        if let Some(listener) = &self.listener {
            return listener(job, message);
        }
        self.stream();
        let Some(push) = self.push.borrow().clone() else { return };
        let lost = self.lost.get();
        if lost > 0 && push.try_push(Message::Lost(lost)).is_ok() {
            self.lost.set(0);
        }
        if self.lost.get() > 0 || push.try_push(message).is_err() {
            self.lost.set(self.lost.get() + 1);
        }
    }

    /// Nothing more will be told.
    fn end_messages(&self) {
        let push = self.push.take();
        if let Some(push) = push
            && self.lost.get() > 0
        {
            // It gets there when there is room, and then the stream ends.
            push.push(Message::Lost(self.lost.take())).on_any(|_| ());
        }
    }

    /// Sends a descriptor to the worker.
    pub(super) fn pass(self: &Rc<Life>, name: &str, file: OwnedFd) -> Promise<()> {
        let socket = self.socket.borrow().clone();
        match socket {
            Some(socket) => {
                let packet = Rc::new(Packet::pass(name, file));
                if self.born.get().is_none() {
                    self.packets.borrow_mut().push(Rc::clone(&packet));
                }
                let life = Rc::clone(self);
                spawn(async move { life.send(&socket, &packet).await })
            }
            None => Promise::fail(nobody()),
        }
    }

    /// Waits while there is no room.
    async fn send(&self, socket: &Fd, packet: &Packet) -> Result<(), Error> {
        let sent = socket.wrap_syscall(Direction::Write, |socket| {
            if self.is_foreign() { Err(nobody()) } else { packet.send(socket, false) }
        });
        sent.await
    }
}

/// At the end of a life's task, whatever ended it.
struct Guard(Rc<Life>);

impl Drop for Guard {
    fn drop(&mut self) {
        let life = &self.0;
        // See rule 4: the loop has ended, and takes note of no children any more.
        if !life.is_over() {
            match life.born.get() {
                Some(pid) => birth::end(pid),
                None => drop(life.unborn()),
            }
        }
        life.end_messages();
        lives::remove(life);
        drop((life.socket.take(), life.packets.take()));
        life.over.tell(Ok(()));
    }
}
