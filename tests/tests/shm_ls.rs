//! The example `shm_ls`: it shows what a killed program has left, and cleans it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lwt::shm::{Mutex, Pool, Queue};
use lwt_tests::dir::TempDir;
use lwt_tests::program::{Ended, Program};

const NAME: &str = "what_a_killed_program_left_is_shown_and_cleaned";
const SERVE: &str = "LWT_SHM_LS_SERVE";

/// Lists the pools of a process, and a directory.
fn shm_ls(pid: u32, arguments: &[&str], directory: &Path) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shm_ls"));
    command.args(["--pid", &pid.to_string()]).args(arguments).arg(directory);
    Program::start(&mut command).wait()
}

/// The program that will be killed: it serves a pool, and has a mutex in it locked.
fn serve(path: &str) -> ! {
    let pool = Pool::create().expect("a pool");
    let mutex = Mutex::create(&pool, 1_u32).expect("a mutex");
    let jobs: Queue<u32> = Queue::create(&pool, None, ()).expect("a queue");
    pool.publish("state", mutex.place()).expect("published");
    pool.publish("jobs", jobs.place()).expect("published");
    let _rendezvous = pool.serve(path, 0o600).expect("served");
    let _guard = mutex.lock().expect("locked");
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// Killed when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_killed_program_left_is_shown_and_cleaned() {
    if let Ok(path) = std::env::var(SERVE) {
        serve(&path);
    }
    // Only the pool of this test: others run at the same time.
    let me = std::process::id();
    let dir = TempDir::new();
    let path = dir.path().join("pool");
    // Nobody else's lock file is taken for one of ours.
    dir.write("other.lock", b"");
    let mut server = Server(
        Command::new(std::env::current_exe().expect("this program"))
            .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
            .env(SERVE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server"),
    );
    let pid = server.0.id();
    let told = BufReader::new(server.0.stdout.take().expect("its output"));
    assert!(told.lines().any(|line| line.expect("a line").ends_with("ready")), "it has ended");
    let pool = Pool::connect(&path).expect("connected");

    let seen = shm_ls(me, &["--clean"], dir.path());
    seen.assert_code(0);
    assert!(seen.stdout.contains(&format!("process {pid},")), "{}", seen.stdout);
    assert!(seen.stdout.contains("queue of"), "{}", seen.stdout);
    assert!(seen.stdout.contains(&format!("\"state\", held by process {pid}\n")), "{}", seen.stdout);
    assert!(seen.stdout.ends_with(&format!("path {}: served\n", path.display())), "{}", seen.stdout);

    drop(server);
    let seen = shm_ls(me, &[], dir.path());
    seen.assert_code(0);
    assert!(seen.stdout.contains(&format!("process {pid} (dead),")), "{}", seen.stdout);
    assert!(seen.stdout.contains(&format!("\"state\", held by process {pid} (dead)\n")), "{}", seen.stdout);
    let left = format!("path {}: left by a dead program", path.display());
    assert!(seen.stdout.ends_with(&format!("{left}\n")), "{}", seen.stdout);

    let seen = shm_ls(me, &["--clean"], dir.path());
    seen.assert_code(0);
    assert!(seen.stdout.contains("settled what 1 dead processes left\n"), "{}", seen.stdout);
    assert!(seen.stdout.ends_with(&format!("{left}, removed\n")), "{}", seen.stdout);

    let seen = shm_ls(me, &[], dir.path());
    seen.assert_code(0);
    assert!(!seen.stdout.contains("path"), "{}", seen.stdout);
    assert_eq!(pool.holders().len(), 1, "this process");
    let there: Vec<_> = std::fs::read_dir(dir.path()).expect("a directory").collect();
    assert_eq!(there.len(), 1, "the other program's file");
    assert!(pool.find("jobs").is_some(), "the pool lives on");
}

#[test]
fn what_cannot_be_looked_at_is_told() {
    let dir = TempDir::new();
    // No process has this number.
    let seen = shm_ls(0, &[], &dir.path().join("nowhere"));
    seen.assert_code(1);
    assert!(seen.stderr.starts_with("shm_ls: ") && seen.stderr.contains("nowhere"), "{}", seen.stderr);
    assert_eq!(seen.stdout, "");
}
