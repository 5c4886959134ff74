//! [`Stream::parse`]: reading that is undone when it fails.

use crate::Promise;
use crate::promise::attach::caught;

use super::Stream;

impl<T: Clone + 'static> Stream<T> {
    /// Has `f` read from here; if its promise is rejected, or it panics, nothing has been read
    /// (`Lwt_stream.parse`).
    ///
    /// `f` gets a stream at this place. When its promise is fulfilled, this stream is where that one is.
    /// Other operations on this place wait meanwhile, so none of them sees what may be undone; `f` therefore
    /// reads from the stream that it is given, not from this one. In a bounded stream, what `f` has read
    /// makes room.
    ///
    /// A cancel goes on to `f`'s promise; if that is rejected by it, nothing has been read. When the promise
    /// is dropped, `f` goes on.
    ///
    /// # Errors
    /// That of `f`.
    ///
    /// ```
    /// use lwt_core::{Error, Promise, State, stream};
    /// let s = stream::of_iter("12x".chars());
    /// let number = s.parse(|s| {
    ///     s.nget(3).bind(|text| Promise::from(String::from_iter(text).parse::<u32>()))
    /// });
    /// number.on_failure(|_| ());
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some('1'))));
    /// ```
    #[track_caller]
    pub fn parse<A: 'static>(&self, f: impl FnOnce(Stream<T>) -> Promise<A> + 'static) -> Promise<A> {
        self.reader.turn().bind(move |turn| {
            let fork = Stream::with_reader(turn.fork());
            let place = fork.share();
            caught(|| f(fork)).attach(move |result| {
                if result.is_ok() {
                    turn.adopt(&place.reader);
                }
                drop(place);
                drop(turn);
                Promise::settled(result)
            })
        })
    }
}
