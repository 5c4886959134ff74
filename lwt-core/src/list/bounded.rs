//! The parallel forms with a bound: at most `n` promises are pending at a time.
//!
//! The next item is taken from the iterator when there is a place for it. After a rejection none is, and the
//! result is rejected once those under way have ended; see [`Parallel::cancel_rest`] for not waiting so long.

use crate::Promise;

use super::Parallel;

/// Calls `f` for every item; at most `n` at a time.
///
/// With 1 it is [`iter_s`](super::iter_s), without a bound [`iter_p`](super::iter_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{list, pause, scheduler};
/// let p = list::iter_n(2, 0..3, |_| pause());
/// assert_eq!(scheduler::paused_count(), 2);
/// scheduler::wakeup_paused();
/// assert_eq!(p.is_pending(), true);
/// ```
#[track_caller]
pub fn iter_n<I, F>(n: usize, items: I, f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<()> + 'static,
{
    Parallel::at_most(n).iter(items, f)
}

/// Calls `f` for every item, with its place from 0; at most `n` at a time.
///
/// With 1 it is [`iteri_s`](super::iteri_s), without a bound [`iteri_p`](super::iteri_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, list};
/// let p = list::iteri_n(2, ["a", "b"], |i, name| {
///     assert_eq!(name, ["a", "b"][i]);
///     Promise::ready(())
/// });
/// assert!(!p.is_pending());
/// ```
#[track_caller]
pub fn iteri_n<I, F>(n: usize, items: I, f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(usize, I::Item) -> Promise<()> + 'static,
{
    Parallel::at_most(n).iteri(items, f)
}

/// The values of `f`, in the order of the items; at most `n` at a time.
///
/// With 1 it is [`map_s`](super::map_s), without a bound [`map_p`](super::map_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::map_n(2, 1..4, |n| Promise::ready(n * n));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [1, 4, 9]));
/// ```
#[track_caller]
pub fn map_n<I, T, F>(n: usize, items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<T> + 'static,
{
    Parallel::at_most(n).map(items, f)
}

/// The values of `f`, which gets the item's place from 0, too; at most `n` at a time.
///
/// With 1 it is [`mapi_s`](super::mapi_s), without a bound [`mapi_p`](super::mapi_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::mapi_n(2, ["a", "b"], |i, name| Promise::ready(name.repeat(i + 1)));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == ["a", "bb"]));
/// ```
#[track_caller]
pub fn mapi_n<I, T, F>(n: usize, items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(usize, I::Item) -> Promise<T> + 'static,
{
    Parallel::at_most(n).mapi(items, f)
}

/// The values of `f`, that of the last item first; at most `n` at a time.
///
/// With 1 it is [`rev_map_s`](super::rev_map_s), without a bound [`rev_map_p`](super::rev_map_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::rev_map_n(2, 1..4, Promise::ready);
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [3, 2, 1]));
/// ```
#[track_caller]
pub fn rev_map_n<I, T, F>(n: usize, items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<T> + 'static,
{
    Parallel::at_most(n).rev_map(items, f)
}

/// Whether `f` says yes to all. It is asked about every item, also after a no; at most `n` at a time.
///
/// With 1 it is [`for_all_s`](super::for_all_s) to the end, without a bound [`for_all_p`](super::for_all_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::for_all_n(2, 1..4, |n| Promise::ready(n < 4));
/// assert!(matches!(p.state(), State::Fulfilled(true)));
/// ```
#[track_caller]
pub fn for_all_n<I, F>(n: usize, items: I, f: F) -> Promise<bool>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<bool> + 'static,
{
    Parallel::at_most(n).for_all(items, f)
}

/// Whether `f` says yes to one. It is asked about every item, also after a yes; at most `n` at a time.
///
/// With 1 it is [`exists_s`](super::exists_s) to the end, without a bound [`exists_p`](super::exists_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::exists_n(2, 1..4, |n| Promise::ready(n == 2));
/// assert!(matches!(p.state(), State::Fulfilled(true)));
/// ```
#[track_caller]
pub fn exists_n<I, F>(n: usize, items: I, f: F) -> Promise<bool>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<bool> + 'static,
{
    Parallel::at_most(n).exists(items, f)
}

/// The items to which `f` says yes, in order; at most `n` at a time.
///
/// With 1 it is [`filter_s`](super::filter_s), without a bound [`filter_p`](super::filter_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::filter_n(2, 1..9, |n| Promise::ready(n % 3 == 0));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [3, 6]));
/// ```
#[track_caller]
pub fn filter_n<I, F>(n: usize, items: I, f: F) -> Promise<Vec<I::Item>>
where
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    F: FnMut(&I::Item) -> Promise<bool> + 'static,
{
    Parallel::at_most(n).filter(items, f)
}

/// The values of `f` in the order of the items, without the `None`s; at most `n` at a time.
///
/// With 1 it is [`filter_map_s`](super::filter_map_s), without a bound [`filter_map_p`](super::filter_map_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::filter_map_n(2, ["1", "x"], |s| Promise::ready(s.parse::<u32>().ok()));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [1]));
/// ```
#[track_caller]
pub fn filter_map_n<I, T, F>(n: usize, items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<Option<T>> + 'static,
{
    Parallel::at_most(n).filter_map(items, f)
}

/// The items to which `f` says yes, and the others, both in order; at most `n` at a time.
///
/// With 1 it is [`partition_s`](super::partition_s), without a bound [`partition_p`](super::partition_p).
///
/// # Panics
/// If `n` is zero.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::partition_n(2, 1..5, |n| Promise::ready(n % 2 == 0));
/// assert!(matches!(p.state(), State::Fulfilled((even, odd)) if *even == [2, 4] && *odd == [1, 3]));
/// ```
#[track_caller]
pub fn partition_n<I, F>(n: usize, items: I, f: F) -> Promise<(Vec<I::Item>, Vec<I::Item>)>
where
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    F: FnMut(&I::Item) -> Promise<bool> + 'static,
{
    Parallel::at_most(n).partition(items, f)
}
