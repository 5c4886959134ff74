//! [`start`] and [`Start`]: a worker is asked for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, task};

use super::definition::{self, Process};
use super::failure::{Step, WorkerFailure};
use super::handle::Worker;
use super::life::{Life, Listener, Sentence, Way};
use super::value::Wire;
use super::wire::{Body, Packet};
use crate::shm::{Pool, Sweeper};

/// Has a worker call a function: see [`Start::start`].
///
/// ```standalone_crate
/// use lwt_preemptive::worker;
///
/// fn add(left: u64, right: u64) -> u64 {
///     left + right
/// }
///
/// lwt_preemptive::main! {
///     workers [add];
///     async fn main() -> Result<(), lwt_core::Error> {
///         let sum = worker::start(add, (40, 2));
///         assert_eq!(sum.await?, 42);
///         Ok(())
///     }
/// }
/// ```
pub fn start<F: Process<M>, M>(function: F, argument: F::Argument) -> Worker<F::Output> {
    Start::new().start(function, argument)
}

/// How a worker is started.
///
/// ```standalone_crate
/// use std::time::Duration;
/// use lwt_preemptive::shm::{Pool, Queue};
/// use lwt_preemptive::worker::{self, Start};
///
/// fn fill(many: u64) -> bool {
///     let pool = worker::shared("numbers").expect("the pool was given");
///     let queue: Queue<u64> = Queue::open(&pool, pool.find("queue").expect("published")).expect("a queue");
///     (0..many).all(|number| queue.push(number).is_ok())
/// }
///
/// lwt_preemptive::main! {
///     workers [fill];
///     async fn main() -> Result<(), lwt_core::Error> {
///         let pool = Pool::create()?;
///         let queue: Queue<u64> = Queue::create(&pool, None, ())?;
///         pool.publish("queue", queue.place())?;
///         let start = Start::new().grace(Duration::from_millis(100)).share("numbers", &pool);
///         assert!(start.start(fill, 3).await?);
///         assert_eq!(queue.pop()?, 0);
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone)]
#[must_use = "it is only a plan: `start` starts a worker"]
pub struct Start {
    way: Option<Way>,
    grace: Duration,
    memory: u64,
    nice: Option<i32>,
    passed: Vec<(String, Result<Rc<OwnedFd>, i32>)>,
    shared: Vec<Sweeper>,
    listener: Option<Listener>,
}

impl Start {
    /// A worker that is given two seconds to end when it is asked to, and no limits.
    pub fn new() -> Start {
        Start {
            way: super::executes().then_some(Way::Exec),
            grace: Duration::from_secs(2),
            memory: 0,
            nice: None,
            passed: Vec::new(),
            shared: Vec::new(),
            listener: None,
        }
    }

    /// How long the worker may take to end when it is [stopped](Worker::stop) or its promise is cancelled,
    /// before it is killed. Zero: it is killed at once.
    pub fn grace(mut self, time: Duration) -> Start {
        self.grace = time;
        self
    }

    /// How many bytes of memory the worker may have of its own (`RLIMIT_DATA`): a function that wants more
    /// ends by `SIGABRT`. Memory that is shared does not count.
    pub fn memory(mut self, bytes: u64) -> Start {
        self.memory = bytes;
        self
    }

    /// The niceness of the worker, from −20 to 19.
    pub fn nice(mut self, nice: i32) -> Start {
        self.nice = Some(nice);
        self
    }

    /// How the worker is made, whatever comes. Otherwise it is executed where the environment variable
    /// `LWT_WORKERS` is `exec`, where there is no zygote, or where that ends before it has made the worker;
    /// elsewhere it is a copy of the zygote.
    pub fn way(mut self, way: Way) -> Start {
        self.way = Some(way);
        self
    }

    /// Gives a duplicate of a descriptor to the worker, which [takes](super::passed) it by this name. That
    /// the process has no descriptor left is an error of the start.
    ///
    /// ```standalone_crate
    /// use lwt_preemptive::worker::{self, Start};
    /// use std::fs::File;
    /// use std::io::{Read, Write, pipe};
    ///
    /// fn greet(name: String) -> bool {
    ///     let Some(to) = worker::passed("to") else { return false };
    ///     write!(File::from(to), "hello, {name}").is_ok()
    /// }
    ///
    /// lwt_preemptive::main! {
    ///     workers [greet];
    ///     async fn main() -> Result<(), lwt_core::Error> {
    ///         let (mut from, to) = pipe()?;
    ///         let worker = Start::new().pass("to", to).start(greet, "ada".to_owned());
    ///         assert!(worker.await?);
    ///         let mut greeting = String::new();
    ///         from.read_to_string(&mut greeting)?; // to the end: nobody has the other end any more
    ///         assert_eq!(greeting, "hello, ada");
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn pass(mut self, name: impl Into<String>, file: impl AsFd) -> Start {
        let file = file.as_fd().try_clone_to_owned();
        let file = file.map(Rc::new).map_err(|error| error.raw_os_error().unwrap_or(libc::EMFILE));
        self.passed.push((name.into(), file));
        self
    }

    /// Gives the worker a pool of shared memory, to which it [attaches](super::shared) by this name. When the
    /// worker has ended without giving back what it had there the pool is [swept](Pool::sweep), before its
    /// failure is told.
    pub fn share(mut self, name: impl Into<String>, pool: &Pool) -> Start {
        self.shared.push(Sweeper::new(pool));
        self.pass(name, pool)
    }

    /// Messages go to `listener`, with the number of their job.
    pub(crate) fn on_message(mut self, listener: Listener) -> Start {
        self.listener = Some(listener);
        self
    }

    /// Has a worker, a process of its own, call `function`.
    ///
    /// The call returns at once; the worker comes to be, works and ends beside the loop. The promise of its
    /// [result](Worker::result) is rejected with a [`WorkerFailure`] if there is none: the start fails, the
    /// function is not [listed](super::init), it panics, the process ends.
    ///
    /// The plan may be used again.
    pub fn start<F: Process<M>, M>(&self, function: F, argument: F::Argument) -> Worker<F::Output> {
        let packets = self.packets(function, &argument);
        drop(argument);
        let life = Life::new(self.grace, self.listener.clone());
        let shared = self.shared.clone();
        // Before whoever waits for the end.
        life.ended().on_any(move |ended| {
            // In a fork there is none.
            if ended.is_ok() {
                shared.iter().for_each(Sweeper::sweep);
            }
        });
        let (promise, resolver) = task();
        let stopped = Rc::downgrade(&life);
        resolver.on_cancel(move || {
            if let Some(life) = stopped.upgrade() {
                life.stop(Sentence::Cancelled);
            }
        });
        let settle = move |outcome: Result<Body, Error>| {
            let result = outcome.and_then(|body| {
                F::Output::from_bytes(&body)
                    .map_err(|error| WorkerFailure::Decode(format!("the result: {error}")).into())
            });
            resolver.wakeup_result(result);
        };
        life.begin(self.way, packets, Box::new(settle));
        Worker::new(life, promise)
    }

    /// What the worker is sent.
    fn packets<F: 'static, A: Wire>(&self, _: F, argument: &A) -> Result<Vec<Packet>, WorkerFailure> {
        let function = definition::index_of::<F>()?;
        let mut packets = Vec::with_capacity(self.passed.len() + 1);
        for (name, file) in &self.passed {
            let file = file.as_ref().map_err(|errno| io::Error::from_raw_os_error(*errno));
            let file = file.and_then(|file| file.try_clone());
            packets.push(Packet::pass(name, file.map_err(|error| Step::Descriptor.failed(error))?));
        }
        let argument = argument.to_bytes().map_err(io::Error::other);
        let begin = argument.and_then(|argument| Packet::begin(function, self.memory, self.nice, argument));
        packets.push(begin.map_err(|error| Step::Argument.failed(error))?);
        Ok(packets)
    }
}

impl Default for Start {
    fn default() -> Start {
        Start::new()
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Start");
        out.field("way", &self.way).field("grace", &self.grace).field("memory", &self.memory);
        out.field("nice", &self.nice);
        out.field("passed", &self.passed.iter().map(|(name, _)| name).collect::<Vec<_>>()).finish()
    }
}
