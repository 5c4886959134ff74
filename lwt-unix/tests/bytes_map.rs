//! Files in memory.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lwt_core::Error;
use lwt_unix::bytes::{Advice, Map, Sharing, page_size};
use lwt_unix::file;

async fn with_bytes<F>(
    bytes: Vec<u8>,
    test: impl FnOnce(OwnedFd, std::path::PathBuf) -> F + 'static,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    file::with_temp_file(|file, path| async move {
        file.write_all(&bytes).await?;
        test(file.try_clone_to_owned()?, path).await
    })
    .await
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

lwt_unix::test! {
    async fn shared_writes_reach_the_file_and_private_ones_do_not() -> Result<(), Error> {
        with_bytes(b"0123456789".to_vec(), |fd, path| async move {
            let shared = Map::new(&fd, 0, None, Sharing::Shared)?;
            let private = Map::new(&fd, 2, Some(5), Sharing::Private)?;
            assert_eq!((shared.len(), private.len()), (10, 5));
            private.write(0, b"xyz");
            assert_eq!(private.to_vec(), b"xyz56");
            assert_eq!(shared.to_vec(), b"0123456789");
            shared.set(9, b'!');
            shared.fill(0, 2, b'-');
            shared.sync(..).await?;
            assert_eq!(file::read(&path).await?, b"--2345678!");
            let read_only = Map::new(&fd, 0, None, Sharing::ReadOnly)?;
            assert_eq!(read_only.get(9), b'!');
            assert!(panics(|| read_only.set(0, 1)));
            Ok(())
        })
        .await
    }

    async fn every_offset_and_length_is_copied_right() -> Result<(), Error> {
        let bytes: Vec<u8> = (0..3 * page_size()).map(|n| (n * 7 + n / 251) as u8).collect();
        let copy = bytes.clone();
        with_bytes(bytes, |fd, _| async move {
            let map = Map::new(&fd, 0, None, Sharing::Private)?;
            for start in 0..20 {
                for len in (0..40).chain([1000, 2 * page_size()]) {
                    let mut buf = vec![0; len];
                    map.read(start, &mut buf);
                    assert!(buf == copy[start..start + len], "{len} from {start}");
                    let part = map.proxy(start..start + len);
                    assert!(part.to_vec() == buf);
                    let other: Vec<u8> = buf.iter().map(|byte| !byte).collect();
                    part.write(0, &other);
                    assert!(part.to_vec() == other);
                    assert_eq!(map.get(start + len), copy[start + len]);
                    map.write(start, &buf);
                }
            }
            // SAFETY: nobody writes to this private copy, and nobody shortens the file.
            assert!(unsafe { map.as_slice() } == copy);
            // A part that does not begin at a page.
            let odd = Map::new(&fd, page_size() as u64 + 13, Some(100), Sharing::ReadOnly)?;
            assert!(odd.to_vec() == copy[page_size() + 13..][..100]);
            Ok(())
        })
        .await
    }

    async fn bounds_are_checked() -> Result<(), Error> {
        with_bytes(vec![1; 100], |fd, path| async move {
            let map = Map::new(&fd, 0, None, Sharing::Shared)?;
            assert!(panics(|| map.read(95, &mut [0; 6])));
            assert!(panics(|| map.write(100, &[0])));
            assert!(panics(|| map.fill(usize::MAX, 2, 0)));
            assert!(panics(|| drop(map.proxy(50..101))));
            assert!(panics(|| drop(map.mincore(0..=100))));
            assert!(panics(|| drop(map.wait_mincore(100))));
            assert!(panics(|| assert_eq!(map.get(100), 0)));
            let part = map.proxy(10..20);
            assert!(panics(|| part.set(10, 0)));
            map.read(100, &mut []);
            // A part that the file does not have, and one that it gets.
            for sharing in [Sharing::Private, Sharing::ReadOnly] {
                let error = Map::new(&fd, 50, Some(51), sharing).unwrap_err();
                assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
            }
            assert!(Map::new(&fd, u64::MAX, Some(1), Sharing::Shared).is_err());
            // Nothing of it is mapped, so the file stays as it is.
            for size in [None, Some(0)] {
                let error = Map::new(&fd, 101, size, Sharing::Shared).unwrap_err();
                assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
            }
            let only_read = std::fs::File::open(&path).expect("it");
            assert!(Map::new(&only_read, 0, Some(200), Sharing::Shared).is_err());
            assert_eq!(file::stat(&path).await?.size, 100);
            let longer = Map::new(&fd, 50, Some(100), Sharing::Shared)?;
            longer.set(99, 9);
            assert_eq!(file::read(&path).await?.len(), 150);
            let empty = Map::new(&fd, 150, None, Sharing::Shared)?;
            assert!(empty.is_empty() && empty.to_vec().is_empty() && empty.mincore(..)?.is_empty());
            empty.madvise(.., Advice::Normal)?;
            empty.sync(..).await?;
            Ok(())
        })
        .await
    }

    async fn pages_are_told_of_and_waited_for() -> Result<(), Error> {
        let pages = 5;
        with_bytes(vec![3; pages * page_size()], move |fd, _| async move {
            let map = Map::new(&fd, 0, None, Sharing::ReadOnly)?;
            let advices =
                [Advice::Random, Advice::Sequential, Advice::WillNeed, Advice::Normal, Advice::DontNeed];
            for advice in advices {
                map.madvise(10..page_size() + 1, advice)?;
            }
            for advice in [Advice::Mergeable, Advice::Unmergeable, Advice::HugePage, Advice::NoHugePage] {
                // A kernel may be built without them.
                let _ = map.madvise(.., advice);
            }
            assert_eq!(map.mincore(..)?.len(), pages);
            assert_eq!(map.mincore(page_size() - 1..=page_size())?.len(), 2);
            for page in 0..pages {
                map.wait_mincore(page * page_size() + 5).await?;
            }
            assert_eq!(map.get(4 * page_size()), 3);
            Ok(())
        })
        .await
    }

    async fn pages_that_were_lost_are_told_of() -> Result<(), Error> {
        with_bytes(vec![3; 2 * page_size()], move |fd, path| async move {
            let map = Map::new(&fd, 0, None, Sharing::Private)?;
            map.write(page_size(), b"ours");
            map.madvise(page_size()..=page_size(), Advice::DontNeed)?;
            assert_eq!(map.get(page_size()), 3);
            // Pages that nobody has touched: what is in memory may stay there.
            file::truncate(&path, 100 * page_size() as u64).await?;
            let map = Map::new(&fd, 0, None, Sharing::Private)?;
            file::truncate(&path, 1).await?;
            assert_eq!(map.mincore(..)?.len(), 100);
            assert!(map.wait_mincore(99 * page_size()).await.is_err());
            Ok(())
        })
        .await
    }
}
