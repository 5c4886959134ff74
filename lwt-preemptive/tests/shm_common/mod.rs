//! Processes for the tests of shared memory: a test starts its own binary again, and the test function that
//! is named then does what the child has to do.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lwt_preemptive::shm::Pool;

const ROLE: &str = "LWT_SHM_ROLE";

/// A child process with a pool. It is killed when it is dropped.
pub(crate) struct Worker(Child);

impl Worker {
    /// Starts this test binary's test `test` in a process of its own, as `role`, and sends it the pool.
    pub(crate) fn start(test: &str, role: &str, pool: &Pool) -> Worker {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        // A child that is gone already shows in its status.
        let _ = pool.send(&ours);
        Worker(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("waited for");
    }

    pub(crate) fn join(mut self) -> ExitStatus {
        self.0.wait().expect("waited for")
    }

    pub(crate) fn succeed(self) {
        let status = self.join();
        assert!(status.success(), "the child failed: {status}");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("asked").is_none()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In a child: its role and the pool.
pub(crate) fn role() -> Option<(String, Pool)> {
    let role = std::env::var(ROLE).ok()?;
    let socket = std::io::Stdin::lock(&std::io::stdin());
    let socket = std::os::fd::AsFd::as_fd(&socket).try_clone_to_owned().expect("another descriptor");
    let pool = Pool::receive(&UnixStream::from(socket)).expect("a pool");
    Some((role, pool))
}

/// Waits until `done`; the test's watchdog ends it if that never comes.
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `f` on a thread that gets a signal every so often.
pub(crate) fn interrupted(every: Duration, f: impl FnOnce() + Send) {
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: nix::libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.expect("a handler");
    thread::scope(|scope| {
        let (sender, who) = mpsc::channel();
        let run = scope.spawn(move || {
            sender.send(pthread_self()).expect("heard");
            f();
        });
        let thread = who.recv().expect("told");
        while !run.is_finished() {
            // It has not been joined, so its number is nobody else's.
            let _ = pthread_kill(thread, Signal::SIGUSR2);
            thread::sleep(every);
        }
    });
}

/// Numbers that follow from a seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Calls `test` with some seeds, or with the one that `LWT_SEED` has; a failure shows which it was.
pub(crate) fn seeds(count: u64, mut test: impl FnMut(Random)) {
    let one = std::env::var("LWT_SEED").ok().and_then(|text| text.parse().ok());
    for seed in one.map_or(1..count + 1, |seed: u64| seed..seed + 1) {
        println!("LWT_SEED={seed}");
        test(Random::new(seed));
    }
}

/// A file as that of a pool is, with this text.
pub(crate) fn sealed(text: &[u8]) -> OwnedFd {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::os::unix::fs::FileExt;
    let file = memfd_create(c"not-a-pool", MFdFlags::MFD_ALLOW_SEALING).expect("a file");
    let file = std::fs::File::from(file);
    file.write_all_at(text, 0).expect("written");
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).expect("sealed");
    file.into()
}

/// That all blocks of a pool are free again.
pub(crate) fn nothing_is_left(pool: &Pool) {
    let stats = pool.stats();
    assert_eq!((stats.blocks, stats.used, stats.retired), (0, 0, 0), "nothing is left");
}
