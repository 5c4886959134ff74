#!/usr/bin/env bash
# The programs that the tests call, from Debian's packages where they are missing.
set -euo pipefail

missing=()
command -v curl >/dev/null || missing+=(curl)
((${#missing[@]} == 0)) && exit 0
echo "installing ${missing[*]}"
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
