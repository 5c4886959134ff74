//! What one would have to beat, or to come near to: the same work by hand, with the C library's calls, and
//! the `ipc-channel` crate. Each side is a program without threads, so it may fork.

use std::hint::{black_box, spin_loop};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ipc_channel::ipc::{self, IpcReceiver, IpcSender, IpcSharedMemory};

use super::lwt_sides::NUMBERS;
use super::{Outcome, timed};

/// A forked process that does `work`, and then ends without further ado.
fn forked(work: impl FnOnce()) -> Result<i32, String> {
    // SAFETY: there are no threads in this process.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: integers only. It ends with the parent.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            work();
            // SAFETY: an integer only.
            unsafe { libc::_exit(0) }
        }
        -1 => Err(std::io::Error::last_os_error().to_string()),
        pid => Ok(pid),
    }
}

fn wait(pid: i32) {
    // SAFETY: a null status is not written to.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// `fork`, a byte through a socket, `waitpid`.
pub fn fork(ballast: usize) -> Outcome {
    let ballast = black_box(vec![1_u8; ballast]);
    let times = if ballast.is_empty() { 200 } else { 10 };
    let done = timed(times, |times| {
        for _ in 0..times {
            let (mut ours, mut theirs) = told(UnixStream::pair())?;
            let pid = forked(|| {
                let _ = theirs.write_all(&[1]);
            })?;
            told(ours.read_exact(&mut [0]))?;
            wait(pid);
        }
        Ok(())
    });
    drop(ballast);
    done
}

/// The standard library's way to another program.
pub fn command(ballast: usize) -> Outcome {
    let ballast = black_box(vec![1_u8; ballast]);
    let done = timed(100, |times| {
        for _ in 0..times {
            told(Command::new("true").status())?;
        }
        Ok(())
    });
    drop(ballast);
    done
}

/// Memory that this process shares with those that it forks.
fn shared_words(bytes: usize) -> Result<&'static [AtomicU64], String> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping touches nothing; it is never unmapped, zeroed, and aligned by pages.
    unsafe {
        let start = libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().to_string());
        }
        Ok(std::slice::from_raw_parts(start.cast(), bytes / 8))
    }
}

fn half(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: its first half is aligned, and any bits are valid; nobody uses the whole word.
    unsafe { &*ptr::from_ref(word).cast::<AtomicU32>() }
}

/// Two words in turn, looked at without a rest; the message is copied each way.
pub fn spin(bytes: usize) -> Outcome {
    ping_pong(
        bytes,
        |word, value| {
            let mut spins = 0_u32;
            while word.load(Ordering::Acquire) != value {
                spin_loop();
                spins += 1;
                if spins.is_multiple_of(100_000) {
                    std::thread::yield_now();
                }
            }
        },
        |word, value| word.store(value, Ordering::Release),
        100_000,
    )
}

/// The same, asleep at a futex.
pub fn futex(bytes: usize) -> Outcome {
    ping_pong(
        bytes,
        |word, value| loop {
            let seen = word.load(Ordering::Acquire);
            if seen == value {
                return;
            }
            // SAFETY: the word is alive.
            unsafe {
                libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, ptr::null::<u8>())
            };
        },
        |word, value| {
            word.store(value, Ordering::Release);
            // SAFETY: the word is alive.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
        },
        5_000,
    )
}

fn ping_pong(bytes: usize, wait_for: fn(&AtomicU32, u32), tell: fn(&AtomicU32, u32), times: u64) -> Outcome {
    let words = shared_words(1 << 16)?;
    let (there, back) = (half(&words[0]), half(&words[32]));
    let (question, answer) = (&words[1024..1024 + bytes / 8], &words[4096..4096 + bytes / 8]);
    forked(|| {
        for turn in 1.. {
            wait_for(there, turn);
            for (to, from) in answer.iter().zip(question) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            tell(back, turn);
        }
    })?;
    let mut turn = 0;
    timed(times, |times| {
        for _ in 0..times {
            turn += 1;
            question.iter().for_each(|word| word.store(turn.into(), Ordering::Relaxed));
            tell(there, turn);
            wait_for(back, turn);
            let sum: u64 = answer.iter().map(|word| word.load(Ordering::Relaxed)).sum();
            assert_eq!(sum, u64::from(turn) * answer.len() as u64);
        }
        Ok(())
    })
}

/// A forked process that sends back what comes over a socket.
pub fn socketpair(bytes: usize, flying: u64) -> Outcome {
    let (mut ours, mut theirs) = told(UnixStream::pair())?;
    forked(|| {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(1..) = theirs.read_exact(&mut buffer[..bytes]).map(|()| bytes) {
            if theirs.write_all(&buffer[..bytes]).is_err() {
                break;
            }
        }
    })?;
    let times = if flying == 1 { 10_000 } else { 200_000 };
    let (message, mut answer) = (vec![7; bytes], vec![0; bytes]);
    timed(times, |times| {
        for _ in 0..flying {
            told(ours.write_all(&message))?;
        }
        for turn in 0..times {
            told(ours.read_exact(&mut answer))?;
            if turn + flying < times {
                told(ours.write_all(&message))?;
            }
        }
        // Fewer turns than messages on their way: what is left.
        for _ in times..flying {
            told(ours.read_exact(&mut answer))?;
        }
        Ok(())
    })
}

/// Two channels of the `ipc-channel` crate.
pub fn ipc_channel(bytes: usize, flying: u64) -> Outcome {
    let (to, theirs): (IpcSender<Vec<u8>>, IpcReceiver<Vec<u8>>) = told(ipc::channel())?;
    let (reply, from) = told(ipc::channel::<Vec<u8>>())?;
    forked(|| {
        while let Ok(message) = theirs.recv() {
            if reply.send(message).is_err() {
                break;
            }
        }
    })?;
    let times = if flying == 1 { 5_000 } else { 100_000 };
    let message = vec![7_u8; bytes];
    timed(times, |times| {
        for _ in 0..flying {
            told(to.send(message.clone()))?;
        }
        for turn in 0..times.max(flying) {
            let answer = from.recv().map_err(|error| format!("{error:?}"))?;
            assert_eq!(answer.len(), bytes);
            if turn + flying < times {
                told(to.send(message.clone()))?;
            }
        }
        Ok(())
    })
}

/// 64 MiB of shared memory, used again each time, with a byte each way to tell.
pub fn shared() -> Outcome {
    let words = shared_words(8 * NUMBERS)?;
    let (mut ours, mut theirs) = told(UnixStream::pair())?;
    forked(|| {
        while theirs.read_exact(&mut [0]).is_ok() {
            words.iter().zip(0..).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
            let _ = theirs.write_all(&[1]);
        }
    })?;
    timed(10, |times| {
        for _ in 0..times {
            told(ours.write_all(&[1]))?;
            told(ours.read_exact(&mut [0]))?;
            check(words.iter().map(|word| word.load(Ordering::Relaxed)).sum());
        }
        Ok(())
    })
}

fn check(sum: u64) {
    assert_eq!(sum, (NUMBERS as u64 - 1) * NUMBERS as u64 / 2);
}

/// 64 MiB through a socket.
pub fn stream() -> Outcome {
    let (mut ours, mut theirs) = told(UnixStream::pair())?;
    forked(|| {
        let mut bytes = vec![0; 8 * NUMBERS];
        while theirs.read_exact(&mut [0]).is_ok() {
            for (chunk, value) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(0_u64..) {
                *chunk = value.to_ne_bytes();
            }
            let _ = theirs.write_all(&bytes);
        }
    })?;
    let mut bytes = vec![0; 8 * NUMBERS];
    timed(5, |times| {
        for _ in 0..times {
            told(ours.write_all(&[1]))?;
            told(ours.read_exact(&mut bytes))?;
            check(bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)).sum());
        }
        Ok(())
    })
}

/// 64 MiB as the shared memory of the `ipc-channel` crate.
pub fn ipc_memory() -> Outcome {
    let (to, theirs) = told(ipc::channel::<u8>())?;
    let (reply, from) = told(ipc::channel::<IpcSharedMemory>())?;
    forked(|| {
        let mut bytes = vec![0; 8 * NUMBERS];
        while theirs.recv().is_ok() {
            for (chunk, value) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(0_u64..) {
                *chunk = value.to_ne_bytes();
            }
            if reply.send(IpcSharedMemory::from_bytes(&bytes)).is_err() {
                break;
            }
        }
    })?;
    timed(5, |times| {
        for _ in 0..times {
            told(to.send(1))?;
            let bytes = from.recv().map_err(|error| format!("{error:?}"))?;
            check(bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)).sum());
        }
        Ok(())
    })
}
