//! A producer and a consumer, two processes with a buffer, a mutex and two conditions in shared memory between
//! them.
//!
//! ```text
//! cargo run --release --example pipeline -- --bytes 1000000000 --window 1048576
//! ```
//!
//! The producer is never more than a window ahead. Both count their bytes and compute their CRC-32, and the last line
//! says what both found, and how fast they were. The exit code is 1 if they do not agree, or if one of them
//! dies; the other is stopped then.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use crc32fast::Hasher;
use lexopt::prelude::*;
use lwt::shm::{Buffer, Condition, Mutex, Pool, ShmError};
use lwt::worker::{self, Start};
use lwt::{Error, join};

const HELP: &str = "\
pipeline: sends bytes from one process to another through shared memory

Usage: pipeline [--bytes B] [--window W]

  --bytes B    how many (256 MiB)
  --window W   how many may be under way (1 MiB)
";

/// How much the producer makes at a time, at most.
const PIECE: u64 = 256 * 1024;

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
                eprintln!("pipeline: {error}; see --help");
                return ExitCode::from(2);
            }
        };
        run(bytes, window).await.unwrap_or_else(|error| {
            eprintln!("pipeline: {error}");
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
    let producer = start.start(produce, (bytes, window));
    let consumer = start.start(consume, bytes);
    let (made, taken) = (producer.result(), consumer.result());
    // Who is left alone would wait for ever.
    made.on_failure(move |_| consumer.stop());
    taken.on_failure(move |_| producer.stop());
    let (made, taken) = join!(made, taken).await?;
    let (made, taken) = (made.map_err(Error::msg)?, taken.map_err(Error::msg)?);
    let speed = bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
    writeln!(
        io::stdout(),
        "produced {} bytes, CRC {:08x}; consumed {} bytes, CRC {:08x}; {speed:.0} MB/s",
        made.0,
        made.1,
        taken.0,
        taken.1
    )?;
    Ok(if made == taken { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The worker that makes the bytes: how many, and their checksum.
fn produce(bytes: u64, window: u64) -> Result<(u64, u32), String> {
    let work = || {
        let Shared { buffer, progress, more, room } = Shared::open()?;
        let (mut source, mut sum) = (Source(1), Hasher::new());
        let mut piece = vec![0; PIECE.min(window) as usize];
        let mut made = 0;
        while made < bytes {
            let full = |at: &Progress| at.made - at.taken >= window;
            let free = window - { room.wait_while(progress.lock()?, full)?.ahead() };
            let n = free.min(bytes - made).min(piece.len() as u64);
            let piece = &mut piece[..n as usize];
            source.fill(piece);
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
        let (mut taken, mut sum) = (0, Hasher::new());
        let mut piece = vec![0; PIECE as usize];
        while taken < bytes {
            let empty = |at: &Progress| at.made == at.taken;
            drop(more.wait_while(progress.lock()?, empty)?);
            while let Some(n @ 1..) = buffer.read(taken, &mut piece)? {
                sum.update(&piece[..n]);
                taken += n as u64;
                buffer.delete_to(taken)?;
            }
            progress.lock()?.taken = taken;
            room.notify();
        }
        Ok((taken, sum.finalize()))
    };
    work().map_err(|error: ShmError| format!("the consumer: {error}"))
}

impl Progress {
    fn ahead(&self) -> u64 {
        self.made - self.taken
    }
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

/// Bytes that repeat only after a very long time (xorshift).
struct Source(u64);

impl Source {
    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]);
        }
    }
}
