#!/bin/sh
# SPDX-License-Identifier: MIT
# All that can be said about the sources without running them. Goes on after a finding, so that one
# run shows everything; fails if there was any. clang-tidy looks at what differs from BASE (default:
# the last commit) or, with TIDY=all, at all sources.
set -u
cd "$(dirname "$0")/.."
failed=0
step() {
  echo "== $1"
  shift
  "$@" || failed=1
}

format() { git ls-files -z '*.cpp' '*.hpp' | xargs -0 clang-format --dry-run --Werror; }
tidy() {
  [ -f build/compile_commands.json ] || cmake --preset release --log-level=WARNING || return 1
  if [ "${TIDY:-changed}" = all ]; then
    files=$(git ls-files '*.cpp')
  else
    files=$(git diff --name-only --diff-filter=d "${BASE:-HEAD~1}" -- '*.cpp')
  fi
  [ -n "$files" ] || return 0
  echo "$files" | xargs -P "$(nproc)" -n 4 clang-tidy-16 -p build --quiet
}

self_tests() {
  for tool in check_layers check_coroutines check_docs gen_params; do
    python3 "tools/$tool.py" --self-test || return 1
  done
}

step 'tests of the checks' self_tests
step format format
step layers python3 tools/check_layers.py
step coroutines python3 tools/check_coroutines.py
step documents python3 tools/check_docs.py
step 'headers alone' sh tools/check_headers.sh
step clang-tidy tidy
exit $failed
