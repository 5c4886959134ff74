//! The third digest of each file: processes of their own read and hash it.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use lwt::Error;
use lwt::worker::pool::{self, Pool};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::digest::{self, Digest};
use crate::options::Options;
use crate::report::Report;

/// After so many workers in a row that could not be had, or have died, it is given up.
const FAILURES: usize = 5;

/// How long the workers may take to end. They have nothing to do then.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Workers {
    /// None if there are to be no workers.
    pool: Option<Pool>,
    /// How many digests are to come before a worker is killed, if one is.
    until_kill: Cell<Option<usize>>,
    report: Rc<Report>,
}

impl Workers {
    /// Starts the workers. If one of them is to be killed, that is when half of so many files are done.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub(crate) fn start(files: usize, options: &Options, report: &Rc<Report>) -> Result<Workers, Error> {
        // Reading a file twice does no harm: what a worker was at when it died is done again.
        let pool = match options.workers.min(files) {
            0 => None,
            many => Some(Pool::new(pool::Options::new().workers(many).retry(3).failures(FAILURES))?),
        };
        let until_kill = Cell::new(options.kill_one.then_some(files / 2));
        Ok(Workers { pool, until_kill, report: Rc::clone(report) })
    }

    /// The digest of a file, as a worker finds it; none if there are no workers.
    pub(crate) async fn digest(&self, path: &Path) -> Result<Option<Digest>, Error> {
        let Some(pool) = &self.pool else { return Ok(None) };
        let found = pool.submit(of_file, path.as_os_str().as_bytes().to_vec()).await?;
        match self.until_kill.get() {
            Some(0) => self.kill_one(pool),
            left => self.until_kill.set(left.map(|left| left - 1)),
        }
        let (bytes, sum) = found.map_err(Error::msg)?;
        Ok(Some(Digest { bytes, sum }))
    }

    fn kill_one(&self, pool: &Pool) {
        // It has not been waited for as long as the pool lists it.
        if let Some(worker) = pool.pids().first()
            && kill(Pid::from_raw(worker.number()), Signal::SIGKILL).is_ok()
        {
            self.until_kill.set(None);
            self.report.note(&format!("worker {worker} has been killed"));
        }
    }

    /// Ends the workers.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        let Some(pool) = &self.pool else { return Ok(()) };
        pool.shutdown(PATIENCE).await?;
        match pool.stats().retried {
            0 => {}
            files => self.report.note(&format!("another worker has done what it was at (files: {files})")),
        }
        Ok(())
    }
}

/// What a worker does: [`digest::of_file`], whose values it sends.
pub(crate) fn of_file(path: Vec<u8>) -> Result<(u64, [u8; 32]), String> {
    let digest = digest::of_file(Path::new(&OsString::from_vec(path))).map_err(|error| error.to_string())?;
    Ok((digest.bytes, digest.sum))
}
