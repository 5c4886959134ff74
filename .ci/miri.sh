#!/usr/bin/env bash
# The core's tests under Miri, in both models of aliasing. Short: what takes a few minutes. LONG=1: all of them, the
# documentation's too.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
    echo "miri: skipped: $*" >&2
    exit 77
}
command -v rustup >/dev/null || skip 'there is no rustup to get it with'
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    if ! rustup run nightly rustc --version >/dev/null 2>&1; then
        timeout 900 rustup toolchain install nightly --profile minimal || skip 'the nightly toolchain cannot be had'
    fi
    timeout 900 rustup component add miri rust-src --toolchain nightly || skip 'the component cannot be had'
fi
timeout 900 cargo +nightly miri setup || skip 'its standard library cannot be built'

# The watchdog of the tests looks at the clock, so no isolation. Leaks are tested elsewhere (tests/space_*.rs): threads
# of tests that end without `scheduler::end_thread` leave their inbox behind, as the documentation says.
readonly FLAGS='-Zmiri-disable-isolation -Zmiri-ignore-leaks'

quick=(auto_traits cancel cancel_safety_sync condition looking making mutex mvar pause react_events
    react_promises react_serial react_signals react_wild reentrancy result retry rough rwlock semaphore storage
    stream_wild sync_wild task thread_end unhandled wakers)
parts=(--lib "${quick[@]/#/--test }")
if [[ ${LONG:-0} != 0 ]]; then
    parts=(--lib --doc)
    for file in lwt-core/tests/*.rs lwt-core/tests/*/main.rs; do
        name=${file#lwt-core/tests/}
        name=${name%/main.rs}
        parts+=("--test ${name%.rs}")
    done
fi

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
export FLAGS logs

# part MODEL PART: runs one test binary, and prints what it said if it failed.
part() {
    local log from=$SECONDS
    log=$(mktemp -p "$logs")
    # Unquoted: a part is one or two arguments.
    if MIRIFLAGS="$FLAGS $1" cargo +nightly miri test -p lwt-core $2 >"$log" 2>&1; then
        echo "ok      $((SECONDS - from)) s  $2  $1"
    else
        cat "$log"
        echo "FAILED  $((SECONDS - from)) s  $2  $1"
        return 1
    fi
}
export -f part

MIRIFLAGS=$FLAGS cargo +nightly miri test -p lwt-core --no-run
# Miri runs on one processor, so several at a time.
for model in -Zmiri-tree-borrows ''; do
    printf '%s\0' "${parts[@]}" | sed -z "s/^/$model|/"
done | xargs -0 -P "$(nproc)" -I{} bash -c 'part "${1%%|*}" "${1#*|}"' part {}
