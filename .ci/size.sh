#!/usr/bin/env bash
# No source file is longer than it can be read in one go: one concept, one file.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly MOST=500

longer=0
while IFS= read -r -d '' file; do
    lines=$(wc -l <"$file")
    if ((lines > MOST)); then
        printf '%s: %d lines, more than %d\n' "${file#./}" "$lines" "$MOST" >&2
        longer=$((longer + 1))
    fi
done < <(find . -name target -prune -o -name .git -prune -o -type f -name '*.rs' -print0 | sort -z)
if ((longer > 0)); then exit 1; fi
echo "no source file has more than $MOST lines"
