#!/usr/bin/env bash
# What enters the build of a program that uses lwt-rs: no other async runtime, and few crates; and nothing but the base
# set without the default features.
set -euo pipefail
cd "$(dirname "$0")/.."

# Ours and all others, with every feature on. A reason to raise it belongs into DESIGN.md.
readonly MOST=30
# What the base set consists of, with what that brings along.
readonly BASE='bitflags cfg-if futures-core libc log memoffset mio nix pin-project-lite slab'
readonly RUNTIMES='tokio|tokio-.*|async-std|smol|async-executor|async-global-executor|async-io|async-task|blocking|futures-executor|glommio|monoio|compio|embassy-.*|actix-rt'

cargo tree --locked -e normal -p lwt-rs
crates=$(cargo tree --locked -e normal -p lwt-rs --all-features --prefix none --format '{p}' | awk '{ print $1 }' | sort -u)
many=$(echo "$crates" | wc -l)
foreign=$(echo "$crates" | grep -cv '^lwt-')
echo "$many crates in the normal tree, $foreign of them from elsewhere"

if runtimes=$(echo "$crates" | grep -xE "$RUNTIMES"); then
    printf 'another async runtime is in the build:\n%s\n' "$runtimes" >&2
    exit 1
fi
if ((many > MOST)); then
    echo "more than $MOST crates" >&2
    exit 1
fi

base=$(cargo tree --locked -e normal -p lwt-rs --no-default-features --prefix none --format '{p}' |
    awk '{ print $1 }' | sort -u | grep -v '^lwt-')
if more=$(grep -vxF "${BASE// /$'\n'}" <<<"$base"); then
    printf 'not in the base set, and in the build without default features:\n%s\n' "$more" >&2
    exit 1
fi
