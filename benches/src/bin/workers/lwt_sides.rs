//! This library's side of each row.

use std::hint::black_box;
use std::time::Instant;

use lwt::Error;
use lwt::worker::pool::{Filled, Options, Pool};
use lwt::worker::{self, Start};
use lwt_benches::sides::Outcome;

pub use lwt::worker::Way;

use super::mandelbrot::draw_rows;

/// How a long result comes.
pub enum Form {
    /// Read where the worker has written it.
    InPlace,
    /// As a vector.
    Copied,
}

/// The numbers of a result of 64 MiB.
pub const NUMBERS: usize = 8 << 20;

fn one() -> i32 {
    1
}

fn back(bytes: Filled<u8>) -> Filled<u8> {
    bytes
}

fn filled(many: usize) -> Filled<u64> {
    Filled::new(many, |numbers| numbers.iter_mut().zip(0..).for_each(|(number, value)| *number = value))
}

fn vector(many: usize) -> Vec<u64> {
    (0..many as u64).collect()
}

/// First of all, in every process of this program; workers do not return from it.
pub fn init() {
    worker::init(lwt::workers![one, back, filled, vector, draw_rows]);
}

/// In the main loop.
pub fn run(work: impl Future<Output = Result<f64, Error>> + 'static) -> Outcome {
    lwt::run(work).map_err(|error| error.to_string())
}

/// `ballast` bytes are resident.
pub fn start(way: Way, ballast: usize) -> Outcome {
    let ballast = black_box(vec![1_u8; ballast]);
    run(async move {
        let start = Start::new().way(way);
        let mut begin = Instant::now();
        const TIMES: u32 = 200;
        for turn in 0..TIMES + 20 {
            if turn == 20 {
                begin = Instant::now();
            }
            let worker = start.start(one, ());
            assert_eq!(worker.result().await?, 1);
            worker.ended().await?;
        }
        let took = begin.elapsed();
        drop(ballast);
        Ok(took.as_nanos() as f64 / f64::from(TIMES))
    })
}

/// Messages of so many bytes to one worker and back, so many at a time.
pub fn echo(bytes: usize, flying: u64) -> Outcome {
    run(async move {
        let pool = Pool::new(Options::new().workers(1).ahead(64))?;
        let message = vec![7_u8; bytes];
        let times = if flying == 1 { 20_000 } else { 400_000 };
        let mut took = 0.0;
        for times in [times / 10, times] {
            let begin = Instant::now();
            let tasks = (0..flying).map(|_| {
                let (pool, message) = (pool.clone(), message.clone());
                lwt::spawn(async move {
                    for _ in 0..times / flying {
                        let back = pool.submit(back, Filled::from(message.clone())).await?;
                        assert_eq!(back.len(), message.len());
                    }
                    Ok::<(), Error>(())
                })
            });
            lwt::all(tasks).await?;
            took = begin.elapsed().as_nanos() as f64 / times as f64;
        }
        Ok(took)
    })
}

/// 64 MiB filled in, and summed here.
pub fn result(form: Form) -> Outcome {
    run(async move {
        let pool = Pool::new(Options::new().workers(1))?;
        let expected = (NUMBERS as u64 - 1) * NUMBERS as u64 / 2;
        const TIMES: u32 = 10;
        let mut begin = Instant::now();
        for turn in 0..TIMES + 3 {
            if turn == 3 {
                begin = Instant::now();
            }
            let sum: u64 = match form {
                Form::InPlace => {
                    let numbers = pool.call().in_place(filled, NUMBERS).await?;
                    numbers.iter().map(|number| number.to_native()).sum()
                }
                Form::Copied => pool.submit(vector, NUMBERS).await?.iter().sum(),
            };
            assert_eq!(sum, expected);
        }
        Ok(begin.elapsed().as_nanos() as f64 / f64::from(TIMES))
    })
}
