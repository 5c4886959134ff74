//! The example `detach_hash`, beside the tools whose output it has.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use lwt_tests::dir::TempDir;
use lwt_tests::program::{Ended, Program};
use nix::errno::Errno;
use nix::pty::{OpenptyResult, Winsize, openpty};

fn detach_hash(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_detach_hash"));
    command.current_dir(dir).args(arguments);
    command
}

/// What a program prints, byte for byte.
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

/// What the tools print.
fn expected(dir: &Path, roots: &str) -> Vec<u8> {
    let script = format!("find {roots} -type f -print0 | LC_ALL=C sort -z | LC_ALL=C xargs -0 -r sha256sum");
    output(Command::new("sh").current_dir(dir).args(["-c", &script]))
}

/// A tree with names and contents that are hard to get right.
fn tree() -> TempDir {
    let dir = TempDir::new();
    for (name, content) in [
        (&b"empty"[..], &b""[..]),
        (b"a b", b"space"),
        (b"a/b/c", b"deep"),
        (b"a-b/c", b"sorts before a/"),
        (b"a.b", b"and so does this"),
        (b"new\nline", b"1"),
        (b"back\\slash", b"2"),
        (b"carriage\rreturn", b"3"),
        (b"both\\\n\r", b"4"),
        (b"di\\r/plain", b"5"),
        (b"\xff\xfe not text", b"6"),
        (b"-n", b"7"),
        (b"*?[x]'\"$HOME", b"8"),
        ("größe".as_bytes(), b"9"),
    ] {
        dir.write(OsStr::from_bytes(name), content);
    }
    for number in 0..300 {
        dir.write(format!("many/{}/{number}", number % 7), vec![number as u8; number * 997]);
    }
    dir.write("big", vec![b'x'; 3_000_000]);
    std::os::unix::fs::symlink("big", dir.path().join("link")).expect("a link");
    std::os::unix::fs::symlink("many", dir.path().join("many link")).expect("a link");
    fs::create_dir(dir.path().join("nothing in it")).expect("a directory");
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    dir
}

#[test]
fn prints_what_the_tools_print() {
    let dir = tree();
    let sums = expected(dir.path(), ".");
    assert!(sums.len() > 300 * 64);
    for arguments in [&[][..], &["--jobs", "1"], &["--jobs", "7", "."], &["--inline"]] {
        let printed = output(&mut detach_hash(dir.path(), arguments));
        assert!(printed == sums, "{arguments:?}:\n{}", String::from_utf8_lossy(&printed));
    }
    // Roots as they are written; several, one of them a file, one of them twice, one a link.
    for roots in
        ["many/", "many//1", "./a ../$(basename \"$PWD\")/many/3", "big a a link 'many link'", "many\\ link/"]
    {
        let script = format!("exec \"$0\" {roots}");
        let program = env!("CARGO_BIN_EXE_detach_hash");
        let printed = output(Command::new("sh").current_dir(dir.path()).args(["-c", &script, program]));
        assert_eq!(
            String::from_utf8_lossy(&printed),
            String::from_utf8_lossy(&expected(dir.path(), roots)),
            "{roots}"
        );
    }
    assert_eq!(output(&mut detach_hash(dir.path(), &["nothing in it"])), b"");
}

/// What the program shows on a terminal of this width that is its standard error; its standard output too, if
/// there is no other place for it.
fn shown(command: &mut Command, columns: u16, stdout: Option<fs::File>) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("a terminal");
    let stdout = stdout.map_or_else(|| Stdio::from(slave.try_clone().expect("a descriptor")), Stdio::from);
    command.stdout(stdout).stderr(slave).env("TERM", "xterm");
    let program = Program::start_as_is(command);
    // It has the only other end of the terminal now, and the command goes with this.
    *command = Command::new("none");
    let mut shown = Vec::new();
    let mut screen = fs::File::from(master);
    // The end of a terminal whose programs have ended is an error.
    let ended = screen.read_to_end(&mut shown).expect_err("the terminal's end");
    assert_eq!(ended.raw_os_error(), Some(Errno::EIO as i32));
    program.wait().assert_code(0);
    String::from_utf8(shown).expect("text")
}

#[test]
fn a_terminal_sees_a_bar_and_the_output_does_not() {
    let dir = tree();
    // Long enough that the bar is drawn a few times.
    let roots = vec!["."; 20];
    let sums = expected(dir.path(), &roots.join(" "));
    let elsewhere = TempDir::new();
    let path = elsewhere.write("sums", "");
    let output = fs::File::create(&path).expect("a file");
    let screen = shown(detach_hash(dir.path(), &["--jobs", "1"]).args(&roots), 60, Some(output));
    assert!(fs::read(&path).expect("a file") == sums, "the same lines");
    let files = sums.iter().filter(|byte| **byte == b'\n').count();
    let about = format!("/{files} files, ");
    let bars: Vec<_> = screen.split('\r').filter(|bar| bar.contains(&about)).collect();
    assert!(!bars.is_empty(), "{screen:?}");
    assert!(bars.iter().all(|bar| bar.contains('█') || bar.contains('░')), "{screen:?}");
    // In the end the line is clear again.
    assert!(screen.trim_end().ends_with("\x1b[2K"), "{screen:?}");

    // Where the sums are on the terminal, no bar is between them.
    let screen = shown(&mut detach_hash(dir.path(), &["a", "many"]), 60, None);
    let lines = String::from_utf8(expected(dir.path(), "a many")).expect("text");
    assert_eq!(screen, lines.replace('\n', "\r\n"));
}

#[test]
fn what_it_prints_can_be_checked() {
    let dir = tree();
    let elsewhere = TempDir::new();
    let sums = elsewhere.write("sums", output(&mut detach_hash(dir.path(), &["."])));
    let mut check = Command::new("sha256sum");
    let checked = check.current_dir(dir.path()).args(["--check", "--strict", "--quiet"]).arg(&sums).output();
    let checked = checked.expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

fn ended(dir: &Path, arguments: &[&str]) -> Ended {
    Program::start(&mut detach_hash(dir, arguments)).wait()
}

#[test]
fn what_cannot_be_read_is_told_at_the_end() {
    let dir = TempDir::new();
    dir.write("one", "1");
    dir.write("two", "2");
    // The first bytes of a process's memory are nobody's to read, whoever he is.
    let ended = ended(dir.path(), &["--jobs", "2", "/proc/self/mem", "missing", "."]);
    ended.assert_code(1);
    let names: Vec<_> = ended.stdout.lines().map(|line| line.rsplit("  ").next()).collect();
    assert_eq!(names, [Some("./one"), Some("./two")]);
    let problems: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("detach_hash: missing: No such file"), "{problems:?}");
    assert!(problems[1].starts_with("detach_hash: /proc/self/mem: Input/output error"), "{problems:?}");
}

#[test]
fn it_ends_when_nobody_reads() {
    let dir = tree();
    let mut child = detach_hash(dir.path(), &["--jobs", "2", ".", ".", ".", ".", "."])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut first = String::new();
    BufReader::with_capacity(1, child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let mut complaints = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut complaints).expect("text");
    assert_eq!(complaints, "");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}

#[test]
fn bad_options_are_explained() {
    let dir = TempDir::new();
    for bad in [&["--jobs", "0"][..], &["--jobs"], &["--fast"]] {
        let ended = ended(dir.path(), bad);
        ended.assert_code(2);
        assert!(ended.stderr.contains("see --help"), "{}", ended.stderr);
    }
    let help = ended(dir.path(), &["--help"]);
    help.assert_code(0);
    assert!(help.stdout.starts_with("detach_hash: the SHA-256"));
}
