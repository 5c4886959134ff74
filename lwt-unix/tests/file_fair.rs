//! Whoever is answered at once, again and again, lets others run all the same.

use std::cell::Cell;
use std::io::SeekFrom;
use std::rc::Rc;

use lwt_core::{Error, Promise, pause, spawn};
use lwt_unix::bytes::{Map, Sharing};
use lwt_unix::file::{self, File};

/// Makes calls one after the other, and sees to it that a task which began before gets through.
async fn lets_others_run<T: 'static>(name: &str, call: impl Fn() -> Promise<T>) -> Result<(), Error> {
    let ran = Rc::new(Cell::new(false));
    let other = spawn({
        let ran = Rc::clone(&ran);
        async move {
            pause().await?;
            ran.set(true);
            Ok::<_, Error>(())
        }
    });
    let mut calls = 0;
    while !ran.get() {
        assert!(calls < 10_000, "{name} keeps the loop");
        // Errors are answers, too.
        let _ = call().await;
        calls += 1;
    }
    other.await
}

lwt_unix::test! {
    async fn calls_that_need_no_thread_give_way() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "text").await?;
            // The file system is known from now on.
            file::stat(&path).await?;
            let open = File::open(&path).await?;
            let map = Map::new(&open.try_clone_to_owned()?, 0, None, Sharing::ReadOnly)?;
            lets_others_run("stat", || file::stat(&path)).await?;
            lets_others_run("file_exists", || file::file_exists(dir.join("none"))).await?;
            lets_others_run("open", || File::open(&path)).await?;
            lets_others_run("open, of none", || File::open(dir.join("none"))).await?;
            lets_others_run("read", || file::read(&path)).await?;
            lets_others_run("read, of none", || file::read(dir.join("none"))).await?;
            lets_others_run("fstat", || open.stat()).await?;
            lets_others_run("seek", || open.seek(SeekFrom::Start(1))).await?;
            lets_others_run("wait_mincore", || map.wait_mincore(0)).await?;
            Ok::<_, Error>(())
        })
        .await
    }
}
