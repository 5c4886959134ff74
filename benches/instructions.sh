#!/bin/sh
# Instructions per operation of the core rows, counted by callgrind: the same on every machine of one architecture
# and undisturbed by what else runs, so that a change of a few instructions shows.
#
#   benches/instructions.sh [ROW ...]           a table, by default of all core rows
#   benches/instructions.sh --hot ROW [SIDE]    the functions in which they are spent, inlined calls included
#
# A row is run with N and with 2N operations; the difference over N leaves out what starting costs.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/target}
core='bind-inline bind-call pending-bind pending-await letters map-chain pause-one pause-1000 yield-1000
spawn-ready spawn-yield-join spawn-million join-100k choose-loop choose-await sleep-drop'

command -v valgrind >/dev/null || { echo "instructions.sh: valgrind is not installed" >&2; exit 1; }
cargo build --quiet --release --manifest-path "$here/Cargo.toml" --target-dir "$target"
program=$target/release/lwt-benches
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# run ROW SIDE OPS: leaves the profile in $scratch/profile and the messages in $scratch/log.
run() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/profile" --log-file="$scratch/log" \
        "$program" --measure "$1" "$2" "$3" --cold >/dev/null || {
        cat "$scratch/log" >&2
        return 1
    }
}

# collected ROW SIDE OPS: instructions of the whole process.
collected() {
    run "$@" && sed -n 's/.*Collected : *//p' "$scratch/log"
}

if [ "${1-}" = --hot ]; then
    run "${2:?a row}" "${3-lwt}" 200000
    # A line per function, whatever files its instructions were inlined from.
    callgrind_annotate --threshold=100 --auto=no "$scratch/profile" | awk '
        /^ *[0-9,]+ \(/ && /:/ {
            gsub(",", "", $1); name = $0
            sub(/^ *[0-9,]+ \([^)]*\) +/, "", name); sub(/ \[[^]]*\]$/, "", name)
            if (name ~ /PROGRAM TOTALS/) next
            sub(/^[^:]*:/, "", name); sub(/\047[0-9]+$/, "", name)
            spent[name] += $1
        }
        END { for (name in spent) printf "%8.1f  %s\n", spent[name] / 200000, name }' | sort -rn | head -n 30
    exit
fi

printf '| %-16s | %8s | %8s | %8s |\n' 'instructions/op' lwt tokio smol
printf '|------------------|---------:|---------:|---------:|\n'
for row in ${*:-$core}; do
    line=$(printf '| %-16s |' "$row")
    for side in lwt tokio smol; do
        n=100000
        once=$(collected "$row" "$side" "$n")
        twice=$(collected "$row" "$side" $((2 * n)))
        line="$line $(awk "BEGIN { printf \"%8.1f\", ($twice - $once) / $n }") |"
    done
    echo "$line"
done
