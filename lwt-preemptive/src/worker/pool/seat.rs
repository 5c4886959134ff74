//! [`Seat`]: one worker of a pool, as the pool sees it: its link, and the jobs that it was sent.
//!
//! 1. A job that was sent stands in the row until its answer comes; answers come in the row's order. The
//!    place in the row is also the job's number in the [claims](super::super::link::Claims).
//! 2. One that was withdrawn keeps its place, empty, until the worker has passed over it: only then may its
//!    word be used again.
//! 3. A seat that *leaves* gets no more jobs: it was sent the word to stop, behind its last job.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use lwt_core::{Error, Promise};
use lwt_unix::process::Pid;

use super::super::link::{AHEAD, Body, Broken, Bytes, Claimed, Frame, LinkError, Near, SHORT, link};
use super::super::{Start, Worker};
use super::books::{JobId, Outcome};
use super::serve::{self, Buffer};
use crate::worker::WorkerFailure;

pub(super) struct Seat {
    worker: Worker<Result<(), String>>,
    near: Near,
    row: VecDeque<Option<JobId>>,
    /// The number of the row's first place.
    first: u64,
    /// Jobs in the row.
    live: usize,
    /// Jobs that it was ever sent, and got back.
    given: u64,
    pub(super) leaves: bool,
    /// How many messages of it have come.
    pub(super) heard: Told,
    pub(super) pid: Option<Pid>,
    /// Why it is to be killed, or was, if that was our wish.
    pub(super) verdict: Option<Verdict>,
}

/// Why a worker was killed.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// A job of it was cancelled, and did not end in time.
    Cancelled,
    /// It has damaged its link.
    Broken(Error),
    /// It did not end when it was told to.
    Late,
}

/// How many messages a worker has told.
pub(super) type Told = u64;

/// What has come from a worker.
pub(super) enum Came<'a> {
    /// The end of this job, before which the worker has told so many messages.
    Answer(Option<JobId>, Told, Outcome<'a>),
    /// A place in the row is free.
    Nothing,
}

impl Seat {
    /// Starts a worker. It may be sent jobs at once.
    ///
    /// # Errors
    /// The system's, if there can be no link.
    pub(super) fn start(start: Start, bell: BorrowedFd<'_>) -> Result<Seat, Error> {
        let (near, parts) = link(bell)?;
        let worker = start
            .pass(serve::FILE, &parts.file)
            .pass(serve::WORKER, &parts.worker)
            .pass(serve::PROGRAM, &parts.program)
            .pass(serve::LIFE, &parts.life)
            .start(serve::serve, ());
        Ok(Seat {
            worker,
            near,
            row: VecDeque::with_capacity(AHEAD),
            first: 0,
            live: 0,
            given: 0,
            leaves: false,
            heard: 0,
            pid: None,
            verdict: None,
        })
    }

    /// Resolved when the worker has ended, or stopped; rejected if it has failed.
    pub(super) fn result(&self) -> Promise<Result<(), String>> {
        self.worker.result()
    }

    /// Resolved with the number of the process.
    pub(super) fn born(&self) -> Promise<Pid> {
        self.worker.pid()
    }

    /// Resolved when nothing is left of the process.
    pub(super) fn ended(&self) -> Promise<()> {
        self.worker.ended().map(|_| ()).catch(|_| Promise::ready(()))
    }

    /// How many jobs it has that somebody wants.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// How much it has before it, jobs that it is at though nobody wants them any more among it.
    pub(super) fn load(&self) -> usize {
        self.row.len()
    }

    /// How many jobs wait behind the first of the row.
    pub(super) fn behind(&self) -> usize {
        self.live - usize::from(matches!(self.row.front(), Some(Some(_))))
    }

    /// Whether it will end by itself, and still has something to do before.
    pub(super) fn lingers(&self) -> bool {
        self.leaves && self.verdict.is_none() && !self.row.is_empty()
    }

    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Whether it will go on.
    pub(super) fn stays(&self) -> bool {
        !self.leaves && self.verdict.is_none()
    }

    /// Whether one more job may be sent.
    pub(super) fn has_place(&self, ahead: usize) -> bool {
        self.live < ahead && self.row.len() < AHEAD
    }

    /// Sends a job: `false` if all segments are in the worker's hands.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(super) fn send(
        &mut self,
        id: JobId,
        function: (u32, u64),
        argument: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<bool, LinkError> {
        let place = self.first + self.row.len() as u64;
        let frame = Frame { kind: serve::JOB, id: place, extra: id.number };
        let prefix = serve::prefix(function);
        let link = &mut self.near.link;
        if argument.len() + prefix.len() <= SHORT {
            scratch.clear();
            scratch.extend_from_slice(&prefix);
            scratch.extend_from_slice(argument);
            link.claims().offer(place);
            link.send(frame, Body::Short(scratch))?;
        } else {
            let Some(mut draft) = link.draft()? else { return Ok(false) };
            draft.extend(&prefix)?;
            draft.extend(argument)?;
            link.claims().offer(place);
            link.send(frame, Body::Long(draft))?;
        }
        self.row.push_back(Some(id));
        self.live += 1;
        self.given += 1;
        Ok(true)
    }

    /// Takes one message in.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(super) fn receive<'a>(&mut self, buffer: &'a mut Buffer) -> Result<Option<Came<'a>>, LinkError> {
        if let Some(Verdict::Broken(_)) = self.verdict {
            return Ok(None);
        }
        self.near.link.flush()?;
        let Some((frame, bytes)) = self.near.link.receive(buffer)? else {
            return self.near.link.has_more().map(|_| None).map_err(LinkError::from);
        };
        // It is looked at whole before the row changes: what is refused leaves its job to `remains`.
        let Some(&job) = self.row.front().filter(|_| frame.id == self.first) else {
            return Err(Broken("the answer to no job").into());
        };
        let came = match frame.kind {
            serve::VALUE => Came::Answer(job, frame.extra, Ok(bytes)),
            serve::PANICKED => Came::Answer(job, frame.extra, Err(panicked(&bytes))),
            serve::NOT_DECODED => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Came::Answer(job, frame.extra, Err(WorkerFailure::Decode(text).into()))
            }
            // It was not withdrawn: then the worker is wrong.
            serve::SKIPPED if job.is_some() => return Err(Broken("no job").into()),
            serve::SKIPPED => Came::Nothing,
            _ => return Err(Broken("a message of no kind").into()),
        };
        self.row.pop_front();
        self.first += 1;
        self.live -= usize::from(job.is_some());
        Ok(Some(came))
    }

    /// Where a job is in the row.
    fn place(&self, id: JobId) -> Option<u64> {
        let index = self.row.iter().position(|other| *other == Some(id))?;
        Some(self.first + index as u64)
    }

    /// Takes a job back that has not begun; false if it has.
    pub(super) fn withdraw(&mut self, id: JobId) -> bool {
        let Some(place) = self.place(id) else { return false };
        if self.near.link.claims().withdraw(place) == Claimed::Begun {
            return false;
        }
        self.empty(place);
        self.given -= 1;
        true
    }

    fn empty(&mut self, place: u64) {
        if let Some(job) = self.row.get_mut((place - self.first) as usize)
            && job.take().is_some()
        {
            self.live -= 1;
        }
    }

    /// The last of the row, if it has not begun, is taken back for another worker.
    pub(super) fn withdraw_last(&mut self) -> Option<JobId> {
        let last = self.row.iter().rev().find_map(|job| *job)?;
        self.withdraw(last).then_some(last)
    }

    /// Nobody wants the result of a job that has begun; it is asked to end, and its place is told.
    pub(super) fn abandon(&mut self, id: JobId) -> Option<u64> {
        let place = self.place(id)?;
        self.near.link.claims().ask(place);
        self.empty(place);
        Some(place)
    }

    /// Kills the worker if it is at the job of this place, which was abandoned; gives the jobs back that were
    /// behind it. If it turns out to have gone on meanwhile, also to another that was abandoned, nothing is
    /// done to it.
    pub(super) fn kill_at(&mut self, place: u64) -> Vec<JobId> {
        if place < self.first || place >= self.first + self.row.len() as u64 {
            return Vec::new();
        }
        let mut back = Vec::new();
        // What cannot be taken back is what it has gone on to.
        while let Some(last) = self.withdraw_last() {
            back.push(last);
        }
        let end = self.first + self.row.len() as u64;
        if self.live == 0 && !(place + 1..end).any(|later| self.near.link.claims().is_asked(later)) {
            self.kill(Verdict::Cancelled);
        }
        back
    }

    /// The worker has ended: the jobs that it had, and of each whether it had begun.
    pub(super) fn remains(&mut self) -> Vec<(JobId, bool)> {
        let claims = self.near.link.claims();
        let places = self.first..;
        let row = self.row.drain(..).zip(places);
        self.live = 0;
        row.filter_map(|(job, place)| Some((job?, claims.withdraw(place) == Claimed::Begun))).collect()
    }

    /// Tells the worker to end when it has done what it has.
    pub(super) fn leave(&mut self) {
        if !self.leaves {
            self.leaves = true;
            let frame = Frame { kind: serve::STOP, ..Frame::default() };
            if let Err(error) = self.near.link.send(frame, Body::Short(&[])) {
                self.kill(Verdict::Broken(failure(error)));
            }
        }
    }

    pub(super) fn kill(&mut self, why: Verdict) {
        if self.verdict.is_none() {
            self.verdict = Some(why);
        }
        self.end();
    }

    /// Whatever it is at: it does nothing more for the pool.
    pub(super) fn end(&self) {
        self.worker.kill();
    }

    /// It has damaged its link: nothing more is taken in, whatever it was to be killed for besides.
    pub(super) fn breaks(&mut self, error: Error) {
        self.verdict = Some(Verdict::Broken(error));
        self.end();
    }

    /// See [`Arrivals`](lwt_unix::main_loop::Arrivals).
    pub(super) fn prepare_sleep(&mut self) -> bool {
        // What is broken is found out by the next receive.
        self.verdict.is_some() || self.near.link.prepare_sleep().unwrap_or(false)
    }

    pub(super) fn awake(&self) {
        self.near.link.awake();
    }
}

/// What a damaged link makes of its worker's jobs.
pub(super) fn failure(error: LinkError) -> Error {
    match error {
        LinkError::System(error) => error.into(),
        LinkError::Broken(broken) => WorkerFailure::Decode(broken.to_string()).into(),
        LinkError::Gone(_) => WorkerFailure::Lost.into(),
    }
}

/// The same error once more: for each promise that is rejected with it, its own, since whether an error was
/// looked at is a matter of the error.
pub(super) fn again(error: &Error) -> Error {
    match error.downcast_ref::<WorkerFailure>() {
        Some(failure) => failure.clone().into(),
        None => Error::msg(error.to_string()),
    }
}

fn panicked(bytes: &Bytes<'_>) -> Error {
    match serve::panicked(bytes) {
        Ok((place, message)) => WorkerFailure::Panic { message, place }.into(),
        Err(error) => error,
    }
}
