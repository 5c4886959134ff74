//! Making streams.

use std::any::Any;
use std::iter;

use crate::Promise;
use crate::func::Func;
use crate::seq::Seq;

use super::Stream;
use super::hub::{Ask, Gate, Pull, Source};
use super::push::{BoundedPush, Push};

/// A stream that asks `f` for each element; `None` ends it (`Lwt_stream.from`).
///
/// `f` is asked when a reader needs an element that is not there, and not again before its last promise is
/// resolved. When the reader is cancelled or dropped meanwhile, `f`'s promise goes on, and its element waits
/// for the next reader; when the whole stream is dropped, `f`'s promise is cancelled
/// ([`no_cancel`](Promise::no_cancel) prevents that). A rejection or a panic of `f` rejects whoever reads;
/// then `f` is asked anew.
///
/// ```
/// use lwt_core::{Promise, State, stream};
/// let mut n = 0;
/// let s = stream::from(move || {
///     n += 1;
///     Promise::ready((n <= 3).then_some(n))
/// });
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 3]));
/// ```
pub fn from<T: 'static>(f: impl FnMut() -> Promise<Option<T>> + 'static) -> Stream<T> {
    from_source(Box::new(f), false)
}

fn from_source<T: 'static>(ask: Ask<T>, closed: bool) -> Stream<T> {
    Stream::with_source(Source::Pull(Pull::new(Some(ask))), iter::empty(), closed)
}

/// [`from`] for a function that needs not wait (`Lwt_stream.from_direct`).
///
/// ```
/// use lwt_core::{State, stream};
/// let mut n = 0;
/// let s = stream::from_direct(move || {
///     n += 1;
///     Some(n)
/// });
/// assert!(matches!(s.nget(3).state(), State::Fulfilled(all) if *all == [1, 2, 3]));
/// ```
pub fn from_direct<T: 'static>(mut f: impl FnMut() -> Option<T> + 'static) -> Stream<T> {
    from(move || Promise::ready(f()))
}

/// The stream with this one element, closed (`Lwt_stream.return`).
///
/// ```
/// use lwt_core::{State, stream};
/// assert!(matches!(stream::ready(1).to_list().state(), State::Fulfilled(all) if *all == [1]));
/// ```
pub fn ready<T: 'static>(element: T) -> Stream<T> {
    of_list([element])
}

/// The stream with the value of `promise` as its one element, closed (`Lwt_stream.return_lwt`).
///
/// A rejection rejects the first reader; then the stream has ended. (Lwt drops the error.)
///
/// ```
/// use lwt_core::{State, stream, wait};
/// let (p, r) = wait();
/// let s = stream::of_promise(p);
/// assert!(s.is_closed());
/// r.wakeup(1);
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1]));
/// ```
pub fn of_promise<T: 'static>(promise: Promise<T>) -> Stream<T> {
    let mut promise = Some(promise);
    let ask = move || match promise.take() {
        // Only the copy is cancelled with the stream.
        Some(promise) => promise.map(Some).protected(),
        None => Promise::ready(None),
    };
    from_source(Box::new(ask), true)
}

/// The stream of these elements, closed (`Lwt_stream.of_list`, `of_array`).
///
/// ```
/// use lwt_core::{State, stream};
/// let s = stream::of_list(["a", "b"]);
/// assert!(s.is_closed());
/// assert!(matches!(s.get().state(), State::Fulfilled(Some("a"))));
/// ```
pub fn of_list<T: 'static>(elements: impl IntoIterator<Item = T>) -> Stream<T> {
    Stream::with_source(Source::Pull(Pull::new(None)), elements, true)
}

/// The stream of an iterator, which is asked for one element at a time when it is needed
/// (`Lwt_stream.of_seq`). It is closed when the iterator has said that it has no more.
///
/// ```
/// use lwt_core::{State, stream};
/// let s = stream::of_iter(1..);
/// assert!(matches!(s.nget(2).state(), State::Fulfilled(all) if *all == [1, 2]));
/// ```
pub fn of_iter<T: 'static, I>(elements: I) -> Stream<T>
where
    I: IntoIterator<Item = T>,
    I::IntoIter: 'static,
{
    let mut elements = elements.into_iter();
    from_direct(move || elements.next())
}

/// The stream of a sequence, which is forced one step at a time when an element is needed
/// (`Lwt_stream.of_lwt_seq`). It is closed when the sequence has ended; a step that fails is forced again by
/// the next reader.
///
/// ```
/// use lwt_core::{State, seq, stream};
/// let s = stream::of_seq(seq::of_list([1, 2]));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
/// ```
pub fn of_seq<T: 'static>(seq: Seq<T>) -> Stream<T> {
    from_state(seq, |at| at.call(|at| at.clone()).take_head(at))
}

/// A stream and the handle that pushes into it (`Lwt_stream.create`). There is no bound: see
/// [`create_bounded`] for one.
///
/// The stream ends by [`Push::close`], or when the last [`Push`] is dropped. The handle does not keep the
/// stream.
///
/// ```
/// use lwt_core::{State, stream};
/// let (s, push) = stream::create();
/// let first = s.get();
/// push.push(1).unwrap();
/// assert!(matches!(first.state(), State::Fulfilled(Some(1))));
/// ```
pub fn create<T: 'static>() -> (Stream<T>, Push<T>) {
    let stream = gated(usize::MAX);
    let push = Push::new(&stream.reader.hub);
    (stream, push)
}

/// [`create`], and a function whose argument the stream keeps until it is dropped or another one is given
/// (`Lwt_stream.create_with_reference`): for what feeds the stream and must live as long.
///
/// ```
/// use lwt_core::stream;
/// use std::rc::Rc;
/// let (s, push, keep) = stream::create_with_reference::<u32, _>();
/// let feeder = Rc::new(push);
/// let alive = Rc::downgrade(&feeder);
/// keep(feeder);
/// assert!(alive.upgrade().is_some());
/// drop(s);
/// assert!(alive.upgrade().is_none());
/// ```
pub fn create_with_reference<T: 'static, R: 'static>() -> (Stream<T>, Push<T>, impl Fn(R) + 'static) {
    let (stream, push) = create();
    let hub = std::rc::Rc::downgrade(&stream.reader.hub);
    let keep = move |reference: R| {
        if let Some(hub) = hub.upgrade() {
            hub.set_reference(Box::new(reference) as Box<dyn Any>);
        }
    };
    (stream, push, keep)
}

/// A stream that holds `size` elements, and the handle that pushes into it and waits while it is full
/// (`Lwt_stream.create_bounded`).
///
/// With size 0 it is a rendezvous: a push waits for the reader that takes the element. The stream ends by
/// [`BoundedPush::close`], or, as soon as a push that waits has got through, when the last [`BoundedPush`] is
/// dropped.
///
/// ```
/// use lwt_core::{State, stream};
/// let (s, push) = stream::create_bounded(1);
/// assert!(!push.push(1).is_pending());
/// let second = push.push(2);
/// assert!(second.is_pending());
/// assert!(matches!(s.get().state(), State::Fulfilled(Some(1))));
/// assert!(!second.is_pending());
/// ```
pub fn create_bounded<T: 'static>(size: usize) -> (Stream<T>, BoundedPush<T>) {
    let stream = gated(size);
    let push = BoundedPush::new(&stream.reader.hub);
    (stream, push)
}

fn gated<T: 'static>(size: usize) -> Stream<T> {
    Stream::with_source(Source::Gate(Gate::new(size)), iter::empty(), false)
}

/// A stream whose elements are made by steps that may each take several promises: `step` is called with a
/// handle on the state, and never while its last promise is pending.
pub(super) fn from_state<S: 'static, T: 'static>(
    state: S,
    mut step: impl FnMut(&Func<S>) -> Promise<Option<T>> + 'static,
) -> Stream<T> {
    let state = Func::new(state);
    from(move || step(&state))
}
