//! Transformers with several of the function's promises pending at once: the `_p` and `_n` forms. What they
//! make comes in the order of the elements below.
//!
//! 1. `begun` has the promises in that order. A resolved one keeps its place until it is read, so that a slow
//!    reader holds back what is begun.
//! 2. Nothing is begun before the stream is asked; then as many as there is room for, as their elements come,
//!    but where nothing needs to wait only one. None of these is taken before there is room for it.
//! 3. When the stream is dropped, all that is pending is cancelled.

use std::collections::VecDeque;
use std::ops::ControlFlow::{Break, Continue};

use crate::func::Func;
use crate::{Promise, choose, iterate, task};

use super::Stream;
use super::create::from_state;
use super::place::Ahead;
use super::transform::held;

/// What was begun, the first one first.
struct Begun<U: 'static> {
    promises: VecDeque<Promise<Option<U>>>,
    /// Resolved with the first of them; made when it is waited for.
    first: Option<Promise<()>>,
}

impl<U: 'static> Begun<U> {
    /// Whether it needs no waiting, and there is one to be read.
    fn push(&mut self, promise: Promise<Option<U>>) -> bool {
        let is_resolved = !promise.is_pending();
        self.promises.push_back(promise);
        is_resolved && self.promises.front().is_some_and(|first| !first.is_pending())
    }

    fn pop_resolved(&mut self) -> Option<Promise<Option<U>>> {
        let first = self.promises.pop_front_if(|first| !first.is_pending())?;
        self.first = None;
        Some(first)
    }

    /// Resolved with the first one, if there is one.
    fn first(&mut self) -> Option<Promise<()>> {
        let first = self.promises.front()?;
        let resolved = self.first.get_or_insert_with(|| {
            let (resolved, resolver) = task();
            first.on_any(move |_| resolver.wakeup(()));
            resolved
        });
        Some(resolved.clone())
    }
}

impl<U: 'static> Drop for Begun<U> {
    fn drop(&mut self) {
        self.promises.iter().for_each(Promise::cancel);
    }
}

impl<T: 'static> Stream<T> {
    /// The stream of what `step` makes of each element, where it makes something.
    #[track_caller]
    fn skim_n<U: 'static>(
        self,
        limit: usize,
        step: impl FnMut(T) -> Promise<Option<U>> + 'static,
    ) -> Stream<U> {
        assert!(limit > 0, "a stream with no place for an element");
        let step = Func::new(step);
        let begun = Begun { promises: VecDeque::new(), first: None };
        from_state(begun, move |begun| {
            let (below, step, begun) = (self.share(), step.clone(), begun.clone());
            iterate((), move |()| {
                let (mut ended, mut at_once) = (false, false);
                while !ended && !at_once && begun.call(|begun| begun.promises.len()) < limit {
                    match below.reader.ahead_now() {
                        Some(Ahead::Element | Ahead::Failure) => {
                            let step = step.clone();
                            let promise = below.get().bind(move |element| match element {
                                Some(element) => step.call(|step| step(element)),
                                None => Promise::ready(None),
                            });
                            at_once = begun.call(|begun| begun.push(promise));
                        }
                        Some(Ahead::End) => ended = true,
                        Some(Ahead::Nothing) | None => break,
                    }
                }
                if let Some(resolved) = begun.call(Begun::pop_resolved) {
                    return resolved.map(|made| if made.is_some() { Break(made) } else { Continue(()) });
                }
                let (first, many) = begun.call(|begun| (begun.first(), begun.promises.len()));
                let more = (many < limit && !ended).then(|| below.available());
                let waits: Vec<Promise<()>> = first.into_iter().chain(more).collect();
                if waits.is_empty() { Promise::ready(Break(None)) } else { choose(waits).map(Continue) }
            })
        })
    }

    /// [`map_s`](Stream::map_s) with at most `max_concurrency` of `f`'s promises begun and not yet read.
    ///
    /// Nothing is begun before an element is asked for. The elements come in the order of those below; an
    /// error of `f` takes the place of its element. When the stream is dropped, `f`'s promises are cancelled.
    ///
    /// # Panics
    /// If `max_concurrency` is 0.
    ///
    /// ```
    /// use lwt_core::{State, pause, scheduler, stream};
    /// let s = stream::of_list(0..10).map_n(4, |n| pause().map(move |()| n * n));
    /// let all = s.to_list();
    /// assert_eq!(scheduler::paused_count(), 4);
    /// while all.is_pending() {
    ///     scheduler::wakeup_paused();
    /// }
    /// assert!(matches!(all.state(), State::Fulfilled(all) if all[9] == 81));
    /// ```
    #[track_caller]
    pub fn map_n<U: 'static>(
        self,
        max_concurrency: usize,
        mut f: impl FnMut(T) -> Promise<U> + 'static,
    ) -> Stream<U> {
        self.skim_n(max_concurrency, move |element| held(f(element)).map(Some))
    }

    /// [`map_n`](Stream::map_n) without a bound: when an element is asked for, `f` is called with all that
    /// are there, and while it is waited for, with those that come. So it is for sources that end, or wait
    /// now and then.
    pub fn map_p<U: 'static>(self, f: impl FnMut(T) -> Promise<U> + 'static) -> Stream<U> {
        self.map_n(usize::MAX, f)
    }

    /// [`filter_s`](Stream::filter_s) with at most `max_concurrency` of `f`'s promises begun and not yet
    /// read; otherwise as [`map_n`](Stream::map_n).
    ///
    /// # Panics
    /// If `max_concurrency` is 0.
    ///
    /// ```
    /// use lwt_core::{Promise, State, stream};
    /// let s = stream::of_list([1, 2, 3]).filter_n(2, |n| Promise::ready(n % 2 == 1));
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 3]));
    /// ```
    #[track_caller]
    pub fn filter_n(
        self,
        max_concurrency: usize,
        mut f: impl FnMut(&T) -> Promise<bool> + 'static,
    ) -> Stream<T> {
        self.skim_n(max_concurrency, move |element| held(f(&element)).map(move |yes| yes.then_some(element)))
    }

    /// [`filter_n`](Stream::filter_n) without a bound: see [`map_p`](Stream::map_p).
    pub fn filter_p(self, f: impl FnMut(&T) -> Promise<bool> + 'static) -> Stream<T> {
        self.filter_n(usize::MAX, f)
    }

    /// [`filter_map_s`](Stream::filter_map_s) with at most `max_concurrency` of `f`'s promises begun and not
    /// yet read; otherwise as [`map_n`](Stream::map_n).
    ///
    /// # Panics
    /// If `max_concurrency` is 0.
    ///
    /// ```
    /// use lwt_core::{Promise, State, stream};
    /// let s = stream::of_list(["1", "x"]).filter_map_n(2, |text| Promise::ready(text.parse::<u32>().ok()));
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1]));
    /// ```
    #[track_caller]
    pub fn filter_map_n<U: 'static>(
        self,
        max_concurrency: usize,
        mut f: impl FnMut(T) -> Promise<Option<U>> + 'static,
    ) -> Stream<U> {
        self.skim_n(max_concurrency, move |element| held(f(element)))
    }

    /// [`filter_map_n`](Stream::filter_map_n) without a bound: see [`map_p`](Stream::map_p).
    pub fn filter_map_p<U: 'static>(self, f: impl FnMut(T) -> Promise<Option<U>> + 'static) -> Stream<U> {
        self.filter_map_n(usize::MAX, f)
    }
}
