#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the packages of the named groups of tools/packages.txt that are missing:
#   tools/install_deps.sh build test
# Needs root or a sudo that asks nothing. Without either it prints the command and fails.
set -eu
here=$(dirname "$0")
missing=
for group in "$@"; do
  for package in $(sed -n "s/^$group  *//p" "$here/packages.txt"); do
    status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    case $status in
      ii*) ;;
      *) missing="$missing $package" ;;
    esac
  done
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "These packages are missing. As root:" >&2
    echo "  apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  as_root='sudo -n'
fi
echo "Installing:$missing"

# Nothing that is installed here may start by itself: the tests run their own instances. A policy
# of the administrator's is left as it is.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
  $as_root chmod 755 $policy
  made=yes
fi
trap '[ -z "$made" ] || $as_root rm -f $policy' EXIT
trap 'exit 1' HUP INT TERM

# debconf is part of every Debian; debconf-set-selections may be asked for before apt-get update.
echo 'postfix postfix/main_mailer_type select No configuration' | $as_root debconf-set-selections
$as_root apt-get -q -o Acquire::Retries=3 update
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
  -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install $missing
