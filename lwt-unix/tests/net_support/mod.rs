//! What the descriptor and socket tests share.
//!
//! Nothing here bounds a time from above, except the watchdog, whose bound is "something hangs".
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use lwt_core::{Error, Promise, set_unhandled_hook, spawn};
use lwt_unix::fd::{Fd, pipe};
use lwt_unix::net::{Domain, Socket, TcpListener, TcpStream, Type, UnixStream};

/// Ends the process when a test takes longer than anything but a hang explains.
pub(crate) struct Watchdog(Sender<()>);

impl Watchdog {
    pub(crate) fn new() -> Watchdog {
        let (alive, dead) = mpsc::channel::<()>();
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        std::thread::spawn(move || {
            if dead.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("watchdog: {name} hangs");
                std::process::abort();
            }
        });
        Watchdog(alive)
    }
}

/// Runs a test's future on this thread's loop, under a watchdog. It fails as well if something was rejected
/// and nobody looked.
pub(crate) fn run<T: 'static>(future: impl Future<Output = Result<T, Error>> + 'static) -> T {
    let _watchdog = Watchdog::new();
    let stray = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&stray);
    let before =
        set_unhandled_hook(Some(Rc::new(move |error: &Error| told.borrow_mut().push(error.clone()))));
    let ended = lwt_unix::run(future);
    set_unhandled_hook(before);
    match ended {
        Ok(value) => {
            assert!(stray.borrow().is_empty(), "nobody looked at these rejections: {stray:?}");
            value
        }
        Err(error) => panic!("the test's promise was rejected: {error:?}; others: {stray:?}"),
    }
}

/// Starts a task that nobody will await. If it is rejected, the test fails.
pub(crate) fn detach(future: impl Future<Output = Result<(), Error>> + 'static) {
    drop(lwt_core::spawn(future));
}

/// A free port on loopback.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A port where nobody listens, and nobody else can as long as the socket is there.
pub(crate) async fn deaf_port() -> Result<(Socket, SocketAddr), Error> {
    let socket = Socket::new(Domain::V4, Type::Stream, 0)?;
    socket.bind(loopback()).await?;
    let address = socket.local_addr()?.inet().expect("an internet address");
    Ok((socket, address))
}

/// Lets the loop turn a few times, polling included, so that whatever can happen by now has happened.
pub(crate) async fn settle() -> Result<(), Error> {
    for _ in 0..3 {
        lwt_unix::sleep(Duration::from_millis(2)).await?;
    }
    Ok(())
}

/// A pattern in which every position can be told from its neighbours.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// The descriptors that this process has open.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the list of descriptors").count() - 1
}

/// Whether the promise is pending.
pub(crate) fn pending<T: 'static>(promise: &Promise<T>) -> bool {
    promise.is_pending()
}

/// A directory that is removed with the value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lwt-net-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a fresh directory");
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const CHILD: &str = "LWT_TEST_CHILD";

/// Runs the body of test `name` in a process of its own, where limits and descriptors are nobody else's.
pub(crate) fn in_child(name: &str, body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some_and(|wanted| wanted == name) {
        return body();
    }
    let _watchdog = Watchdog::new();
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(CHILD, name)
        .output()
        .expect("the child starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{name} failed in its child ({}):\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
}

/// Sets the soft limit of open descriptors; the hard one is the ceiling.
pub(crate) fn limit_descriptors(soft: u64) -> u64 {
    // SAFETY: two integers, exclusively ours; the calls fill and read them.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = soft.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur
    }
}

/// The processor time that this process has used.
pub(crate) fn cpu_time() -> Duration {
    // SAFETY: plain integers, filled by the call.
    let used = unsafe {
        let mut used: libc::timespec = std::mem::zeroed();
        assert_eq!(libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut used), 0);
        used
    };
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// The two ends of one kind of connection, the writer first.
pub(crate) async fn connection(kind: &str) -> Result<(Fd, Fd), Error> {
    match kind {
        "pipe" => pipe().map(|(reader, writer)| (writer, reader)),
        "unix" => UnixStream::pair().map(|(left, right)| (left.fd().clone(), right.fd().clone())),
        "tcp" => {
            let listener = TcpListener::bind(loopback())?;
            let client = TcpStream::connect(listener.local_addr()?).await?;
            let (server, _) = listener.accept().await?;
            Ok((client.fd().clone(), server.fd().clone()))
        }
        _ => {
            // A pipe whose flags are not ours to change.
            let (reader, writer) = std::io::pipe()?;
            Ok((Fd::shared(writer.into())?, Fd::shared(reader.into())?))
        }
    }
}

/// Writes everything, and ends.
pub(crate) fn feed(to: Fd, data: Vec<u8>) -> Promise<()> {
    spawn(async move {
        to.write_all(&data).await?;
        to.close()
    })
}

/// Reads to the end.
pub(crate) fn drain(from: Fd) -> Promise<Vec<u8>> {
    spawn(async move {
        let mut all = Vec::new();
        let mut buf = vec![0; 9000];
        loop {
            match from.read(&mut buf).await? {
                0 => return Ok::<_, Error>(all),
                n => all.extend_from_slice(&buf[..n]),
            }
        }
    })
}

/// A file with this content, open for reading.
pub(crate) fn file(dir: &TempDir, name: &str, data: &[u8]) -> Result<Fd, Error> {
    let path = dir.path().join(name);
    std::fs::write(&path, data)?;
    Fd::new(std::fs::File::open(path)?.into())
}
