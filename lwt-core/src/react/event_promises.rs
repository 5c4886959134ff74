//! From events to promises and streams, and back.

use std::cell::Cell;
use std::ops::ControlFlow::{Break, Continue};
use std::rc::Rc;

use crate::promise::attach::caught_result;
use crate::stream::{self, Stream};
use crate::{Promise, Resolver, iterate, pause, task};

use super::promises::{CancelOnDrop, limit, own, tell, watch};
use super::{Event, Sender};

impl<T: 'static> Event<T> {
    /// A clone of the next occurrence (`E.next`).
    ///
    /// Fulfilled at the end of the step in which the event occurs next; pending until then, and for ever if
    /// that does not happen any more. The promise keeps the event.
    ///
    /// A cancelled or dropped `next` lets go of the event, and takes nothing from anybody.
    ///
    /// ```
    /// use lwt_core::{State, react::Event};
    /// let (event, sender) = Event::create();
    /// let next = event.next();
    /// assert!(next.is_pending());
    /// sender.send(1);
    /// assert!(matches!(next.state(), State::Fulfilled(1)));
    /// ```
    ///
    /// # Errors
    /// [`Canceled`](crate::Canceled); a panic of the clone.
    #[track_caller]
    pub fn next(&self) -> Promise<T>
    where
        T: Clone,
    {
        let (promise, resolver) = task();
        let waiting = Rc::new(Cell::new(None::<Resolver<T>>));
        let watching = watch(self, waiting.clone(), |waiting, value| {
            if let Some(resolver) = waiting.take() {
                // Who does not want it any more misses nothing.
                resolver.wakeup_result(caught_result(|| Ok(own(value))));
            }
        });
        // The callback goes when the promise is resolved, and the watch with it.
        resolver.on_unwanted(move || drop(watching));
        waiting.set(Some(resolver));
        promise
    }

    /// The occurrences, as few as `f` allows (`E.limit`): one passes at once; then none does until `f`'s
    /// promise is resolved; and then the newest of those that have come in the meantime, if any, and so on.
    ///
    /// With `|| sleep(second)` there is at most one a second. What passes does so in a step of its own. A
    /// rejection of `f`'s promise goes to the unhandled-rejection hook and ends the waiting. When the result
    /// is dropped, the waiting is given up, and `f`'s promise dropped.
    ///
    /// ```
    /// use lwt_core::{Resolver, react::Event, task};
    /// use std::{cell::Cell, rc::Rc};
    /// let (event, sender) = Event::create();
    /// let gate = Rc::new(Cell::new(None::<Resolver<()>>));
    /// let next = gate.clone();
    /// let rare = event.limit(move || {
    ///     let (promise, resolver) = task();
    ///     next.set(Some(resolver));
    ///     promise
    /// });
    /// let last = rare.hold(0);
    /// (1..4).for_each(|n| sender.send(n));
    /// assert_eq!(last.value(), 1);
    /// gate.take().unwrap().wakeup(());
    /// assert_eq!(last.value(), 3);
    /// ```
    pub fn limit(&self, f: impl FnMut() -> Promise<()> + 'static) -> Event<T> {
        limit(self, f, false)
    }

    /// The stream of clones of the occurrences (`E.to_stream`).
    ///
    /// There is no bound: what is not read gathers. The stream keeps the event; dropping all of its readers
    /// lets go of it. It does not end. An occurrence whose clone panics is not in it, and the
    /// unhandled-rejection hook is told.
    ///
    /// ```
    /// use lwt_core::{State, react::Event};
    /// let (event, sender) = Event::create();
    /// let stream = event.to_stream();
    /// (1..4).for_each(|n| sender.send(n));
    /// assert!(matches!(stream.nget(3).state(), State::Fulfilled(all) if *all == [1, 2, 3]));
    /// ```
    pub fn to_stream(&self) -> Stream<T>
    where
        T: Clone,
    {
        let (stream, push, keep) = stream::create_with_reference();
        keep(watch(self, Rc::new(push), |push, value| {
            // Nobody reads any more: then nobody misses it.
            let _ = push.push(own(value));
        }));
        stream
    }

    /// Occurs with each element of a stream (`E.of_stream`), in a step for each, beginning after a
    /// [`pause`].
    ///
    /// It reads as fast as elements come. At the end of the stream, or at its first failure, which goes to
    /// the unhandled-rejection hook, the event stops. When the event is dropped, or stops, the reading is
    /// cancelled: what was not read yet is there for other readers.
    ///
    /// ```
    /// use lwt_core::{react::Event, scheduler, stream};
    /// let sum = Event::of_stream(stream::of_list([1, 2, 3])).fold(0, |sum, n| sum + n).hold(0);
    /// assert_eq!(sum.value(), 0);
    /// scheduler::wakeup_paused();
    /// assert_eq!(sum.value(), 6);
    /// ```
    pub fn of_stream(stream: Stream<T>) -> Event<T> {
        fed(move |out| {
            iterate((), move |()| {
                let out = out.clone();
                stream.get().map(move |element| match element {
                    Some(element) => {
                        out.send(element);
                        if out.is_wanted() { Continue(()) } else { Break(()) }
                    }
                    None => Break(()),
                })
            })
        })
    }

    /// Calls `f` again and again, and occurs with what each promise gives (`E.from`); begins after a
    /// [`pause`].
    ///
    /// One call waits for the promise of the one before; promises that are all resolved already keep the
    /// program from doing anything else. At the first failure, which goes to the unhandled-rejection hook,
    /// the event stops. When the event is dropped, or stops, `f`'s promise is cancelled
    /// ([`no_cancel`](Promise::no_cancel) prevents that).
    ///
    /// ```
    /// use lwt_core::{mvar::Mvar, react::Event, scheduler};
    /// let letters = Mvar::new(1);
    /// let inbox = letters.clone();
    /// let last = Event::from(move || inbox.take()).hold(0);
    /// scheduler::wakeup_paused();
    /// assert_eq!(last.value(), 1);
    /// drop(letters.put(2));
    /// assert_eq!(last.value(), 2);
    /// ```
    pub fn from(mut f: impl FnMut() -> Promise<T> + 'static) -> Event<T> {
        fed(move |out| {
            iterate((), move |()| {
                let out = out.clone();
                f().map(move |value| {
                    out.send(value);
                    if out.is_wanted() { Continue(()) } else { Break(()) }
                })
            })
        })
    }

    /// The event that the promise gives, and until then nothing (`E.delay`).
    ///
    /// If the promise is rejected, that goes to the unhandled-rejection hook, and the event does not occur.
    /// When the event is dropped before, it leaves nothing on the promise.
    ///
    /// ```
    /// use lwt_core::{react::Event, wait};
    /// let (promise, resolver) = wait();
    /// let last = Event::delay(promise).hold(0);
    /// let (event, sender) = Event::create();
    /// sender.send(1);
    /// resolver.wakeup(event);
    /// assert_eq!(last.value(), 0);
    /// sender.send(2);
    /// assert_eq!(last.value(), 2);
    /// ```
    pub fn delay(promise: Promise<Event<T>>) -> Event<T> {
        let promise = match promise.try_take() {
            Ok(Ok(event)) => return event,
            Ok(Err(error)) => {
                tell(error);
                return Event::never();
            }
            Err(pending) => pending.protected(),
        };
        let (events, out) = Event::create();
        events.atom.set_feed(CancelOnDrop(promise.canceller()));
        drop(promise.attach(move |result| {
            match result {
                Ok(event) => out.send(event),
                Err(error) => tell(error),
            }
            // What was switched to is kept by the switch.
            out.stop();
            Promise::ready(())
        }));
        Event::never().switch(&events)
    }
}

/// An event that `feed` sends to, after a pause, until its promise is resolved.
fn fed<T: 'static>(feed: impl FnOnce(Sender<T>) -> Promise<()> + 'static) -> Event<T> {
    let (event, out) = Event::create();
    let sender = out.clone();
    let feeding = pause().bind(move |()| feed(sender)).attach(move |result| {
        out.stop();
        Promise::settled(result)
    });
    event.atom.set_feed(CancelOnDrop(feeding.canceller()));
    // Detached: its rejection goes to the hook.
    drop(feeding);
    event
}
