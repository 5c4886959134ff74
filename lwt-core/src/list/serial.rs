//! The serial forms: the next item when the promise of the one before is fulfilled.

use std::ops::ControlFlow::{self, Break, Continue};

use crate::{Promise, iterate};

/// [`fold_left_s`] that may end before the list does.
#[track_caller]
fn search<I, S, B, F>(items: I, start: S, mut f: F, end: fn(S) -> B) -> Promise<B>
where
    I: IntoIterator<IntoIter: 'static>,
    S: 'static,
    B: 'static,
    F: FnMut(S, I::Item) -> Promise<ControlFlow<B, S>> + 'static,
{
    let mut items = items.into_iter();
    iterate(start, move |state| match items.next() {
        Some(item) => f(state, item),
        None => Promise::ready(Break(end(state))),
    })
}

/// Calls `f` with the state and each item in turn, from the first; the promise's value is the next state
/// (`Lwt_list.fold_left_s`).
///
/// A rejection ends it. A cancel goes to the promise of the item that is under way.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::fold_left_s(1..5, 1, |product, n| Promise::ready(product * n));
/// assert!(matches!(p.state(), State::Fulfilled(24)));
/// ```
#[track_caller]
pub fn fold_left_s<I, S, F>(items: I, start: S, mut f: F) -> Promise<S>
where
    I: IntoIterator<IntoIter: 'static>,
    S: 'static,
    F: FnMut(S, I::Item) -> Promise<S> + 'static,
{
    search(items, start, move |state, item| f(state, item).map(Continue), |state| state)
}

/// [`fold_left_s`] from the last item to the first, with the item before the state (`Lwt_list.fold_right_s`).
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::fold_right_s(["a", "b"], String::new(), |s, text| Promise::ready(text + s));
/// assert!(matches!(p.state(), State::Fulfilled(s) if s == "ba"));
/// ```
#[track_caller]
pub fn fold_right_s<I, S, F>(items: I, start: S, mut f: F) -> Promise<S>
where
    I: IntoIterator<IntoIter: DoubleEndedIterator + 'static>,
    S: 'static,
    F: FnMut(I::Item, S) -> Promise<S> + 'static,
{
    fold_left_s(items.into_iter().rev(), start, move |state, item| f(item, state))
}

/// Calls `f` for each item in turn (`Lwt_list.iter_s`).
///
/// ```
/// use lwt_core::{list, pause, scheduler};
/// let p = list::iter_s(0..3, |_| pause());
/// for _ in 0..3 {
///     assert!(p.is_pending());
///     scheduler::wakeup_paused();
/// }
/// assert!(!p.is_pending());
/// ```
#[track_caller]
pub fn iter_s<I, F>(items: I, mut f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<()> + 'static,
{
    fold_left_s(items, (), move |(), item| f(item))
}

/// Calls `f` for each item in turn, with its place from 0 (`Lwt_list.iteri_s`).
///
/// ```
/// use lwt_core::{Promise, list};
/// let p = list::iteri_s(["a", "b"], |i, name| {
///     assert_eq!(name, ["a", "b"][i]);
///     Promise::ready(())
/// });
/// assert!(!p.is_pending());
/// ```
#[track_caller]
pub fn iteri_s<I, F>(items: I, mut f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(usize, I::Item) -> Promise<()> + 'static,
{
    iter_s(items.into_iter().enumerate(), move |(place, item)| f(place, item))
}

/// The values of `f`, which is called for each item in turn (`Lwt_list.map_s`).
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::map_s(1..4, |n| Promise::ready(n * n));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [1, 4, 9]));
/// ```
#[track_caller]
pub fn map_s<I, T, F>(items: I, mut f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<T> + 'static,
{
    fold_left_s(items, Vec::new(), move |mut values, item| {
        f(item).map(move |value| {
            values.push(value);
            values
        })
    })
}

/// [`map_s`] with the item's place from 0 (`Lwt_list.mapi_s`).
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::mapi_s(["a", "b"], |i, name| Promise::ready(name.repeat(i + 1)));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == ["a", "bb"]));
/// ```
#[track_caller]
pub fn mapi_s<I, T, F>(items: I, mut f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(usize, I::Item) -> Promise<T> + 'static,
{
    map_s(items.into_iter().enumerate(), move |(place, item)| f(place, item))
}

/// [`map_s`] with the last value first (`Lwt_list.rev_map_s`). It calls `f` from the first item on, all the
/// same.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::rev_map_s(1..4, Promise::ready);
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [3, 2, 1]));
/// ```
#[track_caller]
pub fn rev_map_s<I, T, F>(items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<T> + 'static,
{
    map_s(items, f).map(|mut values| {
        values.reverse();
        values
    })
}

/// Whether `f` says yes to all; ends at the first no (`Lwt_list.for_all_s`). True of an empty list.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::for_all_s(0.., |n| Promise::ready(n < 7));
/// assert!(matches!(p.state(), State::Fulfilled(false)));
/// ```
#[track_caller]
pub fn for_all_s<I, F>(items: I, mut f: F) -> Promise<bool>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<bool> + 'static,
{
    let ask = move |(), item| f(item).map(|yes| if yes { Continue(()) } else { Break(false) });
    search(items, (), ask, |()| true)
}

/// Whether `f` says yes to one; ends at the first yes (`Lwt_list.exists_s`). False of an empty list.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::exists_s(0.., |n| Promise::ready(n == 7));
/// assert!(matches!(p.state(), State::Fulfilled(true)));
/// ```
#[track_caller]
pub fn exists_s<I, F>(items: I, mut f: F) -> Promise<bool>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<bool> + 'static,
{
    let ask = move |(), item| f(item).map(|yes| if yes { Break(true) } else { Continue(()) });
    search(items, (), ask, |()| false)
}

/// The first item to which `f` says yes (`Lwt_list.find_s`, which is rejected with `Not_found` where this
/// gives `None`).
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::find_s(10.., |n| Promise::ready(n % 7 == 0));
/// assert!(matches!(p.state(), State::Fulfilled(Some(14))));
/// ```
#[track_caller]
pub fn find_s<I, F>(items: I, mut f: F) -> Promise<Option<I::Item>>
where
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    F: FnMut(&I::Item) -> Promise<bool> + 'static,
{
    let ask = move |(), item| f(&item).map(|yes| if yes { Break(Some(item)) } else { Continue(()) });
    search(items, (), ask, |()| None)
}

/// The items to which `f` says yes (`Lwt_list.filter_s`).
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::filter_s(1..9, |n| Promise::ready(n % 3 == 0));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [3, 6]));
/// ```
#[track_caller]
pub fn filter_s<I, F>(items: I, mut f: F) -> Promise<Vec<I::Item>>
where
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    F: FnMut(&I::Item) -> Promise<bool> + 'static,
{
    filter_map_s(items, move |item| f(&item).map(|yes| yes.then_some(item)))
}

/// The values that `f` gives, without the `None`s (`Lwt_list.filter_map_s`).
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::filter_map_s(["1", "x"], |s| Promise::ready(s.parse::<u32>().ok()));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [1]));
/// ```
#[track_caller]
pub fn filter_map_s<I, T, F>(items: I, mut f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<Option<T>> + 'static,
{
    fold_left_s(items, Vec::new(), move |mut values, item| {
        f(item).map(move |value| {
            values.extend(value);
            values
        })
    })
}

/// The items to which `f` says yes, and the others (`Lwt_list.partition_s`).
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::partition_s(1..5, |n| Promise::ready(n % 2 == 0));
/// assert!(matches!(p.state(), State::Fulfilled((even, odd)) if *even == [2, 4] && *odd == [1, 3]));
/// ```
#[track_caller]
pub fn partition_s<I, F>(items: I, mut f: F) -> Promise<(Vec<I::Item>, Vec<I::Item>)>
where
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    F: FnMut(&I::Item) -> Promise<bool> + 'static,
{
    fold_left_s(items, (Vec::new(), Vec::new()), move |(mut yeses, mut noes), item| {
        f(&item).map(move |yes| {
            if yes { &mut yeses } else { &mut noes }.push(item);
            (yeses, noes)
        })
    })
}
