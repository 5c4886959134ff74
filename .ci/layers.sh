#!/usr/bin/env bash
# Arrows only point down: lwt-preemptive -> lwt-unix -> lwt-core, in manifests and in code, tests included. And the core
# asks nothing of the operating system.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/code.sh

wrong=0

# below CRATE UPPER ...: CRATE knows nothing of what lies above it.
below() {
    local crate=$1 upper tree found
    shift
    tree=$(cargo tree --locked -e normal,build,dev -p "$crate" --prefix none)
    for upper in "$@"; do
        if grep -q "^$upper v" <<<"$tree"; then
            echo "$crate depends on $upper" >&2
            wrong=1
        fi
        if found=$(code "$crate" | grep -E "\b${upper//-/_}\b"); then
            printf '%s names %s:\n%s\n' "$crate" "$upper" "$found" >&2
            wrong=1
        fi
    done
}

below lwt-core lwt-unix lwt-preemptive lwt-rs
below lwt-unix lwt-preemptive lwt-rs
below lwt-preemptive lwt-rs

readonly SYSTEM='\bstd::(os|net|fs)\b|\b(libc|nix|mio)::|\b(Instant|SystemTime)::now\b|\bthread::(spawn|sleep|Builder)\b'
if found=$(shipped lwt-core/src | grep -E "$SYSTEM"); then
    printf 'lwt-core asks something of the operating system:\n%s\n' "$found" >&2
    wrong=1
fi

if ((wrong)); then exit 1; fi
echo 'all arrows point down'
