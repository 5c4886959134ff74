#!/usr/bin/env bash
# A program that was compiled to abort at a panic, as tests never are: a worker's panic is told all the same.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/abort"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/src"
cp Cargo.lock "$scratch"
cat >"$scratch/Cargo.toml" <<END
[package]
name = "aborting"
edition = "2024"
[dependencies]
lwt-core.path = "$PWD/lwt-core"
lwt-preemptive.path = "$PWD/lwt-preemptive"
[profile.dev]
panic = "abort"
debug = false
[workspace]
END
cat >"$scratch/src/main.rs" <<'END'
use lwt_preemptive::worker::{Start, Way, WorkerFailure};

fn half(number: u32) -> u32 {
    assert!(number % 2 == 0, "{number} is odd");
    number / 2
}

fn in_a_thread(number: u32) -> u32 {
    std::thread::spawn(move || half(number)).join().unwrap()
}

lwt_preemptive::main! {
    workers [half, in_a_thread];
    async fn main() -> Result<(), lwt_core::Error> {
        for way in [Way::Zygote, Way::Exec] {
            let start = Start::new().way(way);
            let results = [start.start(half, 7).await, start.start(in_a_thread, 7).await];
            for error in results.map(Result::unwrap_err) {
                println!("{way:?}: {error}");
                let Some(WorkerFailure::Panic { message, place: Some(place) }) = error.downcast_ref() else {
                    panic!("{error:?}")
                };
                assert!(message == "7 is odd" && place.contains("main.rs:4:"));
            }
            assert_eq!(start.start(half, 8).await?, 4);
        }
        Ok(())
    }
}
END
ulimit -c 0
cargo run --quiet --manifest-path "$scratch/Cargo.toml"
