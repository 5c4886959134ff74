//! Processes for the tests of shared memory: a test starts its own binary again, and the test function that
//! is named then does what the child has to do.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};

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
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
