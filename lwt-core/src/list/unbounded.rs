//! The parallel forms without a bound: every item is started at once.
//!
//! All wait for every item, and are rejected with the rejection that came first in time, if there is one; see
//! [`Parallel::cancel_rest`] for not waiting so long.

use crate::Promise;

use super::Parallel;

/// Calls `f` for every item (`Lwt_list.iter_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{list, pause, scheduler};
/// let p = list::iter_p(0..3, |_| pause());
/// assert_eq!(scheduler::paused_count(), 3);
/// scheduler::wakeup_paused();
/// assert_eq!(p.is_pending(), false);
/// ```
#[track_caller]
pub fn iter_p<I, F>(items: I, f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<()> + 'static,
{
    Parallel::unbounded().iter(items, f)
}

/// Calls `f` for every item, with its place from 0 (`Lwt_list.iteri_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, list};
/// let p = list::iteri_p(["a", "b"], |i, name| {
///     assert_eq!(name, ["a", "b"][i]);
///     Promise::ready(())
/// });
/// assert!(!p.is_pending());
/// ```
#[track_caller]
pub fn iteri_p<I, F>(items: I, f: F) -> Promise<()>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(usize, I::Item) -> Promise<()> + 'static,
{
    Parallel::unbounded().iteri(items, f)
}

/// The values of `f`, in the order of the items (`Lwt_list.map_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::map_p(1..4, |n| Promise::ready(n * n));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [1, 4, 9]));
/// ```
#[track_caller]
pub fn map_p<I, T, F>(items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<T> + 'static,
{
    Parallel::unbounded().map(items, f)
}

/// The values of `f`, which gets the item's place from 0, too (`Lwt_list.mapi_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::mapi_p(["a", "b"], |i, name| Promise::ready(name.repeat(i + 1)));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == ["a", "bb"]));
/// ```
#[track_caller]
pub fn mapi_p<I, T, F>(items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(usize, I::Item) -> Promise<T> + 'static,
{
    Parallel::unbounded().mapi(items, f)
}

/// The values of `f`, that of the last item first (`Lwt_list.rev_map_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::rev_map_p(1..4, Promise::ready);
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [3, 2, 1]));
/// ```
#[track_caller]
pub fn rev_map_p<I, T, F>(items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<T> + 'static,
{
    Parallel::unbounded().rev_map(items, f)
}

/// Whether `f` says yes to all. It is asked about every item, also after a no (`Lwt_list.for_all_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::for_all_p(1..4, |n| Promise::ready(n < 4));
/// assert!(matches!(p.state(), State::Fulfilled(true)));
/// ```
#[track_caller]
pub fn for_all_p<I, F>(items: I, f: F) -> Promise<bool>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<bool> + 'static,
{
    Parallel::unbounded().for_all(items, f)
}

/// Whether `f` says yes to one. It is asked about every item, also after a yes (`Lwt_list.exists_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::exists_p(1..4, |n| Promise::ready(n == 2));
/// assert!(matches!(p.state(), State::Fulfilled(true)));
/// ```
#[track_caller]
pub fn exists_p<I, F>(items: I, f: F) -> Promise<bool>
where
    I: IntoIterator<IntoIter: 'static>,
    F: FnMut(I::Item) -> Promise<bool> + 'static,
{
    Parallel::unbounded().exists(items, f)
}

/// The items to which `f` says yes, in order (`Lwt_list.filter_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::filter_p(1..9, |n| Promise::ready(n % 3 == 0));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [3, 6]));
/// ```
#[track_caller]
pub fn filter_p<I, F>(items: I, f: F) -> Promise<Vec<I::Item>>
where
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    F: FnMut(&I::Item) -> Promise<bool> + 'static,
{
    Parallel::unbounded().filter(items, f)
}

/// The values of `f` in the order of the items, without the `None`s (`Lwt_list.filter_map_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::filter_map_p(["1", "x"], |s| Promise::ready(s.parse::<u32>().ok()));
/// assert!(matches!(p.state(), State::Fulfilled(v) if *v == [1]));
/// ```
#[track_caller]
pub fn filter_map_p<I, T, F>(items: I, f: F) -> Promise<Vec<T>>
where
    I: IntoIterator<IntoIter: 'static>,
    T: 'static,
    F: FnMut(I::Item) -> Promise<Option<T>> + 'static,
{
    Parallel::unbounded().filter_map(items, f)
}

/// The items to which `f` says yes, and the others, both in order (`Lwt_list.partition_p`).
///
/// All are started at once.
///
/// ```
/// use lwt_core::{Promise, State, list};
/// let p = list::partition_p(1..5, |n| Promise::ready(n % 2 == 0));
/// assert!(matches!(p.state(), State::Fulfilled((even, odd)) if *even == [2, 4] && *odd == [1, 3]));
/// ```
#[track_caller]
pub fn partition_p<I, F>(items: I, f: F) -> Promise<(Vec<I::Item>, Vec<I::Item>)>
where
    I: IntoIterator<IntoIter: 'static, Item: 'static>,
    F: FnMut(&I::Item) -> Promise<bool> + 'static,
{
    Parallel::unbounded().partition(items, f)
}
