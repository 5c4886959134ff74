//! Bytes that are moved from one descriptor to another: all kinds of ends, all ways, interrupted wherever
//! that can be.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use lwt_core::{Error, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::{Direction, Fd, Pump, copy};
use net_support::{
    TempDir, connection, drain, feed, file, in_child, limit_descriptors, open_descriptors, pattern, run,
    settle,
};

mod net_support;

const KINDS: [&str; 4] = ["pipe", "unix", "tcp", "shared"];

/// A kernel that can move nothing by itself.
fn refusing() -> Plan {
    let calls = ["splice", "sendfile", "copy_file_range"];
    Plan::seeded(3).with(Rule::on(calls).error(libc::EINVAL))
}

lwt_unix::test! {
    async fn from_every_kind_to_every_kind() -> Result<(), Error> {
        let data = pattern(400_000);
        for plan in [Plan::seeded(3), refusing()] {
            let _faults = plan.install();
            for from in KINDS {
                for to in KINDS {
                    let (source, taken) = connection(from).await?;
                    let (given, sink) = connection(to).await?;
                    let (feeding, draining) = (feed(source, data.clone()), drain(sink));
                    let mut pump = Pump::new(&taken, &given);
                    let traffic = pump.traffic();
                    assert_eq!(pump.run().await?, data.len() as u64, "{from} to {to}");
                    assert_eq!((traffic.taken(), traffic.given(), pump.held()), (400_000, 400_000, 0));
                    feeding.await?;
                    given.close()?;
                    assert!(draining.await? == data, "{from} to {to}");
                }
            }
        }
        Ok(())
    }

    async fn files_on_either_side() -> Result<(), Error> {
        let data = pattern(3_000_000);
        let old = Plan::seeded(3).with(Rule::on(["preadv2"]).error(libc::EOPNOTSUPP));
        for plan in [Plan::seeded(3), refusing(), old] {
            let _faults = plan.install();
            let dir = TempDir::new();
            for to in KINDS {
                let from = file(&dir, "from", &data)?;
                let (given, sink) = connection(to).await?;
                let draining = drain(sink);
                assert_eq!(copy(&from, &given, 1_000_000).await?, 1_000_000);
                assert_eq!(copy(&from, &given, u64::MAX).await?, 2_000_000);
                given.close()?;
                assert!(draining.await? == data, "a file to {to}");
            }
            for from in KINDS {
                let (source, taken) = connection(from).await?;
                let path = dir.path().join("to");
                let to = Fd::new(File::create(&path)?.into())?;
                let feeding = feed(source, data.clone());
                assert_eq!(copy(&taken, &to, u64::MAX).await?, 3_000_000);
                feeding.await?;
                assert!(std::fs::read(&path)? == data, "{from} to a file");
            }
            let from = file(&dir, "from", &data)?;
            let path = dir.path().join("to");
            let to = Fd::new(File::create(&path)?.into())?;
            assert_eq!(copy(&from, &to, 10).await?, 10);
            assert_eq!(copy(&from, &to, u64::MAX).await?, 2_999_990);
            assert!(std::fs::read(&path)? == data, "a file to a file");
            // Where the kernel will not splice or copy: behind the end of another.
            let (source, taken) = connection("unix").await?;
            let append = Fd::new(std::fs::OpenOptions::new().append(true).open(&path)?.into())?;
            let feeding = feed(source, data.clone());
            assert_eq!(copy(&taken, &append, u64::MAX).await?, 3_000_000);
            feeding.await?;
            let from = file(&dir, "from", &data)?;
            assert_eq!(copy(&from, &append, u64::MAX).await?, 3_000_000);
            assert_eq!(std::fs::metadata(&path)?.len(), 9_000_000);
        }
        Ok(())
    }

    async fn files_that_have_no_length_are_copied_all_the_same() -> Result<(), Error> {
        let from = Fd::new(File::open("/proc/self/status")?.into())?;
        let (given, sink) = connection("unix").await?;
        let draining = drain(sink);
        let n = copy(&from, &given, u64::MAX).await?;
        given.close()?;
        let text = draining.await?;
        assert!(n > 0 && text.len() as u64 == n && text.starts_with(b"Name:"));
        Ok(())
    }

    async fn what_a_cancelled_read_of_a_file_has_left_comes_first() -> Result<(), Error> {
        let data = pattern(10_000);
        let dir = TempDir::new();
        let from = file(&dir, "from", &data)?;
        let read = {
            let _faults = Plan::seeded(3).with(Rule::on(["preadv2"]).would_block()).install();
            let from = from.clone();
            spawn(async move { from.read(&mut [0; 500]).await })
        };
        read.cancel();
        assert!(read.await.is_err_and(|error| error.is_canceled()));
        settle().await?;
        let (given, sink) = connection("unix").await?;
        let draining = drain(sink);
        assert_eq!(copy(&from, &given, u64::MAX).await?, 10_000);
        given.close()?;
        assert!(draining.await? == data);
        Ok(())
    }

    async fn a_part_is_a_part() -> Result<(), Error> {
        for plan in [Plan::seeded(3), refusing()] {
            let _faults = plan.install();
            let (source, taken) = connection("tcp").await?;
            let (given, sink) = connection("unix").await?;
            let draining = drain(sink);
            source.write_all(b"head and body").await?;
            let mut pump = Pump::new(&taken, &given);
            assert_eq!(pump.run_some(0).await?, 0);
            assert_eq!(pump.run_some(4).await?, 4);
            assert_eq!(pump.held(), 0, "no more is taken than may be given");
            let mut buf = [0; 5];
            taken.read_exact(&mut buf).await?;
            assert_eq!(&buf, b" and ");
            let feeding = feed(source, Vec::new());
            assert_eq!(pump.run_some(1000).await?, 4);
            feeding.await?;
            given.close()?;
            assert_eq!(draining.await?, b"headbody");
        }
        Ok(())
    }

    async fn nothing_is_lost_however_often_it_is_interrupted() -> Result<(), Error> {
        let data = pattern(1_500_000);
        let cut = Plan::seeded(5)
            .with(Rule::any().chance(0.1).interrupted(2))
            .with(Rule::on(["splice", "read", "write", "recv", "send"]).chance(0.3).short(700))
            .with(Rule::on(["splice"]).chance(0.2).would_block());
        for plan in [Plan::seeded(3), refusing(), cut] {
            let _faults = plan.install();
            for (from, to) in [("tcp", "tcp"), ("unix", "pipe"), ("pipe", "unix"), ("tcp", "shared")] {
                let (source, taken) = connection(from).await?;
                let (given, sink) = connection(to).await?;
                let feeding = feed(source, data.clone());
                let pump = Rc::new(RefCell::new(Some(Pump::new(&taken, &given))));
                let mut draining = None;
                let mut turns = 0;
                loop {
                    let (place, mut own) = (Rc::clone(&pump), pump.take().expect("it is back"));
                    let run = spawn(async move {
                        let done = own.run_some(200_000).await;
                        place.replace(Some(own));
                        done
                    });
                    turns += 1;
                    for _ in 0..turns % 4 {
                        lwt_core::pause().await?;
                    }
                    run.cancel();
                    // With a reader only after some turns, so that both sides are waited for.
                    if turns == 8 {
                        draining = Some(drain(sink.clone()));
                    }
                    match run.await {
                        Ok(n) if n < 200_000 => break,
                        Ok(_) => {}
                        Err(error) => assert!(error.is_canceled(), "{error:?}"),
                    }
                    settle().await?;
                }
                feeding.await?;
                assert_eq!(pump.borrow().as_ref().map(Pump::held), Some(0));
                given.close()?;
                let got = draining.unwrap_or_else(|| drain(sink)).await?;
                assert!(got == data, "{from} to {to}: {} bytes", got.len());
            }
        }
        Ok(())
    }

    async fn dropping_the_work_keeps_the_bytes() -> Result<(), Error> {
        let (source, taken) = connection("unix").await?;
        let (given, sink) = connection("pipe").await?;
        let feeding = feed(source, pattern(3_000_000));
        let mut pump = Pump::new(&taken, &given);
        {
            // Until the pipe is full.
            let mut run = std::pin::pin!(pump.run());
            for _ in 0..20 {
                let polled =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(run.as_mut().poll(cx).is_ready())).await;
                assert!(!polled);
                settle().await?;
            }
        }
        assert!(pump.held() > 0);
        assert_eq!(pump.traffic().taken() - pump.traffic().given(), pump.held() as u64);
        let draining = drain(sink);
        pump.run().await?;
        feeding.await?;
        given.close()?;
        assert!(draining.await? == pattern(3_000_000));
        Ok(())
    }

    async fn each_side_fails_by_its_name() -> Result<(), Error> {
        let (source, taken) = connection("unix").await?;
        let (given, sink) = connection("unix").await?;
        source.write_all(b"too late").await?;
        sink.close()?;
        let mut pump = Pump::new(&taken, &given);
        let error = pump.run().await.expect_err("nobody reads");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::BrokenPipe));
        assert_eq!((pump.failed(), pump.held()), (Some(Direction::Write), 8));
        // Those who wait are rejected by an abort of either side.
        for side in [Direction::Read, Direction::Write] {
            let (source, taken) = connection("tcp").await?;
            let (given, _sink) = connection("pipe").await?;
            let feeding =
                if side == Direction::Write { Some(feed(source.clone(), pattern(500_000))) } else { None };
            let mut pump = Pump::new(&taken, &given);
            let run = spawn(async move {
                let error = pump.run().await.expect_err("aborted");
                Ok::<_, Error>((error, pump.failed()))
            });
            settle().await?;
            assert!(run.is_pending());
            let end = if side == Direction::Read { &taken } else { &given };
            end.abort(Error::msg("aborted on purpose"));
            let (error, failed) = run.await?;
            assert_eq!((error.to_string().as_str(), failed), ("aborted on purpose", Some(side)));
            drop(taken);
            if let Some(feeding) = feeding {
                feeding.cancel();
                drop(feeding.await);
            }
        }
        Ok(())
    }

    async fn a_file_is_sent_from_anywhere_in_it() -> Result<(), Error> {
        let data = pattern(2_000_000);
        for plan in [Plan::seeded(3), refusing()] {
            let _faults = plan.install();
            let dir = TempDir::new();
            let path = dir.path().join("file");
            std::fs::write(&path, &data)?;
            let file = lwt_unix::file::File::open(&path).await?;
            for to in KINDS {
                let (given, sink) = connection(to).await?;
                let draining = drain(sink);
                let mut offset = 1000;
                loop {
                    match given.send_file(&file, offset, 900_000).await? {
                        0 => break,
                        n => offset += n as u64,
                    }
                }
                assert_eq!(offset, 2_000_000);
                given.close()?;
                assert!(draining.await? == data[1000..], "to {to}");
            }
            // From an `Fd`, whose position stays.
            let source = Fd::new(File::open(&path)?.into())?;
            let (given, sink) = connection("tcp").await?;
            assert_eq!(given.send_file(&source, 5, 7).await?, 7);
            let mut buf = [0; 7];
            sink.read_exact(&mut buf).await?;
            assert_eq!(buf, data[5..12]);
            source.read_exact(&mut buf).await?;
            assert_eq!(buf, data[..7]);
            assert_eq!(given.send_file(&source, 5, 0).await?, 0);
            assert_eq!(given.send_file(&source, 3_000_000, 10).await?, 0);
            sink.close()?;
            settle().await?;
            let mut sent = Ok(1);
            while sent.is_ok() {
                sent = given.send_file(&source, 0, 1000).await;
            }
        }
        Ok(())
    }

    async fn sending_a_file_waits_for_room_and_can_be_given_up() -> Result<(), Error> {
        let dir = TempDir::new();
        let source = file(&dir, "file", &pattern(1_000_000))?;
        for end in ["cancel", "abort", "close", "peer"] {
            let (given, sink) = connection("unix").await?;
            let (to, from) = (given.clone(), source.clone());
            let sent = Rc::new(RefCell::new(0));
            let count = Rc::clone(&sent);
            let sending = spawn(async move {
                loop {
                    let offset = *count.borrow();
                    let n = to.send_file(&from, offset, 100_000).await?;
                    *count.borrow_mut() += n as u64;
                    if n == 0 {
                        return Ok::<_, Error>(());
                    }
                }
            });
            while given.writable()? {
                settle().await?;
            }
            settle().await?;
            assert!(sending.is_pending(), "{end}");
            match end {
                "cancel" => sending.cancel(),
                "abort" => given.abort(Error::msg("enough")),
                "close" => given.close()?,
                _ => sink.close()?,
            }
            let error = sending.await.expect_err("it ends");
            match end {
                "cancel" => {
                    assert!(error.is_canceled());
                    // What was counted is what was sent.
                    given.close()?;
                    let got = drain(sink).await?;
                    assert!(got == pattern(1_000_000)[..*sent.borrow() as usize]);
                }
                "abort" => assert_eq!(error.to_string(), "enough"),
                "peer" => assert_eq!(error.io_kind(), Some(std::io::ErrorKind::BrokenPipe)),
                _ => {}
            }
        }
        Ok(())
    }
}

#[test]
fn idle_pumps_hold_no_descriptors_and_a_shortage_stops_none() {
    in_child("idle_pumps_hold_no_descriptors_and_a_shortage_stops_none", || {
        run(async {
            let mut ends = Vec::new();
            for _ in 0..20 {
                ends.push((connection("unix").await?, connection("unix").await?));
            }
            settle().await?;
            let before = open_descriptors();
            let pumps: Vec<_> = ends
                .iter()
                .map(|((_, taken), (given, _))| {
                    let mut pump = Pump::new(taken, given);
                    spawn(async move { pump.run().await })
                })
                .collect();
            settle().await?;
            assert!(open_descriptors() <= before + 2, "no pipe for each");
            // And when none can be had at all.
            limit_descriptors(before as u64 + 1);
            for (round, ((source, _), (_, sink))) in ends.iter().enumerate() {
                source.write_all(&pattern(5000 + round)).await?;
                let mut got = vec![0; 5000 + round];
                sink.read_exact(&mut got).await?;
                assert!(got == pattern(5000 + round));
            }
            for ((source, _), _) in &ends {
                source.close()?;
            }
            for (round, pump) in pumps.into_iter().enumerate() {
                assert_eq!(pump.await?, 5000 + round as u64);
            }
            Ok(())
        });
    });
}

/// The ends are the program's own: a plain thread at the one, a file at the other.
#[test]
fn a_thread_feeds_what_is_pumped_into_a_file() {
    run(async {
        let dir = TempDir::new();
        let path = dir.path().join("to");
        let (reader, mut writer) = std::io::pipe()?;
        let from = Fd::new(OwnedFd::from(reader))?;
        let to = Fd::new(File::create(&path)?.into())?;
        let feeding = std::thread::spawn(move || writer.write_all(&pattern(1_500_000)));
        assert_eq!(copy(&from, &to, u64::MAX).await?, 1_500_000);
        feeding.join().expect("the thread")?;
        let mut got = Vec::new();
        File::open(&path)?.read_to_end(&mut got)?;
        assert!(got == pattern(1_500_000));
        Ok(())
    });
}
