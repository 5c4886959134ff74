//! [`Queue`]: the jobs that wait, in lanes.
//!
//! 1. A job has a ticket, a number that is never given again, by which it can be taken out from the middle.
//! 2. Each job is in a lane. The [`COMMON`] one has no bound of its own; any other lets so many jobs run at a
//!    time as it was made for.
//! 3. All bounded lanes together leave one thread to the common one, unless there is only one thread:
//!    whatever they are full of, other jobs get through. A job that waits for others takes none.
//! 4. Of the jobs that may run now the oldest is next, whatever its lane. Only those count for [`Queue::len`]
//!    and [`Queue::is_empty`], because nobody has to come for the others yet.
//! 5. A lane that nobody has a handle on goes when its last job has ended.

use std::collections::BTreeMap;

use lwt_core::Error;
use slab::Slab;

/// A job, with what tells its outcome to whoever asked for it. It is called once, or dropped.
pub(crate) type Body = Box<dyn FnOnce(Fate) + Send>;

/// The key of the lane that is always there.
pub(super) const COMMON: usize = 0;

/// What becomes of a job.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It runs now, on this thread.
    Run,
    /// It cannot run: whoever asked gets this error.
    Fail(Error),
}

/// Names a job that was put into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(super) number: u64,
    pub(super) lane: usize,
}

/// Jobs that wait, and how many run of each lane.
pub(crate) struct Queue {
    lanes: Slab<Lane>,
    given: u64,
    /// Jobs of bounded lanes that run, without those that wait for others.
    bounded: usize,
}

struct Lane {
    jobs: BTreeMap<u64, Body>,
    running: usize,
    bound: usize,
    /// Nobody has a handle on it.
    left: bool,
}

impl Lane {
    fn new(bound: usize) -> Lane {
        Lane { jobs: BTreeMap::new(), running: 0, bound, left: false }
    }
}

impl Default for Queue {
    fn default() -> Queue {
        let mut lanes = Slab::new();
        lanes.insert(Lane::new(usize::MAX));
        Queue { lanes, given: 0, bounded: 0 }
    }
}

impl Queue {
    /// Makes a lane of which at most `bound` jobs run at a time; 0 counts as 1.
    pub(super) fn add_lane(&mut self, bound: usize) -> usize {
        self.lanes.insert(Lane::new(bound.max(1)))
    }

    /// Nobody has a handle on this lane any more.
    pub(super) fn leave(&mut self, lane: usize) {
        if let Some(left) = self.lanes.get_mut(lane) {
            left.left = true;
        }
        self.clear(lane);
    }

    /// Adds a job at the end of a lane.
    pub(super) fn push(&mut self, lane: usize, body: Body) -> Ticket {
        self.given += 1;
        self.lanes[lane].jobs.insert(self.given, body);
        Ticket { number: self.given, lane }
    }

    /// Takes the oldest job that may run, where there are `threads` in all. [`Queue::ended`] is to be told of
    /// its end, with the lane of its ticket.
    pub(super) fn pop(&mut self, threads: usize) -> Option<(Ticket, Body)> {
        let oldest = self.lanes.iter().filter(|(key, _)| self.open(*key, threads) > 0);
        let first = oldest.filter_map(|(key, lane)| Some((*lane.jobs.first_key_value()?.0, key)));
        let (_, key) = first.min()?;
        let lane = self.lanes.get_mut(key)?;
        let (number, body) = lane.jobs.pop_first()?;
        lane.running += 1;
        self.bounded += usize::from(key != COMMON);
        Some((Ticket { number, lane: key }, body))
    }

    /// A job of this lane has ended.
    pub(super) fn ended(&mut self, lane: usize) {
        self.lanes[lane].running -= 1;
        self.bounded -= usize::from(lane != COMMON);
        self.clear(lane);
    }

    /// A job of this lane that runs begins to wait for others, or goes on.
    pub(super) fn waits(&mut self, lane: usize, begins: bool) {
        if lane != COMMON {
            self.bounded = if begins { self.bounded - 1 } else { self.bounded + 1 };
        }
    }

    /// Takes out the job of this ticket, if it is still there.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Body> {
        let body = self.lanes.get_mut(ticket.lane)?.jobs.remove(&ticket.number);
        self.clear(ticket.lane);
        body
    }

    /// Takes out all jobs.
    pub(super) fn drain(&mut self) -> Vec<Body> {
        let keys: Vec<_> = self.lanes.iter().map(|(key, _)| key).collect();
        let mut jobs = Vec::new();
        for key in keys {
            jobs.extend(std::mem::take(&mut self.lanes[key].jobs).into_values());
            self.clear(key);
        }
        jobs
    }

    /// How many jobs of a lane wait.
    pub(super) fn waiting(&self, lane: usize) -> usize {
        self.lanes.get(lane).map_or(0, |lane| lane.jobs.len())
    }

    /// How many jobs wait in all.
    pub(super) fn all_waiting(&self) -> usize {
        self.lanes.iter().map(|(_, lane)| lane.jobs.len()).sum()
    }

    /// How many of the jobs that wait may run, where there are `threads` in all.
    pub(super) fn len(&self, threads: usize) -> usize {
        self.lanes.iter().map(|(key, lane)| lane.jobs.len().min(self.open(key, threads))).sum()
    }

    /// Whether no job may run.
    pub(super) fn is_empty(&self, threads: usize) -> bool {
        self.lanes.iter().all(|(key, lane)| lane.jobs.is_empty() || self.open(key, threads) == 0)
    }

    /// How many more jobs of a lane may run.
    fn open(&self, lane: usize, threads: usize) -> usize {
        if lane == COMMON {
            return usize::MAX;
        }
        let Some(lane) = self.lanes.get(lane) else { return 0 };
        let all = threads.saturating_sub(1).max(1);
        lane.bound.saturating_sub(lane.running).min(all.saturating_sub(self.bounded))
    }

    /// See rule 5.
    fn clear(&mut self, lane: usize) {
        let gone = |lane: &Lane| lane.left && lane.running == 0 && lane.jobs.is_empty();
        if self.lanes.get(lane).is_some_and(gone) {
            self.lanes.remove(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Body {
        Box::new(drop)
    }

    /// The lane of the next of four threads' jobs.
    fn next(queue: &mut Queue) -> Option<usize> {
        Some(queue.pop(4)?.0.lane)
    }

    #[test]
    fn a_full_lane_is_passed_over() {
        let mut queue = Queue::default();
        let lane = queue.add_lane(1);
        queue.push(lane, nothing());
        queue.push(lane, nothing());
        queue.push(COMMON, nothing());
        assert_eq!((queue.len(4), queue.all_waiting()), (2, 3));
        let order: Vec<_> = std::iter::from_fn(|| next(&mut queue)).collect();
        assert_eq!(order, [lane, COMMON]);
        assert!(queue.is_empty(4) && queue.waiting(lane) == 1);
        queue.ended(lane);
        assert!(!queue.is_empty(4));
        assert_eq!(next(&mut queue), Some(lane));
    }

    #[test]
    fn lanes_together_leave_a_thread() {
        let mut queue = Queue::default();
        let lanes = [queue.add_lane(8), queue.add_lane(8)];
        for lane in lanes {
            for _ in 0..8 {
                queue.push(lane, nothing());
            }
        }
        let begun = std::iter::from_fn(|| queue.pop(4)).count();
        assert_eq!(begun, 3);
        queue.push(COMMON, nothing());
        assert_eq!(next(&mut queue), Some(COMMON));
        // With one thread there is nothing to leave, and they run all the same.
        let mut queue = Queue::default();
        let lane = queue.add_lane(8);
        queue.push(lane, nothing());
        assert!(queue.pop(1).is_some());
    }

    #[test]
    fn a_lane_that_was_left_goes_with_its_last_job() {
        let mut queue = Queue::default();
        let lane = queue.add_lane(2);
        let ticket = queue.push(lane, nothing());
        queue.push(lane, nothing());
        queue.leave(lane);
        assert!(queue.remove(ticket).is_some() && queue.remove(ticket).is_none());
        assert_eq!(next(&mut queue), Some(lane));
        assert!(queue.lanes.contains(lane));
        queue.ended(lane);
        assert!(!queue.lanes.contains(lane));
    }
}
