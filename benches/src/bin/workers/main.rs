//! Worker processes beside their peers: start, round trip, throughput, a long result, speed-up.
//!
//! ```text
//! workers [FILTER ...] [--rounds N] [--list]
//! workers --measure ROW SIDE
//! ```
//!
//! | row | peers |
//! |---|---|
//! | `start`, `start-1gib` | `fork` and `wait` by hand; `Command`; Python's `ProcessPoolExecutor` |
//! | `round-64`, `round-1k` | a ring with a spin, a futex, a socket pair, `ipc-channel`, `iceoryx2`, Python's pool |
//! | `flight-64`, `flight-1k` | with 64 on their way: a socket pair, `ipc-channel`, `iceoryx2`, Python's pool |
//! | `result-64m` | the same memory used again by hand, a socket pair, `ipc-channel`, `iceoryx2`, Python's pool |
//! | `mandelbrot`, `mandelbrot-python` | threads as the limit; Python's pool with a picture of its own |

mod lwt_sides;
mod mandelbrot;
mod peers;
mod python;

use std::process::ExitCode;

use lwt_benches::sides::{self, Row};

/// What goes to a warm worker and back.
macro_rules! echo {
    ($name:literal, $what:literal, $bytes:literal, $flying:literal $(, $limit:expr)*) => {
        Row {
            name: $name,
            what: $what,
            sides: &[
                ("lwt pool", || lwt_sides::echo($bytes, $flying)),
                $($limit,)*
                ("C socketpair", || peers::socketpair($bytes, $flying)),
                ("ipc-channel", || peers::ipc_channel($bytes, $flying)),
                ("iceoryx2", || peers::iceoryx::<$bytes>($flying)),
                ("python", || python::echo($bytes, $flying)),
            ],
        }
    };
}

const ROWS: [Row; 9] = [
    Row {
        name: "start",
        what: "start of a worker, its result, its end",
        sides: &[
            ("lwt, zygote", || lwt_sides::start(lwt_sides::Way::Zygote, 0)),
            ("lwt, exec", || lwt_sides::start(lwt_sides::Way::Exec, 0)),
            ("C fork", || peers::fork(0)),
            ("Command", || peers::command(0)),
            ("python", python::start),
        ],
    },
    Row {
        name: "start-1gib",
        what: "the same from a program with 1 GiB resident",
        sides: &[
            ("lwt, zygote", || lwt_sides::start(lwt_sides::Way::Zygote, 1 << 30)),
            ("lwt, exec", || lwt_sides::start(lwt_sides::Way::Exec, 1 << 30)),
            ("C fork", || peers::fork(1 << 30)),
            ("Command", || peers::command(1 << 30)),
        ],
    },
    echo!(
        "round-64",
        "64 bytes to a warm worker and back",
        64,
        1,
        ("C ring, spin", || peers::spin(64)),
        ("C futex", || peers::futex(64))
    ),
    echo!(
        "round-1k",
        "1 KiB to a warm worker and back",
        1024,
        1,
        ("C ring, spin", || peers::spin(1024)),
        ("C futex", || peers::futex(1024))
    ),
    echo!("flight-64", "64 bytes to a warm worker and back, 64 on their way, each", 64, 64),
    echo!("flight-1k", "1 KiB to a warm worker and back, 64 on their way, each", 1024, 64),
    Row {
        name: "result-64m",
        what: "64 MiB filled in by a worker and summed by the program",
        sides: &[
            ("lwt, in place", || lwt_sides::result(lwt_sides::Form::InPlace)),
            ("lwt, vector", || lwt_sides::result(lwt_sides::Form::Copied)),
            ("C shared memory", peers::memory),
            ("C socketpair", peers::stream),
            ("ipc-channel", peers::ipc_memory),
            ("iceoryx2", peers::iceoryx_memory),
            ("python", python::result),
        ],
    },
    Row {
        name: "mandelbrot",
        what: "the picture of the example, 1600 × 1200 points",
        sides: &[
            ("lwt, 1 worker", || mandelbrot::workers(1)),
            ("lwt, 2 workers", || mandelbrot::workers(2)),
            ("lwt, 4 workers", || mandelbrot::workers(4)),
            ("1 thread", || mandelbrot::threads(1)),
            ("4 threads", || mandelbrot::threads(4)),
        ],
    },
    Row {
        name: "mandelbrot-python",
        what: "the same by Python, 160 × 120 points",
        sides: &[
            ("python, 1 worker", || python::mandelbrot(1)),
            ("python, 2 workers", || python::mandelbrot(2)),
            ("python, 4 workers", || python::mandelbrot(4)),
        ],
    },
];

fn main() -> ExitCode {
    lwt_sides::init();
    sides::main(&ROWS)
}
