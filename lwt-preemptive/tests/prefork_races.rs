//! Services of several processes: what happens at the same time.

mod prefork_common;
mod worker_common;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, pause, set_unhandled_hook, spawn};
use lwt_preemptive::prefork::{self, Event, GivenUp, Service, Stopped};
use lwt_preemptive::worker::{Way, WorkerFailure};
use lwt_preemptive::workers;
use lwt_unix::net::{TcpStream, UnixStream};
use lwt_unix::process::Status;
use nix::sys::signal::Signal;
use prefork_common::{listener, plan, signal, tell_by_unix};
use worker_common::{children, until};

/// Tells every connection a word, and waits until the other end is closed.
async fn tell(word: String) {
    let served = prefork::serve(move |stream: TcpStream, _peer: SocketAddr| {
        let word = word.clone();
        async move {
            stream.write_all(word.as_bytes()).await?;
            stream.read(&mut [0]).await.map(drop)
        }
    });
    served.await.expect("a socket");
}

/// As [`tell`], and breaks when there is a file of the first name, or waits until there is one of the second.
async fn tell_by_files((word, breaks, waits): (String, Option<String>, Option<String>)) {
    let there = |path: &Option<String>| path.as_ref().map(|path| std::path::Path::new(path).exists());
    while there(&waits) == Some(false) {
        lwt_unix::sleep(Duration::from_millis(1)).await.expect("a moment");
    }
    assert_ne!(there(&breaks), Some(true), "broken");
    tell(word).await;
}

/// Each connection fails.
async fn fail() {
    let served = prefork::serve(async |stream: TcpStream, _peer| {
        stream.write_all(b"!").await?;
        Err(Error::msg("as ever"))
    });
    served.await.expect("a socket");
}

/// As [`tell`], but the first connection holds up all of the worker until there is a file of this name.
async fn tell_late(path: String) {
    let served = prefork::serve(move |stream: TcpStream, _peer| {
        while !std::path::Path::new(&path).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        async move { stream.write_all(b"late").await }
    });
    served.await.expect("a socket");
}

/// Cannot be had when there is a file of this name and another worker has made a second one.
async fn tell_alone(mark: String) {
    if std::fs::create_dir(&mark).is_err() {
        panic!("there is one");
    }
    tell("alone".to_owned()).await;
}

/// Is killed before it is ready, and leaves a child behind that has the pipe.
fn leaves() {
    #[expect(clippy::disallowed_methods, reason = "a child that has all of its parent's descriptors")]
    // SAFETY: a child that does nothing.
    if let nix::unistd::ForkResult::Child = unsafe { nix::unistd::fork() }.expect("a child") {
        // It waits until the test has seen its parent's end.
        std::thread::sleep(Duration::from_secs(3600));
    }
    panic!("not ready");
}

/// What a new connection is told.
async fn told(address: SocketAddr) -> Result<String, Error> {
    let stream = TcpStream::connect(address).await?;
    let mut word = [0; 64];
    let length = stream.read(&mut word).await?;
    Ok(String::from_utf8_lossy(&word[..length]).into_owned())
}

fn kill_all<A: 'static>(service: &Service<A>) -> Result<(), Error> {
    for (pid, _) in service.workers() {
        signal(pid, Signal::SIGKILL)?;
    }
    Ok(())
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A directory of the test's own.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("lwt-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Place(path)
    }

    fn name(&self, file: &str) -> String {
        self.0.join(file).into_os_string().into_string().expect("a name")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Generations come and go under load: each connection is served, and nothing is left of them.
async fn no_connection_is_lost(way: Way) -> Result<(), Error> {
    let place = Place::new("load");
    let (listener, address) = listener();
    let path = place.0.join("socket");
    let by_path = std::os::unix::net::UnixListener::bind(&path)?;
    let service = plan(way).workers(3).serve(listener, tell, "0".to_owned()).await?;
    let unix = plan(way).workers(3).serve(by_path, tell_by_unix, ()).await?;
    service.reload("0".to_owned()).await?;
    unix.reload(()).await?;
    until(|| children().len() <= 7).await;
    let before = descriptors();

    let over = Rc::new(Cell::new(false));
    let mut clients = Vec::new();
    for number in 0..12 {
        let (over, path) = (Rc::clone(&over), path.clone());
        clients.push(spawn(async move {
            let mut served = 0_u32;
            while !over.get() {
                // There are only so many ports.
                if number == 0 {
                    assert_ne!(told(address).await?, "");
                } else {
                    let mut text = [0; 4];
                    UnixStream::connect(&path).await?.read_exact(&mut text).await?;
                    assert_eq!(&text, b"unix");
                }
                served += 1;
            }
            Ok::<_, Error>(served)
        }));
    }
    for round in 0..if way == Way::Zygote { 100 } else { 20 } {
        let (one, two) = (service.reload(round.to_string()), unix.reload(()));
        one.await?;
        two.await?;
    }
    over.set(true);
    for client in clients {
        assert!(client.await? > 0);
    }
    until(|| children().len() <= 7).await;
    until(|| descriptors() <= before).await;
    unix.stop().await?;
    service.stop().await
}

/// Workers are killed at any moment: who connects may be cut off, but nobody waits for ever.
async fn nobody_waits_for_ever(way: Way) -> Result<(), Error> {
    let place = Place::new("killed");
    let path = place.0.join("socket");
    let by_path = std::os::unix::net::UnixListener::bind(&path)?;
    let service = plan(way).workers(3).attempts(u32::MAX).serve(by_path, tell_by_unix, ()).await?;
    let over = Rc::new(Cell::new(false));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (over, path) = (Rc::clone(&over), path.clone());
        clients.push(spawn(async move {
            let mut served = 0_u32;
            while !over.get() {
                let mut text = [0; 4];
                let read = UnixStream::connect(&path).await?.read_exact(&mut text).await;
                served += u32::from(read.is_ok());
            }
            Ok::<_, Error>(served)
        }));
    }
    for round in 0..if way == Way::Zygote { 300 } else { 30 } {
        let workers = service.workers();
        if let Some((pid, _)) = workers.get(round % 3) {
            // It may have gone.
            let _ = signal(*pid, Signal::SIGKILL);
        }
        lwt_unix::sleep(Duration::from_micros(500)).await?;
    }
    over.set(true);
    for client in clients {
        assert!(client.await? > 0);
    }
    service.stop().await
}

/// The current generation is given up while the next one gets ready: that takes its place.
async fn given_up_during_a_reload(way: Way) -> Result<(), Error> {
    let place = Place::new("given-up");
    let (breaks, waits) = (place.name("breaks"), place.name("waits"));
    let failed = Rc::new(Cell::new(0));
    let count = Rc::clone(&failed);
    let plan = plan(way).attempts(3).on_event(move |event| {
        count.set(count.get() + u32::from(matches!(event, Event::Ended { failure: Some(_), .. })));
    });
    let (listener, address) = listener();
    let service = plan.serve(listener, tell_by_files, ("old".to_owned(), Some(breaks.clone()), None)).await?;
    let reload = service.reload(("new".to_owned(), None, Some(waits.clone())));
    std::fs::write(breaks, b"")?;
    kill_all(&service)?;
    until(|| failed.get() >= 5).await;
    until(|| service.workers().is_empty()).await;
    assert!(service.ended().is_pending() && reload.is_pending());
    std::fs::write(waits, b"")?;
    reload.await?;
    assert_eq!(told(address).await?, "new");
    assert!(service.ended().is_pending());
    service.stop().await
}

/// The same, and the next one fails too: the service has ended.
async fn given_up_for_good(way: Way) -> Result<(), Error> {
    let place = Place::new("for-good");
    let (breaks, waits) = (place.name("breaks"), place.name("waits"));
    let service = plan(way)
        .attempts(2)
        .serve(listener().0, tell_by_files, ("old".to_owned(), Some(breaks.clone()), None))
        .await?;
    let reload = service.reload(("new".to_owned(), Some(breaks.clone()), Some(waits.clone())));
    std::fs::write(breaks, b"")?;
    kill_all(&service)?;
    until(|| service.workers().is_empty()).await;
    std::fs::write(waits, b"")?;
    assert!(reload.await.unwrap_err().downcast_ref::<GivenUp>().is_some());
    assert!(service.ended().await.unwrap_err().downcast_ref::<GivenUp>().is_some());
    let later = service.reload(("newer".to_owned(), None, None));
    assert!(later.await.unwrap_err().downcast_ref::<Stopped>().is_some());
    assert!(service.stop().await.is_err());
    until(|| children().len() <= 1).await;
    Ok(())
}

/// One of the workers cannot be had, though the other one serves.
async fn one_cannot_be_had(way: Way) -> Result<(), Error> {
    let place = Place::new("one");
    let served = plan(way).attempts(4).serve(listener().0, tell_alone, place.name("mark"));
    let error = served.await.unwrap_err();
    assert!(error.downcast_ref::<GivenUp>().is_some_and(|given_up| given_up.failures() >= 4), "{error:?}");
    until(|| children().len() <= 1).await;
    Ok(())
}

/// Whoever is told of events may call the service.
async fn a_stop_by_an_event(way: Way) -> Result<(), Error> {
    let service: Rc<RefCell<Option<Service<String>>>> = Rc::default();
    let inner = Rc::clone(&service);
    let reloads = Rc::new(Cell::new(0));
    let plan = plan(way).on_event(move |event| {
        let Some(service) = inner.borrow().clone() else { return };
        match event {
            Event::Ready(_) => {
                reloads.set(reloads.get() + 1);
                if reloads.get() < 4 {
                    service.reload("again".to_owned()).on_any(|_| ());
                } else {
                    service.stop().on_any(|_| ());
                }
            }
            Event::Ended { .. } => assert!(service.workers().len() <= 2),
            _ => {}
        }
    });
    let served = plan.serve(listener().0, tell, "first".to_owned()).await?;
    *service.borrow_mut() = Some(served.clone());
    served.reload("second".to_owned()).on_any(|_| ());
    served.ended().await?;
    service.take();
    until(|| children().len() <= 1).await;
    Ok(())
}

/// What goes wrong there is told of, and nothing else comes of it.
async fn an_event_that_panics(way: Way) -> Result<(), Error> {
    let unhandled = Rc::new(Cell::new(0));
    let count = Rc::clone(&unhandled);
    let before = set_unhandled_hook(Some(Rc::new(move |_: &_| count.set(count.get() + 1))));
    let (listener, address) = listener();
    let service =
        plan(way).on_event(|_| panic!("on purpose")).serve(listener, tell, "well".to_owned()).await?;
    kill_all(&service)?;
    assert_eq!(told(address).await?, "well");
    // Two have been started, were ready, and have ended; two are in their places.
    until(|| unhandled.get() == 10).await;
    service.stop().await?;
    set_unhandled_hook(before);
    assert_eq!(unhandled.get(), 12);
    Ok(())
}

/// A worker that drains has not failed.
async fn how_a_drained_worker_ends(way: Way) -> Result<(), Error> {
    let events = Rc::new(RefCell::new(Vec::new()));
    let all = Rc::clone(&events);
    let service = plan(way).on_event(move |event| all.borrow_mut().push(event));
    let service = service.serve(listener().0, tell, String::new()).await?;
    service.stop().await?;
    let drained = |event: &&Event| {
        matches!(event, Event::Ended { status: Some(Status::Exited(0)), failure: None, asked: true, .. })
    };
    assert_eq!(events.borrow().iter().filter(drained).count(), 2, "{:?}", events.borrow());
    Ok(())
}

/// A worker's end is its end, whoever else could still say that it is ready.
async fn a_child_of_a_worker_stays(way: Way) -> Result<(), Error> {
    let pids = Rc::new(RefCell::new(Vec::new()));
    let started = Rc::clone(&pids);
    let plan = plan(way).workers(1).attempts(2).on_event(move |event| {
        if let Event::Started(pid) = event {
            started.borrow_mut().push(pid);
        }
    });
    let error = plan.serve(listener().0, leaves, ()).await.unwrap_err();
    let last = error.downcast_ref::<GivenUp>().and_then(GivenUp::last).and_then(|last| last.downcast_ref());
    assert!(matches!(last, Some(WorkerFailure::Panic { .. })), "{error:?}");
    for pid in pids.take() {
        nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(pid.number()),
            nix::sys::signal::Signal::SIGKILL,
        )?;
    }
    Ok(())
}

/// Who has connected before the service is stopped is served, also where no worker has accepted it by then.
async fn who_waits_is_served(way: Way) -> Result<(), Error> {
    let place = Place::new("waits");
    let (listener, address) = listener();
    let file = place.name("file");
    let service = plan(way).workers(1).serve(listener, tell_late, file.clone()).await?;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(TcpStream::connect(address).await?);
    }
    let stopped = service.stop();
    std::fs::write(file, b"")?;
    for stream in streams {
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        assert_eq!(&word, b"late");
    }
    stopped.await
}

/// Whoever ends all processes of a program asks the workers, and so does the service then.
async fn asked_to_end_twice(way: Way) -> Result<(), Error> {
    let ends = Rc::new(RefCell::new(Vec::new()));
    let all = Rc::clone(&ends);
    let plan = plan(way).workers(1).on_event(move |event| {
        if let Event::Ended { status, .. } = event {
            all.borrow_mut().push(status);
        }
    });
    let (listener, address) = listener();
    let service = plan.serve(listener, tell, "served".to_owned()).await?;
    let stream = TcpStream::connect(address).await?;
    stream.read_exact(&mut [0; 6]).await?;
    let pid = service.workers()[0].0;
    let stopped = service.stop();
    until(|| std::net::TcpStream::connect(address).is_err()).await;
    signal(pid, Signal::SIGTERM)?;
    drop(stream);
    stopped.await?;
    assert_eq!(*ends.borrow(), [Some(Status::Exited(0))]);
    Ok(())
}

/// A worker serves on while the program does not take note of what it tells.
async fn the_program_is_held_up(way: Way) -> Result<(), Error> {
    let (listener, address) = listener();
    let service = plan(way).workers(1).serve(listener, fail, ()).await?;
    for _ in 0..2000 {
        // Blocking: the loop does not turn.
        std::net::TcpStream::connect(address)?.read_exact(&mut [0])?;
    }
    service.stop().await
}

/// Stops and cancels at any moment of a reload leave nothing behind.
async fn stops_at_any_moment(way: Way) -> Result<(), Error> {
    for moment in 0..if way == Way::Zygote { 60 } else { 12 } {
        let service = plan(way).serve(listener().0, tell, "old".to_owned()).await?;
        let reload = service.reload("new".to_owned());
        reload.clone().on_any(|_| ());
        for _ in 0..moment / 2 {
            pause().await?;
        }
        if moment % 2 == 0 {
            reload.cancel();
        }
        let stop = service.stop();
        drop(service);
        stop.await?;
        assert!(!reload.is_pending() || reload.await.is_err());
        assert!(children().len() <= 1, "{:?}", children());
    }
    Ok(())
}

fn main() {
    lwt_preemptive::worker::init(workers![
        tell,
        tell_by_unix,
        tell_by_files,
        tell_alone,
        tell_late,
        fail,
        leaves,
    ]);
    worker_common::main(both_ways![
        no_connection_is_lost,
        nobody_waits_for_ever,
        given_up_during_a_reload,
        given_up_for_good,
        one_cannot_be_had,
        a_stop_by_an_event,
        an_event_that_panics,
        how_a_drained_worker_ends,
        a_child_of_a_worker_stays,
        who_waits_is_served,
        asked_to_end_twice,
        the_program_is_held_up,
        stops_at_any_moment,
    ]);
}
