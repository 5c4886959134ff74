//! Recursive removal: what is removed, what is not, and trees of any depth.

mod file_support;

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lwt_core::Error;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::file::{self, TempOptions};

#[cfg(target_os = "linux")]
use file_support::as_nobody;
use file_support::{number, told};

lwt_unix::test! {
    async fn a_tree_goes_and_what_its_links_lead_to_stays() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let (tree, outside) = (dir.join("tree"), dir.join("outside"));
            std::fs::create_dir_all(tree.join("a/b/c")).expect("directories");
            std::fs::create_dir_all(tree.join("a/empty")).expect("directories");
            std::fs::create_dir(&outside).expect("a directory");
            std::fs::write(outside.join("precious"), "keep").expect("a file");
            for place in ["", "a", "a/b", "a/b/c"] {
                for number in 0..40 {
                    std::fs::write(tree.join(place).join(format!("f{number}")), "x").expect("a file");
                }
                std::os::unix::fs::symlink(&outside, tree.join(place).join("to-dir")).expect("a link");
                std::os::unix::fs::symlink("nowhere", tree.join(place).join("dangling")).expect("a link");
            }
            file::mkfifo(tree.join("a/fifo"), 0o600).await?;
            file::delete_recursively(&tree).await?;
            assert!(!file::file_exists(&tree).await?);
            assert_eq!(file::read(outside.join("precious")).await?, b"keep");
            // A link itself, with a slash or without; a file.
            for name in ["link", "link/"] {
                std::os::unix::fs::symlink(&outside, dir.join("link")).expect("a link");
                file::delete_recursively(dir.join(name)).await?;
                assert_eq!(number(&file::lstat(dir.join("link")).await.unwrap_err()), Some(libc::ENOENT));
            }
            file::write(dir.join("plain"), "").await?;
            file::delete_recursively(dir.join("plain")).await?;
            assert_eq!(file::read(outside.join("precious")).await?, b"keep");
            let error = file::delete_recursively(dir.join("plain")).await.unwrap_err();
            assert_eq!(number(&error), Some(libc::ENOENT));
            for path in ["/", "..", "a/.."] {
                let error = file::delete_recursively(path).await.unwrap_err();
                assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput), "{path}");
            }
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_deep_tree_takes_neither_stack_nor_descriptors() -> Result<(), Error> {
        let dir = in_memory().create_dir().await?;
        deep(dir.path(), 10_000);
        file::delete_recursively(dir.path().join("d")).await?;
        assert!(!file::file_exists(dir.path().join("d")).await?);
        dir.close().await
    }

    async fn links_swapped_in_meanwhile_lead_nowhere() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            let outside = dir.join("outside");
            std::fs::create_dir(&outside).expect("a directory");
            for number in 0..20 {
                std::fs::write(outside.join(format!("precious{number}")), "keep").expect("a file");
            }
            let (stop, tree) = (Arc::new(AtomicBool::new(false)), dir.join("tree"));
            let swapper = std::thread::spawn({
                let (stop, tree, outside) = (Arc::clone(&stop), tree.clone(), outside.clone());
                move || {
                    let (below, aside) = (tree.join("x/below"), tree.join("x/aside"));
                    while !stop.load(Ordering::Relaxed) {
                        // Whatever of it fails: the names come and go.
                        let _ = std::fs::rename(&below, &aside);
                        let _ = std::os::unix::fs::symlink(&outside, &below);
                        let _ = std::fs::remove_file(&below);
                        let _ = std::fs::rename(&aside, &below);
                    }
                }
            });
            for _ in 0..60 {
                std::fs::create_dir_all(tree.join("x/below/deeper")).ok();
                for number in 0..20 {
                    std::fs::write(tree.join(format!("x/below/f{number}")), "").ok();
                }
                // It may fail, since names are added all the time.
                let _ = file::delete_recursively(&tree).await;
            }
            stop.store(true, Ordering::Relaxed);
            swapper.join().expect("the swapper");
            let names = std::fs::read_dir(&outside).expect("it").filter_map(Result::ok);
            // What this test itself has written through the link may be there, too.
            let names = names.map(|entry| entry.file_name());
            let precious = names.filter(|name| name.as_encoded_bytes().starts_with(b"precious"));
            assert_eq!(precious.count(), 20);
            Ok::<_, Error>(())
        })
        .await
    }

    #[cfg(target_os = "linux")]
    async fn an_empty_directory_goes_whatever_its_permissions() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            file::chmod(&dir, 0o777).await?;
            if as_nobody(|| file::stat(&dir)).await.is_err() {
                // Temporary files are out of anybody else's reach here.
                return Ok(());
            }
            for mode in [0o000, 0o100, 0o200, 0o400, 0o500] {
                let tree = dir.join("tree");
                as_nobody(|| file::mkdir(&tree, 0o700)).await?;
                as_nobody(|| file::mkdir(tree.join("empty"), mode)).await?;
                as_nobody(|| file::delete_recursively(&tree)).await?;
                assert!(!file::file_exists(&tree).await?, "{mode:o}");
            }
            Ok::<_, Error>(())
        })
        .await
    }

    async fn an_error_ends_it_and_names_the_place() -> Result<(), Error> {
        file::with_temp_dir(|dir| async move {
            std::fs::create_dir_all(dir.join("t/a/b")).expect("directories");
            let faults = Plan::seeded(1).with(Rule::on(["unlinkat"]).error(libc::EBUSY)).install();
            let error = file::delete_recursively(dir.join("t")).await.unwrap_err();
            assert_eq!(number(&error), Some(libc::EBUSY));
            assert_eq!(told(&error), ("delete_recursively", dir.join("t/a").to_str().unwrap()));
            drop(faults);
            assert!(file::file_exists(dir.join("t/a/b")).await?);
            Ok::<_, Error>(())
        })
        .await
    }

    async fn a_cancel_ends_it_between_two_jobs() -> Result<(), Error> {
        let dir = in_memory().create_dir().await?;
        deep(dir.path(), 3000);
        let removed = file::delete_recursively(dir.path().join("d"));
        lwt_core::pause().await?;
        removed.cancel();
        match removed.await {
            Err(error) => assert!(error.is_canceled()),
            Ok(()) => assert!(!file::file_exists(dir.path().join("d")).await?),
        }
        dir.close().await
    }
}

/// A place that no disk slows down, if there is one: freeing a block may take a millisecond.
fn in_memory() -> TempOptions {
    let options = TempOptions::new();
    if Path::new("/dev/shm").is_dir() { options.parent("/dev/shm") } else { options }
}

/// Makes a directory in a directory, and so on.
fn deep(dir: &Path, levels: usize) {
    let mut here: OwnedFd = std::fs::File::open(dir).expect("it").into();
    for _ in 0..levels {
        // SAFETY: a live name; the result is a new descriptor.
        let below = unsafe {
            assert_eq!(libc::mkdirat(here.as_raw_fd(), c"d".as_ptr(), 0o700), 0);
            libc::openat(here.as_fd().as_raw_fd(), c"d".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
        };
        assert!(below >= 0);
        // SAFETY: see above.
        here = unsafe { OwnedFd::from_raw_fd(below) };
    }
}
