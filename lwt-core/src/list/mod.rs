//! Lists: a function that makes promises, over many items (`Lwt_list`).
//!
//! | family | |
//! |---|---|
//! | `_s` | serially: the next item when the promise of the one before is fulfilled |
//! | `_p` | in parallel: the function is called for every item at once |
//! | `_n` | in parallel, with at most so many promises pending |
//! | [`Parallel`] | the same as methods, with what else may be asked for: [cancelling the rest](Parallel::cancel_rest) |
//!
//! The items are anything that [`IntoIterator`] takes, so that a range, a vector, a map or a lazy iterator
//! will do; an iterator is asked for an item only when the function is to be called with it. Values come in
//! the order of the items, whatever the order in which they were found.
//!
//! ```
//! use lwt_core::{Promise, State, list};
//! let lengths = list::map_s(["a", "list"], |word| Promise::ready(word.len()));
//! assert!(matches!(lengths.state(), State::Fulfilled(v) if *v == [1, 4]));
//! ```
//!
//! # What goes wrong
//!
//! * `_s`: a rejection ends it, and no further item is started.
//! * `_p`: all items are started, and waited for; then the result is rejected with the rejection that came
//!   first in time (Lwt's reports the last one).
//! * `_n`: after a rejection no further item is started; those under way are waited for; then as `_p`.
//! * [`Parallel::cancel_rest`]: moreover those under way are cancelled.
//!
//! A panic of the function is the rejection of its item; a panic of the iterator is a rejection after which
//! nothing is started.
//!
//! A cancel of the result goes to every promise that is pending then. What it rejects is a rejection as any
//! other, so that serial and bounded forms start nothing more; where no item takes the cancel, it has no
//! effect. No item is lost by it in the sense of being taken from the iterator and not given to the function.
//! Dropping the result cancels nothing: the work goes on.
//!
//! # The function
//!
//! It is `FnMut`, and never called while a call of it runs: should one item be resolved inside the call for
//! another, the next item waits until that call has returned. All forms run in constant stack over promises
//! that are resolved already, and all but `_p` in constant memory besides items and values.

mod bounded;
mod parallel;
mod serial;
mod unbounded;

pub use bounded::{
    exists_n, filter_map_n, filter_n, for_all_n, iter_n, iteri_n, map_n, mapi_n, partition_n, rev_map_n,
};
pub use parallel::Parallel;
pub use serial::{
    exists_s, filter_map_s, filter_s, find_s, fold_left_s, fold_right_s, for_all_s, iter_s, iteri_s, map_s,
    mapi_s, partition_s, rev_map_s,
};
pub use unbounded::{
    exists_p, filter_map_p, filter_p, for_all_p, iter_p, iteri_p, map_p, mapi_p, partition_p, rev_map_p,
};
