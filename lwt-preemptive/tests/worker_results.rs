//! Workers: arguments there, results back, and what comes instead of results.

mod worker_common;

use std::collections::BTreeMap;
use std::rc::Rc;

use lwt_core::Error;
use lwt_preemptive::worker::{self, Way, WorkerFailure, rkyv};
use lwt_preemptive::workers;
use lwt_unix::process::Status;
use lwt_unix::signal::{SIGABRT, SIGKILL};
use worker_common::{by, failure};

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, Debug, Clone, PartialEq)]
#[rkyv(crate = lwt_preemptive::worker::rkyv)]
struct Book {
    title: String,
    pages: BTreeMap<u32, Vec<String>>,
    price: Option<f64>,
}

fn nothing() {}

fn square(number: u64) -> u64 {
    number * number
}

fn pair(text: String, number: u8) -> (u8, String) {
    (number, text)
}

fn six(a: u8, b: u16, c: u32, d: u64, e: i8, f: bool) -> u64 {
    u64::from(a) + u64::from(b) + u64::from(c) + d + e as u64 + u64::from(f)
}

fn turned(mut book: Book) -> Book {
    book.title = book.title.chars().rev().collect();
    book
}

fn checked(number: u32) -> Result<u32, String> {
    number.checked_sub(10).ok_or_else(|| format!("{number} is too small"))
}

fn reversed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

async fn later(milliseconds: u64) -> u64 {
    lwt_unix::sleep(std::time::Duration::from_millis(milliseconds)).await.unwrap();
    milliseconds + 1
}

fn own_loop(number: u64) -> u64 {
    lwt_unix::run(async move {
        let (one, two) = lwt_core::join!(lwt_unix::detach(move || number), later_promise(number)).await?;
        Ok::<_, Error>(one + two)
    })
    .unwrap()
}

fn later_promise(number: u64) -> lwt_core::Promise<u64> {
    lwt_unix::sleep(std::time::Duration::from_millis(1)).map(move |()| number)
}

fn panics(text: String) {
    panic!("it says {text}");
}

async fn panics_later(text: String) {
    lwt_core::pause().await.unwrap();
    panic!("later {text}");
}

/// Cannot be read, and breaks when it is dropped, in a worker.
#[derive(rkyv::Archive, rkyv::Serialize, Debug, Clone)]
#[rkyv(crate = lwt_preemptive::worker::rkyv)]
struct Fragile(u32);

impl<D: rkyv::rancor::Fallible + ?Sized> rkyv::Deserialize<Fragile, D> for ArchivedFragile {
    fn deserialize(&self, _: &mut D) -> Result<Fragile, D::Error> {
        panic!("not {}", self.0)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!worker::is_worker(), "{} has broken", self.0);
    }
}

fn reads(fragile: Fragile) -> u32 {
    fragile.0
}

fn breaks(number: u32) -> Fragile {
    Fragile(number)
}

#[expect(clippy::disallowed_methods, reason = "what is to be seen")]
fn exits(code: i32) -> u32 {
    std::process::exit(code)
}

fn aborts() {
    std::process::abort();
}

fn unlisted(number: u64) -> u64 {
    number
}

fn nested(number: u64) -> u64 {
    lwt_unix::run(async move { worker::start(square, number).await }).unwrap()
}

async fn values(way: Way) -> Result<(), Error> {
    let plan = by(way);
    plan.start(nothing, ()).await?;
    assert_eq!(plan.start(square, 12).await?, 144);
    assert_eq!(plan.start(pair, ("text".to_owned(), 3)).await?, (3, "text".to_owned()));
    assert_eq!(plan.start(six, (1, 2, 3, 4, 5, true)).await?, 16);
    let pages = BTreeMap::from([(1, vec!["one".to_owned(), "ONE".to_owned()]), (9, vec![])]);
    let book = Book { title: "ab".to_owned(), pages, price: Some(1.5) };
    assert_eq!(plan.start(turned, book.clone()).await?, Book { title: "ba".to_owned(), ..book });
    assert_eq!(plan.start(checked, 12).await?, Ok(2));
    assert_eq!(plan.start(checked, 2).await?, Err("2 is too small".to_owned()));
    Ok(())
}

async fn sizes(way: Way) -> Result<(), Error> {
    // Around the borders between what goes through the socket, in one page, and in a file.
    for size in [0, 1, 100, 4096, (64 << 10) - 64, (64 << 10) - 8, 64 << 10, (64 << 10) + 1, 10 << 20] {
        let bytes: Vec<u8> = (0..size).map(|index: usize| (index * 7 + index / 251) as u8).collect();
        let mut expected = bytes.clone();
        expected.reverse();
        assert!(by(way).start(reversed, bytes).await? == expected, "{size} bytes");
    }
    Ok(())
}

async fn asynchronous(way: Way) -> Result<(), Error> {
    assert_eq!(by(way).start(later, 5).await?, 6);
    assert_eq!(by(way).start(own_loop, 5).await?, 10);
    Ok(())
}

async fn observers(way: Way) -> Result<(), Error> {
    let worker = by(way).start(pair, ("one".to_owned(), 1));
    let seen = Rc::new(std::cell::Cell::new(0));
    let all: Vec<_> = (0..5).map(|_| worker.result()).collect();
    let count = Rc::clone(&seen);
    worker.result().on_success(move |(number, _)| count.set(count.get() + number));
    for result in all {
        assert_eq!(result.await?.1, "one");
    }
    assert_eq!(seen.get(), 1);
    assert_eq!(worker.ended().await?, Status::Exited(0));
    // Also afterwards.
    assert_eq!(worker.result().await?.0, 1);
    assert!(!worker_common::exists(worker.pid().await?.number()));
    Ok(())
}

async fn a_panic(way: Way) -> Result<(), Error> {
    let worker = by(way).start(panics, "boo".to_owned());
    let (result, line) = (worker.result().await.unwrap_err(), line!());
    match failure(&result) {
        WorkerFailure::Panic { message, place } => {
            assert_eq!(message, "it says boo");
            let place = place.as_deref().unwrap();
            assert!(place.contains("worker_results.rs:"), "{place}");
            assert!(!place.contains(&format!(":{line}:")));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(worker.ended().await?, Status::Exited(101));
    let error = by(way).start(panics_later, "boo".to_owned()).await.unwrap_err();
    let WorkerFailure::Panic { message, place: Some(place) } = failure(&error) else { panic!("{error:?}") };
    assert!(message == "later boo" && place.contains("worker_results.rs:"), "{error:?}");
    Ok(())
}

/// Reading, writing and dropping values is the program's own code, too.
async fn a_panic_of_a_value(way: Way) -> Result<(), Error> {
    let failures = [
        (by(way).start(reads, Fragile(3)).await.unwrap_err(), "not 3"),
        (by(way).start(breaks, 4).await.unwrap_err(), "4 has broken"),
    ];
    for (error, expected) in failures {
        let WorkerFailure::Panic { message, place: Some(_) } = failure(&error) else { panic!("{error:?}") };
        assert_eq!(message, expected);
    }
    Ok(())
}

async fn an_early_end(way: Way) -> Result<(), Error> {
    for code in [0, 3, 255] {
        let error = by(way).start(exits, code).await.unwrap_err();
        assert!(matches!(failure(&error), WorkerFailure::Exit(told) if *told == code), "{error:?}");
    }
    let error = by(way).start(aborts, ()).await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Signal { signal: SIGABRT, .. }), "{error:?}");
    let worker = by(way).start(worker_common::hang, ());
    worker.pid().await?;
    worker.kill();
    let error = worker.await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Signal { signal: SIGKILL, core: false }), "{error:?}");
    Ok(())
}

async fn an_unlisted_function(way: Way) -> Result<(), Error> {
    let worker = by(way).start(unlisted, 1);
    let error = worker.result().await.unwrap_err();
    match failure(&error) {
        WorkerFailure::Unregistered { process } => assert!(process.ends_with("unlisted"), "{process}"),
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("workers [...]"), "{error}");
    assert!(worker.pid().await.is_err() && worker.ended().await.is_err());
    Ok(())
}

async fn a_worker_of_a_worker(way: Way) -> Result<(), Error> {
    assert_eq!(by(way).start(nested, 9).await?, 81);
    Ok(())
}

fn main() {
    worker::init(workers![
        nothing,
        square,
        pair,
        six,
        turned,
        checked,
        reversed,
        later,
        own_loop,
        panics,
        panics_later,
        reads,
        breaks,
        exits,
        aborts,
        nested,
        worker_common::hang,
    ]);
    worker_common::main(both_ways![
        values,
        sizes,
        asynchronous,
        observers,
        a_panic,
        a_panic_of_a_value,
        an_early_end,
        an_unlisted_function,
        a_worker_of_a_worker,
    ]);
}
