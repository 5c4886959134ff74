//! The example `mandelbrot`.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use lwt_tests::dir::TempDir;
use lwt_tests::program::Program;
use lwt_tests::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn mandelbrot(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mandelbrot"));
    command.arg("--out").arg(out).args(arguments);
    command
}

/// The bytes of the picture that so many workers draw.
fn picture(dir: &TempDir, workers: &str) -> Vec<u8> {
    let out = dir.path().join(format!("{workers}.png"));
    let size = ["--width", "120", "--height", "97", "--iterations", "300", "--workers", workers];
    let ended = Program::start(&mut mandelbrot(&out, &size)).wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""));
    fs::read(out).expect("a picture")
}

#[test]
fn the_picture_is_the_same_for_any_number_of_workers() {
    let dir = TempDir::new();
    let one = picture(&dir, "1");
    assert_eq!(&one[..8], b"\x89PNG\r\n\x1a\n");
    for workers in ["2", "4", "150"] {
        assert!(picture(&dir, workers) == one, "{workers} workers draw something else");
    }
}

#[test]
fn it_is_the_set() {
    let dir = TempDir::new();
    let out = dir.path().join("set.png");
    assert!(
        Program::start(&mut mandelbrot(&out, &["--width", "90", "--height", "61"])).wait().status.success()
    );
    let file = BufReader::new(File::open(out).expect("a picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut points = vec![0; reader.output_buffer_size().expect("a small one")];
    let info = reader.next_frame(&mut points).expect("a picture");
    assert_eq!((info.width, info.height, info.color_type), (90, 61, png::ColorType::Rgb));
    let point = |row: usize, column: usize| &points[3 * (90 * row + column)..][..3];
    // The point 0 lies inside, and the corners lie outside.
    assert_eq!(point(30, 63), [0, 0, 0]);
    assert!([point(0, 0), point(60, 89)].iter().all(|corner| *corner != [0, 0, 0]));
    // It is its own mirror image.
    assert!((0..90).all(|column| (0..30).all(|row| point(row, column) == point(60 - row, column))));
}

#[test]
fn a_worker_that_is_killed_costs_nothing_but_time() {
    let dir = TempDir::new();
    let size = ["--width", "300", "--height", "200", "--iterations", "20000", "--workers", "3"];
    let (whole, torn) = (dir.path().join("whole.png"), dir.path().join("torn.png"));
    assert!(Program::start(&mut mandelbrot(&whole, &size)).wait().status.success());
    let program = Program::start(&mut mandelbrot(&torn, &size));
    until("a worker is there", || !program.workers().is_empty());
    if let Some(worker) = program.workers().first() {
        // If it has ended by now, nothing is lost either.
        let _ = kill(Pid::from_raw(*worker), Signal::SIGKILL);
    }
    let ended = program.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(fs::read(whole).expect("a picture") == fs::read(torn).expect("a picture"));
}

#[test]
fn a_picture_that_is_there_stays_until_the_new_one_has_been_drawn() {
    let dir = TempDir::new();
    let out = dir.path().join("picture.png");
    fs::write(&out, "the old one").expect("a file");
    let program = Program::start(&mut mandelbrot(&out, &["--iterations", "4000000000"]));
    until("a worker is there", || !program.workers().is_empty());
    program.signal(Signal::SIGKILL);
    program.wait();
    assert_eq!(fs::read(&out).expect("a file"), b"the old one");
    assert!(Program::start(&mut mandelbrot(&out, &["--width", "9"])).wait().status.success());
    assert_eq!(&fs::read(&out).expect("a picture")[..4], b"\x89PNG");
}

#[test]
fn what_cannot_be_done_is_said() {
    let dir = TempDir::new();
    // Before it is drawn, which would take for ever.
    let command = &mut mandelbrot(&dir.path().join("no/such/dir.png"), &["--iterations", "4000000000"]);
    let ended = Program::start(command).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("no/such/dir.png: "), "{}", ended.stderr);
    let ended = Program::start(&mut mandelbrot(Path::new("/dev/full"), &["--width", "8"])).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.starts_with("mandelbrot: /dev/full: "), "{}", ended.stderr);
    let huge = ["--width", "4294967295", "--height", "4294967295"];
    let ended = Program::start(&mut mandelbrot(&dir.path().join("x.png"), &huge)).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(!dir.path().join("x.png").exists());
    assert!(ended.stderr.starts_with("mandelbrot: 4294967295 × 4294967295 points: "), "{}", ended.stderr);
    for arguments in [
        &["--width", "0"][..],
        &["--workers", "1001"],
        &["--workers", "0"],
        &["--height", "-1"],
        &["rubbish"],
    ] {
        let ended = Program::start(&mut mandelbrot(&dir.path().join("x.png"), arguments)).wait();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
    }
    let ended = Program::start(&mut Command::new(env!("CARGO_BIN_EXE_mandelbrot"))).wait();
    assert!(ended.stderr.contains("--out"), "{}", ended.stderr);
}
