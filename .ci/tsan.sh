#!/usr/bin/env bash
# The tests of what crosses threads (inboxes, notifications, runtime lock, channels, handles, jobs, shared memory) under the
# compiler's ThreadSanitizer. Wants a nightly toolchain, whose standard library is built anew.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
    echo "tsan: skipped: $*" >&2
    exit 77
}
command -v rustup >/dev/null || skip 'there is no rustup to get it with'
[[ $(uname -sm) == 'Linux x86_64' ]] || skip 'it is set up for Linux on x86-64'
if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    timeout 900 rustup toolchain install nightly --profile minimal || skip 'the nightly toolchain cannot be had'
fi
timeout 900 rustup component add rust-src --toolchain nightly || skip 'the component cannot be had'

readonly TARGET=x86_64-unknown-linux-gnu
export RUSTFLAGS="${RUSTFLAGS-} -Zsanitizer=thread" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan"
# Everything is some ten times slower, and takes more of the stack.
export LWT_TEST_SECONDS=${LWT_TEST_SECONDS:-600} LWT_CALLS=${LWT_CALLS:-20000} RUST_MIN_STACK=${RUST_MIN_STACK:-8388608}
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 ${TSAN_OPTIONS-}"

tsan() {
    cargo +nightly test -Zbuild-std --target "$TARGET" "$@"
}
set -x
tsan -p lwt-core --test inbox --test wakers
tsan -p lwt-preemptive --test channel --test detach --test detach_bounds --test handle --test lock_fair --test lock_rules --test lock_section --test parallel
# It sees only what threads of one process do: that is no use where a process dies at each access in turn.
tsan -p lwt-preemptive --lib --test shm_bytes --test shm_mutex --test shm_pool --test shm_structures --test shm_sync -- --skip a_death_before_any_access
# A thread that computes looks asleep now and then here, because its memory accesses may wait for a lock.
tsan -p lwt-unix --lib --test engine_arrivals --test job_detach --test job_pool --test job_spin --test loop_run --test notification -- --skip does_not_grow_while_jobs_compute
