//! Which processors a thread runs on. Rules: see the head of [`sys`](crate::sys).

use std::io;

use libc::pid_t;

use super::retry;

/// A set of processors, a bit for each, in the words that the kernel has.
type Word = libc::c_ulong;
const BITS: usize = Word::BITS as usize;

/// `sched_getcpu`.
pub(crate) fn current() -> io::Result<usize> {
    // SAFETY: no arguments.
    let number = retry("sched_getcpu", || unsafe { libc::sched_getcpu() })?;
    Ok(usize::try_from(number).unwrap_or(0))
}

/// `sched_getaffinity` of a thread, 0 for the calling one: the numbers of its processors.
pub(crate) fn affinity(thread: pid_t) -> io::Result<Vec<usize>> {
    let mut words: Vec<Word> = vec![0; 1024 / BITS];
    loop {
        let got = retry("sched_getaffinity", || {
            // SAFETY: room for as many bytes as are given.
            unsafe { libc::sched_getaffinity(thread, size_of_val(&words[..]), words.as_mut_ptr().cast()) }
        });
        match got {
            // The kernel knows of more processors than there is room for.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && words.len() < 1 << 16 => {
                words.resize(words.len() * 2, 0);
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    Ok((0..words.len() * BITS).filter(|cpu| words[cpu / BITS] >> (cpu % BITS) & 1 == 1).collect())
}

/// `sched_setaffinity` of a thread, 0 for the calling one. Numbers beyond what any machine has are `EINVAL`.
pub(crate) fn set_affinity(thread: pid_t, processors: &[usize]) -> io::Result<()> {
    let most = processors.iter().copied().max().unwrap_or(0);
    if most >= 1 << 20 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut words: Vec<Word> = vec![0; (most / BITS + 1).max(1024 / BITS)];
    for cpu in processors {
        words[cpu / BITS] |= 1 << (cpu % BITS);
    }
    retry("sched_setaffinity", || {
        // SAFETY: as many bytes as are given.
        unsafe { libc::sched_setaffinity(thread, size_of_val(&words[..]), words.as_ptr().cast()) }
    })
    .map(drop)
}
