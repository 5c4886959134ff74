//! Streams made from several streams. None takes an element from one of them before it can pass it on.

use std::cell::Cell;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;

use crate::{Promise, both, iterate};

use super::place::Ahead;
use super::{Stream, from};

impl<T: 'static> Stream<T> {
    /// The pairs of the elements of both; it ends with the shorter one (`Lwt_stream.combine`). What the
    /// longer one has left stays in it.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2]).combine(stream::of_iter("abc".chars()));
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [(1, 'a'), (2, 'b')]));
    /// ```
    pub fn combine<U: 'static>(self, other: Stream<U>) -> Stream<(T, U)> {
        from(move || {
            let (a, b) = (self.share(), other.share());
            iterate((), move |()| match (a.reader.ahead_now(), b.reader.ahead_now()) {
                (Some(Ahead::End), _) | (_, Some(Ahead::End)) => Promise::ready(Break(None)),
                (Some(Ahead::Failure), _) => a.get().map(|_| Continue(())),
                (_, Some(Ahead::Failure)) => b.get().map(|_| Continue(())),
                (Some(_), Some(_)) => {
                    let b = b.share();
                    a.get().bind(move |left| b.get().map(move |right| Break(left.zip(right))))
                }
                _ => both(a.available(), b.available()).map(|_| Continue(())),
            })
        })
    }

    /// The elements of this stream, and then those of `other` (`Lwt_stream.append`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1]).append(stream::of_list([2]));
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
    /// ```
    pub fn append(self, other: Stream<T>) -> Stream<T> {
        let first = Rc::new(Cell::new(true));
        from(move || {
            if !first.get() {
                return other.get();
            }
            let (first, other) = (first.clone(), other.share());
            self.get().bind(move |element| match element {
                Some(_) => Promise::ready(element),
                None => {
                    first.set(false);
                    other.get()
                }
            })
        })
    }
}

impl<T: 'static> Stream<Stream<T>> {
    /// The elements of all streams, one stream after the other (`Lwt_stream.concat`).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([stream::of_list([1, 2]), stream::of_list([3])]).concat();
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 3]));
    /// ```
    pub fn concat(self) -> Stream<T> {
        let current: Rc<Cell<Option<Stream<T>>>> = Rc::new(Cell::new(None));
        from(move || {
            let (streams, current) = (self.share(), current.clone());
            iterate((), move |()| {
                let Some(stream) = current.take() else {
                    let current = current.clone();
                    return streams.get().map(move |stream| match stream {
                        Some(stream) => {
                            current.set(Some(stream));
                            Continue(())
                        }
                        None => Break(None),
                    });
                };
                let element = stream.get();
                current.set(Some(stream));
                let current = current.clone();
                element.map(move |element| {
                    if element.is_some() {
                        return Break(element);
                    }
                    drop(current.take());
                    Continue(())
                })
            })
        })
    }
}

/// The elements of all streams as they come (`Lwt_stream.choose`). It ends when all have ended.
///
/// If several have elements, they take turns. An error of one of them takes the place of an element.
///
/// ```
/// use lwt_core::{State, stream};
/// let s = stream::choose([stream::of_list([1, 3]), stream::of_list([2])]);
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 3]));
/// ```
pub fn choose<T: 'static>(streams: impl IntoIterator<Item = Stream<T>>) -> Stream<T> {
    let streams: Vec<Stream<T>> = streams.into_iter().collect();
    super::create::from_state(streams, |streams| {
        let streams = streams.clone();
        iterate((), move |()| {
            // Whose turn it is stands first. Elements are looked for in a copy: a source that is asked may
            // call anything.
            let turns: Vec<Stream<T>> = streams.call(|streams| streams.iter().map(Stream::share).collect());
            let mut ended = vec![false; turns.len()];
            let mut chosen = None;
            for (at, stream) in turns.iter().enumerate() {
                match stream.reader.ahead_now() {
                    Some(Ahead::Element | Ahead::Failure) => {
                        chosen = Some(at);
                        break;
                    }
                    Some(Ahead::End) => ended[at] = true,
                    Some(Ahead::Nothing) | None => {}
                }
            }
            let gone = streams.call(|streams| {
                if let Some(at) = chosen {
                    streams.rotate_left(at + 1);
                    ended.rotate_left(at + 1);
                }
                let mut ended = ended.iter();
                streams.extract_if(.., |_| ended.next().copied().unwrap_or(false)).collect::<Vec<_>>()
            });
            drop(gone);
            if let Some(at) = chosen {
                return turns[at]
                    .get()
                    .map(|element| if element.is_some() { Break(element) } else { Continue(()) });
            }
            let waiting: Vec<Promise<()>> =
                streams.call(|streams| streams.iter().map(Stream::available).collect());
            if waiting.is_empty() {
                return Promise::ready(Break(None));
            }
            crate::choose(waiting).map(Continue)
        })
    })
}
