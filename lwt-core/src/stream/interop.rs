//! To and from the streams of other futures libraries.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::{Error, Promise, spawn};

use super::create::from_state;
use super::{Stream, from};

impl<T: 'static> futures_core::Stream for Stream<T> {
    type Item = Result<T, Error>;

    /// As [`Stream::get`]; an element is taken when the poll that gives it is made, not before.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        loop {
            // First, lest a cancel that came before the element is lost.
            if let Some(available) = &mut self.polled {
                let outcome = ready!(Pin::new(available).poll(cx));
                self.polled = None;
                if let Err(error) = outcome {
                    return Poll::Ready(Some(Err(error)));
                }
            }
            if let Some(taken) = self.reader.take_now() {
                return Poll::Ready(taken.transpose());
            }
            self.polled = Some(self.available());
        }
    }
}

impl<T: 'static> Unpin for Stream<T> {}

/// The elements of any stream of futures. It is polled when an element is needed, in a task of its own.
///
/// A panic of its `poll_next` rejects the reader, and then the stream has ended.
///
/// ```
/// use lwt_core::{State, stream};
/// let s = stream::of_futures(stream::of_list([1, 2]));
/// let s = s.map(|r| r.unwrap_or(0));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
/// ```
pub fn of_futures<S>(stream: S) -> Stream<S::Item>
where
    S: futures_core::Stream + 'static,
    S::Item: 'static,
{
    // The stream is in the task that polls it, and comes back with the element.
    from_state(Some(Box::pin(stream)), |place| {
        let Some(mut stream) = place.call(Option::take) else { return Promise::ready(None) };
        let place = place.clone();
        spawn(async move {
            let element = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
            if element.is_some() {
                place.call(|place| *place = Some(stream));
            }
            Ok::<_, Error>(element)
        })
    })
}

/// [`of_futures`] for a stream of results: its errors are those of this stream.
///
/// ```
/// use lwt_core::{State, stream};
/// let s = stream::of_try_futures(stream::of_list([1, 2]));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
/// ```
pub fn of_try_futures<S, T, E>(stream: S) -> Stream<T>
where
    S: futures_core::Stream<Item = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    let results = of_futures(stream);
    from(move || {
        results.get().bind(|element| match element {
            Some(result) => Promise::from(result.map(Some)),
            None => Promise::ready(None),
        })
    })
}
