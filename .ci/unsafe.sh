#!/usr/bin/env bash
# The table in HACKING.md lists exactly the source files that have unsafe code.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/code.sh

having=$(shipped lwt-core/src lwt-unix/src lwt-preemptive/src src examples | grep -w unsafe | sed 's/:.*//' | sort -u)
listed=$(sed -n 's/^| `\([a-z][a-z0-9_/-]*\.rs\)` |.*/\1/p' HACKING.md | sort)
if ! diff <(echo "$listed") <(echo "$having"); then
    echo 'the list of files with unsafe code in HACKING.md (<) is not what the sources say (>)' >&2
    exit 1
fi
echo "$(wc -l <<<"$having") files have unsafe code, and HACKING.md lists them"
