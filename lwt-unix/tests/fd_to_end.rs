//! Reading to the end.

use lwt_core::{Error, spawn};
use lwt_unix::fd::pipe;
use net_support::{detach, pattern, run, settle};

mod net_support;

#[test]
fn reading_to_the_end_has_a_bound() {
    run(async {
        for (len, most, brought) in [(0, 0, 0), (100_000, 100_000, 100_000), (100_001, 100_000, 100_001)] {
            let (reader, writer) = pipe()?;
            detach(async move {
                writer.write_all(&pattern(len)).await?;
                writer.close()
            });
            let mut content = b"before".to_vec();
            let done = reader.read_to_end(&mut content, most).await;
            assert!(content[..6] == *b"before" && content[6..] == pattern(len)[..brought]);
            match done {
                Ok(n) => assert_eq!((n, len), (brought, most)),
                Err(error) => {
                    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::FileTooLarge));
                    assert!(len > most);
                }
            }
        }
        // A cancel leaves what has come.
        let (reader, writer) = pipe()?;
        writer.write_all(b"some").await?;
        let reading = spawn(async move {
            let mut content = Vec::new();
            let done = reader.read_to_end(&mut content, usize::MAX).await;
            Ok::<_, Error>((content, done))
        });
        settle().await?;
        reading.cancel();
        let (content, done) = reading.await?;
        assert!(content == b"some" && done.is_err_and(|error| error.is_canceled()));
        Ok(())
    });
}
