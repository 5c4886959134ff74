//! The same server three times: accept, and a task per connection that reads and writes back.

use std::net::SocketAddr;

use super::BUFFER;
use crate::measure::{Measure, Outcome};
use crate::runtimes::smol_spawn;

/// On this project's runtime.
pub fn lwt(tell: &dyn Fn(SocketAddr)) -> Outcome {
    let listener = lwt::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    tell(listener.local_addr()?);
    Ok(lwt::run(lwt_serve(listener))?)
}

async fn lwt_serve(listener: lwt::net::TcpListener) -> Result<Measure, lwt::Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // Dropping the promise detaches the task.
        drop(lwt::spawn(async move {
            let mut buffer = [0; BUFFER];
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) if stream.write_all(&buffer[..length]).await.is_err() => break,
                    Ok(_) => {}
                }
            }
            Ok::<(), lwt::Error>(())
        }));
    }
}

/// On a current-thread tokio runtime.
pub fn tokio(tell: &dyn Fn(SocketAddr)) -> Outcome {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        tell(listener.local_addr()?);
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut buffer = [0; BUFFER];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(length) if stream.write_all(&buffer[..length]).await.is_err() => break,
                        Ok(_) => {}
                    }
                }
            });
        }
    })
}

/// On a smol executor of this thread.
pub fn smol(tell: &dyn Fn(SocketAddr)) -> Outcome {
    use smol::io::{AsyncReadExt, AsyncWriteExt};

    crate::runtimes::with_smol(async {
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await?;
        tell(listener.local_addr()?);
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection = smol_spawn(async move {
                let mut buffer = [0; BUFFER];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(length) if stream.write_all(&buffer[..length]).await.is_err() => break,
                        Ok(_) => {}
                    }
                }
            });
            connection.detach();
        }
    })
}
