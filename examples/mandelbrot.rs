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

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use indicatif::ProgressBar;
use lexopt::prelude::*;
use lwt::shm::{Matrix, PoolOptions, Queue, ShmError};
use lwt::worker::{self, Message, Start, Worker};
use lwt::{Error, detach, spawn};

const HELP: &str = "\
mandelbrot: draws the Mandelbrot set in worker processes

Usage: mandelbrot [--width N] [--height N] [--iterations N] [--workers N] --out FILE.png

  --width N, --height N   the size of the picture (800, 600)
  --iterations N          after how many steps a point counts as inside (1000)
  --workers N             how many processes compute, 1000 at most (the number of processors)
  --out FILE.png          where to write it
";

/// What is in the matrix where nothing has been drawn. No point takes so many steps.
const UNDRAWN: u32 = u32::MAX;
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
    // Who cannot write it need not draw it.
    let file = open(out.clone()).await?;
    // This process has the memory, too.
    let pool = PoolOptions::new().processes(workers as u32 + 1).create()?;
    let rows: Queue<u32> = Queue::create(&pool, None, ())?;
    let picture: Matrix<u32> = Matrix::create(&pool, height as usize, width as usize, UNDRAWN, ())
        .map_err(|error| Error::msg(format!("{width} × {height} points: {error}")))?;
    pool.publish("rows", rows.place())?;
    pool.publish("picture", picture.place())?;
    let start = Start::new().share("mandelbrot", &pool);

    let bar = ProgressBar::new(u64::from(height)); // which is hidden where there is no terminal
    let mut missing: Vec<u32> = (0..height).collect();
    while !missing.is_empty() {
        rows.clear()?; // if nobody is left who takes them
        for row in &missing {
            rows.push(*row)?;
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
        missing = undrawn(&picture)?;
        if missing.len() == before {
            return Err(Error::msg(format!("{before} rows could not be drawn")));
        }
    }
    bar.finish_and_clear();
    detach(move || write(&picture, iterations, file).map_err(|error| about(&out, error))).await?
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

/// The rows that are not in the picture.
fn undrawn(picture: &Matrix<u32>) -> Result<Vec<u32>, ShmError> {
    let (rows, columns) = picture.dim()?;
    let mut undrawn = Vec::new();
    for row in 0..rows {
        // The last point is written last.
        if picture.get(row, columns - 1)? == Some(UNDRAWN) {
            undrawn.push(row as u32);
        }
    }
    Ok(undrawn)
}

/// A worker: computes rows until there are none left.
fn draw_rows(width: u32, height: u32, iterations: u32) -> Result<(), String> {
    compute_rows(width, height, iterations).map_err(|error| error.to_string())
}

fn compute_rows(width: u32, height: u32, iterations: u32) -> Result<(), Error> {
    let pool = worker::shared("mandelbrot")?;
    let place = |name| pool.find(name).ok_or(ShmError::BadName);
    let rows: Queue<u32> = Queue::open(&pool, place("rows")?)?;
    let picture: Matrix<u32> = Matrix::open(&pool, place("picture")?)?;
    while let Some(row) = rows.try_pop()? {
        let steps: Vec<u32> =
            (0..width).map(|column| steps(column, row, width, height, iterations)).collect();
        picture.set_row(row as usize, &steps)?;
        worker::progress(&row)?;
    }
    Ok(())
}

/// How many steps the point in a column and row takes to leave the circle of radius 2, `iterations` at most.
fn steps(column: u32, row: u32, width: u32, height: u32, iterations: u32) -> u32 {
    // The whole set is to be seen, whichever side of the picture is the longer one.
    let scale = (3.0 / f64::from(width)).max(2.4 / f64::from(height));
    let re = (f64::from(column) + 0.5 - f64::from(width) / 2.0) * scale - 0.75;
    let im = (f64::from(height) / 2.0 - f64::from(row) - 0.5) * scale;
    let (mut x, mut y) = (0.0, 0.0);
    for step in 0..iterations {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return step;
        }
        y = 2.0 * x * y + im;
        x = xx - yy + re;
    }
    iterations
}

async fn open(out: PathBuf) -> Result<File, Error> {
    detach(move || File::create(&out).map_err(|error| about(&out, error.into()))).await?
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
