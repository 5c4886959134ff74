//! Reading and writing files: from the cache and by jobs, at the position and at offsets, cancelled and
//! failing.

mod file_support;

use std::future::Future;
use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::task::{Context, Poll};

use lwt_core::{Error, join, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::file::{self, File, OpenOptions};

use file_support::{both_ways, number};

/// Bytes that tell where they come from.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(len).collect()
}

lwt_unix::test! {
    async fn what_was_written_is_read() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            for len in [0, 1, 4095, 4096, 4097, 70_000, 3_000_000] {
                let bytes = pattern(len);
                let file = File::create(&path).await?;
                file.write_all(&bytes).await?;
                file.close().await?;
                assert!(file::read(&path).await? == bytes, "{len} bytes, whole");
                let file = File::open(&path).await?;
                let mut found = b"before".to_vec();
                assert_eq!(file.read_to_end(&mut found).await?, len);
                assert!(found.strip_prefix(b"before") == Some(&bytes[..]), "{len} bytes, to the end");
                assert_eq!(file.read(&mut [0; 16]).await?, 0);
                file.seek(SeekFrom::Start(0)).await?;
                let mut exact = vec![0; len];
                file.read_exact(&mut exact).await?;
                assert!(exact == bytes, "{len} bytes, exactly");
                let error = file.read_exact(&mut [0; 1]).await.unwrap_err();
                assert_eq!(error.io_kind(), Some(std::io::ErrorKind::UnexpectedEof));
            }
            Ok(())
        })
        .await
    }

    async fn offsets_leave_the_position_alone() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            let file = OpenOptions::new().read(true).write(true).create(true).open(&path).await?;
            // Two at once, and one that leaves a hole between them.
            let writes = [(5, "hello"), (15, "world")].map(|(offset, text)| {
                let file = file.clone();
                spawn(async move { file.pwrite_all(text.as_bytes(), offset).await })
            });
            join(writes).await?;
            let mut word = [0; 5];
            file.pread_exact(&mut word, 15).await?;
            assert_eq!(&word, b"world");
            assert_eq!(file.pread(&mut [0; 8], 20).await?, 0);
            assert_eq!(file.seek(SeekFrom::Current(0)).await?, 0);
            assert_eq!(file::read(&path).await?, b"\0\0\0\0\0hello\0\0\0\0\0world");
            assert_eq!(number(&file.pread(&mut [0; 8], u64::MAX).await.unwrap_err()), Some(libc::EINVAL));
            Ok(())
        })
        .await
    }

    async fn several_buffers_are_used_in_their_order() -> Result<(), Error> {
        both_ways(|dir| async move {
            let file = OpenOptions::new().read(true).write(true).create(true).open(dir.join("f")).await?;
            let n = file.writev(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")]).await?;
            assert_eq!(n, 6);
            assert_eq!(file.pwritev(&[IoSlice::new(b"X"), IoSlice::new(b"Y")], 1).await?, 2);
            let (mut one, mut two) = ([0; 1], [0; 10]);
            let bufs = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!(file.preadv(bufs, 0).await?, 6);
            assert_eq!((&one, &two[..5]), (b"a", &b"XYdef"[..]));
            file.seek(SeekFrom::Start(4)).await?;
            let bufs = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!(file.readv(bufs).await?, 2);
            assert_eq!((one[0], two[0]), (b'e', b'f'));
            assert_eq!(file.readv(&mut []).await?, 0);
            Ok(())
        })
        .await
    }

    async fn no_call_moves_more_than_a_moment_does() -> Result<(), Error> {
        both_ways(|dir| async move {
            const MOST: usize = 1 << 20;
            let bytes = pattern(3 * MOST);
            let path = dir.join("f");
            file::write(&path, bytes.clone()).await?;
            let file = File::open(&path).await?;
            let mut all = vec![0; 3 * MOST];
            assert!((1..=MOST).contains(&file.pread(&mut all, 0).await?));
            let (head, tail) = all.split_at_mut(1000);
            let bufs = &mut [IoSliceMut::new(&mut []), IoSliceMut::new(head), IoSliceMut::new(tail)];
            assert!((1..=MOST).contains(&file.preadv(bufs, 0).await?));
            assert!((1..=MOST).contains(&file.preadv(&mut bufs[2..], 5).await?));
            assert_eq!(file.preadv(&mut bufs[..1], 5).await?, 0);
            all.fill(0);
            file.pread_exact(&mut all, 0).await?;
            assert!(all == bytes);
            Ok(())
        })
        .await
    }

    async fn reading_to_the_end_that_is_dropped_leaves_what_has_come() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            file::mkfifo(&path, 0o600).await?;
            let writer = OpenOptions::new().read(true).write(true).open(&path).await?;
            let reader = File::open(&path).await?;
            writer.write_all(b"some").await?;
            let mut content = b"and ".to_vec();
            {
                let mut reading = std::pin::pin!(reader.read_to_end(&mut content));
                // It has got the bytes and waits for more, or for the job that gets them.
                let polled = |cx: &mut Context<'_>| Poll::Ready(reading.as_mut().poll(cx).is_pending());
                assert!(std::future::poll_fn(polled).await);
            }
            assert!([&b"and "[..], b"and some"].contains(&&content[..]), "{content:?}");
            // For the job that goes on.
            writer.write_all(b"!").await?;
            Ok(())
        })
        .await
    }

    async fn readers_of_one_position_get_each_byte_once() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            let bytes = pattern(400_000);
            file::write(&path, bytes.clone()).await?;
            let file = File::open(&path).await?;
            let readers = (0..8).map(|_| {
                let file = file.clone();
                spawn(async move {
                    let (mut pieces, mut buf) = (Vec::new(), vec![0; 4000]);
                    loop {
                        match file.read(&mut buf).await? {
                            0 => return Ok::<_, Error>(pieces),
                            n => pieces.push(buf[..n].to_vec()),
                        }
                    }
                })
            });
            let pieces = lwt_core::all(readers.collect::<Vec<_>>()).await?;
            let mut pieces: Vec<_> = pieces.into_iter().flatten().collect();
            let mut whole: Vec<_> = bytes.chunks(4000).map(<[u8]>::to_vec).collect();
            pieces.sort();
            whole.sort();
            assert!(pieces == whole);
            Ok(())
        })
        .await
    }

    async fn a_reader_of_cached_pages_lets_others_run() -> Result<(), Error> {
        file::with_temp_file(|file, _| async move {
            file.write_all(&pattern(8192)).await?;
            let reader = spawn(async move {
                let mut buf = [0; 4096];
                loop {
                    file.pread(&mut buf, 0).await?;
                }
                #[allow(unreachable_code)]
                Ok::<(), Error>(())
            });
            // The loop gets on with its timers.
            lwt_unix::sleep(std::time::Duration::from_millis(5)).await?;
            assert!(reader.is_pending());
            reader.cancel();
            assert!(reader.await.unwrap_err().is_canceled());
            Ok::<_, Error>(())
        })
        .await
    }

    async fn interruptions_and_short_counts_lose_nothing() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            let bytes = pattern(50_000);
            let plan = Plan::seeded(11)
                .with(Rule::writes().every(2).short(777))
                .with(Rule::reads().every(3).short(999))
                .with(Rule::any().chance(0.3).interrupted(2));
            let faults = plan.install();
            file::write(&path, bytes.clone()).await?;
            assert!(file::read(&path).await? == bytes);
            let file = OpenOptions::new().read(true).write(true).open(&path).await?;
            file.pwrite_all(&bytes, 3).await?;
            let mut found = vec![0; bytes.len()];
            file.pread_exact(&mut found, 3).await?;
            assert!(found == bytes);
            file.close().await?;
            assert!(faults.injected() > 0);
            Ok(())
        })
        .await
    }

    async fn errors_name_call_and_path() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            let file = File::create(&path).await?;
            let faults = Plan::seeded(1).with(Rule::on(["write"]).error(libc::ENOSPC)).install();
            let error = file.write_all(b"x").await.unwrap_err();
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::StorageFull));
            assert_eq!(file_support::told(&error), ("write", path.to_str().unwrap()));
            drop(faults);
            file.write_all(b"y").await?;
            assert_eq!(file::read(&path).await?, b"y");
            Ok(())
        })
        .await
    }

    async fn kernels_that_do_not_know_the_fast_calls_are_no_trouble() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "text").await?;
            for error in [libc::EOPNOTSUPP, libc::ENOSYS, libc::EPERM, libc::EAGAIN] {
                // The process would not ask for the latter again.
                let opening = if error == libc::ENOSYS { libc::EPERM } else { error };
                let plan = Plan::seeded(1)
                    .with(Rule::on(["preadv2"]).error(error))
                    .with(Rule::on(["openat2", "statx"]).error(opening));
                let _faults = plan.install();
                let file = File::open(&path).await?;
                let mut text = String::new();
                file.read_to_string(&mut text).await?;
                assert_eq!(text, "text");
                assert_eq!(file.stat().await?.size, 4);
                assert_eq!(file::stat(&path).await?.size, 4);
                assert_eq!(file::read(&path).await?, b"text");
                assert!(!file::file_exists(dir.join("none")).await?);
            }
            Ok(())
        })
        .await
    }
}

/// What is cached is read without a job, as soon as the file system is known.
#[cfg(target_os = "linux")]
#[test]
fn cached_files_need_no_thread() {
    lwt_unix::entry::guarded("cached_files_need_no_thread", || {
        lwt_unix::run(file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            file::write(&path, pattern(10_000)).await?;
            for _ in 0..3 {
                // What is unknown is learnt.
                file::read(&path).await?;
            }
            let stats = file::stat(&path);
            if stats.is_pending() {
                eprintln!("the temporary directory's file system has no fast path");
                return Ok(());
            }
            assert_eq!(stats.await?.size, 10_000);
            let missing = file::file_exists(dir.join("none"));
            assert!(!missing.await?);
            let opened = File::open(&path);
            assert!(!opened.is_pending(), "opened at once");
            assert!(!opened.await?.close().is_pending(), "closed at once");
            // Never what is created or written.
            for options in [OpenOptions::new().write(true), OpenOptions::new().read(true).create(true)] {
                let opened = options.open(&path);
                assert!(opened.is_pending(), "{options:?}");
                opened.await?.close().await?;
            }
            Ok::<_, Error>(())
        }))
        .expect("files");
    });
}
