//! The system calls of workers: processes, and the sockets between them. (`sealed`: files in memory.)
//!
//! 1. Pointers given to the kernel are those of live values with their sizes. `EINTR` never leaves this file.
//! 2. A descriptor that a call returns is new and ours, and close-on-exec from the start.
//! 3. *Forks.* [`fork_alone`] and [`Cloner`] copy the process only where it has one thread, so that
//!    nothing is half done in the copy. A clone that does not go through the C library leaves that
//!    library with the number of the thread that it had; so the kernel is told to write the new one to
//!    where the library keeps it, as the library's own fork has it do, and the list of robust locks is
//!    registered again.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{c_int, c_long};
use lwt_unix::faults;

mod sealed;

pub(super) use self::sealed::{Mapping, sealed_file};

/// Makes a call, and makes it again as long as a signal interrupts it.
fn retry<R: PartialEq + From<i8>>(mut f: impl FnMut() -> R) -> io::Result<R> {
    loop {
        let returned = f();
        if returned != R::from(-1) {
            return Ok(returned);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Two connected sockets of messages, which block.
///
/// # Errors
/// `EMFILE` and the like.
pub(super) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the two integers are written.
    retry(|| unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) })?;
    // SAFETY: the call has made them, for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) })
}

/// Ends both directions of a connection: what has come can still be received, and then the end.
pub(super) fn shutdown(socket: BorrowedFd<'_>) {
    // If it is over already, so much the better.
    // SAFETY: integers only.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// The number of a new process, 0 in itself.
type Forked = io::Result<c_int>;

/// Whether this process has one thread, the one that it began with, if the system tells.
pub(super) fn is_alone() -> bool {
    // SAFETY: integers only.
    let own = unsafe { libc::syscall(libc::SYS_gettid) };
    let first = own == c_long::from(std::process::id());
    first && std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// `fork`, of a process with one thread.
///
/// # Errors
/// The system's; `Unsupported` if there are other threads.
#[expect(clippy::disallowed_methods, reason = "the process has no other threads")]
pub(super) fn fork_alone() -> Forked {
    if !is_alone() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // What the C library has in its buffers would be written by each copy.
    // SAFETY: all of its streams.
    unsafe { libc::fflush(ptr::null_mut()) };
    // SAFETY: rule 3.
    retry(|| unsafe { libc::fork() })
}

/// What it takes to make a sibling of this process: a child of its parent.
pub(super) struct Cloner {
    /// Where the C library keeps the number of this thread.
    tid: usize,
    robust: (usize, usize),
    /// For the thread that made it.
    home: PhantomData<*const ()>,
}

impl Cloner {
    /// For a process with one thread, that gets no other.
    ///
    /// # Errors
    /// The system's, if it does not tell what has to be known; `Unsupported` where the C library is one of
    /// which that is not known, or if there are other threads.
    pub(super) fn new() -> io::Result<Cloner> {
        let known = cfg!(target_env = "gnu")
            && cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));
        if !known || !is_alone() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let (mut tid, mut head, mut size) = (0_usize, 0_usize, 0_usize);
        // SAFETY: the integers are written.
        unsafe {
            retry(|| libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut tid))?;
            retry(|| libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size))?;
        }
        if tid == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Cloner { tid, robust: (head, size), home: PhantomData })
    }

    /// Makes the sibling.
    ///
    /// # Errors
    /// `EAGAIN`, `ENOMEM`.
    pub(super) fn sibling(&self) -> Forked {
        let flags =
            libc::CLONE_PARENT | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD;
        // The kernels do not agree on which comes first, the number's address or that of thread-locals.
        let (fourth, fifth) = if cfg!(target_arch = "x86_64") { (self.tid, 0) } else { (0, self.tid) };
        // SAFETY: without `CLONE_VM` it is a fork, of a process with one thread (rule 3). The address is that
        // of the library's own number of the thread. No stack: the child goes on with a copy of this one.
        let clone = || unsafe {
            libc::syscall(libc::SYS_clone, c_long::from(flags), 0_usize, 0_usize, fourth, fifth)
        };
        let made = faults::call("clone", || retry(clone))?;
        if made == 0 && self.robust.0 != 0 {
            // It cannot fail with the values that the kernel has given.
            // SAFETY: the list is the library's own, at the same address in the copy.
            unsafe { libc::syscall(libc::SYS_set_robust_list, self.robust.0, self.robust.1) };
        }
        // Numbers of processes fit.
        Ok(made as c_int)
    }
}

/// Has this process killed when its parent's thread that made it ends; `false` if it has another parent by
/// now.
///
/// # Errors
/// The system's.
pub(super) fn die_with(parent: u32) -> io::Result<bool> {
    // SAFETY: integers only.
    unsafe { retry(|| libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong))? };
    Ok(parent_of_this() == parent)
}

/// The number of the parent.
pub(super) fn parent_of_this() -> u32 {
    std::os::unix::process::parent_id()
}

/// Makes this process the head of a group of its own.
pub(super) fn own_group() {
    // It fails for a leader of a session, which has one.
    // SAFETY: integers only.
    unsafe { libc::setpgid(0, 0) };
}

/// Closes all descriptors but 0 to 2 and one, which gets the number 3, and reads `/dev/null` as 0.
///
/// # Errors
/// The system's; it is not known which of them are closed then.
pub(super) fn keep_only(kept: OwnedFd) -> io::Result<OwnedFd> {
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: integers only. Reading standard input gives nothing from here on, which is what is wanted.
    retry(|| unsafe { libc::dup2(null.as_raw_fd(), 0) })?;
    // It is closed below, or is what the number 3 was.
    std::mem::forget(null);
    let kept = if kept.as_raw_fd() == 3 {
        kept
    } else {
        // SAFETY: integers only. Whoever has the number 3 is not used any more: this process runs nothing
        // but its caller.
        let fd = retry(|| unsafe { libc::dup3(kept.as_raw_fd(), 3, libc::O_CLOEXEC) })?;
        // It is closed below.
        std::mem::forget(kept);
        // SAFETY: the call has made it, for us.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    // SAFETY: integers only, of descriptors that nobody uses any more.
    if retry(|| unsafe { libc::syscall(libc::SYS_close_range, 4, c_int::MAX, 0) }).is_err() {
        let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        for fd in open {
            if fd > 3 {
                // SAFETY: as above.
                unsafe { libc::close(fd) };
            }
        }
    }
    Ok(kept)
}

/// What a socket says of itself, in so many numbers.
fn socket_option<const N: usize>(socket: RawFd, option: c_int) -> Option<[c_int; N]> {
    let mut value = [0; N];
    let mut size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the integers are written.
    let asked = retry(|| unsafe {
        libc::getsockopt(socket, libc::SOL_SOCKET, option, value.as_mut_ptr().cast(), &raw mut size)
    });
    asked.ok().map(|_| value)
}

/// Whether the connection was made by somebody who has this process's rights, by user and group.
pub(super) fn is_among_equals(socket: BorrowedFd<'_>) -> bool {
    // A `ucred`: process, user, group.
    let maker = socket_option(socket.as_raw_fd(), libc::SO_PEERCRED);
    let [_, user, _, _, group, _] = rights();
    maker.is_some_and(|[_, by_user, by_group]| (by_user as u32, by_group as u32) == (user, group))
}

/// A duplicate of descriptor 0, if that is a socket of messages between processes.
pub(super) fn socket_at_input() -> Option<OwnedFd> {
    let is = |option, value| socket_option(0, option) == Some([value]);
    if !is(libc::SO_DOMAIN, libc::AF_UNIX) || !is(libc::SO_TYPE, libc::SOCK_SEQPACKET) {
        return None;
    }
    // SAFETY: integers only.
    let fd = retry(|| unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3) }).ok()?;
    // SAFETY: the call has made it, for us.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes a variable out of the environment, if nobody else can be reading it.
#[expect(clippy::disallowed_methods, reason = "the process has no other threads")]
pub(super) fn forget_variable(name: &str) {
    if is_alone() {
        // SAFETY: no other thread is there that could read the environment.
        unsafe { std::env::remove_var(name) };
    }
}

/// Blocks all signals of this thread, or none; what was blocked before.
pub(super) fn block_signals(all: bool) -> libc::sigset_t {
    // It cannot fail with these arguments.
    // SAFETY: all zeroes are a set, and the first call makes it the one that is meant.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before = set;
        if all {
            libc::sigfillset(&raw mut set)
        } else {
            libc::sigemptyset(&raw mut set)
        };
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, &raw mut before);
        before
    }
}

/// Blocks all signals of this thread while `f` runs.
pub(super) fn block_signals_during<T>(f: impl FnOnce() -> T) -> T {
    let before = block_signals(true);
    let result = f();
    // SAFETY: the set is the one that the call above has given.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    result
}

/// Ends this process at once, running nothing.
pub(super) fn exit_now() -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(0) }
}

/// Limits this process's own memory, private and writable, to so many bytes.
///
/// # Errors
/// The system's.
pub(super) fn limit_memory(bytes: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: bytes as libc::rlim_t };
    // SAFETY: the structure is alive.
    retry(|| unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) })?;
    Ok(())
}

/// Sets this process's niceness.
///
/// # Errors
/// `EACCES` for one that it may not have.
pub(super) fn set_nice(nice: c_int) -> io::Result<()> {
    // SAFETY: integers only.
    retry(|| unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

/// A number that no other process has.
pub(super) fn random() -> u64 {
    let mut number = 0_u64;
    // If there is none, a clock will do.
    // SAFETY: the integer is written.
    if unsafe { libc::getrandom((&raw mut number).cast(), size_of::<u64>(), 0) } != 8 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        number = now.as_nanos() as u64 ^ u64::from(std::process::id()) << 40;
    }
    number
}

/// Sends a signal to a process, and, if `group`, to the group that it is the head of.
///
/// # Errors
/// `ESRCH` if there is no such; `EINVAL` for what is no signal.
pub(super) fn kill(pid: c_int, signal: c_int, group: bool) -> io::Result<()> {
    // SAFETY: integers only.
    let send = |pid| retry(|| unsafe { libc::kill(pid, signal) });
    let grouped = group && send(-pid).is_ok();
    // The group may not be there yet, and the process may have left it.
    match send(pid) {
        Err(error) if !grouped => Err(error),
        _ => Ok(()),
    }
}

/// Has `SIGTERM` end this process, also where whoever started the program has it ignored.
pub(super) fn heed_termination() {
    // It cannot fail with these arguments.
    // SAFETY: no handler.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_DFL) };
}

/// Has the system keep the ends of children until they are asked for, also where whoever started the program
/// has it discard them.
pub(super) fn keep_children() {
    // It cannot fail with these arguments.
    // SAFETY: all zeroes are a valid `sigaction`, which the call fills; no handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut action);
        if action.sa_sigaction == libc::SIG_IGN {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Whose rights this process has: its users and groups, real, effective and saved.
pub(super) fn rights() -> [u32; 6] {
    let [mut a, mut b, mut c, mut d, mut e, mut f] = [0; 6];
    // They cannot fail with these arguments.
    // SAFETY: the integers are written.
    unsafe {
        libc::getresuid(&raw mut a, &raw mut b, &raw mut c);
        libc::getresgid(&raw mut d, &raw mut e, &raw mut f);
    }
    [a, b, c, d, e, f]
}

/// Blocks until something can be received, for so long at most; whether it can.
pub(super) fn has_something(socket: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the structure is alive.
    retry(|| unsafe { libc::poll(&raw mut poll, 1, limit) }).is_ok_and(|ready| ready > 0)
}

/// Waits for a child that was killed, for so long at most.
pub(super) fn reap(pid: c_int, limit: Duration) {
    let begin = Instant::now();
    loop {
        // SAFETY: integers only.
        let told = retry(|| unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG) });
        if !matches!(told, Ok(0)) || begin.elapsed() > limit {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Blocks until the process has ended, or, where the system has no descriptors of processes, the other end of
/// the socket is closed.
pub(super) fn await_end_of(pid: u32, socket: BorrowedFd<'_>) {
    // SAFETY: integers only.
    let process = retry(|| unsafe { libc::syscall(libc::SYS_pidfd_open, c_long::from(pid), 0) });
    // SAFETY: the call has made it, for us.
    let process = process.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
    // The number may be somebody else's, if the process has ended before.
    if parent_of_this() != pid {
        return;
    }
    let mut poll = match &process {
        Ok(process) => libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 },
        Err(_) => libc::pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 },
    };
    // SAFETY: the structure is alive. If it fails there is nothing to wait for.
    let _ = retry(|| unsafe { libc::poll(&raw mut poll, 1, -1) });
}
