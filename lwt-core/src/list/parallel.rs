//! [`Parallel`]: how many items run at once, and what becomes of them when one fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::crew::crew;
use crate::{Error, Promise, all, apply};

/// How to go through a list in parallel: the `_p` and `_n` forms as methods, and what may be asked for beyond
/// them.
///
/// ```
/// use lwt_core::list::Parallel;
/// use lwt_core::{Error, Promise, task};
/// let (slow, _resolver) = task::<u32>();
/// let mut slow = Some(slow);
/// let all = Parallel::at_most(8).cancel_rest().map([1, 2], move |n| match slow.take() {
///     Some(slow) => slow,
///     None => Promise::fail(Error::msg(format!("number {n} is out of order"))),
/// });
/// // The first one was cancelled, so that nothing is left to wait for.
/// all.on_failure(|e| assert_eq!(e.to_string(), "number 2 is out of order"));
/// assert!(!all.is_pending());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it says how; `map` and the other methods do it"]
pub struct Parallel {
    /// All at once, if there is no number.
    most: Option<usize>,
    cancel_rest: bool,
}

impl Parallel {
    /// All items at once: the `_p` forms.
    ///
    /// ```
    /// use lwt_core::{Promise, State, list::Parallel};
    /// let p = Parallel::unbounded().map(0..3, Promise::ready);
    /// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [0, 1, 2]));
    /// ```
    pub const fn unbounded() -> Parallel {
        Parallel { most: None, cancel_rest: false }
    }

    /// At most `n` promises pending: the `_n` forms.
    ///
    /// # Panics
    /// If `n` is zero, for nothing would ever start.
    ///
    /// ```
    /// use lwt_core::list::Parallel;
    /// use lwt_core::scheduler::{paused_count, wakeup_paused};
    /// let p = Parallel::at_most(2).iter(0..3, |_| lwt_core::pause());
    /// assert_eq!(paused_count(), 2);
    /// wakeup_paused();
    /// assert_eq!(paused_count(), 1);
    /// # wakeup_paused();
    /// # assert!(!p.is_pending());
    /// ```
    #[track_caller]
    pub const fn at_most(n: usize) -> Parallel {
        assert!(n > 0, "a list of which no item may run would never end");
        Parallel { most: Some(n), cancel_rest: false }
    }

    /// When an item is rejected, cancel those under way and start no more.
    ///
    /// The result is still resolved last, when all that was cancelled has ended, and with the rejection that
    /// came first.
    pub const fn cancel_rest(self) -> Parallel {
        Parallel { cancel_rest: true, ..self }
    }

    #[track_caller]
    fn gather<I, F, T, U>(self, items: I, mut f: F, keep: fn(T) -> Option<U>) -> Promise<Vec<U>>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(usize, I::Item) -> Promise<T> + 'static,
        T: 'static,
        U: 'static,
    {
        let items = items.into_iter();
        if self.most.is_some() || self.cancel_rest {
            return self.gather_by_crew(items, f, keep);
        }
        let mut promises = Vec::new();
        let started = catch_unwind(AssertUnwindSafe(|| {
            promises.extend(items.enumerate().map(|(place, item)| apply(|| f(place, item))));
        }));
        if let Err(panic) = started {
            promises.push(Promise::fail(Error::from_panic(panic)));
        }
        all(promises).map(move |values| values.into_iter().filter_map(keep).collect())
    }

    #[track_caller]
    fn gather_by_crew<I, F, T, U>(self, items: I, mut f: F, keep: fn(T) -> Option<U>) -> Promise<Vec<U>>
    where
        I: Iterator + 'static,
        F: FnMut(usize, I::Item) -> Promise<T> + 'static,
        T: 'static,
        U: 'static,
    {
        // In the order in which they are found, with their items' places.
        let values = Rc::new(RefCell::new(Vec::new()));
        let found = values.clone();
        let mut items = items.enumerate();
        let next = move || Promise::ready(items.next());
        let call = move |(place, item)| {
            let found = found.clone();
            f(place, item).map(move |value| {
                let kept = keep(value);
                found.borrow_mut().extend(kept.map(|value| (place, value)));
            })
        };
        crew(self.most.unwrap_or(usize::MAX), self.cancel_rest, next, call).map(move |()| {
            let mut values = values.take();
            values.sort_unstable_by_key(|(place, _)| *place);
            values.into_iter().map(|(_, value)| value).collect()
        })
    }

    /// Calls `f` for every item: [`iter_p`](super::iter_p), [`iter_n`](super::iter_n).
    #[track_caller]
    pub fn iter<I, F>(self, items: I, mut f: F) -> Promise<()>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(I::Item) -> Promise<()> + 'static,
    {
        self.iteri(items, move |_, item| f(item))
    }

    /// Calls `f` for every item and its place: [`iteri_p`](super::iteri_p), [`iteri_n`](super::iteri_n).
    #[track_caller]
    pub fn iteri<I, F>(self, items: I, f: F) -> Promise<()>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(usize, I::Item) -> Promise<()> + 'static,
    {
        self.gather(items, f, |()| None::<()>).map(drop)
    }

    /// The values of `f` in order: [`map_p`](super::map_p), [`map_n`](super::map_n).
    #[track_caller]
    pub fn map<I, T, F>(self, items: I, mut f: F) -> Promise<Vec<T>>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(I::Item) -> Promise<T> + 'static,
        T: 'static,
    {
        self.mapi(items, move |_, item| f(item))
    }

    /// The values of `f`, which gets the item's place, too: [`mapi_p`](super::mapi_p),
    /// [`mapi_n`](super::mapi_n).
    #[track_caller]
    pub fn mapi<I, T, F>(self, items: I, f: F) -> Promise<Vec<T>>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(usize, I::Item) -> Promise<T> + 'static,
        T: 'static,
    {
        self.gather(items, f, Some)
    }

    /// The values of `f`, last first: [`rev_map_p`](super::rev_map_p), [`rev_map_n`](super::rev_map_n).
    #[track_caller]
    pub fn rev_map<I, T, F>(self, items: I, f: F) -> Promise<Vec<T>>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(I::Item) -> Promise<T> + 'static,
        T: 'static,
    {
        self.map(items, f).map(|mut values| {
            values.reverse();
            values
        })
    }

    /// Whether `f` says yes to all: [`for_all_p`](super::for_all_p), [`for_all_n`](super::for_all_n).
    #[track_caller]
    pub fn for_all<I, F>(self, items: I, mut f: F) -> Promise<bool>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(I::Item) -> Promise<bool> + 'static,
    {
        self.gather(items, move |_, item| f(item), |yes| (!yes).then_some(())).map(|noes| noes.is_empty())
    }

    /// Whether `f` says yes to one: [`exists_p`](super::exists_p), [`exists_n`](super::exists_n).
    #[track_caller]
    pub fn exists<I, F>(self, items: I, mut f: F) -> Promise<bool>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(I::Item) -> Promise<bool> + 'static,
    {
        self.gather(items, move |_, item| f(item), |yes| yes.then_some(())).map(|yeses| !yeses.is_empty())
    }

    /// The items to which `f` says yes: [`filter_p`](super::filter_p), [`filter_n`](super::filter_n).
    #[track_caller]
    pub fn filter<I, F>(self, items: I, mut f: F) -> Promise<Vec<I::Item>>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        F: FnMut(&I::Item) -> Promise<bool> + 'static,
    {
        self.filter_map(items, move |item| f(&item).map(|yes| yes.then_some(item)))
    }

    /// The values that `f` gives: [`filter_map_p`](super::filter_map_p),
    /// [`filter_map_n`](super::filter_map_n).
    #[track_caller]
    pub fn filter_map<I, T, F>(self, items: I, mut f: F) -> Promise<Vec<T>>
    where
        I: IntoIterator<IntoIter: 'static>,
        F: FnMut(I::Item) -> Promise<Option<T>> + 'static,
        T: 'static,
    {
        self.gather(items, move |_, item| f(item), |value| value)
    }

    /// The items to which `f` says yes, and the others: [`partition_p`](super::partition_p),
    /// [`partition_n`](super::partition_n).
    #[track_caller]
    pub fn partition<I, F>(self, items: I, mut f: F) -> Promise<(Vec<I::Item>, Vec<I::Item>)>
    where
        I: IntoIterator<IntoIter: 'static, Item: 'static>,
        F: FnMut(&I::Item) -> Promise<bool> + 'static,
    {
        let judged = self.map(items, move |item| f(&item).map(|yes| (yes, item)));
        judged.map(|items| {
            let (yeses, noes): (Vec<_>, Vec<_>) = items.into_iter().partition(|(yes, _)| *yes);
            let bare = |items: Vec<(bool, I::Item)>| items.into_iter().map(|(_, item)| item).collect();
            (bare(yeses), bare(noes))
        })
    }
}
