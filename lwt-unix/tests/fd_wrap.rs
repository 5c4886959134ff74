//! System calls of a program's own, on descriptors of ours.

use std::io::Write;

use lwt_core::{Error, spawn};
use lwt_unix::fd::{Direction, Fd, Retry};
use lwt_unix::net::UnixStream;
use net_support::settle;

mod net_support;

lwt_unix::test! {
    async fn a_call_of_ones_own_waits_for_the_direction_that_it_names() -> Result<(), Error> {
        let (left, right) = UnixStream::pair()?;
        // As a TLS library would: it reads, but has to write first.
        let fill = vec![0; 1 << 20];
        let mut filled = 0;
        while let Some(n) = left.try_write(&fill)? {
            filled += n;
        }
        let mut stage = 0;
        let other = left.clone();
        let wrapped = spawn(async move {
            other
                .wrap_syscall(Direction::Read, |fd| {
                    if stage == 0 {
                        match nix::unistd::write(fd, b"!") {
                            Ok(_) => stage = 1,
                            Err(nix::errno::Errno::EAGAIN) => return Err(Retry::Write.into()),
                            Err(error) => return Err(error.into()),
                        }
                    }
                    let mut buf = [0; 3];
                    Ok(nix::unistd::read(fd, &mut buf).map(|n| buf[..n].to_vec())?)
                })
                .await
        });
        settle().await?;
        assert!(wrapped.is_pending());
        let mut drained = vec![0; filled];
        right.read_exact(&mut drained).await?;
        settle().await?;
        assert!(wrapped.is_pending());
        right.read_exact(&mut [0; 1]).await?;
        right.write_all(b"yes").await?;
        assert_eq!(wrapped.await?, b"yes");
        // What waits is cancelled, and rejected by an abort, like everything else.
        let action = || {
            let fd = left.clone();
            spawn(async move {
                fd.register_action(Direction::Read, |fd| Ok(nix::unistd::read(fd, &mut [0; 1])?)).await
            })
        };
        let (one, two) = (action(), action());
        settle().await?;
        one.cancel();
        assert!(one.await.expect_err("cancelled").is_canceled());
        left.abort(Error::msg("enough"));
        assert_eq!(two.await.expect_err("aborted").to_string(), "enough");
        Ok(())
    }

    async fn a_wrapped_call_on_a_blocking_descriptor_waits_first() -> Result<(), Error> {
        let (reader, mut writer) = std::io::pipe()?;
        let reader = Fd::shared(reader.into())?;
        let read = spawn(async move {
            // It would block the loop if it were made before there is something.
            let mut buf = [0; 8];
            reader.wrap_syscall(Direction::Read, |fd| Ok(nix::unistd::read(fd, &mut buf)?)).await
        });
        settle().await?;
        writer.write_all(b"there")?;
        assert_eq!(read.await?, 5);
        Ok(())
    }
}
