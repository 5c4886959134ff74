//! Descriptors and credentials that travel with messages: they arrive, are owned, and none is lost or leaked
//! without a word, whatever happens to the message.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use lwt_core::{Error, spawn};
use lwt_unix::net::opt::{Credentials, PassCredentials};
use lwt_unix::net::{Addr, Domain, MsgFlags, Outgoing, Socket, Type};
use net_support::{TempDir, in_child, open_descriptors, run, settle};

mod net_support;

fn pair(kind: Type) -> Result<(Socket, Socket), Error> {
    Socket::pair(Domain::Unix, kind, 0)
}

fn close_on_exec(fd: &impl AsRawFd) -> bool {
    // SAFETY: the command takes no argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

/// So many handles on one file.
fn nulls<'a>(file: &'a File, count: usize) -> Vec<BorrowedFd<'a>> {
    vec![file.as_fd(); count]
}

lwt_unix::test! {
    async fn bytes_are_scattered_and_a_pipe_comes_along() -> Result<(), Error> {
        for kind in [Type::Stream, Type::Datagram, Type::SeqPacket] {
            let (left, right) = pair(kind)?;
            let (reader, mut writer) = std::io::pipe()?;
            let sent =
                left.send_msg(&[IoSlice::new(b"foo"), IoSlice::new(b"bar")], &[reader.as_fd()]).await?;
            assert_eq!(sent, 6);
            let (mut one, mut two) = ([0; 2], [0; 8]);
            let received =
                right.recv_msg(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]).await?;
            assert_eq!((received.bytes, &one, &two[..4]), (6, b"fo", &b"obar"[..]));
            assert!(!received.truncated && !received.lost_descriptors && received.credentials.is_none());
            let [passed] = <[_; 1]>::try_from(received.descriptors).expect("one descriptor");
            assert!(close_on_exec(&passed));
            drop(reader);
            writer.write_all(b"through")?;
            drop(writer);
            let mut text = String::new();
            File::from(passed).read_to_string(&mut text)?;
            assert_eq!(text, "through");
        }
        Ok(())
    }

    async fn as_many_as_one_message_holds() -> Result<(), Error> {
        let (left, right) = pair(Type::Stream)?;
        let file = File::open("/dev/null")?;
        left.send_msg(&[IoSlice::new(b"x")], &nulls(&file, 253)).await?;
        let received = right.recv_msg(&mut [IoSliceMut::new(&mut [0; 1])]).await?;
        assert_eq!((received.descriptors.len(), received.lost_descriptors), (253, false));
        let error = left.send_msg(&[IoSlice::new(b"x")], &nulls(&file, 254)).await.expect_err("too many");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
        Ok(())
    }

    async fn no_bytes_take_no_descriptors_along() -> Result<(), Error> {
        let (left, right) = pair(Type::Stream)?;
        let file = File::open("/dev/null")?;
        let error = left.send_msg(&[], &nulls(&file, 1)).await.expect_err("nothing to travel with");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput));
        // A datagram without bytes is one.
        drop((left, right));
        let (left, right) = pair(Type::Datagram)?;
        left.send_msg(&[], &nulls(&file, 1)).await?;
        let received = right.recv_msg(&mut [IoSliceMut::new(&mut [0; 1])]).await?;
        assert_eq!((received.bytes, received.descriptors.len()), (0, 1));
        Ok(())
    }

    async fn messages_keep_their_descriptors_apart() -> Result<(), Error> {
        let (left, right) = pair(Type::Stream)?;
        let file = File::open("/dev/null")?;
        for count in [1, 0, 3] {
            left.send_msg(&[IoSlice::new(b"abc")], &nulls(&file, count)).await?;
        }
        let mut counts = Vec::new();
        let mut bytes = 0;
        while bytes < 9 {
            let received = right.recv_msg(&mut [IoSliceMut::new(&mut [0; 64])]).await?;
            bytes += received.bytes;
            counts.push(received.descriptors.len());
        }
        assert_eq!(counts.iter().sum::<usize>(), 4);
        assert!(counts.iter().all(|count| [0, 1, 3].contains(count)), "{counts:?}");
        Ok(())
    }

    async fn looking_leaves_everything_in_its_place() -> Result<(), Error> {
        let (left, right) = pair(Type::Datagram)?;
        let file = File::open("/dev/null")?;
        left.send_msg(&[IoSlice::new(b"look")], &nulls(&file, 2)).await?;
        for flags in [MsgFlags::PEEK, MsgFlags::NONE] {
            let mut buf = [0; 3];
            let received = right.recv_msg_with(&mut [IoSliceMut::new(&mut buf)], 10, flags).await?;
            assert_eq!((received.bytes, received.truncated, received.descriptors.len()), (3, true, 2));
        }
        Ok(())
    }

    async fn who_sends_is_known() -> Result<(), Error> {
        let (left, right) = pair(Type::Stream)?;
        right.set_option::<PassCredentials>(true)?;
        // SAFETY: the calls have no preconditions.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        let own = Credentials { pid: Some(std::process::id()), uid, gid };
        for credentials in [None, Some(own)] {
            left.send_msg_with(&[IoSlice::new(b"hello")], &Outgoing { credentials, ..Outgoing::default() })
                .await?;
            let received = right.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])]).await?;
            assert_eq!(received.credentials, Some(own));
        }
        assert_eq!(left.option::<lwt_unix::net::opt::PeerCredentials>()?, own);
        // With descriptors at the same time.
        let file = File::open("/dev/null")?;
        left.send_msg(&[IoSlice::new(b"x")], &nulls(&file, 253)).await?;
        let received = right.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])]).await?;
        assert_eq!((received.descriptors.len(), received.credentials), (253, Some(own)));
        Ok(())
    }

    async fn messages_go_to_names_and_tell_where_they_come_from() -> Result<(), Error> {
        let dir = TempDir::new();
        let name =
            |file: &str| std::os::unix::net::SocketAddr::from_pathname(dir.path().join(file)).map(Addr::from);
        let one = Socket::new(Domain::Unix, Type::Datagram, 0)?;
        let two = Socket::new(Domain::Unix, Type::Datagram, 0)?;
        one.bind(name("one")?).await?;
        two.bind(name("two")?).await?;
        let file = File::open("/dev/null")?;
        one.send_msg_to(&[IoSlice::new(b"here")], &nulls(&file, 1), name("two")?).await?;
        let received = two.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])]).await?;
        assert_eq!((received.bytes, received.descriptors.len()), (4, 1));
        assert_eq!(received.source.to_string(), name("one")?.to_string());
        let error = one.send_msg_to(&[IoSlice::new(b"?")], &[], name("three")?).await.expect_err("nobody");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
        assert!(error.to_string().contains("three"), "{error}");
        Ok(())
    }

    async fn what_waits_is_cancelled_aborted_and_ended() -> Result<(), Error> {
        for end in 0..4 {
            let (left, right) = pair(Type::Stream)?;
            let socket = right.clone();
            let waiting = spawn(async move {
                socket.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])]).await.map(|received| received.bytes)
            });
            settle().await?;
            assert!(waiting.is_pending());
            match end {
                0 => waiting.cancel(),
                1 => right.abort(Error::msg("enough")),
                2 => right.close()?,
                _ => left.close()?,
            }
            match (end, waiting.await) {
                (0, Err(error)) => assert!(error.is_canceled()),
                (1, Err(error)) => assert_eq!(error.to_string(), "enough"),
                (2, Err(error)) => {
                    assert_eq!(error.io_kind(), Some(std::io::Error::from_raw_os_error(libc::EBADF).kind()))
                }
                (3, Ok(0)) => {}
                (end, other) => panic!("{end}: {other:?}"),
            }
            if end == 0 {
                // Nothing was lost by that.
                left.send_msg(&[IoSlice::new(b"later")], &[]).await?;
                assert_eq!(right.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])]).await?.bytes, 5);
            }
        }
        // A writer whose peer is gone, while it waits for room.
        let (left, right) = pair(Type::Stream)?;
        let writing = spawn(async move {
            let file = File::open("/dev/null")?;
            loop {
                left.send_msg(&[IoSlice::new(&[0; 65536])], &nulls(&file, 1)).await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), Error>(())
        });
        settle().await?;
        drop(right);
        assert!(writing.await.is_err());
        Ok(())
    }
}

#[test]
fn descriptors_without_room_are_closed_and_told_of() {
    in_child("descriptors_without_room_are_closed_and_told_of", || {
        run(async {
            let file = File::open("/dev/null")?;
            let (left, right) = pair(Type::Stream)?;
            settle().await?;
            let before = open_descriptors();
            for room in [0, 1, 2, 5] {
                left.send_msg(&[IoSlice::new(b"five")], &nulls(&file, 5)).await?;
                let received =
                    right.recv_msg_with(&mut [IoSliceMut::new(&mut [0; 8])], room, MsgFlags::NONE).await?;
                assert_eq!(received.bytes, 4, "the bytes are there all the same");
                assert_eq!(received.lost_descriptors, room < 5);
                assert_eq!(received.descriptors.len(), room);
                assert_eq!(open_descriptors(), before + received.descriptors.len());
            }
            assert_eq!(open_descriptors(), before);
            // Those that are read past by a plain read are closed, too.
            left.send_msg(&[IoSlice::new(b"five")], &nulls(&file, 5)).await?;
            assert_eq!(right.read(&mut [0; 8]).await?, 4);
            assert_eq!(open_descriptors(), before);
            Ok(())
        });
    });
}

#[test]
fn a_shortage_of_descriptors_loses_no_bytes() {
    in_child("a_shortage_of_descriptors_loses_no_bytes", || {
        run(async {
            let file = File::open("/dev/null")?;
            let (left, right) = pair(Type::Stream)?;
            left.send_msg(&[IoSlice::new(b"message")], &nulls(&file, 20)).await?;
            settle().await?;
            let before = open_descriptors();
            net_support::limit_descriptors(before as u64 + 8);
            let received = right.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])]).await?;
            assert_eq!((received.bytes, received.lost_descriptors), (7, true));
            assert!(received.descriptors.len() < 20);
            drop(received);
            assert_eq!(open_descriptors(), before);
            Ok(())
        });
    });
}

#[test]
fn what_nobody_has_asked_for_is_closed() {
    in_child("what_nobody_has_asked_for_is_closed", || {
        run(async {
            let (left, right) = pair(Type::Stream)?;
            let on: libc::c_int = 1;
            // SAFETY: pointer and length are those of one live integer.
            let set = unsafe {
                let (at, len) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
                libc::setsockopt(right.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSPIDFD, at, len)
            };
            if set != 0 {
                // A kernel that does not know it.
                return Ok(());
            }
            settle().await?;
            let before = open_descriptors();
            left.send_msg(&[IoSlice::new(b"x")], &[]).await?;
            let received = right.recv_msg(&mut [IoSliceMut::new(&mut [0; 8])]).await?;
            assert_eq!((received.bytes, received.descriptors.len()), (1, 0));
            assert_eq!(open_descriptors(), before);
            Ok(())
        });
    });
}
