//! [`Queue`]: jobs in the order in which they came.
//!
//! A job has a ticket, a number that is never given again, by which it can be taken out from the middle.

use std::collections::BTreeMap;

use lwt_core::Error;

/// A job, with what tells its outcome to whoever asked for it. It is called once, or dropped.
pub(crate) type Body = Box<dyn FnOnce(Fate) + Send>;

/// What becomes of a job.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It runs now, on this thread.
    Run,
    /// It cannot run: whoever asked gets this error.
    Fail(Error),
}

/// Names a job that was put into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Jobs in the order in which they came.
#[derive(Default)]
pub(crate) struct Queue {
    jobs: BTreeMap<Ticket, Body>,
    given: u64,
}

impl Queue {
    /// Adds a job at the end.
    pub(crate) fn push(&mut self, body: Body) -> Ticket {
        self.given += 1;
        let ticket = Ticket(self.given);
        self.jobs.insert(ticket, body);
        ticket
    }

    /// Takes the first job.
    pub(crate) fn pop(&mut self) -> Option<Body> {
        self.jobs.pop_first().map(|(_, body)| body)
    }

    /// Takes out the job of this ticket, if it is still there.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Body> {
        self.jobs.remove(&ticket)
    }

    /// Takes out all jobs.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Body> + use<> {
        std::mem::take(&mut self.jobs).into_values()
    }

    /// How many jobs wait.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}
