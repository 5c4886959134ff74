//! Locks, which only another process meets: this program, run again.

use std::process::{Command, Stdio};
use std::time::Duration;

use lwt_core::{Error, join};
use lwt_unix::file::{self, Lock, OpenOptions};
use lwt_unix::job;

/// What the child is to do with which file.
const TASK: &str = "LWT_TEST_LOCK";

fn child(test: &str, path: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", test, "--nocapture"])
        .env(TASK, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A child that is ended, if need be, and waited for.
struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The path, in the child.
fn task() -> Option<std::path::PathBuf> {
    std::env::var_os(TASK).map(Into::into)
}

async fn open(path: &std::path::Path) -> Result<file::File, Error> {
    OpenOptions::new().read(true).write(true).open(path).await
}

/// In the child: has the file's lock until it is told.
async fn hold(path: &std::path::Path) -> Result<(), Error> {
    let file = open(path).await?;
    file.lock(Lock::Exclusive, 0).await?;
    std::fs::write(path.with_extension("locked"), "").expect("a sign");
    while !path.with_extension("go").exists() {
        lwt_unix::sleep(Duration::from_millis(1)).await?;
    }
    Ok(())
}

/// A child, running this test, that has the file's lock.
async fn holder(test: &str, path: &std::path::Path) -> Result<Holder, Error> {
    file::write(path, "").await?;
    let holder = Holder(child(test, path).spawn().expect("a child"));
    while !path.with_extension("locked").exists() {
        lwt_unix::sleep(Duration::from_millis(1)).await?;
    }
    Ok(holder)
}

lwt_unix::test! {
    async fn another_process_is_locked_out() -> Result<(), Error> {
        if let Some(path) = task() {
            let file = open(&path).await?;
            assert!(!file.test_lock(Lock::Exclusive, 10).await?);
            assert!(!file.try_lock(Lock::Shared, 10).await?);
            // Only the first ten bytes are taken.
            file.seek(std::io::SeekFrom::Start(10)).await?;
            assert!(file.test_lock(Lock::Exclusive, 0).await?);
            assert!(file.try_lock(Lock::Exclusive, 0).await?);
            return Ok(());
        }
        file::with_temp_file(|file, path| async move {
            file.write_all(&[0; 20]).await?;
            file.seek(std::io::SeekFrom::Start(0)).await?;
            file.lock(Lock::Exclusive, 10).await?;
            let status = job::detach_result(move || child("another_process_is_locked_out", &path).status());
            assert!(status.await?.success());
            file.unlock(10).await?;
            assert!(file.test_lock(Lock::Exclusive, 0).await?);
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_lock_is_waited_for_and_a_cancelled_wait_gives_it_back() -> Result<(), Error> {
        if let Some(path) = task() {
            return hold(&path).await;
        }
        file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            let name = "a_lock_is_waited_for_and_a_cancelled_wait_gives_it_back";
            let mut holder = holder(name, &path).await?;
            let file = open(&path).await?;
            let (waits, cancelled) = (file.lock(Lock::Shared, 0), file.lock(Lock::Exclusive, 0));
            lwt_unix::sleep(Duration::from_millis(5)).await?;
            assert!(waits.is_pending());
            cancelled.cancel();
            assert!(cancelled.await.unwrap_err().is_canceled());
            std::fs::write(path.with_extension("go"), "").expect("a sign");
            waits.await?;
            assert!(holder.0.wait().expect("a status").success());
            Ok::<_, Error>(())
        })
        .await
    }

    async fn however_many_wait_for_locks_other_jobs_are_done() -> Result<(), Error> {
        if let Some(path) = task() {
            return hold(&path).await;
        }
        file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            let mut holder = holder("however_many_wait_for_locks_other_jobs_are_done", &path).await?;
            let file = open(&path).await?;
            let more = job::pool().limits().max_threads + 50;
            let waits: Vec<_> = (0..more).map(|_| file.lock(Lock::Exclusive, 0)).collect();
            // As far behind them as can be.
            file::set_fast_paths(false);
            for _ in 0..50 {
                assert!(file::stat(&dir).await?.is_dir());
            }
            // And what they may wait for.
            file.unlock(0).await?;
            assert!(!file.try_lock(Lock::Shared, 0).await?);
            assert!(waits.iter().all(lwt_core::Promise::is_pending));
            std::fs::write(path.with_extension("go"), "").expect("a sign");
            join(waits).await?;
            assert!(holder.0.wait().expect("a status").success());
            Ok::<_, Error>(())
        })
        .await
    }
}
