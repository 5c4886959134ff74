//! The SHA-256 of every file of a tree, computed on threads: the same lines, in the same order, as
//! `find DIR -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum`.
//!
//! ```text
//! cargo run --release --example detach_hash -- --jobs 4 /usr/share > sums
//! cargo run --release --example detach_hash -- --inline /usr/share > sums   # on the loop's own thread
//! ```
//!
//! 1. One job lists the tree. Then each file is a job of a pool of `--jobs` threads, so many files ahead of
//!    the output that a big one keeps no thread idle.
//! 2. Lines are printed in the order of the names, each as soon as all before it are.
//! 3. What cannot be read is told at the end, on standard error, and the exit code is 1. If the output cannot
//!    be written, the jobs under way are cancelled, and notice between two pieces of a file.
//! 4. If standard error is a terminal, and standard output is none, a bar shows the progress.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Read, StdoutLock, Write};
use std::num::NonZero;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lexopt::prelude::*;
use lwt::job::{self, Pool};
use lwt::{Error, Promise, detach, domain};
use nix::libc;
use sha2::{Digest, Sha256};

const HELP: &str = "\
detach_hash: the SHA-256 of every file of a tree, as sha256sum prints it

Usage: detach_hash [--jobs N] [--inline] [DIR...]

  --jobs N   how many threads compute (the number of processors)
  --inline   compute on the loop's own thread, which then does nothing else: to compare
  DIR        where to look (.); a file is taken as it is
";

/// How much of a file is read at a time.
const PIECE: usize = 64 * 1024;
/// How many files per thread are under way before the next line is printed.
const AHEAD: usize = 8;

fn main() -> ExitCode {
    let done = match Options::read() {
        Ok(None) => io::stdout().write_all(HELP.as_bytes()).map(|()| ExitCode::SUCCESS).map_err(Error::from),
        Ok(Some(options)) => lwt::run(hash_all(options)),
        Err(error) => {
            eprintln!("detach_hash: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        // Whoever read our output has gone, and knows why.
        if error.io_kind() != Some(io::ErrorKind::BrokenPipe) {
            eprintln!("detach_hash: {error}");
        }
        ExitCode::FAILURE
    })
}

struct Options {
    jobs: usize,
    inline: bool,
    roots: Vec<PathBuf>,
}

impl Options {
    /// None if only help is wanted.
    fn read() -> Result<Option<Options>, lexopt::Error> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let mut options = Options { jobs: processors, inline: false, roots: Vec::new() };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("jobs") => options.jobs = parser.value()?.parse::<NonZero<usize>>()?.get(),
                Long("inline") => options.inline = true,
                Short('h') | Long("help") => return Ok(None),
                Value(root) => options.roots.push(root.into()),
                _ => return Err(argument.unexpected()),
            }
        }
        if options.roots.is_empty() {
            options.roots.push(PathBuf::from("."));
        }
        Ok(Some(options))
    }
}

/// Prints a line for each file, and tells what could not be read.
async fn hash_all(options: Options) -> Result<ExitCode, Error> {
    let pool = domain::setup_pool(options.jobs);
    let roots = options.roots;
    let Tree { files, mut problems } = detach(move || Tree::list(roots)).await?;
    let bar = progress(files.len());
    let mut output = Output(BufWriter::new(io::stdout().lock()));
    let mut ahead = VecDeque::new();
    let mut files = files.into_iter();
    let window = if options.inline { 1 } else { options.jobs.saturating_mul(AHEAD) };
    loop {
        while ahead.len() < window
            && let Some(path) = files.next()
        {
            let sum = start(&pool, options.inline, path.clone());
            ahead.push_back((path, sum));
        }
        let Some((path, sum)) = ahead.pop_front() else { break };
        match sum.await {
            Ok(sum) => {
                if let Err(error) = output.line(&path, &sum) {
                    ahead.iter().for_each(|(_, sum)| sum.cancel());
                    return Err(error.into());
                }
            }
            Err(error) => problems.push(format!("{}: {error}", path.display())),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    output.0.flush()?;
    for problem in &problems {
        eprintln!("detach_hash: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Begins to compute the sum of a file.
fn start(pool: &Pool, inline: bool, path: PathBuf) -> Promise<[u8; 32]> {
    if inline {
        return sum_of(&path).map_or_else(Promise::fail, Promise::ready);
    }
    pool.detach_result(move || sum_of(&path))
}

/// Reads and hashes a file. This blocks.
fn sum_of(path: &Path) -> io::Result<[u8; 32]> {
    // Without waiting for the other end, if a pipe should stand there by now.
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let (mut state, mut piece) = (Sha256::new(), vec![0; PIECE]);
    while !job::is_cancelled() {
        match file.read(&mut piece) {
            Ok(0) => return Ok(state.finalize().into()),
            Ok(n) => state.update(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("nobody wants to know any more"))
}

/// The regular files below some paths, in the order of their names' bytes.
#[derive(Default)]
struct Tree {
    files: Vec<PathBuf>,
    /// What could not be looked at, and why.
    problems: Vec<String>,
}

impl Tree {
    /// Lists them; links are not followed. This blocks.
    fn list(roots: Vec<PathBuf>) -> Tree {
        let mut tree = Tree::default();
        for root in roots {
            match fs::symlink_metadata(&root) {
                Ok(about) if about.is_dir() => tree.descend(root),
                Ok(about) if about.is_file() => tree.files.push(root),
                Ok(_) => {}
                Err(error) => tree.problem(&root, &error),
            }
        }
        tree.files.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        tree
    }

    fn descend(&mut self, root: PathBuf) {
        // A stack of our own, so that no depth of nesting is too deep.
        let mut open = vec![root];
        while let Some(dir) = open.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) => {
                    self.problem(&dir, &error);
                    continue;
                }
            };
            for entry in entries {
                let looked = entry.and_then(|entry| Ok((entry.file_type()?, entry.file_name())));
                match looked {
                    Ok((kind, name)) if kind.is_dir() => open.push(below(&dir, name)),
                    Ok((kind, name)) if kind.is_file() => self.files.push(below(&dir, name)),
                    Ok(_) => {}
                    Err(error) => self.problem(&dir, &error),
                }
            }
        }
    }

    fn problem(&mut self, path: &Path, error: &io::Error) {
        self.problems.push(format!("{}: {error}", path.display()));
    }
}

/// The path as `find` writes it: `Path::join` would make another of `.`, and of a path that ends with more
/// than one bar.
fn below(dir: &Path, name: OsString) -> PathBuf {
    let mut path = dir.as_os_str().as_bytes().to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    PathBuf::from(OsString::from_vec(path))
}

struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    /// A line as `sha256sum` prints it: one with a backslash, or an end of line, in the name begins with a
    /// backslash and has them escaped.
    fn line(&mut self, path: &Path, sum: &[u8; 32]) -> io::Result<()> {
        let name = path.as_os_str().as_bytes();
        let mut digits = String::with_capacity(64);
        for byte in sum {
            // Writing into a string does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        let escapes = name.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
        write!(self.0, "{}{digits}  ", if escapes { "\\" } else { "" })?;
        for byte in name {
            match byte {
                b'\\' => self.0.write_all(b"\\\\"),
                b'\n' => self.0.write_all(b"\\n"),
                b'\r' => self.0.write_all(b"\\r"),
                byte => self.0.write_all(&[*byte]),
            }?;
        }
        self.0.write_all(b"\n")
    }
}

/// A bar for so many files; hidden where it would get in the way.
fn progress(files: usize) -> ProgressBar {
    let target =
        if io::stdout().is_terminal() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(files as u64), target);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} files, {eta} left") {
        Ok(style) => bar.with_style(style),
        // The template is a constant; the usual style shows as much.
        Err(_) => bar,
    }
}
