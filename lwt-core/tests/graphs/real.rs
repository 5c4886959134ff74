//! The real promises, as the interpreter wants them.

use lwt_core::{Error, State};

pub(crate) use lwt_core::scheduler::{run_ready, wakeup_paused};
pub(crate) use lwt_core::task::yield_now;
pub(crate) use lwt_core::{
    Promise, Resolver, all, both, join, nchoose, nchoose_split, npick, pause, spawn, task, wait,
};

use crate::DRAWS;

#[allow(clippy::duplicate_mod, reason = "one interpreter for both")]
#[path = "play.rs"]
pub(crate) mod play;

pub(crate) type Stored = lwt_core::Key<i64>;

pub(crate) fn look(promise: &Promise<i64>) -> Option<Result<i64, Error>> {
    match promise.state() {
        State::Pending => None,
        State::Fulfilled(value) => Some(Ok(*value)),
        State::Rejected(error) => Some(Err(error.clone())),
    }
}

/// Keeps what was drawn at the call, for the model to be told. `on_success` is no look at a rejection.
fn drawn(serial: u64, promise: Promise<i64>) -> Promise<i64> {
    if !promise.is_pending() {
        promise.on_success(move |value| {
            let value = *value;
            DRAWS.with_borrow_mut(|draws| draws.insert(serial, value));
        });
    }
    promise
}

pub(crate) fn choose(serial: u64, members: Vec<Promise<i64>>) -> Promise<i64> {
    drawn(serial, lwt_core::choose(members))
}

pub(crate) fn pick(serial: u64, members: Vec<Promise<i64>>) -> Promise<i64> {
    drawn(serial, lwt_core::pick(members))
}
