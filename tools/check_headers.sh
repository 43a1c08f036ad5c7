#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles each header by itself: whoever includes it needs nothing before it. Headers of tests are
# left to the tests. check_headers.sh [HEADER...]
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- $(git ls-files -co --exclude-standard 'lib/*.hpp' 'master/*.hpp' 'smtpd/*.hpp' \
  'qmgr/*.hpp' 'smtp/*.hpp' 'lmtp/*.hpp' 'bounce/*.hpp' 'scache/*.hpp' 'tlsmgr/*.hpp' 'tokenmgr/*.hpp' 'saslmgr/*.hpp' 'tlsrpt/*.hpp' 'anvil/*.hpp' 'ctl/*.hpp')
printf '%s\n' "$@" | xargs -P "$(nproc)" -I '{}' sh -c '
  folder=${1%%/*}
  echo "#include \"$1\"" | g++ -std=c++20 -D_GNU_SOURCE -D_GLIBCXX_ASSERTIONS \
    -DPOSTRIDER_VERSION=\"0\" -Wall -Wextra -Wshadow -Wno-missing-field-initializers \
    -Ilib -I"$folder" -I. -fsyntax-only -x c++ - || { echo "$1: does not compile alone"; exit 1; }
' sh '{}'
