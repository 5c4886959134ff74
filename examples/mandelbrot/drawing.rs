//! What the program and its workers share, and what a worker does.

use lwt::Error;
use lwt::shm::{Matrix, Pool, PoolOptions, Queue, ShmError};
use lwt::worker::{self, Start};

/// The name by which workers know the memory.
const MEMORY: &str = "mandelbrot";
/// What is in the matrix where nothing has been drawn. No point takes so many steps.
pub(crate) const UNDRAWN: u32 = u32::MAX;

/// The memory.
pub(crate) struct Drawing {
    /// The numbers of the rows that nobody has taken.
    pub(crate) rows: Queue<u32>,
    /// How many steps each point takes.
    pub(crate) picture: Matrix<u32>,
}

impl Drawing {
    /// A new one, and what starts workers that have it, so many at a time.
    pub(crate) fn create(width: u32, height: u32, workers: usize) -> Result<(Drawing, Start), Error> {
        // This process has the memory, too.
        let pool = PoolOptions::new().processes(workers as u32 + 1).create()?;
        let rows = Queue::create(&pool, None, ())?;
        let picture = Matrix::create(&pool, height as usize, width as usize, UNDRAWN, ())
            .map_err(|error| Error::msg(format!("{width} × {height} points: {error}")))?;
        pool.publish("rows", rows.place())?;
        pool.publish("picture", picture.place())?;
        Ok((Drawing { rows, picture }, Start::new().share(MEMORY, &pool)))
    }

    /// The same in a worker.
    fn find(pool: &Pool) -> Result<Drawing, ShmError> {
        let place = |name| pool.find(name).ok_or(ShmError::BadName);
        Ok(Drawing {
            rows: Queue::open(pool, place("rows")?)?,
            picture: Matrix::open(pool, place("picture")?)?,
        })
    }

    /// The rows that are not in the picture.
    pub(crate) fn undrawn(&self) -> Result<Vec<u32>, ShmError> {
        let (rows, columns) = self.picture.dim()?;
        let mut undrawn = Vec::new();
        for row in 0..rows {
            // The last point is written last.
            if self.picture.get(row, columns - 1)? == Some(UNDRAWN) {
                undrawn.push(row as u32);
            }
        }
        Ok(undrawn)
    }
}

/// A worker: computes rows until there are none left.
pub(crate) fn draw_rows(width: u32, height: u32, iterations: u32) -> Result<(), String> {
    compute_rows(width, height, iterations).map_err(|error| error.to_string())
}

fn compute_rows(width: u32, height: u32, iterations: u32) -> Result<(), Error> {
    let Drawing { rows, picture } = Drawing::find(&worker::shared(MEMORY)?)?;
    while let Some(row) = rows.try_pop()? {
        picture.set_row(row as usize, &steps(row, width, height, iterations))?;
        worker::progress(&row)?;
    }
    Ok(())
}

/// How many steps each point of a row takes to leave the circle of radius 2, `iterations` at most.
pub(crate) fn steps(row: u32, width: u32, height: u32, iterations: u32) -> Vec<u32> {
    // The whole set is to be seen, whichever side of the picture is the longer one.
    let scale = (3.0 / f64::from(width)).max(2.4 / f64::from(height));
    let im = (f64::from(height) / 2.0 - f64::from(row) - 0.5) * scale;
    let point = |column| {
        let re = (f64::from(column) + 0.5 - f64::from(width) / 2.0) * scale - 0.75;
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
    };
    (0..width).map(point).collect()
}
