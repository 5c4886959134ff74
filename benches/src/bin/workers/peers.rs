//! What one would have to beat, or to come near to: the same work by hand, with the C library's calls, and
//! the crates `ipc-channel` and `iceoryx2`. Each side is a program without threads, so it may fork.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{ptr, slice};

use ipc_channel::ipc::{self, IpcReceiver, IpcSender, IpcSharedMemory};
use lwt_benches::figures::timed;
use lwt_benches::iceoryx::Line;
use lwt_benches::process::{forked, look, shared, until, wait};
use lwt_benches::sides::Outcome;

use super::lwt_sides::NUMBERS;

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
            wait(pid)?;
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

fn half(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: its first half is aligned, and any bits are valid; nobody uses the whole word.
    unsafe { &*ptr::from_ref(word).cast::<AtomicU32>() }
}

/// Two words in turn, looked at without a rest; the message is copied each way.
pub fn spin(bytes: usize) -> Outcome {
    ping_pong(
        bytes,
        |word, value| until(|| word.load(Ordering::Acquire) == value),
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
    let words = shared(1 << 13)?;
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
        let mut message = vec![0; bytes];
        while theirs.read_exact(&mut message).is_ok() && theirs.write_all(&message).is_ok() {}
    })?;
    let (message, mut answer) = (vec![7; bytes], vec![0; bytes]);
    let mut from = told(ours.try_clone())?;
    let times = if flying == 1 { 10_000 } else { 200_000 };
    flight(times, flying, || told(ours.write_all(&message)), || told(from.read_exact(&mut answer)))
}

/// So many messages there and back, so many of them on their way.
fn flight(
    times: u64,
    flying: u64,
    mut ask: impl FnMut() -> Result<(), String>,
    mut take: impl FnMut() -> Result<(), String>,
) -> Outcome {
    timed(times, |times| {
        (0..flying).try_for_each(|_| ask())?;
        for turn in 0..times {
            take()?;
            if turn + flying < times {
                ask()?;
            }
        }
        Ok(())
    })
}

/// Two channels of the `ipc-channel` crate.
pub fn ipc_channel(bytes: usize, flying: u64) -> Outcome {
    let (to, theirs): (IpcSender<Vec<u8>>, IpcReceiver<Vec<u8>>) = told(ipc::channel())?;
    let (reply, from) = told(ipc::channel::<Vec<u8>>())?;
    forked(|| while theirs.recv().is_ok_and(|message| reply.send(message).is_ok()) {})?;
    let message = vec![7_u8; bytes];
    let take = || {
        let answer = from.recv().map_err(|error| format!("{error:?}"))?;
        assert_eq!(answer.len(), bytes);
        Ok(())
    };
    flight(if flying == 1 { 5_000 } else { 100_000 }, flying, || told(to.send(message.clone())), take)
}

/// 64 MiB of shared memory, used again each time, with a byte each way to tell.
pub fn memory() -> Outcome {
    let numbers: *mut u64 = shared(NUMBERS)?.as_ptr().cast_mut().cast();
    let (mut ours, mut theirs) = told(UnixStream::pair())?;
    forked(|| {
        while theirs.read_exact(&mut [0]).is_ok() {
            // SAFETY: it is as long, of any bits, and nobody else's until the other process is told.
            fill(unsafe { slice::from_raw_parts_mut(numbers, NUMBERS) });
            let _ = theirs.write_all(&[1]);
        }
    })?;
    timed(10, |times| {
        for _ in 0..times {
            told(ours.write_all(&[1]))?;
            told(ours.read_exact(&mut [0]))?;
            // SAFETY: as above.
            check(unsafe { slice::from_raw_parts(numbers, NUMBERS) }.iter().sum());
        }
        Ok(())
    })
}

fn fill(numbers: &mut [u64]) {
    numbers.iter_mut().zip(0..).for_each(|(number, value)| *number = value);
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
        while theirs.recv().is_ok() {
            let mut memory = IpcSharedMemory::from_byte(0, 8 * NUMBERS);
            // SAFETY: nobody else has it yet.
            let bytes = unsafe { memory.deref_mut() };
            for (chunk, value) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(0_u64..) {
                *chunk = value.to_ne_bytes();
            }
            if reply.send(memory).is_err() {
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

/// The last message to a process that uses `iceoryx2`, which leaves files behind when it is killed.
const LAST: u8 = 0;

/// Two lines of the `iceoryx2` crate.
pub fn iceoryx<const BYTES: usize>(flying: u64) -> Outcome {
    let name = format!("lwt-benches/{}", std::process::id());
    let lines = || -> Result<[Line<[u8; BYTES]>; 2], String> {
        Ok([Line::open(&format!("{name}/to"), 1, 64)?, Line::open(&format!("{name}/from"), 1, 64)?])
    };
    let worker = forked(|| {
        let [to, from] = lines().unwrap();
        let (questions, answers) = (to.subscriber().unwrap(), from.publisher().unwrap());
        loop {
            let question = look(|| questions.receive().unwrap());
            if question[0] == LAST {
                break;
            }
            answers.loan_uninit().unwrap().write_payload(*question).send().unwrap();
        }
    })?;
    let [to, from] = lines()?;
    let (questions, answers) = (to.publisher()?, from.subscriber()?);
    let ask = |message| -> Result<(), String> {
        let question = questions.loan_uninit().map_err(|error| format!("{error:?}"))?;
        question.write_payload(message).send().map(drop).map_err(|error| format!("{error:?}"))
    };
    let take = || {
        assert_eq!(look(|| answers.receive().unwrap())[0], 7);
        Ok(())
    };
    let done = flight(if flying == 1 { 20_000 } else { 200_000 }, flying, || ask([7; BYTES]), take);
    ask([LAST; BYTES])?;
    wait(worker)?;
    done
}

/// 64 MiB, written where `iceoryx2` lends it.
pub fn iceoryx_memory() -> Outcome {
    type Numbers = [u64; NUMBERS];
    let name = format!("lwt-benches/{}", std::process::id());
    let (mut ours, mut theirs) = told(UnixStream::pair())?;
    let worker = forked(|| {
        let line = Line::<Numbers>::open(&name, 1, 1).unwrap();
        let publisher = line.publisher().unwrap();
        let mut order = [1];
        while theirs.read_exact(&mut order).is_ok() && order != [LAST] {
            let mut lent = publisher.loan_uninit().unwrap();
            let numbers: *mut u64 = lent.payload_mut().as_mut_ptr().cast();
            // SAFETY: it is as long, and of bytes that have been mapped.
            fill(unsafe { slice::from_raw_parts_mut(numbers, NUMBERS) });
            // SAFETY: it is filled.
            unsafe { lent.assume_init() }.send().unwrap();
        }
    })?;
    let line = Line::<Numbers>::open(&name, 1, 1)?;
    let subscriber = line.subscriber()?;
    // Each piece of memory that it lends in turn has been used once before.
    let done = timed(50, |times| {
        for _ in 0..times {
            told(ours.write_all(&[1]))?;
            check(look(|| subscriber.receive().unwrap()).iter().sum());
        }
        Ok(())
    });
    told(ours.write_all(&[LAST]))?;
    wait(worker)?;
    done
}
