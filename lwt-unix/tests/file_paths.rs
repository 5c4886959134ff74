//! Calls on paths, and directories.

mod file_support;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lwt_core::Error;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::OsError;
use lwt_unix::file::{self, Access, FileKind, FileTime};

use file_support::{both_ways, number, told};

lwt_unix::test! {
    async fn attributes_are_those_of_the_standard_library() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            file::write(&path, vec![1; 5000]).await?;
            file::symlink("f", dir.join("l")).await?;
            for _ in 0..3 {
                let ours = file::stat(dir.join("l")).await?;
                let theirs = std::fs::metadata(&path).expect("there");
                assert_eq!((ours.device, ours.inode, ours.size), (theirs.dev(), theirs.ino(), theirs.len()));
                assert_eq!((ours.user, ours.group, ours.links), (theirs.uid(), theirs.gid(), theirs.nlink()));
                assert_eq!((ours.blocks, ours.special), (theirs.blocks(), theirs.rdev()));
                assert_eq!(ours.permissions, theirs.mode() & 0o7777);
                assert_eq!(ours.modified, theirs.modified().expect("a time"));
                assert_eq!(ours.accessed, theirs.accessed().expect("a time"));
                assert!(ours.is_file() && !ours.is_dir() && !ours.is_link());
                assert!(file::lstat(dir.join("l")).await?.is_link());
                assert_eq!(file::stat("/dev/null").await?.kind, FileKind::CharDevice);
                assert_eq!(file::stat(&dir).await?.kind, FileKind::Directory);
            }
            Ok(())
        })
        .await
    }

    async fn existence_is_a_question_with_two_answers() -> Result<(), Error> {
        both_ways(|dir| async move {
            file::write(dir.join("f"), "").await?;
            file::symlink("nowhere", dir.join("dangling")).await?;
            file::symlink("loop", dir.join("loop")).await?;
            assert!(file::file_exists(dir.join("f")).await?);
            assert!(file::file_exists(&dir).await?);
            for missing in ["g", "f/below", "f/", "dangling", "no/such/dir"] {
                assert!(!file::file_exists(dir.join(missing)).await?, "{missing}");
            }
            // No answer.
            let error = file::file_exists(dir.join("loop")).await.unwrap_err();
            assert_eq!(number(&error), Some(libc::ELOOP));
            let error = file::file_exists(dir.join("x".repeat(5000))).await.unwrap_err();
            assert_eq!(number(&error), Some(libc::ENAMETOOLONG));
            Ok(())
        })
        .await
    }

    async fn names_are_made_moved_and_removed() -> Result<(), Error> {
        both_ways(|dir| async move {
            let at = |name: &str| dir.join(name);
            file::write(at("a"), "a").await?;
            file::link(at("a"), at("b")).await?;
            assert_eq!(file::stat(at("a")).await?.links, 2);
            file::rename(at("b"), at("c")).await?;
            assert_eq!(number(&file::unlink(at("b")).await.unwrap_err()), Some(libc::ENOENT));
            let content = "long/".repeat(300);
            file::symlink(&content, at("l")).await?;
            assert_eq!(file::readlink(at("l")).await?, Path::new(&content));
            assert_eq!(number(&file::readlink(at("a")).await.unwrap_err()), Some(libc::EINVAL));
            file::mkfifo(at("p"), 0o600).await?;
            assert_eq!(file::stat(at("p")).await?.kind, FileKind::Fifo);
            file::mkdir(at("d"), 0o700).await?;
            assert_eq!(number(&file::mkdir(at("d"), 0o700).await.unwrap_err()), Some(libc::EEXIST));
            file::write(at("d/inside"), "").await?;
            let error = file::rmdir(at("d")).await.unwrap_err();
            assert!(matches!(number(&error), Some(libc::ENOTEMPTY | libc::EEXIST)));
            assert_eq!(told(&error), ("rmdir", at("d").to_str().unwrap()));
            file::unlink(at("d/inside")).await?;
            file::rmdir(at("d")).await?;
            file::chmod(at("a"), 0o400).await?;
            assert_eq!(file::stat(at("a")).await?.permissions, 0o400);
            file::chown(at("a"), None, None).await?;
            file::lchown(at("l"), None, None).await?;
            file::access(at("a"), Access::READ | Access::EXISTS).await?;
            let error = file::access(at("a"), Access::EXECUTE).await.unwrap_err();
            assert_eq!(number(&error), Some(libc::EACCES));
            Ok(())
        })
        .await
    }

    async fn times_are_set_to_the_nanosecond() -> Result<(), Error> {
        both_ways(|dir| async move {
            let path = dir.join("f");
            file::write(&path, "").await?;
            file::symlink("f", dir.join("l")).await?;
            let (one, two) = (UNIX_EPOCH + Duration::new(1, 5), UNIX_EPOCH + Duration::new(2, 999_999_999));
            file::utimes(dir.join("l"), one, two).await?;
            let stats = file::stat(&path).await?;
            assert_eq!((stats.accessed, stats.modified), (one, two));
            let before = SystemTime::now() - Duration::from_secs(10);
            file::utimes(&path, FileTime::Now, FileTime::Now).await?;
            assert!(file::stat(&path).await?.modified > before);
            file::lutimes(dir.join("l"), FileTime::Keep, one).await?;
            assert_eq!(file::lstat(dir.join("l")).await?.modified, one);
            let before = UNIX_EPOCH - Duration::from_nanos(1);
            file::utimes(&path, before, before).await?;
            assert_eq!(file::stat(&path).await?.modified, before);
            // What no file system keeps: it may be refused, or become the earliest that it has.
            if let Some(first) = UNIX_EPOCH.checked_sub(Duration::from_secs(1 << 63)) {
                let _ = file::utimes(&path, first, first).await;
            }
            let error = file::utimes(dir.join("none"), one, two).await.unwrap_err();
            assert_eq!((number(&error), told(&error).0), (Some(libc::ENOENT), "utimes"));
            Ok(())
        })
        .await
    }

    async fn directories_are_read_in_batches_and_again() -> Result<(), Error> {
        file::with_temp_dir(|path| async move {
            for name in ["1", "2", "3", "4", "5"] {
                file::write(path.join(name), "").await?;
            }
            let dir = file::opendir(&path).await?;
            let mut one_by_one = Vec::new();
            while let Some(name) = dir.readdir().await? {
                one_by_one.push(name);
            }
            one_by_one.sort();
            assert_eq!(one_by_one, [".", "..", "1", "2", "3", "4", "5"]);
            assert!(dir.readdir_n(3).await?.is_empty());
            dir.rewinddir().await?;
            assert_eq!(dir.readdir_n(3).await?.len(), 3);
            assert_eq!(dir.readdir_n(10).await?.len(), 4);
            dir.rewinddir().await?;
            let entries = dir.read_entries(10).await?;
            for entry in entries.iter().filter(|entry| entry.name() == "3") {
                assert_eq!(entry.inode(), file::stat(path.join("3")).await?.inode);
                assert!(entry.kind().is_none_or(|kind| kind == FileKind::Regular));
            }
            let other = dir.clone();
            other.closedir().await?;
            for (error, call) in [
                (dir.readdir().await.unwrap_err(), "readdir"),
                (dir.readdir_n(1).await.unwrap_err(), "readdir_n"),
                (dir.rewinddir().await.unwrap_err(), "rewinddir"),
                (dir.closedir().await.unwrap_err(), "closedir"),
            ] {
                assert_eq!((number(&error), told(&error).0), (Some(libc::EBADF), call));
                assert!(OsError::of(&error).is_some_and(OsError::is_closed));
            }
            assert_eq!(number(&file::opendir(path.join("1")).await.unwrap_err()), Some(libc::ENOTDIR));
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_large_directory_is_a_stream() -> Result<(), Error> {
        file::with_temp_dir(|path| async move {
            for number in 0..2500 {
                std::fs::write(path.join(number.to_string()), "").expect("a file");
            }
            let mut names = file::files_of_directory(&path).to_list().await?;
            names.sort();
            names.dedup();
            assert_eq!(names.len(), 2502);
            // One that is given up in the middle.
            let some = file::files_of_directory(&path);
            assert_eq!(some.nget(10).await?.len(), 10);
            drop(some);
            let error = file::files_of_directory(path.join("none")).next().await.unwrap_err();
            assert_eq!(number(&error), Some(libc::ENOENT));
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_directory_is_read_and_closed_whatever_interrupts_it() -> Result<(), Error> {
        file::with_temp_dir(|path| async move {
            file::write(path.join("f"), "").await?;
            let _faults = Plan::seeded(1).with(Rule::any().interrupted(3)).install();
            assert_eq!(file::files_of_directory(&path).to_list().await?.len(), 3);
            let dir = file::opendir(&path).await?;
            assert_eq!(dir.readdir_n(10).await?.len(), 3);
            dir.closedir().await
        })
        .await
    }

    async fn the_current_directory_is_told() -> Result<(), Error> {
        assert_eq!(file::getcwd().await?, std::env::current_dir().expect("one"));
        // It is the process's, so it is changed to what it is.
        file::chdir(".").await?;
        assert_eq!(number(&file::chdir("/no/such/dir").await.unwrap_err()), Some(libc::ENOENT));
        assert_eq!(number(&file::chroot("/no/such/dir").await.unwrap_err()), Some(libc::ENOENT));
        Ok(())
    }
}
