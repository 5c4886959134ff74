//! [`Desk`]: a pool's jobs and workers, and how the ones come to the others.
//!
//! 1. A job is in the *queue*, or *sent* to one worker, or over. It is over when its promise is resolved,
//!    which happens once: whoever resolves it takes it out of the table first.
//! 2. A job goes to the worker that has the least to do, and waits in the queue when all have as many as they
//!    may have. A worker that has nothing to do gets one that another has not begun.
//! 3. When a worker has ended, its answers are taken in that are still in its ring. Of the jobs that are left
//!    those that it had not begun go back to the head of the queue; the one that it was at is done again if
//!    that was asked for, and otherwise rejected with what became of the worker.
//! 4. A place whose worker has ended is filled again: at once after a first failure, after that with a
//!    back-off, and not at all after too many in a row. One that was told to end keeps its place until it has
//!    nothing left to do: there are never more at work than were asked for.
//! 5. Nothing is borrowed while a promise is resolved: what is to be done then is noted ([`Deed`]) and done
//!    when the borrow is over.
//!
//! The table of jobs and workers is in `books`, the end of a pool in `end`.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};

use lwt_core::stream::{self, BoundedPush, Stream};
use lwt_core::{Error, Promise, pick, spawn};
use lwt_unix::main_loop::{Arrivals, Arriving, ExitHook};

use super::super::link::Bytes;
use super::super::{Message, WorkerFailure};
use super::books::{Books, Deed, Job, JobId, Kept, Phase, Settle};
use super::options::{OnCancel, Options, PoolError};
use super::report::Event;
use super::seat::{Came, Seat, Verdict, failure};
use super::serve::Buffer;
use crate::shm::lease;

/// How many messages of a worker are taken in at a time: a callback may make the next job at once, and others
/// are to have their turn.
const BUDGET: usize = 256;
/// How many events wait to be read.
const EVENTS: usize = 1024;

pub(super) struct Desk {
    pub(super) options: Options,
    /// See [`lease::forks`].
    forks: u32,
    books: RefCell<Books>,
    /// How many jobs are with workers.
    away: Cell<usize>,
    buffer: Cell<Buffer>,
    pub(super) arriving: RefCell<Option<Arriving>>,
    pub(super) hook: RefCell<Option<ExitHook>>,
    pub(super) events: (Stream<Event>, BoundedPush<Event>),
    lost: Cell<u64>,
    me: Weak<Desk>,
}

impl Desk {
    pub(super) fn new(options: Options) -> Rc<Desk> {
        lease::count_forks();
        Rc::new_cyclic(|me| Desk {
            options,
            forks: lease::forks(),
            books: RefCell::default(),
            away: Cell::new(0),
            buffer: Cell::default(),
            arriving: RefCell::new(None),
            hook: RefCell::new(None),
            events: stream::create_bounded(EVENTS),
            lost: Cell::new(0),
            me: Weak::clone(me),
        })
    }

    /// Whether the pool is another process's: see [`PoolError::Foreign`].
    pub(super) fn is_foreign(&self) -> bool {
        self.forks != lease::forks()
    }

    /// The desk, unless it is gone, or another process's.
    fn here(me: &Weak<Desk>) -> Option<Rc<Desk>> {
        me.upgrade().filter(|desk| !desk.is_foreign())
    }

    /// Changes something, and does afterwards what that asks for.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Books) -> R) -> R {
        let (done, deeds) = {
            let mut books = self.books.borrow_mut();
            let done = f(&mut books);
            self.away.set(books.stats.running);
            (done, mem::take(&mut books.deeds))
        };
        for deed in deeds {
            self.perform(deed);
        }
        done
    }

    fn perform(&self, deed: Deed) {
        match deed {
            Deed::Settle(settle, error) => settle(Err(error)),
            Deed::Release(settle, outcome) => match outcome {
                Ok(Kept::Short(bytes)) => settle(Ok(Bytes::Short(&bytes))),
                Ok(Kept::Long(segment)) => settle(Ok(Bytes::Long(segment))),
                Err(error) => settle(Err(error)),
            },
            Deed::Tell(event) => self.tell(event),
            Deed::Hear(hears, message) => {
                // Inside its own call it is not called again.
                if let Ok(mut hears) = hears.try_borrow_mut() {
                    guarded(|| hears(message));
                }
            }
            Deed::Forget(hears) => guarded(|| drop(hears)),
            Deed::Wake(resolver) => resolver.wakeup(()),
            Deed::Watch(seat, serial) => self.watch(seat, serial),
            Deed::Fill(failures) => self.fill_later(failures),
        }
    }

    /// Gives an event to the readers, or counts it as lost.
    pub(super) fn tell(&self, event: Event) {
        let (lost, push) = (self.lost.get(), &self.events.1);
        if lost > 0 && push.try_push(Event::Lost(lost)).is_ok() {
            self.lost.set(0);
        }
        if self.lost.get() > 0 || push.try_push(event).is_err() {
            self.lost.set(self.lost.get() + 1);
        }
    }

    /// Nothing more is told.
    pub(super) fn end_events(&self) {
        let (lost, push) = (self.lost.take(), &self.events.1);
        if lost > 0 && !push.is_closed() {
            // Nobody holds the promise, so it gets there when there is room, and then the stream ends.
            drop(push.push(Event::Lost(lost)));
        }
        push.close();
    }

    /// A message of the worker with this serial number, about a job.
    pub(super) fn hear(&self, serial: u64, number: u64, message: Message) {
        self.with(|books| {
            let deed = match books.hears.get(&number) {
                Some(hears) => Deed::Hear(Rc::clone(hears), message),
                None => Deed::Tell(Event::Message { job: number, message }),
            };
            books.deeds.push(deed);
            let seat = books.seats.iter_mut().flatten().find(|(other, _)| *other == serial);
            if let Some((_, seat)) = seat {
                seat.heard += 1;
                let heard = seat.heard;
                books.release(serial, heard);
            }
        });
    }

    /// Takes a job; what it was given back is for its cancel.
    ///
    /// # Errors
    /// Why the pool takes none, with what resolves the job's promise.
    pub(super) fn submit(&self, mut job: Job) -> Result<JobId, (Settle, PoolError)> {
        if self.is_foreign() {
            return Err((job.settle, PoolError::Foreign));
        }
        // User code, which is not to be dropped with the books in hand.
        let mut hears = job.hears.take();
        self.with(|books| {
            match &books.phase {
                Phase::Open => {}
                Phase::Draining => return Err((job.settle, PoolError::Closed)),
                Phase::Over(why) => return Err((job.settle, why.clone())),
            }
            books.number += 1;
            job.number = books.number;
            let number = job.number;
            books.hears.extend(hears.take().map(|hears| (number, hears)));
            let id = JobId { key: books.jobs.insert(job), number };
            books.queue.push_back(id);
            books.queued += 1;
            self.pump(books);
            Ok(id)
        })
    }

    /// The promise of a job was cancelled.
    pub(super) fn cancelled(&self, id: JobId) {
        if self.is_foreign() {
            return;
        }
        let running = self.with(|books| {
            // Whatever its worker still tells: its caller has gone, also if its answer was kept.
            books.forget(id.number);
            let job = books.take(id)?;
            books.stats.cancelled += 1;
            let Some(index) = job.seat else {
                books.unqueue();
                books.after_one();
                return None;
            };
            let (serial, seat) = books.seats.get_mut(index)?.as_mut()?;
            let serial = *serial;
            let running = match seat.withdraw(id) {
                true => None,
                false => seat.abandon(id).map(|place| (index, serial, place, job.on_cancel)),
            };
            books.stats.running -= 1;
            self.pump(books);
            books.after_one();
            running
        });
        let Some((index, serial, place, OnCancel::Kill(time))) = running else { return };
        let me = Weak::clone(&self.me);
        drop(spawn(async move {
            lwt_unix::sleep(time).await?;
            if let Some(desk) = Desk::here(&me) {
                desk.with(|books| {
                    books.kill_at(index, serial, place);
                    desk.pump(books);
                });
            }
            Ok::<(), Error>(())
        }));
    }

    /// Sends what is in the queue to those who have room for it: see rule 2.
    pub(super) fn pump(&self, books: &mut Books) {
        while let Some(id) = books.queue.front().copied() {
            if books.jobs.get(id.key).is_none_or(|job| job.number != id.number) {
                books.queue.pop_front();
                continue;
            }
            let Some(index) = books.idlest(self.options.ahead) else { break };
            books.queue.pop_front();
            if !books.send(index, id) {
                books.queue.push_front(id);
                break;
            }
            books.recycle(index, self.options.recycle);
        }
        if books.queued == 0 {
            books.even_out(self.options.recycle);
        }
        books.make_room(self.options.bound);
        self.fill(books);
    }

    /// Starts workers for the places that are empty.
    fn fill(&self, books: &mut Books) {
        // The phase is asked each time: a start that fails may be one too many.
        let wanted = |books: &Books| match books.phase {
            Phase::Open => self.options.workers,
            Phase::Draining => self.options.workers.min(books.stats.running + books.queued),
            Phase::Over(_) => 0,
        };
        while !books.backing_off && books.occupied() < wanted(books) {
            books.serial += 1;
            let (serial, me) = (books.serial, Weak::clone(&self.me));
            let listener = Rc::new(move |number, message| {
                if let Some(desk) = me.upgrade() {
                    desk.hear(serial, number, message);
                }
            });
            let start = self.options.start.clone().grace(self.options.grace).on_message(listener);
            let arriving = self.arriving.borrow();
            let Some(bell) = arriving.as_ref().map(Arriving::bell) else { return };
            books.stats.started += 1;
            match Seat::start(start, bell) {
                Ok(seat) => {
                    let index = books.seats.iter().position(Option::is_none).unwrap_or_else(|| {
                        books.seats.push(None);
                        books.seats.len() - 1
                    });
                    books.seats[index] = Some((serial, seat));
                    books.deeds.push(Deed::Watch(index, serial));
                }
                Err(error) => books.failed(&self.options, &error),
            }
        }
    }

    /// Hears of a worker's birth and end.
    fn watch(&self, index: usize, serial: u64) {
        let found = self.with(|books| books.seat(index, serial).map(|seat| (seat.born(), seat.result())));
        let Some((born, result)) = found else { return };
        let me = Weak::clone(&self.me);
        born.on_any(move |born| {
            // Why it was not born is the result's to tell.
            let (Ok(pid), Some(desk)) = (born, Desk::here(&me)) else { return };
            desk.with(|books| {
                if let Some(seat) = books.seat(index, serial) {
                    seat.pid = Some(*pid);
                }
                books.deeds.push(Deed::Tell(Event::Started { pid: *pid }));
                desk.pump(books);
            });
        });
        let me = Weak::clone(&self.me);
        result.on_any(move |result| {
            let Some(desk) = Desk::here(&me) else { return };
            let why = match result {
                Ok(Ok(())) => None,
                Ok(Err(text)) => Some(WorkerFailure::Decode(text.clone()).into()),
                Err(error) => Some(error.clone()),
            };
            desk.stopped(index, serial, why);
        });
    }

    /// A worker does no more. One that was told to stop has its grace time to be gone, others have none.
    fn stopped(&self, index: usize, serial: u64, why: Option<Error>) {
        let gone = self.with(|books| {
            let seat = books.seat(index, serial)?;
            let asked = seat.leaves && why.is_none();
            if !asked {
                seat.end();
            }
            Some((seat.ended(), asked))
        });
        let Some((gone, asked)) = gone else { return };
        if asked && gone.is_pending() {
            let (me, gone, grace) = (Weak::clone(&self.me), gone.clone(), self.options.grace);
            drop(spawn(async move {
                pick([gone, lwt_unix::sleep(grace)]).await?;
                if let Some(desk) = Desk::here(&me) {
                    desk.with(|books| books.seat(index, serial).map(|seat| seat.kill(Verdict::Late)));
                }
                Ok::<(), Error>(())
            }));
        }
        let me = Weak::clone(&self.me);
        gone.on_any(move |_| {
            if let Some(desk) = Desk::here(&me) {
                desk.ended(index, serial, why);
            }
        });
    }

    /// A worker has ended: see rules 3 and 4.
    fn ended(&self, index: usize, serial: u64, why: Option<Error>) {
        self.take_from(index);
        self.with(|books| {
            if lwt_unix::engine_name().is_none() {
                // The loop has ended, and nobody is left to start workers for.
                books.end(&PoolError::Closed);
            }
            let Some((_, mut seat)) =
                books.seats.get_mut(index).and_then(|seat| seat.take_if(|(other, _)| *other == serial))
            else {
                return;
            };
            let asked = seat.leaves && why.is_none();
            let verdict = seat.verdict.clone();
            let error = match (&verdict, why) {
                (Some(Verdict::Broken(error)), _) => error.clone(),
                (_, Some(error)) => error,
                (_, None) => WorkerFailure::Exit(0).into(),
            };
            for (id, begun) in seat.remains().into_iter().rev() {
                books.stats.running -= 1;
                books.give_back(id, begun, &error);
            }
            let failure = (!asked).then(|| error.to_string());
            books.deeds.push(Deed::Tell(Event::Ended { pid: seat.pid, failure }));
            match verdict {
                _ if asked => {}
                Some(Verdict::Cancelled | Verdict::Late) => {}
                Some(Verdict::Broken(_)) | None => {
                    books.stats.crashed += 1;
                    books.failed(&self.options, &error);
                }
            }
            // What it has told has come.
            books.release(serial, u64::MAX);
            // Its memory goes when nobody looks at it any more.
            drop(seat);
            self.pump(books);
            books.after_one();
            books.after_worker();
        });
    }

    /// Starts workers when a back-off is over.
    fn fill_later(&self, failures: usize) {
        let (delay, me) = (self.options.back_off.delay(failures), Weak::clone(&self.me));
        drop(spawn(async move {
            lwt_unix::sleep(delay).await?;
            if let Some(desk) = Desk::here(&me) {
                desk.with(|books| {
                    books.backing_off = false;
                    desk.pump(books);
                });
            }
            Ok::<(), Error>(())
        }));
    }

    /// Takes in what one worker has sent.
    fn take_from(&self, index: usize) -> bool {
        let mut buffer = self.buffer.take();
        let mut came = false;
        for _ in 0..BUDGET {
            let mut books = self.books.borrow_mut();
            let Some((serial, seat)) = books.seats.get_mut(index).and_then(Option::as_mut) else { break };
            let (serial, heard) = (*serial, seat.heard);
            let (id, told, outcome) = match seat.receive(&mut buffer) {
                Ok(None) => break,
                Ok(Some(Came::Nothing | Came::Answer(None, ..))) => {
                    came = true;
                    continue;
                }
                Ok(Some(Came::Answer(Some(id), told, outcome))) => (id, told, outcome),
                Err(error) => {
                    seat.breaks(failure(error));
                    break;
                }
            };
            came = true;
            books.failures = 0;
            books.stats.running -= 1;
            self.away.set(books.stats.running);
            let Some(job) = books.take(id) else { continue };
            books.stats.answered += 1;
            books.stats.failed += u64::from(outcome.is_err());
            if told > heard && books.hears.contains_key(&id.number) {
                books.hold(serial, told, job, outcome);
                continue;
            }
            books.forget(id.number);
            drop(books);
            (job.settle)(outcome);
        }
        self.buffer.set(buffer);
        came
    }
}

impl Arrivals for Desk {
    fn take(&self) -> bool {
        let mut came = false;
        let seats = self.books.borrow().seats.len();
        for index in 0..seats {
            came |= self.take_from(index);
        }
        if came {
            self.with(|books| {
                self.pump(books);
                books.after_one();
            });
        }
        came
    }

    fn is_expected(&self) -> bool {
        self.away.get() > 0
    }

    fn prepare_sleep(&self) -> bool {
        // Each is to be asked: one that has something is no reason not to ring for another.
        self.books.borrow_mut().seats().fold(true, |sleep, seat| seat.prepare_sleep() & sleep)
    }

    fn awake(&self) {
        self.books.borrow_mut().seats().for_each(|seat| seat.awake());
    }
}

/// Runs user code; its panic goes to the hook for unhandled rejections.
fn guarded(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        drop(Promise::<()>::fail(Error::from_panic(payload)));
    }
}
