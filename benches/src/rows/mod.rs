//! The rows, one file per group.

mod bind;
mod combinators;
mod echo;
mod files;
mod jobs;
mod memory;
mod pending;
mod shared;
mod tasks;
mod threads;
mod timers;

use crate::harness::Row;

/// All rows, in the order of the table.
pub fn all() -> Vec<Row> {
    [
        &bind::ROWS[..],
        &pending::ROWS,
        &tasks::ROWS,
        &shared::ROWS,
        &combinators::ROWS,
        &memory::ROWS,
        &timers::ROWS,
        &jobs::ROWS,
        &threads::ROWS,
        &files::ROWS,
        &echo::ROWS,
    ]
    .concat()
}

/// What most rows have in common; each names its work and its sides.
const PLAIN: Row = Row {
    name: "",
    what: "",
    unit: "ns",
    aside: None,
    ops: 0,
    goal: None,
    cold: false,
    lwt: |_| Err("no such side".into()),
    tokio: None,
    smol: None,
    libuv: None,
    floor: None,
};
