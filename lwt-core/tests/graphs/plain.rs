//! The model, as the interpreter wants it.

use lwt_core::Error;

pub(crate) use crate::model::{
    Promise, Resolver, all, both, join, nchoose, nchoose_split, npick, pause, run_ready, spawn, task, wait,
    wakeup_paused, yield_now,
};
use crate::{DRAWS, model};

#[allow(clippy::duplicate_mod, reason = "one interpreter for both")]
#[allow(dead_code, reason = "what is left over at the end is asked of the real ones only")]
#[path = "play.rs"]
pub(crate) mod play;

pub(crate) type Stored = model::Key;

pub(crate) fn look(promise: &Promise<i64>) -> Option<Result<i64, Error>> {
    promise.peek()
}

/// Tells the model what the real one has drawn.
fn draw(serial: u64) {
    model::DRAWN.set(DRAWS.with_borrow(|draws| draws.get(&serial).copied()));
}

pub(crate) fn choose(serial: u64, members: Vec<Promise<i64>>) -> Promise<i64> {
    draw(serial);
    model::choose(members)
}

pub(crate) fn pick(serial: u64, members: Vec<Promise<i64>>) -> Promise<i64> {
    draw(serial);
    model::pick(members)
}
