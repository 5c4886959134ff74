//! What one measurement is, and the clocks and gauges that make it.
//!
//! 1. Work that stays on one thread is timed by the CPU clock of that thread: what else runs on the machine adds
//!    cache misses, but no waiting time.
//! 2. Work that crosses threads is timed by the wall clock.
//! 3. Memory is the resident set of the process; each measurement has a process of its own.

use std::fmt;
use std::time::Instant;

use lwt_benches::figures::clock;

/// One measurement: the row's figure, and the second figure that some rows have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// The figure that is compared: nanoseconds or bytes per operation.
    pub value: f64,
    /// A second figure, whose name stands in the row.
    pub aside: Option<f64>,
}

impl Measure {
    /// A measurement with nothing beside it.
    pub fn of(value: f64) -> Measure {
        Measure { value, aside: None }
    }

    /// The same with a second figure.
    pub fn beside(self, aside: f64) -> Measure {
        Measure { aside: Some(aside), ..self }
    }
}

/// What a side of a row gives.
pub type Outcome = Result<Measure, Failure>;

/// Why a measurement could not be made.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Failure {
    /// A side computed something else than it should have: its figure would mean nothing.
    pub fn wrong(what: impl fmt::Debug) -> Failure {
        Failure(format!("unexpected {what:?}"))
    }
}

/// A failure from each error that the runtimes can give.
macro_rules! failure_from {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure(format!("{error:?}"))
            }
        }
    )*};
}

failure_from! {
    &str,
    lwt::Error,
    lwt::lock::AttachError,
    std::io::Error,
    tokio::sync::oneshot::error::RecvError,
    tokio::task::JoinError,
    async_oneshot::Closed,
}

/// CPU time of the calling thread since the watch was started.
#[derive(Debug)]
pub struct CpuWatch(u64);

impl CpuWatch {
    /// Starts now.
    pub fn start() -> CpuWatch {
        CpuWatch(clock(libc::CLOCK_THREAD_CPUTIME_ID))
    }

    /// Nanoseconds per operation since the start.
    pub fn per(self, ops: u64) -> Measure {
        Measure::of((clock(libc::CLOCK_THREAD_CPUTIME_ID) - self.0) as f64 / ops as f64)
    }
}

/// Real time since the watch was started.
#[derive(Debug)]
pub struct WallWatch(Instant);

impl WallWatch {
    /// Starts now.
    pub fn start() -> WallWatch {
        WallWatch(Instant::now())
    }

    /// Nanoseconds per operation since the start.
    pub fn per(self, ops: u64) -> Measure {
        Measure::of(self.0.elapsed().as_nanos() as f64 / ops as f64)
    }
}

/// The CPU clock of the calling thread, as an id that any thread may read.
pub fn own_cpu_clock() -> std::io::Result<libc::clockid_t> {
    let mut id = 0;
    // SAFETY: `pthread_self` has no precondition, and `id` is live and writable for the second call.
    let error = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut id) };
    if error == 0 { Ok(id) } else { Err(std::io::Error::from_raw_os_error(error)) }
}

/// Bytes of this process that are resident.
pub fn resident() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    // SAFETY: sysconf only reads a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.map(|pages| pages * page as u64).ok_or_else(|| std::io::Error::other("statm has no second field"))
}

/// The value itself, of which the compiler knows nothing afterwards: it costs no instruction, where
/// `std::hint::black_box` costs a store and a load.
#[inline(always)]
pub fn opaque(mut value: u64) -> u64 {
    // SAFETY: the template is empty; the register keeps its value, no memory and no flag is touched.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}
