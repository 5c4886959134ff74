#!/usr/bin/env bash
# Model-checks what crosses threads: every interleaving with at most two pre-emptions, or, with LONG=1, all of
# the core's and those with at most four of the others (some minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${LONG-}" ] || export LOOM_MAX_PREEMPTIONS=2
export RUSTFLAGS="${RUSTFLAGS-} --cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
set -x
cargo test -p lwt-core --release --lib loom
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-4}"
cargo test -p lwt-preemptive --release --lib loom
cargo test -p lwt-unix --release --lib loom
