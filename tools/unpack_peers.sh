#!/bin/sh
# SPDX-License-Identifier: MIT
# Debian has one mail server at a time installed, and the tests talk to more than one. Packages of the
# group `unpack` of tools/packages.txt are fetched and unpacked below the directory named, not installed:
#   tools/unpack_peers.sh build/peers
set -eu
list=$(dirname "$0")/packages.txt
peers=$1
for package in $(sed -n 's/^unpack  *//p' "$list"); do
  [ ! -e "$peers/$package" ] || continue
  mkdir -p "$peers/fetched"
  # A directory of its own: apt-get names the file after the version.
  if ! (cd "$peers/fetched" && rm -f "$package"_*.deb && apt-get -q download "$package"); then
    echo "$package cannot be fetched: tests that talk to it are skipped" >&2
    continue
  fi
  rm -rf "$peers/$package.new"
  dpkg-deb -x "$peers/fetched/$package"_*.deb "$peers/$package.new"
  mv "$peers/$package.new" "$peers/$package"
done
