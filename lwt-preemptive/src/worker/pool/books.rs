//! [`Books`]: the table of a pool's jobs and workers. The rules stand in `desk`.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use lwt_core::{Error, Promise, Resolver, task, wait};
use rkyv::util::AlignedVec;
use slab::Slab;

use super::super::Message;
use super::super::link::{Bytes, LinkError, Segment};
use super::options::{OnCancel, Options, PoolError};
use super::report::{Event, Stats};
use super::seat::{Seat, Told, Verdict, again, failure};

/// How a job ended.
pub(super) type Outcome<'a> = Result<Bytes<'a>, Error>;
/// Resolves a job's promise.
pub(super) type Settle = Box<dyn FnOnce(Outcome<'_>)>;
/// Who is told what a job tells.
pub(super) type Hears = Rc<RefCell<dyn FnMut(Message)>>;

/// A job's place in the table, and its number, which is never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JobId {
    pub(super) key: usize,
    pub(super) number: u64,
}

pub(super) struct Job {
    pub(super) function: (u32, u64),
    pub(super) argument: AlignedVec,
    pub(super) settle: Settle,
    pub(super) hears: Option<Hears>,
    /// How often it may still be done again.
    pub(super) retry: u32,
    pub(super) on_cancel: OnCancel,
    /// Filled in by the desk.
    pub(super) number: u64,
    pub(super) seat: Option<usize>,
}

/// What a pool does.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Phase {
    #[default]
    Open,
    /// It takes no more jobs, and does those that it has.
    Draining,
    /// It has no more jobs.
    Over(PoolError),
}

/// An answer's bytes, kept.
pub(super) enum Kept {
    Short(AlignedVec),
    Long(Segment),
}

/// An answer that has overtaken messages of its job.
pub(super) struct Held {
    /// The worker's serial number, and how many of its messages go first.
    serial: u64,
    told: Told,
    /// The job's.
    number: u64,
    settle: Settle,
    outcome: Result<Kept, Error>,
}

/// What is done when nothing is borrowed.
pub(super) enum Deed {
    Settle(Settle, Error),
    Release(Settle, Result<Kept, Error>),
    Tell(Event),
    Hear(Hears, Message),
    /// Dropped.
    Forget(Hears),
    Wake(Resolver<()>),
    /// A worker was started: its end is to be heard.
    Watch(usize, u64),
    /// A worker is to be started after this many failures.
    Fill(usize),
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) jobs: Slab<Job>,
    pub(super) queue: VecDeque<JobId>,
    /// How many of the queue are still wanted.
    pub(super) queued: usize,
    pub(super) seats: Vec<Option<(u64, Seat)>>,
    /// How many jobs were made, and workers.
    pub(super) number: u64,
    pub(super) serial: u64,
    pub(super) phase: Phase,
    /// In a row.
    pub(super) failures: usize,
    /// A worker will be started when a back-off is over.
    pub(super) backing_off: bool,
    pub(super) rooms: VecDeque<Resolver<()>>,
    pub(super) drains: Vec<Resolver<()>>,
    /// Who waits until no worker is left.
    pub(super) ends: Vec<Resolver<()>>,
    /// Who hears the messages of jobs, by their numbers.
    pub(super) hears: BTreeMap<u64, Hears>,
    pub(super) held: Vec<Held>,
    pub(super) deeds: Vec<Deed>,
    pub(super) scratch: Vec<u8>,
    pub(super) stats: Stats,
}

impl Books {
    /// A worker, if it is still the one with this serial number.
    pub(super) fn seat(&mut self, index: usize, serial: u64) -> Option<&mut Seat> {
        let (other, seat) = self.seats.get_mut(index)?.as_mut()?;
        (*other == serial).then_some(seat)
    }

    pub(super) fn seats(&mut self) -> impl Iterator<Item = &mut Seat> {
        self.seats.iter_mut().flatten().map(|(_, seat)| seat)
    }

    /// How many places are taken: by workers that will go on, and by those that have something to do before
    /// they end.
    pub(super) fn occupied(&mut self) -> usize {
        self.seats().filter(|seat| seat.stays() || seat.lingers()).count()
    }

    /// Ends a job: its promise is for whoever has taken it to resolve.
    pub(super) fn take(&mut self, id: JobId) -> Option<Job> {
        self.jobs.get(id.key).filter(|job| job.number == id.number)?;
        Some(self.jobs.remove(id.key))
    }

    /// Nobody hears the messages of a job any more. It is user code that is dropped: not here.
    pub(super) fn forget(&mut self, number: u64) {
        self.deeds.extend(self.hears.remove(&number).map(Deed::Forget));
    }

    /// The worker that has the least to do, if it may have one more job.
    pub(super) fn idlest(&self, ahead: usize) -> Option<usize> {
        let seats =
            self.seats.iter().enumerate().filter_map(|(index, seat)| Some((index, &seat.as_ref()?.1)));
        let seats = seats.filter(|(_, seat)| seat.stays() && seat.has_place(ahead));
        seats.min_by_key(|(_, seat)| seat.load()).map(|(index, _)| index)
    }

    /// Sends a job that is in no queue any more. False if it cannot be sent now.
    pub(super) fn send(&mut self, index: usize, id: JobId) -> bool {
        let Some(job) = self.jobs.get_mut(id.key) else { return true };
        let Some(Some((_, seat))) = self.seats.get_mut(index) else { return false };
        match seat.send(id, job.function, &job.argument, &mut self.scratch) {
            Ok(true) => {
                job.seat = Some(index);
                self.queued -= 1;
                self.stats.running += 1;
                true
            }
            Ok(false) => false,
            // There is no memory for a long argument.
            Err(LinkError::System(error)) => {
                if let Some(job) = self.take(id) {
                    self.queued -= 1;
                    self.stats.failed += 1;
                    self.forget(id.number);
                    self.deeds.push(Deed::Settle(job.settle, error.into()));
                }
                true
            }
            Err(error) => {
                seat.kill(Verdict::Broken(failure(error)));
                false
            }
        }
    }

    /// Workers that have nothing to do get jobs that others have not begun.
    pub(super) fn even_out(&mut self, recycle: u64) {
        loop {
            let seats = || {
                let seats = self.seats.iter().enumerate();
                seats.filter_map(|(index, seat)| Some((index, &seat.as_ref()?.1)))
            };
            let idle = seats().find(|(_, seat)| seat.stays() && seat.load() == 0);
            let busiest = seats().max_by_key(|(_, seat)| seat.behind()).filter(|(_, seat)| seat.behind() > 0);
            let (Some((idle, _)), Some((busiest, _))) = (idle, busiest) else { return };
            let Some(Some((_, seat))) = self.seats.get_mut(busiest) else { return };
            let Some(id) = seat.withdraw_last() else { return };
            self.stats.moved += 1;
            self.take_back(id);
            if !self.send(idle, id) {
                self.queue.push_front(id);
                return;
            }
            self.recycle(idle, recycle);
        }
    }

    /// A job was taken back from its worker, and is to be sent anew, or to be queued.
    fn take_back(&mut self, id: JobId) {
        self.stats.running -= 1;
        // When the pool is over there are no jobs any more.
        if let Some(job) = self.jobs.get_mut(id.key) {
            job.seat = None;
            self.queued += 1;
        }
    }

    /// Kills the worker that is still at a job which was cancelled; the others that it had go to other
    /// workers.
    pub(super) fn kill_at(&mut self, index: usize, serial: u64, place: u64) {
        let back = self.seat(index, serial).map(|seat| seat.kill_at(place)).unwrap_or_default();
        for id in back {
            self.take_back(id);
            self.queue.push_front(id);
        }
    }

    /// A worker that has had its number of jobs is told to end behind them.
    pub(super) fn recycle(&mut self, index: usize, after: u64) {
        if let Some(Some((_, seat))) = self.seats.get_mut(index)
            && seat.given() >= after
            && seat.stays()
        {
            seat.leave();
            self.stats.recycled += 1;
        }
    }

    /// A job in the queue was cancelled. Its place there goes later, with others.
    pub(super) fn unqueue(&mut self) {
        self.queued -= 1;
        if self.queue.len() > 2 * self.queued + 64 {
            let jobs = &self.jobs;
            self.queue.retain(|id| jobs.get(id.key).is_some_and(|job| job.number == id.number));
        }
    }

    /// A worker has ended that had this job; `begun`: it was at it.
    pub(super) fn give_back(&mut self, id: JobId, begun: bool, error: &Error) {
        let Some(job) = self.jobs.get_mut(id.key).filter(|job| job.number == id.number) else { return };
        job.seat = None;
        if begun && job.retry == 0 {
            if let Some(job) = self.take(id) {
                self.stats.failed += 1;
                self.forget(id.number);
                self.deeds.push(Deed::Settle(job.settle, again(error)));
            }
            return;
        }
        if begun {
            job.retry -= 1;
            self.stats.retried += 1;
            self.deeds.push(Deed::Tell(Event::Retried { job: id.number }));
        }
        self.queue.push_front(id);
        self.queued += 1;
    }

    /// A worker has failed: see rule 4.
    pub(super) fn failed(&mut self, options: &Options, error: &Error) {
        // Those that fail while a back-off goes on are replaced with the one that it is for, and count as one
        // with it: many may have been killed at once.
        if self.backing_off || matches!(self.phase, Phase::Over(_)) {
            return;
        }
        self.failures += 1;
        if self.failures >= options.limit {
            let last = error.to_string();
            self.end(&PoolError::Broken { failures: self.failures, last });
        } else if self.failures > 1 {
            self.backing_off = true;
            self.deeds.push(Deed::Fill(self.failures - 1));
        }
    }

    /// No more jobs: those that there are are rejected, and workers end, those that are at a job by force.
    pub(super) fn end(&mut self, why: &PoolError) {
        if let Phase::Over(_) = self.phase {
            return;
        }
        self.phase = Phase::Over(why.clone());
        self.queue.clear();
        self.queued = 0;
        for job in std::mem::take(&mut self.jobs) {
            self.stats.failed += 1;
            self.forget(job.1.number);
            self.deeds.push(Deed::Settle(job.1.settle, why.clone().into()));
        }
        for seat in self.seats.iter_mut().flatten().map(|(_, seat)| seat) {
            if seat.live() > 0 {
                seat.kill(Verdict::Late);
            } else {
                seat.leave();
            }
        }
        self.deeds.extend(self.rooms.drain(..).map(Deed::Wake));
        self.after_one();
    }

    /// Keeps the answer of a job whose caller is to hear its messages first.
    pub(super) fn hold(&mut self, serial: u64, told: Told, job: Job, outcome: Outcome<'_>) {
        let outcome = outcome.map(|bytes| match bytes {
            Bytes::Short(short) => {
                let mut copy = AlignedVec::with_capacity(short.len());
                copy.extend_from_slice(short);
                Kept::Short(copy)
            }
            Bytes::Long(segment) => Kept::Long(segment),
        });
        self.held.push(Held { serial, told, number: job.number, settle: job.settle, outcome });
    }

    /// So many messages of a worker have come: the answers behind them are due.
    pub(super) fn release(&mut self, serial: u64, heard: Told) {
        let due = self.held.extract_if(.., |held| held.serial == serial && held.told <= heard);
        for held in due.collect::<Vec<_>>() {
            self.forget(held.number);
            self.deeds.push(Deed::Release(held.settle, held.outcome));
        }
        self.after_one();
    }

    /// Some job is over: whoever waits for the last one is told.
    pub(super) fn after_one(&mut self) {
        if self.jobs.is_empty() && self.held.is_empty() {
            self.deeds.extend(self.drains.drain(..).map(Deed::Wake));
        }
    }

    /// A worker has gone: whoever waits for the last one is told.
    pub(super) fn after_worker(&mut self) {
        if self.seats().next().is_none() {
            self.deeds.extend(self.ends.drain(..).map(Deed::Wake));
        }
    }

    /// Those who wait for room in the queue get it, as far as there is some.
    pub(super) fn make_room(&mut self, bound: usize) {
        let mut free = bound.saturating_sub(self.queued);
        while free > 0
            && let Some(resolver) = self.rooms.pop_front()
        {
            // One for each place: who comes back late may find it taken, and waits again.
            free -= usize::from(resolver.is_wanted());
            self.deeds.push(Deed::Wake(resolver));
        }
    }

    pub(super) fn stats(&mut self) -> Stats {
        let mut stats = Stats { queued: self.queued, ..self.stats };
        for seat in self.seats() {
            stats.workers += 1;
            stats.busy += usize::from(seat.live() > 0);
        }
        stats
    }

    /// Resolved when there is room in the queue.
    pub(super) fn room(&mut self, bound: usize) -> Promise<()> {
        if self.queued < bound || self.phase != Phase::Open {
            return Promise::ready(());
        }
        let (promise, resolver) = task();
        if self.rooms.len() == self.rooms.capacity() {
            self.rooms.retain(Resolver::is_wanted);
        }
        self.rooms.push_back(resolver);
        promise
    }

    /// Resolved when no job is left.
    pub(super) fn drained(&mut self) -> Promise<()> {
        if self.jobs.is_empty() && self.held.is_empty() {
            return Promise::ready(());
        }
        let (promise, resolver) = task();
        if self.drains.len() == self.drains.capacity() {
            self.drains.retain(Resolver::is_wanted);
        }
        self.drains.push(resolver);
        promise
    }

    /// Resolved when no worker is left, and the end of each was told.
    pub(super) fn deserted(&mut self) -> Promise<()> {
        if self.seats().next().is_none() {
            return Promise::ready(());
        }
        let (promise, resolver) = wait();
        self.ends.push(resolver);
        promise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker fails: which back-offs begin.
    fn fail(books: &mut Books) -> Vec<usize> {
        books.failed(&Options::new().failures(10), &Error::msg("no worker"));
        let begins = |deed| if let Deed::Fill(failures) = deed { Some(failures) } else { None };
        books.deeds.drain(..).filter_map(begins).collect()
    }

    #[test]
    fn many_that_fail_at_once_are_one_failure() {
        let mut books = Books::default();
        assert!(fail(&mut books).is_empty(), "the first is replaced at once");
        for failures in 1..8 {
            assert_eq!(fail(&mut books), [failures]);
            for _ in 0..20 {
                assert!(fail(&mut books).is_empty(), "a back-off has one end");
            }
            books.backing_off = false;
            assert_eq!(books.phase, Phase::Open);
        }
        fail(&mut books);
        books.backing_off = false;
        fail(&mut books);
        assert!(matches!(books.phase, Phase::Over(PoolError::Broken { failures: 10, .. })));
    }
}
