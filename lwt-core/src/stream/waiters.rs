//! [`Waiters`]: who waits, first come first served; a place in the middle may be given up at any time.
//!
//! 1. Entries are in the order of their tickets, which are never issued twice; so a ticket is found by
//!    bisection.
//! 2. A place that is given up becomes a hole. Holes at the ends go at once, others when they are half of
//!    all.

use std::collections::VecDeque;

pub(super) struct Waiters<W> {
    entries: VecDeque<(u64, Option<W>)>,
    issued: u64,
    holes: usize,
}

impl<W> Waiters<W> {
    pub(super) const fn new() -> Waiters<W> {
        Waiters { entries: VecDeque::new(), issued: 0, holes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ticket for the next [`push_back`](Waiters::push_back).
    pub(super) fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    pub(super) fn push_back(&mut self, ticket: u64, waiter: W) {
        self.entries.push_back((ticket, Some(waiter)));
    }

    /// Puts back who was popped.
    pub(super) fn push_front(&mut self, ticket: u64, waiter: W) {
        self.entries.push_front((ticket, Some(waiter)));
    }

    pub(super) fn pop_front(&mut self) -> Option<(u64, W)> {
        let (ticket, waiter) = self.entries.pop_front()?;
        self.trim();
        Some((ticket, waiter?))
    }

    pub(super) fn first(&self) -> Option<&W> {
        self.entries.front()?.1.as_ref()
    }

    pub(super) fn is_first(&self, ticket: u64) -> bool {
        self.entries.front().is_some_and(|(first, _)| *first == ticket)
    }

    pub(super) fn get_mut(&mut self, ticket: u64) -> Option<&mut W> {
        let at = self.find(ticket)?;
        self.entries[at].1.as_mut()
    }

    pub(super) fn remove(&mut self, ticket: u64) -> Option<W> {
        let at = self.find(ticket)?;
        let waiter = self.entries[at].1.take()?;
        self.holes += 1;
        self.trim();
        if self.holes * 2 > self.entries.len() {
            self.entries.retain(|(_, waiter)| waiter.is_some());
            self.holes = 0;
        }
        Some(waiter)
    }

    fn find(&self, ticket: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }

    fn trim(&mut self) {
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
            self.holes -= 1;
        }
        while let Some((_, None)) = self.entries.back() {
            self.entries.pop_back();
            self.holes -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Waiters;

    #[test]
    fn first_come_first_served_with_places_given_up() {
        let mut w = Waiters::new();
        let tickets: Vec<u64> = (0..10)
            .map(|n| {
                let ticket = w.issue();
                w.push_back(ticket, n);
                ticket
            })
            .collect();
        for n in [0, 4, 9, 5] {
            assert_eq!(w.remove(tickets[n]), Some(n));
            assert_eq!(w.remove(tickets[n]), None);
        }
        let (ticket, first) = w.pop_front().expect("one");
        assert_eq!(first, 1);
        w.push_front(ticket, first);
        assert_eq!(w.get_mut(tickets[6]), Some(&mut 6));
        let rest: Vec<_> = std::iter::from_fn(|| w.pop_front()).map(|(_, n)| n).collect();
        assert_eq!(rest, [1, 2, 3, 6, 7, 8]);
        assert!(w.is_empty());
    }

    #[test]
    fn holes_do_not_gather() {
        let mut w = Waiters::new();
        let first = w.issue();
        w.push_back(first, 0);
        let mut last = first;
        for n in 1..1000 {
            let ticket = w.issue();
            w.push_back(ticket, n);
            if last != first {
                assert_eq!(w.remove(last), Some(n - 1));
            }
            last = ticket;
            assert!(w.entries.len() < 8);
        }
    }
}
