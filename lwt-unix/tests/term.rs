//! Terminals, on a pseudo-terminal of the test's own.

use lwt_core::{Error, spawn};
use lwt_unix::fd::{Fd, OsError, pipe};
use lwt_unix::term::{
    self, Flow, InputFlags, LocalFlags, OutputFlags, Queue, SpecialCharacterIndices, Termios, When, tcdrain,
    tcflow, tcflush, tcgetattr, tcsendbreak, tcsetattr,
};
use net_support::settle;

mod net_support;

/// The master end, and the terminal, with neither echo nor lines.
async fn terminal() -> Result<(Fd, Fd), Error> {
    let ends = nix::pty::openpty(None, None)?;
    let (master, slave) = (Fd::new(ends.master)?, Fd::new(ends.slave)?);
    let mut attributes = tcgetattr(&slave)?;
    attributes.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
    attributes.output_flags.remove(OutputFlags::OPOST);
    tcsetattr(&slave, When::Now, &attributes).await?;
    Ok((master, slave))
}

/// What of the attributes a program can see.
fn shown(attributes: &Termios) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (attributes.input_flags, attributes.output_flags),
        (attributes.control_flags, attributes.local_flags),
        attributes.control_chars,
    )
}

lwt_unix::test! {
    async fn attributes_are_set_and_seen() -> Result<(), Error> {
        let (_master, slave) = terminal().await?;
        for when in [When::Now, When::Drained, When::Flushed] {
            let before = tcgetattr(&slave)?;
            let mut changed = before.clone();
            changed.local_flags.toggle(LocalFlags::ECHO);
            changed.input_flags.toggle(InputFlags::IXON);
            changed.control_chars[SpecialCharacterIndices::VMIN as usize] = 3;
            tcsetattr(&slave, when, &changed).await?;
            let seen = tcgetattr(&slave)?;
            assert_eq!(shown(&seen), shown(&changed), "{when:?}");
            assert_ne!(shown(&seen), shown(&before));
            tcsetattr(&slave, When::Now, &before).await?;
            assert_eq!(shown(&tcgetattr(&slave)?), shown(&before));
        }
        Ok(())
    }

    async fn lines_are_whole_and_come_when_they_end() -> Result<(), Error> {
        let (master, slave) = terminal().await?;
        let mut attributes = tcgetattr(&slave)?;
        attributes.local_flags.insert(LocalFlags::ICANON);
        tcsetattr(&slave, When::Drained, &attributes).await?;
        let reading = {
            let slave = slave.clone();
            spawn(async move {
                let mut buf = [0; 64];
                let n = slave.read(&mut buf).await?;
                Ok::<_, Error>(buf[..n].to_vec())
            })
        };
        master.write_all(b"half ").await?;
        settle().await?;
        assert!(reading.is_pending());
        master.write_all(b"a line\nand more\n").await?;
        assert_eq!(reading.await?, b"half a line\n");
        // A short count proves nothing here: the next line is there.
        let mut buf = [0; 64];
        assert_eq!(slave.read(&mut buf).await?, 9);
        assert_eq!(&buf[..9], b"and more\n");
        Ok(())
    }

    async fn output_stops_and_goes_on() -> Result<(), Error> {
        let (master, slave) = terminal().await?;
        tcflow(&slave, Flow::StopOutput).await?;
        let writing = {
            let slave = slave.clone();
            spawn(async move { slave.write_all(b"held").await })
        };
        settle().await?;
        assert_eq!(master.try_read(&mut [0; 8])?, None);
        tcflow(&slave, Flow::StartOutput).await?;
        writing.await?;
        let mut buf = [0; 4];
        master.read_exact(&mut buf).await?;
        assert_eq!(&buf, b"held");
        tcdrain(&slave).await?;
        tcsendbreak(&slave, 0).await?;
        tcflow(&slave, Flow::StopInput).await?;
        tcflow(&slave, Flow::StartInput).await?;
        Ok(())
    }

    async fn what_is_under_way_is_thrown_away() -> Result<(), Error> {
        let (master, slave) = terminal().await?;
        master.write_all(b"unread").await?;
        slave.wait_read().await?;
        tcflush(&slave, Queue::Input)?;
        assert_eq!(slave.try_read(&mut [0; 8])?, None);
        tcflush(&slave, Queue::Output)?;
        tcflush(&slave, Queue::Both)?;
        Ok(())
    }

    async fn what_is_no_terminal_says_so() -> Result<(), Error> {
        let (reader, _writer) = pipe()?;
        let (_master, slave) = terminal().await?;
        let attributes = tcgetattr(&slave)?;
        for error in [
            tcgetattr(&reader).expect_err("a pipe"),
            tcsetattr(&reader, When::Now, &attributes).await.expect_err("a pipe"),
            tcsetattr(&reader, When::Drained, &attributes).await.expect_err("a pipe"),
            tcdrain(&reader).await.expect_err("a pipe"),
            tcsendbreak(&reader, 0).await.expect_err("a pipe"),
            tcflush(&reader, Queue::Both).expect_err("a pipe"),
            tcflow(&reader, Flow::StopOutput).await.expect_err("a pipe"),
        ] {
            assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::ENOTTY), "{error}");
        }
        slave.close()?;
        assert!(term::tcgetattr(&slave).is_err() && tcdrain(&slave).await.is_err());
        Ok(())
    }
}
