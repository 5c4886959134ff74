//! Workers: what the world around a program does to them. Each test is a program of its own.

mod worker_common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lwt_core::Error;
use lwt_preemptive::worker::{self, Step, Way, WorkerFailure};
use lwt_preemptive::workers;
use lwt_unix::faults::{InForce, Plan, Rule};
use lwt_unix::process::Status;
use lwt_unix::signal::{SIGKILL, SIGTERM};
use nix::sys::signal::{SigHandler, Signal, kill};
use nix::unistd::Pid;
use worker_common::{by, children, failure, hang, until};

fn double(number: u64) -> u64 {
    2 * number
}

fn exits(code: i32) {
    #[expect(clippy::disallowed_methods, reason = "a worker that ends by itself")]
    std::process::exit(code);
}

fn users() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// Becomes another user, and works for ever.
fn becomes_another() {
    nix::unistd::setgid(65534.into()).unwrap();
    nix::unistd::setuid(65534.into()).unwrap();
    worker::end_with_program().unwrap();
    worker::progress(&()).unwrap();
    hang();
}

/// Closes all that it has, its socket too, and goes on.
fn closes(then_hangs: bool) {
    worker::progress(&()).unwrap();
    // SAFETY: nobody in this worker uses them any more.
    unsafe { libc::syscall(libc::SYS_close_range, 3, i32::MAX, 0) };
    if then_hangs {
        hang();
    }
}

extern "C" fn never_ends() {
    hang();
}

/// Gives its result, and does not end.
fn stays() -> u64 {
    // SAFETY: the function is one of C's.
    unsafe { libc::atexit(never_ends) };
    1
}

/// Leaves its group, in which a child stays.
#[expect(clippy::zombie_processes, reason = "its end is theirs")]
fn leaves_its_group() -> i32 {
    let child = Command::new("sleep").arg("3600").spawn().unwrap();
    let mut other = Command::new("sleep").arg("3600").process_group(0).spawn().unwrap();
    nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(other.id() as i32)).unwrap();
    other.kill().unwrap();
    worker::progress(&(child.id() as i32)).unwrap();
    hang();
    0
}

/// A program that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// This program, in another role.
fn role(role: &str, way: Way) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(role).env("LWT_WORKERS", if way == Way::Zygote { "zygote" } else { "exec" });
    command
}

/// Runs a role to its end.
async fn plays(name: &'static str, way: Way) -> Result<(), Error> {
    let output = lwt_preemptive::detach(move || role(name, way).output()).await??;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}

/// Where the system discards children, as some starters of programs have it.
async fn discarded_children(way: Way) -> Result<(), Error> {
    plays("discard", way).await
}

async fn discard() -> Result<(), Error> {
    for code in 1..20 {
        let error = worker::start(exits, code).await.unwrap_err();
        assert!(matches!(failure(&error), WorkerFailure::Exit(found) if *found == code), "{error:?}");
        assert_eq!(worker::start(double, 4).await?, 8);
    }
    Ok(())
}

/// A program that was started with `SIGTERM` ignored: its workers end by it all the same.
async fn an_ignored_signal(way: Way) -> Result<(), Error> {
    let mut command = role("ignoring", way);
    let ignoring = move || {
        // SAFETY: no handler.
        unsafe { nix::sys::signal::signal(Signal::SIGTERM, SigHandler::SigIgn) }?;
        Ok(())
    };
    // SAFETY: a system call.
    unsafe { command.pre_exec(ignoring) };
    let output = lwt_preemptive::detach(move || command.output()).await??;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}

async fn ignoring() -> Result<(), Error> {
    let worker = worker::Start::new().grace(Duration::from_secs(3600)).start(hang, ());
    worker.pid().await?;
    worker.stop();
    assert_eq!(worker.ended().await?, Status::Signaled { signal: SIGTERM, core: false });
    assert!(worker.await.is_err());
    Ok(())
}

/// Who gives rights up has workers without them.
async fn another_user(way: Way) -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        println!("(only root can become somebody else)");
        return Ok(());
    }
    plays("another-user", way).await
}

async fn become_another() -> Result<(), Error> {
    assert_eq!(worker::start(users, ()).await?, (0, 0));
    nix::unistd::setgid(65534.into())?;
    nix::unistd::setuid(65534.into())?;
    match worker::start(users, ()).await {
        Ok(users) => assert_eq!(users, (65534, 65534)),
        // The program's file may be in a place that is closed to this user.
        Err(error) => assert!(
            matches!(failure(&error), WorkerFailure::Start { step: Step::Spawn, error }
                if error.raw_os_error() == Some(libc::EACCES)),
            "{error:?}"
        ),
    }
    Ok(())
}

/// A program whose file gives it the rights of another user: its workers have them, and do nothing for a
/// program that has others.
async fn borrowed_rights(way: Way) -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        println!("(only root can have such a file)");
        return Ok(());
    }
    let copy = std::env::temp_dir().join(format!("lwt-borrowed-{}-{way:?}", std::process::id()));
    fs::copy(std::env::current_exe()?, &copy)?;
    std::os::unix::fs::chown(&copy, Some(65534), None)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755))?;
    let mut command = Command::new(&copy);
    command.arg("borrowed-rights").env("LWT_WORKERS", if way == Way::Zygote { "zygote" } else { "exec" });
    let output = lwt_preemptive::detach(move || command.output()).await?;
    fs::remove_file(&copy)?;
    let output = output?;
    assert!(output.status.success(), "{output:?}");
    Ok(())
}

async fn borrow_rights() -> Result<(), Error> {
    if nix::unistd::geteuid().is_root() {
        // Its file is where files give no rights.
        return Ok(());
    }
    assert_eq!(worker::start(users, ()).await?, (65534, 0));
    nix::unistd::seteuid(0.into())?;
    let error = worker::start(users, ()).await.unwrap_err();
    let WorkerFailure::Start { step: Step::Parent, error } = failure(&error) else { panic!("{error:?}") };
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    Ok(())
}

/// A worker that gives rights up ends with the program all the same.
async fn a_worker_as_another_user(way: Way) -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        println!("(only root can become somebody else)");
        return Ok(());
    }
    let mut program = Killed(role("others", way).stdout(Stdio::piped()).spawn()?);
    let mut output = BufReader::new(program.0.stdout.take().unwrap());
    let line = lwt_preemptive::detach(move || {
        let mut line = String::new();
        output.read_line(&mut line).map(|_| line)
    });
    let worker: i32 = line.await??.trim().parse()?;
    assert!(lives(worker));
    program.0.kill()?;
    until(|| !lives(worker)).await;
    Ok(())
}

async fn have_others() -> Result<(), Error> {
    let worker = worker::start(becomes_another, ());
    worker.messages().next().await?;
    println!("{}", worker.pid().await?.number());
    worker.await
}

/// A program whose file has gone has workers all the same.
async fn a_deleted_program(way: Way) -> Result<(), Error> {
    let copy = std::env::temp_dir().join(format!("lwt-deleted-{}-{way:?}", std::process::id()));
    fs::copy(std::env::current_exe()?, &copy)?;
    let mut command = Command::new(&copy);
    command.arg("deleted").env("LWT_WORKERS", if way == Way::Zygote { "zygote" } else { "exec" });
    let output = lwt_preemptive::detach(move || command.output()).await?;
    let left = fs::remove_file(&copy).is_ok();
    let output = output?;
    assert!(output.status.success() && !left, "{output:?}");
    Ok(())
}

async fn delete_itself() -> Result<(), Error> {
    fs::remove_file(std::env::current_exe()?)?;
    assert_eq!(worker::start(double, 4).await?, 8);
    Ok(())
}

/// A zygote that is killed while it is asked for many: each job is done once, and nothing is left.
async fn a_killed_zygote(way: Way) -> Result<(), Error> {
    if way == Way::Zygote { plays("kill-zygote", way).await } else { Ok(()) }
}

async fn kill_zygote() -> Result<(), Error> {
    let [zygote] = children()[..] else { panic!("one child") };
    let (mut reader, writer) = std::io::pipe()?;
    let start = worker::Start::new().pass("file", &writer);
    let workers: Vec<_> = (0..100).map(|number| start.start(writes, number)).collect();
    // What is passed before there is a worker gets to the one that there will be.
    let passing: Vec<_> = workers.iter().map(|worker| worker.pass("later", &writer)).collect();
    drop((start, writer));
    workers[20].result().await?;
    kill(Pid::from_raw(zygote), Signal::SIGKILL)?;
    for (worker, passed) in workers.into_iter().zip(passing) {
        worker.await?;
        passed.await?;
    }
    assert_eq!(worker::start(double, 4).await?, 8);
    until(|| children().is_empty()).await;
    let mut written = Vec::new();
    reader.read_to_end(&mut written)?;
    written.sort_unstable();
    assert_eq!(written, (0..100).collect::<Vec<u8>>());
    Ok(())
}

/// Writes a byte, with two descriptors to choose from.
fn writes(byte: u8) {
    let mut file = fs::File::from(worker::passed("file").unwrap());
    while worker::passed("later").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    file.write_all(&[byte]).unwrap();
}

/// A system that makes no process says why; nothing is left of that, and the next worker is there.
async fn no_more_processes(way: Way) -> Result<(), Error> {
    plays("no-processes", way).await
}

const REFUSED: [i32; 2] = [libc::EAGAIN, libc::ENOMEM];

/// The second call is refused, and the third one. (What one rule decides the next one does not count.)
fn refused(call: &'static str) -> InForce {
    let refuse = |plan: Plan, errno| plan.with(Rule::on([call]).nth(2).error(errno));
    REFUSED.into_iter().fold(Plan::seeded(1), refuse).install()
}

async fn have_no_processes() -> Result<(), Error> {
    // The zygote has the plan that was in force when it was made.
    let _faults = refused("posix_spawn");
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let worker = worker::start(double, 1);
    assert_eq!(worker.result().await?, 2);
    worker.ended().await?;
    let (before, family) = (descriptors(), children());
    for errno in REFUSED {
        let worker = worker::start(double, 2);
        let error = worker.result().await.unwrap_err();
        let WorkerFailure::Start { step: Step::Clone | Step::Spawn, error } = failure(&error) else {
            panic!("{error:?}")
        };
        assert_eq!(error.raw_os_error(), Some(errno));
        assert!(worker.pid().await.is_err() && worker.ended().await.is_err());
    }
    until(|| descriptors() <= before).await;
    assert_eq!(children(), family);
    assert_eq!(worker::start(double, 3).await?, 6);
    Ok(())
}

/// A loop that ends while workers are being made leaves none behind.
async fn a_loop_that_ends_at_once(way: Way) -> Result<(), Error> {
    let before = children().len();
    let threads = std::thread::spawn(move || {
        for _ in 0..10 {
            let loops = std::thread::spawn(move || {
                lwt_unix::run(async move {
                    for _ in 0..4 {
                        drop(by(way).start(hang, ()));
                    }
                    Ok::<_, Error>(())
                })
            });
            loops.join().unwrap().unwrap();
        }
    });
    lwt_preemptive::detach(move || threads.join().unwrap()).await?;
    until(|| children().len() <= before).await;
    Ok(())
}

/// A zygote that does not answer any more is done without.
async fn a_silent_zygote(way: Way) -> Result<(), Error> {
    if way == Way::Zygote { plays("silent-zygote", way).await } else { Ok(()) }
}

async fn silence_zygote() -> Result<(), Error> {
    let worker = worker::start(double, 1);
    assert_eq!(worker.result().await?, 2);
    worker.ended().await?;
    let [zygote] = children()[..] else { panic!("one child") };
    kill(Pid::from_raw(zygote), Signal::SIGSTOP)?;
    let only = worker::Start::new().way(Way::Zygote).start(double, 1);
    assert_eq!(worker::start(double, 3).await?, 6);
    let error = only.await.unwrap_err();
    let WorkerFailure::Start { step: Step::Zygote, error } = failure(&error) else { panic!("{error:?}") };
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    until(|| children().is_empty()).await;
    Ok(())
}

async fn a_closed_socket(way: Way) -> Result<(), Error> {
    let error = by(way).start(closes, false).await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Exit(101)), "{error:?}");
    let worker = by(way).grace(Duration::from_millis(1)).start(closes, true);
    worker.messages().next().await?;
    worker.stop();
    let error = worker.await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Cancelled), "{error:?}");
    Ok(())
}

async fn an_end_that_takes_long(way: Way) -> Result<(), Error> {
    let worker = by(way).grace(Duration::from_millis(10)).start(stays, ());
    assert_eq!(worker.result().await?, 1);
    worker.stop();
    assert!(matches!(worker.ended().await?, Status::Signaled { signal: SIGTERM | SIGKILL, .. }));
    Ok(())
}

async fn a_group_without_its_worker(way: Way) -> Result<(), Error> {
    let worker = by(way).start(leaves_its_group, ());
    let worker::Message::Progress(child) = worker.messages().next().await? else { panic!("no number") };
    let child: i32 = child.decode()?;
    worker.kill();
    assert!(worker.result().await.is_err());
    until(|| !lives(child)).await;
    Ok(())
}

/// Whether the process runs: a zombie does not.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Starts workers for ever.
async fn start_for_ever() -> Result<(), Error> {
    println!("ready");
    loop {
        let some: Vec<_> = (0..8).map(|number| worker::start(double, number)).collect();
        drop(worker::Start::new().grace(Duration::ZERO).start(hang, ()).into_result().map(|()| ()));
        for worker in some {
            worker.await?;
        }
    }
}

/// A program that is killed at any moment leaves no process behind, and nobody holds its output.
async fn killed_at_any_moment(way: Way) -> Result<(), Error> {
    for round in 0..20 {
        let mark = format!("LWT_MARK_{}_{way:?}_{round}", std::process::id());
        let mut command = role("start-for-ever", way);
        let mut program = Killed(command.env(&mark, "1").stdout(Stdio::piped()).spawn()?);
        let mut output = BufReader::new(program.0.stdout.take().unwrap());
        let mut line = String::new();
        let output = lwt_preemptive::detach(move || {
            output.read_line(&mut line).unwrap();
            output
        });
        let mut output = output.await?;
        lwt_unix::sleep(Duration::from_micros(700 * round)).await?;
        program.0.kill()?;
        lwt_preemptive::detach(move || output.read_to_end(&mut Vec::new()).map(drop)).await??;
        until(|| processes_with(&mark) == 0).await;
    }
    Ok(())
}

/// How many processes have this variable.
fn processes_with(variable: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let environments = all.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    let name = variable.as_bytes();
    environments.filter(|environment| environment.windows(name.len()).any(|part| part == name)).count()
}

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "discard" {
        // SAFETY: no handler.
        unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigIgn) }.unwrap();
    }
    let faults = (name == "no-processes").then(|| refused("clone"));
    worker::init(workers![
        double,
        exits,
        users,
        becomes_another,
        closes,
        stays,
        leaves_its_group,
        writes,
        hang
    ]);
    drop(faults);
    match name.as_str() {
        "discard" => lwt_unix::run(discard()).unwrap(),
        "ignoring" => lwt_unix::run(ignoring()).unwrap(),
        "another-user" => lwt_unix::run(become_another()).unwrap(),
        "borrowed-rights" => lwt_unix::run(borrow_rights()).unwrap(),
        "others" => lwt_unix::run(have_others()).unwrap(),
        "deleted" => lwt_unix::run(delete_itself()).unwrap(),
        "kill-zygote" => lwt_unix::run(kill_zygote()).unwrap(),
        "no-processes" => lwt_unix::run(have_no_processes()).unwrap(),
        "silent-zygote" => lwt_unix::run(silence_zygote()).unwrap(),
        "start-for-ever" => lwt_unix::run(start_for_ever()).unwrap(),
        _ => worker_common::main(both_ways![
            discarded_children,
            an_ignored_signal,
            another_user,
            borrowed_rights,
            a_worker_as_another_user,
            a_deleted_program,
            a_killed_zygote,
            a_loop_that_ends_at_once,
            a_silent_zygote,
            no_more_processes,
            a_closed_socket,
            an_end_that_takes_long,
            a_group_without_its_worker,
            killed_at_any_moment,
        ]),
    }
}
