#!/usr/bin/env bash
# The core's tests under valgrind: what Miri is too slow for, with the free lists on, in compiled code.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || {
    echo 'valgrind: skipped: it is not installed' >&2
    exit 77
}

# Optimised a little, or it takes for ever; still a debug build, in which heavy tests turn less.
export CARGO_PROFILE_DEV_OPT_LEVEL=1
programs=$(cargo test -p lwt-core --lib --tests --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | sort -u)
[[ -n $programs ]] || {
    echo 'valgrind: there are no tests' >&2
    exit 1
}

# No look for leaks: see miri.sh. The tests look for them by themselves.
failed=0
for program in $programs; do
    echo "\$ valgrind $program"
    LWT_GRAPHS=${LWT_GRAPHS:-500} valgrind --quiet --error-exitcode=99 --leak-check=no --fair-sched=yes "$program" --quiet || {
        echo "valgrind: status $? of $program" >&2
        failed=1
    }
done
exit "$failed"
