//! Pools of workers: jobs, their order, the queue and its bound, cancels, messages.

mod worker_common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use lwt_core::{Error, join};
use lwt_preemptive::worker::pool::{Event, Filled, OnCancel, Options, Pool, is_cancelled};
use lwt_preemptive::worker::{self, Level, Message, Way, WorkerFailure};
use lwt_preemptive::workers;
use worker_common::{failure, until};

fn square(number: u64) -> u64 {
    number * number
}

fn nothing() {}

async fn later(milliseconds: u64) -> u64 {
    lwt_unix::sleep(Duration::from_millis(milliseconds)).await.unwrap();
    milliseconds
}

fn reversed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

fn panics(text: String) -> u32 {
    panic!("it says {text}");
}

fn nap(milliseconds: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    std::process::id()
}

fn unlisted() {}

/// Works until it is cancelled, and leaves a mark then.
fn until_cancelled(mark: String) {
    std::fs::write(format!("{mark}.begun"), "").unwrap();
    while !is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(mark, "").unwrap();
}

/// Does not look whether it is cancelled.
fn deaf(mark: String) -> u32 {
    std::fs::write(mark, "").unwrap();
    worker_common::hang();
    0
}

fn talks(number: u32) -> u32 {
    worker::progress(&number).unwrap();
    worker::log(Level::Info, format_args!("at {number}")).unwrap();
    number
}

fn pool(way: Way, workers: usize) -> Pool {
    Pool::new(Options::new().way(way).workers(workers)).expect("a pool")
}

/// A name in a directory of its own, which is removed with it.
struct Mark(std::path::PathBuf);

impl Mark {
    fn new(of: &str) -> Mark {
        let unique = Instant::now().elapsed().as_nanos() as usize + std::ptr::from_ref(&of) as usize;
        let directory = std::env::temp_dir().join(format!("lwt-{of}-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        Mark(directory)
    }

    fn path(&self) -> String {
        self.0.join("mark").to_string_lossy().into_owned()
    }

    fn is_there(&self) -> bool {
        self.0.join("mark").exists()
    }

    fn has_begun(&self) -> bool {
        self.0.join("mark.begun").exists()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn results(way: Way) -> Result<(), Error> {
    let pool = pool(way, 2);
    assert_eq!(pool.submit(square, 12).await?, 144);
    pool.submit(nothing, ()).await?;
    assert_eq!(join!(pool.submit(later, 3), pool.submit(later, 1)).await?, (3, 1));
    for len in [0, 1, 1000, 16_000, 16_384, 17_000, 1_000_000, 9_000_000, 10] {
        let bytes: Vec<u8> = (0..len).map(|at: usize| at as u8).collect();
        let back = pool.submit(reversed, bytes.clone()).await?;
        assert!(back.iter().rev().eq(&bytes), "{len}");
    }
    assert_eq!(pool.stats().answered, 13);
    assert_eq!(pool.stats().started, 2);
    pool.shutdown(Duration::from_secs(10)).await
}

fn counted(many: usize) -> Filled<u64> {
    Filled::new(many, |numbers| numbers.iter_mut().zip(0..).for_each(|(number, value)| *number = value))
}

async fn results_in_order(way: Way) -> Result<(), Error> {
    let pool = pool(way, 3);
    let most = Rc::new(Cell::new(0));
    let (seen, looked) = (Rc::clone(&most), pool.clone());
    let arguments = (0..2000_u64).inspect(move |_| {
        let stats = looked.stats();
        seen.set(seen.get().max(stats.queued + stats.running));
    });
    let squares = pool.map(square, arguments, 50).await?;
    assert!(squares.iter().zip(0..2000).all(|(square, number)| *square == number * number));
    assert_eq!(squares.len(), 2000);
    assert!(most.get() <= 50, "{}", most.get());
    assert!(pool.map(square, std::iter::empty(), 5).await?.is_empty());
    let error = pool.map(panics, ["a".to_owned(), "b".to_owned()], 1).await.unwrap_err();
    assert!(error.to_string().contains("it says a"));
    Ok(())
}

async fn panics_are_told(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let error = pool.submit(panics, "no".to_owned()).await.unwrap_err();
    let WorkerFailure::Panic { message, place } = failure(&error) else { panic!("{error:?}") };
    assert_eq!(message, "it says no");
    assert!(place.as_ref().is_some_and(|place| place.contains("worker_pool_jobs.rs")), "{place:?}");
    // The worker goes on.
    assert_eq!(pool.submit(square, 3).await?, 9);
    assert_eq!((pool.stats().started, pool.stats().failed), (1, 1));
    let error = pool.submit(unlisted, ()).await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Unregistered { .. }));
    Ok(())
}

async fn many_in_flight(way: Way) -> Result<(), Error> {
    let pool = pool(way, 3);
    let jobs: Vec<_> = (0..5000).map(|number| pool.submit(square, number)).collect();
    let squares = lwt_core::all(jobs).await?;
    assert!(squares.iter().zip(0..).all(|(square, number)| *square == number * number));
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running, stats.busy, stats.answered), (0, 0, 0, 5000));
    Ok(())
}

async fn idle_workers_take_over(way: Way) -> Result<(), Error> {
    let pool = Pool::new(Options::new().way(way).workers(2).ahead(64))?;
    // One worker gets the hours behind its long job back to the other.
    let long = pool.submit(nap, 3_600_000);
    let short: Vec<_> = (0..100).map(|_| pool.submit(nap, 1)).collect();
    let pids = lwt_core::all(short).await?;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "one worker is busy for an hour");
    assert!(pool.stats().moved > 0);
    assert!(long.is_pending());
    long.cancel();
    drop(long);
    pool.shutdown(Duration::ZERO).await
}

async fn the_queue_has_a_bound(way: Way) -> Result<(), Error> {
    let pool = Pool::new(Options::new().way(way).workers(1).ahead(1).queue(3))?;
    let mut jobs: Vec<_> = (0..4).map(|_| pool.submit(nap, 20)).collect();
    let full = pool.try_submit(nap, 7).unwrap_err();
    assert_eq!(full.0, 7);
    let room = pool.room();
    assert!(room.is_pending());
    assert_eq!(pool.stats().queued, 3);
    room.await?;
    assert!(pool.stats().queued < 3);
    jobs.push(pool.try_submit(nap, 1).expect("room"));
    lwt_core::all(jobs).await?;
    assert!(!pool.room().is_pending());
    Ok(())
}

async fn a_producer_is_held_back(way: Way) -> Result<(), Error> {
    let pool = Pool::new(Options::new().way(way).workers(1).ahead(2).queue(4))?;
    let mut jobs = Vec::new();
    for number in 0..200 {
        pool.room().await?;
        let stats = pool.stats();
        assert!(stats.queued < 4, "{stats:?}");
        jobs.push(pool.submit(square, number));
    }
    assert_eq!(lwt_core::all(jobs).await?.len(), 200);
    Ok(())
}

async fn cancelled_in_the_queue(way: Way) -> Result<(), Error> {
    let pool = Pool::new(Options::new().way(way).workers(1).ahead(4))?;
    let mark = Mark::new("queue");
    let busy = pool.submit(nap, 50);
    // One that was sent ahead, one that waits.
    let sent = pool.submit(until_cancelled, mark.path());
    let others: Vec<_> = (0..5).map(|_| pool.submit(nap, 0)).collect();
    let waits = pool.submit(until_cancelled, mark.path());
    for job in [&sent, &waits] {
        job.cancel();
        assert!(!job.is_pending());
    }
    assert!(sent.await.unwrap_err().is_canceled() && waits.await.unwrap_err().is_canceled());
    busy.await?;
    lwt_core::all(others).await?;
    pool.drain().await?;
    assert!(!mark.has_begun(), "it has not begun");
    let stats = pool.stats();
    assert_eq!((stats.cancelled, stats.started, stats.running, stats.queued), (2, 1, 0, 0));
    Ok(())
}

async fn cancelled_while_it_runs(way: Way) -> Result<(), Error> {
    let long = OnCancel::Kill(Duration::from_secs(3600));
    for what in [OnCancel::RunOut, long] {
        let pool = pool(way, 1);
        let mark = Mark::new("runs");
        let job = pool.call().on_cancel(what).submit(until_cancelled, mark.path());
        until(|| mark.has_begun()).await;
        job.cancel();
        assert!(job.await.unwrap_err().is_canceled());
        until(|| mark.is_there()).await;
        // The same worker goes on.
        assert_eq!(pool.submit(square, 2).await?, 4);
        assert_eq!((pool.stats().started, pool.stats().cancelled), (1, 1));
    }
    Ok(())
}

async fn cancelled_and_deaf(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let mark = Mark::new("deaf");
    let job = pool.call().on_cancel(OnCancel::Kill(Duration::from_millis(5))).submit(deaf, mark.path());
    let behind = pool.submit(square, 5);
    until(|| mark.is_there()).await;
    job.cancel();
    assert!(job.await.unwrap_err().is_canceled());
    assert_eq!(behind.await?, 25, "what waited behind it goes to the next worker");
    let stats = pool.stats();
    assert_eq!((stats.started, stats.crashed, stats.retried), (2, 0, 0));
    Ok(())
}

async fn an_abandoned_job_holds_nobody_up(way: Way) -> Result<(), Error> {
    let pool = Pool::new(Options::new().way(way).workers(2).on_cancel(OnCancel::RunOut))?;
    let mark = Mark::new("abandoned");
    let job = pool.submit(deaf, mark.path());
    until(|| mark.is_there()).await;
    job.cancel();
    drop(job);
    let jobs: Vec<_> = (0..40).map(|_| pool.submit(nap, 1)).collect();
    let pids = lwt_core::all(jobs).await?;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "one worker is busy for an hour");
    pool.shutdown(Duration::ZERO).await
}

async fn a_deaf_job_takes_no_other_with_it(way: Way) -> Result<(), Error> {
    let pool = pool(way, 2);
    for _ in 0..10 {
        let mark = Mark::new("takes");
        let job = pool.call().on_cancel(OnCancel::Kill(Duration::ZERO)).submit(deaf, mark.path());
        let others: Vec<_> = (0..20).map(|number| pool.submit(square, number)).collect();
        until(|| mark.is_there()).await;
        job.cancel();
        assert_eq!(lwt_core::all(others).await?.len(), 20);
    }
    // Those that end of themselves at the moment when they are to be killed.
    for round in 0..100 {
        let short = OnCancel::Kill(Duration::from_micros(round * 10));
        let jobs: Vec<_> = (0..4).map(|_| pool.call().on_cancel(short).submit(nap, 1)).collect();
        let others: Vec<_> = (0..20).map(|number| pool.submit(square, number)).collect();
        lwt_unix::sleep(Duration::from_micros(500)).await?;
        jobs.iter().for_each(|job| job.cancel());
        assert_eq!(lwt_core::all(others).await?.len(), 20);
    }
    assert_eq!((pool.stats().failed, pool.stats().crashed), (0, 0));
    Ok(())
}

async fn who_has_gone_on_is_not_killed(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let (first, second) = (Mark::new("first"), Mark::new("second"));
    let time = Duration::from_millis(20);
    let asked = pool.call().on_cancel(OnCancel::Kill(time)).submit(until_marked, first.path());
    let behind = pool.call().on_cancel(OnCancel::RunOut).submit(marks_twice, second.path());
    until(|| first.has_begun()).await;
    // At the moment when the first is to be killed it ends, and what is behind it begins, and is cancelled.
    let (mark, begun) = (first.path(), second.path() + ".begun");
    lwt_unix::sleep(time).on_success(move |()| {
        std::fs::write(mark, "").unwrap();
        while !std::fs::exists(&begun).unwrap() {
            std::thread::sleep(Duration::from_millis(1));
        }
        behind.cancel();
    });
    asked.cancel();
    until(|| second.is_there()).await;
    assert_eq!(pool.submit(square, 2).await?, 4);
    assert_eq!(pool.stats().started, 1);
    Ok(())
}

/// Works until there is a mark.
fn until_marked(mark: String) {
    std::fs::write(format!("{mark}.begun"), "").unwrap();
    while !std::fs::exists(&mark).unwrap() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Leaves a mark, and after a while another.
fn marks_twice(mark: String) {
    std::fs::write(format!("{mark}.begun"), "").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    std::fs::write(mark, "").unwrap();
}

/// A job after the other, from callback to callback, until the flag says that it is enough.
fn on_and_on(pool: &Pool, enough: &Rc<Cell<bool>>) {
    let (next, flag) = (pool.clone(), Rc::clone(enough));
    pool.submit(square, 3).on_success(move |_| {
        if !flag.get() {
            on_and_on(&next, &flag);
        }
    });
}

async fn a_busy_pool_starves_nobody(way: Way) -> Result<(), Error> {
    let pools = [pool(way, 2), pool(way, 1)];
    let enough = Rc::new(Cell::new(false));
    for pool in &pools {
        (0..100).for_each(|_| on_and_on(pool, &enough));
    }
    let (reader, writer) = lwt_unix::fd::pipe()?;
    for round in 0..100_u8 {
        lwt_unix::sleep(Duration::from_micros(100)).await?;
        writer.write_all(&[round]).await?;
        let mut back = [0];
        reader.read_exact(&mut back).await?;
        assert_eq!(back, [round]);
        lwt_core::pause().await?;
    }
    enough.set(true);
    for pool in &pools {
        pool.drain().await?;
        assert!(pool.stats().answered >= 100);
    }
    Ok(())
}

async fn a_pool_in_a_worker(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    for _ in 0..2 {
        assert_eq!(pool.submit(deeper, ()).await?, 285 + (100_000 - 1));
    }
    pool.shutdown(Duration::from_secs(60)).await
}

/// A job that has workers of its own, and threads.
async fn deeper() -> u64 {
    let pool = Pool::new(Options::new().workers(2)).expect("a pool");
    let sum = std::thread::spawn(|| (0..10).map(square).sum::<u64>()).join().unwrap();
    assert_eq!(pool.map(square, 0..10, 4).await.unwrap().into_iter().sum::<u64>(), sum);
    let long = pool.call().in_place(counted, 100_000).await.unwrap();
    pool.shutdown(Duration::from_secs(60)).await.unwrap();
    sum + long[99_999]
}

async fn a_dropped_promise_lets_the_job_run(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    for _ in 0..10 {
        drop(pool.submit(square, 2));
    }
    pool.drain().await?;
    assert_eq!(pool.stats().answered, 10);
    Ok(())
}

async fn messages_arrive(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let events = pool.events();
    let (number, job) = pool.call().numbered(talks, 7);
    assert_eq!(job.await?, 7);
    let mut told = Vec::new();
    while told.len() < 2 {
        match events.next().await? {
            Event::Message { job, message } => {
                assert_eq!(job, number);
                told.push(match message {
                    Message::Progress(progress) => progress.decode::<u32>()?.to_string(),
                    Message::Log { level: Level::Info, text } => text,
                    other => panic!("{other:?}"),
                });
            }
            Event::Started { pid } => assert_eq!(pool.pids(), [pid]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, ["7", "at 7"]);
    // To the caller's own function, as long as the job goes on.
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hears = Rc::clone(&heard);
    let job = pool.call().on_message(move |message| hears.borrow_mut().push(message)).submit(talks_for, 50);
    assert_eq!(job.await?, 50);
    assert!(matches!(&heard.borrow()[..], [Message::Progress(_)]));
    // Messages and results go different ways, and the order is kept all the same.
    for number in 0..200 {
        let heard = Rc::new(Cell::new(0));
        let count = Rc::clone(&heard);
        let (kept, hears) = (pool.clone(), move |_| count.set(count.get() + 1));
        let job = pool.call().on_message(move |message| {
            let _ = &kept;
            hears(message);
        });
        assert_eq!(job.submit(talks, number).await?, number);
        assert_eq!(heard.get(), 2, "job {number}");
    }
    pool.drain().await
}

async fn events_that_nobody_reads(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let events = pool.events();
    // A job's own messages come before its result, and so do those of the jobs before it.
    let talk = async |number| pool.call().on_message(|_| ()).submit(talks, number).await;
    let jobs = (0..1000).map(|number| pool.submit(talks, number));
    lwt_core::all(jobs).await?;
    talk(0).await?;
    // There is room for one event then: how many are missing.
    assert!(matches!(events.next().await?, Event::Started { .. }));
    pool.submit(talks, 0).await?;
    talk(0).await?;
    pool.shutdown(Duration::from_secs(60)).await?;
    let (mut read, mut lost) = (0, Vec::new());
    while let Some(event) = events.get().await? {
        match event {
            Event::Lost(many) => lost.push(many),
            _ => read += 1,
        }
    }
    // Two of each job, and the worker's end.
    assert_eq!((read + lost.iter().sum::<u64>(), lost.len()), (2 * 1001 + 1, 2));
    Ok(())
}

fn talks_for(milliseconds: u32) -> u32 {
    worker::progress(&milliseconds).unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds.into()));
    milliseconds
}

fn main() {
    worker::init(workers![
        square,
        counted,
        deeper,
        nothing,
        later,
        reversed,
        panics,
        nap,
        until_cancelled,
        until_marked,
        marks_twice,
        deaf,
        talks,
        talks_for,
    ]);
    worker_common::main(both_ways![
        results,
        results_in_order,
        panics_are_told,
        many_in_flight,
        idle_workers_take_over,
        the_queue_has_a_bound,
        a_producer_is_held_back,
        cancelled_in_the_queue,
        cancelled_while_it_runs,
        cancelled_and_deaf,
        an_abandoned_job_holds_nobody_up,
        a_deaf_job_takes_no_other_with_it,
        who_has_gone_on_is_not_killed,
        a_busy_pool_starves_nobody,
        a_pool_in_a_worker,
        a_dropped_promise_lets_the_job_run,
        messages_arrive,
        events_that_nobody_reads,
    ]);
}
