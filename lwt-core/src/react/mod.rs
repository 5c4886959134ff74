//! Events and signals: values that change, and what follows from them (`Lwt_react`, and `React` below it).
//!
//! An [`Event`] occurs now and then, a [`Signal`] has a value at any time. Both are made from others by
//! functions, and follow them by themselves: who sends to a primitive ([`Sender::send`], [`Setter::set`])
//! updates all that depends on it, each once, and nothing is ever seen half updated.
//!
//! ```
//! use lwt_core::react::{Event, Signal};
//!
//! let (celsius, set) = Signal::create(20);
//! let fahrenheit = celsius.map(|c| c * 9 / 5 + 32);
//! let text = Signal::l2(&celsius, &fahrenheit, |c, f| format!("{c} °C, {f} °F"));
//! let warnings = celsius.map(|c| *c > 30).rise();
//! let many = warnings.fold(0, |many, ()| many + 1).hold(0);
//!
//! [25, 35, 36].into_iter().for_each(|c| set.set(c));
//! assert_eq!(text.value(), "36 °C, 96 °F");
//! assert_eq!(many.value(), 1);
//! ```
//!
//! # Rules
//!
//! * **Steps.** Each `send` and each `set` is a step of its own; a [`Step`] makes several one. In a step
//!   every node is updated at most once, after all that it is made from. Occurrences of one step are
//!   simultaneous.
//! * **Inside a step** a `send` is not lost and does not recurse: it makes a step of its own when the
//!   current one is done, before the outermost `send` returns; first come, first served. What
//!   [`fix`](Event::fix) feeds back goes first. So it is in a function that is called to make a signal, too.
//! * **Who is kept.** An event or a signal is kept by its handles and by what is made from it, not by what
//!   it is made from: drop the last handle, and it is freed at once and does nothing any more. What is there
//!   for the sake of its function has to be held, or [kept](Event::keep). Senders and setters keep nothing.
//!   What leads back to itself, other than by `fix`, keeps itself until it is stopped: an event that was
//!   switched to what [`limit`](Event::limit) or [`map_s`](Event::map_s) makes of it.
//! * **Values** are shared: functions get references, and a value need not be `Clone`, but for those that
//!   give it away ([`Event::next`], [`Event::to_stream`], [`Signal::value`]).
//! * **Equality.** A signal that would take a value equal to its own does not change, and nothing follows.
//!   What passes the values of one signal on has its equality; others take `==`, or in the `_eq` form a
//!   function.
//! * **Functions** are `FnMut`, and never run inside themselves. One that panics in a step changes nothing:
//!   the event does not occur, the signal keeps its value, the rest of the step goes on, and the panic goes
//!   to the [unhandled-rejection hook](crate::set_unhandled_hook).
//! * **New in a step.** What a function makes inside a step takes part in it: an event made from one that
//!   occurs, occurs.
//! * **Promises** are met at the end of the step, when the graph is at rest. `_s`: one call after the other;
//!   `_p`: calls do not wait for each other. Results come in a step of their own. A rejection goes to the
//!   unhandled-rejection hook, unless it is a cancel, and the next occurrence has its turn. When the
//!   resulting event is dropped, calls in progress go on, and what waits for a call is dropped.
//!
//! # Reading guide
//!
//! 1. `node.rs`: the graph: edges, strong upwards and weak downwards, and ranks.
//! 2. `atom.rs`: a node with its value and its rule; `grave.rs`, how it ends.
//! 3. `update.rs`: what a step is; `step.rs`.
//! 4. `event.rs`, `signal.rs`: the handles; `event_transform.rs`, `event_combine.rs`, `signal_transform.rs`,
//!    `signal_combine.rs`, `signal_values.rs`: what is made from them. A page to begin with:
//!    `event_transform.rs`.
//! 5. `promises.rs`: how events meet promises; `event_promises.rs`, `event_serial.rs`, `signal_promises.rs`,
//!    `signal_lift_s.rs`.
//!
//! Own code, because the crates there are (futures-signals and its like) know no simultaneous occurrences and
//! no order of updates, and are made of futures that somebody has to poll.
//!
//! # Coming from `Lwt_react`
//!
//! Functions have their names; `?eq` is a form with `_eq` in its name, `~step` one with `_in`, `fmap` is
//! `filter_map`. The guide has a table of all: `lwt::docs::coming_from_lwt::react`.
//!
//! Where it leaves Lwt: a `send` inside a step waits instead of failing; a failed promise is told and does
//! not hold up `limit`; the signals of the `_s` family lose no change that comes before the first answer;
//! `app_s` of signals follows both of its signals, and `sample_s` takes the value that belongs to the
//! occurrence.

mod atom;
mod event;
mod event_combine;
mod event_promises;
mod event_serial;
mod event_transform;
mod grave;
mod node;
mod promises;
mod signal;
mod signal_combine;
mod signal_lift_s;
mod signal_promises;
mod signal_transform;
mod signal_values;
mod step;
mod update;

pub use event::{Event, Sender};
pub use signal::{Setter, Signal};
pub use step::Step;

/// Gives back the memory that this thread keeps for the next step.
pub(crate) fn release_cached() {
    update::release_cached();
    grave::release_cached();
}
