//! Lists of buffers, and reading and writing at a place.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use lwt_core::{Error, spawn};
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::{Fd, IoVectors, IoVectorsMut, OsError, pipe, system_limit};
use lwt_unix::net::{Domain, Socket, Type};
use net_support::{TempDir, pattern};

mod net_support;

#[test]
fn a_list_is_advanced_over_its_buffers() {
    let mut vectors = IoVectors::new();
    assert!(vectors.is_empty());
    vectors.append(b"");
    vectors.append(b"");
    assert!(vectors.is_empty() && vectors.len() == 2, "buffers of nothing are nothing");
    for part in [&b"foo"[..], b"", b"barbaz", b"!"] {
        vectors.append(part);
    }
    assert_eq!((vectors.byte_count(), vectors.is_empty()), (10, false));
    vectors.advance(0);
    assert_eq!(vectors.byte_count(), 10);
    vectors.advance(2);
    assert_eq!((vectors.byte_count(), &*vectors[0]), (8, &b"o"[..]));
    vectors.advance(4);
    assert_eq!((vectors.byte_count(), &*vectors[0]), (4, &b"baz"[..]));
    vectors.advance(100);
    assert_eq!(vectors.iter().count(), 0);
    let (mut one, mut two) = ([0; 3], [0; 2]);
    let mut vectors: IoVectorsMut<'_> = [&mut one[..], &mut two[..]].into_iter().collect();
    vectors.advance(4);
    assert_eq!((vectors.byte_count(), vectors.len()), (1, 1));
}

lwt_unix::test! {
    async fn more_buffers_than_the_system_takes_at_once() -> Result<(), Error> {
        for shared in [false, true] {
            let (reader, writer) = pipe()?;
            let writer =
                if shared { Fd::shared(writer.hold()?.as_fd().try_clone_to_owned()?)? } else { writer };
            let bytes = pattern(system_limit() + 10);
            let vectors: IoVectors<'_> = bytes.chunks(1).collect();
            assert_eq!(writer.writev(&vectors).await?, system_limit());
            let mut got = vec![0; system_limit() + 10];
            let mut vectors: IoVectorsMut<'_> = got.chunks_mut(1).collect();
            assert_eq!(reader.readv(&mut vectors).await?, system_limit());
            assert_eq!(got[..system_limit()], bytes[..system_limit()]);
            assert_eq!(writer.writev(&[]).await?, 0);
            assert_eq!(reader.readv(&mut []).await?, 0);
        }
        Ok(())
    }

    async fn nothing_is_moved_without_waiting() -> Result<(), Error> {
        for shared in [false, true] {
            let (reader, writer) = pipe()?;
            reader.set_blocking(shared)?;
            writer.set_blocking(shared)?;
            let other = reader.clone();
            let reading = spawn(async move { other.read(&mut [0; 4]).await });
            assert_eq!(reader.read(&mut []).await?, 0);
            assert_eq!(reader.readv(&mut [IoSliceMut::new(&mut [])]).await?, 0);
            assert!(reading.is_pending());
            reading.cancel();
            assert!(reading.await.is_err());
            let full = writer.clone();
            let filling = spawn(async move { full.write_all(&[0; 300_000]).await });
            lwt_core::pause().await?;
            assert_eq!(writer.write(&[]).await?, 0);
            assert_eq!(writer.writev(&[IoSlice::new(&[]), IoSlice::new(&[])]).await?, 0);
            writer.close()?;
            assert!(filling.await.is_err() && writer.write(&[]).await.is_err());
        }
        // A datagram may be empty, and is waited for.
        let (left, right) = Socket::pair(Domain::Unix, Type::Datagram, 0)?;
        let reading = spawn(async move { right.read(&mut []).await });
        lwt_core::pause().await?;
        assert!(reading.is_pending());
        assert_eq!(left.write(&[]).await?, 0);
        assert_eq!(reading.await?, 0);
        Ok(())
    }

    async fn one_call_copies_no_more_of_a_file_than_a_moment_allows() -> Result<(), Error> {
        const MOST: usize = 256 << 10;
        let data = pattern(4 * MOST);
        let dir = TempDir::new();
        let path = dir.path().join("file");
        std::fs::write(&path, &data)?;
        let fd = Fd::new(std::fs::File::open(&path)?.into())?;
        let mut buf = vec![0; 4 * MOST];
        assert!((1..=MOST).contains(&fd.pread(&mut buf, 0).await?));
        assert!((1..=MOST).contains(&fd.read(&mut buf).await?));
        let (head, tail) = buf.split_at_mut(MOST);
        let bufs = &mut [IoSliceMut::new(&mut []), IoSliceMut::new(head), IoSliceMut::new(tail)];
        assert!((1..=MOST).contains(&fd.readv(bufs).await?));
        let mut rest = Vec::new();
        fd.read_to_end(&mut rest, usize::MAX).await?;
        assert!(data.ends_with(&rest));
        Ok(())
    }

    async fn places_in_a_file_do_not_move_it() -> Result<(), Error> {
        let old = Plan::seeded(1).with(Rule::on(["preadv2"]).error(libc::EOPNOTSUPP));
        for plan in [Plan::seeded(1), old] {
            let _faults = plan.install();
            let dir = TempDir::new();
            let path = dir.path().join("file");
            let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            let fd = Fd::new(file.into())?;
            let (one, two) = (fd.clone(), fd.clone());
            let one = spawn(async move { one.pwrite(b"five", 5).await });
            let two = spawn(async move { two.pwrite(b"fifteen", 15).await });
            assert_eq!((one.await?, two.await?), (4, 7));
            let mut buf = [0; 32];
            assert_eq!(fd.pread(&mut buf, 15).await?, 7);
            assert_eq!(&buf[..7], b"fifteen");
            assert_eq!(fd.pread(&mut buf[..4], 5).await?, 4);
            assert_eq!(&buf[..4], b"five");
            assert_eq!(fd.pread(&mut buf, 1000).await?, 0);
            assert_eq!(fd.pread(&mut [], 0).await?, 0);
            assert_eq!(fd.read(&mut buf).await?, 22, "the position is at the beginning still");
            let error = fd.pread(&mut buf, u64::MAX).await.expect_err("too far");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
            fd.close()?;
            assert!(fd.pread(&mut buf, 0).await.is_err() && fd.pwrite(b"x", 0).await.is_err());
        }
        let (reader, writer) = pipe()?;
        for error in [
            reader.pread(&mut [0; 1], 0).await.expect_err("no position"),
            writer.pwrite(b"x", 0).await.expect_err("no position"),
        ] {
            assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::ESPIPE));
        }
        Ok(())
    }
}
