//! What reads a stream to its end.
//!
//! These go on when their promise is dropped, as every function of the user does that something calls; a
//! cancel stops them.

use std::ops::ControlFlow::{Break, Continue};

use crate::crew::crew;
use crate::func::Func;
use crate::{Promise, iterate};

use super::Stream;

impl<T: 'static> Stream<T> {
    /// `f` of each element and the result so far, from `start` (`Lwt_stream.fold`).
    ///
    /// A cancel stops it while it waits; the elements that follow stay in the stream.
    ///
    /// # Errors
    /// That of the source, if it fails, or a panic of `f`.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let sum = stream::of_list([1, 2, 3]).fold(0, |sum, n| sum + n);
    /// assert!(matches!(sum.state(), State::Fulfilled(6)));
    /// ```
    #[track_caller]
    pub fn fold<S: 'static>(&self, start: S, mut f: impl FnMut(S, T) -> S + 'static) -> Promise<S> {
        self.fold_s(start, move |state, element| Promise::ready(f(state, element)))
    }

    /// [`fold`](Stream::fold) with a function that takes its time (`Lwt_stream.fold_s`). A cancel goes on to
    /// its promise.
    ///
    /// # Errors
    /// That of the source, or of `f`.
    #[track_caller]
    pub fn fold_s<S: 'static>(&self, start: S, f: impl FnMut(S, T) -> Promise<S> + 'static) -> Promise<S> {
        let (stream, f) = (self.share(), Func::new(f));
        iterate(start, move |state| {
            let f = f.clone();
            stream.get().bind(move |element| match element {
                Some(element) => f.call(|f| f(state, element)).map(Continue),
                None => Promise::ready(Break(state)),
            })
        })
    }

    /// Calls `f` for each element (`Lwt_stream.iter`).
    ///
    /// A cancel stops it while it waits; the elements that follow stay in the stream.
    ///
    /// # Errors
    /// That of the source, if it fails, or a panic of `f`.
    ///
    /// ```
    /// use lwt_core::stream;
    /// let p = stream::of_list([1, 2]).iter(|n| println!("{n}"));
    /// assert!(!p.is_pending());
    /// ```
    #[track_caller]
    pub fn iter(&self, mut f: impl FnMut(T) + 'static) -> Promise<()> {
        self.fold((), move |(), element| f(element))
    }

    /// [`iter`](Stream::iter) with a function that takes its time, one element after the other
    /// (`Lwt_stream.iter_s`).
    ///
    /// # Errors
    /// That of the source, or of `f`.
    #[track_caller]
    pub fn iter_s(&self, mut f: impl FnMut(T) -> Promise<()> + 'static) -> Promise<()> {
        self.fold_s((), move |(), element| f(element))
    }

    /// [`iter`](Stream::iter) with a function that takes its time, for all elements at once, as they come
    /// (`Lwt_stream.iter_p`).
    ///
    /// After a failure no more elements are taken. A cancel goes on to all of `f`'s promises, and ends the
    /// wait for the next element; where nothing takes it, it has no effect. The result comes when all of them
    /// have ended.
    ///
    /// # Errors
    /// The first in time: of the source, or of `f`.
    #[track_caller]
    pub fn iter_p(&self, f: impl FnMut(T) -> Promise<()> + 'static) -> Promise<()> {
        self.iter_n(usize::MAX, f)
    }

    /// [`iter_p`](Stream::iter_p) with at most `max_concurrency` of `f`'s promises pending at once
    /// (`Lwt_stream.iter_n`). No element is taken before there is a place for it.
    ///
    /// # Errors
    /// The first in time: of the source, or of `f`.
    ///
    /// # Panics
    /// If `max_concurrency` is 0.
    ///
    /// ```
    /// use lwt_core::{pause, scheduler, stream};
    /// let p = stream::of_list(0..10).iter_n(4, |_| pause());
    /// assert_eq!(scheduler::paused_count(), 4);
    /// while p.is_pending() {
    ///     scheduler::wakeup_paused();
    /// }
    /// ```
    #[track_caller]
    pub fn iter_n(&self, max_concurrency: usize, f: impl FnMut(T) -> Promise<()> + 'static) -> Promise<()> {
        assert!(max_concurrency > 0, "iter_n with no place for an element");
        let stream = self.share();
        crew(max_concurrency, false, move || stream.get(), f)
    }
}
