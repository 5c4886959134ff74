#!/usr/bin/env bash
# The README's main job, and what it promises: one line on stdout and status 0; a failure is named on stderr, with
# status 1.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() {
    echo "quickstart: $*" >&2
    sed 's/^/    stdout: /' "$scratch/out" >&2
    sed 's/^/    stderr: /' "$scratch/err" >&2
    exit 1
}
# job [ARGUMENT ...]: runs it, and leaves its status in `status`.
job() {
    status=0
    echo "\$ cargo run --release --example quickstart${*:+ -- $*}"
    cargo run --release --quiet --example quickstart ${1+--} "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
}

cargo build --release --example quickstart

job
((status == 0)) || fail "status $status on this checkout"
[[ $(wc -l <"$scratch/out") == 1 ]] || fail 'not exactly one line on stdout'
grep -qxE 'quickstart: [1-9][0-9]* files, [1-9][0-9]* bytes, all digests agree' "$scratch/out" || fail 'an unexpected summary'
cat "$scratch/out"

mkdir -p "$scratch/dir/sub"
printf 'one' >"$scratch/dir/a name with blanks"
printf '' >"$scratch/dir/sub/empty"
head -c 3000000 /dev/urandom >"$scratch/dir/sub/large"
job --dir "$scratch/dir" --connections 3
((status == 0)) || fail "status $status on a small directory"
grep -qxF 'quickstart: 3 files, 3000003 bytes, all digests agree' "$scratch/out" || fail 'an unexpected summary'
cat "$scratch/out"

job --kill-one
((status == 0)) || fail "status $status when a worker was killed"
grep -qE 'worker [0-9]+ has been killed' "$scratch/err" || fail 'no worker was killed'
grep -qxE 'quickstart: [1-9][0-9]* files, [1-9][0-9]* bytes, all digests agree' "$scratch/out" || fail 'a kill lost something'
cat "$scratch/out"

job --dir "$scratch/missing"
((status == 1)) || fail "status $status, not 1, for a directory that does not exist"
[[ -s $scratch/err ]] || fail 'nothing on stderr about a directory that does not exist'
if grep -q 'all digests agree' "$scratch/out"; then fail 'success is claimed for a directory that does not exist'; fi
echo 'a directory that does not exist: status 1, and it says so'
