//! What the machine can do: the C library's calls, and structures that do nothing but this one work.

use std::hint::black_box;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use lwt_benches::figures::timed;
use lwt_benches::process::{shared, until};
use lwt_benches::sides::Outcome;

use super::{KEYS, LENGTH, MESSAGES, fleet, keys};

pub fn std_mutex() -> Outcome {
    let mutex = Mutex::new(0_u64);
    timed(20_000_000, |times| {
        (0..times).for_each(|_| drop(black_box(&mutex).lock().unwrap()));
        Ok(())
    })
}

/// A robust mutex between processes.
pub fn robust() -> Outcome {
    let words = shared(64)?;
    let mutex = words.as_ptr().cast::<libc::pthread_mutex_t>().cast_mut();
    // SAFETY: the mutex lies in memory that is mapped for good and large enough; it is initialised first, by
    // attributes that are.
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attributes);
        libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutex_init(mutex, &attributes);
    }
    timed(20_000_000, |times| {
        for _ in 0..times {
            // SAFETY: it is initialised, and this thread locks it and unlocks it.
            let done = unsafe { libc::pthread_mutex_lock(mutex) | libc::pthread_mutex_unlock(mutex) };
            assert_eq!(done, 0);
        }
        Ok(())
    })
}

fn pipe_ends() -> Result<[OwnedFd; 2], String> {
    let mut ends = [0; 2];
    // SAFETY: the array is the call's to write.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == -1 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    // SAFETY: the call has made them, for us.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

fn write(end: &OwnedFd, bytes: &[u8]) {
    // SAFETY: the bytes are alive. So few are written at once, or not at all.
    let written = unsafe { libc::write(end.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(written, bytes.len() as isize);
}

fn read(end: &OwnedFd, bytes: &mut [u8]) -> usize {
    // SAFETY: the bytes are alive, and the call's to write.
    let read = unsafe { libc::read(end.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    usize::try_from(read).expect("read")
}

pub fn pipe_pair() -> Outcome {
    let [out, into] = pipe_ends()?;
    timed(1_000_000, |times| {
        let mut bytes = [0; 8];
        for number in 0..times {
            write(&into, &number.to_ne_bytes());
            assert_eq!(read(&out, &mut bytes), 8);
        }
        Ok(())
    })
}

pub fn pipe(senders: u64) -> Outcome {
    let [out, into] = pipe_ends()?;
    let each = MESSAGES / senders;
    let send = |words: &fleet::Words, _| words.work(|| (0..each).for_each(|_| write(&into, &[7; LENGTH])));
    let receive = |words: &fleet::Words| {
        words.work(|| {
            let mut left = (each * senders) as usize * LENGTH;
            let mut bytes = [0; 64 * LENGTH];
            while left > 0 {
                left -= read(&out, &mut bytes);
            }
        });
    };
    let time = fleet::time(senders, send, Some(&receive))?;
    Ok(time.wall as f64 / (each * senders) as f64)
}

/// A ring of slots with a sequence number each, many to one, without sleep and without any answer to a death.
pub fn ring(senders: u64) -> Outcome {
    const SLOTS: u64 = 1024;
    const STEP: usize = 16;
    let words = shared(16 + SLOTS as usize * STEP)?;
    let (tail, slots) = (&words[0], &words[16..]);
    let each = MESSAGES / senders;
    let send = |fleet: &fleet::Words, _| {
        fleet.work(|| {
            for _ in 0..each {
                let place = tail.fetch_add(1, AcqRel);
                let slot = &slots[(place % SLOTS) as usize * STEP..][..STEP];
                // It is this turn's when the receiver has emptied it.
                until(|| slot[0].load(Acquire) == place / SLOTS * 2);
                slot[1..9].iter().for_each(|word| word.store(7, Relaxed));
                slot[0].store(place / SLOTS * 2 + 1, Release);
            }
        });
    };
    let receive = |fleet: &fleet::Words| {
        fleet.work(|| {
            let mut sum = 0;
            for place in 0..each * senders {
                let slot = &slots[(place % SLOTS) as usize * STEP..][..STEP];
                until(|| slot[0].load(Acquire) == place / SLOTS * 2 + 1);
                sum += slot[1..9].iter().map(|word| word.load(Relaxed)).sum::<u64>();
                slot[0].store(place / SLOTS * 2 + 2, Release);
            }
            assert_eq!(sum, each * senders * 56);
        });
    };
    let time = fleet::time(senders, send, Some(&receive))?;
    Ok(time.wall as f64 / (each * senders) as f64)
}

/// A table of fixed size with a compare-and-swap for each key.
pub fn table(processes: u64, read: bool) -> Outcome {
    const SLOTS: u64 = 1 << 21;
    let words = shared(SLOTS as usize * 2)?;
    words.iter().for_each(|word| word.store(0, Relaxed));
    let insert = |key: u64| {
        let mut slot = key >> 43;
        loop {
            match words[slot as usize * 2].compare_exchange(0, key, AcqRel, Acquire) {
                Err(found) if found != key => slot = (slot + 1) % SLOTS,
                _ => break words[slot as usize * 2 + 1].store(key, Release),
            }
        }
    };
    let get = |key: u64| {
        let mut slot = key >> 43;
        while words[slot as usize * 2].load(Acquire) != key {
            slot = (slot + 1) % SLOTS;
        }
        words[slot as usize * 2 + 1].load(Acquire)
    };
    if read {
        (0..processes).flat_map(|index| keys(processes, index, false)).for_each(insert);
    }
    let child = |fleet: &fleet::Words, index| {
        // Its pages are mapped before.
        black_box(words.iter().step_by(512).map(|word| word.load(Relaxed)).sum::<u64>());
        fleet.work(|| {
            for key in keys(processes, index, read) {
                match read {
                    true => assert_eq!(get(key), key),
                    false => insert(key),
                }
            }
        });
    };
    fleet::time(processes, child, None).map(|time| time.busy as f64 / KEYS as f64)
}
