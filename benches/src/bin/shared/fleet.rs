//! Processes that begin at the same moment.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use lwt_benches::figures::clock;
use lwt_benches::process;

/// Words that all processes of a fleet share, of which the first ones are this file's.
pub struct Words(&'static [AtomicU64]);

const READY: usize = 0;
const GO: usize = 8;
const FIRST: usize = 16;
const LAST: usize = 24;
const BUSY: usize = 32;
const USED: usize = 40;

impl Words {
    /// Waits for all, in the time that is not counted, does the work, and notes the times.
    pub fn work(&self, work: impl FnOnce()) {
        self.0[READY].fetch_add(1, SeqCst);
        while self.0[GO].load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        let busy = clock(libc::CLOCK_THREAD_CPUTIME_ID);
        self.0[FIRST].fetch_min(clock(libc::CLOCK_MONOTONIC), SeqCst);
        work();
        self.0[LAST].fetch_max(clock(libc::CLOCK_MONOTONIC), SeqCst);
        self.0[BUSY].fetch_max(clock(libc::CLOCK_THREAD_CPUTIME_ID) - busy, SeqCst);
    }
}

/// What a fleet has taken, in nanoseconds.
pub struct Times {
    /// From the first beginning to the last end.
    pub wall: u64,
    /// The processor's time of the one that took most: what the same would take on an idle machine, if
    /// nobody waits for another.
    pub busy: u64,
}

/// Runs `count` processes, each of which prepares itself and then calls [`Words::work`]; and `own`, if it
/// does that, in this process.
pub fn time(count: u64, child: impl Fn(&Words, u64), own: Option<&dyn Fn(&Words)>) -> Result<Times, String> {
    let words = Words(process::shared(USED)?);
    words.0[FIRST].store(u64::MAX, SeqCst);
    let children = (0..count)
        .map(|index| process::forked(|| child(&words, index)))
        .collect::<Result<Vec<_>, String>>()?;
    let all = count + u64::from(own.is_some());
    let go = || {
        while words.0[READY].load(SeqCst) < all {
            std::thread::yield_now();
        }
        words.0[GO].store(1, SeqCst);
    };
    match own {
        None => go(),
        Some(own) => std::thread::scope(|scope| {
            scope.spawn(go);
            own(&words);
        }),
    }
    children.into_iter().try_for_each(process::wait)?;
    let wall = words.0[LAST].load(SeqCst) - words.0[FIRST].load(SeqCst);
    Ok(Times { wall, busy: words.0[BUSY].load(SeqCst) })
}
