#!/usr/bin/env bash
# Model-checks what crosses threads in lwt-core: every interleaving with at most two pre-emptions, or all with LONG=1 (some minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${LONG-}" ] || export LOOM_MAX_PREEMPTIONS=2
export RUSTFLAGS="${RUSTFLAGS-} --cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
set -x
cargo test -p lwt-core --release --lib loom
