//! The entry macros, as seen from outside: programs are this test's own binary, started again.

use std::process::{Command, Output};

use lwt_core::Error;

const CHOICE: &str = "LWT_ENTRY_PROGRAM";

lwt_unix::main! {
    /// The programs; which one, says the environment.
    #[allow(dead_code)]
    async fn main() -> Result<(), Error> {
        lwt_unix::at_exit(|| async {
            lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
            println!("the exit hook");
            Ok::<_, Error>(())
        });
        match std::env::var(CHOICE).as_deref() {
            Ok("works") => Ok(()),
            Ok("panics") => panic!("on purpose"),
            _ => Err(std::io::Error::from_raw_os_error(libc::ENOENT).into()),
        }
    }
}

/// Called as a test it does nothing, unless it is meant to be a program.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test harness would make its own exit code of it")]
fn program() {
    if std::env::var_os(CHOICE).is_some() {
        let code = main();
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

fn command(program: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "program", "--nocapture", "--test-threads=1"]).env(CHOICE, program);
    command
}

fn start(program: &str) -> Output {
    command(program).output().expect("it starts")
}

#[test]
fn success() {
    let output = start("works");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("the exit hook"));
}

#[test]
fn an_error_is_printed_and_makes_the_exit_code_1() {
    let output = start("fails");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error: No such file or directory"), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("the exit hook"));
}

#[test]
fn without_a_loop_there_is_one_error() {
    let output = command("works").env("LWT_ENGINE", "none").output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.matches("error: cannot make the main loop").count(), 1, "{text}");
}

#[test]
fn so_is_a_panic() {
    let output = start("panics");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: panicked: on purpose"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the exit hook"));
}

lwt_unix::test! {
    async fn a_test_that_passes() {
        lwt_core::pause().await.expect("paused");
    }

    async fn one_with_a_result() -> Result<(), Error> {
        lwt_core::pause().await
    }

    #[should_panic(expected = "on purpose")]
    async fn one_that_panics() {
        lwt_core::pause().await.expect("paused");
        panic!("on purpose");
    }

    #[should_panic(expected = "the test failed: no such thing")]
    async fn one_that_returns_an_error() -> Result<(), Error> {
        Err(Error::msg("no such thing"))
    }

    #[should_panic(expected = "nobody looked at")]
    async fn one_that_leaves_a_rejection() {
        drop(lwt_core::Promise::<()>::fail(Error::msg("stray")));
    }
}
