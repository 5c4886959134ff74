//! Reading: the functions that wait for elements, and those that take what is there.
//!
//! All of them are a `get` or a scan (`scan.rs`) of the reader.

use std::cell::Cell;
use std::rc::Rc;

use crate::func::let_go;
use crate::{Error, Promise};

use super::Stream;
use super::error::Empty;
use super::place::Ahead;
use super::scan::{Found, Scan, Test, Way};

impl<T: 'static> Stream<T> {
    #[track_caller]
    pub(super) fn scan<R: 'static>(
        &self,
        way: Way,
        limit: usize,
        test: Test<T>,
        make: impl FnOnce(Found<T>) -> Result<R, Error> + 'static,
    ) -> Promise<R> {
        self.reader.scan(|resolver| Scan::new(way, limit, test, make, resolver))
    }

    // ---- taking ----

    /// Takes the next element; `None` at the end (`Lwt_stream.get`).
    ///
    /// Of several that wait, each gets an element of its own, in the order of the calls. (In Lwt all get the
    /// same one.)
    ///
    /// # Errors
    /// That of the source, if it fails here.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let (s, push) = stream::create();
    /// let (a, b) = (s.get(), s.get());
    /// push.push(1).unwrap();
    /// push.close();
    /// assert!(matches!((a.state(), b.state()), (State::Fulfilled(Some(1)), State::Fulfilled(None))));
    /// ```
    #[track_caller]
    pub fn get(&self) -> Promise<Option<T>> {
        self.reader.get()
    }

    /// Takes the next element (`Lwt_stream.next`).
    ///
    /// # Errors
    /// [`Empty`] at the end; that of the source, if it fails here.
    ///
    /// ```
    /// use lwt_core::stream::{self, Empty};
    /// let s = stream::of_list(Vec::<u32>::new());
    /// s.next().on_failure(|e| assert!(e.downcast_ref::<Empty>().is_some()));
    /// ```
    #[track_caller]
    pub fn next(&self) -> Promise<T> {
        match self.reader.take_now() {
            Some(Ok(Some(element))) => Promise::ready(element),
            Some(Ok(None)) => Promise::fail(Empty),
            Some(Err(error)) => Promise::fail(error),
            None => self.scan(Way::Take, 1, Test::All, |mut found| Ok(found.elements.pop().ok_or(Empty)?)),
        }
    }

    /// Takes the next `n` elements, fewer at the end (`Lwt_stream.nget`).
    ///
    /// # Errors
    /// That of the source, if it fails here; the elements before it are given back.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2, 3]);
    /// assert!(matches!(s.nget(2).state(), State::Fulfilled(all) if *all == [1, 2]));
    /// assert!(matches!(s.nget(2).state(), State::Fulfilled(all) if *all == [3]));
    /// ```
    #[track_caller]
    pub fn nget(&self, n: usize) -> Promise<Vec<T>> {
        self.scan(Way::Take, n, Test::All, |found| Ok(found.elements))
    }

    /// Takes elements as long as `f` says yes (`Lwt_stream.get_while`). The first for which it says no stays.
    ///
    /// # Errors
    /// That of the source, if it fails here, or a panic of `f`; the elements before it are given back.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2, 3]);
    /// assert!(matches!(s.get_while(|n| *n < 3).state(), State::Fulfilled(all) if *all == [1, 2]));
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(3))));
    /// ```
    #[track_caller]
    pub fn get_while(&self, f: impl FnMut(&T) -> bool + 'static) -> Promise<Vec<T>> {
        self.get_while_s(plain(f))
    }

    /// [`get_while`](Stream::get_while) with a function that takes its time (`Lwt_stream.get_while_s`).
    ///
    /// A cancel goes on to `f`'s promise. An error of `f` is this promise's, and the elements are given back.
    #[track_caller]
    pub fn get_while_s(&self, f: impl FnMut(&T) -> Promise<bool> + 'static) -> Promise<Vec<T>> {
        self.scan(Way::Take, usize::MAX, Test::Looking(Box::new(f)), |found| Ok(found.elements))
    }

    /// Takes all that is there, and gives the last of it; waits if nothing is there (`Lwt_stream.last_new`).
    ///
    /// # Errors
    /// [`Empty`] at the end; that of the source, if it fails here.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let (s, push) = stream::create();
    /// for n in 1..=3 {
    ///     push.push(n).unwrap();
    /// }
    /// assert!(matches!(s.last_new().state(), State::Fulfilled(3)));
    /// ```
    #[track_caller]
    pub fn last_new(&self) -> Promise<T> {
        self.scan(Way::Last, usize::MAX, Test::All, |mut found| {
            let last = found.elements.pop().ok_or(Empty)?;
            let_go(found);
            Ok(last)
        })
    }

    /// Takes all elements to the end (`Lwt_stream.to_list`).
    ///
    /// # Errors
    /// That of the source; the elements before it are given back.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// assert!(matches!(stream::of_list([1, 2]).to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
    /// ```
    #[track_caller]
    pub fn to_list(&self) -> Promise<Vec<T>> {
        self.nget(usize::MAX)
    }

    // ---- looking ----

    /// A clone of the next element, which stays; `None` at the end (`Lwt_stream.peek`). Several that wait all
    /// get the same.
    ///
    /// # Errors
    /// That of the source, if it fails here; the next read goes on behind it.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1]);
    /// assert!(matches!(s.peek().state(), State::Fulfilled(Some(1))));
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(1))));
    /// ```
    #[track_caller]
    pub fn peek(&self) -> Promise<Option<T>>
    where
        T: Clone,
    {
        self.reader.hub.clone.set(Some(T::clone));
        self.scan(Way::Copy, 1, Test::All, |mut found| Ok(found.elements.pop()))
    }

    /// Clones of the next `n` elements, fewer at the end; they stay (`Lwt_stream.npeek`).
    ///
    /// # Errors
    /// That of the source, if it fails here; the next read goes on behind it.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2, 3]);
    /// assert!(matches!(s.npeek(2).state(), State::Fulfilled(all) if *all == [1, 2]));
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(1))));
    /// ```
    #[track_caller]
    pub fn npeek(&self, n: usize) -> Promise<Vec<T>>
    where
        T: Clone,
    {
        self.reader.hub.clone.set(Some(T::clone));
        self.scan(Way::Copy, n, Test::All, |found| Ok(found.elements))
    }

    /// Whether the stream has no elements left (`Lwt_stream.is_empty`). Waits until one comes or the stream
    /// ends.
    ///
    /// # Errors
    /// That of the source, if it fails here; the next read goes on behind it.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// assert!(matches!(stream::of_list([1]).is_empty().state(), State::Fulfilled(false)));
    /// ```
    #[track_caller]
    pub fn is_empty(&self) -> Promise<bool> {
        self.scan(Way::Look, 1, Test::All, |found| Ok(!found.any))
    }

    /// Waits until an element, a failure or the end is there, and leaves it there.
    #[track_caller]
    pub(super) fn available(&self) -> Promise<()> {
        self.scan(Way::Ready, 1, Test::All, |_| Ok(()))
    }

    // ---- throwing away ----

    /// Throws the next element away; no effect at the end (`Lwt_stream.junk`).
    ///
    /// # Errors
    /// That of the source, if it fails here.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2]);
    /// assert!(!s.junk().is_pending());
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(2))));
    /// ```
    #[track_caller]
    pub fn junk(&self) -> Promise<()> {
        self.njunk(1)
    }

    /// Throws the next `n` elements away, fewer at the end (`Lwt_stream.njunk`). A cancel gives back all of
    /// them.
    ///
    /// # Errors
    /// That of the source, if it fails here; the elements before it are given back.
    #[track_caller]
    pub fn njunk(&self, n: usize) -> Promise<()> {
        self.scan(Way::Drop, n, Test::All, |_| Ok(()))
    }

    /// Throws elements away as long as `f` says yes (`Lwt_stream.junk_while`). Those for which it has said so
    /// are gone also after a cancel.
    ///
    /// # Errors
    /// That of the source, if it fails here, or a panic of `f`.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2, 3]);
    /// assert!(!s.junk_while(|n| *n < 3).is_pending());
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(3))));
    /// ```
    #[track_caller]
    pub fn junk_while(&self, f: impl FnMut(&T) -> bool + 'static) -> Promise<()> {
        self.junk_while_s(plain(f))
    }

    /// [`junk_while`](Stream::junk_while) with a function that takes its time (`Lwt_stream.junk_while_s`).
    ///
    /// A cancel goes on to `f`'s promise, whose element stays. So it does when `f` fails, with `f`'s error.
    #[track_caller]
    pub fn junk_while_s(&self, f: impl FnMut(&T) -> Promise<bool> + 'static) -> Promise<()> {
        self.scan(Way::Skip, usize::MAX, Test::Looking(Box::new(f)), |_| Ok(()))
    }

    // ---- searching ----

    /// Takes the first element for which `f` says yes; those before it are thrown away. `None` at the end
    /// (`Lwt_stream.find`).
    ///
    /// # Errors
    /// That of the source, if it fails here, or a panic of `f`, whose element stays.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let s = stream::of_list([1, 2, 3]);
    /// assert!(matches!(s.find(|n| *n > 1).state(), State::Fulfilled(Some(2))));
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(3))));
    /// ```
    #[track_caller]
    pub fn find(&self, f: impl FnMut(&T) -> bool + 'static) -> Promise<Option<T>> {
        self.find_s(plain(f))
    }

    /// [`find`](Stream::find) with a function that takes its time (`Lwt_stream.find_s`).
    ///
    /// A cancel goes on to `f`'s promise, whose element stays. So it does when `f` fails, with `f`'s error.
    #[track_caller]
    pub fn find_s(&self, f: impl FnMut(&T) -> Promise<bool> + 'static) -> Promise<Option<T>> {
        self.scan(Way::Find, usize::MAX, Test::Looking(Box::new(f)), |mut found| Ok(found.elements.pop()))
    }

    /// What `f` makes of the first element of which it makes something; those before it are gone. `None` at
    /// the end (`Lwt_stream.find_map`).
    ///
    /// A cancel or a drop while it waits leaves the elements that follow.
    ///
    /// # Errors
    /// That of the source, if it fails here, or a panic of `f`, whose element is gone.
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let n = stream::of_list(["x", "1", "2"]).find_map(|text| text.parse::<u32>().ok());
    /// assert!(matches!(n.state(), State::Fulfilled(Some(1))));
    /// ```
    #[track_caller]
    pub fn find_map<U: 'static>(&self, mut f: impl FnMut(T) -> Option<U> + 'static) -> Promise<Option<U>> {
        self.find_map_s(move |element| Promise::ready(f(element)))
    }

    /// [`find_map`](Stream::find_map) with a function that takes its time (`Lwt_stream.find_map_s`).
    ///
    /// A cancel goes on to `f`'s promise, whose element is gone. So it is when `f` fails, with `f`'s error.
    #[track_caller]
    pub fn find_map_s<U: 'static>(
        &self,
        mut f: impl FnMut(T) -> Promise<Option<U>> + 'static,
    ) -> Promise<Option<U>> {
        let made = Rc::new(Cell::new(None));
        let last = made.clone();
        let give = move |element| {
            let last = last.clone();
            f(element).map(move |value| {
                let is_made = value.is_some();
                last.set(value);
                is_made
            })
        };
        self.scan(Way::Give, usize::MAX, Test::Taking(Box::new(give)), move |_| Ok(made.take()))
    }

    // ---- what is there ----

    /// Takes all that is there now (`Lwt_stream.get_available`). Never waits; nothing, if another operation
    /// waits already.
    ///
    /// A source is asked as long as it answers at once; for one that always does, there is
    /// [`get_available_up_to`](Stream::get_available_up_to). A failure of the source is left for the next
    /// read.
    ///
    /// ```
    /// let (s, push) = lwt_core::stream::create();
    /// push.push(1).unwrap();
    /// push.push(2).unwrap();
    /// assert_eq!(s.get_available(), [1, 2]);
    /// assert_eq!(s.get_available(), []);
    /// ```
    pub fn get_available(&self) -> Vec<T> {
        self.get_available_up_to(usize::MAX)
    }

    /// Takes at most `n` elements of what is there now (`Lwt_stream.get_available_up_to`): see
    /// [`get_available`](Stream::get_available).
    ///
    /// ```
    /// let s = lwt_core::stream::of_iter(1..);
    /// assert_eq!(s.get_available_up_to(2), [1, 2]);
    /// ```
    pub fn get_available_up_to(&self, n: usize) -> Vec<T> {
        std::iter::from_fn(|| self.get_element_now()).take(n).collect()
    }

    /// Throws all away that is there now (`Lwt_stream.junk_available`, and `junk_old`): see
    /// [`get_available`](Stream::get_available).
    ///
    /// ```
    /// use lwt_core::{State, stream};
    /// let (s, push) = stream::create();
    /// push.push(1).unwrap();
    /// s.junk_available();
    /// push.push(2).unwrap();
    /// assert!(matches!(s.get().state(), State::Fulfilled(Some(2))));
    /// ```
    pub fn junk_available(&self) {
        while self.get_element_now().is_some() {}
    }

    fn get_element_now(&self) -> Option<T> {
        match self.reader.ahead_now() {
            Some(Ahead::Element) => self.reader.take_now()?.ok()?,
            _ => None,
        }
    }
}

/// A predicate that answers at once as one that may take its time.
fn plain<T>(mut f: impl FnMut(&T) -> bool + 'static) -> impl FnMut(&T) -> Promise<bool> + 'static {
    move |element| Promise::ready(f(element))
}
