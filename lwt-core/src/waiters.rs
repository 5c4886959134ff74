//! The waiting line that mvar, mutex, condition, rwlock, semaphore, pool, switch, the readers of streams and
//! crews share: first come, first served.
//!
//! 1. A `W` holds the resolver of a waiting promise and what it waits for. It stands in the line until it is
//!    served, or until its promise is cancelled or dropped: then it leaves, at once ([`join_line`]), and
//!    whoever stands behind it may be served ([`Line::one_left`]).
//! 2. Leaving costs O(log n): the place stays behind, empty, until it comes to the front or most places are
//!    empty. The first place is never empty.
//! 3. No borrow is held while a `W` is dropped or a resolver used.
//! 4. A waiter in the line may be unwanted for a moment, because a cancel marks all promises that it reaches
//!    before it runs their callbacks. So whoever serves asks the resolver once more.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::{Promise, Resolver, task};

/// Where a waiter stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

pub(crate) struct Waiters<W> {
    /// In ascending order.
    places: RefCell<VecDeque<(Place, Option<W>)>>,
    next: Cell<u64>,
    empty: Cell<usize>,
}

impl<W> Waiters<W> {
    pub(crate) const fn new() -> Waiters<W> {
        Waiters { places: RefCell::new(VecDeque::new()), next: Cell::new(0), empty: Cell::new(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.borrow().len() - self.empty.get()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Adds what `make` makes, which is told its place, at the end. `make` must not use this line.
    pub(crate) fn push(&self, make: impl FnOnce(Place) -> W) {
        let place = Place(self.next.get());
        self.next.set(place.0 + 1);
        let waiter = make(place);
        self.places.borrow_mut().push_back((place, Some(waiter)));
    }

    /// Takes the first out.
    pub(crate) fn pop(&self) -> Option<W> {
        self.pop_first().map(|(_, waiter)| waiter)
    }

    /// Takes the first out if it is as `f` wants, which must not use this line.
    pub(crate) fn pop_if(&self, f: impl FnOnce(&W) -> bool) -> Option<W> {
        if self.first(f)? { self.pop() } else { None }
    }

    /// Takes the first out, for [`put_back`](Waiters::put_back).
    pub(crate) fn pop_first(&self) -> Option<(Place, W)> {
        let mut places = self.places.borrow_mut();
        let (place, waiter) = places.pop_front()?;
        self.trim(&mut places);
        Some((place, waiter?))
    }

    /// Puts back in front who was taken out there.
    pub(crate) fn put_back(&self, place: Place, waiter: W) {
        self.places.borrow_mut().push_front((place, Some(waiter)));
    }

    /// What `f` says of the first. It must not use this line.
    pub(crate) fn first<R>(&self, f: impl FnOnce(&W) -> R) -> Option<R> {
        self.places.borrow().front()?.1.as_ref().map(f)
    }

    pub(crate) fn is_first(&self, place: Place) -> bool {
        self.places.borrow().front().is_some_and(|(first, _)| *first == place)
    }

    /// Has `f` change the one at `place`, if it still stands there. `f` must not use this line.
    pub(crate) fn change<R>(&self, place: Place, f: impl FnOnce(&mut W) -> R) -> Option<R> {
        let mut places = self.places.borrow_mut();
        let at = find(&places, place)?;
        places[at].1.as_mut().map(f)
    }

    /// Takes the one at `place` out, if it still stands there.
    pub(crate) fn remove(&self, place: Place) -> Option<W> {
        const FEW: usize = 16;
        let mut places = self.places.borrow_mut();
        let at = find(&places, place)?;
        let waiter = places[at].1.take()?;
        self.empty.set(self.empty.get() + 1);
        self.trim(&mut places);
        if self.empty.get() > places.len() / 2 + FEW {
            places.retain(|(_, waiter)| waiter.is_some());
            self.empty.set(0);
        }
        if places.len() < places.capacity() / 4 {
            places.shrink_to(2 * FEW);
        }
        Some(waiter)
    }

    /// Sees to it that the first place is not empty.
    fn trim(&self, places: &mut VecDeque<(Place, Option<W>)>) {
        while let Some((_, None)) = places.front() {
            places.pop_front();
            self.empty.set(self.empty.get() - 1);
        }
    }

    /// Takes all out, first one first.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = W> + use<W> {
        self.empty.set(0);
        self.places.take().into_iter().filter_map(|(_, waiter)| waiter)
    }

    /// A clone of each, first one first.
    pub(crate) fn snapshot(&self) -> Vec<W>
    where
        W: Clone,
    {
        self.places.borrow().iter().filter_map(|(_, waiter)| waiter.clone()).collect()
    }
}

fn find<W>(places: &VecDeque<(Place, Option<W>)>, place: Place) -> Option<usize> {
    places.binary_search_by_key(&place, |(place, _)| *place).ok()
}

impl<W> Default for Waiters<W> {
    fn default() -> Waiters<W> {
        Waiters::new()
    }
}

/// What has a waiting line.
pub(crate) trait Line<W>: 'static {
    fn waiters(&self) -> &Waiters<W>;

    /// A waiter has left without being served.
    fn one_left(self: &Rc<Self>) {}
}

/// A promise for whoever is to be served in the line; `make` makes the waiter of its resolver.
///
/// It leaves the line when it is cancelled or dropped.
#[track_caller]
pub(crate) fn join_line<T: 'static, W: 'static, L: Line<W>>(
    line: &Rc<L>,
    make: impl FnOnce(Resolver<T>) -> W,
) -> Promise<T> {
    let (promise, resolver) = task();
    line.waiters().push(|place| {
        let line = Rc::downgrade(line);
        resolver.on_unwanted(move || {
            if let Some(line) = line.upgrade() {
                drop(line.waiters().remove(place));
                line.one_left();
            }
        });
        make(resolver)
    });
    promise
}

#[cfg(test)]
mod tests {
    use super::{Place, Waiters};

    fn line(n: usize) -> (Waiters<usize>, Vec<Place>) {
        let line = Waiters::new();
        let mut places = Vec::new();
        for i in 0..n {
            line.push(|place| {
                places.push(place);
                i
            });
        }
        (line, places)
    }

    #[test]
    fn who_leaves_frees_the_place() {
        let (line, places) = line(100);
        for i in (0..100).filter(|i| i % 10 != 3) {
            assert_eq!(line.remove(places[i]), Some(i));
            assert_eq!(line.remove(places[i]), None);
        }
        assert_eq!(line.len(), 10);
        assert!(line.places.borrow().len() < 40, "the empty places are given back");
        assert_eq!(line.pop_if(|i| *i == 4), None);
        assert_eq!(line.pop_if(|i| *i == 3), Some(3));
        assert_eq!(line.pop(), Some(13));
        assert_eq!(line.remove(places[13]), None);
        assert_eq!(line.snapshot().len(), 8);
        assert_eq!(line.take_all().collect::<Vec<_>>(), [23, 33, 43, 53, 63, 73, 83, 93]);
        assert!(line.is_empty() && line.pop().is_none());
    }

    #[test]
    fn who_was_taken_out_may_come_back() {
        let (line, places) = line(10);
        for n in [0, 4, 9, 5] {
            assert_eq!(line.remove(places[n]), Some(n));
        }
        assert_eq!(line.first(|n| *n), Some(1));
        let (place, first) = line.pop_first().expect("one");
        assert_eq!(first, 1);
        assert!(!line.is_first(place) && line.is_first(places[2]));
        line.put_back(place, first);
        assert!(line.is_first(place));
        assert_eq!(line.change(places[6], |n| std::mem::replace(n, 66)), Some(6));
        assert_eq!(line.change(places[4], |_| ()), None);
        let rest: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
        assert_eq!(rest, [1, 2, 3, 66, 7, 8]);
        assert!(line.is_empty());
    }

    #[test]
    fn who_leaves_behind_a_patient_one_leaves_no_room() {
        let (line, _) = line(1);
        for n in 1..1000 {
            let mut last = None;
            line.push(|place| {
                last = Some(place);
                n
            });
            assert_eq!(last.and_then(|place| line.remove(place)), Some(n));
            assert!(line.places.borrow().len() < 40);
        }
        assert_eq!(line.len(), 1);
    }
}
