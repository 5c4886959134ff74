//! Arrivals: what comes to a loop by memory that it shares with others, on each engine.

mod engine_support;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use engine_support::on_each;
use lwt_core::{Promise, Resolver, wait};
use lwt_unix::engine::Wait;
use lwt_unix::main_loop::{Arrivals, Arriving, Guest, add_arrivals};
use lwt_unix::{run, sleep};

/// A box of letters in memory, as another process would write them.
#[derive(Default)]
struct Shared {
    letters: Mutex<VecDeque<u32>>,
    /// The loop is to be rung for.
    asleep: AtomicBool,
}

#[derive(Default)]
struct Reader {
    shared: Arc<Shared>,
    waiting: RefCell<VecDeque<Resolver<u32>>>,
    /// How often it was asked to take something.
    looks: Cell<u32>,
}

impl Arrivals for Reader {
    fn take(&self) -> bool {
        self.looks.set(self.looks.get() + 1);
        let mut came = false;
        while self.is_expected() {
            let letter = self.shared.letters.lock().unwrap().pop_front();
            let Some(letter) = letter else { break };
            came = true;
            let resolver = self.waiting.borrow_mut().pop_front();
            if let Some(resolver) = resolver {
                resolver.wakeup(letter);
            }
        }
        came
    }

    fn is_expected(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    fn prepare_sleep(&self) -> bool {
        self.shared.asleep.store(true, SeqCst);
        self.shared.letters.lock().unwrap().is_empty() || !self.is_expected()
    }

    fn awake(&self) {
        self.shared.asleep.store(false, SeqCst);
    }
}

/// What another thread has of it.
struct Writer {
    shared: Arc<Shared>,
    bell: File,
    rings: Arc<Mutex<u32>>,
}

impl Writer {
    fn send(&mut self, letter: u32) {
        self.shared.letters.lock().unwrap().push_back(letter);
        if self.shared.asleep.swap(false, SeqCst) {
            *self.rings.lock().unwrap() += 1;
            self.bell.write_all(&1_u64.to_ne_bytes()).unwrap();
        }
    }
}

fn pair() -> (Rc<Reader>, Arriving, Writer) {
    let reader = Rc::new(Reader::default());
    let arriving = add_arrivals(reader.clone()).expect("a loop");
    let bell: OwnedFd = arriving.bell().try_clone_to_owned().expect("a duplicate");
    let shared = Arc::clone(&reader.shared);
    (reader, arriving, Writer { shared, bell: File::from(bell), rings: Arc::default() })
}

impl Reader {
    fn next(&self) -> Promise<u32> {
        let (promise, resolver) = wait();
        self.waiting.borrow_mut().push_back(resolver);
        promise
    }
}

#[test]
fn a_sleeping_loop_is_rung_for() {
    on_each("a_sleeping_loop_is_rung_for", || {
        let (reader, _arriving, mut writer) = pair();
        let rings = Arc::clone(&writer.rings);
        let other = thread::spawn(move || {
            for letter in 0..50 {
                thread::sleep(Duration::from_micros(500));
                writer.send(letter);
            }
        });
        for expected in 0..50 {
            assert_eq!(run(reader.next()).unwrap(), expected);
        }
        other.join().unwrap();
        assert!(*rings.lock().unwrap() > 0, "it has slept");
    });
}

#[test]
fn a_flood_arrives_in_order_and_none_is_slept_over() {
    on_each("a_flood_arrives_in_order_and_none_is_slept_over", || {
        let (reader, _arriving, mut writer) = pair();
        let letters: Vec<_> = (0..20_000).map(|_| reader.next()).collect();
        let other = thread::spawn(move || {
            for letter in 0..20_000 {
                writer.send(letter);
                if letter % 1000 == 0 {
                    thread::sleep(Duration::from_micros(300));
                }
            }
        });
        assert!(run(lwt_core::all(letters)).unwrap().into_iter().eq(0..20_000));
        other.join().unwrap();
    });
}

#[test]
fn a_busy_loop_looks_too() {
    on_each("a_busy_loop_looks_too", || {
        let (reader, _arriving, mut writer) = pair();
        let letter = reader.next();
        let other = thread::spawn(move || writer.send(9));
        let got = run(async move {
            while letter.is_pending() {
                lwt_core::pause().await?;
            }
            letter.await
        });
        assert_eq!(got.unwrap(), 9);
        other.join().unwrap();
    });
}

#[test]
fn where_nothing_is_expected_nobody_spins() {
    on_each("where_nothing_is_expected_nobody_spins", || {
        let (reader, arriving, writer) = pair();
        run(sleep(Duration::from_millis(30))).unwrap();
        assert!(reader.looks.get() < 50, "{} looks", reader.looks.get());
        drop((arriving, writer));
        let before = reader.looks.get();
        run(sleep(Duration::from_millis(5))).unwrap();
        assert_eq!(reader.looks.get(), before, "it is off the list");
    });
}

#[test]
fn the_loop_as_a_guest_is_rung_for() {
    on_each("the_loop_as_a_guest_is_rung_for", || {
        let (reader, _arriving, mut writer) = pair();
        let Ok(guest) = Guest::new() else { return };
        let letter = reader.next();
        assert_eq!(guest.turn().unwrap(), Wait::Forever);
        assert!(writer.shared.asleep.load(SeqCst));
        writer.send(4);
        while letter.is_pending() {
            guest.turn().unwrap();
        }
        assert_eq!(run(letter).unwrap(), 4);
    });
}

#[test]
fn arrivals_that_add_and_remove_others() {
    on_each("arrivals_that_add_and_remove_others", || {
        let (reader, arriving, mut writer) = pair();
        let place = Rc::new(RefCell::new(Some(arriving)));
        let (first, inside) = (reader.next(), Rc::clone(&place));
        let nested = first.map(move |letter| {
            drop(inside.take());
            let (other, arriving, mut writer) = pair();
            writer.send(letter + 1);
            let next = other.next();
            *inside.borrow_mut() = Some(arriving);
            next
        });
        writer.send(1);
        let got = run(async move { nested.await?.await });
        assert_eq!(got.unwrap(), 2);
        drop(place);
    });
}
