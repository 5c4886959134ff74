//! Events from several events: `select`, `merge`, `switch`, `fix`, lifting, and events of options.

use std::rc::Rc;

use super::atom::Flow;
use super::{Event, Signal};

impl<T: 'static> Event<T> {
    /// The occurrences of all of them; of several at the same time, that of the first in the list
    /// (`E.select`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let ((a, send_a), (b, send_b)) = (Event::create(), Event::create());
    /// let last = Event::select([a, b]).hold(0);
    /// send_a.send(1);
    /// send_b.send(2);
    /// assert_eq!(last.value(), 2);
    /// ```
    pub fn select(events: impl IntoIterator<Item = Event<T>>) -> Event<T> {
        let events: Vec<Event<T>> = events.into_iter().collect();
        let parts: Vec<_> = events.iter().map(Event::part).collect();
        Event::derived(parts, move |_| events.iter().find_map(Event::now).into())
    }

    /// Folds the occurrences that happen at the same time, in the order of the list; begins with a clone of
    /// `start` each time (`E.merge`).
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (a, send) = Event::create();
    /// let doubled = a.map(|n| n * 2);
    /// let sums = Event::merge([a, doubled], 100, |sum, n| sum + n).hold(0);
    /// send.send(1);
    /// assert_eq!(sums.value(), 103);
    /// ```
    pub fn merge<B: 'static>(
        events: impl IntoIterator<Item = Event<B>>,
        start: T,
        mut f: impl FnMut(T, &B) -> T + 'static,
    ) -> Event<T>
    where
        T: Clone,
    {
        Event::gathered(events).map(move |all| all.iter().fold(start.clone(), |sum, value| f(sum, value)))
    }

    /// What occurs at the same time, in the order of the list.
    pub(super) fn gathered(events: impl IntoIterator<Item = Event<T>>) -> Event<Vec<Rc<T>>> {
        let events: Vec<Event<T>> = events.into_iter().collect();
        let parts: Vec<_> = events.iter().map(Event::part).collect();
        Event::derived(parts, move |_| {
            let all: Vec<Rc<T>> = events.iter().filter_map(Event::now).collect();
            if all.is_empty() { Flow::Nothing } else { Flow::Value(Rc::new(all)) }
        })
    }

    /// The occurrences of this event until one of `events`, then those of the event that it gave, and so on
    /// (`E.switch`).
    ///
    /// An event that is made from the result itself cannot be switched to: the hook of unhandled rejections
    /// is told, and the result does not occur until the next switch.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let ((a, send_a), (b, send_b)) = (Event::create(), Event::create());
    /// let (events, switch) = Event::create();
    /// let last = a.switch(&events).hold(0);
    /// send_a.send(1);
    /// switch.send(b);
    /// send_a.send(2);
    /// assert_eq!(last.value(), 1);
    /// send_b.send(3);
    /// assert_eq!(last.value(), 3);
    /// ```
    pub fn switch(&self, events: &Event<Event<T>>) -> Event<T> {
        let (mut current, outer) = (self.clone(), events.clone());
        Event::derived([events.part(), self.part()], move |me| match outer.now() {
            Some(next) if !Rc::ptr_eq(&next.atom, &current.atom) => {
                let before = std::mem::replace(&mut current, (*next).clone());
                if !me.relink(Some(before.part()), next.part()) {
                    current = Event::never();
                    panic!("an event was switched to one that is made from it");
                }
                Flow::Again
            }
            _ => current.now().into(),
        })
    }

    /// An event that is made from what it was a moment ago (`E.fix`).
    ///
    /// `f` gets an event that occurs whenever the event which it returns has occurred, with the same value,
    /// in the step right after. What else it returns is the result. The loop lives as long as the event that
    /// `f` returns is held: as a part of the result, or by something made from it.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (start, sender) = Event::create();
    /// let countdown = Event::fix(|before: Event<u32>| {
    ///     let next = before.filter_map(|n| n.checked_sub(1));
    ///     let count = Event::select([start, next]);
    ///     (count.clone(), count)
    /// });
    /// let steps = countdown.fold(0, |many, _| many + 1).hold(0);
    /// sender.send(10);
    /// assert_eq!(steps.value(), 11);
    /// ```
    pub fn fix<R>(f: impl FnOnce(Event<T>) -> (Event<T>, R)) -> R {
        let (delayed, _) = Event::create();
        let (event, result) = f(delayed.clone());
        event.atom.echo(&delayed.atom);
        result
    }
}

impl<T: 'static> Event<Option<T>> {
    /// The values, where there are some (`E.Option.value` without a default).
    ///
    /// Each is a clone.
    ///
    /// ```
    /// use lwt_core::react::Event;
    /// let (event, sender) = Event::create();
    /// let last = event.values().hold(0);
    /// sender.send(Some(1));
    /// sender.send(None);
    /// assert_eq!(last.value(), 1);
    /// ```
    pub fn values(&self) -> Event<T>
    where
        T: Clone,
    {
        self.filter_map(Option::clone)
    }

    /// The values, and that of `default` where there is none (`E.Option.value ~default`).
    ///
    /// ```
    /// use lwt_core::react::{Event, Signal};
    /// let (event, sender) = Event::create();
    /// let last = event.values_or(&Signal::constant(9)).hold(0);
    /// sender.send(None);
    /// assert_eq!(last.value(), 9);
    /// ```
    pub fn values_or(&self, default: &Signal<T>) -> Event<T>
    where
        T: Clone,
    {
        let (source, default_too) = (self.clone(), default.clone());
        Event::derived([self.part(), default.part()], move |_| match source.now() {
            None => Flow::Nothing,
            Some(value) => Flow::Value(match &*value {
                Some(value) => Rc::new(value.clone()),
                None => default_too.now(),
            }),
        })
    }
}

macro_rules! lift {
    ($(#[$doc:meta])* $name:ident, $($arg:ident: $A:ident),+) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, reason = "one for each event")]
        pub fn $name<$($A: 'static),+>(
            $($arg: &Event<$A>,)+
            mut f: impl FnMut($(&$A),+) -> T + 'static,
        ) -> Event<T> {
            let parts = [$($arg.part()),+];
            $(let $arg = $arg.clone();)+
            Event::derived(parts, move |_| {
                $(let Some($arg) = $arg.now() else { return Flow::Nothing };)+
                Flow::Value(Rc::new(f($(&$arg),+)))
            })
        }
    };
}

/// Lifting: `f` of the occurrences, when all occur at the same time.
impl<T: 'static> Event<T> {
    lift! {
        /// [`map`](Event::map), as one of its family (`E.l1`).
        l1, a: A
    }
    lift! {
        /// `f` of the occurrences, when both occur at the same time (`E.l2`).
        ///
        /// ```
        /// use lwt_core::react::Event;
        /// let (n, send) = Event::create();
        /// let cube = Event::l2(&n, &n.map(|n| n * n), |n, square| n * square).hold(0);
        /// send.send(3);
        /// assert_eq!(cube.value(), 27);
        /// ```
        l2, a: A, b: B
    }
    lift! {
        /// [`l2`](Event::l2) for three (`E.l3`).
        l3, a: A, b: B, c: C
    }
    lift! {
        /// [`l2`](Event::l2) for four (`E.l4`).
        l4, a: A, b: B, c: C, d: D
    }
    lift! {
        /// [`l2`](Event::l2) for five (`E.l5`).
        l5, a: A, b: B, c: C, d: D, e: E
    }
    lift! {
        /// [`l2`](Event::l2) for six (`E.l6`).
        l6, a: A, b: B, c: C, d: D, e: E, g: G
    }
}
