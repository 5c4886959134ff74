//! [`Program`]: a child process that cannot outlive or outwait its test.
//!
//! 1. It is killed and waited for when it is dropped, so that nothing is left behind when a test fails.
//! 2. It is killed when the [limit](crate::LIMIT) is over. All waits of this module end with it, so a test
//!    that hangs fails instead.
//! 3. Its number is only used while it has not been waited for, and so cannot be another's.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::{LIMIT, until};

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Arc<Mutex<Child>>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
    /// Dropped when the watchdog is to go home.
    _watched: Sender<()>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it printed on standard output and was not read before.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
}

/// Has programs begin with the usual answer to Ctrl-C, which a script's background jobs do not have: they
/// ignore it, and pass that on.
fn interruptible() {
    // SAFETY: the default action is no handler that could run foreign code.
    unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.expect("SIGINT may be handled");
}

impl Program {
    /// Starts a program, with its outputs as pipes to us.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Program {
        Program::start_as_is(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts a program with the outputs that the command has.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start_as_is(command: &mut Command) -> Program {
        interruptible();
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = child.stdout.take().map(BufReader::new);
        // Read beside everything else, so that the program never waits for us.
        let stderr = child.stderr.take().map(|mut pipe| {
            thread::spawn(move || {
                let mut text = Vec::new();
                let _ = pipe.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        let child = Arc::new(Mutex::new(child));
        let (watched, over) = mpsc::channel();
        let watchdog = Arc::clone(&child);
        thread::spawn(move || {
            if over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                eprintln!("the program hangs and is killed");
                let _ = lock(&watchdog).kill();
            }
        });
        Program { child, stdout, stderr, _watched: watched }
    }

    /// The next line of its standard output, without its end; empty if there is none any more.
    ///
    /// # Panics
    /// If its standard output is not ours to read, or not text.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().expect("a pipe").read_line(&mut line).expect("text");
        line.trim_end_matches('\n').to_owned()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it has ended and was waited for.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let mut child = lock(&self.child);
        assert!(matches!(child.try_wait(), Ok(None)), "it has ended");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
        kill(pid, signal).expect("a child of our own");
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// How many descriptors it has open.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        self.descriptor_numbers().len()
    }

    /// The numbers of the descriptors that it has open.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn descriptor_numbers(&self) -> Vec<usize> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a living process");
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// The processor time that it has used.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn cpu_time(&self) -> Duration {
        let fields = stat(i32::try_from(self.pid()).expect("a process number"));
        let ticks = fields.iter().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks"));
        let ticks: u64 = ticks.sum();
        assert!(!fields.is_empty(), "it has ended");
        let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().expect("a clock");
        Duration::from_secs_f64(ticks as f64 / per_second as f64)
    }

    /// The processes that its main thread has for children.
    pub fn children(&self) -> Vec<i32> {
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Those of its children that are heads of groups of their own: its workers.
    pub fn workers(&self) -> Vec<i32> {
        let mut workers = self.children();
        workers.retain(|pid| stat(*pid).get(2) == Some(&pid.to_string()));
        workers
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If its output is not text.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let mut stdout = String::new();
        if let Some(mut pipe) = self.stdout.take() {
            pipe.read_to_string(&mut stdout).expect("text");
        }
        let mut ended = None;
        until("the end of the program", || {
            ended = lock(&self.child).try_wait().expect("a child of our own");
            ended.is_some()
        });
        let stderr = self.stderr.take().map_or_else(String::new, |reader| reader.join().unwrap_or_default());
        Ended { status: ended.expect("it has ended"), stdout, stderr }
    }
}

/// Whether this process is there and has not ended. (One that has ended and is an orphan may stay in the list
/// of processes for a while.)
pub fn runs(pid: i32) -> bool {
    stat(pid).first().is_some_and(|state| !["Z", "X"].contains(&state.as_str()))
}

/// What `/proc` says of a process behind its name, from the state on; nothing if there is none.
fn stat(pid: i32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name is in brackets and may be anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().map(str::to_owned).collect()
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A test that has failed elsewhere must not keep us from tidying up.
fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ended {
    /// Checks the exit code.
    ///
    /// # Panics
    /// If it is another.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Ended {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }
}
