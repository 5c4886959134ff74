//! All clients: the files shared out among them, and the comparing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use lwt::{Error, job, join, spawn};

use crate::client::{Client, Failure};
use crate::digest;
use crate::options::Options;
use crate::report::Report;
use crate::tree::Entry;
use crate::workers::Workers;

/// What the clients share. They are tasks of one thread, so no lock is needed.
struct Work {
    dir: Arc<Path>,
    /// The files that no client has in hand.
    files: RefCell<VecDeque<Entry>>,
    workers: Rc<Workers>,
    /// Whether the user knows that there is no connection to the server.
    told: Cell<bool>,
    report: Rc<Report>,
}

/// Downloads every file from `server` and compares it with the one on disk. What is wrong is told to
/// `report`.
///
/// # Errors
/// Only if a client fell over its own feet.
pub(crate) async fn all(
    files: Vec<Entry>,
    server: SocketAddr,
    options: &Options,
    workers: &Rc<Workers>,
    report: &Rc<Report>,
) -> Result<(), Error> {
    let clients = options.connections.min(files.len());
    let work = Rc::new(Work {
        dir: options.dir.as_path().into(),
        files: RefCell::new(files.into()),
        workers: Rc::clone(workers),
        told: Cell::new(false),
        report: Rc::clone(report),
    });
    // Each begins at once, and runs up to its first wait before the next is made.
    join((0..clients).map(|_| spawn(Rc::clone(&work).run(Client::new(server, options.patience))))).await?;
    match work.files.borrow().len() {
        0 => {}
        left => report.problem(&format!("{left} files were not downloaded")),
    }
    Ok(())
}

impl Work {
    /// One client: takes files until none is left. If it cannot connect it gives its file back to those who
    /// can.
    async fn run(self: Rc<Work>, mut client: Client) -> Result<(), Error> {
        while let Some(file) = self.next() {
            if let Err(error) = self.compare(&mut client, &file).await {
                self.files.borrow_mut().push_front(file);
                if !self.told.replace(true) {
                    self.report.problem(&error.to_string());
                }
                break;
            }
        }
        Ok(())
    }

    fn next(&self) -> Option<Entry> {
        self.files.borrow_mut().pop_front()
    }

    /// Downloads and compares one file.
    ///
    /// # Errors
    /// If there is no connection to the server.
    async fn compare(self: &Rc<Work>, client: &mut Client, file: &Entry) -> Result<(), Error> {
        // The job and the worker are under way from here on, and the download beside them.
        let path: Arc<Path> = self.dir.join(&file.path).into();
        let by_worker = spawn({
            let (work, path) = (Rc::clone(self), Arc::clone(&path));
            async move { work.workers.digest(&path).await }
        });
        let on_disk = job::detach_result(move || digest::of_file(&path));
        let downloaded = client.download(&file.path, |bytes| self.report.progress(bytes)).await;
        let name = &file.path;
        let downloaded = match downloaded {
            Err(Failure::NoServer(error)) => {
                on_disk.cancel();
                by_worker.cancel();
                return Err(error);
            }
            Err(Failure::NoFile(error)) => Err(error),
            Ok(digest) => Ok(digest),
        };
        match (on_disk.await, by_worker.await, downloaded) {
            (Ok(disk), Ok(worker), Ok(download)) => {
                // Without workers there are only two of them.
                let worker = worker.unwrap_or(disk);
                if disk == download && disk == worker {
                    self.report.agrees(disk.bytes);
                } else {
                    self.report.problem(&format!(
                        "{name:?}: differs: on disk {disk}; downloaded {download}; by a worker {worker}"
                    ));
                }
            }
            // If it cannot be read here, that is also why the others did not get it.
            (Err(error), _, _) | (Ok(_), Err(error), _) | (Ok(_), Ok(_), Err(error)) => {
                self.report.problem(&format!("{name:?}: {error:#}"));
            }
        }
        Ok(())
    }
}
