//! A producer and a consumer: two processes with a buffer, a mutex and two conditions in shared memory.
//!
//! ```text
//! cargo run --release --example pipeline -- --bytes 1000000000 --window 1048576
//! ```
//!
//! The producer is never more than a window ahead. Both count their bytes and compute their CRC-32, and the
//! last line says what both found, and how fast they were. The exit code is 1 if they do not agree, or if one
//! of them fails or dies; the other is stopped then.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use crc32fast::Hasher;
use lexopt::prelude::*;
use lwt::shm::{Buffer, Condition, Mutex, Pool, ShmError};
use lwt::switch::with_switch;
use lwt::worker::{self, Start, Worker};
use lwt::{Error, Promise, join};

const HELP: &str = "\
pipeline: sends bytes from one process to another through shared memory

Usage: pipeline [--bytes B] [--window W]

  --bytes B    how many (256 MiB)
  --window W   how many may be under way (1 MiB)
";

/// How much the two make and take at a time, at most.
const PIECE: u64 = 128 * 1024;

lwt::shm_safe! {
    /// How far the two are; under the mutex.
    #[derive(Debug, Clone, Copy)]
    struct Progress {
        made: u64,
        taken: u64,
    }
}

lwt::main! {
    workers [produce, consume];

    async fn main() -> ExitCode {
        let (bytes, window) = match options() {
            Ok(Some(options)) => options,
            Ok(None) => {
                // Who closes our output does not want to read it.
                let _ = io::stdout().write_all(HELP.as_bytes());
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                complain(&format!("{error}; see --help"));
                return ExitCode::from(2);
            }
        };
        run(bytes, window).await.unwrap_or_else(|error| {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        })
    }
}

/// Bytes and window; none if only help is wanted.
fn options() -> Result<Option<(u64, u64)>, lexopt::Error> {
    let (mut bytes, mut window) = (256 << 20, 1 << 20);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bytes") => bytes = parser.value()?.parse()?,
            Long("window") => window = parser.value()?.parse::<std::num::NonZero<u64>>()?.get(),
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some((bytes, window)))
}

async fn run(bytes: u64, window: u64) -> Result<ExitCode, Error> {
    let pool = Pool::create()?;
    pool.publish("bytes", Buffer::create(&pool, None, ())?.place())?;
    pool.publish("progress", Mutex::create(&pool, Progress { made: 0, taken: 0 })?.place())?;
    pool.publish("more", Condition::create(&pool)?.place())?;
    pool.publish("room", Condition::create(&pool)?.place())?;
    let start = Start::new().share("pipeline", &pool);

    let began = Instant::now();
    // If one fails the other is stopped: it would wait for ever.
    let (made, taken) = with_switch(async move |scope| {
        let made = scope.add(found(start.start(produce, (bytes, window))))?;
        let taken = scope.add(found(start.start(consume, bytes)))?;
        join!(made, taken).await
    })
    .await?;
    let speed = bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
    let told = |(bytes, sum)| format!("{bytes} bytes, CRC {sum:08x}");
    let shown = say(&format!("produced {}; consumed {}; {speed:.0} MB/s", told(made), told(taken)));
    Ok(if made == taken { shown } else { ExitCode::FAILURE })
}

/// What a worker has found, unless it fails.
fn found<T: 'static>(worker: Worker<Result<T, String>>) -> Promise<T> {
    worker.into_result().bind(|found| found.map_err(Error::msg).into())
}

/// The worker that makes the bytes: how many, and their checksum.
fn produce(bytes: u64, window: u64) -> Result<(u64, u32), String> {
    let work = || {
        let Shared { buffer, progress, more, room } = Shared::open()?;
        let mut sum = Hasher::new();
        let mut piece = vec![0; PIECE.min(window) as usize];
        let mut made = 0;
        while made < bytes {
            let taken = room.wait_while(progress.lock()?, |at| made - at.taken == window)?.taken;
            let n = (bytes - made).min(window - (made - taken)).min(PIECE);
            let piece = &mut piece[..n as usize];
            fill(piece, made);
            sum.update(piece);
            buffer.add(piece)?;
            made += n;
            progress.lock()?.made = made;
            more.notify();
        }
        Ok((made, sum.finalize()))
    };
    work().map_err(|error: ShmError| format!("the producer: {error}"))
}

/// The worker that takes them: how many came, and their checksum.
fn consume(bytes: u64) -> Result<(u64, u32), String> {
    let work = || {
        let Shared { buffer, progress, more, room } = Shared::open()?;
        let mut sum = Hasher::new();
        let mut piece = vec![0; PIECE as usize];
        let mut taken = 0;
        while taken < bytes {
            let made = more.wait_while(progress.lock()?, |at| at.made == taken)?.made;
            let n = (made - taken).min(PIECE);
            let piece = &mut piece[..n as usize];
            buffer.read(taken, piece)?;
            sum.update(piece);
            taken += n;
            buffer.delete_to(taken)?;
            progress.lock()?.taken = taken;
            room.notify();
        }
        Ok((taken, sum.finalize()))
    };
    work().map_err(|error: ShmError| format!("the consumer: {error}"))
}

/// What lies between them.
struct Shared {
    buffer: Buffer,
    progress: Mutex<Progress>,
    more: Condition,
    room: Condition,
}

impl Shared {
    fn open() -> Result<Shared, ShmError> {
        let pool = worker::shared("pipeline")?;
        let place = |name| pool.find(name).ok_or(ShmError::BadName);
        Ok(Shared {
            buffer: Buffer::open(&pool, place("bytes")?)?,
            progress: Mutex::open(&pool, place("progress")?)?,
            more: Condition::open(&pool, place("more")?)?,
            room: Condition::open(&pool, place("room")?)?,
        })
    }
}

/// Fills a piece that begins at a position with what stands there: bytes that repeat after 4 GiB only.
fn fill(piece: &mut [u8], position: u64) {
    for (at, byte) in (position..).zip(piece) {
        *byte = ((at as u32).wrapping_mul(0x9e37_79b1) >> 24) as u8;
    }
}

/// Prints a line on standard output. Who does not want to read it knows why.
fn say(line: &str) -> ExitCode {
    match writeln!(io::stdout().lock(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                complain(&format!("standard output: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints a line on standard error. If nobody reads that there is nobody to be told.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "pipeline: {text}");
}
