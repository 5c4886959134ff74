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
//!   current one is done, before the outermost `send` returns; first come, first served.
//! * **Who is kept.** An event or a signal is kept by its handles and by what is made from it, not by what
//!   it is made from: drop the last handle, and it is freed at once and does nothing any more. What is there
//!   for the sake of its function has to be held, or [kept](Event::keep). Senders and setters keep nothing.
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
//! `E`, under the same names: [`never`](Event::never), [`retain`](Event::retain), [`stop`](Event::stop),
//! [`trace`](Event::trace), [`once`](Event::once), [`drop_once`](Event::drop_once), [`app`](Event::app),
//! [`map`](Event::map), [`stamp`](Event::stamp), [`filter`](Event::filter), [`diff`](Event::diff),
//! [`changes`](Event::changes), [`on`](Event::on), [`dismiss`](Event::dismiss), [`until`](Event::until),
//! [`accum`](Event::accum), [`fold`](Event::fold), [`select`](Event::select), [`merge`](Event::merge),
//! [`switch`](Event::switch), [`fix`](Event::fix), [`l1`](Event::l1), [`l2`](Event::l2), [`l3`](Event::l3),
//! [`l4`](Event::l4), [`l5`](Event::l5), [`l6`](Event::l6), [`with_finaliser`](Event::with_finaliser),
//! [`next`](Event::next), [`limit`](Event::limit), [`from`](Event::from), [`to_stream`](Event::to_stream),
//! [`of_stream`](Event::of_stream), [`delay`](Event::delay), [`keep`](Event::keep), [`app_s`](Event::app_s),
//! [`app_p`](Event::app_p), [`map_s`](Event::map_s), [`map_p`](Event::map_p), [`filter_s`](Event::filter_s),
//! [`filter_p`](Event::filter_p), [`diff_s`](Event::diff_s), [`accum_s`](Event::accum_s),
//! [`fold_s`](Event::fold_s), [`merge_s`](Event::merge_s), [`run_s`](Event::run_s), [`run_p`](Event::run_p).
//!
//! `S`, under the same names: [`value`](Signal::value), [`retain`](Signal::retain), [`stop`](Signal::stop),
//! [`trace`](Signal::trace), [`app`](Signal::app), [`map`](Signal::map), [`filter`](Signal::filter),
//! [`diff`](Signal::diff), [`changes`](Signal::changes), [`sample`](Signal::sample), [`on`](Signal::on),
//! [`dismiss`](Signal::dismiss), [`accum`](Signal::accum), [`fold`](Signal::fold), [`merge`](Signal::merge),
//! [`switch`](Signal::switch), [`bind`](Signal::bind), [`fix`](Signal::fix), [`l1`](Signal::l1),
//! [`l2`](Signal::l2), [`l3`](Signal::l3), [`l4`](Signal::l4), [`l5`](Signal::l5), [`l6`](Signal::l6),
//! [`with_finaliser`](Signal::with_finaliser), [`limit`](Signal::limit), [`keep`](Signal::keep),
//! [`app_s`](Signal::app_s), [`map_s`](Signal::map_s), [`filter_s`](Signal::filter_s),
//! [`diff_s`](Signal::diff_s), [`sample_s`](Signal::sample_s), [`accum_s`](Signal::accum_s),
//! [`fold_s`](Signal::fold_s), [`merge_s`](Signal::merge_s), [`bind_s`](Signal::bind_s),
//! [`run_s`](Signal::run_s), [`l1_s`](Signal::l1_s), [`l2_s`](Signal::l2_s), [`l3_s`](Signal::l3_s),
//! [`l4_s`](Signal::l4_s), [`l5_s`](Signal::l5_s), [`l6_s`](Signal::l6_s).
//!
//! | there | here |
//! |---|---|
//! | `E.create`, `S.create` | [`Event::create`], [`Signal::create`] |
//! | `send ~step`, `set ~step` | [`Sender::send_in`], [`Setter::set_in`] |
//! | `Step` | [`Step`] |
//! | `?eq` | the form with `_eq` in its name |
//! | `E.equal`, `S.equal`, `S.eq_fun` | `==`, `==`, none: the equality stays inside |
//! | `trace ~iff` | [`Event::trace_if`], [`Signal::trace_if`] |
//! | `when_` | [`Event::on`], [`Signal::on`] |
//! | `E.fmap`, `S.fmap` | [`Event::filter_map`], [`Signal::filter_map`] |
//! | `E.fmap_s`, `E.fmap_p` | [`Event::filter_map_s`], [`Event::filter_map_p`] |
//! | `S.fmap_s` | [`Signal::filter_map_s`] |
//! | `E.Option.some`, `E.Option.value` | `map(..)`, [`Event::values`] and [`Event::values_or`] |
//! | `S.const`, `S.return` | [`Signal::constant`] |
//! | `S.hold` | [`Event::hold`] |
//! | `S.switch` with an event of signals | `events.hold(signal).switch()` |
//! | `S.Bool` | [`Signal::not`], [`Signal::and`], [`Signal::or`], [`Signal::flip`] |
//! | | [`Signal::edge`], [`Signal::rise`], [`Signal::fall`] |
//! | `S.Pair` | [`Signal::pair`], [`Signal::fst`], [`Signal::snd`] |
//! | `S.Option` | [`Signal::or_always`], [`Signal::or_last`], [`Signal::has_some`], else `map` |
//! | `S.Int`, `S.Float`, `S.Compare` | [`Signal::map`] and [`Signal::l2`] with the operator |
//! | `S.Make`, `S.Special` | none: `==` comes with the type |
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
