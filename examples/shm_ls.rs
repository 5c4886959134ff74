//! Lists pools of shared memory, what is in them and who has it, and removes what dead programs have left.
//!
//! ```text
//! cargo run --release --example shm_ls                             # the pools of all processes of this user
//! cargo run --release --example shm_ls -- --pid 4711               # those of one process
//! cargo run --release --example shm_ls -- --clean /run/user/1000   # paths too, and clean up
//! ```
//!
//! 1. A pool has no name, so it is found by the descriptors that processes have of it. It goes with the last
//!    of them: nothing of it can be left behind. What the dead held in one that lives is settled by `--clean`.
//! 2. A path at which a program served a pool is left behind if the program is killed. `DIR`s are looked
//!    through for such paths; `--clean` removes those whose server is dead, and no others.
//! 3. What cannot be looked at is told on standard error, and the exit code is 1.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use lexopt::prelude::*;
use lwt::shm::{FoundPool, Holder, Pool, Rendezvous, ShmError};

const HELP: &str = "\
shm_ls: pools of shared memory, what is in them, and who has it

Usage: shm_ls [--clean] [--pid PID] [DIR...]

  --clean    settle what dead processes left in pools, and remove the paths of dead servers
  --pid PID  only the pools that this process has
  DIR        where to look for paths at which pools are served
";

#[derive(Default)]
struct Options {
    clean: bool,
    pid: Option<u32>,
    directories: Vec<OsString>,
}

fn read_options() -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("clean") => options.clean = true,
            Long("pid") => options.pid = Some(arguments.value()?.parse()?),
            Short('h') | Long("help") => return Ok(None),
            Value(directory) => options.directories.push(directory),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}

fn main() -> ExitCode {
    let options = match read_options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("shm_ls: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    let mut listing = Listing { out: io::stdout().lock(), clean: options.clean, failed: false };
    match listing.all(&options) {
        Ok(()) if !listing.failed => ExitCode::SUCCESS,
        // Whoever read our output has gone, and knows why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("shm_ls: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Listing<W> {
    out: W,
    clean: bool,
    failed: bool,
}

impl<W: Write> Listing<W> {
    fn all(&mut self, options: &Options) -> io::Result<()> {
        let pools = Pool::find_all().unwrap_or_else(|error| {
            self.complain("/proc", &error);
            Vec::new()
        });
        let wanted = |found: &&FoundPool| {
            options.pid.is_none_or(|pid| found.processes.iter().any(|(of, _)| *of == pid))
        };
        for found in pools.iter().filter(wanted) {
            match found.attach() {
                Ok(pool) => self.pool(found, &pool)?,
                Err(error) => self.complain(&format!("pool {}", found.inode), &error),
            }
        }
        for directory in &options.directories {
            let shown = directory.to_string_lossy();
            match Rendezvous::find_in(directory) {
                Ok(paths) => {
                    for found in paths {
                        let path = found.path.display();
                        let state = match found.served {
                            true => "served",
                            false if !self.clean => "left by a dead program",
                            false => match Rendezvous::clean(&found.path) {
                                Ok(true) => "left by a dead program, removed",
                                Ok(false) => "served",
                                Err(error) => {
                                    self.complain(&path.to_string(), &error);
                                    "left by a dead program"
                                }
                            },
                        };
                        writeln!(self.out, "path {path}: {state}")?;
                    }
                }
                Err(error) => self.complain(&shown, &error),
            }
        }
        Ok(())
    }

    fn pool(&mut self, found: &FoundPool, pool: &Pool) -> io::Result<()> {
        let stats = pool.stats();
        writeln!(
            self.out,
            "pool {}: {} bytes of at most {}; {} in {} blocks, {} free, {} retired",
            found.inode, stats.reserved, stats.limit, stats.used, stats.blocks, stats.free, stats.retired
        )?;
        let me = std::process::id();
        for holder in pool.holders().into_iter().filter(|holder| holder.pid != me) {
            writeln!(self.out, "  process {}, {} pins", named(&holder), holder.pins)?;
        }
        for structure in pool.structures() {
            write!(self.out, "  {} of {} bytes", structure.kind, structure.bytes)?;
            if let Some(name) = &structure.name {
                write!(self.out, ", {name:?}")?;
            }
            if let Some(holder) = &structure.holder {
                write!(self.out, ", held by process {}", named(holder))?;
            }
            writeln!(self.out)?;
        }
        if self.clean {
            match pool.sweep() {
                Ok(0) => {}
                Ok(dead) => writeln!(self.out, "  settled what {dead} dead processes left")?,
                Err(error) => self.complain(&format!("pool {}", found.inode), &error),
            }
        }
        Ok(())
    }

    fn complain(&mut self, about: &str, error: &ShmError) {
        self.failed = true;
        // With standard error closed there is nobody to tell.
        let _ = writeln!(io::stderr(), "shm_ls: {about}: {error}");
    }
}

fn named(holder: &Holder) -> String {
    match (holder.pid, holder.alive) {
        (0, _) => "that is gone".to_owned(),
        (pid, true) => pid.to_string(),
        (pid, false) => format!("{pid} (dead)"),
    }
}
