//! The quickstart example as its user sees it: what it prints, what it exits with, which files it takes.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use lwt_tests::dir::TempDir;
use lwt_tests::http;
use lwt_tests::peer::deaf_port;
use lwt_tests::program::{Ended, Program};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

const QUICKSTART: &str = env!("CARGO_BIN_EXE_quickstart");

/// Runs it on a directory.
#[track_caller]
fn run(dir: &Path, arguments: &[&str]) -> Ended {
    Program::start(Command::new(QUICKSTART).arg("--dir").arg(dir).args(arguments)).wait()
}

/// Checks that all went well, for so many files of so many bytes.
#[track_caller]
fn assert_agrees(ended: &Ended, files: usize, bytes: usize) {
    ended.assert_code(0);
    assert_eq!(ended.stdout, format!("quickstart: {files} files, {bytes} bytes, all digests agree\n"));
    assert_eq!(ended.stderr, "");
}

/// A tree with every kind of name and size; how many files of how many bytes there are.
fn tree(dir: &TempDir) -> (usize, usize) {
    let names: [&[u8]; 17] = [
        b"plain.txt",
        b"two words",
        b"100%",
        b"%41%2e%2E",
        b"a#b?c&d=e+f;g",
        b"new\nline\ttab\x01\x7f",
        b".hidden",
        b"...",
        b"..name",
        b"-dash",
        "\u{e4}\u{f6}\u{fc} \u{65e5}\u{672c}".as_bytes(),
        b"not \xff\xfe utf-8 \xc3",
        b"back\\slash \"quoted\"",
        b"<dir with spaces>/100% of it/\xe9t\xe9",
        b"http:/host",
        b"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/deep",
        &[b'n'; 255],
    ];
    let piece = 128 * 1024;
    let sizes =
        [0, 1, 4095, 4096, 4097, 8192, piece - 1, piece, piece + 1, 2 * piece, 3 * piece + 7, 5_000_011];
    let mut bytes = 0;
    for name in names {
        dir.write(OsStr::from_bytes(name), name);
        bytes += name.len();
    }
    for size in sizes {
        let content: Vec<u8> = (0..size).map(|at: usize| (at * 31 + at / 251) as u8).collect();
        dir.write(format!("sizes/{size}"), content);
        bytes += size;
    }
    (names.len() + sizes.len(), bytes)
}

#[test]
fn a_worker_that_is_killed_costs_nothing() {
    let dir = TempDir::new();
    let (files, bytes) = tree(&dir);
    for _ in 0..5 {
        let ended = run(dir.path(), &["--kill-one"]);
        ended.assert_code(0);
        assert_eq!(ended.stdout, format!("quickstart: {files} files, {bytes} bytes, all digests agree\n"));
        assert!(ended.stderr.contains(" has been killed\n"), "{}", ended.stderr);
    }
}

#[test]
fn any_number_of_workers() {
    let dir = TempDir::new();
    let (files, bytes) = tree(&dir);
    for workers in ["0", "1", "3", "100"] {
        assert_agrees(&run(dir.path(), &["--workers", workers]), files, bytes);
    }
}

#[test]
fn every_kind_of_name_and_size() {
    let dir = TempDir::new();
    let (files, bytes) = tree(&dir);
    for connections in ["1", "3", "64", "100"] {
        assert_agrees(&run(dir.path(), &["--connections", connections]), files, bytes);
    }
}

#[test]
fn few_descriptors() {
    let dir = TempDir::new();
    for number in 0..300 {
        dir.write(format!("deep/er/{number}"), "x");
    }
    for limit in ["24", "40", "100"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n \"$1\" && exec \"$0\" --dir \"$2\"", QUICKSTART, limit]).arg(dir.path());
        let ended = Program::start(&mut shell).wait();
        ended.assert_code(0);
        assert_eq!(ended.stdout, "quickstart: 300 files, 300 bytes, all digests agree\n");
        assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains("connections"), "{ended:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_passed_over() {
    let outside = TempDir::new();
    outside.write("secret", "secret");
    let dir = TempDir::new();
    dir.write("one", "1");
    symlink(outside.path(), dir.path().join("to a directory")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("to a file")).unwrap();
    symlink("one", dir.path().join("to a neighbour")).unwrap();
    symlink(".", dir.path().join("round and round")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    mkfifo(&dir.path().join("pipe"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    assert_agrees(&run(dir.path(), &[]), 1, 1);
    // The directory itself may be given by a link.
    let link = outside.path().join("link");
    symlink(dir.path(), &link).unwrap();
    assert_agrees(&run(&link, &[]), 1, 1);
}

#[test]
fn caches_and_the_repository_are_left_out() {
    let dir = TempDir::new();
    dir.write("source", "12");
    dir.write(".git/objects/pack", "345");
    dir.write("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# comment");
    dir.write("target/debug/program", "6789");
    dir.write("sub/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
    dir.write("sub/.gitignore", "target");
    // It only has the name, so it is none.
    dir.write("sub/target/CACHEDIR.TAG", "Signature");
    assert_agrees(&run(dir.path(), &[]), 3, 2 + 6 + 9);
    assert_agrees(&run(dir.path(), &["--all"]), 7, 2 + 6 + 9 + 3 + 53 + 4 + 43);
    // What the user names is meant, whatever it is.
    assert_agrees(&run(&dir.path().join("target"), &[]), 2, 53 + 4);
}

#[test]
fn an_empty_directory() {
    assert_agrees(&run(TempDir::new().path(), &[]), 0, 0);
}

#[test]
fn which_directory_it_takes_by_itself() {
    let here = TempDir::new();
    here.write("file", "123");
    let package = TempDir::new();
    package.write("file", "12345");
    let mut command = Command::new(QUICKSTART);
    command.current_dir(here.path()).env_remove("CARGO_MANIFEST_DIR");
    assert_agrees(&Program::start(&mut command).wait(), 1, 3);
    command.env("CARGO_MANIFEST_DIR", package.path());
    assert_agrees(&Program::start(&mut command).wait(), 1, 5);
}

#[test]
fn no_such_directory() {
    let dir = TempDir::new();
    dir.write("file", "");
    for name in ["nowhere", "file", "file/below"] {
        let ended = run(&dir.path().join(name), &[]);
        ended.assert_code(1);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.starts_with("quickstart: ") && ended.stderr.contains(name), "{ended:?}");
    }
}

#[test]
fn unreadable_files_and_directories() {
    let dir = TempDir::new();
    dir.write("readable", "1");
    let file = dir.write("not readable", "12");
    dir.write("closed/file", "123");
    let closed = dir.path().join("closed");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    // Nothing is unreadable for root, so the program has to be somebody else, who need not be able to reach
    // the original of it.
    let programs = TempDir::new();
    let program = programs.path().join("quickstart");
    // Copied by another process: if this one had the file open for writing, a test beside this one that forks
    // just then would have so too.
    assert!(Command::new("cp").arg(QUICKSTART).arg(&program).status().unwrap().success());
    let mut command = Command::new(program);
    command.arg("--dir").arg(dir.path());
    if geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let ended = Program::start(&mut command).wait();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    ended.assert_code(1);
    assert_eq!(ended.stdout, "quickstart: 1 files, 1 bytes agree, 2 problems\n");
    let mut problems: Vec<_> = ended.stderr.lines().collect();
    problems.sort();
    assert_eq!(
        problems,
        [
            "quickstart: \"closed\": Permission denied (os error 13)",
            "quickstart: \"not readable\": Permission denied (os error 13)"
        ]
    );
}

#[test]
fn a_refused_connection() {
    let dir = TempDir::new();
    for number in 0..100 {
        dir.write(number.to_string(), "x");
    }
    let (_socket, address) = deaf_port();
    let ended = run(dir.path(), &["--server", &address.to_string()]);
    ended.assert_code(1);
    assert_eq!(ended.stdout, "quickstart: 0 files, 0 bytes agree, 2 problems\n");
    let problems: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(problems.len(), 2, "{ended:?}");
    assert!(problems[0].contains("refused") && problems[0].contains(&address.to_string()), "{ended:?}");
    assert_eq!(problems[1], "quickstart: 100 files were not downloaded");
}

#[test]
fn a_terminal_gets_a_progress_bar() {
    let dir = TempDir::new();
    let (files, bytes) = tree(&dir);
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = Command::new(QUICKSTART);
    command.arg("--dir").arg(dir.path()).env("TERM", "xterm").env_remove("NO_COLOR");
    command.stdout(Stdio::piped()).stderr(terminal.slave.as_fd().try_clone_to_owned().unwrap());
    let program = Program::start_as_is(&mut command);
    drop((command, terminal.slave));
    // Reading the terminal's other end fails when nobody has it open any more.
    let screen = thread::spawn(move || {
        let mut screen = Vec::new();
        let _ = fs::File::from(terminal.master).read_to_end(&mut screen);
        String::from_utf8_lossy(&screen).into_owned()
    });
    assert_agrees(&program.wait(), files, bytes);
    let screen = screen.join().unwrap();
    assert!(screen.contains("\u{2591}") && screen.contains("files"), "no bar: {screen:?}");
}

#[test]
fn nobody_reads_standard_output() {
    let dir = TempDir::new();
    dir.write("file", "1");
    for arguments in [&["--dir", "."][..], &["--help"], &["--serve"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(QUICKSTART);
        command.args(arguments).current_dir(dir.path()).stdout(writer).stderr(Stdio::piped());
        let program = Program::start_as_is(&mut command);
        drop(command);
        let ended = program.wait();
        ended.assert_code(1);
        assert!(ended.stderr.contains("standard output"), "{ended:?}");
    }
}

#[test]
fn an_interrupt_ends_it() {
    let dir = TempDir::new();
    dir.write("file", "1");
    let (asked, was_asked) = std::sync::mpsc::channel();
    let silent = http::server(move |mut stream| {
        if http::target(&mut stream).is_some() {
            let _ = asked.send(stream); // which keeps the connection open
        }
    });
    let program = Program::start(
        Command::new(QUICKSTART).arg("--dir").arg(dir.path()).args(["--server", &silent.to_string()]),
    );
    let _stream = was_asked.recv().unwrap();
    program.signal(Signal::SIGINT);
    let ended = program.wait();
    assert_eq!(ended.status.signal(), Some(Signal::SIGINT as i32));
    assert_eq!(ended.stdout, "");
}

#[test]
fn wrong_arguments() {
    let wrong = [
        &["--connections", "0"][..],
        &["--connections", "many"],
        &["--connections"],
        &["--timeout", "-1"],
        &["--timeout", "soon"],
        &["--server", "somewhere"],
        &["--serve", "--server", "127.0.0.1:1"],
        &["--kill-one", "--workers", "0"],
        &["--nonsense"],
        &["extra"],
    ];
    for arguments in wrong {
        let ended = Program::start(Command::new(QUICKSTART).args(arguments)).wait();
        ended.assert_code(2);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.starts_with("quickstart: "), "{ended:?}");
    }
    let help = Program::start(Command::new(QUICKSTART).arg("--help")).wait();
    help.assert_code(0);
    assert!(help.stdout.contains("--connections"));
}
