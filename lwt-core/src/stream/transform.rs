//! Streams made from a stream.
//!
//! Each is a [`from`](super::from()) whose source takes elements from the stream below. They are lazy:
//! nothing is taken before it is asked for. When the reader above gives up, the element that is on its way is
//! kept for the next one; when the stream above is dropped while it waits for an element, that stays in the
//! stream below.

use std::ops::ControlFlow::{Break, Continue};

use crate::{Error, Promise, iterate};

use super::Stream;
use super::create::from_state;

/// A promise that always yields to a cancel, so that nothing stays behind on one of the user's that does not.
pub(super) fn held<U: 'static>(promise: Promise<U>) -> Promise<U> {
    if promise.is_pending() { promise.wrap_in_cancelable() } else { promise }
}

impl<T: 'static> Stream<T> {
    /// The stream of what `step` makes of each element, where it makes something.
    fn skim<U: 'static>(self, step: impl FnMut(T) -> Promise<Option<U>> + 'static) -> Stream<U> {
        from_state(step, move |step| {
            let (below, step) = (self.share(), step.clone());
            iterate((), move |()| {
                let step = step.clone();
                below.get().bind(move |element| match element {
                    Some(element) => {
                        let made = step.call(|step| step(element));
                        made.map(|made| if made.is_some() { Break(made) } else { Continue(()) })
                    }
                    None => Promise::ready(Break(None)),
                })
            })
        })
    }

    /// The stream of `f` of each element (`Lwt_stream.map`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2]).map(|n| n * 10);
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [10, 20]));
    /// ```
    pub fn map<U: 'static>(self, mut f: impl FnMut(T) -> U + 'static) -> Stream<U> {
        self.skim(move |element| Promise::ready(Some(f(element))))
    }

    /// [`map`](Stream::map) with a function that takes its time, one element after the other
    /// (`Lwt_stream.map_s`).
    pub fn map_s<U: 'static>(self, mut f: impl FnMut(T) -> Promise<U> + 'static) -> Stream<U> {
        self.skim(move |element| held(f(element)).map(Some))
    }

    /// The stream of the elements for which `f` says yes (`Lwt_stream.filter`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2, 3]).filter(|n| n % 2 == 1);
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 3]));
    /// ```
    pub fn filter(self, mut f: impl FnMut(&T) -> bool + 'static) -> Stream<T> {
        self.skim(move |element| Promise::ready(f(&element).then_some(element)))
    }

    /// [`filter`](Stream::filter) with a function that takes its time (`Lwt_stream.filter_s`).
    pub fn filter_s(self, mut f: impl FnMut(&T) -> Promise<bool> + 'static) -> Stream<T> {
        self.skim(move |element| held(f(&element)).map(move |yes| yes.then_some(element)))
    }

    /// The stream of what `f` makes of the elements of which it makes something (`Lwt_stream.filter_map`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list(["1", "x", "3"]).filter_map(|text| text.parse::<u32>().ok());
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 3]));
    /// ```
    pub fn filter_map<U: 'static>(self, mut f: impl FnMut(T) -> Option<U> + 'static) -> Stream<U> {
        self.skim(move |element| Promise::ready(f(element)))
    }

    /// [`filter_map`](Stream::filter_map) with a function that takes its time (`Lwt_stream.filter_map_s`).
    pub fn filter_map_s<U: 'static>(self, mut f: impl FnMut(T) -> Promise<Option<U>> + 'static) -> Stream<U> {
        self.skim(move |element| held(f(element)))
    }

    /// The stream of all that `f` makes of each element (`Lwt_stream.map_list`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2]).map_list(|n| vec![n; n]);
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 2]));
    /// ```
    pub fn map_list<I>(self, mut f: impl FnMut(T) -> I + 'static) -> Stream<I::Item>
    where
        I: IntoIterator + 'static,
        I::IntoIter: 'static,
        I::Item: 'static,
    {
        self.map_list_s(move |element| Promise::ready(f(element)))
    }

    /// [`map_list`](Stream::map_list) with a function that takes its time (`Lwt_stream.map_list_s`).
    pub fn map_list_s<I>(self, f: impl FnMut(T) -> Promise<I> + 'static) -> Stream<I::Item>
    where
        I: IntoIterator + 'static,
        I::IntoIter: 'static,
        I::Item: 'static,
    {
        let lists = self.map_s(f);
        from_state(None::<I::IntoIter>, move |rest| {
            let (lists, rest) = (lists.share(), rest.clone());
            iterate((), move |()| {
                if let Some(element) = rest.call(|rest| rest.as_mut().and_then(Iterator::next)) {
                    return Promise::ready(Break(Some(element)));
                }
                let rest = rest.clone();
                lists.get().map(move |list| match list {
                    Some(list) => {
                        let list = list.into_iter();
                        let spent = rest.call(|rest| rest.replace(list));
                        drop(spent);
                        Continue(())
                    }
                    None => Break(None),
                })
            })
        })
    }

    /// The stream of the elements and the errors of this one (`Lwt_stream.wrap_exn`): it fails nowhere.
    ///
    /// ```
    /// use lwt_core::{Error, Promise, State, stream};
    /// let mut n = 0;
    /// let s = stream::from(move || {
    ///     n += 1;
    ///     if n == 2 { Promise::fail(Error::msg("two")) } else { Promise::ready((n < 4).then_some(n)) }
    /// });
    /// let all = s.wrap_err().map(|r| r.ok()).to_list();
    /// assert!(matches!(all.state(), State::Fulfilled(all) if *all == [Some(1), None, Some(3)]));
    /// ```
    pub fn wrap_err(self) -> Stream<Result<T, Error>> {
        super::from(move || {
            self.get()
                .try_bind(|element| Promise::ready(element.map(Ok)), |error| Promise::ready(Some(Err(error))))
        })
    }
}

impl<I> Stream<I>
where
    I: IntoIterator + 'static,
    I::IntoIter: 'static,
    I::Item: 'static,
{
    /// The elements of all lists (`Lwt_stream.flatten`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([vec![1, 2], vec![], vec![3]]).flatten();
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 3]));
    /// ```
    pub fn flatten(self) -> Stream<I::Item> {
        self.map_list(|list| list)
    }
}
