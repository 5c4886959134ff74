//! What happens at the limits: no descriptors left, attempts given up half-way, a thousand connections. Each
//! in a process of its own, because limits and descriptor counts belong to the process.

use std::cell::Cell;
use std::fs::File;
use std::net::TcpStream as StdStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwt_core::{Error, spawn};
use lwt_unix::fd::{Fd, OsError};
use lwt_unix::net::{ListenOptions, Shutdown, TcpListener, TcpStream, opt};
use net_support::{
    cpu_time, deaf_port, detach, in_child, limit_descriptors, loopback, open_descriptors, run, settle,
};

mod net_support;

/// Takes every descriptor that is left.
fn take_all() -> Vec<File> {
    let mut taken = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return taken;
            }
        }
    }
}

#[test]
fn accepting_recovers_from_a_lack_of_descriptors() {
    in_child("accepting_recovers_from_a_lack_of_descriptors", || {
        run(async {
            let listener = TcpListener::bind(loopback())?;
            let address = listener.local_addr()?;
            let _clients: Vec<_> = (0..4).map(|_| StdStream::connect(address)).collect::<Result<_, _>>()?;
            limit_descriptors(100);
            let mut hogs = take_all();
            hogs.truncate(hogs.len() - 2);

            let accepted = Rc::new(Cell::new(0));
            let reports = Rc::new(Cell::new(0));
            let held = Rc::new(std::cell::RefCell::new(Vec::new()));
            let (count, told, streams) = (accepted.clone(), reports.clone(), held.clone());
            let (server, patient) = (listener.clone(), listener.clone());
            detach(async move {
                let mut incoming = patient.incoming().on_shortage(|error| {
                    assert_eq!(OsError::of(error).and_then(OsError::raw_os_error), Some(libc::EMFILE));
                    told.set(told.get() + 1);
                });
                loop {
                    let (stream, _) = incoming.next().await?;
                    streams.borrow_mut().push(stream);
                    count.set(count.get() + 1);
                }
            });
            settle().await?;
            assert_eq!((accepted.get(), reports.get()), (2, 1), "two were free");
            let error = server.accept().await.map(drop).expect_err("none is free");
            assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::EMFILE));

            // Waiting costs nothing: a loop that spins would use all of this time.
            let (start, used) = (Instant::now(), cpu_time());
            lwt_unix::sleep(Duration::from_millis(600)).await?;
            let share = (cpu_time() - used).as_secs_f64() / start.elapsed().as_secs_f64();
            assert!(share < 0.1, "the server spins: {share}");
            assert_eq!((accepted.get(), reports.get()), (2, 1), "reported once");

            // One of ours is closed: known at once. One of somebody else's: noticed in time.
            let first = held.borrow_mut().remove(0);
            drop(first);
            settle().await?;
            assert_eq!(accepted.get(), 3, "without waiting for the next attempt's time");
            assert_eq!(reports.get(), 2, "the fourth is waiting for one now");
            hogs.pop();
            while accepted.get() < 4 {
                settle().await?;
            }
            listener.close()
        });
    });
}

#[test]
fn connecting_without_descriptors_is_an_error_and_no_more() {
    in_child("connecting_without_descriptors_is_an_error_and_no_more", || {
        run(async {
            let listener = TcpListener::bind(loopback())?;
            let address = listener.local_addr()?;
            limit_descriptors(64);
            let hogs = take_all();
            let error = TcpStream::connect(address).await.map(drop).expect_err("none is free");
            let os = OsError::of(&error).expect("a system error");
            assert_eq!((os.call(), os.raw_os_error()), ("socket", Some(libc::EMFILE)));
            drop(hogs);
            TcpStream::connect(address).await?;
            Ok(())
        });
    });
}

#[test]
fn attempts_that_end_badly_leave_no_descriptor() {
    in_child("attempts_that_end_badly_leave_no_descriptor", || {
        run(async {
            let (_deaf, nobody) = deaf_port().await?;
            let listener = ListenOptions::new().backlog(1).tcp(loopback())?;
            let address = listener.local_addr()?;
            settle().await?;
            let before = open_descriptors();
            for _ in 0..100 {
                assert!(TcpStream::connect(nobody).await.is_err());
            }
            assert_eq!(open_descriptors(), before, "refused");

            // Nobody accepts, so most of these get no answer.
            let _queued: Vec<_> = (0..2).map(|_| spawn(TcpStream::connect(address))).collect();
            settle().await?;
            let before = open_descriptors();
            let limited = |socket: &Fd| socket.set_option::<opt::UserTimeout>(Duration::from_millis(10));
            let error = TcpStream::connect_with(address, limited).await.map(drop).expect_err("no answer");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::TimedOut), "{error:?}");
            assert_eq!(open_descriptors(), before, "timed out");
            for way in ["cancelled", "cancelled and dropped", "too late"] {
                let attempts: Vec<_> = (0..12).map(|_| spawn(TcpStream::connect(address))).collect();
                settle().await?;
                assert!(open_descriptors() >= before + 12);
                assert!(attempts.iter().any(|attempt| attempt.is_pending()), "the queue is full");
                match way {
                    "cancelled" => {
                        for attempt in attempts {
                            attempt.cancel();
                            if let Err(error) = attempt.await {
                                assert!(error.is_canceled(), "{error:?}");
                            }
                        }
                    }
                    "cancelled and dropped" => {
                        attempts.iter().for_each(lwt_core::Promise::cancel);
                        drop(attempts);
                    }
                    _ => {
                        let limit = lwt_unix::sleep(Duration::from_millis(1));
                        let all = spawn(async move {
                            lwt_core::join(attempts.into_iter().map(|attempt| attempt.map(drop))).await
                        });
                        lwt_core::pick([all, limit]).await?;
                    }
                }
                settle().await?;
                assert_eq!(open_descriptors(), before, "{way}");
            }
            Ok(())
        });
    });
}

#[test]
fn a_future_that_is_dropped_half_way_leaves_no_descriptor() {
    in_child("a_future_that_is_dropped_half_way_leaves_no_descriptor", || {
        run(async {
            let listener = ListenOptions::new().backlog(1).tcp(loopback())?;
            let address = listener.local_addr()?;
            settle().await?;
            let before = open_descriptors();
            let mut pending = 0;
            for _ in 0..12 {
                let mut attempt = Box::pin(TcpStream::connect(address));
                let outcome =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(attempt.as_mut().poll(cx))).await;
                pending += u32::from(outcome.is_pending());
                // Kept, so that the queue fills up.
                if let std::task::Poll::Ready(stream) = outcome {
                    std::mem::forget(stream?);
                }
            }
            settle().await?;
            assert!(open_descriptors() <= before + 12 - pending as usize, "{pending} were dropped");
            Ok(())
        });
    });
}

#[test]
fn a_thousand_connections_talk_at_once() {
    in_child("a_thousand_connections_talk_at_once", || {
        let limit = limit_descriptors(4096);
        let count = ((limit as usize).saturating_sub(50) / 2).min(1000);
        run(async move {
            let listener = TcpListener::bind(loopback())?;
            let address = listener.local_addr()?;
            let server = listener.clone();
            let serving = spawn(async move {
                let mut incoming = server.incoming();
                let mut served = Vec::new();
                while served.len() < count {
                    let (stream, _) = incoming.next().await?;
                    served.push(spawn(async move {
                        let mut buf = [0; 512];
                        loop {
                            match stream.read(&mut buf).await? {
                                0 => return Ok::<(), Error>(()),
                                n => stream.write_all(&buf[..n]).await?,
                            }
                        }
                    }));
                }
                lwt_core::join(served).await
            });
            let clients: Vec<_> = (0..count as u32)
                .map(|number| {
                    spawn(async move {
                        let stream = TcpStream::connect(address).await?;
                        for turn in 0..5_u32 {
                            let message = [number.to_be_bytes(), turn.to_be_bytes()].concat().repeat(40);
                            stream.write_all(&message).await?;
                            let mut back = vec![0; message.len()];
                            stream.read_exact(&mut back).await?;
                            assert!(back == message);
                        }
                        stream.shutdown(Shutdown::Write)?;
                        assert_eq!(stream.read(&mut [0; 1]).await?, 0);
                        Ok::<(), Error>(())
                    })
                })
                .collect();
            lwt_core::join(clients).await?;
            serving.await
        });
    });
}
