//! Shared memory beside its peers: locks, queues, mailboxes and maps between processes.
//!
//! ```text
//! shared [FILTER ...] [--rounds N] [--list]
//! shared --measure ROW SIDE
//! ```
//!
//! | row | peers |
//! |---|---|
//! | `lock` | a robust mutex of the C library between processes; a mutex of the standard library inside one |
//! | `queue` | a pipe |
//! | `mailbox-1`, `-3`, `-8` | a ring in shared memory with spinning, as the limit; a pipe; `ipc-channel`; `iceoryx2` |
//! | `map-…-1`, `-4` | a table with compare-and-swap in shared memory, as the limit; LMDB by `heed` |
//!
//! Messages are timed from the moment when all begin until the last has ended. Of a map's processes the one
//! counts that has taken most of the processor's time: they do not wait for each other, and what else runs on
//! the machine is left out. Both are divided by what all have done together.

mod fleet;
mod limits;
mod ours;
mod peers;

use std::process::ExitCode;

use lwt_benches::sides::{self, Row};

macro_rules! mailbox {
    ($name:literal, $senders:literal) => {
        Row {
            name: $name,
            what: concat!($senders, " processes send 64 bytes to one"),
            sides: &[
                ("lwt", || ours::mailbox($senders)),
                ("C ring, spin", || limits::ring($senders)),
                ("pipe", || limits::pipe($senders)),
                ("ipc-channel", || peers::ipc_channel($senders)),
                ("iceoryx2", || peers::iceoryx($senders)),
            ],
        }
    };
}

macro_rules! map {
    ($name:literal, $processes:literal, $what:literal, $read:literal) => {
        Row {
            name: $name,
            what: concat!($what, " of a million keys, ", $processes, " processes"),
            sides: &[
                ("lwt", || ours::map($processes, $read)),
                ("C table, CAS", || limits::table($processes, $read)),
                ("heed", || peers::heed($processes, $read)),
            ],
        }
    };
}

const ROWS: [Row; 9] = [
    Row {
        name: "lock",
        what: "lock + unlock that nobody else wants",
        sides: &[("lwt", ours::lock), ("C robust mutex", limits::robust), ("std", limits::std_mutex)],
    },
    Row { name: "queue", what: "push + pop", sides: &[("lwt", ours::queue), ("pipe", limits::pipe_pair)] },
    mailbox!("mailbox-1", 1),
    mailbox!("mailbox-3", 3),
    mailbox!("mailbox-8", 8),
    map!("map-insert-1", 1, "insert", false),
    map!("map-insert-4", 4, "insert", false),
    map!("map-read-1", 1, "read", true),
    map!("map-read-4", 4, "read", true),
];

fn main() -> ExitCode {
    sides::main(&ROWS)
}

/// The messages of a mailbox's row, and the keys of a map's.
const MESSAGES: u64 = 300_000;
const KEYS: u64 = 1_000_000;
/// The length of a message.
const LENGTH: usize = 64;

/// Spreads a number over all bits: the keys.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The keys that a process inserts, or reads: then another one's, in any order.
fn keys(processes: u64, index: u64, read: bool) -> impl Iterator<Item = u64> {
    let each = KEYS / processes;
    let of = if read { (index + 1) % processes } else { index };
    (0..each).map(move |turn| {
        let turn = if read { mixed(turn) % each } else { turn };
        mixed(turn * processes + of)
    })
}
