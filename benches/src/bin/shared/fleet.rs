//! Processes that begin at the same moment.

use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// Words that all processes of a fleet share, of which the first ones are this file's.
pub struct Words(&'static [AtomicU64]);

const READY: usize = 0;
const GO: usize = 8;
const FIRST: usize = 16;
const LAST: usize = 24;
const BUSY: usize = 32;
const USED: usize = 40;

/// Shared memory without a name, for the children to come; all zero.
pub fn shared(words: usize) -> &'static [AtomicU64] {
    let (flags, protection) = (libc::MAP_SHARED | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping, where the kernel chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), words * 8, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: the mapping is as long, zeroed, aligned by pages, and never unmapped.
    unsafe { std::slice::from_raw_parts(start.cast(), words) }
}

fn now(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is alive and the call's to write.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Words {
    /// Waits for all, in the time that is not counted, does the work, and notes the times.
    pub fn work(&self, work: impl FnOnce()) {
        self.0[READY].fetch_add(1, SeqCst);
        while self.0[GO].load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        let busy = now(libc::CLOCK_THREAD_CPUTIME_ID);
        self.0[FIRST].fetch_min(now(libc::CLOCK_MONOTONIC), SeqCst);
        work();
        self.0[LAST].fetch_max(now(libc::CLOCK_MONOTONIC), SeqCst);
        self.0[BUSY].fetch_max(now(libc::CLOCK_THREAD_CPUTIME_ID) - busy, SeqCst);
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

/// Runs `count` processes, each of which prepares itself and then calls [`Words::work`]; and `own`, if it does
/// that, in this process.
#[expect(clippy::disallowed_methods, reason = "the process has one thread")]
pub fn time(count: u64, child: impl Fn(&Words, u64), own: Option<&dyn Fn(&Words)>) -> Result<Times, String> {
    let words = Words(shared(USED));
    words.0[FIRST].store(u64::MAX, SeqCst);
    let mut children = Vec::new();
    for index in 0..count {
        // SAFETY: this process has one thread, so nothing is half done in the copy.
        match unsafe { libc::fork() } {
            0 => {
                child(&words, index);
                // SAFETY: ends the process, without the parent's destructors.
                unsafe { libc::_exit(0) };
            }
            -1 => return Err(std::io::Error::last_os_error().to_string()),
            pid => children.push(pid),
        }
    }
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
    for child in children {
        let mut status = 0;
        // SAFETY: the status is alive; the child is ours, and waited for once.
        unsafe { libc::waitpid(child, &mut status, 0) };
        if status != 0 {
            return Err(format!("a process has failed: {status:#x}"));
        }
    }
    let wall = words.0[LAST].load(SeqCst) - words.0[FIRST].load(SeqCst);
    Ok(Times { wall, busy: words.0[BUSY].load(SeqCst) })
}
