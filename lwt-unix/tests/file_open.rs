//! Opening, closing, seeking, and what concerns an open file as a whole.

mod file_support;

use std::io::SeekFrom;
use std::os::fd::AsRawFd;
use std::time::{Duration, UNIX_EPOCH};

use lwt_core::{Error, spawn};
use lwt_unix::fd::OsError;
use lwt_unix::file::{self, File, FileTime, OpenOptions};

use file_support::{both_ways, number, told};

lwt_unix::test! {
    async fn options_mean_what_they_say() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            let error = File::open(&path).await.unwrap_err();
            assert_eq!(number(&error), Some(libc::ENOENT));
            assert_eq!(told(&error), ("open", path.to_str().expect("text")));
            let made = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path).await?;
            assert_eq!(made.stat().await?.permissions & 0o137, 0);
            made.write_all(b"first").await?;
            assert_eq!(number(&made.read(&mut [0; 4]).await.unwrap_err()), Some(libc::EBADF));
            made.close().await?;
            let again = OpenOptions::new().write(true).create_new(true).open(&path).await.unwrap_err();
            assert_eq!(number(&again), Some(libc::EEXIST));
            let append = OpenOptions::new().append(true).open(&path).await?;
            append.write_all(b" second").await?;
            append.close().await?;
            assert_eq!(file::read(&path).await?, b"first second");
            let both = OpenOptions::new().read(true).write(true).open(&path).await?;
            both.write_all(b"FIRST").await?;
            let mut rest = String::new();
            both.read_to_string(&mut rest).await?;
            assert_eq!(rest, " second");
            File::create(&path).await?;
            assert_eq!(file::stat(&path).await?.size, 0);
            let nothing = OpenOptions::new().create(true).open(&path).await.unwrap_err();
            assert_eq!(nothing.io_kind(), Some(std::io::ErrorKind::InvalidInput));
            Ok(())
        })
        .await
    }

    async fn a_path_with_a_zero_byte_is_an_error() -> Result<(), Error> {
        for error in [
            File::open("a\0b").await.unwrap_err(),
            file::stat("a\0b").await.unwrap_err(),
            file::read("a\0b").await.unwrap_err(),
            file::unlink("a\0b").await.unwrap_err(),
            file::rename("a", "a\0b").await.unwrap_err(),
        ] {
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
        }
        Ok(())
    }

    async fn descriptors_are_close_on_exec_unless_told() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "x").await?;
            let cases =
                [(false, 0, libc::FD_CLOEXEC), (true, 0, 0), (true, libc::O_CLOEXEC, libc::FD_CLOEXEC)];
            for (keep, custom, flags) in cases {
                let options = OpenOptions::new().read(true).keep_on_exec(keep).custom_flags(custom);
                let file = options.open(&path).await?;
                // SAFETY: F_GETFD takes no argument.
                assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) }, flags);
                let copy = file.try_clone_to_owned()?;
                // SAFETY: F_GETFD takes no argument.
                assert_eq!(unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
            }
            Ok(())
        })
        .await
    }

    async fn closing_closes_for_all_handles() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "text").await?;
            let file = File::open(&path).await?;
            let other = file.clone();
            other.close().await?;
            for error in [
                file.close().await.unwrap_err(),
                file.read(&mut [0; 4]).await.unwrap_err(),
                file.pread(&mut [0; 4], 0).await.unwrap_err(),
                file.write(b"x").await.unwrap_err(),
                file.seek(SeekFrom::Start(0)).await.unwrap_err(),
                file.stat().await.unwrap_err(),
                file.sync().await.unwrap_err(),
            ] {
                assert!(OsError::of(&error).is_some_and(OsError::is_closed), "{error:?}");
                assert_eq!(number(&error), Some(libc::EBADF));
            }
            assert!(format!("{file:?}").contains("closed"));
            Ok(())
        })
        .await
    }

    async fn a_file_that_is_closed_while_a_job_uses_it_stays_open_for_that() -> Result<(), Error> {
        file::with_temp_file(|file, path| async move {
            let bytes = vec![7; 300_000];
            let written = lwt_core::spawn({
                let file = file.clone();
                async move { file.write_all(&bytes[..]).await }
            });
            file.close().await?;
            written.await?;
            assert_eq!(file::stat(&path).await?.size, 300_000);
            Ok::<_, Error>(())
        })
        .await
    }

    async fn seeks_and_lengths() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "0123456789").await?;
            let file = OpenOptions::new().read(true).write(true).open(&path).await?;
            assert_eq!(file.seek(SeekFrom::End(-4)).await?, 6);
            assert_eq!(file.seek(SeekFrom::Current(2)).await?, 8);
            let mut two = [0; 2];
            file.read_exact(&mut two).await?;
            assert_eq!(&two, b"89");
            assert_eq!(file.seek(SeekFrom::Current(0)).await?, 10);
            assert_eq!(number(&file.seek(SeekFrom::Current(-11)).await.unwrap_err()), Some(libc::EINVAL));
            let error = file.seek(SeekFrom::Start(u64::MAX)).await.unwrap_err();
            assert_eq!(number(&error), Some(libc::EOVERFLOW));
            // Beyond what 32 bits can count to; most of it is a hole.
            let far = (1_u64 << 33) + 5;
            assert_eq!(file.pwrite(b"!", far).await?, 1);
            assert_eq!(file.stat().await?.size, far + 1);
            assert_eq!(file.seek(SeekFrom::Start(far)).await?, far);
            let mut one = [0; 4];
            assert_eq!(file.read(&mut one).await?, 1);
            assert_eq!(one[0], b'!');
            file.truncate(4).await?;
            assert_eq!(file::read(&path).await?, b"0123");
            file::truncate(&path, 6).await?;
            assert_eq!(file::read(&path).await?, b"0123\0\0");
            file.sync().await?;
            file.sync_data().await?;
            Ok(())
        })
        .await
    }

    async fn attributes_can_be_set() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            let file = File::create(&path).await?;
            file.set_permissions(0o604).await?;
            file.set_owner(None, None).await?;
            let times = [UNIX_EPOCH + Duration::new(1, 2), UNIX_EPOCH - Duration::from_millis(1500)];
            file.set_times(times[0], times[1]).await?;
            let stats = file.stat().await?;
            assert_eq!((stats.permissions, stats.accessed, stats.modified), (0o604, times[0], times[1]));
            file.set_times(FileTime::Keep, FileTime::Now).await?;
            let stats = file.stat().await?;
            assert_eq!(stats.accessed, times[0]);
            assert!(stats.modified > UNIX_EPOCH + Duration::from_secs(1));
            match file.preallocate(0, 100_000, false).await {
                Ok(()) => assert_eq!(file.stat().await?.size, 100_000),
                Err(error) => assert_eq!(error.io_kind(), Some(std::io::ErrorKind::Unsupported)),
            }
            Ok(())
        })
        .await
    }

    async fn a_fifo_that_was_opened_becomes_a_descriptor_that_waits() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let path = dir.join("fifo");
            file::mkfifo(&path, 0o600).await?;
            let flags = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK);
            let reader = flags.keep_on_exec(true).open(&path).await?;
            let writer = OpenOptions::new().write(true).open(&path).await?;
            let other = reader.clone();
            let raw = reader.as_raw_fd();
            let reader = reader.into_fd()?;
            assert_eq!((reader.as_raw_fd(), other.as_raw_fd()), (raw, -1));
            assert_eq!(number(&other.into_fd().unwrap_err()), Some(libc::EBADF));
            // SAFETY: takes no argument.
            assert_eq!(unsafe { libc::fcntl(raw, libc::F_GETFD) }, 0, "as it was opened");
            let writer = writer.into_fd()?;
            let reading = spawn(async move {
                let mut all = Vec::new();
                reader.read_to_end(&mut all, 100).await.map(|n| (n, all))
            });
            lwt_unix::sleep(Duration::from_millis(2)).await?;
            assert!(reading.is_pending());
            writer.write_all(b"text").await?;
            writer.close()?;
            assert_eq!(reading.await?, (4, b"text".to_vec()));
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_file_that_a_job_uses_stays_a_file() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let path = dir.join("fifo");
            file::mkfifo(&path, 0o600).await?;
            let file = OpenOptions::new().read(true).write(true).open(&path).await?;
            let reading = spawn({
                let file = file.clone();
                async move {
                    let mut buf = [0; 4];
                    file.read_exact(&mut buf).await.map(|()| buf)
                }
            });
            let error = file.clone().into_fd().unwrap_err();
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ResourceBusy));
            assert_eq!(told(&error), ("into_fd", path.to_str().expect("text")));
            file.write_all(b"text").await?;
            assert_eq!(&reading.await?, b"text");
            let fd = file.into_fd()?;
            assert_eq!(fd.try_read(&mut [0])?, None);
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_fifo_is_never_opened_on_the_loop() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("fifo");
            file::mkfifo(&path, 0o600).await?;
            let reader = File::open(&path);
            for _ in 0..3 {
                lwt_core::pause().await?;
            }
            assert!(reader.is_pending());
            let writer = OpenOptions::new().write(true).open(&path).await?;
            let reader = reader.await?;
            writer.write_all(b"through").await?;
            writer.close().await?;
            let mut text = String::new();
            reader.read_to_string(&mut text).await?;
            assert_eq!(text, "through");
            Ok(())
        })
        .await
    }
}
