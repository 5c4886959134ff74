//! Standard input, output and error as every kind of file: they work, they do not block the loop, and the
//! flags of their open file descriptions are what they were, however the program ends.
//!
//! The program is this one: [`child`] does what an environment variable says.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lwt_core::{Error, spawn};
use lwt_unix::fd;
use net_support::{TempDir, Watchdog, pattern};

mod net_support;

/// What the child is to do.
const TASK: &str = "LWT_STANDARD_TASK";
/// How many bytes go through.
const COUNT: usize = 150_000;

fn flags(fd: &impl AsRawFd) -> i32 {
    // SAFETY: the command takes no argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

/// Letters: no control character for a terminal, and no bracket.
fn text(len: usize) -> Vec<u8> {
    pattern(len).into_iter().map(|byte| b'a' + byte % 26).collect()
}

#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    net_support::run(async move {
        let (stdin, stdout) = (fd::stdin()?, fd::stdout()?);
        match task.as_str() {
            "count" => {
                let mut got = Vec::new();
                let mut buf = [0; 4096];
                while got.len() < COUNT {
                    let other = stdin.clone();
                    let read = spawn(async move { other.read(&mut buf).await.map(|n| (buf, n)) });
                    // Given up now and then, which loses nothing.
                    if got.len() % 3 == 0 {
                        lwt_core::pause().await?;
                        read.cancel();
                    }
                    match read.await {
                        Ok((_, 0)) => break,
                        Ok((bytes, n)) => got.extend_from_slice(&bytes[..n]),
                        Err(error) if error.is_canceled() => {}
                        Err(error) => return Err(error),
                    }
                }
                stdout.write_all(format!("<{} {}>\n", got.len(), sum(&got)).as_bytes()).await
            }
            "pour" => {
                stdout.write_all(b"<").await?;
                stdout.write_all(&text(COUNT)).await?;
                stdout.write_all(b">\n").await?;
                fd::stderr()?.write_all(b"poured\n").await
            }
            task => {
                let reading = spawn(async move { stdin.read(&mut [0; 10]).await });
                lwt_unix::sleep(Duration::from_millis(20)).await?;
                // The read has begun and waits, and the loop goes on.
                stdout.write_all(b"<waits>\n").await?;
                if task == "panic" {
                    panic!("on purpose, with a read under way");
                }
                reading.await.map(drop)
            }
        }
    });
}

fn start(task: &str, stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(TASK, task)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the child starts")
}

/// What stands between the brackets that the child writes.
fn bracketed(from: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = [0; 8192];
    loop {
        if let Some(start) = all.iter().position(|byte| *byte == b'<')
            && let Some(end) = all[start..].iter().position(|byte| *byte == b'>')
        {
            return all[start + 1..start + end].to_vec();
        }
        match from.read(&mut buf) {
            Ok(n) if n > 0 => all.extend_from_slice(&buf[..n]),
            end => panic!("the child ended with {end:?} after {}", String::from_utf8_lossy(&all)),
        }
    }
}

/// A pseudo-terminal in raw mode: its master end, and the terminal.
fn terminal() -> (File, File) {
    let ends = nix::pty::openpty(None, None).expect("a terminal");
    let mut raw = nix::sys::termios::tcgetattr(&ends.slave).expect("its attributes");
    nix::sys::termios::cfmakeraw(&mut raw);
    nix::sys::termios::tcsetattr(&ends.slave, nix::sys::termios::SetArg::TCSANOW, &raw).expect("raw mode");
    (ends.master.into(), ends.slave.into())
}

/// One kind of file: what feeds it or is fed by it, and the end for the child.
fn kinds() -> Vec<(&'static str, File, OwnedFd)> {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (near, far) = UnixStream::pair().expect("a pair");
    let (master, slave) = terminal();
    let file = |fd: OwnedFd| File::from(fd);
    vec![
        ("pipe", file(writer.into()), reader.into()),
        ("socket", file(near.into()), far.into()),
        ("terminal", master, slave.into()),
    ]
}

#[test]
fn standard_input_is_read_whatever_it_is() {
    let _watchdog = Watchdog::new();
    let data = text(COUNT);
    for (kind, mut feed, end) in kinds() {
        let witness = end.try_clone().expect("a duplicate");
        let before = flags(&witness);
        let mut child = start("count", end, Stdio::piped());
        let fed = data.clone();
        let feeding = std::thread::spawn(move || {
            for part in fed.chunks(1000) {
                feed.write_all(part).expect("the child reads");
            }
            // A terminal's master has to stay until the child has read.
            feed
        });
        let said = bracketed(child.stdout.as_mut().expect("piped"));
        assert_eq!(String::from_utf8_lossy(&said), format!("{COUNT} {}", sum(&data)), "{kind}");
        assert!(child.wait().expect("it ends").success(), "{kind}");
        assert_eq!(flags(&witness), before, "{kind}");
        drop(feeding.join().expect("all is fed"));
    }
}

#[test]
fn files_and_the_null_device_are_read_to_their_end() {
    let _watchdog = Watchdog::new();
    let dir = TempDir::new();
    let path = dir.path().join("input");
    let data = text(COUNT - 1);
    std::fs::write(&path, &data).expect("a file");
    for (path, data) in [(path.as_path(), &data[..]), ("/dev/null".as_ref(), &[][..])] {
        let file = File::open(path).expect("it opens");
        let before = flags(&file);
        let mut child = start("count", file.try_clone().expect("a duplicate"), Stdio::piped());
        let said = bracketed(child.stdout.as_mut().expect("piped"));
        assert_eq!(String::from_utf8_lossy(&said), format!("{} {}", data.len(), sum(data)));
        assert!(child.wait().expect("it ends").success());
        assert_eq!(flags(&file), before);
    }
}

#[test]
fn standard_output_is_written_whatever_it_is() {
    let _watchdog = Watchdog::new();
    for (kind, end, mut drain) in output_kinds() {
        let witness = end.try_clone().expect("a duplicate");
        let before = flags(&witness);
        let mut child = start("pour", Stdio::null(), end);
        assert!(bracketed(&mut drain) == text(COUNT), "{kind}");
        let output = child.wait_with_output_of_errors();
        assert!(output.contains("poured"), "{kind}: {output}");
        assert_eq!(flags(&witness), before, "{kind}");
    }
    let dir = TempDir::new();
    let path = dir.path().join("output");
    let mut child = start("pour", Stdio::null(), File::create(&path).expect("a file"));
    assert!(child.wait_with_output_of_errors().contains("poured"));
    assert!(bracketed(&mut File::open(&path).expect("it opens")) == text(COUNT));
    let mut child = start("pour", Stdio::null(), Stdio::null());
    assert!(child.wait_with_output_of_errors().contains("poured"));
}

fn output_kinds() -> Vec<(&'static str, OwnedFd, File)> {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (near, far) = UnixStream::pair().expect("a pair");
    let (master, slave) = terminal();
    vec![
        ("pipe", writer.into(), OwnedFd::from(reader).into()),
        ("socket", near.into(), OwnedFd::from(far).into()),
        ("terminal", slave.into(), master),
    ]
}

trait WaitWithErrors {
    /// Waits for the child, which succeeds, and gives what it has written to standard error.
    fn wait_with_output_of_errors(&mut self) -> String;
}

impl WaitWithErrors for Child {
    fn wait_with_output_of_errors(&mut self) -> String {
        let mut errors = String::new();
        self.stderr.as_mut().expect("piped").read_to_string(&mut errors).expect("text");
        assert!(self.wait().expect("it ends").success(), "{errors}");
        errors
    }
}

#[test]
fn the_flags_are_as_before_when_the_program_is_killed_or_panics() {
    let _watchdog = Watchdog::new();
    for task in ["wait", "panic"] {
        for ((kind, feed, end), (_, out, mut drain)) in kinds().into_iter().zip(output_kinds()) {
            let (input, output) = (end.try_clone().expect("one more"), out.try_clone().expect("one more"));
            let before = (flags(&input), flags(&output));
            let mut child = start(task, end, out);
            assert_eq!(bracketed(&mut drain), b"waits", "{kind}");
            if task == "wait" {
                assert_eq!((flags(&input), flags(&output)), before, "{kind}, while it waits");
                let id = i32::try_from(child.id()).expect("a process");
                // SAFETY: a signal to a child that is not waited for yet.
                assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
                assert_eq!(child.wait().expect("it ends").signal(), Some(libc::SIGTERM));
            } else {
                // It fails, and its output goes on meanwhile.
                drop(child.stderr.take());
                let draining = std::thread::spawn(move || {
                    let _ = drain.read_to_end(&mut Vec::new());
                });
                assert!(!child.wait().expect("it ends").success());
                assert_eq!((flags(&input), flags(&output)), before, "{kind}, after a panic");
                drop(output);
                drop(feed);
                drop(input);
                draining.join().expect("the drain");
                continue;
            }
            assert_eq!((flags(&input), flags(&output)), before, "{kind}, after SIGTERM");
            drop(feed);
        }
    }
}

lwt_unix::test! {
    async fn a_thread_has_one_of_each_and_another_when_that_is_closed() -> Result<(), Error> {
        let (one, two) = (fd::stderr()?, fd::stderr()?);
        assert_eq!(one.as_raw_fd(), two.as_raw_fd());
        assert!(one.as_raw_fd() > 2, "the standard number is nobody's to close");
        one.close()?;
        two.check_descriptor().expect_err("closed for all handles");
        fd::stderr()?.check_descriptor()?;
        assert!(flags(&std::io::stderr()) >= 0);
        Ok(())
    }
}
