//! Streams: elements that come one after the other, in their own time (`Lwt_stream`).
//!
//! A [`Stream`] is read with [`get`](Stream::get) and its relatives, which wait for what is not there yet.
//! Elements come from a function that is asked for them ([`from`], [`from_direct`]), from those who push
//! ([`create`], and with back-pressure [`create_bounded`]), from lists and iterators ([`of_list`],
//! [`of_iter`]), from other streams ([`map`](Stream::map), [`choose`], ...), or from any
//! `futures_core::Stream` ([`of_futures`]). A `Stream` is itself a `futures_core::Stream`.
//!
//! ```
//! use lwt_core::{Error, scheduler, spawn, stream};
//!
//! let (lines, push) = stream::create();
//! let words = lines.map_list(|line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
//! let count = spawn(async move {
//!     let mut n = 0;
//!     while let Some(word) = words.get().await? {
//!         n += word.len();
//!     }
//!     Ok::<_, Error>(n)
//! });
//! push.push("to be or".to_owned())?;
//! push.push("not to be".to_owned())?;
//! push.close();
//! scheduler::run_ready(usize::MAX);
//! count.on_success(|n| assert_eq!(*n, 13));
//! # Ok::<(), stream::PushError<String>>(())
//! ```
//!
//! # Rules
//!
//! * **Readers.** A stream is a place to read from. [`share`](Stream::share) gives another handle on the same
//!   place: what is read through the one is not seen by the other. `clone` gives an independent reader at the
//!   same place, which sees every element from there on. An element is kept until the slowest reader has
//!   passed it, and is cloned for all but that one; a stream that was never cloned moves its elements, which
//!   need not be `Clone`.
//! * **Order.** Operations on one place take effect in the order in which they were called. Several that wait
//!   each get an element of their own; only `peek` and its relatives share.
//! * **Cancel and drop.** An operation whose promise is cancelled or dropped loses no element: one that had
//!   not all it needs gives back what it had. What calls a function for each element ([`fold`](Stream::fold),
//!   [`iter`](Stream::iter), ...) goes on when its promise is dropped, and stops when it is cancelled.
//! * **Errors.** A rejection or a panic of a source, or of the function of a transformer, takes the place of
//!   an element: who reads there is rejected with it, and the stream goes on behind it. An operation of
//!   several elements that meets one gives back the elements before it.
//! * **Functions** that are called for each element are `FnMut`, and never run inside themselves: a call that
//!   would have to waits.
//! * **The end.** An operation in progress keeps its stream. When the last handle is dropped, the elements
//!   are freed, and what the source was waiting for is cancelled.
//!
//! # Reading guide
//!
//! 1. `buffer.rs`: the elements that somebody has still to read.
//! 2. `hub.rs`: where they come from; what all readers share.
//! 3. `place.rs`, `reader.rs`: a place in the stream, and the queue of operations there; `turn.rs`: reading
//!    alone.
//! 4. `scan.rs`: operations over several elements.
//! 5. The rest is what users see: `create.rs`, `push.rs`, `get.rs`, `transform.rs`, `several.rs`,
//!    `consume.rs`, `combine.rs`, `parse.rs`, `text.rs`, `interop.rs`, `error.rs`.
//!
//! # Coming from `Lwt_stream`
//!
//! Functions have their names; `create`'s `push None` is [`Push::close`]. The guide has a table of all:
//! `lwt::docs::coming_from_lwt::streams`. Lwt has no [`map_n`](Stream::map_n),
//! [`filter_n`](Stream::filter_n), [`filter_map_n`](Stream::filter_map_n), nor their `_p` forms.

mod buffer;
mod combine;
mod consume;
mod create;
mod error;
mod get;
mod hub;
mod interop;
mod parse;
mod place;
mod push;
mod reader;
mod scan;
mod several;
mod text;
mod transform;
mod turn;

use std::fmt;
use std::rc::Rc;

use crate::Promise;

use hub::{Hub, Source};
use reader::Reader;

pub use combine::choose;
pub use create::{
    create, create_bounded, create_with_reference, from, from_direct, of_iter, of_list, of_promise, of_seq,
    ready,
};
pub use error::{Closed, Empty, Full, PushError};
pub use interop::{of_futures, of_try_futures};
pub use push::{BoundedPush, Push};
pub use text::{of_bytes, of_string};

/// A place to read elements from (`Lwt_stream.t`). See the [module](self).
///
/// As a `futures_core::Stream` it gives `Result<T, Error>`.
///
/// ```
/// use lwt_core::{State, stream};
/// let s = stream::of_list([1, 2, 3]);
/// assert!(matches!(s.get().state(), State::Fulfilled(Some(1))));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(rest) if *rest == [2, 3]));
/// ```
#[must_use = "a stream that is dropped frees its elements"]
pub struct Stream<T: 'static> {
    reader: Rc<Reader<T>>,
    /// What a poll of this handle waits for.
    polled: Option<Promise<()>>,
}

impl<T: 'static> Stream<T> {
    /// The stream whose elements are `items` and then those of `source`.
    fn with_source(source: Source<T>, items: impl IntoIterator<Item = T>, closed: bool) -> Stream<T> {
        Stream::with_reader(Reader::first(Hub::new(source, items, closed)))
    }

    fn with_reader(reader: Rc<Reader<T>>) -> Stream<T> {
        Stream { reader, polled: None }
    }

    /// Another handle on the same place: what is read through the one is not seen by the other.
    ///
    /// In Lwt every use of a stream is such a handle. Transformers take a stream; to go on with it beside
    /// them, share it.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2, 3]);
    /// let doubled = s.share().map(|n| n * 2);
    /// assert!(matches!(doubled.get().state(), State::Fulfilled(Some(2))));
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(2))));
    /// ```
    pub fn share(&self) -> Stream<T> {
        Stream::with_reader(self.reader.clone())
    }

    /// Whether nothing more can be pushed, or the source has said that it has no more
    /// (`Lwt_stream.is_closed`). There may still be elements to read: closed is not empty.
    ///
    /// ```
    /// let s = lwt_core::stream::of_list([1]);
    /// assert!(s.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.reader.hub.is_closed()
    }

    /// A promise that is fulfilled when the stream is closed (`Lwt_stream.closed`);
    /// [`is_closed`](Stream::is_closed) is true by then.
    ///
    /// A cancel rejects this promise alone.
    ///
    /// # Errors
    /// [`Abandoned`](crate::Abandoned), if the stream is dropped before.
    ///
    /// ```
    /// let (s, push) = lwt_core::stream::create::<u32>();
    /// let closed = s.closed();
    /// push.close();
    /// assert!(!closed.is_pending());
    /// ```
    pub fn closed(&self) -> Promise<()> {
        self.reader.hub.closed()
    }
}

impl<T: Clone + 'static> Clone for Stream<T> {
    /// An independent reader at the same place (`Lwt_stream.clone`): it gets every element from here on,
    /// whatever the others read.
    ///
    /// Elements are kept until the slowest reader has passed them; a bounded stream counts those that the
    /// slowest has still to read.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let a = stream::of_list([1, 2]);
    /// let b = a.clone();
    /// assert!(matches!(a.to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
    /// assert!(matches!(b.get().state(), State::Fulfilled(Some(1))));
    /// ```
    fn clone(&self) -> Stream<T> {
        Stream::with_reader(self.reader.fork())
    }
}

impl<T: 'static> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("unread", &self.reader.hub.unread())
            .field("closed", &self.is_closed())
            .finish()
    }
}
