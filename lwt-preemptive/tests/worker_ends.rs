//! Workers: how they end, and that nothing is left of them.

mod worker_common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lwt_core::{Error, State};
use lwt_preemptive::worker::{self, Message, Start, Way, WorkerFailure};
use lwt_preemptive::workers;
use lwt_unix::process::Status;
use lwt_unix::signal::{SIGKILL, SIGTERM, SIGUSR1};
use nix::sys::signal::{SigHandler, Signal};
use worker_common::{by, exists, failure, hang, until};

fn double(number: u64) -> u64 {
    2 * number
}

/// Does not end when it is asked to; says so when it is ready.
fn stubborn() {
    // SAFETY: no handler is installed.
    unsafe { nix::sys::signal::signal(Signal::SIGTERM, SigHandler::SigIgn) }.unwrap();
    worker::progress(&"ready".to_owned()).unwrap();
    hang();
}

/// Ends well when it is asked to.
async fn polite() -> String {
    let term = lwt_unix::signal::next(SIGTERM);
    worker::progress(&"ready".to_owned()).unwrap();
    term.await.unwrap();
    "good bye".to_owned()
}

/// Has a child in its group that has all of its descriptors.
#[expect(clippy::zombie_processes, reason = "it is killed with its parent")]
fn parent() {
    let child = Command::new("sleep").arg("3600").spawn().unwrap();
    worker::progress(&(child.id() as i32)).unwrap();
    hang();
}

/// Leaves a child behind that has this worker's end of the socket.
fn leaving() -> i32 {
    match unsafe_fork() {
        0 => {
            hang();
            0
        }
        child => child,
    }
}

#[expect(clippy::disallowed_methods, reason = "a child that has all of its parent's descriptors")]
fn unsafe_fork() -> i32 {
    // SAFETY: a child that does nothing.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => 0,
        nix::unistd::ForkResult::Parent { child } => child.as_raw(),
    }
}

/// Has a worker of its own, and tells its number.
fn nesting() {
    let ended = lwt_unix::run(async {
        let worker = worker::start(hang, ());
        let pid = worker.pid().await?.number();
        worker::progress(&pid)?;
        worker.await
    });
    drop(ended);
}

/// The number that a worker tells first.
async fn told<R: 'static>(worker: &worker::Worker<R>) -> Result<i32, Error> {
    match worker.messages().next().await? {
        Message::Progress(progress) => Ok(progress.decode()?),
        other => panic!("{other:?}"),
    }
}

async fn ready<R: 'static>(worker: &worker::Worker<R>) -> Result<(), Error> {
    match worker.messages().next().await? {
        Message::Progress(progress) => assert_eq!(progress.decode::<String>()?, "ready"),
        other => panic!("{other:?}"),
    }
    Ok(())
}

async fn a_cancel(way: Way) -> Result<(), Error> {
    let worker = by(way).start(hang, ());
    let pid = worker.pid().await?.number();
    let result = worker.result();
    result.cancel();
    assert!(matches!(result.state(), State::Rejected(error) if error.is_canceled()));
    assert!(worker.result().await.unwrap_err().is_canceled());
    assert_eq!(worker.ended().await?, Status::Signaled { signal: SIGTERM, core: false });
    assert!(!exists(pid));
    Ok(())
}

async fn a_cancel_at_once(way: Way) -> Result<(), Error> {
    let worker = by(way).start(hang, ());
    worker.result().cancel();
    assert!(!worker.ended().await?.success());
    Ok(())
}

async fn a_stubborn_worker(way: Way) -> Result<(), Error> {
    let worker = by(way).grace(Duration::from_millis(50)).start(stubborn, ());
    ready(&worker).await?;
    worker.stop();
    let error = worker.result().await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Cancelled), "{error:?}");
    assert_eq!(worker.ended().await?, Status::Signaled { signal: SIGKILL, core: false });
    Ok(())
}

async fn a_polite_worker(way: Way) -> Result<(), Error> {
    let worker = by(way).grace(Duration::from_secs(600)).start(polite, ());
    ready(&worker).await?;
    worker.stop();
    assert_eq!(worker.result().await?, "good bye");
    assert_eq!(worker.ended().await?, Status::Exited(0));
    Ok(())
}

async fn signals(way: Way) -> Result<(), Error> {
    let worker = by(way).start(hang, ());
    // Before it is there.
    worker.signal(SIGUSR1).unwrap();
    let error = worker.result().await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Signal { signal: SIGUSR1, core: false }), "{error:?}");
    assert_eq!(worker.signal(SIGUSR1).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    Ok(())
}

/// A kill ends the group.
async fn a_kill(way: Way) -> Result<(), Error> {
    let worker = by(way).start(parent, ());
    let child = told(&worker).await?;
    assert!(lives(child));
    worker.kill();
    assert!(worker.result().await.is_err());
    until(|| !lives(child)).await;
    Ok(())
}

/// The end of the process is the end, whoever else has its socket.
async fn a_child_that_stays(way: Way) -> Result<(), Error> {
    let worker = by(way).start(leaving, ());
    let child = worker.result().await?;
    assert_eq!(worker.ended().await?, Status::Exited(0));
    while worker.messages().get().await?.is_some() {}
    assert!(lives(child));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), Signal::SIGKILL)?;
    Ok(())
}

async fn exit_hooks(way: Way) -> Result<(), Error> {
    let start = by(way).grace(Duration::from_millis(50));
    let hanging = [start.start(hang, ()), start.start(stubborn, ()), start.start(hang, ())];
    ready(&hanging[1]).await?;
    let ended: Vec<i32> = {
        let mut pids = Vec::new();
        for worker in &hanging {
            pids.push(worker.pid().await?.number());
        }
        pids
    };
    // A worker that nobody has a handle of any more.
    drop(by(way).start(double, 1).into_result().catch(|_| lwt_core::Promise::ready(0)));
    lwt_unix::exit_hooks().run().await?;
    for worker in hanging {
        let error = worker.await.unwrap_err();
        assert!(matches!(failure(&error), WorkerFailure::OwnerGone), "{error:?}");
    }
    assert!(ended.iter().all(|pid| !exists(*pid)));
    assert_eq!(lwt_unix::process::wait_count(), 0);
    Ok(())
}

/// The loop of a thread ends, and nobody has run its exit hooks.
async fn a_loop_that_ends(way: Way) -> Result<(), Error> {
    let thread = std::thread::spawn(move || {
        let pid = lwt_unix::run(async move {
            let worker = by(way).start(stubborn, ());
            ready(&worker).await?;
            Ok::<_, Error>(worker.pid().await?.number())
        });
        pid.unwrap()
    });
    let pid = lwt_preemptive::detach(move || thread.join().unwrap()).await?;
    assert!(!exists(pid));
    Ok(())
}

async fn a_thousand_in_a_row(way: Way) -> Result<(), Error> {
    let many = if way == Way::Zygote { 1000 } else { 200 };
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    by(way).start(double, 0).await?;
    let before = descriptors();
    let mut last = Vec::new();
    for number in 0..many {
        let worker = by(way).start(double, number);
        assert_eq!(worker.result().await?, 2 * number);
        worker.ended().await?;
        last.push(worker.pid().await?.number());
    }
    until(|| descriptors() <= before).await;
    assert!(last.iter().all(|pid| !worker_common::children().contains(pid)));
    Ok(())
}

async fn many_at_once(way: Way) -> Result<(), Error> {
    let start = by(way);
    let workers: Vec<_> = (0..64).map(|number| start.start(double, number)).collect();
    for (number, worker) in workers.into_iter().enumerate() {
        assert_eq!(worker.await?, 2 * number as u64);
    }
    Ok(())
}

/// Loops of several threads start workers at the same time.
async fn several_loops(way: Way) -> Result<(), Error> {
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            std::thread::spawn(move || {
                for number in 0..10 {
                    let result = lwt_unix::run(by(way).start(double, thread * number).into_result());
                    assert_eq!(result.unwrap(), 2 * thread * number);
                }
                lwt_unix::run(lwt_unix::exit_hooks().run()).unwrap();
            })
        })
        .collect();
    lwt_preemptive::detach(|| threads.into_iter().for_each(|thread| thread.join().unwrap())).await
}

/// Workers that are killed at any moment of their lives, before they are born included.
async fn random_kills(way: Way) -> Result<(), Error> {
    let seed = std::env::var("LWT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    let mut state = seed;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (start, before) = (by(way), descriptors());
    let slowest = if way == Way::Zygote { 600 } else { 4000 };
    let (mut finished, mut killed) = (0, 0);
    for number in 0..300 {
        let worker = start.start(double, number);
        let delay = Duration::from_micros(below(slowest));
        match below(4) {
            0 => worker.kill(),
            1 => worker.result().cancel(),
            how => {
                lwt_unix::sleep(delay).await?;
                if how == 2 { worker.kill() } else { worker.stop() }
            }
        }
        match worker.result().await {
            Ok(value) => {
                assert_eq!(value, 2 * number);
                finished += 1;
            }
            Err(error) if error.is_canceled() => killed += 1,
            Err(error) => match failure(&error) {
                WorkerFailure::Signal { signal: SIGKILL, .. } | WorkerFailure::Cancelled => killed += 1,
                _ => panic!("{error:?}, seed {seed}"),
            },
        }
        worker.ended().await?;
    }
    assert!(killed > 0 && finished + killed == 300, "seed {seed}");
    assert_eq!(lwt_unix::process::wait_count(), 0);
    until(|| descriptors() <= before).await;
    Ok(())
}

/// Whether the process runs: a zombie does not.
fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The program is killed: its workers, theirs, and the zygote end.
async fn the_program_is_killed(way: Way) -> Result<(), Error> {
    let way = if way == Way::Zygote { "zygote" } else { "exec" };
    let mut command = Command::new(std::env::current_exe()?);
    let program = command.env("LWT_WORKERS", way).arg("be-killed").stdout(Stdio::piped()).spawn()?;
    let mut program = Killed(program);
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let line = lwt_preemptive::detach(move || lines.next().unwrap()).await??;
    let pids: Vec<i32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() >= 6, "{pids:?}");
    assert!(pids.iter().all(|pid| lives(*pid)), "{pids:?}");
    program.0.kill()?;
    until(|| pids.iter().all(|pid| !lives(*pid))).await;
    Ok(())
}

/// A program that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// What that program does: five workers, one of them with a worker, their numbers and those of all children.
async fn be_killed() -> Result<(), Error> {
    let mut workers: Vec<_> = (0..4).map(|_| Start::new().start(stubborn, ())).collect();
    workers.push(Start::new().start(nesting, ()));
    let mut pids = vec![told(&workers[4]).await?];
    for worker in &workers[..4] {
        ready(worker).await?;
    }
    pids.extend(worker_common::children());
    println!("{}", pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    lwt_core::join!(lwt_unix::sleep(Duration::from_secs(3600)), workers.remove(0).into_result()).await?;
    Ok(())
}

/// The zygote is killed: workers are executed from then on, unless that is not what was asked for.
async fn the_zygote_is_killed(way: Way) -> Result<(), Error> {
    if way == Way::Zygote {
        let output = Command::new(std::env::current_exe()?).arg("lose-zygote").output()?;
        assert!(output.status.success(), "{output:?}");
    }
    Ok(())
}

async fn lose_zygote() -> Result<(), Error> {
    let worker = worker::start(double, 1);
    assert_eq!(worker.result().await?, 2);
    worker.ended().await?;
    let [zygote] = worker_common::children()[..] else { panic!("one child") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(zygote), Signal::SIGKILL)?;
    until(|| !lives(zygote)).await;
    let error = by(Way::Zygote).start(double, 2).await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Start { .. }), "{error:?}");
    assert_eq!(worker::start(double, 3).await?, 6);
    until(|| !exists(zygote)).await;
    Ok(())
}

/// Ctrl-C, which goes to all of the terminal's group: the program hears of it, and its workers do not.
async fn an_interrupt(way: Way) -> Result<(), Error> {
    use std::os::unix::process::CommandExt;

    let mut command = Command::new(std::env::current_exe()?);
    if way == Way::Exec {
        command.env("LWT_WORKERS", "exec");
    }
    let mut program = Killed(command.arg("drain").process_group(0).stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let (ready, mut lines) = lwt_preemptive::detach(move || (lines.next(), lines)).await?;
    assert_eq!(ready.unwrap()?, "ready");
    let group = nix::unistd::Pid::from_raw(program.0.id() as i32);
    nix::sys::signal::killpg(group, Signal::SIGINT)?;
    let drained = lwt_preemptive::detach(move || lines.next()).await?;
    assert_eq!(drained.unwrap()?, "4200");
    let end = lwt_unix::process::waitpid(lwt_unix::process::WaitFlags::NONE, group.as_raw()).await?;
    assert_eq!(end.map(|(_, status)| status), Some(Status::Exited(0)));
    Ok(())
}

/// What that program does: once interrupted, it lets its worker finish, and starts another one.
async fn drain() -> Result<(), Error> {
    let interrupt = lwt_unix::signal::next(lwt_unix::signal::SIGINT);
    let worker = worker::start(slowly, 4000);
    ready(&worker).await?;
    println!("ready");
    interrupt.await?;
    worker.pass("go", std::io::stderr()).await?;
    println!("{}", worker.await? + worker::start(double, 100).await?);
    Ok(())
}

/// A fork of the program has none of its workers, disturbs none, and can have workers itself.
async fn a_fork(way: Way) -> Result<(), Error> {
    if way == Way::Zygote {
        let output = Command::new(std::env::current_exe()?).arg("fork").output()?;
        assert!(output.status.success(), "{output:?}");
    }
    Ok(())
}

async fn fork_beside_a_worker() -> Result<(), Error> {
    use lwt_unix::process::{Fork, WaitFlags, fork, waitpid};

    let worker = worker::start(slowly, 7);
    ready(&worker).await?;
    match fork()? {
        Fork::Child => {
            assert!(worker.pass("go", std::io::stderr()).await.is_err());
            let error = worker.result().await.unwrap_err();
            assert!(matches!(failure(&error), WorkerFailure::OwnerGone), "{error:?}");
            worker.kill();
            assert_eq!(worker::start(double, 4).await?, 8);
            assert!(worker_common::by(Way::Zygote).start(double, 4).await.is_err());
        }
        Fork::Parent(child) => {
            let ended = waitpid(WaitFlags::NONE, child).await?;
            assert_eq!(ended, Some((child, Status::Exited(0))));
            worker.pass("go", std::io::stderr()).await?;
            assert_eq!(worker.await?, 7);
        }
    }
    lwt_unix::exit_hooks().run().await
}

/// A fork while workers are asked for: each is made for the parent, and once.
async fn a_fork_meanwhile(way: Way) -> Result<(), Error> {
    if way == Way::Zygote {
        let output = Command::new(std::env::current_exe()?).arg("fork-meanwhile").output()?;
        assert!(output.status.success(), "{output:?}");
    }
    Ok(())
}

async fn fork_while_asking() -> Result<(), Error> {
    use lwt_unix::process::{Fork, WaitFlags, fork, waitpid};

    let [zygote] = worker_common::children()[..] else { panic!("one child") };
    let stopped = nix::unistd::Pid::from_raw(zygote);
    nix::sys::signal::kill(stopped, Signal::SIGSTOP)?;
    // More than there is room for: some have not been asked for yet.
    let workers: Vec<_> = (0..340).map(|number| worker::start(double, number)).collect();
    match fork()? {
        Fork::Child => {
            assert!(workers[0].pass("file", std::io::stderr()).await.is_err());
            // The last one has waited for room.
            let error = workers[339].result().await.unwrap_err();
            assert!(matches!(failure(&error), WorkerFailure::OwnerGone), "{error:?}");
        }
        Fork::Parent(child) => {
            lwt_unix::sleep(Duration::from_millis(100)).await?;
            // It has gone if that took long.
            let _ = nix::sys::signal::kill(stopped, Signal::SIGCONT);
            for (number, worker) in (0..).zip(workers) {
                assert_eq!(worker.result().await?, 2 * number);
                worker.ended().await?;
            }
            let ended = waitpid(WaitFlags::NONE, child).await?;
            assert_eq!(ended, Some((child, Status::Exited(0))));
            assert!(worker_common::children().len() <= 1);
        }
    }
    Ok(())
}

/// Works until it is told to go on.
fn slowly(number: u64) -> u64 {
    worker::progress(&"ready".to_owned()).unwrap();
    while worker::passed("go").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    number
}

fn main() {
    worker::init(workers![slowly, double, stubborn, polite, parent, leaving, nesting, hang]);
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "be-killed" => lwt_unix::run(be_killed()).unwrap(),
        "drain" => lwt_unix::run(drain()).unwrap(),
        "fork" => lwt_unix::run(fork_beside_a_worker()).unwrap(),
        "fork-meanwhile" => lwt_unix::run(fork_while_asking()).unwrap(),
        "lose-zygote" => lwt_unix::run(lose_zygote()).unwrap(),
        _ => worker_common::main(both_ways![
            a_cancel,
            a_cancel_at_once,
            a_stubborn_worker,
            a_polite_worker,
            signals,
            a_kill,
            a_child_that_stays,
            exit_hooks,
            a_loop_that_ends,
            a_thousand_in_a_row,
            many_at_once,
            several_loops,
            random_kills,
            the_program_is_killed,
            an_interrupt,
            a_fork,
            a_fork_meanwhile,
            the_zygote_is_killed,
        ]),
    }
}
