//! Random graphs of promises whose callbacks, lookers, destructors and clone functions do anything to the
//! graph, and panic. There is no model: what is asked is that nothing is lost, whatever happens.
//!
//! 1. A value is intact as long as somebody refers to it, and is dropped once (`value.rs`).
//! 2. When all resolvers are gone, every promise is resolved.
//! 3. When everything is let go of, no value is left, and no cell (which the feature `registry` tells).
//! 4. A combinator's values are all there, and nothing is abandoned that had a resolver.
//!
//! `LWT_GRAPHS=n` sets how many graphs are tried, `LWT_SEED=s` plays one seed again.

use std::rc::Rc;

use lwt_core::{scheduler, set_unhandled_hook};
use value::{Shared, Unique, Value};
use world::World;

#[path = "../common/mod.rs"]
mod common;
mod foreign;
#[path = "../common/seeded.rs"]
mod seeded;
mod value;
mod world;

/// Plays one graph; what is wrong, if anything.
fn check<V: Value>(seed: u64) -> Option<String> {
    value::begin(seed);
    let world = World::<V>::begin(seed);
    for _ in 0..4 + seed % 40 {
        world.act();
    }
    let hang = world.end(seed % 3);
    drop(world);
    let (left, cells) = (value::left(), seeded::cells());
    hang.or_else(value::fault)
        .or_else(|| (left != 0).then(|| format!("{left} values are left")))
        .or_else(|| (cells != 0).then(|| format!("{cells} cells are left")))
}

fn no_seed_finds_anything<V: Value>() {
    let before = set_unhandled_hook(Some(Rc::new(|_| ())));
    let failure = seeded::quietly(|| seeded::first(common::heavy(30_000, 6_000, 40), check::<V>));
    set_unhandled_hook(before);
    scheduler::end_thread();
    if let Some((seed, complaint)) = failure {
        panic!("LWT_SEED={seed} fails: {complaint}");
    }
}

#[test]
fn values_that_are_shared() {
    no_seed_finds_anything::<Shared>();
}

#[test]
fn values_that_can_only_be_moved() {
    no_seed_finds_anything::<Unique>();
}
