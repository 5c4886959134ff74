//! Services of several processes.

mod prefork_common;
mod worker_common;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, pause, spawn};
use lwt_preemptive::prefork::{self, Event, GivenUp, Service, Stopped, WorkerState};
use lwt_preemptive::worker::{Level, Message, Way, WorkerFailure};
use lwt_preemptive::workers;
use lwt_unix::net::{TcpStream, UnixStream};
use lwt_unix::process::{CannotFork, Fork, Pid, Status, WaitFlags, fork, waitpid};
use lwt_unix::signal::SIGKILL;
use nix::sys::signal::Signal;
use prefork_common::{listener, plan, signal, tell_by_unix};
use worker_common::{by, children, until};

/// Answers each line's worth of bytes with its number and what it was told.
async fn answer(told: String) {
    let served = prefork::serve(move |stream: TcpStream, _peer: SocketAddr| {
        let told = told.clone();
        async move {
            let mut byte = [0];
            while stream.read(&mut byte).await? > 0 {
                assert_ne!(byte, *b"!", "asked to panic");
                stream.write_all(format!("{} {told}\n", std::process::id()).as_bytes()).await?;
            }
            Ok(())
        }
    });
    served.await.expect("a socket");
}

fn panics() {
    panic!("no service today");
}

fn returns() {}

/// Gets ready with a good argument only: breaks with a bad one, and with a late one waits until it is to end.
async fn answer_unless(told: String) {
    assert_ne!(told, "bad", "bad configuration");
    if told == "late" {
        return prefork::draining().await.expect("an end");
    }
    answer(told).await;
}

/// Says that it is ready, and is deaf to everything else.
fn deaf() {
    lwt_unix::run(async {
        let _never_looked_at = lwt_unix::signal::stream(lwt_unix::signal::SIGTERM)?;
        prefork::ready();
        lwt_unix::sleep(Duration::from_secs(3600)).await
    })
    .expect("an hour");
}

/// Asks once: the number of the worker that answers, and what it was told.
async fn ask(stream: &TcpStream) -> Result<(i32, String), Error> {
    stream.write_all(b"?").await?;
    let mut text = String::new();
    while !text.ends_with('\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        text.push(char::from(byte[0]));
    }
    let (pid, told) = text.trim_end().split_once(' ').expect("two words");
    Ok((pid.parse()?, told.to_owned()))
}

async fn ask_new(address: SocketAddr) -> Result<(i32, String), Error> {
    ask(&TcpStream::connect(address).await?).await
}

fn numbers<A: 'static>(service: &Service<A>) -> Vec<Pid> {
    service.workers().into_iter().map(|(pid, _)| pid).collect()
}

async fn serves_and_stops(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let service = plan(way).serve(listener, answer, "one".to_owned()).await?;
    let workers = service.workers();
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().all(|(_, state)| *state == WorkerState::Serving), "{workers:?}");
    let (pid, told) = ask_new(address).await?;
    assert!(numbers(&service).contains(&Pid::from(pid)) && told == "one");

    let open = TcpStream::connect(address).await?;
    ask(&open).await?;
    let stopped = service.stop();
    // Who is connected is served until it goes.
    assert_eq!(ask(&open).await?.1, "one");
    assert!(stopped.is_pending());
    assert!(service.reload("two".to_owned()).await.unwrap_err().downcast_ref::<Stopped>().is_some());
    // Who comes now is refused, as soon as the workers have heard of it.
    until(|| std::net::TcpStream::connect(address).is_err()).await;
    drop(open);
    stopped.await?;
    service.ended().await?;
    service.stop().await?;
    assert!(service.workers().is_empty());
    Ok(())
}

async fn serves_unix_sockets(way: Way) -> Result<(), Error> {
    let path = std::env::temp_dir().join(format!("lwt-prefork-{}-{way:?}", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    let service = plan(way).serve(listener, tell_by_unix, ()).await?;
    let stream = UnixStream::connect(&path).await;
    std::fs::remove_file(&path)?;
    let mut text = [0; 4];
    stream?.read_exact(&mut text).await?;
    assert_eq!(&text, b"unix");
    service.stop().await
}

async fn a_reload_is_a_new_generation(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let service = plan(way).serve(listener, answer_unless, "one".to_owned()).await?;
    let old = numbers(&service);
    let open = TcpStream::connect(address).await?;
    assert_eq!(ask(&open).await?.1, "one");
    // Two reloads at once come one after the other.
    let (two, three) = (service.reload("two".to_owned()), service.reload("three".to_owned()));
    two.await?;
    assert!(three.is_pending());
    three.await?;
    assert!(numbers(&service).iter().all(|pid| !old.contains(pid)));
    until_told(address, "three").await?;
    assert_eq!(ask(&open).await?.1, "one");
    drop(open);
    service.stop().await
}

/// An old worker may have a connection in hand that came before it was asked to end; later ones are told
/// `told`.
async fn until_told(address: SocketAddr, told: &str) -> Result<(), Error> {
    while ask_new(address).await?.1 != told {
        pause().await?;
    }
    Ok(())
}

async fn a_reload_that_fails_changes_nothing(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let service = plan(way).attempts(3).serve(listener, answer_unless, "good".to_owned()).await?;
    let workers = numbers(&service);
    let error = service.reload("bad".to_owned()).await.unwrap_err();
    let given_up: &GivenUp = error.downcast_ref().expect("its own error");
    assert!(given_up.failures() >= 3);
    let last = given_up.last().and_then(|last| last.downcast_ref());
    assert!(
        matches!(last, Some(WorkerFailure::Panic { message, .. }) if message.contains("bad configuration"))
    );
    assert_eq!(numbers(&service), workers);
    assert_eq!(ask_new(address).await?.1, "good");
    // It can be tried again.
    service.reload("better".to_owned()).await?;
    until_told(address, "better").await?;
    service.stop().await
}

async fn a_cancelled_reload_changes_nothing(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let ended = Rc::new(Cell::new(0));
    let count = Rc::clone(&ended);
    let settings = plan(way).on_event(move |event| {
        count.set(count.get() + u32::from(matches!(event, Event::Ended { .. })));
    });
    let service = settings.serve(listener, answer_unless, "good".to_owned()).await?;
    let reload = service.reload("late".to_owned());
    pause().await?;
    reload.cancel();
    assert!(reload.await.unwrap_err().is_canceled());
    until(|| ended.get() == 2).await;
    assert_eq!(ask_new(address).await?.1, "good");
    service.stop().await
}

async fn what_cannot_serve_is_given_up(way: Way) -> Result<(), Error> {
    let ended = Rc::new(Cell::new(0));
    let count = Rc::clone(&ended);
    let settings = plan(way).attempts(4).on_event(move |event| {
        count.set(count.get() + u32::from(matches!(event, Event::Ended { asked: false, .. })));
    });
    let error = settings.clone().serve(listener().0, panics, ()).await.unwrap_err();
    let last = error.downcast_ref::<GivenUp>().and_then(GivenUp::last).expect("a reason");
    assert!(
        matches!(last.downcast_ref(), Some(WorkerFailure::Panic { message, .. }) if message == "no service today")
    );
    assert!(ended.get() >= 4);
    let error = settings.serve(listener().0, returns, ()).await.unwrap_err();
    assert!(error.downcast_ref::<GivenUp>().is_some_and(|given_up| given_up.last().is_none()));
    Ok(())
}

async fn who_dies_is_replaced(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let events = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&events);
    let service = plan(way).on_event(move |event| told.borrow_mut().push(event));
    let service = service.serve(listener, answer, "still here".to_owned()).await?;
    let before = numbers(&service);
    for pid in &before {
        signal(*pid, Signal::SIGKILL)?;
    }
    until(|| {
        let workers = service.workers();
        workers.len() == 2
            && workers.iter().all(|(pid, state)| !before.contains(pid) && *state == WorkerState::Serving)
    })
    .await;
    assert_eq!(ask_new(address).await?.1, "still here");
    let killed = |event: &&Event| {
        matches!(
            event,
            Event::Ended { status: Some(Status::Signaled { signal: SIGKILL, .. }), asked: false, .. }
        )
    };
    assert_eq!(events.borrow().iter().filter(killed).count(), 2);
    service.stop().await
}

async fn who_does_not_drain_is_killed(way: Way) -> Result<(), Error> {
    let events = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&events);
    let service = plan(way)
        .start(by(way).grace(Duration::from_millis(20)))
        .on_event(move |event| told.borrow_mut().push(event));
    let service = service.serve(listener().0, deaf, ()).await?;
    service.stop().await?;
    let killed = |event: &&Event| {
        matches!(
            event,
            Event::Ended { status: Some(Status::Signaled { signal: SIGKILL, .. }), asked: true, .. }
        )
    };
    assert_eq!(events.borrow().iter().filter(killed).count(), 2);
    Ok(())
}

async fn a_connection_that_fails_is_told_of(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let lines = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&lines);
    let service = plan(way).on_message(move |pid, message| {
        if let Message::Log { level: Level::Info, text } = message {
            told.borrow_mut().push((pid, text));
        }
    });
    let service = service.serve(listener, answer, String::new()).await?;
    let stream = TcpStream::connect(address).await?;
    stream.write_all(b"!").await?;
    until(|| !lines.borrow().is_empty()).await;
    let (pid, text) = lines.borrow_mut().remove(0);
    assert!(text.contains("asked to panic"), "{text}");
    // It costs nobody but this connection anything.
    assert!(numbers(&service).contains(&pid));
    service.stop().await
}

async fn a_cancel_ends_what_has_begun(way: Way) -> Result<(), Error> {
    let before = children().len();
    let serving = plan(way).serve(listener().0, answer_unless, "late".to_owned());
    pause().await?;
    serving.cancel();
    assert!(serving.await.unwrap_err().is_canceled());
    until(|| children().len() <= before).await;
    Ok(())
}

/// Which the loop's exit hooks do.
async fn a_service_may_be_left_to_the_end(way: Way) -> Result<(), Error> {
    let service = plan(way).serve(listener().0, answer, String::new()).await?;
    let ended = service.ended();
    drop(service);
    drop(spawn(async move {
        ended.await?;
        Ok::<_, Error>(())
    }));
    Ok(())
}

/// A fork of the program has nothing of its services: it replaces no worker, and ends none.
async fn a_fork(way: Way) -> Result<(), Error> {
    let output = Command::new(std::env::current_exe()?).arg(format!("fork-{way:?}")).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}", output.status);
    Ok(())
}

async fn fork_beside_a_service(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let service = plan(way).serve(listener, answer, "still here".to_owned()).await?;
    let fork = loop {
        // The job of a start may not have put everything away.
        match fork() {
            Err(error) if error.downcast_ref::<CannotFork>().is_some() => pause().await?,
            other => break other?,
        }
    };
    match fork {
        Fork::Child => {
            let error = service.ended().await.unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(WorkerFailure::OwnerGone)), "{error:?}");
            let error = service.reload(String::new()).await.unwrap_err();
            assert!(error.downcast_ref::<Stopped>().is_some(), "{error:?}");
            assert!(service.workers().is_empty() && service.stop().await.is_err());
            assert!(children().is_empty(), "{:?}", children());
        }
        Fork::Parent(child) => {
            let waited = waitpid(WaitFlags::NONE, child).await?;
            assert_eq!(waited, Some((child, Status::Exited(0))));
            assert_eq!(service.workers().len(), 2);
            assert_eq!(ask_new(address).await?.1, "still here");
            service.stop().await?;
        }
    }
    Ok(())
}

fn main() {
    lwt_preemptive::worker::init(workers![answer, tell_by_unix, answer_unless, panics, returns, deaf]);
    match std::env::args().nth(1).as_deref() {
        Some("fork-Zygote") => return lwt_unix::run(fork_beside_a_service(Way::Zygote)).unwrap(),
        Some("fork-Exec") => return lwt_unix::run(fork_beside_a_service(Way::Exec)).unwrap(),
        _ => {}
    }
    worker_common::main(both_ways![
        serves_and_stops,
        serves_unix_sockets,
        a_reload_is_a_new_generation,
        a_reload_that_fails_changes_nothing,
        a_cancelled_reload_changes_nothing,
        what_cannot_serve_is_given_up,
        who_dies_is_replaced,
        who_does_not_drain_is_killed,
        a_connection_that_fails_is_told_of,
        a_cancel_ends_what_has_begun,
        a_service_may_be_left_to_the_end,
        a_fork,
    ]);
}
