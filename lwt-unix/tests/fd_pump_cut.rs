//! Bytes that are moved from one descriptor to another, while somebody cancels that or changes a blocking mode.

use std::fs::File;

use lwt_core::{Error, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::{Fd, Pump, copy};
use net_support::{TempDir, connection, drain, feed, file, pattern, settle};

mod net_support;

lwt_unix::test! {
    async fn descriptors_that_are_made_blocking_meanwhile_keep_nobody() -> Result<(), Error> {
        // Before it runs, while it waits for something to read, and for room.
        for stage in 0..3 {
            for (from, to) in [("tcp", "tcp"), ("unix", "pipe"), ("pipe", "unix"), ("pipe", "pipe")] {
                let data = pattern(600_000);
                let (source, taken) = connection(from).await?;
                let (given, sink) = connection(to).await?;
                let block = |now| if now == stage {
                    taken.set_blocking(true).and_then(|()| given.set_blocking(true))
                } else {
                    Ok(())
                };
                let mut pump = Pump::new(&taken, &given);
                block(0)?;
                let run = spawn(async move { pump.run().await });
                settle().await?;
                block(1)?;
                let feeding = feed(source, data.clone());
                settle().await?;
                block(2)?;
                let draining = drain(sink);
                assert_eq!(run.await?, 600_000, "{from} to {to}, {stage}");
                feeding.await?;
                given.close()?;
                assert!(draining.await? == data, "{from} to {to}, {stage}");
            }
        }
        Ok(())
    }

    async fn a_file_is_sent_to_a_socket_that_is_made_blocking() -> Result<(), Error> {
        let data = pattern(3_000_000);
        let dir = TempDir::new();
        let from = file(&dir, "from", &data)?;
        let (given, sink) = connection("unix").await?;
        let mut pump = Pump::new(&from, &given);
        let run = spawn(async move { pump.run().await });
        settle().await?;
        given.set_blocking(true)?;
        let draining = drain(sink);
        assert_eq!(run.await?, 3_000_000);
        given.close()?;
        assert!(draining.await? == data);
        Ok(())
    }

    async fn a_cancel_that_comes_while_a_job_moves_bytes_is_not_lost() -> Result<(), Error> {
        let data = pattern(3_000_000);
        let dir = TempDir::new();
        let from = file(&dir, "from", &data)?;
        // A job for each few bytes, so that the cancel finds one under way.
        let cut = Plan::seeded(3).with(Rule::on(["copy_file_range", "sendfile", "write", "pwrite"]).short(100));
        let _faults = cut.install();
        let path = dir.path().join("to");
        for way in ["copy", "send", "send_file", "write", "pwrite"] {
            let to = Fd::new(File::create(&path)?.into())?;
            let (given, sink) = connection("unix").await?;
            let draining = drain(sink);
            let (from, data) = (from.clone(), data.clone());
            let work = spawn(async move {
                match way {
                    "copy" => copy(&from, &to, u64::MAX).await.map(drop),
                    "send" => copy(&from, &given, u64::MAX).await.map(drop),
                    "write" => to.write_all(&data).await,
                    _ => loop {
                        match way {
                            "pwrite" => to.pwrite(&data, 0).await?,
                            _ => given.send_file(&from, 0, 1000).await?,
                        };
                    },
                }
            });
            for _ in 0..10 {
                lwt_core::pause().await?;
            }
            work.cancel();
            assert!(work.await.is_err_and(|error| error.is_canceled()), "{way}");
            draining.await?;
        }
        Ok(())
    }
}
