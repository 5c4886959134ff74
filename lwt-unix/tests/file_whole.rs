//! Whole files, replacing them, and temporary ones: nothing is left behind, whatever happens.

mod file_support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lwt_core::{Error, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::file::{self, TempOptions};

use file_support::{both_ways, number};

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

lwt_unix::test! {
    async fn text_that_is_none_is_an_error() -> Result<(), Error> {
        both_ways(|dir| async move {
            file::write(dir.join("f"), [b'a', 0xff]).await?;
            assert_eq!(file::read(dir.join("f")).await?, [b'a', 0xff]);
            let error = file::read_to_string(dir.join("f")).await.unwrap_err();
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidData));
            assert_eq!(number(&file::read(dir.join("none")).await.unwrap_err()), Some(libc::ENOENT));
            assert_eq!(number(&file::read(&dir).await.unwrap_err()), Some(libc::EISDIR));
            // Files that do not know their size.
            assert!(file::read_to_string("/proc/self/status").await?.contains("Name:"));
            Ok(())
        })
        .await
    }

    async fn a_file_is_replaced_at_once_with_its_permissions() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            file::replace(&path, "one").await?;
            file::chmod(&path, 0o604).await?;
            file::link(&path, dir.join("old")).await?;
            file::replace(&path, "two").await?;
            assert_eq!(file::read(&path).await?, b"two");
            assert_eq!(file::read(dir.join("old")).await?, b"one");
            assert_eq!(file::stat(&path).await?.permissions, 0o604);
            assert_eq!(names(&dir), ["f", "old"]);
            Ok::<_, Error>(())
        })
        .await
    }

    async fn only_files_are_replaced() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            file::mkfifo(dir.join("fifo"), 0o600).await?;
            let error = file::replace(dir.join("fifo"), "x").await.unwrap_err();
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
            file::mkdir(dir.join("dir"), 0o700).await?;
            let error = file::replace(dir.join("dir"), "x").await.unwrap_err();
            assert_eq!(number(&error), Some(libc::EISDIR));
            file::write(dir.join("f"), "old").await?;
            file::symlink("f", dir.join("link")).await?;
            file::replace(dir.join("link"), "new").await?;
            assert_eq!(file::read(dir.join("f")).await?, b"old");
            assert_eq!(file::read(dir.join("link")).await?, b"new");
            assert_eq!(names(&dir), ["dir", "f", "fifo", "link"]);
            assert_eq!(file::lstat(dir.join("fifo")).await?.kind, file::FileKind::Fifo);
            Ok::<_, Error>(())
        })
        .await
    }

    #[cfg(target_os = "linux")]
    async fn a_replacement_gives_nobody_what_the_old_file_did_not() -> Result<(), Error> {
        use file_support::{NOBODY, as_nobody, is_root};
        if !is_root() {
            return Ok(());
        }
        file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "old").await?;
            // With the privilege all of it is kept.
            file::chown(&path, Some(1234), Some(5678)).await?;
            file::chmod(&path, 0o6754).await?;
            file::replace(&path, "new").await?;
            let stats = file::stat(&path).await?;
            assert_eq!((stats.user, stats.group, stats.permissions), (1234, 5678, 0o6754));
            file::chmod(&dir, 0o777).await?;
            if as_nobody(|| file::stat(&path)).await.is_err() {
                // Temporary files are out of anybody else's reach here.
                return Ok(());
            }
            // Neither owner nor group can be had.
            as_nobody(|| file::replace(&path, "newer")).await?;
            let stats = file::stat(&path).await?;
            assert_eq!((stats.user, stats.permissions), (NOBODY, 0o704));
            // The group can: it is the one that this process has.
            file::chown(&path, Some(1234), Some(stats.group)).await?;
            file::chmod(&path, 0o2664).await?;
            as_nobody(|| file::replace(&path, "newest")).await?;
            let renewed = file::stat(&path).await?;
            assert_eq!((renewed.user, renewed.group, renewed.permissions), (NOBODY, stats.group, 0o2664));
            assert_eq!(file::read(&path).await?, b"newest");
            assert_eq!(names(&dir), ["f"]);
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_replacement_that_fails_at_any_call_leaves_the_old_file() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "old").await?;
            for call in ["openat", "fstatat", "write", "fstat", "fchmod", "fsync", "renameat"] {
                let _faults = Plan::seeded(1).with(Rule::on([call]).error(libc::EIO)).install();
                let error = file::replace(&path, "new").await.unwrap_err();
                assert_eq!(number(&error), Some(libc::EIO), "{call}");
                assert_eq!(std::fs::read(&path).expect("it"), b"old", "{call}");
                assert_eq!(names(&dir), ["f"], "{call}");
            }
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_replacement_in_pieces_can_be_given_up() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let path = dir.join("f");
            let length = file::replace_with(&path, |file| async move {
                file.write_all(b"one").await?;
                file.close().await?;
                Ok::<_, Error>(3)
            });
            // Closed by its writer: there is nothing that could be brought to the disk.
            assert!(length.await.is_err());
            assert!(names(&dir).is_empty());
            file::replace_with(&path, |file| async move { file.write_all(b"two").await }).await?;
            assert_eq!(file::read(&path).await?, b"two");
            let failed = file::replace_with(&path, |file| async move {
                file.write_all(b"three").await?;
                Err::<(), _>(Error::msg("no"))
            });
            assert_eq!(failed.await.unwrap_err().to_string(), "no");
            let hanging = file::replace_with(&path, |file| async move {
                file.write_all(b"four").await?;
                lwt_unix::sleep(std::time::Duration::from_secs(3600)).await
            });
            while names(&dir).len() < 2 {
                lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
            }
            hanging.cancel();
            assert!(hanging.await.unwrap_err().is_canceled());
            assert_eq!(file::read(&path).await?, b"two");
            while names(&dir) != ["f"] {
                lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
            }
            Ok::<_, Error>(())
        })
        .await
    }

    async fn temporary_files_go_however_it_ends() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let options = TempOptions::new().parent(&dir).prefix("pre-").suffix(".suf");
            let temp = options.open_file().await?;
            let name = names(&dir).pop().expect("a file");
            assert!(name.starts_with("pre-") && name.ends_with(".suf"), "{name}");
            assert_eq!(std::fs::metadata(temp.path()).expect("it").permissions().mode() & 0o777, 0o600);
            temp.file().write_all(b"x").await?;
            // Closed and removed by its user: no error.
            temp.file().close().await?;
            file::unlink(temp.path()).await?;
            temp.close().await?;
            assert!(names(&dir).is_empty());
            // Dropped.
            drop(options.open_file().await?);
            assert!(names(&dir).is_empty());
            // Cancelled before anybody had it, whether its job had begun or not.
            for _ in 0..50 {
                let opened = options.open_file();
                opened.cancel();
                let made = options.create_dir();
                std::thread::yield_now();
                made.cancel();
                // Whether it came too late.
                let _ = (opened.await, made.await);
            }
            lwt_unix::job::wait_for_jobs().await?;
            while !names(&dir).is_empty() {
                // The thread was in the middle of it.
                lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
            }
            let (kept, path) = options.open_file().await?.keep();
            kept.close().await?;
            assert!(path.exists());
            file::unlink(&path).await?;
            let tree = options.create_dir().await?;
            file::write(tree.path().join("f"), "").await?;
            let kept = tree.keep();
            assert!(kept.join("f").exists());
            file::delete_recursively(&kept).await?;
            let error = TempOptions::new().parent(dir.join("none")).open_file().await.unwrap_err();
            assert_eq!(number(&error), Some(libc::ENOENT));
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_temporary_file_goes_without_a_descriptor_to_spare() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let options = TempOptions::new().parent(&dir);
            let temp = options.open_file().await?;
            let faults = Plan::seeded(1).with(Rule::on(["openat"]).error(libc::EMFILE)).install();
            temp.close().await?;
            drop(faults);
            assert!(names(&dir).is_empty());
            // And if it cannot be closed well. That is told when it is gone.
            let temp = options.open_file().await?;
            let faults = Plan::seeded(1).with(Rule::on(["close"]).error(libc::EIO)).install();
            assert_eq!(number(&temp.close().await.unwrap_err()), Some(libc::EIO));
            drop(faults);
            assert!(names(&dir).is_empty());
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_temporary_file_is_where_it_was_to_be() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let here = std::env::current_dir().expect("a directory");
            let up: std::path::PathBuf = here.components().skip(1).map(|_| "..").collect();
            let relative = up.join(dir.strip_prefix("/").expect("a whole path"));
            let temp = TempOptions::new().parent(&relative).open_file().await?;
            assert_eq!(names(&dir).len(), 1);
            // Wherever the process goes meanwhile.
            assert!(temp.path().is_absolute());
            temp.close().await?;
            assert!(names(&dir).is_empty());
            for options in [TempOptions::new().prefix("/tmp/x"), TempOptions::new().suffix("/../x")] {
                let options = options.parent(&dir);
                for error in
                    [options.open_file().await.map(drop), options.create_dir().await.map(drop)]
                {
                    assert_eq!(error.unwrap_err().io_kind(), Some(std::io::ErrorKind::InvalidInput));
                }
            }
            Ok::<_, Error>(())
        })
        .await
    }

    async fn scopes_of_temporary_files_clean_up() -> Result<(), Error> {
        let path = file::with_temp_file(|file, path| async move {
            file.close().await?;
            Ok::<_, Error>(path)
        });
        assert!(!path.await?.exists());
        let (told, path) = lwt_core::wait();
        let failed = file::with_temp_dir(move |dir| async move {
            file::write(dir.join("f"), "").await?;
            path.wakeup(dir);
            Err::<(), _>(Error::msg("no"))
        });
        assert_eq!(failed.await.unwrap_err().to_string(), "no");
        assert!(!told.await?.exists());
        let (told, path) = lwt_core::wait();
        let hanging = file::with_temp_dir(move |dir| async move {
            path.wakeup(dir);
            lwt_unix::sleep(std::time::Duration::from_secs(3600)).await
        });
        let path = told.await?;
        hanging.cancel();
        assert!(hanging.await.unwrap_err().is_canceled());
        assert!(!path.exists());
        let (told, path) = lwt_core::wait();
        let panicking = spawn(async move {
            file::with_temp_dir(move |dir| async move {
                path.wakeup(dir);
                lwt_core::pause().await?;
                panic!("on purpose");
                #[allow(unreachable_code)]
                Ok::<(), Error>(())
            })
            .await
        });
        let path = told.await?;
        assert_eq!(panicking.await.unwrap_err().panic_message(), Some("on purpose"));
        assert!(!path.exists());
        Ok(())
    }
}
