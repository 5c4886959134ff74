//! What goes on in a worker, and what its function may ask for: [`progress`], [`log`], [`shared`],
//! [`passed`].
//!
//! 1. A worker becomes one before it runs anything of the program's but what stands before
//!    [`init`](super::init). It has descriptors 0 (`/dev/null`) to 2, the socket to the program, and what it
//!    was given; no signal is blocked; it is the head of a group of processes of its own.
//! 2. It ends with the program: killed by the kernel, where the kernel watches the program for it, and
//!    otherwise by a thread that waits for the program's end.
//! 3. It does one call, sends the answer, runs the exit hooks of the loop that the call may have made, and
//!    ends: with exit code 0 if there was a result, and otherwise with 101, as a program that panicked.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use lwt_core::{Error, set_random_seed};
use rkyv::util::AlignedVec;

use super::definition::{self, Answer};
use super::failure::Step;
use super::messages::Level;
use super::panics;
use super::sys;
use super::value::Wire;
use super::wire::{Body, Order, Packet};
use crate::shm::{Pool, ShmError};

/// What a worker has of its program.
struct Inside {
    socket: OwnedFd,
    passed: Mutex<BTreeMap<String, OwnedFd>>,
    /// What messages are about.
    job: AtomicU64,
    /// How many messages there were.
    told: AtomicU64,
    /// The program, if it is the kernel that sees to it that this worker ends with it.
    tied: Option<u32>,
}

static INSIDE: OnceLock<Inside> = OnceLock::new();

/// How a worker comes to know that its program has ended.
pub(super) enum Tie {
    /// The kernel sees to it.
    Kernel,
    /// A thread of this process does.
    Thread,
}

/// From here on this process is a worker of the process `program`.
pub(super) fn become_worker(socket: OwnedFd, program: u32, tie: Tie) -> ! {
    let by_kernel = matches!(tie, Tie::Kernel).then_some(program);
    let tied = match tie {
        Tie::Kernel => {
            // First of all: when the zygote says so, this worker may have filled the socket.
            let told = Packet::born(std::process::id() as i32).send(socket.as_fd(), false);
            told.and_then(|()| sys::die_with(program))
        }
        Tie::Thread => die_by_thread(program, &socket),
    };
    match tied {
        Ok(true) => {}
        // There is nobody left to work for.
        Ok(false) => exit(0),
        Err(error) => refuse(&socket, Step::Parent, &error),
    }
    sys::own_group();
    sys::heed_termination();
    set_random_seed(sys::random());
    panics::note();
    let inside = INSIDE.get_or_init(|| Inside {
        socket,
        passed: Mutex::new(BTreeMap::new()),
        job: AtomicU64::new(0),
        told: AtomicU64::new(0),
        tied: by_kernel,
    });
    sys::block_signals(false);
    exit(inside.work())
}

/// See rule 2.
fn die_by_thread(program: u32, socket: &OwnedFd) -> io::Result<bool> {
    let socket = socket.try_clone()?;
    // A signal is for the threads that know what to do with it.
    sys::block_signals(true);
    let thread = std::thread::Builder::new().name("lwt-parent".to_owned()).stack_size(64 << 10);
    thread.spawn(move || {
        sys::await_end_of(program, socket.as_fd());
        // Nobody is left who would wait for it, whatever stops it.
        let _ = sys::kill(std::process::id() as i32, libc::SIGKILL, false);
    })?;
    Ok(sys::parent_of_this() == program)
}

impl Inside {
    fn work(&self) -> i32 {
        let (index, hash, argument) = loop {
            match Order::receive(self.socket.as_fd(), true) {
                Ok(Some(Order::Pass { name, file })) => drop(self.lock().insert(name, file)),
                Ok(Some(Order::Begin { index, hash, memory, nice, argument })) => {
                    self.prepare(memory, nice);
                    break (index, hash, argument);
                }
                // It was cancelled before it began.
                Ok(None) => return 0,
                Err(error) => refuse(&self.socket, Step::Argument, &error),
            }
        };
        let code = match self.answer(index, hash, argument) {
            Ok(true) => 0,
            // That nobody hears the answer is nothing that this worker could do anything about.
            Ok(false) | Err(_) => 101,
        };
        if lwt_unix::engine_name().is_some() {
            // Each hook's failure has been reported.
            let _ = lwt_unix::run(lwt_unix::exit_hooks().run());
        }
        code
    }

    fn prepare(&self, memory: u64, nice: Option<i32>) {
        if let Some(nice) = nice
            && let Err(error) = sys::set_nice(nice)
        {
            refuse(&self.socket, Step::Nice, &error);
        }
        if memory > 0
            && let Err(error) = sys::limit_memory(memory)
        {
            refuse(&self.socket, Step::Memory, &error);
        }
    }

    /// Whether there was a result.
    fn answer(&self, index: u32, hash: u64, argument: Body) -> io::Result<bool> {
        let answer = match definition::by_index(index, hash) {
            Some(definition) => definition.invoke(&argument, AlignedVec::new()),
            None => Answer::Decode("another program's function was asked for".to_owned()),
        };
        drop(argument);
        let packet = match answer {
            Answer::Value(sink) => match Packet::value(sink.into_memory()) {
                Ok(packet) => {
                    self.send(&packet)?;
                    return Ok(true);
                }
                Err(error) => Packet::not_decoded(&format!("the result: {error}")),
            },
            Answer::Panic { message, place } => Packet::panic(&message, place.as_deref()),
            Answer::Decode(text) => Packet::not_decoded(&text),
        };
        self.send(&packet)?;
        Ok(false)
    }

    fn send(&self, packet: &Packet) -> io::Result<()> {
        packet.send(self.socket.as_fd(), true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, OwnedFd>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A descriptor that was passed, by now.
    fn take(&self, name: &str) -> Option<OwnedFd> {
        let mut passed = self.lock();
        // The program sends nothing else to a worker that works.
        while let Ok(Some(order)) = Order::receive(self.socket.as_fd(), false) {
            if let Order::Pass { name, file } = order {
                drop(passed.insert(name, file));
            }
        }
        passed.remove(name)
    }
}

/// There is no worker.
pub(super) fn refuse(socket: &OwnedFd, step: Step, error: &io::Error) -> ! {
    // If nobody hears it, nobody waits for it.
    let _ = Packet::not_born(step, error).send(socket.as_fd(), false);
    exit(101)
}

/// Ends this process, which is none of the program's own.
#[expect(clippy::disallowed_methods, reason = "a worker does not return to what the program's main does")]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

/// Whether this process is a worker.
///
/// ```
/// assert!(!lwt_preemptive::worker::is_worker());
/// ```
pub fn is_worker() -> bool {
    INSIDE.get().is_some()
}

/// For a worker that has changed its user or group, right after that: has it end with the program again,
/// which the kernel forgets with such a change. Otherwise, and outside a worker, it changes nothing.
///
/// # Errors
/// The system's.
pub fn end_with_program() -> io::Result<()> {
    if let Some(program) = INSIDE.get().and_then(|inside| inside.tied)
        && !sys::die_with(program)?
    {
        exit(0);
    }
    Ok(())
}

/// From a worker: tells the program a value, which arrives there in [`Worker::messages`].
///
/// It blocks while the socket to the program is full, that is, while the program's loop does not turn. A
/// program that does not read the messages does not block it: the program drops what is too much. Outside a
/// worker, where the function was called in place, it does nothing.
///
/// [`Worker::messages`]: super::Worker::messages
///
/// # Errors
/// If the value cannot be written as bytes, there is no memory for them, or the program's end of the
/// connection is closed.
pub fn progress<P: Wire>(value: &P) -> Result<(), Error> {
    let Some(inside) = INSIDE.get() else { return Ok(()) };
    let bytes = value.to_bytes()?;
    let packet = Packet::progress(inside.job.load(Ordering::Relaxed), P::shape(), bytes)?;
    inside.send(&packet)?;
    inside.told.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// From a worker: tells the program a line for its log, which arrives there in [`Worker::messages`]. It
/// blocks as [`progress`] does. A line of more than 16 KiB is cut.
///
/// [`Worker::messages`]: super::Worker::messages
///
/// # Errors
/// If the program's end of the connection is closed.
pub fn log(level: Level, line: impl fmt::Display) -> Result<(), Error> {
    let Some(inside) = INSIDE.get() else { return Ok(()) };
    inside.send(&Packet::log(inside.job.load(Ordering::Relaxed), level, &line.to_string()))?;
    inside.told.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// [`log`] of what may get lost: it does not block, and drops the line if the socket is full.
pub(crate) fn log_if_room(level: Level, line: impl fmt::Display) {
    if let Some(inside) = INSIDE.get() {
        let line = Packet::log(inside.job.load(Ordering::Relaxed), level, &line.to_string());
        let told = line.send(inside.socket.as_fd(), false).is_ok();
        inside.told.fetch_add(u64::from(told), Ordering::Relaxed);
    }
}

/// Tells the program of a panic that ends this process.
pub(super) fn tell_panic(message: &str, place: Option<&str>) {
    if let Some(inside) = INSIDE.get() {
        // If nobody hears it, nobody waits for it.
        let _ = inside.send(&Packet::panic(message, place));
    }
}

/// What this process's messages are about, from here on.
pub(crate) fn set_job(number: u64) {
    if let Some(inside) = INSIDE.get() {
        inside.job.store(number, Ordering::Relaxed);
    }
}

/// How many messages this process has told so far.
pub(crate) fn told() -> u64 {
    INSIDE.get().map_or(0, |inside| inside.told.load(Ordering::Relaxed))
}

/// In a worker: the descriptor that the program has [passed](super::Start::pass) by this name, once. None if
/// none has arrived by now, or it was taken before.
pub fn passed(name: &str) -> Option<OwnedFd> {
    INSIDE.get()?.take(name)
}

/// In a worker: attaches to the pool that the program has [shared](super::Start::share) by this name. That
/// can be done once; clone the pool for further uses.
///
/// # Errors
/// [`ShmError::NotAPool`] if none has arrived by now, or it was taken before; those of [`Pool::attach`].
pub fn shared(name: &str) -> Result<Pool, ShmError> {
    Pool::attach(passed(name).ok_or(ShmError::NotAPool)?)
}
