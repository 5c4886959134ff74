#!/usr/bin/env bash
# Model-checks what crosses threads: every interleaving with at most two pre-emptions, or all with LONG=1 (some minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${LONG-}" ] || export LOOM_MAX_PREEMPTIONS=2
export RUSTFLAGS="${RUSTFLAGS-} --cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
set -x
cargo test -p lwt-core --release --lib loom
cargo test -p lwt-preemptive --release --lib loom
cargo test -p lwt-unix --release --lib loom
