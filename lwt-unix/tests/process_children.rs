//! Children in programs that make it hard to wait for them: that ignore or block `SIGCHLD`, have no descriptors
//! left, or wait for them somewhere else. Each test runs in a process of its own; see `process_fork` for the
//! harness.

#![allow(clippy::zombie_processes, reason = "what waits for them is what is tested")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::ptr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use lwt_core::{Error, Promise, State, pause};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::process::{
    Fork, Pid, Status, WaitFlags, fork, system, wait, wait_by_signal, wait_count, waitpid,
};
use lwt_unix::signal::{SIGCHLD, SIGKILL, signal_count};
use lwt_unix::{enter_iter_hooks, loop_stats, run, sleep};

mod fork_support;
use fork_support::{Test, action, both, everything, ignore, leave, run_all};

const TESTS: &[(&str, Test)] = &[
    ("children are waited for where they are ignored", children_are_waited_for_where_they_are_ignored),
    ("many children leave descriptors to others", many_children_leave_descriptors_to_others),
    ("a number that is another child's", a_number_that_is_another_childs),
    (
        "a command is waited for where children are ignored",
        a_command_is_waited_for_where_children_are_ignored,
    ),
    ("one after the other is waited for", one_after_the_other_is_waited_for),
    ("what the system would have discarded is discarded", what_the_system_would_have_discarded_is_discarded),
    ("a blocked signal is not waited for", a_blocked_signal_is_not_waited_for),
    ("nothing is left where descriptors are", nothing_is_left_where_no_descriptor_is),
    ("others wait first", others_wait_first),
    ("an end that a debugger keeps to itself", an_end_that_a_debugger_keeps),
];

fn main() {
    run_all(TESTS);
}

fn children_are_waited_for_where_they_are_ignored() -> Result<(), Error> {
    ignore(SIGCHLD);
    for by_signal in [false, true, false] {
        wait_by_signal(by_signal);
        let shell =
            || Command::new("/bin/sh").args(["-c", "read code; exit 7"]).stdin(Stdio::piped()).spawn();
        let (mut first, mut second) = (shell()?, shell()?);
        let wait = |child: &std::process::Child| waitpid(WaitFlags::NONE, Pid::from(child));
        let (one, other) = (wait(&first), wait(&second));
        drop(first.stdin.take());
        assert_eq!(run(one)?, Some((Pid::from(&first), Status::Exited(7))));
        // Whoever is left is still listened for.
        drop(second.stdin.take());
        assert_eq!(run(other)?, Some((Pid::from(&second), Status::Exited(7))));
    }
    ignored_again()
}

/// In the end all is as it was.
fn ignored_again() -> Result<(), Error> {
    while (wait_count(), signal_count(), loop_stats().timers) != (0, 0, 0) {
        run(pause())?;
    }
    assert_eq!(action(SIGCHLD), libc::SIG_IGN);
    Ok(())
}

fn many_children_leave_descriptors_to_others() -> Result<(), Error> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is live.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    limit.rlim_cur = limit.rlim_cur.min(350);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let (reads, writes) = std::io::pipe()?;
    let mut all = Vec::new();
    for code in 0..400 {
        let script = format!("read line; exit {}", code % 200);
        let child = Command::new("/bin/sh").args(["-c", &script]).stdin(reads.try_clone()?).spawn()?;
        let pid = Pid::from(&child);
        all.push((waitpid(WaitFlags::NONE, pid), Some((pid, Status::Exited(code % 200)))));
    }
    drop(writes);
    for (told, expected) in all {
        assert_eq!(run(told)?, expected);
    }
    assert_eq!((wait_count(), signal_count()), (0, 0));
    Ok(())
}

/// Makes a child of this number that sleeps until it is killed; `None` if that is not allowed.
fn child_of_number(pid: Pid) -> Option<Pid> {
    #[repr(C)]
    #[derive(Default)]
    struct Args {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
    }
    let numbers = [pid.number()];
    let args = Args {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: numbers.as_ptr() as u64,
        set_tid_size: 1,
        ..Args::default()
    };
    // SAFETY: a fork, in a process with one thread; the child does nothing but sleep.
    match unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<Args>()) } {
        0 => loop {
            // SAFETY: it touches no memory.
            unsafe { libc::pause() };
        },
        -1 => None,
        number => Some(Pid::from(i32::try_from(number).expect("it fits"))),
    }
}

fn a_number_that_is_another_childs() -> Result<(), Error> {
    let child = Command::new("/bin/sh").args(["-c", "read code"]).stdin(Stdio::piped()).spawn()?;
    let pid = Pid::from(&child);
    let first = waitpid(WaitFlags::NONE, pid);
    run(sleep(Duration::from_micros(100)))?;
    // Somebody else waits for it, and its number is given again, while the loop stands still.
    assert_eq!({ child }.wait()?.code(), Some(1));
    let Some(again) = child_of_number(pid) else { return Ok(()) };
    assert_eq!(again, pid);
    let second = waitpid(WaitFlags::NONE, pid);
    run(sleep(Duration::from_millis(5)))?;
    assert!(second.is_pending());
    // SAFETY: it touches no memory.
    assert_eq!(unsafe { libc::kill(pid.number(), libc::SIGKILL) }, 0);
    let expected = Some((pid, Status::Signaled { signal: SIGKILL, core: false }));
    assert_eq!(run(second)?, expected);
    drop(first);
    both(everything, everything)
}

/// Whether any child is there, alive or not.
fn has_children() -> bool {
    // SAFETY: nothing is filled but a structure that is asked for; nobody is waited for.
    unsafe {
        libc::waitid(libc::P_ALL, 0, ptr::null_mut(), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) == 0
    }
}

fn a_command_is_waited_for_where_children_are_ignored() -> Result<(), Error> {
    ignore(SIGCHLD);
    for code in 0..100 {
        // Mostly it has ended before anybody can wait for it.
        assert_eq!(run(system(format!("exit {code}")))?, Status::Exited(code));
    }
    ignored_again()
}

fn one_after_the_other_is_waited_for() -> Result<(), Error> {
    ignore(SIGCHLD);
    let children: Vec<_> = (0..20)
        .map(|code| {
            let script = format!("read code; exit {code}");
            let child = Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn()?;
            Ok::<_, Error>((child, Status::Exited(code)))
        })
        .collect::<Result<_, _>>()?;
    let first = waitpid(WaitFlags::NONE, Pid::from(&children[0].0));
    let pids: Vec<_> = children.iter().map(|(child, status)| (Pid::from(child), *status)).collect();
    // All end while the first is waited for.
    drop(children);
    assert_eq!(run(first)?, Some(pids[0]));
    for (pid, status) in &pids[1..] {
        assert_eq!(run(waitpid(WaitFlags::NONE, *pid))?, Some((*pid, *status)));
    }
    ignored_again()
}

fn what_the_system_would_have_discarded_is_discarded() -> Result<(), Error> {
    ignore(SIGCHLD);
    let shell = || Command::new("/bin/sh").args(["-c", "read code"]).stdin(Stdio::piped()).spawn();
    let (mut ours, mut nobodys) = (shell()?, shell()?);
    let wait = waitpid(WaitFlags::NONE, Pid::from(&ours));
    drop(nobodys.stdin.take());
    run(sleep(Duration::from_millis(20)))?;
    drop(ours.stdin.take());
    assert_eq!(run(wait)?, Some((Pid::from(&ours), Status::Exited(1))));
    while has_children() {
        // Should it have taken longer than the other, the system forgets it.
        run(sleep(Duration::from_millis(1)))?;
    }
    Ok(())
}

fn a_blocked_signal_is_not_waited_for() -> Result<(), Error> {
    // SAFETY: the set is live, and filled by the first call.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()), 0);
    }
    for by_signal in [false, true] {
        wait_by_signal(by_signal);
        // Twice, and so that the second is later.
        for code in [3, 4] {
            let shell = || {
                let script = format!("read code; exit {code}");
                Command::new("/bin/sh").args(["-c", &script]).stdin(Stdio::piped()).spawn()
            };
            let (mut named, mut any) = (shell()?, shell()?);
            let told = waitpid(WaitFlags::NONE, Pid::from(&named));
            drop(named.stdin.take());
            assert_eq!(run(told)?, Some((Pid::from(&named), Status::Exited(code))));
            let told = wait();
            drop(any.stdin.take());
            assert_eq!(run(told)?, (Pid::from(&any), Status::Exited(code)));
        }
    }
    assert_eq!((wait_count(), signal_count(), loop_stats().timers), (0, 0, 0));
    Ok(())
}

fn nothing_is_left_where_no_descriptor_is() -> Result<(), Error> {
    let refuse = |calls: &'static [&'static str]| {
        Plan::default().with(Rule::on(calls.iter().copied()).error(libc::EMFILE)).install()
    };
    // The loop has what it needs. Neither a descriptor of the process nor one for signals can be had.
    run(Promise::ready(()))?;
    let faults = refuse(&["pidfd_open", "eventfd"]);
    assert_eq!(run(system("exit 3"))?, Status::Exited(3));
    drop(faults);
    assert_eq!((wait_count(), signal_count(), has_children()), (0, 0, false));
    // Nor is given what a loop needs: nothing is started.
    let refused = thread::spawn(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is live.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
        limit.rlim_cur = 3;
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let refused = system("exit 3");
        matches!(refused.state(), State::Rejected(_))
    });
    assert!(refused.join().map_err(Error::from_panic)?);
    assert!(!has_children());
    Ok(())
}

fn others_wait_first() -> Result<(), Error> {
    for by_signal in [false, true] {
        wait_by_signal(by_signal);
        for round in 0..50 {
            let mut child =
                Command::new("/bin/sh").args(["-c", "read code"]).stdin(Stdio::piped()).spawn()?;
            let ours = waitpid(WaitFlags::NONE, Pid::from(&child));
            let stdin = child.stdin.take();
            let theirs = thread::spawn(move || child.wait());
            if round % 2 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(stdin);
            // One of the two is told, and the other one that it is too late; nobody waits for ever.
            let (ours, theirs) = (run(ours), theirs.join().map_err(Error::from_panic)?);
            assert!(ours.is_ok() != theirs.is_ok(), "{ours:?} {theirs:?}");
        }
    }
    assert!(!has_children());
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn an_end_that_a_debugger_keeps() -> Result<(), Error> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn an_end_that_a_debugger_keeps() -> Result<(), Error> {
    let mut child = Command::new("/bin/sh").args(["-c", "read code"]).stdin(Stdio::piped()).spawn()?;
    let pid = Pid::from(&child);
    let (mut told, tells) = std::io::pipe()?;
    let (waits, ends) = std::io::pipe()?;
    let debugger = match fork()? {
        Fork::Child => {
            drop(ends);
            // SAFETY: no memory is touched.
            let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid.number(), 0, 0) };
            (&tells).write_all(&[u8::from(seized == 0)])?;
            // Until the other end is closed.
            let _ = (&waits).read(&mut [0]);
            leave(Ok(()))
        }
        Fork::Parent(debugger) => debugger,
    };
    let mut seized = [0];
    told.read_exact(&mut seized)?;
    let wait = waitpid(WaitFlags::NONE, pid);
    drop(child.stdin.take());
    if seized == [1] {
        let turns = Rc::new(Cell::new(0));
        let seen = Rc::clone(&turns);
        let hook = enter_iter_hooks().add_last(move || seen.set(seen.get() + 1));
        run(sleep(Duration::from_millis(50)))?;
        hook.remove();
        assert!(wait.is_pending());
        assert!(turns.get() < 100, "it asks again and again: {} turns", turns.get());
    }
    drop(ends);
    assert_eq!(run(wait)?, Some((pid, Status::Exited(1))));
    assert_eq!(run(waitpid(WaitFlags::NONE, debugger))?, Some((debugger, Status::Exited(0))));
    Ok(())
}
