//! Sequences: lists whose tail is a promise (`Lwt_seq`).
//!
//! A [`Seq`] is lazy and pure: a function that, each time it is called, promises the first element and the
//! rest. Nothing is done before it is forced, and it is done anew each time; a clone is cheap and starts at
//! the same place. For elements that come once, see [`stream`](crate::stream).
//!
//! ```
//! use lwt_core::{Promise, State, seq};
//! let squares = seq::unfold(1_u64, |n| Some((n * n, n + 1)));
//! let odd = squares.filter(|n| n % 2 == 1);
//! let second = odd.next().bind(|node| match node {
//!     Some((_first, rest)) => rest.next(),
//!     None => Promise::ready(None),
//! });
//! assert!(matches!(second.state(), State::Fulfilled(Some((9, _rest)))));
//! ```
//!
//! # Rules
//!
//! * Functions that make a sequence are `Fn`: they may be called again, for another clone, also while they
//!   run. Those of a consumer ([`fold_left`](Seq::fold_left), [`iter`](Seq::iter), ...) are `FnMut`.
//! * A rejection or a panic rejects the step in which it happens; the sequence is what it was, and may be
//!   forced again.
//! * A cancel goes to the step in progress. A sequence is not changed by being read, so there is nothing to
//!   lose.
//! * Long runs of elements, dropped ones too, need no stack, whether their promises are resolved or pending.
//!
//! # Coming from `Lwt_seq`
//!
//! `return` is [`ready`], `return_lwt` [`of_promise`], `cons_lwt` [`Seq::cons_promise`], `unfold_lwt`
//! [`unfold_s`], `of_seq` [`of_iter`], `of_seq_lwt` [`of_promises`].

use std::fmt;
use std::mem;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;

use crate::crew::crew;
use crate::func::Func;
use crate::promise::attach::caught;
use crate::{Promise, iterate};

/// What a step gives: the first element and the rest, or the end (`Lwt_seq.node`).
pub type Node<T> = Option<(T, Seq<T>)>;

/// A lazy sequence (`Lwt_seq.t`). See the [module](self).
///
/// ```
/// use lwt_core::{State, seq};
/// let s = seq::of_list([1, 2, 3]);
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 3]));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 3]));
/// ```
#[must_use = "a sequence does nothing before it is read"]
pub struct Seq<T: 'static> {
    repr: Repr<T>,
}

enum Repr<T: 'static> {
    Empty,
    Step(Rc<dyn Fn() -> Promise<Node<T>>>),
    Link(Rc<Link<T>>),
}

/// A sequence with its first element made.
struct Link<T: 'static> {
    head: Box<dyn Fn() -> Promise<T>>,
    tail: Seq<T>,
}

impl<T: 'static> Drop for Link<T> {
    /// Without recursion, however many there are.
    fn drop(&mut self) {
        let mut tail = mem::replace(&mut self.tail, empty());
        while let Repr::Link(link) = tail.repr {
            let Some(mut link) = Rc::into_inner(link) else { return };
            tail = mem::replace(&mut link.tail, empty());
        }
    }
}

impl<T: 'static> Clone for Seq<T> {
    fn clone(&self) -> Seq<T> {
        let repr = match &self.repr {
            Repr::Empty => Repr::Empty,
            Repr::Step(step) => Repr::Step(step.clone()),
            Repr::Link(link) => Repr::Link(link.clone()),
        };
        Seq { repr }
    }
}

impl<T: 'static> fmt::Debug for Seq<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.repr {
            Repr::Empty => "Seq(empty)",
            Repr::Step(_) | Repr::Link(_) => "Seq(..)",
        })
    }
}

// ---- making ----

/// No elements (`Lwt_seq.empty`).
pub const fn empty<T: 'static>() -> Seq<T> {
    Seq { repr: Repr::Empty }
}

/// One element (`Lwt_seq.return`).
///
/// ```
/// use lwt_core::{State, seq};
/// assert!(matches!(seq::ready(1).to_list().state(), State::Fulfilled(all) if *all == [1]));
/// ```
pub fn ready<T: Clone + 'static>(element: T) -> Seq<T> {
    empty().cons(element)
}

/// The value of `promise` as the one element (`Lwt_seq.return_lwt`). If it is rejected, so is who reads.
pub fn of_promise<T: Clone + 'static>(promise: Promise<T>) -> Seq<T> {
    empty().cons_promise(promise)
}

/// The sequence that `step` makes, each time it is read: what `Lwt_seq.t` is.
///
/// ```
/// use lwt_core::{Promise, State, seq};
/// let s = seq::from_fn(|| Promise::ready(Some((1, seq::empty()))));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1]));
/// ```
pub fn from_fn<T: 'static>(step: impl Fn() -> Promise<Node<T>> + 'static) -> Seq<T> {
    Seq { repr: Repr::Step(Rc::new(step)) }
}

/// The elements that `f` makes, each with the next state, from `state` on (`Lwt_seq.unfold`).
///
/// ```
/// use lwt_core::{State, seq};
/// let s = seq::unfold(3, |n| (n > 0).then(|| (n, n - 1)));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [3, 2, 1]));
/// ```
pub fn unfold<S: Clone + 'static, T: 'static>(state: S, f: impl Fn(S) -> Option<(T, S)> + 'static) -> Seq<T> {
    unfold_s(state, move |state| Promise::ready(f(state)))
}

/// [`unfold`] with a function that takes its time (`Lwt_seq.unfold_lwt`).
pub fn unfold_s<S, T>(state: S, f: impl Fn(S) -> Promise<Option<(T, S)>> + 'static) -> Seq<T>
where
    S: Clone + 'static,
    T: 'static,
{
    unfolded(state, Rc::new(f))
}

fn unfolded<S, T, F>(state: S, f: Rc<F>) -> Seq<T>
where
    S: Clone + 'static,
    T: 'static,
    F: Fn(S) -> Promise<Option<(T, S)>> + 'static,
{
    from_fn(move || {
        let next = f.clone();
        f(state.clone()).map(move |made| made.map(|(element, state)| (element, unfolded(state, next))))
    })
}

/// The elements of a list (`Lwt_seq.of_list`).
///
/// ```
/// use lwt_core::{State, seq};
/// assert!(matches!(seq::of_list(["a"]).to_list().state(), State::Fulfilled(all) if *all == ["a"]));
/// ```
pub fn of_list<T: Clone + 'static>(elements: impl IntoIterator<Item = T>) -> Seq<T> {
    let elements: Rc<[T]> = elements.into_iter().collect();
    unfold(0, move |at: usize| Some((elements.get(at)?.clone(), at + 1)))
}

/// The elements of an iterator, asked for when they are read (`Lwt_seq.of_seq`). A panic of the iterator
/// rejects the reader.
///
/// ```
/// use lwt_core::{State, seq};
/// let s = seq::of_iter(1..4).map(|n| n * n);
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 4, 9]));
/// ```
pub fn of_iter<T: 'static, I>(elements: I) -> Seq<T>
where
    I: IntoIterator<Item = T>,
    I::IntoIter: Clone + 'static,
{
    unfold(elements.into_iter(), |mut rest| Some((rest.next()?, rest)))
}

/// The values of an iterator's promises (`Lwt_seq.of_seq_lwt`): each is asked for, and waited for, when it is
/// read.
///
/// Each reading has a clone of the iterator; so an iterator that makes its promises when it is asked (a
/// `map`) is better than one that holds them: a rejection in a clone that is dropped goes to the
/// unhandled-rejection hook.
///
/// ```
/// use lwt_core::{Promise, State, seq};
/// let s = seq::of_promises((1..3).map(Promise::ready));
/// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
/// ```
pub fn of_promises<T: 'static, I>(promises: I) -> Seq<T>
where
    I: IntoIterator<Item = Promise<T>>,
    I::IntoIter: Clone + 'static,
{
    unfold_s(promises.into_iter(), |mut rest| match rest.next() {
        Some(promise) => promise.map(|element| Some((element, rest))),
        None => Promise::ready(None),
    })
}

impl<T: 'static> Seq<T> {
    /// Forces one step: the first element and the rest, or `None` at the end.
    ///
    /// # Errors
    /// That of the step.
    ///
    /// ```
    /// use lwt_core::{State, seq};
    /// let first = seq::of_list([1, 2]).next();
    /// assert!(matches!(first.state(), State::Fulfilled(Some((1, _rest)))));
    /// ```
    #[track_caller]
    pub fn next(&self) -> Promise<Node<T>> {
        match &self.repr {
            Repr::Empty => Promise::ready(None),
            Repr::Step(step) => caught(|| step()),
            Repr::Link(link) => {
                let tail = link.tail.clone();
                caught(|| (link.head)()).map(move |head| Some((head, tail)))
            }
        }
    }

    /// [`next`](Seq::next); the sequence goes before there is a result, which is leaked if that panics.
    fn into_next(self) -> Promise<Node<T>> {
        let next = self.next();
        drop(self);
        next
    }

    /// The first element; the rest goes to where `at` is.
    pub(crate) fn take_head(&self, at: &Func<Seq<T>>) -> Promise<Option<T>> {
        let at = at.clone();
        self.next().map(move |node| {
            let (element, rest) = node?;
            let before = at.call(|at| mem::replace(at, rest));
            drop((before, at));
            Some(element)
        })
    }

    /// `element`, and then this sequence (`Lwt_seq.cons`).
    ///
    /// ```
    /// use lwt_core::{State, seq};
    /// assert!(matches!(seq::ready(2).cons(1).to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
    /// ```
    pub fn cons(self, element: T) -> Seq<T>
    where
        T: Clone,
    {
        let head = Box::new(move || Promise::ready(element.clone()));
        Seq { repr: Repr::Link(Rc::new(Link { head, tail: self })) }
    }

    /// The value of `promise`, and then this sequence (`Lwt_seq.cons_lwt`). A cancel of the reader does not
    /// reach it.
    pub fn cons_promise(self, promise: Promise<T>) -> Seq<T>
    where
        T: Clone,
    {
        let head = Box::new(move || promise.clone().protected());
        Seq { repr: Repr::Link(Rc::new(Link { head, tail: self })) }
    }

    /// This sequence, and then `other` (`Lwt_seq.append`).
    ///
    /// ```
    /// use lwt_core::{State, seq};
    /// let s = seq::ready(1).append(seq::ready(2));
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2]));
    /// ```
    pub fn append(self, other: Seq<T>) -> Seq<T> {
        from_fn(move || {
            let other = other.clone();
            self.next().bind(move |node| match node {
                Some((element, rest)) => Promise::ready(Some((element, rest.append(other)))),
                None => other.into_next(),
            })
        })
    }

    // ---- sequences made from it ----

    /// What `f` makes of each element of which it makes something.
    fn skim<U: 'static, F>(self, f: Rc<F>) -> Seq<U>
    where
        F: Fn(T) -> Promise<Option<U>> + 'static,
    {
        from_fn(move || {
            let f = f.clone();
            iterate(self.clone(), move |at| {
                let f = f.clone();
                at.into_next().bind(move |node| match node {
                    Some((element, rest)) => f(element).map(move |made| match made {
                        Some(made) => Break(Some((made, rest.skim(f)))),
                        None => Continue(rest),
                    }),
                    None => Promise::ready(Break(None)),
                })
            })
        })
    }

    /// `f` of each element (`Lwt_seq.map`).
    ///
    /// ```
    /// use lwt_core::{State, seq};
    /// let s = seq::of_list([1, 2]).map(|n| n * 10);
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [10, 20]));
    /// ```
    pub fn map<U: 'static>(self, f: impl Fn(T) -> U + 'static) -> Seq<U> {
        self.skim(Rc::new(move |element| Promise::ready(Some(f(element)))))
    }

    /// [`map`](Seq::map) with a function that takes its time (`Lwt_seq.map_s`).
    pub fn map_s<U: 'static>(self, f: impl Fn(T) -> Promise<U> + 'static) -> Seq<U> {
        self.skim(Rc::new(move |element| f(element).map(Some)))
    }

    /// The elements for which `f` says yes (`Lwt_seq.filter`).
    ///
    /// ```
    /// use lwt_core::{State, seq};
    /// let s = seq::of_iter(1..6).filter(|n| n % 2 == 1);
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 3, 5]));
    /// ```
    pub fn filter(self, f: impl Fn(&T) -> bool + 'static) -> Seq<T> {
        self.skim(Rc::new(move |element| Promise::ready(f(&element).then_some(element))))
    }

    /// [`filter`](Seq::filter) with a function that takes its time (`Lwt_seq.filter_s`).
    pub fn filter_s(self, f: impl Fn(&T) -> Promise<bool> + 'static) -> Seq<T> {
        self.skim(Rc::new(move |element| f(&element).map(move |yes| yes.then_some(element))))
    }

    /// What `f` makes of the elements of which it makes something (`Lwt_seq.filter_map`).
    pub fn filter_map<U: 'static>(self, f: impl Fn(T) -> Option<U> + 'static) -> Seq<U> {
        self.skim(Rc::new(move |element| Promise::ready(f(element))))
    }

    /// [`filter_map`](Seq::filter_map) with a function that takes its time (`Lwt_seq.filter_map_s`).
    pub fn filter_map_s<U: 'static>(self, f: impl Fn(T) -> Promise<Option<U>> + 'static) -> Seq<U> {
        self.skim(Rc::new(f))
    }

    /// The elements of the sequences that `f` makes of each element (`Lwt_seq.flat_map`).
    ///
    /// ```
    /// use lwt_core::{State, seq};
    /// let s = seq::of_list([1, 3]).flat_map(|n| seq::of_list([n, n + 1]));
    /// assert!(matches!(s.to_list().state(), State::Fulfilled(all) if *all == [1, 2, 3, 4]));
    /// ```
    pub fn flat_map<U: 'static>(self, f: impl Fn(T) -> Seq<U> + 'static) -> Seq<U> {
        self.flat(empty(), Rc::new(f))
    }

    /// What is left of the sequence of one element, and then those of this sequence.
    fn flat<U: 'static, F: Fn(T) -> Seq<U> + 'static>(self, first: Seq<U>, f: Rc<F>) -> Seq<U> {
        from_fn(move || {
            let f = f.clone();
            iterate((first.clone(), self.clone()), move |(first, rest)| {
                let f = f.clone();
                first.into_next().bind(move |node| match node {
                    Some((element, first)) => Promise::ready(Break(Some((element, rest.flat(first, f))))),
                    None => rest.into_next().map(move |node| match node {
                        Some((element, rest)) => Continue((f(element), rest)),
                        None => Break(None),
                    }),
                })
            })
        })
    }

    // ---- to the end ----

    /// `f` of the result so far and each element, from `start` (`Lwt_seq.fold_left`).
    ///
    /// # Errors
    /// That of a step, or a panic of `f`.
    ///
    /// ```
    /// use lwt_core::{State, seq};
    /// let sum = seq::of_iter(1..4).fold_left(0, |sum, n| sum + n);
    /// assert!(matches!(sum.state(), State::Fulfilled(6)));
    /// ```
    #[track_caller]
    pub fn fold_left<S: 'static>(&self, start: S, mut f: impl FnMut(S, T) -> S + 'static) -> Promise<S> {
        self.fold_left_s(start, move |state, element| Promise::ready(f(state, element)))
    }

    /// [`fold_left`](Seq::fold_left) with a function that takes its time (`Lwt_seq.fold_left_s`). A cancel
    /// goes on to its promise.
    ///
    /// # Errors
    /// That of a step, or of `f`.
    #[track_caller]
    pub fn fold_left_s<S: 'static>(
        &self,
        start: S,
        f: impl FnMut(S, T) -> Promise<S> + 'static,
    ) -> Promise<S> {
        let f = Func::new(f);
        iterate((start, self.clone()), move |(state, at)| {
            let f = f.clone();
            at.into_next().bind(move |node| match node {
                Some((element, rest)) => {
                    f.call(|f| f(state, element)).map(move |state| Continue((state, rest)))
                }
                None => Promise::ready(Break(state)),
            })
        })
    }

    /// Calls `f` for each element (`Lwt_seq.iter`).
    ///
    /// # Errors
    /// That of a step, or a panic of `f`.
    #[track_caller]
    pub fn iter(&self, mut f: impl FnMut(T) + 'static) -> Promise<()> {
        self.fold_left((), move |(), element| f(element))
    }

    /// [`iter`](Seq::iter) with a function that takes its time, one element after the other
    /// (`Lwt_seq.iter_s`).
    ///
    /// # Errors
    /// That of a step, or of `f`.
    #[track_caller]
    pub fn iter_s(&self, mut f: impl FnMut(T) -> Promise<()> + 'static) -> Promise<()> {
        self.fold_left_s((), move |(), element| f(element))
    }

    /// [`iter`](Seq::iter) with a function that takes its time, for all elements at once, as they come
    /// (`Lwt_seq.iter_p`).
    ///
    /// After a failure no more elements are forced. A cancel goes on to all of `f`'s promises and to the step
    /// in progress. The result comes when all of them have ended.
    ///
    /// # Errors
    /// The first in time: of a step, or of `f`.
    #[track_caller]
    pub fn iter_p(&self, f: impl FnMut(T) -> Promise<()> + 'static) -> Promise<()> {
        self.iter_n(usize::MAX, f)
    }

    /// [`iter_p`](Seq::iter_p) with at most `max_concurrency` of `f`'s promises pending at once
    /// (`Lwt_seq.iter_n`). No element is forced before there is a place for it.
    ///
    /// # Errors
    /// The first in time: of a step, or of `f`.
    ///
    /// # Panics
    /// If `max_concurrency` is 0.
    ///
    /// ```
    /// use lwt_core::{pause, scheduler, seq};
    /// let p = seq::of_iter(0..10).iter_n(4, |_| pause());
    /// assert_eq!(scheduler::paused_count(), 4);
    /// while p.is_pending() {
    ///     scheduler::wakeup_paused();
    /// }
    /// ```
    #[track_caller]
    pub fn iter_n(&self, max_concurrency: usize, f: impl FnMut(T) -> Promise<()> + 'static) -> Promise<()> {
        assert!(max_concurrency > 0, "iter_n with no place for an element");
        let at = Func::new(self.clone());
        crew(max_concurrency, false, move || at.call(|at| at.clone()).take_head(&at), f)
    }

    /// All elements (`Lwt_seq.to_list`).
    ///
    /// # Errors
    /// That of a step.
    #[track_caller]
    pub fn to_list(&self) -> Promise<Vec<T>> {
        self.fold_left(Vec::new(), |mut all, element| {
            all.push(element);
            all
        })
    }
}
