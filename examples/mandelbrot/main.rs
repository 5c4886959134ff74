//! The Mandelbrot set, drawn by worker processes into one matrix in shared memory.
//!
//! ```text
//! cargo run --release --example mandelbrot -- --width 1600 --height 1200 --workers 4 --out mandelbrot.png
//! ```
//!
//! 1. The numbers of the rows lie in a shared queue. Each worker takes one, computes it and puts it into the
//!    matrix, until there are none: so nobody waits for the slowest.
//! 2. The file has the same bytes for any number of workers.
//! 3. A worker that is killed takes the row with it that it was computing. When all have ended, rows that are
//!    not there are put into the queue once more, for new workers; until there are all, or there is not one
//!    more than before.
//! 4. If standard error is a terminal, a bar shows how many rows there are.

mod drawing;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use indicatif::ProgressBar;
use lexopt::prelude::*;
use lwt::shm::Matrix;
use lwt::worker::{Message, Worker};
use lwt::{Error, detach, spawn};

use drawing::{Drawing, UNDRAWN, draw_rows};

const HELP: &str = "\
mandelbrot: draws the Mandelbrot set in worker processes

Usage: mandelbrot [--width N] [--height N] [--iterations N] [--workers N] --out FILE.png

  --width N, --height N   the size of the picture (800, 600)
  --iterations N          after how many steps a point counts as inside (1000)
  --workers N             how many processes compute, 1000 at most (the number of processors)
  --out FILE.png          where to write it
";

const MOST_WORKERS: usize = 1000;

lwt::main! {
    workers [draw_rows];

    async fn main() -> ExitCode {
        let options = match Options::read() {
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
        match draw(options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

struct Options {
    width: u32,
    height: u32,
    iterations: u32,
    workers: usize,
    out: PathBuf,
}

impl Options {
    /// None if only help is wanted.
    fn read() -> Result<Option<Options>, lexopt::Error> {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let mut options = Options { width: 800, height: 600, iterations: 1000, workers, out: PathBuf::new() };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("width") => options.width = parser.value()?.parse::<NonZero<u32>>()?.get(),
                Long("height") => options.height = parser.value()?.parse::<NonZero<u32>>()?.get(),
                Long("iterations") => options.iterations = parser.value()?.parse()?,
                Long("workers") => options.workers = parser.value()?.parse::<NonZero<usize>>()?.get(),
                Long("out") => options.out = parser.value()?.into(),
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        if options.out.as_os_str().is_empty() {
            return Err("--out FILE.png is missing".into());
        }
        if options.workers > MOST_WORKERS {
            return Err(format!("--workers {}: {MOST_WORKERS} at most", options.workers).into());
        }
        if options.iterations == UNDRAWN {
            return Err("that many iterations are too many".into());
        }
        Ok(Some(options))
    }
}

/// Has the picture drawn, and writes it.
async fn draw(options: Options) -> Result<(), Error> {
    let Options { width, height, iterations, workers, out } = options;
    let (drawing, start) = Drawing::create(width, height, workers)?;
    // Who cannot write it need not draw it. A picture that is there stays until this one has been drawn.
    open(&out, File::options().append(true).create(true)).await?;

    let bar = ProgressBar::new(u64::from(height)); // which is hidden where there is no terminal
    let mut missing: Vec<u32> = (0..height).collect();
    while !missing.is_empty() {
        drawing.rows.clear()?; // if nobody is left who takes them
        for row in &missing {
            drawing.rows.push(*row)?;
        }
        bar.set_position(u64::from(height) - missing.len() as u64);
        let ends: Vec<_> = (0..workers.min(missing.len()))
            .map(|_| spawn(follow(start.start(draw_rows, (width, height, iterations)), bar.clone())))
            .collect();
        for end in ends {
            if let Err(error) = end.await {
                bar.suspend(|| complain(&format!("a worker: {error:#}")));
            }
        }
        let before = missing.len();
        missing = drawing.undrawn()?;
        if missing.len() == before {
            return Err(Error::msg(format!("{before} rows could not be drawn")));
        }
    }
    bar.finish_and_clear();
    let file = open(&out, File::options().write(true).create(true).truncate(true)).await?;
    detach(move || write(&drawing.picture, iterations, file).map_err(|error| about(&out, error))).await?
}

/// Shows what a worker has done, until it has ended.
async fn follow(worker: Worker<Result<(), String>>, bar: ProgressBar) -> Result<(), Error> {
    // A message for each row.
    let shown = worker.messages().iter(move |message| {
        bar.inc(match message {
            Message::Progress(_) => 1,
            Message::Lost(many) => many,
            _ => 0,
        });
    });
    let ended = worker.into_result().await;
    shown.await?;
    ended?.map_err(Error::msg)
}

async fn open(out: &Path, how: &OpenOptions) -> Result<File, Error> {
    let (out, how) = (out.to_owned(), how.clone());
    detach(move || how.open(&out).map_err(|error| about(&out, error.into()))).await?
}

/// Writes the picture, row by row.
fn write(picture: &Matrix<u32>, iterations: u32, file: File) -> Result<(), Error> {
    let (rows, columns) = picture.dim()?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), columns as u32, rows as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut encoder = encoder.write_header()?;
    let mut image = encoder.stream_writer()?;
    for row in 0..rows {
        let row = picture.row(row)?.unwrap_or_default();
        let colours: Vec<u8> = row.into_iter().flat_map(|steps| colour(steps, iterations)).collect();
        image.write_all(&colours)?;
    }
    image.finish()?;
    encoder.finish()?;
    Ok(())
}

/// An error with the name of the file that it is about.
fn about(file: &Path, error: Error) -> Error {
    Error::msg(format!("{}: {error}", file.display()))
}

/// A colour for a number of steps: three waves of different lengths; black if the point is inside.
fn colour(steps: u32, iterations: u32) -> [u8; 3] {
    if steps == iterations {
        return [0, 0, 0];
    }
    [5, 7, 11].map(|speed| {
        let at = steps.wrapping_mul(speed) % 512;
        if at < 256 { at as u8 } else { (511 - at) as u8 }
    })
}

/// Prints a line on standard error. If nobody reads that there is nobody to be told.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "mandelbrot: {text}");
}
