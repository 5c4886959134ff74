//! Files that are cached: wall time, for most sides use threads.

use std::ffi::CString;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smol::io::AsyncReadExt as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::PLAIN;
use crate::harness::Row;
use crate::libuv::{self, Flight, Turn};
use crate::measure::{Failure, Measure, Outcome, WallWatch};
use crate::runtimes::{on_lwt, on_smol, on_tokio, smol_spawn};

/// A block of the large file.
const BLOCK: usize = 64 << 10;
/// Its length: 1 GiB, over all operations of a row, is read in turns.
const LARGE: u64 = 64 << 20;
/// How many small files there are, and how long they are.
const SMALL: u64 = 2000;
const PAGE: usize = 4096;
/// How many are in flight.
const FLYING: u64 = 256;

pub const ROWS: [Row; 5] = [
    Row {
        name: "file-read",
        what: "4 KiB of an open file, one after the other",
        ops: 50_000,
        goal: Some("450"),
        lwt: |ops| lwt_blocks(ops, PAGE),
        tokio: Some(|ops| tokio_blocks(ops, PAGE)),
        smol: Some(|ops| smol_blocks(ops, PAGE)),
        floor: Some(|ops| std_blocks(ops, PAGE)),
        ..PLAIN
    },
    Row {
        name: "file-read-gib",
        what: "1 GiB of an open file in blocks of 64 KiB",
        aside: Some("GB per second"),
        ops: (1 << 30) / BLOCK as u64,
        lwt: |ops| lwt_blocks(ops, BLOCK),
        tokio: Some(|ops| tokio_blocks(ops, BLOCK)),
        smol: Some(|ops| smol_blocks(ops, BLOCK)),
        floor: Some(|ops| std_blocks(ops, BLOCK)),
        ..PLAIN
    },
    Row {
        name: "file-stat",
        what: "stat of 2000 paths, 256 in flight",
        ops: 102_400,
        lwt: |ops| lwt_small(ops, |path| async move { lwt::file::stat(&*path).await.map(|_| ()) }),
        tokio: Some(|ops| {
            tokio_small(ops, |path| async move { tokio::fs::metadata(&*path).await.map(drop) })
        }),
        smol: Some(|ops| smol_small(ops, |path| async move { smol::fs::metadata(&*path).await.map(drop) })),
        libuv: Some(|ops| libuv_small(ops, Flight::stat)),
        floor: Some(|ops| std_small(ops, |path| std::fs::metadata(path).map(drop))),
        ..PLAIN
    },
    Row {
        name: "file-small",
        what: "2000 files of 4 KiB, each read by the call for that, 256 in flight",
        ops: 51_200,
        lwt: |ops| lwt_small(ops, |path| async move { full(lwt::file::read(&*path).await?.len()) }),
        tokio: Some(|ops| tokio_small(ops, |path| async move { tokio::fs::read(&*path).await.map(drop) })),
        smol: Some(|ops| smol_small(ops, |path| async move { smol::fs::read(&*path).await.map(drop) })),
        floor: Some(|ops| std_small(ops, |path| std::fs::read(path).map(drop))),
        ..PLAIN
    },
    Row {
        name: "file-open-read-close",
        what: "the same files, each opened, read and closed",
        ops: 50_000,
        lwt: |ops| lwt_small(ops, lwt_open_read_close),
        tokio: Some(|ops| tokio_small(ops, tokio_open_read_close)),
        smol: Some(|ops| smol_small(ops, smol_open_read_close)),
        libuv: Some(|ops| libuv_small(ops, Flight::open_read_close)),
        floor: Some(|ops| std_small(ops, std_open_read_close)),
        ..PLAIN
    },
];

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("lwt-benches-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    /// The large file, cached.
    fn large(&self) -> std::io::Result<PathBuf> {
        let path = self.0.join("large");
        std::fs::write(&path, vec![7; LARGE as usize])?;
        std::fs::read(&path)?;
        Ok(path)
    }

    /// The small files, cached.
    fn small(&self) -> std::io::Result<Arc<[Arc<Path>]>> {
        let paths: Vec<Arc<Path>> =
            (0..SMALL).map(|number| Arc::from(self.0.join(number.to_string()))).collect();
        for path in &paths {
            std::fs::write(path, [7; PAGE])?;
        }
        Ok(paths.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays; the figures are right all the same.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn full(len: usize) -> Result<(), lwt::Error> {
    if len == PAGE { Ok(()) } else { Err(lwt::Error::msg(format!("{len} bytes"))) }
}

/// With the rate as the second figure.
fn rated(watch: WallWatch, ops: u64, block: usize) -> Measure {
    let measure = watch.per(ops);
    if block == PAGE { measure } else { Measure::of(measure.value).beside(block as f64 / measure.value) }
}

fn lwt_blocks(ops: u64, block: usize) -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.large()?;
    on_lwt(async move {
        let file = lwt::file::File::open(&path).await?;
        let mut buf = vec![0; block];
        let watch = WallWatch::start();
        for _ in 0..ops {
            if file.read(&mut buf).await? == 0 {
                file.seek(SeekFrom::Start(0)).await?;
            }
        }
        Ok(rated(watch, ops, block))
    })
}

fn tokio_blocks(ops: u64, block: usize) -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.large()?;
    on_tokio(async move {
        let mut file = tokio::fs::File::open(&path).await?;
        let mut buf = vec![0; block];
        let watch = WallWatch::start();
        for _ in 0..ops {
            if file.read(&mut buf).await? == 0 {
                file.seek(SeekFrom::Start(0)).await?;
            }
        }
        Ok(rated(watch, ops, block))
    })
}

fn smol_blocks(ops: u64, block: usize) -> Outcome {
    let scratch = Scratch::new()?;
    let path = scratch.large()?;
    on_smol(async move {
        let mut file = smol::fs::File::open(&path).await?;
        let mut buf = vec![0; block];
        let watch = WallWatch::start();
        for _ in 0..ops {
            if file.read(&mut buf).await? == 0 {
                smol::io::AsyncSeekExt::seek(&mut file, SeekFrom::Start(0)).await?;
            }
        }
        Ok(rated(watch, ops, block))
    })
}

fn std_blocks(ops: u64, block: usize) -> Outcome {
    let scratch = Scratch::new()?;
    let mut file = std::fs::File::open(scratch.large()?)?;
    let mut buf = vec![0; block];
    let watch = WallWatch::start();
    for _ in 0..ops {
        if file.read(&mut buf)? == 0 {
            file.seek(SeekFrom::Start(0))?;
        }
    }
    Ok(rated(watch, ops, block))
}

/// The path of an operation, spread over all files.
fn path_of(paths: &[Arc<Path>], task: u64, turn: u64) -> Arc<Path> {
    paths[((turn * FLYING + task) % SMALL) as usize].clone()
}

fn lwt_small<F>(ops: u64, f: impl Fn(Arc<Path>) -> F + Copy + 'static) -> Outcome
where
    F: Future<Output = Result<(), lwt::Error>> + 'static,
{
    let scratch = Scratch::new()?;
    let paths = scratch.small()?;
    on_lwt(async move {
        let each = ops / FLYING;
        let watch = WallWatch::start();
        let one = |task: u64| {
            let paths = Arc::clone(&paths);
            async move {
                for turn in 0..each {
                    f(path_of(&paths, task, turn)).await?;
                }
                Ok::<(), lwt::Error>(())
            }
        };
        let tasks: Vec<_> = (0..FLYING).map(|task| lwt::spawn(one(task))).collect();
        for task in tasks {
            task.await?;
        }
        Ok(watch.per(each * FLYING))
    })
}

fn tokio_small<F>(ops: u64, f: impl Fn(Arc<Path>) -> F + Copy + Send + Sync + 'static) -> Outcome
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let scratch = Scratch::new()?;
    let paths = scratch.small()?;
    on_tokio(async move {
        let each = ops / FLYING;
        let watch = WallWatch::start();
        let one = |task: u64| {
            let paths = Arc::clone(&paths);
            async move {
                for turn in 0..each {
                    f(path_of(&paths, task, turn)).await?;
                }
                Ok::<(), std::io::Error>(())
            }
        };
        let tasks: Vec<_> = (0..FLYING).map(|task| tokio::spawn(one(task))).collect();
        for task in tasks {
            task.await??;
        }
        Ok(watch.per(each * FLYING))
    })
}

fn smol_small<F>(ops: u64, f: impl Fn(Arc<Path>) -> F + Copy + 'static) -> Outcome
where
    F: Future<Output = std::io::Result<()>> + 'static,
{
    let scratch = Scratch::new()?;
    let paths = scratch.small()?;
    on_smol(async move {
        let each = ops / FLYING;
        let watch = WallWatch::start();
        let one = |task: u64| {
            let paths = Arc::clone(&paths);
            async move {
                for turn in 0..each {
                    f(path_of(&paths, task, turn)).await?;
                }
                Ok::<(), Failure>(())
            }
        };
        let tasks: Vec<_> = (0..FLYING).map(|task| smol_spawn(one(task))).collect();
        for task in tasks {
            task.await?;
        }
        Ok(watch.per(each * FLYING))
    })
}

fn libuv_small(ops: u64, turn: Turn) -> Outcome {
    let scratch = Scratch::new()?;
    let paths = scratch.small()?;
    let paths = paths.iter().map(|path| CString::new(path.as_os_str().as_bytes()));
    let paths = paths.collect::<Result<Arc<[_]>, _>>().map_err(std::io::Error::from)?;
    let each = ops / FLYING;
    let watch = WallWatch::start();
    libuv::fly(FLYING, each, turn, &paths)?;
    Ok(watch.per(each * FLYING))
}

fn std_small(ops: u64, f: impl Fn(&Path) -> std::io::Result<()>) -> Outcome {
    let scratch = Scratch::new()?;
    let paths = scratch.small()?;
    let watch = WallWatch::start();
    for op in 0..ops {
        f(&path_of(&paths, op % FLYING, op / FLYING))?;
    }
    Ok(watch.per(ops))
}

async fn lwt_open_read_close(path: Arc<Path>) -> Result<(), lwt::Error> {
    let file = lwt::file::File::open(&*path).await?;
    let mut buf = [0; PAGE];
    full(file.read(&mut buf).await?)?;
    file.close().await
}

async fn tokio_open_read_close(path: Arc<Path>) -> std::io::Result<()> {
    let mut file = tokio::fs::File::open(&*path).await?;
    let mut buf = [0; PAGE];
    file.read_exact(&mut buf).await.map(drop)
}

async fn smol_open_read_close(path: Arc<Path>) -> std::io::Result<()> {
    let mut file = smol::fs::File::open(&*path).await?;
    let mut buf = [0; PAGE];
    file.read_exact(&mut buf).await
}

fn std_open_read_close(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut buf = [0; PAGE];
    file.read_exact(&mut buf)
}
