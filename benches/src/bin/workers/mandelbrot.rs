//! The picture of the example `mandelbrot`, without its file, by worker processes and by threads.

#[path = "../../../../examples/mandelbrot/drawing.rs"]
mod drawing;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use lwt::Error;
use lwt_benches::sides::Outcome;

use drawing::{Drawing, steps};

pub(crate) use drawing::draw_rows;

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 1200;
const ITERATIONS: u32 = 1000;

/// From the start of the workers to the end of the last one.
pub fn workers(count: usize) -> Outcome {
    super::lwt_sides::run(async move {
        let begin = Instant::now();
        let (drawing, start) = Drawing::create(WIDTH, HEIGHT, count)?;
        for row in 0..HEIGHT {
            drawing.rows.push(row)?;
        }
        let ends: Vec<_> =
            (0..count).map(|_| start.start(draw_rows, (WIDTH, HEIGHT, ITERATIONS)).into_result()).collect();
        for end in ends {
            end.await?.map_err(Error::msg)?;
        }
        let took = begin.elapsed();
        assert!(drawing.undrawn()?.is_empty());
        Ok(took.as_nanos() as f64)
    })
}

/// The limit: threads of one process, which take the next row by counting.
pub fn threads(count: usize) -> Outcome {
    let next = AtomicU32::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                loop {
                    let row = next.fetch_add(1, Ordering::Relaxed);
                    if row >= HEIGHT {
                        break;
                    }
                    black_box(steps(row, WIDTH, HEIGHT, ITERATIONS));
                }
            });
        }
    });
    Ok(begin.elapsed().as_nanos() as f64)
}
